"""Whether a curve of error against dim3 has a corner, and where its returns diminish: `judge`.

The verdict compares models by AICc: a corner has to explain the curve better than every smooth curve, at one place. It
is a finding beside where returns diminish and does not change it. `docs/elbow.md` has the calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import Floats
from ..purposes.gain import Returns, returns
from .criteria import CRITERIA, Curve, elasticity
from .shapes import (
    Fit,
    Points,
    Shape,
    aicc,
    at_fitted_decay,
    corner_fits,
    curved_corner_fits,
    flexible_fits,
    smooth_fits,
    smoothly_joined_fits,
)

_Kind = Literal["clear", "none", "straight", "exhausted"]

LEAST_POINTS = 4  # values of dim3 that a curve needs to be judged at all
POINTS_TO_TELL = 8  # values of dim3 that it takes to tell a corner from a smooth curve
LEAST_DELTA = 10.0  # AICc by which a corner has to beat every smooth family, with the replicates as points
_LEAST_DELTA_OF_MEAN = 0.0  # the same on the mean curve: a tiny misfit of a nearly noiseless curve proves no corner
_LEAST_DELTA_FLEXIBLE = -2.0  # against splines, on the mean curve: AICc within 2 is a tie (Burnham & Anderson 2002)
_LEAST_RATIO = 1.5  # of the slopes before and after the corner
_WIDEST_INTERVAL = 0.25  # of the range, or four dimensions if that is more
_STRAIGHT_SLACK = 4.0  # AICc by which a line may be worse than a smooth curve and still be preferred
_MOST_MISSED = 0.15  # of the largest error: a line that misses a mean by more, five times the noise tried, is no fit
_MOST_TIMES = 100  # a corner with a ratio of the slopes above has a flat line after it
_DRAWS = 400  # bootstrap samples
_LEAST_LEVEL = 0.01  # of the largest error, below which noise is not taken as proportional to the error
_TINY = 1e-30  # before a logarithm
_WHY_NOT_BEYOND = "in the second half of the data's rank every error falls to zero"
_MOST_DIM3, _MOST_ERROR = 10**9, 1e300  # beyond them sums and squares overflow
_CALIBRATED_POINTS = (9, 100)
_CALIBRATED_NOISE = 0.03  # standard deviation over seeds as a share of the error


@dataclass(frozen=True)
class Verdict:
    """The finding on one curve.

    Attributes
    ----------
    kind
        `clear`: a corner that no smooth curve explains. `none`: no corner is clear. `straight`: a line explains the
        curve best. `exhausted`: no corner, and returns do not diminish before the end of the range.
    dim3, interval
        The corner, None where it is not clear, and its 95 % bootstrap interval.
    choice, rule
        The dim3 where returns diminish, None where they do nowhere, and the sentence that says why.
    criteria
        The answers of criteria of the literature, by name.
    delta_aicc
        AICc of the best smooth family less that of the best corner; -inf where no corner fits.
    elasticity
        How far kneedle's answer moves with the end of the range, None where it can't be measured.
    reason
        The verdict in a sentence.
    most
        The largest dim3 that could be judged, where the curve goes beyond it; else None.
    """

    kind: _Kind
    dim3: int | None
    interval: tuple[int, int] | None
    choice: int | None
    rule: str
    criteria: Mapping[str, int | None]
    delta_aicc: float
    elasticity: float | None
    reason: str
    most: int | None = None

    def sentence(self, label: str, confirmed: bool | None = None) -> str:
        """Return the finding on one model's elbow; confirmed is None where no longer training tells."""
        beyond = "" if self.most is None else f"; dim3 over {self.most} are not judged"
        if self.kind == "clear" and self.interval is not None:
            low, high = self.interval
            sure = "" if confirmed is None else f", {'' if confirmed else 'not '}confirmed at twice the epochs"
            return f"{label}: a clear elbow at dim3 {self.dim3} (95 % interval {low} to {high}){sure}{beyond}"
        kinds = {
            "none": "no clear elbow",
            "straight": "no elbow, a straight line explains the curve best",
            "exhausted": "no elbow, and the error still falls at the end of the range",
        }
        return f"{label}: {kinds[self.kind]}{beyond}"


def judge(
    dim3: npt.ArrayLike,
    error: npt.ArrayLike,
    rng: np.random.Generator | None = None,
    gain: float = 0.05,
    most: int | None = None,
) -> Verdict:
    """Judge whether a curve has a corner, and where its returns diminish.

    Parameters
    ----------
    dim3
        (D,), ascending whole numbers from 1.
    error
        Errors (S, D), a row a seed, or (D,); on any scale. They may rise.
    rng
        Draws the bootstrap samples; None: seed 0.
    gain
        Returns diminish at the smallest dim3 after which no dimension of the range lowers the error by more than this
        share.
    most
        The largest dim3 to judge: half of the data's rows or columns, whichever are fewer. None: all.

    Raises
    ------
    ValueError
        For arrays that are no curve, for fewer than LEAST_POINTS up to `most`, and for a gain that is no share.
    """
    if not 0 < gain < 1:
        raise ValueError(f"gain must be a share between 0 and 1, got {gain!r}")
    curve = _checked(dim3, error)
    beyond = most if most is not None and curve.dim3[-1] > most else None
    if beyond is not None:
        curve = _up_to(curve, beyond)
    rng = np.random.default_rng(0) if rng is None else rng
    fits = _compare_fits(curve)
    corner = None if fits.corner is None else _locate(fits, fits.corner, rng)
    found = returns(gain, curve.dim3, curve.mean, fits.bootstrap(fits.best, rng) * fits.scale)
    kind, reason = _decide(fits, corner, found)
    at = corner.dim3 if corner is not None and kind == "clear" else None
    # Divided by a power of 2 near the largest error: squares don't overflow, and no digit changes.
    scaled = Curve(curve.dim3, np.ldexp(curve.error, -np.frexp(curve.error.max())[1]))
    return Verdict(
        kind=kind,
        dim3=at,
        interval=corner.interval if corner is not None and kind == "clear" else None,
        choice=found.dim3,
        rule=found.sentence,
        criteria={name: criterion(scaled) for name, criterion in CRITERIA.items()},
        delta_aicc=fits.delta,
        elasticity=elasticity(scaled),
        reason=reason if beyond is None else f"{reason}; dim3 over {beyond} are not judged: {_WHY_NOT_BEYOND}",
        most=beyond,
    )


def _up_to(curve: Curve, most: int) -> Curve:
    """The curve of the dim3 up to `most`. Raises ValueError for too few of them."""
    judged = curve.dim3 <= most
    if judged.sum() < LEAST_POINTS:
        few = f"{judged.sum()} of the {len(judged)} values of dim3 are at most {most}: it takes {LEAST_POINTS}"
        raise ValueError(f"{few}, as beyond that {_WHY_NOT_BEYOND}")
    return Curve(curve.dim3[judged], curve.error[:, judged])


def calibrated(dim3: npt.ArrayLike, error: npt.ArrayLike) -> str | None:
    """Return why the calibration of `judge` does not cover such a curve, None where its points and noise are covered.

    Its shape can't be checked. The noise of one seed is measured with two seeds and more. Raises ValueError for arrays
    that are no curve.
    """
    curve = _checked(dim3, error)
    points, seeds = len(curve.dim3), len(curve.error)
    least, most = _CALIBRATED_POINTS
    if not least <= points <= most:
        return f"{points} values of dim3, where {least} to {most} were tried"
    size = _relative_noise(curve) if seeds > 1 else 0.0
    if size > _CALIBRATED_NOISE:
        tried = f"up to {100 * _CALIBRATED_NOISE:.2g} % was tried"
        return f"the seeds differ by {100 * size:.2g} % of the error, where {tried}"
    return None


def _relative_noise(curve: Curve) -> float:
    """The standard deviation over two seeds and more as a share of the error, as a root mean square over dim3.

    An offset of a seed at all dim3 is not part of it.
    """
    scale = curve.error.max() or 1.0
    curve = Curve(curve.dim3, curve.error / scale)
    residuals = curve.error - curve.mean - _seed_variation(curve).offsets
    degrees_of_freedom = (len(residuals) - 1) * (residuals.shape[1] - 1)
    return float(np.sqrt(((residuals / np.maximum(curve.mean, _LEAST_LEVEL)) ** 2).sum() / degrees_of_freedom))


def _checked(dim3: npt.ArrayLike, error: npt.ArrayLike) -> Curve:
    """The curve, its errors of shape (S, D). Raises ValueError for arrays that are none."""
    try:
        k, e = np.asarray(dim3, dtype=float), np.asarray(error, dtype=float)
    except (TypeError, ValueError) as refused:
        raise ValueError("dim3 and error must be numbers, all rows of error as long") from refused
    e = e[None] if e.ndim == 1 else e
    if k.ndim != 1 or e.ndim != 2 or e.shape[1] != len(k) or not len(e):
        raise ValueError(f"dim3 must have shape (D,) and error (S, D), got {k.shape} and {e.shape}")
    if len(k) < LEAST_POINTS:
        raise ValueError(f"at least {LEAST_POINTS} values of dim3 are needed, got {len(k)}")
    if not ((k >= 1) & (k <= _MOST_DIM3) & (k == k.round())).all() or not (k[1:] > k[:-1]).all():
        raise ValueError(f"dim3 must be ascending whole numbers from 1, each once, and at most {_MOST_DIM3:,}")
    if not ((e >= 0) & (e <= _MOST_ERROR)).all():
        raise ValueError(f"errors must be finite and not negative, and at most {_MOST_ERROR:g}")
    return Curve(k, e)


class _SeedVariation(NamedTuple):
    """The differences of the seeds from their mean.

    weights (D,): one over the relative standard deviation of the noise, mean square 1. offsets (S, D): what each seed
    is off by at all dim3. residuals (S, D): the rest, weighted.
    """

    weights: Floats
    offsets: Floats
    residuals: Floats


class _Fits(NamedTuple):
    """A curve divided by its largest error, `scale`, and the best fits to its mean.

    line, smooth, flexible and corner are the best fits of their sort; corner is None where no breakpoint fits. delta:
    AICc of the best smooth family less that of the best corner, with the replicates; delta_of_mean: the same on the
    mean curve alone; delta_flexible: that of the best flexible curve, on the mean curve.
    """

    curve: Curve
    scale: float
    variation: _SeedVariation
    line: Fit
    smooth: Fit
    flexible: Fit
    corner: Fit | None
    delta: float
    delta_of_mean: float
    delta_flexible: float

    @property
    def best(self) -> Fit:
        """The fit to the mean curve with the least AICc."""
        return min([f for f in (self.smooth, self.flexible, self.corner) if f is not None], key=aicc)

    def bootstrap(self, about: Fit, rng: np.random.Generator) -> Floats:
        """Return mean curves (_DRAWS, D) of a residual bootstrap about a fit, of all seeds' errors.

        Residuals are weighted to equal variance, and scaled by the degrees of freedom that the fit and the offsets of
        the seeds take. Offsets are drawn a seed at a time.
        """
        error = self.curve.error
        seeds = len(error)
        weights, offsets, _ = self.variation
        residuals = (error - offsets - about.curve) * weights
        degrees_of_freedom = error.size - seeds - about.shape.parameters + 2
        residuals = residuals * np.sqrt(error.size / degrees_of_freedom) if degrees_of_freedom > 0 else residuals
        drawn = rng.choice((residuals - residuals.mean()).ravel(), size=(_DRAWS, *error.shape))
        noise = drawn.mean(axis=1) / weights
        offsets = offsets * np.sqrt(seeds / max(seeds - 1, 1))
        sample: Floats = about.curve + noise + offsets[rng.integers(seeds, size=(_DRAWS, seeds))].mean(axis=1)
        return sample


def _compare_fits(curve: Curve) -> _Fits:
    """Fit every shape to the mean curve, and compare them by AICc.

    A corner after a curved start takes part where it beats the same curve without the corner by LEAST_DELTA.
    """
    scale = float(curve.error.max()) or 1.0
    curve = Curve(curve.dim3, curve.error / scale)
    variation = _seed_variation(curve)
    points = Points(curve.dim3, curve.mean, variation.weights)
    count = len(curve.dim3)
    replicates = (len(curve.error), float((variation.residuals**2).sum()) * count / (count - 1))
    smooth = smooth_fits(points)
    most = min(aicc(f, *replicates) for f in smoothly_joined_fits(points)) - LEAST_DELTA
    flexible = flexible_fits(points)
    corners = corner_fits(points)
    corners += [f for f in curved_corner_fits(points) if aicc(f, *replicates) <= most]

    def delta(rivals: list[Fit], replicated: tuple[int, float] = (1, 0.0)) -> float:
        corner, rival = (min((aicc(f, *replicated) for f in fits), default=np.inf) for fits in (corners, rivals))
        return -np.inf if np.isinf(corner) else rival - corner

    return _Fits(
        curve=curve,
        scale=scale,
        variation=variation,
        line=smooth[0],
        smooth=min(smooth, key=aicc),
        flexible=min(flexible, key=aicc),
        corner=min(corners, key=aicc, default=None),
        delta=delta(smooth, replicates),
        delta_of_mean=delta(smooth),
        delta_flexible=delta(flexible),
    )


class _Corner(NamedTuple):
    """The dim3 of the best corner, its 95 % interval, and how many times faster the error falls before it."""

    dim3: int
    interval: tuple[int, int]
    ratio: float


def _locate(fits: _Fits, corner: Fit, rng: np.random.Generator) -> _Corner:
    """Return place and sharpness of a corner; each bootstrap sample refits the breakpoint at the fitted decay."""
    refitted = _breakpoints(at_fitted_decay(corner), fits.bootstrap(corner, rng), fits.variation.weights)
    low, high = np.quantile(refitted, [0.025, 0.975], method="nearest")
    before, after = _slopes(corner, fits.curve.dim3)
    at = round(corner.breakpoint)
    ratio = np.inf if after >= 0 else before / after
    return _Corner(at, (min(round(low), at), max(round(high), at)), float(ratio))


def _breakpoints(shape: Shape, curves: Floats, weights: Floats) -> Floats:
    """The breakpoint that fits each of the curves (n, D) best, (n,)."""
    q, r = np.linalg.qr(shape.designs * weights[:, None])
    scores = np.einsum("gdp,nd->ngp", q, curves * weights, optimize=True)
    explained = (scores**2).sum(axis=2)
    bends_upwards = scores[:, :, -1] * np.sign(r[:, -1, -1]) > 0
    best: Floats = shape.breakpoints[np.where(bends_upwards, explained, -np.inf).argmax(axis=1)]
    return best


def _slopes(corner: Fit, k: Floats) -> tuple[float, float]:
    """The fitted curve's slopes just before and just after its breakpoint."""
    at = corner.breakpoint
    i = int(np.searchsorted(k, at, side="right")) - 1  # k[i] <= at
    j = int(np.searchsorted(k, at, side="left"))  # k[j] >= at
    slopes = np.diff(corner.curve) / np.diff(k)
    before = slopes[i - 1] if k[i] == at else slopes[max(i - 1, 0)]
    after = slopes[j] if k[j] == at else slopes[min(j, len(slopes) - 1)]
    return float(before), float(after)


def _seed_variation(curve: Curve) -> _SeedVariation:
    """Split the differences of the seeds into an offset of each seed and noise.

    Both are constant over dim3, or both proportional to the error, whichever is likelier; one seed has none.
    """
    deviations = curve.error - curve.mean
    sizes = (np.ones_like(curve.mean), np.maximum(curve.mean, _LEAST_LEVEL))
    found = []
    for size in sizes:
        offsets = (deviations / size).mean(axis=1, keepdims=True)  # (S, 1)
        residuals = deviations / size - offsets
        deviance = np.log(max(float(np.mean(residuals**2)), _TINY)) + 2 * np.log(size).mean()
        scale = np.sqrt(np.mean(1 / size**2))
        found.append((deviance, _SeedVariation(1 / size / scale, offsets * size, residuals / scale)))
    return min(found, key=lambda f: f[0])[1] if deviations.any() else found[0][1]


def _decide(fits: _Fits, corner: _Corner | None, found: Returns) -> tuple[_Kind, str]:
    """The verdict's kind and its reason."""
    why_not = _why_not(fits, corner)
    if why_not is None and corner is not None:
        steeper = f"falls {corner.ratio:.2g} times as fast before it as after"
        falls = "falls before it and not after" if corner.ratio > _MOST_TIMES else steeper
        return "clear", (
            f"a corner at dim3 {corner.dim3} explains the curve better than every smooth one, "
            f"by {fits.delta:.0f} in AICc; the error {falls}"
        )
    if len(fits.curve.dim3) < POINTS_TO_TELL:
        return "none", why_not or ""
    behind = aicc(fits.line) - min(aicc(fits.smooth), aicc(fits.flexible))
    missed = np.abs(fits.line.curve - fits.curve.mean)
    described = missed.max() <= _MOST_MISSED
    if described and behind <= _STRAIGHT_SLACK:
        fall = fits.line.curve[0] - fits.line.curve[-1]
        lowers = "lowers" if fall > 0 else "raises"
        return "straight", "the error changes by less than 2 % over the range" if abs(fall) < 0.02 else (
            f"a straight line explains the curve best: each dimension of this range {lowers} the error by as much"
        )
    if not described and behind <= 0:
        off = f"{100 * missed.max():.0f} % of the largest error at dim3 {fits.curve.dim3[missed.argmax()]:.0f}"
        return "none", f"no fitted curve describes the error: the best, a line, is off by {off}"
    if found.continues:
        return "exhausted", f"{why_not}; and returns do not diminish before the end of the range"
    return "none", why_not or ""


def _why_not(fits: _Fits, corner: _Corner | None) -> str | None:
    """Why there is no clear corner, None where there is one."""
    points = len(fits.curve.dim3)
    if points < POINTS_TO_TELL:
        return f"{points} values of dim3 can't tell a corner from a curve: it takes {POINTS_TO_TELL}"
    if corner is None:
        return "no corner fits the curve"
    best = f"the best corner, at {corner.dim3}"
    smooth = f"a smooth curve ({fits.smooth.shape.name})"
    if fits.delta < 0:
        return f"{smooth} fits better than {best}, by {-fits.delta:.0f} in AICc"
    if fits.delta < LEAST_DELTA:
        ahead = f"by {fits.delta:.1f} in AICc, where {LEAST_DELTA:.0f} are needed"
        return f"{best}, fits hardly better than {smooth}: {ahead}"
    if fits.delta_of_mean < _LEAST_DELTA_OF_MEAN:
        return f"{smooth} explains the mean over seeds as well as {best}"
    if fits.delta_flexible < _LEAST_DELTA_FLEXIBLE:
        return f"a smooth curve ({fits.flexible.shape.name}) fits better than {best}"
    if corner.ratio < _LEAST_RATIO:
        return f"the bend at {corner.dim3} is slight: the error falls {corner.ratio:.2g} times as fast before as after"
    span = fits.curve.dim3[-1] - fits.curve.dim3[0]
    low, high = corner.interval
    if high - low > max(4, _WIDEST_INTERVAL * span):
        return f"the place of a corner is uncertain: from {low} to {high}"
    return None
