"""The coordinator of a study: opens it, hands jobs to workers, records outcomes, retries the cells of dead workers."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import RDBStorage

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.store.client import find_experiment, named_experiment, reach_store, within
from elbowroom.tracking.store.errors import one_line
from elbowroom.tracking.store.names import EXPERIMENT, Kind, Metric, Tag
from elbowroom.tracking.store.recorder import close
from elbowroom.tracking.store.session import borrowed, see_it
from elbowroom.tracking.store.terminal import through_stderr
from elbowroom.tracking.store.text import LABEL_LENGTH, clean, dominance

from ..options import Options
from ..records.ownership import begun_settings, claim, find_parent, find_study
from ..records.stored_state import StoredStudy, states
from ..records.study import FinishedCell, StudyRecords, StudySpec, TakenOver, cells_of_others, children, done_cells
from ..records.trials import connect, lock_study
from .board import Display, on_terminal
from .cell import Job, Status
from .pools import Pool, open_pool
from .progress import Progress
from .state import duration

_MAX_TRIES = 3  # of a job whose worker dies, in one start of the study
_POLL_SECONDS = 1.0  # longest wait for an outcome, between checks for signals
_CLAIM_SECONDS = 15.0  # between checks that no other process has taken the study
_STOP_SECONDS = 4.0  # for both stores to record an interrupted study
_Item = TypeVar("_Item", bound=Hashable)


@dataclass(frozen=True)
class Failure:
    """A job that failed, by the name of its run, the reason, and its model."""

    name: str
    reason: str
    model: str = ""


@dataclass
class Summary:
    """The work of one start of a study."""

    fit_seconds: list[float] = field(default_factory=list)
    """The training time of each finished cell."""
    failures: list[Failure] = field(default_factory=list)
    lost: int = 0
    """The number of times that a worker died with a cell."""
    seconds: float = 0.0

    def spent(self, workers: int) -> str:
        """The cells and their time, in one line."""
        if not self.fit_seconds:
            return "no cell finished" if self.failures else "nothing was left to run"
        share = sum(self.fit_seconds) / (workers * self.seconds)
        return (
            f"{len(self.fit_seconds)} cells in {duration(self.seconds)} on {workers} workers; "
            f"training took {100 * share:.0f} % of the workers' time"
            + (f"; {self.lost} times a worker was lost" if self.lost else "")
        )


class JobQueue(Generic[_Item]):
    """Makes the missing jobs of a study, one for each item, when a worker is free for it.

    `rounds` gives more items each time that all have ended, as often as there are some. No job begins once `stopped`
    returns true.
    """

    def __init__(
        self,
        make: Callable[[_Item], Job],
        items: Iterable[_Item],
        rounds: Iterable[Iterable[_Item]] = (),
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.make, self.waiting, self.rounds, self.stopped = make, deque(items), iter(rounds), stopped
        self.items: dict[int, _Item] = {}  # by the trial of their last job
        self.tries = Counter[_Item]()

    def next(self) -> Job | None:
        """The next job; None where there is none at the moment."""
        if not self.waiting or self.stopped():
            return None
        item = self.waiting.popleft()
        job = self.make(item)
        self.items[job.trial] = item
        return job

    def extend(self) -> bool:
        """Queue the items of the next round; False where there are none."""
        if self.stopped():
            return False
        self.waiting.extend(next(self.rounds, ()))
        return bool(self.waiting)

    def retry(self, job: Job) -> bool:
        """Queue the item of a job whose worker died once more; False where it was tried too often."""
        item = self.items[job.trial]
        self.tries[item] += 1
        if self.tries[item] == _MAX_TRIES:
            return False
        self.waiting.append(item)
        return True


@dataclass
class Coordinator:
    """The one process that runs a study: its workers, its stores and its data, and its records once it is claimed."""

    options: Options
    base: RunConfig
    """The settings of all runs, in the edition in which the study was begun, and with epochs as a number."""
    pool: Pool
    client: MlflowClient
    storage: RDBStorage
    prepared_data: PreparedData
    invocation: str | None
    """The id of the run that `mlflow run` opened."""
    shows_table: bool = False
    """Whether the study is shown as a table: where stderr is a terminal, except under `mlflow run`, which logs it."""
    records: StudyRecords = field(init=False)
    parent: Run | None = field(init=False, default=None)
    """The study's run, as `runs` found it."""
    others: list[Run] = field(init=False, default_factory=list)
    """The cells of other studies that count as done here, as `runs` found them: read once, as there may be many."""

    def runs(self, spec: StudySpec) -> list[Run]:
        """The runs of the study's trials, or of its cells and those of other studies that count as done here.

        Raises BadInput where the name has another study.
        """
        self.parent = parent = find_parent(self.client, find_study(self.storage, spec), spec)
        place = find_experiment(self.client) if parent is None else parent.info.experiment_id
        if parent is not None and named_experiment() is None:
            name = str(self.client.get_experiment(str(place)).name)
            if name != EXPERIMENT:  # as after `mlflow run`, which writes to Default
                self.options.say(f"study {self.options.study} continues in experiment {clean(name, LABEL_LENGTH)}")
        if spec.kind is Kind.RUN and place is not None:
            self.others = cells_of_others(self.client, place, parent, spec)
        return self.others if parent is None else [*children(self.client, parent, spec.kind), *self.others]

    def done(
        self, spec: StudySpec, models: Collection[str] | None = None
    ) -> tuple[dict[str, FinishedCell], list[FinishedCell], list[FinishedCell]]:
        """The cells that are done with the current code, by key; prints how many of these models are taken over.

        Beside them the cells of other code, and those without measures where the study has measures in all cells.
        models: None for all. Raises BadInput as `runs`.
        """
        found = done_cells(self.runs(spec), spec.codes, spec.name)
        current = {key: cell for key, cell in found.items() if cell.is_current}
        bare, studies = [], {}
        for cell in current.values():
            if spec.key(replace(cell.config, measure=self.base.measure)) not in current:
                bare.append(cell)
            elif models is None or cell.config.model in models:
                studies[cell.run.info.run_id] = cell.run.data.tags.get(Tag.STUDY, spec.name)
        if taken := [study for study in studies.values() if study != spec.name]:
            names = clean(", ".join(sorted(set(taken))), LABEL_LENGTH)
            self.options.say(f"{len(taken)} finished cells of other studies are taken over: {names}")
        return current, [cell for cell in found.values() if not cell.is_current], bare

    @contextmanager
    def claimed(self, spec: StudySpec) -> Iterator[StudyRecords]:
        """Hold the study, and share its data with the workers, while the block runs. Raises as `claim` does.

        What an earlier start left open is closed before.
        """
        take_over = self.options.take_over
        with (
            lock_study(self.options.storage, self.options.study),
            self.pool.share(self.prepared_data),
            claim(self.client, self.storage, spec, take_over=take_over, invocation=self.invocation) as self.records,
        ):
            del self.prepared_data  # the workers' maps are enough from here on
            self.records.others = self.others
            self.records.repair("FAILED", "its worker or coordinator died")
            yield self.records

    def progress(
        self, total: int, done: int, *, cost: Callable[[], str] | None = None, rounds: bool = False
    ) -> Progress:
        """The progress of the study, to be given to `run`; total, done, cost and rounds as of Progress."""
        display = None
        if self.shows_table:
            study = StoredStudy(self.client, self.records.parent, self.records.spec.codes, self.others)
            display = Display(partial(states, study))
        return Progress(total, done, self.options.verbose, cost, rounds=rounds, display=display)

    def run(self, queue: JobQueue[Any], progress: Progress) -> Summary:
        """Run every job of the queue.

        Raises TakenOver where another process has taken the study, and closes its runs. Any other error, and a signal,
        ends the workers.
        """
        try:
            try:
                if progress.done < progress.total:
                    self.pool.warm(progress.total - progress.done)
                progress.start()
                summary = self._run_jobs(queue, progress)
            except BaseException as error:
                progress.close("interrupted" if isinstance(error, KeyboardInterrupt) else "ended by an error")
                raise
            progress.close()
            self.records.repair("FAILED", "its worker was lost")
            return summary
        except TakenOver:
            raise
        except BaseException as error:
            status, reason = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", clean(str(error))
            self.pool.stop()
            try:
                within(_STOP_SECONDS, lambda: self.records.repair(status, reason))
            except Exception as late:
                said = f"the stores did not take it in time ({one_line(late)}); the next start puts them right"
                print(said, file=sys.stderr)
            raise

    def _run_jobs(self, queue: JobQueue[Any], progress: Progress) -> Summary:
        summary, began = Summary(), time.perf_counter()
        checked = time.monotonic()
        while True:
            while self.pool.free() and (job := queue.next()) is not None:
                self.pool.submit(replace(job, shared=self.pool.shared, once=self.pool.restarts_jobs))
            if not self.pool.running:
                if queue.extend():
                    continue
                break
            for job, received in self.pool.take(_POLL_SECONDS):
                outcome = self.records.tell(job, received)
                if outcome.status is Status.LOST:
                    summary.lost += 1
                    if queue.retry(job):
                        progress.say(f"{job.name}: {outcome.reason}; trying it again")
                        continue
                if outcome.status in (Status.LOST, Status.FAILED):
                    summary.failures.append(Failure(job.name, outcome.reason, job.config.model))
                if outcome.status is Status.FINISHED and outcome.metrics is not None:
                    summary.fit_seconds.append(outcome.metrics[Metric.FIT_SECONDS])
                progress(job, outcome)
            if time.monotonic() - checked > _CLAIM_SECONDS:
                self.records.check_claim()
                checked = time.monotonic()
        summary.seconds = time.perf_counter() - began
        return summary

    def conclude(self, summary: Summary, reason: str, views: Mapping[str, str] | None = None) -> None:
        """End the study's parent run, FAILED where there is a reason, and print where it is seen and what failed.

        views: addresses in the UI by name, to print.
        """
        parent_id = self.records.parent_id
        self.options.say(see_it(self.records.experiment_id, parent_id, views))
        if not reason:
            self.client.set_terminated(parent_id, "FINISHED")
            return
        if self.options.verbose:
            print(f"\n{reason}; the same command again tries them:", file=sys.stderr)
            for failure in summary.failures:
                print(f"  {failure.name:<16}{failure.reason}", file=sys.stderr)
        close(self.client, parent_id, "FAILED", reason, describe=False)


@contextmanager
def open_study(options: Options, base: RunConfig, jobs: int) -> Iterator[Coordinator]:
    """Start workers, reach the stores and load the data of a study, while the block runs.

    Parameters
    ----------
    options
        How the study is run; it has a name.
    base
        What the runs share.
    jobs
        How many there are at most; local workers start to import at once.

    Raises
    ------
    BadInput
        A store, the data or the cluster can't be used.
    """
    with borrowed(options.tracking_uri, options.experiment):
        invocation = os.environ.pop("MLFLOW_RUN_ID", None)  # a worker that inherited it would continue that run
        shows_table = options.verbose and invocation is None and on_terminal(sys.stderr)
        with through_stderr() if shows_table else nullcontext() as pass_on, open_pool(options, base.device) as pool:
            pool.begin(jobs)  # before a store is opened, and before a thread is started: see `fork_server`
            if pass_on is not None:
                pass_on()
            client, storage = reach_store(), connect(options.storage)
            base = _as_begun(base, begun_settings(storage, options.study))
            data = PreparedData.load(base)
            if data.dominant_column is not None:
                options.say(f"caution: {dominance(*data.dominant_column)}")
            base = base.for_rows(len(data.split.x_train))
            yield Coordinator(options, base, pool, client, storage, data, invocation, shows_table)


def _as_begun(base: RunConfig, begun: Mapping[str, Any]) -> RunConfig:
    """The settings of a study that was begun with `begun`, which may be empty.

    It goes on in its edition, and for epochs auto with its number: its cells could not be compared otherwise.
    """
    if not begun:
        return base
    epochs = begun.get("epochs", begun.get("most epochs")) if base.epochs == "auto" else base.epochs
    return replace(base, edition=begun["edition"], epochs=epochs)
