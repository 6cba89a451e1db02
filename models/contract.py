"""Checks of the contract that every model keeps; an error names the method that breaks it.

The tests run them on all models of the registry. `suited` runs them on a model of your own before a run is opened, with
one epoch on a few rows of your data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .base import ContractError, Epoch, Reducer, Rows

_Result = TypeVar("_Result")


def check_contract(make: Callable[[], Reducer], x: Rows, dim3: int) -> None:
    """Fit a model and check the contract of `Reducer`.

    Parameters
    ----------
    make : callable
        Returns a new unfitted model at each call.
    x : (N, dim1)
        Rows to fit.
    dim3 : int
        Expected width of the codes.

    Raises
    ------
    ContractError
        Its message starts with the part that fails: constructor, fit, encode, decode, sample or state.
    """
    model = _part("constructor", make)
    epochs: list[Epoch] = []
    before = x.copy()
    fitted = _part("fit", lambda: model.fit(x, x_val=x[: len(x) // 2], on_epoch=epochs.append))
    _require("fit", fitted is model, f"must return the model itself, returned {type(fitted).__name__}")
    _require("fit", np.array_equal(x, before), "must not change the rows it is given")
    numbers = _part("fit", lambda: [e.number for e in epochs])
    _require("fit", numbers == list(range(1, len(numbers) + 1)), f"epochs must count from 1, got {numbers}")

    z = _part("encode", lambda: model.encode(x))
    _require_array("encode", z, (len(x), dim3), np.dtype(np.float32))
    again = _part("encode", lambda: model.encode(x))
    _require("encode", np.array_equal(z, again), "the same rows must give the same codes")

    x_hat = _part("decode", lambda: model.decode(z))
    _require_array("decode", x_hat, x.shape, x.dtype)
    one = _part("decode", lambda: model.decode(z[:1]))
    _require_array("decode", one, (1, x.shape[1]), x.dtype)

    draws = [_part("sample", lambda s=seed: model.sample(3, np.random.default_rng(s))) for seed in (0, 0, 1)]  # type: ignore[misc]
    _require_array("sample", draws[0], (3, x.shape[1]), x.dtype)
    _require("sample", np.array_equal(draws[0], draws[1]), "the same rng must give the same rows")
    _require("sample", not np.array_equal(draws[0], draws[2]), "another rng must give other rows")

    state = _part("state", lambda: dict(model.state()))
    objects = [name for name, array in state.items() if np.asarray(array).dtype == object]
    _require("state", not objects, f"must hold plain arrays, and {', '.join(objects)} holds objects")
    restored = _part("state", lambda: make().restore(state))
    same = _part(
        "state",
        lambda: (
            np.allclose(restored.encode(x), z, atol=1e-5)
            and np.allclose(restored.decode(z), x_hat, atol=1e-5)
            and np.allclose(restored.sample(3, np.random.default_rng(0)), draws[0], atol=1e-5)
        ),
    )
    _require("state", same, "a model restored from its state must encode, decode and sample as before")


def _part(part: str, call: Callable[[], _Result]) -> _Result:
    try:
        return call()
    except ContractError:
        raise
    except Exception as error:  # a user's model may raise anything
        raise ContractError(f"{part}: raised {type(error).__name__}: {' '.join(str(error).split())}") from error


def _require(part: str, holds: bool, message: str) -> None:
    if not holds:
        raise ContractError(f"{part}: {message}")


def _require_array(part: str, array: object, shape: tuple[int, ...], fitted: np.dtype[Any]) -> None:
    if not isinstance(array, np.ndarray):
        raise ContractError(f"{part}: must give a numpy array, gave {type(array).__name__}")
    _require(part, array.shape == shape, f"must give shape {shape}, gave {array.shape}")
    _require(part, array.dtype in (np.float32, fitted), f"must give float32, gave {array.dtype}")
    _require(part, bool(np.isfinite(array).all()), "gave NaN or infinite values")
