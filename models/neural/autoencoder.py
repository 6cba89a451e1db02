"""Autoencoders: a deterministic code, trained to reconstruct the data.

Hinton & Salakhutdinov 2006. A linear one spans the subspace of PCA: Baldi & Hornik 1989.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..base import Array, ContractError, Rows
from .layers import FF
from .reducer import TorchReducer
from .training import Objective, Training

_Factory = Callable[[int, int], tuple[nn.Module, nn.Module]]


class DeterministicAutoencoder(TorchReducer):
    """An autoencoder without its layers.

    An autoencoder has no prior; samples are drawn from a Gaussian that is fitted to the codes of the training rows.
    """

    def default_loss(self, output: str) -> str:
        """Return `mse` for either output."""
        return "mse"

    def codes_of(self, encoded: Tensor) -> Tensor:
        """Return the encoder's output, which is the code."""
        return encoded

    def objective(self, x: Tensor, noise: torch.Generator) -> Objective:
        """Return the reconstruction term of a batch x (B, dim1); `noise` is not used."""
        return Objective(self.reconstruction(self.decoder(self.encoder(x)), x), {})

    def after_fit(self, codes: Array) -> None:
        """Fit the Gaussian that `sample` draws from to the codes (N, dim3)."""
        self.code_mean: npt.NDArray[np.float64] = codes.mean(axis=0, dtype=np.float64)
        self.code_cov = np.cov(codes, rowvar=False, dtype=np.float64).reshape(self.dim3, self.dim3)

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Return decode(z) for z from the Gaussian fitted to the codes of the training rows: (n, dim1)."""
        z = rng.multivariate_normal(self.code_mean, self.code_cov, size=n, method="eigh")
        return self.decode(z.astype(np.float32))


@final
class Autoencoder(DeterministicAutoencoder):
    """The assignment's autoencoder: FF(dim1, dim2, dim3), then FF(dim3, dim2, dim1) and a sigmoid."""

    default_lr = 1e-2  # measured on these layers: docs/performance.md

    def __init__(self, *, dim2: int, dim3: int, loss: str, output: str, training: Training) -> None:
        super().__init__(dim3=dim3, loss=loss, output=output, training=training)
        self.dim2 = dim2

    def architecture(self, dim1: int) -> tuple[nn.Module, nn.Module]:
        """Return encoder and decoder with one hidden layer of dim2 units each."""
        return FF(dim1, self.dim2, self.dim3), FF(self.dim3, self.dim2, dim1)


@final
class LinearAutoencoder(DeterministicAutoencoder):
    """One affine layer each way and no sigmoid: at its optimum it spans the subspace of PCA."""

    default_lr = 1e-2

    def __init__(self, *, dim3: int, loss: str, training: Training) -> None:
        super().__init__(dim3=dim3, loss=loss, output="linear", training=training)

    def architecture(self, dim1: int) -> tuple[nn.Module, nn.Module]:
        """Return the affine maps dim1 -> dim3 and dim3 -> dim1."""
        return nn.Linear(dim1, self.dim3), nn.Linear(self.dim3, dim1)


@final
class FactoryAutoencoder(DeterministicAutoencoder):
    """An autoencoder of a user's torch modules: `factory(dim1, dim3)` returns (encoder, decoder).

    The encoder maps rows (B, dim1) to (B, dim3), the decoder (B, dim3) to (B, dim1), without a last sigmoid.
    """

    def __init__(self, factory: _Factory, *, dim3: int, loss: str, output: str, training: Training) -> None:
        super().__init__(dim3=dim3, loss=loss, output=output, training=training)
        self.factory = factory

    def architecture(self, dim1: int) -> tuple[nn.Module, nn.Module]:
        """Return the factory's pair. Raises ContractError unless it is a pair of modules without a last sigmoid."""
        pair = self.factory(dim1, self.dim3)
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(m, nn.Module) for m in pair)):
            raise ContractError(f"factory: gives {type(pair).__name__}, not a pair (encoder, decoder) of torch modules")
        encoder, decoder = pair
        if isinstance(list(decoder.modules())[-1], nn.Sigmoid):
            raise ContractError("decoder: ends in a Sigmoid; leave it out, --output adds it where the data allow")
        return encoder, decoder
