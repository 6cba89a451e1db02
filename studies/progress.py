"""The progress of a study, and what a scan costs: seconds and bytes of the missing cells, by those that finished."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import urlparse

from tqdm import tqdm

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .execution.cell import Job, Outcome, Status
from .records.study import FinishedCell, StudyRecords, StudySpec

_WEIGHED = 3  # finished cells whose files are measured


class Cost(NamedTuple):
    """The cells of one model with one number of epochs, and the mean cost of a finished one; None: none finished."""

    name: str
    cells: int
    done: int
    seconds: float | None
    megabytes: float | None


def estimate_costs(cells: list[RunConfig], done: Mapping[str, FinishedCell], spec: StudySpec) -> list[Cost]:
    """The cost of each model's cells; those with more epochs than the first cell are counted apart.

    Parameters
    ----------
    cells
        All cells that were asked for, at least one.
    done
        Finished cells by key.
    spec
        Gives the keys.
    """
    found = []
    for model, epochs in dict.fromkeys((c.model, c.epochs) for c in cells):
        mine = [c for c in cells if (c.model, c.epochs) == (model, epochs)]
        finished = [f for c in mine if (f := done.get(spec.key(c))) is not None]
        seconds = [((f.run.info.end_time or 0) - (f.run.info.start_time or 0)) / 1000 for f in finished]
        name = clean(model.rpartition(":")[2], LABEL_LENGTH) + ("" if epochs == cells[0].epochs else f" {epochs} ep.")
        found.append(
            Cost(
                name,
                len(mine),
                len(finished),
                statistics.mean(seconds) if finished else None,
                statistics.mean([_bytes(f) / 1e6 for f in finished[:_WEIGHED]]) if finished else None,
            )
        )
    return found


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
        return f"left: {left} cells; time and disk are estimated once a cell of each model has finished"
    seconds = sum((c.cells - c.done) * (c.seconds or 0) for c in open_ones) / workers
    megabytes = sum((c.cells - c.done) * (c.megabytes or 0) for c in open_ones)
    return f"left: {left} cells, about {duration(seconds)} on {workers} workers, {megabytes:.0f} MB"


def cost_table(name: str, cells: list[RunConfig], costs: list[Cost], workers: int) -> str:
    """The costs as a printed table.

    Parameters
    ----------
    name
        Of the study.
    cells
        All cells that were asked for.
    costs
        Of these cells: see `estimate_costs`.
    workers
        How many cells are trained at once.
    """
    width = max([13, *(len(cost.name) + 2 for cost in costs)])
    lines = [
        f"study {name}: {len(cells)} cells on {clean(cells[0].dataset)}",
        f"{'model':<{width}}cells   done   s/cell   MB/cell",
    ]
    for cost in costs:
        one = "?        ?" if cost.seconds is None else f"{cost.seconds:<9.1f}{cost.megabytes:.2f}"
        lines.append(f"{cost.name:<{width}}{cost.cells:<8}{cost.done:<7}{one}")
    return "\n".join([*lines, cost_left(costs, workers)])


def duration(seconds: float) -> str:
    """`45 s`, `3:07 min` or `2:05 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


class Progress:
    """Shows, if `verbose`, a progress bar with the time left on a terminal, and else a line per cell on stderr."""

    def __init__(self, name: str, total: int, done: int, verbose: bool = True) -> None:
        self.total, self.done, self.verbose = total, done, verbose
        self.began, self.new = time.perf_counter(), 0
        self.bar: tqdm[NoReturn] | None = None
        if verbose and sys.stderr.isatty():
            self.bar = tqdm(total=total, initial=done, desc=name, unit="cell")

    def __call__(self, job: Job, outcome: Outcome) -> None:
        """Show one job that ended."""
        self.done += 1
        self.new += 1
        ended = outcome.status.value if outcome.status is not Status.FINISHED else f"{outcome.seconds:.1f} s"
        if self.bar is not None:
            self.bar.set_postfix_str(f"{job.name} {ended}")
            self.bar.update()
            return
        left = (time.perf_counter() - self.began) / self.new * (self.total - self.done)
        more = f"  {outcome.reason}" if outcome.reason else ""
        self.say(f"{self.done}/{self.total}  {job.name}  {ended}{more}  about {duration(left)} left")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self.verbose:
            tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.close()


class ScanProgress(Progress):
    """Prints also the cost of the missing cells, as soon as a cell of each model has finished."""

    def __init__(
        self,
        name: str,
        records: StudyRecords,
        cells: list[RunConfig],
        done: Mapping[str, FinishedCell],
        workers: int,
        verbose: bool = True,
    ) -> None:
        self.records, self.cells, self.workers = records, cells, workers
        costs = estimate_costs(cells, done, records.spec)
        self.unknown = any(c.seconds is None for c in costs)
        super().__init__(name, len(cells), sum(c.done for c in costs), verbose)

    def __call__(self, job: Job, outcome: Outcome) -> None:
        """See Progress."""
        super().__call__(job, outcome)
        if self.verbose and self.unknown and outcome.status is Status.FINISHED:
            costs = estimate_costs(self.cells, self.records.done(), self.records.spec)
            self.unknown = any(c.seconds is None for c in costs)
            if not self.unknown:
                self.say(cost_left(costs, self.workers))
