"""The codes of the first test rows of each model, on the plane on which they are drawn: `project(series)`.

The runs of a comparison have one digest of the data: row i of their arrays is the same test row in all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from elbowroom.tracking.drawing import latent_plane
from elbowroom.tracking.store.names import PICTURE_SIDE, PICTURED, Artifact

from ..runs.arrays import are_labels, fetch
from ..runs.comparison import Cell, Series
from .similarity import is_constant

_MOST_DIM3 = 64  # whose codes are read
_MOST_LATENTS = 1024  # of codes whose principal axes are computed
_AT_ONCE = 8  # arrays in memory, each of all test rows
_Array = npt.NDArray[Any]


class Points(NamedTuple):
    """Codes (n, 2), or (n, 1) of one latent, and their share of the variance; 0 and None where all codes are equal."""

    codes: _Array
    share: float | None


class Projections(NamedTuple):
    """The codes of the first n test rows by label of the model and by dim3, of the first seed.

    labels (n,) are their classes, and pictures `Artifact.PICTURES`; None where the runs have none. left_out are the
    dim3 that were not read, as there are many.
    """

    labels: _Array | None
    pictures: _Array | None
    points: dict[str, dict[int, Points]]
    left_out: list[int]


def project(series: Sequence[Series], dim3: Collection[int] | None = None) -> Projections | None:
    """Return the codes at these dim3, None for all: as they are up to two latents, else on two principal axes.

    The axes are those of all test rows. None where no run has codes of at most 1,024 latents.
    """
    places = [(one, k) for one in series if one.first.digest for k in one.dim3 if k <= _MOST_LATENTS]
    every = sorted({k for _, k in places if dim3 is None or k in dim3})
    shown = every
    while len(shown) > _MOST_DIM3:
        shown = shown[::2]
    cells = [(one.label, one.at(k)[0]) for one, k in places if k in shown]
    found: list[tuple[str, int, int, Points]] = []  # label, dim3, and the number of rows
    for start in range(0, len(cells), _AT_ONCE):
        part = cells[start : start + _AT_ONCE]
        arrays = fetch([cell for _, cell in part], Artifact.CODES)
        for label, cell in part:
            codes = arrays[cell.run_id]
            if isinstance(codes, np.ndarray) and _are_codes(codes, cell.dim3):
                found.append((label, cell.dim3, len(codes), _points(codes)))
    if not found:
        return None
    counts = [count for _, _, count, _ in found]
    rows = max(counts, key=counts.count)
    points: dict[str, dict[int, Points]] = {}
    for label, k, count, each in found:
        if count == rows:
            points.setdefault(label, {})[k] = each
    labels, pictures = _of_rows([cell for _, cell in cells], rows)
    return Projections(labels, pictures, points, [k for k in every if k not in shown])


def _are_codes(array: _Array, dim3: int) -> bool:
    return array.ndim == 2 and len(array) > 1 and array.shape[1] == dim3 and bool(np.isfinite(array).all())


def _points(codes: _Array) -> Points:
    plane = latent_plane(codes)
    on_plane = codes.astype(np.float64) @ plane.axes.T
    if is_constant(codes):
        return Points(np.zeros_like(on_plane[:PICTURED]), None)
    share = float(on_plane.var(axis=0).sum() / codes.var(axis=0, dtype=np.float64).sum())
    return Points(on_plane[:PICTURED], min(share, 1.0))


def _of_rows(cells: Sequence[Cell], rows: int) -> tuple[_Array | None, _Array | None]:
    """The labels and the pictures of the first rows, from the newest run: older ones may have logged no pictures."""
    newest = max(cells, key=lambda cell: (cell.run.info.end_time or 0, cell.run_id))
    labels, pictures = (fetch([newest], artifact)[newest.run_id] for artifact in (Artifact.LABELS, Artifact.PICTURES))
    has_labels = isinstance(labels, np.ndarray) and are_labels(labels) and len(labels) == rows
    has_pictures = isinstance(pictures, np.ndarray) and _are_pictures(pictures, min(rows, PICTURED))
    return labels[:PICTURED] if has_labels else None, pictures if has_pictures else None  # type: ignore[return-value]


def _are_pictures(array: _Array, count: int) -> bool:
    drawable = array.dtype == np.uint8 and (array.ndim == 3 or (array.ndim == 4 and array.shape[3] == 3))
    return drawable and len(array) == count and array.size > 0 and max(array.shape[1:3]) <= PICTURE_SIDE
