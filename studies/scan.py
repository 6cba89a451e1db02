"""Scan the latent dimension: `python -m studies.scan --models pca,ae,vae --dim3 2:20 --seeds 3`.

A worker process trains each cell (model, dim3, seed) of a grid once, and records it as a run under the study's parent
run. The same command again continues: finished cells are not trained twice, and a larger grid adds the missing ones. So
does another study in the experiment with the same data and settings: it takes over the cells that are done.
From Python: `scan`. Exit codes: 0 complete; 1 some cells failed; 2 bad input; 130 or 143 interrupted.
"""

from __future__ import annotations

import elbowroom.tracking.imports  # noqa: F401  before the others

# isort: split
import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mlflow import MlflowClient

from elbowroom.analysis.elbow import Verdict
from elbowroom.analysis.findings.evidence import ModelEvidence
from elbowroom.analysis.purposes import DEFAULT_RULE, Rule, choose
from elbowroom.analysis.purposes.choice import Choice
from elbowroom.tracking.cli import UNSET, Parser, command, config_fields
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.logged_model.code import code_of
from elbowroom.tracking.run.execution import prepare
from elbowroom.tracking.store.errors import Failed
from elbowroom.tracking.store.names import TAG_LENGTH, VERDICT_PREFIX, Kind, Tag
from elbowroom.tracking.store.recorder import Recorder
from elbowroom.tracking.store.session import use_store
from elbowroom.tracking.store.text import LABEL_LENGTH, clean, key, ranges

from .execution.coordinator import Coordinator, Failure, JobQueue, Summary, open_study
from .execution.progress import Cost, cost_left, cost_table, estimate_costs
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
from .options import RESUME, SWITCH, Options, add_options, parse_options
from .records.results import (
    Answers,
    Point,
    curve,
    evidence,
    record_answers,
    record_curve,
    table,
)
from .records.study import FinishedCell, StudySpec, error_objective

_WHAT = "a scan of dim3"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return grid_command(lambda: _parse(arguments), lambda _, grid, options: scan(grid, options).complete)


def grid_command(
    parse: Callable[[], tuple[argparse.Namespace, Grid]],
    run: Callable[[argparse.Namespace, Grid, Options], bool],
    beside: Callable[[Grid, Options], Iterable[tuple[Grid, Options]]] = lambda grid, options: (),
) -> int:
    """Run the cells of the grid that was typed, or print what they cost; the exit code of the command.

    Parameters
    ----------
    parse
        Returns what was typed, and the grid.
    run
        Runs it; whether all cells finished.
    beside
        Returns the other studies that `run` makes, for their costs.
    """

    def body() -> int:
        given, grid = parse()
        options = parse_options(given)
        if given.dry_run == "yes":
            for each in ((grid, options), *beside(grid, options)):
                estimate(*each)
            return 0
        try:
            return 0 if run(given, grid, options) else 1
        except Failed as error:  # of the page that is written last: the study's run ended as it should
            print(f"error: {error}", file=sys.stderr)
            return 1

    return command(body, killed=RESUME)


def parser() -> Parser:
    """The flags of the grid, of what its cells share, and of how to run it."""
    made = Parser("studies.scan", "Scan the latent dimension of several models, recorded in MLflow.")
    grid = made.add_argument_group("the grid")
    grid.add_argument("--preset", metavar="NAME", help=f"a grid by name: {', '.join(PRESETS)}")
    grid.add_argument("--models", metavar="A,B", help="pca,pca-mlp,ae,vae, or others of tracking.train")
    grid.add_argument("--dim3", metavar="2:20", help="latent dimensions: 2:20, 2:20:2 or 2,4,8")
    grid.add_argument("--seeds", metavar="N", help="seeds 0 to N-1; pca has one run")
    grid.add_argument(
        "--confirm",
        default="no",
        metavar="DIM3",
        help="elbow to confirm: trains the cells there, beside it and at the end of the range again with twice the "
        "epochs; auto (the elbow of the analysis), a number, or ae=8,vae=10",
    )
    made.add_fields(shared_fields(), defaults=False)
    add_options(made)
    made.add_argument("--dry-run", **SWITCH, help="stop after the table of costs")
    made.add_store()
    return made


def _parse(arguments: list[str] | None) -> tuple[argparse.Namespace, Grid]:
    """The flags and the grid as typed. Raises BadInput."""
    given = parser().parse_args(arguments)
    use_store(given)
    for name in ("preset", "models", "dim3", "seeds", *shared_fields()):
        if getattr(given, name) == UNSET:
            setattr(given, name, None)
    grid = Grid.of(
        None if given.models is None else [m.strip() for m in given.models.split(",") if m.strip()],
        None if given.dim3 is None else parse_range(given.dim3),
        seeds=None if given.seeds is None else parse_whole("seeds", given.seeds),
        base=replace(preset_grid(given.preset).base, **config_fields(given, shared_fields())),
        preset=given.preset,
    )
    return given, replace(grid, confirm=parse_confirm(given.confirm, grid))


@dataclass(frozen=True)
class ScanResult:
    """The content of a study at the end of a scan."""

    complete: bool
    """Whether every cell that was asked for has finished."""
    study: str
    run_id: str
    """The id of the study's run, which is the parent of its cells' runs."""
    experiment_id: str
    epochs: int
    """The budget of each cell, as a number."""
    points: tuple[Point, ...]
    """The curve of each model: the errors of each dim3, by seed."""
    error_name: str
    choices: Mapping[str, Choice]
    """By model, by the default rule."""
    verdicts: Mapping[str, Verdict]
    """By model; a curve with too few points has none."""
    confirmed: tuple[Point, ...]
    """The curve at twice the epochs, of the cells that were run to confirm a corner."""
    failures: tuple[Failure, ...]
    """The cells that failed in this start, and why. The same call again tries them."""


@dataclass(frozen=True)
class Estimate:
    """The cost of a scan: the cells of each model, the number of those that are done, and the time of one."""

    costs: tuple[Cost, ...]
    workers: int

    @property
    def left(self) -> int:
        """Cells that are not done."""
        return sum(c.cells - c.done for c in self.costs)


def scan(grid: Grid | None = None, options: Options | None = None) -> ScanResult:
    """Train the cells of a grid that its study has not, and return what the study holds then.

    Nothing is printed unless `options.verbose`. Under `mlflow run` the run that it opened becomes the study's, or is
    linked to it. A cell that fails raises nothing: see `ScanResult.failures`. Raises BadInput before anything is
    opened, and RunFailed where the study itself can't go on.
    """
    grid, options = _defaults(grid, options)
    with open_study(options, grid.base, grid.count()) as study:
        plan = _plan(study, grid)
        with study.claimed(plan.spec) as records:
            if len(plan.asked) <= TAG_LENGTH:  # readers know by it which cells are missing
                Recorder(records.client, records.parent_id).tags({Tag.GRID: plan.asked})
            Recorder(records.client, records.parent_id).params({"rule": DEFAULT_RULE})
            return _finish(study, plan, _run_cells(study, plan))


def estimate(grid: Grid | None = None, options: Options | None = None) -> Estimate:
    """Estimate the cost of `scan` with these arguments from the cells that are done. Raises BadInput.

    Cells that confirm corners which only the missing cells will show are not part of it.
    """
    grid, options = _defaults(grid, options)
    grid.count()  # raises for an unknown model before anything is opened
    with open_study(options, grid.base, 0) as study:
        return Estimate(tuple(_plan(study, grid).costs), study.pool.slots())


def _defaults(grid: Grid | None, options: Options | None) -> tuple[Grid, Options]:
    grid = Grid.of() if grid is None else grid
    return grid, (options or Options()).named(grid.study)


class _Plan(NamedTuple):
    """The grid in the edition of its study, the study's identity, and all cells, with their costs when it was made.

    to_confirm: the corners are judged, and the cells that confirm them added, once these cells are done. asked: this
    grid and the study's earlier ones, as the tag has them.
    """

    grid: Grid
    spec: StudySpec
    cells: list[RunConfig]
    costs: list[Cost]
    to_confirm: bool
    asked: str


def _plan(study: Coordinator, grid: Grid) -> _Plan:
    """Plan the cells of a grid, and print their costs.

    Raises BadInput where the grid does not fit to the data, or to what the study has.
    """
    grid, options = replace(grid, base=study.base), study.options
    _check_data(grid, study.prepared_data)
    digest = study.prepared_data.digests["all"]
    codes = {model: code_of(model) for model in grid.dim3}
    settings = study_settings(grid.base, digest)
    objectives = error_objective(study.prepared_data)
    spec = StudySpec(
        options.study, _WHAT, settings, Kind.RUN, digest, grid.task, grid.label, objectives=objectives, codes=codes
    )
    cells = grid.cells()
    done = _done(study, spec, cells)
    before = None if study.parent is None else study.parent.data.tags.get(Tag.GRID)
    asked = _all_asked(grid, before)
    # The analysis reads the grids of studies, so it has to wait for the tag of a new one.
    to_confirm = grid.confirm == "auto" and (None in spec.match(cells, done).values() or asked != before)
    if not to_confirm:
        cells += grid.confirmations(_corners(study.client, grid, done.values(), options.say))
    costs = estimate_costs(spec.match(cells, done))
    options.say(f"study {options.study}: {len(cells)} cells on {clean(grid.base.dataset)}")
    options.say(cost_table(costs, study.pool.slots()))
    if to_confirm:
        options.say("confirmations are decided after these cells")
    return _Plan(grid, spec, cells, costs, to_confirm, asked)


def _all_asked(grid: Grid, before: str | None) -> str:
    """The grid of this start as JSON, under `before` the other grids of the study, which its tag has so far."""
    asked: dict[str, Any] = {"dim3": {model: list(values) for model, values in grid.dim3.items()}, "seeds": grid.seeds}
    if grid.measured:
        asked["repeated"] = [list(grid.measured), grid.repeats]
    if grid.base.measure == "yes":
        asked["measure"] = "yes"
    last = {} if before is None else json.loads(before)
    others = [g for g in [*last.pop("before", []), last] if g and g != asked]
    return json.dumps(asked | ({"before": others} if others else {}))


def _check_data(grid: Grid, prepared_data: PreparedData) -> None:
    """Raise BadInput for a model that these data can't train: builds each one at both ends of its dim3."""
    for model, values in grid.dim3.items():
        for dim3 in {min(values), max(values)}:
            prepare(replace(grid.base, model=model, dim3=dim3, threads=1), prepared_data)


def _done(study: Coordinator, spec: StudySpec, cells: list[RunConfig]) -> dict[str, FinishedCell]:
    """The cells that were trained with the current code, by key; prints how many are taken over or trained again."""

    def coordinates(config: RunConfig) -> tuple[object, ...]:
        return config.model, config.dim3, config.seed, config.epochs

    current, outdated_cells, _ = study.done(spec)
    outdated = {coordinates(f.config) for f in outdated_cells}
    again = Counter(c.model for c in cells if spec.key(c) not in current and coordinates(c) in outdated)
    for model, count in again.items():
        study.options.say(f"{clean(model)}: {count} finished cells were made with other code and are trained anew")
    bare = sum(spec.key(c) not in current and spec.key(replace(c, measure="no")) in current for c in cells)
    if bare:
        study.options.say(f"{bare} finished cells lack the measures and are trained anew with them")
    return current


def _corners(
    client: MlflowClient, grid: Grid, done: Iterable[FinishedCell], say: Callable[[str], None]
) -> Mapping[str, int]:
    """The corners to confirm: as asked for; with `auto` those that the analysis finds in the done cells, printed.

    One between two dim3 counts as the nearer, and the study's others may have one beyond the grid's range.
    """
    if not isinstance(grid.confirm, str):
        return grid.confirm
    found = {}
    for model, verdict in _verdicts(evidence(client, _without_confirmations(done, grid))).items():
        at, values = verdict.dim3, grid.dim3.get(model, ())
        if at is not None and model in grid.with_epochs and min(values) <= at <= max(values):
            found[model] = min(values, key=lambda k: abs(k - at))
    listed = ", ".join(f"{model}={dim3}" for model, dim3 in found.items())
    say(f"to confirm: {listed}" if listed else "nothing to confirm: no trained model's curve has a clear elbow")
    return found


def _without_confirmations(cells: Iterable[FinishedCell], grid: Grid) -> list[FinishedCell]:
    return [f for f in cells if f.config.epochs == grid.base.epochs]


def _verdicts(found: Mapping[str, ModelEvidence]) -> dict[str, Verdict]:
    """The verdict on each model's curve; none on one with too few points."""
    return {model: verdict for model, one in found.items() if (verdict := one.judged[0]) is not None}


def _run_cells(study: Coordinator, plan: _Plan) -> Summary:
    """Train the missing cells, and those that confirm the corners that are seen then, which are added to the plan."""
    records, grid, cells = study.records, plan.grid, plan.cells

    def cost() -> str:
        """The time left, as text; empty until a cell of each row of the table has finished."""
        costs = estimate_costs(records.spec.match(cells, records.done()))
        return "" if any(c.seconds is None for c in costs) else cost_left(costs, study.pool.slots())

    def confirmations() -> Iterator[list[RunConfig]]:
        done = records.done()
        corners = _corners(records.client, grid, done.values(), progress.say)
        found = records.spec.match(grid.confirmations(corners), done)
        missing = [cell for cell, finished in found.items() if finished is None]
        cells.extend(found)
        progress.extend(len(found), len(found) - len(missing))
        yield missing

    found = records.spec.match(cells, records.done())
    missing = _long_cells_first([cell for cell, finished in found.items() if finished is None])
    known = all(c.seconds is not None for c in estimate_costs(found))
    progress = study.progress(len(cells), len(cells) - len(missing), cost=None if known else cost)
    return study.run(JobQueue(records.ask, missing, confirmations() if plan.to_confirm else ()), progress)


def _long_cells_first(cells: list[RunConfig]) -> list[RunConfig]:
    """Sort the cells of models without epochs to the end, except the first of each row of the table of costs.

    They take a second each, and fill the time in which one worker waits for the last long cell of another. The first
    cell of a row, with or without measures, is needed early, to estimate the cost of the others.
    """
    first = {(cell.model, cell.measure): cell for cell in reversed(cells)}
    return sorted(cells, key=lambda c: "epochs" not in model_settings(c.model) and c not in first.values())


def _finish(study: Coordinator, plan: _Plan, summary: Summary) -> ScanResult:
    """Record the curve on the study's parent run, print it where wanted, and end the run.

    The curve has every cell that is done with the study's settings, also where this start asked for fewer.
    """
    grid, cells = plan.grid, plan.cells
    records, options, epochs = study.records, study.options, int(grid.base.epochs)
    done = records.done()
    missing = sum(finished is None for finished in records.spec.match(cells, done).values())
    reason = f"{missing} of {len(cells)} cells failed" if missing else ""
    everything = sorted(done.values(), key=lambda f: [*grid.dim3, f.config.model].index(f.config.model))
    scanned = _without_confirmations(everything, grid)
    points, (label,) = curve(scanned), plan.spec.objectives
    confirmed = curve(f for f in everything if f.config.epochs == 2 * epochs)
    found = evidence(records.client, scanned)
    judged, rule = _verdicts(found), Rule.parse(DEFAULT_RULE)
    chosen = {model: choose(rule, one) for model, one in found.items()}
    title = f"{clean(grid.base.dataset, LABEL_LENGTH)}, {epochs} epochs"
    title += f" [{records.label}: not to be quoted]" if records.label else ""
    tables = [f"{label}, mean ± SD over seeds; {title}\n\n{table(points)}"]
    if confirmed:
        tables.append(f"the same after {2 * epochs} epochs, to confirm an elbow\n\n{table(confirmed)}")
    sentences = [choice.sentence for choice in chosen.values()]
    sentences += [verdict.sentence(model.rpartition(":")[2]) for model, verdict in judged.items()]
    own = {(p.model, p.dim3) for p in points}
    for model, one in found.items():
        if more := [k for k in one.series.dim3 if (model, k) not in own]:
            sentences.append(f"{one.label}: its answers also use other runs of the experiment, at dim3 {ranges(more)}")
    options.say("\n" + "\n\n".join([tables[0], *(["\n".join(sentences)] if sentences else []), *tables[1:]]) + "\n")
    recorder = Recorder(records.client, records.parent_id)
    recorder.tags({f"{VERDICT_PREFIX}{key(model)}": verdict.kind for model, verdict in judged.items()})
    record_curve(recorder, points, title, label)
    views = record_answers(records, Answers(title, rule, chosen, judged, [*sentences, reason], tables, grid.aside))
    options.say(summary.spent(study.pool.slots()))
    study.conclude(summary, reason, views)
    return ScanResult(
        complete=not missing,
        study=options.study,
        run_id=records.parent_id,
        experiment_id=records.experiment_id,
        epochs=epochs,
        points=tuple(points),
        error_name=label,
        choices=chosen,
        verdicts=judged,
        confirmed=tuple(confirmed),
        failures=tuple(summary.failures),
    )


if __name__ == "__main__":
    sys.exit(main())
