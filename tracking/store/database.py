"""The database of a tracking store: its file, which program's tables it holds, and how long to wait for it."""

from __future__ import annotations

import os
from enum import Enum, auto
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import sqlalchemy
from mlflow.store.db.base_sql_model import Base
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.store.db.utils import _get_latest_schema_revision, _initialize_tables
from mlflow.version import VERSION

OUTAGE_SECONDS = 600.0
"""How long a store may be unreachable, or its file locked, during a run."""
SQLITE_SECONDS = 60.0
"""How long a file may be locked before a run."""
_MIGRATIONS = resources.files("mlflow.store.db_migrations") / "versions"


class Tables(Enum):
    """Which tables a database holds: MLflow's of this version, of another, or another program's."""

    NONE = auto()
    OURS = auto()
    OLDER = auto()
    UNKNOWN = auto()
    FOREIGN = auto()
    INCOMPLETE = auto()


class Held(NamedTuple):
    """The tables of a database, and the names of tables or revisions that show it."""

    tables: Tables
    names: frozenset[str] = frozenset()

    def refusal(self, uri: str) -> str:
        """Return why MLflow must not open the database at this URI, and what is allowed; empty where it may."""
        names = ", ".join(sorted(self.names)[:3])
        if self.tables is Tables.OLDER:
            return (
                f"{uri} has the tables of another MLflow version, which could not open it once this one has upgraded "
                f"them; allowed: mlflow db upgrade {uri}, or of a copy of it; a report with --no-log reads a copy of a "
                "sqlite file"
            )
        if self.tables is Tables.UNKNOWN:
            return (
                f"{uri} has tables of a revision that MLflow {VERSION} does not know ({names}): a newer version made "
                "it, or another program shares it; allowed: that MLflow version, or another database"
            )
        if self.tables is Tables.FOREIGN:
            return f"{uri} is another program's database (it holds {names}, …)"
        if self.tables is Tables.INCOMPLETE:
            return f"{uri} lacks tables of MLflow ({names}): it is damaged; allowed: a backup, or another database"
        return ""


def held(uri: str) -> Held | None:
    """Return what the database of a tracking store holds, None for another kind of store. Creates no file."""
    path = database_file(uri)
    if uri.partition(":")[0].partition("+")[0] not in DATABASE_ENGINES:
        return None
    if path is not None and not path.exists():
        return Held(Tables.NONE)
    engine = sqlalchemy.create_engine(uri, connect_args={} if path is None else {"timeout": SQLITE_SECONDS})
    try:
        names = frozenset(sqlalchemy.inspect(engine).get_table_names())
        if not names:
            return Held(Tables.NONE)
        if not {"experiments", "runs"} <= names:
            return Held(Tables.FOREIGN, names)
        revisions: frozenset[str] = frozenset()
        if "alembic_version" in names:
            with engine.connect() as connection:
                revisions = frozenset(connection.scalars(sqlalchemy.text("SELECT version_num FROM alembic_version")))
    finally:
        engine.dispose()
    if unknown := revisions - {file.name.partition("_")[0] for file in _MIGRATIONS.iterdir()}:
        return Held(Tables.UNKNOWN, unknown)
    if revisions != {_get_latest_schema_revision()}:  # type: ignore[no-untyped-call]
        return Held(Tables.OLDER, revisions)
    lacking = frozenset(Base.metadata.tables) - names
    return Held(Tables.INCOMPLETE, lacking) if lacking else Held(Tables.OURS)


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
