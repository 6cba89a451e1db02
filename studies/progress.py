"""What a scan costs: its cells, and the seconds and bytes of those to come, as the finished ones tell."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlparse

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .execution.cell import Ended, Job, Outcome
from .execution.coordinator import Progress, duration
from .records.study import Charter, Finished, Ledger

WEIGHED = 3  # finished cells whose files are measured


class Cost(NamedTuple):
    """The cells of one model with one number of epochs, and what one takes; None while none has finished."""

    name: str
    cells: int
    done: int
    seconds: float | None
    megabytes: float | None


def costs(cells: list[RunConfig], done: Mapping[str, Finished], charter: Charter) -> list[Cost]:
    """One a model, and another for those of its cells that are run longer than the first."""
    found = []
    for model, epochs in dict.fromkeys((c.model, c.epochs) for c in cells):
        mine = [c for c in cells if (c.model, c.epochs) == (model, epochs)]
        finished = [f for c in mine if (f := done.get(charter.key(c))) is not None]
        seconds = [((f.run.info.end_time or 0) - (f.run.info.start_time or 0)) / 1000 for f in finished]
        name = clean(model.rpartition(":")[2], LABEL_LENGTH) + ("" if epochs == cells[0].epochs else f" {epochs} ep.")
        found.append(
            Cost(
                name,
                len(mine),
                len(finished),
                statistics.mean(seconds) if finished else None,
                statistics.mean([_bytes(f) / 1e6 for f in finished[:WEIGHED]]) if finished else None,
            )
        )
    return found


def to_come(known: list[Cost], workers: int) -> str:
    """What is left, in one line."""
    left = sum(c.cells - c.done for c in known)
    if not left:
        return "complete: nothing to run"
    open_ones = [c for c in known if c.cells > c.done]
    if any(c.seconds is None for c in open_ones):
        return f"left: {left} cells; time and disk are estimated once a cell of each model has finished"
    seconds = sum((c.cells - c.done) * (c.seconds or 0) for c in open_ones) / workers
    megabytes = sum((c.cells - c.done) * (c.megabytes or 0) for c in open_ones)
    return f"left: {left} cells, about {duration(seconds)} on {workers} workers, {megabytes:.0f} MB"


def preview(name: str, cells: list[RunConfig], known: list[Cost], workers: int) -> str:
    """What there is to do, as a table."""
    width = max([13, *(len(cost.name) + 2 for cost in known)])
    lines = [
        f"study {name}: {len(cells)} cells on {clean(cells[0].dataset)}",
        f"{'model':<{width}}cells   done   s/cell   MB/cell",
    ]
    for cost in known:
        one = "?        ?" if cost.seconds is None else f"{cost.seconds:<9.1f}{cost.megabytes:.2f}"
        lines.append(f"{cost.name:<{width}}{cost.cells:<8}{cost.done:<7}{one}")
    return "\n".join([*lines, to_come(known, workers)])


class ScanProgress(Progress):
    """Says what the rest will cost as soon as that is known."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        cells: list[RunConfig],
        done: Mapping[str, Finished],
        workers: int,
        verbose: bool = True,
    ) -> None:
        self.ledger, self.cells, self.workers = ledger, cells, workers
        known = costs(cells, done, ledger.charter)
        self.unknown = any(c.seconds is None for c in known)
        super().__init__(name, len(cells), sum(c.done for c in known), verbose)

    def __call__(self, job: Job, outcome: Outcome) -> None:
        """See Progress."""
        super().__call__(job, outcome)
        if self.verbose and self.unknown and outcome.ended is Ended.FINISHED:
            known = costs(self.cells, self.ledger.done(), self.ledger.charter)
            self.unknown = any(c.seconds is None for c in known)
            if not self.unknown:
                self.say(to_come(known, self.workers))


def _bytes(cell: Finished) -> int:
    """The size of a run's artifacts where they lie on this machine, else 0."""
    place = urlparse(cell.run.info.artifact_uri)
    if place.scheme not in ("", "file"):
        return 0
    return sum(p.stat().st_size for p in Path(place.path).rglob("*") if p.is_file())
