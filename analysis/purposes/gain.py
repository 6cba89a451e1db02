"""Rules that choose a dim3 where a curve has no corner; their answers do not move with the scanned range."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elbowroom.tracking.store.errors import BadInput

from .. import Floats

DEFAULT_RULE = "gain:0.05"
_HALF_WINDOW = 3  # points on each side of a step over which its gain is smoothed; fewer near an end
_SMALLEST_ERROR = 1e-6  # as a share of the largest: smaller errors are replaced by it before a logarithm
_ROUNDING = 1e-9  # a gain that equals the share is not less than it


class Rule(NamedTuple):
    """`gain` or `unexplained`, and its share."""

    name: str
    share: float

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Return the rule that `gain:0.05` or `unexplained:0.10` names. Raises BadInput."""
        name, _, number = text.partition(":")
        try:
            share = float(number)
        except ValueError:
            share = np.nan
        if name not in ("gain", "unexplained") or not 0 < share < 1:
            raise BadInput(f"rule must be gain:SHARE or unexplained:SHARE with a share between 0 and 1, got {text!r}")
        return cls(name, share)

    def first(self, dim3: Floats, curves: Floats) -> Floats:
        """Return the smallest dim3 that meets the rule in each of the curves (n, D): (n,), nan where none does."""
        gain = self.name == "gain"
        met = _gains(dim3, curves) < self.share * (1 - _ROUNDING) if gain else curves <= self.share * (1 + _ROUNDING)
        return np.where(met.any(axis=1), dim3[met.argmax(axis=1)], np.nan)

    @property
    def words(self) -> str:
        """The definition of the dim3 that the rule chooses, for a page."""
        share = f"{100 * self.share:.3g} %"
        if self.name == "gain":
            return f"the smallest dim3 after which one more dimension lowers the error by less than {share}"
        return f"the smallest dim3 that leaves at most {share} of the mean predictor's error"


class Choice(NamedTuple):
    """A dim3, or None where the rule isn't met, its 95 % interval (an end is None where it lies beyond the range)."""

    dim3: int | None
    interval: tuple[int | None, int | None]
    sentence: str


def choose(rule: Rule, dim3: Floats, mean: Floats, draws: Floats) -> Choice:
    """Choose a dim3 by a rule.

    Parameters
    ----------
    rule
        To meet.
    dim3
        (D,), ascending.
    mean
        The mean curve (D,).
    draws
        Bootstrap samples of it (n, D), for the interval.
    """
    first = rule.first(dim3, mean[None])[0]
    low, high = _interval(rule.first(dim3, draws), first)
    if np.isnan(first):
        end = f"dim3 {dim3[-1]:.0f}, the end of the range"
        return Choice(None, (low, high), f"{rule.words}: not reached by {end}: extend the range")
    if low == high:
        spread = ""
    elif high is None:
        spread = f" (95 % interval from {low} to beyond the range)"
    else:
        spread = f" (95 % interval {low} to {high})"
    return Choice(round(float(first)), (low, high), rule.words + spread)


def _gains(dim3: Floats, curves: Floats) -> Floats:
    """The share by which one more dimension lowers the error, at each dim3 but the last: (n, D - 1) of curves (n, D).

    It is the slope of log(error) over a window of as many points on both sides of the step, so a longer range changes
    no gain.
    """
    largest = curves.max(axis=1, keepdims=True)
    logs = np.log(np.maximum(curves / np.where(largest > 0, largest, 1), _SMALLEST_ERROR))
    points = len(dim3)
    slopes = np.zeros((points - 1, points))
    for step in range(points - 1):
        half = min(_HALF_WINDOW, step + 1, points - 1 - step)
        window = slice(step + 1 - half, step + 1 + half)
        offsets = dim3[window] - dim3[window].mean()
        slopes[step, window] = offsets / (offsets @ offsets)
    lowered: Floats = 1 - np.exp(logs @ slopes.T)
    return lowered


def _interval(answers: Floats, first: float) -> tuple[int | None, int | None]:
    """The middle 95 % of the answers, widened to the `first`; nan is beyond the range, and becomes None."""
    low, high = np.quantile(np.where(np.isnan(answers), np.inf, answers), [0.025, 0.975], method="nearest")
    low, high = min(low, np.inf if np.isnan(first) else first), max(high, np.inf if np.isnan(first) else first)
    return (None if np.isinf(low) else round(float(low)), None if np.isinf(high) else round(float(high)))
