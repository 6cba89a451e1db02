"""Data of one's own: a .npy, .npz, .csv or .parquet file, or a folder of images, as rows of float32.

Every reader refuses what it can't turn into finite numbers, with one line that names the place. Nothing
is unpickled, and nothing is unpacked or made room for before its size is seen to be honest.
"""

from __future__ import annotations

import csv
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
from numpy.lib import format as numpy_format
from PIL import Image, UnidentifiedImageError

from models import Array

from .config import BadInput

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # Pillow knows more: some run other programs
EIGHT_BIT = "divided by 255 (8-bit numbers)"
AS_READ = "none"

UNPACKED = 128 << 20
"""Bytes that packed data may unpack to, however small they are packed."""
RATIO = 100
"""Times their packed size that larger ones may unpack to: pictures and tables take 2 to 50, bombs 1,000 and more."""
MOST_COLUMNS = 50_000
"""Of a .csv or .parquet file: each costs its reader 10 KB, however few rows there are."""
LONGEST_LINE = 1 << 20
"""Of a .csv file: what its reader takes in at a time."""
LONGEST_LABEL = 100
"""Letters: one long text would make all labels as long."""

NUMBERS = "fiub"  # numpy's kinds
LABELS = NUMBERS + "US"
HEADERS = {(1, 0): numpy_format.read_array_header_1_0, (2, 0): numpy_format.read_array_header_2_0}


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
    with _reading(path):
        there, folder, regular = path.exists(), path.is_dir(), path.is_file()
    if not there:
        raise BadInput(f"{path}: no such file or folder")
    if folder:
        if label_column != "none":
            raise BadInput(f"{path}: a folder has no columns; its images are labelled by the subfolders they are in")
        return _images(path)
    if not regular:  # a pipe would be waited for, a device may have no end
        raise BadInput(f"{path}: is neither a file nor a folder")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise BadInput(f"{path}: can't read {path.suffix or 'a file without a suffix'}; allowed: {', '.join(READERS)}")
    return reader(path, None if label_column == "none" else label_column)


@contextmanager
def _reading(path: Path, what: str = "") -> Iterator[None]:
    """BadInput for whatever a reader raises: for a file that was cut or has flipped bits it may be anything."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"{path}: {what}can't be read ({_first_line(error)})") from error


def _npy(path: Path, label_column: str | None) -> Table:
    if label_column is not None:
        raise BadInput(f"{path}: a .npy file has no columns by name; label_column goes with .csv, .parquet and .npz")
    with _reading(path), path.open("rb") as file:
        size = path.stat().st_size
        _refuse_bomb(path, size, _written(path))
        array = _array(file, size, f"{path}: ", NUMBERS)
    return _table(array, None, path)


def _npz(path: Path, label_column: str | None) -> Table:
    """`x`, `x_train` or `data`, or the only array there is; labels in the array that label_column names."""
    with _reading(path), path.open("rb") as file:
        if file.read(len(numpy_format.MAGIC_PREFIX)) == numpy_format.MAGIC_PREFIX:
            raise BadInput(f"{path}: is a .npy file by its content; rename it")
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise BadInput(f"{path}: holds two arrays of one name")
            others = [n for n in members if n != label_column]
            chosen = next((n for n in ("x", "x_train", "data") if n in others), others[0] if len(others) == 1 else None)
            if chosen is None:
                raise BadInput(
                    f"{path}: holds the arrays {_some(list(members)) or 'none'}; "
                    f"allowed: x, x_train or data, or one array alone"
                )
            if label_column is not None and label_column not in members:
                raise BadInput(f"{path}: has no array {label_column!r}; it has: {_some(list(members))}")
            labels = None
            if label_column is not None:
                labels = _member(archive, members[label_column], path, LABELS)
                labels = labels.astype(str) if labels.dtype.kind == "S" else labels
            x = _member(archive, members[chosen], path, NUMBERS)
    return _table(x, labels, path)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, kinds: str) -> npt.NDArray[Any]:
    what = f"array {info.filename.removesuffix('.npy')[:40]!r}: "
    _refuse_bomb(path, info.file_size, min(info.compress_size, _written(path)))
    with _reading(path, what), archive.open(info) as file:
        return _array(file, info.file_size, f"{path}: {what}", kinds)


def _array(file: IO[bytes], size: int, place: str, kinds: str) -> npt.NDArray[Any]:
    """The array of a .npy file of so many bytes, of a dtype of these kinds.

    Numpy makes room for what the header promises before it looks whether that is there.
    """
    start = file.read(len(numpy_format.MAGIC_PREFIX))
    if start.startswith(b"PK\x03\x04"):
        raise BadInput(f"{place}is a .npz file by its content; rename it")
    if start != numpy_format.MAGIC_PREFIX:
        raise BadInput(f"{place}holds Python objects, not numbers, or is no numpy file")
    file.seek(0)
    version = numpy_format.read_magic(file)
    if version not in HEADERS:
        raise BadInput(f"{place}is of version {version} of the .npy format, and arrays of numbers are of 1 or 2")
    shape, _, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise BadInput(f"{place}holds Python objects, not numbers")
    if dtype.kind not in kinds:
        raise BadInput(f"{place}holds {dtype.name} values; allowed: real numbers{'' if kinds == NUMBERS else ', text'}")
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize > size - file.tell():
        raise BadInput(f"{place}its header promises more numbers than follow; the file is cut or damaged")
    file.seek(0)
    array: npt.NDArray[Any] = numpy_format.read_array(file, allow_pickle=False)
    return array


def _csv(path: Path, label_column: str | None) -> Table:
    """Arrow's reader: it refuses rows of different lengths, which pandas fills up or cuts in silence.

    A first line of numbers is a row, unless it is 0,1,2,…: so pandas heads columns without names.
    """
    with _reading(path):
        first = _first_row(path)
        counted = len(first) > 2 and first == [str(i) for i in range(len(first))]
        unnamed = bool(first) and all(_is_number(cell) for cell in first) and not counted
        # In one thread: with more, the reader does not say which row is too short or too long.
        options = arrow_csv.ReadOptions(use_threads=False, autogenerate_column_names=unnamed, block_size=LONGEST_LINE)
        _refuse_bomb(path, path.stat().st_size, _written(path))
        table = arrow_csv.read_csv(path, read_options=options)
    return _columns(table, label_column, path)


def _first_row(path: Path) -> list[str]:
    """The first line with something on it, in its cells; as long a line as the reader takes."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        line = "\n"
        while line and not line.strip("\r\n"):
            line = file.readline(LONGEST_LINE)
    if len(line) == LONGEST_LINE:
        raise BadInput(f"{path}: has a line of more than {LONGEST_LINE:,} letters; save so wide a table as .npy")
    first = next(csv.reader([line]), [])
    _refuse_columns(path, len(first))
    return first


def _parquet(path: Path, label_column: str | None) -> Table:
    with _reading(path):
        with parquet.ParquetFile(path) as file:
            about, schema = file.metadata, file.schema_arrow
        index = [n for n in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(n, str)]
        _refuse_columns(path, len(schema.names))
        groups = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        width = sum(max(4, kind.bit_width // 8) if _holds_numbers(kind) else 8 for kind in schema.types)  # as float32
        _refuse_bomb(path, max(groups, about.num_rows * width), _written(path))
        for name, kind in zip(schema.names, schema.types, strict=True):  # before any text is unpacked
            if name not in (label_column, *index) and not _holds_numbers(kind):
                raise BadInput(
                    f"{path}: column {name!r} holds {kind} values, not numbers; label_column names the labels"
                )
        words = [
            n
            for n, kind in zip(schema.names, schema.types, strict=True)
            if pa.types.is_large_string(kind) or pa.types.is_string(kind)
        ]
        with parquet.ParquetFile(path, read_dictionary=words) as file:  # a word that is repeated is kept once
            table = file.read()
            table = table.drop_columns(list(set(index) & set(table.column_names)))
    return _columns(table, label_column, path)


def _columns(table: pa.Table, label_column: str | None, path: Path) -> Table:
    """A table's columns of numbers as rows, and its labels."""
    if table.num_rows == 0:
        raise BadInput(f"{path}: has a header and no rows")
    y = None
    if label_column is not None:
        found = [i for i, name in enumerate(table.column_names) if name == label_column]
        if not found:
            raise BadInput(f"{path}: has no column {label_column!r}; it has: {_some(table.column_names)}")
        if len(found) > 1:
            raise BadInput(f"{path}: has {len(found)} columns {label_column!r}")
        y = _labels(table.column(found[0]), label_column, path)
        table = table.remove_column(found[0])
    if table.num_columns == 0:
        raise BadInput(f"{path}: is empty")
    for number, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if number == 0 and name in ("", "Unnamed: 0", "__index_level_0__"):
            raise BadInput(f"{path}: its first column has no name and looks like row numbers; save without an index")
        if not name:
            raise BadInput(f"{path}: column {number + 1} has no name")
        if column.null_count:
            raise BadInput(f"{path}: row {_row(column.is_null())}, column {name!r} is empty or not a number")
        if not _holds_numbers(column.type):
            words = ((row, repr(str(v)[:40])) for row, v in enumerate(column.to_pylist(), 1) if not _is_number(v))
            row, text = next(words, (1, f"values of type {column.type}"))
            raise BadInput(
                f"{path}: row {row}, column {name!r} holds {text}, not numbers; label_column names the labels"
            )
    common = np.result_type(*{column.type.to_pandas_dtype() for column in table.columns})
    array = np.empty((table.num_rows, table.num_columns), common)
    for number, column in enumerate(table.columns):
        array[:, number] = column.to_numpy()
    return _table(array, y, path)


def _labels(column: pa.ChunkedArray, name: str, path: Path) -> npt.NDArray[Any]:
    """A column of labels: numbers as they are, words and dates as text."""
    if column.null_count:
        raise BadInput(f"{path}: row {_row(column.is_null())}, column {name!r} is empty")
    if _holds_numbers(column.type):
        numbers: npt.NDArray[Any] = column.to_numpy()
        return numbers
    with _reading(path, f"column {name!r}: "):
        text = column.cast(pa.large_string())
    lengths = pc.utf8_length(text)
    if pc.min(lengths).as_py() == 0:
        raise BadInput(f"{path}: row {_row(pc.equal(lengths, 0))}, column {name!r} is empty")
    if pc.max(lengths).as_py() > LONGEST_LABEL:
        row = _row(pc.greater(lengths, LONGEST_LABEL))
        raise BadInput(f"{path}: row {row}, column {name!r} is longer than a label's {LONGEST_LABEL} letters")
    return np.array(text.to_pylist(), dtype=str)


def _row(marks: pa.ChunkedArray) -> int:
    """The number of the first row that is marked, from 1."""
    return int(pc.index(marks, True).as_py()) + 1


def _holds_numbers(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _images(folder: Path) -> Table:
    """Every image below a folder, in the order of their paths; labelled by subfolder where all are in one.

    Of a picture that moves, the first.
    """
    with _reading(folder):
        inside = ((p, p.relative_to(folder).parts) for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        # Names with a dot in front are what systems and editors leave: thumbnails, checkpoints, ._1.png
        files = sorted(p for p, parts in inside if not p.is_dir() and not any(part.startswith(".") for part in parts))
    if not files:
        raise BadInput(f"{folder}: holds no images; allowed: {', '.join(IMAGE_SUFFIXES)}")
    pictures: list[Image.Image] = []
    unpacked = packed = 0
    for file in files:
        packed += _written(file)
        picture = _picture(file, unpacked, packed)
        unpacked += _bytes(picture)
        pictures.append(picture)
        if picture.size != pictures[0].size:
            raise BadInput(
                f"{file}: is {picture.width}x{picture.height} pixels, {files[0].name} is "
                f"{pictures[0].width}x{pictures[0].height}; all must be of one size"
            )
    mode = "L" if all(p.mode == "L" for p in pictures) else "RGB"
    pixels = np.stack([np.asarray(p.convert(mode)) for p in pictures])
    labelled = all(file.parent != folder for file in files)
    y = np.array([file.relative_to(folder).parts[0] for file in files]) if labelled else None
    return _table(pixels, y, folder)


def _picture(file: Path, unpacked: int, packed: int) -> Image.Image:
    """A picture, grey or in colour; `unpacked` bytes came of those before it, `packed` ones are theirs and its own."""
    try:
        with file.open("rb") as content, warnings.catch_warnings(action="ignore"):
            picture = Image.open(content, formats=IMAGE_FORMATS)
            _refuse_bomb(file, unpacked + _bytes(picture), packed)
            if picture.mode.startswith(("I", "F")) or any(";16" in str(tile) for tile in picture.tile):
                raise BadInput(f"{file}: has more than 8 bits a pixel; save such data as .npy")
            return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    except BadInput:
        raise
    except UnidentifiedImageError as error:
        raise BadInput(f"{file}: is no readable image; allowed: {', '.join(IMAGE_FORMATS)}") from error
    except Exception as error:  # see _reading
        raise BadInput(f"{file}: is no readable image ({_first_line(error)})") from error


def _bytes(picture: Image.Image) -> int:
    return picture.width * picture.height * len(picture.getbands())


def _table(array: npt.NDArray[Any], labels: npt.NDArray[Any] | None, path: Path) -> Table:
    """An array of numbers as rows, checked."""
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
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise BadInput(f"{path}: the label of row {int(np.isfinite(labels).argmin()) + 1} is not a finite number")
    return Table(x, labels, image_shape, EIGHT_BIT if array.dtype == np.uint8 else AS_READ)


def _refuse_bomb(path: Path, unpacked: int, packed: int) -> None:
    if unpacked > max(UNPACKED, RATIO * packed):
        raise BadInput(
            f"{path}: {packed:,} bytes that unpack to {unpacked:,}; allowed: {RATIO} times as many, or {UNPACKED:,}; "
            f"save such data unpacked, as .npy"
        )


def _written(path: Path) -> int:
    """The bytes of a file that were written; others are a hole, and read as zeros."""
    with _reading(path):
        if not path.is_file():
            raise BadInput(f"{path}: is no file, or a link that leads to none")
        size, written, end = path.stat().st_size, 0, 0
        if size <= UNPACKED or not hasattr(os, "SEEK_HOLE"):
            return size
        with path.open("rb") as file:
            while end < size and RATIO * written < size:
                try:
                    start = os.lseek(file.fileno(), end, os.SEEK_DATA)
                except OSError:  # a hole to its end
                    break
                end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                written += end - start
    return written


def _refuse_columns(path: Path, columns: int) -> None:
    if columns > MOST_COLUMNS:
        raise BadInput(f"{path}: has {columns:,} columns; allowed: {MOST_COLUMNS:,}, or a .npy file")


def _is_number(cell: object) -> bool:
    text = str(cell)
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text  # Python takes 1_000 and other scripts' digits for numbers


def _first_line(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error).strip()
    if "straddl" in text:  # arrow's word for a row that is longer than what it takes in at a time
        return f"has a line of more than {LONGEST_LINE:,} letters"
    return (text.splitlines() or [type(error).__name__])[0]


def _some(names: list[str]) -> str:
    return ", ".join(name[:40] for name in names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


READERS: dict[str, Callable[[Path, str | None], Table]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
}
