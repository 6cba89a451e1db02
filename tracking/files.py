"""Data of one's own: a .npy, .npz, .csv or .parquet file, or a folder of images, as rows of float32.

Every reader refuses what it can't turn into finite numbers, with one line that names the place. Nothing
is unpickled.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv
from PIL import Image, UnidentifiedImageError

from models import Array

from .config import BadInput

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
EIGHT_BIT = "divided by 255 (8-bit numbers)"
AS_READ = "none"

# What numpy raises for a file that was cut, has flipped bits, or is something else.
DAMAGED = (ValueError, EOFError, RuntimeError, MemoryError, BadZipFile, TokenError, zlib.error)


class Table(NamedTuple):
    """Rows x (N, dim1), labels y (N,) of any kind or None, the shape of a picture or None, the scaling."""

    x: Array
    y: npt.NDArray[Any] | None
    image_shape: tuple[int, ...] | None
    scaling: str


def load_table(path: Path, label_column: str = "none") -> Table:
    """Read one file or folder; 8-bit numbers are divided by 255, all others are taken as they are.

    Arrays of (N, height, width) or (N, height, width, 3) are pictures, one a row. Raises BadInput.
    """
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder")
    if path.is_dir():
        if label_column != "none":
            raise BadInput(f"{path}: a folder has no columns; its images are labelled by the subfolders they are in")
        return _images(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise BadInput(f"{path}: can't read {path.suffix or 'a file without a suffix'}; allowed: {', '.join(READERS)}")
    try:
        return reader(path, None if label_column == "none" else label_column)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or _first_line(error)}") from error


def _npy(path: Path, label_column: str | None) -> Table:
    if label_column is not None:
        raise BadInput(f"{path}: a .npy file has no columns by name; label_column goes with .csv, .parquet and .npz")
    with path.open("rb") as file:
        array = _load(file, path)
    if not isinstance(array, np.ndarray):
        raise BadInput(f"{path}: is a .npz file by its content; rename it")
    return _table(array, None, path)


def _npz(path: Path, label_column: str | None) -> Table:
    """`x`, `x_train` or `data`, or the only array there is; labels in the array that label_column names."""
    with path.open("rb") as file:
        archive = _load(file, path)
        if isinstance(archive, np.ndarray):
            raise BadInput(f"{path}: is a .npy file by its content; rename it")
        names = list(archive)
        others = [n for n in names if n != label_column]
        chosen = next((n for n in ("x", "x_train", "data") if n in others), others[0] if len(others) == 1 else None)
        if chosen is None:
            raise BadInput(
                f"{path}: holds the arrays {_some(names) or 'none'}; allowed: x, x_train or data, or one array alone"
            )
        if label_column is not None and label_column not in names:
            raise BadInput(f"{path}: has no array {label_column!r}; it has: {_some(names)}")
        labels = None if label_column is None else _member(archive, label_column, path)
        return _table(_member(archive, chosen, path), labels, path)


def _load(file: BinaryIO, path: Path) -> Any:
    try:
        return np.load(file, allow_pickle=False)
    except DAMAGED as error:
        raise BadInput(f"{path}: {_why(error)}") from error


def _member(archive: Any, name: str, path: Path) -> Any:
    try:
        return archive[name]
    except DAMAGED as error:
        raise BadInput(f"{path}: array {name!r}: {_why(error)}") from error


def _why(error: Exception) -> str:
    """Numpy's message for a pickled array advises to unpickle it; say what is wrong instead."""
    text = _first_line(error)
    return "holds Python objects, not numbers, or is no numpy file" if "pickle" in text else text


def _csv(path: Path, label_column: str | None) -> Table:
    """Arrow's reader: it refuses rows of different lengths, which pandas fills up or cuts in silence.

    A first line of numbers is a row, unless it is 0,1,2,…: so pandas heads columns without names.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = next(csv.reader(file), [])
        counted = len(first) > 2 and first == [str(i) for i in range(len(first))]
        unnamed = bool(first) and all(_is_number(cell) for cell in first) and not counted
        # In one thread: with more, the reader does not say which row is too short or too long.
        options = arrow_csv.ReadOptions(use_threads=False, autogenerate_column_names=unnamed)
        frame = arrow_csv.read_csv(path, read_options=options).to_pandas()
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: {_first_line(error)}") from error
    return _frame(frame, label_column, path)


def _parquet(path: Path, label_column: str | None) -> Table:
    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise BadInput(f"{path}: {_first_line(error)}") from error
    return _frame(frame, label_column, path)


def _frame(frame: pd.DataFrame, label_column: str | None, path: Path) -> Table:
    if len(frame) == 0:
        raise BadInput(f"{path}: has a header and no rows")
    frame = frame.set_axis([str(c) for c in frame.columns], axis=1)
    y = None
    if label_column is not None:
        if label_column not in frame.columns:
            raise BadInput(f"{path}: has no column {label_column!r}; it has: {_some(list(frame.columns))}")
        labels = frame.pop(label_column)
        if labels.ndim != 1:
            raise BadInput(f"{path}: has {labels.shape[1]} columns {label_column!r}")
        blank = (labels.isna() | (labels == "")).to_numpy()
        if blank.any():
            raise BadInput(f"{path}: row {int(blank.argmax()) + 1}, column {label_column!r} is empty")
        y = labels.to_numpy() if pd.api.types.is_numeric_dtype(labels) else labels.to_numpy(dtype=str)
    for name, column in frame.items():
        if str(name) in ("", "Unnamed: 0", "__index_level_0__"):
            raise BadInput(f"{path}: its first column has no name and looks like row numbers; save without an index")
        if column.isna().any():
            row = int(column.isna().to_numpy().argmax()) + 1
            raise BadInput(f"{path}: row {row}, column {name!r} is empty or not a number")
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
            words = ((row, repr(str(v)[:40])) for row, v in enumerate(column, 1) if not _is_number(v))
            row, text = next(words, (1, f"values of type {column.dtype}"))
            raise BadInput(
                f"{path}: row {row}, column {name!r} holds {text}, not numbers; label_column names the labels"
            )
    array = frame.to_numpy()
    return _table(array.astype(np.float64) if array.dtype == object else array, y, path)  # object: true beside 1.5


def _images(folder: Path) -> Table:
    """Every image below a folder, in the order of their paths; labelled by subfolder where all are in one."""
    inside = ((p, p.relative_to(folder).parts) for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    # Names with a dot in front are what systems and editors leave: thumbnails, checkpoints, ._1.png
    files = sorted(p for p, parts in inside if p.is_file() and not any(part.startswith(".") for part in parts))
    if not files:
        raise BadInput(f"{folder}: holds no images; allowed: {', '.join(IMAGE_SUFFIXES)}")
    pictures = [_picture(file) for file in files]
    grey = all(p.mode in ("1", "L") for p in pictures)
    for file, picture in zip(files, pictures, strict=True):
        if picture.size != pictures[0].size:
            raise BadInput(
                f"{file}: is {picture.width}x{picture.height} pixels, {files[0].name} is "
                f"{pictures[0].width}x{pictures[0].height}; all must be of one size"
            )
    pixels = np.stack([np.asarray(p.convert("L" if grey else "RGB")) for p in pictures])
    labelled = all(file.parent != folder for file in files)
    y = np.array([file.relative_to(folder).parts[0] for file in files]) if labelled else None
    return _table(pixels, y, folder)


def _picture(file: Path) -> Image.Image:
    try:
        with Image.open(file) as picture:
            picture.load()
            if picture.mode.startswith(("I", "F")):
                raise BadInput(f"{file}: has more than 8 bits a pixel; save such data as .npy")
            return picture.copy()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{file}: is no readable image ({_first_line(error)})") from error


def _table(array: Any, labels: Any, path: Path) -> Table:
    """An array of numbers as rows, checked."""
    if array.dtype.kind not in "fiub":
        raise BadInput(f"{path}: holds {array.dtype.name} values; allowed: real numbers")
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
        image_shape = tuple(n for n in array.shape[1:3]) + ((3,) if array.ndim == 4 and array.shape[3] == 3 else ())
    with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, and is refused below
        x = np.ascontiguousarray(array.reshape(len(array), -1), dtype=np.float32)
    if array.dtype == np.uint8:
        x /= 255
    finite = np.isfinite(x)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        value = array.reshape(len(array), -1)[row, column]
        raise BadInput(f"{path}: row {row + 1}, column {column + 1} is not a finite number of 32 bits: {value}")
    if (x == x[0]).all():
        raise BadInput(f"{path}: all {len(x)} rows are the same")
    if labels is not None:
        if labels.shape != (len(x),):
            raise BadInput(f"{path}: has {len(x)} rows, but labels of shape {labels.shape}")
        if labels.dtype.kind == "O":
            raise BadInput(f"{path}: the labels are Python objects; allowed: numbers or text")
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise BadInput(f"{path}: the label of row {int(np.isfinite(labels).argmin()) + 1} is not a finite number")
    return Table(x, labels, image_shape, EIGHT_BIT if array.dtype == np.uint8 else AS_READ)


def _is_number(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


READERS: dict[str, Callable[[Path, str | None], Table]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
}
