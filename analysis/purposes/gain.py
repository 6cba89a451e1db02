"""The purpose `gain`: the dim3 after which no dimension of the range lowers the error by more than a share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .. import Floats
from .choice import spanned

_Bools = npt.NDArray[np.bool_]

_HALF_WINDOW = 3  # points on each side of a step over which its gain is smoothed
_SMALLEST_ERROR = 1e-6  # as a share of the largest: smaller errors are replaced by it before a logarithm
_ROUNDING = 1e-9  # a gain that equals the share is neither less nor more
_NOISE_SIGMAS = 3.0  # standard deviations that are noise, as up to a hundred gains are compared


class Returns(NamedTuple):
    """A dim3, None where there is none, and its 95 % interval, an end of which is None where it leaves the range.

    continues: a dimension lowers the error by more than the share at the end of the range.
    """

    dim3: int | None
    interval: tuple[int | None, int | None]
    continues: bool
    sentence: str


def returns(share: float, dim3: Floats, mean: Floats, draws: Floats) -> Returns:
    """Find the dim3 after which no dimension of the range lowers the error by more than a share, beyond noise.

    Parameters
    ----------
    share
        Of the error, from 0 to 1.
    dim3
        (D,), ascending.
    mean
        The mean curve (D,).
    draws
        Bootstrap samples of it (n, D), for the interval and the noise of the gains.
    """
    gains, less, more = _compare(dim3, np.vstack([mean, draws]), share)
    answers = _diminishing(dim3, less, more)
    first, interval = answers[0], _interval(answers[1:], answers[0])
    percent = f"{100 * share:.3g} %"
    if first == -np.inf:
        nowhere = f"no dimension of the range is shown to lower the error by more than {percent}, beyond noise"
        return Returns(None, interval, False, f"{nowhere}: where returns diminish is not seen")
    words = f"the smallest dim3 after which no dimension of the range lowers the error by more than {percent}"
    if first == np.inf:
        why = f"not reached by dim3 {dim3[-1]:.0f}, the end of the range"
        rises = np.flatnonzero(more[0] & (less[0].cumsum() > 0))
        if len(rises):
            step = rises[gains[rises].argmax()]
            why = f"gains rise again later, to {100 * gains[step]:.2g} % after dim3 {dim3[step]:.0f}"
        return Returns(None, interval, True, f"{words}: {why}: extend the range")
    spread = "" if interval == (first, first) else f" ({spanned(interval)})"
    return Returns(round(float(first)), interval, False, words + spread)


def _compare(dim3: Floats, curves: Floats, share: float) -> tuple[Floats, _Bools, _Bools]:
    """Compare the gains of a curve, the first, and of its bootstrap samples with a share.

    Where the gain of one step differs from the share beyond its noise it counts, else the smoothed one: after a sharp
    corner only the former is small at once, and a single large gain is large in it alone.

    Parameters
    ----------
    dim3 : (D,)
        Ascending.
    curves : (n, D)
        Errors.
    share
        Of the error.

    Returns
    -------
    gains : (D - 1,)
        Those of the first curve.
    less, more : (n, D - 1)
        Whether a gain is so; it may be neither. More are those beyond the noise.
    """
    single, smoothed = _gains(dim3, curves, 1), _gains(dim3, curves)
    of_single, noise = (_NOISE_SIGMAS * gains[1:].std(axis=0) for gains in (single, smoothed))
    rounding = share * _ROUNDING
    sure = np.abs(single - share) > of_single + rounding
    gains = np.where(sure, single, smoothed)
    return gains[0], gains < share - rounding, np.where(sure, gains, gains - noise) > share + rounding


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
