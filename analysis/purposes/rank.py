"""The purpose `rank`: the dim3 that predicts hidden entries of held-out rows best.

Beyond the common factors each latent fits noise of the visible entries, so the error has a minimum: Wold 1978; Bro,
Kjeldahl, Smilde & Kiers 2008; Owen & Perry 2009. It counts what columns predict of each other: noise that neighbours
share, as in pictures, is counted, and a factor that lives in one column is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from elbowroom.tracking.store.text import ranges

from .. import Floats
from .choice import Choice
from .uncertainty import Variance, pooled, spread

_MARGIN = 2.0  # standard errors
_WIDE, _WIDE_DIM3 = 0.75, 2  # groupings disagree where their answers differ by more than both; a share of the choice
_EQUAL = 1e-6  # difference of equal errors, as a share of the mean row's: rounding
_RESIDUE = 0.01  # of the mean row's error: what training leaves where there is hardly any noise
_ROUNDING = 1e-6  # of the largest singular value: a smaller one is rounding


class Beside(NamedTuple):
    """Other counts of the data's components, and the columns with a correlation above 0.95; None where not known."""

    parallel_analysis: int | None = None
    gavish_donoho: int | None = None
    copies: int | None = None


def rank(label: str, by_dim3: Mapping[int, Floats], mean_row: Floats, beside: Beside, *, seeded: bool = True) -> Choice:
    """Choose the dim3 with the least squared error of hidden entries; 0 is the mean row.

    Of equal errors the first counts. Errors of a trained model below a hundredth of the mean row's are equal: data
    without noise leave the residue of each training, which has its least at any dim3 from the rank on.

    The interval reaches, without a gap, as far as errors lie within two standard errors of the best, paired over rows,
    groupings of the columns and trainings, and on to the dim3 next to a worse one, scanned or not; it includes the
    answers of single groupings. Where these differ widely the rank is not identified; it is not reached where the last
    dim3 is the best.

    Parameters
    ----------
    label
        The model's.
    by_dim3
        Errors (S, G, N) of S trainings, G groupings and N rows, in variances of a column. A dim3 may have fewer rows
        than others: the first ones.
    mean_row : (G, N)
        Errors of the mean row, with as many rows as the longest.
    beside
        To compare with.
    seeded
        Whether trainings differ.

    Returns
    -------
    Choice
        Its value is the mean error of the best dim3, on the rows that chose.
    """
    rows = min(given.shape[2] for given in by_dim3.values())
    trained = [by_dim3[dim3][:, :, :rows] for dim3 in sorted(by_dim3)]
    dim3 = [0, *sorted(by_dim3)]
    seeds = np.array([np.inf, *map(len, trained)])  # the mean row does not depend on a training
    errors = np.stack([mean_row[:, :rows], *(given.mean(axis=0) for given in trained)])  # (D, G, N)
    equal = _RESIDUE if seeded else 0.0
    best = _first_least(errors.mean(axis=(1, 2)), equal)
    value = float(errors[best].mean())
    of_one = pooled(given.mean(axis=(1, 2)) / given.mean() for given in trained)
    between = of_one.of_one * value**2 * (1 / seeds + 1 / seeds[best])  # of a difference between two dim3
    near = [
        difference.mean() <= _MARGIN * _error(difference, Variance(variance, of_one.freedom))
        for difference, variance in zip(errors - errors[best], between, strict=True)
    ]
    own = [_first_least(errors[:, g].mean(axis=1), equal) for g in range(errors.shape[1])]
    low = min([best - sum(1 for _ in takewhile(bool, reversed(near[:best]))), *own])
    high = max([best + sum(1 for _ in takewhile(bool, near[best + 1 :])), *own])
    # What was not scanned was not excluded.
    interval = dim3[low - 1] + 1 if low else 0, dim3[high + 1] - 1 if high < len(near) - 1 else None
    apart = dim3[max(own)] - dim3[min(own)]
    identified = apart <= max(_WIDE_DIM3, _WIDE * dim3[best])
    reached = identified and best < len(near) - 1
    copies = f"; {beside.copies} columns nearly copy another" if beside.copies and apart else ""
    if reached:
        sentence = _reached(dim3, best, interval, beside) + copies
        sentence += "; this network" if seeded and max(map(len, trained)) == 1 else ""
    elif identified:
        sentence = f"rank is not reached by {dim3[best]}, which predicts hidden entries best: extend the range"
    else:
        sentence = f"rank is not identified: groupings of the columns say {dim3[min(own)]} to {dim3[max(own)]}{copies}"
    smaller = dim3[:best] if reached else dim3
    return Choice(
        choice=dim3[best] if reached else None,
        below=smaller[-1] if smaller else None,
        interval=interval if identified else None,
        reached=reached,
        value=value,
        seeds=int(seeds[best]) if best else len(trained[0]),
        rows=rows,
        sentence=f"{label}: {sentence}",
        missing="" if identified else sentence,
    )


def gavish_donoho(spectrum: Floats, rows: int, dim1: int) -> int:
    """Return the number of singular values above the optimal hard threshold for white noise of unknown size.

    Gavish & Donoho 2014, with their cubic approximation of its ratio to the median singular value.

    Parameters
    ----------
    spectrum : (min(rows, dim1),)
        Eigenvalues of the covariance, descending.
    rows, dim1
        Of the data that it comes from.

    Returns
    -------
    int
        Components; weaker ones cost more error than they remove.
    """
    values = np.sqrt(spectrum[: rows - 1])  # centred rows have rank rows - 1
    beta = min(rows - 1, dim1) / max(rows - 1, dim1)
    ratio = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
    return int((values > max(ratio * float(np.median(values)), _ROUNDING * float(values[0]))).sum())


def _first_least(errors: Floats, equal: float) -> int:
    """The place of the least of errors (D,), of which the first is the mean row's; of equal ones, the first.

    Errors below `equal`, a share of the mean row's, are equal.
    """
    return int(np.argmax(errors <= max(errors.min() + _EQUAL * errors[0], equal * errors[0])))


def _error(difference: Floats, between: Variance) -> float:
    """The standard error of the mean of a difference (G, N), over rows, groupings and trainings."""
    groupings = difference.mean(axis=1)
    of_groupings = groupings.std(ddof=1) / np.sqrt(len(groupings))
    return float(np.hypot(spread(difference.mean(axis=0), 1, between).error, of_groupings))


def _reached(dim3: list[int], best: int, interval: tuple[int, int | None], beside: Beside) -> str:
    """The answer, and which dim3 beside it were not scanned."""
    choice, (low, high) = dim3[best], interval
    upto = f"{low} or more" if high is None else f"{low} to {high}"
    open_ = f" ({upto} not excluded)" if high != low else ""
    gaps = sorted({*range(low, (dim3[-1] if high is None else high) + 1)} - {*dim3})
    answer = f"rank {choice}{open_}, by predicting hidden entries{f'; {ranges(gaps)} not scanned' if gaps else ''}"
    if choice == 0:
        answer += ": no common factor is predicted"
    counts = {"parallel analysis": beside.parallel_analysis, "Gavish-Donoho": beside.gavish_donoho}
    known = {name: count for name, count in counts.items() if count is not None}
    if known:
        answer += "; " + ", ".join(f"{name} {count}" for name, count in known.items())
    if any(count < low or (high is not None and count > high) for count in known.values()):
        answer += ": they disagree"
    return answer
