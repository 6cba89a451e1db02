"""Figures of codes and of their measures: what each shows of its arrays, and that no text hides another."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from elbowroom.analysis.figures import latent_space
from elbowroom.analysis.figures.curves import KNOWN
from elbowroom.analysis.figures.latent_space import (
    _MOST_POINTS,
    Cloud,
    _Array,
    draw_clouds,
    draw_distances,
    draw_kl,
    draw_robustness,
    plot_codes,
)
from elbowroom.analysis.latent_space.projections import Points, Projections
from elbowroom.tracking.drawing import PALETTE
from tests.analysis.figures.test_curves import legend_of, outside, overlaps
from tests.analysis.pages.test_report import comparison

X, Y = load_digits(return_X_y=True)
X, Y = X[:400].astype(np.float32) / 16, Y[:400]
DIGITS = tuple("0123456789")
HOSTILE = ("a$b_{", "W" * 200, "_$\\frac{" * 9, "größe\n\x00 \\$y$", "")
CODES = ((X - X.mean(axis=0)) @ np.linalg.svd(X - X.mean(axis=0), full_matrices=False)[2][:2].T).astype(np.float32)


def drawn(figure: Figure) -> Figure:
    """The figure, drawn; its texts stand apart and are not cut off."""
    FigureCanvasAgg(figure).draw()
    assert overlaps(figure) == []
    assert outside(figure) == []
    assert figure.get_facecolor() == (1, 1, 1, 1)
    return figure


def clouds(n: int = 3, dim3: int = 2, titles: tuple[str, ...] = ("PCA", "AE", "VAE")) -> list[Cloud]:
    return [Cloud(titles[i % len(titles)], CODES[:, :dim3] * (i + 1.0)) for i in range(n)]


def curve(slope: float, n: int = 4) -> _Array:
    push = np.arange(n, dtype=float)
    return np.stack([push, 0.01 + slope * push, np.full(n, 0.001)], axis=1)


def robust(n: int, labels: tuple[str, ...] = ("PCA", "autoencoder", "VAE")):
    series = list(enumerate(labels))
    return [
        (k + 2, [(label, ("pca", "ae", "vae")[i % 3], curve(0.01 * (i + 1))) for i, label in series]) for k in range(n)
    ]


def titles_of(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


@pytest.mark.parametrize("n", [1, 4, 6])
def test_any_number_of_panels(n: int) -> None:
    assert len(drawn(draw_clouds(clouds(n), Y, DIGITS)).axes) == n
    assert len(drawn(draw_robustness(robust(n))).axes) == n
    assert len(drawn(draw_kl([(f"VAE, dim3 = {k}", np.ones(k)) for k in range(2, n + 2)])).axes) == n
    drawn(draw_distances([("PCA", "pca", np.ones(1))] * n, None))


HOSTILES: dict[str, Callable[[], Figure]] = {
    "clouds": lambda: draw_clouds(clouds(5, 2, HOSTILE), Y, HOSTILE * 2),
    "strips": lambda: draw_clouds(clouds(2, 1, HOSTILE), Y, HOSTILE * 2),
    "robustness": lambda: draw_robustness(robust(3, HOSTILE)),
    "kl": lambda: draw_kl([(label, np.ones(3)) for label in HOSTILE]),
}


@pytest.mark.parametrize("name", HOSTILES)
def test_hostile_labels_are_drawn_letter_by_letter(name: str) -> None:
    drawn(HOSTILES[name]())


def test_clouds() -> None:
    shown = clouds()
    shown[1].codes[3] = (900, -900)
    figure = drawn(draw_clouds(shown, Y, DIGITS))
    assert titles_of(figure) == ["PCA", "AE", "VAE"]
    assert legend_of(figure) == list(DIGITS)
    assert max(np.abs(axes.get_xlim()).max() for axes in figure.axes) < 20  # no outlier squeezes
    dots = figure.axes[0].collections[0]
    np.testing.assert_array_equal(dots.get_offsets(), shown[0].codes)
    assert all(same_color(c[:3], PALETTE[y]) for c, y in zip(dots.get_facecolors(), Y, strict=True))
    many = draw_clouds([Cloud("a", np.tile(CODES, (20, 1)))], np.tile(Y, 20), DIGITS)
    assert len(many.axes[0].collections[0].get_offsets()) == _MOST_POINTS


def test_one_dimension_is_a_strip_for_each_class_or_a_histogram() -> None:
    figure = drawn(draw_clouds(clouds(2, 1), Y, DIGITS))
    offsets = figure.axes[0].collections[0].get_offsets()
    np.testing.assert_array_equal(np.round(offsets[:, 1]), Y)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(DIGITS)
    figure = drawn(draw_clouds(clouds(2, 1), None, ()))
    assert sum(p.get_height() for p in figure.axes[0].patches) == pytest.approx(len(CODES), rel=0.02)
    assert (figure.axes[0].get_ylabel(), figure.legends) == ("rows", [])


@pytest.mark.parametrize("dim3", [1, 2])
@pytest.mark.parametrize("value", [1e6, np.nan])
def test_a_collapsed_model(dim3: int, value: float) -> None:
    flat = [Cloud("VAE", np.full((len(Y), dim3), value, dtype=np.float32))]
    drawn(draw_clouds(flat, None, DIGITS))
    drawn(draw_clouds(flat, Y, DIGITS))


def test_robustness() -> None:
    figure = drawn(draw_robustness(robust(2)))
    assert titles_of(figure) == ["dim3 = 2", "dim3 = 3"]
    assert legend_of(figure) == ["PCA", "autoencoder", "VAE", "±1.96 standard errors"]
    for axes in figure.axes:
        assert (axes.get_xlim()[0], axes.get_ylim()[0]) == (0, 0)
        for line, model, slope in zip(axes.lines, ("pca", "ae", "vae"), (0.01, 0.02, 0.03), strict=True):
            assert same_color(line.get_color(), KNOWN[model].colour)
            np.testing.assert_allclose(line.get_ydata(), curve(slope)[:, 1])
    band = next(c for c in figure.axes[0].collections if isinstance(c, FillBetweenPolyCollection))
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.01 - 0.00196, 0.04 + 0.00196))
    drawn(draw_robustness([(2, [("PCA", "pca", np.array([[0.0, 0.0, np.nan]]))])]))
    drawn(draw_robustness([(2, [("VAE", "vae", curve(0.1, 1))])]))
    many = drawn(draw_robustness([(2, [(f"AE {i}", "ae", curve(0.01 * i)) for i in range(14)])]))
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in many.axes[0].lines}
    assert len(looks) == 14


def test_kl() -> None:
    figure = drawn(draw_kl([("VAE, dim3 = 2", np.array([1.0, 2.0])), ("VAE, dim3 = 3", np.array([0.001, 3, 0.0]))]))
    assert [p.get_height() for p in figure.axes[0].patches] == [2, 1]
    assert titles_of(figure)[0] == "VAE, dim3 = 2\ntotal 3 nats\n2 of 2 above 0.05"
    assert titles_of(figure)[1].endswith("1 of 3 above 0.05")
    assert [list(line.get_xdata()) for line in figure.axes[1].lines] == [[2, 3]]
    assert legend_of(figure) == ["not in use: at most 0.05 nats"]
    assert legend_of(drawn(draw_kl([("VAE", np.ones(3))]))) == []
    figure = drawn(draw_kl([("VAE", np.zeros(200))]))  # all collapsed
    assert titles_of(figure) == ["VAE\ntotal 0 nats\n0 of 200 above 0.05"]
    assert 0 < len(figure.axes[0].lines[0].get_xdata()) <= 30


def test_distances() -> None:
    curves = [("PCA", "pca", np.array([3.0, 1.0, 2.0])), ("VAE", "vae", np.ones(1))]
    figure = drawn(draw_distances(curves, np.array([0.5, 4.0])))
    (axes,) = figure.axes
    line = axes.lines[0]
    np.testing.assert_allclose(line.get_xdata()[:4], [1, 1, 2, 3])
    np.testing.assert_allclose(line.get_ydata(), [0, 1 / 3, 2 / 3, 1, 1])
    assert line.get_drawstyle() == "steps-post"
    assert (axes.get_xscale(), axes.get_xlim()[0], axes.get_ylim()[0]) == ("linear", 0, 0)
    assert legend_of(figure) == ["PCA", "VAE", "real test rows"]
    real = axes.lines[-1]
    assert same_color(real.get_color(), "black")
    assert real.get_linewidth() > line.get_linewidth()
    near = np.linspace(0.01, 0.03, 50)
    (axes,) = drawn(draw_distances([("PCA", "pca", near), ("noise", "n", 100 * near)], None)).axes
    assert axes.get_xscale() == "log"
    (axes,) = drawn(draw_distances([(f"{i}", ("pca", "ae", "vae")[i % 3], near) for i in range(10)], None)).axes
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 10  # there are no markers
    (axes,) = drawn(draw_distances([("PCA", "pca", near * 0), ("noise", "n", np.full(3, np.nan))], near * 0)).axes
    assert axes.get_xscale() == "linear"


@pytest.mark.parametrize(
    ("at", "title", "axis"),
    [(1, "pca", "$z_1$"), (2, "pca", "$z_1$"), (9, "pca: 25.0 %", "principal axis 1 of 9")],
)
def test_codes_of_the_report(monkeypatch: pytest.MonkeyPatch, at: int, title: str, axis: str) -> None:
    points = {at: Points(CODES[:, :at], 0.25)}
    found = Projections(Y, None, dict.fromkeys(["pca", *HOSTILE[:3]], points), [])
    monkeypatch.setattr(latent_space, "pictured", lambda comparison, near: at)
    monkeypatch.setattr(latent_space, "project", lambda series, dim3: found)
    figure = plot_codes(comparison())
    assert figure is not None
    assert (len(drawn(figure).axes), titles_of(figure)[0], figure.axes[-1].get_xlabel()) == (4, title, axis)
    assert legend_of(figure) == list(DIGITS)
