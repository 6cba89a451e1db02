"""The crossing of a curve with a level: exact curves, invariances, and the coverage of its interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elbowroom.analysis import Floats
from elbowroom.analysis.purposes.crossing import Curve, cross

LEVEL = float(np.log(0.1))
ROWS = 0.003  # standard error over the rows, which moves a whole curve


def _valley(k: Floats) -> Floats:
    """A share left that is .1 at dim3 6.91 and at 18.09, and least between them, .0947."""
    return 0.05 + 0.25 / k + 0.002 * k


FALLS: dict[str, Callable[[Floats, float], Floats]] = {
    "flat power": lambda k, at: LEVEL - 0.5 * np.log(k / at),
    "power": lambda k, at: LEVEL - np.log(k / at),
    "exponential": lambda k, at: LEVEL * k / at,
    "plateau": lambda k, at: np.log(0.07 + 0.93 * np.exp(-k / at * np.log(0.93 / 0.03))),
    "rising again": lambda k, at: np.log(_valley(6.91 * k / at)),
    "rank": lambda k, at: np.log(np.maximum(1 - 0.9 * np.minimum(k, 1.3 * at) / at, 0.02)),
}
"""Logarithms of the share left, that cross LEVEL at a dim3."""


def _curve(dim3: Sequence[int], logs: Sequence[float] | Floats, *, seeded: bool = True) -> Curve:
    return Curve(dim3, [np.array([v]) for v in logs], np.zeros(len(dim3)), seeded, 1000)


@pytest.mark.parametrize("last", [9, 20, 50, 100])
def test_one_over_k_crosses_a_tenth_at_ten_whatever_the_range(last: int) -> None:
    dim3 = range(2, last + 1)
    found = cross(_curve(dim3, -np.log(dim3)), LEVEL)
    assert (found.at, found.interval) == ((10, (10, 10)) if last >= 10 else (None, (None, None)))


@pytest.mark.parametrize(("tau", "at"), [(5, 12), (20, 47)])
@pytest.mark.parametrize("start", [1, 2, 5, 10])
def test_an_exponential_crosses_at_the_same_dim3_whatever_the_start(tau: int, at: int, start: int) -> None:
    dim3 = range(start, 61)
    assert cross(_curve(dim3, [-k / tau for k in dim3]), LEVEL).at == at


def test_a_dip_of_one_noisy_mean_is_not_the_crossing() -> None:
    logs = LEVEL + np.array([0.4, 0.3, -0.01, 0.2, 0.1, -0.1, -0.2])
    assert cross(_curve(range(2, 9), logs), LEVEL).at == 7


def test_two_dim3_with_one_training_each_have_no_interval() -> None:
    assert cross(_curve([2, 4], [-1.0, -3.0]), LEVEL).interval is None


@pytest.mark.parametrize(("rows", "interval"), [(1000, (18, 22)), (5, (17, 23))])
def test_rows_alone_give_the_interval_of_a_curve_without_seeds(rows: int, interval: tuple[int, int]) -> None:
    # 1.96 standard errors of .1, 2.78 with five rows, on a slope of -.1 a dimension: about 2 or 3 dim3 on each side.
    logs = -0.1 * np.arange(1, 51.0) + 2.0 + LEVEL - 0.05
    found = cross(Curve(range(1, 51), logs[:, None], np.full(50, 0.1), False, rows), LEVEL)
    assert (found.at, found.interval) == (20, interval)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 30))
def test_appended_dim3_below_the_level_change_no_choice(seed: int, seeds: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    dim3 = np.arange(2, 20)
    values = [v + 0.05 * rng.standard_normal(seeds) for v in FALLS["power"](dim3, 12.5)]
    added = [LEVEL - rng.uniform(0, 1) + np.zeros(seeds) for _ in range(more)]
    longer = range(2, 20 + more)
    first = cross(Curve(range(2, 20), values, np.zeros(18), True, 1000), LEVEL)
    second = cross(Curve(longer, values + added, np.zeros(18 + more), True, 1000), LEVEL)
    assert first.at is None or second.at == first.at


def _coverage(fall: str, at: int, dense: bool, sd: float, seeds: int, draws: int) -> float:
    """The share of draws whose interval has the true crossing."""
    rng = np.random.default_rng([at, dense, int(1000 * sd), seeds, len(fall)])
    end, sparse_end = (6 * at, 6 * at) if fall == "rising again" else (int(1.7 * at) + 2, 2.5 * at + 6)
    grid = np.arange(2, end + 1) if dense else np.unique(np.geomspace(2, sparse_end, 14).round().astype(int))
    hits = 0
    for _ in range(draws):
        true = FALLS[fall](grid.astype(float), at - rng.uniform(0.1, 0.9))
        expected = int(grid[np.argmax(true <= LEVEL)])
        values = true[:, None] + sd * rng.standard_normal((len(grid), seeds)) + ROWS * rng.standard_normal()
        found = cross(Curve(grid.tolist(), list(values), np.full(len(grid), ROWS), True, 1000), LEVEL)
        assert found.interval is not None
        low, high = found.interval
        hits += (np.inf if low is None else low) <= expected <= (np.inf if high is None else high)
    return hits / draws


def test_the_interval_covers_on_a_flat_and_a_steep_curve() -> None:
    found = [_coverage(fall, 20, True, 0.03, seeds, 40) for fall in ("flat power", "exponential") for seeds in (1, 2)]
    assert min(found) >= 0.93


@pytest.mark.soak
@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("fall", FALLS)
def test_the_interval_covers_the_crossing_of_the_method(fall: str, seeds: int) -> None:
    places = [(at, dense, sd) for at in (5, 20, 88, 150) for dense in (True, False) for sd in (0.005, 0.01, 0.03)]
    found = {place: _coverage(fall, *place, seeds, 100) for place in places}
    assert min(found.values()) >= 0.93, found
