"""The cells of a seek on curves whose answer is known, beside Bayesian optimisation: `python -m benchmarks.seek`.

Optuna's samplers minimise the distance of the logarithm of the share that is left to that of the rule, one training a
trial. Their answer is the dim3 of the best trial. They give no interval and do not stop, so what they need is counted
with the answer known: the trials until theirs is right within 1 and stays so for 5 more.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
import optuna

from benchmarks.common import table, write_lines
from benchmarks.simulated_seek import FALLS, LEVEL, MOST, SHAPES, drawn, noisy, seek

TRIALS, STAYS = 80, 5


def answers(sampler: optuna.samplers.BaseSampler, share: Callable[[int], float], most: int = MOST) -> list[int]:
    """Return the dim3 of the best trial after each trial of a sampler."""
    study, found = optuna.create_study(sampler=sampler), []
    for _ in range(TRIALS):
        trial = study.ask()
        study.tell(trial, abs(np.log(share(trial.suggest_int("dim3", 1, most, log=True))) - LEVEL))
        found.append(study.best_params["dim3"])
    return found


def needed(found: Sequence[int], answer: int) -> int | None:
    """Return how many trials it takes until the answer is right within 1 and stays so, None where it does not."""
    right = [abs(k - answer) <= 1 for k in found]
    return next((n for n in range(1, len(right) - STAYS + 1) if all(right[n - 1 : n + STAYS])), None)


def measure(kind: str, answer: int, sd: float, draw: int) -> list[dict[str, object]]:
    """Return the cells of the seek and of both samplers on one curve, and whether their final answer is within 1."""
    rng = np.random.default_rng([answer, round(1000 * sd), draw])
    share = noisy(drawn(kind, answer, rng), sd, rng)
    about = {"kind": kind, "answer": answer, "sd": sd, "draw": draw}
    found = seek(share)
    choice = found.view.choice
    near = choice is not None and choice.choice is not None and abs(choice.choice - answer) <= 1
    lines: list[dict[str, object]] = [{**about, "name": "seek", "cells": found.cells, "near": near}]
    for sampler in (optuna.samplers.TPESampler(seed=draw), optuna.samplers.GPSampler(seed=draw)):
        trials = answers(sampler, share)
        near = abs(trials[-1] - answer) <= 1
        lines.append({**about, "name": type(sampler).__name__, "cells": needed(trials, answer), "near": near})
    return lines


def summary(lines: Sequence[Mapping[str, object]]) -> str:
    """Return the table: of each answer and noise the median cells, more than the trials counted as such, and hits."""
    groups: dict[tuple[object, ...], list[Mapping[str, object]]] = {}
    for line in lines:
        groups.setdefault((line["name"], line["answer"], line["sd"]), []).append(line)
    rows = []
    for (name, answer, sd), group in groups.items():
        middle = statistics.median(cast(int, line["cells"] or TRIALS + 1) for line in group)
        cells = f"{middle:g}" if middle <= TRIALS else f"more than {TRIALS}"
        near = sum(bool(line["near"]) for line in group)
        rows.append([str(name), str(answer), f"{100 * cast(float, sd):.1f} %", cells, f"{near} of {len(group)}"])
    return table(["", "answer", "noise", "median cells", "within 1"], rows)


def main(arguments: list[str] | None = None) -> int:
    """Compare on drawn curves, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seek", description=__doc__)
    parser.add_argument("--draws", type=int, default=2, help="of each kind of curve")
    parser.add_argument("--answers", type=int, nargs="+", default=[10, 40, 150])
    parser.add_argument("--noises", type=float, nargs="+", default=[0.01])
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    given = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    kinds = [kind for kind in (*FALLS, *SHAPES) if kind != "never"]
    each = product(kinds, given.answers, given.noises, range(given.draws))
    lines = [line for one in each for line in measure(*one)]
    print(summary(lines))
    write_lines(given.jsonl, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
