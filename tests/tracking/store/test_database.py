"""Databases: whose tables one holds is found without a change to it, and a new store is made whole or not at all."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from elbowroom.tracking.store import database
from elbowroom.tracking.store.client import reach_store
from elbowroom.tracking.store.database import Held, database_file, held, make_tables
from elbowroom.tracking.store.errors import BadInput
from tests.conftest import locked_for

OLDER = "UPDATE alembic_version SET version_num = '0584bdc529eb'"  # MLflow 2.22


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("sqlite:///a.db", "a.db"),
        ("sqlite+pysqlite:///a.db", "a.db"),
        ("sqlite:///a.db?timeout=60", "a.db"),
        ("sqlite:///file:a.db?uri=true", "a.db"),
        ("sqlite:///file:sub/a%20b.db?mode=ro&uri=true", "sub/a b.db"),
        ("sqlite:///file:a.db", "file:a.db"),  # without uri=true this is a name
        ("sqlite:///:memory:", None),
        ("sqlite:///file::memory:?uri=true", None),
        ("sqlite://", None),
        ("postgresql://h/x", None),
        ("http://h", None),
    ],
)
def test_the_file_of_a_database_is_the_one_that_sqlalchemy_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, name: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    assert database_file(uri) == (None if name is None else tmp_path / name)


@pytest.fixture(scope="module")
def current(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this MLflow version."""
    path = tmp_path_factory.mktemp("current") / "mlflow.db"
    make_tables(path)
    return path


@pytest.fixture
def altered(current: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of it after some SQL; None: a database of that SQL alone."""
    whole, sql = request.param
    path = tmp_path / "mlflow.db"
    if whole:
        shutil.copyfile(current, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)
    return path


KINDS = [
    ((True, OLDER), "has the tables of another MLflow version"),
    ((True, "DROP TABLE alembic_version"), "has the tables of another MLflow version"),
    ((True, "UPDATE alembic_version SET version_num = 'ffffffffffff'"), "a newer version made it"),
    ((True, "INSERT INTO alembic_version VALUES ('v3.2.0.a')"), "or another program shares it"),
    ((True, "DROP TABLE trace_metrics"), r"lacks tables of MLflow \(trace_metrics\)"),
    ((False, "CREATE TABLE songs (a)"), r"another program's database \(it holds songs, …\)"),
    ((False, "CREATE TABLE experiments (a)"), r"another program's database \(it holds experiments"),
    ((False, "CREATE TABLE alembic_version (version_num)"), "another program's database"),
]


@pytest.mark.parametrize(("altered", "said"), KINDS, indirect=["altered"])
@pytest.mark.parametrize("form", ["sqlite:///{}", "sqlite+pysqlite:///{}", "sqlite:///file:{}?uri=true"])
def test_a_database_that_is_not_ours_is_refused_and_nothing_changes(
    altered: Path, form: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, uri = altered.read_bytes(), form.format(altered)
    assert held(uri).older is ("another MLflow" in said)
    monkeypatch.setattr("mlflow.get_tracking_uri", lambda: uri)
    with pytest.raises(BadInput, match=f"^tracking URI sqlite.*{said}"):
        reach_store()
    assert altered.read_bytes() == before


def test_a_database_of_ours_and_an_empty_one_may_be_opened(current: Path, tmp_path: Path) -> None:
    assert held(f"sqlite:///{current}") == Held(mlflow=True)
    assert held("http://127.0.0.1:1") == Held()
    assert held(f"sqlite+pysqlite:///{tmp_path}/a.db") == Held(empty=True)
    assert list(tmp_path.iterdir()) == []  # asking makes no file
    (tmp_path / "a.db").touch()
    assert held(f"sqlite:///{tmp_path}/a.db") == Held(empty=True)


def test_a_store_whose_making_ends_half_way_is_made_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, make = tmp_path / "runs" / "mlflow.db", database._initialize_tables
    monkeypatch.setattr("mlflow.get_tracking_uri", lambda: f"sqlite:///{path}")

    def killed(engine: Any) -> None:
        make(engine)
        raise KeyboardInterrupt

    monkeypatch.setattr(database, "_initialize_tables", killed)
    with pytest.raises(KeyboardInterrupt):
        reach_store()
    assert not path.exists()
    monkeypatch.setattr(database, "_initialize_tables", make)
    reach_store()
    assert {p.name for p in path.parent.iterdir()} == {"mlflow.db", "mlflow.db.lock"}
    assert held(f"sqlite:///{path}") == Held(mlflow=True)


def test_a_store_that_cant_be_made_is_said_without_trying_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow would try for 100 s."""

    def refused(engine: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(database, "_initialize_tables", refused)
    monkeypatch.setattr("mlflow.store.db.utils.time.sleep", lambda seconds: pytest.fail("waits"))
    monkeypatch.setattr("mlflow.get_tracking_uri", lambda: f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(BadInput, match=r"can't be used: OperationalError: unable to open database file$"):
        reach_store()


def test_a_file_that_stays_locked_is_said(current: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SQLITE_SECONDS", 0.1)
    monkeypatch.setattr("mlflow.get_tracking_uri", lambda: f"sqlite:///{current}")
    with locked_for(0.5, current), pytest.raises(BadInput, match="can't be used: OperationalError: database is locked"):
        reach_store()
