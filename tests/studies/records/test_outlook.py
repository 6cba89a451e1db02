"""Whether more trials help, on sequences whose answer is known."""

from math import inf

import pytest

from elbowroom.studies.records.outlook import outlook

EARLIER = [0.9, *[0.5] * 9]


def at_one_dim3(values: list[float]) -> list[tuple[float, float]]:
    return [(value, 0.0) for value in values]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([*EARLIER, *[0.6] * 20], "are unlikely to help: none of the last 20 of 30 trials"),
        ([*EARLIER, *[inf] * 20], "are unlikely to help: none of the last 20 of 30 trials"),
        ([*EARLIER, *[0.496] * 20], "are unlikely to help: none of the last 20 of 30 trials"),
        ([*EARLIER, 0.4, *[0.6] * 19], "may help (--trials 60): 1 of the last 20 of 30 trials"),
        # of a hundred the later half counts, and not the last twenty
        ([*EARLIER, *[0.6] * 50, 0.4, *[0.6] * 39], "may help (--trials 200): 1 of the last 50 of 100 trials"),
        ([0.0] * 30, "are unlikely to help: none of the last 20 of 30 trials"),
    ],
)
def test_later_trials_tell_whether_more_help(values: list[float], said: str) -> None:
    more = outlook(at_one_dim3(values), knobs=4)
    assert more == f"More trials {said} improved on the earlier ones by more than 1 %"


@pytest.mark.parametrize(("trials", "knobs", "needed"), [(29, 4, 30), (34, 5, 35), (19, 1, 20), (0, 4, 30)])
def test_few_trials_tell_nothing(trials: int, knobs: int, needed: int) -> None:
    said = f"Run at least {needed} trials (--trials {needed}): {trials} are too few to tell whether more would help"
    assert outlook([(1.0, 2.0)] * trials, knobs) == said
    assert "too few" not in outlook([(1.0, 2.0)] * needed, knobs)


@pytest.mark.parametrize("zero", [-100.0, 0.0, 100.0])
def test_nats_are_compared_without_their_zero(zero: float) -> None:
    values = [zero + v for v in [*[5.0] * 10, *[4.6] * 19]]
    more = outlook(at_one_dim3([*values, zero + 4.6]), 4, nats=True)
    assert more.startswith("More trials are unlikely to help: none of the last 20 of 30")
    assert more.endswith("by more than 0.5 nats")
    assert outlook(at_one_dim3([*values, zero + 4.4]), 4, nats=True).startswith("More trials may help")


def test_a_trial_is_compared_with_those_of_its_dim3_or_less() -> None:
    earlier = [(0.5, 2.0), (0.3, 4.0)] * 5
    behind = [*earlier, *[(0.31, 5.0), (0.499, 2.0)] * 10]
    assert "are unlikely to help: none of the last 20" in outlook(behind, 4)
    assert "may help (--trials 60): 2 of the last 20" in outlook([*behind[:-2], (0.2, 5.0), (0.4, 3.0)], 4)
    assert "may help (--trials 60): 1 of the last 20" in outlook([*behind[:-1], (9.0, 1.0)], 4)  # a new end
