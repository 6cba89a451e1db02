"""Set the tracking URI, the environment and noisy loggers for one call, and restore them after it.

MLflow and the databases below it know one tracking URI, one environment and one set of loggers a process. A command
line has the process for itself; a function that is called from a notebook has not.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeVar

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from .addresses import DEFAULT_STORE, run_page, unclear_password
from .database import SQLITE_SECONDS, Held, Tables, database_file, held
from .errors import BadInput, Failed, one_line
from .names import EXPERIMENT
from .text import hidden

LOUD = {"optuna": logging.WARNING, "alembic": logging.WARNING, "mlflow.store.db.utils": logging.CRITICAL}
"""Loggers that tell each step of a migration, or each line of SQL of an error that is raised as well."""
URI = "MLFLOW_TRACKING_URI"


@contextmanager
def borrowed(tracking_uri: str | None = None, experiment: str | None = None) -> Iterator[None]:
    """Use this store and experiment while the block runs, and leave the process as it was.

    None: the store in use, and the experiment that the environment names. Given back are MLflow's tracking URI, its
    variables of the environment, and the levels of `LOUD`. They are the process's: no two at once in its threads.
    """
    environment = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    uri, levels = _given_uri(), {name: logging.getLogger(name).level for name in LOUD}
    try:
        for name, level in LOUD.items():
            logging.getLogger(name).setLevel(level)
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # of each run that ends
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one a file, of thousands of small ones
        os.environ.setdefault("MLFLOW_ALLOW_HTTP_REDIRECTS", "false")  # files would go to the host that one names
        if tracking_uri is not None:
            mlflow.set_tracking_uri(tracking_uri)
        if experiment is not None:
            os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
            os.environ["MLFLOW_EXPERIMENT_NAME"] = experiment
        yield
    finally:
        mlflow.set_tracking_uri(uri)  # type: ignore[arg-type]  # None: nobody set one
        for name in [n for n in os.environ if n.startswith("MLFLOW_") and n not in environment]:
            del os.environ[name]
        os.environ.update(environment)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _given_uri() -> str | None:
    """The tracking URI that somebody gave by a call; None where the environment or a default decides."""
    named = os.environ.pop(URI, None)
    try:
        return mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
    finally:
        if named is not None:
            os.environ[URI] = named


def use_store(given: argparse.Namespace) -> None:
    """Record where the flags or the environment say, from here on in this process."""
    mlflow.set_tracking_uri(given.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE)
    if given.experiment is not None:
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
        os.environ["MLFLOW_EXPERIMENT_NAME"] = given.experiment


def see_it(experiment_id: str, run_id: str) -> str:
    """How to open a run in the UI, a line or two."""
    place = f"/{run_page(experiment_id, run_id)}"
    uri = mlflow.get_tracking_uri()
    if uri.startswith("http"):
        return f"see it at {hidden(uri.rstrip('/'))}{place}"
    return f"see it:  mlflow ui --backend-store-uri {hidden(uri)}\n         then open http://127.0.0.1:5000{place}"


COPY = "elbowroom-copy-"  # begins the name of the folder that has a copy of an older store


UNREACHABLE = (MlflowException, SQLAlchemyError, OSError)  # requests raises OSErrors


ALLOWED = "allowed: the store that runs were logged to"


Result = TypeVar("Result")


@contextmanager
def opened(tracking_uri: str | None, name: str | None, *, log: bool) -> Iterator[tuple[MlflowClient, str]]:
    """The store that the flags or the environment name, asked once, and the experiment's name. Raises BadInput.

    MLflow upgrades the tables of an older version. Without `log` that is done to a copy, which goes with the block.
    """
    # A server that is gone is found out in a minute, not after MLflow's ten.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Through the server: a bucket behind it may be out of reach, and MLflow would try for minutes to get there first.
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    if problem := unclear_password(uri):
        raise BadInput(f"tracking URI {problem}")
    by_id = os.environ.get("MLFLOW_EXPERIMENT_ID")
    with ExitStack() as stack:
        try:
            path, used = database_file(uri), uri
            if path is not None and not path.exists():
                raise BadInput(f"tracking URI {uri}: there is no such file; {ALLOWED}")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=COPY)))
            original = None if log else path
            if original is not None and not os.access(original.parent, os.W_OK):  # where SQLite may write, to read
                used = _copied(original, folder)
            found = held(used)
            if found == Held(Tables.NONE):
                raise BadInput(f"tracking URI {uri} is an empty database; {ALLOWED}")
            if found is not None and found.tables is Tables.OLDER and original is not None:
                used = _copied(original, folder)
            elif found is not None and (why := found.refusal(uri)):
                raise BadInput(f"tracking URI {why}")
            mlflow.set_tracking_uri(used)
            if log:
                _check_registry(uri)
            client = MlflowClient(used)
            client.search_experiments(max_results=1)
            if name is None and by_id:
                name = str(client.get_experiment(by_id).name)
        except BadInput:
            raise
        except Exception as error:  # every kind of store fails in its own way
            raise BadInput(f"tracking URI {uri} can't be used: {one_line(error, 300)}") from error
        yield client, name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def _copied(path: Path, folder: Path) -> str:
    """The URI of a copy of a sqlite file in a folder."""
    copy = folder / path.name
    try:
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=SQLITE_SECONDS)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.execute("SELECT * FROM sqlite_master")  # raises where the file stays locked: a backup waits for ever
            source.backup(target)
    except sqlite3.OperationalError as error:
        # Where nothing can be written, SQLite opens no file that has a write-ahead log or was left by a killed writer.
        if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            raise
        for end in ("", "-wal", "-journal"):
            if (part := path.with_name(path.name + end)).exists():
                shutil.copyfile(part, folder / part.name)
    return f"sqlite:///{copy}"


def ask(question: Callable[[], Result], so_far: str = "nothing was written") -> Result:
    """An answer of the store.

    Raises Failed where it gives none, and says what was done until then, BadInput where this user may not ask.
    """
    try:
        return question()
    except (BadInput, Failed):
        raise
    except Exception as error:
        if isinstance(error, MlflowException) and error.error_code == "PERMISSION_DENIED":
            raise BadInput(f"{one_line(error, 300)}; --no-log reads alone") from error
        if not isinstance(error, UNREACHABLE):
            raise
        raise Failed(f"the store stopped answering, {so_far}: {one_line(error, 300)}") from error


def links_of(client: MlflowClient, experiment_id: str) -> Callable[[str], str]:
    """The address of a run in the UI: the server's own, or the one that `mlflow ui` would have here."""
    uri = client.tracking_uri
    base = hidden(uri.rstrip("/")) if uri.startswith("http") else "http://127.0.0.1:5000"
    return lambda run_id: f"{base}/{run_page(experiment_id, run_id)}"


def how_to_open(client: MlflowClient) -> str:
    """What to start so that links work, where the store is not a server; else nothing."""
    uri = client.tracking_uri
    if uri.startswith("http"):
        return ""
    if COPY in uri:
        return "the links open in the UI of the MLflow version that made the store"
    return f"the links open in the UI of: mlflow ui --backend-store-uri {uri}"


def _check_registry(uri: str) -> None:
    """Raise BadInput for a registry in a database of its own whose tables MLflow would change."""
    registry = mlflow.get_registry_uri()
    found = None if registry == uri else held(registry)
    if found is not None and (why := found.refusal(registry)):
        raise BadInput(f"registry URI {why}")
