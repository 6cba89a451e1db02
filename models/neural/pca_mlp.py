"""PCA's codes with a trained nonlinear decoder: what an autoencoder gains over this comes from its encoder."""

from __future__ import annotations

import math
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from ..base import Rows
from ..pca import PCA
from .autoencoder import DeterministicAutoencoder
from .layers import FF
from .training import Objective, Training


@final
class PCAWithDecoder(DeterministicAutoencoder):
    """The scores of PCA, and the autoencoder's decoder trained on them by its loss and recipe.

    The codes are PCA's for every seed, up to rounding. Samples are decoded from the Gaussian of PCA's equation (2).
    """

    default_lr = 1e-2

    def __init__(self, *, dim2: int, dim3: int, loss: str, output: str, training: Training) -> None:
        super().__init__(dim3=dim3, loss=loss, output=output, training=training)
        self.dim2 = dim2

    def architecture(self, dim1: int) -> tuple[nn.Module, nn.Module]:
        """Return the linear map to the scores, and a decoder with one hidden layer of dim2 units."""
        return nn.Linear(dim1, self.dim3), _ScaledDecoder(dim1, self.dim2, self.dim3)

    def before_fit(self, x: Rows) -> None:
        """Set the encoder to the PCA of x (N, dim1), which the modules get as (x - mean) / scale."""
        pca = PCA(dim3=self.dim3).fit(x)
        fixed = {
            "encoder.weight": pca.components * self.scale,
            "encoder.bias": pca.components @ (self.mean - pca.mean),
            "decoder.deviation": np.array(math.sqrt(pca.spectrum[0]) or 1.0),
        }
        self.network.load_state_dict({name: self._tensor(value) for name, value in fixed.items()}, strict=False)

    def objective(self, x: Tensor, noise: torch.Generator) -> Objective:
        """Return the reconstruction term of a batch x (B, dim1), whose gradient leaves the encoder as it is."""
        with torch.no_grad():
            z = self.encoder(x)
        return Objective(self.reconstruction(self.decoder(z), x), {})


@final
class _ScaledDecoder(nn.Module):
    """FF on codes that are divided by one number, the standard deviation of the first score.

    One number for each score would make the scores that carry little as loud as the first: docs/performance.md.
    """

    deviation: Tensor

    def __init__(self, dim1: int, dim2: int, dim3: int) -> None:
        super().__init__()
        self.register_buffer("deviation", torch.ones(()))
        self.layers = FF(dim3, dim2, dim1)

    def forward(self, z: Tensor) -> Tensor:
        """Return (B, dim1) of codes z (B, dim3)."""
        out: Tensor = self.layers(z / self.deviation)
        return out
