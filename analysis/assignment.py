"""The course assignment answered from a tracking store: `python -m analysis.assignment --experiment NAME --out DIR`.

Reads runs and nothing else; `python -m studies.assignment` makes those that are missing first. Exit codes: 0 done;
1 the store stopped answering; 2 bad input, one line on stderr; 130 interrupted.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from mlflow import MlflowClient

from tracking.schema import (
    Artifact,
    Source,
    Tag,
    distances_artifact,
    nearest_artifact,
    sample_artifact,
)

from .answers import Answers, Group, Shelf, answer, measured
from .assignment_page import AssignmentPage, render
from .curves import Comparison, compare
from .errors import BadInput, hidden
from .exhibits import (
    Cloud,
    Decoded,
    Look,
    draw_distances,
    draw_draws,
    draw_interpolations,
    draw_kl,
    draw_planes,
    draw_quality,
    draw_repeats,
    draw_robustness,
    draw_samples,
)
from .figures import plot_equivalent, plot_error
from .findings import Findings, find, plain
from .latents import reshaped_onto
from .place import ask, how_to_open, links_of, opened, output_folder, png, write_files
from .publish import Record, log_analysis
from .report import Parser, add_store, command
from .store import Cell, Store, read

Array = np.ndarray[Any, Any]
FOLDER = "assignment-figures"
SHOWN = (2, 10)
PLANE_SIDE = 2  # axes of the plane that scatters are drawn on


class Wanted(NamedTuple):
    """Which of a store's comparisons the page is about, and the dim3 that it shows; None: the largest one."""

    dataset: str | None = None
    epochs: int | None = None
    shown: tuple[int, ...] = SHOWN


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return command(lambda: _said(arguments))


def parser() -> Parser:
    """Where the runs are, what to show, and what to leave behind."""
    made = Parser(
        prog="python -m analysis.assignment",
        description="Answer the course assignment from the measured runs of a tracking store.",
        allow_abbrev=False,
    )
    made.add_argument("--show", default="2,10", metavar="2,10", help="the dim3 to show")
    made.add_argument("--out", default="reports", metavar="DIR", help="where to write assignment.html")
    add_store(made)
    return made


def _said(arguments: list[str] | None) -> str:
    given = parser().parse_args(arguments)
    words = given.show.split(",")
    if not all(w.strip().isdigit() and int(w) > 0 for w in words):
        raise BadInput(f"show {given.show!r}: allowed are whole numbers from 1, like 2,10")
    out = output_folder(Path(given.out))
    client, experiment = opened(given.tracking_uri, given.experiment)
    shown = tuple(dict.fromkeys(int(w) for w in words))
    return write(client, experiment, out, Wanted(shown=shown), log=given.no_log == "no")


def write(client: MlflowClient, experiment: str, out: Path, wanted: Wanted, *, log: bool = True) -> str:
    """Write the page, its numbers and its figures, and log them as a run of kind `analysis`; what to print.

    Raises BadInput where the store has no runs that were measured, Failed where it stops answering.
    """
    store = ask(lambda: read(client, experiment))
    comparison = _comparison(store, wanted)
    findings = ask(lambda: find(store._replace(cells=_cells(comparison))))
    shelf = Shelf()
    answers = ask(lambda: answer(comparison, wanted.shown, shelf))
    groups = measured(comparison, wanted.shown)
    figures = {name: png(figure) for name, figure in ask(lambda: _figures(groups, answers, findings, shelf)).items()}
    answers = replace(answers, notes=list(dict.fromkeys([*answers.notes, *shelf.notes])))
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
        "assignment.html": render(answers, findings, page).encode(),
        "assignment.json": _json(answers, findings).encode(),
        **{f"{FOLDER}/{i + 1:02d}-{_slug(name)}.png": data for i, (name, data) in enumerate(figures.items())},
    }
    write_files(out, files)
    said = [f"open {out / 'assignment.html'}"]
    if log:
        record = Record(
            "assignment",
            tags={Tag.RUNS_DIGEST: findings.digest, Tag.DESCRIPTION: "The course assignment, answered by measurement."},
            params={"analysed_experiment": experiment, "runs_read": str(len(findings.runs))},
            metrics={},
        )
        run_id = ask(lambda: log_analysis(client, store.experiment_id, record, out, files, None))
        said.insert(0, f"logged as run {run_id}: {links(run_id)}")
    if answers.notes:
        said.insert(0, f"missing or unusable: {len(answers.notes)}; the page names them")
    return "\n".join(said)


def _slug(name: str) -> str:
    """A figure's name, which has a model's name in it, as a file's."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:60].strip("-")


def _comparison(store: Store, wanted: Wanted) -> Comparison:
    """The comparison with measured runs that is wanted, the largest where several are."""
    found = [c for c in compare(store.cells) if measured(c, wanted.shown)]
    for given, has in ((wanted.dataset, "dataset"), (wanted.epochs, "epochs")):
        if given is not None:
            found = [c for c in found if str(given) == (c.dataset if has == "dataset" else c.settings.get("epochs"))]
    if not found:
        shown = ", ".join(map(str, wanted.shown))
        raise BadInput(
            f"experiment {store.experiment!r} has no finished run with --measure at dim3 {shown}; "
            "python -m studies.assignment makes them"
        )
    return found[0]


def _cells(comparison: Comparison) -> list[Cell]:
    return [c for s in comparison.series for by_seed in s.cells.values() for c in by_seed.values()]


def _command(experiment: str, wanted: Wanted) -> str:
    shown = ",".join(map(str, wanted.shown))
    return hidden(shlex.join(["python", "-m", "analysis.assignment", "--experiment", experiment, "--show", shown]))


def _json(answers: Answers, findings: Findings) -> str:
    found = {"answers": asdict(answers), "runs": findings.runs, "digest": findings.digest}
    return json.dumps(plain(found), sort_keys=True, indent=1, allow_nan=False) + "\n"


def _figures(groups: list[Group], answers: Answers, findings: Findings, shelf: Shelf) -> dict[str, Figure]:
    """Every figure that has something to show, by name."""
    finding = findings.comparisons[0]
    look = _look(groups, shelf)
    labels, classes = _labels(groups[0], shelf)
    first = groups[0].dim3
    here = [g for g in groups if g.dim3 == first]
    made: dict[str, Figure | None] = {"error": plot_error(finding), "equivalent": plot_equivalent(finding)}
    for group in here:
        made[f"repeats {group.label}"] = _repeats(group, labels, classes, shelf)
    made["planes"] = _planes(here, labels, classes, look, shelf)
    made["posterior"] = _posterior(here, labels, classes, look, shelf)
    for group in groups:
        if group.has_posterior and (drawn := shelf.one(group.cells[0], Artifact.DRAWS, 3)) is not None:
            made[f"draws {group.label} {group.dim3}"] = draw_draws(drawn, look=look)
    for dim3 in dict.fromkeys(g.dim3 for g in groups):
        mine = [g for g in groups if g.dim3 == dim3]
        made |= {f"{name} {dim3}": figure for name, figure in _at(mine, answers, look, shelf).items()}
    panels = [
        (
            k,
            [
                (r.label, r.model, np.array([r.lengths, r.errors, r.standard_errors]).T)
                for r in answers.robust
                if r.dim3 == k
            ],
        )
        for k in dict.fromkeys(r.dim3 for r in answers.robust)
    ]
    made["robustness"] = draw_robustness(panels) if panels else None
    bars = [(f"{h.label}, dim3 = {h.dim3}", np.array(h.kl_by_dim[0])) for h in answers.health]
    made["kl"] = draw_kl(bars) if bars else None
    return {name: figure for name, figure in made.items() if figure is not None}


def _at(groups: Sequence[Group], answers: Answers, look: Look, shelf: Shelf) -> Mapping[str, Figure | None]:
    """The figures of one dim3: generators side by side."""
    dim3 = groups[0].dim3
    by_label = {g.label: g for g in groups}
    bands, curves = [], []
    for one in (g for g in answers.generators if g.dim3 == dim3 and g.main):
        cell, source = by_label[one.label].cells[0], Source(one.source)
        rows, near = shelf.one(cell, sample_artifact(source), 2), shelf.one(cell, nearest_artifact(source), 2)
        distances = shelf.one(cell, distances_artifact(source), 1)
        bands += [] if rows is None or near is None else [(one.name, rows, near)]
        curves += [] if distances is None else [(one.name, distances)]
    real = shelf.one(groups[0].cells[0], distances_artifact(Source.REAL), 1)
    points = [
        (g.name, g.precision.mean, g.recall.mean)
        for g in answers.generators
        if g.dim3 == dim3 and g.main and g.precision is not None and g.recall is not None
    ]
    ends = [
        (c.precision.mean, c.recall.mean) if c.precision is not None and c.recall is not None else None
        for c in answers.controls
    ]
    paths = [(g.label, shelf.one(g.cells[0], Artifact.INTERPOLATIONS, 3)) for g in groups]
    films = [(label, a) for label, a in paths if a is not None]
    return {
        "samples": draw_samples(bands, look) if bands else None,
        "distances": draw_distances(curves, real) if curves else None,
        "quality": draw_quality(points, ends[0], ends[1]) if points else None,
        "interpolations": draw_interpolations(films, look) if films else None,
    }


def _look(groups: Sequence[Group], shelf: Shelf) -> Look:
    """How rows are drawn: as the runs say, between the ends of the example rows."""
    cell = groups[0].cells[0]
    text = cell.tag(Tag.IMAGE_SHAPE)
    shape = tuple(int(n) for n in text.split("x")) if text else None
    examples = shelf.one(cell, Artifact.ORIGINALS, 2)
    low, high = (0.0, 1.0) if examples is None else (float(examples.min()), float(examples.max()))
    return Look(shape) if low >= 0 and high <= 1 else Look(shape, low, high)


def _labels(group: Group, shelf: Shelf) -> tuple[Array | None, tuple[str, ...]]:
    """Of the test rows, and what their classes are called."""
    quiet = Shelf()  # data without labels are no fault
    labels = quiet.one(group.cells[0], Artifact.LABELS, 1)
    if labels is None or labels.dtype.kind not in "iu":
        return None, ()
    return labels, tuple(str(i) for i in range(int(labels.max()) + 1))


def _flat(codes: Array) -> Array:
    """Codes as they are drawn: up to two dimensions as they are, more on their first two principal axes."""
    if codes.shape[1] <= PLANE_SIDE:
        return codes
    centred = codes - codes.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:PLANE_SIDE]
    flat: Array = codes @ axes.T
    return flat


def _repeats(group: Group, labels: Array | None, classes: tuple[str, ...], shelf: Shelf) -> Figure | None:
    """The scatters of several runs, as they came and aligned to the first."""
    runs = [(f"seed {c.seed}", shelf.one(c, Artifact.CODES, 2)) for c in group.cells]
    if group.is_pca:
        other = shelf.one(group.cells[0], Artifact.CODES_REFIT, 2)
        runs = [("scikit-learn", runs[0][1]), ("another exact program", other)]
    known = [(name, codes) for name, codes in runs if codes is not None]
    if len(known) < 2 or len({len(codes) for _, codes in known}) > 1:
        return None
    reference = known[0][1]
    came = [Cloud(name, _flat(codes)) for name, codes in known]
    aligned = [Cloud(known[0][0], _flat(reference))]
    aligned += [Cloud(name, _flat(reshaped_onto(codes, reference))) for name, codes in known[1:]]
    return draw_repeats(came, aligned, _fitting(labels, reference), classes)


def _fitting(labels: Array | None, codes: Array) -> Array | None:
    return labels if labels is not None and len(labels) == len(codes) else None


def _planes(
    groups: Sequence[Group], labels: Array | None, classes: tuple[str, ...], look: Look, shelf: Shelf
) -> Figure | None:
    """Scatter and decoded plane of each model, side by side."""
    clouds, decoded = [], []
    for group in groups:
        cell = group.cells[0]
        codes, x = shelf.one(cell, Artifact.CODES, 2), shelf.one(cell, Artifact.PLANE, 3)
        ticks = shelf.one(cell, Artifact.PLANE_TICKS, 2)
        if codes is not None and x is not None and ticks is not None:
            clouds.append(Cloud(f"{group.label}, dim3 = {group.dim3}", _flat(codes)))
            decoded.append(Decoded(group.label, x, ticks))
    return draw_planes(clouds, decoded, _fitting(labels, clouds[0].codes), classes, look) if clouds else None


def _posterior(
    groups: Sequence[Group], labels: Array | None, classes: tuple[str, ...], look: Look, shelf: Shelf
) -> Figure | None:
    """The codes of a model with distributions, means beside draws."""
    for group in groups:
        if not group.has_posterior:
            continue
        means, drawn = (shelf.one(group.cells[0], a, 2) for a in (Artifact.CODES, Artifact.CODES_SAMPLED))
        if means is not None and drawn is not None and means.shape == drawn.shape:
            clouds = [Cloud(f"{group.label}: means", _flat(means)), Cloud(f"{group.label}: draws", _flat(drawn))]
            return draw_planes(clouds, [], _fitting(labels, means), classes, look)
    return None


if __name__ == "__main__":
    sys.exit(main())
