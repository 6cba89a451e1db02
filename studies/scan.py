"""Scan the latent dimension: `python -m studies.scan --models pca,ae,vae --dim3 2:20 --seeds 3`.

A grid of cells (model, dim3, seed), each trained once in a worker process and recorded as a run under the
study's parent run. The same command again continues: a cell that is done is not run twice, a larger grid
fills in what is missing. Exit codes: 0 complete; 1 some cells failed; 2 bad input; 130 or 143 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from analysis.sentences import numbers, sentence
from tracking.cli import Parser, command, config_fields, see_it, use_store
from tracking.config import BadInput, RunConfig
from tracking.material import Material
from tracking.recorder import Recorder, reach_store
from tracking.run import prepare
from tracking.schema import CURVE_PREFIX, VERDICT_PREFIX, Artifact, Kind, Tag

from .claim import claim, find_parent, find_study
from .coordinator import Grid, Progress, Source, Tally, conclude, duration, markdown, supervise
from .costs import ScanProgress, costs, preview
from .curve import csv, curve, draw, error_name, table, verdicts
from .ledger import Charter, Finished, Ledger, children, done_cells
from .means import UNSET, Means, add_means, add_switch, means_of, opened_pool, shared_data, whole
from .spaces import PRESETS, Space, asked_by, cell_key, parse_range, settings, shared_fields
from .storage import connect, locked
from .workers import Pool

WHAT = "a scan of dim3"
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


def space_of(given: argparse.Namespace) -> tuple[Space, str]:
    """The grid that was asked for, and the study's default name."""
    if given.preset != UNSET and given.preset not in PRESETS:
        raise BadInput(f"unknown preset {given.preset!r}; allowed: {', '.join(PRESETS)}")
    preset = PRESETS.get(given.preset, Space(dict.fromkeys(("pca", "ae", "vae"), tuple(range(2, 21))), 3, RunConfig()))
    for name in shared_fields():
        if getattr(given, name) == UNSET:
            setattr(given, name, None)
    base = replace(preset.base, **config_fields(given, shared_fields()))
    models = list(preset.dim3)
    if given.models != UNSET:
        models = [m.strip() for m in given.models.split(",") if m.strip()]
    dim3 = {m: preset.dim3.get(m, next(iter(preset.dim3.values()))) for m in models}
    if given.dim3 != UNSET:
        dim3 = dict.fromkeys(models, parse_range(given.dim3))
    seeds = preset.seeds if given.seeds == UNSET else whole("seeds", given.seeds)
    default = given.preset if given.preset != UNSET else f"scan-{Path(base.dataset).stem}"
    return Space(dim3, seeds, base, preset.label), default


def corners(text: str, space: Space, done: Iterable[Finished]) -> dict[str, int]:
    """The corners to confirm: as typed, or with `auto` those that the analysis finds in what is done."""
    if text != "auto":
        return breaks_of(text, space)
    points = curve(short(done, space))
    found = {
        model: verdict.dim3
        for model, verdict in verdicts(points).items()
        if verdict.dim3 is not None and model in space.dim3 and "epochs" in asked_by(model)
    }
    said = ", ".join(f"{model}={dim3}" for model, dim3 in found.items())
    print(f"to confirm: {said}" if said else "nothing to confirm: no trained model's curve has a clear elbow")
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
    invocation = os.environ.pop("MLFLOW_RUN_ID", None)  # a worker that inherited it would continue that run
    space, default_name = space_of(given)
    return run_space(space, means_of(given, default_name), invocation, given.confirm, given.dry_run == "yes")


def run_space(space: Space, means: Means, invocation: str | None, confirm: str = "no", dry_run: bool = False) -> int:
    """Run the cells of a space that are missing, as a study; the exit code. Raises BadInput before a run is opened.

    `invocation` is the run that `mlflow run` opened, taken out of the environment.
    """
    cells = space.cells()  # before anything is opened: an unknown model is found out here
    client = reach_store()
    with opened_pool(means) as pool:
        if not dry_run:
            pool.begin(len(cells))
        storage = connect(means.storage)
        material = Material.load(space.base)
        check(space, material)
        digest = material.digests["all"]
        charter = Charter(means.name, WHAT, settings(space.base, digest), Kind.RUN, digest, space.label)
        parent = find_parent(client, find_study(storage, charter), charter)
        done = {} if parent is None else done_cells(children(client, parent, Kind.RUN))
        cells += space.confirmations(corners(confirm, space, done.values()))
        print(preview(means.name, cells, costs(cells, done, digest), pool.slots()), flush=True)
        if dry_run:
            return 0
        with (
            locked(means.storage, means.name),
            shared_data(material, means) as shared,
            claim(client, storage, charter, take_over=means.take_over, invocation=invocation) as ledger,
        ):
            del material
            Recorder(client, ledger.parent_id).tags(grid_tag(space))
            tally = run_grid(ledger, pool, cells, shared, means)
            return finish(ledger, space, cells, tally, pool.slots())


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
        missing = [c for c in cells if cell_key(c, ledger.digest) not in done]
        progress = ScanProgress(means.name, ledger, cells, done, pool.slots())
        return Grid(ledger, missing, shared, means.on_cluster), progress

    return supervise(ledger, pool, begin)


def finish(ledger: Ledger, space: Space, cells: list[RunConfig], tally: Tally, workers: int) -> int:
    """Write the study's curve onto its parent, print it, and say what failed; the exit code.

    The curve has every cell that the study holds, also where this start asked for fewer.
    """
    epochs = space.base.epochs
    done = ledger.done()
    missing = [c for c in cells if cell_key(c, ledger.digest) not in done]
    reason = f"{len(missing)} of {len(cells)} cells failed" if missing else ""
    everything = sorted(done.values(), key=lambda f: [*space.dim3, f.config.model].index(f.config.model))
    longer = [f for f in everything if f.config.epochs == 2 * epochs]
    mine = short(everything, space)
    points, called = curve(mine), error_name(mine)
    judged = verdicts(points)
    title = f"{space.base.dataset}, {epochs} epochs" + (f" [{ledger.label}: not to be quoted]" if ledger.label else "")
    tables = [f"{called}, mean over seeds; {title}\n\n{table(points)}"]
    if longer:
        tables.append(f"the same after {2 * epochs} epochs, to confirm an elbow\n\n{table(curve(longer))}")
    said = [sentence(model.rpartition(":")[2], verdict) for model, verdict in judged.items()]
    print("\n" + "\n\n".join([tables[0], *(["\n".join(said)] if said else []), *tables[1:]]) + "\n")
    recorder = Recorder(ledger.client, ledger.parent_id)
    for point in points:
        recorder.metrics({f"{CURVE_PREFIX}{point.model}": point.mean}, point.dim3)
    for model, verdict in judged.items():
        recorder.metrics(numbers(model, verdict))
    kinds: dict[str, str] = {f"{VERDICT_PREFIX}{model}": verdict.kind for model, verdict in judged.items()}
    recorder.tags({Tag.DESCRIPTION: markdown([*said, reason], *tables)} | kinds)
    with recorder.files() as folder:
        (folder / Artifact.CURVE).write_text(csv(points))
        if points:
            (folder / Artifact.FIGURES).mkdir()
            draw(points, title, called).savefig(folder / Artifact.FIGURES / "curve.png")
    print(_costs(tally, workers))
    print(see_it(ledger.experiment_id, ledger.parent_id))
    return conclude(ledger, reason, tally.failures)


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
