"""The reader of numpy's files, .npy and .npz. Nothing is unpickled."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...store.errors import BadInput
from .base import Request, Table, checked_table, listed, reading

_Archive = np.lib.npyio.NpzFile

_NUMBERS = "fiub"  # kinds of numpy's types
_LABELS = _NUMBERS + "US"
_CLASSES = "iubUS"

_ROWS = ("x", "x_train", "train_images", "data")  # names of the array with the rows
_LABELS_OF = {"x_train": "y_train", "x_test": "y_test", "train_images": "train_labels", "test_images": "test_labels"}


def read_arrays(path: Path, wanted: Request) -> Table:
    """The rows in a .npy or .npz file, whichever it is by its content. Raises BadInput.

    Of a .npz: the first array of `_ROWS` or the only array; as test rows the test array that belongs to it, if there
    is one. The labels are in the array `label_column`, else in the one that usually belongs to the rows.
    """
    with path.open("rb") as file:
        # numpy takes any other content for a pickle, and its message says how to load that.
        if not file.peek().startswith((b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")):
            raise BadInput(f"{path}: is no numpy file, or holds Python objects, not numbers")
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            if wanted.label_column is not None and not wanted.test:
                raise BadInput(
                    f"{path}: a .npy file has no columns by name; label_column goes with .csv, .parquet and .npz"
                )
            return checked_table(_of_kinds(loaded, _NUMBERS, path), None, path)
        candidates = [name for name in loaded.files if name != wanted.label_column]
        known = (*map(_test_name, _ROWS), *_ROWS) if wanted.test else _ROWS
        chosen = next((n for n in known if n in candidates), candidates[0] if len(candidates) == 1 else None)
        if chosen is None:
            held = listed(loaded.files) or "none"
            raise BadInput(f"{path}: holds the arrays {held}; allowed: {', '.join(_ROWS)}, or one array alone")
        x = _member(loaded, chosen, _NUMBERS, path)
        name = _labels_name(loaded.files, chosen, wanted, path)
        labels = None
        if wanted.label_column is not None and name is not None:
            labels = _member(loaded, name, _LABELS, path)
        elif name is not None:
            with suppress(BadInput):  # the user did not ask for labels
                usual = _member(loaded, name, _CLASSES, path)
                labels = usual if usual.shape == x.shape[:1] else None
        return checked_table(x, labels, path)._replace(has_test=_test_name(chosen) in loaded.files)


def _labels_name(names: list[str], rows_name: str, wanted: Request, path: Path) -> str | None:
    """The array with the labels: `label_column`, of test rows its test array, else the one that usually has them."""
    column = wanted.label_column
    if column is None:
        candidates = [_LABELS_OF.get(rows_name, "")]
    elif wanted.test:
        candidates = [_test_name(column)]
        if rows_name in _ROWS or not any(name in _ROWS for name in names):  # else `column` belongs to training rows
            candidates.append(column)
    elif column in names:
        return column
    else:
        raise BadInput(f"{path}: has no array {column!r}; it has: {listed(names)}")
    return next((name for name in candidates if name in names), None)


def _test_name(name: str) -> str:
    """The name of the test array that belongs to `x_train`, `train_images` or `x`."""
    return name.replace("train", "test") if "train" in name else f"{name}_test"


def _member(archive: _Archive, name: str, kinds: str, path: Path) -> npt.NDArray[Any]:
    """An array of these kinds; bytes as text, and labels of shape (N, 1) as (N,)."""
    place = f"{path}: array {name[:40]!r}"
    with reading(place):
        array = _of_kinds(np.asarray(archive[name]), kinds, place)  # a member that is no array comes as bytes
    if kinds != _NUMBERS and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return array.astype(str) if array.dtype.kind == "S" else array


def _of_kinds(array: npt.NDArray[Any], kinds: str, place: object) -> npt.NDArray[Any]:
    if array.dtype.kind not in kinds:
        raise BadInput(
            f"{place}: holds {array.dtype.name} values; allowed: real numbers{'' if kinds == _NUMBERS else ', text'}"
        )
    return array
