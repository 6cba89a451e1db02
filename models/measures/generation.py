"""How good rows are that a model makes up: near the data, as varied as the data, and not copied from them.

Precision and recall ask the first two questions, each with one number. Both are of distances, which in hundreds
of pixels say little, so they are taken between `Features`, the first principal components. Where an image network
would be the usual choice, these need no download, and they are the same for data that are no images; they see what
PCA sees, so compare numbers made by the same features only.

Where the codes are drawn from matters as much as the decoder: `GENERATORS` names the choices.

Kynkäänniemi et al. 2019 (precision and recall); Ghosh et al. 2020 (a mixture fitted to the codes after training).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import scipy

from ..base import Array, Reducer, Rows
from ..lazy import sklearn
from .decomposition import decompose
from .errors import Float64s, near_one, row_mse

FEATURES = 50  # at most: on MNIST they hold 82 % of the variance
BLOCK = 1000  # rows whose distances to all others are held at a time
ROUNDING = 1e-6  # of float32, as a share of the data's range

MIXTURE_COMPONENTS = 10
MIXTURE_ROWS_EACH = 20  # at least: fewer rows, fewer components
MIXTURE_ROWS = 10_000  # at most, to fit on
MIXTURE_ITERATIONS = 200
MIXTURE_SEED = 0  # of the fit; the draws come from the caller's generator


class Features(NamedTuple):
    """The leading principal components of the training rows, as a space to measure distances in."""

    mean: Rows
    """(dim1,)"""
    components: Array
    """(f, dim1), f = 50 or as many as the rows and columns allow."""

    @classmethod
    def fit(cls, x_train: Rows) -> Self:
        """The features of x_train (N, dim1): the decomposition that PCA made of these rows, where there is one."""
        fitted, _ = decompose(x_train)
        return cls(fitted.mean_.astype(x_train.dtype), fitted.components_[:FEATURES].astype(np.float32))

    def __call__(self, x: Rows) -> Array:
        """Scores (n, f) of x (n, dim1), in the data's units."""
        return (x - self.mean).astype(np.float32, copy=False) @ self.components.T


class PrecisionRecall(NamedTuple):
    """Of samples: how many look like data, and of data: how many the samples cover; shares, 0 to 1."""

    precision: float
    recall: float


def precision_recall(real: Array, fake: Array, k: int = 3) -> PrecisionRecall:
    """Whether each fake row lies among the real ones, and each real row among the fake: of (n, f) both.

    A set's manifold is a ball around each of its rows, with the distance to its k-th nearest other as the radius.
    Precision is the share of fake rows in a ball of the real ones, recall the share of real rows in a ball of the
    fake ones. As the balls shrink with more rows, two results compare where n and k are the same.

    Rows of a decoder with few codes lie close together on a thin sheet, so their balls are small and miss the data
    beside it: on MNIST (n 5,000) even reconstructions by 16 components of PCA, drawn from nowhere, have recall 0.003,
    where training rows have 0.87. A recall near 0 may be the decoder's doing, whatever the generator.

    Raises ValueError where the sets differ in shape, as the larger would have the smaller balls, and for n <= k.
    """
    if real.shape != fake.shape:
        raise ValueError(f"as many real as fake rows are needed, with as many columns; got {real.shape}, {fake.shape}")
    if len(real) <= k:
        raise ValueError(f"more than {k} rows are needed for a {k}-th nearest other, got {len(real)}")
    real_radii, fake_radii = _squared_radii(real, k), _squared_radii(fake, k)
    inside, covered = np.zeros(len(fake), dtype=bool), np.zeros(len(real), dtype=bool)
    for start in range(0, len(real), BLOCK):
        rows = slice(start, start + BLOCK)
        distances = _squared_distances(real[rows], fake)  # (B, n)
        inside |= (distances <= real_radii[rows, None]).any(axis=0)
        covered[rows] = (distances <= fake_radii).any(axis=1)
    return PrecisionRecall(float(inside.mean()), float(covered.mean()))


def nearest_training(x: Rows, x_train: Rows) -> tuple[npt.NDArray[np.intp], Float64s]:
    """The training row nearest to each row, by number, (n,), and the mean squared difference from it, (n,).

    Of x (n, dim1) and x_train (N, dim1). The difference is computed anew from the row that was found, so that it
    is 0 for a copy: |a|^2 - 2 a·b + |b|^2, which is fast enough for finding it, would leave a rest.
    """
    near = near_one(x, x_train), near_one(x_train, x_train)
    index: npt.NDArray[np.intp] = sklearn.metrics.pairwise_distances_argmin(*near)
    return index, row_mse(x, x_train[index])


def outside(x: Rows, low: float = 0.0, high: float = 1.0) -> float:
    """Which share of all values of x is below low or above high, by more than rounding."""
    slack = ROUNDING * (high - low)
    return float(((x < low - slack) | (x > high + slack)).mean())


def _own(model: Reducer, codes: Array, n: int, rng: np.random.Generator) -> Rows:
    """From the model's own prior, whatever it is."""
    return model.sample(n, rng)


def _normal(model: Reducer, codes: Array, n: int, rng: np.random.Generator) -> Rows:
    """From N(0, I): a VAE's prior, and for others the question whether they need one of their own."""
    return model.decode(rng.standard_normal((n, codes.shape[1]), dtype=np.float32))


def _mixture(model: Reducer, codes: Array, n: int, rng: np.random.Generator) -> Rows:
    """From ten Gaussians, with full covariances, fitted to the codes of the training rows."""
    chosen = np.linspace(0, len(codes) - 1, min(len(codes), MIXTURE_ROWS)).astype(int)
    fitted_on = codes[chosen].astype(np.float64)
    mixture = sklearn.mixture.GaussianMixture(
        n_components=max(1, min(MIXTURE_COMPONENTS, len(fitted_on) // MIXTURE_ROWS_EACH)),
        # Codes have no unit, so the least variance is relative; of a collapsed model it would be 0, and is not.
        reg_covar=1e-6 * float(fitted_on.var(axis=0).mean()) or 1e-12,
        max_iter=MIXTURE_ITERATIONS,
        random_state=MIXTURE_SEED,
    )
    with warnings.catch_warnings():  # not at the optimum, or fewer different codes than components: good enough
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        mixture.fit(fitted_on)
    mixture.random_state = int(rng.integers(2**31))
    z, _ = mixture.sample(n)  # one component after the other
    return model.decode(rng.permutation(z).astype(np.float32))


GENERATORS: dict[str, Callable[[Reducer, Array, int, np.random.Generator], Rows]] = {
    "own": _own,
    "normal": _normal,
    "mixture": _mixture,
}
"""By name, (model, codes of the training rows (N, dim3), n, rng) -> n new rows (n, dim1).

They differ in where the codes come from: the model's own prior, N(0, I), or a mixture fitted to `codes`.
"""


def _squared_radii(x: Array, k: int) -> Float64s:
    """Of each row the squared distance to its k-th nearest other row, (n,)."""
    radii = np.empty(len(x))
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        # The row itself, at distance 0, is the nearest of all, or ties with a copy: the k-th other is at place k.
        radii[rows] = np.partition(_squared_distances(x[rows], x), k, axis=1)[:, k]
    return radii


def _squared_distances(a: Array, b: Array) -> Float64s:
    """(n, m) of (n, f) and (m, f), from the differences themselves, so that of two equal rows it is 0 exactly."""
    return np.asarray(scipy.spatial.distance.cdist(a, b, "sqeuclidean"), dtype=np.float64)
