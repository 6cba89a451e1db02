"""A study in the MLflow UI, as somebody clicks through it."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from playwright.sync_api import Locator, Page, TimeoutError, expect

from elbowroom.analysis.purposes import DEFAULT_RULE
from elbowroom.tracking.store.addresses import run_page
from elbowroom.tracking.store.names import CURVE_PREFIX, IMAGE_KEY, Artifact, Kind, Metric, Tag
from tests.browser.conftest import DIM3, MARKS, STUDY, Browsed

pytestmark = [*MARKS, pytest.mark.server]
RUN = "vae-d5-s0"
NOTHING = "-"  # in a cell of the table

# The cells of one column, from top to bottom: the rows of the document are in no order.
COLUMN = """name => [...document.querySelectorAll("[role=row][row-index]")]
  .map(row => [Number(row.getAttribute("row-index")), row.querySelector(`[role=gridcell][col-id="${name}"]`)])
  .filter(([, cell]) => cell).sort(([a], [b]) => a - b).map(([, cell]) => cell.innerText)"""


def shows(page: Page, column: str, wanted: Sequence[str]) -> None:
    """The column comes to have these cells, from top to bottom."""
    with suppress(TimeoutError):  # what it has instead is said below
        page.wait_for_function(
            f"([name, wanted]) => JSON.stringify(({COLUMN})(name)) === wanted",
            arg=[column, json.dumps(list(wanted), separators=(",", ":"), ensure_ascii=False)],
        )
    assert page.evaluate(COLUMN, column) == list(wanted)


def loaded(image: Locator) -> None:
    """The image is shown, and is one."""
    expect(image).to_be_visible()
    expect(image).not_to_have_js_property("naturalWidth", 0)


def sort_by(page: Page, metric: str) -> None:
    """Lowest first, by the metric: a param of its name comes after it in the menu."""
    page.get_by_test_id("sort-select-dropdown").click()
    page.get_by_role("menu").get_by_placeholder("Search").fill(metric)
    page.get_by_role("menuitemcheckbox", name=metric, exact=True).first.click()
    page.get_by_test_id("sort-select-dropdown").click()
    page.get_by_test_id("sort-select-asc").click()


def cells(browsed: Browsed) -> list[Run]:
    """The study's."""
    return [r for r in browsed.runs if r.data.tags.get(Tag.PARENT) == browsed.run("digits").info.run_id]


def open_run(page: Page, ui: str, run: Run, tab: str = "") -> None:
    page.goto(f"{ui}/{run_page('1', run.info.run_id + tab)}")
    expect(page.get_by_role("heading", name=run.info.run_name)).to_be_visible()


def test_a_studys_tree_is_found_and_sorted_by_numbers(page: Page, ui: str, browsed: Browsed) -> None:
    page.goto(ui)
    page.get_by_role("button", name="Model training").click()
    experiments = page.get_by_role("row").filter(has=page.get_by_role("link", name="elbowroom"))
    expect(experiments).to_contain_text("digits, 40 epochs: pca 21, ae")  # begins with what was found
    expect(experiments).not_to_contain_text("{")  # tags of ours are hidden
    page.get_by_role("link", name="elbowroom").click()

    study = page.get_by_role("row").filter(has=page.get_by_role("link", name="digits", exact=True))
    expect(study).to_be_visible()
    expect(page.get_by_role("link", name=RUN)).to_have_count(0)
    study.get_by_role("button").click()
    for cell in {r.info.run_name for r in cells(browsed)}:
        expect(page.get_by_role("link", name=cell, exact=True).first).to_be_visible()

    values = [r.data.metrics[Metric.TEST_MSE] for r in browsed.runs if Metric.TEST_MSE in r.data.metrics]
    others = [NOTHING] * (len(browsed.runs) - len(values))
    sort_by(page, Metric.TEST_MSE)
    shows(page, "metrics.`test/mse`", [*map(str, sorted(values)), *others])
    sort_by(page, Metric.DIM3)
    numbers = sorted(int(r.data.metrics[Metric.DIM3]) for r in browsed.runs if Metric.DIM3 in r.data.metrics)
    assert [str(n) for n in numbers] != sorted(str(n) for n in numbers)
    shows(page, "metrics.`dim3`", [*map(str, numbers), *others])


def test_the_studys_page_has_the_answer_and_keeps_its_facts_in_sight(page: Page, ui: str, browsed: Browsed) -> None:
    study = browsed.run("digits")
    open_run(page, ui, study)
    page.get_by_text("Show more").click()
    expect(page.get_by_role("row", name="pca 21 21 to 22")).to_be_visible()
    for name, value in (("task", STUDY.task), ("rule", DEFAULT_RULE), ("dim2", "64")):
        expect(page.get_by_role("row", name=f"{name} {value}")).to_be_visible()
    for name in ("choice/pca", "kept/pca", "kept/vae"):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    for model in STUDY.dim3:  # its choice
        answer = re.compile(f"^{model}(:| keeps) 90 % of the variance")
        expect(page.get_by_role("listitem").filter(has_text=answer)).to_be_visible()
    expect(page.locator("pre")).to_contain_text("dim3  pca")
    expect(page.get_by_text(study.info.run_id, exact=True)).to_be_in_viewport(ratio=1)
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text(Artifact.FIGURES, exact=True).click()
    page.get_by_text("curve.png").click()
    loaded(page.get_by_role("main").locator("img").first)


def test_a_run_has_its_description_data_model_and_figures(page: Page, ui: str, browsed: Browsed) -> None:
    run = browsed.run(RUN)
    open_run(page, ui, run)
    expect(page.get_by_text(run.data.tags[Tag.DESCRIPTION].partition("\n")[0])).to_be_visible()
    expect(page.get_by_role("link", name="digits", exact=True)).to_be_visible()  # its parent
    page.get_by_text("digits (").first.click()
    drawer = page.get_by_role("dialog")
    for context in ("train", "validation", "test"):
        expect(drawer.get_by_text(context, exact=True).first).to_be_visible()
    for given in run.inputs.dataset_inputs:
        expect(drawer.get_by_text(f"digits ({given.dataset.digest})")).to_be_visible()
    page.keyboard.press("Escape")

    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text(Artifact.FIGURES, exact=True).click()
    client = MlflowClient(ui)
    names = [item.path.rpartition("/")[2] for item in client.list_artifacts(run.info.run_id, Artifact.FIGURES)]
    assert len(names) == 5
    for name in names:
        page.get_by_text(name, exact=True).first.click()
        expect(page.get_by_text(f"artifacts/{Artifact.FIGURES}/{name}")).to_be_visible()
        loaded(page.get_by_role("main").locator("img").first)

    page.get_by_role("tab", name="Overview").click()
    page.get_by_role("link", name="model", exact=True).click()
    expect(page.get_by_role("link", name=RUN).first).to_be_visible()
    expect(page.get_by_text("Ready")).to_be_visible()
    page.get_by_text("Artifacts", exact=True).click()
    page.get_by_text("MLmodel", exact=True).click()
    expect(page.get_by_text("python_function").first).to_be_visible()


@pytest.fixture
def view(page: Page, ui: str) -> Callable[[str], Page]:
    """Opens a saved view, as the experiment's description links it."""

    def follow(name: str) -> Page:
        page.goto(f"{ui}/#/experiments/1/runs?workflowType=machine_learning")
        page.get_by_test_id("experiment-metadata-editor-edit-button").locator("xpath=following::button[1]").click()
        with page.expect_popup() as popup:
            page.get_by_role("link", name=name, exact=True).click()
        return popup.value

    return follow


def chart(page: Page, title: str) -> Locator:
    return page.get_by_test_id("experiment-view-compare-runs-card").filter(has_text=title)


def test_the_view_of_the_curve_has_a_point_for_each_model_and_dim3(
    view: Callable[[str], Page], ui: str, browsed: Browsed
) -> None:
    page = view("Curve")
    client = MlflowClient(ui)
    studies = [r for r in browsed.runs if r.data.tags[Tag.KIND] == Kind.STUDY]
    curves = [(r.info.run_id, name) for r in studies for name in r.data.metrics if name.startswith(CURVE_PREFIX)]
    logged = [m.step for run_id, name in curves for m in client.get_metric_history(run_id, name)]
    assert set(logged) == set(DIM3)
    points = chart(page, "curve/ae vs curve/pca").locator(".scatterlayer .point")
    expect(points.nth(len(logged) - 1)).to_be_attached()  # a curve of one point has two marks
    expect(page.get_by_test_id("experiment-view-compare-runs-card")).to_have_count(1)


def test_the_view_of_the_cells_has_their_table_and_their_scatter(view: Callable[[str], Page], browsed: Browsed) -> None:
    page = view("Cells")
    runs = [r for r in browsed.runs if r.data.tags[Tag.KIND] == Kind.RUN]
    shows(page, "metrics.`dim3`", [str(n) for n in sorted(int(r.data.metrics[Metric.DIM3]) for r in runs)])
    for column in (
        "params.`model`",
        "params.`seed`",
        f"metrics.`{Metric.TEST_MSE}`",
        f"metrics.`{Metric.FIT_SECONDS}`",
    ):
        expect(page.locator(f'.ag-header-cell[col-id="{column}"]')).to_be_visible()
    page = view("Scatter")
    expect(page.get_by_test_id("experiment-view-compare-runs-card")).to_have_count(2)
    points = chart(page, "dim3 vs. test/mse").locator(".scatterlayer .point")
    expect(points).to_have_count(len(runs))
    drawn = points.evaluate_all("points => points.map(p => getComputedStyle(p).fill)")
    assert len(set(drawn)) == len({r.data.params["model"] for r in runs})  # a colour a model


def test_the_views_of_training_and_pictures_have_one_chart_each(view: Callable[[str], Page]) -> None:
    page = view("Training")
    expect(chart(page, Metric.VAL_MSE).locator(".scatterlayer .trace").first).to_be_visible()
    expect(page.get_by_test_id("experiment-view-compare-runs-card")).to_have_count(1)
    page = view("Pictures")
    loaded(chart(page, IMAGE_KEY).locator("img[src*='step%2B']").first)
    expect(page.get_by_test_id("experiment-view-compare-runs-card")).to_have_count(1)


def test_a_runs_reconstructions_are_shown_by_epoch(page: Page, ui: str, browsed: Browsed) -> None:
    open_run(page, ui, browsed.run(RUN), "/model-metrics")
    page.get_by_role("button", name="Add chart").first.click()
    page.get_by_role("menuitem", name="Image grid").click()
    chart = page.get_by_role("dialog")
    chart.get_by_role("combobox").filter(has_text="Images").click()
    page.get_by_role("option", name=IMAGE_KEY).click()
    for epoch in (1, STUDY.base.epochs):
        chart.get_by_role("spinbutton").fill(str(epoch))
        chart.get_by_role("spinbutton").blur()
        picture = chart.locator(f"img[src*='step%2B{epoch}%2B']").first
        loaded(picture)


@pytest.mark.parametrize("name", ["report", "assignment"])
def test_a_page_among_the_artifacts_is_rendered(page: Page, ui: str, browsed: Browsed, name: str) -> None:
    if name == "report":  # as the experiment's description links it
        page.goto(f"{ui}/#/experiments/1/runs?workflowType=machine_learning")
        page.get_by_test_id("experiment-metadata-editor-edit-button").locator("xpath=following::button[1]").click()
        with page.expect_popup() as popup:
            page.get_by_role("link", name="The report").click()
        page = popup.value
    else:
        open_run(page, ui, browsed.run(name), "/artifacts")
        page.get_by_text(f"{name}.html").click()
    inside = page.frame_locator("iframe")
    expect(inside.get_by_role("heading", level=1)).to_be_visible()
    result = json.loads((browsed.folder / "reports" / "result.json").read_text())
    sentences = [model["sentence"] for comparison in result["comparisons"] for model in comparison["models"]]
    for sentence in sentences if name == "report" else ["Clusters"]:
        expect(inside.get_by_text(sentence).first).to_be_visible()
    widths = inside.locator("img").evaluate_all("images => images.map(i => i.naturalWidth)")
    assert len(widths) >= 6
    assert min(widths) > 0
