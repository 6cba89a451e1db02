"""A fitted model of scaled rows, as a model of the rows themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .base import Array, Labels, OnEpoch, Reducer, Rows
from .registry import build

_CENTER, _SCALE = "rows_center", "rows_scale"  # names in the state


class Scaled(Reducer):
    """A model of (x - center) / scale that takes and returns rows x (N, dim1), in float64.

    center and scale (dim1,) were fitted on the training rows, as by scikit-learn's StandardScaler.
    """

    takes_float64 = True

    def __init__(self, model: Reducer, center: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]) -> None:
        self.model, self.center, self.scale = model, center, scale

    def _scaled(self, x: Rows) -> Array:
        return ((x - self.center) / self.scale).astype(np.float32)

    def fit(
        self, x: Rows, y: Labels | None = None, *, x_val: Rows | None = None, on_epoch: OnEpoch | None = None
    ) -> Self:
        """Fit the model to the scaled rows, with the same center and scale."""
        held_out = None if x_val is None else self._scaled(x_val)
        self.model.fit(self._scaled(x), y, x_val=held_out, on_epoch=on_epoch)
        return self

    def encode(self, x: Rows) -> Array:
        """Return codes (N, dim3) of the rows x (N, dim1)."""
        return self.model.encode(self._scaled(x))

    def decode(self, z: Array) -> Rows:
        """Return rows (N, dim1) in the data's own units."""
        return self.model.decode(z) * self.scale + self.center

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Return n new rows (n, dim1) in the data's own units."""
        return self.model.sample(n, rng) * self.scale + self.center

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the state of the model, with the center and the scale."""
        return {**self.model.state(), _CENTER: self.center, _SCALE: self.scale}


def restored(model: str, settings: Mapping[str, Any], state: Mapping[str, npt.NDArray[Any]]) -> Reducer:
    """Return a fitted model from what its `state` returned.

    Parameters
    ----------
    model, settings
        As for `build`.
    state
        Named arrays, of the model or of a `Scaled` one.
    """
    own = {name: array for name, array in state.items() if name not in (_CENTER, _SCALE)}
    reducer = build(model, settings).restore(own)
    return reducer if _CENTER not in state else Scaled(reducer, state[_CENTER], state[_SCALE])
