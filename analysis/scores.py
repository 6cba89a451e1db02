"""Curves of what is better the higher it is: turned into errors where they are said to be scores, refused else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.optimize import isotonic_regression

from tracking.schema import LABEL_LENGTH, clean

from .elbow import LEAST_POINTS, POINTS_TO_TELL
from .errors import BadInput
from .shapes import Floats

CurveIs = Literal["error", "score"]
MOST_FALL = 0.05  # of the range of a curve that rises, by which it may fall below its first value
LEAST_RISE = 1e-3  # of its largest value, by which it rises
RISING, RISING_FEW = 0.8, 0.95  # of the variance that the best rising curve explains; with too few points for a corner


def best_score(values: Sequence[float]) -> float:
    """The best value that such scores can have: error = best - score. Raises BadInput where it is not known."""
    low, high = min(values), max(values)
    if low >= 0 and high <= 100:
        return 1.0 if high <= 1 else 100.0
    if high <= 0:
        return 0.0
    raise BadInput(
        f"curve-is score: the best value of scores from {low:g} to {high:g} is not known; allowed are scores from 0 to "
        "1, from 0 to 100, or at most 0; else give errors, the best value minus the score"
    )


def as_said(best: float) -> str:
    """How scores were read, in a sentence."""
    return f"read as scores: error = {best:g} - score"


def rises(mean: Floats) -> bool:
    """Whether a mean curve (D,) rises from its start; one that falls and then rises does not."""
    span = float(np.ptp(mean))
    if len(mean) < LEAST_POINTS or span <= LEAST_RISE * mean.max() or mean[0] - mean.min() > MOST_FALL * span:
        return False
    left = ((mean - isotonic_regression(mean).x) ** 2).sum() / ((mean - mean.mean()) ** 2).sum()
    return bool(1 - left >= (RISING if len(mean) >= POINTS_TO_TELL else RISING_FEW))


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
    if mean.max() <= 100:
        guess = "explained variance, R² or accuracy" + ("" if mean.max() <= 1 else " in percent")
        flag = f"--curve-is score reads error = {best_score(mean.tolist()):g} - score"
    else:
        guess, flag = "score without a known best value", "give errors, the best value minus the score"
    raise BadInput(f"{said}: is it a score ({guess})? {flag}. If it is an error, {first} errs least")
