"""The figures of a report, on their numbers: lines, bands, marks, and that no text hides another."""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from elbowroom.analysis.figures.curves import _MOST_SERIES, KNOWN, STYLES, Pictures, draw_pictures, styles_of
from elbowroom.analysis.findings.against_pca import Against, Equivalent
from elbowroom.analysis.findings.find import ComparisonFinding, ModelFinding
from tests.analysis.example_runs import FIGURES
from tests.analysis.pages.test_report import DIM3, comparison, model, three, verdict


def drawn(figure: Figure | None) -> Figure:
    """The figure, laid out. A glyph that the font lacks would be a warning, and so an error."""
    assert figure is not None
    FigureCanvasAgg(figure).draw()
    return figure


def line_of(figure: Figure, colour: str, panel: int = 0) -> Line2D:
    """The first line through all of a series' points."""
    lines = [line for line in figure.axes[panel].lines if line.get_linestyle() != "None"]
    return next(line for line in lines if same_color(line.get_color(), colour))


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def texts(figure: Figure) -> list[Text]:
    """Every text that shows: annotations, titles, axis labels, tick labels, the legend."""
    found = [*figure.texts]
    for axes in figure.axes:
        found += [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks()
            shown = [t for t in ticks if low <= t.get_loc() <= high]
            found += [t.label1 for t in shown if t.label1.get_visible()]
    found += [text for legend in figure.legends for text in legend.get_texts()]
    return [t for t in found if t.get_visible() and t.get_text().strip()]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Texts whose boxes share more than a pixel."""
    boxes = [(t.get_text(), Text.get_window_extent(t)) for t in texts(figure)]
    return [
        (a, b)
        for (a, one), (b, other) in itertools.combinations(boxes, 2)
        if min(one.x1, other.x1) - max(one.x0, other.x0) > 1 and min(one.y1, other.y1) - max(one.y0, other.y0) > 1
    ]


def outside(figure: Figure) -> list[str]:
    """Texts that the edge of the figure cuts."""
    width, height = figure.bbox.width, figure.bbox.height
    boxes = [(t.get_text(), Text.get_window_extent(t)) for t in texts(figure)]
    return [text for text, b in boxes if b.x0 < -1 or b.y0 < -1 or b.x1 > width + 1 or b.y1 > height + 1]


def plot(name: str, *models: ModelFinding) -> Figure:
    """A figure of these models, or of three; laid out."""
    return drawn(FIGURES[name](comparison(list(models) or None)))


def stars(figure: Figure) -> list[tuple[float, float]]:
    return [line.get_xydata()[0].tolist() for line in figure.axes[0].lines if line.get_marker() == "*"]


def many() -> ComparisonFinding:
    labels = ["pca", *(f"a model with a long name, number {i}" for i in range(20))]
    return comparison([model(label) for label in labels], name="long " * 40)


OPINIONS = {
    "none": {},
    "at the ends": {"a": 2.0, "b": 2.1, "c": 11.0, "d": 10.9, "e": 1.1, "f": 99.0},
    "in a heap": dict.fromkeys(("one", "two", "three", "four"), 6.0),
}
CASES: dict[str, Callable[[], ComparisonFinding]] = {
    "three": comparison,
    "one model": lambda: comparison([model("ae", pca=False)]),
    "one point": lambda: comparison([model("pca", dim3=(2,)), model("vae", dim3=(2,))]),
    "no intervals": lambda: comparison([model("pca", intervals=False), model("vae", intervals=False)]),
    "one seed": lambda: comparison([model("pca"), model("vae", seeds=1)]),
    "many": many,
    "wide range": lambda: comparison([model("pca", dim3=range(1, 101)), model("vae", dim3=range(1, 101))]),
    "ladder": lambda: comparison([model("pca", dim3=(2, 4, 8, 16, 32)), model("vae", dim3=(2, 4, 8, 16, 29, 30, 32))]),
    "zero": lambda: comparison([model("pca", level=0.0), model("ae", level=0.0)]),
}


def stand_apart(figure: Figure) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn(figure)
    assert overlaps(figure) == []
    assert outside(figure) == []


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("case", CASES)
def test_texts_stand_apart(case: str, name: str) -> None:
    figure = FIGURES[name](CASES[case]())
    if figure is not None:
        stand_apart(figure)
        assert legend_of(figure)


@pytest.mark.parametrize("intrinsic", OPINIONS.values(), ids=OPINIONS)
def test_opinions_stand_apart(intrinsic: dict[str, float]) -> None:
    figure = FIGURES["error"](comparison(intrinsic=intrinsic))
    assert figure is not None
    stand_apart(figure)
    assert len(figure.axes[0].texts) == len(intrinsic) + bool(intrinsic)


def test_overlaps_are_found() -> None:
    figure = Figure()
    figure.text(0.1, 0.1, "one text")
    figure.text(0.1, 0.11, "another")
    figure.text(0.95, 0.9, "cut off")
    assert overlaps(drawn(figure)) == [("one text", "another")]
    assert outside(figure) == ["cut off"]


def test_error_against_dim3() -> None:
    figure = plot("error")
    (axes,) = figure.axes
    for each, style in zip(three(), STYLES, strict=False):
        line = line_of(figure, style.colour)
        np.testing.assert_array_equal(line.get_xdata(), DIM3)
        np.testing.assert_allclose(line.get_ydata(), [p.error for p in each.points])
    bands = [c for c in axes.collections if isinstance(c, PolyCollection)]
    assert len(bands) == 3
    heights = bands[1].get_paths()[0].vertices[:, 1]  # the autoencoder's: 0.04 * 2 / dim3, 10 % each way
    assert (heights.min(), heights.max()) == pytest.approx((0.9 * 0.08 / 11, 1.1 * 0.08 / 2))
    assert (axes.get_ylim()[0], axes.get_yscale()) == (0, "linear")
    assert axes.get_ylabel() == "validation error\nmean squared error per column, data units²"
    assert all(float(t) == int(t) for t in axes.get_xticks())
    assert legend_of(figure) == [
        "pca (choice 6)", "ae (choice 6)", "vae (choice 6)", "ae: elbow 6 (5 to 7), unconfirmed",
        "95 % interval", "star: choice by keep:0.90", "bar: SD over seeds", "hollow: undertrained",
        "grey: unused latents", "bracket: interval of the choice",
    ]  # fmt: skip
    np.testing.assert_allclose(stars(figure), [(6, 0.16 / 6), (6, 0.08 / 6), (6, 0.1 / 6)])
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata()) for line in hollow] == [[9]]
    assert [list(line.get_xdata()) for line in axes.lines if line.get_markerfacecolor() == "0.8"] == [[10, 11]]


def test_brackets_span_the_intervals_of_choices() -> None:
    one = model("ae")

    def ends(at: int | None, interval: tuple[int | None, int | None]) -> list[list[float]]:
        figure = plot("error", replace(one, choice=replace(one.choice, choice=at, interval=interval)))
        return [
            list(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() == "|" and line.get_lw() > 1
        ]

    assert ends(6, (4, 8)) == [[4, 8]]
    assert ends(6, (None, None)) == [pytest.approx([1.5, 11.5])]
    assert ends(6, (6, 6)) == ends(20, (18, 21)) == ends(None, (9, None)) == []


def test_a_ladder_of_dim3_has_logarithmic_axes() -> None:
    figure = plot(
        "error", model("ae", dim3=(2, 4, 8, 16, *range(19, 24), 32)), model("pca", dim3=(2, 4, 8, 16, 32, 64))
    )
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    shown = [t.get_text() for t in axes.get_xticklabels() if low <= t.get_position()[0] <= high]
    assert (axes.get_xscale(), axes.get_yscale(), shown) == ("log", "log", ["2", "4", "8", "16", "32", "64"])
    for dense in (range(2, 21), (*range(2, 21), 24, 32, 48), range(10, 101, 10)):
        assert plot("error", model("ae", dim3=dense)).axes[0].get_xscale() == "linear"


def test_no_line_or_band_over_dim3_without_cells() -> None:
    figure = plot("error", model("ae", dim3=(2, 4, 6, 7, 8, 16)))
    solid, dotted = [[list(line.get_xdata()) for line in figure.axes[0].lines if line.get_ls() == ls] for ls in "-:"]
    assert solid[0] == pytest.approx([2, np.nan, 4, 6, 7, 8, np.nan, 16], nan_ok=True)
    assert dotted == [[2, 4, 6, 7, 8, 16]]
    assert "dotted: dim3 without a run" in legend_of(figure)


def test_a_value_that_is_rounding_does_not_stretch_the_axis() -> None:
    one = model("pca", dim3=(2, 4, 8, 16, 64, 100))
    last = replace(one.points[-1], error=1e-14, low=None, high=None)
    (axes,) = plot("error", replace(one, points=[*one.points[:-1], last])).axes
    assert axes.get_ylim()[0] == pytest.approx(min(p.error for p in one.points[:-1]) / 2)


def test_the_elbow_stands_where_it_is() -> None:
    (axes,) = plot("error").axes
    (line,) = [line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    assert line.get_xdata()[0] == 6
    assert same_color(line.get_color(), KNOWN["ae"].colour)
    (span,) = axes.patches
    assert (span.get_x(), span.get_x() + span.get_width()) == pytest.approx((4.8, 7.2))
    assert plot("error", model("pca"), model("ae")).axes[0].patches[:] == []
    sure = replace(model("ae", at=verdict(6)), confirmed=True)
    assert "ae: elbow 6 (5 to 7)" in legend_of(plot("error", sure))


def test_what_is_unknown_is_not_drawn() -> None:
    figure = plot("error", model("ae", intervals=False, seeds=1, chosen=None))
    assert stars(figure) == figure.axes[0].collections[:] == []
    assert legend_of(figure)[0] == "ae (no choice, no interval)"
    one = model("ae", dim3=(2, 3, 4))
    first, second, third = one.points
    figure = plot("error", replace(one, points=[first, replace(second, low=None, high=None), third]))
    assert "in part no interval" in legend_of(figure)[0]
    alone = figure.axes[0].collections[1].get_segments()  # beside the empty band
    assert [segment[0, 0] for segment in alone] == [2, 4]
    assert {name: draw(comparison([])) for name, draw in FIGURES.items()} == dict.fromkeys(FIGURES)
    assert FIGURES["ratio"](comparison([model("pca")])) is FIGURES["equivalent"](comparison([model("pca")])) is None
    assert FIGURES["elbo"](comparison([model("pca"), model("ae")])) is None
    assert FIGURES["cost"](comparison([model("ae", level=0.0)])) is None


def test_axes_fit_the_errors_and_a_single_point() -> None:
    (axes,) = plot("error", model("ae", dim3=range(1, 50))).axes
    assert axes.get_yscale() == "log"
    assert len([t for t in axes.get_yticklabels() if t.get_text()]) >= 2
    (axes,) = plot("error", model("ae", dim3=(2,))).axes
    assert [t for t in axes.get_xticks() if 1.5 <= t <= 2.5] == [2]


def test_second_opinions_stand_above_their_place() -> None:
    (axes,) = plot("error").axes
    said = {t.get_text().strip(): t for t in axes.texts}
    assert set(said) == {
        "TwoNN 4.6", "maximum likelihood 4.9", "participation ratio 30.9, beyond the range →",
        "parallel analysis 104, beyond the range →", "the data's dimension, by other methods:",
    }  # fmt: skip
    assert said["TwoNN 4.6"].xy == (4.6, 1)
    assert axes.get_xlim() == pytest.approx((1.5, 11.5))  # not stretched
    assert all(Text.get_window_extent(t).y0 > axes.bbox.y1 for t in axes.texts)


def test_equivalent_dimensions() -> None:
    figure = plot("equivalent")
    (axes,) = figure.axes
    line = line_of(figure, KNOWN["ae"].colour)
    np.testing.assert_allclose(line.get_ydata(), 2 * np.array(DIM3))
    np.testing.assert_allclose(line.get_xdata(), DIM3, atol=0.3)
    raw, clipped, *others = [np.array(c.get_segments()) for c in axes.collections]  # (D, 2, 2), low to high
    assert len(others) == 2  # of the other model
    np.testing.assert_allclose(raw[:, 0, 1], 2 * np.array(DIM3) - 1)
    np.testing.assert_allclose(clipped[:, 1, 1], 1.5 * np.array(DIM3) + 1)
    diagonal = next(line for line in axes.lines if list(line.get_xdata()) == list(line.get_ydata()))
    assert diagonal.get_xdata()[1] >= max(DIM3)


def test_what_no_pca_reaches_points_upward() -> None:
    some, beyond = Equivalent(62.0, 50.0, None, 64), Equivalent(None, 60.0, None, 64)
    against = [Against(2, 0.1, 0.2, 0.5, None, None, some, None), Against(3, 0.1, 0.2, 0.5, None, None, beyond, None)]
    figure = plot("equivalent", replace(model("ae"), against=against))
    (axes,) = figure.axes
    (arrow,) = [line for line in axes.lines if line.get_marker() == "^"]
    assert arrow.get_xdata() == pytest.approx([3], abs=0.3)
    assert "on top: better than all 64" in legend_of(figure)
    (bars,) = axes.collections
    assert [segment[1, 1] for segment in bars.get_segments()] == [axes.get_ylim()[1]] * 2


def test_ratios() -> None:
    figure = plot("ratio")
    np.testing.assert_allclose(line_of(figure, KNOWN["vae"].colour).get_ydata(), 0.5)
    one = model("ae")
    alone = replace(one, against=[replace(a, method=False) for a in one.against])
    assert all(legend_of(plot(name, alone))[0] == "ae (this network)" for name in ("ratio", "equivalent"))
    assert any(set(line.get_ydata()) == {1} for line in figure.axes[0].lines)


def test_elbo_and_units_in_use() -> None:
    figure = plot("elbo")
    colour = KNOWN["vae"].colour
    np.testing.assert_allclose(line_of(figure, colour).get_ydata(), 100 + 60 / np.array(DIM3))
    np.testing.assert_allclose(line_of(figure, colour, 1).get_ydata(), np.array(DIM3) - 0.5)
    assert [x for x, _ in stars(figure)] == [max(DIM3)]
    cornered = replace(model("vae"), elbo_verdict=verdict(5))
    assert "vae: elbow 5 (4 to 6)" in legend_of(plot("elbo", cornered))


def test_costs() -> None:
    figure = plot("cost")
    colour = KNOWN["ae"].colour
    np.testing.assert_allclose(line_of(figure, colour).get_xdata(), 2.0 + np.array(DIM3))
    np.testing.assert_allclose(line_of(figure, colour, 1).get_xdata(), 1000.0 * np.array(DIM3))
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log"]  # 4 to 13 seconds, 2,000 to 11,000


def test_styles_are_the_models_own_or_the_next_free_ones() -> None:
    assert styles_of(["vae", "pca", "mine"]) == [KNOWN["vae"], KNOWN["pca"], STYLES[5]]
    assert styles_of(["ae", "ae"]) == [KNOWN["ae"], STYLES[5]]
    assert set(styles_of(map(str, range(8)))) == set(STYLES)
    assert styles_of(map(str, range(10)))[8:] == list(STYLES[5:7])


def test_only_the_first_series_are_drawn() -> None:
    figure = drawn(FIGURES["error"](many()))
    assert sum(text.startswith(("pca", "a model")) for text in legend_of(figure)) == _MOST_SERIES
    assert f"without {21 - _MOST_SERIES} more" in figure.get_suptitle()


@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 3), None, (5, 5)])
def test_pictures(shape: tuple[int, ...] | None) -> None:
    x = np.random.default_rng(0).random((16, 24)).astype(np.float32)
    figure = draw_pictures(Pictures(10, shape, x, [("pca", x * 0.5), ("<b>$x", x + np.nan), ("vae", x - 5)]))
    stand_apart(figure)
    assert [axes.get_ylabel() for axes in figure.axes] == ["original", "pca", r"<b>\$x", "vae"]
    images = [list(axes.images) for axes in figure.axes]
    if shape in ((4, 6), (4, 2, 3)):
        pixels = np.asarray(images[0][0].get_array())
        zoom = 16 // min(shape[:2])  # small pictures are enlarged, so that their frames are thin
        assert pixels.shape[:2] == (zoom * 4 + 2, 10 * (zoom * shape[1] + 2))
        np.testing.assert_allclose(pixels[1, 1].ravel()[0], (x[0, 0] - x[:10].min()) / np.ptp(x[:10]), rtol=1e-5)
    else:
        assert images == [[]] * 4
        assert len(figure.axes[0].lines) >= 10
    drawn(draw_pictures(Pictures(1, (2, 2), np.ones((1, 4)), [])))


def test_a_choice_beyond_its_curve_has_no_star_and_the_legend_says_so() -> None:
    figure = plot("error", model("pca", chosen=88), model("ae"))
    assert [x for x, _ in stars(figure)] == [6]
    assert legend_of(figure)[:2] == ["pca (choice 88, beyond its curve)", "ae (choice 6)"]
