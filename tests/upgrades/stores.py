"""Stores that released versions wrote, kept as text so that they open in any folder.

`python -m tests.upgrades.stores` writes the one of this version, in an environment with the lowest versions that
pyproject.toml allows (`make test-lowest` makes it), because MLflow and Optuna bring a database forward, never back.
A store is kept for good: a later version gets one of its own beside it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tarfile
import tempfile
from pathlib import Path

import mlflow

from elbowroom.analysis.report import main as report
from elbowroom.studies.grid import Grid
from elbowroom.studies.options import Options
from elbowroom.studies.scan import scan
from elbowroom.studies.tune import main as tune
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import VERSION
from tests.conftest import ROOT

FOLDER = Path(__file__).parent / "stores"
DATABASES = ("mlflow.db", "optuna.db")
PLACE = "/where-it-was-written"  # in the addresses of artifacts
EXPERIMENT, STUDY, TUNED = "kept", "scan", "tuned"
DIM3 = (1, 2, 3, 4)
GRID = Grid(
    dict.fromkeys(("pca", "ae", "vae"), DIM3),
    2,
    RunConfig(dataset="digits", dim2=16, epochs=8, batch_size=64),
    measured=(2,),
    repeats=2,
)
TUNE = ("--model", "ae", "--dim3", "2", "--dataset", "digits", "--epochs", "2", "--workers", "1")
PICTURES = ("figures", "images")
"""Folders of a run's artifacts that nobody reads back and that would be most of the size."""


def options(folder: Path) -> Options:
    """How the study is run: by one worker, in the folder."""
    return Options(STUDY, f"sqlite:///{folder}/optuna.db", workers=1)


def tune_study(folder: Path, trials: int) -> int:
    """Go on with the tuning study to so many trials; the exit code."""
    place = ("--study", TUNED, "--storage", f"sqlite:///{folder}/optuna.db", "--experiment", EXPERIMENT)
    return tune([*TUNE, "--trials", str(trials), "--tracking-uri", f"sqlite:///{folder}/mlflow.db", *place])


def write() -> Path:
    """A scan and a tuning study, and what this version reads from them, as a file below `stores`."""
    path = FOLDER / f"schema-{VERSION}.tar.xz"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        os.chdir(folder)
        os.environ["MLFLOW_EXPERIMENT_NAME"] = EXPERIMENT
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        assert scan(GRID, options(folder)).complete
        assert tune_study(folder, 2) == 0
        where = ("--experiment", EXPERIMENT, "--tracking-uri", f"sqlite:///{folder}/mlflow.db")
        assert report([*where, "--out", "read", "--no-log"]) == 0
        elsewhere = {f"{folder}": PLACE, f"{ROOT}/": "", f"'{os.uname().nodename} ": "'somewhere "}
        for name in DATABASES:
            with sqlite3.connect(name) as database:
                Path(f"{name}.sql").write_text("\n".join(database.iterdump()))
        dumps = [Path(f"{name}.sql") for name in DATABASES]
        for file in [*dumps, *Path("mlruns").rglob("MLmodel")]:
            for here, anywhere in elsewhere.items():
                file.write_text(file.read_text().replace(here, anywhere))
        kept = [*dumps, *sorted(f for f in Path("mlruns").rglob("*") if f.is_file())]
        with tarfile.open(path, "w:xz") as archive:
            archive.add("read/result.json", "result.json")
            for file in kept:
                if not set(PICTURES) & set(file.parts):
                    archive.add(file, filter=_nobodys)
    return path


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """A file without its owner and time."""
    return entry.replace(uid=0, gid=0, uname="", gname="", mtime=0, deep=False)


def restore(path: Path, folder: Path) -> dict[str, object]:
    """Open a kept store in a folder; what the version that wrote it read there (result.json)."""
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    for name in DATABASES:
        with sqlite3.connect(folder / name) as database:
            database.executescript((folder / f"{name}.sql").read_text().replace(PLACE, str(folder)))
        (folder / f"{name}.sql").unlink()
    read: dict[str, object] = json.loads((folder / "result.json").read_text())
    return read


if __name__ == "__main__":
    assert Path.cwd() == ROOT, "to be run in the checkout"
    os.environ["PYTHONPATH"] = str(ROOT)  # for the workers
    print(f"wrote {write()}", file=sys.stderr)
