"""How many dimensions the data themselves have, whatever the model: four measures, each with its own answer.

`two_nn` and `maximum_likelihood` look at distances between neighbours, and see a curved manifold as well as a
flat one. `participation_ratio` and `parallel_analysis` look at the covariance, and see a curved manifold as all
the directions that it bends through. All four are deterministic, all are numbers of dimensions, and none
changes when the data are scaled, shifted or (but for parallel analysis, which permutes the columns) rotated.
A measure that the rows can't answer, because they are too few or do not vary, is None and never NaN.

Facco, d'Errico, Rodriguez & Laio 2017 (TwoNN); Levina & Bickel 2004 with MacKay & Ghahramani's comment 2005;
Horn 1965 (parallel analysis).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ..base import Rows
from ..lazy import sklearn
from .errors import near_one

Float64s = npt.NDArray[np.float64]

NEIGHBOUR_ROWS = 10_000  # at most, the first: the time grows with their square
PARALLEL_ROWS = 5_000  # at most, the first
PARALLEL_CELLS = 4_000_000  # at most, so fewer rows where dim1 > 800
NEIGHBOURS = 20  # K of the maximum-likelihood estimate: the largest that Levina & Bickel use
FEWEST = NEIGHBOURS + 1  # rows; with fewer no measure is taken of them
KEPT = 0.9  # of the ratios in TwoNN's fit, as in the paper
PERMUTATIONS = 20
PERCENTILE = 95
SEED = 0  # of the permutations
ROUNDING = 1e-9  # relative: two eigenvalues or two distances that differ by less are equal


class Intrinsic(NamedTuple):
    """What rows say of their own dimension; None where they can't."""

    twonn: float | None
    mle: float | None
    parallel_analysis: int | None


def measure(x_train: Rows, x_test: Rows) -> Intrinsic:
    """The measures that need rows, of x_train (N, dim1) and x_test (N_test, dim1).

    Neighbours are those among the first 10,000 test rows: held out from every fit, the same whatever the size of
    the validation set, affordable, and what the known answer on MNIST is for. Parallel analysis is about the
    eigenvalues of PCA, so it takes the rows PCA is fitted on.
    """
    distances = neighbour_distances(x_test)
    return Intrinsic(two_nn(distances), maximum_likelihood(distances), parallel_analysis(x_train))


def neighbour_distances(x: Rows) -> Float64s:
    """Euclidean distances of each row to its 20 nearest others, ascending, (N, K), in the units of `near_one`.

    Of x (N, dim1) the first 10,000 rows are taken, and of rows that are equal one: a distance of 0 has no
    logarithm. With fewer than 21 rows left it is empty, (0, K).
    """
    x = np.unique(x[:NEIGHBOUR_ROWS], axis=0)
    if len(x) < FEWEST:
        return np.empty((0, NEIGHBOURS))
    x = near_one(x, x)
    # Not a tree: it would have to look everywhere in hundreds of dimensions.
    nearest = sklearn.neighbors.NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(x)
    distances: Float64s = nearest.kneighbors()[0].astype(np.float64)  # (N, K), of others than the row itself
    return distances[distances[:, 0] > 0]  # rows can differ by less than rounding, too


def two_nn(distances: Float64s) -> float | None:
    """TwoNN, of `neighbour_distances` (N, K): from the two nearest neighbours alone.

    mu = r_2 / r_1 has the distribution F(mu) = 1 - mu^-d where the density hardly changes as far as r_2. d is the
    slope of the line through the origin of -log(1 - F) on log mu, F = i / N for the i-th smallest, without the
    largest tenth: Facco et al. 2017, which leave these out because the noise of the tail is there. A likelihood
    over all ratios would give the tail its full weight; the two agree on MNIST (both 13.56).
    """
    mu = np.sort(distances[:, 1] / distances[:, 0])  # (N,)
    i = np.arange(1, int(KEPT * len(mu)) + 1)
    log_mu = np.log(mu[: len(i)])
    if log_mu.sum() <= ROUNDING * len(i):  # no rows, or the two nearest of each are equally far
        return None
    return float(log_mu @ -np.log1p(-i / len(mu)) / (log_mu @ log_mu))


def maximum_likelihood(distances: Float64s) -> float | None:
    """Levina & Bickel's estimate with K = 20 neighbours, of `neighbour_distances` (N, K).

    At one row 1 / d = mean over j < K of log(T_K / T_j). These inverses are averaged over the rows, not the d
    (MacKay & Ghahramani 2005): that is the likelihood's answer for all rows together, and less biased.
    """
    inverses = np.log(distances[:, -1:] / distances[:, :-1]).mean(axis=1)  # (N,)
    total = float(inverses.sum())
    if total <= ROUNDING * len(inverses):  # no rows, or all neighbours of each are equally far
        return None
    return len(inverses) / total


def participation_ratio(spectrum: Float64s) -> float | None:
    """(sum of lambda)^2 / sum of lambda^2, of a covariance's eigenvalues (D,).

    It is k where k of them are equal and the others 0, and lower the more they differ.
    """
    total = float(spectrum.sum())
    return 1 / float(np.square(spectrum / total).sum()) if total > 0 else None


def parallel_analysis(x: Rows) -> int | None:
    """How many leading eigenvalues of the covariance of x (N, dim1) exceed what chance gives: Horn 1965.

    Chance: each column permuted on its own, which keeps its values and their variance (Horn drew normal numbers
    and took correlations) and breaks every dependence. The i-th eigenvalue has to exceed the 95th percentile of
    the i-th eigenvalues of 20 permutations (seed 0), and each before it has to as well.

    The first N rows are taken, N at most 5,000 and N · dim1 at most 4 million, for the data and for chance alike,
    as chance's eigenvalues spread less with more rows (MNIST: 42 components on 5,000 rows, 46 on 55,000). Strong
    components can hide weak ones, as chance has their variance too.
    """
    x = x[: min(PARALLEL_ROWS, PARALLEL_CELLS // x.shape[1])]
    if len(x) < FEWEST:
        return None
    columns = np.ascontiguousarray(x.T, dtype=np.float64)
    columns -= columns.mean(axis=1, keepdims=True)  # (dim1, N), and a permutation keeps the mean
    if not columns.any():
        return None
    rng = np.random.default_rng(SEED)
    with threadpool_limits(1):  # on busy cores LAPACK's threads wait for each other: seconds instead of 0.04
        chance = [_eigenvalues(rng.permuted(columns, axis=1)) for _ in range(PERMUTATIONS)]
        own = _eigenvalues(columns)
    exceeds = own > np.percentile(chance, PERCENTILE, axis=0) * (1 + ROUNDING)
    return int(np.cumprod(exceeds).sum())


def _eigenvalues(columns: Float64s) -> Float64s:
    """Those of the scatter matrix of centred columns (dim1, N) that may be above 0, descending, (min(N, dim1),)."""
    shorter = columns if len(columns) <= columns.shape[1] else columns.T
    ascending = np.linalg.eigvalsh(shorter @ shorter.T)
    return np.asarray(ascending[::-1], dtype=np.float64)
