"""A store of its own for each test, and one real server for all."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest
from hypothesis import settings
from mlflow import MlflowClient
from xdist.scheduler import LoadScopeScheduling

from elbowroom.models.threads import on_threads
from elbowroom.studies.execution import pools
from elbowroom.studies.execution.cell import Job, Outcome, run_cell
from elbowroom.studies.execution.fork_server import _ENVIRONMENT
from elbowroom.tracking.run import execution

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
_MLFLOW_NAMES = ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")

# The same examples each time, so that nobody's change fails by luck; `make soak` asks for the many.
settings.register_profile("few", derandomize=True, database=None, deadline=None, max_examples=20)
settings.register_profile("many", settings.get_profile("few"), max_examples=500)
settings.load_profile("few")


class ModuleScheduling(LoadScopeScheduling):
    """Gives each module to one process, and all modules of the browser, which share a store, to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return "browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ModuleScheduling:
    return ModuleScheduling(config, log)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread here and in child processes: a fit on two takes ten times as long where the cores are busy."""
    with on_threads(1), pytest.MonkeyPatch.context() as patch:
        for name in _ENVIRONMENT:
            patch.setenv(name, "1")
        yield


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sqlite file with MLflow's tables: making them takes seconds, copying them does not."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    with chdir(path.parent):  # MLflow makes the folder `mlruns` where the process works
        MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def store(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    """An empty store in the test's folder, which is also where it works."""
    with store_in(tmp_path, empty_database, monkeypatch) as client:
        yield client


@pytest.fixture(scope="module")
def shared_store(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowClient]:
    """A store in which the tests of a module share their runs; the module's tests work in its folder."""
    with pytest.MonkeyPatch.context() as patch:
        clean_environment(patch)
        with store_in(tmp_path_factory.mktemp("shared"), empty_database, patch) as client:
            yield client


@pytest.fixture
def store_copy(shared_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    """A copy of the module's store in the test's folder, to be written to; artifacts that are there stay there."""
    database = Path(shared_store.tracking_uri.removeprefix("sqlite:///"))
    with store_in(tmp_path, database, monkeypatch) as client:
        yield client


@contextmanager
def store_in(folder: Path, database: Path, patch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    """A copy of the database as the store in use, in a folder that is the working directory."""
    shutil.copyfile(database, folder / "mlflow.db")
    patch.chdir(folder)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    try:
        yield MlflowClient()
    finally:
        mlflow.set_tracking_uri(before)


class Here(pools.Pool):
    """Cells train in this process, one after another: no worker has to import what is imported here."""

    def __init__(self, *_: object, study: str, **__: object) -> None:
        super().__init__(study)

    def slots(self) -> int:
        return 1

    def submit(self, job: Job) -> None:
        future: Future[Outcome] = Future()
        future.set_result(run_cell(job))
        self.running[future] = job

    def finished(self, seconds: float) -> list[Future[Outcome]]:
        return list(self.running)

    def stop(self) -> None:
        return


@pytest.fixture
def cells_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells of a study train in the test's process, and draw nothing."""
    in_this_process(monkeypatch)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw none: they take half of a small run's time."""
    monkeypatch.setattr(execution, "FIGURES", {})


def in_this_process(patch: pytest.MonkeyPatch) -> None:
    """Let cells train here, without figures."""
    patch.setattr(pools, "_LocalPool", Here)
    patch.setattr(execution, "FIGURES", {})


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real `mlflow server` on loopback."""
    folder = tmp_path_factory.mktemp("server")
    stores = ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", folder / "artifacts")
    with serving(folder, "/health", "mlflow", "server", *MLFLOW_PLACE, *stores) as address:
        yield address


MLFLOW_PLACE = ("--host", "127.0.0.1", "--port", "PORT", "--workers", "1")


@contextmanager
def serving(folder: Path, ready: str, *command: str | Path) -> Iterator[str]:
    """The address of a server that runs while the block does; PORT in its command is a free one."""
    port = str(free_port())
    typed = [BIN / command[0], *(port if word == "PORT" else word for word in command[1:])]
    log = folder / f"{command[0]}.log"
    with log.open("w") as into:
        process = subprocess.Popen(typed, cwd=folder, stdout=into, stderr=into, env=environment(HOME=str(folder)))
    try:
        wait_for(f"http://127.0.0.1:{port}{ready}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def marked(mark: str, *cases: object) -> list[Any]:
    """Give these cases of a parametrised test the mark `slow` or `soak`; `make test` leaves them out."""
    return [pytest.param(*(c if isinstance(c, tuple) else (c,)), marks=getattr(pytest.mark, mark)) for c in cases]


def examples(times: float) -> settings:
    """Ask for so many times the examples of the profile in use."""
    return settings(max_examples=round(times * settings.default.max_examples))


def environment(**more: str) -> dict[str, str]:
    """The environment of a child process, with the checkout importable; a server starts no processes for jobs."""
    kept = {k: v for k, v in os.environ.items() if k not in _MLFLOW_NAMES}
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return kept | path | quiet | {"PYTHONPATH": str(ROOT)} | more


def clean_environment(patch: pytest.MonkeyPatch) -> None:
    """Hide the store of the person who runs the tests, and send none of their telemetry."""
    for name in _MLFLOW_NAMES:
        patch.delenv(name, raising=False)
    patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    patch.setenv("MPLBACKEND", "agg")


@contextmanager
def signals_kept() -> Iterator[None]:
    """Restore the handlers of Ctrl-C and SIGTERM that a command replaces in this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def locked_for(seconds: float, database: Path) -> Iterator[None]:
    """Another program's lock on a sqlite file, which nobody reads or writes meanwhile; the block runs at once."""
    holder = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(seconds, holder.rollback)
    timer.start()
    try:
        yield
    finally:
        timer.join()
        holder.close()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    """Return once the address answers; fail where the process ends before, or never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url} did not answer: {log.read_text()}")
