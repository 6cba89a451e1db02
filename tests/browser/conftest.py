"""One browser, and one study with its pages and the servers that show it, for all tests here."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from elbowroom.analysis import report
from elbowroom.studies import assignment, scan
from elbowroom.studies.execution import pools
from elbowroom.studies.grid import PRESETS, Grid
from elbowroom.tracking import train
from elbowroom.tracking.config import RunConfig
from tests.conftest import MLFLOW_PLACE, Here, clean_environment, serving, signals_kept, store_in

ALONE = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE = 60_000  # milliseconds that a page may take on a busy machine
WIDE = {"width": 1440, "height": 2000}  # so high that a table of runs is there as a whole
DIM3 = tuple(range(2, 13))  # as text, 10 comes before 2
STUDY = Grid(
    {"pca": DIM3, "ae": DIM3, "vae": DIM3[:4]},
    1,
    RunConfig(dataset="digits", dim2=64, epochs=40, batch_size=64),
    label="quick",
)

MARKS = [pytest.mark.timeout(1200), pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]
"""The marks of every module in this folder."""


@dataclass(frozen=True)
class Browsed:
    """A folder with `mlflow.db`, `optuna.db` and `reports`."""

    folder: Path

    @cached_property
    def runs(self) -> list[Run]:
        return list(MlflowClient(f"sqlite:///{self.folder}/mlflow.db").search_runs(["1"]))

    def run(self, name: str) -> Run:
        """The only run of that name."""
        (found,) = [r for r in self.runs if r.info.run_name == name]
        return found


@pytest.fixture(scope="package")  # not of the session: while it is open the main thread has a running event loop
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window, on an empty profile, that asks nobody anything by itself."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("these tests need a browser: apt-get install chromium", pytrace=False)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ALONE), timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A window of a new user, whom MLflow's assistant leaves in peace; it reaches this machine alone."""

    def go_on(route: Route) -> None:
        """Leave out what the servers' pages want from elsewhere."""
        if route.request.url.startswith(("http://127.0.0.1:", "blob:")):
            route.continue_()
        else:
            route.abort()

    made = chromium.new_context(viewport=WIDE)
    made.set_default_timeout(PATIENCE)
    made.route("http*://**", go_on)
    for key, value in (("panelOpen_v1", "false"), ("fab.autoOpenedOnFirstLoad_v1", "true")):
        made.add_init_script(f"if (window.origin !== 'null') localStorage.setItem('mlflow.assistant.{key}', '{value}')")
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture(scope="session")
def browsed(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Browsed:
    """A scan of the digits, what the assignment measures, both pages and a run outside the study, in sqlite files.

    It takes up to a minute, and is made once: one process runs all tests here (`ModuleScheduling`).
    """
    folder = tmp_path_factory.mktemp("browsed")
    with signals_kept(), pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        patch.setenv("ELBOWROOM_CACHE", str(folder / "cache"))
        # With its whole path: MLflow keeps a store by its address, of another folder's file where that is relative.
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setattr(pools, "_LocalPool", Here)
        patch.setitem(PRESETS, "digits", STUDY)
        with store_in(folder, empty_database, patch):
            assert scan.main(["--preset", "digits"]) == 0
            assert assignment.main(["--preset", "digits", "--show", "2", "--repeats", "2"]) == 0
            assert report.main([]) == 0
            assert train.main(["--model", "ae", "--dim3", "20", "--dataset", "digits", "--epochs", "5"]) == 0
    return Browsed(folder)


@pytest.fixture(scope="package")
def ui(browsed: Browsed) -> Iterator[str]:
    """The MLflow UI on the study's store."""
    store = ("--backend-store-uri", f"sqlite:///{browsed.folder}/mlflow.db")
    with serving(browsed.folder, "/health", "mlflow", "ui", *MLFLOW_PLACE, *store) as address:
        yield address


@pytest.fixture(scope="package")
def dashboard(browsed: Browsed) -> Iterator[str]:
    """Optuna's dashboard on the study's storage."""
    storage = f"sqlite:///{browsed.folder}/optuna.db"
    with serving(browsed.folder, "/dashboard/", "optuna-dashboard", *MLFLOW_PLACE[:4], storage) as address:
        yield address
