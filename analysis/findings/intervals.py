"""95 % intervals of a mean error and of a ratio of mean errors, of the method: over rows and trainings.

They are symmetric about the logarithm of the mean, whose deviations are those of the mean divided by it (delta method).
A ratio is paired by row. Two seeds that differ much leave no interval: their variance has one degree of freedom, and it
is not the pooled one, from which it differs.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy

from .. import Floats
from ..purposes.choice import ByDim3, Held
from ..purposes.uncertainty import Spread, Variance, pooled, spread

_LEVEL = 0.975  # of each end
_WIDEST = np.log(10)  # margin of a logarithm; the delta method is far from linear there, and the interval says nothing
_DIFFER = 0.01  # p of Bartlett's test, below which the variances of dim3 are not pooled


def logs(held: Held) -> Held:
    """Return the deviations of log(mean), of each row and each seed; 0 where all errors are."""
    if not held.rows.any():
        return Held(0 * held.rows, 0 * held.seeds)
    return Held(held.rows / held.rows.mean() - 1, held.seeds / held.seeds.mean() - 1)


def log_ratio(held: Held, base: Held) -> Held:
    """Return the deviations of log(mean / mean of base); a base with one seed takes none, and others are paired."""
    (rows, seeds), (base_rows, base_seeds) = logs(held), logs(base)
    common = len(seeds) if len(base_seeds) == 1 else min(len(seeds), len(base_seeds))
    return Held(rows - base_rows, seeds[:common] - base_seeds[:common])


def ends(value: float, margin: float) -> tuple[float, float] | tuple[None, None]:
    """Return the interval of a mean or a ratio, whose logarithm has this margin; None where it spans 100 times."""
    if margin >= _WIDEST:
        return None, None
    return value * float(np.exp(-margin)), value * float(np.exp(margin))


def margins(deviations: ByDim3) -> dict[int, float]:
    """Return half the width of the interval of log(mean) at each dim3.

    It is that of these networks where no dim3 has two seeds. The seeds' variance is pooled over dim3 unless it differs
    between them, or there is one: then each has its own, and the rows' and the seeds' part have a quantile each.
    """
    between = pooled(held.seeds for held in deviations.values())
    if between.freedom and (len(deviations) == 1 or _differ([held.seeds for held in deviations.values()])):
        return {k: _apart(held, between) for k, held in deviations.items()}
    return {k: spread(held.rows, len(held.seeds), between).margin(_LEVEL) for k, held in deviations.items()}


def _apart(held: Held, between: Variance) -> float:
    """Return the margin of one dim3 with the variance of its own seeds; with one seed it takes that of all."""
    own, count = pooled([held.seeds]), len(held.seeds)
    mine = own if own.freedom else between
    seeds = Spread(float(np.sqrt(mine.of_one / count)), mine.freedom)
    return float(np.hypot(spread(held.rows, count, Variance(0.0, 0)).margin(_LEVEL), seeds.margin(_LEVEL)))


def _differ(groups: Iterable[Floats]) -> bool:
    """Whether the variances of groups of seeds (S,) differ, by Bartlett's test."""
    found = [v for v in (pooled([seeds]) for seeds in groups) if v.freedom]
    freedom = np.array([v.freedom for v in found])
    variances = np.array([v.of_one for v in found])
    total, more = freedom.sum(), len(found) - 1
    if not more:
        return False
    with np.errstate(divide="ignore", invalid="ignore"):  # seeds without a difference; nan where no seeds differ
        statistic = total * np.log(freedom @ variances / total) - freedom @ np.log(variances)
    return bool(scipy.special.chdtrc(more, statistic / (1 + ((1 / freedom).sum() - 1 / total) / (3 * more))) < _DIFFER)
