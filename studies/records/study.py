"""A study in its two stores: Optuna's trials and MLflow's runs.

MLflow is the truth: a cell is done when a FINISHED run with its key stands under the study's parent run.
Optuna's trials mirror that; where the two differ, because a process died between two writes, every start
puts them right (`Ledger.repair`). Who may write here, `studies.records.ownership` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import mlflow
import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from elbowroom.models import MODELS
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import Kind, Metric, Tag
from elbowroom.tracking.store.recorder import Place, close

from ..execution.cell import Ended, Job, Outcome, as_it_was, error_of, trial_runs
from ..grid import cell_key
from .trials import absolute, lasting


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


OTHER = "other"  # a model that is not among a study's; the trial's attribute and its run have its name
OPENED_TWICE = "an empty duplicate: MLflow repeated the request for a new run, because the first answer was lost"
MODELS_KNOWN = (*MODELS, OTHER)
"""The choices of a new study. Optuna never lets them change, so each study remembers its own."""


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
    codes: Mapping[str, str] = field(default_factory=dict)
    """Of its models, the present code: `tracking.logged_model.code.code_of`."""

    def key(self, config: RunConfig) -> str:
        """Of a cell that this start asks for."""
        return cell_key(config, self.digest, self.codes.get(config.model, ""))


class Finished(NamedTuple):
    """A cell that is done: its run, its final metrics, and whether the present code of its model made it."""

    run: Run
    config: RunConfig
    metrics: Mapping[str, float]
    present: bool = True


def children(client: MlflowClient, parent: Run, kind: Kind) -> list[Run]:
    """All runs of that kind below a study's parent."""
    found: list[Run] = []
    token = None
    words = f"tags.`{Tag.PARENT}` = '{parent.info.run_id}' AND tags.`{Tag.KIND}` = '{kind}'"
    while True:
        page = client.search_runs([parent.info.experiment_id], words, max_results=100, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def done_cells(runs: list[Run], codes: Mapping[str, str]) -> dict[str, Finished]:
    """The cells that are done, by key; of two FINISHED runs of one cell the earlier counts.

    A measured one stands for the cell that needs no measures, too. `codes` is the present code of the models that this
    start asks for; that of any other is the one of its last run.
    """
    finished = [
        (run, config)
        for run in sorted(runs, key=lambda r: r.info.start_time or 0)
        if run.info.status == "FINISHED" and (config := _config_of(run)) is not None
    ]
    tagged = [(config.model, run.data.tags[Tag.CODE]) for run, config in finished if Tag.CODE in run.data.tags]
    present = dict(tagged) | dict(codes)
    # A run of a user's model that is older than the tag was made with the first code that a later one tells of.
    untagged = present | dict(reversed(tagged)) | dict.fromkeys(MODELS, "")
    cells: dict[str, Finished] = {}
    for run, config in finished:
        code = run.data.tags.get(Tag.CODE, untagged.get(config.model, ""))
        for served in (config, replace(config, measure="no")):
            key = cell_key(served, run.data.tags[Tag.DIGEST], code)
            is_present = code == present.get(config.model, "")
            cells.setdefault(key, Finished(run, config, run.data.metrics, is_present))
    return cells


def _config_of(run: Run) -> RunConfig | None:
    """What a cell was trained with; None where its run lacks what a cell has, so that it is trained again."""
    if Tag.DIGEST not in run.data.tags or not {Metric.TEST_MSE, Metric.VAL_MSE_FINAL} & set(run.data.metrics):
        return None
    try:
        return RunConfig.from_json(run.data.tags[Tag.CONFIG])
    except (KeyError, ValueError, TypeError, RecursionError):
        return None


def _trial_number(run: Run) -> int:
    """Of the Optuna trial that a run says it is; -1 where it says none."""
    text = run.data.tags.get(Tag.TRIAL, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1


class Ledger:
    """One study, held by this process: asks for trials, tells what became of them, repairs both stores."""

    def __init__(
        self, client: MlflowClient, study: optuna.Study, parent: Run, charter: Charter, token: str, models: list[str]
    ) -> None:
        self.client, self.study, self.parent, self.charter, self.token = client, study, parent, charter, token
        self.parent_id, self.experiment_id = parent.info.run_id, parent.info.experiment_id
        self.kind, self.digest = charter.kind, charter.digest
        self.label = parent.data.tags.get(Tag.LABEL, "")
        self.models = models
        self.grid: dict[str, BaseDistribution] = {
            "model": CategoricalDistribution(models),
            "dim3": IntDistribution(1, 2**31),
            "seed": IntDistribution(0, 2**32),
            "epochs": IntDistribution(1, 2**31),
        }
        self.values_of: Callable[[Mapping[str, float]], list[float]] = lambda metrics: [error_of(dict(metrics))]
        """What a trial is told, from the metrics of its run."""

    def children(self) -> list[Run]:
        """All runs of the study's cells or trials."""
        return children(self.client, self.parent, self.kind)

    def done(self) -> dict[str, Finished]:
        """The cells that the present code has done, by key: no other is part of a curve."""
        return {key: cell for key, cell in done_cells(self.children(), self.charter.codes).items() if cell.present}

    def point(self, config: RunConfig) -> dict[str, Any]:
        """A cell as the parameters of its trial."""
        model = config.model if config.model in self.models else OTHER
        return {"model": model, "dim3": config.dim3, "seed": config.seed, "epochs": config.epochs}

    @lasting
    def ask(self, config: RunConfig, shared: str | None, once: bool) -> Job:
        """A new trial for this cell, and the job that trains it."""
        sampler = self.study.sampler
        assert isinstance(sampler, Fixed)
        sampler.values = self.point(config)
        trial = self.study.ask(self.grid)
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
        uri = absolute(mlflow.get_tracking_uri())
        return Job(config, trial, place, uri, self.digest, shared, once, code=self.charter.codes.get(config.model, ""))

    @lasting
    def tell(self, job: Job, outcome: Outcome) -> Outcome:
        """Write down what became of a job: on its trial, and on the run of a worker that died.

        Returns the outcome, which is another where the worker died only after its run had finished.
        """
        trial = self._trial(job.trial)
        if outcome.ended is Ended.LOST:
            runs = trial_runs(self.client, job)
            outcome = as_it_was(runs, outcome)
            self._close_dead(runs, "FAILED", outcome.reason)
        if outcome.run_id is not None:
            self._attribute(trial, "run_id", outcome.run_id)
        if outcome.ended is Ended.FINISHED and outcome.metrics is not None:
            self.study.tell(job.trial, self.values_of(outcome.metrics), skip_if_finished=True)
        else:
            self._attribute(trial, "reason", outcome.reason)
            state = TrialState.PRUNED if outcome.ended is Ended.PRUNED else TrialState.FAIL
            self.study.tell(job.trial, state=state, skip_if_finished=True)
        return outcome

    @lasting
    def repair(self, status: str, reason: str) -> None:
        """Put both stores right when no worker of this study is meant to be alive.

        RUNNING runs end with `status` and `reason`; a cluster's worker ends such a run when it sees that it
        was closed. Of two FINISHED runs of one cell the later becomes FAILED. Open trials are told what
        their runs say, and a FINISHED run that Optuna does not know of becomes a trial.
        """
        runs = self.children()
        self._close_dead(runs, status, reason)
        runs = self.children()  # one may have finished after all
        finished = {_trial_number(r): r for r in runs if r.info.status == "FINISHED"}
        if self.kind is Kind.RUN:
            done = done_cells(runs, self.charter.codes)
            kept = {cell.run.info.run_id for cell in done.values()}
            for number, run in list(finished.items()):
                if run.info.run_id not in kept:
                    close(self.client, run.info.run_id, "FAILED", "another run of this cell had finished before")
                    del finished[number]
            self._mirror(done)
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number in finished:
                self._attribute(trial, "run_id", finished[trial.number].info.run_id)
                values = self.values_of(finished[trial.number].data.metrics)
                self.study.tell(trial.number, values, skip_if_finished=True)
            else:
                self._attribute(trial, "reason", reason)
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def check_mine(self) -> None:
        """Raise TakenOver where another process has taken the study."""
        now = self.client.get_run(self.parent_id).data.tags.get(Tag.COORDINATOR, "")
        if now != self.token:
            raise TakenOver(f"study {self.study.study_name!r} is run by another process now: {now or 'none'}")

    def _mirror(self, done: Mapping[str, Finished]) -> None:
        """A COMPLETE trial, with the id of the run, for every finished cell that no trial stands for."""
        trials = self.study.get_trials(deepcopy=False)
        running = {t.number for t in trials if t.state is TrialState.RUNNING}  # those the caller tells
        known = {t.user_attrs.get("run_id") for t in trials if t.state is TrialState.COMPLETE}
        for run_id, cell in {c.run.info.run_id: c for c in done.values()}.items():
            if run_id in known or _trial_number(cell.run) in running:
                continue
            self.study.add_trial(
                create_trial(
                    params=self.point(cell.config),
                    distributions=self.grid,
                    value=error_of(dict(cell.metrics)),
                    user_attrs={"model": cell.config.model, "run_id": run_id},
                )
            )
            number = self.study.get_trials(deepcopy=False)[-1].number
            self.client.set_tag(run_id, Tag.TRIAL, str(number))

    def _close_dead(self, runs: list[Run], status: str, reason: str) -> None:
        written = {run.data.tags.get(Tag.OPENING) for run in runs if Tag.WORKER in run.data.tags} - {None}
        for run in runs:
            if run.info.status != "RUNNING":
                continue
            if Tag.WORKER not in run.data.tags and run.data.tags.get(Tag.OPENING) in written:
                close(self.client, run.info.run_id, "FAILED", OPENED_TWICE)
                continue
            close(self.client, run.info.run_id, status, reason)

    def _trial(self, number: int) -> FrozenTrial:
        storage = self.study._storage
        return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number))

    def _attribute(self, trial: FrozenTrial, name: str, value: str) -> None:
        if not trial.state.is_finished():
            self.study._storage.set_trial_user_attr(trial._trial_id, name, value)
