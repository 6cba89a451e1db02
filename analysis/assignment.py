"""The course assignment answered from a tracking store: `python -m analysis.assignment --experiment NAME --out DIR`.

Reads runs and nothing else; `python -m studies.assignment` makes those that are missing first. From Python: `report`.
Exit codes: 0 done; 1 the store stopped answering; 2 bad input, one line on stderr; 130 interrupted.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import mlflow
from matplotlib import style
from mlflow import MlflowClient

from elbowroom.tracking.cli import Parser, command
from elbowroom.tracking.store.addresses import DEFAULT_STORE
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import Tag
from elbowroom.tracking.store.session import ask, borrowed, how_to_open, links_of, opened
from elbowroom.tracking.store.terminal import say

from .figures.assignment import figures_of
from .findings.find import Findings, find, plain
from .latent_space.answers import Answers, answer
from .latent_space.measured import Shelf, measured
from .pages.assignment import AssignmentPage, render
from .pages.output import output_folder, png, write_files
from .reporting.publish import Record, log_analysis
from .runs.cells import Store
from .runs.comparison import Comparison, compare
from .runs.query import read

PAGE, FOLDER = "assignment.html", "assignment-figures"
SHOWN = (2, 10)


class Wanted(NamedTuple):
    """Which of a store's comparisons the page is about, and the dim3 that it shows; None: the largest one."""

    dataset: str | None = None
    epochs: int | None = None
    shown: tuple[int, ...] = SHOWN


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return command(lambda: _assignment(arguments), killed="nothing was written")


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser("analysis.assignment", "Answer the course assignment from the measured runs of a tracking store.")
    made.add_argument("--show", default="2,10", metavar="2,10", help="the dim3 to show")
    made.add_argument("--out", default="reports", metavar="DIR", help="where to write assignment.html")
    made.add_store(read=True)
    return made


def _assignment(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    words = given.show.split(",")
    if not all(re.fullmatch(r"\s*0*[1-9][0-9]{0,8}\s*", w, re.ASCII) for w in words):
        raise BadInput(f"show {given.show!r}: allowed are whole numbers from 1, like 2,10")
    done = report(
        experiment=given.experiment,
        tracking_uri=given.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE,
        show=[int(w) for w in words],
        out=given.out,
        log=given.no_log == "no",
    )
    say(done.text)
    return 0


@dataclass(frozen=True)
class Report:
    """The answers, and the page and run they were written to."""

    answers: Answers
    findings: Findings
    page: Path
    """assignment.html; beside it `assignment.json` and the figures."""
    run_id: str | None
    """Of the analysis that was logged, if it was."""
    text: str
    """What the command prints."""


def report(
    *,
    experiment: str | None = None,
    tracking_uri: str | None = None,
    dataset: str | None = None,
    epochs: int | None = None,
    show: Iterable[int] = SHOWN,
    out: Path | str = "reports",
    log: bool = True,
) -> Report:
    """Answer the assignment from the measured runs of an experiment, write the page, and log it as a run of its own.

    None is the store in use, the experiment that the environment names, else `elbowroom`, and the largest of its
    comparisons. `show` are the dim3 to show. Without `log` nothing is written into the store. Nothing is printed.

    Raises BadInput where the store has no runs that were measured, Failed where it stops answering.
    """
    uri = mlflow.get_tracking_uri() if tracking_uri is None else tracking_uri
    out = output_folder(Path(out))
    with borrowed(), opened(uri, experiment, log=log) as (client, name):
        return write(client, name, out, Wanted(dataset, epochs, tuple(dict.fromkeys(show))), log=log)


def write(client: MlflowClient, experiment: str, out: Path, wanted: Wanted, *, log: bool = True) -> Report:
    """Answer the assignment as `report` does, with a client that is open already."""
    store = ask(lambda: read(client, experiment))
    comparison, *rest = _comparisons(store, wanted)
    others = [f"{c.name} was measured too, and is not on this page, which has one data set and training" for c in rest]
    findings = ask(lambda: find(store._replace(cells=comparison.cells)))
    shelf = Shelf()
    answers = ask(lambda: answer(comparison, wanted.shown, shelf))
    groups = measured(comparison, wanted.shown)
    with style.context("default"):  # the caller's figures may have one of their own
        drawn = ask(lambda: figures_of(groups, answers, findings.comparisons[0], shelf))
        figures = {name: png(figure) for name, figure in drawn.items()}
    answers = replace(answers, notes=list(dict.fromkeys([*answers.notes, *shelf.notes, *others])))
    links = links_of(client, store.experiment_id)
    page = AssignmentPage(
        figures=figures,
        links=links,
        command=_command(experiment, wanted),
        made_with={name: version(name) for name in ("mlflow", "numpy", "scipy", "scikit-learn", "matplotlib")},
        note=how_to_open(client),
        runs=[(c.run_id, c.name) for g in groups for c in g.cells],
    )
    files = {
        PAGE: render(answers, findings, page).encode(),
        "assignment.json": _json(answers, findings).encode(),
        **{f"{FOLDER}/{i + 1:02d}-{_slug(name)}.png": data for i, (name, data) in enumerate(figures.items())},
    }
    write_files(out, files)
    run_id, said = None, [f"open {out / PAGE}"]
    if log:
        record = Record(
            "assignment",
            tags={Tag.RUNS_DIGEST: findings.digest, Tag.DESCRIPTION: "The course assignment, answered by measurement."},
            params={"analysed_experiment": experiment, "runs_read": str(len(findings.runs))},
            metrics={},
        )
        written = f"the page is in {out} and not in the store"
        run_id = ask(lambda: log_analysis(client, store.experiment_id, record, out, files, None), written)
        said.insert(0, f"logged as run {run_id}: {links(run_id)}")
    if answers.notes:
        said.insert(0, f"missing or unusable: {len(answers.notes)}; the page names them")
    return Report(answers, findings, out / PAGE, run_id, "\n".join(said))


def _slug(name: str) -> str:
    """A figure's name, which has a model's name in it, as a file's."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:60].strip("-")


def _comparisons(store: Store, wanted: Wanted) -> list[Comparison]:
    """The comparisons with measured runs that are wanted, the largest first; at least one. Raises BadInput."""
    found = [
        c
        for c in compare(store.cells)
        if wanted.dataset in (None, c.dataset)
        and (wanted.epochs is None or str(wanted.epochs) == c.settings.get("epochs"))
        and measured(c, wanted.shown)
    ]
    if not found:
        shown = ", ".join(map(str, wanted.shown))
        raise BadInput(
            f"experiment {store.experiment!r} has no finished run with --measure at dim3 {shown}; "
            "python -m studies.assignment makes them"
        )
    return found


def _command(experiment: str, wanted: Wanted) -> str:
    shown = ",".join(map(str, wanted.shown))
    return shlex.join(["python", "-m", "analysis.assignment", "--experiment", experiment, "--show", shown])


def _json(answers: Answers, findings: Findings) -> str:
    found = {"answers": asdict(answers), "runs": findings.runs, "digest": findings.digest}
    return json.dumps(plain(found), sort_keys=True, indent=1, allow_nan=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
