"""Write one run to the tracking store, from its opening to a final status that is true."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking.context.registry import resolve_tags
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random

from . import names
from .client import ANSWER_SECONDS, experiment, refuse_elsewhere, within
from .errors import BadInput, RunFailed, as_bad_input, one_line
from .names import PACKAGE_PREFIX, VERSION, Artifact, Kind, Tag
from .text import hidden, markdown

_CLOSING_SECONDS = 30.0  # timeout of the last status of a run that failed
_MOST_METRICS = 1000  # per request: MLflow's limit
_REASON_LENGTH = 5000  # of a tag: MLflow's limit
_DESCRIBED = 1500  # letters of a reason in a description: up to five times as many when escaped, and 8,000 fit
_PARAM_LENGTH = 6000  # MLflow's limit
_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "mlflow", "matplotlib")
_ROOT = Path(__file__).resolve().parents[2]


class Stopped(Exception):
    """Raised by `on_epoch` to end a run KILLED, with this reason: a pruned trial, for example."""


class Revoked(Stopped):
    """Another process closed this run, because its worker seemed dead. Nothing more is written to it."""


@dataclass(frozen=True)
class Place:
    """The experiment, parent run, kind, tags and name of a new run."""

    experiment_id: str
    parent_run_id: str
    kind: Kind
    tags: Mapping[str, str] = field(default_factory=dict)
    name: str = ""  # else the configuration's `run_name`


@dataclass(frozen=True, eq=False)
class RunRecord:
    """The results of a run, by their names in the store."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)  # by the paths of their .npy files
    figures: Mapping[str, bytes] = field(default_factory=dict)  # PNG files, by their names below `figures/`
    curve: npt.NDArray[np.float64] | None = None  # (dim3,): the test error of the first 1, 2, … ordered latents

    def __or__(self, other: RunRecord) -> RunRecord:
        """Both records; where they share a name, the other's value."""
        return RunRecord(
            {**self.metrics, **other.metrics},
            {**self.tags, **other.tags},
            {**self.arrays, **other.arrays},
            {**self.figures, **other.figures},
            self.curve if other.curve is None else other.curve,
        )


class Recorder:
    """Writes one run. All runs of kind `run` are written by it alone."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client, self.run_id = client, run_id

    def params(self, values: Mapping[str, object]) -> None:
        """Log the params that the run lacks: under `mlflow run` it has some already, as they were typed."""
        there = self.client.get_run(self.run_id).data.params
        new = [Param(k, str(v)[:_PARAM_LENGTH]) for k, v in values.items() if k not in there]
        self.client.log_batch(self.run_id, params=new)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self.client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in values.items()])

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics at one step."""
        self.points((name, step, value) for name, value in values.items())

    def points(self, points: Iterable[tuple[str, int, float]]) -> None:
        """Log points of curves: the name, the step, and the value of each."""
        now = time.time_ns() // 1_000_000
        metrics = [Metric(name, float(value), now, step) for name, step, value in points]
        for start in range(0, len(metrics), _MOST_METRICS):
            self.client.log_batch(self.run_id, metrics[start : start + _MOST_METRICS])

    def write(self, record: RunRecord, step: int) -> None:
        """Log a record, its metrics at this step; numbers before files, which a full disk may refuse."""
        self.metrics(record.metrics, step)
        errors = [] if record.curve is None else record.curve.tolist()
        self.points((names.Metric.CURVE_MSE, dim3, error) for dim3, error in enumerate(errors, 1))
        self.tags(record.tags)
        figures = {f"{Artifact.FIGURES}/{name}.png": png for name, png in record.figures.items()}
        with self.files() as folder:
            for path in {*record.arrays, *figures}:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
            for path, array in record.arrays.items():
                np.save(folder / path, array, allow_pickle=False)
            for path, png in figures.items():
                (folder / path).write_bytes(png)

    # Two runs that log a new data set at once both insert it, and the database refuses the second row.
    @retry(
        retry=retry_if_exception(lambda error: getattr(error, "error_code", "") == "BAD_REQUEST"),
        stop=stop_after_attempt(5),
        wait=wait_random(0, 0.2),
        reraise=True,
    )
    def inputs(self, datasets: Mapping[str, Any]) -> None:
        """Log MLflow datasets by their contexts: train, validation, test."""
        inputs = [
            DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", context)])
            for context, dataset in datasets.items()
        ]
        self.client.log_inputs(self.run_id, inputs)

    def check_open(self) -> None:
        """Raise Revoked where another process has closed the run."""
        if self.client.get_run(self.run_id).info.status != "RUNNING":
            raise Revoked(f"run {self.run_id} was closed by another process")

    @contextmanager
    def files(self) -> Iterator[Path]:
        """A folder whose files are logged as artifacts, under the same paths, when the block ends."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
            self.client.log_artifacts(self.run_id, folder)


@contextmanager
def recording(client: MlflowClient, name: str, place: Place | None = None) -> Iterator[Recorder]:
    """Open a run, or continue the one that `mlflow run` opened, and end it when the block ends.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Of the run.
    place : Place, optional
        Open a new run there, whatever `mlflow run` opened.

    Yields
    ------
    Recorder
        The run ends FINISHED where the block succeeds, and KILLED on Ctrl-C, SIGTERM and Stopped, which propagate.

    Raises
    ------
    BadInput
        Where no run can be opened, or its files would lie elsewhere.
    RunFailed
        On any other exception. The run ends FAILED, with the traceback as an artifact.
    """
    with as_bad_input(f"tracking URI {client.tracking_uri} can't open a run"):
        recorder = Recorder(client, _open(client, name, place))
    try:
        with _system_metrics(recorder):
            yield recorder
        if place is not None:
            recorder.check_open()
        client.set_terminated(recorder.run_id, "FINISHED")
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
def _system_metrics(recorder: Recorder) -> Iterator[None]:
    """Log CPU, memory and GPU to a run while the block runs, where MLflow's variable asks for it."""
    if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():  # type: ignore[no-untyped-call]
        yield
        return
    monitor = SystemMetricsMonitor(recorder.run_id, tracking_uri=recorder.client.tracking_uri)  # type: ignore[no-untyped-call]
    monitor.start()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        with suppress(TimeoutError):  # it asks the store once more, which takes minutes where that is out of reach
            within(ANSWER_SECONDS, monitor.finish)


def refuse_invocation(reason: str, run_id: str | None) -> None:
    """End the run that `mlflow run` opened, if any, FAILED, with the reason as its description."""
    if not run_id:
        return

    def end() -> None:
        client = MlflowClient()
        client.set_tag(run_id, Tag.DESCRIPTION, f"Not run: {markdown(reason[:_DESCRIBED])}")
        client.set_tag(run_id, Tag.REASON, reason)
        client.set_terminated(run_id, "FAILED")

    with suppress(Exception):  # the store may be what failed; the command prints the reason anyway
        within(ANSWER_SECONDS, end)


def _open(client: MlflowClient, name: str, place: Place | None) -> str:
    tags = source_tags() | {Tag.KIND: Kind.RUN, Tag.SCHEMA: VERSION}
    run_id = os.environ.get("MLFLOW_RUN_ID") if place is None else None
    if place is not None:
        tags |= {Tag.KIND: place.kind, Tag.PARENT: place.parent_run_id, **place.tags}
    if run_id:
        client.update_run(run_id, status="RUNNING", name=name)
        Recorder(client, run_id).tags({k: v for k, v in tags.items() if not k.startswith("mlflow.")})
        run = client.get_run(run_id)
    else:
        where = experiment(client) if place is None else place.experiment_id
        run = client.create_run(where, run_name=name, tags={**tags, Tag.OPENING: uuid.uuid4().hex})
    check_place(client, run)
    return str(run.info.run_id)


def check_place(client: MlflowClient, run: Run) -> None:
    """Raise BadInput, and end the run FAILED, where its files would be written outside the store."""
    try:
        refuse_elsewhere(client, f"run {run.info.run_id}", run.info.artifact_uri)
    except BadInput as error:
        close(client, run.info.run_id, "FAILED", str(error))
        raise


def close(
    client: MlflowClient, run_id: str, status: str, reason: str, trace: str | None = None, *, describe: bool = True
) -> None:
    """End a run that failed or was killed; does nothing where the store can't be reached.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    status : str
        FAILED or KILLED.
    reason : str
        One line, logged as a tag.
    trace : str, optional
        A traceback, logged as an artifact.
    describe : bool
        Whether the reason replaces the run's description.
    """

    def end() -> None:
        with suppress(Exception):  # the status is written even where the disk or the artifact store is full
            tags: dict[str, str] = {Tag.REASON: reason[:_REASON_LENGTH]}
            if describe:
                tags[Tag.DESCRIPTION] = f"{status}: {markdown(reason[:_DESCRIBED])}"
            Recorder(client, run_id).tags(tags)
            if trace is not None:
                client.log_text(run_id, trace, Artifact.TRACEBACK)
        client.set_terminated(run_id, status)

    with suppress(Exception):
        within(_CLOSING_SECONDS, end)


def source_tags() -> dict[str, str]:
    """Return MLflow's tags of the user and the program of this process, and those of the code."""
    context = {k: hidden(v) for k, v in resolve_tags().items()}  # a repository's address may have a password
    return context | code_tags()


@cache
def code_tags() -> dict[str, str]:
    """Return tags with the commit of this code, whether it has changes, and the versions of packages."""
    tags = {f"{PACKAGE_PREFIX}{name}": version(name) for name in _PACKAGES}
    tags[f"{PACKAGE_PREFIX}python"] = sys.version.split()[0]
    top = _git("rev-parse", "--show-toplevel")
    if top is not None and Path(top).resolve() == _ROOT:
        tags[Tag.COMMIT] = _git("rev-parse", "HEAD") or "no commit yet"
        tags[Tag.DIRTY] = "true" if _git("status", "--porcelain") else "false"
    return tags


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *words], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
