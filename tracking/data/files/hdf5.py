"""The readers of HDF5: .h5 files with arrays by name, and .h5ad, the cells and genes of anndata.

The package anndata itself needs pandas below 3 on Python 3.11, so this reads its format by h5py:
https://anndata.readthedocs.io/en/stable/fileformat-prose.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.sparse

from ...store.errors import BadInput
from .arrays import dense, parts_of
from .base import Contents, Request, Table, check_memory, listed, required, sampled


def read_h5(path: Path, wanted: Request) -> Contents:
    """The arrays of an HDF5 file by their paths in it. Raises BadInput."""
    h5py = required("h5py", "bio", path)
    with h5py.File(path) as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        return parts_of(names, lambda name: _array(file[name]), path, wanted)


def read_h5ad(path: Path, wanted: Request) -> Contents:
    """The cells of an .h5ad file as rows: X, or the layer `array`, with the columns of obs beside. Raises BadInput."""
    with required("h5py", "bio", path).File(path) as file:
        layers = list(file.get("layers", {}))
        if wanted.array is not None and wanted.array not in layers:
            raise BadInput(f"{path}: has no layer {wanted.array!r}; it has: {listed(layers) or 'none'}, or auto: X")
        place = "X" if wanted.array is None else f"layers/{wanted.array}"
        if place not in file:
            raise BadInput(f"{path}: has no X; its layers: {listed(layers) or 'none'}")
        held = file[place]
        if hasattr(held, "shape"):
            check_memory(path, len(held), held.shape[1], wanted)
            x = held[sampled(len(held), wanted)]
        else:
            kind = scipy.sparse.csr_matrix if held.attrs["encoding-type"] == "csr_matrix" else scipy.sparse.csc_matrix
            parts = tuple(held[part][:] for part in ("data", "indices", "indptr"))
            x = dense(kind(parts, shape=tuple(held.attrs["shape"])), path, wanted)
        obs = file.get("obs", {})
        kept = sampled(len(obs[obs.attrs["_index"]]), wanted) if obs else slice(None)
        columns = {name: pa.array(_obs_column(obs[name])[kept]) for name in obs if name != "__categories"}
        return Contents(Table(x, pa.table(columns)))


def _obs_column(held: Any) -> npt.NDArray[Any]:
    """A column of obs: an array, or categories with codes, where -1 is a gap."""
    if hasattr(held, "shape"):
        return _array(held)
    if "codes" not in held:
        values, gaps = _array(held["values"]).astype(object), _array(held["mask"])
    else:
        codes: npt.NDArray[Any] = held["codes"][:]
        values, gaps = _array(held["categories"]).astype(object)[codes], codes < 0
    values[gaps] = None
    return values


def _array(held: Any) -> npt.NDArray[Any]:
    """A data set of HDF5 as an array; text as str."""
    kind = held.dtype.kind
    found: npt.NDArray[Any] = np.asarray(held.asstr()[()] if kind == "O" else held[()], str if kind in "OS" else None)
    return found
