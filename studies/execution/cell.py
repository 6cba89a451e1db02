"""One cell, trained and recorded in a worker process: `run_cell(job) -> Outcome`.

A job is plain data, so that it travels to another process or machine; an outcome too. Nothing is raised:
whatever goes wrong in a cell is an outcome, and a process that dies has none.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path

import mlflow
import optuna
from mlflow import MlflowClient
from optuna.trial import Trial

from elbowroom.models import Epoch
from elbowroom.tracking.cli import be_quiet
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.shared import READING, Material
from elbowroom.tracking.logged_model.code import code_of
from elbowroom.tracking.run import execute
from elbowroom.tracking.store.errors import RunFailed, one_line
from elbowroom.tracking.store.names import Metric, Tag
from elbowroom.tracking.store.recorder import Place, Recorder, Revoked, Stopped

from ..records.trials import lasting, storage_at
from .processes import me

PRUNER = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3)
"""Of tuning: not before five trials are complete, nor before epoch 3, at which the shortest ends."""
WATCH_SECONDS = 5.0  # between looks at whether the run is still this worker's to write
_one_at_a_time = threading.Lock()  # the tracking URI and torch's threads are the process's


class Ended(Enum):
    """How a job ended."""

    FINISHED = "finished"
    FAILED = "failed"
    """The cell raised."""
    PRUNED = "pruned"
    LOST = "lost"
    """The worker died, or its run was taken from it: nothing is known of the cell itself."""


@dataclass(frozen=True)
class Pruning:
    """Where a trial asks whether to go on."""

    storage: str
    study: str
    trial_id: int
    metric: str
    sign: int
    """1 where lower is better, -1 where the metric is turned round first."""


@dataclass(frozen=True)
class Job:
    """One cell, and where it is recorded."""

    config: RunConfig
    trial: int
    place: Place
    tracking_uri: str
    digest: str
    shared: str | None = None
    """A folder with the data, on this machine; None: the worker loads them itself."""
    once: bool = False
    """Refuse to start where this trial has a run already: a cluster restarts the jobs of a lost worker."""
    pruning: Pruning | None = None
    code: str = ""
    """Of the model, as the study has it: `tracking.logged_model.code.code_of`."""

    @property
    def name(self) -> str:
        """What its run is called."""
        return self.place.name or self.config.run_name


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    ended: Ended
    run_id: str | None = None
    metrics: dict[str, float] | None = None
    reason: str = ""
    seconds: float = 0.0
    """From the job's start in the worker to its end."""


def run_cell(job: Job) -> Outcome:
    """Train and record one cell."""
    began = time.perf_counter()
    watch = _Watch(job)
    with _one_at_a_time:
        be_quiet()
        os.environ.pop("MLFLOW_RUN_ID", None)  # an inherited one would be continued instead
        mlflow.set_tracking_uri(job.tracking_uri)
        be_patient()
        try:
            client = lasting(MlflowClient)()  # it opens the store, and then waits for a locked file by itself
            if job.once and (before := trial_runs(client, job)):
                return as_it_was(before, Outcome(Ended.LOST, reason="its first worker was lost"))
            _check_code(job)
            result = execute(
                job.config,
                watch.on_epoch,
                place=job.place,
                material=_material(job.config, job.digest, job.shared),
                on_open=watch.on_open,
            )
        except Revoked as error:
            return Outcome(Ended.LOST, watch.run_id, reason=str(error))
        except Stopped as error:
            return Outcome(Ended.PRUNED, watch.run_id, watch.last, reason=str(error))
        except RunFailed as error:
            return Outcome(Ended.FAILED, error.run_id, reason=error.reason)
        except Exception as error:
            return Outcome(Ended.FAILED, watch.run_id, reason=one_line(error))
    return Outcome(
        Ended.FINISHED, result.run_id, watch.last | dict(result.metrics), seconds=time.perf_counter() - began
    )


def as_it_was(runs: list[mlflow.entities.Run], lost: Outcome) -> Outcome:
    """The outcome of a job whose worker was lost, by the runs it has: perhaps that was only after it had finished."""
    for run in runs:
        if run.info.status == "FINISHED":
            return Outcome(Ended.FINISHED, run.info.run_id, dict(run.data.metrics))
    return lost


def be_patient() -> None:
    """Let each request of this process outlast a tracking server that is away for ten minutes.

    MLflow's retries wait 0, 4, 8, … 64 and then 120 seconds each: its default of 7 comes to four minutes,
    the most that it allows, 10, to ten.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "10")


def trial_runs(client: MlflowClient, job: Job) -> list[mlflow.entities.Run]:
    """The runs of a job's trial."""
    words = f"tags.`{Tag.PARENT}` = '{job.place.parent_run_id}' AND tags.`{Tag.TRIAL}` = '{job.trial}'"
    return list(client.search_runs([job.place.experiment_id], words))


class _Watch:
    """Looks after one run while it trains: is it still ours, and is it worth going on?"""

    def __init__(self, job: Job) -> None:
        self.pruning = job.pruning
        self.recorder: Recorder | None = None
        self.looked = time.monotonic()
        self.last: dict[str, float] = {}
        self.trial: Trial | None = None

    @property
    def run_id(self) -> str | None:
        return None if self.recorder is None else self.recorder.run_id

    def on_open(self, recorder: Recorder) -> None:
        self.recorder = recorder
        recorder.tags({Tag.WORKER: me()})
        if self.pruning is not None:
            self.trial = _trial_of(self.pruning)

    def on_epoch(self, epoch: Epoch) -> None:
        self.last = dict(epoch.metrics)
        if self.recorder is not None and time.monotonic() - self.looked > WATCH_SECONDS:
            self.recorder.check_open()
            self.looked = time.monotonic()
        if self.trial is not None and self.pruning is not None:
            value = epoch.metrics[self.pruning.metric]
            if _is_behind(self.trial, self.pruning.sign * value, epoch.number) and epoch.number < epoch.total:
                raise Stopped(
                    f"pruned after epoch {epoch.number} of {epoch.total}: {self.pruning.metric} "
                    f"{value:.5g} is behind other trials at that epoch"
                )


@lasting
def _trial_of(pruning: Pruning) -> Trial:
    study = optuna.load_study(study_name=pruning.study, storage=storage_at(pruning.storage), pruner=PRUNER)
    return Trial(study, pruning.trial_id)


@lasting
def _is_behind(trial: Trial, value: float, epoch: int) -> bool:
    trial.report(value, epoch)
    return trial.should_prune()


@lru_cache(maxsize=1)
def _load(read_by: RunConfig, shared: str | None) -> Material:
    return Material.map(Path(shared)) if shared is not None and Path(shared).is_dir() else Material.load(read_by)


def _material(config: RunConfig, digest: str, shared: str | None) -> Material:
    """The study's data, loaded once by each process. Raises ValueError where they are others than the study's."""
    material = _load(RunConfig(**{name: getattr(config, name) for name in READING}), shared)
    if material.digests["all"] != digest:
        raise ValueError(
            f"{config.dataset} on {socket.gethostname()} has digest {material.digests['all']}, the study's has {digest}"
        )
    return material


def _check_code(job: Job) -> None:
    """Raise ValueError where this process has another code of the model than the study began with."""
    code = code_of(job.config.model, imported=True)
    if code != job.code:
        raise ValueError(
            f"the code of {job.config.model} on {socket.gethostname()} is {code or 'revision 1'}, the study began with "
            f"{job.code or 'revision 1'}; start the study again, and a cluster's workers where they have imported it"
        )


def error_of(metrics: dict[str, float]) -> float:
    """What a cell is judged by: the validation error, or the test error where there are no validation rows."""
    return metrics[Metric.VAL_MSE_FINAL] if Metric.VAL_MSE_FINAL in metrics else metrics[Metric.TEST_MSE]
