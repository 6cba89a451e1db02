"""The dim3 at which a falling curve crosses a level, and its 95 % interval, by a monotone fit.

The first noisy mean below the level lies too low on flat curves, so the means are fitted by a falling step function
(isotonic regression; Barlow et al. 1972) and the fit is read. It ends where the means are shown to rise again, as those
of a model that is undertrained at large dim3 do. For the interval the fit is drawn again with the noise of the
trainings, pooled over dim3, and that of the rows, which all dim3 share. Trainings of different dim3 are independent, as
two networks of one seed are; a table whose seeds are off by one factor at all dim3 is not covered.
`tests/analysis/purposes/test_crossing.py` has the coverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy

from .. import Floats
from .choice import reaching
from .uncertainty import Variance, pooled

_DRAWS = 400
_SEED = 0
_SHOWN = 0.99  # one-sided level at which a mean exceeds the least of all
_MOST_TIMES = 9.0  # the median square: a larger one is a corner of the curve, and no noise
_MEDIAN_SQUARE = 0.4549  # of a standard normal number
_ROUNDING = 1e-9


class Curve(NamedTuple):
    """A falling curve: dim3 (D,), values of each training (S,) at each dim3, and what is random in it.

    rows (D,) are standard errors over `row_count` rows, which move the whole curve; nan where they are not known.
    seeded: whether trainings differ.
    """

    dim3: Sequence[int]
    seeds: Sequence[Floats]
    rows: Floats
    seeded: bool
    row_count: int

    @property
    def means(self) -> Floats:
        """The means over trainings, (D,)."""
        return np.array([seeds.mean() for seeds in self.seeds])

    @property
    def counts(self) -> Floats:
        """The numbers of trainings, (D,)."""
        return np.array([float(len(seeds)) for seeds in self.seeds])

    @property
    def noise(self) -> Variance | None:
        """The variance of one training; None where it is unknown."""
        return _noise(self) if self.seeded else Variance(0.0, 1)

    @property
    def falling(self) -> int:
        """How many dim3 come before the means are shown to rise above the least, to the end of the range."""
        means, noise = self.means, self.noise
        if noise is None:
            return len(means)
        least = int(means.argmin())
        error = np.sqrt(noise.of_one * (1 / self.counts + 1 / self.counts[least]))
        above = means - means[least] > scipy.special.stdtrit(noise.freedom, _SHOWN) * error + _ROUNDING
        return int(np.flatnonzero(~above)[-1]) + 1

    @property
    def fitted(self) -> Floats:
        """The falling curve that fits the means best, (falling,)."""
        end = self.falling
        return _falling(self.means[:end], self.counts[:end])


class Crossing(NamedTuple):
    """The first dim3 of the fit at or below the level, None where there is none, and its interval.

    place is where the fit meets the level between that dim3 and the one below, straight in log(dim3); None where there
    is none below. by_rows is the interval with trainings that do not differ. An end of an interval is None where it
    lies outside the range; an interval is None where the noise is unknown.
    """

    at: int | None
    interval: tuple[int | None, int | None] | None
    place: float | None = None
    by_rows: tuple[int | None, int | None] | None = None


def cross(curve: Curve, level: float) -> Crossing:
    """Return the crossing of a curve with a level."""
    fitted, noise = curve.fitted, curve.noise
    end = len(fitted)
    dim3, counts, rows = curve.dim3[:end], curve.counts[:end], curve.rows[:end]
    at = int(_first(fitted[None], level)[0])
    place = _place(dim3[at - 1 : at + 1], fitted[at - 1 : at + 1], level) if 0 < at < end else None
    if not np.isfinite(rows).all():
        return Crossing(_known(dim3, at), None, place)

    def interval(draws: Floats) -> tuple[int | None, int | None]:
        found = _first(draws, level)
        first, last = np.quantile(found, [0.025, 0.975], method="nearest")
        low, high = _known(dim3, min(first, at)), _known(dim3, max(last, at))
        return low and reaching(low, dim3), high

    rng = np.random.default_rng(_SEED)
    shared = rng.standard_normal((_DRAWS, 1)) * rows
    scale = _student(noise.freedom if noise else 1, rng) * np.sqrt(noise.of_one if noise else 0.0)
    shared *= _student(max(curve.row_count - 1, 1), rng)
    by_rows = interval(fitted + shared)
    if noise is None:
        return Crossing(_known(dim3, at), None, place, by_rows)
    # A column a dim3: a longer range adds columns, and leaves the draws of the others as they are.
    own = np.stack([np.random.default_rng((_SEED, k)).standard_normal(_DRAWS) for k in dim3], axis=1)
    draws = fitted + shared + scale * own / np.sqrt(counts)
    return Crossing(_known(dim3, at), interval(np.array([_falling(draw, counts) for draw in draws])), place, by_rows)


def _place(dim3: Sequence[int], fitted: Floats, level: float) -> float:
    """Return the dim3 at which the line through two points (2,) of the fit meets a level between them."""
    return float(np.exp(np.interp(-level, -fitted, np.log(dim3))))


def _student(freedom: int, rng: np.random.Generator) -> Floats:
    """The factors (n, 1) that make Student's t of normal draws."""
    factors: Floats = np.sqrt(freedom / rng.chisquare(freedom, (_DRAWS, 1)))
    return factors


def _known(dim3: Sequence[int], index: int) -> int | None:
    return dim3[index] if index < len(dim3) else None


def _first(curves: Floats, level: float) -> Floats:
    """The index of the first value of each curve (n, D) at or below the level, D where there is none: (n,)."""
    met = curves <= level + _ROUNDING
    first: Floats = np.where(met.any(axis=1), met.argmax(axis=1), curves.shape[1])
    return first


def _falling(means: Floats, counts: Floats) -> Floats:
    fitted: Floats = scipy.optimize.isotonic_regression(means, weights=counts, increasing=False).x
    return fitted


def _noise(curve: Curve) -> Variance | None:
    """The variance of one training; with one training a dim3 of its neighbours, None where there are fewer than 3 dim3.

    Neighbours: the squared distance of each point to the line through the two beside it (Gasser, Sroka & Jennen-
    Steinmetz 1986), in dim3 or in log dim3, in which the curve is straighter.
    """
    repeated = pooled(curve.seeds)
    if repeated.freedom:
        return repeated
    if len(curve.dim3) < 3:
        return None
    k = np.array(curve.dim3, dtype=float)
    variance = min(_roughness(x, curve.means) for x in (k, np.log(k)))
    return Variance(variance, max(round((len(k) - 2) * 2 / 3), 1))


def _roughness(x: Floats, y: Floats) -> float:
    """The variance of y about a smooth curve over x."""
    span = x[2:] - x[:-2]
    left, right = (x[2:] - x[1:-1]) / span, (x[1:-1] - x[:-2]) / span
    squares = (left * y[:-2] + right * y[2:] - y[1:-1]) ** 2 / (left**2 + right**2 + 1)
    most = _MOST_TIMES * float(np.median(squares)) / _MEDIAN_SQUARE
    return float(np.minimum(squares, most).mean())
