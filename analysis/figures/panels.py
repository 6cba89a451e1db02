"""Single panels of the assignment's page: codes with their axes, and pictures in a grid as files of whole pixels.

The page arranges the panels, so that their letters keep their size on a phone, and sets titles and legends itself.
"""

from __future__ import annotations

import io
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from PIL import Image

from elbowroom.tracking.drawing import PALETTE, Look, class_colours, draw_cells, plain_label

from .curves import DPI, STEPS, STYLES

_Array = npt.NDArray[Any]

WIDE, NARROW = 5.1, 3.2
"""Widths of a panel in inches, of two and of three in a row."""
AXES = ("$z_1$", "$z_2$")
_BORDER = (0.56, 0.5, 0.18, 0.14)  # inches left of, below, right of and above the axes
_LETTERS = {WIDE: 9.8, NARROW: 9.0}  # points: on a phone a wide panel is narrower
_MOST_POINTS = 3000  # of a scatter plot; more hide each other
_CENTRAL = (0.5, 99.5)  # percentiles at the ends of the axes of a scatter plot
_MOST_STRIPS = 20  # classes that are named, where codes have one dimension
_ELLIPSES = 80  # codes whose posterior is drawn
_MOST_PIXELS = 448  # of a grid of pictures, along each side
_SMALL = 16  # pixels; smaller pictures are set apart by lines
_LINE = 128  # their grey
_AROUND = 2.3  # least ends of axes with the circles of N(0, I)


class Codes(NamedTuple):
    """The figure of the codes of a run, the limits of its axes, and left, top, right and bottom of these as shares."""

    figure: Figure
    x: tuple[float, float]
    y: tuple[float, float]
    box: tuple[float, float, float, float]


class Tiles(NamedTuple):
    """Pictures in a grid: a PNG file, each pixel one of the data's, and what the page needs to place ticks on it.

    width and height are CSS pixels, a whole multiple of the file's; gap is the number of the file's pixels between
    pictures. ticks are the coordinates (2, columns) or (1, columns) along both axes, ascending; empty without axes.
    """

    png: bytes
    rows: int
    columns: int
    width: int
    height: int
    gap: int
    ticks: list[list[float]]


def _box_of(width: float) -> tuple[float, float, float, float]:
    left, bottom, right, top = _BORDER
    return left / width, top / width, 1 - right / width, 1 - bottom / width


def draw_codes(
    codes: _Array,
    labels: _Array | None,
    classes: tuple[str, ...],
    names: tuple[str, str],
    *,
    width: float = NARROW,
    window: _Array | None = None,
    posterior: tuple[_Array, _Array] | None = None,
    equal: bool = False,
) -> Codes:
    """Draw the finite codes of one run.

    Parameters
    ----------
    codes
        (N, 2) or (N, 1).
    labels, classes
        The class of each row (N,) or None, and the names of the classes.
    names
        Of the axes.
    width
        Inches.
    window
        Limits (2, 2) of the axes; None leaves out the outermost codes.
    posterior
        Means (N, 2) and standard deviations (N, 2) of the codes: a few are drawn as ellipses.
    equal
        Whether both axes have one scale, and the circles of 1 and 2 standard deviations of N(0, I) are drawn.
    """
    (left, bottom, right, top), letters = _BORDER, _LETTERS[width]
    figure = Figure(figsize=(width, width), dpi=DPI, facecolor="none")
    axes = figure.add_axes(
        (left / width, bottom / width, (width - left - right) / width, (width - bottom - top) / width)
    )
    axes.set_facecolor("none")
    axes.tick_params(labelsize=letters)
    axes.grid(alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(names[0], fontsize=letters)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    if codes.shape[1] == 1:
        _draw_line(axes, codes[:, 0], labels, classes, letters)
        return Codes(figure, axes.get_xlim(), (0.0, 1.0), _box_of(width))
    axes.set_ylabel(names[1], fontsize=letters, labelpad=1)
    kept = _evenly(len(codes), _MOST_POINTS)
    c: Any = STYLES[0].colour if labels is None else class_colours(labels[kept])
    area = float(np.clip(2500 / len(kept) * (width / 2.2) ** 2, 2, 16))
    axes.scatter(codes[kept, 0], codes[kept, 1], s=area, c=c, alpha=0.35 if posterior else 0.7, linewidths=0)
    shown = limits(codes) if window is None else window
    if equal:
        shown = np.stack([np.minimum(shown[:, 0], -_AROUND), np.maximum(shown[:, 1], _AROUND)], axis=1)
        shown = squared(shown)
        for radius, line in ((1, "-"), (2, "--")):
            axes.add_patch(Circle((0, 0), radius, fill=False, ec="black", lw=1.3, ls=line, zorder=3))
    axes.set(xlim=shown[0], ylim=shown[1])
    if posterior is not None:
        means, sds = (a[_evenly(len(a), _ELLIPSES)] for a in posterior)
        colours: Any = STYLES[0].colour if labels is None else class_colours(labels[_evenly(len(labels), _ELLIPSES)])
        axes.add_collection(
            EllipseCollection(
                2 * sds[:, 0], 2 * sds[:, 1], np.zeros(len(means)), units="xy", offsets=means, facecolors="none",
                offset_transform=axes.transData, edgecolors=colours, linewidths=1.3, zorder=2,
            )
        )  # fmt: skip
    return Codes(figure, tuple(shown[0]), tuple(shown[1]), _box_of(width))


def _draw_line(axes: Axes, codes: _Array, labels: _Array | None, classes: tuple[str, ...], letters: float) -> None:
    """Draw codes (N,) of one dimension as a strip for each class, or as a histogram."""
    low, high = limits(codes[:, None])[0]
    if labels is None:
        axes.hist(codes, bins=40, range=(low, high), color=STYLES[0].colour)
        axes.set_ylabel("rows", fontsize=letters)
    else:
        kept = _evenly(len(codes), _MOST_POINTS)
        height = np.random.default_rng(0).uniform(-0.35, 0.35, len(kept))
        axes.scatter(codes[kept], labels[kept] + height, s=8, c=class_colours(labels[kept]), alpha=0.7, linewidths=0)
        axes.set_ylim(len(classes) - 0.4, -0.6)
        step = math.ceil(len(classes) / _MOST_STRIPS)
        axes.set_yticks(range(0, len(classes), step), [plain_label(name, 4) for name in classes[::step]])
        axes.set_ylabel("class", fontsize=letters, labelpad=1)
    axes.set_xlim(low, high)


def _evenly(n: int, most: int) -> npt.NDArray[np.int64]:
    """Return the indices of at most so many of n rows, evenly spaced."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)


def limits(codes: _Array) -> npt.NDArray[np.float64]:
    """Return the limits (columns, 2) of the axes for codes (N, columns), without the outermost ones."""
    low, high = np.percentile(np.asarray(codes, dtype=float), _CENTRAL, axis=0)
    pad = 0.08 * (high - low)
    constant = pad <= 1e-9 * np.maximum(np.abs(low), np.abs(high))
    pad = np.where(constant, np.maximum(0.5, 0.05 * np.abs(low)), pad)
    return np.stack([low - pad, high + pad], axis=1)


def squared(window: _Array) -> npt.NDArray[np.float64]:
    """Return limits (2, 2) of equal length around those given."""
    half = float(np.diff(window).max()) / 2
    middle = window.mean(axis=1)
    return np.stack([middle - half, middle + half], axis=1)


def draw_tiles(x: _Array, look: Look, ticks: _Array | None = None) -> Tiles | Figure:
    """Return rows (rows, columns, dim1) as a grid of pictures, top left first, a figure of lines where they are none.

    Large pictures are averaged over squares of pixels until the grid fits.

    Parameters
    ----------
    x
        The rows.
    look
        How they are drawn.
    ticks
        The coordinates (2, columns) or (1, columns) along the axes of a latent plane.
    """
    rows, columns, dim1 = x.shape
    shape = look.shape(dim1)
    if shape is None:
        return _lines(x, look, ticks)
    pictures = look.scaled(x).reshape(rows, columns, *shape)
    pictures = pictures if pictures.ndim == 5 else pictures[..., None]
    factor = math.ceil(columns * shape[1] / _MOST_PIXELS)
    if 1 < factor <= min(shape[:2]):
        height, width = shape[0] // factor, shape[1] // factor
        parts = pictures[:, :, : height * factor, : width * factor]
        pictures = parts.reshape(rows, columns, height, factor, width, factor, -1).mean(axis=(3, 5))
    gap = int(min(pictures.shape[2:4]) < _SMALL)
    height, width = pictures.shape[2] + gap, pictures.shape[3] + gap
    grid = np.full((rows, columns, height, width, pictures.shape[4]), _LINE, dtype=np.uint8)
    grid[:, :, : height - gap, : width - gap] = (255 * pictures).round()
    pixels = grid.swapaxes(1, 2).reshape(rows * height, columns * width, -1)
    into = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(into, "PNG", optimize=True)
    zoom = max(1, _MOST_PIXELS // pixels.shape[1])
    size = (zoom * pixels.shape[1], zoom * pixels.shape[0])
    places = [] if ticks is None else np.asarray(ticks, dtype=float).tolist()
    return Tiles(into.getvalue(), rows, columns, *size, gap, places)


def _lines(x: _Array, look: Look, ticks: _Array | None) -> Figure:
    """Draw rows that are no pictures as lines, over the range of all their values."""
    rows, columns, _ = x.shape
    around = _BORDER if ticks is not None else (0.1,) * 4
    side = WIDE - around[0] - around[2]
    height = min(side, side * rows / columns * 0.8) + around[1] + around[3]
    figure = Figure(figsize=(WIDE, height), dpi=DPI, facecolor="none")
    axes = figure.add_axes((around[0] / WIDE, around[1] / height, side / WIDE, 1 - (around[1] + around[3]) / height))
    draw_cells(axes, x, Look(None, float(x.min()), float(x.max())), gap=False)
    axes.set_aspect("auto")
    for which, along in zip("xy", () if ticks is None else ticks, strict=False):
        places = marks(along.tolist())
        set_ticks = axes.set_xticks if which == "x" else axes.set_yticks
        set_ticks([p / 100 * len(along) for p, _ in places], [text for _, text in places], fontsize=_LETTERS[WIDE])
    return figure


def marks(along: list[float]) -> list[tuple[float, str]]:
    """Return up to eight ticks of an axis with pictures at these coordinates: the place in percent, and the text."""
    n, span = len(along), abs(along[-1] - along[0])
    counts = [m for m in (8, 6, 5, 4, 3) if m <= n and (n - 1) % (m - 1) == 0]
    shown = np.linspace(0, n - 1, counts[0] if counts else min(n, 4)).round().astype(int).tolist()
    return [(100 * (i + 0.5) / n, coordinate(along[i], span)) for i in shown]


def coordinate(value: float, span: float) -> str:
    """Return a coordinate as text, with the digits that the span of its axis needs."""
    if 1e-3 < span < 1e5:
        digits = max(0, 1 - math.floor(math.log10(span / 4)))  # of a step
        text = f"{round(value, digits) + 0.0:.{digits}f}"
    else:
        text = f"{value:.2g}"
    return text.replace("-", "−")


def class_keys(classes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the name and the colour of each class."""
    return [(name, PALETTE[i % len(PALETTE)]) for i, name in enumerate(classes)]
