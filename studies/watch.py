"""Watch a study that runs elsewhere: `python -m studies.watch --study NAME`.

It reads the tracking store alone, so the study may run in another terminal or on another machine, and is not slowed
down. The state is printed once where stdout is no terminal, and kept on a terminal until the study ends. Exit codes: 0
the study has ended, shows no sign of life, or was printed once; 1 the store failed; 2 bad input; 130 after Ctrl-C,
which leaves the study running.
"""

from __future__ import annotations

import elbowroom.tracking.imports  # noqa: F401  before the others

# isort: split
import sys
import time
from dataclasses import replace
from itertools import islice

from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console
from rich.live import Live

from elbowroom.analysis.runs.query import experiment_id
from elbowroom.tracking.cli import UNSET, Parser, command
from elbowroom.tracking.store.client import every_run
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import Kind, Tag
from elbowroom.tracking.store.session import is_copy, opened
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .execution.board import Board, on_terminal
from .records.stored_state import StoredStudy, states

_MOST_NAMES = 20  # of an error
_WIDTH = 120  # of the table in a file or a pipe


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
    made = Parser(
        "studies.watch",
        "Show the table of a study that runs elsewhere, read from its tracking store. On a terminal it is kept until "
        "the study ends, or shows no sign of life: its process is gone, or on another machine wrote nothing for 15 "
        "minutes. It is printed once, and the command ends, where the study has ended, where stdout is no terminal, "
        "and where the store can't be written to, so that only a copy of it can be read.",
    )
    made.add_argument("--study", default=UNSET, metavar="NAME", help="default: the study that was begun last")
    made.add_store()
    return made


def watch(client: MlflowClient, experiment: str, name: str | None) -> None:
    """Show a study on stdout until it ends; once where that is no terminal, or the store is a copy.

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
    found, copied = states(StoredStudy(client, find_parent(client, experiment, name))), is_copy(client.tracking_uri)
    stays = on_terminal(sys.stdout)
    with Live(console=Console(file=sys.stdout, width=None if stays else _WIDTH), auto_refresh=False) as live:
        for state in found if stays and not copied else islice(found, 1):
            if copied and state.running:
                state = replace(state, note="shown once: the store can't be written to here, so a copy of it was read")
            live.update(Board(state, time.time()), refresh=True)


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
