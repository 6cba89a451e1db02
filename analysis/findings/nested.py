"""Nested models, whose one training gives a whole curve, compared with one training for each dim3.

The latents of a nested model are ordered, so its first k latents give the error at dim3 = k. Such a curve costs one
training and errs more, because all dim3 share one model. It is reported beside the dedicated runs and not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from elbowroom.tracking.store.names import Metric, Param

from ..runs.comparison import CODE, Cell, Comparison, Nested, Series, data_of, latest
from .against_pca import ranges

_DEDICATED = "ae"
"""The model that is trained once for each dim3, to compare with."""
_SAME = ("dim2",)  # settings that both models must share


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
    seconds, summed = _mean(_seconds(cells)), _sum(_seconds(replaced))
    per_dim3 = [] if series is None else [_mean(_seconds(series.at(k))) for k in series.dim3 if k <= first.dim3]
    cost = seconds / summed if seconds is not None and summed else None
    settings = dict(first.settings)
    label = f"{first.model.rpartition(':')[2]} ({settings.get('epochs', '?')} epochs)"
    curve_seconds = _sum(per_dim3)
    return NestedFinding(
        label=label,
        model=first.model,
        dim3=first.dim3,
        settings=settings,
        seeds=[c.seed for c in cells],
        runs=[c.run_id for c in cells],
        points=points,
        dedicated=None if series is None else series.label,
        replaced=len(replaced),
        fit_seconds=seconds,
        dedicated_seconds=summed,
        curve_seconds=curve_seconds,
        cost=cost,
        caution=_caution(cells, replaced),
        sentence=_sentence(label, points, series, len(replaced), cost, (seconds, curve_seconds)),
    )


def _dedicated(cell: Cell, comparison: Comparison) -> Series | None:
    """Return the comparison's autoencoder with the same layers, loss and output, None where there is none."""
    for series in comparison.series:
        mine, theirs = dict(cell.settings), dict(series.first.settings)
        layers = all(mine.get(name) == theirs.get(name) for name in _SAME)
        alike = _apart_from_code(series.first) == _apart_from_code(cell)
        if series.model == _DEDICATED and alike and layers:
            return series
    return None


def _apart_from_code(cell: Cell) -> dict[str, str]:
    return {name: value for name, value in cell.variant if name != CODE}


def _points(members: Sequence[Nested], series: Series | None) -> list[_NestedPoint]:
    """Return the points at every dim3 that all seeds have."""
    there = sorted(set.intersection(*(set(n.curve) for n in members)))
    tests = {} if series is None else dict(zip(series.dim3, series.errors("test").mean(axis=0), strict=True))
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


def _sentence(
    label: str,
    points: Sequence[_NestedPoint],
    series: Series | None,
    replaced: int,
    cost: float | None,
    seconds: tuple[float | None, float | None],
) -> str:
    """Say what share of the dedicated runs' time it takes, how much more it errs, and that it is not judged."""
    latents = max(p.dim3 for p in points)
    gaps = {p.dim3: p.gap for p in points if p.gap is not None}
    unjudged = "it is not judged: its points are parts of one model, a compromise among all dim3"
    if series is None or not gaps:
        lacks = f"nothing to compare with: no {_DEDICATED} runs of the same layers and loss share a dim3 with it"
        return f"One training of {latents} latents by {label} gives a whole curve; {lacks}; {unjudged}"
    priced = f"One training of {latents} latents by {label} gives a whole curve"
    if cost is not None:
        one, curve = seconds
        of_one = f" ({_share(one / curve)} of those of one seed)" if one and curve and replaced > len(gaps) else ""
        time = f"takes {_share(cost)} of the time of the {replaced} {series.label} runs{of_one}"
        priced = f"One training of {latents} latents by {label} {time}"
    return f"{priced} and errs {_errs(gaps)}; {unjudged}"


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


def _seconds(cells: Iterable[Cell]) -> list[float | None]:
    return [c.metric(Metric.FIT_SECONDS) for c in cells]


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean, None where a value is missing."""
    total = _sum(values)
    return None if total is None else total / len(values)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known and len(known) == len(values) else None
