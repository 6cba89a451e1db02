"""The state of a study as one value, `StudyState`: its cells, what each does, and the choices so far."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple


class Stage(Enum):
    """The stage of a cell."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    PRUNED = "pruned"


class Place(NamedTuple):
    """The place of a cell in its study; of a trial its number alone."""

    model: str = ""
    dim3: int = 0
    seed: int = 0
    confirms: bool = False
    """Whether it is trained longer, to confirm an elbow."""
    trial: int = -1


@dataclass(frozen=True)
class CellState:
    """The state of one cell, or of one trial of a tuning. Times are seconds since 1970, and 0 where there is none."""

    place: Place
    stage: Stage = Stage.WAITING
    epoch: int = 0
    """The last epoch of a running cell that is in the store."""
    epochs: int = 0
    """The epochs of a running cell."""
    worker: str = ""
    """The process of a running cell: machine, process id, and start."""
    value: float | None = None
    """The error of a cell that is done; the objective of a trial."""
    settings: tuple[tuple[str, str], ...] = ()
    """The settings that are tuned."""
    began: float = 0.0
    ended: float = 0.0


class Answer(NamedTuple):
    """The choice of a model so far, in words too."""

    model: str
    dim3: int | None
    text: str


@dataclass(frozen=True)
class StudyState:
    """The state of a study."""

    name: str
    cells: tuple[CellState, ...]
    """By model, dim3 and seed, or by the number of the trial."""
    total: int | None = None
    """The number of cells that are asked for; None where the study decides round by round."""
    answers: tuple[Answer, ...] = ()
    measure: str = "error"
    """The name of the cells' values."""
    tuned: bool = False
    """Whether the cells are the trials of a tuning."""
    workers: int = 1
    """The number of processes that train cells."""
    running: bool = True
    """Whether a process runs the study."""
    note: str = ""
    """How the study ended, or why its state is not known."""

    @property
    def done(self) -> int:
        """The number of cells that count towards the total."""
        return sum(cell.stage in (Stage.DONE, Stage.PRUNED) for cell in self.cells)

    def at(self, stage: Stage) -> list[CellState]:
        """The cells at that stage."""
        return [cell for cell in self.cells if cell.stage is stage]

    def stopped(self, note: str) -> StudyState:
        """Return the state of the ended study: running trials are dropped, running cells wait, and a note says why."""
        kept = [cell for cell in self.cells if not (self.tuned and cell.stage is Stage.RUNNING)]
        cells = tuple(CellState(cell.place) if cell.stage is Stage.RUNNING else cell for cell in kept)
        return replace(self, cells=cells, running=False, note=note)

    def seconds_left(self) -> float | None:
        """The time that is left, by the mean time of the finished cells of each model; None where that is not known."""
        if self.total is None:
            return None
        taken: dict[tuple[str, bool], list[float]] = {}
        for cell in self.cells:
            if cell.stage in (Stage.DONE, Stage.PRUNED) and cell.ended > cell.began:
                taken.setdefault((cell.place.model, cell.place.confirms), []).append(cell.ended - cell.began)
        left = [(c.place, 1 - c.epoch / max(c.epochs, 1)) for c in self.at(Stage.RUNNING)]
        if self.tuned:  # a trial that failed is not repeated in this start
            left += [(Place(), 1.0)] * (self.total - self.done - len(self.at(Stage.FAILED)) - len(left))
        else:
            left += [(c.place, 1.0) for c in self.at(Stage.WAITING)]
        if not left or any((place.model, place.confirms) not in taken for place, _ in left):
            return None
        whole = sum(part * statistics.mean(taken[place.model, place.confirms]) for place, part in left)
        return whole / max(min(self.workers, len(left)), 1)


def duration(seconds: float) -> str:
    """`45 s`, `3:07 min` or `2:05 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
