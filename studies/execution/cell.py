"""One cell, trained and recorded in a worker process: `run_cell(job) -> Outcome`.

Jobs and outcomes are plain data, so that they can be sent to other processes and machines. `run_cell` raises nothing:
an error in a cell is an outcome. A process that dies returns none.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
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
from elbowroom.tracking.data.datasets import DATA_FIELDS
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.logged_model.code import code_of
from elbowroom.tracking.run import execute
from elbowroom.tracking.store.errors import one_line
from elbowroom.tracking.store.names import Metric, Tag
from elbowroom.tracking.store.recorder import Place, Recorder, Revoked, Stopped

from ..records.trials import retry_storage, storage_at
from .processes import process_tag

_PRUNER = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3)
"""The pruner of tunings: prunes after five complete trials, and after epoch 3, with which the shortest trial ends."""
PRUNED = ("stopped after epoch", "pruned")
"""The beginnings of the reason of a pruned trial; the second is that of earlier versions."""
_WATCH_SECONDS = 5.0  # between checks that the run was not closed by someone else
_process_lock = threading.Lock()  # a process has one tracking URI and one number of torch's threads


class Status(Enum):
    """The end of a job; LOST where its worker died or its run was closed: the cell itself may be all right."""

    FINISHED = "finished"
    FAILED = "failed"
    PRUNED = "pruned"
    LOST = "lost"


@dataclass(frozen=True)
class Pruning:
    """The Optuna study to which a trial reports its epochs, and which may stop it."""

    storage: str
    study: str
    metric: str
    """The metric of an epoch that is reported."""
    sign: int
    """1 where a lower metric is better, -1 where a higher one is."""


@dataclass(frozen=True)
class Job:
    """One cell, and where it is recorded."""

    config: RunConfig
    trial: int
    """The trial's number in Optuna's study."""
    place: Place
    tracking_uri: str
    digest: str
    shared: str | None = None
    """A folder on this machine with the data; None: the worker loads them itself."""
    once: bool = False
    """Whether to refuse a trial that has a run already: a cluster restarts the jobs of a lost worker."""
    pruning: Pruning | None = None
    code: str = ""
    """The revision of the model's code in this study: `tracking.logged_model.code.code_of`."""

    @property
    def name(self) -> str:
        """The name of the job's run."""
        return self.place.name or self.config.run_name


@dataclass(frozen=True)
class Outcome:
    """The result of a job."""

    status: Status
    run_id: str | None = None
    metrics: dict[str, float] | None = None
    reason: str = ""
    seconds: float = 0.0
    """From the start of the job in the worker to its end."""


def run_cell(job: Job) -> Outcome:
    """Train and record one cell."""
    began = time.perf_counter()
    watch = _Watch(job)
    with _process_lock:
        be_quiet()
        os.environ.pop("MLFLOW_RUN_ID", None)  # MLflow would continue an inherited run
        mlflow.set_tracking_uri(job.tracking_uri)
        extend_retries()
        try:
            client = retry_storage(MlflowClient)()  # it opens the store; later MLflow itself waits for a locked file
            if job.once and (before := trial_runs(client, job)):
                return recover_outcome(before, Outcome(Status.LOST, reason="its first worker was lost"))
            _check_code(job)
            data = _prepared_data(job.config, job.digest, job.shared)
            result = execute(job.config, watch.on_epoch, place=job.place, prepared_data=data, on_open=watch.on_open)
        except Revoked as error:
            return Outcome(Status.LOST, watch.run_id, reason=str(error))
        except Stopped as error:
            return Outcome(Status.PRUNED, watch.run_id, watch.last, reason=str(error))
        except Exception as error:
            return Outcome(Status.FAILED, watch.run_id, reason=one_line(error))
    metrics = watch.last | dict(result.metrics)
    return Outcome(Status.FINISHED, result.run_id, metrics, seconds=time.perf_counter() - began)


def recover_outcome(runs: list[mlflow.entities.Run], lost: Outcome) -> Outcome:
    """The outcome of a job whose worker was lost: finished where one of its runs is, else `lost`."""
    finished = [r for r in runs if r.info.status == "FINISHED"]
    return Outcome(Status.FINISHED, finished[0].info.run_id, dict(finished[0].data.metrics)) if finished else lost


def extend_retries() -> None:
    """Let MLflow retry each request of this process for ten minutes, while a tracking server is down.

    Its retries wait 0, 4, 8, … 64 and then 120 seconds each: the default of 7 retries takes four minutes, and the
    largest number that MLflow allows, 10, takes ten.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "10")


def trial_runs(client: MlflowClient, job: Job) -> list[mlflow.entities.Run]:
    """The runs of a job's trial."""
    words = f"tags.`{Tag.PARENT}` = '{job.place.parent_run_id}' AND tags.`{Tag.TRIAL}` = '{job.trial}'"
    return list(client.search_runs([job.place.experiment_id], words))


class _Watch:
    """Stops a training whose run was closed by someone else, or which the pruner stops."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.recorder: Recorder | None = None
        self.checked = time.monotonic()
        self.last: dict[str, float] = {}
        self.trial: Trial | None = None

    @property
    def run_id(self) -> str | None:
        return None if self.recorder is None else self.recorder.run_id

    def on_open(self, recorder: Recorder) -> None:
        self.recorder = recorder
        recorder.tags({Tag.WORKER: process_tag()})
        if self.job.pruning is not None:
            self.trial = _optuna_trial(self.job.pruning, self.job.trial)

    def on_epoch(self, epoch: Epoch) -> None:
        self.last = dict(epoch.metrics)
        if self.recorder is not None and time.monotonic() - self.checked > _WATCH_SECONDS:
            self.recorder.check_open()
            self.checked = time.monotonic()
        if self.trial is not None and (pruning := self.job.pruning) is not None:
            value = epoch.metrics[pruning.metric]
            if _should_prune(self.trial, pruning.sign * value, epoch.number) and epoch.number < epoch.total:
                raise Stopped(
                    f"{PRUNED[0]} {epoch.number} of {epoch.total}: {pruning.metric} "
                    f"{value:.5g} is behind the median of the earlier trials at that epoch"
                )


@retry_storage
def _optuna_trial(pruning: Pruning, number: int) -> Trial:
    storage = storage_at(pruning.storage)
    study = optuna.load_study(study_name=pruning.study, storage=storage, pruner=_PRUNER)
    study_id = storage.get_study_id_from_name(pruning.study)
    return Trial(study, storage.get_trial_id_from_study_id_trial_number(study_id, number))


@retry_storage
def _should_prune(trial: Trial, value: float, epoch: int) -> bool:
    trial.report(value, epoch)
    return trial.should_prune()


@lru_cache(maxsize=1)
def _load(reading: RunConfig, shared: str | None) -> PreparedData:
    return PreparedData.load(reading) if shared is None else PreparedData.map(Path(shared))


def _prepared_data(config: RunConfig, digest: str, shared: str | None) -> PreparedData:
    """The study's data, loaded once by each process. Raises ValueError where their digest is not the study's."""
    prepared_data = _load(RunConfig(**{name: getattr(config, name) for name in DATA_FIELDS}), shared)
    if prepared_data.digests["all"] != digest:
        raise ValueError(
            f"{config.dataset} on {socket.gethostname()} has digest {prepared_data.digests['all']}, "
            f"the study's has {digest}"
        )
    return prepared_data


def _check_code(job: Job) -> None:
    """Raise ValueError where this process has another revision of the model's code than the study."""
    code = code_of(job.config.model, imported=True)
    if code != job.code:
        raise ValueError(
            f"the code of {job.config.model} on {socket.gethostname()} is {code or 'revision 1'}, the study began with "
            f"{job.code or 'revision 1'}; start the study again, and a cluster's workers where they have imported it"
        )


def error_of(metrics: Mapping[str, float]) -> float:
    """The error of a cell: on the validation rows, or on the test rows where there are no validation rows."""
    return metrics[Metric.VAL_MSE_FINAL] if Metric.VAL_MSE_FINAL in metrics else metrics[Metric.TEST_MSE]
