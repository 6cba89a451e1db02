"""Fetch array artifacts of many runs in parallel, and resample their rows.

A store is not trusted: arrays are read as numbers of a bounded size, and only from the store itself.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Sequence
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
from .comparison import LARGEST, Cell

DRAWS = 400
"""Bootstrap samples."""
MOST_ROWS = 1_000_000
"""Rows of an array that is resampled."""
LOST = "not in the store"
"""Why an array is missing whose file is missing."""
_MOST_BYTES = 1 << 29  # of one array
_THREADS = 16
_NO_ARRAY = "unusable, no array of numbers"
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
    """One array, or why it can't be used."""
    place = cell.run.info.artifact_uri
    if not place:  # a row of a table
        return LOST
    if where := elsewhere(place, mlflow.get_tracking_uri()):
        return f"{LOST} but {where}"
    try:
        path = _local(place, artifact) or _downloaded(place, artifact, folder)
    except Exception as error:  # the client library of an object store raises errors of its own, or is not installed
        if isinstance(error, _NOT_FOUND) or getattr(getattr(error, "response", None), "status_code", 0) == 404:
            return LOST
        if isinstance(error, OSError):
            return f"unreadable ({type(error).__name__})"
        return f"{LOST}: {one_line(error, 200)}"
    try:
        return _read(path)
    except FileNotFoundError:
        return LOST
    except Exception as error:  # numpy may raise anything on a malformed file
        return f"unreadable ({type(error).__name__})" if isinstance(error, OSError) else _NO_ARRAY


def _read(path: str) -> _Array | str:
    """The numbers of a .npy file, or why they can't be used. Raises FileNotFoundError."""
    if not os.path.isfile(path):  # reading a pipe would block
        raise FileNotFoundError(path)
    if os.path.getsize(path) > _MOST_BYTES:
        return f"unusable, larger than {_MOST_BYTES >> 20} MB"
    mapped = np.lib.format.open_memmap(path, mode="r")  # refuses objects and truncated files
    if mapped.dtype.kind not in "fiu" or mapped.dtype.itemsize > 8:
        return f"unusable, of {mapped.dtype.name[:40]} and not of numbers"
    array: _Array = np.array(mapped, mapped.dtype.newbyteorder("="))
    known = array == array  # not nan
    largest = max(float(array.max(initial=0, where=known)), -float(array.min(initial=0, where=known)))
    if LARGEST < largest < math.inf:
        return f"unusable, with numbers up to {largest:.2g}"
    return array


def _local(artifact_uri: str, artifact: str) -> str | None:
    """The path of an artifact on this machine, None where it is not on it."""
    parts = urlsplit(artifact_uri)
    if parts.scheme not in ("", "file"):
        return None
    return os.path.join(url2pathname(parts.path) if parts.scheme else artifact_uri, artifact)


def _downloaded(artifact_uri: str, artifact: str, folder: str) -> str:
    """The path of a copy in a folder of its own, not of the run's id: in a store that may be a path."""
    mine = tempfile.mkdtemp(dir=folder)
    return str(mlflow.artifacts.download_artifacts(artifact_uri=f"{artifact_uri}/{artifact}", dst_path=mine))


@cache
def _draws(rows: int) -> npt.NDArray[np.float32]:
    """The share of each row in each bootstrap sample, (DRAWS, rows): the same for all arrays, which pairs them."""
    rng, each = np.random.default_rng(0), np.full(rows, 1 / rows)
    shares = np.empty((DRAWS, rows), dtype=np.float32)
    for i in range(DRAWS):  # row by row: all at once take three times the memory
        shares[i] = rng.multinomial(rows, each) / rows
    return shares


def redraw(rows: Floats) -> Floats:
    """Return the mean of rows (N,) in each bootstrap sample, (DRAWS,)."""
    unit = 2.0 ** np.frexp(np.abs(rows).max(initial=0.0))[1]  # float32 does not have the range of every error
    means: Floats = (_draws(len(rows)) @ (rows / unit).astype(np.float32)).astype(float) * unit
    return means


def interval(values: Iterable[float] | Floats) -> tuple[float, float]:
    """Return the middle 95 % of a bootstrap's values."""
    low, high = np.quantile(np.asarray(values, dtype=float), [0.025, 0.975])
    return float(low), float(high)
