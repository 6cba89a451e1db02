"""Answer the course assignment by measurement: `python -m studies.assignment`, and `--full` for numbers to quote.

Runs what is missing of a scan with PCA, autoencoder and VAE, repeats and measures the cells at the dim3 it shows,
and writes `assignment.html` from the store. The same command again continues. From Python: `answer`. Exit codes
as of `studies.scan`.
"""

from __future__ import annotations

import elbowroom.tracking.imports  # noqa: F401  before the others

# isort: split
import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from elbowroom.analysis.assignment import SHOWN, Report, report
from elbowroom.analysis.pages.output import output_folder
from elbowroom.tracking.cli import UNSET, Parser, command
from elbowroom.tracking.store.errors import BadInput, Failed
from elbowroom.tracking.store.errors import BadInput as Unanswerable
from elbowroom.tracking.store.session import borrowed, use_store

from .grid import PRESETS, Space, parse_range
from .options import DEFAULT_STORAGE, Means, add_means, add_switch, means_of, whole, whole_number
from .scan import ScanResult, estimate_space, run_space, start_of

MODELS = ("pca", "ae", "vae")
QUICK = "quick"
REPEATS = 3


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    again = "what ran ended KILLED; the same command again goes on where this one stopped"
    return command(lambda: _assignment(arguments), killed=again)


def parser() -> Parser:
    """How much to run, what to show, and where to write."""
    made = Parser("studies.assignment", "Run what the course assignment asks for, and answer it from the store.")
    what = made.add_argument_group("what to run")
    add_switch(what, "--full", "three seeds and 12 epochs everywhere, the preset assignment: about an hour")
    what.add_argument("--preset", default=UNSET, metavar="NAME", help=f"a grid by name: {', '.join(PRESETS)}")
    what.add_argument(
        "--show", default=",".join(map(str, SHOWN)), metavar="2,10", help="the dim3 to repeat, measure and show"
    )
    what.add_argument("--repeats", default=str(REPEATS), metavar="N", help="seeds of the models that are shown")
    add_means(made)
    add_switch(made, "--dry-run", "stop after the table of costs")
    made.add_argument("--out", default="reports", metavar="DIR", help="where to write assignment.html")
    made.add_store()
    return made


def space_of(given: argparse.Namespace) -> tuple[Space, str]:
    """The grid as typed, and the study's default name. Raises BadInput."""
    if given.full == "yes" and given.preset not in (UNSET, "assignment"):
        raise BadInput(f"full is the preset assignment, and {given.preset!r} was asked for; allowed: one of them")
    name = "assignment" if given.full == "yes" else QUICK if given.preset == UNSET else given.preset
    return grid(name, parse_range(given.show), whole("repeats", given.repeats)), name


def grid(preset: str, show: Iterable[int], repeats: int) -> Space:
    """The grid of that name, with what is to be shown measured and repeated. Raises BadInput."""
    start, shown = start_of(preset), tuple(whole_number("show", k) for k in show)
    dim3 = {model: start.dim3.get(model, start.dim3["pca"]) for model in MODELS}
    for model, values in dim3.items():
        for k in shown:
            if k not in values:
                raise BadInput(f"show {k}: not among the dim3 of {model}; allowed: {', '.join(map(str, values))}")
    return replace(start, dim3=dim3, measured=shown, repeats=whole_number("repeats", repeats))


@dataclass(frozen=True)
class Answer:
    """The study that was run, and the page that was written from it."""

    scan: ScanResult
    report: Report


def answer(
    *,
    preset: str = QUICK,
    show: Iterable[int] = SHOWN,
    repeats: int = REPEATS,
    out: Path | str = "reports",
    study: str | None = None,
    storage: str = DEFAULT_STORAGE,
    workers: int | None = None,
    backend: str = "local",
    scheduler: str | None = None,
    take_over: bool = False,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    verbose: bool = False,
) -> Answer:
    """Run what the assignment asks for and the store has not, and write `assignment.html` from it.

    `preset` is a name in PRESETS, `show` the dim3 to repeat with `repeats` seeds, to measure and to show; the rest is
    as of `studies.scan.scan`. Raises BadInput, RunFailed as that does, and Failed where the store stops answering.
    """
    space = grid(preset, show, repeats)
    means = Means(study or preset, storage, workers, backend, scheduler, take_over, verbose)
    with borrowed(tracking_uri, experiment):
        return answer_space(space, means, out)


def answer_space(space: Space, means: Means, out: Path | str) -> Answer:
    """The same of a grid, in the store in use."""
    try:
        output_folder(Path(out))
        ran = run_space(space, means)
        written = report(dataset=space.base.dataset, epochs=space.base.epochs, show=space.measured, out=out)
    except Unanswerable as error:
        raise BadInput(str(error)) from error
    means.say(f"\n{written.text}")
    return Answer(ran, written)


def _assignment(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    use_store(given)
    space, default_name = space_of(given)
    means = means_of(given, default_name)
    if given.dry_run == "yes":
        estimate_space(space, means)
        return 0
    try:
        made = answer_space(space, means, given.out)
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if made.scan.complete else 1


if __name__ == "__main__":
    sys.exit(main())
