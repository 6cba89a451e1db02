"""`judge` on any curve: an answer that keeps its promises, or a ValueError in one line."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from elbowroom.analysis.elbow import Verdict, judge
from elbowroom.analysis.elbow.criteria import CRITERIA
from elbowroom.analysis.elbow.verdict import LEAST_POINTS, calibrated
from tests.conftest import examples

pytestmark = pytest.mark.property

Floats = npt.NDArray[np.float64]
Curve = tuple[Floats, Floats]

ERRORS = st.one_of(
    st.floats(0, 1),
    st.floats(1e-300, 1e300),
    st.sampled_from([0.0, 1e-300, 1e-12, 0.5, 1.0, 1e300, 5e-324]),
)
FORMS = st.sampled_from(["any", "any", "falling", "rising", "constant", "smooth", "corner", "plateau"])


@st.composite
def curves(draw: st.DrawFn, errors: st.SearchStrategy[float] = ERRORS, most: int = 10**4) -> Curve:
    """dim3 (D,) and errors (S, D), wild or like a real curve."""
    gaps = draw(st.lists(st.integers(1, 3) | st.integers(1, most), min_size=LEAST_POINTS, max_size=24))
    k = np.cumsum(gaps).astype(float)
    seeds, form = draw(st.integers(1, 3)), draw(FORMS)
    if form == "any":
        return k, draw(arrays.arrays(float, (seeds, len(k)), elements=errors))
    x = (k - k[0]) / (k[-1] - k[0])
    at = draw(st.floats(0.1, 0.9))
    mean = {
        "falling": 1 - 0.9 * x,
        "rising": 0.1 + x,
        "constant": np.full_like(x, draw(errors)),
        "smooth": 1 / (1 + 5 * x),
        "corner": 1 - 0.8 * np.minimum(x, at) / at - 0.1 * np.maximum(x - at, 0),
        "plateau": np.maximum(1 - x / at, 0.1),
    }[form]
    noise = draw(st.sampled_from([0, 0, 1e-3, 0.03])) * np.random.default_rng(seeds).standard_normal((seeds, len(k)))
    return k, np.minimum(np.abs(mean * (1 + noise)), 1e300)


def promises(k: Floats, verdict: Verdict) -> None:
    """Check the invariants of a verdict, whatever the curve."""
    assert verdict.kind in ("clear", "none", "straight", "exhausted")
    assert (verdict.kind == "clear") == (type(verdict.dim3) is int) == (verdict.interval is not None)
    for answer in (verdict.dim3, verdict.choice, *verdict.criteria.values()):
        assert answer is None or (type(answer) is int and k[0] <= answer <= k[-1])
    if verdict.dim3 is not None and verdict.interval is not None:
        assert k[0] <= verdict.interval[0] <= verdict.dim3 <= verdict.interval[1] <= k[-1]
    if verdict.choice is not None:
        assert verdict.choice in k
    assert set(verdict.criteria) == set(CRITERIA)
    assert not math.isnan(verdict.delta_aicc)
    assert verdict.elasticity is None or math.isfinite(verdict.elasticity)
    for text in (verdict.rule, verdict.reason):
        assert text
        assert text.isprintable()


def seen_as_one_line(error: ValueError, *starts: str) -> None:
    """Its message begins as ours do, and not as numpy's."""
    assert str(error).startswith(starts)
    assert str(error).isprintable()


@given(curves() | curves(most=10**7), st.sampled_from([0.05, 0.5, 1e-9, 0.999]))
@example((np.array([1.0, 2, 3, 4]), np.zeros((1, 4))), 0.05)
@example((np.array([1.0, 2, 3, 4, 10**5, 10**6, 10**7, 10**8, 10**9]), np.linspace(1, 0, 9)[None]), 0.05)
@example((np.arange(1.0, 301), np.arange(1.0, 301)[None] ** -300), 0.05)
@example((np.arange(1.0, 11), np.full((2, 10), 1e300)), 0.05)
@example((np.arange(1.0, 11), np.eye(10) * 5e-324), 0.05)
@example((np.arange(1.0, 11), np.linspace(5e-323, 5e-324, 10)[None]), 0.05)
def test_any_curve_is_judged_and_the_verdict_keeps_its_promises(curve: Curve, gain: float) -> None:
    k, error = curve
    promises(k, judge(k, error, gain=gain))
    calibrated(k, error)


@examples(0.5)
@given(curves(st.floats(0.01, 1)), st.integers(-200, 200), st.randoms(use_true_random=False))
def test_repetition_scale_and_the_order_of_the_seeds_change_nothing(curve: Curve, power: int, rng: Any) -> None:
    k, error = curve
    verdict = judge(k, error)
    assert judge(k.astype(int), error.copy(), rng=np.random.default_rng(0)) == verdict
    assert judge(k, error * 2.0**power) == verdict  # a power of 2 rounds nothing
    order = list(range(len(error)))
    rng.shuffle(order)
    other = judge(k, error[order])  # the last digits of the numbers behind it may differ
    assert (other.kind, other.dim3, other.choice) == (verdict.kind, verdict.dim3, verdict.choice)


@pytest.mark.parametrize(
    ("dim3", "error", "why"),
    [
        ([1, 2, 3], [1, 1, 1], "at least 4 values"),
        ([], [], "at least 4 values of dim3 are needed, got 0"),
        *[(range(1, 6), [1, 2, bad, 3, 4], "errors must be finite") for bad in (np.nan, np.inf, -np.inf, -1e-300)],
        (range(1, 6), [1, 2, 1.1e300, 3, 4], "at most 1e\\+300"),
        *[([1, 2, bad, 4], [4, 3, 2, 1], "ascending whole numbers") for bad in (np.nan, np.inf, 2, 2.5, 1, 0)],
        ([1, 2, 3, 10**9 + 1], [4, 3, 2, 1], "each once, and at most 1,000,000,000"),
        (range(1, 6), np.zeros((0, 5)), "must have shape"),
        (range(1, 6), np.ones((2, 4)), r"dim3 must have shape \(D,\) and error \(S, D\), got \(5,\) and \(2, 4\)"),
        (range(1, 6), np.ones((2, 5, 4)), "must have shape"),
        (range(1, 6), 3.0, "must have shape"),
        (np.ones((2, 5)), np.ones(5), "must have shape"),
        (list("abcd"), [4, 3, 2, 1], "numbers"),
        ([1, 2, 3, 4], [[1, 2, 3, 4], [1, 2]], "numbers"),
        ([1, 2, 3, 4], [None, {}, 1, 2], "numbers"),
        ([1, 2, 3, 4], [1j, 2, 3, 4], "numbers"),
    ],
)
def test_what_is_no_curve_is_refused_in_one_line(dim3: Any, error: Any, why: str) -> None:
    for refused in (judge, calibrated):
        with pytest.raises(ValueError, match=why) as caught:
            refused(dim3, error)
        assert str(caught.value).isprintable()


@given(
    arrays.arrays(float, st.integers(0, 9)),
    arrays.arrays(float, arrays.array_shapes(min_dims=0, max_dims=3, max_side=9)),
)
def test_any_array_is_judged_or_refused_in_one_line(dim3: Floats, error: Floats) -> None:
    try:
        verdict = judge(dim3, error)
    except ValueError as refused:
        seen_as_one_line(refused, "dim3 must ", "at least ", "errors must ")
        return
    promises(dim3, verdict)


@pytest.mark.parametrize("gain", [0, 1, -0.05, 5, math.nan, math.inf])
def test_a_gain_that_is_no_share_is_refused(gain: float) -> None:
    with pytest.raises(ValueError, match=f"gain must be a share between 0 and 1, got {gain}"):
        judge([1, 2, 3, 4], [4, 3, 2, 1], gain=gain)
