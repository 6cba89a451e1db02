"""The figures of one run: functions of a `RunView` that return a Figure, or None where there is nothing to show.

`FIGURES` names them all. They are drawn without pyplot, so that no state is shared and no window opens.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from elbowroom.models import Array, Epoch, Labels, Reducer, Rows

from ..drawing import MOST_CLASSES, PALETTE, Look, Plane, class_colours, draw_cells, in_rows, latent_plane, plain_label

SIDE = 15  # images along each side of the decoded plane
DRAW_SEEDS = (1, 2, 1)  # of three draws of samples: another seed gives other samples, the same seed the same
DRAWN = 36  # samples of each draw
_MOST_MARKERS = 50  # on a curve
_LONGEST = 40  # letters of a run's name
_MOST_POINTS = 5000  # in a scatter: more only hide each other
_DPI = 110


@dataclass(frozen=True, eq=False)
class RunView:
    """The values that the figures of a run are drawn from.

    codes (N_test, dim3) and labels (N_test,) are those of the test rows; originals and reconstructions (n, dim1) those
    of the first of them. spectrum (min(N, dim1),) has the eigenvalues of the training rows' covariance, where the model
    has them.
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
    spectrum: npt.NDArray[np.float64] | None = None


class _DecodedPlane(NamedTuple):
    """The result of `decoded_plane`."""

    plane: Plane
    ticks: Array
    x: Rows


def decoded_plane(model: Reducer, codes: Array, side: int) -> _DecodedPlane:
    """Decode a grid over the plane of the codes.

    The positions along each axis are the model's choice (`Reducer.axis_ticks`): the range of the codes for an
    autoencoder, quantiles of the standard normal for a VAE, standard deviations by equation (2) for PCA.

    Parameters
    ----------
    model : Reducer
        A fitted model.
    codes : (N, dim3)
        Codes of the test rows, which define the plane.
    side : int
        Positions along each axis.

    Returns
    -------
    plane, ticks, x
        The plane, the positions (2, side), ascending, and the decoded rows (side, side, dim1), top left first; where
        dim3 is 1, (1, side) and (1, side, dim1).
    """
    plane = latent_plane(codes)
    ticks = np.stack([model.axis_ticks(column, side) for column in plane.scores(codes).T])
    up = ticks[1][::-1] if len(ticks) > 1 else np.zeros(1, dtype=np.float32)
    points = np.stack([[u, v][: len(ticks)] for v in up for u in ticks[0]]).astype(np.float32)
    return _DecodedPlane(plane, ticks, model.decode(plane.codes(points)).reshape(len(up), side, -1))


def _plot_losses(view: RunView) -> Figure | None:
    if not view.epochs:
        return None
    numbers = [e.number for e in view.epochs]
    style = "o-" if len(numbers) <= _MOST_MARKERS else "-"
    figure = Figure(figsize=(9, 3.6), dpi=_DPI, layout="constrained")
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
    figure.suptitle(f"{plain_label(view.title, _LONGEST)}: training")
    return figure


def _plot_spectrum(view: RunView) -> Figure | None:
    """The eigenvalues as shares of the variance, one by one and summed."""
    if view.spectrum is None:
        return None
    shares, dim3 = view.spectrum / view.spectrum.sum(), view.codes.shape[1]
    shown = min(len(shares), max(50, 2 * dim3))
    numbers = np.arange(1, shown + 1)
    figure = Figure(figsize=(9, 3.6), dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.bar(numbers, shares[:shown], color=[PALETTE[0 if i <= dim3 else 3] for i in numbers])
    left.set(xlabel="component", ylabel="share of the variance")
    right.plot(numbers, np.cumsum(shares)[:shown], "o-", ms=3, color=PALETTE[0])
    right.axvline(dim3, color=PALETTE[2], ls="--", label=f"dim3 = {dim3}")
    right.set(xlabel="components", ylabel="share, summed", ylim=(0, 1.02))
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.suptitle(f"{plain_label(view.title, _LONGEST)}: spectrum of the training rows")
    return figure


def _plot_reconstructions(view: RunView) -> Figure:
    title = f"{view.title}: test rows and their reconstructions"
    return draw_reconstructions(title, view.originals, view.reconstructions, view.look)


def draw_reconstructions(title: str, originals: Rows, reconstructions: Rows, look: Look) -> Figure:
    """Draw rows above their reconstructions.

    Parameters
    ----------
    title : str
    originals, reconstructions : (n, dim1)
        The first ten are drawn as pictures, the first eight as lines over each other.
    look : Look

    Returns
    -------
    Figure
    """
    if look.image_shape is None:
        return _draw_overlaid(title, originals[:8], reconstructions[:8])
    figure = Figure(figsize=(9, 2.3), dpi=_DPI, layout="constrained")
    rows = {"original": originals[:10], "reconstruction": reconstructions[:10]}
    for axes, (name, x) in zip(figure.subplots(2, 1), rows.items(), strict=True):
        draw_cells(axes, in_rows(x, 1), look, gap=False)
        axes.set_ylabel(name, fontsize=9)
    figure.suptitle(plain_label(title, 2 * _LONGEST))
    return figure


def _draw_overlaid(title: str, originals: Rows, reconstructions: Rows) -> Figure:
    figure = Figure(figsize=(9, 4), dpi=_DPI, layout="constrained")
    grid = figure.subplots(2, 4, sharex=True, sharey=True).flat
    for axes, x, x_hat in zip(grid, originals, reconstructions, strict=False):
        axes.plot(np.arange(1, len(x) + 1), x, color=PALETTE[1], lw=2, label="original")
        axes.plot(np.arange(1, len(x) + 1), x_hat, color=PALETTE[0], lw=1, label="reconstruction")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    for axes in figure.axes[4:]:
        axes.set_xlabel("column")
    figure.supylabel("value", fontsize=10)
    figure.suptitle(plain_label(title, 2 * _LONGEST))
    return figure


def _plot_latent_scatter(view: RunView) -> Figure:
    """The codes of the test rows, coloured by class, or by a label that is a measured number."""
    plane = latent_plane(view.codes)
    scores = plane.scores(view.codes)[:_MOST_POINTS]
    labels = None if view.labels is None else view.labels[:_MOST_POINTS]
    figure = Figure(figsize=(7.4, 6), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    if scores.shape[1] == 1:
        _draw_line_of_codes(axes, scores[:, 0], labels, view.classes)
        axes.set_xlabel(plane.names[0])
    else:
        measured = labels is not None and not view.classes
        c = labels if measured else PALETTE[0] if labels is None else class_colours(labels)
        dots = axes.scatter(scores[:, 0], scores[:, 1], s=_dot(len(scores)), c=c, alpha=0.7, linewidths=0)
        axes.set(xlabel=plane.names[0], ylabel=plane.names[1])
        if measured:
            figure.colorbar(dots, label="label")
        elif labels is not None:
            _class_legend(axes, view.classes)
    axes.grid(alpha=0.2)
    shown = f"{len(scores):,} of {len(view.codes):,}" if len(scores) < len(view.codes) else f"{len(scores):,}"
    axes.set_title(f"{plain_label(view.title, _LONGEST)}: codes of {shown} test rows")
    return figure


def _plot_latent_grid(view: RunView) -> Figure:
    """Images decoded from a grid over the latent plane (the assignment's Figure 2, right)."""
    side = SIDE if view.look.image_shape is not None else 7
    plane, ticks, x = decoded_plane(view.model, view.codes, side)
    figure = Figure(figsize=(7.2, 7.2 if len(x) > 1 else 2.0), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    draw_cells(axes, x, _fitted(view.look, x), gap=False)
    for axis, name, positions in zip((axes.xaxis, axes.yaxis), plane.names, ticks, strict=False):
        step = max(1, side // 5)
        axis.set_ticks(np.arange(side)[::step] + 0.5, [f"{t:.2g}" for t in positions[::step]])
        axis.set_label_text(name)
    axes.set_title(f"{plain_label(view.title, _LONGEST)}: decoded from the latent plane", fontsize=11)
    return figure


def _plot_samples(view: RunView) -> Figure:
    """Generated samples of one seed, of another, and of the first again."""
    figure = Figure(figsize=(10.5, 4.1), dpi=_DPI, layout="constrained")
    names = ("", "", " again")
    for axes, seed, again in zip(figure.subplots(1, len(DRAW_SEEDS)), DRAW_SEEDS, names, strict=True):
        _draw_samples(axes, view.model.sample(DRAWN, np.random.default_rng(seed)), view.look)
        axes.set_title(f"seed {seed}{again}", fontsize=10)
    figure.suptitle(f"{plain_label(view.title, _LONGEST)}: generated samples")
    return figure


def plot_generated_samples(model: Reducer, n: int, rng: np.random.Generator, look: Look) -> Figure:
    """Draw new rows of a model in a square of pictures.

    Parameters
    ----------
    model : Reducer
        A fitted model.
    n : int
        Number of rows, at least 1.
    rng : numpy.random.Generator
        The same seed gives the same rows.
    look : Look
        How a row is drawn.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(5, 5), dpi=_DPI, layout="constrained")
    _draw_samples(figure.subplots(), model.sample(n, rng), look)
    return figure


def _draw_samples(axes: Axes, x: Rows, look: Look) -> None:
    draw_cells(axes, in_rows(x, math.ceil(math.sqrt(len(x)))), _fitted(look, x), gap=False)


def _fitted(look: Look, x: Rows) -> Look:
    """The look for rows x (..., dim1); lines span their values."""
    return look if look.shape(x.shape[-1]) is not None else Look(None, float(x.min()), float(x.max()))


def _draw_line_of_codes(axes: Axes, scores: Array, labels: Labels | None, classes: tuple[str, ...]) -> None:
    if labels is None:
        axes.hist(scores, bins=60, color=PALETTE[0])
        axes.set_ylabel("test rows")
        return
    if not classes:
        axes.scatter(scores, labels, s=_dot(len(scores)), c=PALETTE[0], linewidths=0)
        axes.set_ylabel("label")
        return
    height = np.random.default_rng(0).uniform(-0.35, 0.35, len(scores))
    axes.scatter(scores, labels + height, s=_dot(len(scores)), c=class_colours(labels), linewidths=0)
    step = math.ceil(len(classes) / MOST_CLASSES)
    axes.set_yticks(range(0, len(classes), step), [plain_label(name, 16) for name in classes[::step]])
    axes.set_ylabel("class")


def _dot(n: int) -> float:
    """The area of one of n dots, in points squared: large where they are few, small where many would overlap."""
    return min(max(6000 / n, 5), 24)


def _class_legend(axes: Axes, classes: tuple[str, ...]) -> None:
    handles = [
        Line2D([], [], marker="o", ls="", color=tuple(colour), label=plain_label(name, 16))
        for colour, name in zip(class_colours(np.arange(MOST_CLASSES)), classes, strict=False)
    ]
    title = "class" if len(classes) <= MOST_CLASSES else f"{MOST_CLASSES} of {len(classes)} classes"
    axes.legend(handles=handles, title=title, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)


FIGURES: dict[str, Callable[[RunView], Figure | None]] = {
    "losses": _plot_losses,
    "spectrum": _plot_spectrum,
    "reconstructions": _plot_reconstructions,
    "latent_scatter": _plot_latent_scatter,
    "latent_grid": _plot_latent_grid,
    "samples": _plot_samples,
}


def pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """The drawn figure (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png(figure: Figure) -> bytes:
    """The drawn figure as a PNG file; Figure.savefig would draw it twice."""
    file = io.BytesIO()
    Image.fromarray(pixels(figure)).save(file, "PNG", compress_level=3, dpi=(figure.dpi, figure.dpi))
    return file.getvalue()
