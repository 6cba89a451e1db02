"""The one training loop of the torch models, on data that are one tensor on the device.

A batch is an index into it: a DataLoader and a transform per sample cost more than the training on MNIST. Equal seeds
on the same machine with the same number of threads give bitwise equal losses.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..base import Epoch, OnEpoch
from .adam import Adam

_RISE = 0.1  # share of the budget in which a cycle's learning rate rises
_MEASURED = 200  # epochs of a longer training, about: an epoch of few steps is not worth a validation
FEWEST_TO_STOP_BY = 10  # training rows; of so many one is held out
_HELD_OUT_SEED = 0


class Diverged(RuntimeError):
    """The training loss is no longer a finite number."""


@dataclass(frozen=True)
class Training:
    """Settings of the training of a torch model. Their defaults are those of `tracking.config.RunConfig`."""

    epochs: int
    """Passes over the training rows: a budget, which `patience` may leave unspent."""
    batch_size: int
    lr: float
    """The highest of the schedule."""
    schedule: str
    """A name in SCHEDULES."""
    patience: int
    """Stop after this many epochs without a lower loss on a tenth of the training rows; 0 never stops early."""
    seed: int
    device: str
    """auto, cpu, cuda or mps."""


class Objective(NamedTuple):
    """The loss of one batch, a mean over its rows, and the named terms it is composed of."""

    loss: Tensor
    parts: Mapping[str, Tensor]


class _Trainable(Protocol):
    """The part of `TorchReducer` that the loop uses."""

    @property
    def network(self) -> nn.Module: ...
    @property
    def training(self) -> Training: ...
    def objective(self, x: Tensor, noise: torch.Generator) -> Objective: ...
    def evaluate(self, x: Tensor) -> Mapping[str, float]: ...
    def advice(self, first: Mapping[str, Tensor], rows: int) -> str: ...


def streams(seed: int) -> tuple[int, int, int]:
    """Return independent seeds of the weights, the order of the rows and the noise: none changes with another."""
    weights, order, noise = (
        int(child.generate_state(1, np.uint64)[0] >> 1) for child in np.random.SeedSequence(seed).spawn(3)
    )
    return weights, order, noise


def resolve_device(device: str) -> torch.device:
    """Return the device; `auto` is CUDA, else Apple's MPS, else the CPU. Raises ValueError where it is unavailable."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if available[name]))
    if not available.get(device, False):
        allowed = ", ".join(["auto", *(name for name in available if available[name])])
        raise ValueError(f"device {device!r} is not available here; allowed: {allowed}")
    return torch.device(device)


def _one_cycle(passed: float) -> float:
    """Rises linearly over the first tenth of the budget and falls to 0 as half a cosine.

    The rise lets Adam's averages settle before the steps are long; the fall removes the noise that a constant rate
    leaves in the weights. Smith & Topin 2018; the cosine: Loshchilov & Hutter 2017.
    """
    if passed < _RISE:
        return passed / _RISE
    return 0.5 + 0.5 * math.cos(math.pi * (passed - _RISE) / (1 - _RISE))


# The share of the highest learning rate after a share, in (0, 1), of the budget.
SCHEDULES: dict[str, Callable[[float], float]] = {"one-cycle": _one_cycle, "constant": lambda passed: 1.0}


def train(model: _Trainable, x: Tensor, x_val: Tensor | None, on_epoch: OnEpoch | None) -> int:
    """Train the network of a model.

    Parameters
    ----------
    model : a `TorchReducer`
        Its network is trained in place. With early stopping it ends with the weights of the best epoch.
    x : (N, dim1)
        Training rows, in the units of the network. With early stopping a fixed tenth of them is only used to stop by.
    x_val : (N_val, dim1), optional
        Validation rows, in the same units.
    on_epoch : callable, optional
        Receives the first `Epoch`, the last and about 200 in all.

    Returns
    -------
    int
        How many epochs were trained.

    Raises
    ------
    Diverged
        Where the training loss or a squared gradient is not finite.
    """
    network, training = model.network, model.training
    (_, order_seed, noise_seed), schedule = streams(training.seed), SCHEDULES[training.schedule]
    order = torch.Generator().manual_seed(order_seed)
    noise = torch.Generator(device=x.device).manual_seed(noise_seed)
    held_out = None
    if training.patience > 0:
        x, held_out = _hold_out(x)
    steps = training.epochs * math.ceil(len(x) / training.batch_size)
    # By half a step later, because the schedule is 0 at both ends and a step at rate 0 is lost.
    optimizer = Adam(network.parameters(), lambda step: training.lr * schedule((step + 0.5) / steps))
    best, best_weights, waited, number = math.inf, None, 0, 0
    for number in range(1, training.epochs + 1):
        network.train()
        loss, first = _one_epoch(model, x, optimizer, order, noise)
        if not (math.isfinite(loss) and optimizer.is_finite()):
            what = "squared gradients became infinite" if math.isfinite(loss) else f"training loss became {loss}"
            raise Diverged(f"the {what} in epoch {number}{model.advice(first, len(x))}")
        if held_out is not None:
            waited += 1
            if (loss_held_out := model.evaluate(held_out)["val/loss"]) < best:
                best, waited = loss_held_out, 0
                best_weights = copy.deepcopy(network.state_dict())
        stopped = held_out is not None and waited >= training.patience
        if on_epoch is not None and (stopped or _is_measured(number, training.epochs)):
            validated = {} if x_val is None else model.evaluate(x_val)
            on_epoch(Epoch(number, training.epochs, {"train/loss": loss, **validated}))
        if stopped:
            break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    network.eval()
    return number


def _is_measured(number: int, total: int) -> bool:
    """Return whether epoch `number` of `total` is validated and passed on: the first, the last and about 200 in all.

    Every second, fourth, eighth, … epoch of a long training: trainings of different lengths share most of them, so that
    they can be compared at the same epoch.
    """
    every = 2 ** max(0, math.ceil(math.log2(total / _MEASURED)))
    return number in (1, total) or number % every == 0


def _hold_out(x: Tensor) -> tuple[Tensor, Tensor]:
    """The rows x (N, dim1) for the gradient steps, and a tenth to stop by, the same for each model and seed."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(_HELD_OUT_SEED)).to(x.device)
    held_out, rest = order.tensor_split([len(x) // FEWEST_TO_STOP_BY])
    return x[rest], x[held_out]


def _one_epoch(
    model: _Trainable, x: Tensor, optimizer: Adam, order: torch.Generator, noise: torch.Generator
) -> tuple[float, Mapping[str, Tensor]]:
    """Return the mean loss over the rows, each batch's before its own step, and the terms of the first batch."""
    total = torch.zeros((), device=x.device)
    first: Mapping[str, Tensor] = {}
    for rows in torch.randperm(len(x), generator=order).to(x.device).split(model.training.batch_size):
        batch = x.index_select(0, rows)  # (B, dim1)
        model.network.zero_grad()
        loss, parts = model.objective(batch, noise)
        first = first or {name: part.detach() for name, part in parts.items()}
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(rows)  # summed on the device: .item() here would wait for each step
    return total.item() / len(x), first
