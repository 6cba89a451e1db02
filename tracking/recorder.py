"""One run in the tracking store, from its opening to a status that tells the truth."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking.context.registry import resolve_tags
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random

from .alone import alone_with
from .asking import Client, Garbled, asked_again, is_server, within
from .config import BadInput
from .kept import Said, sizes
from .schema import (
    EXPERIMENT,
    PACKAGE_PREFIX,
    VERSION,
    Artifact,
    Kind,
    Tag,
    answered,
    markdown,
    printable,
    shortened,
    unclear_password,
)
from .schema import hidden as hidden  # for those who write

ANSWER_SECONDS = 15.0  # in which a store must answer before training; with the imports, under 30
RESERVE = 1 << 20  # bytes of disk
CLOSING_SECONDS = 30.0  # in which a failed run's status must be written
LINE_LENGTH = 400  # of what an exception says: a server's may carry a whole page
MOST_METRICS = 1000  # that MLflow takes in one request
DESCRIBED = 1500  # of them in a description: escaped they are up to five times as many, and 8,000 find room
PARAM_LENGTH = 6000  # MLflow's longest param value
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "mlflow", "matplotlib")
ROOT = Path(__file__).resolve().parents[1]


class RunFailed(RuntimeError):
    """A run was opened and did not finish; the store says so, as well as it could be reached."""

    def __init__(self, reason: str, run_id: str) -> None:
        super().__init__(reason)
        self.reason, self.run_id = reason, run_id


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
        self.client, self.run_id, self.said = client, run_id, Said()

    def params(self, values: Mapping[str, object]) -> None:
        """Log params, but for those the run has: under `mlflow run` they stand there as they were typed."""
        there = self.client.get_run(self.run_id).data.params
        new = [Param(k, str(v)[:PARAM_LENGTH]) for k, v in values.items() if k not in there]
        self.client.log_batch(self.run_id, params=new)
        self.said.params.update(values)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self.client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in values.items()])
        self.said.tags.update(values)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics at one step."""
        now = time.time_ns() // 1_000_000  # once: with another time it would be another value
        self._batch([Metric(k, float(v), now, step) for k, v in values.items()])

    def series(self, name: str, values: npt.NDArray[np.float64]) -> None:
        """Log one metric's values (n,) at steps 1, 2, …, in as few requests as the store takes them."""
        now = time.time_ns() // 1_000_000
        metrics = [Metric(name, float(v), now, step) for step, v in enumerate(values, 1)]
        for start in range(0, len(metrics), MOST_METRICS):
            self._batch(metrics[start : start + MOST_METRICS])

    def _batch(self, metrics: list[Metric]) -> None:
        self.client.log_batch(self.run_id, metrics=metrics)
        for metric in metrics:
            self.said.steps[metric.key].add(metric.step)

    @asked_again
    def end(self, status: str) -> None:
        """Close the run."""
        self.client.set_terminated(self.run_id, status)
        if is_server(self.client) and (now := self.client.get_run(self.run_id).info.status) != status:
            raise Garbled(f"the server said that run {self.run_id} is {status}, and it is {now}")

    def inputs(self, datasets: Mapping[str, Any]) -> None:
        """Log MLflow datasets by their context: train, validation, test."""
        inputs = [
            DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", context)])
            for context, dataset in datasets.items()
        ]
        _log_inputs(self.client, self.run_id, inputs)
        self.said.inputs.update(datasets)

    def image(self, pixels: np.ndarray[Any, np.dtype[np.uint8]], key: str, step: int) -> None:
        """Log a picture (height, width, 3 or 4) for the slider of the UI."""
        self.client.log_image(self.run_id, pixels, key=key, step=step, synchronous=True)
        self.said.pictures += 1

    def check_open(self) -> None:
        """Raise Revoked where the run has been closed by somebody else."""
        if self.client.get_run(self.run_id).info.status != "RUNNING":
            raise Revoked(f"run {self.run_id} was closed by somebody else")

    @asked_again
    def check_kept(self) -> None:
        """Raise Garbled where a server has not kept what it was told; delete what it opened twice."""
        if isinstance(self.client, Client) and is_server(self.client):
            run = self.client.get_run(self.run_id)
            self.said.check(self.client, run)
            self.client.delete_twins(run)

    @contextmanager
    def files(self) -> Iterator[Path]:
        """A folder whose files become artifacts under the same paths when the block ends."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            self.client.log_artifacts(self.run_id, folder)
            self.said.files |= sizes(Path(folder))


# Two runs that log a new data set at once both insert it, and one of the two is told that it is there.
@retry(
    retry=retry_if_exception(lambda error: re.search("unique|duplicate", str(error), re.IGNORECASE) is not None),
    stop=stop_after_attempt(5),
    wait=wait_random(0, 0.2),
    reraise=True,
)
def _log_inputs(client: MlflowClient, run_id: str, inputs: list[DatasetInput]) -> None:
    client.log_inputs(run_id, inputs)


def reach_store() -> MlflowClient:
    """A client of the tracking store in use, once that has answered, for artifacts too. Raises BadInput naming it.

    A database file is made or upgraded here, so that nothing after has to.
    """
    uri = mlflow.get_tracking_uri()
    if problem := unclear_password(uri):
        raise BadInput(f"tracking URI {problem}")
    began, answer = time.monotonic(), "did not answer"

    def ask() -> MlflowClient:
        with alone_with(uri):
            _refuse_foreign(uri)
            client = Client(uri)
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
        raise BadInput(f"tracking URI {hidden(uri)} {answer} within {ANSWER_SECONDS:.0f} s") from error
    except Exception as error:  # every kind of store fails in its own way
        raise BadInput(f"tracking URI {hidden(uri)} can't be used: {one_line(error)}") from error
    finally:
        pool.setLevel(level)


def _reach_artifacts(client: MlflowClient) -> None:
    """Ask the artifact store for something: one that is not there would be noticed after the training.

    That of the experiment in use; where there is none yet, the one of the server, which the default experiment has.
    """
    found = find_experiment(client)
    try:
        location = client.get_experiment(found or "0").artifact_location
        if location.startswith("mlflow-artifacts:") or (found and "://" in location):
            get_artifact_repository(location).list_artifacts("none")
    except (MlflowException, OSError) as error:
        if found is None and re.search("Permission denied|No Experiment with id", str(error)):
            return  # that one is gone, or closed to this user
        raise


def _refuse_foreign(uri: str) -> None:
    """Raise BadInput for a database file with another program's tables, to which MLflow would add its own."""
    path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    if not uri.startswith("sqlite:///") or not path.exists():
        return
    engine = sqlalchemy.create_engine(uri)
    try:
        tables = sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()
    if tables and "experiments" not in tables:
        raise BadInput(
            f"tracking URI {uri} is another program's database (it holds {', '.join(sorted(tables)[:3])}, …)"
        )


@contextmanager
def recording(client: MlflowClient, name: str, place: Place | None = None) -> Iterator[Recorder]:
    """Open a run, or continue the one that `mlflow run` opened, and end it as the block ends.

    With `place` it is a new run there, whatever `mlflow run` opened. FINISHED where the block came through;
    KILLED on Ctrl-C, SIGTERM and Stopped, which go on; FAILED, with the traceback as an artifact, on any
    other exception, raised again as RunFailed.
    """
    with _reserve(client.tracking_uri) as release:
        with opening(client):
            recorder = Recorder(client, _open(client, name, place))
        try:
            yield recorder
            if place is not None:
                recorder.check_open()
            recorder.check_kept()
            recorder.end("FINISHED")
        except Revoked:
            raise
        except (KeyboardInterrupt, Stopped) as interrupt:
            release()
            close(client, recorder.run_id, "KILLED", str(interrupt) or "interrupted by Ctrl-C")
            raise
        except Exception as error:
            release()
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
    except Exception as error:  # an answer that is none fails in any way
        raise BadInput(f"tracking URI {hidden(client.tracking_uri)} can't open a run: {one_line(error)}") from error


def refuse_invocation(reason: str, run_id: str | None) -> None:
    """End the run that `mlflow run` opened, if it did, as FAILED, with the reason as its description."""
    if not run_id:
        return

    def end() -> None:
        client = Client()
        client.set_tag(run_id, Tag.DESCRIPTION, f"Not run: {markdown(reason[:DESCRIBED])}")
        client.set_tag(run_id, Tag.REASON, reason)
        client.set_terminated(run_id, "FAILED")

    with suppress(Exception):  # the reason may be the store itself; it is printed all the same
        within(ANSWER_SECONDS, end)


def one_line(error: BaseException) -> str:
    """An exception as one line, without passwords."""
    if type(error).__name__ == "StorageInternalError" and error.__cause__ is not None:
        error = error.__cause__  # Optuna's own words guess at long values where a disk is full
    said = " ".join(str(error).split())
    text = answered(said)
    says_it_all = isinstance(error, (RuntimeError, ValueError, MlflowException)) or text != said
    text = re.sub(r"^\(raised as a result of [^)]*\) |\s*\[SQL: .*", "", text)  # SQLAlchemy's: how, not what
    text = shortened(printable(hidden(text)), LINE_LENGTH)
    return text if text and says_it_all else f"{type(error).__name__}: {text}"


@contextmanager
def _reserve(uri: str) -> Iterator[Callable[[], None]]:
    """Hold some disk beside a sqlite store; calling what this yields gives it free.

    A full disk then still has room for a run's last words: sqlite can't change a status without any.
    Raises BadInput where there is no room to begin with. The file has no name, so none is left behind.
    """
    if not uri.startswith("sqlite:///"):
        yield lambda: None
        return
    folder = Path(uri.removeprefix("sqlite:///").partition("?")[0]).parent
    with ExitStack() as held:
        try:
            file = held.enter_context(tempfile.TemporaryFile(dir=folder))
            file.write(bytes(RESERVE))
            file.flush()
        except OSError as error:
            raise BadInput(f"tracking URI {hidden(uri)}: can't write to {folder}: {error.strerror}") from error
        yield held.close


def _open(client: MlflowClient, name: str, place: Place | None) -> str:
    context = {k: hidden(v) for k, v in resolve_tags().items()}  # where the code is from may be an address
    tags = context | code_tags() | {Tag.KIND: Kind.RUN, Tag.SCHEMA: VERSION}
    if place is not None:
        tags |= {Tag.KIND: place.kind, Tag.PARENT: place.parent_run_id, **place.tags}
        return str(client.create_run(place.experiment_id, run_name=name, tags=tags).info.run_id)
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if run_id is None:
        run_id = client.create_run(experiment(client), run_name=name, tags=tags).info.run_id
    else:
        client.update_run(run_id, status="RUNNING", name=name)
        client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items() if not k.startswith("mlflow.")])
    return run_id


def experiment(client: MlflowClient) -> str:
    """The id of the experiment that the environment names, else of the default one, made where it is not."""
    found = find_experiment(client)
    if found is not None:
        return found
    why = ""
    try:
        made = client.create_experiment(_experiment_name())
        if made:
            return str(made)
    except MlflowException as error:  # another process made it in between, or the answer was lost
        why = f": {one_line(error)}"
    found = find_experiment(client)
    if found is None:
        raise BadInput(f"experiment {_experiment_name()!r} can't be made in {hidden(client.tracking_uri)}{why}")
    return found


def find_experiment(client: MlflowClient) -> str | None:
    """The same, None where it is not. Raises BadInput for a deleted one."""
    by_id = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if by_id:
        return by_id
    name = _experiment_name()
    found = client.get_experiment_by_name(name)
    if found is None:
        return None
    if found.lifecycle_stage == "deleted":
        raise BadInput(f"experiment {name!r} is deleted; restore it (mlflow experiments restore), or name another")
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
