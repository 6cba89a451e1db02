"""Calibration of the elbow's verdict on curves whose answer is known: `python -m benchmarks.elbow`.

The curves are smooth ones of more than thirty forms, of which the judge fits five, smooth ones that fall faster than an
exponential, sharp and soft corners, plateaus, and corners after a curved start. For each range, noise and number of
seeds the benchmark measures the false alarms on smooth curves, the share of corners found, their distance, and the
coverage of the intervals; also for other methods. It prints a table and writes JSON lines.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from typing import NamedTuple

import elbow_helper
import numpy as np
import numpy.typing as npt

from elbowroom.analysis.elbow import judge
from elbowroom.analysis.elbow.criteria import Curve, kneedle
from elbowroom.analysis.elbow.shapes import Points, aicc, breakpoints, broken_line, fit, smooth_fits
from elbowroom.analysis.elbow.verdict import LEAST_DELTA

Floats = npt.NDArray[np.float64]

RANGES = {"2..10": (2, 10), "2..20": (2, 20), "2..50": (2, 50), "1..100": (1, 100)}
NOISES = (0.0, 0.003, 0.01, 0.03)
SEEDS = (1, 3, 5)


class Known(NamedTuple):
    """A curve without noise (D,), its corner or None, and the ratio of its slopes before and after the corner."""

    name: str
    error: Floats
    corner: int | None = None
    ratio: float = 1.0
    kind: str = "smooth"


def smooth(k: Floats) -> Iterator[Known]:
    """Yield curves without a corner. They fall from 1, except where the name says otherwise."""
    x = (k - k[0]) / (k[-1] - k[0])
    for p in (0.2, 0.5, 1, 2, 3):
        yield Known(f"power {p}", (k / k[0]) ** -p)
        yield Known(f"power {p} and floor", 0.1 + 0.9 * (k / k[0]) ** -p)
    for tau in (0.1, 0.25, 0.4, 1):
        yield Known(f"exponential {tau}", np.exp(-x / tau))
        yield Known(f"exponential {tau} and floor", 0.2 + 0.8 * np.exp(-x / tau))
    for fast, slow, share in ((0.1, 0.8, 0.5), (0.15, 2, 0.7), (0.05, 0.4, 0.5)):
        yield Known(f"two exponentials {fast} {slow}", share * np.exp(-x / fast) + (1 - share) * np.exp(-x / slow))
    yield Known("logarithm", 1 - 0.9 * np.log(k / k[0]) / np.log(k[-1] / k[0]))
    for b in (0.5, 0.7, 1.3):
        yield Known(f"stretched exponential {b}", np.exp(-((x / 0.3) ** b)))
    yield Known("gaussian", np.exp(-((x / 0.5) ** 2)))
    for middle in (0.3, 0.5):
        yield Known(f"logistic {middle}", 1 / (1 + np.exp((x - middle) / 0.12)))
    for p in (1, 2):
        yield Known(f"rational {p}", (1 + k / (0.2 * (k[-1] - k[0]))) ** -p)
    yield Known("parabola", 0.1 + 0.9 * (1 - x) ** 2)
    yield Known("cubic", 0.05 + 0.95 * (1 - x) ** 3)
    yield Known("square root", 1 - 0.9 * np.sqrt(x))
    yield Known("power times exponential", (k / k[0]) ** -0.5 * np.exp(-x / 0.5))
    yield Known("shifted power", 0.05 + 0.95 * (1 + (k - k[0]) / 6) ** -2)
    yield Known("power and line", 0.6 * k[0] / k + 0.4 * (1 - 0.9 * x))
    yield Known("gaussian and line", 0.6 * np.exp(-((x / 0.3) ** 2)) + 0.4 * (1 - 0.8 * x))
    yield Known("high at first", 0.4 * np.exp(k[0] - k) + 0.6 * np.exp(-x / 0.6))
    yield Known("hyperbolic tangent", 1 - 0.9 * np.tanh(x / 0.4))
    yield Known("hyperbola", np.hypot(0.15, x - 0.5) - (x - 0.5) + 0.05)
    yield Known("power 1.5 from the end", 0.1 + 0.9 * (1 - x) ** 1.5)
    yield Known("quarter of a sine", 1 - 0.9 * np.sin(np.pi * x / 2))
    yield Known("decreasing, then rising", 0.3 + (x - 0.6) ** 2)
    yield Known("gamma", (1 + x / 0.15) * np.exp(-x / 0.15))
    yield Known("straight", 1 - 0.8 * x)
    yield Known("flat", np.ones_like(x))
    j: Floats = np.arange(1.0, 785)
    bumpy = j**-1.1 * np.exp(0.3 * np.sin(2 * np.log(j)) + 0.15 * np.sin(7 * np.log(j) + 1))
    for name, spectrum in (
        ("1.2", j**-1.2),
        ("2", j**-2),
        ("lognormal", np.exp(-(np.linspace(0, 4, 784) ** 1.5))),
        ("bumpy", bumpy),
    ):
        yield Known(f"left eigenvalues {name}", _left(spectrum)[k.astype(int)])


def fast(k: Floats) -> Iterator[Known]:
    """Yield curves without a corner that fall to zero, most of them faster than an exponential."""
    x = (k - k[0]) / (k[-1] - k[0])
    for tau in (0.2, 0.4, 0.7):
        for p in (1.2, 1.5, 1.8, 2, 2.5):
            yield Known(f"exp(-(k/τ)^{p}), τ {tau}", np.exp(-((k / (tau * k[-1])) ** p)), kind="fast")
        yield Known(f"1 - tanh(x/{tau})", 1 - np.tanh(x / tau), kind="fast")
    for p in (1.5, 2, 2.5, 3, 4, 6):
        yield Known(f"(1 - x)^{p}", (1 - x) ** p, kind="fast")
    for columns, scales in ((1, (0.1, 0.2, 0.5, 1)), (2, (0.2, 0.5, 1)), (3, (0.2, 0.5, 1))):
        for scale in scales:
            for spread in ("normal", "uniform"):
                error = _left(_kernel_spectrum(columns, scale, spread == "uniform"))[k.astype(int)]
                name = f"RBF kernel of scale {scale}, {columns} {spread} columns"
                yield Known(name, error / error[0], kind="fast")


def corners(k: Floats, ratios: Sequence[float] = (2, 3, 5)) -> Iterator[Known]:
    """Yield pairs of lines that meet at 0.3, 0.5 or 0.7 of the range and end at 0.1 of the first error."""
    for place in (0.3, 0.5, 0.7):
        c = round(k[0] + place * (k[-1] - k[0]))
        for ratio in ratios:
            yield Known(f"corner {ratio} at {place}", _two_lines(k, c, ratio, 0.1), c, ratio, "corner")


def others(k: Floats) -> Iterator[Known]:
    """Yield other corners: shallow, soft, before a plateau, and after a curved start."""
    for place in (0.3, 0.5, 0.7):
        c = round(k[0] + place * (k[-1] - k[0]))
        yield Known(f"shallow corner 3 at {place}", _two_lines(k, c, 3, 0.4), c, 3, "shallow corner")
        flat = np.where(k <= c, 1 - 0.8 * (k - k[0]) / (c - k[0]), 0.2)
        yield Known(f"plateau from {place}", flat, c, np.inf, "plateau")
        width = 0.5  # dimensions
        bend = 0.5 * (k - c + np.sqrt((k - c) ** 2 + width**2))  # a hinge that is rounded over `width`
        fall = 0.9 / ((c - k[0]) + (k[-1] - c) / 4)
        soft = 1 - fall * (k - k[0]) + 0.75 * fall * bend
        yield Known(f"soft corner 4 at {place}", soft / soft[0], c, 4, "soft corner")
        i = np.arange(1, round(k[-1]) + 60)
        for name, spectrum in (
            ("falling to 0.4", np.where(i <= c, 1 - 0.6 * i / c, 0.02)),
            ("falling to 0.22", np.where(i <= c, np.exp(-1.5 * i / c), 0.01)),
        ):
            error = _left(spectrum)[k.astype(int)]
            yield Known(f"rank {place}, eigenvalues {name}", error / error[0], c, np.inf, "rank")


def noisy(error: Floats, noise: float, seeds: int, rng: np.random.Generator, levels: float = 0.0) -> Floats:
    """Return errors (seeds, D): relative normal noise of deviation `noise`, and of deviation `levels` for each seed."""
    factors = 1 + levels * rng.standard_normal((seeds, 1)) if levels else 1.0
    errors: Floats = np.maximum(error * factors * (1 + noise * rng.standard_normal((seeds, len(error)))), 1e-12)
    return errors


@cache
def _kernel_spectrum(columns: int, scale: float, uniform: bool) -> Floats:
    """The eigenvalues of the centred RBF kernel of 400 rows, descending.

    Scales are of the columns' size and less: larger ones give spectra with real drops after 1 + columns eigenvalues.
    """
    rng = np.random.default_rng(columns)
    rows = rng.uniform(-1, 1, (400, columns)) if uniform else rng.standard_normal((400, columns))
    kernel = np.exp(-((rows[:, None] - rows) ** 2).sum(axis=2) / (2 * scale**2))
    kernel -= kernel.mean(axis=0)
    kernel -= kernel.mean(axis=1, keepdims=True)
    spectrum: Floats = np.maximum(np.linalg.eigvalsh(kernel)[::-1], 0)
    return spectrum


def _left(spectrum: Floats) -> Floats:
    """Share of the sum of the eigenvalues after the first k, for k from 0."""
    left: Floats = np.append(spectrum[::-1].cumsum()[::-1], 0)
    left /= left[0]
    return left


def _two_lines(k: Floats, c: int, ratio: float, end: float) -> Floats:
    slow = (1 - end) / (ratio * (c - k[0]) + k[-1] - c)
    error: Floats = 1 - ratio * slow * (np.minimum(k, c) - k[0]) - slow * np.maximum(k - c, 0)
    return error


class Answer(NamedTuple):
    """The corner that a judge finds, or None, and its interval where the judge gives one."""

    corner: float | None
    interval: tuple[float, float] | None = None


def ours(k: Floats, error: Floats) -> Answer:
    """Return the answer of `analysis.elbow.judge`."""
    verdict = judge(k, error)
    return Answer(verdict.dim3, verdict.interval)


def plain_aicc(k: Floats, error: Floats) -> Answer:
    """Compare two lines with the smooth families by AICc on the mean curve, without the other conditions of `judge`."""
    points = Points(k, error.mean(axis=0) / error.max(), np.ones_like(k))
    corner = fit(broken_line(k, breakpoints(k)), points)
    delta = min(map(aicc, smooth_fits(points))) - aicc(corner)
    return Answer(corner.breakpoint if corner is not None and delta >= LEAST_DELTA else None)


def by_kneed(k: Floats, error: Floats) -> Answer:
    """Return the answer of kneed's KneeLocator on the mean curve."""
    return Answer(kneedle(Curve(k, error)))


def by_elbow_helper(k: Floats, error: Floats) -> Answer:
    """Return the answer of elbow-helper's robust_elbow on the mean curve."""
    found = elbow_helper.robust_elbow(k, error.mean(axis=0), elbow_helper.RobustKneeConfig(random_seed=0))
    return Answer(found.knee_x, found.ci90) if isinstance(found, elbow_helper.ClearKnee) else Answer(None)


JUDGES: dict[str, Callable[[Floats, Floats], Answer]] = {
    "judge": ours,
    "plain AICc": plain_aicc,
    "kneed": by_kneed,
    "elbow-helper": by_elbow_helper,
}


class Setting(NamedTuple):
    """One condition of the calibration."""

    judge: str
    range: str
    noise: float
    seeds: int
    repeats: int
    levels: float = 0.0


class Count(NamedTuple):
    """Curves of one sort: all, with a corner found, found within 1 of it, and with an interval that contains it."""

    curves: int
    found: int
    near: int
    covered: int

    def __add__(self, other: tuple[int, ...]) -> Count:  # type: ignore[override]
        return Count(*(a + b for a, b in zip(self, other, strict=True)))


def measure(setting: Setting) -> dict[str, Count]:
    """Return counts by sort of curve (`smooth`, `fast`, `corner 2`, `plateau`, …) and by the name of the curve."""
    low, high = RANGES[setting.range]
    k = np.arange(low, high + 1, dtype=float)
    rng = np.random.default_rng([int(setting.noise * 1000), setting.seeds, high])
    counts: dict[str, Count] = defaultdict(lambda: Count(0, 0, 0, 0))
    for known in (*smooth(k), *corners(k), *others(k), *fast(k)):
        sort = f"corner {known.ratio:g}" if known.kind == "corner" else known.kind
        for _ in range(setting.repeats if setting.noise or setting.levels else 1):
            answer = JUDGES[setting.judge](k, noisy(known.error, setting.noise, setting.seeds, rng, setting.levels))
            hit = answer.corner is not None
            near = hit and known.corner is not None and abs(answer.corner - known.corner) <= 1  # type: ignore[operator]
            inside = hit and known.corner is not None and answer.interval is not None
            covered = inside and answer.interval[0] <= known.corner <= answer.interval[1]  # type: ignore[index, operator]
            for name in {sort, known.name}:
                counts[name] += (1, int(hit), int(near), int(covered))
    return dict(counts)


def run(settings: list[Setting], workers: int) -> Iterator[tuple[Setting, dict[str, Count]]]:
    """Yield the counts of each setting, measured in worker processes."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from zip(settings, pool.map(measure, settings), strict=True)


def row(counts: dict[str, Count]) -> dict[str, float]:
    """Return the shares for the table: false alarms, power by sort of corner, and accuracy of the found corners."""
    shares = {}
    for sort in (
        "smooth",
        "fast",
        "corner 2",
        "corner 3",
        "corner 5",
        "shallow corner",
        "soft corner",
        "plateau",
        "rank",
    ):
        shares[sort] = counts[sort].found / counts[sort].curves
    hits = counts["corner 2"] + counts["corner 3"] + counts["corner 5"]
    shares["within 1"] = hits.near / max(hits.found, 1)
    shares["covered"] = hits.covered / max(hits.found, 1)
    return shares


def main(arguments: list[str] | None = None) -> int:
    """Run the calibration of each judge in each setting, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.elbow", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--ranges", default=",".join(RANGES))
    parser.add_argument("--noises", default=",".join(map(str, NOISES)))
    parser.add_argument("--levels", type=float, default=0.0, help="relative deviation of the level of whole seeds")
    parser.add_argument("--judges", default="judge", help=", ".join(JUDGES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--jsonl", help="write JSON lines there")
    parser.add_argument("--verbose", action="store_true", help="name the smooth curves that were called corners")
    given = parser.parse_args(arguments)
    settings = [
        Setting(judge, name, noise, int(seeds), given.repeats, given.levels)
        for judge in given.judges.split(",")
        for seeds in given.seeds.split(",")
        for name in given.ranges.split(",")
        for noise in map(float, given.noises.split(","))
    ]
    lines = []
    heading: list[str] = []
    for setting, counts in run(settings, given.workers):
        shares = row(counts)
        if not heading:
            heading = ["judge", "seeds", "range", "noise", *shares]
            print("| " + " | ".join(heading) + " |\n|" + "---|" * len(heading))
        first = [setting.judge, str(setting.seeds), setting.range, f"{100 * setting.noise:.1f} %"]
        print("| " + " | ".join([*first, *(f"{v:.3f}" for v in shares.values())]) + " |", flush=True)
        if given.verbose:
            k = np.arange(2.0, 11)
            wrong = {n: c for n, c in counts.items() if c.found and n in {s.name for s in (*smooth(k), *fast(k))}}
            print("   ", {n: f"{c.found}/{c.curves}" for n, c in wrong.items()})
        lines.append({**setting._asdict(), **shares})
    if given.jsonl:
        with open(given.jsonl, "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
