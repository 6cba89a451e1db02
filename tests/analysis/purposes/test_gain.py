"""The purpose `gain`, on curves whose gains are known."""

from typing import Any

import numpy as np
import pytest

from elbowroom.analysis import Floats
from elbowroom.analysis.purposes.gain import Returns, _gains, _interval, returns

K = np.arange(2.0, 31)


@pytest.mark.parametrize("k", [K, np.array([1.0, 2, 4, 8, 9, 15, 16, 32])], ids=["each dim3", "with gaps"])
def test_the_gain_of_an_exponential_is_exact_and_of_one_dimension(k: Floats) -> None:
    curve, wanted = np.exp(-k / 7), np.full(len(k) - 1, 1 - np.exp(-1 / 7))
    assert _gains(k, np.stack([curve, 3 * curve])) == pytest.approx(np.stack([wanted, wanted]), rel=1e-12)


def test_no_error_has_no_gain() -> None:
    assert _gains(K, np.zeros((1, len(K)))).tolist() == [[0.0] * (len(K) - 1)]
    assert np.isfinite(_gains(K, np.maximum(9 - K, 0)[None])).all()


def test_a_longer_range_changes_no_gain_that_is_three_points_from_its_end() -> None:
    curve = K**-0.7 * (1 + 0.02 * np.random.default_rng(0).standard_normal(len(K)))
    assert _gains(K[:20], curve[None, :20])[0, :16] == pytest.approx(_gains(K, curve[None])[0, :16])


def found(k: Floats, curve: Floats, draws: Any = None) -> Returns:
    return returns(0.05, k, curve, np.stack([curve, curve] if draws is None else draws))


def test_a_gain_of_exactly_the_share_is_not_less_than_it() -> None:
    k = np.arange(2.0, 21)  # at 19 one more dimension lowers 1/k by exactly 5 %
    assert found(k, 1 / k).dim3 is None
    assert found(k, 1 / k).continues


@pytest.mark.parametrize("last", [20, 29])
def test_no_answer_where_gains_rise_again(last: int) -> None:
    """Thirty equal factors: the gains are 3 % at first, and 5 % and more from the tenth on."""
    k = np.arange(1.0, last + 1)
    answer = found(k, 1 - k / 31)
    assert (answer.dim3, answer.interval, answer.continues) == (None, (None, None), True)
    assert f"gains rise again later, to {100 / (32 - last):.2g} % after dim3 {last - 1}" in answer.sentence


@pytest.mark.parametrize("last", [32, 40, 60])
def test_the_answer_is_after_the_last_rise(last: int) -> None:
    k = np.arange(1.0, last + 1)
    assert found(k, 1 - np.minimum(k, 30) / 31).dim3 == 30


@pytest.mark.parametrize("tau", [20, 25, 100])
@pytest.mark.parametrize("first", [1, 2, 10])
def test_no_answer_where_no_gain_of_the_range_is_more_than_the_share(first: int, tau: float) -> None:
    k = np.arange(first, 61.0)
    answer = found(k, np.exp(-k / tau))
    assert (answer.dim3, answer.interval, answer.continues) == (None, (None, None), False)
    assert answer.sentence.startswith(
        "no dimension of the range is shown to lower the error by more than 5 %, beyond noise"
    )


def test_a_rise_within_the_noise_is_none() -> None:
    """The error 1/k falls by another 20 % from 30 on, which half of the draws don't have."""
    k = np.arange(2.0, 41)
    steps = np.where(k < 30, 1, 0.8) / k
    assert found(k, steps).dim3 == 30
    assert found(k, steps, [steps, 1 / k]).dim3 == 20


@pytest.mark.parametrize("last", [30, 40])
def test_a_single_later_gain_counts_that_six_points_would_hide(last: int) -> None:
    """The error 1/k falls by another 6 % at 30: the gain of that step is 9.1 %, and 4.4 % over six points."""
    k = np.arange(2.0, last + 1)
    curve = np.where(k < 30, 1, 0.94) / k
    if last == 40:
        assert found(k, curve).dim3 == 30
    else:
        assert "gains rise again later, to 9.1 % after dim3 29" in found(k, curve).sentence


def test_interval() -> None:
    answers = np.arange(1.0, 102)
    assert _interval(answers, 50) == (3, 99) or _interval(answers, 50) == (4, 98)
    assert _interval(answers, 200)[1] == 200  # the answer itself is always inside
    assert _interval(np.full(10, np.inf), np.inf) == (None, None)
    assert _interval(np.append(np.full(50, 7.0), np.full(50, np.inf)), 7) == (7, None)
    assert _interval(np.append(np.full(50, 7.0), np.full(50, -np.inf)), 7) == (None, 7)


def test_the_sentence() -> None:
    words = "the smallest dim3 after which no dimension of the range lowers the error by more than 5 %"
    exact = found(K, 1 / K)
    assert (exact.dim3, exact.interval, exact.sentence) == (20, (20, 20), words)
    for steepest, interval in ((1.1, "18 to 22"), (1.8, "before the range to beyond the range")):
        draws = [1 / K, K**-0.9, K**-steepest]
        assert found(K, 1 / K, draws).sentence == f"{words} (95 % interval {interval})"
    none = found(K, np.exp(-K / 2))
    assert none.sentence == f"{words}: not reached by dim3 30, the end of the range: extend the range"


def test_the_interval_of_noisy_curves_has_the_true_answer() -> None:
    k = np.arange(2.0, 61)
    seeds = (1 + 0.01 * np.random.default_rng(0).standard_normal((200, 5, len(k)))) / k
    low, high = returns(0.05, k, seeds[0].mean(axis=0), seeds[1:].mean(axis=1)).interval
    assert low is not None
    assert high is not None
    assert low <= 20 <= high
