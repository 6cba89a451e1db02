"""Choose the tracking store of this process, open it for an analysis, and say where its runs are seen.

MLflow has one tracking URI and environment per process. A command owns them; a function in a notebook restores them.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from .addresses import run_page, store_uri, unclear_password
from .database import SQLITE_SECONDS, database_file, held
from .errors import BadInput, Failed, as_bad_input, one_line, store_failed
from .names import EXPERIMENT, Kind, Tag
from .terminal import LOG_LEVELS, quiet_libraries
from .text import LABEL_LENGTH, clean, hidden

_log = logging.getLogger(__name__)

_COUNTED = 1000  # runs, at most, that are counted to tell experiments apart
_COPY = "elbowroom-copy-"  # prefix of the temporary folder with a copy of a store
_ALLOWED = "allowed: the store that runs were logged to"
_Result = TypeVar("_Result")


@contextmanager
def borrowed(tracking_uri: str | None = None, experiment: str | None = None) -> Iterator[None]:
    """Use a store and an experiment, by default those in use, while the block runs, and then restore the process.

    MLflow's URI, environment variables and log levels are global, so blocks in two threads must not overlap.
    """
    environment = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    levels = {name: logging.getLogger(name).level for name in LOG_LEVELS}
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # to learn whether a call has set the URI
    uri = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
    os.environ.update(environment)
    try:
        quiet_libraries()
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one per small file
        # Arrays come through the server: MLflow would first try the bucket behind it for minutes, which may be out of
        # reach.
        os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
        # Threads read arrays, also those of a study's table; of more connections than this each costs a warning.
        os.environ.setdefault("MLFLOW_HTTP_POOL_MAXSIZE", "40")
        if tracking_uri is not None:
            mlflow.set_tracking_uri(tracking_uri)
        _use_experiment(experiment)
        yield
    finally:
        mlflow.set_tracking_uri(uri)  # type: ignore[arg-type]  # None: not set
        for name in [n for n in os.environ if n.startswith("MLFLOW_") and n not in environment]:
            del os.environ[name]
        os.environ.update(environment)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def use_store(given: argparse.Namespace) -> None:
    """Use the store and the experiment of the flags, else of the environment, for the rest of this process."""
    mlflow.set_tracking_uri(store_uri(given.tracking_uri))
    _use_experiment(given.experiment)


def _use_experiment(name: str | None) -> None:
    if name is not None:
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
        os.environ["MLFLOW_EXPERIMENT_NAME"] = name


@contextmanager
def opened(tracking_uri: str | None, name: str | None, *, log: bool) -> Iterator[tuple[MlflowClient, str]]:
    """Open a store for an analysis: a client, after one request that succeeded, and the experiment's name.

    MLflow would upgrade the tables of an older version. Without `log` a temporary copy of a sqlite file is upgraded.

    Parameters
    ----------
    tracking_uri
        None: that of the environment, else the default store.
    name
        Of the experiment; None: that of the environment, else the one that has runs of this project, which is logged.
    log
        Whether the analysis will be logged to the store.

    Raises
    ------
    BadInput
        Where there is no such store, MLflow must not open it, or several experiments have runs.
    """
    # Fail after a minute without a server; MLflow would retry for ten.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    uri = store_uri(tracking_uri)
    if problem := unclear_password(uri):
        raise BadInput(f"tracking URI {problem}")
    with tempfile.TemporaryDirectory(prefix=_COPY) as folder:
        with as_bad_input(f"tracking URI {uri} can't be used", 300):
            used = _prepared(uri, Path(folder), log)
            mlflow.set_tracking_uri(used)
            registry = mlflow.get_registry_uri()
            if log and registry != uri and (why := held(registry).refusal):  # MLflow would change its tables
                raise BadInput(f"registry URI {why}")
            client = MlflowClient(used)
            client.search_experiments(max_results=1)
            if name is None and (by_id := os.environ.get("MLFLOW_EXPERIMENT_ID")):
                name = str(client.get_experiment(by_id).name)
            name = name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or _with_our_runs(client)
        yield client, name


def _with_our_runs(client: MlflowClient) -> str:
    """The experiment that has finished runs of this project: `mlflow run` writes to Default, other commands do not.

    The default one where none has. Raises BadInput where several have, with the number of runs in each.
    """

    def found(ids: list[str], most: int) -> Counter[str]:
        asked = f"tags.`{Tag.KIND}` = '{Kind.RUN}' and attributes.status = 'FINISHED'"
        return Counter(r.info.experiment_id for r in (client.search_runs(ids, asked, max_results=most) if ids else []))

    try:
        names = {e.experiment_id: str(e.name) for e in client.search_experiments()}
        default = [one for one, name in names.items() if name == EXPERIMENT]
        others = found([one for one in names if one not in default], _COUNTED)
        here = found(default, 1 if not others else _COUNTED)
    except MlflowException as error:
        if error.error_code != "PERMISSION_DENIED":
            raise
        return EXPERIMENT
    counts = here + others
    if len(counts) > 1:
        many = ", ".join(f"{clean(names[one], LABEL_LENGTH)!r} ({n:,} runs)" for one, n in counts.most_common())
        raise BadInput(f"several experiments have runs of this project: {many}; --experiment names the one to read")
    name = names[next(iter(counts))] if counts else EXPERIMENT
    if name != EXPERIMENT:
        _log.info("experiment %s: the only one with runs of this project", clean(name, LABEL_LENGTH))
    return name


def _prepared(uri: str, folder: Path, log: bool) -> str:
    """The URI to use, which is that of a copy in the folder where the store must not be changed. Raises BadInput."""
    path = database_file(uri)
    if path is not None and not path.exists():
        raise BadInput(f"tracking URI {uri}: there is no such file; {_ALLOWED}")
    original, used = None if log else path, uri
    if original is not None and not os.access(original.parent, os.W_OK):  # SQLite writes there to read
        used = _copied(original, folder)
    found = held(used, shown=uri)
    if found.empty:
        raise BadInput(f"tracking URI {uri} is an empty database; {_ALLOWED}")
    if found.older and original is not None:
        return _copied(original, folder)
    if found.refusal:
        raise BadInput(f"tracking URI {found.refusal}")
    return used


def ask(question: Callable[[], _Result], so_far: str = "nothing was written") -> _Result:
    """Return question(), which asks the store.

    Raises Failed, which says what was done `so_far`, where the store does not answer, and BadInput where the user lacks
    the permission.
    """
    try:
        return question()
    except (BadInput, Failed):
        raise
    except Exception as error:
        if getattr(error, "error_code", "") == "PERMISSION_DENIED":
            raise BadInput(f"{one_line(error, 300)}; --no-log reads alone") from error
        if not store_failed(error):
            raise
        raise Failed(f"the store stopped answering, {so_far}: {one_line(error, 300)}") from error


def see_it(experiment_id: str, run_id: str, views: Mapping[str, str] | None = None) -> str:
    """Return how to open a run in the UI, in one line or two, and a line for each view of its experiment by name."""
    address, command = ui_of(mlflow.get_tracking_uri())
    said = f"see it:  {command}\n         then open " if command else "see it at "
    lines = [f"{name.lower():>9}: {address}/{page}" for name, page in (views or {}).items()]
    return "\n".join([f"{said}{address}/{run_page(experiment_id, run_id)}", *lines])


def links_of(client: MlflowClient, experiment_id: str) -> tuple[Callable[[str], str], str]:
    """Return a function that gives the address of a run in the UI, and how to start that UI; empty for a server."""
    address, command = ui_of(client.tracking_uri)
    note = f"The links open in the UI of: {command}" if command else ""
    if is_copy(client.tracking_uri):
        note = "The links open in the UI of the MLflow version that made the store"
    return lambda run_id: f"{address}/{run_page(experiment_id, run_id)}", note


def is_copy(uri: str) -> bool:
    """Return whether a store is the temporary copy that `opened` has made."""
    return _COPY in uri


def ui_of(uri: str) -> tuple[str, str]:
    """Return the address of a store's UI, and the command that starts it on this machine; empty for a server."""
    if uri.startswith("http"):
        return hidden(uri.rstrip("/")), ""
    return "http://127.0.0.1:5000", f"mlflow ui --backend-store-uri {shlex.quote(hidden(uri))}"


def _copied(path: Path, folder: Path) -> str:
    """The URI of a copy of a sqlite file in a folder."""
    copy = folder / path.name
    try:
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=SQLITE_SECONDS)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.execute("SELECT * FROM sqlite_master")  # raises where the file stays locked: backup() would wait
            source.backup(target)
    except sqlite3.OperationalError as error:
        # In a read-only folder SQLite opens no file with a write-ahead log, nor one that a killed writer left.
        if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            raise
        for end in ("", "-wal", "-journal"):
            if (part := path.with_name(path.name + end)).exists():
                shutil.copyfile(part, folder / part.name)
    return f"sqlite:///{copy}"
