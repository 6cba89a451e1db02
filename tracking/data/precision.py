"""The limits of 32 bits, in which models train: rows that would lose their variation stay in 64 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from elbowroom.models import Rows

LARGEST = float(np.finfo(np.float32).max) / 2**12
"""The largest number that is accepted: it leaves room for scores, sums over a row, a decoder's overshoot."""
SMALLEST = float(np.finfo(np.float32).tiny) * 128
"""Below it float32 loses digits."""
_MOST_OFFSET = 3000  # standard deviations from 0; beyond, rounding to float32 adds over 1e-8 of the rows' variance
_ROUNDINGS = 10
_DOMINANT, _FEWEST_COLUMNS = 0.9, 3  # share of the variance, of so many columns at least
_BLOCK = 1 << 22  # numbers that are converted at a time


def far_from_zero(x: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """The columns of x (N, dim1) whose variation is so small against their mean that float32 loses it."""
    if x.dtype.itemsize < 4 or x.dtype == np.float32 or not x.size:
        return np.array([], dtype=np.intp)
    squares, deviations = sums_of_squares(x, 0.0), sums_of_squares(x, x.mean(axis=0, dtype=np.float64))
    return np.flatnonzero((squares > _MOST_OFFSET**2 * deviations) & (x.max(axis=0) > x.min(axis=0)))


def sums_of_squares(x: npt.NDArray[Any], center: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    """The sum over the rows x (N, dim1) of the squares of x - center, (dim1,), without a copy of the rows."""
    total = np.zeros(x.shape[1])
    for rows in blocks(x):
        total += np.square(x[rows] - center, dtype=np.float64).sum(axis=0)
    return total


def dominant(variances: npt.NDArray[np.float64]) -> tuple[int, float] | None:
    """The column with more than 90 % of all columns' variance (dim1,), and its share; None where there is none."""
    total = float(variances.sum())
    if len(variances) < _FEWEST_COLUMNS or not total:
        return None
    largest = int(variances.argmax())
    share = float(variances[largest]) / total
    return (largest, share) if share > _DOMINANT else None


def fits_float32(values: npt.NDArray[np.float64]) -> bool:
    """Whether float32 holds the range and the variation of a column (N,), which may have nan."""
    known = values[~np.isnan(values)]
    if not known.size:
        return True
    low, high = float(known.min()), float(known.max())
    inside = max(-low, high) <= LARGEST and (low == high or high - low >= SMALLEST)
    return inside and not far_from_zero(known[:, None]).size


def resolution(x: Rows, mean: npt.NDArray[np.float64]) -> float:
    """The squared error below which an error on the rows x (N, dim1) says nothing: of ten roundings to float32.

    Models compute in float32 on rows less the mean row. PCA of rows of exact rank 4 to 20 has the error of 3 to 8.
    """
    total = 0.0
    for rows in blocks(x):
        step = np.spacing(np.abs(x[rows] - mean).astype(np.float32)).astype(np.float64)
        total += float(np.square(step).sum())
    return _ROUNDINGS**2 * total / 12 / x.size


def blocks(x: npt.NDArray[Any]) -> list[slice]:
    """Slices of the rows of x (N, dim1) that need little memory in float64."""
    step = max(1, _BLOCK // x.shape[1])
    return [slice(i, i + step) for i in range(0, len(x), step)]
