"""This project's training loop, on rows in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from elbowroom.models import build
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.tracking.config import RunConfig


def prepare(folder: Path, epochs: int, device: str, option: str) -> Callable[[], tuple[float, float]]:
    """Return a training at the settings of the plain loop."""
    x, x_test = np.load(folder / "x_train.npy"), np.load(folder / "x_test.npy")
    settings = asdict(RunConfig(model="ae", dim3=10, epochs=epochs, batch_size=128, lr=1e-3, schedule="constant"))
    seed = torch.initial_seed()  # the others draw from torch's own generator
    model = build("ae", settings | {"dim1": x.shape[1], "device": device, "seed": seed})

    def run() -> tuple[float, float]:
        began = time.perf_counter()
        model.fit(x)
        seconds = time.perf_counter() - began
        return seconds, reconstruction_mse(x_test, model.reconstruct(x_test))

    return run
