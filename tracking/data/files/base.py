"""The result of each reader: rows of finite numbers. Whatever is wrong with a file becomes one line of BadInput."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...store.errors import BadInput

_EXACT = 2**24  # float32 holds every whole number up to it
_LARGEST = float(np.finfo(np.float32).max) / 2**12  # leaves room for scores, sums over a row, a decoder's overshoot
_SMALLEST = float(np.finfo(np.float32).tiny) * 128  # below it float32 loses digits


class Table(NamedTuple):
    """Rows x (N, dim1) as read, labels y (N,) of any kind, the shape of a picture, the names of the columns.

    x is uint8 where the file holds 8-bit numbers, else float32 where that holds every digit, else float64.
    `has_test`: the file has test rows too.
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[Any] | None
    image_shape: tuple[int, ...] | None
    from_pictures: bool = False
    names: tuple[str, ...] | None = None
    has_test: bool = False


class Request(NamedTuple):
    """The parts of a file to read: the labels, which test rows may lack, whether line 1 is a header, and which rows."""

    label_column: str | None = None
    header: str = "auto"
    test: bool = False


@contextmanager
def reading(place: object) -> Iterator[None]:
    """Turn every exception of the libraries into BadInput: a file that was cut or has flipped bits may raise any."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except BadInput:
        raise
    except Exception as error:
        text = (error.strerror if isinstance(error, OSError) else None) or str(error).strip() or type(error).__name__
        raise BadInput(f"{place}: could not be read: {text.splitlines()[0]}") from error


def checked_table(array: npt.NDArray[Any], labels: npt.NDArray[Any] | None, path: Path) -> Table:
    """Rows of numbers from an array of any shape.

    Parameters
    ----------
    array : array of real numbers
        (N, dim1); or pictures, (N, height, width), (N, height, width, 1 or 3) or (N, 1 or 3, height, width).
    labels : array (N,) or None
        Numbers or text.
    path : Path
        Named in the error messages.

    Returns
    -------
    Table
        With all numbers finite and small enough for float32.

    Raises
    ------
    BadInput
        With fewer than two rows, a number that is not finite, rows that are all equal, or labels that do not fit.
    """
    if array.size == 0:
        raise BadInput(f"{path}: is empty")
    if array.ndim < 2:
        raise BadInput(f"{path}: has shape {array.shape}; rows and columns are needed")
    if len(array) < 2:
        raise BadInput(f"{path}: has one row; more are needed")
    image_shape = None
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
        array = np.moveaxis(array, 1, 3)  # channels first, as torch stores pictures
    if array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3)):
        image_shape = array.shape[1:] if array.shape[3:] == (3,) else array.shape[1:3]
    x = np.ascontiguousarray(array.reshape(len(array), -1))
    if x.dtype != np.uint8:
        x = _as_float(x, path)
    if (x == x[0]).all():
        raise BadInput(f"{path}: all {len(x)} rows are the same")
    if np.ptp(x, axis=0).max() < _SMALLEST:
        raise BadInput(
            f"{path}: no column varies by {_SMALLEST:.2g}, which is too little for 32 bits; use another unit"
        )
    if labels is not None:
        if labels.shape != (len(x),):
            raise BadInput(f"{path}: has {len(x)} rows, but labels of shape {labels.shape}")
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise BadInput(f"{path}: the label of row {int(np.isfinite(labels).argmin()) + 1} is not a finite number")
    return Table(x, labels, image_shape)


def _as_float(x: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """x (N, dim1) as float32 where that holds every digit, else as float64. Raises BadInput."""
    whole = x.dtype.kind in "iu" and max(-int(x.min()), int(x.max())) <= _EXACT
    float32 = whole or np.result_type(x.dtype, np.float32) == np.float32
    rows = x.astype(np.float32 if float32 else np.float64, copy=False)
    allowed = np.abs(rows) <= _LARGEST  # False for nan
    if not allowed.all():
        row, column = (int(i) for i in np.argwhere(~allowed)[0])
        value = x[row, column]
        fault = f"larger than {_LARGEST:.2g}" if np.isfinite(value) else "not a finite number"
        raise BadInput(f"{path}: row {row + 1}, column {column + 1} is {fault}: {value}")
    return rows


def listed(names: Sequence[str], most: int = 12) -> str:
    """The first names, each cut to 40 letters, and how many more there are."""
    return ", ".join(n[:40] for n in names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
