"""Where a page comes from and where it goes: the store, the output folder, and the addresses of runs."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import mlflow
from filelock import FileLock
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from elbowroom.tracking.store.addresses import run_page, unclear_password
from elbowroom.tracking.store.database import SQLITE_SECONDS, Held, Tables, database_file, held
from elbowroom.tracking.store.errors import BadInput, Failed, one_line
from elbowroom.tracking.store.names import EXPERIMENT
from elbowroom.tracking.store.text import hidden

DEFAULT_STORE = "sqlite:///mlflow.db"
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


def _check_registry(uri: str) -> None:
    """Raise BadInput for a registry in a database of its own whose tables MLflow would change."""
    registry = mlflow.get_registry_uri()
    found = None if registry == uri else held(registry)
    if found is not None and (why := found.refusal(registry)):
        raise BadInput(f"registry URI {why}")


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


def output_folder(out: Path) -> Path:
    """The output folder, made, and seen to take files. Raises BadInput."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            return out
    except OSError as error:
        raise BadInput(f"out {out}: can't be written: {error.strerror}") from error


def png(figure: Figure) -> bytes:
    """A figure as a file, the same bytes each time."""
    into = io.BytesIO()
    figure.savefig(into, format="png", metadata={"Software": None})
    return into.getvalue()


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


def write_files(out: Path, files: Mapping[str, bytes]) -> None:
    """All files, each whole or not at all: written beside the folder's own and then moved over them.

    Two reports that write to one folder at once do so one after the other: its files are all of one of them.
    """
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix=".") as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            with ExitStack() as stack:
                with suppress(PermissionError):  # another user's
                    stack.enter_context(FileLock(_lock_path(out)))
                for name in sorted({Path(n).parts[0] for n in files}):
                    if (out / name).is_dir():  # of a folder nothing older may stay
                        os.replace(out / name, Path(folder) / f"old {name}")
                    os.replace(Path(folder) / name, out / name)
    except OSError as error:
        raise Failed(f"out {out}: {error.strerror or error}") from error


def _lock_path(out: Path) -> Path:
    """Where this machine's lock of an output folder is: not in it, where it would be taken for part of the report."""
    return Path(tempfile.gettempdir()) / f"elbowroom-{hashlib.sha256(bytes(out.resolve())).hexdigest()[:16]}.lock"
