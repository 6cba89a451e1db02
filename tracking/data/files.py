"""Data of one's own: a .npy, .npz, .csv or .parquet file, or a folder of images, as rows of numbers.

Every reader refuses what it can't turn into finite numbers, with one line that names the place. Nothing
is unpickled. The libraries check the files: what they raise is passed on as that line.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
from PIL import Image, ImageOps

from ..store.errors import BadInput

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # Pillow knows more: some run other programs
SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")  # folders, no classes

CSV_BLOCK = 16 << 20  # bytes that arrow reads at a time: a row may have no more

EXACT = 2**24  # up to it float32 holds every whole number
LARGEST = float(np.finfo(np.float32).max) / 2**12  # with room for scores, sums over a row, and a decoder's overshoot
SMALLEST = float(np.finfo(np.float32).tiny) * 128  # near the least float32 digits get fewer
NUMBERS = "fiub"  # numpy's kinds
LABELS = NUMBERS + "US"
CLASSES = "iubUS"

ROWS = ("x", "x_train", "train_images", "data")  # arrays of a .npz
BESIDE = {"x_train": "y_train", "x_test": "y_test", "train_images": "train_labels", "test_images": "test_labels"}

FAR = 3  # ranges of its column that a number lies beyond them


class Table(NamedTuple):
    """Rows x (N, dim1) as they were read, labels y (N,) of any kind or None, the shape of a picture or None.

    x is uint8 where the file holds 8-bit numbers, else float32 where that holds every digit, else float64.
    `names` are those of the columns of x, where they have any. `has_test` says that the file has test rows too.
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[Any] | None
    image_shape: tuple[int, ...] | None
    from_pictures: bool = False
    names: tuple[str, ...] | None = None
    has_test: bool = False


class Request(NamedTuple):
    """What is wanted of a file: the column of its labels, whether it has a header, its test rows or the others."""

    label_column: str | None
    header: str
    test: bool


def load_table(path: Path, label_column: str = "none", header: str = "auto", *, test: bool = False) -> Table:
    """Read one file or folder, its numbers as they are.

    Arrays of (N, height, width) or (N, height, width, 3) are pictures, one a row.

    Parameters
    ----------
    path : Path
        A .npy, .npz, .csv or .parquet file, or a folder of images.
    label_column : str
        The column or array with the labels, or none.
    header : str
        Whether the first line of a .csv file has the names of the columns: auto, yes or no.
    test : bool
        Read test rows: of a .npz file with training and test arrays the latter. They may lack the labels.

    Raises
    ------
    BadInput
        Where it can't be read right.
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
        return READERS[suffix](path, Request(None if label_column == "none" else label_column, header, test))


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


def _numpy(path: Path, wanted: Request) -> Table:
    """A .npy or .npz file, whichever it is by its content.

    Of a .npz one of ROWS, or the only array there is; as test rows the array named likewise for the test, if there is
    one. Labels in the array that label_column names, else in the one that usually stands BESIDE the rows.
    """
    with path.open("rb") as file:
        # Whatever begins otherwise, numpy calls a pickle, and says how to load that.
        if not file.peek().startswith((b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")):
            raise BadInput(f"{path}: is no numpy file, or holds Python objects, not numbers")
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            if wanted.label_column is not None and not wanted.test:
                raise BadInput(
                    f"{path}: a .npy file has no columns by name; label_column goes with .csv, .parquet and .npz"
                )
            return _table(_of_kinds(loaded, NUMBERS, path), None, path)
        names = loaded.files
        others = [n for n in names if n != wanted.label_column]
        known = (*map(_of_test, ROWS), *ROWS) if wanted.test else ROWS
        chosen = next((n for n in known if n in others), others[0] if len(others) == 1 else None)
        if chosen is None:
            raise BadInput(
                f"{path}: holds the arrays {some(names) or 'none'}; allowed: {', '.join(ROWS)}, or one array alone"
            )
        x = _member(loaded, chosen, NUMBERS, path)
        return _table(x, _array_of_labels(loaded, chosen, x, wanted, path), path)._replace(
            has_test=_of_test(chosen) in names
        )


def _array_of_labels(
    archive: Mapping[str, Any], chosen: str, x: npt.NDArray[Any], wanted: Request, path: Path
) -> npt.NDArray[Any] | None:
    """The labels of the rows x, which the array `chosen` of a .npz file holds, or None."""
    names, label = list(archive), wanted.label_column
    if label is None:
        label = BESIDE.get(chosen)
        with suppress(BadInput):  # nobody asked for these
            labels = None if label not in names else _label_member(archive, label, CLASSES, path)
            return None if labels is None or labels.shape != x.shape[:1] else labels
        return None
    if wanted.test:
        beside_training = chosen not in ROWS and any(n in ROWS for n in names)  # whose labels `label` names
        candidates = [_of_test(label)] if beside_training else [_of_test(label), label]
        label = next((n for n in candidates if n in names), None)
        return None if label is None else _label_member(archive, label, LABELS, path)
    if label not in names:
        raise BadInput(f"{path}: has no array {label!r}; it has: {some(names)}")
    return _label_member(archive, label, LABELS, path)


def _label_member(archive: Mapping[str, Any], name: str, kinds: str, path: Path) -> npt.NDArray[Any]:
    """An array of labels; those of shape (N, 1) as (N,)."""
    labels = _member(archive, name, kinds, path)
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _of_test(name: str) -> str:
    """`x_train`, `train_images` and `x` as the array with the test rows is called beside them."""
    return name.replace("train", "test") if "train" in name else f"{name}_test"


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


def _csv(path: Path, wanted: Request) -> Table:
    """Arrow's reader: it refuses rows of different lengths, which pandas fills up or cuts in silence.

    A first line with anything but numbers is a header, as is one that has the name of the labels.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(islice((line for line in file if line.strip("\r\n")), 2))
    first = next(csv.reader(lines[:1]), [])
    numbers = bool(first) and all(_is_number(cell) for cell in first) and wanted.label_column not in first
    unnamed = wanted.header == "no" or (wanted.header == "auto" and numbers)
    # In one thread: with more, the reader does not say which row is too short or too long.
    options = arrow_csv.ReadOptions(use_threads=False, autogenerate_column_names=unnamed, block_size=CSV_BLOCK)
    try:
        table = _columns(arrow_csv.read_csv(path, read_options=options), wanted, path)
    except (BadInput, pa.ArrowInvalid):
        fault = _separated_otherwise(lines)
        if fault is None:
            raise
        raise BadInput(f"{path}: {fault}") from None
    if not unnamed:
        return table
    if wanted.header == "auto" and _may_be_names(first, table.x):
        raise BadInput(
            f"{path}: its first line, {some(first, 4)}, may be names of the columns or a row; "
            "--header yes or --header no says which"
        )
    return table._replace(names=None)


def _may_be_names(first: list[str], x: npt.NDArray[Any]) -> bool:
    """Whether numbers in the first line, which is the first row of x (N, dim1), may be the names of columns.

    They may where they
    - are 0, 1, 2, … of three columns or more, or 1, 2, 3, … unless all other rows are counted through likewise,
    - or have what few of the other rows have (2 %): they are whole numbers,
    - or (10 %, three columns or more): they rise or fall from column to column, some of them perhaps twice there,
      or do so in equal steps; rising and falling count from four columns or twenty rows on, because few rows of
      three columns do that by chance,
    - or each lies beyond the other numbers of its column by more than three times their range.
    """
    columns, rows = x.shape[1], len(x) - 1
    steps = np.diff(x, axis=1)
    if columns > 2 and first == [str(i) for i in range(len(first))]:
        return True
    if columns > 2 and first == [str(i + 1) for i in range(len(first))] and not (steps[1:] == 1).all():
        return True
    whole = all(re.fullmatch("[+-]?[0-9]+", cell) for cell in first)
    if whole and (columns == 1 or len(set(first)) > 1) and _is_rare((x == np.rint(x)).all(axis=1), 0.02):
        return True
    if columns > 2:
        rises, falls = ((sign * steps >= 0).all(axis=1) & (sign * (x[:, -1] - x[:, 0]) > 0) for sign in (1, -1))
        marks = [(rises | falls) & (steps == steps[:, :1]).all(axis=1)]
        marks += [rises, falls] if columns > 3 or rows > 19 else []
        if any(_is_rare(mark, 0.1) for mark in marks):
            return True
    low, high = x[1:].min(axis=0), x[1:].max(axis=0)
    varied = high > low
    far = np.maximum(x[0] - high, low - x[0]) > FAR * (high - low)
    return bool(varied.any() and far[varied].all())


def _is_rare(marks: npt.NDArray[np.bool_], share: float) -> bool:
    """Whether the first row has the mark, and at most that share of the others."""
    return bool(marks[0] and marks[1:].mean() <= share)


def _separated_otherwise(lines: list[str]) -> str | None:
    """What seems to separate the columns of the first two lines, where it is no comma, in words."""
    for mark, words in ((";", "';'"), ("\t", "tabs"), ("|", "'|'"), (None, "spaces")):
        cells = [[cell.strip(' "') for cell in line.split(mark)] for line in lines]
        last = cells[-1] if cells else []
        numbers = sum(_is_number(cell) or _has_decimal_comma(cell) for cell in last)
        if numbers > (mark is None) and len(cells[0]) == len(last) > 1:
            if any(map(_has_decimal_comma, last)):
                return f"columns look separated by {words}, with decimal commas; save with commas and decimal points"
            return f"columns look separated by {words}; save with commas"
    return None


def _has_decimal_comma(cell: str) -> bool:
    return re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", cell, re.ASCII | re.IGNORECASE) is not None


def _parquet(path: Path, wanted: Request) -> Table:
    with parquet.ParquetFile(path) as file:
        table = file.read()
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return _columns(table.drop_columns([name for name in index if name in table.column_names]), wanted, path)


def _columns(table: pa.Table, wanted: Request, path: Path) -> Table:
    """A table's columns of numbers as rows, and its labels, which test rows may lack."""
    if table.num_rows == 0:
        raise BadInput(f"{path}: has a header and no rows")
    y, label_column = None, wanted.label_column
    if label_column is not None and (label_column in table.column_names or not wanted.test):
        found = [i for i, name in enumerate(table.column_names) if name == label_column]
        if not found:
            raise BadInput(f"{path}: has no column {label_column!r}; it has: {some(table.column_names)}")
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
            raise BadInput(f"{path}: {_why_no_numbers(name, column)}")
    common = np.result_type(*{column.type.to_pandas_dtype() for column in table.columns})
    array = np.empty((table.num_rows, table.num_columns), common)
    for number, column in enumerate(table.columns):
        array[:, number] = column.to_numpy()
    return _table(array, y, path)._replace(names=tuple(table.column_names))


def _why_no_numbers(name: str, column: pa.ChunkedArray) -> str:
    """What a column holds in place of numbers."""
    kind = column.type
    if pa.types.is_nested(kind):
        held = "lists" if "list" in str(kind) else kind
        return f"column {name!r} holds {held}, not numbers; save each of their values as a column of its own"
    words = ((row, str(v)[:40]) for row, v in enumerate(column.to_pylist(), 1) if not _is_number(v))
    row, text = next(words, (1, str(column[0])))
    if _has_decimal_comma(text):
        return f"row {row}, column {name!r} holds {text!r}, with a decimal comma; save it with decimal points"
    held = "text" if "string" in str(kind) else kind
    return f"row {row}, column {name!r} holds {text!r} ({held}), not numbers; label_column names the labels"


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
        # A tile's last part has the decoder's raw mode; of a PPM, its largest value.
        modes = [tile[3] for tile in picture.tile]
        deep = any(";16" in str(m) or (picture.format == "PPM" and isinstance(m, tuple) and m[-1] > 255) for m in modes)
        if picture.mode.startswith(("I", "F")) or deep:
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
            fault = f"larger than {LARGEST:.2g}" if np.isfinite(value) else "not a finite number"
            raise BadInput(f"{path}: row {row + 1}, column {column + 1} is {fault}: {value}")
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


def some(names: Sequence[str], most: int = 12) -> str:
    """The first names, each cut, and how many more there are."""
    return ", ".join(n[:40] for n in names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


READERS: dict[str, Callable[[Path, Request], Table]] = {
    ".npy": _numpy,
    ".npz": _numpy,
    ".csv": _csv,
    ".parquet": _parquet,
}
