"""Lightning's trainer on tensors in memory; with the option `batches` the loader indexes whole batches."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from benchmarks.plain import BATCH_SIZE, LR, Net, error_on


class Module(lightning.LightningModule):
    """The net of the plain loop."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net(10)

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Return the loss of one batch."""
        return self.net.loss(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer of the plain loop."""
        return torch.optim.Adam(self.parameters(), lr=LR)


def prepare(folder: Path, epochs: int, device: str, option: str) -> Callable[[], tuple[float, float]]:
    """Return a training by a trainer without logs and checkpoints."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    x, x_test = torch.from_numpy(np.load(folder / "x_train.npy")), np.load(folder / "x_test.npy")
    data = TensorDataset(x)
    loader: DataLoader[Any] = DataLoader(data, batch_size=BATCH_SIZE, shuffle=True)
    if option == "batches":
        loader = DataLoader(data, sampler=BatchSampler(RandomSampler(data), BATCH_SIZE, False), batch_size=None)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Module()

    def run() -> tuple[float, float]:
        began = time.perf_counter()
        trainer.fit(module, loader)
        return time.perf_counter() - began, error_on(module.net, x_test)

    return run
