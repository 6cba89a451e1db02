"""The verdict on curves whose answer is known."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from elbowroom.analysis.elbow import judge
from elbowroom.analysis.elbow.criteria import CRITERIA
from elbowroom.analysis.elbow.verdict import LEAST_DELTA, _checked, _relative_noise, calibrated

Floats = npt.NDArray[np.float64]


def broken(k: Floats, corner: float, ratio: float = 4, end: float = 0.1) -> Floats:
    """Two lines from 1 down to `end`, the first one `ratio` times as steep."""
    slow = (1 - end) / (ratio * (corner - k[0]) + k[-1] - corner)
    return np.asarray(1 - ratio * slow * (np.minimum(k, corner) - k[0]) - slow * np.maximum(k - corner, 0))


def repeated(error: Floats, noise: float, seeds: int = 3, seed: int = 0) -> Floats:
    return np.asarray(error * (1 + noise * np.random.default_rng(seed).standard_normal((seeds, len(error)))))


def dims(first: int, last: int, step: int = 1) -> Floats:
    return np.arange(first, last + 1, step, dtype=float)


K = dims(2, 20)


def test_every_field_of_a_clear_verdict() -> None:
    verdict = judge(K, repeated(broken(K, 9), 0.01))
    assert (verdict.kind, verdict.dim3, verdict.choice, verdict.most) == ("clear", 9, None, None)
    assert verdict.rule.endswith(": not reached by dim3 20, the end of the range: extend the range")
    assert verdict.interval in [(8, 9), (8, 10), (9, 9), (9, 10)]
    assert set(verdict.criteria) == set(CRITERIA)
    assert verdict.delta_aicc > LEAST_DELTA
    assert verdict.elasticity is not None
    assert verdict.reason.startswith("a corner at dim3 9 explains the curve better than every smooth one, by ")
    assert "times as fast before it as after" in verdict.reason


def test_every_field_of_a_smooth_verdict() -> None:
    verdict = judge(dims(2, 40), repeated(1 / dims(2, 40), 0.01))
    assert (verdict.kind, verdict.dim3, verdict.interval) == ("none", None, None)
    assert verdict.rule.startswith("the smallest dim3 after which no dimension of the range lowers the error by more")
    assert "(95 % interval " in verdict.rule
    assert verdict.reason.startswith("a smooth curve (")


@pytest.mark.parametrize("corner", [4, 5, 6, 9, 13, 16, 18])
@pytest.mark.parametrize("ratio", [2, 3, 10])
def test_a_sharp_corner_is_found_where_it_is(corner: int, ratio: float) -> None:
    verdict = judge(K, broken(K, corner, ratio))
    assert (verdict.kind, verdict.dim3, verdict.interval) == ("clear", corner, (corner, corner))
    assert f"falls {ratio:.2g} times as fast before it" in verdict.reason


def test_a_plateau() -> None:
    plateau = np.maximum(1 - 0.1 * (K - 2), 0.3)
    assert {judge(K, repeated(plateau, 0.01, seed=seed)).dim3 for seed in range(5)} == {9}
    assert "the error falls before it and not after" in judge(K, plateau).reason
    assert "the error falls before it and not after" in judge(K, broken(K, 9, ratio=101)).reason
    assert "falls 99 times as fast before it as after" in judge(K, broken(K, 9, ratio=99)).reason


@pytest.mark.parametrize("last", [9, 20, 50, 100, 200])
def test_from_8_points_to_200(last: int) -> None:
    k = dims(2, last) if last < 100 else dims(1, last)
    corner = int(k[len(k) // 2])
    assert judge(k, repeated(broken(k, corner), 0.002)).dim3 == corner
    assert judge(k, repeated(1 / k, 0.002)).dim3 is None


def test_gaps_in_dim3() -> None:
    k = np.unique(np.geomspace(1, 128, 20).round())
    assert judge(k, broken(k, 16)).dim3 == 16
    k = dims(2, 40, 2)
    assert judge(k, repeated(broken(k, 14), 0.005)).dim3 == 14
    assert judge(k, repeated(1 / k, 0.01)).dim3 is None
    between = judge(k, broken(k, 15)).dim3  # 15 was not measured
    assert between is not None
    assert 14 <= between <= 16


@pytest.mark.parametrize("factor", [1e-9, 1e9])
@pytest.mark.parametrize("curve", [broken(K, 9), 1 / K], ids=["corner", "1/k"])
def test_scale_free(curve: Floats, factor: float) -> None:
    one, other = (judge(K, by * repeated(curve, 0.01)) for by in (1, factor))
    close = {name: pytest.approx(getattr(one, name), rel=1e-6, abs=1e-6) for name in ("delta_aicc", "elasticity")}
    assert vars(other) == vars(one) | close


def test_one_seed_may_have_one_axis() -> None:
    error = repeated(broken(K, 9), 0.005, seeds=1)
    assert judge(K, error[0]) == judge(K, error) == judge(K.astype(int).tolist(), error.tolist())
    assert judge(K, error).dim3 == 9
    assert judge(K, error).interval is not None
    assert judge(K, error).criteria["one_standard_error"] is None


def test_the_generator_that_is_given_is_used() -> None:
    generator = np.random.default_rng(1)
    judge(K, repeated(1 / K, 0.03), generator)
    assert generator.bit_generator.state != np.random.default_rng(1).bit_generator.state


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["factor", "offset"])
def test_seeds_that_lie_apart_everywhere_hide_no_corner(kind: str, seed: int) -> None:
    """A corner that 10 % of difference between seeds, taken for noise, would hide."""
    curve = broken(K, 9, ratio=2)
    error = repeated(curve, 0.003, seed=seed)
    apart = np.array([[-0.1], [0.0], [0.15]])
    error = error * (1 + apart) if kind == "factor" else error + apart * curve.mean() + 0.1
    assert judge(K, error).dim3 == 9
    smooth = repeated(1 / K, 0.003, seed=seed)
    smooth = smooth * (1 + apart) if kind == "factor" else smooth + apart * smooth.mean() + 0.1
    assert judge(K, smooth).dim3 is None


@pytest.mark.parametrize("points", [4, 5, 6, 7])
def test_few_points_cannot_tell(points: int) -> None:
    verdict = judge(K[:points], broken(K[:points], K[points // 2]))
    assert (verdict.kind, verdict.dim3, verdict.interval) == ("none", None, None)
    assert verdict.reason == f"{points} values of dim3 can't tell a corner from a curve: it takes 8"


@pytest.mark.parametrize("noise", [0, 0.01])
@pytest.mark.parametrize("seed", range(3))
def test_a_straight_curve(noise: float, seed: int) -> None:
    verdict = judge(K, repeated(1 - 0.04 * (K - 2), noise, seed=seed))
    assert (verdict.kind, verdict.dim3) == ("straight", None)
    assert verdict.reason.startswith("a straight line explains the curve best")


@pytest.mark.parametrize("level", [0.0, 1.0, 1e-12])
def test_an_error_that_dim3_does_not_change(level: float) -> None:
    verdict = judge(K, np.full((3, 19), level))
    assert (verdict.kind, verdict.dim3, verdict.choice) == ("straight", None, None)
    assert verdict.reason == "the error changes by less than 2 % over the range"
    assert verdict.elasticity is None


@pytest.mark.parametrize("noise", [0, 0.01, 0.03])
@pytest.mark.parametrize("k", [dims(2, 9), np.array([1.0, 2, 3, 4, 6, 8, 12, 16])], ids=["each dim3", "with gaps"])
def test_an_error_that_falls_400_times_in_one_step_is_no_line(k: Floats, noise: float) -> None:
    verdict = judge(k, repeated(np.where(k < 4, 1, 1 / 400), noise))
    assert (verdict.kind, verdict.dim3) == ("none", None)
    assert verdict.reason.startswith("no fitted curve describes the error: the best, a line, is off by ")
    assert judge(k, repeated(np.ones(len(k)), noise)).reason == "the error changes by less than 2 % over the range"


@pytest.mark.parametrize("noise", [0, 0.003])
def test_a_range_that_ends_too_soon(noise: float) -> None:
    verdict = judge(dims(2, 12), repeated(np.exp(-dims(2, 12) / 8), noise))
    assert (verdict.kind, verdict.dim3, verdict.choice) == ("exhausted", None, None)
    assert verdict.rule.endswith("not reached by dim3 12, the end of the range: extend the range")
    assert verdict.reason.endswith("returns do not diminish before the end of the range")


@pytest.mark.parametrize("last", [30, 50, 100])
def test_the_choice_stays_on_longer_ranges_and_the_knee_does_not(last: int) -> None:
    k = dims(2, last)
    verdict = judge(k, 1 / k)
    assert (verdict.kind, verdict.choice) == ("none", 20)  # 1/(20 + 1) < 0.05, 1/(19 + 1) is not
    assert verdict.criteria["kneedle"] == pytest.approx(math.sqrt(2 * last), abs=1)
    assert verdict.elasticity == pytest.approx(0.5, abs=0.1)


def test_a_corner_has_no_elasticity() -> None:
    k = dims(2, 60)
    curve = np.maximum(1 - 0.3 * (k - 2), 0.1 - 0.001 * k)  # the corner at dim3 5 is in each range that is tried
    assert judge(k, curve).elasticity == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("gain", "choice"), [(0.1, 10), (0.04, 25), (0.02, None)])
def test_the_share_of_the_gain(gain: float, choice: int | None) -> None:
    k = dims(2, 40)
    assert judge(k, 1 / k, gain=gain).choice == choice  # 1/(k + 1) < gain


@pytest.mark.parametrize(("rank", "last"), [(8, 20), (12, 30), (20, 60), (30, 60), (30, 90)])
def test_data_of_a_known_rank(rank: int, last: int) -> None:
    """PCA's error on data of rank r and a little noise: a curved start, then a corner at r."""
    rng = np.random.default_rng(rank)
    x = rng.standard_normal((500, rank)) @ rng.standard_normal((rank, 100)) + 0.1 * rng.standard_normal((500, 100))
    spectrum = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    k = dims(2, last)
    left = spectrum.sum() - spectrum.cumsum()[k.astype(int) - 1]
    verdict = judge(k, left)
    assert (verdict.kind, verdict.dim3) == ("clear", rank)


def test_an_error_that_reaches_zero() -> None:
    """Rank 9 without any noise: the tail is exactly 0."""
    verdict = judge(K, np.maximum(9 - K, 0) / 9)
    assert (verdict.kind, verdict.dim3, verdict.choice) == ("clear", 9, 9)  # after 9 no dimension gains anything
    curved = np.maximum(9 - K, 0) ** 2.0
    assert judge(K, curved).choice is not None


@pytest.mark.parametrize("last", [20, 32, 40])
def test_a_rank_is_found_where_the_range_comes_near_the_number_of_columns(last: int) -> None:
    """Rank 5 of 40 columns with noise, whose own error falls to 0 at 40 and hides the corner."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 5)) @ rng.standard_normal((5, 40)) + rng.standard_normal((500, 40))
    spectrum = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    k = dims(2, last)
    error = (spectrum.sum() - spectrum.cumsum()[k.astype(int) - 1]).clip(min=0)
    assert (judge(k, error).dim3 is None) == (last > 20)
    verdict = judge(k, error, most=20)
    assert (verdict.kind, verdict.dim3, verdict.most) == ("clear", 5, None if last == 20 else 20)
    assert ("dim3 over 20 are not judged" in verdict.sentence("pca")) == (last > 20)
    assert ("; dim3 over 20 are not judged: in the second half" in verdict.reason) == (last > 20)


def test_too_few_dim3_in_the_first_half_of_the_rank() -> None:
    with pytest.raises(ValueError, match=r"3 of the 19 values of dim3 are at most 4: it takes 4, as beyond that"):
        judge(K, 1 / K, most=4)
    assert judge(K, 1 / K, most=5).most == 5


@pytest.mark.parametrize(
    ("kind", "confirmed", "said"),
    [
        ("clear", None, "ae: a clear elbow at dim3 9 (95 % interval 9 to 9)"),
        ("clear", True, "ae: a clear elbow at dim3 9 (95 % interval 9 to 9), confirmed at twice the epochs"),
        ("clear", False, "ae: a clear elbow at dim3 9 (95 % interval 9 to 9), not confirmed at twice the epochs"),
        ("none", None, "ae: no clear elbow"),
        ("straight", None, "ae: no elbow, a straight line explains the curve best"),
        ("exhausted", None, "ae: no elbow, and the error still falls at the end of the range"),
    ],
)
def test_the_sentence_is_of_the_elbow_alone(kind: str, confirmed: bool | None, said: str) -> None:
    curve = {"clear": broken(K, 9), "none": 1 / dims(2, 40), "straight": 1 - 0.04 * (K - 2), "exhausted": 1 / K}[kind]
    verdict = judge(dims(2, len(curve) + 1), curve)
    assert (verdict.kind, verdict.sentence("ae", confirmed)) == (kind, said)


SMOOTH: dict[str, Callable[[Floats], Floats]] = {
    "1/k": lambda k: 1 / k,
    "power and floor": lambda k: 0.1 + k**-1.5,
    "exponential": lambda k: np.exp(-(k - k[0]) / (0.3 * (k[-1] - k[0]))),
    "logarithm": lambda k: 2 - np.log(k) / np.log(k[-1]),
    "two exponentials": lambda k: np.exp(-k / 2) + np.exp(-k / 20),
    "logistic": lambda k: 1 / (1 + np.exp((k - k.mean()) / (0.15 * (k[-1] - k[0])))),
    "parabola": lambda k: 0.1 + (k[-1] - k) ** 2 / (k[-1] - k[0]) ** 2,
    "faster than an exponential": lambda k: np.exp(-((k / (0.2 * k[-1])) ** 1.8)),
    "high at first": lambda k: np.exp(k[0] - k) + 0.5 - 0.3 * k / k[-1],
}


@pytest.mark.parametrize("noise", [0, 0.003, 0.01])
@pytest.mark.parametrize("last", [10, 20, 50])
@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_curve_has_no_corner(name: str, last: int, noise: float) -> None:
    k = dims(2, last)
    assert judge(k, repeated(SMOOTH[name](k), noise, seed=last)).dim3 is None


def test_an_error_that_rises_has_no_corner() -> None:
    assert judge(K, 1 + K / 10).dim3 is None
    assert judge(K, K**2).dim3 is None


def test_calibrated_settings() -> None:
    noise = np.random.default_rng(0).standard_normal((3, 19))
    assert calibrated(K, 1 / K) is None  # one seed shows no noise
    assert calibrated(K, (1 + 0.02 * noise) / K) is None
    assert calibrated(K, (1 + 0.10 * noise) / K) == "the seeds differ by 9.2 % of the error, where up to 3 % was tried"
    assert calibrated(K[:8], 1 / K[:8]) == "8 values of dim3, where 9 to 100 were tried"
    assert calibrated(K[:9], 1 / K[:9]) is None
    assert calibrated(dims(1, 100), np.ones((5, 100))) is None
    assert calibrated(dims(1, 101), np.ones(101)) == "101 values of dim3, where 9 to 100 were tried"
    assert calibrated(K, np.zeros((3, 19))) is None


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("noise", [0.003, 0.03])
def test_the_noise_of_one_seed(seeds: int, noise: float) -> None:
    k = dims(1, 100)
    apart = np.linspace(0.9, 1.1, seeds)[:, None]  # of which nothing is noise
    share = _relative_noise(_checked(k, apart * repeated(0.1 + 1 / k, noise, seeds)))
    assert share == pytest.approx(noise, rel=0.3)
