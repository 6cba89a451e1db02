"""Whether more trials help, on sequences whose answer is known."""

from math import inf

import pytest

from elbowroom.studies.records.outlook import front_outlook, outlook

EARLIER = [0.9, *[0.5] * 9]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([*EARLIER, *[0.6] * 20], "unlikely to help: the last 20 of 30 trials found no better value than 0.5"),
        ([*EARLIER, *[inf] * 20], "unlikely to help: the last 20 of 30 trials found no better value than 0.5"),
        (
            [*EARLIER, *[0.496] * 20],
            "unlikely to help: the last 20 of 30 trials lowered the best value by 0.8%, from 0.5 to 0.496",
        ),
        (
            [*EARLIER, 0.4, *[0.6] * 19],
            "may help (--trials 60): the last 20 of 30 trials lowered the best value by 20.0%, from 0.5 to 0.4",
        ),
        # of a hundred the later half counts, and not the last twenty
        (
            [*EARLIER, *[0.6] * 50, 0.4, *[0.6] * 39],
            "may help (--trials 200): the last 50 of 100 trials lowered the best value by 20.0%, from 0.5 to 0.4",
        ),
        ([0.0] * 30, "unlikely to help: the last 20 of 30 trials found no better value than 0"),
    ],
)
def test_later_trials_tell_whether_more_help(values: list[float], said: str) -> None:
    assert outlook(values, knobs=4).removeprefix("More trials ").removeprefix("are ") == said


@pytest.mark.parametrize(("trials", "knobs", "needed"), [(29, 4, 30), (34, 5, 35), (19, 1, 20), (0, 4, 30)])
def test_few_trials_tell_nothing(trials: int, knobs: int, needed: int) -> None:
    said = f"Run at least {needed} trials (--trials {needed}): {trials} are too few to tell whether more would help"
    assert outlook([1.0] * trials, knobs) == front_outlook([(1.0, 2.0)] * trials, knobs) == said
    assert "too few" not in outlook([1.0] * needed, knobs)


def test_nats_are_compared_without_their_zero() -> None:
    for zero in (-100.0, 0.0, 100.0):
        values = [zero + v for v in [*[5.0] * 10, *[4.6] * 19]]
        more = outlook([*values, zero + 4.6], 4, nats=True)
        assert more.startswith("More trials are unlikely to help: the last 20 of 30")
        assert "lowered the best value by 0.4 nats" in more
        assert outlook([*values, zero + 4.4], 4, nats=True).startswith("More trials may help (--trials 60)")


def test_a_pareto_front_moves_where_an_error_is_less_than_all_of_its_dim3_or_less() -> None:
    earlier = [(0.5, 2.0), (0.3, 4.0)] * 5
    behind = [*earlier, *[(0.31, 5.0), (0.499, 2.0)] * 10]
    assert front_outlook(behind, 4) == (
        "More trials are unlikely to help: none of the last 20 of 30 trials lowered the error of the Pareto front "
        "by more than 1%"
    )
    assert front_outlook([*behind[:-2], (0.2, 5.0), (0.4, 3.0)], 4) == (
        "More trials may help (--trials 60): 2 of the last 20 of 30 trials lowered the error of the Pareto front "
        "by more than 1%"
    )
    assert front_outlook([*behind[:-1], (9.0, 1.0)], 4).startswith(
        "More trials may help (--trials 60): 1 of"
    )  # a new end
