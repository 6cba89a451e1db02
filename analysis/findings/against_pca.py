"""PCA against the others: the error ratio at equal dim3, and the PCA that a model is worth.

Everything is paired: the same test rows are drawn for all models and all dim3 at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .. import Floats
from ..runs.arrays import DRAWS, interval, redraw
from ..runs.comparison import Series

SEEDS_TO_RESAMPLE = 5
"""With fewer, an interval is of the rows alone, and says nothing about other seeds."""

SAME = 0.02
"""Error ratios this near to 1 make no difference that matters."""


@dataclass(frozen=True)
class Equivalent:
    """The number of principal components with the same test error; None where even the most have more.

    low and high are its 95 % interval, high None where it goes beyond the most; most is the largest known.
    """

    components: float | None
    low: float | None
    high: float | None
    most: int


@dataclass(frozen=True)
class Against:
    """One model at one dim3 against PCA at the same dim3, on the test rows.

    ratio is of the mean errors, below 1 where the model errs less; its interval is None where the rows are
    missing. raw and clipped: PCA's reconstructions as they come, and cut off to [0, 1].
    """

    dim3: int
    error: float
    pca: float | None
    ratio: float | None
    low: float | None
    high: float | None
    raw: Equivalent | None
    clipped: Equivalent | None

    @property
    def errs(self) -> Literal["less", "more", "the same", "unknown"]:
        """What the interval of the ratio says of the model; the same: it lies within 2 % of 1."""
        if self.low is None or self.high is None:
            return "unknown"
        if self.low >= 1 - SAME and self.high <= 1 + SAME:
            return "the same"
        if self.low <= 1 <= self.high:
            return "unknown"
        return "less" if self.high < 1 else "more"


@dataclass(frozen=True)
class PcaCurve:
    """PCA's test error for dim3 from 0 on, raw (K,) and clipped to [0, 1] (K,) or None."""

    raw: Floats
    clipped: Floats | None


def redrawn(series: Series, rows: Mapping[int, Floats], pick: str = "test") -> dict[int, Floats]:
    """The mean error, `test` or the judged `error`, of each dim3 from redrawn rows: (DRAWS,).

    With enough seeds these are redrawn too.
    """
    found = {k: redraw(r) for k, r in rows.items()}
    seeds = series.seeds
    if len(seeds) >= SEEDS_TO_RESAMPLE:
        chosen = np.random.default_rng(0).integers(len(seeds), size=(DRAWS, len(seeds)))
        errors = series.errors(pick)
        with np.errstate(divide="ignore", invalid="ignore"):  # where none of them errs
            factors = errors[chosen].mean(axis=1) / errors.mean(axis=0)
        found = {k: found[k] * factors[:, series.dim3.index(k)] for k in found}
    return found


def against(
    series: Series, baseline: Series, rows: Mapping[int, Floats], pca_rows: Mapping[int, Floats], curve: PcaCurve | None
) -> list[Against]:
    """Each dim3 of a series against PCA. rows and pca_rows: test errors (N,) by dim3, means over seeds."""
    errors = dict(zip(series.dim3, series.errors("test").mean(axis=0), strict=True))
    pca = dict(zip(baseline.dim3, baseline.errors("test").mean(axis=0), strict=True))
    mine = redrawn(series, rows)
    theirs = redrawn(
        baseline, {k: r for k, r in pca_rows.items() if not rows or len(r) == len(next(iter(rows.values())))}
    )
    made = []
    for dim3, error in errors.items():
        if not np.isfinite(error):
            continue
        base = pca.get(dim3)
        ratio = error / base if base else None
        low = high = None
        if ratio is not None and dim3 in mine and dim3 in theirs:
            with np.errstate(divide="ignore", invalid="ignore"):  # by rows that are all without an error
                ratios = mine[dim3] / theirs[dim3]
            low, high = interval(ratios) if np.isfinite(ratios).all() else (None, None)
        near = min(theirs, key=lambda k: abs(k - dim3), default=None)
        spread = None
        if near is not None and dim3 in mine:  # the error in units of PCA's on the same rows
            with np.errstate(divide="ignore", invalid="ignore"):
                spread = mine[dim3] / theirs[near] * pca[near]
        raw = None if curve is None else equivalent(curve.raw, error, spread)
        clipped = None if curve is None or curve.clipped is None else equivalent(curve.clipped, error, spread)
        made.append(Against(dim3, float(error), _number(base), _number(ratio), low, high, raw, clipped))
    return made


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def equivalent(curve: Floats, error: float, spread: Floats | None) -> Equivalent:
    """The components at which a curve, dim3 from 0, comes down to an error; with the interval of redrawn errors."""
    at = components(curve, np.array([error]))[0]
    low = high = None
    if spread is not None:
        found = components(curve, spread)
        ends = np.quantile(np.where(np.isnan(found), np.inf, found), [0.025, 0.975], method="nearest")
        low, high = (None if np.isinf(e) else float(e) for e in ends)
    return Equivalent(None if np.isnan(at) else float(at), low, high, len(curve) - 1)


def components(curve: Floats, errors: Floats) -> Floats:
    """Where a falling curve (K,), dim3 from 0, passes each error (n,), log-linear between; nan where below its end.

    Above its start it is 0.
    """
    falling = np.minimum.accumulate(np.maximum(curve, np.finfo(float).tiny))
    logs = np.log(falling)
    found = np.interp(-np.log(np.maximum(errors, np.finfo(float).tiny)), -logs, np.arange(len(curve), dtype=float))
    return np.where(errors < falling[-1], np.nan, found)


def who_wins(label: str, points: list[Against]) -> str:
    """One sentence: where the model errs less than PCA, where more, and where the rows can't tell."""
    compared = [p for p in points if p.ratio is not None]
    if not compared:
        return f"{label} and PCA share no dim3"
    less, more, same, unknown = (
        [p for p in compared if p.errs == word] for word in ("less", "more", "the same", "unknown")
    )
    parts = []
    if less:
        best = min(less, key=lambda p: p.ratio or np.inf)
        parts.append(
            f"{label} errs less than PCA at dim3 {spans(less)} (down to {best.ratio:.2f} times, at {best.dim3})"
        )
    if more:
        worst = max(more, key=lambda p: p.ratio or 0)
        parts.append(f"PCA errs less than {label} at dim3 {spans(more)} ({label} up to {worst.ratio:.2f} times)")
    if same:
        parts.append(f"{label} and PCA err the same, within {SAME:.0%}, at dim3 {spans(same)}")
    if unknown:
        ratios = [p.ratio for p in unknown if p.ratio is not None]
        why = "no intervals there" if all(p.low is None for p in unknown) else "the interval has 1 in it"
        span = f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else f"{ratios[0]:.2f}"
        parts.append(f"undecided at {spans(unknown)} (ratio {span}; {why})")
    return "; ".join(parts)


def spans(points: list[Against]) -> str:
    """`2 to 10, 15`: runs of neighbours among the compared dim3."""
    return ranges([p.dim3 for p in points])


def ranges(values: list[int]) -> str:
    """Whole numbers, ascending, as ranges in words."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ", ".join(f"{p[0]} to {p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
