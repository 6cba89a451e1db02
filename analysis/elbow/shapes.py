"""Shapes that a curve of error against dim3 may have, and how well each fits: lines, smooth curves, corners.

A shape with non-linear parameters is a stack of designs, one for each value of them on a grid; each design
is fitted by linear least squares, all at once through their QR decompositions, and the best one is the fit.
Corners carry their hinge in the last column, so that a bend the wrong way can be left out.

Corrected Akaike information criterion: Hurvich & Tsai 1989. Broken-line regression by search over the
break: Lerman 1980.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import Floats

FLOOR = 1e-3
"""Of the largest error: misfits below it are as good as none, on curves that have no noise."""
MARGIN = 2  # points on each side of a break, at least
LEAST_TAIL = 0.1  # of the points, after a curved start: the end of a curve alone is no line that follows it
RATES = 160  # decays that a smooth curve is tried with; a step of 5 %, refined between
HINGED_RATES = 30  # and before a corner
MOST_BREAKS = 40  # tried with each decay; then all at the best decay
MOST_CANDIDATES = 2000  # in a range so long, a break is not looked for at each whole number
MOST_KNOTS = 3  # more bend like a corner, and follow the noise
SHORTEST = 0.3  # decay, in dimensions: shorter ones are over between two points
SHORTEST_HINGED = 0.7


class Shape(NamedTuple):
    """Designs (G, D, p), the parameters they take with the noise's variance, and each one's break or nan (G,)."""

    name: str
    designs: Floats
    parameters: int
    breaks: Floats


class Fit(NamedTuple):
    """A shape's best design: its number, the weighted sum of squares left, and the fitted curve (D,)."""

    shape: Shape
    chosen: int
    rss: float
    curve: Floats

    @property
    def at(self) -> float:
        """The break, nan where the shape has none."""
        return float(self.shape.breaks[self.chosen])


class Noise(NamedTuple):
    """What the replicates say: how many there are, and their sum of squares about their mean, weighted."""

    seeds: int
    pure: float

    @property
    def ignored(self) -> Noise:
        """As if the mean curve were all there is."""
        return Noise(1, 0.0)


def fit(shape: Shape, y: Floats, weights: Floats) -> Fit | None:
    """The best design for y (D,), least squares weighted by `weights` (D,); None where no corner bends upwards."""
    designs = shape.designs * weights[:, None]
    q, r = np.linalg.qr(designs)  # (G, D, p), (G, p, p)
    target = weights * y
    scores = np.einsum("gdp,d->gp", q, target)
    left = np.maximum(target @ target - (scores**2).sum(axis=1), 0.0)
    if not np.isnan(shape.breaks[0]):
        left = np.where(scores[:, -1] * np.sign(r[:, -1, -1]) > 0, left, np.inf)
    best = int(left.argmin())
    if not np.isfinite(left[best]):
        return None
    return Fit(shape, best, float(left[best]), q[best] @ scores[best] / weights)


def aicc(found: Fit | None, noise: Noise) -> float:
    """Corrected Akaike criterion of a fit to the mean of `noise.seeds` curves whose largest value is 1; inf without.

    The replicates count as so many points each, their scatter about their mean as part of what is left.
    """
    if found is None:
        return np.inf
    points = len(found.curve)
    n, k = noise.seeds * points, found.shape.parameters
    if points < k or n - k - 1 <= 0:
        return np.inf
    variance = (noise.seeds * found.rss + noise.pure) / n + FLOOR**2
    return n * float(np.log(variance)) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def smooth_fits(k: Floats, y: Floats, weights: Floats) -> list[Fit]:
    """A line and the smooth convex families: powers and exponentials, with a floor and with a line; a parabola."""
    x, one = _unit(k), np.ones_like(k)
    fits = [fit(_shape("line", [one, x]), y, weights), fit(_shape("parabola", [one, x, x**2]), y, weights)]
    for name, curve, rates in (("power", _power, _powers()), ("exponential", _exponential, _scales(k))):
        for tail, columns in (("", [one]), (" and line", [one, x])):
            fits.append(_decay(name + tail, columns, lambda r, c=curve: c(k, r), rates, y, weights))  # type: ignore[misc]
    return [f for f in fits if f is not None]


def free_fits(k: Floats, y: Floats, weights: Floats) -> list[Fit]:
    """Smooth curves of any form: cubic splines in dim3 and in its logarithm, and a logistic fall."""
    fits = []
    for name, axis in (("in dim3", _unit(k)), ("in log dim3", _unit(np.log(k)))):
        for knots in range(MOST_KNOTS + 1):
            if 4 + knots + 1 < len(k):
                inner = np.linspace(0, 1, knots + 2)[1:-1]
                columns = [axis**0, axis, axis**2, axis**3, *(np.maximum(axis - q, 0) ** 3 for q in inner)]
                fits.append(fit(_shape(f"cubic spline {name}, {knots} knots", columns), y, weights))
    span = k[-1] - k[0]
    falls = [
        [np.ones_like(k), 1 / (1 + np.exp(np.clip((k - middle) / (width * span), -50, 50)))]
        for middle in np.linspace(k[0], k[-1], 13)
        for width in np.geomspace(0.04, 0.5, 8)
    ]
    fits.append(fit(_stack("logistic", falls, 2), y, weights))
    return [f for f in fits if f is not None]


def corner_fits(k: Floats, y: Floats, weights: Floats) -> list[Fit]:
    """Two lines that meet; an exponential with a corner."""
    breaks = candidates(k)
    if not len(breaks):
        return []
    fits = [fit(two_lines(k, breaks), y, weights)]
    few = breaks[np.unique(np.linspace(0, len(breaks) - 1, MOST_BREAKS).round().astype(int))]
    rates = _scales(k)[:: RATES // HINGED_RATES]
    rates = rates[rates > SHORTEST_HINGED]
    coarse = fit(_hinged(k, rates, few), y, weights)
    if coarse is not None:
        rate = rates[coarse.chosen // len(few)]
        fits.append(fit(_hinged(k, np.array([rate]), breaks), y, weights) or coarse)
    return [f for f in fits if f is not None]


def bent_fits(k: Floats, y: Floats, weights: Floats) -> list[Fit]:
    """Corners after a curved start: a parabola or a cubic that meets a line."""
    breaks, last = candidates(k), k[-1 - max(MARGIN, round(LEAST_TAIL * len(k)))]
    fits = []
    for power in (2, 3):
        inside = breaks[(breaks >= k[min(MARGIN + power - 1, len(k) - 1)]) & (breaks <= last)]
        if len(inside):
            fits.append(fit(bent(k, inside, power), y, weights))
    return [f for f in fits if f is not None]


def joined_fits(k: Floats, y: Floats, weights: Floats) -> list[Fit]:
    """Their smooth counterparts: a cubic; a parabola or a cubic that runs into a line without a corner."""
    x, ends = _unit(k), k[MARGIN + 1 : -1]
    fits = [fit(_shape("cubic", [x**0, x, x**2, x**3]), y, weights)]
    if len(ends):
        fits += [fit(bent(k, ends, power, hinge=False), y, weights) for power in (2, 3)]
    return [f for f in fits if f is not None]


def same_decay(found: Fit) -> Shape:
    """The shape of a corner's fit with its decay held and its break free: what a bootstrap fits again."""
    count = len(np.unique(found.shape.breaks))
    first = found.chosen // count * count
    return found.shape._replace(
        designs=found.shape.designs[first : first + count], breaks=found.shape.breaks[first : first + count]
    )


def candidates(k: Floats) -> Floats:
    """Where a break may be: whole numbers, at least MARGIN points from each end, and not too many."""
    if len(k) < 2 * MARGIN + 1:
        return np.array([])
    first, last = k[MARGIN], k[-1 - MARGIN]
    if last - first < MOST_CANDIDATES:
        return np.arange(first, last + 1)
    return np.unique(np.linspace(first, last, MOST_CANDIDATES).round())


def two_lines(k: Floats, breaks: Floats) -> Shape:
    """A line with a hinge at each of `breaks`."""
    x, one = _unit(k), np.ones_like(k)
    return _stack("two lines", [[one, x, _hinge(k, c)] for c in breaks], 1, breaks)


def bent(k: Floats, breaks: Floats, power: int, hinge: bool = True) -> Shape:
    """A parabola (power 2) or a cubic (3) before each break and a line after it; without a hinge they meet smoothly."""
    x, one = _unit(k), np.ones_like(k)
    span = k[-1] - k[0]
    before = [np.maximum(c - k, 0) / span for c in breaks]
    columns = [[one, x, *(b**p for p in range(2, power + 1))] for b in before]
    name = "parabola and line" if power == 2 else "cubic and line"
    if not hinge:
        return _stack(f"{name}, joined smoothly", columns, 1)
    return _stack(name, [[*some, _hinge(k, c)] for some, c in zip(columns, breaks, strict=True)], 1, breaks)


def _hinged(k: Floats, rates: Floats, breaks: Floats) -> Shape:
    one = np.ones_like(k)
    columns = [[one, _exponential(k, r), _hinge(k, c)] for r in rates for c in breaks]
    return _stack("exponential with a corner", columns, 2, np.tile(breaks, len(rates)))


def _decay(
    name: str, columns: list[Floats], curve: Callable[[float], Floats], rates: Floats, y: Floats, weights: Floats
) -> Fit | None:
    """Columns and one decaying curve, its rate on a grid and then on a finer one about the best."""
    found = fit(_stack(name, [[*columns, curve(r)] for r in rates], 1), y, weights)
    if found is None:
        return None
    low, high = rates[max(found.chosen - 1, 0)], rates[min(found.chosen + 1, len(rates) - 1)]
    finer = fit(_stack(name, [[*columns, curve(r)] for r in np.geomspace(low, high, 41)], 1), y, weights)
    return finer if finer is not None and finer.rss < found.rss else found


def _unit(k: Floats) -> Floats:
    unit: Floats = (k - k[0]) / (k[-1] - k[0])
    return unit


def _hinge(k: Floats, at: float) -> Floats:
    hinge: Floats = np.maximum(k - at, 0) / (k[-1] - k[0])
    return hinge


def _power(k: Floats, exponent: float) -> Floats:
    fall: Floats = (k / k[0]) ** -exponent
    return fall


def _exponential(k: Floats, scale: float) -> Floats:
    fall: Floats = np.exp(-(k - k[0]) / scale)
    return fall


def _powers() -> Floats:
    return np.geomspace(0.02, 10, RATES)


def _scales(k: Floats) -> Floats:
    scales: Floats = np.geomspace(0.015, 20, RATES) * (k[-1] - k[0])
    return scales[scales > SHORTEST]


def _shape(name: str, columns: list[Floats]) -> Shape:
    return _stack(name, [columns], 0)


def _stack(name: str, designs: list[list[Floats]], nonlinear: int, breaks: Floats | None = None) -> Shape:
    stacked = np.stack([np.column_stack(columns) for columns in designs])
    parameters = stacked.shape[2] + nonlinear + 1
    return Shape(name, stacked, parameters, np.full(len(stacked), np.nan) if breaks is None else breaks)
