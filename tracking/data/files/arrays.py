"""The readers of arrays: numpy's .npy and .npz, scipy's sparse .npz, and Matlab's .mat. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.io
import scipy.sparse

from ...store.errors import BadInput
from .base import Contents, Request, Table, check_memory, listed, reading, sampled

_Get = Callable[[str], npt.NDArray[Any]]

_NUMBERS = "fiub"  # kinds of numpy's types
_BESIDE = _NUMBERS + "US"
_CLASSES = "iubUS"

_ROWS = ("x", "x_train", "train_images", "data", "X", "X_train")  # names of the array with the rows
_LABELS_OF = {
    **{"x_train": "y_train", "x_test": "y_test", "train_images": "train_labels", "test_images": "test_labels"},
    **{"X_train": "y_train", "X_test": "y_test"},
}
_SPARSE = {"format", "shape", "data"}  # members that scipy.sparse.save_npz writes


def read_npy(path: Path, wanted: Request) -> Contents:
    """The rows in a .npy or .npz file, whichever it is by its content. Raises BadInput."""
    with path.open("rb") as file:
        # numpy takes any other content for a pickle, and its message says how to load that.
        head = file.read(6)
    if head.startswith(b"\x93NUMPY"):
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return Contents(_table(_of_kinds(mapped, _NUMBERS, path), {}, path, wanted))
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise BadInput(f"{path}: is no numpy file, or holds Python objects, not numbers")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        if set(archive.files) >= _SPARSE:
            return Contents(Table(dense(scipy.sparse.load_npz(path), path, wanted), pa.table({})))
        return parts_of(archive.files, lambda name: np.asarray(archive[name]), path, wanted)


def read_mat(path: Path, wanted: Request) -> Contents:
    """The rows in a Matlab file, by the names of its variables. Raises BadInput."""
    try:
        held = scipy.io.loadmat(path)
    except NotImplementedError:
        raise BadInput(f"{path}: is a Matlab file of version 7.3; save it with -v7") from None
    arrays = {name: value for name, value in held.items() if not name.startswith("__")}

    def get(name: str) -> npt.NDArray[Any]:
        found = arrays[name]
        array = dense(found, path, wanted) if scipy.sparse.issparse(found) else np.asarray(found)
        return array.T if len(array) == 1 < array.size else array  # a vector is a row in Matlab

    return parts_of(list(arrays), get, path, wanted)


def parts_of(names: Sequence[str], get: _Get, path: Path, wanted: Request) -> Contents:
    """The parts of a file that holds arrays by name: the rows, what lies beside them, and the test rows.

    Parameters
    ----------
    names
        Of all arrays.
    get
        Returns an array by its name.
    path, wanted
        The file, and what is asked of it.

    Raises
    ------
    BadInput
        Where the array with the rows is unknown, or an array that is asked for is missing or holds no numbers.
    """
    others = [name for name in names if name not in wanted.beside]
    known = [wanted.array] if wanted.array is not None else [*_ROWS]
    if wanted.test:
        known = [*map(_test_name, known), *known]
    chosen = next((name for name in known if name in others), None)
    if chosen is None and wanted.array is None and len(others) == 1:
        chosen = others[0]
    if chosen is None:
        allowed = "--array names one of them" if wanted.array is None else "--array must name one of them"
        raise BadInput(f"{path}: holds the arrays {listed(names) or 'none'}; {allowed}")

    def part(rows_name: str) -> Table:
        x = _member(get, rows_name, _NUMBERS, path)
        columns = {}
        for column in wanted.beside:
            name = _beside_name(names, rows_name, column, wanted.test or rows_name != chosen)
            if name is not None:
                columns[column] = _member(get, name, _BESIDE, path)
            elif not wanted.test and rows_name == chosen:
                raise BadInput(f"{path}: has no array {column!r}; it has: {listed(names)}")
        usual = _LABELS_OF.get(rows_name, "")
        if wanted.label_column is None and usual in names:
            with suppress(BadInput):  # the user did not ask for labels
                labels = _member(get, usual, _CLASSES, path)
                if labels.shape == x.shape[:1]:
                    columns["labels"] = labels
        return _table(x, columns, path, wanted)._replace(labels="labels" if "labels" in columns else None)

    test = _test_name(chosen)
    return Contents(part(chosen), test=part(test) if test in names and test != chosen and not wanted.test else None)


def dense(matrix: Any, path: Path, wanted: Request) -> npt.NDArray[Any]:
    """A sparse matrix as an array, its sample for --rows. Raises BadInput where it does not fit into memory."""
    rows, columns = matrix.shape
    check_memory(path, rows, columns, wanted)
    found: npt.NDArray[Any] = matrix.tocsr()[sampled(rows, wanted)].toarray()
    return found


def _table(x: npt.NDArray[Any], columns: dict[str, npt.NDArray[Any]], path: Path, wanted: Request) -> Table:
    """Rows with what lies beside them, or their sample. Raises BadInput where a length differs."""
    if x.size == 0:
        raise BadInput(f"{path}: is empty")
    if x.ndim < 2:
        raise BadInput(f"{path}: has shape {x.shape}; rows and columns are needed")
    for name, values in columns.items():
        if values.shape != x.shape[:1]:
            raise BadInput(f"{path}: has {len(x)} rows, but array {name[:40]!r} has shape {values.shape}")
    check_memory(path, len(x), x[:1].size, wanted)
    kept = sampled(len(x), wanted)
    return Table(np.array(x[kept]), pa.table({name: pa.array(values[kept]) for name, values in columns.items()}))


def _beside_name(names: Sequence[str], rows_name: str, column: str, test: bool) -> str | None:
    """The array of a name that is asked for; of test rows the test array of that name."""
    candidates = [column]
    if test:
        candidates = [_test_name(column)]
        if rows_name in _ROWS or not any(name in _ROWS for name in names):  # else `column` belongs to training rows
            candidates.append(column)
    return next((name for name in candidates if name in names), None)


def _test_name(name: str) -> str:
    """The name of the test array that belongs to `x_train`, `train_images` or `x`."""
    return name.replace("train", "test") if "train" in name else f"{name}_test"


def _member(get: _Get, name: str, kinds: str, path: Path) -> npt.NDArray[Any]:
    """An array of these kinds; bytes as text, and labels of shape (N, 1) as (N,)."""
    place = f"{path}: array {name[:40]!r}"
    with reading(place):
        array = _of_kinds(get(name), kinds, place)  # a member that is no array comes as bytes
    if kinds != _NUMBERS and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return array.astype(str) if array.dtype.kind == "S" else array


def _of_kinds(array: npt.NDArray[Any], kinds: str, place: object) -> npt.NDArray[Any]:
    if array.dtype.kind not in kinds:
        raise BadInput(
            f"{place}: holds {array.dtype.name} values; allowed: real numbers{'' if kinds == _NUMBERS else ', text'}"
        )
    return array
