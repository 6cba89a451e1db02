"""Panels of codes, and pictures as whole pixels: what each shows of its arrays."""

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from PIL import Image

from elbowroom.analysis.figures.latent_space import _MOST_POINTS, AXES, coordinate, limits
from elbowroom.analysis.figures.panels import WIDE, Codes, Tiles, class_keys, draw_codes, draw_tiles, marks, squared
from elbowroom.tracking.drawing import PALETTE, Look
from tests.analysis.figures.test_curves import outside, overlaps
from tests.analysis.figures.test_latent_space import DIGITS, X, Y

LOOK = Look((8, 8))
CODES = np.random.default_rng(0).standard_normal((400, 2)).astype(np.float32) * [3, 1]


def drawn(found: Codes | Figure) -> Figure:
    """The figure, drawn; its texts stand apart and are not cut off, and the page shows through."""
    figure = found.figure if isinstance(found, Codes) else found
    FigureCanvasAgg(figure).draw()
    assert overlaps(figure) == []
    assert outside(figure) == []
    assert figure.get_facecolor()[3] == 0
    return figure


def pixels(found: Tiles | Figure) -> np.ndarray:
    assert isinstance(found, Tiles)
    return np.asarray(Image.open(io.BytesIO(found.png)))


def test_codes_have_the_colours_of_their_classes_and_their_place_on_the_panel() -> None:
    outlier = CODES.copy()
    outlier[3] = (900, -900)
    found = draw_codes(outlier, Y, DIGITS, AXES)
    (axes,) = drawn(found).axes
    dots = axes.collections[0]
    np.testing.assert_array_equal(dots.get_offsets(), outlier)
    assert all(same_color(c[:3], PALETTE[y]) for c, y in zip(dots.get_facecolors(), Y, strict=True))
    assert (found.x, found.y) == (axes.get_xlim(), axes.get_ylim())
    assert max(np.abs([found.x, found.y]).ravel()) < 20  # no outlier squeezes
    left, top, right, bottom = found.box
    place = axes.get_position()
    assert (place.x0, 1 - place.y1, place.x1, 1 - place.y0) == pytest.approx((left, top, right, bottom))
    many = drawn(draw_codes(np.tile(CODES, (20, 1)), None, (), AXES, width=WIDE))
    assert len(many.axes[0].collections[0].get_offsets()) == _MOST_POINTS


def test_codes_beside_the_prior_have_one_scale_its_circles_and_their_posterior() -> None:
    sds = np.full((400, 2), 0.5)
    (axes,) = drawn(draw_codes(0.1 * CODES, Y, DIGITS, AXES, width=WIDE, posterior=(CODES, sds), equal=True)).axes
    assert np.ptp(axes.get_xlim()) == pytest.approx(np.ptp(axes.get_ylim()))
    assert axes.get_xlim()[0] <= -2 < 2 <= axes.get_xlim()[1]
    assert [circle.radius for circle in axes.patches] == [1, 2]
    (ellipses,) = (c for c in axes.collections if isinstance(c, EllipseCollection))
    np.testing.assert_array_equal(ellipses.get_widths(), 1.0)


def test_one_dimension_is_a_strip_for_each_class_or_a_histogram() -> None:
    (axes,) = drawn(draw_codes(CODES[:, :1], Y, DIGITS, AXES)).axes
    np.testing.assert_array_equal(np.round(axes.collections[0].get_offsets()[:, 1]), Y)
    assert [t.get_text() for t in axes.get_yticklabels()] == list(DIGITS)
    (axes,) = drawn(draw_codes(CODES[:, :1], None, (), AXES, width=WIDE)).axes
    assert sum(p.get_height() for p in axes.patches) == pytest.approx(400, rel=0.02)


def test_a_collapsed_model_has_a_window() -> None:
    drawn(draw_codes(np.full((9, 2), 1e6), None, (), AXES))
    assert limits(np.zeros((9, 2))).tolist() == [[-0.5, 0.5]] * 2
    assert squared(np.array([[0.0, 4.0], [1.0, 2.0]])).tolist() == [[0, 4], [-0.5, 3.5]]


def test_pictures_keep_their_pixels_top_left_first() -> None:
    found = draw_tiles(X[:15].reshape(3, 5, 64), LOOK)
    image = pixels(found)
    assert image.shape == (3 * 9, 5 * 9)  # a line between small pictures
    np.testing.assert_array_equal(image[:8, 9:17], np.round(255 * X[1].reshape(8, 8)))
    assert set(image[8]) == {128}
    assert (found.rows, found.columns, found.gap, found.ticks) == (3, 5, 1, [])
    assert (found.width, found.height) == (9 * 45, 9 * 27)  # a whole multiple of the pixels
    large = draw_tiles(np.full((15, 15, 784), 2.0), Look((28, 28), 0, 2), np.zeros((2, 15)))
    assert (pixels(large).shape, large.width, large.gap, np.shape(large.ticks)) == ((420, 420), 420, 0, (2, 15))
    assert pixels(large).min() == 255


def test_large_and_coloured_pictures_are_averaged_until_the_grid_fits() -> None:
    x = np.zeros((2, 15, 64, 64, 3))
    x[..., ::2, :, 0] = 1
    found = draw_tiles(x.reshape(2, 15, -1), Look((64, 64, 3)))
    image = pixels(found)
    assert image.shape == (2 * 22, 15 * 22, 3)  # squares of 3 pixels
    assert found.width == 330
    assert image[0, 0].tolist() == [170, 0, 0]


def test_rows_that_are_no_pictures_are_lines() -> None:
    ticks = np.stack([np.linspace(-2, 2, 5), np.linspace(-1, 1, 5)])
    figure = drawn(draw_tiles(X[:25, :30].reshape(5, 5, 30), LOOK, ticks))
    (axes,) = figure.axes
    assert len(axes.lines) == 25
    assert [t.get_text() for t in axes.get_xticklabels()] == ["−2.0", "−1.0", "0.0", "1.0", "2.0"]
    assert np.argmax(axes.lines[0].get_ydata()) == np.argmax(X[0, :30])
    drawn(draw_tiles(np.full((1, 4, 1), 7.0), Look(None)))


def test_marks_are_spread_over_the_axis_with_the_digits_they_need() -> None:
    assert marks([-2.0, 0.0, 2.0]) == [(pytest.approx(50 / 3), "−2.0"), (50, "0.0"), (pytest.approx(250 / 3), "2.0")]
    assert len(marks(list(range(15)))) == 8
    assert [coordinate(v, span) for v, span in ((-8.53, 2.5), (12.2, 25), (0.5, 0.5), (3e9, 1e9))] == [
        "−8.5", "12", "0.50", "3e+09",
    ]  # fmt: skip
    assert class_keys(("0", "1")) == [("0", PALETTE[0]), ("1", PALETTE[1])]
