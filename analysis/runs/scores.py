"""Curves of what is better the higher it is: turned into errors where they are said to be scores, refused else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy

from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .. import Floats
from ..elbow.verdict import LEAST_POINTS, POINTS_TO_TELL

CurveIs = Literal["error", "score"]
MOST_FALL = 0.2  # of the range of a curve that rises, by which it may fall below its first value
LEAST_RISE = 1e-3  # of its largest value, by which it rises where it has few points
ROUNDING = 1e-9  # of it, which is no rise
LEAST_SHARE = 0.05  # of the best value of a score, that one is at least
RISING, RISING_FEW = 0.8, 0.95  # of the variance that the best rising curve explains; with too few points for a corner


def best_score(values: Sequence[float]) -> float:
    """The best value that such scores can have: error = best - score. Raises BadInput where it is not known."""
    best = _best(values)
    if best is None:
        raise BadInput(
            f"curve-is score: the best value of scores from {min(values):g} to {max(values):g} is not known; allowed "
            "are scores whose best is 1, 100 or 0; else give errors, the best value minus the score"
        )
    return best


def _best(values: Sequence[float]) -> float | None:
    """1 of shares and of R², which may be below 0; 100 of percentages; 0 of a log-likelihood; None of others."""
    low, high = min(values), max(values)
    if high <= 0:
        return 0.0
    if low >= -1 and LEAST_SHARE <= high <= 1:
        return 1.0
    return 100.0 if low >= 0 and 100 * LEAST_SHARE <= high <= 100 else None


def as_said(best: float) -> str:
    """How scores were read, in a sentence."""
    return f"read as scores: error = {best:g} - score"


def rises(mean: Floats) -> bool:
    """Whether a mean curve (D,) rises from its start; one that falls and then rises does not."""
    span, few = float(np.ptp(mean)), len(mean) < POINTS_TO_TELL
    if len(mean) < LEAST_POINTS or span <= (LEAST_RISE if few else ROUNDING) * mean.max():
        return False
    if mean[0] - mean.min() > MOST_FALL * span:
        return False
    left = ((mean - scipy.optimize.isotonic_regression(mean).x) ** 2).sum() / ((mean - mean.mean()) ** 2).sum()
    return bool(1 - left >= (RISING_FEW if few else RISING))


def check_falls(label: str, dim3: Sequence[int], error: Floats, curve_is: CurveIs) -> None:
    """Raise BadInput, with the flag to type, where a curve (S, D) rises: it is not what it is said to be."""
    mean = error.mean(axis=0)
    if not rises(mean):
        return
    name, first, last = clean(label, LABEL_LENGTH), f"dim3 {dim3[0]}", f"dim3 {dim3[-1]}"
    if curve_is == "score":
        raise BadInput(
            f"the scores of {name!r} fall from {first} to {last}: are they errors? Leave out --curve-is score"
        )
    said = f"the curve {name!r} rises from {mean[0]:.4g} at {first} to {mean[-1]:.4g} at {last}"
    best = _best(mean.tolist())
    guess, flag = "score without a known best value", "give errors, the best value minus the score"
    if best is not None:
        guess = "explained variance, R² or accuracy" + " in percent" * (best == 100)
        flag = f"--curve-is score reads error = {best:g} - score"
    least = dim3[int(mean.argmin())]
    raise BadInput(f"{said}: is it a score ({guess})? {flag}. If it is an error, dim3 {least} errs least")
