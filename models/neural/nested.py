"""An autoencoder whose latents are ordered by importance: one training gives the error of every smaller dim3.

Nested dropout: Rippel, Gelbart & Adams 2014; the same for representations: Kusupati et al. 2022 (Matryoshka).
"""

from __future__ import annotations

from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..base import Array, Rows
from ..measures.errors import reconstruction_mse
from .autoencoder import DeterministicAutoencoder
from .layers import FF
from .training import Objective, Training

_PEAK = 6.0
"""Latents that the most frequent cut keeps. A cut after k is drawn in proportion to k / (k^2 + _PEAK^2).

Cuts after one or two latents shape those latents at the cost of all others, and the last latents change little. For
the alternatives that were tried see docs/performance.md.
"""


@final
class _PrefixDecoder(nn.Module):
    """FF on the latents before the cut and on one flag for each latent, which is 1 where the latent is cut off.

    The flags act as a bias of the hidden layer for each cut. From zeros alone the decoder could not tell a latent of
    value 0 from one that is cut off.
    """

    def __init__(self, dim1: int, dim2: int, dim3: int) -> None:
        super().__init__()
        self.dim3 = dim3
        self.layers = FF(2 * dim3, dim2, dim1)

    def forward(self, z: Tensor, cuts: Tensor | None = None) -> Tensor:
        """Return (B, dim1) for the first cuts[b] latents of each row of z (B, dim3); all latents without `cuts`."""
        if cuts is None:
            cuts = torch.full((len(z),), self.dim3, device=z.device)
        missing = torch.arange(self.dim3, device=z.device) >= cuts[:, None]  # (B, dim3)
        out: Tensor = self.layers(torch.cat([z.masked_fill(missing, 0), missing.to(z.dtype)], dim=1))
        return out


@final
class NestedAutoencoder(DeterministicAutoencoder):
    """The assignment's autoencoder, trained on codes that are cut after a random number of latents.

    So the first latents carry the most, like PCA's components. The training is a compromise among all cuts, and its
    error exceeds that of an autoencoder trained as well for one dim3 alone.
    """

    default_lr = 1e-2

    def __init__(self, *, dim2: int, dim3: int, loss: str, output: str, training: Training) -> None:
        super().__init__(dim3=dim3, loss=loss, output=output, training=training)
        self.dim2 = dim2

    def architecture(self, dim1: int) -> tuple[nn.Module, nn.Module]:
        """Return encoder and decoder with one hidden layer of dim2 units each."""
        return FF(dim1, self.dim2, self.dim3), _PrefixDecoder(dim1, self.dim2, self.dim3)

    def objective(self, x: Tensor, noise: torch.Generator) -> Objective:
        """Return the reconstruction term of a batch x (B, dim1), each row from the latents before its own cut."""
        raw = self.decoder(self.encoder(x), self.cuts(len(x), noise))
        return Objective(self.reconstruction(raw, x), {})

    def cuts(self, rows: int, noise: torch.Generator) -> Tensor:
        """Return how many latents each row of a batch keeps: (rows,), from 1 to dim3, in ascending order.

        One number is drawn for the batch, not one for each row, so every batch has all cuts in proportion.
        """
        k = torch.arange(1, self.dim3 + 1, device=self.device)
        weights = k / (k**2 + _PEAK**2)
        at = (torch.arange(rows, device=self.device) + torch.rand(1, generator=noise, device=self.device)) / rows
        return 1 + torch.searchsorted(weights.cumsum(0) / weights.sum(), at).clamp(max=self.dim3 - 1)

    def decode_first(self, z: Array, count: int) -> Rows:
        """Return rows (N, dim1), in the units of the data, of the first `count` latents of z (N, dim3)."""

        def rows(block: Rows) -> Tensor:
            cuts = torch.full((len(block),), count, device=self.device)
            return self._output(self.decoder(self._tensor(block), cuts))

        return self._to_data(self._in_blocks(rows, z))

    def nested_errors(self, x: Rows) -> npt.NDArray[np.float64]:
        """Return the mean squared error on x (N, dim1) of the first 1, 2, …, dim3 latents: (dim3,)."""
        z = self.encode(x)
        return np.array([reconstruction_mse(x, self.decode_first(z, k)) for k in range(1, self.dim3 + 1)])
