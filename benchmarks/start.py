"""How long until the first epoch begins: `python -m benchmarks.start`.

`python -m tracking.train` from the start of its process to the start of its first epoch, the data cached and the store
there, against a bare `import torch, mlflow`; alternated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from .common import machine, spread, write_lines
from .plain import scratch

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 7
BARE = "import torch, mlflow"
# The command as it is, but that the first epoch ends it: what has to be said is when that began.
DRIVER = """
import os, sys, time
from models.fitting import TorchReducer

def stop(*_):
    print(time.time(), flush=True)
    os._exit(0)

TorchReducer._one_epoch = stop
from tracking.train import main
sys.exit(main(sys.argv[1:]))
"""


def seconds(code: str, flags: list[str]) -> float:
    """From the start of a process to what it prints last, a time, or else to its end."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-c", code, *flags],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = done.stdout.split()
    return (float(lines[-1]) if lines else time.time()) - began


def main(arguments: list[str] | None = None) -> int:
    """Time both, alternated."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    given = parser.parse_args(arguments)
    print(json.dumps(machine()), file=sys.stderr)
    lines: list[dict[str, float]] = []
    with scratch() as place:
        flags = ["--model", "ae", "--dataset", given.dataset, "--tracking-uri", f"sqlite:///{place}/mlflow.db"]
        for number in range(given.rounds + 1):
            line = {"ours_s": seconds(DRIVER, flags), "bare_s": seconds(BARE, [])}
            if number > 0:  # the first makes the store and warms the caches of files
                lines.append(line)
    ratio = spread(line["ours_s"] / line["bare_s"] for line in lines)
    ours, bare = (spread(line[name] for line in lines) for name in ("ours_s", "bare_s"))
    print(f"to the first epoch {ours:.2f} s; bare imports of torch and mlflow {bare:.2f} s; ratio {ratio:.2f}")
    write_lines(given.jsonl, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
