"""Training speed of an autoencoder, compared with other trainers: `python -m benchmarks.training`.

The same autoencoder (784-400-10, batch 128, Adam 1e-3, float32) is trained on MNIST's 60,000 training images by this
project's loop, the plain DataLoader loop, pythae's trainer and Lightning's. The limit is the time of the training's
matrix products alone. Each measurement is a process of its own and times the training without imports and loading.
Rounds are interleaved, and the number of the round is its seed. There are two modes: one process with a thread for each
core, and, as in a scan, one process with one thread on each core at the same time.

pythae and Lightning are installed into their own environment by the first run (requirements-bench.txt).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import venv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.store.addresses import cache_folder

from .common import machine, spread, table, write_lines
from .plain import link_mnist, scratch

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-bench"
ROUNDS, EPOCHS = 5, 3


class Contestant(NamedTuple):
    """A module of `benchmarks.contestants`, its option, and whether it needs the peers' environment."""

    module: str
    option: str = ""
    peer: bool = False


CONTESTANTS = {
    "ours": Contestant("ours"),
    "plain": Contestant("plain", "0"),
    "plain, 2 workers": Contestant("plain", "2"),
    "pythae": Contestant("pythae_trainer", peer=True),
    "lightning": Contestant("lightning_trainer", peer=True),
    "lightning, batches": Contestant("lightning_trainer", "batches", peer=True),
    "limit": Contestant("limit"),
}
MODES = {"one": "one process, a thread for each core", "per core": "one process with one thread on each core"}


class Measured(NamedTuple):
    """One contestant in one round: seconds of each process, training rows a second over all of them, test error."""

    contestant: str
    mode: str
    round: int
    seconds: list[float]
    samples_per_second: float
    test_mse: float | None
    versions: dict[str, str]


def peers_python(folder: Path = PEERS) -> str:
    """Return the Python of the peers' environment, installed if it is missing or its requirements have changed."""
    wanted = hashlib.sha256((ROOT / "requirements-bench.txt").read_bytes()).hexdigest()
    stamp, python = folder / "stamp", folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing the peers into {folder.name}: some minutes, once", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(ROOT / "requirements-bench.txt")]
        subprocess.run(install, check=True)
        stamp.write_text(wanted)
    return str(python)


def measure(name: str, mode: str, number: int, folder: Path, epochs: int, device: str) -> Measured:
    """Run a contestant once, in one process or in one for each core; these start together."""
    contestant = CONTESTANTS[name]
    cores = os.cpu_count() or 1
    processes, threads = (1, cores) if mode == "one" else (cores, 1)
    command = [peers_python() if contestant.peer else sys.executable, "-m", "benchmarks.contestants"]
    command += [contestant.module, "--folder", str(folder), "--epochs", str(epochs), "--threads", str(threads)]
    command += ["--device", device, "--option", contestant.option, "--seed", str(number)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    environment["TQDM_DISABLE"] = "1"  # pythae's progress bar can't be turned off otherwise; Lightning's is off too
    results = []
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    cwd=ROOT,
                    env=environment,
                    text=True,
                    bufsize=1,
                )
            )
            for _ in range(processes)
        ]
        for process in running:
            stack.callback(process.kill)  # if one fails, the others still wait
            assert process.stdout is not None
            while "ready" not in (line := process.stdout.readline()):
                if not line:
                    raise SystemExit(f"error: {name} ended before it began, exit code {process.wait()}")
        for process in running:  # all have loaded their data
            assert process.stdin is not None
            process.stdin.write("go\n")
        for process in running:
            out, _ = process.communicate()
            if process.returncode != 0:
                raise SystemExit(f"error: {name} failed, exit code {process.returncode}")
            results.append(json.loads(out.splitlines()[-1]))
    rows = epochs * len(np.load(folder / "x_train.npy", mmap_mode="r"))
    errors = [r["test_mse"] for r in results if r["test_mse"] is not None]
    return Measured(
        name,
        mode,
        number,
        seconds=[r["seconds"] for r in results],
        samples_per_second=sum(rows / r["seconds"] for r in results),
        test_mse=float(np.mean(errors)) if errors else None,
        versions=results[0]["versions"],
    )


def lay_out(folder: Path) -> None:
    """Write MNIST into the folder as arrays, and link its files for torchvision."""
    data = load_dataset("mnist")
    np.save(folder / "x_train.npy", data.x_train)
    np.save(folder / "x_test.npy", data.x_test)
    link_mnist(cache_folder("mnist"), folder)


def ratios(measured: Iterable[Measured], mode: str, contestant: str) -> list[float]:
    """Return our samples a second divided by the contestant's, by round."""
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for m in measured:
        if m.mode == mode:
            found[m.round][m.contestant] = m.samples_per_second
    return [r["ours"] / r[contestant] for _, r in sorted(found.items()) if {"ours", contestant} <= r.keys()]


def summary(measured: Sequence[Measured]) -> str:
    """Return a table for each mode: speed, its ratio to ours, and test error; and our share of the limit."""
    parts = []
    for mode in dict.fromkeys(m.mode for m in measured):
        rows = []
        for name in dict.fromkeys(m.contestant for m in measured if m.mode == mode):
            mine = [m for m in measured if (m.mode, m.contestant) == (mode, name)]
            errors = [m.test_mse for m in mine if m.test_mse is not None]
            against = ratios(measured, mode, name)
            rows.append(
                (
                    name,
                    f"{spread(m.samples_per_second for m in mine):,.0f}",
                    f"{spread(against):.2f}" if against else "",
                    f"{spread(errors):.4f}" if errors else "",
                )
            )
        parts += [MODES[mode], table(("", "samples per second", "ours over it", "test MSE"), rows)]
        if share := ratios(measured, mode, "limit"):
            parts.append(f"ours, in % of the limit: {spread(100 * s for s in share):.1f}")
    return "\n\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Time all contestants in interleaved rounds, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each measurement")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=[*CONTESTANTS], metavar="NAME")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=[*MODES], metavar="MODE")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    given = parser.parse_args(arguments)
    print(json.dumps(machine()), file=sys.stderr)
    measured: list[Measured] = []
    with scratch() as place:
        folder = Path(place)
        lay_out(folder)
        for number in range(given.rounds):
            first = number % len(given.contestants)
            turned = given.contestants[first:] + given.contestants[:first]
            for mode in given.modes:
                for name in turned:  # another one first in each round
                    found = measure(name, mode, number, folder, given.epochs, given.device)
                    measured.append(found)
                    print(json.dumps(found._asdict()), file=sys.stderr, flush=True)
                    write_lines(given.jsonl, (m._asdict() for m in measured))  # after each, in case of an interrupt
    measured.sort(key=lambda m: (given.modes.index(m.mode), given.contestants.index(m.contestant), m.round))
    print(summary(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
