"""PCA as the baseline: its error curve, error ratios at equal dim3, and PCA-equivalent dimensions of other models.

`pca-mlp`, PCA's codes with a trained decoder, is the second baseline: it tells the decoder's part of a lead over PCA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from elbowroom.tracking.store.names import Artifact
from elbowroom.tracking.store.text import ranges

from .. import Floats
from ..purposes.choice import ByDim3
from ..runs.arrays import fetch
from ..runs.comparison import Cell, Series
from .intervals import ends, log_ratio, margins

_SAME = 0.02  # distance of an error ratio from 1 that counts as no difference
_ROUNDING = 1e-10  # of the mean row's error: a smaller one of PCA is rounding, and no baseline
_SHARES = (0.80, 0.90, 0.95)
_MOST_COMPONENTS = 100_000


@dataclass(frozen=True)
class Equivalent:
    """The number of principal components with the same test error; None where `most` components have a larger error.

    low and high are its 95 % interval, high None where it exceeds `most`, the largest number whose error is known and
    is no rounding. On data of rank r PCA's is from r on: a model that errs less than r - 1 components is worth more
    than r - 1, and how much more can't be read off the fall to 0.
    """

    components: float | None
    low: float | None
    high: float | None
    most: int


@dataclass(frozen=True)
class Against:
    """One model against PCA, or another baseline, at the same dim3, on the test rows.

    ratio is the model's mean error over PCA's, None where PCA's is rounding; its interval, low to high, is None where
    the errors by row are missing or seeds differ too much to give one. raw and clipped are the PCA-equivalent
    dimensions, with PCA's reconstructions unchanged and clipped to [0, 1]. method says whether the intervals are those
    of the method; else they are those of this one network.
    """

    dim3: int
    error: float
    pca: float | None
    ratio: float | None
    low: float | None
    high: float | None
    raw: Equivalent | None
    clipped: Equivalent | None
    method: bool = True

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


class DecoderPart(NamedTuple):
    """The part of a model's lead over PCA that pca-mlp has: its share by the dim3 where the lead is shown.

    beyond has those where pca-mlp errs less than the model.
    """

    shares: dict[int, float]
    beyond: list[int]


_NO_PART = DecoderPart({}, [])


@dataclass(frozen=True)
class PcaCurve:
    """PCA's test error for dim3 = 0, 1, …: raw (K,), and clipped to [0, 1] (K,) or None."""

    raw: Floats
    clipped: Floats | None


def against(
    series: Series, baseline: Series, rows: ByDim3, base_rows: ByDim3, curve: PcaCurve | None = None
) -> list[Against]:
    """Compare each dim3 of a series with PCA, or with another baseline.

    Parameters
    ----------
    series, baseline
        The cells of the model and of PCA.
    rows, base_rows
        Their test errors by dim3; empty where they are missing.
    curve
        PCA's error for every dim3, None where it is not known.

    Returns
    -------
    list
        One for each dim3 with a test error that 32 bits tell.
    """
    unresolved = {*series.unresolved, *baseline.unresolved}
    errors = {k: float(e) for k, e in series.means().items() if np.isfinite(e) and k not in unresolved}
    base = {k: float(error) for k, error in baseline.means().items() if np.isfinite(error)}
    lengths = {len(held.rows) for held in rows.values()}
    theirs = {k: held for k, held in base_rows.items() if k in base and len(held.rows) in lengths}
    mine = {k: rows[k] for k in errors if k in rows} if theirs else {}
    widths = margins({k: log_ratio(held, theirs[k]) for k, held in mine.items() if k in theirs})
    # a dim3 is worth as much as PCA's where PCA errs as much: the rows pair best there
    near = {k: min(theirs, key=lambda j: abs(base[j] - errors[k])) for k in mine}
    error_widths = margins({k: log_ratio(held, theirs[near[k]]) for k, held in mine.items()})
    method = _covers_training(series, mine) and _covers_training(baseline, theirs)
    least = _ROUNDING * (max(base.values(), default=0.0) if curve is None else float(curve.raw[0]))
    made = []
    for dim3, error in errors.items():
        ratio = error / base[dim3] if base.get(dim3, 0.0) > least else None
        low, high = (None, None) if ratio is None or dim3 not in widths else ends(ratio, widths[dim3])
        raw, clipped = (
            None if errors_of_pca is None else _equivalent(errors_of_pca, error, error_widths.get(dim3))
            for errors_of_pca in ((None, None) if curve is None else (curve.raw, curve.clipped))
        )
        made.append(Against(dim3, error, base.get(dim3), ratio, low, high, raw, clipped, method))
    return made


def _covers_training(series: Series, rows: ByDim3) -> bool:
    """Whether intervals of a series, if any, include the spread of trainings: it has two seeds, or takes none."""
    return not (series.seeded and rows) or any(len(held.seeds) > 1 for held in rows.values())


def _equivalent(curve: Floats, error: float, margin: float | None) -> Equivalent:
    """Return the number of components at which PCA's curve (K,) has this error; margin is that of its logarithm."""
    rounding = np.flatnonzero(curve[1:] <= _ROUNDING * curve[0])
    curve = curve[: rounding[0] + 1] if rounding.size else curve
    least, most = (None, None) if margin is None else ends(error, margin)
    found, low, high = (_components(curve, end) for end in (error, most, least))
    return Equivalent(found, low, high, len(curve) - 1)


def _components(curve: Floats, error: float | None) -> float | None:
    """Return where a curve (K,) over dim3 = 0, 1, … has an error, interpolated log-linearly.

    0 for an error above the curve's start; None for one below its end, and for none.
    """
    falling = np.minimum.accumulate(curve)
    if error is None or error < falling[-1]:
        return None
    logs = np.log(np.maximum([error, *falling], np.finfo(float).tiny))
    return float(np.interp(-logs[0], -logs[1:], np.arange(len(curve))))


def who_wins(label: str, points: list[Against], part: DecoderPart = _NO_PART) -> str:
    """Say at which dim3 the model errs less than PCA, more, the same, or undecided, and what its decoder's part is.

    Parameters
    ----------
    label
        The model's.
    points
        The model against PCA.
    part
        pca-mlp's part of the lead.
    """
    ratios = {p.dim3: p.ratio for p in points if p.ratio is not None}
    name = label if all(p.method for p in points if p.ratio is not None) else f"this network of {label}"
    at: dict[str, list[int]] = {}
    for point in points:
        if point.ratio is not None:
            at.setdefault("no interval" if point.low is None else point.errs, []).append(point.dim3)
    parts = []
    if less := at.get("less"):
        best = min(less, key=lambda k: ratios[k])
        parts.append(f"{name} errs less than PCA at dim3 {ranges(less)} (down to {ratios[best]:.2g} times, at {best})")
    if more := at.get("more"):
        most = max(ratios[k] for k in more)
        parts.append(f"PCA errs less than {name} at dim3 {ranges(more)} (up to {most:.3g} times)")
    if same := at.get("the same"):
        parts.append(f"{name} and PCA err the same, within {100 * _SAME:.0f} %, at dim3 {ranges(same)}")
    for word, why in {
        "unknown": "the interval contains 1",
        "no interval": "no interval: errors by row are missing, or the seeds differ too much",
    }.items():
        if undecided := at.get(word):
            span = " to ".join(dict.fromkeys(f"{end(ratios[k] for k in undecided):.2f}" for end in (min, max)))
            parts.append(f"undecided at dim3 {ranges(undecided)} (ratio {span}; {why})")
    if exact := [p.dim3 for p in points if p.pca is not None and p.ratio is None]:
        parts.append(f"PCA's error at dim3 {ranges(exact)} is rounding, and gives no ratio")
    said = "; ".join(parts) or f"{label} and PCA share no dim3"
    return f"{said}. {_whose_lead(label, part)}" if part.shares else said


def decoder_part(mine: list[Against], decoder: list[Against], between: list[Against]) -> DecoderPart:
    """Return pca-mlp's part of a model's lead over PCA.

    Parameters
    ----------
    mine, decoder
        The model and pca-mlp against PCA.
    between
        The model against pca-mlp.
    """
    leads = {p.dim3: p.pca - p.error for p in decoder if p.pca is not None}
    shown = {p.dim3: p.pca - p.error for p in mine if p.pca is not None and p.errs == "less"}
    shares = {k: leads[k] / lead for k, lead in shown.items() if k in leads}
    return DecoderPart(shares, [p.dim3 for p in between if p.dim3 in shares and p.errs == "more" and p.method])


def _whose_lead(label: str, part: DecoderPart) -> str:
    """Say how much of a model's lead over PCA is its decoder's, and the dim3 where PCA's codes do better."""
    shares, beyond = part
    span = " to ".join(dict.fromkeys(_part(end(shares.values())) for end in (min, max)))
    said = f"pca-mlp, a trained decoder on PCA's codes, has {span} of this lead at dim3 {ranges(list(shares))}"
    return said + (f", and errs less than {label} at dim3 {ranges(beyond)}" if beyond else "")


def _part(share: float) -> str:
    return "all" if share >= 1 else f"{round(100 * share) + 0} %"


def pca_curve(baseline: Series, notes: list[str]) -> PcaCurve | None:
    """Return PCA's test error for every dim3 from 0: the measured one, else estimated from cells and spectrum."""
    cell = baseline.at(baseline.dim3[-1])[0]
    measured = fetch([cell], Artifact.PCA_CURVE)[cell.run_id]
    if isinstance(measured, np.ndarray) and _is_pca_curve(measured):
        clipped = measured[:, 1]
        return PcaCurve(measured[:, 0].astype(float), clipped.astype(float) if np.isfinite(clipped).all() else None)
    spectrum = spectrum_of(cell)
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
    spectrum = spectrum_of(baseline.at(baseline.dim3[0])[0])
    if spectrum is None:
        return {}
    shares: dict[str, int | None] = {f"explained variance {100 * s:.0f} %": _explained(spectrum, s) for s in _SHARES}
    return {**shares, "profile likelihood": _profile_likelihood(spectrum)}


def _is_pca_curve(measured: npt.NDArray[Any]) -> bool:
    """Whether an array holds PCA's errors for every dim3 from 0, raw and clipped (K, 2)."""
    if measured.ndim != 2 or measured.shape[1] != 2 or not 2 <= len(measured) <= _MOST_COMPONENTS:
        return False
    return bool(np.isfinite(measured[:, 0]).all() and (measured[:, 0] >= 0).all())


def spectrum_of(cell: Cell) -> Floats | None:
    """Return the eigenvalues (K,) of a run of PCA, of a positive sum; None where their array is missing or unusable."""
    found = fetch([cell], Artifact.SPECTRUM)[cell.run_id]
    if not isinstance(found, np.ndarray) or found.ndim != 1 or len(found) > _MOST_COMPONENTS:
        return None
    usable = np.isfinite(found).all() and found.sum() > 0
    return np.maximum(found.astype(float), 0) if usable else None
