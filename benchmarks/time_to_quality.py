"""Seconds to the quality of the plain recipe: `python -m benchmarks.time_to_quality`.

The plain recipe (Adam at a constant 1e-3, batch 128, 20 epochs) sets a validation error for each model, dim3 and
seed; how long do the defaults here take to reach it? The target is trained by this project's loop at the plain
settings, whose arithmetic is the plain loop's; its time is that of the plain loop, one epoch of torchvision's MNIST
through a DataLoader measured side by side with each of our trainings, times 20. Ours is the time of the first epoch
at or below the target, the validation after each epoch included, which the plain loop is spared.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

from models import Epoch, build
from tracking.config import RunConfig, parse_field
from tracking.idx import cache_folder
from tracking.material import Material
from tracking.schema import Metric

from .common import spread, table, write_lines
from .plain import link_mnist, plain_epoch_seconds, scratch

PLAIN_EPOCHS = 20
MODELS, DIM3, SEEDS = ("ae", "vae"), (2, 10, 20), 3


class Reached(NamedTuple):
    """One training against the plain recipe's quality; epoch and seconds are None where it did not get there."""

    model: str
    dim3: int
    seed: int
    target: float
    final: float
    epoch: int | None
    seconds: float | None
    whole_seconds: float
    plain_seconds: float


def errors_and_times(config: RunConfig, material: Material) -> tuple[list[float], list[float]]:
    """The validation error after each epoch, and the seconds of training until then."""
    errors: list[float] = []
    times: list[float] = []

    def note(epoch: Epoch) -> None:
        errors.append(epoch.metrics[Metric.VAL_MSE])
        times.append(time.perf_counter() - began)

    model = build(config.model, asdict(config) | {"dim1": material.data.dim1})
    began = time.perf_counter()
    model.fit(material.split.x_train, x_val=material.split.x_val, on_epoch=note)
    return errors, times


def first_at_or_below(target: float, errors: Sequence[float]) -> int | None:
    """The epoch, from 1, at which the error is no more than the target; None where it never is."""
    return next((number for number, error in enumerate(errors, 1) if error <= target), None)


def measure(config: RunConfig, material: Material, folder: Path) -> Reached:
    """Train the plain recipe for its quality and ours for its time."""
    plain = RunConfig(
        model=config.model,
        dim3=config.dim3,
        seed=config.seed,
        epochs=PLAIN_EPOCHS,
        batch_size=128,
        lr=1e-3,
        schedule="constant",
    )
    target = errors_and_times(plain, material)[0][-1]
    before = plain_epoch_seconds(config.model, config.dim3, folder)
    errors, times = errors_and_times(config, material)
    after = plain_epoch_seconds(config.model, config.dim3, folder)
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
        PLAIN_EPOCHS * (before + after) / 2,
    )


def summary(found: Sequence[Reached]) -> str:
    """A line for each model and dim3, over the seeds."""
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
        "over our whole budget",
    )
    return table(("", *names), rows)


def main(arguments: list[str] | None = None) -> int:
    """Every model, dim3 and seed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_to_quality", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS])
    parser.add_argument("--dim3", nargs="+", type=int, default=[*DIM3])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, default=RunConfig.epochs, help="our budget")
    parser.add_argument("--lr", default=RunConfig.lr, type=partial(parse_field, "lr"), help="ours, at its highest")
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    given = parser.parse_args(arguments)
    material = Material.load(RunConfig(dataset="mnist"))
    found = []
    with scratch() as place:
        folder = link_mnist(cache_folder("mnist"), Path(place))
        for seed, model, dim3 in product(range(given.seeds), given.models, given.dim3):
            config = RunConfig(model=model, dim3=dim3, seed=seed, epochs=given.epochs, lr=given.lr)
            found.append(measure(config, material, folder))
            print(found[-1]._asdict(), file=sys.stderr, flush=True)
    print(summary(found))
    write_lines(given.jsonl, (r._asdict() for r in found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
