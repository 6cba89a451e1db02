"""Checks of the contract that every model keeps; an error names the method that breaks it.

The tests run them on all models of the registry. `suited` runs them on a model of your own before a run is opened, with
one epoch on a few rows of your data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from .base import ContractError, Epoch, Reducer, Rows


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
    with _part("constructor"):
        model = make()
    with _part("fit"):
        epochs: list[Epoch] = []
        before = x.copy()
        fitted = model.fit(x, x_val=x[: len(x) // 2], on_epoch=epochs.append)
        _require(fitted is model, f"must return the model itself, returned {type(fitted).__name__}")
        _require(np.array_equal(x, before), "must not change the rows it is given")
        numbers = [epoch.number for epoch in epochs]
        _require(numbers == list(range(1, len(numbers) + 1)), f"epochs must count from 1, got {numbers}")
    with _part("encode"):
        z = model.encode(x)
        _require_array(z, (len(x), dim3), x)
        _require(z.dtype == np.float32, f"must give float32, gave {z.dtype}")
        _require(np.array_equal(z, model.encode(x)), "the same rows must give the same codes")
    with _part("decode"):
        x_hat = model.decode(z)
        _require_array(x_hat, x.shape, x)
        _require_array(model.decode(z[:1]), (1, x.shape[1]), x)
    with _part("sample"):
        drawn, again, other = (model.sample(3, np.random.default_rng(seed)) for seed in (0, 0, 1))
        _require_array(drawn, (3, x.shape[1]), x)
        _require(np.array_equal(drawn, again), "the same rng must give the same rows")
        _require(not np.array_equal(drawn, other), "another rng must give other rows")
    with _part("state"):
        state = dict(model.state())
        objects = [name for name, array in state.items() if np.asarray(array).dtype == object]
        _require(not objects, f"must hold plain arrays, and {', '.join(objects)} holds objects")
        restored = make().restore(state)
        same = (
            np.allclose(restored.encode(x), z, atol=1e-5)
            and np.allclose(restored.decode(z), x_hat, atol=1e-5)
            and np.allclose(restored.sample(3, np.random.default_rng(0)), drawn, atol=1e-5)
        )
        _require(same, "a model restored from its state must encode, decode and sample as before")


class _Broken(Exception):
    """A requirement is not met."""


@contextmanager
def _part(part: str) -> Iterator[None]:
    """Raise ContractError, with the name of the part in front, for whatever the block raises."""
    try:
        yield
    except ContractError:
        raise
    except _Broken as error:
        raise ContractError(f"{part}: {error}") from None
    except Exception as error:  # a user's model may raise anything
        raise ContractError(f"{part}: raised {type(error).__name__}: {' '.join(str(error).split())}") from error


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise _Broken(message)


def _require_array(array: object, shape: tuple[int, ...], x: Rows) -> None:
    if not isinstance(array, np.ndarray):
        raise _Broken(f"must give a numpy array, gave {type(array).__name__}")
    _require(array.shape == shape, f"must give shape {shape}, gave {array.shape}")
    _require(array.dtype in (np.float32, x.dtype), f"must give float32, gave {array.dtype}")
    _require(bool(np.isfinite(array).all()), "gave NaN or infinite values")
