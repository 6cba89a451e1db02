"""Training speed on a busy machine by the spin time of waiting threads: `python -m benchmarks.waiting`.

The autoencoder of `benchmarks.training` is trained with a thread for each core, in a process for each setting of the
environment: an epoch three times alone, of which the median counts, once beside a second, endless training with the
same setting, and once beside four busy loops. Only the fits are timed. Rounds are interleaved, and ratios are taken
within a round: the time beside others to the time alone, and the time alone to that of the first setting, which is the
default of GNU's OpenMP. Where torch uses LLVM's, as on macOS: `--settings KMP_BLOCKTIME=200 KMP_BLOCKTIME=1`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from elbowroom.models import Epoch, build
from elbowroom.models.openmp import POLICY, SPINS
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.mnist import load_idx

from .common import Spread, machine, spread, table, write_lines
from .plain import scratch

ROOT = Path(__file__).resolve().parents[1]
ROUNDS, ROWS = 3, 20_000
ALONE = 3  # fits, of which the median counts
SETTINGS = (*(f"GOMP_SPINCOUNT={spins}" for spins in (300_000, 20_000, 2_000, 200)), f"{POLICY}=passive")
WARM_ROWS = 4096
ENDLESS = 10**9  # epochs
LOOPS, LOOP = 4, "print(flush=True)\nwhile True: pass"
OTHERS = {"training": "a second training", "loops": f"{LOOPS} busy loops"}


class Measured(NamedTuple):
    """A setting, `NAME=value`, in one round: seconds of a fit alone and beside each of OTHERS."""

    setting: str
    round: int
    alone: float
    beside: dict[str, float]


def train(file: str, epochs: int) -> None:
    """Print `ready`; for each line of stdin train, and print `began` after the first epoch, then the seconds."""
    x = np.load(file)
    settings = asdict(RunConfig(model="ae", dim3=10, batch_size=128, lr=1e-3, schedule="constant", device="cpu"))
    settings |= {"dim1": x.shape[1], "epochs": epochs}
    build("ae", settings | {"epochs": 1}).fit(x[:WARM_ROWS])  # warm up

    def on_epoch(epoch: Epoch) -> None:
        if epoch.number == 1:
            print("began", flush=True)

    print("ready", flush=True)
    for _ in sys.stdin:
        model = build("ae", settings)
        began = time.perf_counter()
        model.fit(x, on_epoch=on_epoch)
        print(time.perf_counter() - began, flush=True)


def measure(setting: str, number: int, file: Path, others: Sequence[str]) -> Measured:
    """Time one epoch on the rows in a file with this setting, alone and beside each of `others`."""
    with process(trainer(file, 1), setting) as mine:
        hear(mine)
        alone, beside = statistics.median(fit(mine) for _ in range(ALONE)), {}
        for other in others:
            with ExitStack() as stack:
                if other == "training":
                    second = stack.enter_context(process(trainer(file, ENDLESS), setting))
                    hear(second)
                    tell(second)
                    hear(second)  # `began`
                else:
                    for loop in [stack.enter_context(process(LOOP, setting)) for _ in range(LOOPS)]:
                        hear(loop)
                beside[other] = fit(mine)
    return Measured(setting, number, alone, beside)


def trainer(file: Path, epochs: int) -> str:
    """Return the code of a process that trains."""
    return f"from benchmarks.waiting import train; train({str(file)!r}, {epochs})"


@contextmanager
def process(code: str, setting: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process with this setting and a thread for each core, and kill it at the end."""
    environment = {name: value for name, value in os.environ.items() if name not in {*SPINS, POLICY}}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(os.cpu_count() or 1))
    environment |= dict([setting.split("=")])
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, env=environment, text=True, bufsize=1) as running:
        try:
            yield running
        finally:
            running.kill()


def hear(running: subprocess.Popen[str]) -> str:
    """Return the next line that a process prints. Exits where it has ended."""
    assert running.stdout is not None
    line = running.stdout.readline()
    if not line:
        raise SystemExit(f"error: a process of the benchmark ended, exit code {running.wait()}")
    return line.strip()


def tell(running: subprocess.Popen[str]) -> None:
    """Make a process train."""
    assert running.stdin is not None
    running.stdin.write("\n")


def fit(running: subprocess.Popen[str]) -> float:
    """Return the seconds of a training in this process."""
    tell(running)
    hear(running)
    return float(hear(running))


def summary(measured: Sequence[Measured]) -> str:
    """Return a table with a row for each setting, whose time alone is divided by that of the first one."""
    settings = list(dict.fromkeys(m.setting for m in measured))
    firsts = {m.round: m.alone for m in measured if m.setting == settings[0]}
    others = measured[0].beside

    def row(mine: Sequence[Measured]) -> list[str]:
        ratios: list[Spread] = [spread(m.alone / firsts[m.round] for m in mine)]
        ratios += [spread(m.beside[other] / m.alone for m in mine) for other in others]
        return [mine[0].setting, f"{spread(m.alone for m in mine):.2f}", *(f"{ratio:.2f}" for ratio in ratios)]

    header = ("", "alone, s", "over the first", *(f"beside {OTHERS[other]}, over alone" for other in others))
    return table(header, [row([m for m in measured if m.setting == setting]) for setting in settings])


def main(arguments: list[str] | None = None) -> int:
    """Time all settings in interleaved rounds, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rows", type=int, default=ROWS, help="of MNIST, for the one epoch of each fit")
    parser.add_argument("--settings", nargs="+", default=SETTINGS, metavar="NAME=VALUE", help="the first is today's")
    parser.add_argument("--others", nargs="*", choices=OTHERS, default=[*OTHERS], help="none: alone only")
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    given = parser.parse_args(arguments)
    print(json.dumps(machine()), file=sys.stderr)
    measured: list[Measured] = []
    with scratch() as place:
        file = Path(place) / "x.npy"
        np.save(file, load_idx("mnist").x_train[: given.rows].reshape(-1, 784).astype(np.float32) / 255)
        for number in range(given.rounds):
            first = number % len(given.settings)
            for setting in [*given.settings[first:], *given.settings[:first]]:  # another one first in each round
                measured.append(measure(setting, number, file, given.others))
                print(json.dumps(measured[-1]._asdict()), file=sys.stderr, flush=True)
                write_lines(given.jsonl, (m._asdict() for m in measured))  # after each, in case of an interrupt
    print(summary(sorted(measured, key=lambda m: (given.settings.index(m.setting), m.round))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
