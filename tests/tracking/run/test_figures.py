"""Every figure on every model, drawn and labelled."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from elbowroom.models import MODELS, Epoch, build
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.drawing import PALETTE, Look, latent_plane, small_pictures
from elbowroom.tracking.run.figures import FIGURES, RunView, draw_reconstructions, pixels, plot_generated_samples
from elbowroom.tracking.store.names import PICTURE_SIDE, PICTURED
from tests.models.test_contract import SETTINGS

DIGITS = load_dataset("digits")
CLASSES = list("0123456789")


@cache
def view(model: str, dim3: int) -> RunView:
    epochs: list[Epoch] = []
    fitted = build(model, SETTINGS | {"dim1": 64, "image_shape": DIGITS.image_shape, "dim3": dim3})
    fitted.fit(DIGITS.x_train, x_val=DIGITS.x_test, on_epoch=epochs.append)
    few = DIGITS.x_test[:16]
    return RunView(
        title=f"{model}-d{dim3}-s0",
        model=fitted,
        epochs=tuple(epochs),
        codes=fitted.encode(DIGITS.x_test),
        labels=DIGITS.y_test,
        classes=DIGITS.classes,
        originals=few,
        reconstructions=fitted.reconstruct(few),
        look=Look((8, 8)),
        spectrum=fitted.extra_artifacts(DIGITS.x_train, DIGITS.x_test).get("spectrum"),
    )


def bare(model: str, dim3: int) -> RunView:
    """A run on rows that are no images and have no labels."""
    return replace(view(model, dim3), labels=None, classes=(), look=Look(None))


def drawn(name: str, seen: RunView) -> Figure:
    figure = FIGURES[name](seen)
    assert figure is not None
    return figure


def picture(figure: Figure, panel: int = 0) -> np.ndarray:
    return np.asarray(figure.axes[panel].images[0].get_array())


def tiles(codes: list[list[float]], seen: RunView) -> np.ndarray:
    """Pictures decoded from codes."""
    return seen.look.scaled(seen.model.decode(np.array(codes, dtype=np.float32))).reshape(-1, 8, 8)


def texts(legend: object) -> list[str]:
    return [t.get_text() for t in legend.get_texts()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("model", "dim3"), [*((name, 2) for name in MODELS), ("pca", 5), ("vae", 1), ("vae", 5)])
@pytest.mark.parametrize("kind", [view, bare])
def test_every_figure_draws_or_says_it_has_nothing_to_show(model: str, dim3: int, kind: Callable[..., RunView]) -> None:
    figures = {name: plot(kind(model, dim3)) for name, plot in FIGURES.items()}
    nothing = {name for name, figure in figures.items() if figure is None}
    assert nothing == ({"losses"} if model == "pca" else {"spectrum"})
    for figure in figures.values():
        if figure is not None:
            figure.canvas.draw()
            title = figure.get_suptitle() or figure.axes[0].get_title()
            assert title.startswith(f"{model}-d{dim3}-s0")


def test_the_scatter_says_what_its_axes_and_colours_are() -> None:
    (axes,) = drawn("latent_scatter", view("pca", 2)).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    (deep,) = drawn("latent_scatter", view("vae", 5)).axes
    assert deep.get_xlabel() == "principal axis 1 of the 5-dimensional codes"
    assert deep.get_ylabel() == "principal axis 2 of the 5-dimensional codes"
    assert deep.get_title() == "vae-d5-s0: codes of 299 test rows"
    assert texts(axes.get_legend()) == texts(deep.get_legend()) == CLASSES
    (unlabelled,) = drawn("latent_scatter", bare("pca", 2)).axes
    assert unlabelled.get_legend() is None


def test_the_points_of_the_scatter_are_the_codes_in_the_colours_of_their_classes() -> None:
    seen = view("pca", 2)
    (axes,) = drawn("latent_scatter", seen).axes
    assert np.allclose(axes.collections[0].get_offsets(), seen.codes, atol=1e-6)
    colours = [to_hex(c) for c in axes.collections[0].get_facecolor()]
    assert colours == [PALETTE[label] for label in DIGITS.y_test]
    assert [to_hex(h.get_color()) for h in axes.get_legend().legend_handles] == list(PALETTE)


def test_codes_of_one_dimension_are_a_strip_for_each_class_or_a_histogram() -> None:
    (strips,) = drawn("latent_scatter", view("vae", 1)).axes
    assert [t.get_text() for t in strips.get_yticklabels()] == CLASSES
    assert (strips.get_xlabel(), strips.get_ylabel()) == ("$z_1$", "class")
    heights = np.asarray(strips.collections[0].get_offsets())[:, 1]
    assert np.array_equal(heights.round(), DIGITS.y_test)
    (bars,) = drawn("latent_scatter", bare("vae", 1)).axes
    assert (bars.get_xlabel(), bars.get_ylabel()) == ("$z_1$", "test rows")
    assert sum(bar.get_height() for bar in bars.patches) == 299


def test_more_classes_and_points_than_can_be_told_apart_are_counted() -> None:
    codes = np.random.default_rng(0).standard_normal((6000, 2)).astype(np.float32)
    names = tuple(f"class {i}" for i in range(25))
    many = replace(view("pca", 2), codes=codes, labels=np.arange(6000) % 25, classes=names)
    (axes,) = drawn("latent_scatter", many).axes
    assert axes.get_title().endswith("codes of 5,000 of 6,000 test rows")
    assert len(axes.collections[0].get_offsets()) == 5000
    assert axes.get_legend().get_title().get_text() == "20 of 25 classes"
    assert texts(axes.get_legend()) == list(names[:20])
    (strips,) = drawn("latent_scatter", replace(many, codes=codes[:, :1])).axes
    assert len(strips.get_yticks()) <= 20


def test_the_losses_are_those_of_the_epochs() -> None:
    epochs = tuple(Epoch(n, 3, {"train/loss": 5 - n, "val/loss": 6 - n, "val/mse": 1 / n}) for n in (1, 2, 3))
    left, right = drawn("losses", replace(view("vae", 2), epochs=epochs)).axes
    lines = {line.get_label(): list(line.get_ydata()) for line in left.lines}
    assert lines == {"train/loss": [4, 3, 2], "val/loss": [5, 4, 3]}
    assert [list(line.get_xdata()) for line in [*left.lines, *right.lines]] == [[1, 2, 3]] * 3
    assert [a.get_xlabel() for a in (left, right)] == ["epoch", "epoch"]
    assert [a.get_ylabel() for a in (left, right)] == ["objective", "mean squared error"]
    assert texts(right.get_legend()) == ["val/mse"]
    left, right = drawn("losses", replace(view("vae", 2), epochs=(Epoch(1, 1, {"train/loss": 1.0}),))).axes
    assert texts(left.get_legend()) == ["train/loss"]
    assert [t.get_text() for t in right.texts] == ["no validation rows"]


def test_the_spectrum_is_shares_that_sum_to_one() -> None:
    seen = view("pca", 5)
    left, right = drawn("spectrum", seen).axes
    heights = [bar.get_height() for bar in left.patches]
    assert len(heights) == 50  # of 64
    assert heights == pytest.approx(list(seen.model.spectrum[:50] / seen.model.spectrum.sum()))
    assert list(right.lines[0].get_ydata()) == pytest.approx(list(np.cumsum(heights)))
    assert [to_hex(bar.get_facecolor()) for bar in left.patches[4:6]] == [PALETTE[0], PALETTE[3]]
    assert texts(right.get_legend()) == ["dim3 = 5"]


def test_the_reconstructions_are_under_their_originals() -> None:
    seen = view("vae", 2)
    figure = drawn("reconstructions", seen)
    assert [a.get_ylabel() for a in figure.axes] == ["original", "reconstruction"]
    for panel, rows in enumerate((seen.originals, seen.reconstructions)):
        assert np.array_equal(picture(figure, panel), np.hstack(rows[:10].reshape(10, 8, 8)))
    lines = drawn("reconstructions", bare("vae", 2))
    assert [a.get_xlabel() for a in lines.axes] == [""] * 4 + ["column"] * 4
    assert lines.get_supylabel() == "value"
    assert texts(lines.legends[0]) == ["original", "reconstruction"]
    assert np.array_equal(lines.axes[7].lines[0].get_ydata(), seen.originals[7])


def test_fewer_examples_than_places_are_drawn() -> None:
    two = "two", DIGITS.x_test[:2], DIGITS.x_test[:2]
    assert picture(draw_reconstructions(*two, Look((8, 8)))).shape == (8, 16)
    assert [len(a.lines) for a in draw_reconstructions(*two, Look(None)).axes] == [2, 2, 0, 0, 0, 0, 0, 0]


def test_the_grid_has_the_first_code_across_and_the_second_upwards() -> None:
    seen = view("vae", 2)
    figure = drawn("latent_grid", seen)
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    ticks = seen.model.axis_ticks(seen.codes[:, 0], 15)
    low, high = ticks[0], ticks[-1]
    assert (low, ticks[7], high) == pytest.approx((-1.834, 0, 1.834), abs=1e-3)  # quantiles of the prior: 1/30, …
    whole = picture(figure)
    corners = [whole[:8, :8], whole[:8, -8:], whole[-8:, :8], whole[-8:, -8:]]
    wanted = tiles([[low, high], [high, high], [low, low], [high, low]], seen)
    assert np.allclose(corners, wanted, atol=1e-6)
    assert np.allclose(whole[56:64, 56:64], tiles([[0, 0]], seen)[0], atol=1e-6)  # the 8th of 15 is the centre
    labels = [float(t.get_text()) for t in axes.get_xticklabels()]
    assert labels == pytest.approx(list(ticks[::3]), abs=0.05)
    assert [float(t.get_text()) for t in axes.get_yticklabels()] == labels
    row = drawn("latent_grid", view("vae", 1))
    assert picture(row).shape == (8, 15 * 8)
    assert (row.axes[0].get_xlabel(), row.axes[0].get_ylabel()) == ("$z_1$", "")


@pytest.mark.parametrize(("kind", "dim3"), [(view, 1), (bare, 1), (view, 5), (bare, 2)])
def test_codes_that_all_collapsed_are_drawn(kind: Callable[..., RunView], dim3: int) -> None:
    seen = kind("vae", dim3)
    collapsed = replace(seen, codes=np.zeros_like(seen.codes))
    for name in ("latent_scatter", "latent_grid"):
        assert pixels(drawn(name, collapsed)).min() < 200  # something is on the page


def test_values_become_shades_between_black_and_white() -> None:
    assert Look((2, 2), -2, 2).scaled(np.array([-2, 0, 2, 9])).tolist() == [0, 0.5, 1, 1]


def test_pictures_are_scaled_down_to_whole_shades() -> None:
    assert small_pictures(np.ones((2, 5)), Look(None), 32) is None
    grey = small_pictures(np.array([[0, 2, 4, 8]]), Look((2, 2), 0, 8), 2)
    assert grey is not None
    assert grey.tolist() == [[[0, 64], [128, 255]]]
    rows = np.tile([0, 1, 0.5], (2, 66 * 33))  # taller than wide
    small = small_pictures(rows, Look((66, 33, 3)), 32)
    assert small is not None
    assert (small.shape, small.dtype) == ((2, 22, 11, 3), np.uint8)
    assert (small == [0, 255, 128]).all()
    largest = small_pictures(np.zeros((PICTURED, 32 * 32 * 3)), Look((32, 32, 3)), PICTURE_SIDE)
    assert largest is not None
    assert largest.nbytes == 768 * 1024


@pytest.mark.parametrize("dim3", [1, 2])
def test_up_to_two_dimensions_the_plane_is_the_codes_themselves(dim3: int) -> None:
    codes = np.random.default_rng(0).standard_normal((50, dim3)).astype(np.float32) + 3
    plane = latent_plane(codes)
    assert np.array_equal(plane.scores(codes), codes)
    assert np.array_equal(plane.codes(codes), codes)
    assert plane.names == ("$z_1$", "$z_2$")[:dim3]


def test_more_dimensions_are_seen_along_their_principal_axes() -> None:
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    codes = (rng.standard_normal((4000, 5)) * [0.3, 3, 0.2, 1, 0.1] @ turn + 2).astype(np.float32)
    plane = latent_plane(codes)
    assert np.allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-12)
    assert np.allclose(np.abs(plane.axes @ turn.T), [[0, 1, 0, 0, 0], [0, 0, 0, 1, 0]], atol=0.03)
    scores = plane.scores(codes)
    assert np.allclose(np.cov(scores, rowvar=False), np.diag([9, 1]), rtol=0.1, atol=0.01)
    assert np.allclose(plane.scores(plane.codes(scores)), scores, atol=1e-4)
    mean = codes.mean(axis=0, keepdims=True)
    assert np.allclose(plane.codes(plane.scores(mean)), mean, atol=1e-4)  # the plane passes through the mean
    own = latent_plane(view("pca", 5).model.encode(DIGITS.x_train))
    assert np.allclose(own.axes, np.eye(5)[:2], atol=1e-3)  # PCA's codes are seen as they are


def test_samples_fill_a_square_from_the_top_left() -> None:
    seen = view("vae", 2)
    whole = picture(plot_generated_samples(seen.model, 7, np.random.default_rng(1), seen.look))
    assert whole.shape == (24, 24)
    cells = whole.reshape(3, 8, 3, 8).swapaxes(1, 2).reshape(9, 8, 8)
    assert np.allclose(cells[:7], seen.model.sample(7, np.random.default_rng(1)).reshape(7, 8, 8), atol=1e-6)
    assert (cells[7:] == 1).all()  # blank
    lines = plot_generated_samples(seen.model, 4, np.random.default_rng(1), Look(None))
    assert (len(lines.axes[0].lines), len(lines.axes[0].images)) == (4, 0)


def test_samples_in_colour_are_drawn_in_colour() -> None:
    model = build("pca", SETTINGS | {"dim1": 12})
    model.fit(np.random.default_rng(0).random((30, 12), dtype=np.float32))
    whole = picture(plot_generated_samples(model, 4, np.random.default_rng(1), Look((2, 2, 3))))
    first = model.sample(4, np.random.default_rng(1))[0].reshape(2, 2, 3)
    assert whole.shape == (4, 4, 3)
    assert np.allclose(whole[:2, :2], first.clip(0, 1), atol=1e-6)


def test_the_figure_of_samples_shows_a_seed_another_and_the_first_again() -> None:
    figure = drawn("samples", view("vae", 2))
    assert [a.get_title() for a in figure.axes] == ["seed 1", "seed 2", "seed 1 again"]
    first, other, again = (picture(figure, i) for i in range(3))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
