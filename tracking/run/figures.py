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
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from elbowroom.models import PCA, Array, Epoch, Labels, Reducer, Rows

from ..drawing import MOST_CLASSES, PALETTE, Look, Plane, class_colours, draw_cells, in_rows, latent_plane, plain_label

SIDE = 15  # images along each side of the decoded plane
SAMPLE_SEEDS = (1, 2, 1)  # the third panel repeats the first: difference and repeatability in one figure
SAMPLES = 36
MOST_MARKERS = 50  # on a curve
LONGEST = 40  # letters of a run's name
MOST_POINTS = 5000  # in a scatter: more only hide each other
DPI = 110


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
    figure.suptitle(f"{plain_label(view.title, LONGEST)}: training")
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
    figure.suptitle(f"{plain_label(view.title, LONGEST)}: spectrum of the training rows")
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
        draw_cells(axes, in_rows(x, 1), look, gap=False)
        axes.set_ylabel(name, fontsize=9)
    figure.suptitle(plain_label(title, 2 * LONGEST))
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
    figure.suptitle(plain_label(title, 2 * LONGEST))
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
        c = PALETTE[0] if labels is None else class_colours(labels)
        axes.scatter(scores[:, 0], scores[:, 1], s=_dot(len(scores)), c=c, alpha=0.7, linewidths=0)
        axes.set(xlabel=plane.names[0], ylabel=plane.names[1])
        if labels is not None:
            _class_legend(axes, view.classes)
    axes.grid(alpha=0.2)
    shown = f"{len(scores):,} of {len(view.codes):,}" if len(scores) < len(view.codes) else f"{len(scores):,}"
    axes.set_title(f"{plain_label(view.title, LONGEST)}: codes of {shown} test rows")
    return figure


def plot_latent_grid(view: RunView) -> Figure:
    """Images decoded from a grid over the latent plane (the assignment's Figure 2, right)."""
    side = SIDE if view.look.image_shape is not None else 7
    plane, ticks, x, rows = decoded_plane(view.model, view.codes, side)
    figure = Figure(figsize=(7.2, 7.2 if rows > 1 else 2.0), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    draw_cells(axes, in_rows(x, rows), _fitted(view.look, x), gap=False)
    step = max(1, side // 5)
    axes.set_xticks(np.arange(side)[::step] + 0.5, [f"{t:.2g}" for t in ticks[0][::step]])
    axes.set_xlabel(plane.names[0])
    if len(ticks) > 1:
        axes.set_yticks(np.arange(side)[::step] + 0.5, [f"{t:.2g}" for t in ticks[1][::step]])
        axes.set_ylabel(plane.names[1])
    axes.set_title(f"{plain_label(view.title, LONGEST)}: decoded from the latent plane", fontsize=11)
    return figure


def plot_samples(view: RunView) -> Figure:
    """`plot_generated_samples` with one seed, with another, and with the first again."""
    figure = Figure(figsize=(10.5, 4.1), dpi=DPI, layout="constrained")
    seen: set[int] = set()
    for axes, seed in zip(figure.subplots(1, len(SAMPLE_SEEDS)), SAMPLE_SEEDS, strict=True):
        x = view.model.sample(SAMPLES, np.random.default_rng(seed))
        draw_cells(axes, in_rows(x, math.isqrt(SAMPLES)), _fitted(view.look, x), gap=False)
        axes.set_title(f"seed {seed}{' again' if seed in seen else ''}", fontsize=10)
        seen.add(seed)
    figure.suptitle(f"{plain_label(view.title, LONGEST)}: generated samples")
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
    draw_cells(figure.subplots(), in_rows(x, math.ceil(math.sqrt(n))), _fitted(look or square, x), gap=False)
    return figure


def _fitted(look: Look, x: Rows) -> Look:
    """The look of rows x (n, dim1): lines reach from the least to the largest value."""
    return look if look.shape(x.shape[1]) is not None else Look(None, float(x.min()), float(x.max()))


def _draw_line_of_codes(axes: Axes, scores: Array, labels: Labels | None, classes: tuple[str, ...]) -> None:
    """Codes of one dimension: a histogram, or a strip for each class."""
    if labels is None:
        axes.hist(scores, bins=60, color=PALETTE[0])
        axes.set_ylabel("test rows")
        return
    height = np.random.default_rng(0).uniform(-0.35, 0.35, len(scores))
    axes.scatter(scores, labels + height, s=_dot(len(scores)), c=class_colours(labels), linewidths=0)
    step = -(-len(classes) // MOST_CLASSES)
    axes.set_yticks(range(0, len(classes), step), [plain_label(name, 16) for name in classes[::step]])
    axes.set_ylabel("class")


def _dot(n: int) -> float:
    """The area of one of n dots, in points squared: few must be seen, many must not hide each other."""
    return min(max(6000 / n, 5), 24)


def _class_legend(axes: Axes, classes: tuple[str, ...]) -> None:
    """A dot for each class, beside the axes; the first 20 where there are more."""
    colours = class_colours(len(classes))
    handles = [
        Line2D([], [], marker="o", ls="", color=tuple(colours[i]), label=plain_label(name, 16))
        for i, name in enumerate(classes[:MOST_CLASSES])
    ]
    title = "class" if len(classes) <= MOST_CLASSES else f"{MOST_CLASSES} of {len(classes)} classes"
    axes.legend(handles=handles, title=title, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)


FIGURES: dict[str, Callable[[RunView], Figure | None]] = {
    "losses": plot_losses,
    "spectrum": plot_spectrum,
    "reconstructions": plot_reconstructions,
    "latent_scatter": plot_latent_scatter,
    "latent_grid": plot_latent_grid,
    "samples": plot_samples,
}
