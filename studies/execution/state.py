"""The state of a study as one value, `StudyState`: its cells, what each does, and the choices so far.

`Events` makes it from the jobs of a study that this process runs, and `studies.records.stored_state` from the store.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import Kind, Tag

from .cell import Job, Outcome, Status


class Stage(Enum):
    """The stage of a cell."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    PRUNED = "pruned"


_STAGES = {Status.FINISHED: Stage.DONE, Status.PRUNED: Stage.PRUNED}


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
    began: float = field(default=0.0, compare=False)
    ended: float = field(default=0.0, compare=False)


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
    objective: str = ""
    """The objective of a tuning; empty for other studies."""

    @property
    def done(self) -> int:
        """The number of cells that count towards the total."""
        return sum(cell.stage in (Stage.DONE, Stage.PRUNED) for cell in self.cells)

    def at(self, stage: Stage) -> list[CellState]:
        """The cells at that stage."""
        return [cell for cell in self.cells if cell.stage is stage]

    def seconds_left(self) -> float | None:
        """The time that is left, by the mean time of the finished cells of each model; None where that is not known.

        As many cells are assumed to run at once as run now.
        """
        if self.total is None:
            return None
        taken: dict[tuple[str, bool], list[float]] = {}
        for cell in self.cells:
            if cell.stage in (Stage.DONE, Stage.PRUNED) and cell.ended > cell.began:
                taken.setdefault((cell.place.model, cell.place.confirms), []).append(cell.ended - cell.began)
        left = [(c.place, 1 - c.epoch / max(c.epochs, 1)) for c in self.at(Stage.RUNNING)]
        if self.objective:
            left += [(Place(), 1.0)] * (self.total - self.done - len(left))
        else:
            left += [(c.place, 1.0) for c in self.at(Stage.WAITING)]
        if any((place.model, place.confirms) not in taken for place, _ in left):
            return None
        whole = sum(part * statistics.mean(taken[place.model, place.confirms]) for place, part in left)
        return whole / max(len(self.at(Stage.RUNNING)), 1)


def in_order(cells: Iterable[CellState], models: Sequence[str]) -> tuple[CellState, ...]:
    """Sort cells by model, in the order of `models`, then by dim3 and seed; trials by their number."""
    ranks = {model: rank for rank, model in enumerate(models)}
    return tuple(sorted(cells, key=lambda c: (ranks.get(c.place.model, len(ranks)), c.place.confirms, c.place)))


def tuned_settings(config: RunConfig, knobs: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The settings of a trial that are tuned, as texts."""
    values = {name: getattr(config, name) for name in knobs}
    return tuple((name, f"{v:.3g}" if isinstance(v, float) else str(v)) for name, v in values.items())


class Events:
    """Keeps the state of a study that this process runs, by the events of its jobs.

    Parameters
    ----------
    name
        Of the study.
    cells
        Its cells as they are at the start.
    models
        The order of its models.
    total, objective
        As of StudyState; the total of a scan is the number of its cells.
    knobs
        The settings that are tuned.
    value
        The value of a cell by its metrics.
    """

    def __init__(
        self,
        name: str,
        cells: Iterable[CellState],
        models: Sequence[str] = (),
        *,
        total: int | None = None,
        objective: str = "",
        knobs: Sequence[str] = (),
        value: Callable[[Mapping[str, float]], float],
    ) -> None:
        self.name, self.models, self.total, self.objective = name, models, total, objective
        self.knobs, self.value = knobs, value
        self.cells = {cell.place: cell for cell in cells}
        self.answers: tuple[Answer, ...] = ()
        self.running: dict[int, Place] = {}  # by the number of the job's trial
        self._lock = threading.Lock()  # another thread reads the state, and writes the epochs

    def add(self, cells: Iterable[CellState]) -> None:
        """Add cells that are asked for now."""
        with self._lock:
            self.cells |= {cell.place: cell for cell in cells}

    def began(self, job: Job) -> None:
        """A worker has the job."""
        place = self._place(job)
        cell = CellState(place, Stage.RUNNING, epochs=int(job.config.epochs), began=time.time())
        with self._lock:
            self.cells[place] = replace(cell, settings=tuned_settings(job.config, self.knobs))
            self.running[job.trial] = place

    def ended(self, job: Job, outcome: Outcome) -> None:
        """The job has ended."""
        stage = _STAGES.get(outcome.status, Stage.FAILED)
        value = self.value(outcome.metrics) if stage is Stage.DONE and outcome.metrics is not None else None
        self._leave(job, stage, value)

    def again(self, job: Job) -> None:
        """The job's worker died, and another one will get its cell."""
        self._leave(job, Stage.FAILED if self.objective else Stage.WAITING, None)

    def _leave(self, job: Job, stage: Stage, value: float | None) -> None:
        with self._lock:
            before = self.cells[self.running.pop(job.trial)]
            now = replace(before, stage=stage, value=value, epoch=0, epochs=0, worker="", ended=time.time())
            self.cells[before.place] = now

    def heard(self, found: Mapping[int, tuple[int, str]]) -> None:
        """Note the epochs and the workers of running cells, by the numbers of their trials."""
        with self._lock:
            for trial, (epoch, worker) in found.items():
                if (place := self.running.get(trial)) is not None:
                    self.cells[place] = replace(self.cells[place], epoch=epoch, worker=worker)

    def state(self) -> StudyState:
        """The state now."""
        with self._lock:
            cells = in_order(self.cells.values(), self.models)
        total = self.total if self.total is None or self.objective else len(cells)
        return StudyState(self.name, cells, total, self.answers, self.objective)

    def _place(self, job: Job) -> Place:
        if job.place.kind is Kind.TRIAL:
            return Place(trial=job.trial)
        return place_of(job.config, job.place.tags)


def place_of(config: RunConfig, tags: Mapping[str, str]) -> Place:
    """The place of a cell, by its configuration and the tags of its run."""
    return Place(config.model, config.dim3, config.seed, Tag.CONFIRMS in tags)


def duration(seconds: float) -> str:
    """`45 s`, `3:07 min` or `2:05 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
