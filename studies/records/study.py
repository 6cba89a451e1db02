"""A study in its two stores: Optuna's trials and MLflow's runs.

MLflow decides: a cell is done when the experiment has a FINISHED run of a study with its key. Runs of other studies are
only read. Optuna's trials mirror the study's own runs. Where the two differ, because a process died between two writes,
each start repairs them (`StudyRecords.repair`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, NamedTuple

import mlflow
import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from elbowroom.models import MODELS
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.store.client import every_run
from elbowroom.tracking.store.names import METRICS, Kind, Metric, Tag
from elbowroom.tracking.store.recorder import Place, Recorder, close
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from ..execution.cell import Job, Outcome, Status, error_of, recover_outcome, trial_runs
from ..grid import cell_key, study_settings
from .note import compose, page_of, report_command, write_note
from .trials import absolute, retry_storage


class TakenOver(RuntimeError):
    """Another process coordinates the study now."""


_OTHER = "other"  # a model that is not among the study's; an attribute of the trial has its name
_TASK_LENGTH = 1000  # letters
OPENED_TWICE = "an empty duplicate: MLflow repeated the request for a new run, because the first answer was lost"
MODEL_CHOICES = (*MODELS, _OTHER)
"""The values of a new study's parameter `model`. Optuna refuses a change, so each study remembers its own."""


def _error(metrics: Mapping[str, float]) -> list[float]:
    return [error_of(metrics)]


@dataclass(frozen=True)
class StudySpec:
    """The identity of a study: under one name, all but the task, the label and the codes stay the same."""

    name: str
    what: str
    """The kind of study, as `a scan of dim3`."""
    settings: Mapping[str, Any]
    """The settings of all its runs, as plain data."""
    kind: Kind
    """The kind of its runs."""
    digest: str
    """The digest of its data."""
    task: str = ""
    """The grid, the rules or the knobs of this start, in words."""
    label: str = ""
    """A warning that its results are too cheap to quote."""
    objectives: tuple[str, ...] = ("validation mean squared error",)
    """The names of the objectives of a trial, which is better where they are less."""
    values: Callable[[Mapping[str, float]], list[float]] = _error
    """The objectives of a trial, by the metrics of its run."""
    codes: Mapping[str, str] = field(default_factory=dict)
    """The current revision of each model's code: `tracking.logged_model.code.code_of`."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """More tags of its runs."""

    def __post_init__(self) -> None:
        """Shorten the task: a param and the note take it as it is."""
        object.__setattr__(self, "task", clean(self.task, _TASK_LENGTH))

    def key(self, config: RunConfig) -> str:
        """The key of a cell with the current code."""
        return cell_key(config, self.digest, self.codes.get(config.model, ""))

    def match(self, cells: list[RunConfig], done: Mapping[str, FinishedCell]) -> dict[RunConfig, FinishedCell | None]:
        """Each cell with its finished run among those by key, or None."""
        return {cell: done.get(self.key(cell)) for cell in cells}


class FinishedCell(NamedTuple):
    """A cell that is done."""

    run: Run
    config: RunConfig
    metrics: Mapping[str, float]
    """At the end of the run."""
    is_current: bool = True
    """Whether it was trained with the current code of its model."""


def error_objective(data: PreparedData) -> tuple[str]:
    """The name of the objective of a cell: `error_of`."""
    return (f"{'test' if data.split.x_val is None else 'validation'} mean squared error",)


def trial_attributes(config: RunConfig) -> dict[str, str | int]:
    """The user attributes of every trial: the parameters differ between the kinds of studies."""
    return {"model": config.model, "dim3": config.dim3, "seed": config.seed}


def _kept(metrics: Mapping[str, float]) -> dict[str, float]:
    """The user attribute of a finished trial: the share of the variance that its run keeps."""
    metric = Metric.TEST_EXPLAINED_VARIANCE
    return {METRICS[metric].label: metrics[metric]} if metric in metrics else {}


def children(client: MlflowClient, parent: Run, kind: Kind) -> list[Run]:
    """All children of a study's parent run.

    Parameters
    ----------
    client
        Of the tracking store.
    parent
        The study's parent run.
    kind
        RUN for cells, TRIAL for trials of tuning, INVOCATION for later `mlflow run`s.
    """
    words = f"tags.`{Tag.PARENT}` = '{parent.info.run_id}' AND tags.`{Tag.KIND}` = '{kind}'"
    return every_run(client, parent.info.experiment_id, words)


def cells_of_others(client: MlflowClient, experiment_id: str, parent: Run | None, spec: StudySpec) -> list[Run]:
    """The FINISHED cells of other studies with the settings of this one, and those that confirmed such cells.

    Parameters
    ----------
    client
        Of the tracking store.
    experiment_id
        The experiment.
    parent
        This study's parent run; None where there is none yet.
    spec
        This study's identity.
    """
    parent_id = "" if parent is None else parent.info.run_id
    words = f"tags.`{Tag.PARENT}` != '{parent_id}' AND tags.`{Tag.KIND}` = '{Kind.RUN}'"
    words += f" AND tags.`{Tag.DIGEST}` = '{spec.digest}' AND attributes.status = 'FINISHED'"
    return [r for r in every_run(client, experiment_id, words) if Tag.STUDY in r.data.tags and _has_settings(r, spec)]


def _has_settings(run: Run, spec: StudySpec) -> bool:
    """Whether a cell is of the study's epochs, or confirms at twice those, and has all its other settings."""
    wanted = dict(spec.settings)
    if Tag.CONFIRMS in run.data.tags:  # no part of a curve, also where a study has so many epochs in all its cells
        wanted["epochs"] *= 2
    config = _config_of(run)
    return config is not None and study_settings(config, spec.digest) == wanted


def done_cells(runs: list[Run], codes: Mapping[str, str], study: str = "") -> dict[str, FinishedCell]:
    """The cells that are done, by key; of two FINISHED runs of one cell the study's own counts, else the earlier.

    A measured cell counts also as the cell without measures.

    Parameters
    ----------
    runs
        The runs of a study, and of others with its settings.
    codes
        The current code of the models that this start asks for. That of another model is the code of its last run.
    study
        The name of the study.
    """
    finished = [
        (run, config)
        for run in sorted(runs, key=lambda r: r.info.start_time or 0)
        if run.info.status == "FINISHED" and (config := _config_of(run)) is not None
    ]
    tagged = [(config.model, run.data.tags[Tag.CODE]) for run, config in finished if Tag.CODE in run.data.tags]
    current = dict(tagged) | dict(codes)
    # A run of a user's model that is older than the tag was made with the code of the first run that has the tag.
    untagged = current | dict(reversed(tagged)) | dict.fromkeys(MODELS, "")
    cells: dict[str, FinishedCell] = {}
    for run, config in sorted(finished, key=lambda f: f[0].data.tags.get(Tag.STUDY, study) != study):
        code = run.data.tags.get(Tag.CODE, untagged.get(config.model, ""))
        for served in (config, replace(config, measure="no")):
            key = cell_key(served, run.data.tags[Tag.DIGEST], code)
            is_current = code == current.get(config.model, "")
            cells.setdefault(key, FinishedCell(run, config, run.data.metrics, is_current))
    return cells


def _config_of(run: Run) -> RunConfig | None:
    """The configuration of a cell; None where its run is incomplete, so that the cell is trained again."""
    if Tag.DIGEST not in run.data.tags or not {Metric.TEST_MSE, Metric.VAL_MSE_FINAL} & set(run.data.metrics):
        return None
    try:
        return RunConfig.from_json(run.data.tags[Tag.CONFIG])
    except (KeyError, ValueError, TypeError, RecursionError):
        return None


class StudyRecords:
    """A study that this process holds: asks for trials, records what became of them, and repairs both stores."""

    def __init__(
        self,
        client: MlflowClient,
        storage: optuna.storages.RDBStorage,
        study: optuna.Study,
        parent: Run,
        spec: StudySpec,
        token: str,
        models: list[str],
    ) -> None:
        self.client, self.study, self.parent, self.spec, self.token = client, study, parent, spec, token
        self.parent_id, self.experiment_id = parent.info.run_id, parent.info.experiment_id
        self.others: list[Run] = []  # cells of other studies that count as done here: `cells_of_others`
        self.label = parent.data.tags.get(Tag.LABEL, "")
        self._storage, self._study_id, self._models = storage, storage.get_study_id_from_name(spec.name), models
        self._distributions: dict[str, BaseDistribution] = {
            "model": CategoricalDistribution(models),
            "dim3": IntDistribution(1, 2**31),
            "seed": IntDistribution(0, 2**32),
            "epochs": IntDistribution(1, 2**31),
        }

    def log_params(self) -> None:
        """Log the settings, the objective, and the task of this start.

        A param can't change, so another task is `task 2`.
        """
        there, task = self.client.get_run(self.parent_id).data.params, self.spec.task
        names = ("task" if n == 1 else f"task {n}" for n in count(1))
        free = next(name for name in names if there.get(name, task) == task)
        about = {"objective": self.spec.objectives[0], free: task}
        Recorder(self.client, self.parent_id).params({**self.spec.settings, **about})

    @retry_storage
    def describe(self, answers: str = "") -> None:
        """Write the names of the objectives and the note of the study to Optuna's dashboard.

        answers: in Markdown; empty while the study runs.
        """
        spec, uri = self.spec, self.client.tracking_uri
        experiment = str(self.client.get_experiment(self.experiment_id).name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.set_metric_names(list(spec.objectives))
        facts = {"study": spec.what, "task": spec.task, "dataset (digest)": spec.settings.get("dataset", "")}
        facts["MLflow experiment"] = clean(experiment, LABEL_LENGTH)
        page = page_of(uri, self.experiment_id, self.parent_id)
        report = report_command(uri, experiment) if spec.kind is Kind.RUN else ""
        write_note(self._storage, self._study_id, compose(facts, spec.objectives, page, answers, report))

    def children(self) -> list[Run]:
        """All runs of the study's cells or trials."""
        return children(self.client, self.parent, self.spec.kind)

    def done(self) -> dict[str, FinishedCell]:
        """The cells that were trained with the current code, by key: only these are part of a curve."""
        cells = done_cells([*self.children(), *self.others], self.spec.codes, self.spec.name)
        return {key: cell for key, cell in cells.items() if cell.is_current}

    @retry_storage
    def ask(self, config: RunConfig) -> Job:
        """Make a RUNNING trial for a cell, and the job that trains it."""
        return self.job(config, self._add_trial(config))

    def _add_trial(self, config: RunConfig, finished: FinishedCell | None = None) -> int:
        """Add the trial of a cell, without Optuna's queue of waiting trials; its number."""
        known = {} if finished is None else {"run_id": finished.run.info.run_id, **_kept(finished.metrics)}
        model = config.model if config.model in self._models else _OTHER
        trial = create_trial(
            state=TrialState.RUNNING if finished is None else TrialState.COMPLETE,
            value=None if finished is None else error_of(finished.metrics),
            params={"model": model, "dim3": config.dim3, "seed": config.seed, "epochs": config.epochs},
            distributions=self._distributions,
            user_attrs=trial_attributes(config) | known,
        )
        return self._storage.get_trial(self._storage.create_new_trial(self._study_id, trial)).number

    def job(self, config: RunConfig, trial: int) -> Job:
        """Make the job of the trial with that number."""
        tags = {Tag.STUDY.value: self.study.study_name, Tag.TRIAL.value: str(trial), **self.spec.tags}
        if self.label:
            tags[Tag.LABEL] = self.label
        if self.spec.kind is Kind.RUN and config.epochs != self.spec.settings["epochs"]:
            tags[Tag.CONFIRMS] = "true"
        name = f"trial-{trial}" if self.spec.kind is Kind.TRIAL else ""
        place = Place(self.experiment_id, self.parent_id, self.spec.kind, tags, name)
        uri, code = absolute(mlflow.get_tracking_uri()), self.spec.codes.get(config.model, "")
        return Job(config, trial, place, uri, self.spec.digest, code=code)

    @retry_storage
    def tell(self, job: Job, outcome: Outcome) -> Outcome:
        """Record the outcome of a job on its trial, and on the run of a worker that died.

        Returns the outcome; it becomes FINISHED where the worker died after its run had finished.
        """
        if outcome.status is Status.LOST:
            runs = trial_runs(self.client, job)
            outcome = recover_outcome(runs, outcome)
            self._close_dead(runs, "FAILED", outcome.reason)
        self._tell_trial(job.trial, outcome)
        return outcome

    def _tell_trial(self, number: int, outcome: Outcome) -> None:
        """Record an outcome on a trial, unless it has ended."""
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        if self._storage.get_trial(trial_id).state.is_finished():
            return
        if outcome.run_id is not None:
            self._storage.set_trial_user_attr(trial_id, "run_id", outcome.run_id)
        if outcome.status is Status.FINISHED and outcome.metrics is not None:
            for name, value in _kept(outcome.metrics).items():
                self._storage.set_trial_user_attr(trial_id, name, value)
            self.study.tell(number, self.spec.values(outcome.metrics), skip_if_finished=True)
        else:
            self._storage.set_trial_user_attr(trial_id, "reason", outcome.reason)
            state = TrialState.PRUNED if outcome.status is Status.PRUNED else TrialState.FAIL
            self.study.tell(number, state=state, skip_if_finished=True)

    @retry_storage
    def repair(self, status: str, reason: str) -> None:
        """Make both stores agree; to be called while no worker of this study should be alive.

        RUNNING runs end with `status` and `reason`; a cluster's worker stops when it sees that its run was closed. Of
        two FINISHED runs of one cell the later becomes FAILED. A FINISHED run without a trial gets one, and each open
        trial is told what its run says.
        """
        self._close_dead(self.children(), status, reason)
        runs = self.children()  # again, because a run may have finished meanwhile
        finished = {r.data.tags.get(Tag.TRIAL): r for r in runs if r.info.status == "FINISHED"}
        if self.spec.kind is Kind.RUN:
            done = done_cells(runs, self.spec.codes)
            kept = {cell.run.info.run_id for cell in done.values()}
            for number, run in list(finished.items()):
                if run.info.run_id not in kept:
                    close(self.client, run.info.run_id, "FAILED", "another run of this cell had finished before")
                    del finished[number]
            self._mirror(done)
        lost = Outcome(Status.LOST, reason=reason)
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            its_run = finished.get(str(trial.number))
            self._tell_trial(trial.number, recover_outcome([] if its_run is None else [its_run], lost))

    def check_claim(self) -> None:
        """Raise TakenOver where another process has taken the study."""
        now = self.client.get_run(self.parent_id).data.tags.get(Tag.COORDINATOR, "")
        if now != self.token:
            raise TakenOver(f"study {self.study.study_name!r} is run by another process now: {now or 'none'}")

    def _mirror(self, done: Mapping[str, FinishedCell]) -> None:
        """Add a COMPLETE trial, with the id of the run, for each finished cell that has none."""
        trials = self.study.get_trials(deepcopy=False)
        running = {str(t.number) for t in trials if t.state is TrialState.RUNNING}  # `repair` tells these
        known = {t.user_attrs.get("run_id") for t in trials if t.state is TrialState.COMPLETE}
        for run_id, cell in {c.run.info.run_id: c for c in done.values()}.items():
            if run_id not in known and cell.run.data.tags.get(Tag.TRIAL) not in running:
                number = self._add_trial(cell.config, cell)
                self.client.set_tag(run_id, Tag.TRIAL, str(number))

    def _close_dead(self, runs: list[Run], status: str, reason: str) -> None:
        """End the RUNNING runs of dead workers; one that a repeated request opened twice, and no worker has, FAILED."""
        written = {run.data.tags.get(Tag.OPENING) for run in runs if Tag.WORKER in run.data.tags} - {None}
        for run in runs:
            twice = Tag.WORKER not in run.data.tags and run.data.tags.get(Tag.OPENING) in written
            if run.info.status == "RUNNING":
                close(self.client, run.info.run_id, *(("FAILED", OPENED_TWICE) if twice else (status, reason)))
