"""Rules on a curve alone: `gain`, the dim3 after which returns diminish, and `unexplained`, a share of the error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from elbowroom.tracking.store.errors import BadInput

from .. import Floats

_Bools = npt.NDArray[np.bool_]

DEFAULT_RULE = "gain:0.05"
_HALF_WINDOW = 3  # points on each side of a step over which its gain is smoothed
_SMALLEST_ERROR = 1e-6  # as a share of the largest: smaller errors are replaced by it before a logarithm
_ROUNDING = 1e-9  # a gain that equals the share is neither less nor more
_NOISE_SIGMAS = 3.0  # standard deviations that are noise, as up to a hundred gains are compared


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

    @property
    def words(self) -> str:
        """The definition of the dim3 that the rule chooses, for a page."""
        share = f"{100 * self.share:.3g} %"
        if self.name == "gain":
            return f"the smallest dim3 after which no dimension of the range lowers the error by more than {share}"
        return f"the smallest dim3 that leaves at most {share} of the mean predictor's error"


class Choice(NamedTuple):
    """A dim3, None where the rule gives none, and its 95 % interval, an end of which is None where it leaves the range.

    continues: the error still falls too fast, or is too large, at the end of the range.
    """

    dim3: int | None
    interval: tuple[int | None, int | None]
    continues: bool
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
        Bootstrap samples of it (n, D), for the interval and the noise of the gains.
    """
    curves = np.vstack([mean, draws])
    share, reason = f"{100 * rule.share:.3g} %", f"not reached by dim3 {dim3[-1]:.0f}, the end of the range"
    if rule.name == "gain":
        gains = _gains(dim3, curves)
        less, more = _compare(gains, _gains(dim3, curves, 1), rule.share)
        answers = _diminishing(dim3, less, more)
        rises = np.flatnonzero(more[0] & (less[0].cumsum() > 0))
        if len(rises):
            step = rises[gains[0, rises].argmax()]
            reason = f"gains rise again later, to {100 * gains[0, step]:.2g} % after dim3 {dim3[step]:.0f}"
    else:
        met = curves <= rule.share * (1 + _ROUNDING)
        answers = np.where(met.any(axis=1), dim3[met.argmax(axis=1)], np.inf)
    first, (low, high) = answers[0], _interval(answers[1:], answers[0])
    if first == -np.inf:
        nowhere = f"no dimension of the range lowers the error by more than {share}"
        return Choice(None, (low, high), False, f"{nowhere}: where returns diminish is not seen")
    if first == np.inf:
        return Choice(None, (low, high), True, f"{rule.words}: {reason}: extend the range")
    ends = f"{'before the range' if low is None else low} to {'beyond the range' if high is None else high}"
    spread = "" if low == high else f" (95 % interval {ends})"
    return Choice(round(float(first)), (low, high), False, rule.words + spread)


def _compare(smoothed: Floats, single: Floats, share: float) -> tuple[_Bools, _Bools]:
    """Tell which gains are less and which are more than a share.

    Parameters
    ----------
    smoothed, single : (n, D - 1)
        Gains of a curve and of its bootstrap samples, over a window and over one step. After a sharp corner only the
        latter is small at once.
    share
        Of the error.

    Returns
    -------
    tuple of (n, D - 1)
        A gain may be neither. More, and less by one step alone, are beyond the noise.
    """
    noise, of_single = (_NOISE_SIGMAS * gains[1:].std(axis=0) for gains in (smoothed, single))
    below, above = share * (1 - _ROUNDING), share * (1 + _ROUNDING)
    less = (smoothed < below) | (single + of_single < below)
    return less, (smoothed - noise > above) & ~less


def _diminishing(dim3: Floats, less: _Bools, more: _Bools) -> Floats:
    """Return the smallest dim3 whose gain is less than the share and after which none is more.

    Parameters
    ----------
    dim3 : (D,)
        Ascending.
    less, more : (n, D - 1)
        Whether the gain after each dim3 but the last is so, in n curves.

    Returns
    -------
    (n,)
        Infinity where none is less after the last that is more; minus infinity where none is more, as gains may have
        diminished before the range.
    """
    steps = np.arange(less.shape[1])
    last = np.where(more, steps, -1).max(axis=1)
    enough = less & (steps > last[:, None])
    return np.where(last < 0, -np.inf, np.where(enough.any(axis=1), dim3[enough.argmax(axis=1)], np.inf))


def _gains(dim3: Floats, curves: Floats, most: int = _HALF_WINDOW) -> Floats:
    """Return the share by which one more dimension lowers the error, at each dim3 but the last.

    Parameters
    ----------
    dim3 : (D,)
        Ascending.
    curves : (n, D)
        Errors.
    most
        Points on each side of the step; fewer near an end.

    Returns
    -------
    (n, D - 1)
        From the slope of log(error) over as many points on both sides of the step.
    """
    largest = curves.max(axis=1, keepdims=True)
    logs = np.log(np.maximum(curves / np.where(largest > 0, largest, 1), _SMALLEST_ERROR))
    points = len(dim3)
    slopes = np.zeros((points - 1, points))
    for step in range(points - 1):
        half = min(most, step + 1, points - 1 - step)
        window = slice(step + 1 - half, step + 1 + half)
        offsets = dim3[window] - dim3[window].mean()
        slopes[step, window] = offsets / (offsets @ offsets)
    lowered: Floats = 1 - np.exp(logs @ slopes.T)
    return lowered


def _interval(answers: Floats, first: float) -> tuple[int | None, int | None]:
    """The middle 95 % of the answers, widened to the `first`; infinity is beyond the range, and becomes None."""
    low, high = np.quantile(answers, [0.025, 0.975], method="nearest")
    ends = min(low, first), max(high, first)
    return tuple(None if np.isinf(end) else round(float(end)) for end in ends)  # type: ignore[return-value]
