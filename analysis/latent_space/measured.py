"""The measured runs that the assignment shows, their arrays, and their codes with the nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import Artifact, Metric

from ..runs.arrays import LOST, MOST_ROWS, fetch
from ..runs.comparison import Cell, Comparison, Series, is_measured
from .similarity import is_constant, neighbour_accuracy, neighbours

NEIGHBOURS = 10
"""Nearest neighbours of a code that are compared, and that vote for its class."""
_SECOND_FIT = "another exact program"  # the name of PCA's second fit among the runs
_MOST_CLASSES = 10_000
_MOST_NEIGHBOUR_ROWS = 50_000  # codes whose neighbours are searched, each row against each
_Array = npt.NDArray[Any]


class Group(NamedTuple):
    """The measured runs of one series at one dim3, by seed."""

    series: Series
    dim3: int
    cells: list[Cell]

    @property
    def label(self) -> str:
        """The label of the series."""
        return self.series.label

    @property
    def is_pca(self) -> bool:
        """Whether the codes are PCA scores, of which there is a second fit."""
        return self.series.model == "pca"

    @property
    def has_posterior(self) -> bool:
        """Whether a code is a distribution."""
        return all(c.metric(Metric.SAMPLED_MSE) is not None for c in self.cells)


def measured(comparison: Comparison, shown: Sequence[int]) -> list[Group]:
    """Return the measured runs of each series at each dim3 that is shown, without empty groups."""
    groups = []
    for series in comparison.series:
        for dim3 in shown:
            cells = [c for _, c in sorted(series.cells.get(dim3, {}).items()) if is_measured(c)]
            if cells:
                groups.append(Group(series, dim3, cells))
    return groups


def check_same_rows(cells: Sequence[Cell]) -> None:
    """Raise BadInput unless the digests of all runs say that they have the same rows in the same order."""
    digests = dict.fromkeys(c.digest for c in cells)
    if len(digests) > 1 or "" in digests:
        named = " and ".join(d or "no digest" for d in list(digests)[:3])
        raise BadInput(f"codes of other test rows can't be compared: {named}; allowed: runs of the same data")


class Shelf:
    """A cache of the arrays of runs. `notes` names each array that is missing or unusable, which is None then."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._arrays: dict[tuple[str, str], _Array | None] = {}
        self._labels: tuple[set[str], _Array | None] | None = None

    def take(self, cells: Sequence[Cell], artifact: str, ndim: int, most: int = MOST_ROWS) -> list[_Array | None]:
        """Return an array of each cell.

        Parameters
        ----------
        cells
            The runs.
        artifact
            Path of the array.
        ndim
            Number of its axes; others are unusable, as are numbers that are not finite.
        most
            Length of each axis but the last, or of the only one.
        """
        new = [c for c in cells if (c.run_id, artifact) not in self._arrays]
        for cell, found in zip(new, fetch(new, artifact).values(), strict=True):
            why = found if isinstance(found, str) else _unusable(found, ndim, most)
            if why:
                self._note(cell, artifact, why)
            self._arrays[cell.run_id, artifact] = None if why else np.asarray(found)
        return [self._arrays[c.run_id, artifact] for c in cells]

    def one(self, cell: Cell, artifact: str, ndim: int, most: int = MOST_ROWS) -> _Array | None:
        """Return the array of one cell, as `take` does."""
        return self.take([cell], artifact, ndim, most)[0]

    def codes(self, cells: Sequence[Cell], artifact: str) -> list[_Array | None]:
        """Return the codes (N, dim3) of each cell."""
        found = self.take(cells, artifact, 2)
        for i, (cell, codes) in enumerate(zip(cells, found, strict=True)):
            if codes is not None and codes.shape[1] != cell.dim3:
                self._note(cell, artifact, f"unusable, of shape {codes.shape} where dim3 is {cell.dim3}")
                self._arrays[cell.run_id, artifact] = found[i] = None
        return found

    def labels(self, cells: Sequence[Cell]) -> _Array | None:
        """Return the classes of the test rows, whole numbers from 0, of the first run that has them; None without.

        Runs that lack them, or have others, are named where another run has them.
        """
        by_id = {c.run_id: c for c in cells}
        if self._labels is None or not by_id.keys() <= self._labels[0]:
            self._labels = set(by_id), self._common_labels(list(by_id.values()))
        return self._labels[1]

    def _common_labels(self, cells: Sequence[Cell]) -> _Array | None:
        found = fetch(cells, Artifact.LABELS)
        known = {k: a.astype(np.int64) for k, a in found.items() if isinstance(a, np.ndarray) and _are_labels(a)}
        first = next(iter(known.values()), None)
        for cell in cells:
            raw, mine = found[cell.run_id], known.get(cell.run_id)
            if mine is None and (first is not None or isinstance(raw, np.ndarray) or raw != LOST):
                self._note(cell, Artifact.LABELS, raw if isinstance(raw, str) else "unusable, no classes")
            elif mine is not None and first is not None and not np.array_equal(mine, first):
                self._note(cell, Artifact.LABELS, "not what other runs of these rows say, and not used")
        return first

    def _note(self, cell: Cell, artifact: str, why: str) -> None:
        self.notes.append(f"{cell.name} (run {cell.run_id}): {artifact} is {why}")


class Codes:
    """The codes (N, dim3) of a group's runs and of PCA's second fit, by name, with their nearest neighbours.

    collapsed names runs of constant codes; labels are the classes of the rows, or None; correct says for each other run
    whether the vote of a row's neighbours gives its class, (N,).
    """

    def __init__(self, group: Group, shelf: Shelf, labels: _Array | None) -> None:
        names = {c.run_id: "scikit-learn" if group.is_pca else f"seed {c.seed}" for c in group.cells}
        arrays = zip(group.cells, shelf.codes(group.cells, Artifact.CODES), strict=True)
        self.by_name = {names[c.run_id]: a for c, a in arrays if a is not None}
        if group.is_pca:
            (second,) = shelf.codes(group.cells[:1], Artifact.CODES_REFIT)
            self.by_name |= {} if second is None else {_SECOND_FIT: second}
        lengths = [len(a) for a in self.by_name.values()]
        for name in [n for n, a in self.by_name.items() if len(a) != max(lengths, key=lengths.count)]:
            shelf.notes.append(f"{group.label} at dim3 {group.dim3}, {name}: its codes are of another number of rows")
            del self.by_name[name]
        rows = {len(a) for a in self.by_name.values()}
        self.labels = labels if labels is not None and {len(labels)} == rows else None
        searched = {n: a for n, a in self.by_name.items() if NEIGHBOURS < len(a) <= _MOST_NEIGHBOUR_ROWS}
        self.neighbours = {n: neighbours(a, NEIGHBOURS) for n, a in searched.items()}
        self.collapsed = [n for n, a in self.by_name.items() if is_constant(a)]
        self.correct = {
            n: neighbour_accuracy(found, self.labels)
            for n, found in self.neighbours.items()
            if self.labels is not None and n not in self.collapsed and n != _SECOND_FIT
        }


def _unusable(array: _Array, ndim: int, most: int) -> str:
    if array.ndim != ndim or not array.size or max(array.shape[:-1], default=len(array)) > most:
        return f"unusable, of shape {array.shape}"
    return "" if np.isfinite(array).all() else "not finite"


def _are_labels(array: _Array) -> bool:
    """Whether an array has a class for each row."""
    if array.ndim != 1 or not 0 < len(array) <= MOST_ROWS or array.dtype.kind not in "iu":
        return False
    return bool(array.min() >= 0 and array.max() < _MOST_CLASSES)
