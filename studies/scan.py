"""Scan the latent dimension: `python -m studies.scan --models pca,ae,vae --dim3 2:20 --seeds 3`.

A worker process trains each cell (model, dim3, seed) of a grid once, and records it as a run under the study's parent
run. The same command again continues: finished cells are not trained twice, and a larger grid adds the missing ones.
From Python: `scan`. Exit codes: 0 complete; 1 some cells failed; 2 bad input; 130 or 143 interrupted.
"""

from __future__ import annotations

import elbowroom.tracking.imports  # noqa: F401  before the others

# isort: split
import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from matplotlib import style
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import RDBStorage

from elbowroom.analysis.elbow import Verdict
from elbowroom.tracking.cli import UNSET, Parser, command, config_fields
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.shared import PreparedData
from elbowroom.tracking.logged_model.code import code_of
from elbowroom.tracking.run.execution import prepare
from elbowroom.tracking.store.client import reach_store
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import CURVE_PREFIX, VERDICT_PREFIX, Artifact, Kind, Tag, choice_metrics
from elbowroom.tracking.store.recorder import Recorder
from elbowroom.tracking.store.session import borrowed, see_it, use_store
from elbowroom.tracking.store.text import LABEL_LENGTH, clean, key

from .execution.coordinator import CellQueue, Failure, JobQueue, Summary, conclude, description, supervise
from .execution.pools import Pool, open_pool
from .grid import (
    PRESETS,
    Grid,
    model_settings,
    parse_confirm,
    parse_range,
    parse_whole,
    preset_grid,
    shared_fields,
    study_settings,
)
from .options import RESUME, Options, add_options, add_switch, parse_options
from .progress import Cost, Progress, ScanProgress, cost_table, duration, estimate_costs
from .records.ownership import claim, find_parent, find_study, study_edition
from .records.study import FinishedCell, StudyRecords, StudySpec, children, done_cells
from .records.trials import connect, lock_study
from .results import Point, csv, curve, draw, error_name, table, verdicts

_WHAT = "a scan of dim3"
_TAG_LENGTH = 5000  # of the longest value that every store takes


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return command(lambda: _main(arguments), killed=RESUME)


def _main(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    use_store(given)
    grid, options = _parse_grid(given), parse_options(given)
    if given.dry_run == "yes":
        estimate(grid, options)
        return 0
    return 0 if scan(grid, options).complete else 1


def parser() -> Parser:
    """The flags of the grid, of what its cells share, and of how to run it."""
    made = Parser("studies.scan", "Scan the latent dimension of several models, recorded in MLflow.")
    grid = made.add_argument_group("the grid")
    grid.add_argument("--preset", default=UNSET, metavar="NAME", help=f"a grid by name: {', '.join(PRESETS)}")
    grid.add_argument("--models", default=UNSET, metavar="A,B", help="pca,ae,vae, or as in tracking.train")
    grid.add_argument("--dim3", default=UNSET, metavar="2:20", help="latent dimensions: 2:20, 2:20:2 or 2,4,8")
    grid.add_argument("--seeds", default=UNSET, metavar="N", help="seeds 0 to N-1; pca has one run")
    grid.add_argument(
        "--confirm",
        default="no",
        metavar="DIM3",
        help="where the elbow of the trained models is: runs the cells there, beside it and at the end of the range "
        "again at twice the epochs; auto (where the analysis finds it), one number, or ae=8,vae=10",
    )
    made.add_fields(shared_fields(), defaults=False)
    add_options(made)
    add_switch(made, "--dry-run", "stop after the table of costs")
    made.add_store()
    return made


def _parse_grid(given: argparse.Namespace) -> Grid:
    """The grid as typed. Raises BadInput."""
    preset = None if given.preset == UNSET else given.preset
    for name in shared_fields():
        if getattr(given, name) == UNSET:
            setattr(given, name, None)
    grid = Grid.of(
        None if given.models == UNSET else [m.strip() for m in given.models.split(",") if m.strip()],
        None if given.dim3 == UNSET else parse_range(given.dim3),
        seeds=None if given.seeds == UNSET else parse_whole("seeds", given.seeds),
        base=replace(preset_grid(preset).base, **config_fields(given, shared_fields())),
        preset=preset,
    )
    return replace(grid, confirm=parse_confirm(given.confirm, grid))


@dataclass(frozen=True)
class ScanResult:
    """What a study holds when a scan of it ends."""

    complete: bool
    """Whether every cell that was asked for has finished."""
    study: str
    run_id: str
    """Of the study's run, which is the parent of its cells' runs."""
    experiment_id: str
    points: tuple[Point, ...]
    """The curve of each model: the errors of each dim3, by seed."""
    error_name: str
    verdicts: Mapping[str, Verdict]
    """By model; a curve with too few points has none."""
    confirmed: tuple[Point, ...]
    """The same at twice the epochs, of the cells that were run to confirm a corner."""
    failures: tuple[Failure, ...]
    """The cells that failed in this start, and why. The same call again tries them."""


@dataclass(frozen=True)
class Estimate:
    """What a scan would cost: by model, its cells, how many of them are done, and what one takes."""

    costs: tuple[Cost, ...]
    workers: int

    @property
    def left(self) -> int:
        """Cells that are not done."""
        return sum(c.cells - c.done for c in self.costs)


def scan(grid: Grid | None = None, options: Options | None = None) -> ScanResult:
    """Train the cells of a grid that its study has not, and return what the study holds then.

    Nothing is printed unless `options.verbose`. Under `mlflow run` the run that it opened becomes the study's, or is
    linked to it. A cell that fails raises nothing: see `ScanResult.failures`.

    Parameters
    ----------
    grid
        None: `Grid.of()`.
    options
        None: `Options()`.

    Raises
    ------
    BadInput
        Before anything is opened.
    RunFailed
        The study itself can't go on.
    """
    grid = Grid.of() if grid is None else grid
    options = (options or Options()).named(grid.study)
    with borrowed(options.tracking_uri, options.experiment):
        invocation = os.environ.pop("MLFLOW_RUN_ID", None)  # a worker that inherited it would continue that run
        with open_pool(options, grid.base.device, grid.count()) as pool:
            client, storage = reach_store(), connect(options.storage)
            edition = study_edition(storage, options.study) or grid.base.edition
            grid = replace(grid, base=replace(grid.base, edition=edition))
            prepared_data = PreparedData.load(grid.base)
            plan = _plan(client, storage, grid, options, prepared_data)
            options.say(cost_table(options.study, plan.cells, plan.costs, pool.slots()))
            with (
                lock_study(options.storage, options.study),
                pool.share(prepared_data),
                claim(client, storage, plan.spec, take_over=options.take_over, invocation=invocation) as records,
            ):
                del prepared_data
                Recorder(client, records.parent_id).tags(_grid_tag(grid))
                summary = _run_cells(records, pool, plan.cells, options)
                return _finish(records, grid, plan.cells, summary, pool.slots(), options)


def estimate(grid: Grid | None = None, options: Options | None = None) -> Estimate:
    """What `scan` with these arguments would cost, by the cells that are done. Raises BadInput."""
    grid = Grid.of() if grid is None else grid
    options = (options or Options()).named(grid.study)
    with borrowed(options.tracking_uri, options.experiment):
        grid.count()  # raises for an unknown model before anything is opened
        with open_pool(options, grid.base.device, 0) as pool:
            client, storage = reach_store(), connect(options.storage)
            edition = study_edition(storage, options.study) or grid.base.edition
            grid = replace(grid, base=replace(grid.base, edition=edition))
            plan = _plan(client, storage, grid, options, PreparedData.load(grid.base))
            options.say(cost_table(options.study, plan.cells, plan.costs, pool.slots()))
            return Estimate(tuple(plan.costs), pool.slots())


class _Plan(NamedTuple):
    """What a scan is to do."""

    spec: StudySpec
    cells: list[RunConfig]
    """All cells of the grid, those that confirm a corner included."""
    costs: list[Cost]


def _plan(
    client: MlflowClient, storage: RDBStorage, grid: Grid, options: Options, prepared_data: PreparedData
) -> _Plan:
    """Compare the grid with the data and with what its study has. Raises BadInput."""
    _check_data(grid, prepared_data)
    digest = prepared_data.digests["all"]
    codes = {model: code_of(model) for model in grid.dim3}
    settings = study_settings(grid.base, digest)
    spec = StudySpec(options.study, _WHAT, settings, Kind.RUN, digest, grid.label, codes=codes)
    cells = grid.cells()
    parent = find_parent(client, find_study(storage, spec), spec)
    done = {} if parent is None else _done(client, parent, spec, cells, options)
    cells += grid.confirmations(_corners(grid, done.values(), options.say))
    return _Plan(spec, cells, estimate_costs(cells, done, spec))


def _check_data(grid: Grid, prepared_data: PreparedData) -> None:
    """Raise BadInput for a model that these data can't train: builds each one at both ends of its dim3."""
    dim1 = prepared_data.data.dim1
    for model, values in grid.dim3.items():
        if max(values) > dim1:
            raise BadInput(f"dim3 goes to {max(values)}, and {prepared_data.data.name} has {dim1} columns (dim1)")
        for dim3 in {min(values), max(values)}:
            prepare(replace(grid.base, model=model, dim3=dim3, threads=1), prepared_data)


def _done(
    client: MlflowClient, parent: Run, spec: StudySpec, cells: list[RunConfig], options: Options
) -> dict[str, FinishedCell]:
    """The cells that were trained with the current code, by key; prints how many others are trained again."""

    def coordinates(config: RunConfig) -> tuple[object, ...]:
        return config.model, config.dim3, config.seed, config.epochs

    done = done_cells(children(client, parent, Kind.RUN), spec.codes)
    current = {key: cell for key, cell in done.items() if cell.is_current}
    outdated = {coordinates(f.config) for f in done.values() if not f.is_current}
    again = Counter(c.model for c in cells if spec.key(c) not in current and coordinates(c) in outdated)
    for model, count in again.items():
        options.say(f"{clean(model)}: {count} finished cells were made with other code and are trained anew")
    return current


def _corners(grid: Grid, done: Iterable[FinishedCell], say: Callable[[str], None]) -> Mapping[str, int]:
    """The corners to confirm: as asked for; with `auto` those that the analysis finds in the done cells, printed."""
    if not isinstance(grid.confirm, str):
        return grid.confirm
    found = {
        model: verdict.dim3
        for model, verdict in verdicts(curve(_without_confirmations(done, grid))).items()
        if verdict.dim3 is not None and model in grid.with_epochs
    }
    listed = ", ".join(f"{model}={dim3}" for model, dim3 in found.items())
    say(f"to confirm: {listed}" if listed else "nothing to confirm: no trained model's curve has a clear elbow")
    return found


def _without_confirmations(cells: Iterable[FinishedCell], grid: Grid) -> list[FinishedCell]:
    return [f for f in cells if f.config.epochs == grid.base.epochs]


def _grid_tag(grid: Grid) -> dict[str, str]:
    """The cells that were asked for, so that readers know which are missing; no tag where it would be too long."""
    text = json.dumps({"dim3": {model: list(values) for model, values in grid.dim3.items()}, "seeds": grid.seeds})
    return {Tag.GRID: text} if len(text) <= _TAG_LENGTH else {}


def _run_cells(records: StudyRecords, pool: Pool, cells: list[RunConfig], options: Options) -> Summary:
    """Train the missing ones of these cells."""

    def begin() -> tuple[JobQueue, Progress]:
        done = records.done()
        missing = _long_cells_first(c for c in cells if records.spec.key(c) not in done)
        progress = ScanProgress(options.study, records, cells, done, pool.slots(), options.verbose)
        return CellQueue(records, missing), progress

    return supervise(records, pool, begin)


def _long_cells_first(cells: Iterable[RunConfig]) -> list[RunConfig]:
    """Sort the cells of models without epochs to the end, except the first cell of each model.

    They take a second each, and fill the time in which one worker waits for the last long cell of another. The first
    cell of a model is needed early, to estimate the cost of the others.
    """
    ordered = list(cells)
    first = {cell.model: cell for cell in reversed(ordered)}
    return sorted(ordered, key=lambda c: "epochs" not in model_settings(c.model) and c is not first[c.model])


def _finish(
    records: StudyRecords, grid: Grid, cells: list[RunConfig], summary: Summary, workers: int, options: Options
) -> ScanResult:
    """Record the curve on the study's parent run, print it where wanted, and end the run.

    The curve has every cell that the study holds, also where this start asked for fewer.
    """
    epochs = grid.base.epochs
    done = records.done()
    missing = [c for c in cells if records.spec.key(c) not in done]
    reason = f"{len(missing)} of {len(cells)} cells failed" if missing else ""
    everything = sorted(done.values(), key=lambda f: [*grid.dim3, f.config.model].index(f.config.model))
    scanned = _without_confirmations(everything, grid)
    points, label = curve(scanned), error_name(scanned)
    confirmed = curve(f for f in everything if f.config.epochs == 2 * epochs)
    judged = verdicts(points)
    title = f"{clean(grid.base.dataset, LABEL_LENGTH)}, {epochs} epochs" + (
        f" [{records.label}: not to be quoted]" if records.label else ""
    )
    tables = [f"{label}, mean over seeds; {title}\n\n{table(points)}"]
    if confirmed:
        tables.append(f"the same after {2 * epochs} epochs, to confirm an elbow\n\n{table(confirmed)}")
    sentences = [verdict.sentence(model.rpartition(":")[2]) for model, verdict in judged.items()]
    options.say("\n" + "\n\n".join([tables[0], *(["\n".join(sentences)] if sentences else []), *tables[1:]]) + "\n")
    recorder = Recorder(records.client, records.parent_id)
    for point in points:
        recorder.metrics({f"{CURVE_PREFIX}{key(point.model)}": point.mean}, point.dim3)
    for model, verdict in judged.items():
        recorder.metrics(choice_metrics(model, verdict.choice, verdict.dim3))
    kinds: dict[str, str] = {f"{VERDICT_PREFIX}{key(model)}": verdict.kind for model, verdict in judged.items()}
    recorder.tags({Tag.DESCRIPTION: description([*sentences, reason], *tables)} | kinds)
    with recorder.files() as folder:
        (folder / Artifact.CURVE).write_text(csv(points), encoding="utf-8")
        if points:
            (folder / Artifact.FIGURES).mkdir()
            with style.context("default"):  # the caller may have set another style
                draw(points, title, label).savefig(folder / Artifact.FIGURES / "curve.png")
    options.say(_time_spent(summary, workers))
    options.say(see_it(records.experiment_id, records.parent_id))
    conclude(records, reason, summary.failures, verbose=options.verbose)
    return ScanResult(
        complete=not missing,
        study=options.study,
        run_id=records.parent_id,
        experiment_id=records.experiment_id,
        points=tuple(points),
        error_name=label,
        verdicts=judged,
        confirmed=tuple(confirmed),
        failures=tuple(summary.failures),
    )


def _time_spent(summary: Summary, workers: int) -> str:
    if not summary.fit_seconds:
        return "no cell finished" if summary.failures else "nothing was left to run"
    outside = 1 - sum(summary.fit_seconds) / (workers * summary.seconds)
    return (
        f"{len(summary.fit_seconds)} cells in {duration(summary.seconds)} on {workers} workers; "
        f"{outside:.0%} of the workers' time outside training"
        + (f"; {summary.lost} times a worker was lost" if summary.lost else "")
    )


if __name__ == "__main__":
    sys.exit(main())
