"""All autoencoders of a scan trained as one model, compared with one after another: `python -m benchmarks.stack`.

The weights of every dim3 and seed are stacked (`torch.func.stack_module_state`), so one batched product replaces many
small ones. All models have the same shape and batches; those with fewer latents mask the others. Meant for a GPU, which
one small autoencoder leaves idle; on a CPU nothing is gained.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn import functional as F

from elbowroom.tracking.data import load_dataset

from .common import machine, spread, write_lines
from .plain import BATCH_SIZE, DIM1, LR, ff

WIDEST, SEEDS, ROUNDS = 20, 3, 5
Parameters = dict[str, Tensor]


class Masked(nn.Module):
    """The assignment's autoencoder with `WIDEST` latents, of which a mask (WIDEST,) keeps the first dim3."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = ff(DIM1, 400, WIDEST), ff(WIDEST, 400, DIM1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the reconstruction (B, 784)."""
        return torch.sigmoid(self.decoder(self.encoder(x) * mask))


def masks(dim3: Sequence[int], device: str) -> Tensor:
    """Return masks (K, WIDEST): 1 for the first dim3 latents of each of the K models, else 0."""
    return torch.stack([(torch.arange(WIDEST) < k).float() for k in dim3]).to(device)


def gradients(base: nn.Module) -> Callable[[Parameters, Tensor, Tensor], tuple[Parameters, Tensor]]:
    """Return a function of stacked weights, masks (K, WIDEST) and rows (B, 784): stacked gradients and losses (K,)."""

    def loss(weights: Parameters, mask: Tensor, x: Tensor) -> Tensor:
        return F.mse_loss(functional_call(base, weights, (x, mask)), x)

    found: Callable[[Parameters, Tensor, Tensor], tuple[Parameters, Tensor]] = vmap(
        grad_and_value(loss), in_dims=(0, 0, None)
    )
    return found


def stacked(models: list[Masked], mask: Tensor, x: Tensor, epochs: int) -> float:
    """Train the models as one, and return the seconds."""
    weights, _ = stack_module_state(models)
    optimizer = torch.optim.Adam(weights.values(), lr=LR, fused=True)
    step = gradients(copy.deepcopy(models[0]).to("meta"))
    return _timed(lambda rows: _step(optimizer, weights, step(weights, mask, x[rows])[0]), x, epochs)


def _step(optimizer: torch.optim.Optimizer, weights: Parameters, found: Parameters) -> None:
    for name, weight in weights.items():
        weight.grad = found[name]
    optimizer.step()


def one_after_another(models: list[Masked], mask: Tensor, x: Tensor, epochs: int) -> float:
    """Train the models one after another, and return the seconds."""
    total = 0.0
    for model, mine in zip(models, mask, strict=True):
        optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)

        def step(
            rows: Tensor, model: Masked = model, mine: Tensor = mine, optimizer: torch.optim.Adam = optimizer
        ) -> None:
            optimizer.zero_grad()
            F.mse_loss(model(x[rows], mine), x[rows]).backward()
            optimizer.step()

        total += _timed(step, x, epochs)
    return total


def _timed(step: Callable[[Tensor], None], x: Tensor, epochs: int) -> float:
    began = time.perf_counter()
    for _ in range(epochs):
        for rows in torch.randperm(len(x), device=x.device).split(BATCH_SIZE):
            step(rows)
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def main(arguments: list[str] | None = None) -> int:
    """Time both ways alternately, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stack", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    given = parser.parse_args(arguments)
    print(json.dumps(machine() | {"device": given.device}), file=sys.stderr)
    dim3 = [k for k in range(2, WIDEST + 1) for _ in range(given.seeds)]
    mask = masks(dim3, given.device)
    x = torch.from_numpy(load_dataset("mnist").x_train).to(given.device)
    lines = []
    for way in (stacked, one_after_another):  # once unmeasured: a GPU's libraries start with their first products
        way([Masked().to(given.device) for _ in range(2)], mask[:2], x[:BATCH_SIZE], 1)
    for number in range(given.rounds):
        ways = (stacked, one_after_another)[:: 1 if number % 2 else -1]
        fresh = [[Masked().to(given.device) for _ in dim3] for _ in ways]
        seconds = {way.__name__: way(models, mask, x, given.epochs) for way, models in zip(ways, fresh, strict=True)}
        lines.append({"models": len(dim3), "device": given.device, "epochs": given.epochs, **seconds})
        print(json.dumps(lines[-1]), file=sys.stderr, flush=True)
    ratio = spread(line["one_after_another"] / line["stacked"] for line in lines)
    print(f"{len(dim3)} autoencoders on {given.device}: one after another takes {ratio:.2f} times as long as stacked")
    write_lines(given.jsonl, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
