"""A study's storage in Optuna's dashboard."""

import optuna
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MARKS, Browsed

pytestmark = [*MARKS, pytest.mark.server]


def test_it_shows_the_studys_trials(page: Page, dashboard: str, browsed: Browsed) -> None:
    study = optuna.load_study(study_name="digits", storage=f"sqlite:///{browsed.folder}/optuna.db")
    cells = [r for r in browsed.runs if "mlflow.parentRunId" in r.data.tags]
    assert len(study.trials) == len(cells)
    page.goto(dashboard)
    page.get_by_role("link", name="digits").or_(page.get_by_text("digits", exact=True)).first.click()
    best = study.best_trial
    expect(page.get_by_text(f"Best Trial (number={best.number})")).to_be_visible()
    expect(page.get_by_text(str(best.value), exact=True)).to_be_visible()
    page.get_by_role("link", name="Trials (List)").click()
    expect(page.get_by_text(f"{len(cells)} Trials")).to_be_visible()
    page.goto(f"{page.url.partition('?')[0]}?numbers={best.number}")  # its list holds the trials in view alone
    expect(page.get_by_text(f"model {best.params['model']}").first).to_be_visible()
    expect(page.get_by_text(f"dim3 {best.params['dim3']}", exact=False).first).to_be_visible()
    expect(page.get_by_text(f"run_id {best.user_attrs['run_id']}")).to_be_visible()
