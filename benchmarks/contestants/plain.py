"""The plain loop over a DataLoader; the option is its number of workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.plain import Net, error_on, train


def prepare(folder: Path, epochs: int, device: str, option: str) -> Callable[[], tuple[float, float]]:
    """Its data set is read from the folder as it goes."""
    net, x_test = Net(10), np.load(folder / "x_test.npy")

    def run() -> tuple[float, float]:
        return train(net, folder, epochs, workers=int(option or 0), device=device), error_on(net, x_test)

    return run
