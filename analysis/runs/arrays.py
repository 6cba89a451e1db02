"""Fetch array artifacts of many runs in parallel.

A store is not trusted: arrays are read as numbers of a bounded size, and only from the store itself.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow.exceptions import MlflowException

from elbowroom.tracking.store.addresses import elsewhere
from elbowroom.tracking.store.errors import one_line
from elbowroom.tracking.store.names import Artifact

from ..purposes.choice import Held
from .comparison import LARGEST, Cell, Series

MOST_ROWS = 1_000_000  # of an array
LOST = "not in the store"  # why an array is missing whose file is missing
_MOST_CLASSES = 10_000
_MOST_BYTES = 1 << 29  # of one array
_THREADS = 16
_NOT_FOUND = (FileNotFoundError, NotADirectoryError, MlflowException)
_Array = npt.NDArray[Any]


def fetch(cells: Sequence[Cell], artifact: str) -> dict[str, _Array | str]:
    """Return an array artifact of each cell by run id, or the reason why it can't be used. Nothing is unpickled.

    Raises what MLflow raises where the server does not answer.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_THREADS) as pool:
        arrays = list(pool.map(lambda c: _array(c, artifact, folder), cells))
    if any(isinstance(a, str) for a in arrays) and mlflow.get_tracking_uri().startswith("http"):  # is it up?
        mlflow.MlflowClient().search_experiments(max_results=1)
    return dict(zip([c.run_id for c in cells], arrays, strict=True))


def _array(cell: Cell, artifact: str, folder: str) -> _Array | str:
    place = cell.run.info.artifact_uri
    if not place:  # a row of a table
        return LOST
    if where := elsewhere(place, mlflow.get_tracking_uri()):
        return f"{LOST} but {where}"
    try:
        return _read(_path(place, artifact, folder))
    except Exception as error:  # the client library of an object store raises errors of its own, or is not installed
        if isinstance(error, _NOT_FOUND) or getattr(getattr(error, "response", None), "status_code", 0) == 404:
            return LOST
        return (
            f"unreadable ({type(error).__name__})" if isinstance(error, OSError) else f"{LOST}: {one_line(error, 200)}"
        )


def _path(artifact_uri: str, artifact: str, folder: str) -> str:
    """The path of an artifact on this machine, or of a copy in the folder."""
    parts = urlsplit(artifact_uri)
    if parts.scheme in ("", "file"):
        return os.path.join(url2pathname(parts.path) if parts.scheme else artifact_uri, artifact)
    mine = tempfile.mkdtemp(dir=folder)  # not called like the run: in a store that may be a path
    return str(mlflow.artifacts.download_artifacts(artifact_uri=f"{artifact_uri}/{artifact}", dst_path=mine))


def _read(path: str) -> _Array | str:
    """The numbers of a .npy file, or why they can't be used. Raises OSError."""
    if not os.path.isfile(path):  # reading a pipe would block
        raise FileNotFoundError(path)
    if os.path.getsize(path) > _MOST_BYTES:
        return f"unusable, larger than {_MOST_BYTES >> 20} MB"
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")  # refuses objects and truncated files
    except OSError:
        raise
    except Exception:  # numpy may raise anything on a malformed file
        return "unusable, no array of numbers"
    if mapped.dtype.kind not in "fiu" or mapped.dtype.itemsize > 8:
        return f"unusable, of {mapped.dtype.name[:40]} and not of numbers"
    array: _Array = np.array(mapped, mapped.dtype.newbyteorder("="))
    known = array == array  # not nan
    largest = max(float(array.max(initial=0, where=known)), -float(array.min(initial=0, where=known)))
    if LARGEST < largest < math.inf:
        return f"unusable, with numbers up to {largest:.2g}"
    return array


class Examples(NamedTuple):
    """Test rows (n, dim1); and by label of the model and by dim3 their reconstructions (n, dim1), of the first seed."""

    image_shape: tuple[int, ...] | None
    originals: _Array
    made: dict[str, dict[int, _Array]]


def examples(series: Sequence[Series], dim3: Collection[int] | None = None) -> Examples | None:
    """Return the test rows that the runs keep with their reconstructions, at these dim3, None for all; or None."""
    cells = {
        (one.label, k): one.at(k)[0]
        for one in series
        if one.first.digest
        for k in one.dim3
        if dim3 is None or k in dim3
    }
    if not cells:
        return None
    first = next(iter(cells.values()))
    originals = fetch([first], Artifact.ORIGINALS)[first.run_id]
    if isinstance(originals, str) or originals.ndim != 2 or not originals.size or not np.isfinite(originals).all():
        return None
    arrays = fetch(list(cells.values()), Artifact.RECONSTRUCTIONS)
    made: dict[str, dict[int, _Array]] = {}
    for (label, k), cell in cells.items():
        array = arrays[cell.run_id]
        if isinstance(array, np.ndarray) and array.shape == originals.shape:
            made.setdefault(label, {})[k] = array
    return Examples(first.image_shape, originals, made) if made else None


def rows_of(series: Series, artifact: str, *, signed: bool = False) -> tuple[dict[int, Held], list[int], str]:
    """Return the errors of each dim3 by row and by seed; the dim3 without them, or of another N; and why.

    Parameters
    ----------
    series, artifact
        The cells, and the array (N,) of each.
    signed
        Whether values may be negative, as errors are not.
    """
    arrays = fetch(series.every_cell, artifact)
    found: dict[int, Held] = {}
    for dim3 in series.dim3:
        mine = [arrays[c.run_id] for c in series.at(dim3)]
        good = [a for a in mine if isinstance(a, np.ndarray) and _are_of_rows(a, signed=signed)]
        if len(good) == len(mine) and len({len(a) for a in good}) == 1:
            seeds = np.array([a.mean(dtype=np.float64) for a in good])
            found[dim3] = Held(np.mean(good, axis=0, dtype=np.float64), seeds)
    lengths = [len(held.rows) for held in found.values()]
    length = max(lengths, key=lengths.count, default=0)
    found = {k: held for k, held in found.items() if len(held.rows) == length}
    why = next(
        (a for a in arrays.values() if isinstance(a, str)), "unusable, a single row or not as many rows as others"
    )
    return found, [k for k in series.dim3 if k not in found], why


def _are_of_rows(rows: _Array, *, signed: bool) -> bool:
    """Whether an array holds a number, or an error, for each row (N,)."""
    sized = rows.ndim == 1 and 1 < len(rows) <= MOST_ROWS  # one row has no interval
    return sized and bool(np.isfinite(rows).all() and (signed or (rows >= 0).all()))


def are_labels(array: _Array) -> bool:
    """Return whether an array has a class, a whole number from 0, for each row."""
    if array.ndim != 1 or not 0 < len(array) <= MOST_ROWS or array.dtype.kind not in "iu":
        return False
    return bool(array.min() >= 0 and array.max() < _MOST_CLASSES)
