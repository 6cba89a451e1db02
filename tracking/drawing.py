"""The common parts of all figures: colours, labels, pictures in a grid, the plane of the codes. Free of torch."""

from __future__ import annotations

import math
from binascii import crc32
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from PIL import Image

from .store.text import clean, drawn_plainly

Array = npt.NDArray[Any]
MOST_CLASSES = 20  # in a legend
# Ten colours that stay apart, also for most colour-blind readers (after Petroff 2021).
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#1a1a1a", "#4cb944",
)  # fmt: skip
# Okabe and Ito's, for colour-blind readers
MODEL_COLOURS = {"pca": "#0072b2", "ae": "#d55e00", "vae": "#009e73", "pca-mlp": "#cc79a7", "linear-ae": "#000000"}
OTHER_COLOURS = ("#e69f00", "#56b4e9", "#7f7f7f")  # of other models
_SMALL = 16  # pixels; smaller pictures are set apart by lines


class Look(NamedTuple):
    """The drawing of a row (dim1,): as a picture, black at `low` and white at `high`, else as a line of its columns."""

    image_shape: tuple[int, ...] | None
    low: float = 0.0
    high: float = 1.0

    def shape(self, dim1: int) -> tuple[int, ...] | None:
        """The shape of rows of dim1 numbers as pictures; None where they are none."""
        shape = self.image_shape
        if shape is None or math.prod(shape) != dim1:
            return None
        return shape if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)) else None

    def tall(self, dim1: int) -> float:
        """The height of a picture, or of the cell of a line, over its width."""
        shape = self.shape(dim1)
        return 0.8 if shape is None else shape[0] / shape[1]

    def scaled(self, x: Array) -> Array:
        """Values as shades in [0, 1]; what lies outside is cut off."""
        return np.clip((np.asarray(x, dtype=float) - self.low) / ((self.high - self.low) or 1.0), 0, 1)


def small_pictures(x: Array, look: Look, longest: int) -> npt.NDArray[np.uint8] | None:
    """Rows x (n, dim1) as shades (n, height, width), of colours (n, height, width, 3); None where they are no pictures.

    Sides longer than `longest` pixels are divided by the least whole number that makes them fit.
    """
    shape = look.shape(x.shape[1])
    if shape is None:
        return None
    size = shape[:2] if shape[2:] == (1,) else shape
    smaller = math.ceil(max(size[:2]) / longest)

    def small(row: Array) -> npt.NDArray[np.uint8]:
        shades = np.nan_to_num(255 * look.scaled(row)).round().astype(np.uint8)
        return np.asarray(Image.fromarray(shades.reshape(size)).reduce(smaller))

    return np.stack([small(row) for row in x])


def plain_label(text: str, longest: int) -> str:
    """A text that somebody wrote as a label: cut, on one line, and no formula."""
    return drawn_plainly(clean(text, longest))


def model_colour(model: str) -> str:
    """The colour of a model, the same in every run."""
    return MODEL_COLOURS.get(model) or OTHER_COLOURS[crc32(model.encode()) % len(OTHER_COLOURS)]


def class_colours(numbers: Array) -> npt.NDArray[np.float64]:
    """A colour (n, 4) for each of n class numbers: the palette over and over."""
    colours: npt.NDArray[np.float64] = np.asarray(to_rgba_array(PALETTE))[numbers % len(PALETTE)]
    return colours


def in_rows(x: Array, rows: int) -> Array:
    """Rows x (n, dim1) as cells (rows, columns, dim1), filled from the top left, the last ones nan."""
    columns = -(-len(x) // rows)
    cells = np.full((rows * columns, x.shape[1]), np.nan)
    cells[: len(x)] = x
    return cells.reshape(rows, columns, -1)


def draw_cells(axes: Axes, x: Array, look: Look, *, gap: bool = True) -> None:
    """Draw data rows in a grid of cells of 1 by 1.

    Parameters
    ----------
    axes : Axes
        Get the limits 0 to `columns`, and 0 to `rows`.
    x : (rows, columns, dim1)
        Top left first; a cell that is all nan stays empty.
    look : Look
    gap : bool
        Whether pictures stand apart by a frame; without it small ones are set apart by lines.
    """
    rows, columns, dim1 = x.shape
    axes.set(xticks=[], yticks=[], xlim=(0, columns), ylim=(0, rows))
    axes.tick_params(length=0)
    shape = look.shape(dim1)
    if shape is None:
        _draw_lines(axes, x, look, gap)
        return
    if gap:
        axes.spines[:].set_visible(False)
    zoom = math.ceil(_SMALL / min(shape[:2])) if gap else 1  # so that frames of one pixel are thin
    frame = int(gap)
    height, width, *colours = zoom * shape[0], zoom * shape[1], *shape[2:]
    tiles = np.ones((rows, columns, height + 2 * frame, width + 2 * frame, *colours))
    there = ~np.isnan(x).all(axis=2)
    pictures = np.nan_to_num(look.scaled(x[there])).reshape(-1, *shape)
    inner = tiles[:, :, frame : frame + height, frame : frame + width]
    inner[there] = pictures.repeat(zoom, axis=1).repeat(zoom, axis=2)
    picture = tiles.swapaxes(1, 2).reshape(rows * tiles.shape[2], columns * tiles.shape[3], *colours)
    picture = picture[..., 0] if colours == [1] else picture
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=(0, columns, 0, rows))
    axes.set_aspect(height / width)
    if not gap and min(height, width) < _SMALL:
        axes.hlines(np.arange(1, rows), 0, columns, color="0.5", lw=0.5)
        axes.vlines(np.arange(1, columns), 0, rows, color="0.5", lw=0.5)


def _draw_lines(axes: Axes, x: Array, look: Look, gap: bool) -> None:
    rows, columns, dim1 = x.shape
    if gap:
        axes.spines[:].set_color("0.85")
    along = np.linspace(0.08, 0.92, dim1) if dim1 > 1 else np.array([0.5])
    for i, j in np.argwhere(~np.isnan(x).all(axis=2)):
        heights = rows - i - 0.92 + 0.84 * look.scaled(x[i, j])
        axes.plot(j + along, heights, color=PALETTE[0], lw=0.8, marker="." if dim1 == 1 else "")
    axes.set_xticks(np.arange(1, columns), minor=True)
    axes.set_yticks(np.arange(1, rows), minor=True)
    axes.grid(which="minor", color="0.85", lw=0.5)
    axes.tick_params(which="minor", length=0)
    axes.set(xlim=(0, columns), ylim=(0, rows), aspect=look.tall(dim1))


def settled(figure: Figure) -> Figure:
    """The figure laid out: panels of a fixed shape need several passes until their labels have room."""
    engine = figure.get_layout_engine()
    assert engine is not None
    for _ in range(2):
        engine.execute(figure)
    return figure


class Plane(NamedTuple):
    """Two directions in the space of codes, or one where dim3 is 1, and where they pass.

    axes (2, dim3), orthonormal; rest (dim3,), the codes' mean off the plane; names, for the axes' labels.
    """

    axes: npt.NDArray[np.float64]
    rest: npt.NDArray[np.float64]
    names: tuple[str, ...]

    def scores(self, codes: Array) -> npt.NDArray[np.float32]:
        """Coordinates (N, 2) on the plane of codes (N, dim3)."""
        return (codes @ self.axes.T).astype(np.float32)

    def codes(self, scores: Array) -> npt.NDArray[np.float32]:
        """Codes (N, dim3) of coordinates (N, 2) on the plane."""
        return (self.rest + scores @ self.axes).astype(np.float32)


def latent_plane(codes: Array) -> Plane:
    """The plane to draw codes (N, dim3) on: they themselves up to dim3 = 2, else their first two principal axes.

    An axis points where its largest entry is positive, so that PCA's own codes come out as they are.
    """
    dim3 = codes.shape[1]
    if dim3 <= 2:
        return Plane(np.eye(dim3), np.zeros(dim3), tuple(f"$z_{i + 1}$" for i in range(dim3)))
    mean = codes.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(np.cov(codes, rowvar=False, dtype=np.float64))
    axes = vectors[:, ::-1].T[:2]
    axes = axes * np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])[:, None]
    names = tuple(f"principal axis {i} of the {dim3}-dimensional codes" for i in (1, 2))
    return Plane(axes, mean - axes.T @ (axes @ mean), names)
