"""The baseline that a user would write: torchvision's MNIST, a DataLoader, a module, Adam, a loop over the batches.

Layers, losses and settings are those of this project's models; the code is that of a course's notebook.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

DIM1, DIM2 = 784, 400
BATCH_SIZE, LR = 128, 1e-3


def ff(dim1: int, dim2: int, dim3: int) -> nn.Sequential:
    """Return Linear, ReLU, Linear: the assignment's building block."""
    return nn.Sequential(nn.Linear(dim1, dim2), nn.ReLU(), nn.Linear(dim2, dim3))


class Net(nn.Module):
    """The assignment's autoencoder, or with `variational` its VAE, of flat images (B, 784)."""

    def __init__(self, dim3: int, *, variational: bool = False) -> None:
        super().__init__()
        self.variational = variational
        self.encoder = ff(DIM1, DIM2, 2 * dim3 if variational else dim3)
        self.decoder = ff(dim3, DIM2, DIM1)

    def loss(self, x: Tensor) -> Tensor:
        """Return the mean squared error, or the negative ELBO per image of a VAE, of x (B, 784)."""
        code = self.encoder(x)
        if not self.variational:
            return F.mse_loss(torch.sigmoid(self.decoder(code)), x)
        mean, log_var = code.chunk(2, dim=1)
        logits = self.decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean))
        bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()
        loss: Tensor = (bce + kl) / len(x)
        return loss

    def forward(self, x: Tensor) -> Tensor:
        """Return the deterministic reconstruction (B, 784)."""
        codes = self.encoder(x)
        codes = codes.chunk(2, dim=1)[0] if self.variational else codes
        return torch.sigmoid(self.decoder(codes))


def load(folder: Path, *, rows: Sequence[int] | None = None, workers: int = 0) -> DataLoader[Any]:
    """Return shuffled batches of MNIST's training images, or of these `rows`; torchvision finds them in the folder."""
    data = MNIST(folder, train=True, transform=ToTensor())
    part = data if rows is None else Subset(data, rows)
    return DataLoader(part, batch_size=BATCH_SIZE, shuffle=True, num_workers=workers)


def train(net: Net, batches: Iterable[tuple[Tensor, Any]], epochs: int, *, device: str = "cpu") -> float:
    """Train on batches of (images, labels), all of them in each epoch, and return the seconds of the loop."""
    net.to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=LR)
    began = time.perf_counter()
    for _ in range(epochs):
        for images, _ in batches:
            optimizer.zero_grad()
            loss = net.loss(images.flatten(1).to(device))
            loss.backward()
            optimizer.step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


@torch.no_grad()
def error_on(net: nn.Module, x: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> float:
    """Return the mean squared error of a net's reconstruction of x (N, 784)."""
    device = next(net.parameters()).device
    total = 0.0
    for block in torch.from_numpy(x).split(4096):
        total += float(((net(block.to(device)).cpu() - block).double() ** 2).sum())
    return total / x.size


def plain_epoch_seconds(
    model: str,
    dim3: int,
    folder: Path,
    *,
    threads: int | None = None,
    rows: Sequence[int] | None = None,
    device: str = "cpu",
) -> float:
    """Return the seconds of one epoch of the plain loop for `ae` or `vae`; folder and rows are as for `load`."""
    if threads is not None:
        torch.set_num_threads(threads)
    return train(Net(dim3, variational=model == "vae"), load(folder, rows=rows), 1, device=device)


def link_mnist(cache: Path, into: Path) -> Path:
    """Link the four files in `cache` into the folder `into` as torchvision expects them, and return `into`."""
    raw = into / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in cache.glob("*-ubyte"):
        (raw / file.name).symlink_to(file.resolve())
    return into


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder."""
    return tempfile.TemporaryDirectory(prefix="benchmark-")
