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

_LABEL = 24  # letters of a model's name in the table
_GAP = 2  # columns between two
_LEAST = 7  # letters of a column, without an asterisk: most errors, epochs and "saving" fit
_MOST_WORKERS = 8
_MOST_ANSWERS = 16
_SENTENCE = 400  # letters
_TRIALS = 10
_BAR = 60
_MOST_LETTERS = 12  # of a setting
_STYLES = {
    Stage.WAITING: "dim",
    Stage.RUNNING: "cyan",
    Stage.DONE: "",
    Stage.FAILED: "bold red",
    Stage.PRUNED: "dim",
}


@dataclass(frozen=True)
class Board:
    """A study's state as a renderable that fits to the width of the terminal, with the most important lines first."""

    state: StudyState
    now: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType | Segment]:
        """Yield the progress, the table, the choices and the running cells: a short terminal shows the first lines."""
        width, state = options.max_width, self.state
        yield Text(f"{clean(state.name, _LABEL)}: {_progress(state)}", style="bold")
        if state.note:
            yield Text(clean(state.note), style="yellow")
        if state.total and console.is_terminal:
            yield ProgressBar(state.total, state.done, width=min(_BAR, width), complete_style="green")
            yield Segment.line()
        yield Text()
        yield from _trials(state, console.height) if state.tuned else _grid(state, width)
        if state.answers:
            yield Text()
        for answer in state.answers[:_MOST_ANSWERS]:
            yield Text(clean(answer.text, _SENTENCE))
        if running := state.at(Stage.RUNNING):
            yield Text()
            yield from _running(running, self.now)


def _grid(state: StudyState, width: int) -> Iterator[RenderableType]:
    """A row for each model and a column for each dim3, as many as fit, all of one width."""
    rows: dict[tuple[str, bool], dict[int, list[CellState]]] = {}
    for cell in state.cells:
        row = rows.setdefault((cell.place.model, cell.place.confirms), {})
        row.setdefault(cell.place.dim3, []).append(cell)
    labels = _labels(list(rows))
    texts = {(*row, k): _cell(cells) for row, columns in rows.items() for k, cells in columns.items()}
    for answer in state.answers:
        if answer.dim3 is not None and (text := texts.get((answer.model, False, answer.dim3))):
            text.stylize("bold green")
    repeated = any(len(cells) > 1 for row in rows.values() for cells in row.values())
    yield _line(clean(state.measure, _SENTENCE) + (", mean over seeds" if repeated else ""))
    ranks = _ranks(state)
    column = max([_LEAST + repeated, *map(len, texts.values()), *(len(str(k)) for k in ranks)])
    room = width - max(len(label) for label in ("dim3", *labels.values()))
    shown = sorted(sorted(ranks, key=ranks.__getitem__)[: max(room // (column + _GAP), 1)])
    table = _plain_table()
    table.add_column("dim3")
    for k in shown:
        table.add_column(str(k), justify="right", min_width=column)
    for (model, confirms), label in labels.items():
        table.add_row(Text(label), *(texts.get((model, confirms, k), Text()) for k in shown))
    yield table
    if any(text.plain.endswith("*") for text in texts.values()):
        yield _line("* mean of the seeds that have finished so far")
    if left := [k for k in sorted(ranks) if k not in shown]:
        yield _line(f"{len(shown)} of {len(ranks)} dim3; not shown: {ranges(left)}")


def _line(text: str) -> Text:
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


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


def _ranks(state: StudyState) -> dict[int, tuple[int, float, float]]:
    """The ranks of the columns: those that run or failed, have values, are empty; then the nearest to an answer."""
    order = {Stage.RUNNING: 0, Stage.FAILED: 0, Stage.DONE: 1}
    answers = [answer.dim3 for answer in state.answers if answer.dim3 is not None]
    ranks: dict[int, tuple[int, float, float]] = {}
    for cell in state.cells:
        k = cell.place.dim3
        kind, far, age = order.get(cell.stage, 2), min((abs(k - a) for a in answers), default=0), -cell.ended
        ranks[k] = min(ranks.get(k, (3, 0, 0)), (kind, far, age))
    return ranks


def _cell(cells: list[CellState]) -> Text:
    """The text of one place of the table: the mean error of the seeds that are done, else the epoch, else a dot.

    A failed seed is shown until another runs. The style says whether a seed runs beside those that are done.
    """
    stages = {cell.stage for cell in cells}
    errors = [cell.value for cell in cells if cell.value is not None]
    stage = next(s for s in (Stage.RUNNING, Stage.FAILED, Stage.DONE, Stage.WAITING, Stage.PRUNED) if s in stages)
    if stage is Stage.FAILED:
        text = "failed"
    elif errors:
        text = f"{sum(errors) / len(errors):#.3g}".rstrip(".") + ("*" if len(errors) < len(cells) else "")
    elif stage is Stage.RUNNING:
        text = _epochs(max((c for c in cells if c.stage is stage), key=lambda cell: cell.epoch))
    else:
        text = "·"
    return Text(text, style=_STYLES[stage])


def _epochs(cell: CellState) -> str:
    """The epoch of a running cell; dots before its first, and of a model that has none."""
    if not cell.epoch:
        return "…"
    return "saving" if cell.epoch == cell.epochs else f"{cell.epoch}/{cell.epochs}"


def _trials(state: StudyState, height: int) -> Iterator[RenderableType]:
    """The last trials of a tuning and the best, with the settings that are tuned."""
    done = [cell for cell in state.cells if cell.value is not None]
    best = min(done, key=lambda cell: cell.value or 0.0, default=None)
    if best is not None:  # of several dim3 the smallest error is mostly at the largest, and each has its own best
        word = "smallest error" if "dim3" in dict(best.settings) else "best"
        yield Text(f"{word} so far: trial {best.place.trial}, {best.value:.5g}", style="bold green")
    yield _line(clean(state.measure, _SENTENCE))
    last = state.cells[-max(min(_TRIALS, height - 10), 2) :]
    names = list(dict.fromkeys(name for cell in state.cells for name, _ in cell.settings))
    table = _plain_table()
    for name in ("trial", "objective"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for name in names:
        longest = max(len(dict(cell.settings).get(name, "")) for cell in state.cells)
        table.add_column(name, justify="right", no_wrap=True, min_width=min(longest, _MOST_LETTERS))
    for cell in last if best is None or best in last else (best, *last):
        text = {Stage.RUNNING: _epochs(cell), Stage.DONE: f"{cell.value or 0.0:.5g}"}.get(cell.stage, cell.stage.value)
        settings = dict(cell.settings)
        style = "bold green" if cell is best else _STYLES[cell.stage]
        words = [str(cell.place.trial), text, *(clean(settings.get(name, ""), _MOST_LETTERS) for name in names)]
        table.add_row(*(Text(word) for word in words), style=style)
    yield table


def _running(cells: list[CellState], now: float) -> Iterator[RenderableType]:
    """The workers, and what each does."""
    running = sorted(cells, key=lambda cell: (cell.worker, cell.place))
    hosts = {cell.worker.split()[0] for cell in running if cell.worker.split()}
    for cell in running[:_MOST_WORKERS]:
        host, process, *_ = [*cell.worker.split(), "", ""]
        worker = f"worker {process}" + (f" on {host}" if len(hosts) > 1 else "") if process else "worker"
        place = cell.place
        what = f"{clean(place.model, _LABEL)} dim3 {place.dim3} seed {place.seed}"
        what = f"trial {place.trial}" if place.trial >= 0 else what + (" longer" if place.confirms else "")
        stage = "started" if not cell.epoch else "saving" if cell.epoch == cell.epochs else f"epoch {_epochs(cell)}"
        text = f"{clean(worker, 40)}: {what}, {stage}, {max(now - cell.began, 0):.0f} s"
        yield Text(text, style=_STYLES[Stage.RUNNING], no_wrap=True, overflow="ellipsis")
    if len(running) > _MOST_WORKERS:
        yield Text(f"and {len(running) - _MOST_WORKERS} more", style=_STYLES[Stage.RUNNING])


def _progress(state: StudyState) -> str:
    """The number of cells that are done, run and failed, and the time left."""
    noun = "trial" if state.tuned else "cell"
    of = "" if state.total is None else f" of {state.total}"
    words = [f"{state.done}{of} {noun}{'' if (state.total or state.done) == 1 else 's'} done"]
    for stage in (Stage.RUNNING, Stage.FAILED):
        if number := len(state.at(stage)):
            words.append(f"{number} {stage.value}")
    if state.total is None and (waiting := len(state.at(Stage.WAITING))):
        words.append(f"{waiting} waiting in this round")
    if state.running and state.total == state.done:
        words.append("saving the answer")
    elif state.at(Stage.RUNNING) and (left := state.seconds_left()):
        words.append(f"about {duration(left)} left")
    return ", ".join(words)


def on_terminal(stream: TextIO) -> bool:
    """Whether a table can be kept on this stream: a terminal that can move its cursor, and not in CI."""
    return stream.isatty() and Console(file=stream).is_interactive and "CI" not in os.environ


class Display:
    """Keeps the state of a running study on the terminal, and what is printed meanwhile above it.

    It is drawn each second, and read by another thread.

    Parameters
    ----------
    states
        Returns the states, as `studies.records.stored_state.states` does; given a function that waits for so many
        seconds, and returns true where no more states are needed.
    """

    def __init__(self, states: Callable[[Callable[[float], bool]], Iterator[StudyState]]) -> None:
        self.states = states
        self.state: StudyState | None = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.live = Live(
            console=Console(file=sys.stderr),
            get_renderable=lambda: Text() if self.state is None else Board(self.state, time.time()),
            refresh_per_second=1,
            redirect_stdout=sys.stdout.isatty(),
        )

    def start(self) -> None:
        """Show the table."""
        self.live.start()
        self.thread.start()

    def stop(self, note: str) -> None:
        """Erase the table, or leave it with a note and without running cells."""
        self.ended.set()
        self.live.transient = not note
        if self.state is not None:
            self.state = self.state.stopped(note)
        self.live.stop()

    def _read(self) -> None:
        with suppress(Exception):  # the store fails: it says so where the study needs it
            for state in self.states(self.ended.wait):
                if self.ended.is_set():
                    return
                self.state = state
