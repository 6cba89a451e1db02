"""Models of a curve of error against dim3, smooth or with a corner, their least-squares fits and AICc.

A shape is a stack of design matrices, one for each point of the grid of its non-linear parameters; QR decompositions
fit all of them at once. A corner is a hinge function max(dim3 - breakpoint, 0) in the last column. AICc: Hurvich & Tsai
1989; the search over the breakpoint: Lerman 1980.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import Floats

_VARIANCE_FLOOR = 1e-3**2  # of errors up to 1: curves without noise are not compared by smaller misfits
_MARGIN = 2  # least number of points on each side of a breakpoint
_LEAST_TAIL = 0.1  # least share of the points on the line after a curved start
_RATES = 160  # grid of decay rates of a smooth curve, in steps of 5 %; refined around the best
_HINGED_RATES = 30  # grid of decay rates of a curve with a hinge
_COARSE_BREAKPOINTS = 40  # tried at each decay rate; then all at the best rate
_MOST_BREAKPOINTS = 2000
_MOST_KNOTS = 3  # more would bend like a corner and follow the noise
_SHORTEST_DECAY = 0.3  # in dimensions: shorter decays end between two points
_SHORTEST_HINGED_DECAY = 0.7


class Points(NamedTuple):
    """The points of a curve: dim3 k (D,), errors y (D,), and weights (D,), one over the noise's relative SD."""

    k: Floats
    y: Floats
    weights: Floats


class Shape(NamedTuple):
    """A family of curves on a grid of its non-linear parameters.

    designs (G, D, p) and breakpoints (G,), nan without one, are those of each point of the grid. parameters counts, for
    AICc, the linear and non-linear ones and the variance of the noise.
    """

    name: str
    designs: Floats
    parameters: int
    breakpoints: Floats


class Fit(NamedTuple):
    """The index of a shape's best design, the weighted residual sum of squares, and the fitted curve (D,)."""

    shape: Shape
    design: int
    rss: float
    curve: Floats

    @property
    def breakpoint(self) -> float:
        """The dim3 of the corner, nan where the shape has none."""
        return float(self.shape.breakpoints[self.design])


def fit(shape: Shape, points: Points) -> Fit | None:
    """Fit a shape by weighted least squares; None where each of its corners bends downwards."""
    designs = shape.designs * points.weights[:, None]
    q, r = np.linalg.qr(designs)  # (G, D, p), (G, p, p)
    target = points.weights * points.y
    scores = np.einsum("gdp,d->gp", q, target)
    rss = np.maximum(target @ target - (scores**2).sum(axis=1), 0.0)
    if not np.isnan(shape.breakpoints[0]):
        rss = np.where(scores[:, -1] * np.sign(r[:, -1, -1]) > 0, rss, np.inf)  # the hinge's coefficient is positive
    best = int(rss.argmin())
    if not np.isfinite(rss[best]):
        return None
    return Fit(shape, best, float(rss[best]), q[best] @ scores[best] / points.weights)


def aicc(found: Fit | None, seeds: int = 1, pure_error: float = 0.0) -> float:
    """Return the corrected Akaike information criterion of a fit; infinity without a fit or with too few points.

    Parameters
    ----------
    found
        A fit to the mean curve of the seeds, scaled so that the largest error is 1.
    seeds
        The number of curves, whose points all count; 1 for the mean curve alone.
    pure_error
        The weighted sum of squares of the seeds about their mean, part of the residual variance.
    """
    if found is None:
        return np.inf
    points = len(found.curve)
    n, k = seeds * points, found.shape.parameters
    if points < k or n - k - 1 <= 0:
        return np.inf
    variance = (seeds * found.rss + pure_error) / n + _VARIANCE_FLOOR
    return n * float(np.log(variance)) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def smooth_fits(points: Points) -> list[Fit]:
    """Fit a line, a parabola, powers and exponentials with a constant or a line, and a compressed exponential."""
    k = points.k
    x, one = _unit(k), np.ones_like(k)
    fits = _fits(points, [_stack("line", [[one, x]]), _stack("parabola", [[one, x, x**2]])])
    powers = np.geomspace(0.02, 10, _RATES)
    for name, curve, rates in (("power", _power, powers), ("exponential", _exponential, _scales(k))):
        for tail, columns in (("", [one]), (" and line", [one, x])):
            found = _fit_decay(name + tail, columns, curve, rates, points)
            fits += [] if found is None else [found]
    return [*fits, *_fit_compressed(points)]


def flexible_fits(points: Points) -> list[Fit]:
    """Fit smooth curves of any form: cubic splines in dim3 and in its logarithm, and a logistic curve."""
    k, shapes = points.k, []
    for name, axis in (("in dim3", _unit(k)), ("in log dim3", _unit(np.log(k)))):
        for knots in range(_MOST_KNOTS + 1):
            if 4 + knots + 1 < len(k):
                inner = np.linspace(0, 1, knots + 2)[1:-1]
                columns = [axis**0, axis, axis**2, axis**3, *(np.maximum(axis - q, 0) ** 3 for q in inner)]
                shapes.append(_stack(f"cubic spline {name}, {knots} knots", [columns]))
    span = k[-1] - k[0]
    falls = [
        [np.ones_like(k), 1 / (1 + np.exp(np.clip((k - middle) / (width * span), -50, 50)))]
        for middle in np.linspace(k[0], k[-1], 13)
        for width in np.geomspace(0.04, 0.5, 8)
    ]
    return _fits(points, [*shapes, _stack("logistic", falls, 2)])


def corner_fits(points: Points) -> list[Fit]:
    """Fit a broken line, and an exponential with a corner."""
    k = points.k
    at = breakpoints(k)
    if not len(at):
        return []
    fits = _fits(points, [broken_line(k, at)])
    few = at[np.unique(np.linspace(0, len(at) - 1, _COARSE_BREAKPOINTS).round().astype(int))]
    rates = _scales(k)[:: _RATES // _HINGED_RATES]
    rates = rates[rates > _SHORTEST_HINGED_DECAY]
    coarse = fit(_exponential_corner(k, rates, few), points)
    if coarse is not None:
        rate = rates[coarse.design // len(few)]
        fits.append(fit(_exponential_corner(k, np.array([rate]), at), points) or coarse)
    return fits


def curved_corner_fits(points: Points) -> list[Fit]:
    """Fit corners after a curved start: a parabola or a cubic that meets a line."""
    k = points.k
    at, last = breakpoints(k), k[-1 - max(_MARGIN, round(_LEAST_TAIL * len(k)))]
    shapes = []
    for power in (2, 3):
        inside = at[(at >= k[min(_MARGIN + power - 1, len(k) - 1)]) & (at <= last)]
        if len(inside):
            shapes.append(_polynomial_and_line(k, inside, power, hinge=True))
    return _fits(points, shapes)


def smoothly_joined_fits(points: Points) -> list[Fit]:
    """Fit the smooth counterparts of `curved_corner_fits`: a cubic, and both without the corner."""
    x, ends = _unit(points.k), points.k[_MARGIN + 1 : -1]
    shapes = [_stack("cubic", [[x**0, x, x**2, x**3]])]
    if len(ends):
        shapes += [_polynomial_and_line(points.k, ends, power, hinge=False) for power in (2, 3)]
    return _fits(points, shapes)


def at_fitted_decay(found: Fit) -> Shape:
    """Return the shape of a fit with its decay rate held and every breakpoint: what each bootstrap sample refits."""
    count = len(np.unique(found.shape.breakpoints))
    first = found.design // count * count
    held = slice(first, first + count)
    return found.shape._replace(designs=found.shape.designs[held], breakpoints=found.shape.breakpoints[held])


def breakpoints(k: Floats) -> Floats:
    """Return the breakpoints to try: whole numbers, two points and more from each end, at most 2,000."""
    if len(k) < 2 * _MARGIN + 1:
        return np.array([])
    first, last = k[_MARGIN], k[-1 - _MARGIN]
    if last - first < _MOST_BREAKPOINTS:
        return np.arange(first, last + 1)
    return np.unique(np.linspace(first, last, _MOST_BREAKPOINTS).round())


def broken_line(k: Floats, at: Floats) -> Shape:
    """Return two lines that meet at each of the breakpoints `at`."""
    x, one = _unit(k), np.ones_like(k)
    return _stack("two lines", [[one, x, _hinge(k, c)] for c in at], 1, at)


def _polynomial_and_line(k: Floats, at: Floats, power: int, *, hinge: bool) -> Shape:
    """A parabola (power 2) or a cubic (3) before each breakpoint and a line after it, joined smoothly or by a hinge."""
    x, one = _unit(k), np.ones_like(k)
    span = k[-1] - k[0]
    before = [np.maximum(c - k, 0) / span for c in at]
    columns = [[one, x, *(b**p for p in range(2, power + 1))] for b in before]
    name = "parabola and line" if power == 2 else "cubic and line"
    if not hinge:
        return _stack(f"{name}, joined smoothly", columns, 1)
    return _stack(name, [[*some, _hinge(k, c)] for some, c in zip(columns, at, strict=True)], 1, at)


def _exponential_corner(k: Floats, rates: Floats, at: Floats) -> Shape:
    one = np.ones_like(k)
    columns = [[one, _exponential(k, r), _hinge(k, c)] for r in rates for c in at]
    return _stack("exponential with a corner", columns, 2, np.tile(at, len(rates)))


def _fits(points: Points, shapes: list[Shape]) -> list[Fit]:
    return [found for shape in shapes if (found := fit(shape, points)) is not None]


def _fit_decay(
    name: str, columns: list[Floats], curve: Callable[[Floats, float], Floats], rates: Floats, points: Points
) -> Fit | None:
    """Fit columns and one decaying curve, its rate from a grid, and then from a finer one around the best."""
    found = fit(_stack(name, [[*columns, curve(points.k, r)] for r in rates], 1), points)
    if found is None:
        return None
    low, high = rates[max(found.design - 1, 0)], rates[min(found.design + 1, len(rates) - 1)]
    finer = fit(_stack(name, [[*columns, curve(points.k, r)] for r in np.geomspace(low, high, 41)], 1), points)
    return finer if finer is not None and finer.rss < found.rss else found


def _fit_compressed(points: Points) -> list[Fit]:
    """Fit c + A·exp(-(k/scale)^power), power 1 to 2, as kernel spectra fall: on a grid, and on finer ones at its best.

    Its fall ends within the range: one of a longer scale would follow shallow corners.
    """
    scales, powers = np.geomspace(_SHORTEST_HINGED_DECAY, points.k[-1] / 3, 40), np.linspace(1.2, 2, 3)
    ratio, step, fits = scales[1] / scales[0], 0.4, []
    for _ in range(4):
        found = fit(_compressed(points.k, scales, powers), points)
        if found is None:
            break
        fits.append(found)
        scale, power = divmod(found.design, len(powers))
        scales = scales[scale] * ratio ** np.linspace(-1, 1, 9)
        powers = np.clip(powers[power] + step * np.linspace(-1, 1, 9), 1, 2)
        ratio, step = ratio**0.25, step / 4
    return fits


def _compressed(k: Floats, scales: Floats, powers: Floats) -> Shape:
    """Each scale with each power; the falls are divided by their first value, which may be too small a number."""
    one, exponents = np.ones_like(k), (k / scales[:, None, None]) ** powers[:, None]
    falls = np.exp(exponents[..., :1] - exponents).reshape(-1, len(k))
    return _stack("compressed exponential", [[one, fall] for fall in falls], 2)


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


def _scales(k: Floats) -> Floats:
    scales: Floats = np.geomspace(0.015, 20, _RATES) * (k[-1] - k[0])
    return scales[scales > _SHORTEST_DECAY]


def _stack(name: str, designs: list[list[Floats]], nonlinear: int = 0, at: Floats | None = None) -> Shape:
    """A shape of these columns by design, with so many non-linear parameters, and the breakpoint of each design."""
    stacked = np.stack([np.column_stack(columns) for columns in designs])
    parameters = stacked.shape[2] + nonlinear + 1
    return Shape(name, stacked, parameters, np.full(len(stacked), np.nan) if at is None else at)
