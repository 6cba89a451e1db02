"""The figures of the assignment's page: what each shows of its arrays, and that no text hides another."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import FillBetweenPolyCollection, PathCollection
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from elbowroom.analysis.figures import latent_space
from elbowroom.analysis.figures.curves import KNOWN
from elbowroom.analysis.figures.latent_space import (
    Cloud,
    Decoded,
    _Array,
    draw_distances,
    draw_draws,
    draw_kl,
    draw_planes,
    draw_repeats,
    draw_robustness,
    draw_samples,
    plot_codes,
)
from elbowroom.analysis.latent_space.projections import Points, Projections
from elbowroom.tracking.drawing import PALETTE, Look
from tests.analysis.figures.test_curves import legend_of, outside, overlaps
from tests.analysis.pages.test_report import comparison

X, Y = load_digits(return_X_y=True)
X, Y = X[:400].astype(np.float32) / 16, Y[:400]
LOOK = Look((8, 8))
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


def planes(n: int = 3, rows: int = 5, shown: slice = slice(None), titles: tuple[str, ...] = ("PCA", "AE", "VAE")):
    ticks = np.stack([np.linspace(-2, 2, 5), np.linspace(-1, 1, 5)])[: 2 if rows > 1 else 1]
    x = X[: 5 * rows].reshape(rows, 5, 64)[:, :, shown]
    return [Decoded(titles[i % len(titles)], x, ticks) for i in range(n)]


def curve(slope: float) -> _Array:
    push = np.arange(4.0)
    return np.stack([push, 0.01 + slope * push, np.full(4, 0.001)], axis=1)


def robust(n: int, labels: tuple[str, ...] = ("PCA", "autoencoder", "VAE")):
    series = list(enumerate(labels))
    return [
        (k + 2, [(label, ("pca", "ae", "vae")[i % 3], curve(0.01 * (i + 1))) for i, label in series]) for k in range(n)
    ]


def pictures(figure: Figure) -> list[_Array]:
    return [image.get_array().data for axes in figure.axes for image in axes.images]


def titles_of(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


@pytest.mark.parametrize("n", [1, 4, 6])
def test_any_number_of_panels(n: int) -> None:
    assert len(drawn(draw_repeats(clouds(n), clouds(n), Y, DIGITS)).axes) == 2 * n
    assert len(drawn(draw_planes(clouds(n), planes(n), Y, DIGITS, LOOK)).axes) == 2 * n
    assert len(drawn(draw_robustness(robust(n))).axes) == n
    assert len(drawn(draw_kl([(f"VAE, dim3 = {k}", np.ones(k)) for k in range(2, n + 2)])).axes) == n
    assert len(drawn(draw_samples([("PCA", X[:n], X[:n])] * n, LOOK)).axes) == n
    drawn(draw_distances([("PCA", "pca", np.ones(1))] * n, None))


HOSTILES: dict[str, Callable[[], Figure]] = {
    "repeats": lambda: draw_repeats(clouds(5, 2, HOSTILE), clouds(5), Y, HOSTILE * 2),
    "strips": lambda: draw_repeats(clouds(2, 1, HOSTILE), clouds(2, 1), Y, HOSTILE * 2),
    "planes": lambda: draw_planes(clouds(5, 2, HOSTILE), planes(5, titles=HOSTILE), Y, DIGITS, LOOK),
    "samples": lambda: draw_samples([(label, X[:12], X[:12]) for label in HOSTILE], LOOK),
    "robustness": lambda: draw_robustness(robust(3, HOSTILE)),
    "kl": lambda: draw_kl([(label, np.ones(3)) for label in HOSTILE]),
}


@pytest.mark.parametrize("name", HOSTILES)
def test_hostile_labels_are_drawn_letter_by_letter(name: str) -> None:
    drawn(HOSTILES[name]())


def test_repeats() -> None:
    came, aligned = clouds(), clouds()
    came[1].codes[3] = (900, -900)
    aligned[0].codes[0] = (500, 0)
    figure = drawn(draw_repeats(came, aligned, Y, DIGITS))
    upper, lower = figure.axes[:3], figure.axes[3:]
    assert titles_of(figure)[:3] == ["PCA", "AE", "VAE"]
    assert upper[0].get_ylabel().startswith("as they came")
    assert lower[0].get_ylabel().startswith("aligned to the first")
    assert legend_of(figure) == list(DIGITS)
    assert len(figure.legends) == 1
    assert [axes.get_aspect() for axes in upper] == ["auto"] * 3
    assert [axes.get_aspect() for axes in lower] == [1.0] * 3
    assert len({axes.get_xlim() + axes.get_ylim() for axes in lower}) == 1
    assert max(np.abs(axes.get_xlim()).max() for axes in figure.axes) < 20  # no outlier squeezes
    (dots,) = [c for c in lower[0].collections if isinstance(c, PathCollection)]
    np.testing.assert_array_equal(dots.get_offsets(), aligned[0].codes)
    assert all(same_color(c[:3], PALETTE[y]) for c, y in zip(dots.get_facecolors(), Y, strict=True))


def test_one_dimension_is_a_strip_for_each_class_or_a_histogram() -> None:
    figure = drawn(draw_repeats(clouds(2, 1), clouds(2, 1), Y, DIGITS))
    offsets = figure.axes[0].collections[0].get_offsets()
    np.testing.assert_array_equal(np.round(offsets[:, 1]), Y)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(DIGITS)
    assert figure.axes[2].get_xlim() == figure.axes[3].get_xlim()
    figure = drawn(draw_repeats(clouds(2, 1), clouds(2, 1), None, ()))
    assert sum(p.get_height() for p in figure.axes[0].patches) == pytest.approx(len(CODES), rel=0.02)
    assert (figure.axes[0].get_ylabel(), figure.legends) == ("as they came\nrows", [])


@pytest.mark.parametrize("dim3", [1, 2])
def test_a_collapsed_model(dim3: int) -> None:
    flat = [Cloud("VAE", np.full((len(Y), dim3), 1e6, dtype=np.float32))]
    drawn(draw_repeats(flat, flat, None, DIGITS))
    same = Decoded("VAE", np.ones((5 if dim3 == 2 else 1, 5, 64)), np.zeros((dim3, 5)))
    drawn(draw_planes(flat, [same], Y, DIGITS, LOOK))


def test_planes() -> None:
    figure = drawn(draw_planes(clouds(), planes(), Y, DIGITS, LOOK))
    assert titles_of(figure) == ["PCA", "", "AE", "", "VAE", ""]
    below = figure.axes[1]
    assert [p.shape for p in pictures(figure)] == [(40, 40)] * 3
    np.testing.assert_array_equal(pictures(figure)[0][:8, 8:16], X[1].reshape(8, 8))  # top left first
    assert [t.get_text() for t in below.get_xticklabels()] == ["−2.0", "−1.0", "0.0", "1.0", "2.0"]
    assert [t.get_text() for t in below.get_yticklabels()] == ["−1.0", "−0.5", "0.0", "0.5", "1.0"]
    np.testing.assert_array_equal(below.get_yticks(), np.arange(5) + 0.5)
    assert list(below.images[0].get_extent()) == [0, 5, 0, 5]
    assert (below.get_xlabel(), below.get_ylabel()) == ("$z_1$", "$z_2$")
    assert legend_of(figure) == list(DIGITS)
    alone = drawn(draw_planes(clouds(2), [], Y, DIGITS, LOOK))
    assert (titles_of(alone), pictures(alone)) == (["PCA", "AE"], [])


def test_planes_of_one_dimension_and_with_long_names() -> None:
    figure = drawn(draw_planes(clouds(2, 1), planes(2, 1), Y, DIGITS, LOOK))
    assert [p.shape for p in pictures(figure)] == [(8, 40)] * 2
    assert list(figure.axes[1].get_yticks()) == []
    names = ("principal axis 1 of the 10-dimensional codes", "principal axis 2 of the 10-dimensional codes")
    figure = drawn(draw_planes(clouds(4), planes(4), Y, DIGITS, LOOK, names))
    assert figure.axes[0].get_xlabel().replace("\n", " ") == names[0]


def test_rows_that_are_no_pictures_are_lines() -> None:
    figure = drawn(draw_planes(clouds(1), planes(1, shown=slice(0, 30)), None, (), Look(None)))
    assert pictures(figure) == []
    assert len(figure.axes[1].lines) == 25
    first = figure.axes[1].lines[0].get_ydata()
    assert 4 <= first.min() <= first.max() <= 5
    assert np.argmax(first) == np.argmax(X[0, :30])
    odd = drawn(draw_samples([("PCA", X[:3, :30], X[3:6, :30])], LOOK))  # 30 columns are no picture of 8 by 8
    assert len(odd.axes[0].lines) == 6
    one = drawn(draw_draws(np.full((3, 4, 1), 7.0), look=Look(None)))
    assert [len(axes.lines) for axes in one.axes] == [4, 4, 4]


def test_samples_stand_over_their_nearest_rows() -> None:
    x = np.zeros((12, 400))
    figure = drawn(draw_samples([("PCA", x, x + 2), ("VAE", x[:3], x[:3] + 2)], Look((20, 20), 0, 2)))
    assert [p.shape for p in pictures(figure)] == [(44, 220), (44, 220)]
    one, other = pictures(figure)
    assert one[1:21, 1:21].max() == 0
    assert one[23:43, 1:21].min() == 1
    assert other[:22, 66:].min() == 1  # blank
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["sample", "nearest"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["PCA", "VAE"]


def test_draws() -> None:
    figure = drawn(draw_draws(np.stack([X[:36], X[36:72], X[:36]]), look=LOOK))
    assert titles_of(figure) == ["one draw", "a new draw", "the first seed again"]
    first, new, again = pictures(figure)
    np.testing.assert_array_equal(first, again)
    assert (first != new).any()
    assert first.shape == (108, 108)  # pixels twice as large, and a frame


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
    drawn(draw_robustness([(2, [("PCA", "pca", np.zeros((1, 3)))])]))
    drawn(draw_robustness([(2, [(f"AE {i}", "ae", curve(0.01 * i)) for i in range(14)])]))


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
    (axes,) = drawn(draw_distances([("PCA", "pca", near * 0)], near * 0)).axes
    assert axes.get_xscale() == "linear"


@pytest.mark.parametrize(
    ("at", "title", "axis"),
    [(1, "pca, dim3 1", "$z_1$"), (2, "pca, dim3 2", "$z_1$"), (9, "pca, dim3 9: 25.0 %", "principal axis 1")],
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
