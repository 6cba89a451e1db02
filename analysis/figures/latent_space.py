"""Figures of the measures of latent spaces and samples, for the assignment's page.

Each function takes arrays and returns a Figure. Arrays have rows, and lists are not empty. Labels are truncated and
drawn as plain text. Without pyplot, on white.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from elbowroom.tracking.drawing import (
    plain_label,
)
from elbowroom.tracking.store.text import clean, drawn_plainly

from ..latent_space.answers import IN_USE
from .curves import DPI, GREY, KNOWN, LOG_FROM, LONGEST, STEPS, STYLES, Style, styles_of

_Array = npt.NDArray[Any]

_WIDTH = 7.0  # inches: the page shows it about 700 pixels wide
_SMALL, _NORMAL = 8.0, 9.0  # points
_LETTER = 0.0083  # width of a letter in inches, for each point of its size
_ABREAST = 3  # panels in a row
_MOST_CROSSES = 30  # in a panel
_CENTRAL = (0.5, 99.5)  # percentiles at the ends of the axes of a scatter plot
_COLOURED = [style for style in STYLES if style.colour != "#000000"]  # black is for real rows
_MIXED = [  # the colour of one and the marker of another, where there are more series than styles
    Style(one.colour, other.marker, other.line)
    for turn in range(1, len(_COLOURED))
    for one, other in zip(_COLOURED, [*_COLOURED[turn:], *_COLOURED[:turn]], strict=True)
]
_FREE = [*_COLOURED[len(KNOWN) :], *_COLOURED[: len(KNOWN)], *_MIXED]  # for models that have no style of their own


def draw_robustness(panels: list[tuple[int, list[tuple[str, str, _Array]]]]) -> Figure:
    """Draw the error of decoding pushed codes against the length of the push, a panel for each dim3.

    Each panel has, by label and model, an array (R, 3): length of the push, error, and its standard error.
    """
    series = list(dict.fromkeys((label, model) for _, curves in panels for label, model, _ in curves))
    style_of = dict(zip(series, styles_of([model for _, model in series], _FREE), strict=True))
    figure, grid = _panels(len(panels), 2.3, 0.6 + 0.2 * math.ceil((len(series) + 1) / 2))
    points = np.concatenate([curve for _, curves in panels for _, _, curve in curves])
    right = float(np.nanmax(points[:, 0], initial=0)) or 1.0
    top = float(np.nanmax(points[:, 1] + np.nan_to_num(1.96 * points[:, 2]), initial=0)) or 1.0
    for i, (axes, (dim3, curves)) in enumerate(zip(grid, panels, strict=True)):
        for label, model, curve in curves:
            style = style_of[label, model]
            x, y, error = np.asarray(curve, dtype=float).T
            axes.plot(x, y, style.line, color=style.colour, marker=style.marker, ms=4, lw=1.5, clip_on=False)
            axes.fill_between(x, y - 1.96 * error, y + 1.96 * error, color=style.colour, alpha=0.22, lw=0)
            if len(x) == 1:
                axes.vlines(x, y - 1.96 * error, y + 1.96 * error, color=style.colour, lw=5, alpha=0.3)
        axes.set(xlim=(0, 1.04 * right), ylim=(0, 1.06 * top))
        axes.set_title(f"dim3 = {dim3}", fontsize=_NORMAL)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
        _outer(grid, i, "length of the push,\nin SDs of the codes", "error of decode(z + push),\nmean squared")
    keys: list[Artist] = [_key(style_of[each]) for each in series]
    band = Patch(color=GREY, alpha=0.25, lw=0)
    _legend(figure, [*keys, band], [*(plain_label(label, LONGEST) for label, _ in series), "±1.96 standard errors"])
    return figure


def draw_kl(panels: list[tuple[str, _Array]]) -> Figure:
    """Draw the KL divergence (dim3,) of each latent dimension in nats, in descending order, a panel for each model.

    A cross marks a dimension that is not in use; of more than 30 in a panel, every n-th.
    """
    figure, grid = _panels(len(panels), 2.4, 0.5)
    top = max(float(np.nanmax(kl, initial=0)) for _, kl in panels) or 1.0
    side = _WIDTH / _columns(len(panels))
    silent = False
    for i, (axes, (label, kl)) in enumerate(zip(grid, panels, strict=True)):
        ordered = np.sort(np.nan_to_num(np.asarray(kl, dtype=float)))[::-1]
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
    styles = styles_of([model for _, model, _ in curves], _FREE)
    lines = [(label, x, style.colour, style.line, 1.6) for (label, _, x), style in zip(curves, styles, strict=True)]
    if real is not None:
        lines.append(("real test rows", real, "black", "-", 3.0))
    found, keys = [], []
    for _, x, colour, line, width in lines:
        finite = np.sort(x[np.isfinite(x)].astype(float))
        steps, share = finite, finite
        if len(finite):
            steps = np.concatenate([finite[:1], finite, [finite[-1] * 1e6 + 1]])  # the last step reaches the border
            share = np.concatenate([[0], np.arange(1, len(finite) + 1) / len(finite), [1]])
        axes.plot(steps, share, line, color=colour, lw=width, drawstyle="steps-post", zorder=1.5 if width > 2 else 2)
        found.append(finite)
        keys.append(Line2D([], [], color=colour, ls=line, lw=width))
    found = [x for x in found if len(x)] or [np.zeros(1)]
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


def _wrapped(text: str, inches: float, size: float) -> str:
    """Return a label, truncated and wrapped to a width in inches."""
    plain = clean(text, LONGEST)
    each = max(_inches(plain, size) / max(len(plain), 1), 0.6 * size * _LETTER)
    return drawn_plainly("\n".join(textwrap.wrap(plain, max(6, int(0.95 * inches / each)))))


def _inches(text: str, size: float) -> float:
    """Return the drawn width of a text in inches."""
    return float(TextPath((0, 0), drawn_plainly(text), size=size).get_extents().width) / 72 if text.strip() else 0.0
