"""Answer the course assignment by measurement: `python -m studies.assignment`, and `--full` for numbers to quote.

Trains the missing cells of a scan with PCA, autoencoder and VAE, with measures and several seeds at the dim3 to show,
and there autoencoders with the VAE's loss; writes `assignment.html` from the store. The same command again continues.
From Python: `answer`. Exit codes as of `studies.scan`.
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
from elbowroom.analysis.reporting.publish import output_folder
from elbowroom.tracking.cli import UNSET, Parser
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.session import borrowed, use_store
from elbowroom.tracking.store.text import KEY_LENGTH

from .grid import DEFAULT_MODELS, PRESETS, Grid, check_whole, parse_range, parse_whole
from .options import SWITCH, Options, add_options
from .scan import ScanResult, grid_command, scan

_QUICK = "quick"
_REPEATS = 3
_SAME_LOSS = " ae-bce"  # ends the name of the study of autoencoders with the VAE's loss
_CROSS_ENTROPY = ("mnist", "fashion-mnist", "digits")  # data sets on which a VAE's loss is the cross-entropy


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return grid_command(
        lambda: _parse(arguments),
        lambda given, grid, options: answer(grid, options, out=given.out).complete,
        _same_loss,
    )


def parser() -> Parser:
    """The flags of what to train, what to show, and where to write."""
    made = Parser("studies.assignment", "Run what the course assignment asks for, and answer it from the store.")
    what = made.add_argument_group("what to run")
    what.add_argument(
        "--full", **SWITCH, help="three seeds and 12 epochs everywhere, the preset assignment: about an hour"
    )
    what.add_argument("--preset", default=UNSET, metavar="NAME", help=f"a grid by name: {', '.join(PRESETS)}")
    what.add_argument(
        "--show",
        default=",".join(map(str, SHOWN)),
        metavar="2,10",
        help="the dim3 that are repeated, measured and shown",
    )
    what.add_argument("--repeats", default=str(_REPEATS), metavar="N", help="number of seeds at these dim3")
    add_options(made)
    made.add_argument("--dry-run", **SWITCH, help="stop after the table of costs")
    made.add_argument("--out", default="reports", metavar="DIR", help="where to write assignment.html")
    made.add_store()
    return made


def _parse(arguments: list[str] | None) -> tuple[argparse.Namespace, Grid]:
    """The flags and the grid as typed. Raises BadInput."""
    given = parser().parse_args(arguments)
    use_store(given)
    if given.full == "yes" and given.preset not in (UNSET, "assignment"):
        raise BadInput(f"full is the preset assignment, and {given.preset!r} was asked for; allowed: one of them")
    name = "assignment" if given.full == "yes" else _QUICK if given.preset == UNSET else given.preset
    return given, assignment_grid(name, show=parse_range(given.show), repeats=parse_whole("repeats", given.repeats))


def assignment_grid(preset: str = _QUICK, *, show: Iterable[int] = SHOWN, repeats: int = _REPEATS) -> Grid:
    """Make the grid of the assignment from a preset.

    Parameters
    ----------
    preset
        A name in PRESETS.
    show
        The dim3 that the page shows, whose cells are measured.
    repeats
        The least number of seeds at these dim3.

    Raises
    ------
    BadInput
        An unknown preset, a dim3 that the preset has not, or a number below 1.
    """
    grid, shown = Grid.of(DEFAULT_MODELS, preset=preset), tuple(check_whole("show", k) for k in show)
    for model, values in grid.dim3.items():
        for k in shown:
            if k not in values:
                raise BadInput(f"show {k}: not among the dim3 of {model}; allowed: {', '.join(map(str, values))}")
    return replace(grid, measured=shown, repeats=check_whole("repeats", repeats))


def _same_loss(grid: Grid, options: Options) -> list[tuple[Grid, Options]]:
    """The study of autoencoders with the VAE's loss at the dim3 that are shown; none where all cells share a loss.

    A study of its own, because a study's cells share their settings. Without it a difference between the two models
    could be one between squared error and cross-entropy.
    """
    if grid.base.loss != "auto" or grid.base.dataset not in _CROSS_ENTROPY or not {"ae", "vae"} <= grid.dim3.keys():
        return []
    name = options.named(grid.study).study
    base = replace(grid.base, loss="bce")
    same = Grid({"ae": grid.measured}, grid.repeats, base, grid.label, grid.measured, grid.repeats, aside=True)
    return [(same, replace(options, study=f"{name[: KEY_LENGTH - len(_SAME_LOSS)]}{_SAME_LOSS}"))]


@dataclass(frozen=True)
class Answer:
    """The study that was run, that of the autoencoder with the VAE's loss, and the page that was written from them."""

    scan: ScanResult
    same_loss: ScanResult | None
    """None where the data set or the grid has no such cells."""
    report: Report

    @property
    def complete(self) -> bool:
        """Whether every cell has finished."""
        return self.scan.complete and (self.same_loss is None or self.same_loss.complete)


def answer(grid: Grid | None = None, options: Options | None = None, *, out: Path | str = "reports") -> Answer:
    """Train the cells of the assignment that the store has not, and write `assignment.html` from it.

    Parameters
    ----------
    grid
        None: `assignment_grid()`.
    options
        As of `studies.scan.scan`.
    out
        The folder to write to.

    Raises
    ------
    BadInput, RunFailed
        As of `studies.scan.scan`.
    Failed
        The store stopped answering.
    """
    grid, options = assignment_grid() if grid is None else grid, options or Options()
    with borrowed(options.tracking_uri, options.experiment):
        output_folder(Path(out))
        ran = scan(grid, options)
        beside = [scan(*each) for each in _same_loss(grid, options)]
        written = report(dataset=grid.base.dataset, epochs=ran.epochs, show=grid.measured, out=out)
    options.say(f"\n{written.text}")
    return Answer(ran, next(iter(beside), None), written)


if __name__ == "__main__":
    sys.exit(main())
