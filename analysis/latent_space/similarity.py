"""Whether two trained models found the same latent space, and whether codes are distributed as N(0, I).

Codes a (N, dim3) and b (N, dim3') are finite, of the same rows in the same order. Measures of constant codes are None,
never NaN.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist
from scipy.stats import mode
from sklearn.neighbors import NearestNeighbors

_Codes = npt.NDArray[np.floating[Any]]
_Float64s = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.intp]

FEWEST = 20
"""Rows that the MMD needs."""
_ROUNDING = 1e-6  # of the largest magnitude, 8 times float32's: an SD below it may be rounding error
_KERNEL_SCALES = (1 / 4, 1, 4)  # s^2 / dim3
_PERCENTILE = 95
_STREAM = 71  # beside the seed, so that codes drawn with the same seed do not equal the reference


class _Mmd(NamedTuple):
    """The squared MMD, which may be negative as it is unbiased, its 95th percentile by permutation, the p-value."""

    squared: float
    null: float
    p: float


def is_constant(codes: _Codes) -> bool:
    """Return whether no column of the codes (N, dim3) varies beyond the rounding of float32: the model collapsed."""
    codes = codes.astype(np.float64)
    # Against all columns' magnitude: a column near 0 can be the difference of greater ones, and has their rounding.
    return bool(codes.std(axis=0).max() <= _ROUNDING * np.abs(codes).max())


def disparity(a: _Codes, b: _Codes) -> float | None:
    """Return the Procrustes disparity in [0, 1]: the share of variance that no rotation, shift and scale explains.

    Symmetric; directions of large variance dominate. The narrower is padded with zeros. By chance it is from
    1 - dim3 / N to 1. None where either is constant. Procrustes analysis, Gower 1975.
    """
    if is_constant(a) or is_constant(b):
        return None
    return float(np.clip(procrustes(*_padded(a, b))[2], 0, 1))


def _affine_onto(b: _Codes, a: _Codes) -> _Float64s:
    """The codes b under the affine map that is nearest to a by least squares: (N, dim3) of a, in its units."""
    b, a = b.astype(np.float64), a.astype(np.float64)
    mean = a.mean(axis=0)
    b = b - b.mean(axis=0)
    fitted: _Float64s = b @ np.linalg.lstsq(b, a - mean)[0] + mean
    return fitted


def affine_disparity(a: _Codes, b: _Codes) -> float | None:
    """Return the disparity after the best affine map, the mean of b onto a and a onto b.

    One direction is 1 - R^2 of the regression: a map onto fewer dimensions may be perfect and its inverse not. By
    chance it is about 1 - dim3 / N, so N has to be far above dim3. None where either is constant.
    """
    if is_constant(a) or is_constant(b):
        return None
    left = [disparity(a, _affine_onto(b, a)), disparity(b, _affine_onto(a, b))]
    return float(np.mean([1 if d is None else d for d in left]))  # None: uncorrelated, and the fit is the mean


def reshaped_onto(b: _Codes, a: _Codes) -> _Float64s:
    """Return the codes b with the mean and covariance of a, rotated to fit a.

    For drawing: the least-squares map shrinks what it can't explain, down to a line or a point. The narrower is
    padded with zeros. Where either is constant all rows are the mean of a.
    """
    b, a, mean = _centred(b, a)
    own, white = _whitened(a), _whitened(b)
    rotation, _ = orthogonal_procrustes(white, own)
    onto: _Float64s = white @ rotation @ (own.T @ a) / len(a) + mean  # own.T @ a: a's SDs, by its axes
    return onto


def rigid_onto(b: _Codes, a: _Codes) -> _Float64s:
    """Return the codes b rotated or reflected, shifted and scaled by one factor to fit a, for drawing both.

    (N, the greater dim3), in the units of a: the narrower is padded with zeros, so the axes of a come first. The scale
    is that of least squares, so codes that agree less are drawn smaller. Where either is constant all rows are the
    mean of a.
    """
    b, a, mean = _centred(b, a)
    rotation, singular = orthogonal_procrustes(b, a)  # singular: the sum of the singular values of b'a
    onto: _Float64s = b @ rotation * (singular / (np.square(b).sum() or 1.0)) + mean
    return onto


def _centred(b: _Codes, a: _Codes) -> tuple[_Float64s, _Float64s, _Float64s]:
    """Return both centred and of equal width, zeros where either is constant, and the mean of a."""
    varied = 0.0 if is_constant(a) or is_constant(b) else 1.0
    b, a = _padded(b, a)
    mean = a.mean(axis=0)
    return (b - b.mean(axis=0)) * varied, (a - mean) * varied, mean


def _whitened(centred: _Float64s) -> _Float64s:
    """Centred codes with covariance I in the directions in which they vary, 0 in others, by ZCA whitening."""
    u, s, v = np.linalg.svd(centred, full_matrices=False)
    white: _Float64s = (u * (s > s[0] * _ROUNDING)) @ v * np.sqrt(len(centred))
    return white


def linear_cka(a: _Codes, b: _Codes) -> float | None:
    """Return the linear CKA in [0, 1], 1 after any rotation, reflection, shift and one scale.

    Directions of large variance dominate. By chance it is at most sqrt(dim3 · dim3') / N. None where either is
    constant. Kornblith, Norouzi, Lee & Hinton 2019.
    """
    if is_constant(a) or is_constant(b):
        return None
    a, b = (x - x.mean(axis=0) for x in (a.astype(np.float64), b.astype(np.float64)))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)  # their fourth powers stay within float64's range
    shared, own_a, own_b = (np.linalg.norm(x) for x in (a.T @ b, a.T @ a, b.T @ b))
    return min(float(shared**2 / (own_a * own_b)), 1.0)  # rounding can exceed 1


def neighbours(codes: _Codes, k: int = 10) -> _Indices:
    """Return the k nearest other rows of each row, nearest first, (N, k), never the row itself.

    Ties are broken arbitrarily, so the neighbours of constant codes mean nothing.
    """
    codes = codes.astype(np.float64)
    # Centred, as |a|^2 - 2 a·b + |b|^2 would cancel far from 0. Trees are slow at dim3 20 and on duplicates.
    nearest = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(codes - codes.mean(axis=0))
    found: _Indices = nearest.kneighbors(return_distance=False)
    return found


def neighbour_overlap(first: _Indices, second: _Indices) -> float:
    """Return the mean share of common neighbours of two `neighbours` (N, k); k / (N - 1) by chance."""
    return float((first[:, :, None] == second[:, None, :]).sum() / first.size)


def neighbour_accuracy(codes_neighbours: _Indices, labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Return whether the most frequent label of each row's neighbours (N, k) is its own of labels (N,): (N,).

    Leave-one-out, as no row is its own neighbour. Of equally frequent labels the smallest wins.
    """
    correct: npt.NDArray[np.bool_] = mode(labels[codes_neighbours], axis=1).mode == labels
    return correct


def mmd_to_normal(codes: _Codes, seed: int = 0, rows: int = 2000, permutations: int = 500) -> _Mmd:
    """Return the unbiased squared MMD of codes to as many draws from N(0, I), with a permutation test.

    The kernel is the mean of exp(-d^2 / (2 s^2)) over s^2 = dim3 · {1/4, 1, 4}. It depends on the reference, whose
    d^2 is 2 dim3 on average, and not on the sample, so values of equal dim3 compare. Of a VAE, draws from the
    posterior of each row should be N(0, I); the means vary less. Gretton, Borgwardt, Rasch, Schölkopf & Smola 2012.

    Parameters
    ----------
    codes
        (N, dim3), of at least 20 rows.
    seed
        Draws the reference, the rows and the permutations.
    rows
        Codes that are used at most, chosen without replacement.
    permutations
        Of the pooled rows, for the null; p is (1 + those with at least the value found) / (1 + permutations).
    """
    codes = codes.astype(np.float64)
    n, dim3 = min(rows, len(codes)), codes.shape[1]
    rng = np.random.default_rng([seed, _STREAM])
    reference = rng.standard_normal((n, dim3))  # first, so that it is the same for all codes of equal dim3
    chosen = codes[rng.choice(len(codes), n, replace=False)]
    own = np.repeat([1.0, -1.0], n)  # the sample of each pooled row
    signs = np.stack([own, *rng.permuted(np.tile(own, (permutations, 1)), axis=1)])  # (1 + permutations, 2 n)
    kernel = _kernel(np.concatenate([chosen, reference]))
    # Pairs within a sample have the sign product 1, pairs across -1, so within + cross and within - cross are:
    total, difference = kernel.sum(), (signs @ kernel * signs).sum(axis=1)
    within, cross = (total + difference) / 2, (total - difference) / 2  # each pair counted in both orders
    squared = within / (n * (n - 1)) - cross / n**2
    found, null = squared[0], squared[1:]
    p = (1 + np.count_nonzero(null >= found)) / (1 + permutations)
    return _Mmd(float(found), float(np.percentile(null, _PERCENTILE)), float(p))


def gaussian_kl(codes: _Codes) -> float | None:
    """Return KL(N(m, S) || N(0, I)) in nats, of the mean m and covariance S (over N - 1) of the codes (N, dim3).

    Codes drawn from N(0, I) have about dim3 (dim3 + 3) / (4 N). None where S is singular to rounding, as the KL of a
    constant direction is infinite.
    """
    codes = codes.astype(np.float64)
    if is_constant(codes):  # also a single row, which has no covariance
        return None
    mean = codes.mean(axis=0)
    variances = np.linalg.eigvalsh((codes - mean).T @ (codes - mean) / (len(codes) - 1))
    if variances[0] <= (_ROUNDING * np.abs(codes).max()) ** 2:
        return None
    return float((variances - 1 - np.log(variances)).sum() + mean @ mean) / 2


def _kernel(pooled: _Float64s) -> _Float64s:
    """The kernel between all rows (M, dim3), with 0 for a row and itself: (M, M)."""
    squares = cdist(pooled, pooled, "sqeuclidean")
    kernel: _Float64s = np.zeros_like(squares)
    for scale in _KERNEL_SCALES:  # one by one, as a single array is 128 MB
        kernel += np.exp(squares / (-2 * scale * pooled.shape[1]))
    kernel /= len(_KERNEL_SCALES)
    np.fill_diagonal(kernel, 0)
    return kernel


def _padded(a: _Codes, b: _Codes) -> tuple[_Float64s, _Float64s]:
    """Both, the narrower padded with columns of zeros."""
    width = max(a.shape[1], b.shape[1])
    a, b = (np.pad(x.astype(np.float64), ((0, 0), (0, width - x.shape[1]))) for x in (a, b))
    return a, b
