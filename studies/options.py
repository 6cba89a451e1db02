"""What a study runs on: its flags, its workers, and the folder from which they map the data."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from urllib.parse import urlparse

import mlflow

from elbowroom.tracking.cli import UNSET
from elbowroom.tracking.data.shared import Material
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.locks import private_folder
from elbowroom.tracking.store.text import KEY_LENGTH, clean

from .execution.pools import DaskPool, LocalPool, Pool
from .records.trials import study_key

DEFAULT_STORAGE = "sqlite:///optuna.db"


@dataclass(frozen=True)
class Means:
    """What every kind of study runs on. Raises BadInput for what can't be."""

    name: str
    """The study's."""
    storage: str = DEFAULT_STORAGE
    """Of Optuna's trials."""
    workers: int | None = None
    """Processes here, one thread each; None: one a core."""
    backend: str = "local"
    scheduler: str | None = None
    take_over: bool = False
    verbose: bool = False
    """Whether to print what the command prints."""

    def __post_init__(self) -> None:
        """Check what can be checked before anything is opened."""
        if self.backend not in ("local", "dask"):
            raise BadInput(f"unknown backend {self.backend!r}; allowed: local, dask")
        if self.backend == "dask" and self.scheduler is None:
            raise BadInput("backend dask needs --scheduler ADDRESS, like tcp://127.0.0.1:8786")
        if not self.name.strip():
            raise BadInput("study is empty; allowed: a name")
        if len(self.name) > KEY_LENGTH or clean(self.name) != self.name:
            raise BadInput(f"study must be at most {KEY_LENGTH} letters that can be printed, got {self.name[:40]!r}")
        if self.workers is not None:
            whole_number("workers", self.workers)

    @property
    def on_cluster(self) -> bool:
        """Whether the workers may be on other machines."""
        return self.backend == "dask"

    def say(self, text: str) -> None:
        """Print what a command prints, where that is wanted."""
        if self.verbose:
            print(text, flush=True)


def add_means(made: argparse.ArgumentParser) -> None:
    """The flags."""
    made.add_argument("--study", default=UNSET, metavar="NAME", help="the study's name; it continues under it")
    made.add_argument("--storage", default=DEFAULT_STORAGE, metavar="URL", help="the database of Optuna's trials")
    made.add_argument("--workers", default=UNSET, metavar="N", help="processes, one thread each; default: cores")
    made.add_argument("--backend", default="local", metavar="X", help="local: processes here; dask: a Dask cluster")
    made.add_argument("--scheduler", default="none", metavar="ADDRESS", help="of the Dask cluster, tcp://HOST:8786")
    add_switch(made, "--take-over", "take the study of a machine that died")


def add_switch(made: argparse._ActionsContainer, name: str, text: str) -> None:
    """A flag that is on where it stands alone; MLproject always gives it yes or no."""
    made.add_argument(name, nargs="?", const="yes", default="no", choices=("yes", "no"), help=text)


def means_of(given: argparse.Namespace, default_name: str) -> Means:
    """The flags as typed. Raises BadInput."""
    return Means(
        name=default_name if given.study == UNSET else given.study.strip(),
        storage=given.storage,
        workers=None if given.workers == UNSET else whole("workers", given.workers),
        backend=given.backend,
        scheduler=None if given.scheduler == "none" else given.scheduler,
        take_over=given.take_over == "yes",
        verbose=True,
    )


def whole(name: str, text: str, low: int = 1) -> int:
    """A whole number as typed (MLflow may write 3 as 3.0). Raises BadInput."""
    try:
        number = int(text.removesuffix(".0"))
    except ValueError:
        number = low - 1
    if number < low:
        raise BadInput(f"{name} must be a whole number of at least {low}, got {text!r}")
    return number


def whole_number(name: str, value: object, low: int = 1) -> int:
    """A whole number given from Python, numpy's too. Raises BadInput."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise BadInput(f"{name} must be a whole number of at least {low}, got {value!r}")
    return int(value)


@contextmanager
def opened_pool(means: Means, device: str, jobs: int) -> Iterator[Pool]:
    """The workers, ended when the block ends; those of this machine import what so many jobs need meanwhile.

    To be entered before a store is opened: see `forking`.
    """
    workers, study = means.workers or os.cpu_count() or 1, study_key(means.storage, means.name)
    pool = _cluster(means) if means.on_cluster else LocalPool(workers, device, verbose=means.verbose, study=study)
    try:
        pool.begin(jobs)
        yield pool
    finally:
        pool.stop()


def _cluster(means: Means) -> Pool:
    scheduler = str(means.scheduler)
    uri = mlflow.get_tracking_uri()
    if uri.startswith("sqlite") and urlparse(scheduler).hostname not in ("127.0.0.1", "localhost"):
        raise BadInput(
            f"tracking URI {uri} is a file, which workers of a cluster can't share; "
            "start an `mlflow server` and give --tracking-uri http://HOST:5000"
        )
    return DaskPool(scheduler)


@contextmanager
def shared_data(material: Material, means: Means) -> Iterator[str | None]:
    """A folder from which the workers of this machine map the data; on a cluster, where each loads them, None.

    To be entered with the study locked: the folder is named after it, so that a killed coordinator's is
    replaced by the next and not left behind. Raises BadInput where it can't be written.
    """
    if means.on_cluster:
        yield None
        return
    folder: Path | None = None
    try:
        try:
            folder = private_folder("shared") / study_key(means.storage, means.name)
            material.save(folder)
        except OSError as error:
            raise BadInput(
                f"the data can't be written to {folder or error.filename}: {error.strerror or error}; "
                "ELBOWROOM_CACHE moves it"
            ) from error
        del material  # from here on the workers' maps are all that is needed
        yield str(folder)
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
