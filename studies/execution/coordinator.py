"""What one study's coordinator does: hands cells out, tells what became of them, tries dead workers' again."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from tqdm import tqdm

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.errors import one_line
from elbowroom.tracking.store.names import Metric
from elbowroom.tracking.store.recorder import Recorder, close, within
from elbowroom.tracking.store.text import clean, markdown

from ..records.study import Ledger, TakenOver
from .cell import Ended, Job, Outcome
from .pools import Pool

TRIES = 3  # of a cell whose worker dies, in one start of the study
POLL_SECONDS = 1.0  # at most, between looks at a signal or the claim
CLAIM_SECONDS = 15.0  # between looks at whether the study is still ours
STOP_SECONDS = 4.0  # for the stores to take what a Ctrl-C has to say


@dataclass(frozen=True)
class Failure:
    """A job that came to nothing, by the name of its run, and why."""

    name: str
    reason: str


@dataclass
class Tally:
    """What one start of a study has done."""

    fit_seconds: list[float] = field(default_factory=list)
    """Of each cell that finished: what its training alone took."""
    failures: list[Failure] = field(default_factory=list)
    lost: int = 0
    """Workers that died, or were lost, under a cell."""
    seconds: float = 0.0


class Source(ABC):
    """Where the jobs of a study come from."""

    @abstractmethod
    def next(self) -> Job | None:
        """The next job, or None where there is none for now."""

    @abstractmethod
    def again(self, job: Job) -> bool:
        """Put another job in the place of this one, whose worker died; whether there is to be one."""


class Grid(Source):
    """The missing cells of a scan, one after the other."""

    def __init__(self, ledger: Ledger, cells: Iterable[RunConfig], shared: str | None, once: bool) -> None:
        self.ledger, self.shared, self.once = ledger, shared, once
        self.waiting = deque(cells)
        self.tries = Counter[str]()

    def next(self) -> Job | None:
        """See Source."""
        return self.ledger.ask(self.waiting.popleft(), self.shared, self.once) if self.waiting else None

    def again(self, job: Job) -> bool:
        """See Source; the same cell, at the end of the line."""
        key = self.ledger.charter.key(job.config)
        self.tries[key] += 1
        if self.tries[key] == TRIES:
            return False
        self.waiting.append(job.config)
        return True


def carry_out(source: Source, pool: Pool, ledger: Ledger, progress: Progress) -> Tally:
    """Run every job of the source in the pool. Raises TakenOver where another process takes the study."""
    tally, began = Tally(), time.perf_counter()
    looked = time.monotonic()
    while True:
        while pool.free() and (job := source.next()) is not None:
            pool.submit(job)
        if not pool.running:
            break
        for job, given in pool.take(POLL_SECONDS):
            outcome = ledger.tell(job, given)
            if outcome.ended is Ended.LOST:
                tally.lost += 1
                if source.again(job):
                    progress.say(f"{job.name}: {outcome.reason}; trying it again")
                    continue
            if outcome.ended in (Ended.LOST, Ended.FAILED):
                tally.failures.append(Failure(job.name, outcome.reason))
            if outcome.ended is Ended.FINISHED and outcome.metrics is not None:
                tally.fit_seconds.append(outcome.metrics[Metric.FIT_SECONDS])
            progress(job, outcome)
        if time.monotonic() - looked > CLAIM_SECONDS:
            ledger.check_mine()
            looked = time.monotonic()
    tally.seconds = time.perf_counter() - began
    return tally


def supervise(ledger: Ledger, pool: Pool, begin: Callable[[], tuple[Source, Progress]]) -> Tally:
    """Repair what an earlier start left, run what `begin` finds missing then, and end in order if interrupted."""
    try:
        ledger.repair("FAILED", "its worker or coordinator died")
        source, progress = begin()
        try:
            if progress.done < progress.total:
                pool.warm(progress.total - progress.done)
            tally = carry_out(source, pool, ledger, progress)
        finally:
            progress.close()
        ledger.repair("FAILED", "its worker was lost")
        return tally
    except TakenOver:  # whoever took the study closes our runs
        raise
    except BaseException as error:
        _stop(pool, ledger, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", clean(str(error)))
        raise


def _stop(pool: Pool, ledger: Ledger, status: str, reason: str) -> None:
    """End everything that runs, with this status and reason, as well as the stores can be reached in time."""
    pool.stop()
    try:
        within(STOP_SECONDS, lambda: ledger.repair(status, reason))
    except Exception as error:
        reason = one_line(error)
        print(f"the stores did not take it in time ({reason}); the next start puts them right", file=sys.stderr)


def conclude(ledger: Ledger, reason: str, failures: list[Failure], *, verbose: bool = True) -> None:
    """End the study's parent run, FAILED where there is a reason for that, which is said where wanted."""
    if not reason:
        Recorder(ledger.client, ledger.parent_id).end("FINISHED")
        return
    if verbose:
        print(f"\n{reason}; the same command again tries those alone:", file=sys.stderr)
        for failure in failures:
            print(f"  {failure.name:<16}{failure.reason}", file=sys.stderr)
    close(ledger.client, ledger.parent_id, "FAILED", reason, describe=False)


def described(sentences: Sequence[str], *tables: str) -> str:
    """A run's description: sentences, which the UI wraps, and tables, which keep their columns; no empty ones.

    A long line that is not wrapped pushes what the UI says about the run off the page.
    """
    listed = "\n".join(f"- {markdown(s)}" for s in sentences if s)
    fenced = [t.replace("```", "'''") for t in tables if t]
    return "\n\n".join([listed, *(f"```\n{t}\n```" for t in fenced)]).lstrip()


class Progress:
    """A bar over all cells with the time left where stderr is a terminal, a line a cell where not; if verbose."""

    def __init__(self, name: str, total: int, done: int, verbose: bool = True) -> None:
        self.total, self.done, self.verbose = total, done, verbose
        self.began, self.fresh = time.perf_counter(), 0
        self.bar: tqdm[NoReturn] | None = None
        if verbose and sys.stderr.isatty():
            self.bar = tqdm(total=total, initial=done, desc=name, unit="cell")

    def __call__(self, job: Job, outcome: Outcome) -> None:
        """Show one job that ended."""
        self.done += 1
        self.fresh += 1
        said = outcome.ended.value if outcome.ended is not Ended.FINISHED else f"{outcome.seconds:.1f} s"
        if self.bar is not None:
            self.bar.set_postfix_str(f"{job.name} {said}")
            self.bar.update()
            return
        left = (time.perf_counter() - self.began) / self.fresh * (self.total - self.done)
        more = f"  {outcome.reason}" if outcome.reason else ""
        self.say(f"{self.done}/{self.total}  {job.name}  {said}{more}  about {duration(left)} left")

    def say(self, line: str) -> None:
        """Print a line beside the bar."""
        if self.verbose:
            tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.close()


def duration(seconds: float) -> str:
    """`45 s`, `3:07 min` or `2:05 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
