"""One run in the tracking store, from its opening to a status that tells the truth."""

from __future__ import annotations

import logging
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random

from .addresses import elsewhere, unclear_password
from .database import Held, Tables, database_file, held, make_tables
from .errors import BadInput, RunFailed, deleted_experiment, one_line
from .locks import alone_with
from .names import EXPERIMENT, PACKAGE_PREFIX, VERSION, Artifact, Kind, Tag
from .text import clean, hidden, markdown

ANSWER_SECONDS = 15.0  # in which a store must answer before training; with the imports, under 30
CLOSING_SECONDS = 30.0  # in which a failed run's status must be written
MOST_METRICS = 1000  # that MLflow takes in one request
DESCRIBED = 1500  # letters of a reason in a description: escaped they are up to five times as many, and 8,000 find room
PARAM_LENGTH = 6000  # MLflow's longest param value
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "mlflow", "matplotlib")
ROOT = Path(__file__).resolve().parents[2]

Result = TypeVar("Result")


class Stopped(Exception):
    """Raised from `on_epoch` to end a run KILLED, with this reason: pruned, or no longer wanted."""


class Revoked(Stopped):
    """Somebody else has closed this run: it was taken for dead. Nothing more is written to it."""


@dataclass(frozen=True)
class Place:
    """Where a new run belongs: its experiment, the run above it, its kind, and tags of its own."""

    experiment_id: str
    parent_run_id: str
    kind: Kind
    tags: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    """Of the run; empty: as its configuration says."""


class Recorder:
    """Writes one run. Nothing outside this module writes to runs of kind `run`."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client, self.run_id = client, run_id

    def params(self, values: Mapping[str, object]) -> None:
        """Log params, but for those the run has: under `mlflow run` they stand there as they were typed."""
        there = self.client.get_run(self.run_id).data.params
        new = [Param(k, str(v)[:PARAM_LENGTH]) for k, v in values.items() if k not in there]
        self.client.log_batch(self.run_id, params=new)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self.client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in values.items()])

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics at one step."""
        now = time.time_ns() // 1_000_000
        self.client.log_batch(self.run_id, [Metric(k, float(v), now, step) for k, v in values.items()])

    def series(self, name: str, values: npt.NDArray[np.float64]) -> None:
        """Log one metric's values (n,) at steps 1, 2, …, in as few requests as the store takes them."""
        now = time.time_ns() // 1_000_000
        metrics = [Metric(name, float(v), now, step) for step, v in enumerate(values, 1)]
        for start in range(0, len(metrics), MOST_METRICS):
            self.client.log_batch(self.run_id, metrics[start : start + MOST_METRICS])

    def end(self, status: str) -> None:
        """Close the run."""
        self.client.set_terminated(self.run_id, status)

    def inputs(self, datasets: Mapping[str, Any]) -> None:
        """Log MLflow datasets by their context: train, validation, test."""
        inputs = [
            DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", context)])
            for context, dataset in datasets.items()
        ]
        _log_inputs(self.client, self.run_id, inputs)

    def image(self, pixels: np.ndarray[Any, np.dtype[np.uint8]], key: str, step: int) -> None:
        """Log a picture (height, width, 3 or 4) for the slider of the UI."""
        self.client.log_image(self.run_id, pixels, key=key, step=step, synchronous=True)

    def check_open(self) -> None:
        """Raise Revoked where the run has been closed by somebody else."""
        if self.client.get_run(self.run_id).info.status != "RUNNING":
            raise Revoked(f"run {self.run_id} was closed by somebody else")

    @contextmanager
    def files(self) -> Iterator[Path]:
        """A folder whose files become artifacts under the same paths when the block ends."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            self.client.log_artifacts(self.run_id, folder)


# Two runs that log a new data set at once both insert it; for one of them the database refuses the row.
@retry(
    retry=retry_if_exception(lambda error: getattr(error, "error_code", "") == "BAD_REQUEST"),
    stop=stop_after_attempt(5),
    wait=wait_random(0, 0.2),
    reraise=True,
)
def _log_inputs(client: MlflowClient, run_id: str, inputs: list[DatasetInput]) -> None:
    client.log_inputs(run_id, inputs)


def reach_store() -> MlflowClient:
    """A client of the tracking store in use, once that has answered, for artifacts too. Raises BadInput naming it.

    A database file is made here, so that nothing after has to, and one of another MLflow version is refused.
    """
    uri = mlflow.get_tracking_uri()
    if problem := unclear_password(uri):
        raise BadInput(f"tracking URI {problem}")
    began, answer = time.monotonic(), "did not answer"

    def ask() -> MlflowClient:
        path = database_file(uri)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        with alone_with(uri):
            found = held(uri)
            if found is not None and (why := found.refusal(uri)):
                raise BadInput(f"tracking URI {why}")
            if path is not None and found == Held(Tables.NONE):
                make_tables(path)
            _refuse_certificate(uri)
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
            return client

    # Its own retries are announced by the connection pool, a line each; one line is promised.
    pool = logging.getLogger("urllib3.connectionpool")
    level = pool.level
    pool.setLevel(logging.ERROR)
    try:
        if uri.startswith("sqlite"):
            return ask()
        client = within(ANSWER_SECONDS, ask)
        answer = "could not list artifacts (its log says why; does its bucket exist?)"
        within(max(1.0, ANSWER_SECONDS - (time.monotonic() - began)), lambda: _reach_artifacts(client))
        return client
    except BadInput:
        raise
    except TimeoutError as error:
        raise BadInput(f"tracking URI {uri} {answer} within {ANSWER_SECONDS:.0f} s") from error
    except Exception as error:  # every kind of store fails in its own way
        raise BadInput(f"tracking URI {uri} can't be used: {one_line(error)}") from error
    finally:
        pool.setLevel(level)


def _reach_artifacts(client: MlflowClient) -> None:
    """Ask the artifact store for something: one that is not there would be noticed after the training.

    That of the experiment in use; where there is none yet, the one of the server, which the default experiment has.
    """
    found = find_experiment(client)
    try:
        location = client.get_experiment(found or "0").artifact_location
        if elsewhere(location, client.tracking_uri, writes=True):
            return  # not asked; a new experiment may have another place, which is looked at once it is made
        if location.startswith("mlflow-artifacts:") or (found and "://" in location):
            get_artifact_repository(location).list_artifacts("none")
    except ValueError as error:  # of JSON
        raise BadInput(
            f"tracking URI {client.tracking_uri} answers a question for artifacts with no list of them, a redirect "
            "perhaps; MLFLOW_ALLOW_HTTP_REDIRECTS=true follows it, to whatever host"
        ) from error
    except (MlflowException, OSError) as error:
        if found is None and getattr(error, "error_code", "") in ("PERMISSION_DENIED", "RESOURCE_DOES_NOT_EXIST"):
            return  # that one is gone, or closed to this user
        raise


def _refuse_certificate(uri: str) -> None:
    """Raise BadInput for a server whose certificate is not trusted: MLflow would repeat the request for minutes."""
    if not uri.startswith("https:"):
        return
    try:
        http_request(get_default_host_creds(uri), "/health", "HEAD", max_retries=0, timeout=ANSWER_SECONDS)  # type: ignore[no-untyped-call]
    except MlflowException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__context__
        if cause is not None:  # what else is wrong, the first question finds out
            raise BadInput(
                f"tracking URI {uri}: no secure connection: {one_line(cause)}; "
                "MLFLOW_TRACKING_SERVER_CERT_PATH names the file of a certificate to trust"
            ) from error


@contextmanager
def recording(client: MlflowClient, name: str, place: Place | None = None) -> Iterator[Recorder]:
    """Open a run, or continue the one that `mlflow run` opened, and end it as the block ends.

    With `place` it is a new run there, whatever `mlflow run` opened. FINISHED where the block came through;
    KILLED on Ctrl-C, SIGTERM and Stopped, which go on; FAILED, with the traceback as an artifact, on any
    other exception, raised again as RunFailed. Raises BadInput where no run can be opened, or its files lie elsewhere.
    """
    with opening(client):
        recorder = Recorder(client, _open(client, name, place))
    try:
        yield recorder
        if place is not None:
            recorder.check_open()
        recorder.end("FINISHED")
    except Revoked:
        raise
    except (KeyboardInterrupt, Stopped) as interrupt:
        close(client, recorder.run_id, "KILLED", str(interrupt) or "interrupted by Ctrl-C")
        raise
    except Exception as error:
        reason = one_line(error)
        text = hidden("".join(traceback.format_exception(error)))
        close(client, recorder.run_id, "FAILED", reason, text)
        raise RunFailed(reason, recorder.run_id) from error


@contextmanager
def opening(client: MlflowClient) -> Iterator[None]:
    """What is written before there is a run. Raises BadInput where the store refuses it."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # every kind of store fails in its own way
        raise BadInput(f"tracking URI {client.tracking_uri} can't open a run: {one_line(error)}") from error


def refuse_invocation(reason: str, run_id: str | None) -> None:
    """End the run that `mlflow run` opened, if it did, as FAILED, with the reason as its description."""
    if not run_id:
        return

    def end() -> None:
        client = MlflowClient()
        client.set_tag(run_id, Tag.DESCRIPTION, f"Not run: {markdown(reason[:DESCRIBED])}")
        client.set_tag(run_id, Tag.REASON, reason)
        client.set_terminated(run_id, "FAILED")

    with suppress(Exception):  # the reason may be the store itself; it is printed all the same
        within(ANSWER_SECONDS, end)


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """call(), given up after so many seconds with TimeoutError: its own retries may go on for minutes."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]


def _open(client: MlflowClient, name: str, place: Place | None) -> str:
    context = {k: hidden(v) for k, v in resolve_tags().items()}  # where the code is from may be an address
    tags = context | code_tags() | {Tag.KIND: Kind.RUN, Tag.SCHEMA: VERSION}
    if place is not None:
        tags |= {Tag.KIND: place.kind, Tag.PARENT: place.parent_run_id, **place.tags}
        run = new_run(client, place.experiment_id, name, tags)
    elif run_id := os.environ.get("MLFLOW_RUN_ID"):
        client.update_run(run_id, status="RUNNING", name=name)
        client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items() if not k.startswith("mlflow.")])
        run = client.get_run(run_id)
    else:
        run = new_run(client, experiment(client), name, tags)
    check_place(client, run)
    return str(run.info.run_id)


def check_place(client: MlflowClient, run: Run) -> None:
    """End an opened run FAILED, and raise BadInput, where its files would be written elsewhere than into the store."""
    try:
        refuse_elsewhere(client, f"run {run.info.run_id}", run.info.artifact_uri)
    except BadInput as error:
        close(client, run.info.run_id, "FAILED", str(error))
        raise


def refuse_elsewhere(client: MlflowClient, what: str, address: str) -> None:
    """Raise BadInput where files would be written elsewhere than into the store; `what` keeps them there."""
    if where := elsewhere(address, client.tracking_uri, writes=True):
        raise BadInput(
            f"{what} keeps its files {where}, {clean(address, 100)}; "
            "allowed: those of a server on the server (mlflow server --artifacts-destination) or in a bucket"
        )


def new_run(client: MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str]) -> Run:
    """A new run, RUNNING, with a tag that names its opening.

    MLflow repeats a request whose answer was lost, and the server may then have opened a run that nobody writes to. It
    has the same tag.
    """
    return client.create_run(experiment_id, run_name=name, tags={**tags, Tag.OPENING: uuid.uuid4().hex})


def experiment(client: MlflowClient) -> str:
    """The id of the experiment that the environment names, else of the default one, made where it is not."""
    found = find_experiment(client)
    if found is not None:
        return found
    try:
        client.create_experiment(_experiment_name())
    except MlflowException:  # another process made it in between, or MLflow repeated a request that was done
        if find_experiment(client) is None:
            raise
    return str(find_experiment(client))


def find_experiment(client: MlflowClient) -> str | None:
    """The same, None where it is not. Raises BadInput for a deleted one, and for one that keeps its files elsewhere."""
    by_id = os.environ.get("MLFLOW_EXPERIMENT_ID")
    found = client.get_experiment(by_id) if by_id else client.get_experiment_by_name(_experiment_name())
    if found is None:
        return None
    if found.lifecycle_stage == "deleted":
        raise BadInput(deleted_experiment(found.name, found.experiment_id))
    refuse_elsewhere(client, f"experiment {found.name!r}", found.artifact_location)
    return str(found.experiment_id)


def _experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def close(
    client: MlflowClient, run_id: str, status: str, reason: str, trace: str | None = None, *, describe: bool = True
) -> None:
    """End a run that did not come through; where the store can't be reached, what is there stays.

    The reason takes the place of its description, unless that is to be kept.
    """

    recorder = Recorder(client, run_id)

    def end() -> None:
        with suppress(Exception):  # a full disk or a lost artifact store must not keep the status away
            said: dict[str, str] = {Tag.REASON: reason[:5000]}
            if describe:
                said[Tag.DESCRIPTION] = f"{status}: {markdown(reason[:DESCRIBED])}"
            recorder.tags(said)
            if trace is not None:
                client.log_text(run_id, trace, Artifact.TRACEBACK)
        recorder.end(status)

    with suppress(Exception):
        within(CLOSING_SECONDS, end)


@cache
def code_tags() -> dict[str, str]:
    """The commit this code is from, whether it was changed since, and the versions it ran with."""
    tags = {f"{PACKAGE_PREFIX}{name}": version(name) for name in PACKAGES}
    tags[f"{PACKAGE_PREFIX}python"] = sys.version.split()[0]
    top = _git("rev-parse", "--show-toplevel")
    if top is not None and Path(top).resolve() == ROOT:
        tags[Tag.COMMIT] = _git("rev-parse", "HEAD") or "no commit yet"
        tags[Tag.DIRTY] = "true" if _git("status", "--porcelain") else "false"
    return tags


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
