"""The contract that every model keeps: a map from rows of `dim1` numbers to codes of `dim3` numbers, and back.

Shapes: x (N, dim1) data, z (N, dim3) codes, both numpy float32. A class with `takes_float64` also accepts x in
float64, for data that lose digits in float32, and returns rows of that type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self, final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]


class ContractError(ValueError):
    """A model does not keep the contract; the message names the method that breaks it."""


@dataclass(frozen=True)
class Epoch:
    """Metrics of one pass over the training rows.

    `number` counts from 1 to `total`, the budget. `metrics` holds `train/loss` and, with validation rows, `val/loss`,
    `val/mse` and the terms of the model's objective. Of a long training only about 200 epochs are measured.
    """

    number: int
    total: int
    metrics: Mapping[str, float]


OnEpoch = Callable[[Epoch], None]


class ElboTerms(NamedTuple):
    """The terms of -ELBO of each row in nats: the reconstruction's (N,), and the KL of each latent (N, dim3)."""

    recon: npt.NDArray[np.float64]
    kl: npt.NDArray[np.float64]

    @property
    def elbo(self) -> npt.NDArray[np.float64]:
        """The ELBO of each row, (N,)."""
        elbo: npt.NDArray[np.float64] = -(self.recon + self.kl.sum(axis=1))
        return elbo


class Diagnostics(NamedTuple):
    """Measures of one kind of model, by name: see `Reducer.extra_diagnostics`."""

    numbers: Mapping[str, float]
    arrays: Mapping[str, Array]
    texts: Mapping[str, str]


def in_unit_interval(x: Rows) -> bool:
    """Whether all values of x are in [0, 1]: a sigmoid can reach them, and binary cross-entropy is defined."""
    return bool(x.min() >= 0.0 and x.max() <= 1.0)


class Reducer(ABC):
    """A map from data to codes and back. A model of your own subclasses it, or is a factory of torch modules.

    A constructor names the settings it needs and receives those: any field of `tracking.config.RunConfig`, `dim1`,
    and `image_shape`, which is (height, width) or (height, width, 3) where a row is an image, else None.
    """

    takes_float64: ClassVar[bool] = False
    """Whether `fit` and `encode` accept float64 rows. Other models get them rounded to float32."""
    default_lr: ClassVar[float] = 1e-3
    """The learning rate that `lr` auto means for this model."""
    example_shape: ClassVar[tuple[int, ...]] = (12,)
    """Shape of one row that this model accepts, (dim1,) or an `image_shape`: the contract tests draw such rows."""
    revision: ClassVar[int] = 1
    """Raise it by hand where a change of the code changes the numbers: studies then train their cells anew."""

    @abstractmethod
    def fit(
        self,
        x: Rows,
        y: Labels | None = None,
        *,
        x_val: Rows | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Fit the map.

        Parameters
        ----------
        x : (N, dim1)
            Training rows.
        y : (N,), optional
            Labels. Every model here ignores them.
        x_val : (N_val, dim1), optional
            Validation rows, for metrics only.
        on_epoch : callable, optional
            Receives each `Epoch`, where the model has epochs.

        Returns
        -------
        Self
            The model itself.
        """

    def check(self, x: Rows) -> None:
        """Raise ValueError where rows like x (N, dim1) cannot be fitted; called before a run is opened."""
        return

    @abstractmethod
    def encode(self, x: Rows) -> Array:
        """Return codes z (N, dim3) of x (N, dim1); equal rows have equal codes."""

    @abstractmethod
    def decode(self, z: Array) -> Rows:
        """Return rows (N, dim1), in the units and the type of the fitted rows, of codes z (N, dim3)."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Return n new rows (n, dim1): decode(z) for z drawn from the model's prior with `rng`."""

    @final
    def reconstruct(self, x: Rows) -> Rows:
        """Return decode(encode(x)), the deterministic reconstruction (N, dim1)."""
        return self.decode(self.encode(x))

    def posterior(self, x: Rows) -> tuple[Array, Array] | None:
        """Return mean, as `encode`, and log-variance of each row's normal code, (N, dim3) each; None without one.

        From it a run logs the KL of each latent to N(0, 1), the latents in use, and the error of drawn codes.
        """
        return None

    def elbo_terms(self, x: Rows) -> ElboTerms | None:
        """Return the terms of each row's ELBO, from one seeded draw of its code; None where there is no posterior."""
        return None

    def axis_ticks(self, scores: Array, n: int) -> Array:
        """Return positions (n,) on a latent axis to decode, by default over the central 95 % of its scores (N,)."""
        low, high = np.percentile(scores, [2.5, 97.5])
        return np.linspace(low, high, n, dtype=np.float32)

    def extra_metrics(self, x: Rows) -> Mapping[str, float]:
        """Return metrics of the model's own on x (N, dim1), by name; empty by default."""
        return {}

    def extra_artifacts(self, x: Rows, x_test: Rows) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return arrays that every run keeps, by name, of the fitted rows x and of x_test; empty by default."""
        return {}

    def extra_diagnostics(self, x: Rows, x_test: Rows) -> Diagnostics:
        """Return measures for runs with `--measure`, of the fitted rows x and of x_test; empty by default."""
        return Diagnostics({}, {}, {})

    def nested_errors(self, x: Rows) -> npt.NDArray[np.float64] | None:
        """Return the mean squared error on x (N, dim1) of the first 1, 2, …, dim3 latents, (dim3,), or None.

        Only a model that orders its latents in training overrides this: one run of it gives a whole curve.
        """
        return None

    def validation_curve(self, x: Rows, x_val: Rows) -> npt.NDArray[np.float64] | None:
        """Return errors on x_val of the fits to x with each dim3 from 0, with standard errors, (K + 1, 2), or None.

        Only a model one of whose fits determines those of every dim3 overrides this: see `PCA.validation_curve`.
        """
        return None

    def facts(self) -> Mapping[str, str]:
        """Return the settings as fitting resolved them, by name, for readers of the run; empty by default."""
        return {}

    def parameter_count(self) -> int:
        """Return how many numbers were fitted; by default the floating-point numbers of the state."""
        return sum(a.size for a in self.state().values() if np.issubdtype(a.dtype, np.floating))

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the fitted model as named arrays, by default all attributes.

        Raises TypeError for an attribute that is no array, number or string: override this method and `restore` then.
        """
        arrays = {name: np.asarray(value) for name, value in vars(self).items() if value is not None}
        for name, array in arrays.items():
            if array.dtype == object:
                attribute = f"{type(self).__name__}.{name}"
                raise TypeError(f"{attribute} is no array, number or string: override state() and restore()")
        return arrays

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """Set the attributes that `state()` returned, and return self."""
        for name, array in state.items():
            setattr(self, name, array if array.ndim else array.item())
        return self
