"""Has a curve of error against dim3 a corner, and which dim3 to use: `judge`.

The least error is always at the end of the range, and the usual knee follows the range. So the verdict is a
comparison of models: a corner has to explain the curve better than every smooth curve does, and to stand in
one place. And the choice is the corner where there is one, else a rule that doesn't move with the range.
`docs/elbow.md` has the calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import Floats
from ..purposes.gain import DEFAULT_RULE, Choice, Rule, choose
from .criteria import CRITERIA, Curve, elasticity
from .shapes import Fit, Noise, Shape, aicc, bent_fits, corner_fits, free_fits, joined_fits, same_decay, smooth_fits

Kind = Literal["clear", "none", "straight", "exhausted"]

LEAST_POINTS = 4
POINTS_TO_TELL = 8
"""Fewer can't tell a corner from a curve."""
LEAST_DELTA = 10.0
"""AICc by which a corner has to beat every smooth family, the replicates counted."""
LEAST_DELTA_OF_MEAN = 0.0
"""And on the mean curve alone: a family that misses a nearly noiseless curve by a hair is no proof of a corner."""
LEAST_DELTA_FREE = -2.0
"""And every smooth curve of any form, on the mean curve: within 2, AICc can't tell (Burnham & Anderson 2002)."""
LEAST_RATIO = 1.5
"""Of the slopes before and after it; less is no elbow."""
WIDEST = 0.25
"""Share of the range, or two dimensions on each side, that the interval of a corner may span."""
STRAIGHT_SLACK = 4.0
"""AICc by which a line may lose to a curve and still be the plain explanation."""
DRAWS = 400  # of the bootstraps
LEAST_LEVEL = 0.01  # of the largest error, below which noise is not taken to shrink with the error
TINY = 1e-30
MOST_DIM3, MOST_ERROR = 10**9, 1e300  # beyond them sums and squares overflow
CALIBRATED_POINTS = (9, 100)
CALIBRATED_NOISE = 0.03  # of one seed, as a share of the error


@dataclass(frozen=True)
class Verdict:
    """The finding on one curve.

    kind: `clear`, a corner that smooth curves can't explain; `none`, smooth; `straight`, a line explains it
    best; `exhausted`, no corner, and the rule for `choice` is not met before the end of the range. dim3: the
    corner, else None; interval: its 95 % interval. choice: the dim3 to use, or None; rule: the sentence that
    says why. criteria: what the literature would say. delta_aicc: by how much the best corner beats the best
    smooth family. elasticity: how far kneedle's answer follows the end of the range, or None. reason: the
    verdict in a sentence.
    """

    kind: Kind
    dim3: int | None
    interval: tuple[int, int] | None
    choice: int | None
    rule: str
    criteria: Mapping[str, int | None]
    delta_aicc: float
    elasticity: float | None
    reason: str


def judge(
    dim3: npt.ArrayLike, error: npt.ArrayLike, rng: np.random.Generator | None = None, rule: str = DEFAULT_RULE
) -> Verdict:
    """Judge errors (S, D), a row a seed, at the latent dimensions dim3 (D,), ascending whole numbers from 1.

    The scale of the errors doesn't matter. `rule` is `gain:g` (one more dimension lowers the error by less than
    the share g) or `unexplained:u` (the error is at most the share u of the mean predictor's; `error` has to be
    that share then). `rng` draws the bootstraps; None is seed 0. Errors that rise are judged too.

    Raises ValueError for what is no curve, in one line.
    """
    asked, curve = Rule.parse(rule), checked(dim3, error)
    rng = np.random.default_rng(0) if rng is None else rng
    evidence = weigh(curve)
    corner = None if evidence.corner is None else stand(evidence, evidence.corner, rng)
    choice = choose(asked, curve.dim3, curve.mean, evidence.redraw(evidence.plainest, rng) * evidence.scale)
    kind, reason = _decide(evidence, corner, choice)
    at = corner.dim3 if corner is not None and kind == "clear" else None
    # Divided by a power of 2 near the largest error: their squares don't overflow, and no digit changes.
    level = Curve(curve.dim3, np.ldexp(curve.error, -np.frexp(curve.error.max())[1]))
    return Verdict(
        kind=kind,
        dim3=at,
        interval=corner.interval if corner is not None and kind == "clear" else None,
        choice=choice.dim3 if at is None else at,
        rule=choice.sentence if at is None else "the corner of the curve",
        criteria={name: criterion(level) for name, criterion in CRITERIA.items()},
        delta_aicc=evidence.delta,
        elasticity=elasticity(level),
        reason=reason,
    )


def calibrated(dim3: npt.ArrayLike, error: npt.ArrayLike) -> str | None:
    """Why how often `judge` is right was not measured for such a curve; None where it was.

    The noise is that of one seed, and takes two of them to be seen. Raises ValueError for what is no curve.
    """
    curve = checked(dim3, error)
    points, seeds = len(curve.dim3), len(curve.error)
    least, most = CALIBRATED_POINTS
    if not least <= points <= most:
        return f"{points} values of dim3, where {least} to {most} were tried"
    size = noise_share(curve) if seeds > 1 else 0.0
    if size > CALIBRATED_NOISE:
        return (
            f"the seeds differ by {100 * size:.2g} % of the error, where up to {100 * CALIBRATED_NOISE:.2g} % was tried"
        )
    return None


def noise_share(curve: Curve) -> float:
    """The standard deviation over seeds, two and more, as a share of the error: its root mean square over dim3.

    What a seed is off by everywhere, its level, is no noise here.
    """
    scale = curve.error.max() or 1.0
    curve = Curve(curve.dim3, curve.error / scale)
    left = curve.error - curve.mean - _scatter(curve).levels
    free = (len(left) - 1) * (left.shape[1] - 1)
    return float(np.sqrt(((left / np.maximum(curve.mean, LEAST_LEVEL)) ** 2).sum() / free))


def checked(dim3: npt.ArrayLike, error: npt.ArrayLike) -> Curve:
    """The curve, its errors of shape (S, D). Raises ValueError for what is none."""
    try:
        k, e = np.asarray(dim3, dtype=float), np.asarray(error, dtype=float)
    except (TypeError, ValueError) as refused:
        raise ValueError("dim3 and error must be numbers, all rows of error as long") from refused
    e = e[None] if e.ndim == 1 else e
    if k.ndim != 1 or e.ndim != 2 or e.shape[1] != len(k) or not len(e):
        raise ValueError(f"dim3 must have shape (D,) and error (S, D), got {k.shape} and {e.shape}")
    if len(k) < LEAST_POINTS:
        raise ValueError(f"at least {LEAST_POINTS} values of dim3 are needed, got {len(k)}")
    if not ((k >= 1) & (k <= MOST_DIM3) & (k == k.round())).all() or not (k[1:] > k[:-1]).all():
        raise ValueError(f"dim3 must be ascending whole numbers from 1, each once, and at most {MOST_DIM3:,}")
    if not ((e >= 0) & (e <= MOST_ERROR)).all():
        raise ValueError(f"errors must be finite and not negative, and at most {MOST_ERROR:g}")
    return Curve(k, e)


class Evidence(NamedTuple):
    """A curve divided by its largest error, and the best fits of each sort.

    weights (D,) and levels (S, D): see Scatter. corner: the best corner, None where no break fits; delta,
    delta_of_mean and delta_free: AICc by which it beats the smooth families, with the replicates and on the
    mean curve alone, and the smooth curves of free form.
    """

    curve: Curve
    scale: float
    weights: Floats
    levels: Floats
    noise: Noise
    line: Fit
    smooth: Fit
    free: Fit
    corner: Fit | None
    delta: float
    delta_of_mean: float
    delta_free: float

    @property
    def plainest(self) -> Fit:
        """The fit that explains the mean curve best."""
        fits = [f for f in (self.smooth, self.free, self.corner) if f is not None]
        return min(fits, key=lambda f: aicc(f, self.noise.ignored))

    def redraw(self, about: Fit, rng: np.random.Generator) -> Floats:
        """Mean curves (DRAWS, D) as they might have come out: a residual bootstrap about a fit, of all seeds' errors.

        Residuals are weighted to the same size, and widened by the degrees of freedom that the fit and the
        seeds' levels took; the levels are drawn as they are, a seed at a time.
        """
        error = self.curve.error
        seeds = len(error)
        left = (error - self.levels - about.curve) * self.weights
        free = error.size - seeds - about.shape.parameters + 2
        left = left * np.sqrt(error.size / free) if free > 0 else left
        drawn = rng.choice((left - left.mean()).ravel(), size=(DRAWS, *error.shape)).mean(axis=1) / self.weights
        widened = self.levels * np.sqrt(seeds / max(seeds - 1, 1))
        redrawn: Floats = about.curve + drawn + widened[rng.integers(seeds, size=(DRAWS, seeds))].mean(axis=1)
        return redrawn


class Scatter(NamedTuple):
    """How seeds differ from their mean: weights (D,), one over the noise's relative size, mean square 1; levels (S, D),
    how far each seed lies off at all dim3; rest (S, D), weighted, what is left.
    """

    weights: Floats
    levels: Floats
    rest: Floats


def weigh(curve: Curve) -> Evidence:
    """Fit every shape to the mean curve, and compare them by AICc.

    A corner after a curved start is in the running where it beats, by as much as any, the same curve without it.
    """
    scale = float(curve.error.max()) or 1.0
    curve = Curve(curve.dim3, curve.error / scale)
    k, y = curve.dim3, curve.mean
    scatter = _scatter(curve)
    weights = scatter.weights
    noise = Noise(len(curve.error), float((scatter.rest**2).sum()) * len(k) / (len(k) - 1))
    smooth = smooth_fits(k, y, weights)
    least = min(aicc(f, noise) for f in joined_fits(k, y, weights)) - LEAST_DELTA
    free = free_fits(k, y, weights)
    corners = corner_fits(k, y, weights) + [f for f in bent_fits(k, y, weights) if aicc(f, noise) <= least]

    def best(fits: list[Fit], on: Noise) -> float:
        return min((aicc(f, on) for f in fits), default=np.inf)

    def ahead(others: list[Fit], on: Noise) -> float:
        mine, theirs = best(corners, on), best(others, on)
        return -np.inf if np.isinf(mine) else theirs - mine

    alone = noise.ignored
    return Evidence(
        curve=curve,
        scale=scale,
        weights=weights,
        levels=scatter.levels,
        noise=noise,
        line=smooth[0],
        smooth=min(smooth, key=lambda f: aicc(f, alone)),
        free=min(free, key=lambda f: aicc(f, alone)),
        corner=min(corners, key=lambda f: aicc(f, alone), default=None),
        delta=ahead(smooth, noise),
        delta_of_mean=ahead(smooth, alone),
        delta_free=ahead(free, alone),
    )


class Corner(NamedTuple):
    """The dim3 of the best corner, its 95 % interval, and how many times faster the error falls before it."""

    dim3: int
    interval: tuple[int, int]
    ratio: float


def stand(evidence: Evidence, corner: Fit, rng: np.random.Generator) -> Corner:
    """The corner's place, interval (its decay held, its break fitted again to each redrawn curve) and sharpness."""
    breaks = _breaks(same_decay(corner), evidence.redraw(corner, rng), evidence.weights)
    low, high = np.quantile(breaks, [0.025, 0.975], method="nearest")
    before, after = _slopes(corner, evidence.curve.dim3)
    at = round(corner.at)
    ratio = np.inf if after >= 0 else before / after
    return Corner(at, (min(round(low), at), max(round(high), at)), float(ratio))


def _breaks(shape: Shape, curves: Floats, weights: Floats) -> Floats:
    """The break that fits each of the curves (n, D) best, (n,)."""
    q, r = np.linalg.qr(shape.designs * weights[:, None])
    scores = np.einsum("gdp,nd->ngp", q, curves * weights, optimize=True)
    gained = (scores**2).sum(axis=2)
    bends = scores[:, :, -1] * np.sign(r[:, -1, -1]) > 0
    best: Floats = shape.breaks[np.where(bends, gained, -np.inf).argmax(axis=1)]
    return best


def _slopes(corner: Fit, k: Floats) -> tuple[float, float]:
    """The fitted curve's slopes just before and just after its break."""
    at = corner.at
    i = int(np.searchsorted(k, at, side="right")) - 1  # k[i] <= at
    j = int(np.searchsorted(k, at, side="left"))  # k[j] >= at
    slopes = np.diff(corner.curve) / np.diff(k)
    before = slopes[i - 1] if k[i] == at else slopes[max(i - 1, 0)]
    after = slopes[j] if k[j] == at else slopes[min(j, len(slopes) - 1)]
    return float(before), float(after)


def _scatter(curve: Curve) -> Scatter:
    """How the seeds differ. A constant noise goes with an offset of each seed, one in proportion with a factor.

    Whichever of the two makes the rest likelier; without seeds to compare, a constant.
    """
    left = curve.error - curve.mean
    sizes = (np.ones_like(curve.mean), np.maximum(curve.mean, LEAST_LEVEL))
    found = []
    for size in sizes:
        own = (left / size).mean(axis=1, keepdims=True)  # (S, 1)
        rest = left / size - own
        unlikely = np.log(max(float(np.mean(rest**2)), TINY)) + 2 * np.log(size).mean()
        scale = np.sqrt(np.mean(1 / size**2))
        found.append((unlikely, Scatter(1 / size / scale, own * size, rest / scale)))
    return min(found, key=lambda f: f[0])[1] if left.any() else found[0][1]


def _decide(evidence: Evidence, corner: Corner | None, choice: Choice) -> tuple[Kind, str]:
    """The verdict's kind and its reason."""
    why_not = _why_not(evidence, corner)
    if why_not is None and corner is not None:
        steeper = f"falls {corner.ratio:.2g} times as fast before it as after"
        falls = "falls before it and not after" if np.isinf(corner.ratio) else steeper
        return "clear", (
            f"a corner at dim3 {corner.dim3} explains the curve better than every smooth one, "
            f"by {evidence.delta:.0f} in AICc; the error {falls}"
        )
    points = len(evidence.curve.dim3)
    if points >= POINTS_TO_TELL and _is_straight(evidence):
        fall = evidence.line.curve[0] - evidence.line.curve[-1]
        lowers = "lowers" if fall > 0 else "raises"
        return "straight", "the error doesn't depend on dim3" if abs(fall) < 0.02 else (
            f"a straight line explains the curve best: each dimension of this range {lowers} the error by as much"
        )
    if points >= POINTS_TO_TELL and choice.dim3 is None:
        return "exhausted", f"{why_not}; and the rule for a choice is not met before the end of the range"
    return "none", why_not or ""


def _why_not(evidence: Evidence, corner: Corner | None) -> str | None:
    """Why there is no clear corner, None where there is one."""
    points = len(evidence.curve.dim3)
    if points < POINTS_TO_TELL:
        return f"{points} values of dim3 can't tell a corner from a curve: it takes {POINTS_TO_TELL}"
    if corner is None:
        return "the curve bends nowhere"
    best = f"the best corner, at {corner.dim3}"
    smooth = f"a smooth curve ({evidence.smooth.shape.name})"
    if evidence.delta < 0:
        return f"{smooth} explains it better than {best}, by {-evidence.delta:.0f} in AICc"
    if evidence.delta < LEAST_DELTA:
        ahead = f"by {evidence.delta:.1f} in AICc, where {LEAST_DELTA:.0f} are needed"
        return f"{best}, explains it hardly better than {smooth}: {ahead}"
    if evidence.delta_of_mean < LEAST_DELTA_OF_MEAN:
        return f"{smooth} explains the mean over seeds as well as {best}"
    if evidence.delta_free < LEAST_DELTA_FREE:
        return f"a smooth curve ({evidence.free.shape.name}) explains it better than {best}"
    if corner.ratio < LEAST_RATIO:
        return f"the bend at {corner.dim3} is slight: the error falls {corner.ratio:.2g} times as fast before as after"
    span = evidence.curve.dim3[-1] - evidence.curve.dim3[0]
    low, high = corner.interval
    if high - low > max(4, WIDEST * span):
        return f"the curve bends somewhere from {low} to {high}, in no one place"
    return None


def _is_straight(evidence: Evidence) -> bool:
    others = min(aicc(f, evidence.noise.ignored) for f in (evidence.smooth, evidence.free))
    return aicc(evidence.line, evidence.noise.ignored) <= others + STRAIGHT_SLACK
