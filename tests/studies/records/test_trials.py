"""Optuna's database when it can't be read."""

from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient

from elbowroom.studies.records.ownership import begun_settings, find_study
from elbowroom.studies.records.study import StudySpec
from elbowroom.studies.records.trials import connect, retry_storage, storage_at, study_key
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import Kind
from tests.conftest import locked_for
from tests.studies.harness import Patch


@pytest.mark.parametrize(
    ("broken", "said"),
    [(slice(0, 16), "file is not a database"), (slice(100, 100_000), "database disk image is malformed")],
)
def test_a_broken_file_is_not_waited_for(tmp_path: Path, broken: slice, said: str) -> None:
    database, tries = tmp_path / "optuna.db", []
    url = f"sqlite:///{database}"
    optuna.create_study(storage=storage_at(url), study_name="s").add_trial(optuna.trial.create_trial(value=1.0))
    content = bytearray(database.read_bytes())
    content[broken] = b"\xff" * len(content[broken])
    database.write_bytes(content)

    @retry_storage
    def read() -> None:
        tries.append(url)
        optuna.load_study(storage=storage_at(url), study_name="s")

    with pytest.raises(optuna.exceptions.StorageInternalError) as raised:
        read()
    assert said in str(raised.value.__cause__)
    assert len(tries) == 1
    spec = StudySpec("s", "a scan of dim3", {}, Kind.RUN, "0")
    for ask in (lambda: begun_settings(storage_at(url), "s"), lambda: find_study(storage_at(url), spec)):
        with pytest.raises(BadInput, match=rf"^study 's' can't be opened: \w+: {said}$"):
            ask()


def test_a_tracking_store_is_refused_and_one_that_is_locked_is_waited_for(
    store: MlflowClient, monkeypatch: Patch
) -> None:
    """Else Optuna would make its tables in MLflow's database."""
    before = Path("mlflow.db").read_bytes()
    for url in ("sqlite:///mlflow.db", "sqlite+pysqlite:///mlflow.db", "sqlite:///file:mlflow.db?uri=true"):
        with locked_for(0.2, Path("mlflow.db")), pytest.raises(BadInput, match="is an MLflow tracking store"):
            connect(url)
    monkeypatch.setattr("elbowroom.tracking.store.database.SQLITE_SECONDS", 0.1)
    with locked_for(0.5, Path("mlflow.db")), pytest.raises(BadInput, match=r"can't be used: .*database is locked"):
        connect("sqlite:///mlflow.db")
    assert Path("mlflow.db").read_bytes() == before


@pytest.mark.parametrize("url", ["postgresql://h:abc/x", "http://a:x@[::1", "nonsense", "sqlite+none:///a.db"])
def test_what_is_no_url_of_a_database_is_one_line(url: str) -> None:
    with pytest.raises(BadInput, match=r"^storage "):
        connect(url)
    with pytest.raises(BadInput, match=r"^storage "):
        study_key(url, "s")
