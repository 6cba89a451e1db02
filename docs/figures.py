"""Draw the figures of docs/guide.md: `python docs/figures.py docs/images`, in the checkout; seconds, no download.

The screenshots in that folder are taken by docs/screenshots.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import xlogy

from elbowroom.analysis.elbow.criteria import Curve, kneedle
from elbowroom.models.pca import errors_by_dim3
from elbowroom.tracking.data import load_dataset

Floats = npt.NDArray[np.float64]

COLOURS = ("#0072b2", "#d55e00", "#009e73")  # Okabe and Ito's
ENDS = (10, 20, 50)  # of the ranges that begin at 2


def main(folder: Path) -> None:
    """Write all figures into the folder."""
    for name, figure in {"knee": knee(), "pixel": pixel()}.items():
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})


def knee() -> Figure:
    """Two smooth curves, and the knee that kneedle sees in each as the range grows."""
    digits = load_dataset("digits")
    spectrum = errors_by_dim3(digits.x_train, digits.x_test)[:, 0]  # of dim3 0, 1, …
    figure = Figure(figsize=(9, 3.8), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    dim3 = np.arange(2.0, ENDS[-1] + 1)
    chords(left, dim3, 1 / dim3)
    left.set_title("error = 1 / dim3")
    chords(right, dim3, spectrum[2 : ENDS[-1] + 1])
    right.set_title("PCA on the digits")
    left.set_ylabel("error")
    return figure


def chords(axes: Axes, dim3: Floats, error: Floats) -> None:
    """One curve, and for each range the chord between its ends and the point farthest below it."""
    axes.plot(dim3, error, color="black", linewidth=1.5, zorder=2)
    for end, colour in zip(ENDS, COLOURS, strict=True):
        inside = dim3 <= end
        found = kneedle(Curve(dim3[inside], error[None, inside]))
        assert found is not None
        at = error[dim3 == found][0]
        ends = dim3[inside][[0, -1]], error[inside][[0, -1]]
        chord = np.interp(found, *ends)
        axes.plot(*ends, color=colour, linewidth=1, linestyle="--", label=f"range 2..{end}: knee at {found}")
        axes.plot([found, found], [at, chord], color=colour, linewidth=1)
        axes.plot(found, at, "o", color=colour, markersize=7, zorder=3)
    axes.set_xlabel("dim3")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def pixel() -> Figure:
    """What one pixel costs by each loss, for three true values: one has a floor, and other slopes."""
    answer = np.linspace(0.001, 0.999, 500)
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for true, colour in zip((0.0, 0.2, 0.5), COLOURS, strict=True):
        nats = -(xlogy(true, answer) + xlogy(1 - true, 1 - answer))
        for axes, cost in ((left, nats), (right, (answer - true) ** 2)):
            axes.plot(answer, cost, color=colour, label=f"the pixel is {true:g}")
            least = int(cost.argmin())
            axes.plot(answer[least], cost[least], "o", color=colour, clip_on=False, zorder=3)
    left.set(title="cross-entropy (BCE)", ylabel="nats", ylim=(0, 2))
    right.set(title="squared error (MSE)", ylabel="squared error", ylim=(0, 0.5))
    for axes in (left, right):
        axes.set_xlabel("what the model answers")
        axes.set_xlim(0, 1)
        axes.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, loc="upper left")
    return figure


if __name__ == "__main__":
    main(Path(sys.argv[1]))
