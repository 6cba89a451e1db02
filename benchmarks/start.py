"""The start-up time of a run, a scan and a worker: `python -m benchmarks.start`.

Seconds from the start of a process, with cached data and an existing store, in alternated rounds: `python -m
tracking.train` to its first epoch; `python -m studies.scan` to its first cell; `import torch, mlflow` alone to its end
and to the end of the process, which cleans up; and these imports with the data loaded after them. Then the seconds to
each of four workers of a new fork server.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from .common import machine, spread, write_lines
from .plain import scratch
from .scan import run_scan

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 7
NOW = "import time; print(time.time(), flush=True)"
BARE = "import torch, mlflow"
DATA = f"""
{BARE}
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
PreparedData.load(RunConfig(dataset="DATASET"))
{NOW}
"""
# The command, ended where its first epoch begins; it prints that time.
DRIVER = """
import elbowroom.tracking.imports  # what the command itself imports first
import os, runpy, time
from elbowroom.models.neural import training

def stop(*_):
    print(time.time(), flush=True)
    os._exit(0)

training._one_epoch = stop
runpy.run_module("tracking.train", run_name="__main__", alter_sys=True)
"""
WORKERS = """
import time
from elbowroom.studies.execution.fork_server import ForkServer
began = time.perf_counter()
server = ForkServer("benchmark")
for _ in range(4):
    worker = server.worker()
    worker.ready()
    print(time.perf_counter() - began)
    began = time.perf_counter()
"""


def run(code: str, flags: list[str]) -> list[float]:
    """Return the numbers that a process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *flags],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [float(line) for line in done.stdout.split()]


def seconds(code: str, flags: list[str]) -> float:
    """Return the seconds from the start of a process to the last time that it prints, or else to its end."""
    began = time.time()
    lines = run(code, flags)
    return (lines[-1] if lines else time.time()) - began


def to_first_cell(folder: Path, dataset: str, dim3: int) -> float:
    """Return the seconds from the start of a scan to its first new cell; the folder's store may hold older ones."""
    scan = run_scan(folder, ["--models", "pca", "--dataset", dataset, "--dim3", f"1:{dim3}", "--seeds", "1"], workers=2)
    return max(cell.began for cell in scan.cells) - scan.began


def main(arguments: list[str] | None = None) -> int:
    """Time all of it in rounds, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    given = parser.parse_args(arguments)
    print(json.dumps(machine()), file=sys.stderr)
    lines: list[dict[str, float]] = []
    workers: list[list[float]] = []
    with scratch() as place:
        flags = ["--model", "ae", "--dim3", "2", "--dataset", given.dataset]
        flags += ["--tracking-uri", f"sqlite:///{place}/mlflow.db"]
        for number in range(given.rounds + 1):
            line = {
                "train_s": seconds(DRIVER, flags),
                "imported_s": seconds(f"{BARE}\n{NOW}", []),
                "bare_s": seconds(BARE, []),
                "scan_s": to_first_cell(Path(place) / "scan", given.dataset, 1 + number),
                "data_s": seconds(DATA.replace("DATASET", given.dataset), []),
            }
            if number > 0:  # the first round makes the store and warms the file caches
                lines.append(line)
                workers.append(run(WORKERS, []))
    took = {name: spread(line[name] for line in lines) for name in lines[0]}
    print(f"train: to the first epoch {took['train_s']:.2f} s")
    for name, until in (("imported_s", "done"), ("bare_s", "done and their process gone")):
        ratio = spread(line["train_s"] / line[name] for line in lines)
        print(f"bare imports of torch and mlflow until {until} {took[name]:.2f} s; ratio {ratio:.2f}")
    ratio = spread(line["scan_s"] / line["data_s"] for line in lines)
    print(f"scan: to the first cell {took['scan_s']:.2f} s; imports and data {took['data_s']:.2f} s; ratio {ratio:.2f}")
    first, others = spread(w[0] for w in workers), spread(s for w in workers for s in w[1:])
    print(
        f"a new server's first worker ready after {first:.2f} s, each other one {others:.3f} s after it was asked for"
    )
    write_lines(given.jsonl, [*lines, *({"workers_s": w} for w in workers)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
