"""The functions behind `python -m analysis.report`: read, find, draw, write, log, and register the chosen model."""

from __future__ import annotations

import argparse
import csv
import io
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import mlflow
from matplotlib import style

from elbowroom.tracking.cli import UNSET
from elbowroom.tracking.store.addresses import store_uri
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import METRICS, Metric
from elbowroom.tracking.store.session import ask, borrowed, links_of, opened, see_it
from elbowroom.tracking.store.text import ranges

from ..findings.find import LOUD, Findings, find
from ..latent_space.projections import project
from ..pages.interactive import views
from ..pages.report import (
    MOST_COMPARISONS,
    SECTIONS,
    Page,
    RunLine,
    columns_sentence,
    elbow_sentence,
    render,
    room_for_live,
)
from ..purposes import DEFAULT_RULE, Rule
from ..runs.arrays import examples
from ..runs.comparison import Store
from ..runs.csv_table import CurveIs
from ..runs.query import columns_of, read, read_table
from .publish import CellChoice, Registered, output_folder, png, publish, refuse_other_report, register, write_files

_PAGE = "report.html"


@dataclass(frozen=True)
class Report:
    """The findings, and where they were written: page is report.html, and text what the command prints.

    registered is the registration of the chosen model, and run_id the run that the report was logged to; without `log`
    they are None.
    """

    findings: Findings
    page: Path
    registered: Registered | None
    run_id: str | None
    text: str


def report(
    *,
    experiment: str | None = None,
    tracking_uri: str | None = None,
    rule: str | None = None,
    choose: int | str | tuple[str | None, int] | None = None,
    columns: Mapping[str, str | Sequence[str]] | str | None = None,
    curve_is: CurveIs = "error",
    out: Path | str = "reports",
    log: bool = True,
) -> Report:
    """Judge the runs of an experiment, write the report, and log it as a run. `mlflow run`'s own run is continued.

    Parameters
    ----------
    experiment, tracking_uri
        None for the experiment of the environment, else `elbowroom`, and for MLflow's store in use.
    rule
        For the choice of dim3, as `keep:0.90`; None for the default.
    choose
        A dim3, or a model and a dim3, to register in place of the one that is found; or the text of `--choose`.
    columns
        Where runs of other programs have their values, as {"dim3": "params.latent_size", "error": "metrics.val_loss",
        "settings": ["params.lr"]} or as the text of `--map`; None for runs of this project.
    curve_is
        Whether "error" in `columns` is an error or a score.
    out
        The folder for the page, `result.json`, `curves.csv` and the figures.
    log
        Whether to log the report to the store, and to register the chosen model.

    Returns
    -------
    Report
        Nothing is printed; `text` is what the command prints.

    Raises
    ------
    BadInput
        Where an argument or the store can't be used.
    Failed
        Where the store stops answering.
    """
    uri = mlflow.get_tracking_uri() if tracking_uri is None else tracking_uri
    asked = Rule.parse(rule or DEFAULT_RULE).text
    chosen = None if choose is None else CellChoice.of(choose)
    mapped = None if columns is None else columns_of(columns)
    if mapped is None and curve_is != "error":
        raise BadInput(f"curve-is {curve_is}: allowed with --curve or --map; the runs of this project have errors")
    out = output_folder(Path(out))
    with borrowed(), opened(uri, experiment, log=log) as (client, name):
        store = ask(lambda: read(client, name, mapped, curve_is=curve_is))
        if not store.cells:
            raise BadInput(_why_empty(store))
        refuse_other_report(out, store.experiment)
        findings = ask(lambda: find(store, asked))
        links, note = links_of(client, store.experiment_id)
        registered = ask(lambda: register(client, store.experiment_id, findings, chosen)) if log else None
        said = "" if registered is None else registered.sentence
        words = ["" if chosen is None else chosen.text, "" if mapped is None else mapped.text]
        command = _command(["--experiment", findings.experiment], rule or "", curve_is, *words)
        files = ask(lambda: _files(findings, store, command, links, note, said))
        write_files(out, files)
        run_id = None
        if log:
            written = f"the report is in {out} and not in the store"
            run_id, views = ask(lambda: publish(client, store.experiment_id, findings, out, files, said), written)
            said = "\n".join([said, f"logged as run {run_id}", see_it(store.experiment_id, run_id, views)])
        return Report(findings, out / _PAGE, registered, run_id, _said(findings, store.notes, out, said))


def report_table(
    path: Path | str, *, rule: str | None = None, curve_is: CurveIs = "error", out: Path | str = "reports"
) -> Report:
    """Judge the curves of a CSV file and write the report; needs no store.

    Parameters
    ----------
    path, rule, curve_is
        As `analysis.report.judge_table` takes them.
    out
        The folder for the page, `result.json`, `curves.csv` and the figures.

    Returns
    -------
    Report
        Without a run or a registered model.

    Raises
    ------
    BadInput
        Where the file can't be used.
    Failed
        Where the folder can't be written.
    """
    asked = None if rule is None else Rule.parse(rule)
    out, path = output_folder(Path(out)), Path(path)
    store = read_table(path, curve_is, asked)
    refuse_other_report(out, store.experiment)
    findings = find(store, DEFAULT_RULE if asked is None else asked.text)
    command = _command(["--curve", str(path)], rule or "", curve_is)
    write_files(out, _files(findings, store, command))
    return Report(findings, out / _PAGE, None, None, _said(findings, store.notes, out, ""))


def run_command(given: argparse.Namespace) -> str:
    """Write the report that the options of the command line ask for, and return what to print."""
    out = "reports" if given.out == UNSET else given.out
    rule = None if given.rule == UNSET else given.rule
    if given.curve != UNSET:
        return report_table(given.curve, rule=rule, curve_is=given.curve_is, out=out).text
    return report(
        experiment=given.experiment,
        tracking_uri=store_uri(given.tracking_uri),
        rule=rule,
        choose=None if given.choose == UNSET else given.choose,
        columns=None if given.map == UNSET else given.map,
        curve_is=given.curve_is,
        out=out,
        log=given.no_log == "no",
    ).text


def _why_empty(store: Store) -> str:
    parts = []
    if store.unfinished:
        parts.append(f"{len(store.unfinished)} have not finished")
    if store.left_out:
        first = store.left_out[0]
        parts.append(f"{len(store.left_out)} can't be used, like {first.name[:60]}: {first.why}")
    if store.nested:
        parts.append(f"{len(store.nested)} have a curve of their own, which is shown beside one and not judged")
    if not parts:
        parts.append("it is empty; python -m studies.scan makes some, --map reads those of others")
    lacks = f"experiment {store.experiment!r} has no finished run that could be a point of a curve"
    return f"{lacks}: {'; '.join(parts)}"


@style.context("default")  # a report looks the same whatever style the caller's figures have
def _files(
    findings: Findings,
    store: Store,
    command: str,
    links: Callable[[str], str | None] = lambda run_id: None,
    note: str = "",
    registered: str = "",
) -> dict[str, bytes]:
    """Return the content of each file of the report by its path."""
    figures: dict[str, dict[str, bytes]] = {}
    for comparison in findings.comparisons:
        drawn = {s.name: s.plot.draw(comparison) for s in SECTIONS if s.plot is not None}
        figures[comparison.name] = {name: png(figure) for name, figure in drawn.items() if figure is not None}
    shown = findings.comparisons[:MOST_COMPARISONS]
    rows = {c.name: found for c in shown if (found := examples(c.comparison.series)) is not None}
    codes = {c.name: points for c in shown if (points := project(c.comparison.series)) is not None}
    page = Page(
        title=f"How many dimensions? {findings.experiment}",
        figures=figures,
        live=views(shown, rows, codes, links, room_for_live(png for f in figures.values() for png in f.values())),
        links=links,
        command=command,
        made_with={name: version(name) for name in ("mlflow", "numpy", "kneed", "matplotlib")},
        note=note,
        runs=_lines(store),
        registered=registered,
    )
    files = {
        _PAGE: render(findings, page).encode(),
        "result.json": findings.to_json().encode(),
        "curves.csv": _curves_csv(findings).encode(),
    }
    for number, by_name in enumerate(figures.values()):
        folder = "figures" if number == 0 else f"figures/{number + 1}"
        files |= {f"{folder}/{name}.png": png for name, png in by_name.items()}
    return files


def _curves_csv(findings: Findings) -> str:
    """Return the text of `curves.csv`, a row for each point of each curve."""
    into = io.StringIO()
    names = ("error", "low", "high", "sd", "test", "seeds", *(column.key for column in METRICS.values()))
    writer = csv.writer(into, lineterminator="\n")
    writer.writerow(["comparison", "model", "dim3", *names])
    for comparison in findings.comparisons:
        for model in comparison.models:
            for point in model.points:
                values = point.shown()
                known = ("" if values[name] is None else repr(values[name]) for name in names)
                writer.writerow([comparison.name, model.label, point.dim3, *known])
    return into.getvalue()


def _lines(store: Store) -> list[RunLine]:
    cells = [*store.cells, *store.confirmations, *(n.cell for n in store.nested)]
    lines = [
        RunLine(c.run_id, c.name, "FINISHED", c.model, c.dim3, c.seed, c.error, c.test, c.metric(Metric.FIT_SECONDS))
        for c in sorted(cells, key=lambda c: (c.model, c.dim3, c.seed, c.run_id))
    ]
    others = [*store.unfinished, *store.left_out]
    return lines + [RunLine(o.run_id, o.name, o.why, "", None, None, None, None, None) for o in others]


def _command(source: Sequence[str], rule: str, curve_is: CurveIs, chosen: str = "", mapped: str = "") -> str:
    """The command that makes the same report, quoted for a shell; options at their defaults are left out."""
    words = ["python", "-m", "analysis.report", *source]
    given = {"--rule": rule, "--choose": chosen, "--map": mapped, "--curve-is": curve_is}
    for flag, value in given.items():
        words += [flag, value] if value not in ("", "error") else []
    return shlex.join(words)


def _said(findings: Findings, notes: Sequence[str], out: Path, more: str) -> str:
    lines = list(notes)
    for comparison in findings.comparisons:
        quick = " [too few epochs to quote]" if comparison.quick else ""
        lines.append(f"{comparison.name}{quick}, judged on the {comparison.error_name}")
        lines += [f"  caution: {text}" for text in comparison.cautions]
        for model in comparison.models:
            lines.append(f"  {model.sentence}")
            beside = (model.choice.note, columns_sentence(model, LOUD), elbow_sentence(model))
            lines += [f"    {text}" for text in (*beside, model.confirmation, model.versus) if text]
            if model.undertrained:
                lines.append(f"    looks undertrained at dim3 {ranges(list(model.undertrained))}")
            if model.unused:
                lines.append(f"    has unused latents at dim3 {ranges(list(model.unused))}")
        if comparison.pick and len(comparison.models) > 1:
            picked = f"{comparison.pick.model} at dim3 = {comparison.pick.dim3}; {comparison.pick.why}"
            lines.append(f"  {Rule.parse(findings.rule).head}: {picked}")
        lines += [f"  {nested.sentence}" for nested in comparison.nested]
        if comparison.missing:
            lines.append(f"  cells missing: {len(comparison.missing)}")
    if findings.left_out:
        lines.append(f"runs left out: {len(findings.left_out)}; the report names them")
    if findings.unfinished:
        lines.append(f"runs that have not finished: {len(findings.unfinished)}; the report names them")
    return "\n".join([*lines, *([more] if more else []), f"open {out / _PAGE}"])
