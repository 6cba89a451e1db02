"""The database of Optuna's trials, with retries for each of its users, and the lock of a study on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock
import optuna
import sqlalchemy
from tenacity import before_sleep_log, retry, retry_if_exception, stop_after_delay, wait_exponential

from elbowroom.tracking.store.addresses import unclear_password
from elbowroom.tracking.store.client import ANSWER_SECONDS, within
from elbowroom.tracking.store.database import OUTAGE_SECONDS, SQLITE_SECONDS, database_file, held
from elbowroom.tracking.store.errors import BadInput, driver_error, one_line
from elbowroom.tracking.store.locks import alone_with, lock_at, private_folder
from elbowroom.tracking.store.text import fingerprint

from ..execution.processes import kill_orphans

_PERMANENT = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CORRUPT", "SQLITE_NOTADB", "53100", "25006", "XX001")
"""SQLite's and PostgreSQL's codes of errors that a retry does not cure: a full disk, a read-only or broken file."""


def _is_transient(error: BaseException) -> bool:
    if not isinstance(error, optuna.exceptions.StorageInternalError | sqlalchemy.exc.OperationalError):
        return False
    driver = driver_error(error)
    code = getattr(driver, "sqlite_errorname", None) or getattr(driver, "sqlstate", None) or ""
    return not code.startswith(_PERMANENT)


retry_storage = retry(
    retry=retry_if_exception(_is_transient),
    wait=wait_exponential(max=10),
    stop=stop_after_delay(OUTAGE_SECONDS),
    before_sleep=before_sleep_log(logging.getLogger(__name__), logging.WARNING),
    reraise=True,
)
"""Decorator of functions that use the storage: retries while its server is down. MLflow's client retries by itself."""


def connect(url: str) -> optuna.storages.RDBStorage:
    """The storage at that URL, with its tables made or checked. Raises BadInput within seconds if it can't be used."""

    def open_it() -> optuna.storages.RDBStorage:
        with alone_with(url):
            if held(url).mlflow:
                raise BadInput(
                    f"storage {url} is an MLflow tracking store, and Optuna's tables would get mixed up with its own "
                    "(both keep an alembic_version); use another database, like sqlite:///optuna.db"
                )
            return storage_at(url)

    sqlite = _database(url).drivername.startswith("sqlite")
    try:
        return open_it() if sqlite else within(ANSWER_SECONDS, open_it)
    except BadInput:
        raise
    except TimeoutError as error:
        raise BadInput(f"storage {url} did not answer within {ANSWER_SECONDS:.0f} s") from error
    except ImportError as error:
        raise BadInput(f"storage {url} needs the extra `cluster`: pip install -r requirements-cluster.txt") from error
    except Exception as error:  # each database has errors of its own
        raise BadInput(f"storage {url} can't be used: {one_line(error)}") from error


def storage_at(url: str) -> optuna.storages.RDBStorage:
    """The storage at that URL; a process has one."""
    return _storage(absolute(url))


@lru_cache(maxsize=1)
def _storage(url: str) -> optuna.storages.RDBStorage:
    sqlite = url.startswith("sqlite")
    options: dict[str, Any] = {"connect_args": {"timeout": SQLITE_SECONDS}} if sqlite else {"pool_pre_ping": True}
    return optuna.storages.RDBStorage(url, engine_kwargs=options)


def absolute(uri: str) -> str:
    """The URI of a store, with the absolute path where it is a sqlite file."""
    path = database_file(uri)
    if path is None:
        return uri
    url = sqlalchemy.make_url(uri)
    scheme = "file:" if "uri" in url.query else ""
    return url.set(database=f"{scheme}{path}").render_as_string(hide_password=False)


@contextmanager
def lock_study(storage_url: str, name: str) -> Iterator[None]:
    """Lock the study of that name, and kill the workers that a dead coordinator left.

    The lock file lies beside a sqlite file, for all who share that. For another database it excludes this user's
    processes on this machine, and `studies.records.ownership` excludes all others.

    Raises BadInput where another process has the lock.
    """
    try:
        key, path = study_key(storage_url, name), database_file(storage_url)
        lock = lock_at(private_folder("locks") / f"{key}.lock" if path is None else Path(f"{path}.{key}.lock"))
        locked = lock.acquire(timeout=0)
    except filelock.Timeout:
        raise BadInput(
            f"study {name!r} is running on this machine already; wait for it, or use another --study"
        ) from None
    except OSError as error:  # the file is another user's
        raise BadInput(f"study {name!r} can't be locked by {error.filename}: {error.strerror}") from error
    with locked:
        kill_orphans(key)
        yield


def study_key(storage_url: str, name: str) -> str:
    """A hash of the study's name and database, for file names. Raises BadInput for a URL that is no database's."""
    _database(storage_url)
    url = sqlalchemy.make_url(absolute(storage_url))
    words = f"{url.drivername} {url.host} {url.port} {url.database} {name}"
    return fingerprint(words)


def _database(url: str) -> sqlalchemy.URL:
    """The parsed URL of a database. Raises BadInput for one that is no database's."""
    if problem := unclear_password(url):
        raise BadInput(f"storage {problem}")
    try:
        parsed = sqlalchemy.make_url(url)
        parsed.get_dialect()
    except (sqlalchemy.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        raise BadInput(
            f"storage {url!r} is no database URL; allowed: sqlite:///FILE, postgresql+psycopg://USER@HOST/NAME"
        ) from None
    return parsed
