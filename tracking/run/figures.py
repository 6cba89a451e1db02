"""The figures of one run. Each is a function of a `RunView` that returns a Figure, or None where it has
nothing to show; `FIGURES` names them all.

Drawn on bare Figures, without pyplot, so that no state is shared and no window opens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from elbowroom.models import PCA, Array, Epoch, Reducer, Rows

from ..data.datasets import Labels
from ..store.text import clean, drawn_plainly

SIDE = 15  # images along each side of the decoded plane
SAMPLE_SEEDS = (1, 2, 1)  # the third panel repeats the first: difference and repeatability in one figure
SAMPLES = 36
MOST_MARKERS = 50  # on a curve
SMALL = 16  # pixels; smaller pictures are set apart by lines, their margins don't do it
LONGEST = 40  # letters of a run's name
MOST_POINTS = 5000  # in a scatter: more only hide each other
MOST_CLASSES = 20  # in a legend, or along an axis
DPI = 110
# Ten colours that stay apart, also for most colour-blind readers (after Petroff 2021).
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#1a1a1a", "#4cb944",
)  # fmt: skip


class Look(NamedTuple):
    """How a row is drawn: as a picture of `image_shape`, black at `low` and white at `high`, else as a line."""

    image_shape: tuple[int, ...] | None
    low: float = 0.0
    high: float = 1.0

    def pictures(self, x: Rows) -> Array:
        """Rows (n, dim1) as pictures (n, *image_shape) in [0, 1]; what lies outside is cut off."""
        assert self.image_shape is not None
        pictures = (x.reshape(-1, *self.image_shape) - self.low) / (self.high - self.low)
        return pictures.clip(0, 1).astype(np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class RunView:
    """What the figures of a run are drawn from.

    codes (N_test, dim3) and labels (N_test,) or None are the test rows'; originals and reconstructions
    (n, dim1) are the examples.
    """

    title: str
    model: Reducer
    epochs: tuple[Epoch, ...]
    codes: Array
    labels: Labels | None
    classes: tuple[str, ...]
    originals: Rows
    reconstructions: Rows
    look: Look


class Plane(NamedTuple):
    """Two directions in the space of codes, or one where dim3 is 1, and where they pass.

    axes (2, dim3), orthonormal; rest (dim3,), the codes' mean off the plane; names, for the axes' labels.
    """

    axes: npt.NDArray[np.float64]
    rest: npt.NDArray[np.float64]
    names: tuple[str, ...]

    def scores(self, codes: Array) -> Array:
        """Coordinates (N, 2) on the plane of codes (N, dim3)."""
        return (codes @ self.axes.T).astype(np.float32)

    def codes(self, scores: Array) -> Array:
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


class DecodedPlane(NamedTuple):
    """Rows decoded over the latent plane: ticks (side,), ascending, for each axis; x (rows · side, dim1), top left
    first."""

    plane: Plane
    ticks: list[Array]
    x: Rows
    rows: int


def decoded_plane(model: Reducer, codes: Array, side: int) -> DecodedPlane:
    """Decode a grid over the plane of codes (N, dim3), side by side, or one row where dim3 is 1.

    Where along each axis is the model's to say (`Reducer.axis_ticks`): an autoencoder over the range its
    codes fill, a VAE at quantiles of the standard normal, PCA over standard deviations by equation (2).
    """
    plane = latent_plane(codes)
    ticks = [model.axis_ticks(column, side) for column in plane.scores(codes).T]
    up = ticks[1][::-1] if len(ticks) > 1 else np.zeros(1, dtype=np.float32)
    points = np.stack([[u, v][: len(ticks)] for v in up for u in ticks[0]]).astype(np.float32)
    return DecodedPlane(plane, ticks, model.decode(plane.codes(points)), len(up))


def plot_losses(view: RunView) -> Figure | None:
    """Training and validation loss, and the validation error, against the epoch."""
    if not view.epochs:
        return None
    numbers = [e.number for e in view.epochs]
    style = "o-" if len(numbers) <= MOST_MARKERS else "-"
    figure = Figure(figsize=(9, 3.6), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    panels = ((left, ("train/loss", "val/loss"), "objective"), (right, ("val/mse",), "mean squared error"))
    for axes, names, label in panels:
        for name, colour in zip(names, PALETTE, strict=False):
            if name in view.epochs[0].metrics:
                axes.plot(numbers, [e.metrics[name] for e in view.epochs], style, ms=3, color=colour, label=name)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
        else:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "no validation rows", ha="center", transform=axes.transAxes)
    figure.suptitle(f"{_letters(view.title)}: training")
    return figure


def plot_spectrum(view: RunView) -> Figure | None:
    """PCA's eigenvalues as shares of the variance, one by one and summed."""
    if not isinstance(view.model, PCA):
        return None
    shares = view.model.spectrum / view.model.spectrum.sum()
    shown = min(len(shares), max(50, 2 * view.model.dim3))
    numbers = np.arange(1, shown + 1)
    figure = Figure(figsize=(9, 3.6), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.bar(numbers, shares[:shown], color=[PALETTE[0 if i <= view.model.dim3 else 3] for i in numbers])
    left.set(xlabel="component", ylabel="share of the variance")
    right.plot(numbers, np.cumsum(shares)[:shown], "o-", ms=3, color=PALETTE[0])
    right.axvline(view.model.dim3, color=PALETTE[2], ls="--", label=f"dim3 = {view.model.dim3}")
    right.set(xlabel="components", ylabel="share, summed", ylim=(0, 1.02))
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.suptitle(f"{_letters(view.title)}: spectrum of the training rows")
    return figure


def plot_reconstructions(view: RunView) -> Figure:
    """The example rows above their reconstructions."""
    title = f"{view.title}: test rows and their reconstructions"
    return draw_reconstructions(title, view.originals, view.reconstructions, view.look)


def draw_reconstructions(title: str, originals: Rows, reconstructions: Rows, look: Look) -> Figure:
    """Rows (n, dim1) above their reconstructions (n, dim1), the first ten; lines are drawn over each other."""
    if look.image_shape is None:
        return _draw_overlaid(title, originals[:8], reconstructions[:8])
    figure = Figure(figsize=(9, 2.3), dpi=DPI, layout="constrained")
    rows = {"original": originals[:10], "reconstruction": reconstructions[:10]}
    for axes, (name, x) in zip(figure.subplots(2, 1), rows.items(), strict=True):
        _draw_grid(axes, x, 1, look)
        axes.set_ylabel(name, fontsize=9)
    figure.suptitle(_letters(title, 2 * LONGEST))
    return figure


def _draw_overlaid(title: str, originals: Rows, reconstructions: Rows) -> Figure:
    figure = Figure(figsize=(9, 4), dpi=DPI, layout="constrained")
    grid = figure.subplots(2, 4, sharex=True, sharey=True).flat
    for axes, x, x_hat in zip(grid, originals, reconstructions, strict=False):
        axes.plot(np.arange(1, len(x) + 1), x, color=PALETTE[1], lw=2, label="original")
        axes.plot(np.arange(1, len(x) + 1), x_hat, color=PALETTE[0], lw=1, label="reconstruction")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    for axes in figure.axes[4:]:
        axes.set_xlabel("column")
    figure.supylabel("value", fontsize=10)
    figure.suptitle(_letters(title, 2 * LONGEST))
    return figure


def plot_latent_scatter(view: RunView) -> Figure:
    """The codes of the test rows, coloured by class where there are labels."""
    plane = latent_plane(view.codes)
    scores = plane.scores(view.codes)[:MOST_POINTS]
    labels = None if view.labels is None else view.labels[:MOST_POINTS]
    figure = Figure(figsize=(7.4, 6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    if scores.shape[1] == 1:
        _draw_line_of_codes(axes, scores[:, 0], labels, view.classes)
        axes.set_xlabel(plane.names[0])
    else:
        c = PALETTE[0] if labels is None else _colours(len(view.classes))[labels]
        axes.scatter(scores[:, 0], scores[:, 1], s=_dot(len(scores)), c=c, alpha=0.7, linewidths=0)
        axes.set(xlabel=plane.names[0], ylabel=plane.names[1])
        if labels is not None:
            _class_legend(axes, view.classes)
    axes.grid(alpha=0.2)
    shown = f"{len(scores):,} of {len(view.codes):,}" if len(scores) < len(view.codes) else f"{len(scores):,}"
    axes.set_title(f"{_letters(view.title)}: codes of {shown} test rows")
    return figure


def plot_latent_grid(view: RunView) -> Figure:
    """Images decoded from a grid over the latent plane (the assignment's Figure 2, right)."""
    side = SIDE if view.look.image_shape is not None else 7
    plane, ticks, x, rows = decoded_plane(view.model, view.codes, side)
    figure = Figure(figsize=(7.2, 7.2 if rows > 1 else 2.0), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    _draw_grid(axes, x, rows, view.look)
    step = max(1, side // 5)
    axes.set_xticks((np.arange(side)[::step] + 0.5) / side, [f"{t:.2g}" for t in ticks[0][::step]])
    axes.set_xlabel(plane.names[0])
    if len(ticks) > 1:
        axes.set_yticks((np.arange(side)[::step] + 0.5) / side, [f"{t:.2g}" for t in ticks[1][::step]])
        axes.set_ylabel(plane.names[1])
    axes.set_title(f"{_letters(view.title)}: decoded from the latent plane", fontsize=11)
    return figure


def plot_samples(view: RunView) -> Figure:
    """`plot_generated_samples` with one seed, with another, and with the first again."""
    figure = Figure(figsize=(10.5, 4.1), dpi=DPI, layout="constrained")
    seen: set[int] = set()
    for axes, seed in zip(figure.subplots(1, len(SAMPLE_SEEDS)), SAMPLE_SEEDS, strict=True):
        x = view.model.sample(SAMPLES, np.random.default_rng(seed))
        _draw_grid(axes, x, math.isqrt(SAMPLES), view.look)
        axes.set_title(f"seed {seed}{' again' if seed in seen else ''}", fontsize=10)
        seen.add(seed)
    figure.suptitle(f"{_letters(view.title)}: generated samples")
    return figure


def plot_generated_samples(model: Reducer, n: int, rng: np.random.Generator, look: Look | None = None) -> Figure:
    """Draw n new rows in a square of pictures: a new `rng` gives others, the same seed gives the same.

    A VAE draws its codes from N(0, I), an autoencoder from a Gaussian fitted to its codes, PCA from its
    own Gaussian. Without a `look`, rows as long as a square are drawn as square pictures, others as lines.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    x = model.sample(n, rng)
    side = math.isqrt(x.shape[1])
    figure = Figure(figsize=(5, 5), dpi=DPI, layout="constrained")
    square = Look((side, side) if side**2 == x.shape[1] else None)
    _draw_grid(figure.subplots(), x, math.ceil(math.sqrt(n)), look or square)
    return figure


def _draw_grid(axes: Axes, x: Rows, rows: int, look: Look) -> None:
    """Draw x (n, dim1) as a grid with that many rows, filled from the top left, on axes from 0 to 1."""
    columns = -(-len(x) // rows)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    if look.image_shape is None:
        _draw_lines(axes, x, rows, columns)
        return
    height, width, *colours = look.image_shape
    tiles = np.ones((rows * columns, height, width, *colours), dtype=np.float32)
    tiles[: len(x)] = look.pictures(x)
    picture = tiles.reshape(rows, columns, height, width, *colours).swapaxes(1, 2)
    picture = picture.reshape(rows * height, columns * width, *colours)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, extent=(0, 1, 0, 1), interpolation="nearest")
    axes.set_aspect(rows * height / (columns * width))
    if min(height, width) < SMALL:
        axes.hlines(np.arange(1, rows) / rows, 0, 1, color="0.5", lw=0.6)
        axes.vlines(np.arange(1, columns) / columns, 0, 1, color="0.5", lw=0.6)


def _draw_lines(axes: Axes, x: Rows, rows: int, columns: int) -> None:
    low, high = float(x.min()), float(x.max())
    span = (high - low) or 1.0
    along = np.linspace(0.1, 0.9, x.shape[1]) / columns
    for i, row in enumerate(x):
        r, c = divmod(i, columns)
        axes.plot(c / columns + along, 1 - (r + 0.9 - 0.8 * (row - low) / span) / rows, color=PALETTE[0], lw=0.8)


def _draw_line_of_codes(axes: Axes, scores: Array, labels: Labels | None, classes: tuple[str, ...]) -> None:
    """Codes of one dimension: a histogram, or a strip for each class."""
    if labels is None:
        axes.hist(scores, bins=60, color=PALETTE[0])
        axes.set_ylabel("test rows")
        return
    height = np.random.default_rng(0).uniform(-0.35, 0.35, len(scores))
    axes.scatter(scores, labels + height, s=_dot(len(scores)), c=_colours(len(classes))[labels], linewidths=0)
    step = -(-len(classes) // MOST_CLASSES)
    axes.set_yticks(range(0, len(classes), step), [_letters(name, 16) for name in classes[::step]])
    axes.set_ylabel("class")


def _dot(n: int) -> float:
    """The area of one of n dots, in points squared: few must be seen, many must not hide each other."""
    return min(max(6000 / n, 5), 24)


def _colours(n: int) -> npt.NDArray[np.float64]:
    """n colours (n, 4), the palette over and over."""
    return np.asarray(to_rgba_array(PALETTE))[np.arange(n) % len(PALETTE)]


def _class_legend(axes: Axes, classes: tuple[str, ...]) -> None:
    """A dot for each class, beside the axes; the first 20 where there are more."""
    colours = _colours(len(classes))
    handles = [
        Line2D([], [], marker="o", ls="", color=tuple(colours[i]), label=_letters(name, 16))
        for i, name in enumerate(classes[:MOST_CLASSES])
    ]
    title = "class" if len(classes) <= MOST_CLASSES else f"{MOST_CLASSES} of {len(classes)} classes"
    axes.legend(handles=handles, title=title, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)


def _letters(name: str, longest: int = LONGEST) -> str:
    """A name of the user's, cut, on one line, and no formula."""
    return drawn_plainly(clean(name, longest))


FIGURES: dict[str, Callable[[RunView], Figure | None]] = {
    "losses": plot_losses,
    "spectrum": plot_spectrum,
    "reconstructions": plot_reconstructions,
    "latent_scatter": plot_latent_scatter,
    "latent_grid": plot_latent_grid,
    "samples": plot_samples,
}
