"""A whole scan against the plain approach, and what it spends outside training: `python -m benchmarks.scan`.

Runs `studies.scan` in a process of its own on a store of its own. Outside training is what the workers' wall time
has beside the seconds of their fits: starting, reading data, measuring, drawing, writing, waiting at the end. The plain
approach trains the same autoencoders and VAEs one after another by the plain loop on all cores, for the 20 epochs of
its recipe, and beside that for as many as the scan has; an epoch of it is measured before and after the scan. Then the
scaling from one worker to two, and the memory of four; `--parts scan,scaling,memory` chooses.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from elbowroom.studies.grid import PRESETS
from elbowroom.tracking.data.mnist import load_idx
from elbowroom.tracking.store.addresses import cache_folder
from elbowroom.tracking.store.names import Kind, Metric, Tag

from .common import machine, table, write_lines
from .plain import link_mnist, plain_epoch_seconds, scratch
from .time_to_quality import PLAIN_EPOCHS

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("scan", "scaling", "memory")
SOME = "2:20:6"  # dim3 of the scaling: enough cells for two workers
MOST_WORKERS = 4
LEARNT = 55_000  # of MNIST's rows, by a cell: the others are for validation
EVERY = 0.2  # seconds between two looks at the memory
GIB = 1 << 30


class Cell(NamedTuple):
    """One finished run: its model, its dim3, when it began and ended (s since 1970), and its fit's seconds."""

    model: str
    dim3: int
    began: float
    ended: float
    fit: float


class Scan(NamedTuple):
    """A scan that ended: when its command began and ended, its workers, cells and most memory (bytes)."""

    began: float
    ended: float
    workers: int
    cells: Sequence[Cell]
    memory: int

    @property
    def wall(self) -> float:
        """Seconds of the command."""
        return self.ended - self.began


def outside(scan: Scan) -> float:
    """The share of the workers' wall time that was not spent in a fit."""
    return 1 - sum(c.fit for c in scan.cells) / (scan.workers * scan.wall)


def edges(scan: Scan) -> tuple[float, float]:
    """Seconds before the first cell began, and after the last one ended."""
    return min(c.began for c in scan.cells) - scan.began, scan.ended - max(c.ended for c in scan.cells)


def proportional_memory(process: psutil.Process) -> int:
    """Bytes of a process and all below it, a page that n processes share counted as an n-th for each (PSS)."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:  # it ended between the two looks
            continue
    return total


def run_scan(folder: Path, flags: Sequence[str], workers: int, *, weigh: bool = False) -> Scan:
    """Run `studies.scan` on the store in a folder, made where it is not; with `weigh` its memory is looked at."""
    folder.mkdir(exist_ok=True)
    store = f"sqlite:///{folder}/mlflow.db"
    command = [sys.executable, "-m", "studies.scan", "--workers", str(workers), "--study", "benchmark", *flags]
    command += ["--storage", f"sqlite:///{folder}/optuna.db", "--tracking-uri", store, "--experiment", "benchmark"]
    began, most = time.time(), 0
    with (
        (folder / "log.txt").open("w") as log,
        subprocess.Popen(
            command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        seen = psutil.Process(process.pid)
        while weigh and process.poll() is None:
            most = max(most, proportional_memory(seen))
            time.sleep(EVERY)
    ended = time.time()
    if process.returncode != 0:
        raise SystemExit(f"error: the scan ended with {process.returncode}\n{(folder / 'log.txt').read_text()}")
    return Scan(began, ended, workers, cells_of(store), most)


def cells_of(store: str) -> list[Cell]:
    """The finished runs of the store's one scan."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("benchmark")
    assert experiment is not None
    query = f"tags.`{Tag.KIND}` = '{Kind.RUN}' and attributes.status = 'FINISHED'"
    return [_cell(run) for run in client.search_runs([experiment.experiment_id], query, max_results=1000)]


def _cell(run: Run) -> Cell:
    held = run.data.metrics
    began, ended = run.info.start_time / 1000, run.info.end_time / 1000
    return Cell(run.data.params["model"], int(held[Metric.DIM3]), began, ended, held[Metric.FIT_SECONDS])


def plain_seconds(cells: Sequence[Cell], epoch: dict[str, float], epochs: int = PLAIN_EPOCHS) -> float:
    """What the plain loop takes for the autoencoders and VAEs among the cells, one after another."""
    counted = Counter(c.model for c in cells)
    return sum(counted[model] * epochs * seconds for model, seconds in epoch.items())


def compare(folder: Path, flags: Sequence[str], workers: int, *, plain: bool) -> tuple[Scan, dict[str, float]]:
    """A scan, and the plain loop's seconds an epoch for each model, measured before and after it."""
    timed: dict[str, list[float]] = {"ae": [], "vae": []}

    def time_plain() -> None:
        with scratch() as place:
            mnist = link_mnist(cache_folder("mnist"), Path(place))
            for model, seconds in timed.items():
                timed_once = partial(plain_epoch_seconds, model, 10, mnist, threads=os.cpu_count(), rows=range(LEARNT))
                seconds += [timed_once() for _ in range(2)]

    if plain:
        load_idx("mnist")  # into the cache, where it is not
        time_plain()
    scan = run_scan(folder, flags, workers)
    if plain:
        time_plain()
    return scan, {model: statistics.median(s) for model, s in timed.items() if s}


def beside(cells: Sequence[Cell]) -> dict[str, float]:
    """For each model the median of the seconds that a cell spends outside its fit."""
    return {
        model: statistics.median(c.ended - c.began - c.fit for c in cells if c.model == model)
        for model in dict.fromkeys(c.model for c in cells)
    }


def summary(scan: Scan, epoch: dict[str, float], epochs: int) -> str:
    """What the scan, of so many epochs, came to, as a table and lines; `epoch` is empty without a plain loop."""
    start, end = edges(scan)
    rows = []
    for model, rest in beside(scan.cells).items():
        fits = [c.fit for c in scan.cells if c.model == model]
        rows.append((model, str(len(fits)), f"{statistics.median(fits):.1f}", f"{rest:.1f}"))
    lines = [
        table(("", "cells", "s in the fit", "s beside it"), rows),
        "",
        f"wall time {scan.wall:.0f} s with {scan.workers} workers, of it outside training {outside(scan):.1%}; "
        f"{start:.1f} s before the first cell, {end:.1f} s after the last",
    ]
    if epoch:
        said = ", ".join(f"{model} {s:.2f}" for model, s in epoch.items())
        lines.append(f"plain loop: {said} s an epoch; these autoencoders and VAEs one after another:")
        for number, why in ((PLAIN_EPOCHS, "its recipe"), (epochs, "as the scan")):
            seconds = plain_seconds(scan.cells, epoch, number)
            lines.append(f"{number} epochs each ({why}): {seconds:.0f} s, {seconds / scan.wall:.1f} times the scan")
    return "\n".join(lines)


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if not set(parts) <= set(PARTS):
        raise ValueError
    return parts


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scan", description=__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="quick")
    parser.add_argument("--epochs", type=int, help="of each cell; default: the preset's")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--parts", type=_parts, default=[*PARTS], help=f"of {','.join(PARTS)}; default: all")
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    given = parser.parse_args(arguments)
    print(json.dumps(machine()), file=sys.stderr)
    lines: list[dict[str, object]] = []
    base = PRESETS[given.preset].base
    epochs = base.epochs if given.epochs is None else given.epochs
    flags = ["--preset", given.preset, "--epochs", str(epochs)]
    some = [*flags, "--dim3", SOME, "--seeds", "1"]
    with scratch() as place:
        if "scan" in given.parts:
            scan, epoch = compare(Path(place) / "scan", flags, given.workers, plain=base.dataset == "mnist")
            print(summary(scan, epoch, epochs), flush=True)
            lines.append({"part": "scan", "preset": given.preset, "epochs": epochs, "workers": scan.workers})
            lines[-1] |= {"wall_s": scan.wall, "outside": outside(scan), "edges_s": edges(scan)}
            lines[-1] |= {"beside_s": beside(scan.cells), "plain_epoch_s": epoch}
            lines[-1] |= {f"plain_{n}_epochs_s": plain_seconds(scan.cells, epoch, n) for n in (PLAIN_EPOCHS, epochs)}
        if "scaling" in given.parts:
            walls = {n: run_scan(Path(place) / f"workers-{n}", some, n).wall for n in (1, 2)}
            gain = walls[1] / walls[2]
            print(f"dim3 {SOME}: {walls[1]:.0f} s with one worker, {walls[2]:.0f} s with two: {gain:.2f} times as fast")
            lines.append({"part": "scaling", "one_worker_s": walls[1], "two_workers_s": walls[2]})
        if "memory" in given.parts:
            most = run_scan(Path(place) / "memory", some, MOST_WORKERS, weigh=True).memory
            print(f"most memory with {MOST_WORKERS} workers, shared pages counted once: {most / GIB:.2f} GiB")
            lines.append({"part": "memory", "workers": MOST_WORKERS, "bytes": most})
    write_lines(given.jsonl, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
