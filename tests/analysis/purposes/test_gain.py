"""The rules for the choice, on curves whose gains are known."""

import numpy as np
import pytest

from elbowroom.analysis import Floats
from elbowroom.analysis.purposes.gain import Rule, _gains, _interval, choose

K = np.arange(2.0, 31)


@pytest.mark.parametrize("k", [K, np.array([1.0, 2, 4, 8, 9, 15, 16, 32])], ids=["each dim3", "with gaps"])
def test_the_gain_of_an_exponential_is_exact_and_of_one_dimension(k: Floats) -> None:
    curve, wanted = np.exp(-k / 7), np.full(len(k) - 1, 1 - np.exp(-1 / 7))
    assert _gains(k, np.stack([curve, 3 * curve])) == pytest.approx(np.stack([wanted, wanted]), rel=1e-12)


def test_no_error_has_no_gain() -> None:
    assert _gains(K, np.zeros((1, len(K)))).tolist() == [[0.0] * (len(K) - 1)]
    assert np.isfinite(_gains(K, np.maximum(9 - K, 0)[None])).all()


def test_a_longer_range_changes_no_gain() -> None:
    curve = K**-0.7 * (1 + 0.02 * np.random.default_rng(0).standard_normal(len(K)))
    assert _gains(K[:20], curve[None, :20])[0, :16] == pytest.approx(_gains(K, curve[None])[0, :16])


def test_parse() -> None:
    assert Rule.parse("gain:0.05") == ("gain", 0.05)
    assert Rule.parse("unexplained:1e-2") == ("unexplained", 0.01)
    with pytest.raises(ValueError, match=r"got 'gain=0\.05'"):
        Rule.parse("gain=0.05")


def test_first() -> None:
    k = np.arange(1.0, 6)
    means = np.array([[0.5, 0.2, 0.1, 0.1, 0.0], [1, 1, 1, 1, 1]])
    assert Rule("unexplained", 0.1).first(k, means).tolist()[0] == 3
    assert np.isnan(Rule("unexplained", 0.1).first(k, means)[1])
    assert Rule("gain", 0.05).first(k, means)[1] == 1


def test_a_gain_of_exactly_the_share_is_not_less_than_it() -> None:
    k = np.arange(2.0, 21)  # at 19 one more dimension lowers 1/k by exactly 5 %
    assert np.isnan(Rule("gain", 0.05).first(k, 1 / k[None])[0])
    assert Rule("unexplained", 0.1).first(k, 0.3 / k[None])[0] == 3  # 0.3 / 3 is above 0.1 by rounding, or is not


def test_interval() -> None:
    answers = np.arange(1.0, 102)
    assert _interval(answers, 50) == (3, 99) or _interval(answers, 50) == (4, 98)
    assert _interval(answers, 200)[1] == 200  # the answer itself is always inside
    assert _interval(np.full(10, np.nan), np.nan) == (None, None)
    assert _interval(np.append(np.full(50, 7.0), np.full(50, np.nan)), 7) == (7, None)


def test_the_sentence() -> None:
    rule = Rule("gain", 0.05)
    curve = 1 / K
    exact = choose(rule, K, curve, np.stack([curve, curve]))
    assert (exact.dim3, exact.interval, exact.sentence) == (20, (20, 20), rule.words)
    wide = choose(rule, K, curve, np.stack([np.exp(-K / 100), np.exp(-K / 2)]))
    assert wide.interval == (2, None)
    assert wide.sentence.endswith("less than 5 % (95 % interval from 2 to beyond the range)")
    both = choose(rule, K, curve, np.stack([np.exp(-K / 100), curve]))
    assert both.sentence.endswith("less than 5 % (95 % interval 2 to 20)")
    none = choose(rule, K, np.exp(-K / 2), np.exp(-K / 2)[None])
    assert (none.dim3, none.interval) == (None, (None, None))
    assert none.sentence.endswith("less than 5 %: not reached by dim3 30, the end of the range: extend the range")


def test_the_interval_of_noisy_curves_has_the_true_answer() -> None:
    k = np.arange(2.0, 61)
    seeds = (1 + 0.01 * np.random.default_rng(0).standard_normal((200, 5, len(k)))) / k
    choice = choose(Rule("gain", 0.05), k, seeds[0].mean(axis=0), seeds[1:].mean(axis=1))
    low, high = choice.interval
    assert low is not None
    assert high is not None
    assert low <= 20 <= high
