"""The progress of a study, and what a scan costs: seconds and bytes of the missing cells, by those that finished."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlparse

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import Metric
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from ..records.study import FinishedCell
from .board import Display
from .cell import Job, Outcome, Status
from .state import Answer, duration

_WEIGHED = 3  # finished cells whose files are measured


class Cost(NamedTuple):
    """The cells of one model with the same epochs and measures, and the mean cost of a finished one; None: none is."""

    name: str
    cells: int
    done: int
    seconds: float | None
    megabytes: float | None
    measures: float = 0.0
    """The part of the seconds that `--measure` takes."""


def estimate_costs(cells: Mapping[RunConfig, FinishedCell | None]) -> list[Cost]:
    """The cost of each model's cells; measured ones, and those with more epochs than the first, are counted apart."""
    by_kind: dict[tuple[str, object, str], list[FinishedCell | None]] = {}
    for config, finished in cells.items():
        by_kind.setdefault((config.model, config.epochs, config.measure), []).append(finished)
    costs = []
    for (model, epochs, measure), mine in by_kind.items():
        name = clean(model.rpartition(":")[2], LABEL_LENGTH) + (" measured" if measure == "yes" else "")
        name += "" if epochs == next(iter(cells)).epochs else f" {epochs} ep."
        cost = Cost(name, len(mine), 0, None, None)
        if done := [f for f in mine if f is not None]:
            seconds = statistics.mean(map(seconds_of, done))
            measures = statistics.mean(f.metrics.get(Metric.MEASURE_SECONDS, 0.0) for f in done)
            if measure == "no":  # a measured cell counts as one without, whose cost is less
                seconds, measures = seconds - measures, 0.0
            megabytes = statistics.mean(_bytes(f) / 1e6 for f in done[:_WEIGHED])
            cost = Cost(name, len(mine), len(done), seconds, megabytes, measures)
        costs.append(cost)
    return costs


def seconds_of(cell: FinishedCell) -> float:
    """The time of a cell's run."""
    return ((cell.run.info.end_time or 0) - (cell.run.info.start_time or 0)) / 1000


def _bytes(cell: FinishedCell) -> int:
    """The size of a run's artifacts where they lie on this machine, else 0."""
    place = urlparse(cell.run.info.artifact_uri)
    if place.scheme not in ("", "file"):
        return 0
    return sum(p.stat().st_size for p in Path(place.path).rglob("*") if p.is_file())


def cost_left(costs: list[Cost], workers: int) -> str:
    """The cost of the cells that are not done, in one line."""
    left = sum(c.cells - c.done for c in costs)
    if not left:
        return "complete: nothing to run"
    open_ones = [c for c in costs if c.cells > c.done]
    if any(c.seconds is None for c in open_ones):
        return f"left: {left} cells; time and disk are estimated once a cell of each row has finished"
    seconds = sum((c.cells - c.done) * (c.seconds or 0) for c in open_ones) / workers
    measures = sum((c.cells - c.done) * c.measures for c in open_ones) / workers
    megabytes = sum((c.cells - c.done) * (c.megabytes or 0) for c in open_ones)
    part = f" ({duration(measures)} of it for the measures)" if measures else ""
    return f"left: {left} cells, about {duration(seconds)}{part} on {workers} workers, {megabytes:.0f} MB"


def cost_table(costs: list[Cost], workers: int) -> str:
    """The costs as a printed table, for so many workers."""
    width = max([13, *(len(cost.name) + 2 for cost in costs)])
    lines = [f"{'model':<{width}}cells   done   s/cell   MB/cell"]
    for cost in costs:
        one = "?        ?" if cost.seconds is None else f"{cost.seconds:<9.1f}{cost.megabytes:.2f}"
        lines.append(f"{cost.name:<{width}}{cost.cells:<8}{cost.done:<7}{one}")
    return "\n".join([*lines, cost_left(costs, workers)])


class Progress:
    """Shows, if `verbose`, a table on a terminal, and else a line per job on stderr.

    `cost` is called after each finished job, until it returns a line to print. With `rounds` the total is that of the
    rounds so far, and nothing is said of the time left.
    """

    def __init__(
        self,
        total: int,
        done: int,
        verbose: bool = True,
        cost: Callable[[], str] | None = None,
        *,
        rounds: bool = False,
        display: Display | None = None,
    ) -> None:
        self.total, self.done, self.verbose, self.cost, self.rounds = total, done, verbose, cost, rounds
        self.display = display
        self.began, self.new = time.perf_counter(), 0
        self.said: set[str] = set()

    def start(self) -> None:
        """Show the table, if there is one."""
        if self.display is not None:
            self.display.start()

    def __call__(self, job: Job, outcome: Outcome) -> None:
        """Show one job that ended."""
        self.done += 1
        self.new += 1
        if self.display is None:
            ended = outcome.status.value if outcome.status is not Status.FINISHED else f"{outcome.seconds:.1f} s"
            left = (time.perf_counter() - self.began) / self.new * (self.total - self.done)
            more = f"  {outcome.reason}" if outcome.reason else ""
            left_words = "" if self.rounds else f"  about {duration(left)} left"
            self.say(f"{self.done}/{self.total}  {job.name}  {ended}{more}{left_words}")
        elif outcome.status is Status.FAILED:
            self.say(f"{job.name}  failed  {outcome.reason}")
        if self.verbose and self.cost is not None and outcome.status is Status.FINISHED and (line := self.cost()):
            self.say(line)
            self.cost = None

    def extend(self, jobs: int, done: int) -> None:
        """Count more jobs, of which so many are done."""
        self.total, self.done = self.total + jobs, self.done + done

    def answers(self, answers: Iterable[Answer]) -> None:
        """Print the choices that are new; a table has them."""
        for answer in answers if self.display is None else ():
            if answer.text not in self.said:
                self.say(answer.text)
            self.said.add(answer.text)

    def say(self, line: str) -> None:
        """Print a line, above the table."""
        if self.verbose:
            print(line, file=sys.stderr, flush=True)

    def close(self, note: str = "") -> None:
        """Erase the table, or leave it without running cells where a note says how the study ended."""
        if self.display is not None:
            self.display.stop(note)
            if not note:
                self.say("saving the answer")
