"""Scan the latent dimension: `python -m studies.scan --models pca,ae,vae --dim3 2:20 --seeds 3`.

A grid of cells (model, dim3, seed), each trained once in a worker process and recorded as a run under the
study's parent run. The same command again continues: a cell that is done is not run twice, a larger grid
fills in what is missing. From Python: `scan`. Exit codes: 0 complete; 1 some cells failed; 2 bad input; 130 or
143 interrupted.
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
from pathlib import Path

from matplotlib import style
from mlflow import MlflowClient
from mlflow.entities import Run

from elbowroom.analysis.elbow import Verdict
from elbowroom.analysis.findings.sentences import numbers, sentence
from elbowroom.tracking.cli import UNSET, Parser, command, config_fields
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.shared import Material
from elbowroom.tracking.logged_model.code import code_of
from elbowroom.tracking.run.execution import prepare
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import CURVE_PREFIX, VERDICT_PREFIX, Artifact, Kind, Tag
from elbowroom.tracking.store.recorder import Recorder, reach_store
from elbowroom.tracking.store.session import borrowed, see_it, use_store
from elbowroom.tracking.store.text import LABEL_LENGTH, clean, key

from .execution.coordinator import Failure, Grid, Progress, Source, Tally, conclude, described, duration, supervise
from .execution.pools import Pool
from .grid import PRESETS, Space, asked_by, parse_range, settings, shared_fields
from .options import (
    DEFAULT_STORAGE,
    Means,
    add_means,
    add_switch,
    means_of,
    opened_pool,
    shared_data,
    whole,
    whole_number,
)
from .progress import Cost, ScanProgress, costs, preview
from .records.ownership import as_begun, claim, find_parent, find_study
from .records.study import Charter, Finished, Ledger, children, done_cells
from .records.trials import connect, locked
from .results import Point, csv, curve, draw, error_name, table, verdicts

WHAT = "a scan of dim3"
DEFAULT = Space(dict.fromkeys(("pca", "ae", "vae"), tuple(range(2, 21))), 3, RunConfig())
TAG_LENGTH = 5000  # of the longest value that every store takes


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    again = "what ran ended KILLED; the same command again goes on where this one stopped"
    return command(lambda: _scan(arguments), killed=again)


def parser() -> Parser:
    """The grid, what its cells share, and how to run it."""
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
    add_means(made)
    add_switch(made, "--dry-run", "stop after the table of costs")
    made.add_store()
    return made


@dataclass(frozen=True)
class ScanResult:
    """What a study holds when a scan of it ends."""

    complete: bool
    """Whether every cell that was asked for has finished."""
    study: str
    run_id: str
    """Of the study's run, which is the parent of its cells'."""
    experiment_id: str
    points: tuple[Point, ...]
    """The curve of each model: the errors of each dim3, by seed."""
    error_name: str
    verdicts: Mapping[str, Verdict]
    """By model; a curve with too few points has none."""
    confirmed: tuple[Point, ...]
    """The same at twice the epochs, of the cells that were run to confirm a corner."""
    failures: tuple[Failure, ...]
    """The cells that came to nothing in this start, and why. The same call again tries them."""


@dataclass(frozen=True)
class Estimate:
    """What a scan would cost: by model, its cells, how many of them are done, and what one takes."""

    costs: tuple[Cost, ...]
    workers: int

    @property
    def left(self) -> int:
        """Cells that are not done."""
        return sum(c.cells - c.done for c in self.costs)


def scan(
    *,
    models: str | Iterable[str] | None = None,
    dim3: Iterable[int] | None = None,
    seeds: int | None = None,
    base: RunConfig | None = None,
    preset: str | None = None,
    confirm: str | Mapping[str, int] = "no",
    study: str | None = None,
    storage: str = DEFAULT_STORAGE,
    workers: int | None = None,
    backend: str = "local",
    scheduler: str | None = None,
    take_over: bool = False,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    verbose: bool = False,
) -> ScanResult:
    """Train every cell (model, dim3, seed) that the study has not, and return what it holds then.

    None is the value of `preset`, a name in PRESETS, else: pca, ae and vae, dim3 from 2 to 20, three seeds,
    `RunConfig()`. `base` is all that the cells share; its model, dim3, seed, threads, artifacts and measure are not
    read. `confirm` is `auto`, or the corner of each model, as {"ae": 8}. `tracking_uri` and `experiment` are as of
    `tracking.run.execute` where they are None. Nothing is printed unless `verbose`.

    Raises BadInput before anything is opened, RunFailed where the study itself can't go on. A cell that fails raises
    nothing: see `ScanResult.failures`.
    """
    space, name = grid(preset=preset, models=models, dim3=dim3, seeds=seeds, base=base)
    means = Means(study or name, storage, workers, backend, scheduler, take_over, verbose)
    with borrowed(tracking_uri, experiment):
        return run_space(space, means, _typed(confirm))


def estimate(
    *,
    models: str | Iterable[str] | None = None,
    dim3: Iterable[int] | None = None,
    seeds: int | None = None,
    base: RunConfig | None = None,
    preset: str | None = None,
    confirm: str | Mapping[str, int] = "no",
    study: str | None = None,
    storage: str = DEFAULT_STORAGE,
    workers: int | None = None,
    tracking_uri: str | None = None,
    experiment: str | None = None,
) -> Estimate:
    """What `scan` with these arguments would cost, as far as the cells that are done tell. Raises BadInput."""
    space, name = grid(preset=preset, models=models, dim3=dim3, seeds=seeds, base=base)
    with borrowed(tracking_uri, experiment):
        return estimate_space(space, Means(study or name, storage, workers), _typed(confirm))


def grid(
    *,
    preset: str | None = None,
    models: str | Iterable[str] | None = None,
    dim3: Iterable[int] | None = None,
    seeds: int | None = None,
    base: RunConfig | None = None,
) -> tuple[Space, str]:
    """The grid that is meant, see `scan`, and the study's default name. Raises BadInput."""
    start = start_of(preset)
    names = list(start.dim3) if models is None else [models] if isinstance(models, str) else list(models)
    by_model = {m: start.dim3.get(m, next(iter(start.dim3.values()))) for m in names}
    if dim3 is not None:
        by_model = dict.fromkeys(names, tuple(sorted({whole_number("dim3", k) for k in dim3})))
    seeds = start.seeds if seeds is None else whole_number("seeds", seeds)
    base = start.base if base is None else base
    data = clean(Path(base.dataset).stem, LABEL_LENGTH)
    return Space(by_model, seeds, base, start.label), preset or f"scan-{data}"


def start_of(preset: str | None) -> Space:
    """The grid of that name, or what a scan is by default. Raises BadInput."""
    if preset is None:
        return DEFAULT
    if preset not in PRESETS:
        raise BadInput(f"unknown preset {preset!r}; allowed: {', '.join(PRESETS)}")
    return PRESETS[preset]


def _space_of(given: argparse.Namespace) -> tuple[Space, str]:
    """The grid as typed, and the study's default name. Raises BadInput."""
    preset = None if given.preset == UNSET else given.preset
    start = start_of(preset)
    for name in shared_fields():
        if getattr(given, name) == UNSET:
            setattr(given, name, None)
    return grid(
        preset=preset,
        models=None if given.models == UNSET else [m.strip() for m in given.models.split(",") if m.strip()],
        dim3=None if given.dim3 == UNSET else parse_range(given.dim3),
        seeds=None if given.seeds == UNSET else whole("seeds", given.seeds),
        base=replace(start.base, **config_fields(given, shared_fields())),
    )


def _typed(confirm: str | Mapping[str, int]) -> str:
    """The corners to confirm, as they are typed."""
    return confirm if isinstance(confirm, str) else ",".join(f"{m}={k}" for m, k in confirm.items()) or "no"


def corners(text: str, space: Space, done: Iterable[Finished], say: Callable[[str], None] = print) -> dict[str, int]:
    """The corners to confirm: as typed, or with `auto` those that the analysis finds in what is done, and says."""
    if text != "auto":
        return breaks_of(text, space)
    points = curve(short(done, space))
    found = {
        model: verdict.dim3
        for model, verdict in verdicts(points).items()
        if verdict.dim3 is not None and model in space.dim3 and "epochs" in asked_by(model)
    }
    said = ", ".join(f"{model}={dim3}" for model, dim3 in found.items())
    say(f"to confirm: {said}" if said else "nothing to confirm: no trained model's curve has a clear elbow")
    return found


def short(cells: Iterable[Finished], space: Space) -> list[Finished]:
    """Those cells that are the curve, not its confirmation."""
    return [f for f in cells if f.config.epochs == space.base.epochs]


def breaks_of(text: str, space: Space) -> dict[str, int]:
    """`8` or `ae=8,vae=10` as the corner of each model; of a number alone, of all that have epochs. Raises BadInput."""
    if text == "no":
        return {}
    trained = [m for m in space.dim3 if "epochs" in asked_by(m)]
    corners: dict[str, int] = {}
    for part in text.split(","):
        model, equals, number = part.rpartition("=")
        if not trained or (equals and model not in trained):
            raise BadInput(f"confirm {part}: only what has epochs can be confirmed; allowed: {', '.join(trained)}")
        corners |= dict.fromkeys([model] if equals else trained, whole("confirm", number))
    return corners


def _scan(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    use_store(given)
    space, default_name = _space_of(given)
    means = means_of(given, default_name)
    if given.dry_run == "yes":
        estimate_space(space, means, given.confirm)
        return 0
    return 0 if run_space(space, means, given.confirm).complete else 1


def run_space(space: Space, means: Means, confirm: str = "no") -> ScanResult:
    """Run the cells of a space that are missing, as a study in the store in use: see `scan`, and `breaks_of`.

    Under `mlflow run` the run that it opened becomes the study's, or is linked to it.
    """
    with borrowed():
        invocation = os.environ.pop("MLFLOW_RUN_ID", None)  # a worker that inherited it would continue that run
        with opened_pool(means, space.base.device, space.count()) as pool:
            client = reach_store()
            storage = connect(means.storage)
            space = replace(space, base=as_begun(storage, means.name, space.base))
            cells = space.cells()
            material = Material.load(space.base)
            charter = _charter(space, means, material)
            done = _done(client, find_parent(client, find_study(storage, charter), charter), charter, cells, means)
            cells += space.confirmations(corners(confirm, space, done.values(), means.say))
            means.say(preview(means.name, cells, costs(cells, done, charter), pool.slots()))
            with (
                locked(means.storage, means.name),
                shared_data(material, means) as shared,
                claim(client, storage, charter, take_over=means.take_over, invocation=invocation) as ledger,
            ):
                del material
                Recorder(client, ledger.parent_id).tags(grid_tag(space))
                tally = run_grid(ledger, pool, cells, shared, means)
                return finish(ledger, space, cells, tally, pool.slots(), means)


def estimate_space(space: Space, means: Means, confirm: str = "no") -> Estimate:
    """What running the cells that are missing would cost: see `estimate`."""
    with borrowed():
        space.count()  # before anything is opened: an unknown model is found out here
        with opened_pool(means, space.base.device, 0) as pool:
            client = reach_store()
            storage = connect(means.storage)
            space = replace(space, base=as_begun(storage, means.name, space.base))
            cells = space.cells()
            charter = _charter(space, means, Material.load(space.base))
            done = _done(client, find_parent(client, find_study(storage, charter), charter), charter, cells, means)
            cells += space.confirmations(corners(confirm, space, done.values(), means.say))
            known = costs(cells, done, charter)
            means.say(preview(means.name, cells, known, pool.slots()))
            return Estimate(tuple(known), pool.slots())


def _charter(space: Space, means: Means, material: Material) -> Charter:
    """What the study is, once its models are seen to suit the data. Raises BadInput."""
    check(space, material)
    digest = material.digests["all"]
    codes = {model: code_of(model) for model in space.dim3}
    return Charter(means.name, WHAT, settings(space.base, digest), Kind.RUN, digest, space.label, codes=codes)


def _done(
    client: MlflowClient, parent: Run | None, charter: Charter, cells: list[RunConfig], means: Means
) -> dict[str, Finished]:
    """What the present code has done, by key; says which of these cells other code had done."""
    if parent is None:
        return {}
    done = done_cells(children(client, parent, Kind.RUN), charter.codes)
    present = {key: cell for key, cell in done.items() if cell.present}
    others = {_place(f.config) for f in done.values() if not f.present}
    anew = Counter(c.model for c in cells if charter.key(c) not in present and _place(c) in others)
    for model, count in anew.items():
        means.say(f"{clean(model)}: {count} finished cells were made with other code and are trained anew")
    return present


def _place(config: RunConfig) -> tuple[object, ...]:
    return config.model, config.dim3, config.seed, config.epochs


def check(space: Space, material: Material) -> None:
    """Build each model at both ends of its range: what can't be trained is found out before anything runs."""
    dim1 = material.data.dim1
    for model, values in space.dim3.items():
        if max(values) > dim1:
            raise BadInput(f"dim3 goes to {max(values)}, and {material.data.name} has {dim1} columns (dim1)")
        for dim3 in {min(values), max(values)}:
            prepare(replace(space.base, model=model, dim3=dim3, threads=1), material)


def grid_tag(space: Space) -> dict[str, str]:
    """The cells that were asked for, for readers who want to know which of them are missing."""
    grid = {"dim3": {model: list(values) for model, values in space.dim3.items()}, "seeds": space.seeds}
    text = json.dumps(grid)
    return {Tag.GRID: text} if len(text) <= TAG_LENGTH else {}


def run_grid(ledger: Ledger, pool: Pool, cells: list[RunConfig], shared: str | None, means: Means) -> Tally:
    """Run the cells that are missing."""

    def begin() -> tuple[Source, Progress]:
        done = ledger.done()
        missing = short_last(c for c in cells if ledger.charter.key(c) not in done)
        progress = ScanProgress(means.name, ledger, cells, done, pool.slots(), means.verbose)
        return Grid(ledger, missing, shared, means.on_cluster), progress

    return supervise(ledger, pool, begin)


def short_last(cells: Iterable[RunConfig]) -> list[RunConfig]:
    """Sort the cells of models without epochs to the end, except the first cell of each model.

    They take a second each, and fill the time in which one worker waits for the last long cell of another. The first
    cell of a model tells how long the others take.
    """
    ordered = list(cells)
    first = {cell.model: cell for cell in reversed(ordered)}
    return sorted(ordered, key=lambda c: "epochs" not in asked_by(c.model) and c is not first[c.model])


def finish(
    ledger: Ledger, space: Space, cells: list[RunConfig], tally: Tally, workers: int, means: Means
) -> ScanResult:
    """Write the study's curve onto its parent, print it where wanted, and say what failed.

    The curve has every cell that the study holds, also where this start asked for fewer.
    """
    epochs = space.base.epochs
    done = ledger.done()
    missing = [c for c in cells if ledger.charter.key(c) not in done]
    reason = f"{len(missing)} of {len(cells)} cells failed" if missing else ""
    everything = sorted(done.values(), key=lambda f: [*space.dim3, f.config.model].index(f.config.model))
    longer = [f for f in everything if f.config.epochs == 2 * epochs]
    mine = short(everything, space)
    points, called = curve(mine), error_name(mine)
    judged = verdicts(points)
    title = f"{clean(space.base.dataset, LABEL_LENGTH)}, {epochs} epochs" + (
        f" [{ledger.label}: not to be quoted]" if ledger.label else ""
    )
    tables = [f"{called}, mean over seeds; {title}\n\n{table(points)}"]
    confirmed = curve(longer)
    if confirmed:
        tables.append(f"the same after {2 * epochs} epochs, to confirm an elbow\n\n{table(confirmed)}")
    said = [sentence(model.rpartition(":")[2], verdict) for model, verdict in judged.items()]
    means.say("\n" + "\n\n".join([tables[0], *(["\n".join(said)] if said else []), *tables[1:]]) + "\n")
    recorder = Recorder(ledger.client, ledger.parent_id)
    for point in points:
        recorder.metrics({f"{CURVE_PREFIX}{key(point.model)}": point.mean}, point.dim3)
    for model, verdict in judged.items():
        recorder.metrics(numbers(model, verdict))
    kinds: dict[str, str] = {f"{VERDICT_PREFIX}{key(model)}": verdict.kind for model, verdict in judged.items()}
    recorder.tags({Tag.DESCRIPTION: described([*said, reason], *tables)} | kinds)
    with recorder.files() as folder:
        (folder / Artifact.CURVE).write_text(csv(points), encoding="utf-8")
        if points:
            (folder / Artifact.FIGURES).mkdir()
            with style.context("default"):  # the caller's figures may have one of their own
                draw(points, title, called).savefig(folder / Artifact.FIGURES / "curve.png")
    means.say(_costs(tally, workers))
    means.say(see_it(ledger.experiment_id, ledger.parent_id))
    conclude(ledger, reason, tally.failures, verbose=means.verbose)
    return ScanResult(
        complete=not missing,
        study=means.name,
        run_id=ledger.parent_id,
        experiment_id=ledger.experiment_id,
        points=tuple(points),
        error_name=called,
        verdicts=judged,
        confirmed=tuple(confirmed),
        failures=tuple(tally.failures),
    )


def _costs(tally: Tally, workers: int) -> str:
    if not tally.fit_seconds:
        return "no cell finished" if tally.failures else "nothing was left to run"
    outside = 1 - sum(tally.fit_seconds) / (workers * tally.seconds)
    return (
        f"{len(tally.fit_seconds)} cells in {duration(tally.seconds)} on {workers} workers; "
        f"{outside:.0%} of the workers' time outside training"
        + (f"; {tally.lost} times a worker was lost" if tally.lost else "")
    )


if __name__ == "__main__":
    sys.exit(main())
