"""The plain loop over a DataLoader; the option is its number of workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.plain import Net, error_on, load, train


def prepare(folder: Path, epochs: int, device: str, option: str) -> Callable[[], tuple[float, float]]:
    """Return a training by the plain loop. The bytes are in memory; converting each image is part of the time."""
    net, x_test = Net(10), np.load(folder / "x_test.npy")
    batches = load(folder, workers=int(option))

    def run() -> tuple[float, float]:
        return train(net, batches, epochs, device=device), error_on(net, x_test)

    return run
