"""Stacks of layers that several models share."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn


@final
class FF(nn.Module):
    """Linear, ReLU, Linear: dim1 -> dim2 -> dim3, the assignment's building block."""

    def __init__(self, dim1: int, dim2: int, dim3: int) -> None:
        super().__init__()
        self.main = nn.Sequential(nn.Linear(dim1, dim2), nn.ReLU(), nn.Linear(dim2, dim3))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output (B, dim3) for x (B, dim1)."""
        out: Tensor = self.main(x)
        return out
