"""Figures of codes, of rows decoded from them, of generated rows and of their measures.

Each function takes arrays and returns a Figure; `plot_codes` takes a comparison. Arrays have rows and are finite, and
lists other than `decoded` are not empty. Labels are truncated and drawn as plain text; only the names of latent axes
may be formulas. Without pyplot, on white.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from elbowroom.tracking.drawing import (
    MOST_CLASSES,
    PALETTE,
    Look,
    class_colours,
    draw_cells,
    in_rows,
    plain_label,
    settled,
)
from elbowroom.tracking.store.text import clean, drawn_plainly

from ..findings.find import ComparisonFinding
from ..latent_space.answers import IN_USE
from ..latent_space.projections import project
from .curves import DPI, GREY, KNOWN, LOG_FROM, LONGEST, STEPS, STYLES, Style, pictured, styles_of

_Array = npt.NDArray[Any]

_WIDTH = 7.0  # inches: the page shows it about 700 pixels wide
_SMALL, _NORMAL = 8.0, 9.0  # points
_LETTER = 0.0083  # width of a letter in inches, for each point of its size
_MOST_POINTS = 3000  # of a scatter plot; more hide each other
_COLUMNS = 10  # pictures in a row
_ABREAST = 3  # panels in a row
_MOST_CROSSES = 30  # in a panel
_MOST_CLOUDS = 12  # panels of the codes of a comparison
AXES = ("$z_1$", "$z_2$")
_CENTRAL = (0.5, 99.5)  # percentiles at the ends of the axes of a scatter plot


class Cloud(NamedTuple):
    """The codes (N, 2) or (N, 1) of one model."""

    title: str
    codes: _Array


class Decoded(NamedTuple):
    """Rows decoded from a grid over the latent plane of a model.

    x is (rows, side, dim1), top left first; ticks (2, side), ascending, are the coordinates along both axes, (1, side)
    for a grid of one row. The title is shown where it is not that of the codes.
    """

    title: str
    x: _Array
    ticks: _Array


def draw_repeats(
    came: list[Cloud],
    aligned: list[Cloud],
    labels: _Array | None,
    classes: tuple[str, ...],
    axes: tuple[str, str] = AXES,
) -> Figure:
    """Draw the codes of several runs in columns, and below them the codes aligned to the first run.

    The lower row has one window and one scale for both axes. Windows omit the outermost codes.

    Parameters
    ----------
    came, aligned
        The codes of each run, before and after the alignment.
    labels, classes
        The class of each row (N,) or None, and the names of the classes.
    axes
        Names of the axes.
    """
    width = _width(len(came))
    side = (width - 0.8) / len(came)
    titles = [_wrapped(cloud.title, side - 0.35, _NORMAL) for cloud in came]
    around = 0.9 + 0.16 * max(title.count("\n") for title in titles) + _legend_height(width, labels, classes)
    figure = _figure(width, 2 * (max(1.2, side) + 0.1) + around)
    grid = figure.subplots(2, len(came), squeeze=False)
    common = limits(np.concatenate([cloud.codes for cloud in aligned]))
    middle, half = common.mean(axis=1), float(np.diff(common).max()) / 2
    for row, clouds, name in ((0, came, "as they came"), (1, aligned, "aligned to the first")):
        for i, (panel, cloud) in enumerate(zip(grid[row], clouds, strict=True)):
            draw_cloud(panel, cloud.codes, labels, classes, side)
            panel.set_xlabel(axes[0], fontsize=_NORMAL)
            if row == 0:
                panel.set_title(titles[i], fontsize=_NORMAL)
            elif cloud.codes.shape[1] == 1:
                panel.set_xlim(*common[0])
            else:
                panel.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
                panel.set_aspect("equal")
            if panel is grid[row, 0]:
                panel.set_ylabel(f"{name}\n{upright(cloud.codes, labels, axes)}", fontsize=_NORMAL)
            elif (row == 1) if cloud.codes.shape[1] > 1 else (labels is not None):
                panel.tick_params(labelleft=False)
    _class_legend(figure, labels, classes)
    return settled(figure)


def draw_planes(
    clouds: list[Cloud],
    decoded: list[Decoded],
    labels: _Array | None,
    classes: tuple[str, ...],
    look: Look,
    axes: tuple[str, str] = AXES,
) -> Figure:
    """Draw the codes of several models in columns, and below them the rows decoded over their latent planes.

    Parameters
    ----------
    clouds
        The codes of each model; three models in a row.
    decoded
        Decoded rows of each model; empty for the codes alone.
    labels, classes
        The class of each row (N,) or None, and the names of the classes.
    look
        How rows are drawn.
    axes
        Names of the axes.
    """
    columns = _columns(len(clouds))
    bands = math.ceil(len(clouds) / columns)
    width = _width(columns)
    side = (width - 0.6) / columns
    heights = [side - 0.3]
    if decoded:
        heights.append(heights[0] * (0.3 if all(len(plane.x) == 1 for plane in decoded) else 1.0))
        look = _fitted(look, [plane.x for plane in decoded])
    rows = len(heights)
    figure = _figure(width, bands * (sum(heights) + 0.58 * rows) + _legend_height(width, labels, classes))
    grid = GridSpec(rows * bands, columns, figure=figure, height_ratios=heights * bands)
    for i, cloud in enumerate(clouds):
        band, column = divmod(i, columns)
        panel = figure.add_subplot(grid[rows * band, column])
        draw_cloud(panel, cloud.codes, labels, classes, side)
        panel.set_title(_wrapped(cloud.title, side - 0.35, _NORMAL), fontsize=_NORMAL)
        panel.set_xlabel(_folded(axes[0], side), fontsize=_NORMAL)
        if column == 0 or cloud.codes.shape[1] != clouds[i - 1].codes.shape[1]:
            panel.set_ylabel(_folded(upright(cloud.codes, labels, axes), side), fontsize=_NORMAL)
        elif cloud.codes.shape[1] == 1 and labels is not None:
            panel.tick_params(labelleft=False)
        if not decoded:
            continue
        plane = decoded[i]
        panel = figure.add_subplot(grid[rows * band + 1, column])
        draw_cells(panel, plane.x, look, gap=False)
        if plane.title != cloud.title:
            panel.set_title(_wrapped(plane.title, side - 0.35, _NORMAL), fontsize=_NORMAL)
        _tick_values(panel, plane)
        panel.set_xlabel(_folded(axes[0], side), fontsize=_NORMAL)
        if column == 0 and len(plane.ticks) > 1:
            panel.set_ylabel(_folded(axes[1], side), fontsize=_NORMAL)
    _class_legend(figure, labels, classes)
    return settled(figure)


def plot_codes(comparison: ComparisonFinding) -> Figure | None:
    """Draw the codes of the first test rows by every model at one dim3, 2 where most models have it."""
    dim3 = pictured(comparison, 2)
    found = None if dim3 is None else project(comparison.comparison.series, [dim3])
    if dim3 is None or found is None:
        return None
    clouds = []
    for label, points in list(found.points.items())[:_MOST_CLOUDS]:
        codes, share = points[dim3]
        shown = f": {100 * share:.1f} %" if dim3 > 2 and share is not None else ""
        clouds.append(Cloud(f"{label}, dim3 {dim3}{shown}", codes))
    classes = () if found.labels is None else tuple(str(i) for i in range(int(found.labels.max()) + 1))
    names = AXES if dim3 <= 2 else ("principal axis 1", "principal axis 2")
    return draw_planes(clouds, [], found.labels, classes, Look(None), names)


def draw_samples(rows: list[tuple[str, _Array, _Array]], look: Look) -> Figure:
    """Draw the first ten samples (n, dim1) of each generator over their nearest training rows (n, dim1)."""
    look = _fitted(look, [x for _, samples, nearest in rows for x in (samples, nearest)])
    bands = [(label, np.stack([samples[:_COLUMNS], nearest[:_COLUMNS]])) for label, samples, nearest in rows]
    return settled(_draw_bands(bands, look, ("sample", "nearest"))[0])


def draw_draws(
    draws: _Array, titles: tuple[str, ...] = ("one draw", "a new draw", "the first seed again"), *, look: Look
) -> Figure:
    """Draw several sets of samples, each as a square of pictures.

    Parameters
    ----------
    draws
        (sets, n, dim1).
    titles
        Of each set.
    look
        How rows are drawn.
    """
    look = _fitted(look, [draws])
    columns = math.ceil(math.sqrt(draws.shape[1]))
    rows = math.ceil(draws.shape[1] / columns)
    side = (_WIDTH - 0.3) / len(draws)
    figure = _figure(_WIDTH, side * rows / columns * look.tall(draws.shape[2]) + 0.3)
    for axes, x, title in zip(figure.subplots(1, len(draws), squeeze=False).flat, draws, titles, strict=True):
        draw_cells(axes, in_rows(x, rows), look)
        axes.set_title(_wrapped(title, side - 0.1, _NORMAL), fontsize=_NORMAL)
    return settled(figure)


def draw_robustness(panels: list[tuple[int, list[tuple[str, str, _Array]]]]) -> Figure:
    """Draw the error of decoding pushed codes against the length of the push, a panel for each dim3.

    Each panel has, by label and model, an array (R, 3): length of the push, error, and its standard error.
    """
    series = list(dict.fromkeys((label, model) for _, curves in panels for label, model, _ in curves))
    style_of = dict(zip(series, styles_of(model for _, model in series), strict=True))
    figure, grid = _panels(len(panels), 2.3, 0.6 + 0.2 * math.ceil((len(series) + 1) / 2))
    points = np.concatenate([curve for _, curves in panels for _, _, curve in curves])
    right = float(points[:, 0].max(initial=0)) or 1.0
    top = float((points[:, 1] + 1.96 * points[:, 2]).max(initial=0)) or 1.0
    for i, (axes, (dim3, curves)) in enumerate(zip(grid, panels, strict=True)):
        for label, model, curve in curves:
            style = style_of[label, model]
            x, y, error = curve.T
            axes.plot(x, y, style.line, color=style.colour, marker=style.marker, ms=4, lw=1.5, clip_on=False)
            axes.fill_between(x, y - 1.96 * error, y + 1.96 * error, color=style.colour, alpha=0.22, lw=0)
        axes.set(xlim=(0, 1.04 * right), ylim=(0, 1.06 * top))
        axes.set_title(f"dim3 = {dim3}", fontsize=_NORMAL)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
        _outer(grid, i, "length of the perturbation,\nin SDs of the codes", "mean squared error\nof perturbed codes")
    keys: list[Artist] = [_key(style_of[each]) for each in series]
    band = Patch(color=GREY, alpha=0.25, lw=0)
    _legend(figure, [*keys, band], [*(plain_label(label, LONGEST) for label, _ in series), "±1.96 standard errors"])
    return figure


def draw_kl(panels: list[tuple[str, _Array]]) -> Figure:
    """Draw the KL divergence (dim3,) of each latent dimension in nats, in descending order, a panel for each model.

    A cross marks a dimension that is not in use; of more than 30 in a panel, every n-th.
    """
    figure, grid = _panels(len(panels), 2.4, 0.5)
    top = max(float(kl.max(initial=0)) for _, kl in panels) or 1.0
    side = _WIDTH / _columns(len(panels))
    silent = False
    for i, (axes, (label, kl)) in enumerate(zip(grid, panels, strict=True)):
        ordered = np.sort(kl)[::-1]
        ranks = np.arange(1, len(ordered) + 1)
        axes.bar(ranks, ordered, width=0.8, color=KNOWN["vae"].colour, lw=0)
        below = ranks[ordered <= IN_USE]
        if len(below):
            silent = True
            below = below[:: math.ceil(len(ordered) / _MOST_CROSSES)]
            size = min(5.0, max(2.5, 80 / len(ordered)))
            axes.plot(below, np.full(len(below), 0.04), "x", ms=size, color=GREY, transform=axes.get_xaxis_transform())
        more = f"total {ordered.sum():.3g} nats\n{(ordered > IN_USE).sum()} of {len(ordered)} above {IN_USE:g}"
        axes.set_title(f"{_wrapped(label, side - 0.6, _NORMAL)}\n{more}", fontsize=_NORMAL)
        axes.set(xlim=(0.3, len(ordered) + 0.7), ylim=(0, 1.05 * top))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=STEPS, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
        _outer(grid, i, "latent dimension,\nlargest KL first", "KL to the prior, nats")
    if silent:
        cross = Line2D([], [], ls="", marker="x", ms=5, color=GREY)
        _legend(figure, [cross], [f"not in use: at most {IN_USE:g} nats"])
    return figure


def draw_distances(curves: list[tuple[str, str, _Array]], real: _Array | None) -> Figure:
    """Draw the cumulative distribution of each generator's distances to the nearest training row.

    curves are label, model and mean squared differences (n,); real are those of test rows. The axis ends at the 99.5th
    percentile.
    """
    figure = _figure(_WIDTH, 3.7 + 0.2 * math.ceil((len(curves) + 1) / 2))
    axes = figure.subplots()
    styles = styles_of(model for _, model, _ in curves)
    lines = [(label, x, style.colour, style.line, 1.6) for (label, _, x), style in zip(curves, styles, strict=True)]
    if real is not None:
        lines.append(("real test rows", real, "black", "-", 3.0))
    found, keys = [], []
    for _, x, colour, line, width in lines:
        ordered = np.sort(x.astype(float))
        steps = np.concatenate([ordered[:1], ordered, [ordered[-1] * 1e6 + 1]])  # the last step reaches the border
        share = np.concatenate([[0], np.arange(1, len(x) + 1) / len(x), [1]])
        axes.plot(steps, share, line, color=colour, lw=width, drawstyle="steps-post", zorder=1.5 if width > 2 else 2)
        found.append(ordered)
        keys.append(Line2D([], [], color=colour, ls=line, lw=width))
    right = max(float(np.percentile(x, _CENTRAL[1])) for x in found) or 1.0
    middles = [float(np.median(x)) for x in found]
    left = min(float(x[0]) for x in found)
    if left > 0 and max(middles) / min(middles) > LOG_FROM:
        axes.set(xscale="log", xlim=(left / 1.1, 1.1 * right))
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if right / left < 1e4 else (1,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, 1.04 * right)
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=STEPS))
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("mean squared difference to the nearest training row, data units²", fontsize=_NORMAL)
    axes.set_ylabel("cumulative share of the rows", fontsize=_NORMAL)
    _plain(axes)
    _legend(figure, keys, [plain_label(label, LONGEST) for label, *_ in lines])
    return figure


def draw_cloud(axes: Axes, codes: _Array, labels: _Array | None, classes: tuple[str, ...], side: float) -> None:
    """Draw codes.

    Parameters
    ----------
    axes
        Get the limits of the codes without the outermost ones.
    codes
        (N, 2), coloured by class; (N, 1) as a strip for each class, or as a histogram.
    labels, classes
        The class of each row (N,) or None, and the names of the classes.
    side
        Of the axes, in inches.
    """
    kept = np.linspace(0, len(codes) - 1, min(len(codes), _MOST_POINTS)).astype(int)
    shown = np.asarray(codes[kept], dtype=float)
    window = limits(codes)
    c: Any = STYLES[0].colour if labels is None else class_colours(labels[kept])
    area = float(np.clip(2500 / len(shown) * (side / 2.2) ** 2, 1.5, 14))
    axes.set_xlim(*window[0])
    if shown.shape[1] > 1:
        axes.scatter(shown[:, 0], shown[:, 1], s=area, c=c, alpha=0.7, linewidths=0)
        axes.set_ylim(*window[1])
        axes.yaxis.set_major_locator(MaxNLocator(4 if side > 1.6 else 3, steps=STEPS))
    elif labels is None:
        axes.hist(shown[:, 0], bins=40, range=(window[0, 0], window[0, 1]), color=c)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True, steps=STEPS))
    else:
        height = np.random.default_rng(0).uniform(-0.35, 0.35, len(shown))
        axes.scatter(shown[:, 0], labels[kept] + height, s=area, c=c, alpha=0.7, linewidths=0)
        axes.set_ylim(len(classes) - 0.4, -0.6)
        step = math.ceil(len(classes) / 10)
        axes.set_yticks(range(0, len(classes), step), [plain_label(name, 10) for name in classes[::step]])
    axes.xaxis.set_major_locator(MaxNLocator(4 if side > 1.6 else 3, steps=STEPS))
    axes.set_box_aspect(1)
    _plain(axes, _SMALL if side > 1.6 else _SMALL - 1)


def upright(codes: _Array, labels: _Array | None, axes: tuple[str, str]) -> str:
    """Return the label of the vertical axis of a plot of codes."""
    if codes.shape[1] > 1:
        return axes[1]
    return "rows" if labels is None else "class"


def limits(codes: _Array) -> npt.NDArray[np.float64]:
    """Return the limits (columns, 2) of the axes for codes (N, columns), without the outermost ones."""
    low, high = np.percentile(np.asarray(codes, dtype=float), _CENTRAL, axis=0)
    pad = 0.08 * (high - low)
    constant = pad <= 1e-9 * np.maximum(np.abs(low), np.abs(high))
    pad = np.where(constant, np.maximum(0.5, 0.05 * np.abs(low)), pad)
    return np.stack([low - pad, high + pad], axis=1)


def _draw_bands(bands: Sequence[tuple[str, _Array]], look: Look, names: tuple[str, ...]) -> tuple[Figure, list[Axes]]:
    """Draw a grid of pictures (rows, columns, dim1) for each label, below each other, at one scale."""
    columns = max(x.shape[1] for _, x in bands)
    rows = [len(x) for _, x in bands]
    beside = 1.75 + 0.5 * bool(names)  # inches that the labels take
    tall = look.tall(bands[0][1].shape[2])
    each = max(0.2, min((_WIDTH - beside) / columns, 1.1, 1.4 / tall))
    width = _WIDTH if columns >= 5 else beside + each * columns
    figure = _figure(width, each * tall * sum(rows) + 0.2 * len(bands) + 0.3)
    panels = list(figure.subplots(len(bands), 1, squeeze=False, height_ratios=rows).flat)
    for axes, (label, x) in zip(panels, bands, strict=True):
        blank = np.full((len(x), columns - x.shape[1], x.shape[2]), np.nan)
        draw_cells(axes, np.concatenate([x, blank], axis=1), look)
        axes.set_ylabel(_wrapped(label, 1.45, _NORMAL), rotation=0, ha="right", va="center", fontsize=_NORMAL)
        if names:
            axes.set_yticks(len(x) - np.arange(len(x)) - 0.5, names, fontsize=_SMALL - 0.5)
    return figure, panels


def _tick_values(axes: Axes, plane: Decoded) -> None:
    """Label up to six cells along each axis with their coordinate on the latent plane."""
    for name, ticks in zip("xy", plane.ticks, strict=False):
        shown = even(len(ticks))
        span = float(ticks[-1] - ticks[0])
        set_ticks = axes.set_xticks if name == "x" else axes.set_yticks
        set_ticks(shown + 0.5, [coordinate(float(ticks[i]), span) for i in shown], fontsize=_SMALL)
    axes.tick_params(length=2.5)


def even(n: int, most: int = 6) -> npt.NDArray[np.int64]:
    """Return the indices of at most so many of n cells, evenly spaced, with both ends."""
    counts = [m for m in range(most, 2, -1) if m <= n and (n - 1) % (m - 1) == 0]
    return np.linspace(0, n - 1, counts[0] if counts else min(n, 4)).round().astype(np.int64)


def coordinate(value: float, span: float) -> str:
    """Return the value of a tick as text, with the digits that the span of the axis needs."""
    if 1e-3 < span < 1e5:
        digits = max(0, 1 - math.floor(math.log10(span)))
        text = f"{round(value, digits) + 0.0:.{digits}f}"
    else:
        text = f"{value:.2g}"
    return text.replace("-", "−")


def _fitted(look: Look, arrays: Iterable[_Array]) -> Look:
    """Return the look for these rows; lines are scaled to the range of all values."""
    arrays = list(arrays)
    if look.shape(arrays[0].shape[-1]) is not None:
        return look
    values = np.concatenate([np.asarray(x, dtype=float).ravel() for x in arrays])
    values = values[np.isfinite(values)]
    return Look(None, *((float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)))


def _class_legend(figure: Figure, labels: _Array | None, classes: tuple[str, ...]) -> None:
    """Draw a legend of the classes below the axes, of the first 20."""
    if labels is None or not classes:
        return
    names = _class_names(classes)
    keys = [Line2D([], [], marker="o", ms=5, ls="", color=PALETTE[i % len(PALETTE)]) for i in range(len(names))]
    more = len(classes) > MOST_CLASSES
    figure.legend(
        keys, names, loc="outside lower center", frameon=False, fontsize=_SMALL + 0.5, columnspacing=1.0,
        ncols=_abreast(figure.get_figwidth(), names, 10), handletextpad=0.1, title_fontsize=_SMALL + 0.5,
        title=f"class (the first {MOST_CLASSES} of {len(classes)})" if more else "class",
    )  # fmt: skip


def _class_names(classes: tuple[str, ...]) -> list[str]:
    return [plain_label(name, 14) for name in classes[:MOST_CLASSES]]


def _legend_height(width: float, labels: _Array | None, classes: tuple[str, ...]) -> float:
    """Return the height of the legend of the classes in inches."""
    if labels is None or not classes:
        return 0.0
    names = _class_names(classes)
    return 0.3 + 0.19 * math.ceil(len(names) / _abreast(width, names, 10))


def _legend(figure: Figure, keys: Sequence[Artist], texts: list[str]) -> None:
    """Draw a legend below the axes."""
    figure.legend(
        keys, texts, loc="outside lower center", frameon=False, fontsize=_SMALL + 0.5, columnspacing=1.2,
        ncols=_abreast(figure.get_figwidth(), texts, 3), handlelength=2.6,
    )  # fmt: skip


def _abreast(width: float, texts: Sequence[str], most: int) -> int:
    """Return the number of columns of a legend that fit."""
    each = max(_inches(text.replace(r"\$", "$"), _SMALL + 0.5) for text in texts) + 0.5
    columns = max(1, min(most, len(texts), int((width - 0.2) / each)))
    return math.ceil(len(texts) / math.ceil(len(texts) / columns))


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def _width(columns: int) -> float:
    return (4.2, 5.8, _WIDTH)[min(columns, 3) - 1]


def _columns(n: int) -> int:
    """Return the number of columns for n panels: at most three, with rows of even length."""
    return math.ceil(n / math.ceil(n / _ABREAST))


def _panels(n: int, height: float, extra: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with n panels, `extra` inches higher for the texts around them."""
    columns = _columns(n)
    rows = math.ceil(n / columns)
    figure = _figure(_width(columns), rows * (height + 0.35) + extra)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[n:]:
        axes.remove()
    for axes in grid[:n]:
        _plain(axes)
    return figure, grid[:n]


def _outer(grid: list[Axes], i: int, below: str, left: str) -> None:
    """Label the axes of panel i at the lower and the left edge of the figure."""
    columns = _columns(len(grid))
    if i + columns >= len(grid):
        grid[i].set_xlabel(below, fontsize=_NORMAL)
    if i % columns == 0:
        grid[i].set_ylabel(left, fontsize=_NORMAL)
    else:
        grid[i].tick_params(labelleft=False)


def _plain(axes: Axes, size: float = _SMALL) -> None:
    axes.tick_params(labelsize=size)
    axes.grid(alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _key(style: Style) -> Line2D:
    return Line2D([], [], color=style.colour, marker=style.marker, ls=style.line, ms=4.5, lw=1.5)


def _folded(name: str, side: float) -> str:
    """Return the name of a latent axis, wrapped to a panel's side in inches unless it is a formula."""
    return name if "$" in name else textwrap.fill(name, max(8, int(side / (_NORMAL * _LETTER))))


def _wrapped(text: str, inches: float, size: float) -> str:
    """Return a label, truncated and wrapped to a width in inches."""
    plain = clean(text, LONGEST)
    each = max(_inches(plain, size) / max(len(plain), 1), 0.6 * size * _LETTER)
    return drawn_plainly("\n".join(textwrap.wrap(plain, max(6, int(0.95 * inches / each)))))


def _inches(text: str, size: float) -> float:
    """Return the drawn width of a text in inches."""
    return float(TextPath((0, 0), drawn_plainly(text), size=size).get_extents().width) / 72 if text.strip() else 0.0
