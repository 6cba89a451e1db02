"""Whether the labels of rows can be read from neighbouring codes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from math import hypot
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from .. import Floats
from .plateau import Excess
from .uncertainty import Spread, Variance, spread

_NEIGHBOURS = 5
_MOST = 3000  # rows of a sample: the time grows with their square
_SEED = 0  # of the sample
_ADDED = 2  # discordant rows, one each way, as few rows may show none (Bonett & Price 2012)

Codes = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]


class Coded(NamedTuple):
    """Held-out rows with labels (N,).

    codes has the codes (N, dim3) of each training by dim3; a mapping that loads them when it is asked is asked for what
    is needed. raw (N,) is 1 where a row's five nearest raw rows give its label, 0 where not, -1 where the row is not in
    the sample; None where that is not known.
    """

    codes: Mapping[int, Sequence[Codes]]
    labels: Ints
    raw: Ints | None


class Sample(NamedTuple):
    """The rows that are probed, as indices (n,), and their classes 0, 1, … with `counts` rows each.

    weights (n,) give each class the same sum, 1 over all; a class of a single row has none, as nothing is near it.
    """

    rows: Ints
    classes: Ints
    counts: Ints
    weights: Floats

    @classmethod
    def of(cls, coded: Coded) -> Sample:
        """Return the sample of the raw rows, else one of at most 3,000 rows in which each class has its share."""
        rows = _stratified(coded.labels) if coded.raw is None else np.flatnonzero(coded.raw >= 0)
        _, classes, counts = np.unique(coded.labels[rows], return_inverse=True, return_counts=True)
        several = counts > 1
        return cls(rows, classes, counts, (several / counts / max(several.sum(), 1))[classes])

    @property
    def kinds(self) -> int:
        """The number of classes that have a weight."""
        return int((self.counts > 1).sum())

    def misses(self, codes: Sequence[Codes]) -> Floats:
        """Return 1 where the five nearest other codes outvote a row's label, else 0, for each training: (S, n)."""
        # Here, because it takes a second to import, which a table of errors does not need.
        nearest = importlib.import_module("sklearn.neighbors").KNeighborsClassifier(_NEIGHBOURS, algorithm="brute")
        with threadpool_limits(1):  # the number of threads decides which of equally near rows is found
            votes = [
                nearest.fit(of_one[self.rows], self.classes).predict(None) for of_one in codes
            ]  # None: leave one out
        missed: Floats = (np.array(votes) != self.classes).astype(np.float64)
        return missed

    def mean(self, difference: Floats, between: Variance) -> Excess:
        """Return the balanced mean of a difference (n,) of misses, with the rows' spread stratified by class."""
        means = np.bincount(self.classes, difference) / self.counts
        unbiased = np.sqrt(self.counts / np.maximum(self.counts - 1, 1))
        about = (difference - means[self.classes]) * unbiased[self.classes] * self.weights * len(difference)
        seen, added = spread(about, 1, between), _ADDED * float(np.square(self.weights).mean())
        return Excess(float(self.weights @ difference), Spread(hypot(seen.error, added**0.5), seen.freedom))


def _stratified(labels: Ints) -> Ints:
    """At most 3,000 rows: of a random order, sorted by class, evenly spaced ones."""
    order = np.random.default_rng(_SEED).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    size = min(_MOST, len(labels))
    return order[np.arange(size) * len(labels) // max(size, 1)]
