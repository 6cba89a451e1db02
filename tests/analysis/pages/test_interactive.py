"""The data of the page's plots and pictures: the numbers of the findings, and no more than there is room for."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from elbowroom.analysis.pages.interactive import pictures, plot, views
from elbowroom.analysis.pages.report import MOST_COMPARISONS, room_for_live
from elbowroom.analysis.runs.arrays import Examples
from tests.analysis.pages.test_report import PNG, choice, comparison, model

ROOM = 10**6
LINKS = "http://127.0.0.1:5000/#/runs/".__add__


def examples(shape: tuple[int, ...] | None = (2, 1), dim3: tuple[int, ...] = (2, 4, 8), width: int = 2) -> Examples:
    """Ten rows of 0 and 1, and two models: one gives the mean back, the other the rows, and has no dim3 2."""
    rows = np.tile([0.0, 1.0], (10, width // 2)) if width > 1 else np.ones((10, 1))
    made = {"pca": dict.fromkeys(dim3, np.full_like(rows, 0.5)), "ae": dict.fromkeys(dim3[1:], rows)}
    return Examples(shape, rows, made)


def pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


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


def test_all_views_together_fit_into_the_room() -> None:
    many = [comparison([model("pca"), model("ae")], name=f"data {i}") for i in range(MOST_COMPARISONS)]
    figures = {c.name: {"error": PNG * 10_000} for c in many}
    room = room_for_live(figures)
    assert room_for_live({}) == 3_000_000 > room > 0
    made = views(many, {c.name: examples(None, tuple(range(2, 40)), 60) for c in many}, LINKS, room)
    assert sum(len(json.dumps(view)) for view in made.values()) <= room
    assert {name for name in made if name.endswith("error")} == {f"c{i + 1}-error" for i in range(len(many))}
    assert "c1-pictures" in made
