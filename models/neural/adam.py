"""Adam in torch's functional form: `torch.optim.Adam` imports torch's compiler, which takes a second at each start.

Kingma & Ba 2015, with torch's defaults for everything but the learning rate, and bitwise equal steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class _Moments(NamedTuple):
    """The state of one parameter: its step count, and the running means of its gradient and squared gradient."""

    steps: Tensor
    mean: Tensor
    square: Tensor


class Adam:
    """Optimizes parameters at the rate `lr(step)`, step = 0, 1, …; parameters without a gradient stay."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: Callable[[int], float]) -> None:
        self.parameters, self.lr, self.taken = list(parameters), lr, 0
        self.fused = all(p.device.type in ("cpu", "cuda") for p in self.parameters)
        self.moments: dict[nn.Parameter, _Moments] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        with_gradient = [(p, p.grad) for p in self.parameters if p.grad is not None]
        for p, _ in with_gradient:
            if p not in self.moments:
                steps = torch.zeros((), dtype=torch.float32, device=p.device if self.fused else "cpu")
                self.moments[p] = _Moments(steps, torch.zeros_like(p), torch.zeros_like(p))
        moments = [self.moments[p] for p, _ in with_gradient]
        adam(
            [p for p, _ in with_gradient],
            [gradient for _, gradient in with_gradient],
            [m.mean for m in moments],
            [m.square for m in moments],
            [],
            [m.steps for m in moments],
            fused=self.fused,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.lr(self.taken),
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
        self.taken += 1

    def is_finite(self) -> bool:
        """Return whether all squared gradients are finite; where one is not, its parameter no longer moves."""
        return all(bool(torch.isfinite(m.square.sum())) for m in self.moments.values())
