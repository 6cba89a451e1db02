"""The data of the page's plots and pictures: the numbers of the findings, and no more than there is room for."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from elbowroom.analysis.latent_space.projections import Points, Projections
from elbowroom.analysis.pages.interactive import pictures, plot, scatter, sprite, views
from elbowroom.analysis.pages.report import MOST_COMPARISONS, room_for_live
from elbowroom.analysis.runs.arrays import Examples
from elbowroom.tracking.drawing import PALETTE
from tests.analysis.pages.test_report import PNG, choice, comparison, model

ROOM = 10**6
LINKS = "http://127.0.0.1:5000/#/runs/".__add__


def examples(shape: tuple[int, ...] | None = (2, 1), dim3: tuple[int, ...] = (2, 4, 8), width: int = 2) -> Examples:
    """Ten rows of 0 and 1, and two models: one gives the mean back, the other the rows, and has no dim3 2."""
    rows = np.tile([0.0, 1.0], (10, width // 2)) if width > 1 else np.ones((10, 1))
    made = {"pca": dict.fromkeys(dim3, np.full_like(rows, 0.5)), "ae": dict.fromkeys(dim3[1:], rows)}
    return Examples(shape, rows, made)


def projections(dim3: tuple[int, ...] = (1, 2, 4), pictures: np.ndarray | None = None) -> Projections:
    """Four rows of the classes 3, 3, 11 and 0, at the corners of a square; of one latent, at its ends and thirds."""
    square = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 9.0], [3.0, 9.0]])
    line = np.array([[1.0], [2.0], [3.0], [4.0]])
    of_ae = {k: Points(line, 1.0) if k == 1 else Points(square, 0.5) for k in dim3}
    of_pca = {k: Points(square * 0 + 7, None) for k in dim3[1:]}
    return Projections(np.array([3, 3, 11, 0]), pictures, {"ae": of_ae, "pca": of_pca}, [])


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(";base64,")[2]))))


def test_a_point_has_the_numbers_of_the_table() -> None:
    one = replace(model("ae", level=0.045), undertrained={3: "its error is higher than at 2"})
    view = plot(comparison([one]), LINKS)
    (ae,) = view["models"]
    second, third, sixth = ae["points"][0], ae["points"][1], ae["points"][4]
    assert second["error"] == [0.045, 0.0405, 0.0495]
    assert second["kept"] == [0.5, 0.45, 0.55]  # of the mean row's 0.09
    assert second["says"] == [
        "validation error 0.0450 [0.0405, 0.0495]", "variance kept 50.0 % [45.0 %, 55.0 %]", "3 seeds",
    ]  # fmt: skip
    assert (second["hollow"], third["hollow"]) == (False, True)
    assert third["says"][-1] == "looks undertrained: its error is higher than at 2"
    assert second["link"] is None  # the store has a cell at 6 alone
    assert (sixth["dim3"], sixth["link"]) == (6, f"http://127.0.0.1:5000/#/runs/{'a' * 32}")
    assert sixth["link_text"] == "open the run of seed 0"


def test_purposes_have_the_choices_of_the_table() -> None:
    view = plot(comparison([model("pca"), replace(model("ae"), purposes=[choice("ae", 6)])]), LINKS)
    assert [p["words"] for p in view["purposes"]] == [f"keep {share} % of the variance" for share in (80, 90, 95)]
    assert view["purposes"][view["rule"]]["words"] == "keep 90 % of the variance"
    assert view["purposes"][1]["level"] == {"error": pytest.approx(0.009), "kept": 0.9}
    assert view["purposes"][1]["choices"] == [{"dim3": 6, "ends": (5, 6), "text": "6 [5, 6]"}] * 2
    assert [c["text"] for c in view["purposes"][2]["choices"]] == ["not by 11", "–"]


def test_a_curve_without_a_mean_row_has_no_shares() -> None:
    view = plot(comparison([model("ae", intervals=False)], mean_row=None), LINKS)
    point = view["models"][0]["points"][0]
    assert (view["kept"], view["purposes"][0]["level"]) == (False, None)
    assert (point["error"], point["kept"]) == ([0.04, None, None], [None, None, None])
    assert point["says"] == ["validation error 0.0400, no interval", "3 seeds"]


@pytest.mark.parametrize(("dim3", "log"), [(range(2, 9), False), ((2, 4, 8, 16, 32), True)])
def test_axes_begin_as_those_of_the_figure(dim3: tuple[int, ...], log: bool) -> None:
    view = plot(comparison([model("ae", dim3=dim3)]), LINKS)
    assert (view["log_dim3"], view["log_error"]) == (log, log)


def test_a_model_without_a_colour_is_left_out() -> None:
    view = plot(comparison([model(f"m{i}") for i in range(10)]), LINKS)
    assert len(view["models"]) == len(view["purposes"][0]["choices"]) == 8
    assert view["left_out"] == "Without 2 more models, which the tables have."


def test_pictures_are_one_strip_a_model() -> None:
    view = pictures(comparison([model("pca"), model("ae")]), examples(), ROOM)
    assert view is not None
    assert (view["dim3"], view["start"], view["shape"], view["count"]) == ([2, 4, 8], 1, [2, 1], 8)
    pca, ae = view["models"]
    assert (pca["dim3"], ae["dim3"]) == ([2, 4, 8], [4, 8])
    assert ae["texts"][0] == "keeps 77.8 %, error 0.0200"  # 0.08 / 4 of 0.09
    assert pixels(view["originals"]).tolist() == [[0] * 8, [255] * 8]
    assert pixels(pca["rows"]).tolist() == [[128] * 8] * 6
    assert pixels(ae["rows"]).tolist() == [[0] * 8, [255] * 8] * 2


@pytest.mark.parametrize(("shape", "strip"), [((100, 50), (34, 17 * 8)), ((90, 80, 3), (30, 27 * 8, 3))])
def test_large_pictures_are_scaled_down(shape: tuple[int, ...], strip: tuple[int, ...]) -> None:
    view = pictures(comparison([model("ae")]), examples(shape, (2, 4), int(np.prod(shape))), ROOM)
    assert view is not None
    assert pixels(view["originals"]).shape == strip
    assert view["shape"] == [strip[0], strip[1] // 8]


def test_rows_that_are_no_pictures_are_lines_of_standardised_columns() -> None:
    rows = np.array([[0.0, 7.0, 100.0], [2.0, 7.0, 300.0]])
    found = Examples(None, rows, {"ae": {2: np.array([[3.0, 7.0, 9999.0], [np.nan, 7.0, 100.0]])}})
    view = pictures(comparison([model("ae")]), found, ROOM)
    assert view is not None
    assert (view["shape"], view["count"]) == (None, 2)
    assert view["originals"] == [[[33, 50, 33], [67, 50, 67]]]  # one SD is a third of the way to the edge
    assert view["models"][0]["rows"] == [[[83, 50, 100], [0, 50, 33]]]


def test_dim3_that_do_not_fit_are_left_out_and_named() -> None:
    shown, found = comparison([model("pca"), model("ae")]), examples(None, tuple(range(2, 12)), 40)
    whole, part = pictures(shown, found, ROOM), pictures(shown, found, 5000)
    assert whole is not None
    assert part is not None
    assert whole["left_out"] == ""
    assert part["left_out"] == "Left out to keep this file small: dim3 3 to 5, 7 to 9, 11."
    assert len(json.dumps(part)) <= 5000
    assert pictures(shown, found, 500) is None


def test_codes_are_placed_between_the_outermost_points() -> None:
    view = scatter(comparison([model("pca"), model("ae")]), projections(), "sprite1", ROOM)
    assert view is not None
    pca, ae = view["models"]
    assert ae["points"][1] == [0, 1000, 1000, 1000, 0, 0, 1000, 0]  # x from the left, y from the top
    assert ae["points"][0][::2] == [0, 333, 667, 1000]
    assert set(pca["points"][0]) == {500}
    assert (ae["dim3"], pca["dim3"]) == ([1, 2, 4], [2, 4])
    assert ae["texts"] == ["one latent, across", "both latents", "50.0 % of the variance"]
    assert pca["texts"] == ["all codes are equal"] * 2
    # The store of these findings has cells at dim3 6 alone.
    assert (view["dim3"], view["start"], view["count"], view["sprite"]) == ([1, 2, 4], 2, 4, "sprite1")


def test_a_class_has_the_colour_of_the_figures_and_the_black_one_that_of_the_ink() -> None:
    found = projections()
    view = scatter(comparison(), found._replace(labels=np.array([8, 1, 11, 8])), None, ROOM)
    assert view is not None
    assert view["labels"] == [8, 1, 11, 8]
    assert view["classes"] == [[1, PALETTE[1]], [8, "var(--ink)"], [11, PALETTE[1]]]
    plain = scatter(comparison(), found._replace(labels=None), None, ROOM)
    assert plain is not None
    assert (plain["labels"], plain["classes"], plain["colour"]) == (None, [], PALETTE[0])


def test_codes_that_do_not_fit_are_left_out_and_named() -> None:
    found = projections(tuple(range(2, 12)))._replace(left_out=[12])
    part = scatter(comparison([model("pca"), model("ae")]), found, None, 900)
    assert part is not None
    assert part["left_out"] == "Left out to keep this file small: dim3 3 to 5, 7 to 9, 11 to 12."
    assert scatter(comparison(), found, None, 100) is None


@pytest.mark.parametrize("colours", [(), (3,)])
def test_the_pictures_of_the_rows_are_one_image(colours: tuple[int, ...]) -> None:
    shades = np.random.default_rng(0).integers(0, 255, (20, 5, 3, *colours), dtype=np.uint8)
    view = sprite(projections(pictures=shades))
    assert view is not None
    assert (view["columns"], view["shape"]) == (16, [5, 3])
    whole = pixels(view["image"])
    assert whole.shape == (10, 48, *colours)
    assert np.array_equal(whole[:5, 45:], shades[15])
    assert np.array_equal(whole[5:, 9:12], shades[19])
    assert (whole[5:, 12:] == 0).all()
    assert sprite(projections()) is None


def test_pictures_that_compress_badly_are_kept_as_jpeg() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (256, 32, 32, 3), dtype=np.uint8)
    view = sprite(projections(pictures=noise))
    assert view is not None
    assert view["image"].startswith("data:image/jpeg;base64,")
    assert len(view["image"]) <= 400_000
    assert pixels(view["image"]).shape == (512, 512, 3)


def test_comparisons_of_the_same_data_share_the_pictures_of_the_rows() -> None:
    many = [comparison([model("ae")], name=name, digest=name[0]) for name in ("a1", "a2", "b1")]
    found = projections(pictures=np.zeros((4, 2, 2), np.uint8))
    made = views(many, {}, {c.name: found for c in many}, LINKS, ROOM)
    assert [made[f"c{i}-codes"]["sprite"] for i in (1, 2, 3)] == ["sprite1", "sprite1", "sprite2"]
    assert sum(name.startswith("sprite") for name in made) == 2


def test_all_views_together_fit_into_the_room() -> None:
    many = [comparison([model("pca"), model("ae")], name=f"data {i}") for i in range(MOST_COMPARISONS)]
    room = room_for_live([PNG * 10_000 for _ in many])
    assert room_for_live([]) == 3_000_000 > room > 0
    rows = {c.name: examples(None, tuple(range(2, 40)), 60) for c in many}
    made = views(many, rows, {c.name: projections() for c in many}, LINKS, room)
    assert sum(len(json.dumps(view)) for view in made.values()) <= room
    assert {name for name in made if name.endswith("error")} == {f"c{i + 1}-error" for i in range(len(many))}
    assert {"c1-pictures", "c1-codes"} <= made.keys()
