"""Each criterion against scipy, a closed form, or a number worked out by hand; and the fits behind the verdict."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import curve_fit

from elbowroom.analysis.elbow.criteria import CRITERIA, Curve, elasticity, kneedle
from elbowroom.analysis.elbow.shapes import (
    _VARIANCE_FLOOR,
    Points,
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


def answer(name: str, *error: Floats, k: Floats = K) -> int | None:
    return CRITERIA[name](Curve(k, np.stack(error)))


def points(y: Floats, k: Floats = K) -> Points:
    return Points(k, y, np.ones_like(k))


@pytest.mark.parametrize(("first", "last"), [(1, 100), (2, 18), (2, 50), (4, 100)])
def test_kneedle_of_1_over_k_is_the_geometric_mean_of_the_ends(first: int, last: int) -> None:
    k = np.arange(first, last + 1.0)
    assert kneedle(Curve(k, 1 / k[None])) == round(math.sqrt(first * last))


def test_elasticity_of_1_over_k_is_a_half() -> None:
    k = np.arange(2.0, 201)
    assert elasticity(Curve(k, 1 / k[None])) == pytest.approx(0.5, abs=0.05)
    assert elasticity(Curve(k[:8], 1 / k[None, :8])) is None


HAND = np.arange(1.0, 6)
LOW, HIGH = np.array([5.0, 3, 1.9, 1, 1]), np.array([7.0, 5, 2.1, 3, 2.9])


@pytest.mark.parametrize(
    ("name", "k", "errors", "wanted"),
    [
        ("kneedle", K, [ONE], None),
        ("kneedle", K, [1 - K / 40], None),
        ("l_method", K, [np.where(K <= 8, 30 - 3 * K, 2 - 0.1 * K)], 8),
        ("l_method", np.arange(1.0, 4), [np.ones(3)], None),
        ("two_segment", K, [-((K - 11) ** 2)], None),
        ("two_segment", np.arange(1.0, 5), [np.ones(4)], None),
        # slopes -3, -2, -0.5, -0.5: changes 1, 1.5, 0
        ("second_difference", np.array([1.0, 2, 4, 5, 6]), [np.array([10.0, 7, 3, 2.5, 2])], 4),
        ("second_difference", K, [-(K**2)], None),
        # means 6, 4, 2, 2, 1.95; at dim3 5 the standard deviation is 1.9 / √2 and the standard error 0.95: bound 2.9
        ("one_standard_error", HAND, [LOW, HIGH], 3),
        ("one_standard_error", HAND, [LOW], None),
        ("one_standard_error", HAND, [LOW, LOW], 4),  # no spread: the first least
    ],
)
def test_answers_by_hand(name: str, k: Floats, errors: list[Floats], wanted: int | None) -> None:
    assert answer(name, *errors, k=k) == wanted


@pytest.mark.parametrize("seed", range(8))
def test_two_segment_is_scipys_broken_line(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(6, 16)
    y = 2 - 0.1 * K + 0.07 * np.maximum(K - corner, 0) + 0.005 * rng.standard_normal(len(K))

    def broken(k: Floats, a: float, b: float, c: float, at: float) -> Floats:
        return np.asarray(a + b * k + c * np.maximum(k - at, 0))

    (_, _, _, at), _ = curve_fit(broken, K, y, p0=(2, -0.1, 0.1, corner))
    found = answer("two_segment", y)
    assert found is not None
    assert abs(found - at) <= 0.5 + 0.05  # scipy's may lie between whole numbers


def test_aicc_by_hand() -> None:
    """Six points and a line: residuals 0.1, -0.1, 0, 0, -0.1, 0.1 are orthogonal to it, three parameters."""
    k = np.arange(1.0, 7)
    residuals = np.array([0.1, -0.1, 0, 0, -0.1, 0.1])
    line = smooth_fits(points(1 - 0.1 * k + residuals, k))[0]
    assert line.shape.name == "line"
    assert line.rss == pytest.approx(0.04)
    assert line.curve == pytest.approx(1 - 0.1 * k)
    wanted = 6 * math.log(0.04 / 6 + _VARIANCE_FLOOR) + 2 * 3 + 2 * 3 * 4 / (6 - 3 - 1)
    assert aicc(line) == pytest.approx(wanted)
    three = 18 * math.log((3 * 0.04 + 0.5) / 18 + _VARIANCE_FLOOR) + 2 * 3 + 2 * 3 * 4 / (18 - 3 - 1)
    assert aicc(line, 3, 0.5) == pytest.approx(three)
    assert aicc(None) == math.inf
    few = np.arange(1.0, 5)
    assert aicc(smooth_fits(points(1 / few, few))[1]) == math.inf  # a parabola has as many parameters as points


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("line", 1 - K / 40),
        ("parabola", (K - 25) ** 2 / 500),
        ("power", 0.1 + (K / 2) ** -0.8),
        ("power and line", 0.9 - 0.01 * K + (K / 2) ** -1.7),
        ("exponential", 0.2 + np.exp(-(K - 2) / 4)),
        ("exponential and line", 0.9 - 0.01 * K + np.exp(-(K - 2) / 3)),
        ("compressed exponential", 0.1 + np.exp(-((K / 5) ** 1.7))),
    ],
)
def test_each_smooth_family_fits_its_own_curve(name: str, error: Floats) -> None:
    found = {f.shape.name: f for f in smooth_fits(points(error))}[name]
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
    found = {f.shape.name: f for f in corner_fits(points(error)) + curved_corner_fits(points(error))}[name]
    assert found.breakpoint == 9
    assert found.curve == pytest.approx(error, abs=2e-3)
    assert set(at_fitted_decay(found).breakpoints) == set(found.shape.breakpoints)


def test_curves_that_run_into_a_line_without_a_corner() -> None:
    error = 0.5 - 0.01 * K + 0.01 * np.maximum(9 - K, 0) ** 2
    found = {f.shape.name: f for f in smoothly_joined_fits(points(error))}
    assert found["parabola and line, joined smoothly"].curve == pytest.approx(error, abs=1e-9)
    assert found["cubic and line, joined smoothly"].curve == pytest.approx(error, abs=1e-9)
    assert found["cubic"].rss > 1e-5


def test_flexible_smooth_curves_follow_an_s() -> None:
    error = 1 / (1 + np.exp((K - 10) / 2))
    assert min(f.rss for f in flexible_fits(points(error))) < 1e-3


def test_a_fit_is_least_squares_with_weights() -> None:
    weights = np.where(K < 8, 10.0, 0.01)
    y = np.where(K < 8, 1 - K / 40, 5.0)
    line = smooth_fits(Points(K, y, weights))[0]
    assert line.curve[K < 8] == pytest.approx(1 - K[K < 8] / 40, abs=1e-2)
    assert fit(broken_line(K, np.array([9.0])), points(-np.maximum(K - 9, 0))) is None  # it bends the wrong way
