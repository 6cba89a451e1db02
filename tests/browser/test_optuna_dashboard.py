"""A study's storage in Optuna's dashboard."""

import re

import optuna
import pytest
from playwright.sync_api import Page, expect

from elbowroom.studies.records.note import compose, report_command, write_note
from elbowroom.tracking.store.names import Metric, Tag
from tests.browser.conftest import MARKS, Browsed
from tests.hostile import ALL, NAMES

pytestmark = [*MARKS, pytest.mark.server]


def open_study(page: Page, dashboard: str, name: str) -> None:
    page.goto(dashboard)
    page.get_by_role("heading", name=re.compile(rf"^\d+\. {name}$")).click()


def test_it_shows_the_studys_trials(page: Page, dashboard: str, browsed: Browsed) -> None:
    study = optuna.load_study(study_name="digits", storage=f"sqlite:///{browsed.folder}/optuna.db")
    cells = [r for r in browsed.runs if r.data.tags.get(Tag.PARENT) == browsed.run("digits").info.run_id]
    assert len(study.trials) == len(cells)
    open_study(page, dashboard, "digits")
    best = study.best_trial
    expect(page.get_by_text(f"Best Trial (number={best.number})")).to_be_visible()
    expect(page.get_by_text(str(best.value), exact=True)).to_be_visible()
    expect(page.get_by_text("validation mean squared error").first).to_be_visible()
    expect(page.get_by_text("Objective 0")).to_have_count(0)
    page.get_by_role("link", name="Trials (List)").click()
    expect(page.get_by_text(f"{len(cells)} Trials")).to_be_visible()
    page.goto(f"{page.url.partition('?')[0]}?numbers={best.number}")  # its list holds the trials in view alone
    (run,) = (r for r in cells if r.info.run_id == best.user_attrs["run_id"])
    kept = run.data.metrics[Metric.TEST_EXPLAINED_VARIANCE]
    for attribute in (
        f"model {best.params['model']}",
        f"dim3 {best.params['dim3']}",
        f"seed {best.params['seed']}",
        f"run_id {run.info.run_id}",
        f"variance kept {kept}",
    ):
        expect(page.get_by_text(attribute, exact=True).last).to_be_visible()


def test_its_note_has_the_answers_and_how_to_read_it(page: Page, dashboard: str, browsed: Browsed) -> None:
    parent = browsed.run("digits")
    open_study(page, dashboard, "digits")
    page.get_by_role("link", name="Note").click()
    said = page.get_by_role("listitem")
    for sentence in re.findall(r"^- (.*)$", parent.data.tags[Tag.DESCRIPTION], re.MULTILINE):
        expect(said.filter(has_text=re.sub(r"\\(.)", r"\1", sentence)).first).to_be_visible()
    expect(said.filter(has_text="study: a scan of dim3")).to_be_visible()
    expect(said.filter(has_text="is not the answer")).to_be_visible()
    expect(page.get_by_text(f"mlflow ui --backend-store-uri sqlite:///{browsed.folder}/mlflow.db")).to_be_visible()
    expect(page.get_by_text(f"/runs/{parent.info.run_id}?workflowType")).to_be_visible()
    expect(page.get_by_text("python -m analysis.report --experiment")).to_be_visible()


def test_a_note_links_to_a_server_and_hostile_names_stay_text(page: Page, dashboard: str, browsed: Browsed) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{browsed.folder}/optuna.db")
    study = optuna.create_study(storage=storage, study_name="hostile")
    run = "http://127.0.0.1:1/#/experiments/1/runs/abc"
    facts = {"dataset": NAMES["a script"], "experiment": NAMES["an attribute"]}
    named = compose(facts, ("error",), (run, ""), "", report_command("sqlite:///x.db", ALL))
    write_note(storage, study._study_id, named)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    open_study(page, dashboard, "hostile")
    page.get_by_role("link", name="Note").click()
    expect(page.get_by_role("link", name="The study's run in MLflow")).to_have_attribute("href", run)
    expect(page.get_by_role("listitem").filter(has_text="<script>alert(1)</script>")).to_be_visible()
    expect(page.get_by_role("listitem").get_by_role("link").filter(has_text="evil")).to_have_count(0)
    assert [url for url in asked if not url.startswith((dashboard.partition("/dashboard")[0], "blob:", "data:"))] == []
