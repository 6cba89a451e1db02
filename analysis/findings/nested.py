"""Nested models, whose first k latents give the error at dim3 = k, compared with one training for each dim3.

Such a curve costs one training and errs more, because all dim3 share one model. It is not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from elbowroom.tracking.store.names import Metric, Param
from elbowroom.tracking.store.text import ranges

from ..runs.comparison import CODE, Cell, Comparison, Nested, Series, data_of, latest

_DEDICATED = "ae"  # the model that is trained once for each dim3, to compare with


@dataclass(frozen=True)
class _NestedPoint:
    """The test error of the first dim3 latents: mean over seeds; least and most are its extremes from two seeds on.

    dedicated is the mean test error of models trained for this dim3, and gap the relative excess over it.
    """

    dim3: int
    error: float
    least: float | None
    most: float | None
    dedicated: float | None
    gap: float | None


@dataclass(frozen=True)
class NestedFinding:
    """One nested model over its seeds, compared with a dedicated series, or with None.

    fit_seconds is the mean of one of its trainings; dedicated_seconds is the sum over all `replaced` dedicated runs
    of at most as many latents, and cost the ratio of the two; curve_seconds is what one seed of all these dim3 takes.
    """

    label: str
    model: str
    dim3: int
    settings: dict[str, str]
    seeds: list[int]
    runs: list[str]
    points: list[_NestedPoint]
    dedicated: str | None
    replaced: int
    fit_seconds: float | None
    dedicated_seconds: float | None
    curve_seconds: float | None
    cost: float | None
    caution: str
    sentence: str


def beside(comparison: Comparison, nested: Sequence[Nested]) -> list[NestedFinding]:
    """Return the findings on nested runs of the comparison's data, one for each configuration, by label.

    Their number of epochs may differ from the comparison's.
    """
    data = data_of(comparison.series[0].first)
    mine = {n.cell.run_id: n for n in nested if data_of(n.cell) == data and n.curve}
    groups: dict[tuple[object, ...], list[Nested]] = {}
    for cell in latest([n.cell for n in mine.values()])[0]:
        groups.setdefault((cell.model, cell.dim3, cell.settings, cell.variant), []).append(mine[cell.run_id])
    found = [_finding(members, comparison) for members in groups.values()]
    return sorted(found, key=lambda f: (f.label, f.runs))


def _finding(members: Sequence[Nested], comparison: Comparison) -> NestedFinding:
    members = sorted(members, key=lambda n: n.cell.seed)
    cells, first = [n.cell for n in members], members[0].cell
    series = _dedicated(first, comparison)
    replaced = [] if series is None else [c for k in series.dim3 if k <= first.dim3 for c in series.at(k)]
    points = _points(members, series)
    seconds, summed = _seconds(cells) / len(cells), _seconds(replaced)
    by_dim3 = {} if series is None else {k: series.at(k) for k in series.dim3 if k <= first.dim3}
    settings = dict(first.settings)
    found = NestedFinding(
        label=f"{first.model.rpartition(':')[2]} ({settings.get('epochs', '?')} epochs)",
        model=first.model,
        dim3=first.dim3,
        settings=settings,
        seeds=[c.seed for c in cells],
        runs=[c.run_id for c in cells],
        points=points,
        dedicated=None if series is None else series.label,
        replaced=len(replaced),
        fit_seconds=_known(seconds),
        dedicated_seconds=_known(summed),
        curve_seconds=_known(sum(_seconds(c) / len(c) for c in by_dim3.values())) if by_dim3 else None,
        cost=_known(seconds / summed) if summed else None,
        caution=_caution(cells, replaced),
        sentence="",
    )
    return replace(found, sentence=_sentence(found))


def _dedicated(cell: Cell, comparison: Comparison) -> Series | None:
    """Return the comparison's autoencoder with the same layers, loss and output, None where there is none."""
    for series in comparison.series:
        layers = [dict(c.settings).get("dim2") for c in (cell, series.first)]
        alike = _apart_from_code(series.first) == _apart_from_code(cell)
        if series.model == _DEDICATED and alike and layers[0] == layers[1]:
            return series
    return None


def _apart_from_code(cell: Cell) -> dict[str, str]:
    return {name: value for name, value in cell.variant if name != CODE}


def _points(members: Sequence[Nested], series: Series | None) -> list[_NestedPoint]:
    """Return the points at every dim3 that all seeds have."""
    there = sorted(set.intersection(*(set(n.curve) for n in members)))
    tests = {} if series is None else series.means()
    points = []
    for dim3 in there:
        values = [n.curve[dim3] for n in members]
        error, other = float(np.mean(values)), float(tests.get(dim3, np.nan))
        known = np.isfinite(other) and other > 0
        points.append(
            _NestedPoint(
                dim3=dim3,
                error=error,
                least=min(values) if len(values) > 1 else None,
                most=max(values) if len(values) > 1 else None,
                dedicated=other if known else None,
                gap=error / other - 1 if known else None,
            )
        )
    return points


def _sentence(found: NestedFinding) -> str:
    """Say what share of the dedicated runs' time it takes, how much more it errs, and that it is not judged."""
    said = f"One training of {max(p.dim3 for p in found.points)} latents by {found.label}"
    gaps = {p.dim3: p.gap for p in found.points if p.gap is not None}
    unjudged = "it is not judged: its points are parts of one model, a compromise among all dim3"
    if not gaps:
        lacks = f"nothing to compare with: no {_DEDICATED} runs of the same layers and loss share a dim3 with it"
        return f"{said} gives a whole curve; {lacks}; {unjudged}"
    time = "gives a whole curve"
    if found.cost is not None:
        time = f"takes {_share(found.cost)} of the time of the {found.replaced} {found.dedicated} runs"
        if found.fit_seconds and found.curve_seconds and found.replaced > len(gaps):
            time += f" ({_share(found.fit_seconds / found.curve_seconds)} of those of one seed)"
    return f"{said} {time} and errs {_errs(gaps)}; {unjudged}"


def _errs(gaps: dict[int, float]) -> str:
    """Return `4 to 9 % more at dim3 2 to 20 (most at 2)` for gaps by dim3."""
    low, high = (round(100 * extreme(gaps.values())) for extreme in (min, max))
    words = [f"{abs(p)} % {'less' if p < 0 else 'more'}" for p in (low, high)]
    if low == high:
        return f"{words[0]} at dim3 {ranges(sorted(gaps))}"
    span = f"{low} to {words[1]}" if low >= 0 else f"from {words[0]} to {words[1]}"
    return f"{span} at dim3 {ranges(sorted(gaps))} (most at {max(gaps, key=lambda k: gaps[k])})"


def _share(ratio: float) -> str:
    """Return a ratio as text: `1/9` below 1, else `1.3 times`."""
    return f"1/{1 / ratio:.2g}" if ratio < 1 else f"{ratio:.2g} times"


def _caution(cells: Sequence[Cell], replaced: Sequence[Cell]) -> str:
    """Return a warning where the two groups of runs were timed with different numbers of threads, else nothing."""
    mine, theirs = (
        sorted({c.run.data.params.get(Param.THREADS_USED, "") for c in those} - {""}) for those in (cells, replaced)
    )
    if not mine or not theirs or mine == theirs:
        return ""
    return f"the seconds were taken with {', '.join(mine)} threads here and {', '.join(theirs)} there"


def _seconds(cells: Sequence[Cell]) -> float:
    """The sum of the seconds to fit, nan where a run has none, or there is no run."""
    seconds = [c.metric(Metric.FIT_SECONDS) for c in cells]
    return sum(np.nan if s is None else s for s in seconds) if seconds else np.nan


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
