"""A seek on curves whose answer is known: `drawn` makes a curve, `seek` runs the search to its end.

A curve is the logarithm of the share of the variance that is left at dim3 1 to MOST. Trainings have relative noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from elbowroom.analysis.purposes import Evidence, Rule
from elbowroom.analysis.purposes.choice import Held
from elbowroom.analysis.purposes.keep import Errors, Fitted
from elbowroom.studies.execution.next_cells import Cell, Known, Search, View, look, next_cells

Floats = npt.NDArray[np.float64]

LEVEL = float(np.log(0.1))
SEARCH = Search([Rule.parse("keep:0.90")])
MOST = 784
_FLOOR = LEVEL - 5  # no model leaves less
_SIGNS = np.tile([-1.0, 1.0], 500)  # deviations of the errors of single rows, in standard deviations

FALLS: dict[str, Callable[[Floats, float], Floats]] = {
    "flat power": lambda k, a: LEVEL - 0.5 * np.log(k / a),
    "power": lambda k, a: LEVEL - np.log(k / a),
    "exponential": lambda k, a: LEVEL * k / a,
    "plateau": lambda k, a: np.log(0.07 + 0.93 * np.exp(-k / a * np.log(0.93 / 0.03))),
    "two decays": lambda k, a: np.log(
        0.6 * np.exp(-k / (0.15 * a)) + 0.4 * np.exp(-k / a * np.log(0.4 / (0.1 - 0.6 * np.exp(-1 / 0.15))))
    ),
    "rank": lambda k, a: np.log(np.maximum(1 - 0.9 * np.minimum(k, 1.3 * a) / a, 0.02)),
    "never": lambda k, a: np.log(0.13 + 0.87 * np.exp(-3 * k / a)),
}
"""Curves that cross LEVEL at a, but the last."""


def _lines(k: Floats, rng: np.random.Generator) -> Floats:
    """Straight lines in log dim3, some of them level."""
    knots = np.sort(np.r_[0.0, rng.uniform(0, np.log(MOST), rng.integers(1, 9)), np.log(MOST)])
    falls = rng.exponential(1, len(knots)) * rng.choice([0.05, 1.0, 5.0], len(knots))
    return cast(Floats, np.interp(np.log(k), knots, -falls.cumsum()))


def _decays(k: Floats, rng: np.random.Generator) -> Floats:
    """The sum of one to four exponentials."""
    number = rng.integers(1, 5)
    left = np.exp(-k[:, None] / np.exp(rng.uniform(0, 6, number))) @ rng.dirichlet(np.ones(number))
    return cast(Floats, np.log(np.maximum(left, 1e-300)))


def _spectrum(k: Floats, rng: np.random.Generator) -> Floats:
    """The sum of the eigenvalues after the first k."""
    j = np.arange(1.0, 2 * MOST)
    values = -np.sort(-(j ** -rng.uniform(0.3, 3)) * np.exp(rng.uniform(0, 2) * rng.standard_normal(len(j))))
    return cast(Floats, np.log(values[::-1].cumsum()[::-1][k.astype(int)] / values.sum()))


SHAPES = {"lines": _lines, "decays": _decays, "spectrum": _spectrum}


def drawn(kind: str, answer: int, rng: np.random.Generator) -> Floats:
    """Return the curve at dim3 1 to MOST, of a kind in FALLS or SHAPES, that crosses LEVEL just before the answer."""
    k, crossing = np.arange(1.0, MOST + 1), answer - rng.uniform(0.02, 0.98)
    if kind in FALLS:
        logs = FALLS[kind](k, crossing)
    else:
        shape = SHAPES[kind](k, rng)
        logs = shape * LEVEL / np.interp(crossing, k, shape)
    return cast(Floats, np.maximum(logs, _FLOOR))


class Found(NamedTuple):
    """The end of a seek: the state of its rules, and the cells of each round."""

    views: list[View]
    rounds: list[list[Cell]]

    @property
    def view(self) -> View:
        """The state of the first rule."""
        return self.views[0]

    @property
    def cells(self) -> int:
        """The number of trainings."""
        return sum(map(len, self.rounds))


def evidence(
    errors: Mapping[int, Mapping[int, float]], most: int = MOST, rows: float = 0.0, *, seeded: bool = True
) -> Evidence | None:
    """Return the evidence of shares left by dim3 and seed, None where there are none.

    Parameters
    ----------
    errors
        The shares.
    most
        The largest dim3 that the data allow.
    rows
        The relative standard error of the shares over rows.
    seeded
        Whether trainings differ.
    """
    scatter = 1 + rows * _SIGNS * len(_SIGNS) ** 0.5
    held = {k: np.array(list(seeds.values())) for k, seeds in sorted(errors.items())}
    found = Errors({k: Held(v.mean() * scatter, v) for k, v in held.items()}, np.ones(len(_SIGNS)))
    model = SimpleNamespace(label="ae", seeded=seeded, fitted=Fitted("ae", found, found, seeded, most))
    return cast(Evidence, model) if errors else None


def seek(
    share: Callable[[int], float],
    search: Search = SEARCH,
    *,
    workers: int = 1,
    most: int = MOST,
    rows: float = 0.0,
    seeded: bool = True,
    scanned: Mapping[int, Mapping[int, float]] | None = None,
) -> Found:
    """Run a seek to its end.

    Parameters
    ----------
    share
        The share that one training of a dim3 leaves.
    search, workers, most
        As `next_cells` takes them.
    rows
        The relative standard error of the shares over rows.
    seeded
        Whether trainings differ.
    scanned
        Shares left by dim3 and seed that are there before.
    """
    errors = {k: dict(seeds) for k, seeds in (scanned or {}).items()}
    rounds: list[list[Cell]] = []
    while True:
        known = Known(errors, evidence(errors, most, rows, seeded=seeded), most, seeded, sum(map(len, rounds)))
        cells = next_cells({"ae": known}, search, workers)
        if not cells:
            return Found(look(known, search), rounds)
        rounds.append(cells)
        for cell in cells:
            errors.setdefault(cell.dim3, {})[cell.seed] = share(cell.dim3)


def noisy(curve: Floats, sd: float, rng: np.random.Generator, rows: float = 0.0) -> Callable[[int], float]:
    """Return the share that one training leaves; `rows` is the deviation of a factor that all of them have."""
    factor = np.exp(rows * rng.standard_normal())
    return lambda k: float(max(np.exp(curve[k - 1]) * factor * (1 + sd * rng.standard_normal()), 1e-12))
