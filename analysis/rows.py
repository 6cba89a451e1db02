"""Arrays of many runs, fetched in parallel, and the resampling of their rows."""

from __future__ import annotations

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

from .shapes import Floats
from .store import Cell

FETCHERS = 16
DRAWS = 400
Array = npt.NDArray[Any]


def fetch(cells: Sequence[Cell], artifact: str) -> dict[str, Array | str]:
    """An array artifact of each cell by run id, or why it isn't there. Nothing is unpickled.

    Raises what MLflow raises where a server is gone: that is no answer about its files.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(FETCHERS) as pool:
        arrays = list(pool.map(lambda c: _array(c, artifact, folder), cells))
    if any(isinstance(a, str) for a in arrays) and mlflow.get_tracking_uri().startswith("http"):
        mlflow.MlflowClient().search_experiments(max_results=1)
    return dict(zip([c.run_id for c in cells], arrays, strict=True))


def _array(cell: Cell, artifact: str, folder: str) -> Array | str:
    """One array, or why not."""
    if not cell.run.info.artifact_uri:  # a row of a table
        return "not in the store"
    try:
        path = _local(cell.run.info.artifact_uri, artifact) or _downloaded(cell, artifact, folder)
        array: Array = np.load(path, allow_pickle=False)
        return array
    except (OSError, ValueError, EOFError, MlflowException) as error:
        lost = isinstance(error, (FileNotFoundError, MlflowException))
        return "not in the store" if lost else f"{type(error).__name__}"


def _local(artifact_uri: str, artifact: str) -> str | None:
    """The path of an artifact that this machine keeps, which needs no copy; None where it is elsewhere."""
    parts = urlsplit(artifact_uri)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    return os.path.join(url2pathname(parts.path) if parts.scheme else artifact_uri, artifact)


def _downloaded(cell: Cell, artifact: str, folder: str) -> str:
    """The path of a copy."""
    place = f"{cell.run.info.artifact_uri}/{artifact}"
    return str(
        mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=_made(os.path.join(folder, cell.run_id)))
    )


def _made(folder: str) -> str:
    os.makedirs(folder, exist_ok=True)
    return folder


@cache
def draws(rows: int) -> npt.NDArray[np.float32]:
    """How often each row is drawn, as shares (DRAWS, rows): one bootstrap for all, so that everything is paired."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(rows, np.full(rows, 1 / rows), size=DRAWS)
    shares: npt.NDArray[np.float32] = (counts / rows).astype(np.float32)
    return shares


def interval(values: Iterable[float] | Floats) -> tuple[float, float]:
    """The middle 95 % of a bootstrap's values."""
    low, high = np.quantile(np.asarray(values, dtype=float), [0.025, 0.975])
    return float(low), float(high)
