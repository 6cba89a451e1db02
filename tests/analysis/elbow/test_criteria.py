"""Each criterion against scipy, a closed form, or a number worked out by hand; and the fits behind the verdict."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import curve_fit

from elbowroom.analysis.elbow.criteria import (
    CRITERIA,
    Curve,
    elasticity,
    kneedle,
    l_method,
    one_standard_error,
    second_difference,
    two_segment,
)
from elbowroom.analysis.elbow.shapes import (
    _VARIANCE_FLOOR,
    Replicates,
    aicc,
    at_fitted_decay,
    broken_line,
    corner_fits,
    curved_corner_fits,
    fit,
    flexible_fits,
    smooth_fits,
    smoothly_joined_fits,
)

Floats = npt.NDArray[np.float64]

K = np.arange(2.0, 21)
ONE = np.ones_like(K)


def curve(*error: Floats, k: Floats = K) -> Curve:
    return Curve(k, np.stack(error))


@pytest.mark.parametrize(("first", "last"), [(1, 100), (2, 18), (2, 50), (4, 100)])
def test_kneedle_of_1_over_k_is_the_geometric_mean_of_the_ends(first: int, last: int) -> None:
    k = np.arange(first, last + 1.0)
    assert kneedle(Curve(k, 1 / k[None])) == round(math.sqrt(first * last))


def test_elasticity_of_1_over_k_is_a_half() -> None:
    k = np.arange(2.0, 201)
    assert elasticity(Curve(k, 1 / k[None])) == pytest.approx(0.5, abs=0.05)
    assert elasticity(Curve(k[:8], 1 / k[None, :8])) is None


def test_kneedle_of_a_flat_curve() -> None:
    assert kneedle(curve(ONE)) is None
    assert kneedle(curve(1 - K / 40)) is None


def test_l_method_of_two_separate_lines() -> None:
    assert l_method(curve(np.where(K <= 8, 30 - 3 * K, 2 - 0.1 * K))) == 8
    assert l_method(Curve(np.arange(1.0, 4), np.ones((1, 3)))) is None


@pytest.mark.parametrize("seed", range(8))
def test_two_segment_is_scipys_broken_line(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(6, 16)
    y = 2 - 0.1 * K + 0.07 * np.maximum(K - corner, 0) + 0.005 * rng.standard_normal(len(K))

    def broken(k: Floats, a: float, b: float, c: float, at: float) -> Floats:
        return np.asarray(a + b * k + c * np.maximum(k - at, 0))

    (_, _, _, at), _ = curve_fit(broken, K, y, p0=(2, -0.1, 0.1, corner))
    found = two_segment(curve(y))
    assert found is not None
    assert abs(found - at) <= 0.5 + 0.05  # scipy's may lie between whole numbers


def test_two_segment_without_a_bend_upwards() -> None:
    assert two_segment(curve(-((K - 11) ** 2))) is None
    assert two_segment(Curve(np.arange(1.0, 5), np.ones((1, 4)))) is None


def test_second_difference_by_hand() -> None:
    k = np.array([1.0, 2, 4, 5, 6])
    error = np.array([10.0, 7, 3, 2.5, 2])  # slopes -3, -2, -0.5, -0.5: changes 1, 1.5, 0
    assert second_difference(curve(error, k=k)) == 4
    assert second_difference(curve(1 - K / 40)) in (None, *range(3, 20))  # rounding alone
    assert second_difference(curve(-(K**2))) is None


def test_one_standard_error_by_hand() -> None:
    k = np.arange(1.0, 6)
    low = np.array([5.0, 3, 1.9, 1, 1])
    high = np.array([7.0, 5, 2.1, 3, 2.9])
    # means 6, 4, 2, 2, 1.95; at dim3 5 the standard deviation is 1.9 / √2 and the standard error 0.95: bound 2.9
    assert one_standard_error(curve(low, high, k=k)) == 3
    assert one_standard_error(curve(low, k=k)) is None
    assert one_standard_error(curve(low, low, k=k)) == 4  # no spread: the first least


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("seed", range(3))
def test_criteria_answer_within_the_range_and_for_any_scale(name: str, seed: int) -> None:
    error = (1 + 0.02 * np.random.default_rng(seed).standard_normal((3, len(K)))) / K
    found = CRITERIA[name](Curve(K, error))
    assert found is None or found in K
    for power in (-30, 30):
        assert CRITERIA[name](Curve(K, error * 2.0**power)) == found


def test_aicc_by_hand() -> None:
    """Six points and a line: residuals 0.1, -0.1, 0, 0, -0.1, 0.1 are orthogonal to it, three parameters."""
    k = np.arange(1.0, 7)
    residuals = np.array([0.1, -0.1, 0, 0, -0.1, 0.1])
    line = smooth_fits(k, 1 - 0.1 * k + residuals, np.ones(6))[0]
    assert line.shape.name == "line"
    assert line.rss == pytest.approx(0.04)
    assert line.curve == pytest.approx(1 - 0.1 * k)
    wanted = 6 * math.log(0.04 / 6 + _VARIANCE_FLOOR) + 2 * 3 + 2 * 3 * 4 / (6 - 3 - 1)
    assert aicc(line) == pytest.approx(wanted)
    three = 18 * math.log((3 * 0.04 + 0.5) / 18 + _VARIANCE_FLOOR) + 2 * 3 + 2 * 3 * 4 / (18 - 3 - 1)
    assert aicc(line, Replicates(3, 0.5)) == pytest.approx(three)
    assert aicc(None) == math.inf


def test_aicc_of_more_parameters_than_points_allow() -> None:
    k = np.arange(1.0, 5)
    parabola = smooth_fits(k, 1 / k, np.ones(4))[1]
    assert parabola.shape.parameters == 4
    assert aicc(parabola) == math.inf


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("line", 1 - K / 40),
        ("parabola", (K - 25) ** 2 / 500),
        ("power", 0.1 + (K / 2) ** -0.8),
        ("power and line", 0.9 - 0.01 * K + (K / 2) ** -1.7),
        ("exponential", 0.2 + np.exp(-(K - 2) / 4)),
        ("exponential and line", 0.9 - 0.01 * K + np.exp(-(K - 2) / 3)),
    ],
)
def test_each_smooth_family_fits_its_own_curve(name: str, error: Floats) -> None:
    found = {f.shape.name: f for f in smooth_fits(K, error, ONE)}[name]
    assert found.curve == pytest.approx(error, abs=3e-4)  # the floor of the variance is 1e-3 squared


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("two lines", 1 - 0.1 * K + 0.08 * np.maximum(K - 9, 0)),
        ("parabola and line", 0.5 - 0.01 * K + 0.01 * np.maximum(9 - K, 0) ** 2 + 0.03 * np.maximum(9 - K, 0)),
        ("exponential with a corner", np.exp(-(K - 2) / 6) + 0.05 * np.maximum(K - 9, 0)),
    ],
)
def test_each_corner_fits_its_own_curve(name: str, error: Floats) -> None:
    found = {f.shape.name: f for f in corner_fits(K, error, ONE) + curved_corner_fits(K, error, ONE)}[name]
    assert found.breakpoint == 9
    assert found.curve == pytest.approx(error, abs=2e-3)
    assert set(at_fitted_decay(found).breakpoints) == set(found.shape.breakpoints)


def test_curves_that_run_into_a_line_without_a_corner() -> None:
    error = 0.5 - 0.01 * K + 0.01 * np.maximum(9 - K, 0) ** 2
    found = {f.shape.name: f for f in smoothly_joined_fits(K, error, ONE)}
    assert found["parabola and line, joined smoothly"].curve == pytest.approx(error, abs=1e-9)
    assert found["cubic and line, joined smoothly"].curve == pytest.approx(error, abs=1e-9)
    assert found["cubic"].rss > 1e-5


def test_flexible_smooth_curves_follow_an_s() -> None:
    error = 1 / (1 + np.exp((K - 10) / 2))
    assert min(f.rss for f in flexible_fits(K, error, ONE)) < 1e-3


def test_a_fit_is_least_squares_with_weights() -> None:
    weights = np.where(K < 8, 10.0, 0.01)
    y = np.where(K < 8, 1 - K / 40, 5.0)
    line = smooth_fits(K, y, weights)[0]
    assert line.curve[K < 8] == pytest.approx(1 - K[K < 8] / 40, abs=1e-2)
    assert fit(broken_line(K, np.array([9.0])), -np.maximum(K - 9, 0), ONE) is None  # it bends the wrong way
