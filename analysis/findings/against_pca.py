"""PCA as the baseline: its error curve, error ratios at equal dim3, and PCA-equivalent dimensions of other models.

All bootstraps are paired: they draw the same test rows for all models and dim3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from elbowroom.tracking.store.names import Artifact
from elbowroom.tracking.store.text import ranges

from .. import Floats
from ..runs.arrays import fetch, interval, redrawn
from ..runs.comparison import Cell, Series

_SAME = 0.02  # distance of an error ratio from 1 that counts as no difference
_SHARES = (0.80, 0.90, 0.95)
_MOST_COMPONENTS = 100_000


@dataclass(frozen=True)
class Equivalent:
    """The number of principal components with the same test error; None where `most` components have a larger error.

    low and high are its 95 % interval, high None where it exceeds `most`, the largest number with a known error.
    """

    components: float | None
    low: float | None
    high: float | None
    most: int


@dataclass(frozen=True)
class Against:
    """One model against PCA at the same dim3, on the test rows.

    ratio is the model's mean error over PCA's; its interval is None where the errors by row are missing. raw and
    clipped are the PCA-equivalent dimensions, with PCA's reconstructions unchanged and clipped to [0, 1].
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
        """Whether the model errs less or more than PCA by the interval of the ratio; the same: within 2 % of 1."""
        if self.low is None or self.high is None:
            return "unknown"
        if self.low >= 1 - _SAME and self.high <= 1 + _SAME:
            return "the same"
        if self.low <= 1 <= self.high:
            return "unknown"
        return "less" if self.high < 1 else "more"


@dataclass(frozen=True)
class PcaCurve:
    """PCA's test error for dim3 = 0, 1, …: raw (K,), and clipped to [0, 1] (K,) or None."""

    raw: Floats
    clipped: Floats | None


def against(
    series: Series, baseline: Series, rows: Mapping[int, Floats], pca_rows: Mapping[int, Floats], curve: PcaCurve | None
) -> list[Against]:
    """Compare each dim3 of a series with PCA.

    Parameters
    ----------
    series, baseline
        The cells of the model and of PCA.
    rows, pca_rows
        Test errors (N,) by dim3, means over seeds; empty where they are missing.
    curve
        PCA's error for every dim3, None where it is not known.

    Returns
    -------
    list
        One for each dim3 with a test error.
    """
    pca, mine = baseline.means(), redrawn(series, rows)
    lengths = {len(r) for r in rows.values()}
    theirs = redrawn(baseline, {k: r for k, r in pca_rows.items() if not lengths or len(r) in lengths})
    made = []
    for dim3, error in series.means().items():
        if not np.isfinite(error):
            continue
        base = pca.get(dim3)
        ratio = error / base if base else None
        low = high = None
        if ratio is not None and dim3 in mine and dim3 in theirs:
            with np.errstate(divide="ignore", invalid="ignore"):  # where all errors of PCA are 0
                ratios = mine[dim3] / theirs[dim3]
            low, high = interval(ratios) if np.isfinite(ratios).all() else (None, None)
        near = min(theirs, key=lambda k: abs(k - dim3), default=None)
        spread = None
        if near is not None and dim3 in mine:  # the error in units of PCA's on the same rows
            with np.errstate(divide="ignore", invalid="ignore"):
                spread = mine[dim3] / theirs[near] * pca[near]
        raw = None if curve is None else _equivalent(curve.raw, error, spread)
        clipped = None if curve is None or curve.clipped is None else _equivalent(curve.clipped, error, spread)
        base, ratio = (None if number is None else float(number) for number in (base, ratio))
        made.append(Against(dim3, float(error), base, ratio, low, high, raw, clipped))
    return made


def _equivalent(curve: Floats, error: float, spread: Floats | None) -> Equivalent:
    """Return the number of components at which PCA's curve has this error, with the interval of bootstrapped errors."""
    at = _components(curve, np.array([error]))[0]
    low = high = None
    if spread is not None:
        found = _components(curve, spread)
        ends = np.quantile(np.where(np.isnan(found), np.inf, found), [0.025, 0.975], method="nearest")
        low, high = (None if np.isinf(e) else float(e) for e in ends)
    return Equivalent(None if np.isnan(at) else float(at), low, high, len(curve) - 1)


def _components(curve: Floats, errors: Floats) -> Floats:
    """Return where a curve (K,) over dim3 = 0, 1, … has each error (n,), interpolated log-linearly.

    0 for errors above the curve's start, nan for errors below its end.
    """
    falling = np.minimum.accumulate(np.maximum(curve, np.finfo(float).tiny))
    logs = np.log(falling)
    found = np.interp(-np.log(np.maximum(errors, np.finfo(float).tiny)), -logs, np.arange(len(curve), dtype=float))
    return np.where(errors < falling[-1], np.nan, found)


def who_wins(label: str, points: list[Against]) -> str:
    """Say in one sentence at which dim3 the model errs less than PCA, more, the same, or undecided."""
    compared = [p for p in points if p.ratio is not None]
    if not compared:
        return f"{label} and PCA share no dim3"
    less, more, same, unknown = (
        [p for p in compared if p.errs == word] for word in ("less", "more", "the same", "unknown")
    )
    parts = []
    if less:
        best = min(less, key=lambda p: p.ratio or np.inf)
        span = f"down to {best.ratio:.2f} times, at {best.dim3}"
        parts.append(f"{label} errs less than PCA at dim3 {_dim3(less)} ({span})")
    if more:
        worst = max(more, key=lambda p: p.ratio or 0)
        parts.append(f"PCA errs less than {label} at dim3 {_dim3(more)} ({label} up to {worst.ratio:.2f} times)")
    if same:
        parts.append(f"{label} and PCA err the same, within {_SAME:.0%}, at dim3 {_dim3(same)}")
    if unknown:
        ratios = [p.ratio for p in unknown if p.ratio is not None]
        why = "no intervals there" if all(p.low is None for p in unknown) else "the interval contains 1"
        span = f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else f"{ratios[0]:.2f}"
        parts.append(f"undecided at {_dim3(unknown)} (ratio {span}; {why})")
    return "; ".join(parts)


def _dim3(points: list[Against]) -> str:
    return ranges([p.dim3 for p in points])


def pca_curve(baseline: Series, notes: list[str]) -> PcaCurve | None:
    """Return PCA's test error for every dim3 from 0: the measured one, else estimated from cells and spectrum."""
    cell = baseline.at(baseline.dim3[-1])[0]
    measured = fetch([cell], Artifact.PCA_CURVE)[cell.run_id]
    if isinstance(measured, np.ndarray) and _is_pca_curve(measured):
        clipped = measured[:, 1]
        return PcaCurve(measured[:, 0].astype(float), clipped.astype(float) if np.isfinite(clipped).all() else None)
    spectrum = _spectrum(cell)
    known = {k: v for k, v in baseline.means().items() if np.isfinite(v) and k <= _MOST_COMPONENTS}
    if not known:
        return None
    last = max(known)
    if spectrum is None or len(spectrum) < last:
        notes.append("PCA's spectrum is missing: its curve ends with the scanned range")
        curve = np.interp(np.arange(last + 1), list(known), list(known.values()))
        return PcaCurve(curve, None)
    left = np.append(spectrum[::-1].cumsum()[::-1], 0.0)  # for dim3 = 0 to K
    shares = left / left[0]
    curve = shares * (known[last] / shares[last] if shares[last] > 0 else 1.0)
    for dim3, value in known.items():
        curve[dim3] = value
    return PcaCurve(curve, None)


def _explained(spectrum: Floats, share: float) -> int:
    """Return the fewest components whose eigenvalues (K,) sum to this share of all."""
    shares = np.cumsum(spectrum) / spectrum.sum()
    return int(np.searchsorted(shares, share - 1e-12)) + 1


def _profile_likelihood(spectrum: Floats) -> int | None:
    """Return the number of components by profile likelihood of the eigenvalues (Zhu & Ghodsi 2006)."""
    count = len(spectrum)
    if count < 3 or not np.ptp(spectrum):
        return None
    sums, squares = np.cumsum(spectrum), np.cumsum(spectrum**2)
    q = np.arange(1, count)
    first = squares[:-1] - sums[:-1] ** 2 / q
    second = (squares[-1] - squares[:-1]) - (sums[-1] - sums[:-1]) ** 2 / (count - q)
    variance = np.maximum(first + second, np.finfo(float).tiny) / (count - 2)
    return int(variance.argmin()) + 1  # the log-likelihood is -count/2 log(variance) and a constant


def spectrum_criteria(baseline: Series) -> dict[str, int | None]:
    """Return the number of components by each criterion of the eigenvalues; empty where their array is missing."""
    spectrum = _spectrum(baseline.at(baseline.dim3[0])[0])
    if spectrum is None:
        return {}
    shares: dict[str, int | None] = {f"explained variance {s:.0%}": _explained(spectrum, s) for s in _SHARES}
    return {**shares, "profile likelihood": _profile_likelihood(spectrum)}


def _is_pca_curve(measured: npt.NDArray[Any]) -> bool:
    """Whether an array holds PCA's errors for every dim3 from 0, raw and clipped (K, 2)."""
    if measured.ndim != 2 or measured.shape[1] != 2 or not 2 <= len(measured) <= _MOST_COMPONENTS:
        return False
    return bool(np.isfinite(measured[:, 0]).all() and (measured[:, 0] >= 0).all())


def _spectrum(cell: Cell) -> Floats | None:
    """The eigenvalues (K,) of a run of PCA, with a positive sum; None where their array is missing or unusable."""
    found = fetch([cell], Artifact.SPECTRUM)[cell.run_id]
    if not isinstance(found, np.ndarray) or found.ndim != 1 or len(found) > _MOST_COMPONENTS:
        return None
    usable = np.isfinite(found).all() and found.sum() > 0
    return np.maximum(found.astype(float), 0) if usable else None
