"""Which dim3 to use where a curve has no corner: rules whose answer doesn't move with the scanned range."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import Floats

DEFAULT_RULE = "gain:0.05"
HALF_WINDOW = 3
"""Points on each side of a step over which its gain is smoothed; fewer, as many on both sides, near an end."""
NOTHING = 1e-6
"""Of the largest error: what is below it counts as that much."""


ROUNDING = 1e-9  # a gain of exactly the share is not less than it


class Rule(NamedTuple):
    """`gain` or `unexplained`, and its share."""

    name: str
    share: float

    @classmethod
    def parse(cls, text: str) -> Rule:
        """`gain:0.05` or `unexplained:0.10`. Raises ValueError."""
        name, _, number = text.partition(":")
        try:
            share = float(number)
        except ValueError:
            share = np.nan
        if name not in ("gain", "unexplained") or not 0 < share < 1:
            raise ValueError(f"rule must be gain:SHARE or unexplained:SHARE with a share between 0 and 1, got {text!r}")
        return cls(name, share)

    def first(self, dim3: Floats, means: Floats) -> Floats:
        """The smallest of dim3 (D,) that meets the rule in each curve of `means` (n, D): (n,), nan where none does."""
        gain = self.name == "gain"
        met = gains(dim3, means) < self.share * (1 - ROUNDING) if gain else means <= self.share * (1 + ROUNDING)
        return np.where(met.any(axis=1), dim3[met.argmax(axis=1)], np.nan)

    @property
    def words(self) -> str:
        """The dim3 that the rule chooses, in words."""
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
    """The choice by `rule` from the mean curve (D,), and its interval from redrawn ones (n, D)."""
    first = rule.first(dim3, mean[None])[0]
    low, high = interval(rule.first(dim3, draws), first)
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


def gains(dim3: Floats, means: Floats) -> Floats:
    """By what share one more dimension lowers the error at each dim3 but the last: (n, D - 1) of (n, D).

    From the slope of the logarithm through the points about the step, as many on both sides, so that what
    lies far off has no say, and a longer range changes nothing.
    """
    largest = means.max(axis=1, keepdims=True)
    logs = np.log(np.maximum(means / np.where(largest > 0, largest, 1), NOTHING))
    points = len(dim3)
    slopes = np.zeros((points - 1, points))
    for step in range(points - 1):
        half = min(HALF_WINDOW, step + 1, points - 1 - step)
        window = slice(step + 1 - half, step + 1 + half)
        offsets = dim3[window] - dim3[window].mean()
        slopes[step, window] = offsets / (offsets @ offsets)
    lowered: Floats = 1 - np.exp(logs @ slopes.T)
    return lowered


def interval(answers: Floats, first: float) -> tuple[int | None, int | None]:
    """The middle 95 % of answers, and the `first` one; nan counts as beyond the range, and comes back as None."""
    low, high = np.quantile(np.where(np.isnan(answers), np.inf, answers), [0.025, 0.975], method="nearest")
    low, high = min(low, np.inf if np.isnan(first) else first), max(high, np.inf if np.isnan(first) else first)
    return (None if np.isinf(low) else round(float(low)), None if np.isinf(high) else round(float(high)))
