"""The course assignment answered from a tracking store: `python -m analysis.assignment --experiment NAME --out DIR`.

Reads runs and nothing else; `python -m studies.assignment` makes those that are missing first. From Python: `report`.
Exit codes: 0 done; 1 the store stopped answering; 2 bad input, one line on stderr; 130 interrupted.
"""

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from math import inf
from pathlib import Path

import mlflow
from matplotlib import style
from matplotlib.figure import Figure
from PIL import Image
from sklearn.utils import Bunch

from elbowroom.tracking.cli import Parser, command
from elbowroom.tracking.store.addresses import store_uri
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.session import ask, borrowed, links_of, opened, see_it
from elbowroom.tracking.store.terminal import say

from .figures.assignment import Drawn, figures_of
from .figures.curves import plot_equivalent, plot_error, plot_pictures
from .figures.panels import Codes, Tiles
from .findings.find import ComparisonFinding, Findings, find, to_json
from .latent_space.answers import Answers, Estimate, Shelf, answer, measured
from .latent_space.projections import project
from .pages.assignment import AssignmentPage, curves_of, render
from .pages.interactive import View, views
from .pages.report import room_for_live
from .reporting.publish import Logged, log_analysis, output_folder, png, write_files
from .runs.arrays import examples
from .runs.comparison import Comparison, compare
from .runs.query import read

_PAGE, _FOLDER = "assignment.html", "assignment-figures"
SHOWN = (2, 10)
_COLOURS = 255  # of a PNG file of codes


@dataclass(frozen=True)
class Report:
    """The answers, and where they were written: page is assignment.html, and text what the command prints.

    run_id is the run that the page was logged to, None without `log`.
    """

    answers: Answers
    findings: Findings
    page: Path
    run_id: str | None
    text: str


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
    experiment, tracking_uri, log
        As `analysis.reporting.report` takes them.
    dataset, epochs
        Of the comparison to show; None for the largest one.
    show
        The dim3 to show.
    out
        The folder for the page, `assignment.json` and the figures.

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
    out, show = output_folder(Path(out)), tuple(dict.fromkeys(show))
    with borrowed(), opened(uri, experiment, log=log) as (client, name):
        store = ask(lambda: read(client, name))
        comparisons = [c for c in compare(store.cells) if dataset in (None, c.dataset)]
        comparisons = [c for c in comparisons if epochs is None or str(epochs) == c.settings.get("epochs")]
        comparison, *others = _measured(comparisons, show, name)
        found = ask(lambda: find(store._replace(cells=comparison.cells), comparisons=[comparison]))
        answers, drawn = ask(lambda: _answered(comparison, found, show))
        apart = "was measured too, and is not on this page, which has one data set and training"
        notes = dict.fromkeys([*answers.notes, *(f"{c.name} {apart}" for c in others)])
        answers = replace(answers, notes=list(notes))
        links, note = links_of(client, store.experiment_id)
        figures = {name: _file(figure) for name, figure in drawn.items()}
        page = AssignmentPage(
            figures=figures,
            live=ask(lambda: _live(_scanned(found, show), room_for_live(figures.values(), inf))),
            panels={name: panel for name, panel in drawn.items() if not isinstance(panel, Figure)},
            links=links,
            command=_command(name, show),
            made_with={name: version(name) for name in ("mlflow", "numpy", "scipy", "scikit-learn", "matplotlib")},
            note=note,
            runs=[(c.run_id, c.name) for g in measured(comparison, show) for c in g.cells],
        )
        files = _files(answers, found, page)
        write_files(out, files)
        run_id, said = None, [f"open {out / _PAGE}"]
        if log:
            logged = Logged("assignment", "The course assignment, answered by measurement.")
            written = f"the page is in {out} and not in the store"
            run_id = ask(lambda: log_analysis(client, store.experiment_id, found, logged, out, files), written)
            said.insert(0, f"logged as run {run_id}\n{see_it(store.experiment_id, run_id)}")
    if answers.notes:
        said.insert(0, f"missing or unusable: {len(answers.notes)}; the page names them")
    return Report(answers, found, out / _PAGE, run_id, "\n".join(said))


def _measured(comparisons: list[Comparison], shown: tuple[int, ...], experiment: str) -> list[Comparison]:
    """The comparisons with measured runs, the largest first. Raises BadInput where there is none."""
    found = [c for c in comparisons if measured(c, shown)]
    if not found:
        raise BadInput(
            f"experiment {experiment!r} has no finished run with --measure at dim3 {', '.join(map(str, shown))}; "
            "python -m studies.assignment makes them"
        )
    return found


@style.context("default")  # the caller's figures may have one of their own
def _answered(comparison: Comparison, found: Findings, shown: tuple[int, ...]) -> tuple[Answers, dict[str, Drawn]]:
    """The answers, and the figures by name."""
    shelf = Shelf()
    answers = _compared(answer(comparison, shown, shelf), found.comparisons[0])
    scanned = _scanned(found, shown)
    plots = {"error": plot_error, "equivalent": plot_equivalent, "pictures": plot_pictures}
    curves = {name: plot(scanned) for name, plot in plots.items()}
    drawn: dict[str, Drawn] = {name: figure for name, figure in curves.items() if figure is not None}
    drawn |= figures_of(measured(comparison, shown), answers, shelf)
    return replace(answers, notes=[*answers.notes, *shelf.notes]), drawn


def _scanned(found: Findings, shown: tuple[int, ...]) -> ComparisonFinding:
    """The comparison that is shown, with the models that were scanned."""
    finding = found.comparisons[0]
    return replace(finding, models=curves_of(finding, shown))


def _live(scanned: ComparisonFinding, room: int) -> dict[str, View]:
    """Return the views that the page's script draws: the reconstructions and the codes at each dim3."""
    series = scanned.comparison.series
    rows, codes = examples(series), project(series)
    made = views(
        [scanned],
        {} if rows is None else {scanned.name: rows},
        {} if codes is None else {scanned.name: codes},
        lambda run_id: None,
        room,
    )
    return {name: view for name, view in made.items() if name != "c1-error"}


def _file(drawn: Drawn) -> bytes:
    """A figure as a PNG file; of codes with few colours, which thousands of dots on each other need not have."""
    if isinstance(drawn, Tiles):
        return drawn.png
    if not isinstance(drawn, Codes):
        return png(drawn)
    into = io.BytesIO()
    few = Image.open(io.BytesIO(png(drawn.figure))).quantize(_COLOURS, Image.Quantize.FASTOCTREE)
    few.save(into, "PNG", optimize=True)
    return into.getvalue()


def _compared(answers: Answers, finding: ComparisonFinding) -> Answers:
    """The answers with the ratio of errors to PCA's of the report, whose interval pools the trainings of all dim3."""
    ratios = {
        (m.label, a.dim3): Estimate(a.ratio, a.low, a.high)
        for m in finding.models
        for a in m.against
        if a.ratio is not None
    }
    return replace(answers, maps=[Bunch(**row, ratio=ratios.get((row.label, row.dim3))) for row in answers.maps])


def _files(answers: Answers, found: Findings, page: AssignmentPage) -> dict[str, bytes]:
    """The content of each file by its path."""
    values = {"answers": answers, "runs": found.runs, "digest": found.digest}
    pictures = {f"{_FOLDER}/{i + 1:02d}-{_slug(n)}.png": png for i, (n, png) in enumerate(page.figures.items())}
    return {
        _PAGE: render(answers, found, page).encode(),
        "assignment.json": to_json(values).encode(),
        **pictures,
    }


def _slug(name: str) -> str:
    """The name of a figure as a file name; it may contain the name of a user's model."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:60].strip("-")


def _command(experiment: str, shown: tuple[int, ...]) -> str:
    words = ["python", "-m", "analysis.assignment", "--experiment", experiment, "--show", ",".join(map(str, shown))]
    return shlex.join(words)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
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
        tracking_uri=store_uri(given.tracking_uri),
        show=[int(w) for w in words],
        out=given.out,
        log=given.no_log == "no",
    )
    say(done.text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
