"""The contract every model keeps: arrays in, codes out, and back.

A *reducer* maps rows of `dim1` numbers to codes of `dim3` numbers and back again. PCA, an autoencoder
and a VAE differ in how they find the map; what the rest of the project needs of them is written here
once. A model of your own subclasses `Reducer` (or is a plain factory of torch modules, see
`models.neural.autoencoder.FactoryAutoencoder`) and is named on the command line as `package.module:Name`.

Shapes: x (N, dim1) data, z (N, dim3) codes, both numpy float32. The models here also take x in float64, for
data whose digits float32 can't hold, and then give such rows back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows came to.

    `number` counts from 1 to `total`, the budget. `metrics` holds `train/loss` and, where there are
    validation rows, `val/loss`, `val/mse` and the parts of the model's own objective.
    """

    number: int
    total: int
    metrics: Mapping[str, float]


class ContractError(ValueError):
    """A model does not keep the contract; the message says which part."""


OnEpoch = Callable[[Epoch], None]


class Reducer(ABC):
    """A map from data to codes and back.

    A constructor asks for settings by naming them: `dim1`, `dim3`, `dim2`, `epochs`, `seed`, … (any
    field of the run's configuration, and `dim1`); it is given those and no others.
    """

    takes_float64: ClassVar[bool] = False
    """Whether `fit` and `encode` take rows in float64 too. Other models get them rounded to float32."""
    revision: ClassVar[int] = 1
    """To be raised by hand where a change of the code changes the numbers: a study trains its cells anew then."""

    @abstractmethod
    def fit(
        self,
        x: Rows,
        y: Labels | None = None,
        *,
        x_val: Rows | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Learn the map from x (N, dim1) and return self.

        y (N,), the labels, may be ignored; every model here does. x_val (N_val, dim1) is looked at,
        never learnt from. `on_epoch` is called after each epoch, if the model has epochs.
        """

    def check(self, x: Rows) -> None:
        """Raise ValueError where rows like x (N, dim1) can't be fitted; found out before a run is opened."""
        return

    @abstractmethod
    def encode(self, x: Rows) -> Array:
        """Codes z (N, dim3) of x (N, dim1): the same rows always give the same codes."""

    @abstractmethod
    def decode(self, z: Array) -> Rows:
        """Rows x_hat (N, dim1), in the data's units and the type that was fitted, of codes z (N, dim3)."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Return n new rows (n, dim1): decode(z) for z drawn from the model's prior with `rng`."""

    def posterior(self, x: Rows) -> tuple[Array, Array] | None:
        """Mean and log-variance, (N, dim3) each, of each row's code, where the model gives a distribution.

        None by default: most encoders give one code and no more. The mean is what `encode` gives.
        """
        return None

    @final
    def reconstruct(self, x: Rows) -> Rows:
        """decode(encode(x)), the deterministic reconstruction (N, dim1)."""
        return self.decode(self.encode(x))

    def axis_ticks(self, scores: Array, n: int) -> Array:
        """Return n places (n,) along one axis of the latent plane at which to decode an image.

        `scores` (N,) are the test codes along that axis. Unless a model knows better: evenly over the
        range that the middle 95 % of the codes fill.
        """
        low, high = np.percentile(scores, [2.5, 97.5])
        return np.linspace(low, high, n, dtype=np.float32)

    def extra_metrics(self, x: Rows) -> dict[str, float]:
        """The model's own measures on x (N, dim1) beside the squared error, by name; none by default."""
        return {}

    def nested_errors(self, x: Rows) -> npt.NDArray[np.float64] | None:
        """Mean squared error on x (N, dim1) by the first 1, 2, …, dim3 latents alone: (dim3,), or None.

        None by default: only where the latents were trained to be ordered is a part of them a smaller model.
        A model that overrides this gives a whole curve from one training; its runs are kept apart from those
        that give one point of a curve each.
        """
        return None

    def facts(self) -> dict[str, str]:
        """What fitting resolved and a reader of the run should know, by name; nothing by default."""
        return {}

    def parameter_count(self) -> int:
        """How many numbers were fitted; by default every floating-point number of the state."""
        return sum(a.size for a in self.state().values() if np.issubdtype(a.dtype, np.floating))

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """The fitted model as named arrays, enough for `restore`.

        By default every attribute that is an array, a number or a string. A model that holds anything
        else overrides both methods. Raises TypeError naming an attribute that no plain array can hold.
        """
        arrays = {name: np.asarray(value) for name, value in vars(self).items() if value is not None}
        for name, array in arrays.items():
            if array.dtype == object:
                raise TypeError(
                    f"{type(self).__name__}.{name} is no array, number or string: override state() and restore()"
                )
        return arrays

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """Become the fitted model that `state()` described, and return self."""
        for name, array in state.items():
            setattr(self, name, array if array.ndim else array.item())
        return self
