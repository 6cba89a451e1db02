"""pythae's trainer with its autoencoder around the same layers.

Its loss is the squared error summed over pixels, 784 times ours; Adam's steps do not depend on the scale. A copy of the
best weights after each epoch and one checkpoint at the end are part of its training.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import AE, AEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

from benchmarks.plain import BATCH_SIZE, DIM1, DIM2, LR, error_on, ff, scratch


class Encoder(BaseEncoder):
    """Maps 784 pixels to 10 latents."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = ff(DIM1, DIM2, 10)

    def forward(self, x: Tensor) -> ModelOutput:
        """Return the codes (B, 10) as pythae's output type."""
        return ModelOutput(embedding=self.layers(x))


class Decoder(BaseDecoder):
    """Maps 10 latents to 784 pixels, with a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = ff(10, DIM2, DIM1)

    def forward(self, z: Tensor) -> ModelOutput:
        """Return the reconstructions (B, 784) as pythae's output type."""
        return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))


class Whole(nn.Module):
    """Encoder and decoder as one net, for `error_on`."""

    def __init__(self, model: AE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction (B, 784)."""
        out: Tensor = self.model.decoder(self.model.encoder(x).embedding).reconstruction
        return out


def prepare(folder: Path, epochs: int, device: str, option: str) -> Callable[[], tuple[float, float]]:
    """Return a training that writes one checkpoint, at the end."""
    logging.disable(logging.WARNING)
    x, x_test = torch.from_numpy(np.load(folder / "x_train.npy")), np.load(folder / "x_test.npy")
    config = AEConfig(input_dim=(DIM1,), latent_dim=10, uses_default_encoder=False, uses_default_decoder=False)
    model = AE(config, Encoder(), Decoder())
    place = scratch()
    settings = BaseTrainerConfig(
        output_dir=place.name,
        num_epochs=epochs,
        learning_rate=LR,
        per_device_train_batch_size=BATCH_SIZE,
        optimizer_cls="Adam",
        no_cuda=device != "cuda",
    )
    trainer = BaseTrainer(model=model, train_dataset=BaseDataset(x, torch.zeros(len(x))), training_config=settings)

    def run() -> tuple[float, float]:
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
        place.cleanup()
        return seconds, error_on(Whole(model), x_test)

    return run
