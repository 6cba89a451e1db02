"""A study in its two stores: Optuna's trials and MLflow's runs, and who may write to it.

MLflow is the truth: a cell is done when a FINISHED run with its key stands under the study's parent run.
Optuna's trials mirror that; where the two differ, because a process died between two writes, every start
puts them right (`Ledger.repair`). One process at a time coordinates a study: a lock file keeps out others
of this machine, the parent's tag those of other machines.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import mlflow
import optuna
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential

from models import MODELS
from tracking.config import BadInput, RunConfig
from tracking.recorder import (
    ANSWER_SECONDS,
    Place,
    Recorder,
    RunFailed,
    close,
    code_tags,
    experiment,
    hidden,
    one_line,
    within,
)
from tracking.schema import VERSION, Kind, Tag

from .objective import ON_A_CLUSTER, Ended, Job, Outcome, be_patient, error_of, me, process_here, trial_runs
from .spaces import cell_key

OUTAGE_SECONDS = 600.0  # that a store may be away during a study
LEAVING_SECONDS = 2.5  # in which the parent run must take its end: a Ctrl-C waits for it
ATTRIBUTE = "elbowroom"  # before the user attributes of studies and trials

lasting = retry(
    retry=retry_if_exception_type((optuna.exceptions.StorageInternalError, sqlalchemy.exc.OperationalError)),
    wait=wait_exponential(max=10),
    stop=stop_after_delay(OUTAGE_SECONDS),
    reraise=True,
)


class TakenOver(RuntimeError):
    """Another process coordinates the study now."""


class Fixed(optuna.samplers.BaseSampler):
    """Gives the one cell that is asked for: a grid is known beforehand, and nothing else may be tried."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is sampled together."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing is sampled together."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value that was asked for."""
        return self.values[param_name]


OTHER = "other"  # a model that is not in the registry; the trial's attribute and its run have its name
GRID: dict[str, BaseDistribution] = {
    "model": CategoricalDistribution((*MODELS, OTHER)),
    "dim3": IntDistribution(1, 2**31),
    "seed": IntDistribution(0, 2**32),
    "epochs": IntDistribution(1, 2**31),
}


def grid_point(config: RunConfig) -> dict[str, Any]:
    """A cell as the parameters of its trial."""
    model = config.model if config.model in MODELS else OTHER
    return {"model": model, "dim3": config.dim3, "seed": config.seed, "epochs": config.epochs}


@dataclass(frozen=True)
class Charter:
    """What a study is: under one name it stays the same."""

    name: str
    what: str
    """For people: `a scan of dim3`."""
    settings: Mapping[str, object]
    """What its runs share, as plain data."""
    kind: Kind
    """Of the runs below its parent."""
    digest: str
    """Of its data."""
    label: str = ""
    objectives: int = 1


class Finished(NamedTuple):
    """A cell that is done: its run and its final metrics."""

    run: Run
    config: RunConfig
    metrics: Mapping[str, float]


def connect(url: str) -> optuna.storages.RDBStorage:
    """Optuna's storage at that URL. Raises BadInput where it can't be used, within seconds."""
    sqlite = _database(url).drivername.startswith("sqlite")
    options: dict[str, Any] = {"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True}

    def open_it() -> optuna.storages.RDBStorage:
        _refuse_tracking_store(url)
        return optuna.storages.RDBStorage(url, engine_kwargs=options)

    try:
        return open_it() if sqlite else within(ANSWER_SECONDS, open_it)
    except BadInput:
        raise
    except TimeoutError as error:
        raise BadInput(f"storage {hidden(url)} did not answer within {ANSWER_SECONDS:.0f} s") from error
    except ImportError as error:
        raise BadInput(
            f"storage {hidden(url)} needs the extra `cluster`: pip install -r requirements-cluster.txt"
        ) from error
    except Exception as error:  # every database fails in its own way
        raise BadInput(f"storage {hidden(url)} can't be used: {one_line(error)}") from error


def find_study(storage: optuna.storages.RDBStorage, charter: Charter) -> optuna.Study | None:
    """The study of that name, or None. Raises BadInput where the name holds another one."""
    try:
        study = optuna.load_study(study_name=charter.name, storage=storage, sampler=Fixed())
    except KeyError:
        return None
    _check_same(study, charter)
    return study


class Ledger:
    """One study, held by this process: asks for trials, tells what became of them, repairs both stores."""

    def __init__(self, client: MlflowClient, study: optuna.Study, parent: Run, charter: Charter) -> None:
        self.client, self.study, self.parent_id, self.charter = client, study, parent.info.run_id, charter
        self.kind, self.digest = charter.kind, charter.digest
        self.experiment_id = parent.info.experiment_id
        self.label = parent.data.tags.get(Tag.LABEL, "")
        self.token = parent.data.tags.get(Tag.COORDINATOR, "")
        self.values_of: Callable[[Mapping[str, float]], list[float]] = lambda metrics: [error_of(dict(metrics))]
        """What a trial is told, from the metrics of its run."""

    def children(self) -> list[Run]:
        """All runs of the study's cells or trials."""
        found: list[Run] = []
        token = None
        words = f"tags.`{Tag.PARENT}` = '{self.parent_id}' AND tags.`{Tag.KIND}` = '{self.kind}'"
        while True:
            page = self.client.search_runs([self.experiment_id], words, max_results=1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def done(self) -> dict[str, Finished]:
        """The cells that are done, by key; of two FINISHED runs of one cell the earlier counts."""
        cells: dict[str, Finished] = {}
        for run in sorted(self.children(), key=lambda r: r.info.start_time):
            if run.info.status == "FINISHED" and Tag.CONFIG in run.data.tags:
                config = RunConfig.from_json(run.data.tags[Tag.CONFIG])
                key = cell_key(config, run.data.tags[Tag.DIGEST])
                cells.setdefault(key, Finished(run, config, run.data.metrics))
        return cells

    @lasting
    def ask(self, config: RunConfig, shared: str | None, once: bool) -> Job:
        """A new trial for this cell, and the job that trains it."""
        sampler = self.study.sampler
        assert isinstance(sampler, Fixed)
        sampler.values = grid_point(config)
        trial = self.study.ask(GRID)
        trial.set_user_attr("model", config.model)
        return self.job(config, trial.number, shared, once)

    def job(self, config: RunConfig, trial: int, shared: str | None, once: bool) -> Job:
        """A job of this study."""
        tags = {Tag.STUDY.value: self.study.study_name, Tag.TRIAL.value: str(trial)}
        if self.label:
            tags[Tag.LABEL] = self.label
        if self.kind is Kind.RUN and config.epochs != self.charter.settings["epochs"]:
            tags[Tag.CONFIRMS] = "true"
        name = f"trial-{trial}" if self.kind is Kind.TRIAL else ""
        place = Place(self.experiment_id, self.parent_id, self.kind, tags, name)
        return Job(config, trial, place, mlflow.get_tracking_uri(), self.digest, shared, once)

    @lasting
    def tell(self, job: Job, outcome: Outcome) -> None:
        """Write down what became of a job: on its trial, and on the run of a worker that died."""
        trial = self._trial(job.trial)
        if outcome.run_id is not None:
            self._attribute(trial, "run_id", outcome.run_id)
        if outcome.ended is Ended.LOST:
            self._close_dead(trial_runs(self.client, self.parent_id, job.trial), "FAILED", outcome.reason)
        if outcome.ended is Ended.FINISHED and outcome.metrics is not None:
            self.study.tell(job.trial, self.values_of(outcome.metrics), skip_if_finished=True)
        else:
            self._attribute(trial, "reason", outcome.reason)
            state = TrialState.PRUNED if outcome.ended is Ended.PRUNED else TrialState.FAIL
            self.study.tell(job.trial, state=state, skip_if_finished=True)

    @lasting
    def repair(self, status: str, reason: str) -> None:
        """Put both stores right when no worker of this study is meant to be alive.

        RUNNING runs end with `status` and `reason`, after their worker, should it still live on this
        machine, has been killed; a cluster's worker is not the study's to kill, and ends such a run when it
        sees that it was closed. Of two FINISHED runs of one cell the later becomes FAILED. Open trials
        are told what their runs say, and a FINISHED run that Optuna does not know of becomes a trial.
        """
        runs = self.children()
        self._close_dead(runs, status, reason)
        done = self.done()
        kept = {cell.run.info.run_id for cell in done.values()}
        for run in runs:
            if run.info.status == "FINISHED" and run.info.run_id not in kept and self.kind is Kind.RUN:
                close(self.client, run.info.run_id, "FAILED", "another run of this cell had finished before")
        if self.kind is Kind.RUN:
            self._mirror(done)
        by_trial = {r.data.tags.get(Tag.TRIAL): r for r in runs if r.info.status == "FINISHED"}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            finished = by_trial.get(str(trial.number)) if self.kind is Kind.TRIAL else None
            if finished is not None:
                self._attribute(trial, "run_id", finished.info.run_id)
                self.study.tell(trial.number, self.values_of(finished.data.metrics), skip_if_finished=True)
                continue
            self._attribute(trial, "reason", reason)
            self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def check_mine(self) -> None:
        """Raise TakenOver where another process has taken the study."""
        now = self.client.get_run(self.parent_id).data.tags.get(Tag.COORDINATOR, "")
        if now != self.token:
            raise TakenOver(f"study {self.study.study_name!r} is run by another process now: {now or 'none'}")

    def _mirror(self, done: Mapping[str, Finished]) -> None:
        """Every finished cell as a COMPLETE trial with the id of its run."""
        trials = {t.number: t for t in self.study.get_trials(deepcopy=False)}
        for cell in done.values():
            run_id = cell.run.info.run_id
            number = int(cell.run.data.tags.get(Tag.TRIAL, -1))
            trial = trials.get(number)
            same = trial is not None and trial.params == grid_point(cell.config)
            if trial is not None and same and trial.state is TrialState.RUNNING:
                self._attribute(trial, "run_id", run_id)
                self.study.tell(number, error_of(dict(cell.metrics)), skip_if_finished=True)
            elif trial is None or not same or trial.state is not TrialState.COMPLETE:
                self._add(cell)

    def _add(self, cell: Finished) -> None:
        self.study.add_trial(
            create_trial(
                params=grid_point(cell.config),
                distributions=GRID,
                value=error_of(dict(cell.metrics)),
                user_attrs={"model": cell.config.model, "run_id": cell.run.info.run_id},
            )
        )
        number = self.study.get_trials(deepcopy=False)[-1].number
        self.client.set_tag(cell.run.info.run_id, Tag.TRIAL, str(number))

    def _close_dead(self, runs: list[Run], status: str, reason: str) -> None:
        for run in runs:
            if run.info.status != "RUNNING":
                continue
            tag = run.data.tags.get(Tag.WORKER, "")
            worker = process_here(tag)
            if worker is not None and worker.pid != os.getpid() and not tag.endswith(ON_A_CLUSTER):
                with suppress(Exception):
                    worker.kill()
                    worker.wait(10)
            close(self.client, run.info.run_id, status, reason)

    def _trial(self, number: int) -> FrozenTrial:
        storage = self.study._storage
        return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number))

    def _attribute(self, trial: FrozenTrial, name: str, value: str) -> None:
        if not trial.state.is_finished():
            self.study._storage.set_trial_user_attr(trial._trial_id, name, value)


@contextmanager
def locked(storage_url: str, name: str) -> Iterator[None]:
    """Keep other processes of this machine from the study of that name. Raises BadInput where one has it."""
    lock = filelock.FileLock(lock_path(storage_url, name))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise BadInput(
            f"study {name!r} is running on this machine already; wait for it, or use another --study"
        ) from None
    with lock:
        yield


@contextmanager
def claim(
    client: MlflowClient,
    storage: optuna.storages.RDBStorage,
    charter: Charter,
    *,
    take_over: bool = False,
    invocation: str | None = None,
) -> Iterator[Ledger]:
    """Hold a study, made where it is not, for as long as the block runs; within `locked`.

    `invocation` is the run that `mlflow run` opened, if it did: the first becomes the study's parent, a
    later one is linked to it. The block ends the parent run; where it raises, the parent ends KILLED or
    FAILED with the reason. Raises BadInput for a name that holds another study or one that another machine
    runs, RunFailed for whatever goes wrong in the block.
    """
    be_patient()
    study = find_study(storage, charter)
    parent = None if study is None else find_parent(client, study)
    if parent is not None:
        _refuse_running(parent, charter.name, take_over)
    if study is None:
        study = optuna.create_study(
            storage=storage,
            study_name=charter.name,
            directions=["minimize"] * charter.objectives,
            sampler=Fixed(),
            load_if_exists=True,
        )
    study.set_user_attr(f"{ATTRIBUTE}.settings", dict(charter.settings))
    study.set_user_attr(f"{ATTRIBUTE}.study", charter.what)
    parent_id = _parent(client, study, parent, charter, invocation)
    token = f"{me()} {uuid.uuid4().hex[:8]}"
    client.set_tag(parent_id, Tag.COORDINATOR, token)
    client.update_run(parent_id, status="RUNNING")
    ledger = Ledger(client, study, client.get_run(parent_id), charter)
    try:
        yield ledger
    except TakenOver as error:
        raise RunFailed(str(error), parent_id) from error
    except KeyboardInterrupt as interrupt:
        _leave(ledger, "KILLED", str(interrupt))
        raise
    except Exception as error:
        _leave(ledger, "FAILED", one_line(error))
        raise RunFailed(one_line(error), parent_id) from error
    _leave(ledger)


def _leave(ledger: Ledger, status: str | None = None, reason: str = "") -> None:
    """Let go of the study, unless another process has it; its parent run ends so, if it has not ended."""

    def end() -> None:
        ledger.check_mine()
        if status is not None:
            close(ledger.client, ledger.parent_id, status, reason)
        ledger.client.set_tag(ledger.parent_id, Tag.COORDINATOR, "")

    with suppress(Exception):  # what the store does not take, the next start puts right
        within(LEAVING_SECONDS, end)


def _check_same(study: optuna.Study, charter: Charter) -> None:
    """Raise BadInput where the study is of another kind, or has other settings."""
    held = study.user_attrs.get(f"{ATTRIBUTE}.study")
    if held is None and not study.get_trials(deepcopy=False) and len(study.directions) == charter.objectives:
        return  # made by a process that died before it could say what for
    if held != charter.what:
        raise BadInput(
            f"study {charter.name!r} holds {held or 'a study of another program'}, not {charter.what}; "
            "use another --study"
        )
    before = study.user_attrs[f"{ATTRIBUTE}.settings"]
    now = json.loads(json.dumps(dict(charter.settings)))
    changed = [f"{k} {before.get(k)} -> {now.get(k)}" for k in {**before, **now} if before.get(k) != now.get(k)]
    if changed:
        raise BadInput(
            f"study {charter.name!r} was begun with other settings: {', '.join(changed)}; "
            "its cells could not be compared: repeat them as they were, or use another --study"
        )


def find_parent(client: MlflowClient, study: optuna.Study) -> Run | None:
    """The study's parent run, where this tracking store has it."""
    run_id = study.user_attrs.get(f"{ATTRIBUTE}.parent_run_id")
    if run_id is None:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException:
        return None
    return run if run.info.lifecycle_stage == "active" else None


def lock_path(storage_url: str, name: str) -> Path:
    """Where this machine's lock of a study is."""
    url = sqlalchemy.make_url(storage_url)
    database = (
        str(Path(url.database).resolve()) if url.drivername.startswith("sqlite") and url.database else url.database
    )
    words = f"{url.drivername} {url.host} {url.port} {database} {name}"
    return Path(tempfile.gettempdir()) / f"elbowroom-{hashlib.sha256(words.encode()).hexdigest()[:16]}.lock"


def _refuse_running(parent: Run, name: str, take_over: bool) -> None:
    holder = parent.data.tags.get(Tag.COORDINATOR, "")
    if not holder or take_over or parent.info.status != "RUNNING":
        return
    host, here = holder.split()[0], me().split()[0]
    if host != here:
        raise BadInput(
            f"study {name!r} is run by process {holder.split()[1]} on {host}; "
            "if that machine is dead, add --take-over, else wait for it"
        )
    if process_here(" ".join(holder.split()[:3])) is not None:
        raise BadInput(f"study {name!r} is run by process {holder.split()[1]} of this machine; wait for it")


def _parent(
    client: MlflowClient, study: optuna.Study, parent: Run | None, charter: Charter, invocation: str | None
) -> str:
    """The id of the parent run: the one the study has, else the invocation's, else a new one."""
    tags: dict[str, str] = {Tag.STUDY: charter.name, Tag.SCHEMA: VERSION}
    if parent is not None:
        if invocation is not None and invocation != parent.info.run_id:
            client.update_run(invocation, name=f"{charter.name} (continued)")
            linked: dict[str, str] = {Tag.KIND: Kind.INVOCATION, Tag.PARENT: parent.info.run_id}
            Recorder(client, invocation).tags(tags | linked)
        return str(parent.info.run_id)
    tags |= {Tag.KIND: Kind.STUDY, Tag.STUDY_SETTINGS: json.dumps(dict(charter.settings))} | code_tags()
    if charter.label:
        tags[Tag.LABEL] = charter.label
    run_id = invocation or client.create_run(experiment(client), run_name=charter.name, tags=tags).info.run_id
    if invocation is not None:
        client.update_run(run_id, name=charter.name)
        Recorder(client, run_id).tags(tags)
    study.set_user_attr(f"{ATTRIBUTE}.parent_run_id", run_id)
    return str(run_id)


def _database(url: str) -> sqlalchemy.URL:
    """The URL of a database, in its parts. Raises BadInput for one that is none."""
    try:
        return sqlalchemy.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        raise BadInput(
            f"storage {hidden(url)!r} is no database URL; allowed: sqlite:///FILE, postgresql+psycopg://USER@HOST/NAME"
        ) from None


def _refuse_tracking_store(url: str) -> None:
    """Raise BadInput for a database that holds MLflow's tables."""
    parsed = _database(url)
    if parsed.drivername.startswith("sqlite") and not (parsed.database and Path(parsed.database).exists()):
        return
    tables: set[str] = set()
    with suppress(Exception):  # what else is wrong with it, opening it will say
        engine = sqlalchemy.create_engine(url)
        tables = set(sqlalchemy.inspect(engine).get_table_names())
        engine.dispose()
    if {"experiments", "runs"} <= tables:
        raise BadInput(
            f"storage {hidden(url)} is an MLflow tracking store, and Optuna's tables would get mixed up with its own "
            "(both keep an alembic_version); use another database, like sqlite:///optuna.db"
        )
