"""The plateau of a loss, and its excess, on numbers that are known."""

import numpy as np
import pytest

from elbowroom.analysis.purposes.choice import Held
from elbowroom.analysis.purposes.plateau import Excess, Losses, Reference, beside, mean_of
from elbowroom.analysis.purposes.uncertainty import Spread


def held(mean: float, *seeds: float) -> Held:
    """Four rows that vary alike at each dim3, and trainings about a mean."""
    return Held(mean + np.array([-1.0, 0.0, 0.0, 1.0]), mean + np.array(seeds))


def test_the_excess_is_paired_by_row_and_has_the_variance_of_all_trainings() -> None:
    losses = Losses({2: held(5, -1, 1), 4: held(2, -1, 1), 8: held(1, -1, 1)})
    assert losses.between == (2.0, 3)  # 2 of each dim3, pooled
    one = losses.excess(2, mean_of([8]))
    assert (one.mean, one.spread.error, one.spread.freedom) == pytest.approx((4, np.sqrt(2 / 2 + 2 / 2), 3))
    two = losses.excess(2, mean_of([4, 8]))
    assert (two.mean, two.spread.error) == pytest.approx((3.5, np.sqrt(1 + 1 / 4 + 1 / 4)))
    own = losses.excess(4, mean_of([4, 8]))  # shares its trainings with the reference
    assert (own.mean, own.spread.error) == pytest.approx((0.5, np.sqrt(1 / 4 + 1 / 4)))
    fixed = losses.excess(mean_of([4, 8]), Reference({}, np.array([0.0, 1.0, 1.0, 2.0])))
    assert (fixed.mean, fixed.spread.error) == pytest.approx((0.5, np.sqrt(1 / 4 + 1 / 4)))


def test_the_plateau_is_all_that_is_not_shown_to_be_worse() -> None:
    losses = Losses({2: held(9, -1, 1), 4: held(2, -1, 1), 8: held(1, -1, 1), 16: held(1, -1, 1)})
    assert losses.least == 8
    assert losses.plateau() == [4, 8, 16]
    exact = Losses({2: held(2, 0), 4: held(1, 0), 8: held(1.01, 0)})
    assert exact.plateau() == [4]


@pytest.mark.parametrize(
    ("losses", "seen"),
    [([3, 1, 1, 1], True), ([3, 1, 1], False), ([3, 0.5, 0.4, 0.3], True), ([3, 0.5, 0.3, 0.1], False)],
)
def test_two_larger_dim3_that_are_no_better(losses: list[float], seen: bool) -> None:
    curve = Losses({k: held(loss, 0) for k, loss in enumerate(losses, 1)})
    assert curve.seen_to_end(2, 0.5) is seen


def test_what_stands_beside_a_choice() -> None:
    sure, unsure = Excess(2.0, Spread(0.1, 99)), Excess(2.0, Spread(2.0, 99))
    assert beside(3, None, None, 1, (2, 4)) == "no smaller one was scanned; 95 % interval 2 to 4"
    assert beside(3, 2, sure, 1, (4, None)) == "2 is not enough; 95 % interval 4 to beyond the range"
    assert beside(3, 2, unsure, 1, (4, 4)) == "2 is not shown to be enough; 95 % interval 4"
    assert beside(3, 2, None, 1, None) == "2 is not enough; this network"
