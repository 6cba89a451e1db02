"""Intervals of the method: their width on numbers worked out by hand, and how often they cover the truth."""

import numpy as np
import pytest

from elbowroom.analysis.findings.intervals import ends, log_ratio, logs, margins
from elbowroom.analysis.purposes.choice import Held

ROWS = np.array([0.5, 1.5] * 50)  # their mean is 1, and its standard error 0.0503
SHARED, OWN = 0.6, 0.3  # SDs of the logarithm of a row's error, common to both models and of each


def held(*seeds: float, rows: np.ndarray = ROWS) -> Held:
    return Held(rows * np.mean(seeds), np.array(seeds))


def test_one_seed_has_the_margin_of_the_rows() -> None:
    assert margins({2: logs(held(3.0)), 3: logs(held(1.0))}) == pytest.approx({2: 0.0997, 3: 0.0997}, abs=1e-4)
    low, high = ends(2.0, np.log(2))
    assert (low, high) == pytest.approx((1, 4))


def test_equal_rows_leave_the_seeds() -> None:
    """Relative SD 0.1 · √2 at each of three dim3: t with 3 degrees of freedom, 3.182, times 0.1."""
    pairs = {k: log_ratio(held(0.9 * k, 1.1 * k), held(2.0)) for k in (1, 2, 4)}
    assert margins(pairs) == pytest.approx(dict.fromkeys(pairs, 0.3182), abs=1e-4)


def test_one_dim3_and_unequal_seeds_stand_apart() -> None:
    """t with one degree of freedom is 12.71: 1.271 from the seeds, 0.0997 from the rows."""
    alone = margins({2: logs(held(0.9, 1.1))})[2]
    assert alone == pytest.approx(np.hypot(1.2706, 0.0997), abs=1e-3)
    several = margins({1: logs(held(0.9, 1.1)), 2: logs(held(0.99999, 1.00001)), 3: logs(held(0.99999, 1.00001))})
    assert several == pytest.approx({1: alone, 2: 0.0997, 3: 0.0997}, abs=1e-3)


def test_an_interval_of_a_factor_of_100_is_none() -> None:
    """Two seeds that err 1 and 3: t at one degree of freedom times a half is 6.35, a factor of 570."""
    margin = margins({2: logs(held(1.0, 3.0))})[2]
    assert margin == pytest.approx(6.35, abs=0.01)
    assert ends(2.0, margin) == (None, None)
    assert ends(2.0, np.log(8)) == pytest.approx((0.25, 16))


def test_two_trained_models_are_paired_by_seed() -> None:
    """The ratios of the seeds are equal, so they tell nothing; a seed that one of them lacks is not paired."""
    found = log_ratio(held(0.9, 1.1), held(1.8, 2.2))
    assert found.rows == pytest.approx(np.zeros(100), abs=1e-12)
    assert found.seeds == pytest.approx([0, 0], abs=1e-12)
    assert len(log_ratio(held(0.9, 1.1, 1.0), held(1.8, 2.2)).seeds) == 2


def test_errors_of_0_have_no_width() -> None:
    assert margins({2: logs(held(0.0, 0.0))}) == {2: 0}
    assert ends(0.0, 0.0) == (0, 0)


def coverage(rows: int, seeds: int, sd: float, points: int, repeats: int) -> tuple[float, float]:
    """The share of intervals that cover the ratio of the expected errors, 1, and their mean width.

    Errors of rows are log-normal with a part that both models share; each (dim3, seed) has a factor. The width is
    relative to that of an interval with the true standard error.
    """
    rng, covered, widths = np.random.default_rng(0), [], []
    for _ in range(repeats):
        shared = SHARED * rng.standard_normal(rows)
        pca = np.exp(shared + OWN * rng.standard_normal(rows))
        base, found, ratios = Held(pca, pca.mean(keepdims=True)), {}, {}
        for k in range(points):
            errors = np.exp(shared + OWN * rng.standard_normal(rows))
            mine = held(*(errors.mean() * (1 + sd * rng.standard_normal(seeds))), rows=errors / errors.mean())
            found[k], ratios[k] = log_ratio(mine, base), float(np.log(mine.rows.mean() / pca.mean()))
        width = margins(found)
        covered += [abs(ratios[k]) <= width[k] for k in found]
        widths += width.values()
    of_rows = 2 * (np.exp(SHARED**2 + OWN**2) - np.exp(SHARED**2)) / rows
    return float(np.mean(covered)), float(np.mean(widths) / (1.96 * np.sqrt(of_rows + sd**2 / seeds)))


@pytest.mark.parametrize(("seeds", "points", "widest"), [(2, 5, 1.2), (3, 5, 1.1), (3, 1, 1.5)])
def test_the_ratio_of_the_method_is_covered(seeds: int, points: int, widest: float) -> None:
    covered, width = coverage(200, seeds, 0.03, points, 500 // points)
    assert covered >= 0.93
    assert width <= widest


@pytest.mark.soak
@pytest.mark.parametrize("rows", [200, 9000])
@pytest.mark.parametrize("points", [1, 5, 15])
@pytest.mark.parametrize("sd", [0.005, 0.01, 0.03])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_coverage_and_width(seeds: int, sd: float, points: int, rows: int) -> None:
    """One dim3 with two seeds takes t with one degree of freedom, 6.5 times the normal quantile."""
    covered, width = coverage(rows, seeds, sd, points, 2000 // points)
    print(f"rows {rows}, seeds {seeds}, SD {sd}, {points} dim3: covered {covered:.3f}, width {width:.2f}")
    assert covered >= 0.93
    assert width <= {1: 5.5 if seeds == 2 else 2.1, 5: 1.3, 15: 1.15}[points]
