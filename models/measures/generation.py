"""Quality of generated rows: similar to the data, as diverse as the data, and not copied from them.

Kynkäänniemi et al. 2019 (precision and recall); Ghosh et al. 2020 (a mixture fitted to the codes after training);
Tolstikhin, Bousquet, Gelly & Schölkopf 2018 (sharpness).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy

from ..base import Array, Reducer, Rows
from ..lazy_sklearn import sklearn
from .errors import Float64s, rescaled, row_mse

NEIGHBOURS = 3  # the ball of a row reaches to its third neighbour, so precision and recall need more rows
_BLOCK = 1000  # rows whose distances to all others are in memory at a time
_ROUNDING = 1e-6  # of float32, as a share of the data's range
_LEAST_SIDE = 3  # pixels of a picture that a Laplace filter fits into

_MIXTURE_COMPONENTS = 10
_MIXTURE_ROWS_EACH = 20  # at least: with fewer rows there are fewer components
_MIXTURE_ROWS = 10_000  # at most, in the fit
_MIXTURE_ITERATIONS = 200
_MIXTURE_SEED = 0  # of the fit; samples are drawn with the caller's generator


def precision_recall(real: Array, fake: Array) -> tuple[float, float]:
    """Return precision and recall of generated rows, from features of real and of generated rows, (n, f) each.

    The manifold of a set is a ball around each of its rows, whose radius is the distance to the third nearest other row
    (Kynkäänniemi et al. 2019). Precision is the share of generated rows in a ball of the real ones, recall the share of
    real rows in a ball of the generated ones. Only results of equal n and the same features are comparable: the balls
    shrink with more rows. Features are scores on principal components: distances in hundreds of pixels say little, and
    unlike the usual image network these need no download and serve any data.

    The rows of a decoder with few codes lie close together on a thin sheet, so their balls are small and miss the data
    beside it: on MNIST (n 5,000) reconstructions by 16 components of PCA have recall 0.003, and training rows 0.87. A
    recall near 0 may be due to the decoder, and not to the distribution of the codes.
    """
    real_radii, fake_radii = _squared_radii(real), _squared_radii(fake)
    inside, covered = np.zeros(len(fake), dtype=bool), np.zeros(len(real), dtype=bool)
    for start in range(0, len(real), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distances = _squared_distances(real[rows], fake)  # (B, n)
        inside |= (distances <= real_radii[rows, None]).any(axis=0)
        covered[rows] = (distances <= fake_radii).any(axis=1)
    return float(inside.mean()), float(covered.mean())


def nearest_training(x: Rows, x_train: Rows) -> tuple[npt.NDArray[np.intp], Float64s]:
    """Return the index of each row's nearest training row, (n,), and its mean squared difference, (n,).

    For x (n, dim1) and x_train (N, dim1). The search uses |a|^2 - 2 a·b + |b|^2, which is fast; the difference is
    computed from the two rows, so that it is exactly 0 for a copy.
    """
    index: npt.NDArray[np.intp] = sklearn.metrics.pairwise_distances_argmin(
        rescaled(x, x_train), rescaled(x_train, x_train)
    )
    return index, row_mse(x, x_train[index])


def outside(x: Rows, limits: tuple[float, float]) -> float:
    """Return the share of all values of x that are outside the limits by more than rounding."""
    low, high = limits
    slack = _ROUNDING * (high - low)
    return float(((x < low - slack) | (x > high + slack)).mean())


def sharpness(x: Rows, shape: tuple[int, ...]) -> float | None:
    """Return the mean over pictures x (N, dim1) of the variance of the picture after a Laplace filter.

    The filter gives the four neighbours of a pixel less four times the pixel, of pixels inside the border, so a blurred
    picture has little of it and a flat one none. Colours are averaged before. It is in the data's units squared and
    grows with contrast: compare it with that of real rows. None for pictures (height, width, colours) below 3 by 3, and
    without rows. Tolstikhin, Bousquet, Gelly & Schölkopf 2018, who compare generated faces by it.
    """
    height, width = shape[:2]
    if min(height, width) < _LEAST_SIDE or not len(x):
        return None
    total = 0.0
    for start in range(0, len(x), _BLOCK):
        grey = x[start : start + _BLOCK].astype(np.float64).reshape(-1, height, width, *shape[2:])
        grey = grey.mean(axis=3) if grey.ndim == 4 else grey
        around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
        total += (around - 4 * grey[:, 1:-1, 1:-1]).var(axis=(1, 2)).sum()
    return float(total / len(x))


def _own(model: Reducer, codes: Array, n: int, rng: np.random.Generator) -> Rows:
    """Samples from the model's own prior."""
    return model.sample(n, rng)


def _normal(model: Reducer, codes: Array, n: int, rng: np.random.Generator) -> Rows:
    """Samples from N(0, I), the prior of a VAE: shows whether another model needs a prior of its own."""
    return model.decode(rng.standard_normal((n, codes.shape[1]), dtype=np.float32))


def _mixture(model: Reducer, codes: Array, n: int, rng: np.random.Generator) -> Rows:
    """Samples from ten Gaussians with full covariances, fitted to the codes of the training rows."""
    chosen = np.linspace(0, len(codes) - 1, min(len(codes), _MIXTURE_ROWS)).astype(int)
    fitted_on = codes[chosen].astype(np.float64)
    mixture = sklearn.mixture.GaussianMixture(
        n_components=max(1, min(_MIXTURE_COMPONENTS, len(fitted_on) // _MIXTURE_ROWS_EACH)),
        # Relative to the codes, which have no unit; codes of a collapsed model have no variance, so 1e-12.
        reg_covar=1e-6 * float(fitted_on.var(axis=0).mean()) or 1e-12,
        max_iter=_MIXTURE_ITERATIONS,
        random_state=_MIXTURE_SEED,
    )
    with warnings.catch_warnings():  # a fit short of the optimum, or with fewer distinct codes than components, serves
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        mixture.fit(fitted_on)
    mixture.random_state = int(rng.integers(2**31))
    z, _ = mixture.sample(n)  # ordered by component
    return model.decode(rng.permutation(z).astype(np.float32))


GENERATORS: dict[str, Callable[[Reducer, Array, int, np.random.Generator], Rows]] = {
    "own": _own,
    "normal": _normal,
    "mixture": _mixture,
}
"""Functions (model, codes of the training rows (N, dim3), n, rng) -> n new rows (n, dim1), by distribution of codes."""


def _squared_radii(x: Array) -> Float64s:
    """The squared distance of each row to its third nearest other row, (n,)."""
    radii = np.empty(len(x))
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, start + _BLOCK)
        # The row itself, at distance 0, comes first or ties with a copy, so the k-th other is at index k.
        radii[rows] = np.partition(_squared_distances(x[rows], x), NEIGHBOURS, axis=1)[:, NEIGHBOURS]
    return radii


def _squared_distances(a: Array, b: Array) -> Float64s:
    """(n, m) for (n, f) and (m, f), from the differences, so that it is exactly 0 for equal rows."""
    return np.asarray(scipy.spatial.distance.cdist(a, b, "sqeuclidean"), dtype=np.float64)
