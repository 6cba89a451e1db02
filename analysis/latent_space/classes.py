"""Classes among the codes: which of them overlap, and how far apart they lie; both compared between trainings.

Labels (N,) are whole numbers from 0, one for each row of the codes (N, dim3). Pairs of classes are in the order of
`combinations`, of the classes that have rows.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

_Float64s = npt.NDArray[np.float64]
_Labels = npt.NDArray[np.integer[Any]]

_FEWEST_PAIRS = 6  # of classes, of four of them, that a rank correlation needs


def class_pairs(labels: _Labels) -> list[tuple[int, int]]:
    """Return the pairs of classes that have rows."""
    return list(combinations(np.unique(labels).tolist(), 2))


def class_overlaps(neighbours: npt.NDArray[np.intp], labels: _Labels) -> _Float64s:
    """Return for each pair of classes the share of neighbours (N, k) across it, 0 where the two lie apart.

    The share of the neighbours of a row of one class that are of the other is averaged over the rows of each class,
    then over both classes: half where two classes of equal size lie on each other.
    """
    classes, numbers = np.unique(labels, return_inverse=True)
    confusion = np.zeros((len(classes), len(classes)))
    np.add.at(confusion, (numbers[:, None], numbers[neighbours]), 1)
    confusion /= confusion.sum(axis=1, keepdims=True)
    first, second = np.triu_indices(len(classes), 1)
    shares: _Float64s = (confusion[first, second] + confusion[second, first]) / 2
    return shares


def class_distances(codes: npt.NDArray[np.floating[Any]], labels: _Labels) -> _Float64s:
    """Return the distance between the mean codes of each pair of classes."""
    means = [codes[labels == c].mean(axis=0, dtype=np.float64) for c in np.unique(labels)]
    distances: _Float64s = pdist(np.array(means))
    return distances


def rank_correlation(a: _Float64s, b: _Float64s) -> float | None:
    """Return Spearman's rank correlation of two numbers of each pair of classes, in [-1, 1].

    None for fewer than four classes, and where the numbers of one are all equal. For the distances of ten classes
    placed at random in a plane 95 % of the values are from -0.32 to 0.40.
    """
    if len(a) < _FEWEST_PAIRS or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(spearmanr(a, b).statistic)
