"""The figures of a report. Each is a function of a `ComparisonFinding` that returns a Figure, or None where it has
nothing to show; `SECTIONS` in `pages/report.py` names them all.

Drawn on bare Figures, without pyplot, and on white: a page that is dark puts a white card behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from elbowroom.tracking.drawing import Look, draw_cells, plain_label, settled
from elbowroom.tracking.store.names import Artifact, Metric

from .. import Floats
from ..findings.against_pca import Equivalent
from ..findings.find import ComparisonFinding, ModelFinding, Point
from ..runs.arrays import fetch

_Array = npt.NDArray[Any]

_WIDTH, _HEIGHT, DPI = 5.6, 4.0, 160  # inches; narrow, so that letters are legible on a phone
_LINE = 0.19  # height in inches of a line of the legend, or of an intrinsic dimension
LOG_FROM = 30.0  # ratio of the largest to the smallest error from which the axis is logarithmic
_ROOM = 0.4  # share of the axes' width that the text of an intrinsic dimension takes
_COLUMNS = 10  # pictures in a row
_PICTURED = 10  # the dim3 of the pictures, or the nearest that most models share
_MOST_SERIES = 12
STEPS = (1, 2, 5, 10)  # between ticks, times powers of ten
LONGEST = 28  # characters of a label
_DIM3 = "dim3 (latent dimensions)"


class Style(NamedTuple):
    """The style of a series in every figure."""

    colour: str
    marker: str
    line: str


# Okabe and Ito's colours for colour-blind readers, the darkest first. KNOWN models have a fixed one.
STYLES = (
    Style("#0072b2", "s", "-"),
    Style("#d55e00", "o", "-"),
    Style("#009e73", "D", "--"),
    Style("#cc79a7", "v", "-."),
    Style("#000000", "P", ":"),
    Style("#e69f00", "X", "--"),
    Style("#56b4e9", "<", "-."),
    Style("#7f7f7f", ">", ":"),
)
KNOWN = {"pca": 0, "ae": 1, "vae": 2, "linear-ae": 3}
GREY = "0.35"


class Pictures(NamedTuple):
    """Rows (n, dim1) and their reconstructions (n, dim1) at one dim3, by label of the model."""

    dim3: int
    image_shape: tuple[int, ...] | None
    originals: _Array
    rows: list[tuple[str, _Array]]


def _styles(models: Sequence[ModelFinding]) -> list[Style]:
    """Return a style for each series: its model's own if it is free, else the next free one."""
    taken: dict[int, int] = {}  # position in the series -> in STYLES
    for i, model in enumerate(models):
        mine = KNOWN.get(model.model)
        if mine is not None and mine not in taken.values():
            taken[i] = mine
    free = [j for j in (*range(len(KNOWN), len(STYLES)), *range(len(KNOWN))) if j not in taken.values()]
    free = free or list(range(len(STYLES)))
    others = [i for i in range(len(models)) if i not in taken]
    taken |= {i: free[n % len(free)] for n, i in enumerate(others)}
    return [STYLES[taken[i]] for i in range(len(models))]


def _series(comparison: ComparisonFinding) -> list[tuple[ModelFinding, Style]]:
    """Return the series that are drawn, at most _MOST_SERIES, with their styles."""
    return list(zip(comparison.models, _styles(comparison.models), strict=True))[:_MOST_SERIES]


def plot_error(comparison: ComparisonFinding) -> Figure | None:
    """Draw the judged error against dim3 with intervals, elbows and choices; above it the intrinsic dimensions."""
    series = [(m, s) for m, s in _series(comparison) if m.points]
    if not series:
        return None
    legend = _Legend()
    figure, (axes,) = _figure(comparison, extra=2 * len(series) + 3 + len(comparison.intrinsic))
    for model, style in series:
        _draw_curve(axes, model, style, legend)
    for i, (model, style) in enumerate(series):
        found = model.verdict
        if found is not None and found.kind == "clear" and found.dim3 is not None:
            doubt = "" if model.confirmed or not model.trained else ", unconfirmed"
            said = _draw_elbow(axes, found.dim3, found.interval, style, i)
            legend.add(_dashed(style, i), model.label, f": {said}{doubt}")
    errors = [p.error for model, _ in series for p in model.points]
    _scale(axes.yaxis, errors, LOG_FROM)
    unit = "\nmean squared error per column, data units²" if comparison.digest else ""
    axes.set(xlabel=_DIM3, ylabel=f"{comparison.error_name}{unit}", xlim=_range(p for m, _ in series for p in m.points))
    _whole(axes.xaxis)
    _draw_second_opinions(axes, comparison.intrinsic)
    legend.draw(figure)
    return figure


def _draw_curve(axes: Axes, model: ModelFinding, style: Style, legend: _Legend) -> None:
    """Draw one model's curve, band and SD bars, hollow markers where it is undertrained, and a star at its choice."""
    points = model.points
    x, y = np.array([p.dim3 for p in points]), np.array([p.error for p in points])
    low, high, sd = (_numbers(getattr(p, name) for p in points) for name in ("low", "high", "sd"))
    known = np.isfinite(low) & np.isfinite(high)
    said = [] if model.verdict is None else [f"choice {model.verdict.choice or 'none'}"]
    if not known.any():
        said.append("no interval")
    elif not known.all():
        said.append("in part no interval")
    legend.add(_key(style), model.label, f" ({', '.join(said)})" if said else "")
    axes.plot(x, y, style.line, color=style.colour, lw=1.5)
    if known.any():
        _draw_band(axes, x, low, high, style)
        legend.once(Patch(color=GREY, alpha=0.25, lw=0), "95 % interval")
    if np.isfinite(sd).any():
        axes.errorbar(x, y, sd, fmt="none", ecolor=style.colour, elinewidth=0.8, capsize=2, alpha=0.8)
        legend.once(Line2D([], [], color=GREY, marker="|", ms=9, ls=""), "bar: SD over seeds")
    hollow = np.array([p.dim3 in model.undertrained for p in points])
    _draw_markers(axes, x, y, style, hollow)
    if hollow.any():
        legend.once(_key(Style(GREY, "o", ""), fill="white"), "hollow: undertrained")
    if model.verdict is not None and model.verdict.choice is not None:
        _draw_star(axes, model.verdict.choice, float(np.interp(model.verdict.choice, x, y)), style)
        legend.once(_star(), "star: dim3 to use")


def _draw_star(axes: Axes, x: float, y: float, style: Style) -> None:
    axes.plot([x], [y], "*", ms=15, mfc=style.colour, mec="white", mew=0.9, zorder=5)


def _star() -> Line2D:
    return Line2D([], [], marker="*", ms=11, ls="", color=GREY)


def _draw_band(axes: Axes, x: Floats, low: Floats, high: Floats, style: Style) -> None:
    """Draw a band where both ends are finite; a bar at a point whose neighbours have no interval."""
    known = np.isfinite(low) & np.isfinite(high)
    axes.fill_between(x, low, high, color=style.colour, alpha=0.22, lw=0)
    beside = np.append(known[1:], False) | np.append(False, known[:-1])
    alone = known & ~beside
    if alone.any():
        axes.vlines(x[alone], low[alone], high[alone], color=style.colour, lw=5, alpha=0.3)


def _draw_markers(axes: Axes, x: Floats, y: Floats, style: Style, hollow: npt.NDArray[np.bool_]) -> None:
    size = 4.5 if len(x) <= 40 else 2.5
    for where, fill in ((~hollow, style.colour), (hollow, "white")):
        if where.any():
            axes.plot(x[where], y[where], style.marker, ms=size, mfc=fill, mec=style.colour, mew=1.1, ls="")


def _draw_elbow(axes: Axes, dim3: int, interval: tuple[int, int] | None, style: Style, turn: int) -> str:
    """Draw a dashed line at a corner, and a band for its interval; return the text for the legend.

    The dashes of the i-th model, turn i, are shifted, so that lines at one dim3 are all seen.
    """
    axes.axvline(dim3, color=style.colour, lw=1.4, ls=_dashes(turn), zorder=1)
    if interval is None:
        return f"elbow {dim3}"
    low, high = interval
    axes.axvspan(low - 0.2, high + 0.2, color=style.colour, alpha=0.1, lw=0, zorder=0)
    return f"elbow {dim3} ({low} to {high})"


def _dashes(turn: int) -> tuple[float, tuple[int, int]]:
    return 4.0 * turn, (4, 4)


def _dashed(style: Style, turn: int) -> Line2D:
    return Line2D([], [], color=style.colour, lw=1.4, ls=_dashes(turn))


def _draw_second_opinions(axes: Axes, found: Mapping[str, float]) -> None:
    """Write the intrinsic dimensions of the data above the axes, each on its own line, with an arrow to its place.

    Lines are ordered so that no arrow crosses a text. Values outside the range stand at its border, on top.
    """
    if not found:
        return
    low, high = axes.get_xlim()
    inside = {name: v for name, v in found.items() if low <= v <= high}
    places = [(v - low) / (high - low) for v in inside.values()]
    origin = (low + high) / 2
    if min(places, default=0) >= _ROOM:  # all texts fit on the left
        origin = low
    elif max(places, default=1) <= 1 - _ROOM:
        origin = high
    level = 0
    for name, value in sorted(inside.items(), key=lambda f: abs(f[1] - origin)):
        _above(axes, f"{name} {value:.3g}", value, axes.get_xaxis_transform(), level, value > origin, arrow=True)
        level += 1
    for name, value in found.items():
        if name not in inside:
            right = value > high
            text = f"{name} {value:.3g}, beyond the range →" if right else f"← {name} {value:.3g}, below the range"
            _above(axes, text, float(right), axes.transAxes, level, right, arrow=False)
            level += 1
    _above(axes, "the data's own dimension, by other methods:", 0.0, axes.transAxes, level, False, arrow=False)


def _above(axes: Axes, text: str, x: float, transform: Any, level: int, right: bool, *, arrow: bool) -> None:
    """Write a text above the axes that starts at x, or ends there if `right`, with an arrow down to x."""
    line = {"arrowstyle": "-|>,head_width=0.15,head_length=0.3", "color": GREY, "lw": 0.8}
    line |= {"shrinkA": 0, "shrinkB": 0, "relpos": (float(right), 0.0)}
    axes.annotate(
        f"{text} " if right else f" {text}",
        (x, 1),
        (0, 6 + 72 * _LINE * 0.9 * level),
        xycoords=transform,
        textcoords="offset points",
        ha="right" if right else "left",
        va="bottom",
        fontsize=9,
        color="0.15",
        arrowprops=line if arrow else None,
        annotation_clip=False,
        bbox={"boxstyle": "square,pad=0", "fc": "white", "ec": "none"},
        zorder=10 - 0.1 * level,  # an arrow passes behind the texts of lower lines
    )


def plot_equivalent(comparison: ComparisonFinding) -> Figure | None:
    """Draw the PCA-equivalent dimension of each model's dim3, with intervals."""
    series = []
    for model, style in _series(comparison):
        worth = [(a.dim3, a.raw, a.clipped) for a in model.against if a.raw is not None or a.clipped is not None]
        if worth:
            series.append((model, style, worth))
    if not series:
        return None
    dim3 = [k for _, _, worth in series for k, _, _ in worth]
    found = [e for _, _, worth in series for _, *both in worth for e in both if e is not None]
    ends = [v for e in found for v in (e.components, e.low, e.high) if v is not None]
    top = 1.15 * max(*ends, max(dim3), 1)
    legend = _Legend()
    figure, (axes,) = _figure(comparison, extra=len(series) + 3)
    axes.set(xlabel=_DIM3, ylabel="principal components\nwith the same test error", ylim=(0, top))
    _whole(axes.xaxis)
    axes.plot([0, max(dim3) + 1], [0, max(dim3) + 1], color=GREY, lw=1, ls=(0, (1, 2)))
    axes.set_xlim(min(dim3) - 0.7, max(dim3) + 0.7)
    step = 0.5 / (2 * len(series))  # of a dimension, between the markers of one dim3
    for i, (model, style, worth) in enumerate(series):
        legend.add(_key(style), model.label, "")
        for j, kind in enumerate(("raw", "clipped")):
            mine = [(k, both[j]) for k, *both in worth]
            shift = (2 * i + j - len(series) + 0.5) * step
            _draw_worth(axes, [(k + shift, e) for k, e in mine if e is not None], style, kind == "raw", top)
    _worth_keys(legend, found)
    legend.draw(figure)
    return figure


def _draw_worth(axes: Axes, worth: Sequence[tuple[float, Equivalent]], style: Style, filled: bool, top: float) -> None:
    if not worth:
        return
    x, y = np.array([k for k, _ in worth]), _numbers(e.components for _, e in worth)
    fill = style.colour if filled else "white"
    axes.plot(x, y, ls=style.line if filled else ":", color=style.colour, lw=1, alpha=0.6)
    axes.plot(x, y, style.marker, ms=3.5, mfc=fill, mec=style.colour, ls="")
    low, high = _numbers(e.low for _, e in worth), _numbers(top if e.high is None else e.high for _, e in worth)
    if np.isfinite(low).any():
        axes.vlines(x, low, high, color=style.colour, lw=1.4, zorder=1.9)
    beyond = x[np.isnan(y)]
    if len(beyond):
        axes.plot(
            beyond, np.full(len(beyond), 0.965), "^", ms=7, mfc=fill, mec=style.colour, ls="",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def _worth_keys(legend: _Legend, found: Sequence[Equivalent]) -> None:
    legend.once(_key(Style(GREY, "o", "")), "filled: PCA as it comes")
    legend.once(_key(Style(GREY, "o", ""), fill="white"), "open: PCA clipped to [0, 1]")
    legend.once(Line2D([], [], color=GREY, lw=1, ls=(0, (1, 2))), "no gain: dim3 itself")
    if any(e.low is not None for e in found):
        legend.once(Line2D([], [], color=GREY, marker="|", ms=9, mew=1.6, ls=""), "bar: 95 % interval")
    if any(e.low is None and e.components is not None for e in found):
        legend.once(Line2D([], [], ls=""), "no bar: no interval")
    if any(e.components is None for e in found):
        most = max(e.most for e in found)
        legend.once(_key(Style(GREY, "^", "")), f"on top: better than all {most}")


def plot_ratio(comparison: ComparisonFinding) -> Figure | None:
    """Draw the ratio of the test error to PCA's at equal dim3, with intervals."""
    series = []
    for model, style in _series(comparison):
        compared = [a for a in model.against if a.ratio is not None]
        if compared:
            series.append((model, style, compared))
    if not series:
        return None
    legend = _Legend()
    figure, (axes,) = _figure(comparison, extra=len(series) + 1)
    axes.axhline(1, color=GREY, lw=1, ls=(0, (1, 2)))
    for model, style, compared in series:
        x, y = np.array([a.dim3 for a in compared]), _numbers(a.ratio for a in compared)
        low, high = (_numbers(getattr(a, end) for a in compared) for end in ("low", "high"))
        known = np.isfinite(low) & np.isfinite(high)
        axes.plot(x, y, style.line, color=style.colour, lw=1.5)
        if known.any():
            _draw_band(axes, x, low, high, style)
            legend.once(Patch(color=GREY, alpha=0.25, lw=0), "95 % interval, paired by row")
        _draw_markers(axes, x, y, style, np.array([k in model.undertrained for k in x]))
        legend.add(_key(style), model.label, "" if known.all() else " (no interval)")
        if model.undertrained:
            legend.once(_key(Style(GREY, "o", ""), fill="white"), "hollow: undertrained")
    legend.once(Line2D([], [], color=GREY, lw=1, ls=(0, (1, 2))), "1: as much as PCA")
    _scale(axes.yaxis, [1.0, *(a.ratio for _, _, compared in series for a in compared if a.ratio)], LOG_FROM)
    axes.set(xlabel=_DIM3, ylabel="test error over PCA's at the same dim3")
    _whole(axes.xaxis)
    legend.draw(figure)
    return figure


def plot_elbo(comparison: ComparisonFinding) -> Figure | None:
    """Draw the validation -ELBO of VAEs, and below it their active units."""
    series = [(m, s) for m, s in _series(comparison) if _known(m.points, Metric.VAL_ELBO)]
    if not series:
        return None
    active = any(_known(model.points, Metric.TEST_ACTIVE_UNITS) for model, _ in series)
    figure, panels = _figure(comparison, extra=len(series) + 8 * active, rows=1 + active)
    legend = _Legend()
    for i, (model, style) in enumerate(series):
        x = np.array([p.dim3 for p in model.points])
        values = [-_metric(model.points, Metric.VAL_ELBO), _metric(model.points, Metric.TEST_ACTIVE_UNITS)]
        for axes, y in zip(panels, values, strict=False):
            axes.plot(x, y, style.line, marker=style.marker, ms=4.5, color=style.colour, lw=1.5)
        sd = _numbers(p.elbo_sd for p in model.points)
        if np.isfinite(sd).any():
            panels[0].errorbar(x, values[0], sd, fmt="none", ecolor=style.colour, elinewidth=0.8, capsize=2, alpha=0.8)
            legend.once(Line2D([], [], color=GREY, marker="|", ms=9, ls=""), "bar: SD over seeds")
        legend.add(_key(style), model.label, "" if np.isfinite(sd).any() else " (no interval)")
        found = model.elbo_verdict
        if found is not None and found.kind == "clear" and found.dim3 is not None:
            said = _draw_elbow(panels[0], found.dim3, found.interval, style, i)
            legend.add(_dashed(style, i), model.label, f": {said}")
        least = int(np.nanargmin(values[0]))
        _draw_star(panels[0], x[least], values[0][least], style)
        legend.once(_star(), "star: least")
    if active:
        ends = [p.dim3 for model, _ in series for p in model.points]
        panels[1].plot([min(ends), max(ends)], [min(ends), max(ends)], color=GREY, lw=1, ls=(0, (1, 2)))
        panels[1].set(ylabel="active units", ylim=(0, None))
        _whole(panels[1].yaxis, 5)
        legend.once(Line2D([], [], color=GREY, lw=1, ls=(0, (1, 2))), "all units active")
    panels[0].set_ylabel("validation -ELBO\nnats per row")
    panels[-1].set_xlabel(_DIM3)
    _whole(panels[-1].xaxis)
    legend.draw(figure)
    return figure


def plot_nested(comparison: ComparisonFinding) -> Figure | None:
    """Draw whole curves from one training beside the dedicated one, and below it the relative gaps."""
    shown = comparison.nested[: len(STYLES) - len(KNOWN)]
    if not shown:
        return None
    gaps = any(p.gap is not None for n in shown for p in n.points)
    figure, panels = _figure(comparison, extra=len(shown) + 2 + 8 * gaps, rows=1 + gaps)
    legend = _Legend()
    for model, style in _series(comparison):
        if model.label in {n.dedicated for n in shown}:
            x, y = np.array([p.dim3 for p in model.points]), _numbers(p.test for p in model.points)
            panels[0].plot(x, y, style.line, marker=style.marker, ms=4.5, color=style.colour, lw=1.5)
            legend.add(_key(style), model.label, ", one training for each dim3")
    for nested, style in zip(shown, STYLES[len(KNOWN) :], strict=False):
        x, y = np.array([p.dim3 for p in nested.points]), _numbers(p.error for p in nested.points)
        least, most = (_numbers(getattr(p, end) for p in nested.points) for end in ("least", "most"))
        panels[0].plot(x, y, style.line, marker=style.marker, ms=4.5, color=style.colour, lw=1.5)
        legend.add(_key(style), nested.label, f", the first of {nested.dim3} latents")
        if np.isfinite(least).any():
            panels[0].fill_between(x, least, most, color=style.colour, alpha=0.22, lw=0)
            legend.once(Patch(color=GREY, alpha=0.25, lw=0), "band: least and most of its seeds")
        gap = _numbers(None if p.gap is None else 100 * p.gap for p in nested.points)
        if gaps and np.isfinite(gap).any():
            panels[1].plot(x, gap, style.line, marker=style.marker, ms=4.5, color=style.colour, lw=1.5)
    if gaps:
        panels[1].axhline(0, color=GREY, lw=1, ls=(0, (1, 2)))
        panels[1].set_ylabel("errs more, in %")
        panels[1].yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
        legend.once(Line2D([], [], color=GREY, lw=1, ls=(0, (1, 2))), "0: as much as a dedicated one")
    _scale(panels[0].yaxis, [p.error for n in shown for p in n.points], 5)
    panels[0].set_ylabel("test error, data units²")
    panels[-1].set_xlabel(_DIM3)
    _whole(panels[-1].xaxis)
    legend.draw(figure)
    return figure


def plot_cost(comparison: ComparisonFinding) -> Figure | None:
    """Draw the test error against seconds to fit and against parameters."""
    series = _series(comparison)
    costs = {Metric.FIT_SECONDS: "seconds to fit", Metric.PARAMETERS: "parameters"}
    there = {
        metric: [p for m, _ in series for p in m.points if _positive(p.metrics.get(metric)) and _positive(p.test)]
        for metric in costs
    }
    shown = [metric for metric in costs if there[metric]]
    if not shown:
        return None
    legend = _Legend()
    figure, panels = _figure(comparison, extra=len(series), columns=len(shown))
    for model, style in series:
        legend.add(_key(style), model.label, "")
    for axes, metric in zip(panels, shown, strict=True):
        for model, style in series:
            points = [p for p in model.points if p in there[metric]]
            x, y = _metric(points, metric), _numbers(p.test for p in points)
            axes.plot(x, y, style.line, color=style.colour, lw=1, alpha=0.6)
            axes.plot(x, y, style.marker, ms=4, color=style.colour, ls="")
            axes.plot(x[-1:], y[-1:], style.marker, ms=9, color=style.colour, mec="white", ls="")
        axes.set_xlabel(costs[metric])
        _scale(axes.xaxis, [p.metrics[metric] for p in there[metric]], 5, EngFormatter(sep=""))
        _scale(axes.yaxis, [p.test for points in there.values() for p in points if p.test], 5)
    legend.once(Line2D([], [], color=GREY, marker="o", ms=9, ls=""), "large: its largest dim3")
    panels[0].set_ylabel("test error, data units²")
    legend.draw(figure)
    return figure


def pictured(comparison: ComparisonFinding) -> int | None:
    """Return the dim3 of the pictures, the one that most models have; None where there are no cells."""
    series = comparison.comparison.series
    counts = {k: sum(k in s.cells for s in series) for s in series for k in s.dim3}
    return min(counts, key=lambda k: (-counts[k], abs(k - _PICTURED), k), default=None)


def plot_pictures(comparison: ComparisonFinding) -> Figure | None:
    """Draw test rows and their reconstructions by every model at one dim3."""
    dim3 = pictured(comparison)
    there = [s for s in comparison.comparison.series if dim3 in s.cells and s.first.digest]
    if dim3 is None or not there:
        return None
    cells = {s.label: s.at(dim3)[0] for s in there}
    runs = list(cells.values())
    originals = fetch(runs[:1], Artifact.ORIGINALS)[runs[0].run_id]
    if isinstance(originals, str) or originals.ndim != 2 or not originals.size or not np.isfinite(originals).all():
        return None
    made = fetch(runs, Artifact.RECONSTRUCTIONS)
    rows = [(label, made[cell.run_id]) for label, cell in cells.items()]
    good = [(label, x) for label, x in rows if isinstance(x, np.ndarray) and x.shape == originals.shape]
    return draw_pictures(Pictures(dim3, runs[0].image_shape, originals, good)) if good else None


def draw_pictures(pictures: Pictures) -> Figure:
    """Draw the originals and below them each model's reconstructions; rows that are no pictures as lines."""
    x = np.asarray(pictures.originals, dtype=float)[:_COLUMNS]
    rows = [
        ("original", x),
        *((label, np.asarray(r, dtype=float)[:_COLUMNS]) for label, r in pictures.rows[:_MOST_SERIES]),
    ]
    low, high = float(np.nanmin(x)), float(np.nanmax(x))
    look = Look(pictures.image_shape, low, high)
    as_images = look.shape(x.shape[1]) is not None
    each = 4.6 / len(x) * (look.tall(x.shape[1]) if as_images else 0.9) + 0.08
    layout = ConstrainedLayoutEngine(h_pad=0.02, hspace=0.01)
    figure = Figure(figsize=(_WIDTH, 0.45 + each * len(rows)), dpi=DPI, layout=layout, facecolor="white")
    for axes, (name, y) in zip(figure.subplots(len(rows), 1, squeeze=False).flat, rows, strict=True):
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(plain_label(name, 14), rotation=0, ha="right", va="center")
        if as_images:
            draw_cells(axes, y[None], look)
        else:
            span = (high - low) or 1.0
            _draw_lines(axes, (x - low) / span, (y - low) / span)
        axes.spines[:].set_visible(False)
    figure.suptitle(f"test rows and their reconstructions at dim3 = {pictures.dim3}", fontsize=11)
    return settled(figure)


def _draw_lines(axes: Axes, originals: Floats, x: Floats) -> None:
    """Draw rows (n, dim1) in [0, 1] as lines beside each other, over the originals in grey."""
    along = np.linspace(0.06, 0.94, x.shape[1])
    for i, (row, original) in enumerate(zip(x, originals, strict=True)):
        axes.plot(i + along, original, color="0.7", lw=1.6)
        if x is not originals:
            axes.plot(i + along, row, color=STYLES[0].colour, lw=0.8)
    axes.set(xlim=(0, len(x)), ylim=(-0.15, 1.15))


class _Legend:
    """Collects keys and texts of a legend, and draws it below the axes."""

    def __init__(self) -> None:
        self.keys: list[Artist] = []
        self.texts: list[str] = []
        self.common: dict[str, Artist] = {}

    def add(self, key: Artist, label: str, more: str) -> None:
        """Add the key of one series, with its truncated label and more text."""
        self.keys.append(key)
        self.texts.append(f"{plain_label(label, LONGEST)}{more}")

    def once(self, key: Artist, text: str) -> None:
        """Add a key that all series share, once, after theirs."""
        self.common.setdefault(text, key)

    def draw(self, figure: Figure) -> None:
        """Draw the legend below the axes, in two columns if the texts are short."""
        keys, texts = [*self.keys, *self.common.values()], [*self.texts, *self.common]
        columns = 2 if max(map(len, texts)) <= 36 else 1
        figure.legend(
            keys, texts, loc="outside lower center", ncols=columns, fontsize=9, frameon=False, columnspacing=1.2
        )


def _figure(
    comparison: ComparisonFinding, *, extra: float, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, higher by `extra` lines of text."""
    size = (_WIDTH, _HEIGHT + _LINE * extra)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex="col", sharey="row").flat)
    for axes in panels:
        axes.grid(alpha=0.25, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    more = len(comparison.models) - _MOST_SERIES
    title = plain_label(comparison.name, 50) + (f"\nwithout {more} more models" if more > 0 else "")
    figure.suptitle(title, fontsize=11)
    return figure, panels


def _scale(axis: Axis, values: Sequence[float | None], log_from: float, formatter: Any = None) -> None:
    """Scale an axis logarithmically if max / min exceeds `log_from`, else linearly from 0."""
    axes, name = axis.axes, axis.axis_name  # type: ignore[attr-defined]
    numbers = _numbers(values)
    low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    if low > 0 and high / low > log_from:
        axes.set(**{f"{name}scale": "log"})
        subs = (1, 2, 3, 5) if high / low < 10 else (1, 2, 5) if high / low < 50 else (1,)
        axis.set_major_locator(LogLocator(10, subs=subs))
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(formatter or FuncFormatter(lambda v, _: f"{v:g}"))
        return
    axes.set(**{f"{name}lim": (0, None) if high > 0 else (0, 1)})
    axis.set_major_locator(MaxNLocator(6, steps=STEPS))
    if formatter is not None:
        axis.set_major_formatter(formatter)


def _whole(axis: Axis, most: int = 10) -> None:
    """Set ticks at whole numbers."""
    axis.set_major_locator(MaxNLocator(most, integer=True, steps=STEPS, min_n_ticks=1))


def _range(points: Iterable[Point]) -> tuple[float, float]:
    dim3 = [p.dim3 for p in points]
    pad = max(0.5, 0.03 * (max(dim3) - min(dim3)))
    return min(dim3) - pad, max(dim3) + pad


def _key(style: Style, fill: str | None = None) -> Line2D:
    return Line2D(
        [], [], color=style.colour, marker=style.marker, ls=style.line, ms=5, lw=1.5, mfc=fill or style.colour
    )


def _numbers(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _metric(points: Sequence[Point], metric: Metric) -> Floats:
    return _numbers(p.metrics.get(metric) for p in points)


def _known(points: Sequence[Point], metric: Metric) -> bool:
    return any(p.metrics.get(metric) is not None for p in points)


def _positive(value: float | None) -> bool:
    return value is not None and np.isfinite(value) and value > 0
