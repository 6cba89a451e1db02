"""The database of a tracking store: its file, which program's tables it holds, and how long to wait for it."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import sqlalchemy
from mlflow.store.db.base_sql_model import Base
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.store.db.utils import _get_latest_schema_revision, _initialize_tables
from mlflow.version import VERSION

OUTAGE_SECONDS = 600.0  # that a store may be unreachable, or its file locked, during a run
SQLITE_SECONDS = 60.0  # that a file may be locked before a run
_MIGRATIONS = resources.files("mlflow.store.db_migrations") / "versions"


class Held(NamedTuple):
    """The tables of a database: none, those of `mlflow`, perhaps an `older` version of it, or another program's.

    `refusal` says why MLflow must not open it, and what is allowed; empty where it may.
    """

    refusal: str = ""
    empty: bool = False
    mlflow: bool = False
    older: bool = False


def held(uri: str, shown: str | None = None) -> Held:
    """Return what the database of a tracking store holds, `Held()` for another kind of store. Creates no file.

    The refusal names the URI `shown`, where `uri` is that of a copy.
    """
    path, shown = database_file(uri), shown or uri
    if uri.partition(":")[0].partition("+")[0] not in DATABASE_ENGINES:
        return Held()
    if path is not None and not path.exists():
        return Held(empty=True)
    engine = sqlalchemy.create_engine(uri, connect_args={} if path is None else {"timeout": SQLITE_SECONDS})
    try:
        names = set(sqlalchemy.inspect(engine).get_table_names())
        revisions: set[str] = set()
        if "alembic_version" in names:
            with engine.connect() as connection:
                revisions = set(connection.scalars(sqlalchemy.text("SELECT version_num FROM alembic_version")))
    finally:
        engine.dispose()
    if not names:
        return Held(empty=True)
    if not {"experiments", "runs"} <= names:
        return Held(f"{shown} is another program's database (it holds {_first(names)}, …)")
    if unknown := revisions - {file.name.partition("_")[0] for file in _MIGRATIONS.iterdir()}:
        return Held(
            f"{shown} has tables of a revision that MLflow {VERSION} does not know ({_first(unknown)}): a newer "
            "version made it, or another program shares it; allowed: that MLflow version, or another database",
            mlflow=True,
        )
    if revisions != {_get_latest_schema_revision()}:  # type: ignore[no-untyped-call]
        return Held(
            f"{shown} has the tables of another MLflow version, which could not open it once this one has upgraded "
            f"them; allowed: mlflow db upgrade {shown}, or of a copy of it; a report with --no-log reads a copy of a "
            "sqlite file",
            mlflow=True,
            older=True,
        )
    if lacking := set(Base.metadata.tables) - names:
        return Held(
            f"{shown} lacks tables of MLflow ({_first(lacking)}): it is damaged; "
            "allowed: a backup, or another database",
            mlflow=True,
        )
    return Held(mlflow=True)


def _first(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3])


def make_tables(path: Path) -> None:
    """Create a tracking store in a sqlite file atomically: MLflow would leave a part of it if it were killed.

    The caller holds the lock of the file.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # a process that was killed left it
    engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(new)))
    try:
        _initialize_tables(engine)  # type: ignore[no-untyped-call]
    finally:
        engine.dispose()
    os.replace(new, path)


def database_file(uri: str) -> Path | None:
    """Return the absolute path of the file of a sqlite URI, None for any other URI."""
    if uri.partition(":")[0].partition("+")[0] != "sqlite":
        return None
    url = sqlalchemy.make_url(uri)
    (name,), options = url.get_dialect()().create_connect_args(url)
    if options.get("uri"):  # `file:a.db?mode=ro`
        name = unquote(urlsplit(name).path)
    return Path(name).resolve() if name and name != ":memory:" else None


@sqlalchemy.event.listens_for(sqlalchemy.Engine, "before_cursor_execute", retval=True)
def _wait_for_locks(
    connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
) -> tuple[str, Any]:
    """Let MLflow wait OUTAGE_SECONDS for a sqlite file that another process, such as a backup, has locked.

    Each of its sessions sets 20 seconds, which can't be configured.
    """
    if statement.startswith("PRAGMA busy_timeout ="):
        statement = f"PRAGMA busy_timeout = {OUTAGE_SECONDS * 1000:.0f}"
    return statement, parameters
