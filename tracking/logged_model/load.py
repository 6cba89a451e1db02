"""Read a logged model as what it says of itself, not as a program: `unpack(folder) -> Reducer`.

The files may come from a store that others write to. So nothing in them is executed, imported or unpickled: they are
JSON and plain arrays, and the model is built from this checkout's own classes. Whatever does not fit is BadInput.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from elbowroom.models import MODELS, Reducer, build

from ..config import RunConfig
from ..store.errors import BadInput

ABOUT, WEIGHTS = "model.json", "weights.npz"
KINDS = "biufU"  # of numpy's dtypes: numbers and text

Arrays = dict[str, npt.NDArray[Any]]


def unpack(folder: Path, own: str | None = None) -> Reducer:
    """The fitted model whose `model.json` and `weights.npz` lie in the folder.

    `own` is the `package.module:Name` that may be imported here, where the model is none of the registry. Raises
    BadInput whose message begins with the name of the file that is at fault.
    """
    try:
        model, settings = _about(folder / ABOUT)
        if model not in MODELS and model != own:
            raise BadInput(
                f"model {model[:200]!r} is none of {', '.join(MODELS)}; allowed: model={model[:200]!r}, to import it "
                "here, or trust_code=True, to run the copy of its code that lies in the store"
            )
        reducer = build(model, settings)
    except Exception as error:  # what is in a file may raise anything
        raise _refusal(ABOUT, error) from error
    try:
        state = arrays(folder / WEIGHTS)
        if model in MODELS:
            _fits(reducer, state, settings)
        reducer.restore(state)
        _works(reducer, settings["dim1"], settings["dim3"])
    except Exception as error:
        raise _refusal(WEIGHTS, error) from error
    return reducer


def arrays(path: Path) -> Arrays:
    """The arrays of an .npz, of numbers and text. Raises ValueError, BadZipFile, OSError and others.

    By the class that `numpy.load` returns for an .npz: of other files `numpy.load` says how to unpickle them.
    """
    with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
        archive = np.lib.npyio.NpzFile(file, allow_pickle=False)
        state = {name: np.asarray(archive[name]) for name in archive}  # a member that is no array comes as bytes
    for name, array in state.items():
        if array.dtype.kind not in KINDS:
            raise ValueError(f"{name[:80]!r} has the type {str(array.dtype)[:40]}; allowed: numbers and text")
    return state


def _about(path: Path) -> tuple[str, dict[str, Any]]:
    """The model's name and settings."""
    about = json.loads(path.read_text(encoding="utf-8"))
    if not (
        isinstance(about, dict) and isinstance(about.get("model"), str) and isinstance(about.get("settings"), dict)
    ):
        raise ValueError("it has no model and settings")
    settings, dim1 = about["settings"], about["settings"].get("dim1")
    if type(dim1) is not int or dim1 < 1:
        raise ValueError(f"dim1 must be a whole number of at least 1, got {str(dim1)[:40]}")
    shape = settings.get("image_shape")  # runs of before have none
    if shape is not None and not (isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape)):
        raise ValueError(f"image_shape must be a list of whole numbers of at least 1, got {str(shape)[:40]}")
    config = RunConfig.from_json(json.dumps({**settings, "model": about["model"]}))
    return config.model, asdict(config) | {"dim1": dim1, "image_shape": None if shape is None else tuple(shape)}


def _fits(reducer: Reducer, state: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> None:
    """Raise ValueError where the arrays are not those of a model of this kind and size."""
    plain = {name: array for name, array in state.items() if not name.startswith("weights/")}
    for name in plain:
        mine = vars(reducer).get(name, 0)
        taken = hasattr(type(reducer), name) or not isinstance(mine, str | int | float | np.ndarray)
        if not name.isidentifier() or name.startswith("_") or taken:
            raise ValueError(f"{name[:80]!r} is no part of such a model")
    for name in ("dim1", "dim2", "dim3", "beta"):
        if name in plain and plain[name] != settings[name]:
            raise ValueError(f"{name} is {plain[name]}, and {settings[name]} in {ABOUT}")
    if state["mean"].shape != (settings["dim1"],):
        raise ValueError(f"mean has the shape {state['mean'].shape}, and dim1 is {settings['dim1']} in {ABOUT}")
    wanted = reducer.weight_shapes(settings["dim1"])
    there = {name: array.shape for name, array in state.items() if name not in plain}
    if there != wanted:
        odd = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
        raise ValueError(f"{odd[0][:80]!r} is not of the shape that {ABOUT} says")


def _works(reducer: Reducer, dim1: int, dim3: int) -> None:
    """Raise ValueError where the model does not give codes, rows and samples of its shapes."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of numbers that are no good: they are the store's to answer for
        codes = reducer.encode(np.zeros((1, dim1), dtype=np.float32))
        shapes = codes.shape, reducer.decode(codes).shape, reducer.sample(1, np.random.default_rng(0)).shape
    if shapes != ((1, dim3), (1, dim1), (1, dim1)):
        raise ValueError(f"it gives {shapes}, and the shapes should be {((1, dim3), (1, dim1), (1, dim1))}")


def _refusal(file: str, error: Exception) -> BadInput:
    text = " ".join(str(error).split())[:300]
    return BadInput(f"{file}: {text if isinstance(error, ValueError) and text else f'{type(error).__name__}: {text}'}")
