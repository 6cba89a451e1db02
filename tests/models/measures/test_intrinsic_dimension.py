"""Measures of the data's own dimension, on data whose dimension is known."""

import numpy as np
import pytest

from elbowroom.models.measures import intrinsic_dimension
from elbowroom.models.measures.intrinsic_dimension import (
    _FEWEST,
    _NEIGHBOURS,
    _maximum_likelihood,
    _neighbours,
    _parallel_analysis,
    _two_nn,
    measure,
    participation_ratio,
)

DRAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "uniform": lambda rng, shape: rng.uniform(size=shape),
}


def distances_of(x: np.ndarray) -> np.ndarray:
    return _neighbours(x).distances[:, :_NEIGHBOURS]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def embedded(d: int, kind: str = "normal", rows: int = 3000) -> np.ndarray:
    """Rows of dimension d, laid into R^20 by a linear map of equal lengths and right angles."""
    basis = np.linalg.qr(rng(1).standard_normal((20, d)))[0]  # (20, d)
    return (DRAWS[kind](rng(), (rows, d)) @ basis.T).astype(np.float32)


def spectrum(x: np.ndarray) -> np.ndarray:
    return np.linalg.eigvalsh(np.cov(x, rowvar=False))


# Both look a little low where the data end within the distance of a neighbour: the more so the more neighbours
# (20 rather than 2), the more dimensions, and at the sharp edge of a cube.
@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize(("d", "twonn", "mle"), [(1, 0.05, 0.05), (2, 0.1, 0.1), (5, 0.3, 0.6)])
def test_a_linear_embedding_has_the_dimension_of_what_is_embedded(d: int, kind: str, twonn: float, mle: float) -> None:
    distances = distances_of(embedded(d, kind))
    assert _two_nn(distances) == pytest.approx(d, abs=twonn)
    assert _maximum_likelihood(distances) == pytest.approx(d, abs=mle)


def test_neighbours_see_through_a_curve_and_the_covariance_does_not() -> None:
    angle = rng().uniform(0, 2 * np.pi, 3000)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    distances = distances_of(circle)
    assert _two_nn(distances) == pytest.approx(1, abs=0.05)
    assert _maximum_likelihood(distances) == pytest.approx(1, abs=0.05)
    assert participation_ratio(spectrum(circle)) == pytest.approx(2, abs=0.01)


def test_participation_ratio_counts_equal_eigenvalues() -> None:
    assert participation_ratio(np.ones(4)) == 4
    assert participation_ratio(np.array([3.0, 0.0, 0.0])) == 1
    assert participation_ratio(np.array([2.0, 1.0])) == pytest.approx(9 / 5)
    assert participation_ratio(spectrum(rng().standard_normal((20_000, 10)))) == pytest.approx(10, abs=0.05)


def low_rank(rank: int, rows: int = 500, columns: int = 20) -> np.ndarray:
    signal = rng().standard_normal((rows, rank)) @ rng(1).standard_normal((rank, columns))
    return (signal + 0.1 * rng(2).standard_normal((rows, columns))).astype(np.float32)


@pytest.mark.parametrize(("rank", "rows", "columns"), [(1, 500, 20), (3, 500, 20), (7, 500, 60), (3, 40, 60)])
def test_parallel_analysis_finds_the_rank_under_the_noise(rank: int, rows: int, columns: int) -> None:
    assert _parallel_analysis(low_rank(rank, rows, columns)) == rank


@pytest.mark.parametrize("seed", range(3))
def test_parallel_analysis_finds_nothing_in_noise(seed: int) -> None:
    noise = rng(seed).standard_normal((1000, 20)) * np.linspace(1, 5, 20)  # unequal variances are no dependence
    assert _parallel_analysis(noise.astype(np.float32)) <= 1  # the largest of chance's exceeds 95 % of them in 5 %


def test_one_column_that_varies_has_nothing_to_depend_on() -> None:
    x = (rng().standard_normal((1000, 1)) + 100).astype(np.float64)
    x.setflags(write=False)  # as the rows of a study are
    assert _parallel_analysis(x) == _parallel_analysis(np.hstack([x, np.ones_like(x)])) == 0


TURN = np.linalg.qr(rng(5).standard_normal((20, 20)))[0]


@pytest.mark.parametrize("move", [0.001 * np.eye(20), 1000 * np.eye(20), TURN], ids=["smaller", "larger", "turned"])
def test_scale_place_and_rotation_do_not_matter(move: np.ndarray) -> None:
    x = low_rank(3)
    kept = x.copy()
    moved = ((x + 10) @ move).astype(np.float32)
    before, after = measure(x, x), measure(moved, moved)
    assert after[:2] == pytest.approx(before[:2], rel=1e-3)  # float32 has seven digits
    assert after.parallel_analysis == before.parallel_analysis == 3  # in general its null depends on the axes
    assert participation_ratio(spectrum(moved)) == pytest.approx(participation_ratio(spectrum(x)), rel=1e-3)
    assert measure(x, x) == before
    assert np.array_equal(x, kept)


def test_of_equal_rows_one_counts_and_so_many_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    x = embedded(2)
    assert np.array_equal(distances_of(np.repeat(x, 3, axis=0)), distances_of(x))
    monkeypatch.setattr(intrinsic_dimension, "_NEIGHBOUR_ROWS", 1000)
    assert np.array_equal(distances_of(x), distances_of(x[:1000]))


def test_distances_are_those_to_the_nearest_others() -> None:
    x = embedded(5, rows=100) + 1000
    ordered = np.unique(x, axis=0).astype(np.float64)
    wanted = np.sort(np.linalg.norm(ordered[:, None] - ordered, axis=2), axis=1)[:, 1 : _NEIGHBOURS + 1]
    assert np.allclose(distances_of(x), wanted, atol=1e-3)


@pytest.mark.parametrize(
    "x", [low_rank(3)[: _FEWEST - 1], low_rank(3)[:1], low_rank(3)[:0], np.full((500, 20), 0.1, dtype=np.float32)]
)
def test_what_can_not_be_measured_is_none(x: np.ndarray) -> None:
    assert measure(x, x) == (None,) * 6


def test_rows_that_are_all_equally_far_have_no_dimension_by_neighbours() -> None:
    distances = distances_of(np.eye(50, dtype=np.float32))
    assert (_two_nn(distances), _maximum_likelihood(distances)) == (None, None)
    assert participation_ratio(np.zeros(5)) is None


def test_a_few_copies_of_few_rows_have_none_either() -> None:
    x = np.repeat(low_rank(3)[:5], 100, axis=0)
    assert measure(x, x)[:2] == (None, None)


@pytest.mark.parametrize(
    ("rows", "dim"),
    [(300, 5), pytest.param(1000, 2, marks=pytest.mark.soak), pytest.param(1000, 20, marks=pytest.mark.soak)],
)
def test_the_standard_error_is_the_deviation_over_samples(rows: int, dim: int) -> None:
    found = [measure(x, x) for x in (rng(seed).standard_normal((rows, dim)).astype("f4") for seed in range(40))]
    for estimate, error in (("twonn", "twonn_se"), ("mle", "mle_se")):
        deviation = np.std([getattr(each, estimate) for each in found], ddof=1)  # to 11 %
        assert 0.75 < np.mean([getattr(each, error) for each in found]) / deviation < 1.45
    assert {each.rows for each in found} == {rows}


def test_repeated_rows_are_not_counted_and_few_rows_have_no_standard_error() -> None:
    few = measure(low_rank(3)[:200], np.repeat(low_rank(3)[:200], 2, axis=0))
    assert (few.rows, few.twonn_se, few.mle_se) == (200, None, None)
    equal = measure(np.eye(250, dtype=np.float32), np.eye(250, dtype=np.float32))
    assert equal == (None, None, equal.parallel_analysis, 250, None, None)
