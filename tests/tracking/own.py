"""Models of a user's own: a reducer that takes float32 alone, and a factory of torch modules."""

from typing import Any, Self

import numpy as np
from torch import nn

from elbowroom.models.base import Reducer


class Keep(Reducer):
    """Keeps the first dim3 columns, and answers the mean for the others."""

    def __init__(self, dim3: int) -> None:
        self.dim3 = dim3

    def fit(self, x: Any, y: Any = None, *, x_val: Any = None, on_epoch: Any = None) -> Self:
        assert x.dtype == np.float32
        self.mean = x.mean(axis=0)
        return self

    def encode(self, x: Any) -> Any:
        return x[:, : self.dim3].copy()

    def decode(self, z: Any) -> Any:
        x = np.tile(self.mean, (len(z), 1))
        x[:, : self.dim3] = z
        return x

    def sample(self, n: int, rng: np.random.Generator) -> Any:
        return self.decode(rng.standard_normal((n, self.dim3), dtype=np.float32))


def factory(dim1: int, dim3: int) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(dim1, dim3), nn.Linear(dim3, dim1)
