"""The figures of a report. Each is a function of a `ComparisonFinding` that returns a Figure, or None where it has
nothing to show; `SECTIONS` in `pages/report.py` names them all.

Drawn on bare Figures, without pyplot, and on white: a page that is dark puts a white card behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from elbowroom.tracking.drawing import MODEL_COLOURS, OTHER_COLOURS, Look, draw_cells, plain_label, settled
from elbowroom.tracking.store.names import Metric

from ..findings.against_pca import Against
from ..findings.find import ComparisonFinding, ModelFinding
from ..runs.arrays import examples

_Array = npt.NDArray[Any]
_T = TypeVar("_T")

_WIDTH, _HEIGHT, DPI = 5.6, 4.0, 160  # inches; narrow, so that letters are legible on a phone
_LINE = 0.19  # height in inches of a line of the legend, or of an intrinsic dimension
_FAR = 1.5  # ratio of a dim3 to the next smaller one from which the curve between them is not known
_ROUNDING = 1e-9  # of the largest error
LOG_FROM = 30.0  # ratio of the largest to the smallest error from which the axis is logarithmic
SPARSE_LOG_FROM = 5.0  # the same beside a logarithmic axis of dim3: a power law is a line there
_ROOM = 0.4  # share of the axes' width that the text of an intrinsic dimension takes
_COLUMNS = 10  # pictures in a row
_PICTURED = 10  # the dim3 of the pictures, or the nearest that most models share
_MOST_SERIES = 12
_FEW_SCANNED = 0.4  # of the whole numbers from the first dim3 to the last; the presets scan more
_APART = 8  # times by which ends and gaps differ on a ladder of dim3, as of a seek
STEPS = (1, 2, 5, 10)  # between ticks, times powers of ten
LONGEST = 28  # characters of a label
_DIM3 = "dim3 (latent dimensions)"
_LEAST_GAP = 0.05  # of the axes' height, between its ticks
_KEPT_TICKS = (0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 0.999)


class Style(NamedTuple):
    """The style of a series in every figure."""

    colour: str
    marker: str
    line: str


_COLOURS = (*MODEL_COLOURS.values(), *OTHER_COLOURS)
_LINES = ("-", "-", "--", "-.", ":", "--", "-.", ":")
STYLES = tuple(map(Style, _COLOURS, "soDvPX<>", _LINES))  # the darkest first; KNOWN models have a fixed one
KNOWN = dict(zip(MODEL_COLOURS, STYLES, strict=False))
_FREE = (*STYLES[len(KNOWN) :], *STYLES[: len(KNOWN)])  # for other models, in this order
GREY = "0.35"
_PALE = "0.8"  # of a marker's inside
_DOTTED: Any = {"color": GREY, "lw": 1, "ls": (0, (1, 2))}


class Pictures(NamedTuple):
    """Rows (n, dim1) and their reconstructions (n, dim1) at one dim3, by label of the model."""

    dim3: int
    image_shape: tuple[int, ...] | None
    originals: _Array
    rows: list[tuple[str, _Array]]


def styles_of(models: Iterable[str]) -> list[Style]:
    """Return a style for each series: its model's own if it is not taken, else the next of those that are free."""
    own: list[Style | None] = []
    for model in models:
        style = KNOWN.get(model)
        own.append(None if style in own else style)
    others = cycle([style for style in _FREE if style not in own])
    return [next(others) if style is None else style for style in own]


def _series(
    comparison: ComparisonFinding, pick: Callable[[ModelFinding], Sequence[_T]]
) -> list[tuple[ModelFinding, Style, Sequence[_T]]]:
    """Return the first _MOST_SERIES models with their styles and what `pick` returns, those where it is not empty."""
    styles = styles_of(model.model for model in comparison.models)
    drawn = [(m, style, pick(m)) for m, style in zip(comparison.models, styles, strict=True)]
    return [each for each in drawn[:_MOST_SERIES] if each[2]]


def plot_error(comparison: ComparisonFinding) -> Figure | None:
    """Draw the judged error against dim3 with intervals, elbows and the choices of the rule in force.

    At the right is the share of the variance kept, above the intrinsic dimensions.
    """
    series = _series(comparison, lambda model: model.points)
    if not series:
        return None
    chart = _Chart(comparison, extra=2 * len(series) + 3 + len(comparison.intrinsic))
    (axes,) = chart.panels
    for model, style, _ in series:
        _draw_curve(chart, model, style)
    for i, (model, style, _) in enumerate(series):
        found = model.verdict
        if found is not None and found.kind == "clear" and found.dim3 is not None:
            doubt = "" if model.confirmed or not model.trained else ", unconfirmed"
            _draw_elbow(chart, model.label, style, i, found.dim3, found.interval, doubt)
    points = [p for _, _, points in series for p in points]
    unit = "\nmean squared error per column, data units²" if comparison.digest else ""
    first, last = min(p.dim3 for p in points), max(p.dim3 for p in points)
    pad = max(0.5, 0.03 * (last - first))
    axes.set(xlabel=_DIM3, ylabel=f"{comparison.error_name}{unit}", xlim=(first - pad, last + pad))
    sparse = scale_dim3(axes.xaxis, [p.dim3 for p in points])
    scale(axes.yaxis, [p.error for p in points], SPARSE_LOG_FROM if sparse else LOG_FROM)
    _draw_brackets(chart, series)
    if comparison.mean_row:
        _draw_kept(axes, comparison.mean_row)
    _draw_second_opinions(axes, comparison.intrinsic)
    return chart.finished()


def _draw_kept(axes: Axes, mean_row: float) -> None:
    """Draw the axis of the variance kept at the right: 1 - error / error of the mean row."""
    kept = axes.secondary_yaxis(
        "right",
        functions=(lambda e: 1 - np.asarray(e) / mean_row, lambda share: mean_row * (1 - np.asarray(share))),
    )
    heights = axes.transData.transform([(0, mean_row * (1 - share)) for share in _KEPT_TICKS])[:, 1]
    bottom, top = axes.bbox.y0, axes.bbox.y1
    ticks, last = [], np.inf
    for share, height in zip(_KEPT_TICKS, heights, strict=True):  # from the top down, without overlaps
        if bottom <= height <= min(top, last - _LEAST_GAP * (top - bottom)):
            ticks.append(share)
            last = height
    kept.set_yticks(ticks, [f"{100 * t:g} %" for t in ticks])
    kept.minorticks_off()  # a logarithmic axis labels some
    kept.set_ylabel("variance kept")


def _draw_curve(chart: _Chart, model: ModelFinding, style: Style) -> None:
    """Draw one model's curve, band and SD bars, its markers, and a star at its choice, where it is in the range."""
    (axes,) = chart.panels
    x, y, low, high, sd = _columns(model.points, "dim3", "error", "low", "high", "sd")
    known = np.isfinite(low) & np.isfinite(high)
    choice, beyond = model.choice.choice, is_beyond(model)
    said = [f"choice {choice}{', beyond its curve' * beyond}" if choice is not None else "no choice"]
    if not known.all():
        said.append("in part no interval" if known.any() else "no interval")
    _add_key(chart, _key(style), model.label, f" ({', '.join(said)})" if said else "")
    draw_path(axes, x, y, style)
    if not _near(x).all():
        chart.share("dotted: dim3 without a run", Line2D([], [], color=GREY, ls=":", lw=1))
    _draw_band(chart, x, low, high, style, "95 % interval")
    _draw_bars(chart, x, y, sd, style)
    _draw_markers(chart, x, y, style, model)
    if choice is not None and not beyond:
        _draw_star(chart, choice, float(np.interp(choice, x, y)), style, f"star: choice by {model.choice.rule}")


def is_beyond(model: ModelFinding) -> bool:
    """Return whether the choice lies outside the dim3 of the model's curve, so that there is no place for its star."""
    choice, dim3 = model.choice.choice, [p.dim3 for p in model.points]
    return choice is not None and bool(dim3) and not dim3[0] <= choice <= dim3[-1]


def _draw_brackets(chart: _Chart, series: Iterable[tuple[ModelFinding, Style, object]]) -> None:
    """Draw the interval of each choice above the axis, where it has two dim3 or more; None reaches the edge."""
    (axes,) = chart.panels
    edges = axes.get_xlim()
    look: dict[str, Any] = {"marker": "|", "ms": 5, "mew": 1.6, "lw": 1.6}
    height = 0.0
    for model, style, _ in series:
        at, found = model.choice.choice, model.choice.interval
        if at is None or not edges[0] <= at <= edges[1] or found is None or found == (at, at):
            continue
        height += 0.025
        x = [edge if end is None else end for end, edge in zip(found, edges, strict=True)]
        axes.plot(x, [height] * 2, color=style.colour, transform=axes.get_xaxis_transform(), **look)
        chart.share("bracket: interval of the choice", Line2D([], [], color=GREY, **look))
    axes.set_xlim(edges)


def _draw_second_opinions(axes: Axes, found: Mapping[str, float]) -> None:
    """Write the intrinsic dimensions of the data above the axes, each on its own line, with an arrow to its place.

    Lines are ordered so that no arrow crosses a text. Values outside the range stand at its border, on top.
    """
    if not found:
        return
    low, high = axes.get_xlim()
    inside = {name: v for name, v in found.items() if low <= v <= high}
    start, end, *scaled = axes.xaxis.get_transform().transform([low, high, *inside.values()])
    places = {name: (v - start) / (end - start) for name, v in zip(inside, scaled, strict=True)}
    origin = 0.5
    if min(places.values(), default=0) >= _ROOM:  # all texts fit on the left
        origin = 0
    elif max(places.values(), default=1) <= 1 - _ROOM:
        origin = 1
    level = 0
    for name, place in sorted(places.items(), key=lambda f: abs(f[1] - origin)):
        value, transform = inside[name], axes.get_xaxis_transform()
        _above(axes, f"{name} {value:.3g}", value, transform, level, place > origin, arrow=True)
        level += 1
    for name, value in found.items():
        if name not in inside:
            right = value > high
            text = f"{name} {value:.3g}, beyond the range →" if right else f"← {name} {value:.3g}, below the range"
            _above(axes, text, float(right), axes.transAxes, level, right, arrow=False)
            level += 1
    _above(axes, "the data's dimension, by other methods:", 0.0, axes.transAxes, level, False, arrow=False)


def _above(axes: Axes, text: str, x: float, transform: Any, level: int, right: bool, *, arrow: bool) -> None:
    """Write a text above the axes that starts at x, or ends there if `right`, with an arrow down to x."""
    line = {"arrowstyle": "-|>,head_width=0.15,head_length=0.3", "color": GREY, "lw": 0.8}
    line |= {"shrinkA": 0, "shrinkB": 0, "relpos": (float(right), 0.0)}
    axes.annotate(
        f"{text} " if right else f" {text}", (x, 1), (0, 6 + 72 * _LINE * 0.9 * level),
        xycoords=transform, textcoords="offset points", ha="right" if right else "left", va="bottom", fontsize=9,
        color="0.15", arrowprops=line if arrow else None, annotation_clip=False,
        bbox={"boxstyle": "square,pad=0", "fc": "white", "ec": "none"},
        zorder=10 - 0.1 * level,  # an arrow passes behind the texts of lower lines
    )  # fmt: skip


def plot_equivalent(comparison: ComparisonFinding) -> Figure | None:
    """Draw the PCA-equivalent dimension of each model's dim3, with intervals."""
    series = _series(comparison, lambda model: [a for a in model.against if a.raw or a.clipped])
    if not series:
        return None
    dim3 = [a.dim3 for _, _, worth in series for a in worth]
    found = [e for _, _, worth in series for a in worth for e in (a.raw, a.clipped) if e is not None]
    ends = [v for e in found for v in (e.components, e.low, e.high) if v is not None]
    top = 1.15 * max(*ends, max(dim3), 1)
    chart = _Chart(comparison, extra=len(series) + 3)
    (axes,) = chart.panels
    axes.set(xlabel=_DIM3, ylabel="principal components\nwith the same test error", ylim=(0, top))
    _whole(axes.xaxis)
    axes.plot([0, max(dim3) + 1], [0, max(dim3) + 1], **_DOTTED)
    axes.set_xlim(min(dim3) - 0.7, max(dim3) + 0.7)
    step = 0.5 / (2 * len(series))  # of a dimension, between the markers of one dim3
    for i, (model, style, worth) in enumerate(series):
        _add_key(chart, _key(style), model.label, _whose(worth))
        for j, kind in enumerate(("raw", "clipped")):
            there = [a for a in worth if getattr(a, kind)]
            if not there:
                continue
            (x,) = _columns(there, "dim3")
            x = x + (2 * i + j - len(series) + 0.5) * step
            y, low, high = _columns([getattr(a, kind) for a in there], "components", "low", "high")
            fill = style.colour if kind == "raw" else "white"
            axes.plot(x, y, ls=style.line if kind == "raw" else ":", color=style.colour, lw=1, alpha=0.6)
            axes.plot(x, y, style.marker, ms=3.5, mfc=fill, mec=style.colour, ls="")
            if np.isfinite(low).any():
                axes.vlines(x, low, np.where(np.isnan(high), top, high), color=style.colour, lw=1.4, zorder=1.9)
            beyond = x[np.isnan(y)]
            if len(beyond):
                axes.plot(
                    beyond, np.full(len(beyond), 0.965), "^", ms=7, mfc=fill, mec=style.colour, ls="",
                    transform=axes.get_xaxis_transform(),
                )  # fmt: skip
    chart.share("filled: PCA unchanged", _key(Style(GREY, "o", "")))
    chart.share("open: PCA clipped to [0, 1]", _key(Style(GREY, "o", ""), fill="white"))
    chart.share("dotted: as many components as dim3", Line2D([], [], **_DOTTED))
    if any(e.low is not None for e in found):
        chart.share("bar: 95 % interval", Line2D([], [], color=GREY, marker="|", ms=9, mew=1.6, ls=""))
    if any(e.low is None and e.components is not None for e in found):
        chart.share("no bar: no interval", Line2D([], [], ls=""))
    if any(e.components is None for e in found):
        chart.share(f"on top: better than all {max(e.most for e in found)}", _key(Style(GREY, "^", "")))
    return chart.finished()


def plot_ratio(comparison: ComparisonFinding) -> Figure | None:
    """Draw the ratio of the test error to PCA's at equal dim3, with intervals."""
    series = _series(comparison, lambda model: [a for a in model.against if a.ratio is not None])
    if not series:
        return None
    chart = _Chart(comparison, extra=len(series) + 1)
    (axes,) = chart.panels
    axes.axhline(1, **_DOTTED)
    for model, style, compared in series:
        x, y, low, high = _columns(compared, "dim3", "ratio", "low", "high")
        draw_path(axes, x, y, style)
        _draw_band(chart, x, low, high, style, "95 % interval, paired by row")
        _draw_markers(chart, x, y, style, model)
        said = _whose(compared) if np.isfinite(low + high).all() else " (no interval)"
        _add_key(chart, _key(style), model.label, said)
    chart.share("1: as much as PCA", Line2D([], [], **_DOTTED))
    scale(axes.yaxis, [1.0, *(a.ratio for _, _, compared in series for a in compared if a.ratio)], LOG_FROM)
    axes.set(xlabel=_DIM3, ylabel="test error over PCA's at the same dim3")
    scale_dim3(axes.xaxis, [a.dim3 for _, _, compared in series for a in compared])
    return chart.finished()


def _whose(compared: Sequence[Against]) -> str:
    """Return what the intervals of a model cover, for its key, where that is not the method."""
    return "" if all(a.method for a in compared) else " (this network)"


def plot_elbo(comparison: ComparisonFinding) -> Figure | None:
    """Draw the validation -ELBO of VAEs, and below it their units in use."""
    has_elbo = {m.label for m in comparison.models if np.isfinite(_metric(m.points, Metric.VAL_ELBO)).any()}
    series = _series(comparison, lambda model: model.points if model.label in has_elbo else [])
    if not series:
        return None
    in_use = any(np.isfinite(_metric(points, Metric.TEST_UNITS_IN_USE)).any() for _, _, points in series)
    chart = _Chart(comparison, extra=len(series) + 8 * in_use, rows=1 + in_use)
    upper, dim3 = chart.panels[0], [p.dim3 for _, _, points in series for p in points]
    for i, (model, style, points) in enumerate(series):
        x, sd = _columns(points, "dim3", "elbo_sd")
        elbo = -_metric(points, Metric.VAL_ELBO)
        for axes, y in zip(chart.panels, (elbo, _metric(points, Metric.TEST_UNITS_IN_USE)), strict=False):
            _draw_line(axes, x, y, style)
        _draw_bars(chart, x, elbo, sd, style)
        _add_key(chart, _key(style), model.label, "" if np.isfinite(sd).any() else " (no interval)")
        found = model.elbo_verdict
        if found is not None and found.kind == "clear" and found.dim3 is not None:
            _draw_elbow(chart, model.label, style, i, found.dim3, found.interval)
        least = int(np.nanargmin(elbo))
        _draw_star(chart, x[least], elbo[least], style, "star: least")
    if in_use:
        lower, every = chart.panels[1], np.arange(min(dim3), max(dim3) + 1)
        lower.plot(every, every, **_DOTTED)
        lower.set(ylabel="units in use", ylim=(0, None))
        _whole(lower.yaxis, 5)
        chart.share("all units in use", Line2D([], [], **_DOTTED))
    upper.set_ylabel("validation -ELBO\nnats per row")
    chart.panels[-1].set_xlabel(_DIM3)
    scale_dim3(chart.panels[-1].xaxis, dim3)
    return chart.finished()


def plot_nested(comparison: ComparisonFinding) -> Figure | None:
    """Draw whole curves from one training beside the dedicated one, and below it the relative gaps."""
    shown = comparison.nested[: len(STYLES) - len(KNOWN)]
    if not shown:
        return None
    gaps = any(p.gap is not None for n in shown for p in n.points)
    chart = _Chart(comparison, extra=len(shown) + 2 + 8 * gaps, rows=1 + gaps)
    upper, lower = chart.panels[0], chart.panels[-1]
    dedicated = {n.dedicated for n in shown}
    for model, style, points in _series(comparison, lambda m: m.points if m.label in dedicated else []):
        x, y = _columns(points, "dim3", "test")
        _draw_line(upper, x, y, style)
        _add_key(chart, _key(style), model.label, ", one training for each dim3")
    for nested, style in zip(shown, _FREE, strict=False):
        x, y, least, most, gap = _columns(nested.points, "dim3", "error", "least", "most", "gap")
        _draw_line(upper, x, y, style)
        _add_key(chart, _key(style), nested.label, f", the first of {nested.dim3} latents")
        if np.isfinite(least).any():
            upper.fill_between(x, least, most, color=style.colour, alpha=0.22, lw=0)
            chart.share("band: least and most of its seeds", Patch(color=GREY, alpha=0.25, lw=0))
        if np.isfinite(gap).any():
            _draw_line(lower, x, 100 * gap, style)
    if gaps:
        lower.axhline(0, **_DOTTED)
        lower.set_ylabel("errs more, in %")
        lower.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
        chart.share("0: as much as a dedicated one", Line2D([], [], **_DOTTED))
    scale(upper.yaxis, [p.error for n in shown for p in n.points], 5)
    upper.set_ylabel("test error, data units²")
    lower.set_xlabel(_DIM3)
    _whole(lower.xaxis)
    return chart.finished()


def plot_cost(comparison: ComparisonFinding) -> Figure | None:
    """Draw the test error against seconds to fit and against parameters."""
    costs = {Metric.FIT_SECONDS: "seconds to fit", Metric.PARAMETERS: "parameters"}
    series = _series(comparison, lambda model: model.points)
    tested = [p for _, _, points in series for p in points if _positive(p.test)]
    there = {metric: [p for p in tested if _positive(p.metrics.get(metric))] for metric in costs}
    shown = [metric for metric in costs if there[metric]]
    if not shown:
        return None
    chart = _Chart(comparison, extra=len(series), columns=len(shown))
    for model, style, _ in series:
        _add_key(chart, _key(style), model.label)
    for axes, metric in zip(chart.panels, shown, strict=True):
        for _, style, points in series:
            mine = [p for p in points if p in there[metric]]
            x, (y,) = _metric(mine, metric), _columns(mine, "test")
            axes.plot(x, y, style.line, color=style.colour, lw=1, alpha=0.6)
            axes.plot(x, y, style.marker, ms=4, color=style.colour, ls="")
            axes.plot(x[-1:], y[-1:], style.marker, ms=9, color=style.colour, mec="white", ls="")
        axes.set_xlabel(costs[metric])
        scale(axes.xaxis, [p.metrics[metric] for p in there[metric]], 5, EngFormatter(sep=""))
        scale(axes.yaxis, [p.test for points in there.values() for p in points], 5)
    chart.share("large: its largest dim3", Line2D([], [], color=GREY, marker="o", ms=9, ls=""))
    chart.panels[0].set_ylabel("test error, data units²")
    return chart.finished()


def pictured(comparison: ComparisonFinding, near: int = _PICTURED) -> int | None:
    """Return the dim3 that most models have, of several the nearest to `near`; None where there are no cells."""
    series = comparison.comparison.series
    counts = {k: sum(k in s.cells for s in series) for s in series for k in s.dim3}
    return min(counts, key=lambda k: (-counts[k], abs(k - near), k), default=None)


def plot_pictures(comparison: ComparisonFinding) -> Figure | None:
    """Draw test rows and their reconstructions by every model at one dim3."""
    dim3 = pictured(comparison)
    found = None if dim3 is None else examples(comparison.comparison.series, [dim3])
    if dim3 is None or found is None:
        return None
    rows = [(label, made[dim3]) for label, made in found.made.items()]
    return draw_pictures(Pictures(dim3, found.image_shape, found.originals, rows))


def draw_pictures(pictures: Pictures) -> Figure:
    """Draw the originals and below them each model's reconstructions; rows that are no pictures as lines."""
    rows = [("original", pictures.originals), *pictures.rows[:_MOST_SERIES]]
    shown = [(name, np.asarray(x, dtype=float)[:_COLUMNS]) for name, x in rows]
    x = shown[0][1]
    look = Look(pictures.image_shape, float(np.nanmin(x)), float(np.nanmax(x)))
    as_images = look.shape(x.shape[1]) is not None
    each = 4.6 / len(x) * (look.tall(x.shape[1]) if as_images else 0.9) + 0.08
    layout = ConstrainedLayoutEngine(h_pad=0.02, hspace=0.01)
    figure = Figure(figsize=(_WIDTH, 0.45 + each * len(shown)), dpi=DPI, layout=layout, facecolor="white")
    for axes, (name, y) in zip(figure.subplots(len(shown), 1, squeeze=False).flat, shown, strict=True):
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(plain_label(name, 14), rotation=0, ha="right", va="center")
        if as_images:
            draw_cells(axes, y[None], look)
        else:
            _draw_lines(axes, x, y, look)
        axes.spines[:].set_visible(False)
    figure.suptitle(f"test rows and their reconstructions at dim3 = {pictures.dim3}", fontsize=11)
    return settled(figure)


def _draw_lines(axes: Axes, originals: _Array, x: _Array, look: Look) -> None:
    """Draw rows (n, dim1) as lines beside each other, over the originals in grey."""
    along = np.linspace(0.06, 0.94, x.shape[1])
    span = (look.high - look.low) or 1.0
    for i, (row, original) in enumerate(zip(x, originals, strict=True)):
        axes.plot(i + along, (original - look.low) / span, color="0.7", lw=1.6)
        axes.plot(i + along, (row - look.low) / span, color=STYLES[0].colour, lw=0.8)
    axes.set(xlim=(0, len(x)), ylim=(-0.15, 1.15))


class _Chart:
    """A figure of curves and its legend: a key for each series, then those that all share.

    The functions below draw on its first panel and add their keys.
    """

    def __init__(self, comparison: ComparisonFinding, *, extra: float, rows: int = 1, columns: int = 1) -> None:
        """Make the panels, and the figure higher by `extra` lines of text."""
        size = (_WIDTH, _HEIGHT + _LINE * extra)
        self.figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
        self.panels: list[Axes] = list(
            self.figure.subplots(rows, columns, squeeze=False, sharex="col", sharey="row").flat
        )
        for axes in self.panels:
            axes.grid(alpha=0.25, lw=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        more = len(comparison.models) - _MOST_SERIES
        title = plain_label(comparison.name, 50) + (f"\nwithout {more} more models" if more > 0 else "")
        self.figure.suptitle(title, fontsize=11)
        self.keys: list[tuple[str, Artist]] = []
        self.shared: dict[str, Artist] = {}

    def share(self, text: str, key: Artist) -> None:
        """Add a key that all series share, once."""
        self.shared.setdefault(text, key)

    def finished(self) -> Figure:
        """Return the figure with the legend below the axes, in two columns if the texts are short."""
        texts, keys = zip(*self.keys, *self.shared.items(), strict=True)
        columns = 2 if max(map(len, texts)) <= 36 else 1
        self.figure.legend(
            keys, texts, loc="outside lower center", ncols=columns, fontsize=9, frameon=False, columnspacing=1.2
        )
        return self.figure


def _add_key(chart: _Chart, key: Artist, label: str, more: str = "") -> None:
    """Add the key of one series, with its truncated label and more text."""
    chart.keys.append((f"{plain_label(label, LONGEST)}{more}", key))


def _draw_band(chart: _Chart, x: _Array, low: _Array, high: _Array, style: Style, text: str) -> None:
    """Draw a band where both ends are finite; a bar at a point whose neighbours have no interval or are not near."""
    axes = chart.panels[0]
    known = np.isfinite(low) & np.isfinite(high)
    if not known.any():
        return
    at, lower, upper = _parted(x, x, low, high)
    axes.fill_between(at, lower, upper, color=style.colour, alpha=0.22, lw=0)
    both = known[1:] & known[:-1] & _near(x)
    alone = known & ~(np.append(both, False) | np.append(False, both))
    if alone.any():
        axes.vlines(x[alone], low[alone], high[alone], color=style.colour, lw=5, alpha=0.3)
    chart.share(text, Patch(color=GREY, alpha=0.25, lw=0))


def _draw_bars(chart: _Chart, x: _Array, y: _Array, sd: _Array, style: Style) -> None:
    if np.isfinite(sd).any():
        chart.panels[0].errorbar(x, y, sd, fmt="none", ecolor=style.colour, elinewidth=0.8, capsize=2, alpha=0.8)
        chart.share("bar: SD over seeds", Line2D([], [], color=GREY, marker="|", ms=9, ls=""))


def _draw_markers(chart: _Chart, x: _Array, y: _Array, style: Style, model: ModelFinding) -> None:
    """Draw a marker at each point, hollow where the model is undertrained and grey where it has unused latents."""
    hollow, grey = np.isin(x, list(model.undertrained)), np.isin(x, list(model.unused))
    size = 4.5 if len(x) <= 40 else 2.5
    for where, fill in ((~hollow & ~grey, style.colour), (hollow, "white"), (grey, _PALE)):
        if where.any():
            chart.panels[0].plot(x[where], y[where], style.marker, ms=size, mfc=fill, mec=style.colour, mew=1.1, ls="")
    if hollow.any():
        chart.share("hollow: undertrained", _key(Style(GREY, "o", ""), fill="white"))
    if grey.any():
        chart.share("grey: unused latents", _key(Style(GREY, "o", ""), fill=_PALE))


def _draw_star(chart: _Chart, x: float, y: float, style: Style, text: str) -> None:
    chart.panels[0].plot([x], [y], "*", ms=15, mfc=style.colour, mec="white", mew=0.9, zorder=5)
    chart.share(text, Line2D([], [], marker="*", ms=11, ls="", color=GREY))


def _draw_elbow(
    chart: _Chart, label: str, style: Style, turn: int, dim3: int, interval: tuple[int, int] | None, doubt: str = ""
) -> None:
    """Draw a dashed line at a model's corner, and a band for its interval.

    The dashes of the i-th model, turn i, are shifted, so that lines at one dim3 are all seen.
    """
    dashes: Any = {"color": style.colour, "lw": 1.4, "ls": (4.0 * turn, (4, 4))}
    chart.panels[0].axvline(dim3, zorder=1, **dashes)
    said = f"elbow {dim3}"
    if interval is not None:
        low, high = interval
        chart.panels[0].axvspan(low - 0.2, high + 0.2, color=style.colour, alpha=0.1, lw=0, zorder=0)
        said += f" ({low} to {high})"
    _add_key(chart, Line2D([], [], **dashes), label, f": {said}{doubt}")


def _near(x: _Array) -> _Array:
    """Whether a dim3 and the next, of (D,), are so near that a line between them says what lies there: (D - 1,)."""
    near: _Array = x[1:] <= np.maximum(x[:-1] + 1, _FAR * x[:-1])
    return near


def _parted(x: _Array, *values: _Array) -> list[_Array]:
    """Insert nan into values (D,) where a dim3 is not near the next, so that no line is drawn there."""
    breaks = np.flatnonzero(~_near(x)) + 1
    return [np.insert(v.astype(float), breaks, np.nan) for v in values]


def draw_path(axes: Axes, x: _Array, y: _Array, style: Style, **more: Any) -> None:
    """Draw a line, which is dotted where many dim3 without cells lie between two points."""
    axes.plot(*_parted(x, x, y), style.line, color=style.colour, lw=1.5, **more)
    if not _near(x).all():
        axes.plot(x, y, ":", color=style.colour, lw=1, zorder=1)


def _draw_line(axes: Axes, x: _Array, y: _Array, style: Style) -> None:
    draw_path(axes, x, y, style, marker=style.marker, ms=4.5)


def scale(axis: Axis, values: Sequence[float | None], log_from: float, formatter: Any = None) -> None:
    """Scale an axis logarithmically if max / min exceeds `log_from`, else linearly from 0.

    A logarithmic axis ends above values that are rounding, as PCA's error at as many latents as columns.
    """
    axes, name = axis.axes, axis.axis_name  # type: ignore[attr-defined]
    numbers = _numbers(values)
    least, low, high = _ends(numbers)
    if is_wide(numbers, log_from):
        axes.set(**{f"{name}scale": "log"})
        if low > least:
            axes.set(**{f"{name}lim": (low / 2, None)})
        subs = (1, 2, 3, 5) if high / low < 10 else (1, 2, 5) if high / low < 50 else (1,)
        axis.set_major_locator(LogLocator(10, subs=subs))
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(formatter or FuncFormatter(lambda v, _: f"{v:g}"))
        return
    axes.set(**{f"{name}lim": (0, None) if high > 0 else (0, 1)})
    axis.set_major_locator(MaxNLocator(6, steps=STEPS))
    if formatter is not None:
        axis.set_major_formatter(formatter)


def is_wide(values: Iterable[float | None], log_from: float) -> bool:
    """Return whether positive values, without rounding, differ so much that their axis is logarithmic."""
    least, low, high = _ends(_numbers(values))
    return least > 0 and high / low > log_from


def _ends(numbers: _Array) -> tuple[float, float, float]:
    """Return the least, the least that is no rounding, and the largest."""
    high = float(np.nanmax(numbers))
    low = float(np.nanmin(np.where(numbers > _ROUNDING * high, numbers, np.nan), initial=high))
    return float(np.nanmin(numbers)), low, high


def is_ladder(dim3: Iterable[int]) -> bool:
    """Return whether few dim3 are scanned and their gaps differ, so that their axis is logarithmic."""
    scanned = np.unique(list(dim3))
    first, last, gaps = scanned[0], scanned[-1], np.diff(scanned)
    few = len(scanned) < _FEW_SCANNED * (last - first + 1)
    return bool(few and last >= _APART * first and gaps.max() >= _APART * gaps.min())


def scale_dim3(axis: Axis, dim3: Iterable[int]) -> bool:
    """Set ticks at whole numbers; scale a ladder of dim3 logarithmically, and say so."""
    scanned = list(dim3)
    if not is_ladder(scanned):
        _whole(axis)
        return False
    first, last = min(scanned), max(scanned)
    pad = (last / first) ** 0.03
    axis.axes.set(xscale="log", xlim=(first / pad, last * pad))
    axis.set_major_locator(LogLocator(2))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    return True


def _whole(axis: Axis, most: int = 10) -> None:
    """Set ticks at whole numbers."""
    axis.set_major_locator(MaxNLocator(most, integer=True, steps=STEPS, min_n_ticks=1))


def _key(style: Style, fill: str | None = None) -> Line2D:
    return Line2D(
        [], [], color=style.colour, marker=style.marker, ls=style.line, ms=5, lw=1.5, mfc=fill or style.colour
    )


def _numbers(values: Iterable[float | None]) -> _Array:
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def _columns(points: Iterable[object], *names: str) -> list[_Array]:
    """Return attributes of the points as arrays, nan for None."""
    points = list(points)
    return [_numbers(getattr(p, name) for p in points) for name in names]


def _metric(points: Sequence[Any], metric: Metric) -> _Array:
    return _numbers(p.metrics.get(metric) for p in points)


def _positive(value: float | None) -> bool:
    return value is not None and np.isfinite(value) and value > 0
