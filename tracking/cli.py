"""The common parts of all command lines: quiet logs, one line for an error, signals, exit codes."""

from __future__ import annotations

import argparse
import gc
import importlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import fields
from types import FrameType
from typing import Any, NoReturn

from .config import RunConfig, field_help, parse_field
from .store.addresses import DEFAULT_STORE
from .store.errors import BadInput, Failed, RunFailed, one_line, store_failed
from .store.names import EXPERIMENT
from .store.terminal import hide_in_output, in_command, printing, quiet_libraries

UNSET = "default"
"""Typed for a flag that is not given: MLproject has no empty values."""


class _Interrupted(KeyboardInterrupt):
    """A signal that ends what runs KILLED."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.code = 128 + number


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Appends the default of a flag to its help, where the flag has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, UNSET) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def __init__(self, module: str, description: str) -> None:
        super().__init__(
            prog=f"python -m {module}",
            description=description,
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """One line, without the usage: argparse prints forty."""
        raise BadInput(f"{message}; --help lists what is allowed")

    def add_fields(self, names: Iterable[str], *, defaults: bool = True) -> None:
        """A flag for each of these fields of RunConfig, with its default, or with None in a group of their own."""
        source = "default: that of --preset, else that of tracking.train"
        group = self if defaults else self.add_argument_group("the training of every cell", source)
        by_name = {f.name: f for f in fields(RunConfig)}
        # Not at the top: it imports torch, and commands without these flags need none.
        sources = importlib.import_module("elbowroom.tracking.data.datasets").source_names()
        for name in names:
            text = field_help()[name].replace("{sources}", sources).replace("%", "%%")
            default = str(by_name[name].default) if defaults else None
            switch: dict[str, Any] = {"nargs": "?", "const": "yes"} if by_name[name].default == "no" else {}
            group.add_argument(flag(name), default=default, metavar="X", help=text, **switch)

    def add_store(self, *, read: bool = False) -> None:
        """Flags of the store: where to record, or where to read, and whether to write there."""
        if read:
            text = "write nothing into the store"
            self.add_argument("--no-log", nargs="?", const="yes", default="no", metavar="no", help=text)
        least = f"the one with runs of this project, else {EXPERIMENT}" if read else EXPERIMENT
        self.add_argument("--experiment", metavar="NAME", help=f"default: MLFLOW_EXPERIMENT_NAME, else {least}")
        self.add_argument("--tracking-uri", metavar="URI", help=f"default: MLFLOW_TRACKING_URI, else {DEFAULT_STORE}")


def flag(name: str) -> str:
    """`val_size` as it is typed: `--val-size`."""
    return f"--{name.replace('_', '-')}"


def config_fields(given: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """The values of these fields of RunConfig as typed, those that were. Raises BadInput."""
    typed = {name: getattr(given, name) for name in names}
    return {name: parse_field(name, text) for name, text in typed.items() if text is not None}


def command(body: Callable[[], int], *, killed: str) -> int:
    """Run the body of a command line and return its exit code.

    0 done; 1 a run or a store failed; 2 bad input, one line on stderr; 130 or 143 where Ctrl-C or SIGTERM ended it,
    as shells expect, with the sentence `killed` behind the name of the signal.
    """
    if in_command():
        gc.freeze()  # torch, MLflow and what they import: half a million objects that stay
    try:
        return printing(lambda: _ended(body, killed))
    finally:
        if in_command():
            gc.freeze()  # else all of them are looked through once more, for a second, as the process ends


def _ended(body: Callable[[], int], killed: str) -> int:
    be_quiet()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    invocation = os.environ.get("MLFLOW_RUN_ID")
    try:
        return body()
    except (BadInput, Failed) as error:
        if invocation:  # of `mlflow run`
            # Not at the top: it imports MLflow, and a table's verdict needs none.
            importlib.import_module("elbowroom.tracking.store.recorder").refuse_invocation(str(error), invocation)
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    except RunFailed as error:
        print(f"error: run {error.run_id} failed: {error.reason}", file=sys.stderr)
        return 1
    except _Interrupted as error:
        print(f"{error}; {killed}", file=sys.stderr)
        return error.code
    except Exception as error:
        if not store_failed(error):
            raise
        print(f"error: a store or a disk failed: {one_line(error)}", file=sys.stderr)  # where no run could say it
        return 1


def be_quiet() -> None:
    """Log the progress of this program, without passwords and without each step of a migration."""
    quiet_libraries()
    hide_in_output()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("elbowroom").setLevel(logging.INFO)
    warnings.filterwarnings("ignore", message=".*dataset source.*", module="mlflow")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End once; what arrives while the runs are being closed is too late to change anything."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise _Interrupted(number)
