"""Shared by the benchmarks: the description of the machine, JSON lines, tables, and spreads over rounds."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

PACKAGES = ("torch", "torchvision", "numpy", "mlflow", "optuna")


class Spread(NamedTuple):
    """Minimum, median and maximum of a sample."""

    least: float
    median: float
    greatest: float

    def __format__(self, spec: str) -> str:
        """Return `3.03 (2.95 to 3.13)`: the median and the range, each number formatted by `spec`."""
        return f"{self.median:{spec}} ({self.least:{spec}} to {self.greatest:{spec}})"


def spread(values: Iterable[float]) -> Spread:
    """Return the spread of at least one number."""
    held = sorted(values)
    return Spread(held[0], statistics.median(held), held[-1])


def machine() -> dict[str, Any]:
    """Return the hardware and the versions that timings depend on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is aligned to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_lines(path: Path | None, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines, the machine first; do nothing without a path."""
    if path is not None:
        path.write_text("".join(json.dumps(line) + "\n" for line in [{"machine": machine()}, *lines]))
