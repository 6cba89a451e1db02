"""The report of an experiment, or of a table: read, find, draw, write, and close the loop in MLflow."""

from __future__ import annotations

import argparse
import csv
import io
import os
import shlex
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tracking.schema import Artifact
from tracking.schema import Metric as Name

from .curves import Comparison, compare
from .errors import BadInput, Failed, hidden, one_line
from .figures import FIGURES, Pictures, draw_pictures
from .findings import Findings, find
from .page import Page, RunLine, render
from .place import ask, how_to_open, links_of, opened, output_folder, png, write_files
from .publish import Registered, publish, refuse, register
from .rows import fetch
from .store import ColumnMap, Store, of_rows, parse_map, read
from .table import read_rows

UNSET = "default"
PICTURED = 10  # the dim3 of the pictures, or the nearest that PCA and another model share


def report(given: argparse.Namespace) -> str:
    """Write the report that was asked for; what to print. A run that `mlflow run` opened is told why not."""
    try:
        return _report(given)
    except (BadInput, Failed) as error:
        refuse(os.environ.get("MLFLOW_RUN_ID"), one_line(error))
        raise


def _report(given: argparse.Namespace) -> str:
    out = output_folder(Path("reports" if given.out == UNSET else given.out))
    if given.curve != UNSET:
        store = of_rows(read_rows(Path(given.curve)), Path(given.curve).name)
        findings = find(store, given.rule)
        write_files(out, _files(findings, store, given, lambda run_id: None, "", None))
        return _said(findings, out, "")
    client, experiment = opened(given.tracking_uri, given.experiment)
    store = ask(lambda: read(client, experiment, _columns(given)))
    if not store.cells:
        raise BadInput(_why_empty(store))
    findings = ask(lambda: find(store, given.rule))
    registered = None
    if given.no_log == "no":
        registered = ask(lambda: register(client, store, findings, _choose(given)))
    files = _files(findings, store, given, links_of(client, store.experiment_id), how_to_open(client), registered)
    write_files(out, files)
    said = "" if registered is None else registered.sentence
    if given.no_log == "no":
        invocation = os.environ.get("MLFLOW_RUN_ID")
        written = f"the report is in {out} and not in the store"
        run_id = ask(lambda: publish(client, store, findings, out, files, registered, invocation), written)
        said += f"\nlogged as run {run_id}: {links_of(client, store.experiment_id)(run_id)}"
    return _said(findings, out, said)


def _columns(given: argparse.Namespace) -> ColumnMap | None:
    return None if given.map == UNSET else parse_map(given.map)


def _why_empty(store: Store) -> str:
    lacks = f"experiment {store.experiment!r} has no finished run that could be a point of a curve"
    parts = []
    if store.unfinished:
        parts.append(f"{len(store.unfinished)} have not finished")
    if store.left_out:
        parts.append(
            f"{len(store.left_out)} can't be used, like {store.left_out[0].name[:60]}: {store.left_out[0].why}"
        )
    if store.nested:
        parts.append(f"{len(store.nested)} have a curve of their own, which is shown beside one and not judged")
    return (
        f"{lacks}: {'; '.join(parts) or 'it is empty; python -m studies.scan makes some, --map reads those of others'}"
    )


def _choose(given: argparse.Namespace) -> dict[str, str]:
    """`dim3=12` or `model=vae,dim3=12` as typed. Raises BadInput."""
    if given.choose == UNSET:
        return {}
    found = dict(part.strip().partition("=")[::2] for part in given.choose.split(","))
    if not found.get("dim3", "").isdigit() or not set(found) <= {"dim3", "model"}:
        raise BadInput(f"choose {given.choose!r}: allowed is dim3=12 or model=vae,dim3=12")
    return found


def _files(
    findings: Findings,
    store: Store,
    given: argparse.Namespace,
    links: Callable[[str], str | None],
    note: str,
    registered: Registered | None,
) -> dict[str, bytes]:
    """Everything that is written, by its path."""
    figures: dict[str, dict[str, bytes]] = {}
    pictures_at: dict[str, int] = {}
    for comparison, cells in zip(findings.comparisons, compare(store.cells), strict=True):
        drawn = {name: draw(comparison) for name, draw in FIGURES.items()}
        pictures = _pictures(cells)
        if pictures is not None:
            drawn["pictures"] = draw_pictures(pictures)
            pictures_at[comparison.name] = pictures.dim3
        figures[comparison.name] = {name: png(figure) for name, figure in drawn.items() if figure is not None}
    page = Page(
        title=f"How many dimensions? {findings.experiment}",
        figures=figures,
        links=links,
        command=_command(given, findings),
        made_with={name: version(name) for name in ("mlflow", "numpy", "kneed", "matplotlib")},
        note=note,
        runs=_lines(store),
        registered="" if registered is None else registered.sentence,
        pictures_at=pictures_at,
    )
    files = {
        "report.html": render(findings, page).encode(),
        "result.json": findings.to_json().encode(),
        "curves.csv": curves_csv(findings).encode(),
    }
    for number, (_, by_name) in enumerate(figures.items()):
        folder = "figures" if number == 0 else f"figures/{number + 1}"
        files |= {f"{folder}/{name}.png": png for name, png in by_name.items()}
    return files


def curves_csv(findings: Findings) -> str:
    """Every point of every curve, a row each."""
    into = io.StringIO()
    names = (
        "error",
        "low",
        "high",
        "sd",
        "test",
        "seeds",
        "fit_seconds",
        "parameters",
        "active_units",
        "negative_elbo",
    )
    writer = csv.writer(into, lineterminator="\n")
    writer.writerow(["comparison", "model", "dim3", *names])
    for comparison in findings.comparisons:
        for model in comparison.models:
            for point in model.points:
                values = [getattr(point, n) for n in names]
                writer.writerow(
                    [
                        plain_cell(comparison.name),
                        plain_cell(model.label),
                        point.dim3,
                        *("" if v is None else repr(v) for v in values),
                    ]
                )
    return into.getvalue()


def plain_cell(text: str) -> str:
    """A text that a spreadsheet shows and does not run: an apostrophe before what begins a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _pictures(comparison: Comparison) -> Pictures | None:
    """Originals, and their reconstructions by every model at one dim3 that most of them have."""
    counts = {k: sum(k in s.cells for s in comparison.series) for s in comparison.series for k in s.dim3}
    dim3 = min(counts, key=lambda k: (-counts[k], abs(k - PICTURED), k))
    cells = {s.label: s.at(dim3)[0] for s in comparison.series if dim3 in s.cells and s.first.digest}
    if not cells:
        return None
    originals = fetch(list(cells.values())[:1], Artifact.ORIGINALS)
    made = fetch(list(cells.values()), Artifact.RECONSTRUCTIONS)
    first = next(iter(originals.values()))
    if isinstance(first, str) or first.ndim != 2 or not first.size or not np.isfinite(first).all():
        return None
    rows = [(label, made[c.run_id]) for label, c in cells.items()]
    good = [(label, a) for label, a in rows if isinstance(a, np.ndarray) and a.shape == first.shape]
    return Pictures(dim3, next(iter(cells.values())).image_shape, first, good) if good else None


def _lines(store: Store) -> list[RunLine]:
    cells = sorted(
        [*store.cells, *store.confirmations, *(n.cell for n in store.nested)],
        key=lambda c: (c.model, c.dim3, c.seed, c.run_id),
    )
    lines = [
        RunLine(c.run_id, c.name, "FINISHED", c.model, c.dim3, c.seed, c.error, c.test, c.metric(Name.FIT_SECONDS))
        for c in cells
    ]
    others = [*store.unfinished, *store.left_out]
    return lines + [RunLine(o.run_id, o.name, o.why, "", None, None, None, None, None) for o in others]


def _command(given: argparse.Namespace, findings: Findings) -> str:
    words = ["python", "-m", "analysis.report"]
    if given.curve != UNSET:
        words += ["--curve", given.curve]
    else:
        words += ["--experiment", findings.experiment]
    for name in ("rule", "choose", "map"):
        if getattr(given, name) not in (UNSET, "gain:0.05"):
            words += [f"--{name}", getattr(given, name)]
    return hidden(shlex.join(words))


def _said(findings: Findings, out: Path, more: str) -> str:
    lines: list[str] = []
    for comparison in findings.comparisons:
        quick = " [too few epochs to quote]" if comparison.quick else ""
        lines.append(f"{comparison.name}{quick}, judged on the {comparison.error_name}")
        for model in comparison.models:
            lines.append(f"  {model.sentence}")
            lines += [f"    {text}" for text in (model.confirmation, model.versus) if text]
            if model.undertrained:
                lines.append(f"    looks undertrained at dim3 {', '.join(map(str, model.undertrained))}")
        lines += [f"  {nested.sentence}" for nested in comparison.nested]
        if comparison.missing:
            lines.append(f"  cells missing: {len(comparison.missing)}")
    if findings.left_out:
        lines.append(f"runs left out: {len(findings.left_out)}; the report names them")
    if findings.unfinished:
        lines.append(f"runs that have not finished: {len(findings.unfinished)}; the report names them")
    return "\n".join([*lines, *([more] if more else []), f"open {out / 'report.html'}"])
