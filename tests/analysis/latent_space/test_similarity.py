"""Comparisons of latent spaces, on codes whose answer is known.

Bounds on random codes are five standard deviations or more from what theory says, or the quantile as far out.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, chi2

from elbowroom.analysis.latent_space.similarity import (
    _STREAM,
    affine_disparity,
    disparity,
    gaussian_kl,
    is_constant,
    linear_cka,
    mmd_to_normal,
    neighbour_accuracy,
    neighbour_overlap,
    neighbours,
    reshaped_onto,
    rigid_onto,
)

FIVE_SIGMA = 2.9e-7  # the normal distribution's tail
CONSTANT = np.tile([0.1, -3.0, 0.7], (50, 1))
COMPARE = [disparity, affine_disparity, linear_cka]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(n: int, dim3: int, seed: int = 0) -> np.ndarray:
    return rng(seed).standard_normal((n, dim3))


def rotation(dim3: int) -> np.ndarray:
    return np.linalg.qr(normal(dim3, dim3, seed=1))[0]


def rigid(a: np.ndarray) -> np.ndarray:
    return 7 * a @ rotation(a.shape[1]) - 30


def stretched(a: np.ndarray) -> np.ndarray:
    """By an invertible affine map that is no rotation: each direction five times as much as the one before."""
    return a @ rotation(a.shape[1]) * 5.0 ** np.arange(a.shape[1]) + 3


def exactly_standard(n: int, dim3: int) -> np.ndarray:
    """Codes with mean 0 and covariance I, over N - 1, to rounding."""
    x = normal(n, dim3)
    return np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt(n - 1)


@pytest.mark.parametrize("change", [lambda a: a, rigid, lambda a: a * np.resize([1, -1], a.shape[1])])
@pytest.mark.parametrize("dim3", [1, 2, 20])
def test_rotation_reflection_shift_and_scale_leave_codes_the_same(
    dim3: int, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    a = normal(300, dim3)
    b = change(a)
    assert disparity(a, b) == pytest.approx(0, abs=1e-6)
    assert affine_disparity(a, b) == pytest.approx(0, abs=1e-6)
    assert linear_cka(a, b) == pytest.approx(1, abs=1e-6)
    assert neighbour_overlap(neighbours(a), neighbours(b)) == 1
    np.testing.assert_allclose(rigid_onto(b, a), a, atol=1e-9)


def test_of_an_affine_map_only_the_affine_disparity_is_0() -> None:
    a = exactly_standard(300, 3)
    b = stretched(a)  # the variances 1, 25 and 625
    assert affine_disparity(a, b) == pytest.approx(0, abs=1e-6)
    assert disparity(a, b) == pytest.approx(1 - (1 + 5 + 25) ** 2 / (3 * (1 + 25 + 625)))
    assert linear_cka(a, b) == pytest.approx((1 + 25 + 625) / np.sqrt(3 * (1 + 25**2 + 625**2)))


def test_comparisons_are_symmetric_and_the_rigid_map_leaves_the_disparity() -> None:
    a, b = normal(100, 4), normal(100, 2, seed=1)
    b[:, 0] += a[:, 0]
    for measure in COMPARE:
        assert measure(a, b) == pytest.approx(measure(b, a))
    left = np.square(rigid_onto(b, a) - a).sum() / np.square(a - a.mean(axis=0)).sum()
    assert disparity(a, b) == pytest.approx(left)


def test_a_narrower_representation_is_padded() -> None:
    a = exactly_standard(200, 4)
    b = rigid(a[:, :2])
    assert disparity(a, b) == pytest.approx(1 - 2 / 4)  # two of four directions, all of one variance
    assert affine_disparity(a, b) == pytest.approx((1 - 2 / 4 + 0) / 2)
    assert linear_cka(a, b) == pytest.approx(2 / np.sqrt(4 * 2))
    assert rigid_onto(b, a).shape == rigid_onto(a, b).shape == (200, 4)
    np.testing.assert_allclose(rigid_onto(b, a), a * [1, 1, 0, 0], atol=1e-9)
    center = b.mean(axis=0)  # of a's four axes two have nothing in b to lie on: half the size is nearest
    np.testing.assert_allclose(rigid_onto(a, b)[:, :2], center + (b - center) / 2, atol=1e-9)


def test_independent_codes_compare_by_chance() -> None:
    n, dim3, k = 2000, 2, 10
    a, b = normal(n, dim3), normal(n, dim3, seed=1)
    most = chi2.isf(FIVE_SIGMA, dim3**2) / n  # |a'b|^2 / n^2 of unit variances is chi2 / n; 1.3 for these not being 1
    assert linear_cka(a, b) < 1.3 * most / dim3
    assert 1 - 1.3 * most / dim3 < disparity(a, b) <= 1
    assert 1 - 1.3 * most < affine_disparity(a, b) <= 1
    chance = k / (n - 1)
    deviation = np.sqrt(2 * chance * (1 - chance) / (k * n))  # 2: two rows are neighbours of each other or neither
    assert neighbour_overlap(neighbours(a, k), neighbours(b, k)) == pytest.approx(chance, abs=5 * deviation)
    first, second = np.array([[1, 2], [0, 2], [0, 1]]), np.array([[3, 2], [3, 4], [1, 0]])
    assert neighbour_overlap(first, second) == pytest.approx((1 + 0 + 2) / 6)  # in any order


@pytest.mark.parametrize("n", [1, 50])
@pytest.mark.parametrize("magnitude", [0, 1, 1e6])
def test_constant_codes_compare_to_nothing(n: int, magnitude: float) -> None:
    constant, a = magnitude * CONSTANT[:n], normal(n, 3)
    assert is_constant(constant)
    assert gaussian_kl(constant) is None
    for measure in COMPARE:
        assert measure(a, constant) is measure(constant, a) is measure(constant, constant) is None
    np.testing.assert_allclose(rigid_onto(constant, a), np.tile(a.mean(axis=0), (n, 1)))
    np.testing.assert_allclose(rigid_onto(a, constant), constant, rtol=1e-12)


def test_rounding_is_constant_and_little_variance_is_not() -> None:
    noise = rng().uniform(-1, 1, (500, 3))
    rounded = (CONSTANT[0] * (1 + np.finfo(np.float32).eps * noise)).astype(np.float32)
    assert len(np.unique(rounded, axis=0)) > 1
    assert is_constant(rounded)
    assert is_constant(np.hstack([rounded, (rounded[:, :1] - rounded[0, 0])]))  # a difference, rounding alone
    assert not is_constant(CONSTANT[0] * (1 + 1e-4 * noise))
    assert not is_constant(1e-8 * noise)
    assert not is_constant(np.hstack([rounded, noise[:, :1]]))


@pytest.mark.parametrize("dim3", [1, 3])
def test_neighbours_are_the_nearest_others(dim3: int) -> None:
    codes = normal(60, dim3)
    distances = np.linalg.norm(codes[:, None] - codes, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert neighbours(codes, 5).tolist() == np.argsort(distances, axis=1)[:, :5].tolist()
    assert neighbours(codes + 1e6, 5).tolist() == neighbours(codes, 5).tolist()
    assert not (neighbours(CONSTANT, 5) == np.arange(len(CONSTANT))[:, None]).any()  # never the row itself


def test_separated_clusters_are_told_by_their_neighbours_and_shuffled_labels_are_not() -> None:
    n, classes = 2000, 4
    labels = np.arange(n) % classes
    found = neighbours(normal(n, 2) + 100 * labels[:, None])
    assert neighbour_accuracy(found, labels).all()
    tied = np.array([[1, 2], [0, 2], [0, 1]])  # of labels that are equally frequent the smallest counts
    assert neighbour_accuracy(tied, np.array([3, 3, 4])).tolist() == [True, True, False]
    shuffled = neighbour_accuracy(found, rng(1).permutation(labels))
    assert shuffled.shape == (n,)
    # 2: neighbours are mutual. Each row is one less of its own label, which takes less than 0.01 at this n.
    assert shuffled.mean() == pytest.approx(
        1 / classes, abs=5 * np.sqrt(2 * 1 / classes * (1 - 1 / classes) / n) + 0.01
    )


@pytest.mark.parametrize("dim3", [1, 3])
def test_mmd_is_what_its_formula_says(dim3: int) -> None:
    n, permutations = 20, 7
    codes = normal(30, dim3, seed=9) / 2
    random = np.random.default_rng([3, _STREAM])  # drawn from in the order that mmd_to_normal does
    reference = random.standard_normal((n, dim3))
    chosen = codes[random.choice(30, n, replace=False)]
    own = np.repeat([1.0, -1.0], n)
    permuted = random.permuted(np.tile(own, (permutations, 1)), axis=1)
    pooled = np.concatenate([chosen, reference])

    def squared(signs: np.ndarray) -> float:
        """Gretton et al. 2012, equation 3."""
        total = 0.0
        for i in range(2 * n):
            for j in range(2 * n):
                d2 = np.square(pooled[i] - pooled[j]).sum()
                k = np.mean([np.exp(-d2 / (2 * s2)) for s2 in (dim3 / 4, dim3, 4 * dim3)])
                if signs[i] != signs[j]:
                    total -= k / n**2
                elif i != j:
                    total += k / (n * (n - 1))
        return total

    found = mmd_to_normal(codes, seed=3, rows=n, permutations=permutations)
    null = [squared(s) for s in permuted]
    assert found.squared == pytest.approx(squared(own))
    assert found.null == pytest.approx(np.percentile(null, 95))
    assert found.p == pytest.approx((1 + sum(v >= found.squared for v in null)) / (1 + permutations))


@pytest.mark.parametrize("dim3", [1, 5])
def test_codes_that_are_standard_normal_are_rejected_as_often_as_by_chance(dim3: int) -> None:
    seeds = 20
    found = [mmd_to_normal(normal(150, dim3, seed=100 + s), seed=s, permutations=200) for s in range(seeds)]
    most = binom.isf(FIVE_SIGMA, seeds, 0.05)
    assert sum(f.p <= 0.05 for f in found) <= most
    assert sum(f.squared > f.null for f in found) <= most
    assert np.mean([f.p for f in found]) == pytest.approx(0.5, abs=5 / np.sqrt(12 * seeds))
    assert min(f.squared for f in found) < 0  # unbiased


@pytest.mark.parametrize("dim3", [1, 5])
@pytest.mark.parametrize("change", [lambda x: x + 1, lambda x: x / 3, lambda x: x * 0 + 1, lambda x: x * 1e8])
def test_codes_that_are_not_standard_normal_are_rejected(dim3: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
    found = mmd_to_normal(change(normal(300, dim3, seed=7)), permutations=200)
    assert np.isfinite(found).all()
    assert found.squared > 5 * found.null > 0
    assert found.p == pytest.approx(1 / 201)


def test_mmd_depends_on_the_seed_alone_whose_draws_are_not_the_reference() -> None:
    codes = normal(100, 2, seed=7)
    assert mmd_to_normal(codes, seed=1, rows=50) == mmd_to_normal(codes, seed=1, rows=50)
    assert mmd_to_normal(codes, seed=1, rows=50) != mmd_to_normal(codes, seed=2, rows=50)
    assert mmd_to_normal(normal(300, 2, seed=0), seed=0, permutations=200).p < 1


@pytest.mark.parametrize("dim3", [1, 4])
def test_kl_in_closed_form(dim3: int) -> None:
    codes = exactly_standard(300, dim3)
    shift = np.arange(1, dim3 + 1) / 2
    assert gaussian_kl(codes) == pytest.approx(0, abs=1e-9)
    assert gaussian_kl(codes + shift) == pytest.approx(shift @ shift / 2)
    for s in (0.1, 3.0):
        assert gaussian_kl(s * codes @ rotation(dim3)) == pytest.approx(dim3 * (s**2 - 1 - np.log(s**2)) / 2)


def test_kl_of_a_direction_that_does_not_vary_is_none() -> None:
    codes = exactly_standard(300, 2).astype(np.float32)
    dependent = np.hstack([codes, codes @ np.array([[0.3], [0.7]], np.float32)])  # to float32's rounding
    assert gaussian_kl(dependent) is None
    assert gaussian_kl(codes[:2]) is None  # as many rows as columns
    nearly = gaussian_kl(codes * np.array([1, 1e-3], np.float32))  # little variance, but far from none
    assert nearly == pytest.approx((1e-6 - 1 - np.log(1e-6)) / 2, rel=1e-5)


def test_codes_reshaped_onto_others_keep_their_width() -> None:
    rng = np.random.default_rng(3)
    a = rng.standard_normal((400, 2)) @ np.array([[3, 1], [0, 0.5]]) + [7, -2]
    np.testing.assert_allclose(reshaped_onto(a @ np.array([[1, 2], [-1, 0.5]]) - 4, a), a, atol=1e-9)
    unrelated = reshaped_onto(rng.standard_normal((400, 2)), a)
    np.testing.assert_allclose(np.cov(unrelated.T), np.cov(a.T), rtol=1e-9)
    np.testing.assert_allclose(unrelated.mean(axis=0), a.mean(axis=0), rtol=1e-9)
    assert reshaped_onto(np.ones((400, 2)), a) == pytest.approx(np.tile(a.mean(axis=0), (400, 1)))
    line = reshaped_onto(a[:, :1], a)  # one dimension can't fill two
    assert np.linalg.matrix_rank(line - line.mean(axis=0), tol=1e-6) == 1
