"""Train one model and record it: `python -m tracking.train --model vae --dataset mnist --dim3 2`.

Exit codes: 0 done; 1 the run failed; 2 bad input, one line on stderr and no run left behind; 130 or 143
where Ctrl-C or SIGTERM killed it, as shells expect.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import warnings
from dataclasses import fields
from types import FrameType
from typing import NoReturn

import mlflow
from mlflow import MlflowClient
from tqdm import tqdm

from models import Epoch

from .aftermath import keep_killed
from .config import BadInput, RunConfig, field_help, parse_field
from .recorder import RunFailed, hidden, refuse_invocation
from .run import RunResult, execute
from .schema import EXPERIMENT, Metric, Tag

DEFAULT_STORE = "sqlite:///mlflow.db"


class Interrupted(KeyboardInterrupt):
    """A signal that ends the run KILLED."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, without the usage: argparse prints forty."""
        raise BadInput(f"{message}; --help lists what is allowed")


class Progress:
    """A bar with loss and time left where stderr is a terminal, a line an epoch where not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: tqdm[NoReturn] | None = None

    def __call__(self, epoch: Epoch) -> None:
        """Show one epoch."""
        shown = {k: f"{v:.4g}" for k, v in epoch.metrics.items() if k in (Metric.TRAIN_LOSS, Metric.VAL_MSE)}
        if not sys.stderr.isatty():
            words = "  ".join(f"{k} {v}" for k, v in shown.items())
            print(f"{self.name}  epoch {epoch.number}/{epoch.total}  {words}", file=sys.stderr, flush=True)
            return
        if self.bar is None:
            self.bar = tqdm(total=epoch.total, desc=self.name, unit="epoch")
        self.bar.set_postfix(shown)
        self.bar.update()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.close()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    _be_quiet()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    progress = None
    try:
        config = _configure(arguments)
        progress = Progress(config.run_name)
        result = execute(config, on_epoch=progress)
        progress.close()
        _report(config, result)
        return 0
    except BadInput as error:
        line = " ".join(str(error).split())
        refuse_invocation(line)
        print(f"error: {line}", file=sys.stderr)
        return 2
    except RunFailed as error:
        print(f"error: run {error.run_id} failed: {error.reason}", file=sys.stderr)
        return 1
    except Interrupted as error:
        if os.environ.get("MLFLOW_RUN_ID"):
            keep_killed(os.environ["MLFLOW_RUN_ID"])
        print(f"{error}; a run that was open ended KILLED", file=sys.stderr)
        return 128 + error.number
    finally:
        if progress is not None:
            progress.close()


def parser() -> argparse.ArgumentParser:
    """One flag for each field of RunConfig, and where to record."""
    made = _Parser(
        prog="python -m tracking.train",
        description="Train one model on one data set, recorded in MLflow.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    for field in fields(RunConfig):
        text = field_help()[field.name].replace("%", "%%")
        made.add_argument(f"--{field.name.replace('_', '-')}", default=str(field.default), metavar="X", help=text)
    made.add_argument("--experiment", metavar="NAME", help=f"MLFLOW_EXPERIMENT_NAME, else {EXPERIMENT}")
    made.add_argument("--tracking-uri", metavar="URI", help=f"MLFLOW_TRACKING_URI, else {DEFAULT_STORE}")
    return made


def _configure(arguments: list[str] | None) -> RunConfig:
    """Where to record, set for this process, and what to train."""
    given = parser().parse_args(arguments)
    mlflow.set_tracking_uri(given.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE)
    if given.experiment is not None:
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
        os.environ["MLFLOW_EXPERIMENT_NAME"] = given.experiment
    return RunConfig(**{f.name: parse_field(f.name, getattr(given, f.name)) for f in fields(RunConfig)})


def _report(config: RunConfig, result: RunResult) -> None:
    """The test metrics, the run's name and id, its description, and where to see it."""
    run = MlflowClient().get_run(result.run_id)
    print(f"\n{run.data.tags[Tag.DESCRIPTION]}\n")
    for name in sorted(result.metrics):
        if name.startswith(("test/", "val/")):
            print(f"  {name:<26}{result.metrics[name]:.6g}")
    print(f"\nrun {config.run_name}, id {result.run_id}")
    place = f"/#/experiments/{run.info.experiment_id}/runs/{result.run_id}"
    uri = mlflow.get_tracking_uri()
    if uri.startswith("http"):
        print(f"see it at {hidden(uri.rstrip('/'))}{place}")
    else:
        print(f"see it:  mlflow ui --backend-store-uri {hidden(uri)}\n         then open http://127.0.0.1:5000{place}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End the run once; what arrives while it is being closed is too late to change anything."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def _be_quiet() -> None:
    """Say what this program does, and not each step of a migration or each line of a traceback of SQL."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("tracking").setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its errors are raised as well
    warnings.filterwarnings("ignore", message=".*dataset source.*", module="mlflow")


if __name__ == "__main__":
    sys.exit(main())
