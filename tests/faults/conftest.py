"""A real server whose files the tests read, and a proxy in front of it that disturbs requests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from tests.faults.cells import Cells
from tests.faults.proxy import Proxy, proxy_to
from tests.faults.truth import Truth
from tests.studies.conftest import _own_place, filed  # noqa: F401 - fixtures
from tests.studies.harness import mlflow_server


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Truth]:
    """The content of a real `mlflow server` on loopback."""
    folder = tmp_path_factory.mktemp("behind")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    server = mlflow_server(folder, f"sqlite:///{folder}/mlflow.db")
    server.start()
    try:
        yield Truth(folder, server.uri)
    finally:
        server.kill()


@pytest.fixture(scope="session")
def _proxy(truth: Truth) -> Iterator[Proxy]:
    with proxy_to(truth.server) as proxy:
        yield proxy


@pytest.fixture
def proxy(_proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy in front of the server, as the store in use; requests are retried twice, at once."""
    impatient(monkeypatch)
    monkeypatch.chdir(tmp_path)
    _proxy.watch()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(_proxy.uri)
    yield _proxy
    mlflow.set_tracking_uri(before)
    _proxy.watch()


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry requests twice, without a pause."""
    for name, value in {"MAX_RETRIES": "2", "BACKOFF_FACTOR": "0", "BACKOFF_JITTER": "0", "TIMEOUT": "60"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


@pytest.fixture
def cells(record_property: Callable[[str, object], None]) -> Cells:
    """Counts the cells of this test's disturbed studies."""
    return Cells(record_property)
