"""The matrix products of the training alone: a lower bound on the time of any loop over these layers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

BATCH_SIZE = 128
LAYERS = ((784, 400), (400, 10), (10, 400), (400, 784))  # inputs, outputs


def batches(rows: int, batch_size: int = BATCH_SIZE) -> list[int]:
    """Return the batch sizes of one epoch."""
    return [batch_size] * (rows // batch_size) + [rows % batch_size] * (rows % batch_size > 0)


def flops(rows: int) -> int:
    """Return the floating-point operations of one epoch: forward, gradients of the weights and of the hidden inputs."""
    weights = [i * o for i, o in LAYERS]
    return 2 * rows * (2 * sum(weights) + sum(weights[1:]))


class Step:
    """The products of one step on `size` rows, in preallocated buffers."""

    def __init__(self, size: int, device: str) -> None:
        self.layers = []
        for i, o in LAYERS:
            x, w, g = (torch.rand(*shape, device=device) for shape in ((size, i), (o, i), (size, o)))
            outputs = [torch.empty(*shape, device=device) for shape in ((size, o), (o, i), (size, i))]
            self.layers.append((x, w, g, *outputs))

    def __call__(self) -> None:
        """Run forward through all layers, then backward."""
        for x, w, _, out, _, _ in self.layers:
            torch.mm(x, w.t(), out=out)
        for k, (x, w, g, _, out_w, out_x) in reversed([*enumerate(self.layers)]):
            torch.mm(g.t(), x, out=out_w)
            if k > 0:  # the data need no gradient
                torch.mm(g, w, out=out_x)


def prepare(folder: Path, epochs: int, device: str, option: str) -> Callable[[], tuple[float, None]]:
    """Return the products of all steps of a training; there is no test error."""
    sizes = batches(len(np.load(folder / "x_train.npy", mmap_mode="r"))) * epochs
    steps = {size: Step(size, device) for size in set(sizes)}

    def run() -> tuple[float, None]:
        began = time.perf_counter()
        for size in sizes:
            steps[size]()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began, None

    return run
