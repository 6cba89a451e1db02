"""Single panels of the assignment's page: codes with their axes, and pictures in a grid as files of whole pixels.

The page arranges the panels, so that their letters keep their size on a phone, and sets titles and legends itself.
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from elbowroom.tracking.drawing import PALETTE, Look, class_colours, draw_cells, small_pictures

from .curves import DPI, STYLES
from .latent_space import coordinate, draw_cloud, even, limits, upright

_Array = npt.NDArray[Any]

WIDE, NARROW = 5.1, 3.2
"""Widths of a panel in inches, of two and of three in a row."""
_BORDER = (0.56, 0.5, 0.18, 0.14)  # inches left of, below, right of and above the axes
_LETTERS = {WIDE: 9.8, NARROW: 9.0}  # points: on a phone a wide panel is narrower
_MOST_MARKS = 8  # on an axis
_PALE = 0.35  # opacity of codes below their posteriors
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
    """Draw the codes of one run.

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
    (left, bottom, right, top), letters = (inches / width for inches in _BORDER), _LETTERS[width]
    box = left, top, 1 - right, 1 - bottom
    figure = Figure(figsize=(width, width), dpi=DPI, facecolor="none")
    axes = figure.add_axes((left, bottom, 1 - left - right, 1 - bottom - top))
    axes.set_facecolor("none")
    draw_cloud(axes, codes, labels, classes, width)
    axes.set_box_aspect(None)
    axes.tick_params(labelsize=letters)
    axes.set_xlabel(names[0], fontsize=letters)
    axes.set_ylabel(upright(codes, labels, names), fontsize=letters, labelpad=1)
    if codes.shape[1] == 1:
        return Codes(figure, axes.get_xlim(), (0.0, 1.0), box)
    shown = limits(codes) if window is None else window
    if equal:
        shown = np.stack([np.minimum(shown[:, 0], -_AROUND), np.maximum(shown[:, 1], _AROUND)], axis=1)
        shown = squared(shown)
        for radius, line in ((1, "-"), (2, "--")):
            axes.add_patch(Circle((0, 0), radius, fill=False, ec="black", lw=1.3, ls=line, zorder=3))
    axes.set(xlim=shown[0], ylim=shown[1])
    if posterior is not None:
        axes.collections[0].set_alpha(_PALE)
        means, sds = (a[_evenly(len(a), _ELLIPSES)] for a in posterior)
        colours: Any = STYLES[0].colour if labels is None else class_colours(labels[_evenly(len(labels), _ELLIPSES)])
        axes.add_collection(
            EllipseCollection(
                2 * sds[:, 0], 2 * sds[:, 1], np.zeros(len(means)), units="xy", offsets=means, facecolors="none",
                offset_transform=axes.transData, edgecolors=colours, linewidths=1.3, zorder=2,
            )
        )  # fmt: skip
    return Codes(figure, tuple(shown[0]), tuple(shown[1]), box)


def _evenly(n: int, most: int) -> npt.NDArray[np.int64]:
    """Return the indices of at most so many of n rows, evenly spaced."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)


def squared(window: _Array) -> npt.NDArray[np.float64]:
    """Return limits (2, 2) of equal length around those given."""
    half = float(np.diff(window).max()) / 2
    middle = window.mean(axis=1)
    return np.stack([middle - half, middle + half], axis=1)


def draw_tiles(x: _Array, look: Look, ticks: _Array | None = None) -> Tiles | Figure:
    """Return rows (rows, columns, dim1) as a grid of pictures, top left first, a figure of lines where they are none.

    Large pictures are reduced until the grid fits.

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
    pictures = small_pictures(x.reshape(-1, dim1), look, _MOST_PIXELS // columns)
    if pictures is None:
        return _lines(x, look, ticks)
    height, width = pictures.shape[1:3]
    gap = int(min(height, width) < _SMALL)
    tiles = pictures.reshape(rows, columns, height, width, -1)
    grid = np.pad(tiles, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=_LINE)
    height, width = height + gap, width + gap
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
    for axis, along in zip((axes.xaxis, axes.yaxis), () if ticks is None else ticks, strict=False):
        places, texts = zip(*marks(along.tolist()), strict=True)
        axis.set_ticks(np.array(places) / 100 * len(along), texts, fontsize=_LETTERS[WIDE])
    return figure


def marks(along: list[float]) -> list[tuple[float, str]]:
    """Return the ticks of an axis with pictures at these coordinates: the place in percent, and the text."""
    step = abs(along[-1] - along[0]) / 4
    shown = even(len(along), _MOST_MARKS).tolist()
    return [(100 * (i + 0.5) / len(along), coordinate(along[i], step)) for i in shown]


def class_keys(classes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the name and the colour of each class."""
    return [(name, PALETTE[i % len(PALETTE)]) for i, name in enumerate(classes)]
