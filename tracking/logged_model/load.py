"""Read a logged model back without running anything that lies in the store, to which others may write.

Its files are parsed as JSON, safetensors and, of earlier versions, plain .npz: none is executed, imported or unpickled.
The model is built from this checkout's classes; files that do not fit it raise BadInput.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from safetensors.numpy import load_file

from elbowroom.models import MODELS, Reducer, build, restored

from ..config import RunConfig
from ..store.addresses import elsewhere
from ..store.client import reach_store
from ..store.errors import BadInput, one_line
from ..store.names import Artifact
from .serving import ABOUT, FOLDER, WEIGHTS

_WEIGHTS_BEFORE = "weights.npz"  # of models logged before safetensors: the whole state


def load_reducer(run_id: str, *, model: str | None = None, trust_code: bool = False) -> Reducer:
    """Load the fitted model that a run of the store in use has logged.

    Parameters
    ----------
    run_id : str
        A run with `artifacts=full`.
    model : str, optional
        The `package.module:Name` of a model of your own, to be imported here. The models of this project need none.
    trust_code : bool
        Import the copy of the code that lies in the store instead, as `mlflow.pyfunc.load_model` does.

    Returns
    -------
    Reducer
        Built from the classes of this checkout unless `trust_code` is set.

    Raises
    ------
    BadInput
        Naming the run, and the file where one does not fit.
    """
    client = reach_store()
    try:
        run = client.get_run(run_id)
        found = client.search_logged_models(
            [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}' AND name = '{Artifact.MODEL}'"
        )
        logged = [m for m in found if m.status == LoggedModelStatus.READY]  # a repeated request leaves an empty one
        if not logged:
            raise BadInput("it logged no model; a run keeps one with artifacts=full")
        if where := elsewhere(logged[0].artifact_location, client.tracking_uri):
            raise BadInput(f"its model is not in the store but {where}")
        if trust_code:
            try:
                reducer: Reducer = mlflow.pyfunc.load_model(logged[0].model_uri).get_raw_model()
            except Exception as error:  # the code may raise anything
                raise BadInput(f"its own code does not load it: {one_line(error)}") from error
            return reducer
        with tempfile.TemporaryDirectory() as folder:
            _download(f"{logged[0].artifact_location}/data/{FOLDER}", Path(folder))
            return _unpack(Path(folder), model)
    except (BadInput, MlflowException, OSError) as error:
        raise BadInput(f"run {run_id}: {one_line(error)}") from error


def _download(place: str, folder: Path) -> None:
    """Fetch a model's two files. Raises BadInput where one is missing."""
    there = {Path(f.path).name for f in mlflow.artifacts.list_artifacts(artifact_uri=place)}
    for name in (ABOUT, _WEIGHTS_BEFORE if _WEIGHTS_BEFORE in there else WEIGHTS):
        if name not in there:
            raise BadInput(f"{name}: there is no such file")
        mlflow.artifacts.download_artifacts(artifact_uri=f"{place}/{name}", dst_path=str(folder))


def _unpack(folder: Path, own: str | None = None) -> Reducer:
    """The fitted model whose files lie in the folder; `own` is a model of the user's that may be imported here.

    Raises BadInput whose message begins with the name of the file that is at fault.
    """
    file = ABOUT
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        config = RunConfig.from_json(json.dumps({**about["settings"], "model": about["model"]}))
        model, dim1, shape = config.model, about["settings"]["dim1"], about["settings"].get("image_shape")
        if model not in MODELS and model != own:
            raise BadInput(
                f"model {model[:200]!r} is none of {', '.join(MODELS)}; allowed: model={model[:200]!r}, to import it "
                "here, or trust_code=True, to run the copy of its code that lies in the store"
            )
        settings = asdict(config) | {"dim1": dim1, "image_shape": shape and tuple(shape)}
        reducer = build(model, settings)
        values = {name: np.asarray(value) for name, value in about.get("state", {}).items()}
        file = _WEIGHTS_BEFORE if (folder / _WEIGHTS_BEFORE).exists() else WEIGHTS
        state = values | _tensors(folder / file)
        for name in state:
            if callable(getattr(type(reducer), name, None)):  # no array takes the place of a method
                raise ValueError(f"{name[:80]!r} is no part of such a model")
        reducer = restored(model, settings, state)
        _check_shapes(reducer, dim1, config.dim3)
    except Exception as error:  # the content of a file may raise anything
        text = " ".join(str(error).split())[:300]
        told = text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"
        raise BadInput(f"{file}: {told}") from error
    return reducer


def _tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    if path.name == WEIGHTS:
        return load_file(path)
    # Not by numpy.load, whose message for a pickle tells how to open it.
    with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive}


def _check_shapes(reducer: Reducer, dim1: int, dim3: int) -> None:
    """Raise ValueError where the model does not return codes, rows and samples of its shapes."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of numbers in the store that overflow
        codes = reducer.encode(np.zeros((1, dim1), dtype=np.float32))
        shapes = codes.shape, reducer.decode(codes).shape, reducer.sample(1, np.random.default_rng(0)).shape
    wanted = (1, dim3), (1, dim1), (1, dim1)
    if shapes != wanted:
        raise ValueError(f"it gives {shapes}, and the shapes should be {wanted}")
