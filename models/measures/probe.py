"""Whether the labels of rows can be read from their neighbours, as a nearest-neighbour classifier does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from ..base import Labels, Rows
from ..lazy_sklearn import sklearn
from .errors import rescaled

_ROWS = 3_000  # at most: the time grows with their square
_NEIGHBOURS = 5
_SEED = 0  # of the sample
_NOT_PROBED = -1


def neighbour_hits(x: Rows, labels: Labels) -> npt.NDArray[np.int8] | None:
    """Return 1 where the five nearest other rows of x (N, dim1) vote for a row's label, else 0: int8 (N,).

    Rows and their neighbours are a sample of at most 3,000 rows, drawn within each class in proportion to its size; the
    others have -1. Of classes with equal votes the smallest label wins. None for fewer than six rows, one class, and
    classes of fewer than two rows on average, as numbers of rows are.
    """
    sample = _stratified(labels)
    if len(sample) <= _NEIGHBOURS or not 2 <= len(np.unique(labels[sample])) <= len(sample) / 2:
        return None
    rows, own = x[sample], labels[sample]
    hits = np.full(len(labels), _NOT_PROBED, dtype=np.int8)
    # One centre and one scale for all columns change no neighbour, and keep squares in the range of float32.
    # The number of threads decides which of equally near rows is found.
    with threadpool_limits(1):
        nearest = sklearn.neighbors.KNeighborsClassifier(_NEIGHBOURS).fit(rescaled(rows, rows), own)
        hits[sample] = nearest.predict(None) == own  # None: each row by the others
    return hits


def _stratified(labels: Labels) -> npt.NDArray[np.int64]:
    """At most 3,000 rows, ascending, with each class's share of them to within one row."""
    order = np.random.default_rng(_SEED).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]  # random within a class
    _, start, inverse, size = np.unique(labels[by_class], return_index=True, return_inverse=True, return_counts=True)
    place = (np.arange(len(labels)) - start[inverse] + 0.5) / size[inverse]  # in its class, from 0 to 1
    chosen: npt.NDArray[np.int64] = np.sort(by_class[np.argsort(place, kind="stable")[:_ROWS]])
    return chosen
