"""The state of a study as a table for a terminal, and the display that keeps it there while the study runs.

Names come from a store or a user: they are shown as plain text, never as markup.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from elbowroom.tracking.store.text import clean, ranges

from .state import CellState, Stage, StudyState, duration

READ_SECONDS = 2.0  # between two readings of a store, at least
SHARE = 0.05  # of the time: a reading that takes longer is made less often
_ANSWER_SHARE = 0.02
_LABEL = 24  # letters of a model's name in the table
_GAP = 2  # columns between two
_MOST_WORKERS = 8
_MOST_ANSWERS = 16
_SENTENCE = 400  # letters
_TRIALS = 10
_DRAWN = 2000  # cells a second, at most: more would take a part of a core
_BAR = 60
_STYLES = {
    Stage.WAITING: "dim",
    Stage.RUNNING: "cyan",
    Stage.DONE: "",
    Stage.FAILED: "bold red",
    Stage.PRUNED: "dim",
}


@dataclass(frozen=True)
class Board:
    """A study's state as a renderable that fits to the width of the terminal. `note` is shown below it."""

    state: StudyState
    now: float
    note: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        """Yield the table, the running cells, the progress and the choices."""
        width, state = options.max_width, self.state
        yield from _trials(state, console.height) if state.objective else _grid(state, width)
        yield Text()
        yield from _running(state, self.now, width)
        if state.total:
            yield ProgressBar(state.total, state.done, width=min(_BAR, width), complete_style="green")
            yield Segment.line()
        yield Text(_progress(state), style="bold")
        if state.answers:
            yield Text()
        for answer in state.answers[:_MOST_ANSWERS]:
            yield Text(clean(answer.text, _SENTENCE))
        if self.note:
            yield Text(clean(self.note), style="yellow")


def _grid(state: StudyState, width: int) -> Iterator[RenderableType]:
    """A row for each model and a column for each dim3, as many as fit."""
    rows: dict[tuple[str, bool], dict[int, list[CellState]]] = {}
    for cell in state.cells:
        row = rows.setdefault((cell.place.model, cell.place.confirms), {})
        row.setdefault(cell.place.dim3, []).append(cell)
    seeds = max((len(cells) for row in rows.values() for cells in row.values()), default=1)
    means = f", mean over {seeds} seeds or (n) of them" if seeds > 1 else ""
    yield Text(f"{clean(state.name, width)}: error by model and dim3{means}", no_wrap=True, overflow="ellipsis")
    labels = _labels(list(rows))
    room = width - max(len(label) for label in ("dim3", *labels.values()))
    columns: dict[int, list[Text]] = {}
    every = sorted({k for row in rows.values() for k in row})
    ranks = _ranks(state)
    for k in sorted(every, key=ranks.__getitem__):
        column = [_cell(row[k]) if k in row else Text() for row in rows.values()]
        room -= max(len(str(k)), *map(len, column)) + _GAP
        if room < 0 and columns:
            break
        columns[k] = column
    for answer in state.answers:
        if (answer.model, False) in rows and answer.dim3 in columns:
            columns[answer.dim3][list(rows).index((answer.model, False))].stylize("bold green")
    table = _plain_table()
    table.add_column(Text("dim3", justify="right"), max_width=_LABEL)
    shown = sorted(columns)
    for k in shown:
        table.add_column(str(k), justify="right")
    for number, label in enumerate(labels.values()):
        table.add_row(Text(label), *(columns[k][number] for k in shown))
    yield table
    if left := [k for k in every if k not in shown]:
        said = f"{len(shown)} of {len(every)} dim3; not shown: {ranges(left)}"
        yield Text(said, style="dim", no_wrap=True, overflow="ellipsis")


def _plain_table() -> Table:
    return Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")


def _labels(rows: Sequence[tuple[str, bool]]) -> dict[tuple[str, bool], str]:
    """The names of rows: of a user's model without its module, where that is clear."""
    short = {model: model.rpartition(":")[2] for model, _ in rows}
    taken = Counter(short.values())
    names = {model: name if taken[name] == 1 else model for model, name in short.items()}
    return {
        (model, confirms): clean(names[model], _LABEL - (7 if confirms else 0)) + (" longer" if confirms else "")
        for model, confirms in rows
    }


def _ranks(state: StudyState) -> dict[int, tuple[bool, float, float]]:
    """The ranks of the columns: those that run or failed first, then the nearest to an answer, then the newest."""
    active = {cell.place.dim3 for cell in state.cells if cell.stage in (Stage.RUNNING, Stage.FAILED)}
    newest: dict[int, float] = {}
    for cell in state.cells:
        newest[cell.place.dim3] = max(newest.get(cell.place.dim3, 0.0), cell.ended)
    answers = [answer.dim3 for answer in state.answers if answer.dim3 is not None]
    return {k: (k not in active, min((abs(k - a) for a in answers), default=0), -newest[k]) for k in newest}


def _cell(cells: list[CellState]) -> Text:
    """The text of one place of the table: the mean error of the seeds that are done, else the epoch, else a dot.

    A failed seed is shown until another runs. The style says whether a seed runs beside those that are done.
    """
    stages = {cell.stage for cell in cells}
    errors = [cell.value for cell in cells if cell.value is not None]
    running = [cell for cell in cells if cell.stage is Stage.RUNNING]
    stage = next(s for s in (Stage.RUNNING, Stage.FAILED, Stage.DONE, Stage.WAITING, Stage.PRUNED) if s in stages)
    if stage is Stage.FAILED:
        text = "failed"
    elif errors:
        text = f"{sum(errors) / len(errors):.3g}" + (f" ({len(errors)})" if len(errors) < len(cells) else "")
    else:
        text = _epochs(max(running, key=lambda cell: cell.epoch)) if running else "·"
    return Text(text, style=_STYLES[stage])


def _epochs(cell: CellState) -> str:
    """The epoch of a running cell; dots before its first, and of a model that has none."""
    return f"{cell.epoch}/{cell.epochs}" if cell.epoch else "…"


def _trials(state: StudyState, height: int) -> Iterator[RenderableType]:
    """The last trials of a tuning and the best, with the settings that are tuned."""
    yield Text(f"{clean(state.name)}: trials, {state.objective}", no_wrap=True, overflow="ellipsis")
    done = [cell for cell in state.cells if cell.value is not None]
    best = min(done, key=lambda cell: cell.value or 0.0, default=None)
    last = state.cells[-max(min(_TRIALS, height - 14), 2) :]
    names = list(dict.fromkeys(name for cell in state.cells for name, _ in cell.settings))
    table = _plain_table()
    for name in ("trial", "objective", *names):
        table.add_column(name, justify="right", no_wrap=True)
    for cell in last if best is None or best in last else (best, *last):
        text = {Stage.RUNNING: _epochs(cell), Stage.DONE: f"{cell.value or 0.0:.5g}"}.get(cell.stage, cell.stage.value)
        settings = dict(cell.settings)
        style = "bold green" if cell is best else _STYLES[cell.stage]
        words = [str(cell.place.trial), text, *(clean(settings.get(name, ""), 12) for name in names)]
        table.add_row(*(Text(word) for word in words), style=style)
    yield table
    if best is not None:
        yield Text(f"best so far: trial {best.place.trial}, {best.value:.5g}", style="bold green")


def _running(state: StudyState, now: float, width: int) -> Iterator[RenderableType]:
    """The workers, and what each does."""
    running = sorted(state.at(Stage.RUNNING), key=lambda cell: (cell.worker, cell.place))
    hosts = {cell.worker.split()[0] for cell in running if cell.worker.split()}
    for cell in running[:_MOST_WORKERS]:
        host, process, *_ = [*cell.worker.split(), "", ""]
        worker = f"worker {process}" + (f" on {host}" if len(hosts) > 1 else "") if process else "worker"
        place = cell.place
        what = f"{clean(place.model, _LABEL)} dim3 {place.dim3} seed {place.seed}"
        what = f"trial {place.trial}" if place.trial >= 0 else what + (" longer" if place.confirms else "")
        took = f"{max(now - cell.began, 0):.0f} s"
        text = f"{clean(worker, 40)}: {what}, {'epoch ' + _epochs(cell) if cell.epoch else 'started'}, {took}"
        yield Text(text, style=_STYLES[Stage.RUNNING], no_wrap=True, overflow="ellipsis")
    if len(running) > _MOST_WORKERS:
        yield Text(f"and {len(running) - _MOST_WORKERS} more", style=_STYLES[Stage.RUNNING])


def _progress(state: StudyState) -> str:
    """The number of cells that are done, run and failed, and the time left."""
    noun = "trials" if state.objective else "cells"
    words = [f"{state.done} {noun} done" if state.total is None else f"{state.done} of {state.total} {noun} done"]
    for stage in (Stage.RUNNING, Stage.FAILED):
        if number := len(state.at(stage)):
            words.append(f"{number} {stage.value}")
    if state.total is None and (waiting := len(state.at(Stage.WAITING))):
        words.append(f"{waiting} waiting in this round")
    if (left := state.seconds_left()) and state.at(Stage.RUNNING):
        words.append(f"about {duration(left)} left")
    return ", ".join(words)


def on_terminal(stream: TextIO) -> bool:
    """Whether a table can be kept on this stream: a terminal that can move its cursor, and not in CI."""
    return stream.isatty() and Console(file=stream).is_interactive and "CI" not in os.environ


class Display:
    """Keeps the state of a running study on the terminal, and what is printed meanwhile above it.

    A thread draws it each second, and another one reads what only the store has.

    Parameters
    ----------
    state
        Returns the state.
    read_epochs
        Reads the epochs of running cells, and notes them.
    read_answers
        Reads the choices so far, where that takes long; called after cells have ended.
    """

    def __init__(
        self,
        state: Callable[[], StudyState],
        read_epochs: Callable[[], None],
        read_answers: Callable[[], None] | None = None,
    ) -> None:
        self.state, self.read_epochs, self.read_answers = state, read_epochs, read_answers
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.live = Live(
            console=Console(file=sys.stderr),
            get_renderable=lambda: Board(self.state(), time.time()),
            refresh_per_second=min(1.0, _DRAWN / max(len(state().cells), 1)),
            redirect_stdout=sys.stdout.isatty(),
        )

    def start(self) -> None:
        """Show the table."""
        self.live.start()
        self.thread.start()

    def stop(self, *, erase: bool) -> None:
        """Erase the table, or leave it as it stands."""
        self.ended.set()
        self.live.transient = erase
        self.live.stop()

    def _read(self) -> None:
        counted, due = -1, 0.0
        while not self.ended.wait(READ_SECONDS):
            with suppress(Exception):  # a store that fails is asked again, and says so where the study needs it
                self.read_epochs()
                done = self.state().done
                if self.read_answers is not None and done != counted and time.monotonic() > due:
                    began = time.monotonic()
                    self.read_answers()
                    counted, due = done, time.monotonic() + (time.monotonic() - began) / _ANSWER_SHARE
