"""Where a page comes from and where it goes: the store, the output folder, and the addresses of runs."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

import mlflow
from filelock import FileLock
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from tracking.schema import EXPERIMENT, run_page, unclear_password

from .errors import BadInput, Failed, hidden, one_line

DEFAULT_STORE = "sqlite:///mlflow.db"
UNREACHABLE = (MlflowException, SQLAlchemyError, OSError)  # requests raises OSErrors
Result = TypeVar("Result")


def opened(tracking_uri: str | None, name: str | None) -> tuple[MlflowClient, str]:
    """The store that the flags or the environment name, asked once, and the experiment's name. Raises BadInput."""
    # A server that is gone is found out in a minute, not after MLflow's ten.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Through the server: a bucket behind it may be out of reach, and MLflow would try for minutes to get there first.
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    if problem := unclear_password(uri):
        raise BadInput(f"tracking URI {problem}")
    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.exists():
        raise BadInput(f"tracking URI {uri}: there is no such file; allowed: the store that runs were logged to")
    by_id = os.environ.get("MLFLOW_EXPERIMENT_ID")
    try:
        mlflow.set_tracking_uri(uri)
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
        if name is None and by_id:
            return client, str(client.get_experiment(by_id).name)
    except Exception as error:  # every kind of store fails in its own way
        raise BadInput(f"tracking URI {uri} can't be used: {one_line(error, 300)}") from error
    return client, name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


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
            with ExitStack() as held:
                with suppress(PermissionError):  # another user's
                    held.enter_context(FileLock(_lock_path(out)))
                for name in sorted({Path(n).parts[0] for n in files}):
                    if (out / name).is_dir():  # of a folder nothing older may stay
                        os.replace(out / name, Path(folder) / f"old {name}")
                    os.replace(Path(folder) / name, out / name)
    except OSError as error:
        raise Failed(f"out {out}: {error.strerror or error}") from error


def _lock_path(out: Path) -> Path:
    """Where this machine's lock of an output folder is: not in it, where it would be taken for part of the report."""
    return Path(tempfile.gettempdir()) / f"elbowroom-{hashlib.sha256(bytes(out.resolve())).hexdigest()[:16]}.lock"
