"""Data of one's own: a .npy, .npz, .csv or .parquet file, or a folder of images, as rows of numbers.

Every reader refuses what it can't turn into finite numbers, with one line that names the place. Nothing
is unpickled. The libraries check the files: what they raise is passed on as that line.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
from PIL import Image, ImageOps

from .config import BadInput

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # Pillow knows more: some run other programs
SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")  # folders, no classes

CSV_BLOCK = 16 << 20  # bytes that arrow reads at a time: a row may have no more

EXACT = 2**24  # up to it float32 holds every whole number
LARGEST = float(np.finfo(np.float32).max) / 16  # with room for a decoder's overshoot
SMALLEST = float(np.finfo(np.float32).tiny) * 128  # near the least float32 digits get fewer
NUMBERS = "fiub"  # numpy's kinds
LABELS = NUMBERS + "US"


class Table(NamedTuple):
    """Rows x (N, dim1) as they were read, labels y (N,) of any kind or None, the shape of a picture or None.

    x is uint8 where the file holds 8-bit numbers, else float32 where that holds every digit, else float64.
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[Any] | None
    image_shape: tuple[int, ...] | None
    from_pictures: bool = False


def load_table(path: Path, label_column: str = "none") -> Table:
    """Read one file or folder, its numbers as they are.

    Arrays of (N, height, width) or (N, height, width, 3) are pictures, one a row. Raises BadInput.
    """
    with _reading(path):
        if not path.exists():
            raise BadInput(f"{path}: no such file or folder")
        if path.is_dir():
            if label_column != "none":
                raise BadInput(
                    f"{path}: a folder has no columns; its images are labelled by the subfolders they are in"
                )
            return _images(path)
        if not path.is_file():  # a pipe would be waited for
            raise BadInput(f"{path}: is neither a file nor a folder")
        suffix = path.suffix.lower()
        if suffix not in READERS:
            raise BadInput(
                f"{path}: can't read {path.suffix or 'a file without a suffix'}; allowed: {', '.join(READERS)}"
            )
        return READERS[suffix](path, None if label_column == "none" else label_column)


@contextmanager
def _reading(place: object) -> Iterator[None]:
    """BadInput for whatever a reader raises: for a file that was cut or has flipped bits it may be anything."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except BadInput:
        raise
    except Exception as error:
        text = (error.strerror if isinstance(error, OSError) else None) or str(error).strip() or type(error).__name__
        raise BadInput(f"{place}: could not be read: {text.splitlines()[0]}") from error


def _numpy(path: Path, label_column: str | None) -> Table:
    """A .npy or .npz file, whichever it is by its content.

    Of a .npz `x`, `x_train` or `data`, or the only array there is; labels in the array that label_column names.
    """
    with path.open("rb") as file:
        # Whatever begins otherwise, numpy calls a pickle, and says how to load that.
        if not file.peek().startswith((b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")):
            raise BadInput(f"{path}: is no numpy file, or holds Python objects, not numbers")
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            if label_column is not None:
                raise BadInput(
                    f"{path}: a .npy file has no columns by name; label_column goes with .csv, .parquet and .npz"
                )
            return _table(_of_kinds(loaded, NUMBERS, path), None, path)
        names = loaded.files
        others = [n for n in names if n != label_column]
        chosen = next((n for n in ("x", "x_train", "data") if n in others), others[0] if len(others) == 1 else None)
        if chosen is None:
            raise BadInput(
                f"{path}: holds the arrays {_some(names) or 'none'}; allowed: x, x_train or data, or one array alone"
            )
        if label_column is not None and label_column not in names:
            raise BadInput(f"{path}: has no array {label_column!r}; it has: {_some(names)}")
        labels = None if label_column is None else _member(loaded, label_column, LABELS, path)
        return _table(_member(loaded, chosen, NUMBERS, path), labels, path)


def _member(archive: Mapping[str, Any], name: str, kinds: str, path: Path) -> npt.NDArray[Any]:
    place = f"{path}: array {name[:40]!r}"
    with _reading(place):
        array = _of_kinds(np.asarray(archive[name]), kinds, place)  # a member that is no array comes as bytes
        return array.astype(str) if array.dtype.kind == "S" else array


def _of_kinds(array: npt.NDArray[Any], kinds: str, place: object) -> npt.NDArray[Any]:
    if array.dtype.kind not in kinds:
        raise BadInput(
            f"{place}: holds {array.dtype.name} values; allowed: real numbers{'' if kinds == NUMBERS else ', text'}"
        )
    return array


def _csv(path: Path, label_column: str | None) -> Table:
    """Arrow's reader: it refuses rows of different lengths, which pandas fills up or cuts in silence.

    A first line of numbers is a row, unless it is 0,1,2,…: so pandas heads columns without names.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        line = next((line for line in file if line.strip("\r\n")), "")
    first = next(csv.reader([line]), [])
    counted = len(first) > 2 and first == [str(i) for i in range(len(first))]
    unnamed = bool(first) and all(_is_number(cell) for cell in first) and not counted
    # In one thread: with more, the reader does not say which row is too short or too long.
    options = arrow_csv.ReadOptions(use_threads=False, autogenerate_column_names=unnamed, block_size=CSV_BLOCK)
    return _columns(arrow_csv.read_csv(path, read_options=options), label_column, path)


def _parquet(path: Path, label_column: str | None) -> Table:
    with parquet.ParquetFile(path) as file:
        table = file.read()
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return _columns(table.drop_columns([name for name in index if name in table.column_names]), label_column, path)


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
    with _reading(f"{path}: column {name!r}"):
        words = np.array(column.cast(pa.large_string()).to_pylist(), dtype=str)
    if (words == "").any():
        raise BadInput(f"{path}: row {int((words == '').argmax()) + 1}, column {name!r} is empty")
    return words


def _row(marks: pa.ChunkedArray) -> int:
    """The number of the first row that is marked, from 1."""
    return int(pc.index(marks, True).as_py()) + 1


def _holds_numbers(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _images(folder: Path) -> Table:
    """Every image below a folder, in the order of their paths; labelled by subfolder where all are in one."""
    inside = ((p, p.relative_to(folder).parts) for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    # Names with a dot in front are what systems and editors leave: thumbnails, checkpoints, ._1.png
    files = sorted(p for p, parts in inside if not p.is_dir() and not any(part.startswith(".") for part in parts))
    if not files:
        raise BadInput(f"{folder}: holds no images; allowed: {', '.join(IMAGE_SUFFIXES)}")
    inside_of = {file.relative_to(folder).parts[0] for file in files if file.parent != folder}
    splits = sorted(name for name in inside_of if name.lower() in SPLITS)
    if splits and (len(splits) > 1 or len(inside_of) == 1):
        raise BadInput(
            f"{folder}: its subfolders {', '.join(splits)} are parts of a data set, not classes; give one of them as "
            "dataset and another as test_data"
        )
    pictures: list[Image.Image] = []
    for file in files:
        with _reading(file):
            picture = _picture(file)
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
    return _table(pixels, y, folder)._replace(from_pictures=True)


def _picture(file: Path) -> Image.Image:
    """A picture, grey or in colour, upright."""
    # Not by its name: Pillow would map an uncompressed TIFF into memory, and mix up the rows of one stored sideways.
    with file.open("rb") as content, Image.open(content, formats=IMAGE_FORMATS) as picture:
        if picture.mode.startswith(("I", "F")) or any(";16" in str(tile) for tile in picture.tile):
            raise BadInput(f"{file}: has more than 8 bits a pixel; save such data as .npy")
        count = getattr(picture, "n_frames", 1)
        if count > 1 and picture.format != "MPO":  # a JPEG to which the camera appended a preview or a depth map
            kind = "pages" if picture.format == "TIFF" else "frames"
            raise BadInput(f"{file}: has {count} {kind}; save each as a picture of its own")
        if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise BadInput(f"{file}: has transparent pixels; save it on a background of one colour")
        return ImageOps.exif_transpose(picture).convert("L" if picture.mode in ("1", "L", "LA") else "RGB")


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
    x = np.ascontiguousarray(array.reshape(len(array), -1))
    if x.dtype != np.uint8:
        whole = x.dtype.kind in "iu" and max(-int(x.min()), int(x.max())) <= EXACT
        float32 = whole or np.result_type(x.dtype, np.float32) == np.float32
        x = x.astype(np.float32 if float32 else np.float64, copy=False)
        held = np.abs(x) <= LARGEST
        if not held.all():
            row, column = (int(i) for i in np.argwhere(~held)[0])
            value = array.reshape(len(array), -1)[row, column]
            raise BadInput(f"{path}: row {row + 1}, column {column + 1} is not a finite number of 32 bits: {value}")
    if (x == x[0]).all():
        raise BadInput(f"{path}: all {len(x)} rows are the same")
    if np.ptp(x, axis=0).max() < SMALLEST:
        raise BadInput(f"{path}: no column varies by {SMALLEST:.2g}, which is too little for 32 bits; use another unit")
    if labels is not None:
        if labels.shape != (len(x),):
            raise BadInput(f"{path}: has {len(x)} rows, but labels of shape {labels.shape}")
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise BadInput(f"{path}: the label of row {int(np.isfinite(labels).argmin()) + 1} is not a finite number")
    return Table(x, labels, image_shape)


def _is_number(cell: object) -> bool:
    text = str(cell)
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text  # Python takes 1_000 and other scripts' digits for numbers


def _some(names: list[str]) -> str:
    return ", ".join(name[:40] for name in names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


READERS: dict[str, Callable[[Path, str | None], Table]] = {
    ".npy": _numpy,
    ".npz": _numpy,
    ".csv": _csv,
    ".parquet": _parquet,
}
