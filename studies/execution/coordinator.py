"""The coordinator of a study: hands jobs to workers, records their outcomes, retries the cells of dead workers."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.client import within
from elbowroom.tracking.store.errors import one_line
from elbowroom.tracking.store.names import Metric
from elbowroom.tracking.store.recorder import close
from elbowroom.tracking.store.text import clean, markdown

from ..progress import Progress
from ..records.study import StudyRecords, TakenOver
from .cell import Job, Status
from .pools import Pool

_MAX_TRIES = 3  # of a cell whose worker dies, in one start of the study
_POLL_SECONDS = 1.0  # longest wait for an outcome, between checks for signals
_CLAIM_SECONDS = 15.0  # between checks that no other process has taken the study
_STOP_SECONDS = 4.0  # for both stores to record an interrupted study


@dataclass(frozen=True)
class Failure:
    """A job that failed, by the name of its run, and the reason."""

    name: str
    reason: str


@dataclass
class Summary:
    """What one start of a study did."""

    fit_seconds: list[float] = field(default_factory=list)
    """The training time of each finished cell."""
    failures: list[Failure] = field(default_factory=list)
    lost: int = 0
    """How many times a worker died with a cell."""
    seconds: float = 0.0


class JobQueue(ABC):
    """The jobs of a study."""

    @abstractmethod
    def next(self) -> Job | None:
        """The next job; None where there is none at the moment."""

    @abstractmethod
    def retry(self, job: Job) -> bool:
        """Queue a replacement of a job whose worker died; False where it was retried too often."""


class CellQueue(JobQueue):
    """The missing cells of a scan, in their order."""

    def __init__(self, records: StudyRecords, cells: Iterable[RunConfig]) -> None:
        self.records = records
        self.waiting = deque(cells)
        self.tries = Counter[str]()

    def next(self) -> Job | None:
        """See JobQueue."""
        return self.records.ask(self.waiting.popleft()) if self.waiting else None

    def retry(self, job: Job) -> bool:
        """See JobQueue; the same cell, at the end of the queue."""
        key = self.records.spec.key(job.config)
        self.tries[key] += 1
        if self.tries[key] == _MAX_TRIES:
            return False
        self.waiting.append(job.config)
        return True


def _run_jobs(queue: JobQueue, pool: Pool, records: StudyRecords, progress: Progress) -> Summary:
    """Run every job of the queue in the pool. Raises TakenOver where another process takes the study."""
    summary, began = Summary(), time.perf_counter()
    checked = time.monotonic()
    while True:
        while pool.free() and (job := queue.next()) is not None:
            pool.submit(replace(job, shared=pool.shared, once=pool.restarts_jobs))
        if not pool.running:
            break
        for job, received in pool.take(_POLL_SECONDS):
            outcome = records.tell(job, received)
            if outcome.status is Status.LOST:
                summary.lost += 1
                if queue.retry(job):
                    progress.say(f"{job.name}: {outcome.reason}; trying it again")
                    continue
            if outcome.status in (Status.LOST, Status.FAILED):
                summary.failures.append(Failure(job.name, outcome.reason))
            if outcome.status is Status.FINISHED and outcome.metrics is not None:
                summary.fit_seconds.append(outcome.metrics[Metric.FIT_SECONDS])
            progress(job, outcome)
        if time.monotonic() - checked > _CLAIM_SECONDS:
            records.check_claim()
            checked = time.monotonic()
    summary.seconds = time.perf_counter() - began
    return summary


def supervise(records: StudyRecords, pool: Pool, begin: Callable[[], tuple[JobQueue, Progress]]) -> Summary:
    """Run the jobs of a study that are missing.

    Parameters
    ----------
    records
        The study, held by this process; what an earlier start left is repaired first, and at the end.
    pool
        The workers. They are stopped where an error or a signal ends the study.
    begin
        Called after the repair: finds what is missing.

    Raises
    ------
    TakenOver
        Another process has taken the study, and closes its runs.
    """
    try:
        records.repair("FAILED", "its worker or coordinator died")
        queue, progress = begin()
        try:
            if progress.done < progress.total:
                pool.warm(progress.total - progress.done)
            summary = _run_jobs(queue, pool, records, progress)
        finally:
            progress.close()
        records.repair("FAILED", "its worker was lost")
        return summary
    except TakenOver:
        raise
    except BaseException as error:
        status, reason = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", clean(str(error))
        pool.stop()
        try:
            within(_STOP_SECONDS, lambda: records.repair(status, reason))
        except Exception as late:
            said = f"the stores did not take it in time ({one_line(late)}); the next start puts them right"
            print(said, file=sys.stderr)
        raise


def conclude(records: StudyRecords, reason: str, failures: list[Failure], *, verbose: bool = True) -> None:
    """End the study's parent run.

    Parameters
    ----------
    records
        The study.
    reason
        Why it is not complete, so that the run ends FAILED; empty: it ends FINISHED.
    failures
        The jobs that failed.
    verbose
        Whether to print the reason and the failures on stderr.
    """
    if not reason:
        records.client.set_terminated(records.parent_id, "FINISHED")
        return
    if verbose:
        print(f"\n{reason}; the same command again tries those alone:", file=sys.stderr)
        for failure in failures:
            print(f"  {failure.name:<16}{failure.reason}", file=sys.stderr)
    close(records.client, records.parent_id, "FAILED", reason, describe=False)


def description(sentences: Sequence[str], *tables: str) -> str:
    """The description of a run, in Markdown: a list of sentences, and tables as code; empty ones are left out.

    The UI wraps a list, but not code, and a long line pushes what it shows beside the description off the page.
    """
    listed = "\n".join(f"- {markdown(s)}" for s in sentences if s)
    fenced = [t.replace("```", "'''") for t in tables if t]
    return "\n\n".join([listed, *(f"```\n{t}\n```" for t in fenced)]).lstrip()
