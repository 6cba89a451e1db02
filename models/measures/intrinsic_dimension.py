"""Intrinsic dimension of the data by four deterministic measures, independent of any model and of scale and shift.

By distances between neighbours (TwoNN, maximum likelihood) a curved manifold has its own dimension; by the covariance
(participation ratio, parallel analysis) it counts with all directions that it bends through.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ..base import Rows
from ..lazy_sklearn import sklearn
from .errors import Float64s, rescaled

_NEIGHBOUR_ROWS = 10_000  # at most, the first: the time grows with their square
_PARALLEL_ROWS = 5_000  # at most, the first
_PARALLEL_VALUES = 4_000_000  # at most, so fewer rows where dim1 > 800
_NEIGHBOURS = 20  # K of the maximum-likelihood estimate: the largest of Levina & Bickel
_FEWEST = _NEIGHBOURS + 1  # rows
_BLOCKS, _PARTITIONS = 4, 5  # of the jackknife, which keeps one block
_FEWEST_IN_BLOCK = 60  # rows: with 43 the standard error of maximum likelihood is 0.7 times what it should be
_LISTED = 200  # neighbours of a row, of which about 50 are in its block: fewer than 20 in one of 10^8 rows
_KEPT = 0.9  # share of the ratios in TwoNN's fit, as in the paper
_PERMUTATIONS = 20
_PERCENTILE = 95
_SEED = 0  # of the permutations and the partitions
_ROUNDING = 1e-9  # relative difference below which two eigenvalues or distances are equal


class Intrinsic(NamedTuple):
    """Estimates of the intrinsic dimension that need rows; None where there is no estimate.

    rows is the number of rows of TwoNN and maximum likelihood, and the last two are their standard errors.
    """

    twonn: float | None
    mle: float | None
    parallel_analysis: int | None
    rows: int | None
    twonn_se: float | None
    mle_se: float | None


def measure(x_train: Rows, x_test: Rows) -> Intrinsic:
    """Return the estimates for x_train (N, dim1) and x_test (N_test, dim1).

    Neighbours are those among the first 10,000 test rows: held out from every fit, independent of the validation set,
    and affordable. Parallel analysis concerns PCA's eigenvalues, so it uses the rows that PCA is fitted to.
    """
    near = _neighbours(x_test)
    distances = near.distances[:, :_NEIGHBOURS]
    twonn, mle = _two_nn(distances), _maximum_likelihood(distances)
    return Intrinsic(twonn, mle, _parallel_analysis(x_train), len(distances) or None, *_standard_errors(near))


def participation_ratio(spectrum: Float64s) -> float | None:
    """Return (sum of lambda)^2 / sum of lambda^2 of the eigenvalues (D,) of a covariance, or None where all are 0.

    It is k where k eigenvalues are equal and the others 0, and lower the more they differ.
    """
    total = float(spectrum.sum())
    return 1 / float(np.square(spectrum / total).sum()) if total > 0 else None


class _Neighbours(NamedTuple):
    """The nearest others of each row, ascending: their Euclidean distances and numbers, (N, up to 200), and its own."""

    distances: Float64s
    others: npt.NDArray[np.int64]
    own: npt.NDArray[np.int64]  # (N,)


def _neighbours(x: Rows) -> _Neighbours:
    """Neighbours among the first 10,000 rows of x (N, dim1) without duplicates: a distance of 0 has no logarithm.

    Distances are in the units of `rescaled`. Empty where fewer than 21 rows are left.
    """
    x = np.unique(x[:_NEIGHBOUR_ROWS], axis=0)
    if len(x) < _FEWEST:
        return _Neighbours(np.empty((0, _NEIGHBOURS)), np.empty((0, _NEIGHBOURS), int), np.empty(0, int))
    x = rescaled(x, x)
    # Brute force, because in hundreds of dimensions a tree visits every node.
    search = sklearn.neighbors.NearestNeighbors(n_neighbors=min(_LISTED, len(x) - 1), algorithm="brute").fit(x)
    distances, others = search.kneighbors()  # without the row itself
    own = np.flatnonzero(distances[:, 0] > 0)  # rows may differ by less than rounding
    return _Neighbours(distances[own].astype(np.float64), others[own], own)


def _standard_errors(near: _Neighbours) -> tuple[float | None, float | None]:
    """Standard errors of TwoNN and maximum likelihood; None for fewer than 240 rows.

    The jackknife that deletes three of four blocks of random rows (Shao & Wu 1989), with each row's neighbours in its
    own block: SE^2 = 1/3 of the variance of the estimates of single blocks. From 300 rows on it is 0.8 to 1.4 times the
    deviation over samples (normal and uniform rows, MNIST's). A jackknife that deletes a twentieth is 1.2 to 1.9 times
    as large, as the loss of a row changes the neighbours of others, and 0.7 to 1.0 times where lost rows stay
    neighbours.
    """
    if len(near.own) < _FEWEST_IN_BLOCK * _BLOCKS:
        return None, None
    rng, rows = np.random.default_rng(_SEED), int(max(near.own.max(), near.others.max())) + 1
    estimates: list[list[float | None]] = []
    for _ in range(_PARTITIONS):
        block = rng.permutation(rows) % _BLOCKS
        inside = block[near.others] == block[near.own, None]  # (N, 200)
        inside &= inside.cumsum(axis=1) <= _NEIGHBOURS
        full = inside.sum(axis=1) == _NEIGHBOURS
        distances = near.distances[full][inside[full]].reshape(-1, _NEIGHBOURS)
        parts = [distances[block[near.own[full]] == number] for number in range(_BLOCKS)]
        estimates += [[_two_nn(part), _maximum_likelihood(part)] for part in parts]
    errors = np.sqrt(np.var(np.array(estimates, dtype=np.float64), axis=0) / (_BLOCKS - 1))  # None becomes NaN
    twonn, mle = (None if np.isnan(error) else float(error) for error in errors)
    return twonn, mle


def _two_nn(distances: Float64s) -> float | None:
    """TwoNN of distances (N, K), from the two nearest neighbours alone: Facco et al. 2017.

    mu = r_2 / r_1 has the distribution F(mu) = 1 - mu^-d where the density is nearly constant within r_2. d is the
    slope of the line through the origin of -log(1 - F) on log mu, F = i / N for the i-th smallest, without the noisy
    largest tenth.
    """
    mu = np.sort(distances[:, 1] / distances[:, 0])  # (N,)
    i = np.arange(1, int(_KEPT * len(mu)) + 1)
    log_mu = np.log(mu[: len(i)])
    if log_mu.sum() <= _ROUNDING * len(i):  # no rows, or both neighbours of each are equally far
        return None
    return float(log_mu @ -np.log1p(-i / len(mu)) / (log_mu @ log_mu))


def _maximum_likelihood(distances: Float64s) -> float | None:
    """The estimate of Levina & Bickel 2004 with K = 20 neighbours, of distances (N, K).

    At one row 1 / d = mean over j < K of log(T_K / T_j). The inverses are averaged over rows, not the d: this is the
    maximum likelihood for all rows together, and less biased (MacKay & Ghahramani 2005).
    """
    inverses = np.log(distances[:, -1:] / distances[:, :-1]).mean(axis=1)  # (N,)
    total = float(inverses.sum())
    if total <= _ROUNDING * len(inverses):  # no rows, or all neighbours of each are equally far
        return None
    return len(inverses) / total


def _parallel_analysis(x: Rows) -> int | None:
    """The number of leading eigenvalues of the covariance of x (N, dim1) above those of permuted columns: Horn 1965.

    A permutation of each column keeps its values and variance and removes every dependence (Horn drew normal numbers
    and used correlations). The i-th eigenvalue has to exceed the 95th percentile of the i-th eigenvalues of 20
    permutations, and so does each before it. Strong components can hide weak ones, because permutations keep their
    variance. With more rows the eigenvalues of permutations spread less (MNIST: 42 components on 5,000 rows, 46 on
    55,000).
    """
    x = x[: min(_PARALLEL_ROWS, _PARALLEL_VALUES // x.shape[1])]
    if len(x) < _FEWEST:
        return None
    columns = np.ascontiguousarray(x.T, dtype=np.float64)
    columns = columns - columns.mean(axis=1, keepdims=True)  # (dim1, N); permutations keep the mean
    if not columns.any():
        return None
    rng = np.random.default_rng(_SEED)
    with threadpool_limits(1):  # on busy cores LAPACK's threads wait for each other: seconds instead of 0.04
        chance = [_eigenvalues(rng.permuted(columns, axis=1)) for _ in range(_PERMUTATIONS)]
        own = _eigenvalues(columns)
    exceeds = own > np.percentile(chance, _PERCENTILE, axis=0) * (1 + _ROUNDING)
    return int(np.cumprod(exceeds).sum())


def _eigenvalues(columns: Float64s) -> Float64s:
    """The largest min(N, dim1) eigenvalues, descending, of the scatter matrix of centred columns (dim1, N)."""
    shorter = columns if len(columns) <= columns.shape[1] else columns.T
    ascending = np.linalg.eigvalsh(shorter @ shorter.T)
    return np.asarray(ascending[::-1], dtype=np.float64)
