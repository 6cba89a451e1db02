"""How long until the first epoch begins: `python -m benchmarks.start`.

`python -m tracking.train` from the start of its process to the start of its first epoch, the data cached and the store
there, against a bare `import torch, mlflow`; alternated. The bare imports are timed twice: until they are done, which
is what ours is cut off at too, and until their process is gone, which tidies up for a while.
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
IMPORTED = f"{BARE}, time; print(time.time(), flush=True)"
# The command as it is, but that the first epoch ends it: what has to be said is when that began.
DRIVER = """
import os, sys, time
sys.argv[0] = "-m"  # what it is called in `python -m tracking.train` while that imports
import tracking
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
        flags = ["--model", "ae", "--dim3", "2", "--dataset", given.dataset]
        flags += ["--tracking-uri", f"sqlite:///{place}/mlflow.db"]
        for number in range(given.rounds + 1):
            line = {"ours_s": seconds(DRIVER, flags), "imported_s": seconds(IMPORTED, []), "bare_s": seconds(BARE, [])}
            if number > 0:  # the first makes the store and warms the caches of files
                lines.append(line)
    print(f"to the first epoch {spread(line['ours_s'] for line in lines):.2f} s")
    for name, until in (("imported_s", "done"), ("bare_s", "done and their process gone")):
        took, ratio = spread(line[name] for line in lines), spread(line["ours_s"] / line[name] for line in lines)
        print(f"bare imports of torch and mlflow until {until} {took:.2f} s; ratio {ratio:.2f}")
    write_lines(given.jsonl, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
