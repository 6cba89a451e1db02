"""Fetch array artifacts of many runs in parallel, and resample their rows.

A store is not trusted: arrays are read as numbers of a bounded size, and only from the store itself.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow.exceptions import MlflowException

from elbowroom.tracking.store.addresses import elsewhere
from elbowroom.tracking.store.errors import one_line

from .. import Floats
from .comparison import LARGEST, Cell, Series

SEEDS_TO_RESAMPLE = 5  # with fewer, rows alone are resampled, and the intervals do not cover other seeds
MOST_ROWS = 1_000_000  # of an array that is resampled
LOST = "not in the store"  # why an array is missing whose file is missing
_DRAWS = 400  # bootstrap samples
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


def rows_of(series: Series, artifact: str) -> tuple[dict[int, Floats], list[int], str]:
    """Return errors by row (N,), means over seeds, by dim3; the dim3 without them, or of another N; and why."""
    arrays = fetch([c for k in series.dim3 for c in series.at(k)], artifact)
    found: dict[int, Floats] = {}
    for dim3 in series.dim3:
        mine = [arrays[c.run_id] for c in series.at(dim3)]
        good = [a for a in mine if isinstance(a, np.ndarray) and _are_errors(a)]
        if len(good) == len(mine) and len({len(a) for a in good}) == 1:
            found[dim3] = np.mean(good, axis=0, dtype=np.float64)
    lengths = [len(r) for r in found.values()]
    length = max(lengths, key=lengths.count, default=0)
    found = {k: r for k, r in found.items() if len(r) == length}
    why = next((a for a in arrays.values() if isinstance(a, str)), "unusable, no errors of as many rows")
    return found, [k for k in series.dim3 if k not in found], why


def _are_errors(rows: _Array) -> bool:
    """Whether an array holds an error for each row (N,)."""
    sized = rows.ndim == 1 and 0 < len(rows) <= MOST_ROWS
    return sized and bool(np.isfinite(rows).all() and (rows >= 0).all())


@cache
def _draws(rows: int) -> npt.NDArray[np.float32]:
    """The share of each row in each bootstrap sample, (_DRAWS, rows): the same for all arrays, which pairs them."""
    rng, each = np.random.default_rng(0), np.full(rows, 1 / rows)
    shares = np.empty((_DRAWS, rows), dtype=np.float32)
    for i in range(_DRAWS):  # row by row: all at once take three times the memory
        shares[i] = rng.multinomial(rows, each) / rows
    return shares


def redraw(rows: Floats) -> Floats:
    """Return the mean of rows (N,) in each bootstrap sample, (_DRAWS,)."""
    unit = 2.0 ** np.frexp(np.abs(rows).max(initial=0.0))[1]  # float32 does not have the range of every error
    means: Floats = (_draws(len(rows)) @ (rows / unit).astype(np.float32)).astype(float) * unit
    return means


def redrawn(series: Series, rows: Mapping[int, Floats], pick: str = "test") -> dict[int, Floats]:
    """Bootstrap the mean error of each dim3 over rows, and over seeds from SEEDS_TO_RESAMPLE on.

    Parameters
    ----------
    series
        The model's cells.
    rows
        Errors (N,) by dim3, means over seeds.
    pick
        The error of a cell: `test`, or `error` for the judged one.

    Returns
    -------
    dict
        Mean errors (_DRAWS,) by dim3.
    """
    found = {k: redraw(r) for k, r in rows.items()}
    seeds = series.seeds
    if len(seeds) >= SEEDS_TO_RESAMPLE:
        chosen = np.random.default_rng(0).integers(len(seeds), size=(_DRAWS, len(seeds)))
        errors = series.errors(pick)
        with np.errstate(divide="ignore", invalid="ignore"):  # where all errors are 0
            factors = errors[chosen].mean(axis=1) / errors.mean(axis=0)
        found = {k: found[k] * factors[:, series.dim3.index(k)] for k in found}
    return found


def interval(values: Iterable[float] | Floats) -> tuple[float, float]:
    """Return the middle 95 % of a bootstrap's values."""
    low, high = np.quantile(np.asarray(values, dtype=float), [0.025, 0.975])
    return float(low), float(high)
