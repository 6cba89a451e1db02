"""The options of every kind of study, and their flags."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from elbowroom.tracking.cli import UNSET, Parser
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.text import KEY_LENGTH, clean

from .grid import check_whole, parse_whole

RESUME = "the running cells end with the status KILLED; the same command again continues the study"
"""Printed by each command of a study that a signal ends."""
SWITCH: Mapping[str, Any] = {"nargs": "?", "const": "yes", "default": "no", "choices": ("yes", "no")}
"""Arguments of a switch, which is on where it has no value; MLproject always gives it yes or no."""
_STORAGE = "sqlite:///optuna.db"


@dataclass(frozen=True)
class Options:
    """The options of a study. Raises BadInput where they contradict each other."""

    study: str = ""
    """The study's name, under which it continues; empty: a name after its grid."""
    storage: str = _STORAGE
    """The database of Optuna's trials."""
    workers: int | None = None
    """Processes on this machine, one thread each; None: one per core."""
    backend: str = "local"
    """`local`, or `dask` for the workers of a Dask cluster."""
    scheduler: str | None = None
    """The address of the Dask cluster."""
    take_over: bool = False
    """Whether to take the study from a machine that died."""
    verbose: bool = False
    """Whether to print what the command prints."""
    tracking_uri: str | None = None
    """The tracking store; None: the one in use."""
    experiment: str | None = None
    """The MLflow experiment; None: the one that the environment names."""

    def __post_init__(self) -> None:
        """Check what can be checked before anything is opened."""
        if self.backend not in ("local", "dask"):
            raise BadInput(f"unknown backend {self.backend!r}; allowed: local, dask")
        if self.backend == "dask" and self.scheduler is None:
            raise BadInput("backend dask needs --scheduler ADDRESS, like tcp://127.0.0.1:8786")
        if self.study and not self.study.strip():
            raise BadInput("study is empty; allowed: a name")
        if len(self.study) > KEY_LENGTH or clean(self.study) != self.study:
            raise BadInput(f"study must be at most {KEY_LENGTH} letters that can be printed, got {self.study[:40]!r}")
        if self.workers is not None:
            check_whole("workers", self.workers)

    def named(self, default: str) -> Self:
        """These options, with `default` as the study's name where it has none."""
        return self if self.study else replace(self, study=default)

    def say(self, text: str) -> None:
        """Print a line of the command's output, if `verbose`."""
        if self.verbose:
            print(text, flush=True)


def add_options(parser: Parser) -> None:
    """Add the flags of `Options`, but for the store's."""
    parser.add_argument(
        "--study", default=UNSET, metavar="NAME", help="name of the study; an existing one is continued"
    )
    parser.add_argument("--storage", default=_STORAGE, metavar="URL", help="the database of Optuna's trials")
    parser.add_argument(
        "--workers", default=UNSET, metavar="N", help="worker processes, one thread each; default: one per core"
    )
    parser.add_argument("--backend", default="local", metavar="X", help="local: processes here; dask: a Dask cluster")
    parser.add_argument(
        "--scheduler", default="none", metavar="ADDRESS", help="address of the Dask scheduler, tcp://HOST:8786"
    )
    parser.add_argument("--take-over", **SWITCH, help="continue a study whose machine died")


def parse_options(given: argparse.Namespace) -> Options:
    """The options as typed. Raises BadInput."""
    return Options(
        study="" if given.study == UNSET else given.study.strip() or " ",  # a typed name that is empty is refused
        storage=given.storage,
        workers=None if given.workers == UNSET else parse_whole("workers", given.workers),
        backend=given.backend,
        scheduler=None if given.scheduler == "none" else given.scheduler,
        take_over=given.take_over == "yes",
        verbose=True,
    )
