"""Arrays of many runs, fetched in parallel, and the resampling of their rows.

A store is not trusted: what it gives is read as numbers of a bounded size or not at all, and asked for nowhere else.
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
from .cells import LARGEST, Cell

FETCHERS = 16
DRAWS = 400
MOST_BYTES = 1 << 29  # of one array
MOST_ROWS = 1_000_000  # of what is resampled
LOST, NO_ARRAY = "not in the store", "unusable, no array of numbers"
ABSENT = (FileNotFoundError, NotADirectoryError, MlflowException)
Array = npt.NDArray[Any]


def fetch(cells: Sequence[Cell], artifact: str) -> dict[str, Array | str]:
    """An array artifact of each cell by run id, of numbers, or why it isn't there. Nothing is unpickled.

    Raises what MLflow raises where a server is gone: that is no answer about its files.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(FETCHERS) as pool:
        arrays = list(pool.map(lambda c: _array(c, artifact, folder), cells))
    if any(isinstance(a, str) for a in arrays) and mlflow.get_tracking_uri().startswith("http"):
        mlflow.MlflowClient().search_experiments(max_results=1)
    return dict(zip([c.run_id for c in cells], arrays, strict=True))


def _array(cell: Cell, artifact: str, folder: str) -> Array | str:
    """One array, or why not."""
    place = cell.run.info.artifact_uri
    if not place:  # a row of a table
        return LOST
    if where := elsewhere(place, mlflow.get_tracking_uri()):
        return f"{LOST} but {where}"
    try:
        path = _local(place, artifact) or _downloaded(place, artifact, folder)
    except Exception as error:  # the library of a kind of address raises what it likes, or is not there
        if isinstance(error, ABSENT) or getattr(getattr(error, "response", None), "status_code", 0) == 404:
            return LOST
        if isinstance(error, OSError):
            return f"unreadable ({type(error).__name__})"
        return f"{LOST}: {one_line(error, 200)}"
    try:
        return _read(path)
    except FileNotFoundError:
        return LOST
    except Exception as error:  # a stranger's file may make numpy raise anything
        return f"unreadable ({type(error).__name__})" if isinstance(error, OSError) else NO_ARRAY


def _read(path: str) -> Array | str:
    """The numbers of a .npy file, or what it holds instead."""
    if not os.path.isfile(path):  # a pipe would be waited for
        raise FileNotFoundError(path)
    if os.path.getsize(path) > MOST_BYTES:
        return f"unusable, larger than {MOST_BYTES >> 20} MB"
    mapped = np.lib.format.open_memmap(path, mode="r")  # refuses objects, and a header that promises more than follows
    if mapped.dtype.kind not in "fiu" or mapped.dtype.itemsize > 8:
        return f"unusable, of {mapped.dtype.name[:40]} and not of numbers"
    array: Array = np.array(mapped, mapped.dtype.newbyteorder("="))
    known = array == array  # not nan
    most = max(float(array.max(initial=0, where=known)), -float(array.min(initial=0, where=known)))
    if LARGEST < most < math.inf:
        return f"unusable, with numbers up to {most:.2g}"
    return array


def _local(artifact_uri: str, artifact: str) -> str | None:
    """The path of an artifact that this machine keeps, which needs no copy; None where it is elsewhere."""
    parts = urlsplit(artifact_uri)
    if parts.scheme not in ("", "file"):
        return None
    return os.path.join(url2pathname(parts.path) if parts.scheme else artifact_uri, artifact)


def _downloaded(artifact_uri: str, artifact: str, folder: str) -> str:
    """The path of a copy, in a folder of its own: a run's id is the store's word, and may be a path."""
    mine = tempfile.mkdtemp(dir=folder)
    return str(mlflow.artifacts.download_artifacts(artifact_uri=f"{artifact_uri}/{artifact}", dst_path=mine))


@cache
def draws(rows: int) -> npt.NDArray[np.float32]:
    """How often each row is drawn, as shares (DRAWS, rows): one bootstrap for all, so that everything is paired."""
    rng, each = np.random.default_rng(0), np.full(rows, 1 / rows)
    shares = np.empty((DRAWS, rows), dtype=np.float32)
    for i in range(DRAWS):  # one by one: in float64 all of them take three times the memory
        shares[i] = rng.multinomial(rows, each) / rows
    return shares


def redraw(rows: Floats) -> Floats:
    """The mean of rows (N,) in each bootstrap, (DRAWS,)."""
    unit = 2.0 ** np.frexp(np.abs(rows).max(initial=0.0))[1]  # float32 does not hold every error
    means: Floats = (draws(len(rows)) @ (rows / unit).astype(np.float32)).astype(float) * unit
    return means


def interval(values: Iterable[float] | Floats) -> tuple[float, float]:
    """The middle 95 % of a bootstrap's values."""
    low, high = np.quantile(np.asarray(values, dtype=float), [0.025, 0.975])
    return float(low), float(high)
