"""Whether two trained models found the same latent space, and whether codes lie as N(0, I) would.

A code is a row of a latent representation (N, dim3). Where two representations are compared, a (N, dim3) and
b (N, dim3'), their rows belong to the same data in the same order; dim3 may differ. The measures differ in what
they look past:

- `disparity` and `linear_cka`: rotation, reflection, shift and one scale. Both weigh directions by their variance.
- `affine_disparity`: every invertible affine map.
- `neighbour_overlap`: all that keeps each row's nearest others, so curved maps as well.

Everything is computed in float64. Codes that don't vary have no shape to compare, and are None there, never NaN.
Arrays that are not 2-D, are empty, not finite, or whose rows differ in number raise ValueError.

Gower 1975 (Procrustes); Kornblith, Norouzi, Lee & Hinton 2019 (CKA); Gretton, Borgwardt, Rasch, Schölkopf &
Smola 2012 (MMD).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist
from scipy.stats import mode
from sklearn.neighbors import NearestNeighbors

Codes = npt.NDArray[np.floating[Any]]
Float64s = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

ROUNDING = 1e-6  # of the greatest magnitude: 8 times float32's, and an SD below it may be rounding alone
FEWEST = 20  # rows; with fewer the MMD is too noisy to say anything
SCALES = (1 / 4, 1, 4)  # s^2 / dim3 of the kernels
PERCENTILE = 95
STREAM = 71  # with the seed: codes that a caller drew by the same seed alone would equal the reference, row by row


class Mmd(NamedTuple):
    """The squared MMD, below 0 at times as it is unbiased; what 95 % of permutations stay below; the p-value."""

    squared: float
    null: float
    p: float


def is_constant(codes: Codes) -> bool:
    """Whether a model collapsed: no column of the codes (N, dim3) varies beyond the rounding of float32."""
    return _is_constant(_checked(codes))


def disparity(a: Codes, b: Codes) -> float | None:
    """Procrustes disparity in [0, 1]: the share of the variance that no rotation, shift and scale of b explains.

    0 after any rotation, reflection, shift and one scale; symmetric. The narrower is padded with zeros. Chance is
    from 1 - dim3 / N to 1. None where either doesn't vary.
    """
    a, b = _pair(a, b)
    if _is_constant(a) or _is_constant(b):
        return None
    return float(np.clip(procrustes(*_padded(a, b))[2], 0, 1))


def affine_onto(b: Codes, a: Codes) -> Float64s:
    """The codes b by the affine map that brings them nearest to a, by least squares: (N, dim3) of a, in its units."""
    b, a = _pair(b, a)
    mean = a.mean(axis=0)
    b = b - b.mean(axis=0)
    fitted: Float64s = b @ np.linalg.lstsq(b, a - mean)[0] + mean
    return fitted


def affine_disparity(a: Codes, b: Codes) -> float | None:
    """The disparity that is left after the best affine map, the mean of b onto a and of a onto b.

    One direction is 1 - R^2 of the regression: a map onto fewer dimensions can be perfect and the way back not.
    Chance is about 1 - dim3 / N, so N has to be far above dim3. None where either doesn't vary.
    """
    a, b = _pair(a, b)
    if _is_constant(a) or _is_constant(b):
        return None
    left = [disparity(a, affine_onto(b, a)), disparity(b, affine_onto(a, b))]
    return float(np.mean([1 if d is None else d for d in left]))  # uncorrelated: the fit is the mean, and constant


def reshaped_onto(b: Codes, a: Codes) -> Float64s:
    """The codes b given a's mean and covariance and turned to fit: an affine map that leaves b as wide as a.

    For drawing: the least-squares map shrinks what it can't explain, down to a line or a point. The narrower is
    padded with zeros. Where either doesn't vary all rows are a's mean.
    """

    def reshape(b: Float64s, a: Float64s) -> Float64s:
        own, white = _whitened(a), _whitened(b)
        rotation, _ = orthogonal_procrustes(white, own)
        onto: Float64s = white @ rotation @ (own.T @ a) / len(a)  # the last factor: a's SDs, by its axes
        return onto

    return _onto(b, a, reshape)


def rigid_onto(b: Codes, a: Codes) -> Float64s:
    """The codes b rotated or reflected, shifted and scaled once onto a, in its units; for drawing both at once.

    (N, the greater dim3): the narrower is padded with zeros, so a's own axes come first. The scale is that of least
    squares, so the less both agree the smaller b is drawn. Where either doesn't vary all rows are a's mean.
    """

    def turn(b: Float64s, a: Float64s) -> Float64s:
        rotation, singular = orthogonal_procrustes(b, a)  # singular: the sum of the singular values of b'a
        onto: Float64s = b @ rotation * (singular / np.square(b).sum())
        return onto

    return _onto(b, a, turn)


def _onto(b: Codes, a: Codes, bring: Callable[[Float64s, Float64s], Float64s]) -> Float64s:
    """b brought onto a, both centred and of equal width, and put back to a's mean; that mean where one is constant."""
    b, a = _pair(b, a)
    constant = _is_constant(a) or _is_constant(b)
    b, a = _padded(b, a)
    mean = a.mean(axis=0)
    return np.tile(mean, (len(b), 1)) if constant else bring(b - b.mean(axis=0), a - mean) + mean


def _whitened(centred: Float64s) -> Float64s:
    """With covariance I in the directions in which centred codes vary, 0 in others; axes as near as can be."""
    u, s, v = np.linalg.svd(centred, full_matrices=False)
    white: Float64s = (u * (s > s[0] * ROUNDING)) @ v * np.sqrt(len(centred))
    return white


def linear_cka(a: Codes, b: Codes) -> float | None:
    """Linear CKA in [0, 1], 1 after any rotation, reflection, shift and one scale: Kornblith et al. 2019.

    Squaring lets directions of much variance decide. Chance is sqrt(dim3 · dim3') / N at most. None where either
    doesn't vary.
    """
    a, b = _pair(a, b)
    if _is_constant(a) or _is_constant(b):
        return None
    a, b = (x - x.mean(axis=0) for x in (a, b))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)  # their fourth powers stay within float64's range
    shared, own_a, own_b = (np.linalg.norm(x) for x in (a.T @ b, a.T @ a, b.T @ b))
    return min(float(shared**2 / (own_a * own_b)), 1.0)  # rounding can exceed 1


def neighbours(codes: Codes, k: int = 10) -> Indices:
    """The k nearest others of each row, nearest first, (N, k): never the row itself, even among its duplicates.

    Equally near ones come in no meaningful order, so neighbours of codes that don't vary say nothing.
    """
    codes = _checked(codes)
    if not 1 <= k < len(codes):
        raise ValueError(f"k has to be from 1 to N - 1, is {k} for codes of shape {codes.shape}")
    # Centred, as far from 0 |a|^2 - 2 a·b + |b|^2 would cancel. Not a tree: they are slow at dim3 20 and on duplicates.
    nearest = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(codes - codes.mean(axis=0))
    found: Indices = nearest.kneighbors(return_distance=False)
    return found


def neighbour_overlap(first: Indices, second: Indices) -> float:
    """The mean share of neighbours in common, of two `neighbours` (N, k); chance is k / (N - 1)."""
    if first.shape != second.shape or first.ndim != 2 or not first.size:
        raise ValueError(f"neighbours have to be two (N, k) of one shape, are {first.shape} and {second.shape}")
    return float((first[:, :, None] == second[:, None, :]).sum() / first.size)


def neighbour_accuracy(codes_neighbours: Indices, labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Whether the most frequent label of each row's neighbours (N, k) is the row's own of labels (N,); (N,).

    Leave-one-out, as no row is its own neighbour. Of labels equally frequent the smallest counts.
    """
    if codes_neighbours.ndim != 2 or not codes_neighbours.size or labels.shape != codes_neighbours.shape[:1]:
        raise ValueError(
            f"neighbours and labels have to be (N, k) and (N,), are {codes_neighbours.shape} and {labels.shape}"
        )
    correct: npt.NDArray[np.bool_] = mode(labels[codes_neighbours], axis=1).mode == labels
    return correct


def mmd_to_normal(codes: Codes, seed: int = 0, rows: int = 2000, permutations: int = 500) -> Mmd:
    """The unbiased squared MMD (Gretton et al. 2012) of codes (N, dim3) to as many draws from N(0, I).

    Of the codes at most `rows` are taken, chosen by seed without replacement; with fewer than 20 it is a ValueError.
    The kernel is the mean of exp(-d^2 / (2 s^2)) over s^2 = dim3 · {1/4, 1, 4}: fixed by the reference, whose d^2 is
    2 dim3 on average, and not by the sample, so values of equal dim3 compare. The null is that of the pooled rows,
    permuted. p is (1 + the permutations with at least the value found) / (1 + permutations).

    Of a VAE what should be N(0, I) is a draw from each row's posterior; the posteriors' means vary less.
    """
    codes = _checked(codes)
    n, dim3 = min(rows, len(codes)), codes.shape[1]
    if n < FEWEST:
        raise ValueError(f"MMD needs {FEWEST} rows at least, has {n} of codes of shape {codes.shape}")
    rng = np.random.default_rng([seed, STREAM])
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
    return Mmd(float(found), float(np.percentile(null, PERCENTILE)), float(p))


def gaussian_kl(codes: Codes) -> float | None:
    """KL(N(m, S) || N(0, I)) in nats, m the mean and S the covariance (over N - 1) of the codes (N, dim3).

    Codes drawn from N(0, I) have about dim3 (dim3 + 3) / (4 N). None where S is singular to rounding, as a direction
    that doesn't vary makes it infinite.
    """
    codes = _checked(codes)
    if _is_constant(codes):  # a single row, too, which has no covariance
        return None
    mean = codes.mean(axis=0)
    variances = np.linalg.eigvalsh((codes - mean).T @ (codes - mean) / (len(codes) - 1))
    if variances[0] <= (ROUNDING * np.abs(codes).max()) ** 2:
        return None
    return float((variances - 1 - np.log(variances)).sum() + mean @ mean) / 2


def _kernel(pooled: Float64s) -> Float64s:
    """The kernel between all rows (M, dim3), with 0 for a row and itself: (M, M)."""
    squares = cdist(pooled, pooled, "sqeuclidean")
    kernel: Float64s = np.zeros_like(squares)
    for scale in SCALES:  # one by one, as a single array is 128 MB
        kernel += np.exp(squares / (-2 * scale * pooled.shape[1]))
    kernel /= len(SCALES)
    np.fill_diagonal(kernel, 0)
    return kernel


def _is_constant(codes: Float64s) -> bool:
    # Against all columns' magnitude: a column near 0 can be the difference of greater ones, and has their rounding.
    return bool(codes.std(axis=0).max() <= ROUNDING * np.abs(codes).max())


def _padded(a: Float64s, b: Float64s) -> tuple[Float64s, Float64s]:
    """Both with the columns of the wider, zeros where the narrower has none."""
    width = max(a.shape[1], b.shape[1])
    a, b = (np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in (a, b))
    return a, b


def _pair(a: Codes, b: Codes) -> tuple[Float64s, Float64s]:
    a, b = _checked(a), _checked(b)
    if len(a) != len(b):
        raise ValueError(f"codes have to have equally many rows, are of shapes {a.shape} and {b.shape}")
    return a, b


def _checked(codes: Codes) -> Float64s:
    if codes.ndim != 2 or not codes.size or not np.isfinite(codes).all():
        raise ValueError(f"codes have to be (N, dim3), not empty and finite, are of shape {codes.shape}")
    return codes.astype(np.float64)
