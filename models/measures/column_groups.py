"""Groups of columns to hide, by chance, and columns that are copies of each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..base import Array

_GROUPS, _GROUPS_OF_FEW, _FEW = 5, 10, 40  # of columns; 5 noisy factors of 15: exact in 92 % of draws, not 87 %
GROUPINGS = 4
CORRELATED_ROWS, _VALUES = 5_000, 4_000_000  # at most, the first rows; fewer where D > 800
_BLOCK = 1_000  # columns at a time: all correlations of 10,000 columns are 400 MB
_COPY = 0.95  # a larger absolute correlation makes one column a copy of another
_SEED = 0

Groups = npt.NDArray[np.intp]


def group_columns(x: Array) -> tuple[list[Groups], int]:
    """Group the columns four times, and count those that have a copy.

    Two groupings are random. In the two others a column and the one that it correlates with most, where that is mutual,
    are in one group: hidden together, they do not predict each other. A factor of two columns is not identified.

    Parameters
    ----------
    x : (N, D)
        Standardised rows, of which the first 5,000 are used.

    Returns
    -------
    tuple
        The number of its group, from 0, of each column, (D,), in each grouping: 5 groups, 10 of fewer than 40 columns;
        how many columns correlate above 0.95 with another.
    """
    x = x[: min(CORRELATED_ROWS, _VALUES // x.shape[1])]
    own = np.arange(x.shape[1])
    twins, largest = np.empty_like(own), np.empty(len(own))
    for block in np.split(own, own[_BLOCK::_BLOCK]):
        r = np.abs(x[:, block].T @ x) / len(x)
        r[np.arange(len(block)), block] = 0
        twins[block], largest[block] = r.argmax(axis=1), r.max(axis=1)
    pairs = np.where(twins[twins] == own, np.minimum(twins, own), own)  # one number for both columns of a pair
    groupings = [_group(pairs if i % 2 else own, np.random.default_rng([_SEED, i])) for i in range(GROUPINGS)]
    return groupings, int((largest > _COPY).sum())


def _group(units: Groups, rng: np.random.Generator) -> Groups:
    """Groups (D,) of about equal size; columns of one unit, (D,), are in one group."""
    found, unit, size = np.unique(units, return_inverse=True, return_counts=True)
    order = rng.permutation(len(found))
    order = order[np.argsort(-size[order], kind="stable")]  # pairs first, so that no group gets many
    groups = np.empty_like(found)
    groups[order] = np.arange(len(found)) % (_GROUPS_OF_FEW if len(units) < _FEW else _GROUPS)
    return groups[unit]
