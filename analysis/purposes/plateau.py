"""The plateau of a loss against dim3, and the difference of losses of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .. import Floats
from .choice import ByDim3, spanned, step
from .uncertainty import Spread, Variance, pooled, spread

_LAST = 2  # scanned dim3 that have to follow a choice
_FALL = 1 / 3  # of the amount: a line that falls by the amount from the choice to the end falls by half of it here


class Excess(NamedTuple):
    """The mean of a difference of losses, and its uncertainty."""

    mean: float
    spread: Spread

    def upper(self, level: float = 0.95) -> float:
        """Return the upper bound at a one-sided level."""
        return self.mean + self.spread.margin(level)

    def lower(self, level: float = 0.95) -> float:
        """Return the lower bound at a one-sided level."""
        return self.mean - self.spread.margin(level)


def plain(difference: Floats, between: Variance) -> Excess:
    """Return the mean of a difference (N,) over rows; `between` is the variance that trainings add to it."""
    return Excess(float(difference.mean()), spread(difference, 1, between))


class Reference(NamedTuple):
    """A loss to compare with: a mixture of dim3 by their shares, or the losses of rows (N,)."""

    shares: Mapping[int, float]
    rows: Floats | float = 0.0


def mean_of(dim3: Sequence[int]) -> Reference:
    """Return the mean over some dim3."""
    return Reference(dict.fromkeys(dim3, 1 / len(dim3)))


@dataclass(frozen=True)
class Losses:
    """Losses of held-out rows at each dim3; less is better."""

    held: ByDim3
    measure: Callable[[Floats, Variance], Excess] = plain

    @cached_property
    def between(self) -> Variance:
        """The variance of one training, pooled over the dim3."""
        return pooled(held.seeds for held in self.held.values())

    @cached_property
    def least(self) -> int:
        """The dim3 whose mean loss is least; the smallest of equal ones."""
        return min(self.held, key=lambda k: (self.mean(k), k))

    def mean(self, dim3: int) -> float:
        """Return the mean loss at one dim3."""
        return float(self.held[dim3].seeds.mean())

    def excess(self, of: int | Reference, over: Reference) -> Excess:
        """Return the excess of one dim3, or of a mixture, over a reference."""
        shares = of.shares if isinstance(of, Reference) else {of: 1.0}
        weights = {k: shares.get(k, 0.0) - over.shares.get(k, 0.0) for k in {*shares, *over.shares}}
        rows = sum((weight * self.held[k].rows for k, weight in weights.items()), -1.0 * np.asarray(over.rows))
        between = self.between
        variance = sum(weight**2 / len(self.held[k].seeds) for k, weight in weights.items())
        return self.measure(rows, Variance(between.of_one * variance, between.freedom))

    def plateau(self) -> list[int]:
        """Return the dim3 that are not shown to be worse than the least, one-sided 95 %.

        Their mean is a level that the least alone understates: it is a minimum of noise.
        """
        least = mean_of([self.least])
        return [k for k in self.held if k == self.least or self.excess(k, least).lower() <= 0]

    def seen_to_end(self, choice: int, amount: float) -> bool:
        """Return whether two larger dim3 follow and the last two are no better than the others from the choice on.

        The least may be the last of a plateau by noise, so it is means of dim3 that are compared, to a third of the
        amount.
        """
        followed = sorted(k for k in self.held if k >= choice)
        others, last = followed[:-_LAST], followed[-_LAST:]
        return bool(others) and self._mean(others) - self._mean(last) <= _FALL * amount

    def _mean(self, dim3: Sequence[int]) -> float:
        return float(np.mean([self.mean(k) for k in dim3]))


def beside(
    choice: int, below: int | None, excess: Excess | None, amount: float, interval: tuple[int | None, int | None] | None
) -> str:
    """Say what is known of a choice.

    Parameters
    ----------
    choice
        The dim3.
    below
        The largest scanned dim3 under it.
    excess
        Of that dim3, None where it was not looked at, as a larger one was far too much.
    amount
        What is allowed.
    interval
        Of the method; None where there is one training a dim3.
    """
    first = step(choice, below, may_do=excess is not None and excess.lower() <= amount)
    return "; ".join(filter(None, (first, "this network" if interval is None else spanned(interval))))
