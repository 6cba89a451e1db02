"""Elbow criteria of the literature, for the table beside the verdict.

Each returns a dim3 of a `Curve`, or None where it has no answer. Most answers move with the scanned range, so none of
them is the verdict.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import Floats
from .shapes import Points, breakpoints, broken_line, fit

_LEAST_SIDE = 2  # points of each line of the L-method
_LEAST_RANGE = 8  # points of a range on which kneedle is tried


class Curve(NamedTuple):
    """dim3 (D,), ascending, and error (S, D), a row a seed."""

    dim3: Floats
    error: Floats

    @property
    def mean(self) -> Floats:
        """Over seeds, (D,)."""
        mean: Floats = self.error.mean(axis=0)
        return mean


def kneedle(curve: Curve) -> int | None:
    """Return the point farthest below the chord (Satopää et al. 2011), by kneed."""
    if not np.ptp(curve.mean):
        return None
    kneed = importlib.import_module("kneed")  # here, as it imports scipy.signal: 0.6 s at the start of each study
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No knee/elbow found")
        found = kneed.KneeLocator(curve.dim3, curve.mean, curve="convex", direction="decreasing").knee
    return None if found is None else round(float(found))


def _l_method(curve: Curve) -> int | None:
    """Return the end of the first of two lines of least weighted root mean square error (Salvador & Chan 2004)."""
    k = curve.dim3
    points = len(k)
    splits = range(_LEAST_SIDE, points - _LEAST_SIDE + 1)
    if not splits:
        return None
    y = curve.mean
    costs = [
        (i * _line_rmse(k[:i], y[:i]) + (points - i) * _line_rmse(k[i:], y[i:])) / points for i in splits
    ]  # fmt: skip
    return round(float(k[splits[int(np.argmin(costs))] - 1]))


def _two_segment(curve: Curve) -> int | None:
    """Return the breakpoint of the broken line that fits best."""
    at = breakpoints(curve.dim3)
    if not len(at):
        return None
    found = fit(broken_line(curve.dim3, at), Points(curve.dim3, curve.mean, np.ones_like(curve.dim3)))
    return None if found is None else round(found.breakpoint)


def _second_difference(curve: Curve) -> int | None:
    """Return the dim3 at which the slope between neighbours increases most."""
    changes = np.diff(np.diff(curve.mean) / np.diff(curve.dim3))
    best = int(changes.argmax())
    return round(float(curve.dim3[best + 1])) if changes[best] > 0 else None


def _one_standard_error(curve: Curve) -> int | None:
    """Return the smallest dim3 within a standard error of the least error (Breiman et al. 1984); needs two seeds."""
    seeds = len(curve.error)
    if seeds < 2:
        return None
    least = int(curve.mean.argmin())
    bound = curve.mean[least] + curve.error[:, least].std(ddof=1) / np.sqrt(seeds)
    return round(float(curve.dim3[int((curve.mean <= bound).argmax())]))


CRITERIA: dict[str, Callable[[Curve], int | None]] = {
    "kneedle": kneedle,
    "l_method": _l_method,
    "two_segment": _two_segment,
    "second_difference": _second_difference,
    "one_standard_error": _one_standard_error,
}


def elasticity(curve: Curve) -> float | None:
    """Return the slope of log(kneedle's answer) on log(end of the range), of ranges of 8 points and more.

    0 for a corner, which stays; 1/2 for the error 1/dim3, whose knee is the geometric mean of the ends. None where
    kneedle answers for fewer than three ranges.
    """
    ends = np.unique(np.geomspace(_LEAST_RANGE, max(len(curve.dim3), _LEAST_RANGE), 12).round().astype(int))
    ends = ends[ends <= len(curve.dim3)]
    knees = [kneedle(Curve(curve.dim3[:n], curve.error[:, :n])) for n in ends]
    pairs = [(curve.dim3[n - 1], knee) for n, knee in zip(ends, knees, strict=True) if knee is not None]
    if len(pairs) < 3:
        return None
    end, knee = np.log(np.array(pairs, dtype=float)).T
    return float(np.polyfit(end, knee, 1)[0])


def _line_rmse(x: Floats, y: Floats) -> float:
    if len(x) <= 2:
        return 0.0
    residuals = y - np.polyval(np.polyfit(x, y, 1), x)
    return float(np.sqrt(np.mean(residuals**2)))
