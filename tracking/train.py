"""Train one model and record it: `python -m tracking.train --model vae --dataset mnist --dim3 2`.

Exit codes: 0 done; 1 the run failed; 2 bad input, one line on stderr and no run left behind; 130 or 143
where Ctrl-C or SIGTERM killed it, as shells expect.
"""

from __future__ import annotations

import elbowroom.tracking.imports  # noqa: F401  before the others

# isort: split
import sys
from dataclasses import fields
from typing import NoReturn

from mlflow import MlflowClient
from tqdm import tqdm

from elbowroom.models import Epoch

from .cli import Parser, command, config_fields
from .config import RunConfig
from .run import execute
from .store.names import Metric, Tag
from .store.session import see_it, use_store
from .store.text import clean


class _Progress:
    """A bar with the losses and the time left where stderr is a terminal, otherwise a line for each measured epoch."""

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
        self.bar.update(epoch.number - self.bar.n)

    def close(self) -> None:
        """Stop updating the bar."""
        if self.bar is not None:
            self.bar.close()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return command(lambda: _train(arguments), killed="a run that was open ended KILLED")


def parser() -> Parser:
    """Return a parser with a flag for each field of RunConfig, and those of the store."""
    made = Parser("tracking.train", "Train one model on one data set, recorded in MLflow.")
    made.add_fields(f.name for f in fields(RunConfig))
    made.add_store()
    return made


def _train(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    use_store(given)
    config = RunConfig(**config_fields(given, (f.name for f in fields(RunConfig))))
    progress = _Progress(config.run_name)
    try:
        result = execute(config, on_epoch=progress)
    finally:
        progress.close()
    run = MlflowClient().get_run(result.run_id)
    print(f"\n{run.data.tags[Tag.DESCRIPTION]}\n")
    for name in sorted(result.metrics):
        if name.startswith(("test/", "val/")):
            print(f"  {name:<26}{result.metrics[name]:.6g}")
    print(f"\nrun {clean(config.run_name)}, id {result.run_id}")
    print(see_it(run.info.experiment_id, result.run_id))
    return 0


if __name__ == "__main__":
    sys.exit(main())
