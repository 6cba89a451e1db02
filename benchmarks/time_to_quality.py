"""Seconds to the validation error of the plain recipe: `python -m benchmarks.time_to_quality`.

The plain recipe (Adam at a constant 1e-3, batch 128, 20 epochs) gives a target for each model, dim3 and seed. It is
trained by this project's loop, which does the same arithmetic as the plain loop (a test compares them). Its time is
that of the plain loop: one epoch of torchvision's MNIST through a DataLoader, measured before and after each of our
trainings, times 20. `--plain full` trains the plain loop for all 20 epochs, and takes target and time from it.

Our time is that of the first epoch at or below the target. Both use the same training rows, and neither time includes
the validation. A schedule spends a budget of epochs, so the table has the seconds of the whole budget too; `--epochs`
sets a shorter one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from elbowroom.models import Array, Epoch, build
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.tracking.config import RunConfig, parse_field
from elbowroom.tracking.data.datasets import Dataset, split
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.store.addresses import cache_folder

from .common import machine, spread, table, write_lines
from .plain import Net, error_on, link_mnist, load, plain_epoch_seconds, scratch, train

EPOCHS, PLAIN_EPOCHS = 12, 20
MODELS, DIM3, SEEDS = ("ae", "vae"), (2, 10, 20), 3


class Reached(NamedTuple):
    """One training compared with the plain recipe; epoch and seconds are None where it missed the target."""

    model: str
    dim3: int
    seed: int
    target: float
    final: float
    epoch: int | None
    seconds: float | None
    whole_seconds: float
    plain_seconds: float


def errors_and_times(config: RunConfig, x: Array, x_val: Array) -> tuple[list[float], list[float]]:
    """Return the validation error after each epoch, and the seconds until then without the validation."""
    errors: list[float] = []
    times: list[float] = []
    paused = 0.0

    def note(epoch: Epoch) -> None:
        nonlocal paused
        stopped = time.perf_counter()
        times.append(stopped - began - paused)
        errors.append(reconstruction_mse(x_val, model.reconstruct(x_val)))
        paused += time.perf_counter() - stopped

    model = build(config.model, asdict(config) | {"dim1": x.shape[1]})
    began = time.perf_counter()
    model.fit(x, on_epoch=note)
    return errors, times


def training_rows(data: Dataset) -> list[int]:
    """Return the indices of the training rows that the split does not use for validation."""
    numbers = np.arange(len(data.x_train), dtype=np.float32)[:, None]  # as rows of one number, which float32 holds
    return [int(n) for n in split(replace(data, x_train=numbers), "auto").x_train[:, 0]]


def train_plain(config: RunConfig, folder: Path, rows: Sequence[int], x_val: Array) -> tuple[float, float]:
    """Train the plain loop for all its epochs, and return its validation error and its seconds."""
    torch.manual_seed(config.seed)
    net = Net(config.dim3, variational=config.model == "vae")
    seconds = train(net, load(folder, rows=rows), PLAIN_EPOCHS, device=config.device)
    return error_on(net, x_val), seconds


def first_at_or_below(target: float, errors: Sequence[float]) -> int | None:
    """Return the first epoch, from 1, with an error of at most the target, or None."""
    return next((number for number, error in enumerate(errors, 1) if error <= target), None)


def measure(config: RunConfig, prepared_data: PreparedData, folder: Path, *, full: bool) -> Reached:
    """Train the plain recipe and ours; with `full` the plain loop trains for all its epochs."""
    x, x_val = prepared_data.split.x_train, prepared_data.split.x_val
    assert x_val is not None
    rows = training_rows(prepared_data.data)
    if full:
        target, plain_seconds = train_plain(config, folder, rows, x_val)
        errors, times = errors_and_times(config, x, x_val)
    else:
        plain = replace(config, epochs=PLAIN_EPOCHS, batch_size=128, lr=1e-3, schedule="constant")
        target = errors_and_times(plain, x, x_val)[0][-1]
        one_epoch = partial(plain_epoch_seconds, config.model, config.dim3, folder, rows=rows, device=config.device)
        before = one_epoch()
        errors, times = errors_and_times(config, x, x_val)
        plain_seconds = PLAIN_EPOCHS * (before + one_epoch()) / 2
    epoch = first_at_or_below(target, errors)
    return Reached(
        config.model,
        config.dim3,
        config.seed,
        target,
        errors[-1],
        epoch,
        None if epoch is None else times[epoch - 1],
        times[-1],
        plain_seconds,
    )


def summary(found: Sequence[Reached]) -> str:
    """Return a table with a row for each model and dim3, over the seeds."""
    rows = []
    for model, dim3 in dict.fromkeys((r.model, r.dim3) for r in found):
        mine = [r for r in found if (r.model, r.dim3) == (model, dim3)]
        there = [r for r in mine if r.epoch is not None and r.seconds is not None]
        missed = f"{len(mine) - len(there)} of {len(mine)} not reached" if len(there) < len(mine) else ""
        rows.append(
            (
                f"{model}, dim3 {dim3}",
                f"{spread(r.target for r in mine):.5f}",
                f"{spread(r.final for r in mine):.5f}",
                f"{spread(r.plain_seconds for r in mine):.0f}",
                missed or f"{spread(r.epoch or 0 for r in there):.0f}",
                missed or f"{spread(r.seconds or 0.0 for r in there):.1f}",
                missed or f"{spread(r.plain_seconds / (r.seconds or 1.0) for r in there):.1f}",
                f"{spread(r.whole_seconds for r in mine):.1f}",
                f"{spread(r.plain_seconds / r.whole_seconds for r in mine):.1f}",
            )
        )
    names = (
        "plain MSE",
        "our last MSE",
        "plain s",
        "epoch reached",
        "our s",
        "plain over ours",
        "our budget s",
        "plain over our budget",
    )
    return table(("", *names), rows)


def main(arguments: list[str] | None = None) -> int:
    """Measure every model, dim3 and seed, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_to_quality", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS])
    parser.add_argument("--dim3", nargs="+", type=int, default=[*DIM3])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="our budget")
    parser.add_argument("--lr", default=RunConfig.lr, type=partial(parse_field, "lr"), help="ours, at its highest")
    parser.add_argument("--plain", choices=("epoch", "full"), default="epoch", help="one epoch, times 20; or all 20")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of both")
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    given = parser.parse_args(arguments)
    print(json.dumps(machine()), file=sys.stderr)
    prepared_data = PreparedData.load(RunConfig(dataset="mnist"))
    found = []
    with scratch() as place:
        folder = link_mnist(cache_folder("mnist"), Path(place))
        for seed, model, dim3 in product(range(given.seeds), given.models, given.dim3):
            config = RunConfig(model=model, dim3=dim3, seed=seed, epochs=given.epochs, lr=given.lr, device=given.device)
            found.append(measure(config, prepared_data, folder, full=given.plain == "full"))
            print(json.dumps(found[-1]._asdict()), file=sys.stderr, flush=True)
            write_lines(given.jsonl, (r._asdict() for r in found))  # after each, in case of an interrupt
    print(summary(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
