"""Watch a study that runs elsewhere: `python -m studies.watch --study NAME`.

It reads the tracking store alone, so the study may run in another terminal or on another machine, and is not slowed
down. On a terminal the table is kept until the study ends; else it is printed once. Exit codes: 0 the study has ended,
or was printed; 1 the store failed; 2 bad input; 130 after Ctrl-C, which leaves the study running.
"""

from __future__ import annotations

import elbowroom.tracking.imports  # noqa: F401  before the others

# isort: split
import sys
import time
from collections.abc import Iterator
from datetime import datetime

from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console
from rich.live import Live

from elbowroom.analysis.runs.query import experiment_id
from elbowroom.tracking.cli import UNSET, Parser, command
from elbowroom.tracking.store.client import every_run
from elbowroom.tracking.store.errors import BadInput, one_line
from elbowroom.tracking.store.names import Kind, Tag
from elbowroom.tracking.store.session import opened
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .execution.board import READ_SECONDS, SHARE, Board, on_terminal
from .execution.state import Answer
from .records.stored_state import StoredStudy, answers_of

_MOST_NAMES = 20  # of an error


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""

    def body() -> int:
        given = parser().parse_args(arguments)
        with opened(given.tracking_uri, given.experiment, log=False) as (client, experiment):
            watch(client, experiment, None if given.study == UNSET else given.study)
        return 0

    return command(body, killed="the study itself was not touched")


def parser() -> Parser:
    """The flags of the study and of its store."""
    made = Parser("studies.watch", "Watch a study that runs elsewhere, by its tracking store.")
    made.add_argument("--study", default=UNSET, metavar="NAME", help="default: the study that was begun last")
    made.add_store()
    return made


def watch(client: MlflowClient, experiment: str, name: str | None) -> None:
    """Show a study on stdout until it ends, and once where that is no terminal.

    Parameters
    ----------
    client
        Of the tracking store.
    experiment
        The name of the experiment.
    name
        The name of the study; None for the one that was begun last.

    Raises
    ------
    BadInput
        There is no such study.
    """
    study = StoredStudy(client, find_parent(client, experiment, name))
    console = Console(file=sys.stdout)
    if not on_terminal(sys.stdout):
        console.print(next(_boards(study)))
        return
    with Live(console=console, auto_refresh=False) as live:
        for board in _boards(study):
            live.update(board, refresh=True)


def _boards(study: StoredStudy) -> Iterator[Board]:
    """The study again and again, until it has ended; after a reading that failed the last one with the reason.

    The choices of a scan take longest: they are made when cells have finished, and in a small share of the time.
    """
    answers: tuple[Answer, ...] = ()
    counted, due, board = -1, 0.0, None
    while True:
        began = time.monotonic()
        try:
            state, running = study.state(answers), study.is_running()
            if (state.done != counted and began > due) or not running:
                if not study.tuned and not study.sought:  # a seek notes its own, by its rule
                    answers = answers_of(study.done)
                state = study.state(answers)
                counted, due = state.done, began + (time.monotonic() - began) / SHARE
            board = Board(state, time.time(), "" if running else _rest(study))
            yield board
            if not running:
                return
        except Exception as error:
            if board is None:
                raise
            yield Board(board.state, time.time(), f"the store did not answer: {one_line(error, 200)}")
        time.sleep(max(READ_SECONDS, (time.monotonic() - began) / SHARE))


def _rest(study: StoredStudy) -> str:
    """The end of a study that does not run: when, how and why."""
    parent, since = study.parent, study.rests_since()
    when = "" if since is None else f" since {datetime.fromtimestamp(since):%Y-%m-%d %H:%M:%S}"
    if parent.info.status == "RUNNING":
        return f"not running: its process died; nothing was written{when}"
    reason = parent.data.tags.get(Tag.REASON, "")
    return f"not running{when}: {parent.info.status}" + (f", {reason}" if reason else "")


def find_parent(client: MlflowClient, experiment: str, name: str | None) -> Run:
    """The newest parent run of a study of this name; None for any name.

    Parameters
    ----------
    client, experiment, name
        As of `watch`.

    Raises
    ------
    BadInput
        There is no such study, or no such experiment.
    """
    place = experiment_id(client, experiment)
    studies = every_run(client, place, f"tags.`{Tag.KIND}` = '{Kind.STUDY}'")
    studies.sort(key=lambda run: run.info.start_time or 0, reverse=True)
    for run in studies:
        if name is None or run.data.tags.get(Tag.STUDY) == name:
            return run
    names = list(dict.fromkeys(clean(run.data.tags.get(Tag.STUDY, ""), LABEL_LENGTH) for run in studies))
    there = f"there are: {', '.join(names[:_MOST_NAMES])}" if names else "there is none"
    raise BadInput(f"no study {name or ''!r} in experiment {clean(experiment, LABEL_LENGTH)!r}; {there}")


if __name__ == "__main__":
    sys.exit(main())
