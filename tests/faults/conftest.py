"""A proxy in front of the real server that disturbs requests."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from tests.faults.proxy import Proxy, proxy_to
from tests.studies.conftest import _own_place  # noqa: F401 - a fixture


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy in front of the server, as the store in use; requests are retried twice, at once."""
    for name, value in {"MAX_RETRIES": "2", "BACKOFF_FACTOR": "0", "BACKOFF_JITTER": "0"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    with proxy_to(server) as proxy:
        mlflow.set_tracking_uri(proxy.uri)
        yield proxy
        mlflow.set_tracking_uri(before)
