"""How often the verdict is right: the targets of `docs/elbow.md`, measured again with three seeds.

The curves and their noise come from fixed seeds, so the counts are the same on every run. They are fewer than in the
benchmark's 20 draws of each curve, which take `python -m benchmarks.elbow` some 35 minutes of processor time.
"""

import os

import pytest

from benchmarks.elbow import RANGES, Count, Setting, run

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]  # two minutes of processor time

NOISES = (0.0, 0.01, 0.03)
REPEATS = {"2..10": 8, "2..20": 5, "2..50": 3, "1..100": 3}  # a long curve takes longer to judge

Table = dict[tuple[str, float], dict[str, Count]]


@pytest.fixture(scope="module")
def table() -> Table:
    settings = [Setting("judge", name, noise, 3, REPEATS[name]) for name in RANGES for noise in NOISES]
    return {(s.range, s.noise): counts for s, counts in run(settings, workers=min(os.cpu_count() or 1, 8))}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", RANGES)
def test_at_most_1_of_100_smooth_curves_is_called_a_corner(table: Table, name: str, noise: float) -> None:
    smooth = table[name, noise]["smooth"]
    assert smooth.curves == 50 * (REPEATS[name] if noise else 1)
    assert smooth.found <= 0.01 * smooth.curves


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", RANGES)
def test_few_curves_that_fall_to_zero_are_called_a_corner(table: Table, name: str, noise: float) -> None:
    fast = table[name, noise]["fast"]
    assert fast.curves == 44 * (REPEATS[name] if noise else 1)
    assert fast.found <= 0.03 * fast.curves


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("ratio", [2, 3, 5])
@pytest.mark.parametrize("name", RANGES)
def test_a_corner_of_ratio_2_and_more_is_found_at_1_percent(table: Table, name: str, ratio: int, noise: float) -> None:
    corner = table[name, noise][f"corner {ratio}"]
    assert corner.found >= 0.98 * corner.curves


@pytest.mark.parametrize("ratio", [3, 5])
@pytest.mark.parametrize("name", [name for name, (low, high) in RANGES.items() if high - low + 1 >= 15])
def test_a_corner_of_ratio_3_and_more_is_found_at_3_percent(table: Table, name: str, ratio: int) -> None:
    corner = table[name, 0.03][f"corner {ratio}"]
    assert corner.found >= 0.95 * corner.curves


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", RANGES)
def test_it_stands_where_it_is_and_its_interval_has_it(table: Table, name: str, noise: float) -> None:
    found = table[name, noise]["corner 3"] + table[name, noise]["corner 5"]
    if noise < 0.03:
        found += table[name, noise]["corner 2"]
    assert found.near >= 0.98 * found.found
    assert found.covered >= 0.90 * found.found


def test_seeds_of_different_levels_change_nothing() -> None:
    """Each seed's errors by a factor of its own, of 10 %."""
    settings = [Setting("judge", name, 0.01, 3, 5, levels=0.1) for name in ("2..10", "2..20")]
    for _, counts in run(settings, workers=2):
        assert counts["smooth"].found <= 0.01 * counts["smooth"].curves
        corner = counts["corner 3"] + counts["corner 5"]
        assert corner.found >= 0.95 * corner.curves
