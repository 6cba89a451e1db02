"""The servers of a cluster's stores, for real and on loopback: PostgreSQL, and `mlflow server` on top of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from tests.conftest import signals_kept
from tests.studies import harness
from tests.studies.harness import Server, Study, mlflow_server, postgres_server


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a cache of its own, and restore signals, the store in use and MLflow's retries after it."""
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    uri = mlflow.get_tracking_uri()
    with signals_kept():
        yield
    mlflow.set_tracking_uri(uri)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server, to be followed by a database's name: `tracking` and `optuna` are there."""
    with postgres_server() as server:
        yield server.uri


@pytest.fixture(scope="session")
def http_server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An `mlflow server` whose runs are in PostgreSQL."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), f"{postgres}/tracking") as server:
        yield server


@pytest.fixture
def served(http_server: Server, postgres: str, tmp_path: Path) -> Study:
    """A study of this test alone, in both servers."""
    name = tmp_path.name
    return Study(tmp_path, http_server.uri, f"{postgres}/optuna", experiment=name, name=name)


@pytest.fixture
def filed(store: MlflowClient, tmp_path: Path) -> Study:
    """A study of this test alone, in two sqlite files."""
    return Study(tmp_path, store.tracking_uri, f"sqlite:///{tmp_path}/optuna.db", experiment="filed")


@pytest.fixture(scope="session")
def undisturbed(
    empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[tuple[str, ...]], dict[str, float]]:
    """The errors of a grid in sqlite that nothing happens to; each run once."""
    known: dict[tuple[str, ...], dict[str, float]] = {}

    def errors(grid: tuple[str, ...]) -> dict[str, float]:
        if grid not in known:
            known[grid] = harness.undisturbed(tmp_path_factory.mktemp("undisturbed"), empty_database, grid)
        return known[grid]

    return errors
