"""The curve of a scan, error against dim3 for each model: as a table, as CSV and as a figure."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from csv import writer as table_writer
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from mlflow import MlflowClient

from elbowroom.analysis.elbow import Verdict
from elbowroom.analysis.figures.curves import LOG_FROM, draw_path, scale, scale_dim3, styles_of
from elbowroom.analysis.findings import find
from elbowroom.analysis.findings.evidence import ModelEvidence
from elbowroom.analysis.purposes import Rule
from elbowroom.analysis.purposes.choice import Choice
from elbowroom.analysis.reporting.answer import answer_lines, answer_metrics
from elbowroom.analysis.reporting.front_page import describe_experiment, links_line, write_views
from elbowroom.analysis.runs.comparison import Cell, Unusable, own_cell
from elbowroom.analysis.runs.query import read
from elbowroom.tracking.drawing import plain_label
from elbowroom.tracking.store.addresses import children_page, run_page
from elbowroom.tracking.store.names import CURVE_PREFIX, Artifact, Kind, Metric, Tag
from elbowroom.tracking.store.recorder import Recorder
from elbowroom.tracking.store.text import LABEL_LENGTH, key, markdown

from ..execution.cell import error_of
from .study import FinishedCell, StudyRecords


class Point(NamedTuple):
    """One model at one dim3."""

    model: str
    dim3: int
    by_seed: Mapping[int, float]

    @property
    def errors(self) -> list[float]:
        """In the order of the seeds."""
        return [self.by_seed[seed] for seed in sorted(self.by_seed)]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.errors))


def curve(cells: Iterable[FinishedCell]) -> list[Point]:
    """The points of all finished cells, by model in order of appearance and by dim3."""
    found: dict[tuple[str, int], dict[int, float]] = {}
    for cell in cells:
        place = (cell.config.model, cell.config.dim3)
        found.setdefault(place, {})[cell.config.seed] = error_of(cell.metrics)
    order = list(dict.fromkeys(model for model, _ in found))
    return [
        Point(model, dim3, errors)
        for (model, dim3), errors in sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    ]


def evidence(client: MlflowClient, cells: Sequence[FinishedCell]) -> dict[str, ModelEvidence]:
    """The evidence of each model of a study as a report of its experiment has it, so that both say the same."""
    if not cells:
        return {}
    experiment = client.get_experiment(cells[0].run.info.experiment_id).name
    return find.evidence_in(read(client, experiment), {cell.run.info.run_id for cell in cells})


def choices(cells: Iterable[FinishedCell]) -> dict[str, Choice]:
    """The choice of each model by the default rule, as the report makes it."""
    return find.choices(readable(cells))


def readable(cells: Iterable[FinishedCell]) -> list[Cell]:
    """The cells that the analysis can use; the report says why not the others."""
    found = []
    for cell in cells:
        with suppress(Unusable):
            found.append(own_cell(cell.run, {}))
    return found


def table(points: list[Point]) -> str:
    """A row per dim3 and a column per model: the mean error over seeds, and ± its standard deviation.

    A point with fewer seeds than others of its model has their number in brackets.
    """
    if not points:
        return "no cell has finished"
    models = list(dict.fromkeys(p.model for p in points))
    most = {m: max(len(p.errors) for p in points if p.model == m) for m in models}
    by_place = {(p.model, p.dim3): p for p in points}
    lines = ["dim3  " + "".join(f"{m.rpartition(':')[2]:<20}" for m in models).rstrip()]
    for dim3 in sorted({p.dim3 for p in points}):
        words = [_words(by_place.get((m, dim3)), most[m]) for m in models]
        lines.append(f"{dim3:<6}" + "".join(f"{w:<20}" for w in words).rstrip())
    return "\n".join(lines)


def csv(points: list[Point]) -> str:
    """CSV text with the columns dim3, error, seed and model, which the analysis reads."""
    into = io.StringIO()
    writer = table_writer(into, lineterminator="\n")
    writer.writerow(["dim3", "error", "seed", "model"])
    writer.writerows([p.dim3, repr(p.by_seed[seed]), seed, p.model] for p in points for seed in sorted(p.by_seed))
    return into.getvalue()


def draw(points: list[Point], title: str, error: str) -> Figure:
    """Draw the mean over seeds as a line for each model, dotted over dim3 without cells, and a dot for each seed.

    Parameters
    ----------
    points
        All models' points.
    title
        Of the figure.
    error
        The name of the errors.
    """
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    models = list(dict.fromkeys(p.model for p in points))
    for model, style in zip(models, styles_of(models), strict=True):
        mine = [p for p in points if p.model == model]
        least, most = min(len(p.errors) for p in mine), max(len(p.errors) for p in mine)
        seeds = f"{least} to {most}" if least < most else f"{most}"
        label = plain_label(model.rpartition(":")[2], LABEL_LENGTH) + (f", mean of {seeds} seeds" if most > 1 else "")
        x, y = np.array([p.dim3 for p in mine]), np.array([p.mean for p in mine])
        draw_path(axes, x, y, style, marker=style.marker, ms=4.5, label=label)
        if most > 1:
            x = np.array([p.dim3 for p in mine for _ in p.errors])
            axes.plot(x, [e for p in mine for e in p.errors], ".", ms=3, color=style.colour, alpha=0.5)
    axes.set(title=plain_label(title, LABEL_LENGTH), xlabel="latent dimension dim3", ylabel=error)
    scale_dim3(axes.xaxis, (p.dim3 for p in points))
    scale(axes.yaxis, [p.mean for p in points], LOG_FROM)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


class Answers(NamedTuple):
    """The content of a study that its run describes.

    title names the data, choices and verdicts are by model; sentences and tables are plain text, empty ones are left
    out. aside: whether another study's answer stands in the experiment's description.
    """

    title: str
    rule: Rule
    choices: Mapping[str, Choice]
    verdicts: Mapping[str, Verdict]
    sentences: Sequence[str]
    tables: Sequence[str]
    aside: bool = False


def record_answers(records: StudyRecords, answers: Answers) -> dict[str, str]:
    """Write the answers of a study to its run, and to its experiment; return the addresses of the views by name."""
    recorder, place = Recorder(records.client, records.parent_id), records.experiment_id
    recorder.metrics(answer_metrics(answers.choices, answers.verdicts))
    links = write_views(records.client, place)
    cells = {"Its cells by dim3": children_page(place, records.parent_id, Metric.DIM3)}
    study = {f"The study {records.spec.name}": run_page(place, records.parent_id)}
    parts = [links_line(links | cells), description(answers.sentences, *answers.tables)]
    if answers.choices:
        answer = "\n".join(answer_lines(answers.title, answers.rule, answers.choices, answers.verdicts))
        parts.insert(0, answer)
        if not answers.aside:
            text = "\n\n".join([answer, links_line(study | links)])
            describe_experiment(records.client, place, text, Kind.STUDY)
    recorder.tags({Tag.DESCRIPTION: "\n\n".join(parts)})
    records.describe(description(answers.sentences))
    return links


def description(sentences: Sequence[str], *tables: str) -> str:
    """The description of a run, in Markdown: a list of sentences, and tables as code; empty ones are left out.

    The UI wraps a list, but not code, and a long line pushes what it shows beside the description off the page.
    """
    listed = "\n".join(f"- {markdown(s)}" for s in sentences if s)
    fenced = [t.replace("```", "'''") for t in tables if t]
    return "\n\n".join([listed, *(f"```\n{t}\n```" for t in fenced)]).lstrip()


def record_curve(recorder: Recorder, points: list[Point], title: str, error: str) -> None:
    """Write the curve to a run, as metrics, CSV and figure; points, title and error are those of `draw`."""
    logged = [(f"{CURVE_PREFIX}{key(point.model)}", point.dim3, point.mean) for point in points]
    there = {
        (name, m.step, m.value)
        for name in {name for name, *_ in logged}
        for m in recorder.client.get_metric_history(recorder.run_id, name)
    }
    recorder.points(point for point in logged if point not in there)  # else a chart would draw it twice
    with recorder.files() as folder:
        (folder / Artifact.CURVE).write_text(csv(points), encoding="utf-8")
        if points:
            (folder / Artifact.FIGURES).mkdir()
            with matplotlib.style.context("default"):  # the caller may have set another style
                draw(points, title, error).savefig(folder / Artifact.FIGURES / "curve.png")


def _words(point: Point | None, most: int) -> str:
    if point is None:
        return "-"
    spread = f" ±{np.std(point.errors, ddof=1):.2g}" if len(point.errors) > 1 else ""
    return f"{point.mean:#.4g}".rstrip(".") + spread + (f" ({len(point.errors)})" if len(point.errors) < most else "")
