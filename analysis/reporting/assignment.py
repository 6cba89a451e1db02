"""The assignment's answers from a store: read, answer, draw, write the page, and log it: `report(...)`."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import mlflow
from matplotlib import style
from mlflow import MlflowClient

from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import Tag
from elbowroom.tracking.store.session import ask, borrowed, links_of, opened

from ..figures.assignment import figures_of
from ..figures.curves import plot_equivalent, plot_error
from ..findings.find import Findings, find, plain
from ..latent_space.answers import Answers, Shelf, answer, measured
from ..pages.assignment import AssignmentPage, render
from ..runs.comparison import Comparison, Store, compare
from ..runs.query import read
from .publish import Record, log_analysis, output_folder, png, write_files

_PAGE, _FOLDER = "assignment.html", "assignment-figures"
SHOWN = (2, 10)


class _Wanted(NamedTuple):
    """The comparison to show, None for the largest, and the dim3 to show."""

    dataset: str | None = None
    epochs: int | None = None
    shown: tuple[int, ...] = SHOWN


@dataclass(frozen=True)
class Report:
    """The answers, and where they were written."""

    answers: Answers
    findings: Findings
    page: Path
    """assignment.html; beside it `assignment.json` and the figures."""
    run_id: str | None
    """The run that the page was logged to, None without `log`."""
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
    """Answer the assignment from the measured runs of an experiment, write the page, and log it as a run.

    Parameters
    ----------
    experiment, tracking_uri
        None for the experiment of the environment, else `elbowroom`, and for MLflow's store in use.
    dataset, epochs
        Of the comparison to show; None for the largest one.
    show
        The dim3 to show.
    out
        The folder for the page, `assignment.json` and the figures.
    log
        Whether to log the page to the store.

    Returns
    -------
    Report
        Nothing is printed; `text` is what the command prints.

    Raises
    ------
    BadInput
        Where the store has no measured run at these dim3.
    Failed
        Where the store stops answering.
    """
    uri = mlflow.get_tracking_uri() if tracking_uri is None else tracking_uri
    out = output_folder(Path(out))
    with borrowed(), opened(uri, experiment, log=log) as (client, name):
        return _write(client, name, out, _Wanted(dataset, epochs, tuple(dict.fromkeys(show))), log=log)


def _write(client: MlflowClient, experiment: str, out: Path, wanted: _Wanted, *, log: bool = True) -> Report:
    store = ask(lambda: read(client, experiment))
    comparison, *rest = _comparisons(store, wanted)
    others = [f"{c.name} was measured too, and is not on this page, which has one data set and training" for c in rest]
    findings = ask(lambda: find(store._replace(cells=comparison.cells), comparisons=[comparison]))
    shelf = Shelf()
    answers = ask(lambda: answer(comparison, wanted.shown, shelf))
    groups = measured(comparison, wanted.shown)
    with style.context("default"):  # the caller's figures may have one of their own
        finding = findings.comparisons[0]
        drawn = {"error": plot_error(finding), "equivalent": plot_equivalent(finding)}
        drawn |= ask(lambda: figures_of(groups, answers, shelf))
        figures = {name: png(figure) for name, figure in drawn.items() if figure is not None}
    answers = replace(answers, notes=list(dict.fromkeys([*answers.notes, *shelf.notes, *others])))
    links, note = links_of(client, store.experiment_id)
    page = AssignmentPage(
        figures=figures,
        links=links,
        command=_command(experiment, wanted),
        made_with={name: version(name) for name in ("mlflow", "numpy", "scipy", "scikit-learn", "matplotlib")},
        note=note,
        runs=[(c.run_id, c.name) for g in groups for c in g.cells],
    )
    files = {
        _PAGE: render(answers, findings, page).encode(),
        "assignment.json": _json(answers, findings).encode(),
        **{f"{_FOLDER}/{i + 1:02d}-{_slug(name)}.png": data for i, (name, data) in enumerate(figures.items())},
    }
    write_files(out, files)
    run_id, said = None, [f"open {out / _PAGE}"]
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
    return Report(answers, findings, out / _PAGE, run_id, "\n".join(said))


def _slug(name: str) -> str:
    """Return the name of a figure as a file name; it may contain the name of a user's model."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:60].strip("-")


def _comparisons(store: Store, wanted: _Wanted) -> list[Comparison]:
    """Return the wanted comparisons with measured runs, the largest first. Raises BadInput where there is none."""
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


def _command(experiment: str, wanted: _Wanted) -> str:
    shown = ",".join(map(str, wanted.shown))
    return shlex.join(["python", "-m", "analysis.assignment", "--experiment", experiment, "--show", shown])


def _json(answers: Answers, findings: Findings) -> str:
    found = {"answers": answers, "runs": findings.runs, "digest": findings.digest}
    return json.dumps(plain(found), sort_keys=True, indent=1, allow_nan=False) + "\n"
