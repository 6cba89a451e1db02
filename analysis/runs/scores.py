"""Scores, which are better the higher they are: turned into errors, or refused where errors are expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy

from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .. import Floats
from ..elbow import LEAST_POINTS, POINTS_TO_TELL

CurveIs = Literal["error", "score"]
_MOST_FALL = 0.2  # below the first value, as a share of the curve's range
_LEAST_RISE = 1e-3  # as a share of the largest value, where the curve has few points
_ROUNDING = 1e-9  # the same where it has enough
_LEAST_SHARE = 0.05  # of the best value, that the highest score must reach
_RISING, _RISING_FEW = 0.8, 0.95  # share of the variance that an isotonic fit must explain; where points are few


def best_score(values: Sequence[float]) -> float:
    """Return the best value that such scores can have. Raises BadInput where it is unknown."""
    best = _best(values)
    if best is None:
        raise BadInput(
            f"curve-is score: the best value of scores from {min(values):g} to {max(values):g} is not known; allowed "
            "are scores whose best is 1, 100 or 0; else give errors, the best value minus the score"
        )
    return best


def _best(values: Sequence[float]) -> float | None:
    """1 for shares and for R², which may be negative; 100 for percentages; 0 for log-likelihoods; None for others."""
    low, high = min(values), max(values)
    if high <= 0:
        return 0.0
    if low >= -1 and _LEAST_SHARE <= high <= 1:
        return 1.0
    return 100.0 if low >= 0 and 100 * _LEAST_SHARE <= high <= 100 else None


def as_said(best: float) -> str:
    """Return how scores were read, for a page."""
    return f"read as scores: error = {best:g} - score"


def _rises(mean: Floats) -> bool:
    """Whether a mean curve (D,) rises from its start: an isotonic fit explains it, and it hardly falls first."""
    span, few = float(np.ptp(mean)), len(mean) < POINTS_TO_TELL
    if len(mean) < LEAST_POINTS or span <= (_LEAST_RISE if few else _ROUNDING) * mean.max():
        return False
    if mean[0] - mean.min() > _MOST_FALL * span:
        return False
    unexplained = ((mean - scipy.optimize.isotonic_regression(mean).x) ** 2).sum() / ((mean - mean.mean()) ** 2).sum()
    return bool(1 - unexplained >= (_RISING_FEW if few else _RISING))


def check_falls(label: str, dim3: Sequence[int], error: Floats, curve_is: CurveIs) -> None:
    """Raise BadInput, with the flag to type, where a curve rises.

    Parameters
    ----------
    label
        Of the curve.
    dim3
        (D,).
    error
        (S, D); of scores, the best value minus the score.
    curve_is
        What the user said the curve is.
    """
    mean = error.mean(axis=0)
    if not _rises(mean):
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
