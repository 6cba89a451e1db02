"""One measurement: `python -m benchmarks.contestants NAME …` prints `ready`, waits for a line, trains, prints JSON."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torch", "torchvision", "numpy", "lightning", "pythae")


def warm_up(device: str) -> None:
    """Take one step, so that no contestant's time includes what torch does once in a process.

    The first optimizer imports torch's compiler, which takes a second; on a GPU the driver and cuBLAS start.
    """
    weight = torch.ones(64, 64, device=device, requires_grad=True)
    weight.mm(weight).sum().backward()
    torch.optim.Adam([weight]).step()
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> int:
    """Run one contestant and return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--option", default="")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    contestant = importlib.import_module(f"benchmarks.contestants.{given.module}")
    run = contestant.prepare(given.folder, given.epochs, given.device, given.option)
    warm_up(given.device)
    versions = {name: version(name) for name in PACKAGES if importlib.util.find_spec(name)}
    print("ready", flush=True)
    sys.stdin.readline()
    seconds, error = run()
    print(json.dumps({"seconds": seconds, "test_mse": error, "versions": versions}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
