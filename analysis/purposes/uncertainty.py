"""The uncertainty of a method's mean: its rows and its trainings are both samples.

SE^2 = (variance over rows of the mean over seeds) / N + V / S, where V is the variance of one training, pooled over the
model's dim3. Seeds differ in the same way at neighbouring dim3, and one dim3 alone has too few to tell their variance.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy

from .. import Floats


class Variance(NamedTuple):
    """A variance and its degrees of freedom; 0 degrees where no two trainings can be compared."""

    of_one: float
    freedom: int


def pooled(groups: Iterable[Floats]) -> Variance:
    """Return the variance of one training about the mean of its dim3, of groups of trainings (S,), one a dim3."""
    squares, freedom = 0.0, 0
    for seeds in groups:
        squares += float(((seeds - seeds.mean()) ** 2).sum())
        freedom += len(seeds) - 1
    return Variance(squares / freedom if freedom else 0.0, freedom)


class Spread(NamedTuple):
    """The standard error of a mean, and its degrees of freedom by Satterthwaite's formula."""

    error: float
    freedom: float

    def margin(self, level: float) -> float:
        """Return Student's quantile of this level, as .975, times the standard error."""
        return float(scipy.special.stdtrit(max(self.freedom, 1.0), level)) * self.error if self.error > 0 else 0.0


def spread(rows: Floats, seeds: int, between: Variance) -> Spread:
    """Return the standard error of the mean of a quantity over rows and trainings.

    Parameters
    ----------
    rows : (N,)
        Means over seeds.
    seeds
        How many there are.
    between
        The variance of one training; with 0 degrees of freedom the error is that of these trainings.
    """
    of_rows = float(rows.var(ddof=1)) / len(rows) if len(rows) > 1 else 0.0
    of_seeds = between.of_one / seeds if between.freedom else 0.0
    total = of_rows + of_seeds
    if total == 0:
        return Spread(0.0, np.inf)
    parts = of_rows**2 / max(len(rows) - 1, 1) + (of_seeds**2 / between.freedom if between.freedom else 0.0)
    return Spread(float(np.sqrt(total)), total**2 / parts)
