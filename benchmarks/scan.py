"""A whole scan compared with the plain loop, and its time outside training: `python -m benchmarks.scan`.

The benchmark runs `studies.scan` in a process and a store of its own. The time outside training is the wall time of the
workers without their fits: starting, reading, measuring, drawing, writing, and waiting at the end. The plain loop
trains the same autoencoders and VAEs one after another on all cores, for the 20 epochs of its recipe and for the epochs
of the scan; its time is one epoch, measured before and after the scan, times their number. Then follow the scaling from
one worker to two, and the memory of four workers; `--parts scan,scaling,memory` selects.
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
LEARNT = 55_000  # training rows of a cell; the others of MNIST are for validation
EVERY = 0.2  # seconds between two measurements of the memory
GIB = 1 << 30


class Cell(NamedTuple):
    """One finished run: its begin and end in s since 1970, and the seconds of its fit."""

    model: str
    dim3: int
    began: float
    ended: float
    fit: float


class Scan(NamedTuple):
    """A finished scan: begin and end of its command, number of workers, cells and peak memory in bytes."""

    began: float
    ended: float
    workers: int
    cells: Sequence[Cell]
    memory: int

    @property
    def wall(self) -> float:
        """The seconds of the command."""
        return self.ended - self.began


def outside(scan: Scan) -> float:
    """Return the share of the workers' wall time outside fits."""
    return 1 - sum(c.fit for c in scan.cells) / (scan.workers * scan.wall)


def edges(scan: Scan) -> tuple[float, float]:
    """Return the seconds before the first cell began, and after the last one ended."""
    return min(c.began for c in scan.cells) - scan.began, scan.ended - max(c.ended for c in scan.cells)


def proportional_memory(process: psutil.Process) -> int:
    """Return the proportional set size (PSS) of a process and its descendants, in bytes."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:  # the process has ended meanwhile
            continue
    return total


def run_scan(folder: Path, flags: Sequence[str], workers: int, *, weigh: bool = False) -> Scan:
    """Run `studies.scan` on the store in a folder, which is made if missing; with `weigh` measure its peak memory."""
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
    """Return the finished runs of the only scan in a store."""
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
    """Return the seconds of the plain loop for the autoencoders and VAEs among the cells, one after another."""
    counted = Counter(c.model for c in cells)
    return sum(counted[model] * epochs * seconds for model, seconds in epoch.items())


def compare(folder: Path, flags: Sequence[str], workers: int, *, plain: bool) -> tuple[Scan, dict[str, float]]:
    """Run a scan, and time an epoch of the plain loop for each model before and after it."""
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
    """Return the median seconds of a cell outside its fit, by model."""
    return {
        model: statistics.median(c.ended - c.began - c.fit for c in cells if c.model == model)
        for model in dict.fromkeys(c.model for c in cells)
    }


def summary(scan: Scan, epoch: dict[str, float], epochs: int) -> str:
    """Return the results of a scan as text; `epoch`, the plain loop's seconds an epoch by model, may be empty."""
    start, end = edges(scan)
    rows = []
    for model, rest in beside(scan.cells).items():
        fits = [c.fit for c in scan.cells if c.model == model]
        rows.append((model, str(len(fits)), f"{statistics.median(fits):.1f}", f"{rest:.1f}"))
    lines = [
        table(("", "cells", "s in the fit", "s beside it"), rows),
        "",
        f"wall time {scan.wall:.0f} s with {scan.workers} workers, of it outside training {100 * outside(scan):.1f} %; "
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
    """Run the selected parts, and return the exit code."""
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
    epochs = int(base.for_rows(LEARNT).epochs) if given.epochs is None else given.epochs
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
