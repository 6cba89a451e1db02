"""Data sets, and `SOURCES`, the one registry of where they come from.

To add a data set by name, write a function that returns a `Dataset`; to add a kind of file, a reader in `files/` that
returns a `Table`. Either needs one line in `SOURCES`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from elbowroom.models import Array, Labels, Rows, in_unit_interval
from elbowroom.models.lazy_sklearn import sklearn

from ..config import RunConfig
from ..store.errors import BadInput
from ..store.text import KEY_LENGTH, clean
from .files.arrays import read_arrays
from .files.base import Request, Table, listed, reading
from .files.images import read_images
from .files.tables import read_csv, read_parquet
from .mnist import load_idx

_SPLIT_SEED = 0  # of every split; never the run's seed, or seeds would be compared on different rows
_MOST_OFFSET = 3000  # standard deviations from 0; beyond, rounding to float32 adds over 1e-8 of the rows' variance
_DARK = 127  # 8-bit numbers all up to it may be counts or classes; pictures have some above
_TEST_SHARE = 6  # of a source without a test set the last sixth is held out
_RANK, _NOISE = 8, 0.01  # of low-rank
_FOLDER = "a folder of images"
_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training rows and test rows.

    x_train (N, dim1) and x_test (N_test, dim1) are float32, or float64 where float32 lacks digits of the file. y_train
    (N,) and y_test (N_test,) are indices into `classes`, or None. `image_shape` is (height, width) or (height, width,
    3) where a row is a picture, else None. `scaling` says how the numbers were scaled, `source` where they come from.
    """

    name: str
    source: str
    x_train: Rows
    x_test: Rows
    y_train: Labels | None
    y_test: Labels | None
    image_shape: tuple[int, ...] | None
    scaling: str
    classes: tuple[str, ...] = ()

    @property
    def dim1(self) -> int:
        """The count of numbers in a row."""
        return int(self.x_train.shape[1])

    @cached_property
    def test_repeats(self) -> bool:
        """Whether every test row is one of the training rows."""
        return {hash(row.tobytes()) for row in self.x_test} <= {hash(row.tobytes()) for row in self.x_train}


class Split(NamedTuple):
    """The training rows of a Dataset in two parts: those to train on, and the validation rows."""

    x_train: Rows
    y_train: Labels | None
    x_val: Rows | None
    y_val: Labels | None


def value_range(x: Rows) -> tuple[float, float]:
    """The lowest and the highest value of x, or 0 and 1 where all values lie between them."""
    return (0.0, 1.0) if in_unit_interval(x) else (float(x.min()), float(x.max()))


def digest(*arrays: Rows) -> str:
    """Truncated SHA-256, 16 hexadecimal digits, over the shapes and all rows of the arrays in order.

    Hashed as float32, or as float64 where that loses a column. MLflow's own digest covers the first 10,000 numbers.
    """
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(repr(array.shape).encode())
        sha.update(np.ascontiguousarray(array, dtype=np.float64 if far_from_zero(array).size else np.float32).data)
    return sha.hexdigest()[:16]


def far_from_zero(x: Rows) -> npt.NDArray[np.intp]:
    """The columns of x (N, dim1) in float64 whose variation is so small against their mean that float32 loses it."""
    if x.dtype == np.float32 or not x.size:
        return np.array([], dtype=np.intp)
    deviations = np.square(x - x.mean(axis=0)).sum(axis=0)
    return np.flatnonzero((np.square(x).sum(axis=0) > _MOST_OFFSET**2 * deviations) & (np.ptp(x, axis=0) > 0))


def load_dataset(
    name: str,
    *,
    test_data: str = "none",
    label_column: str = "none",
    header: str = "auto",
    edition: int = RunConfig.edition,
) -> Dataset:
    """A data set by its name, or from a file or folder.

    Parameters
    ----------
    name : str
        A name in `SOURCES`, or the path of a file or folder.
    test_data, label_column, header, edition
        The fields of RunConfig of these names. The first three are for files and folders alone.

    Returns
    -------
    Dataset
        Where the source has no test rows, the last sixth of a fixed permutation.

    Raises
    ------
    BadInput
        Where there is no such source, or it can't be read as rows of finite numbers.
    """
    source = SOURCES.get(name)
    if source is not None and source.load is not None:
        for flag, value in {"test_data": test_data, "label_column": label_column, "header": header}.items():
            if value != getattr(RunConfig, flag):
                raise BadInput(f"{flag} goes with a file or folder of your own, and {name} has its own; leave it out")
        return source.load()
    path = _existing(name)
    if path is None:
        raise BadInput(
            f"unknown dataset {name!r}: no such file or folder, and no data set of that name; known: {source_names()}"
        )
    return _from_files(path, test_data, Request(None if label_column == "none" else label_column, header), edition)


def source_names() -> str:
    """All sources, as the help and the error messages list them."""
    named = [key for key, source in SOURCES.items() if source.load is not None]
    return f"{', '.join(named)}, a file ({', '.join(_suffixes())}) or {_FOLDER}"


def _suffixes() -> list[str]:
    return [key for key in SOURCES if key.startswith(".")]


def split(dataset: Dataset, val_size: int | Literal["auto"]) -> Split:
    """Split the training rows: the last `val_size` of a permutation with a fixed seed are the validation rows.

    auto: a tenth, at most 5,000; 0: none. Raises BadInput where fewer than two training rows are left.
    """
    rows = len(dataset.x_train)
    n_val = min(5000, rows // 10) if val_size == "auto" else val_size
    if rows - n_val < 2:
        raise BadInput(
            f"val_size {n_val} leaves {max(rows - n_val, 0)} of {rows} training rows; allowed: 0 to {rows - 2}"
        )
    if n_val == 0:
        return Split(dataset.x_train, dataset.y_train, None, None)
    return Split(*_parted(dataset.x_train, dataset.y_train, n_val))


def _parted(x: Rows, y: Labels | None, last: int) -> tuple[Rows, Labels | None, Rows, Labels | None]:
    """A permutation of the rows with a fixed seed, in two parts: all but the last `last`, and those."""
    fit, held = np.split(np.random.default_rng(_SPLIT_SEED).permutation(len(x)), [len(x) - last])
    return x[fit], None if y is None else y[fit], x[held], None if y is None else y[held]


def _from_idx(name: str, classes: tuple[str, ...]) -> Dataset:
    """MNIST, or a data set in the same format. Raises BadInput."""
    images = load_idx(name)
    rows = _pixels(images.x_train), _pixels(images.x_test)
    shape, source = images.x_train.shape[1:], f"{name} (unpacked files of known MD5)"
    return Dataset(name, source, *rows, images.y_train, images.y_test, shape, "divided by 255", classes)


def _pixels(images: npt.NDArray[np.uint8]) -> Array:
    """Images (N, ...) of 8-bit numbers as rows (N, dim1) in [0, 1]."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat /= 255
    return flat


def _digits() -> Dataset:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels: Alpaydin & Kaynak 1998, UCI. No download."""
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    table = Table((x / 16).astype(np.float32), y.astype(np.int64), (8, 8))
    return _held_out("digits", "sklearn.datasets.load_digits", table, _DIGITS, "divided by 16")


def _low_rank() -> Dataset:
    """7,000 rows of 64 numbers that lie in 8 dimensions, plus noise: their curve has one true corner.

    x = z W + 0.01 e with z (N, 8) and e (N, 64) standard normal, and orthonormal rows in W (8, 64). The
    covariance has 8 eigenvalues near 1 and 56 near 0.0001.
    """
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((64, _RANK)))[0].T
    x = rng.standard_normal((7000, _RANK)) @ basis + _NOISE * rng.standard_normal((7000, 64))
    rows = x.astype(np.float32)
    return Dataset("low-rank", "synthetic", rows[:6000], rows[6000:], None, None, None, "none")


def _from_files(path: Path, test_data: str, wanted: Request, edition: int) -> Dataset:
    """The data set in a file or folder, with the test rows in `test_data` or in the file. Raises BadInput."""
    test_path = None if test_data == "none" else _existing(test_data)
    if test_path is None and test_data != "none":
        raise BadInput(f"test_data {test_data!r}: no such file or folder")
    sources = [_source_of(p) for p in (path, test_path) if p is not None]
    if wanted.header != "auto" and not any(source is not None and source.has_header for source in sources):
        suffixes = " or ".join(suffix for suffix in _suffixes() if SOURCES[suffix].has_header)
        raise BadInput(f"header goes with a {suffixes} file, and {path} is none; leave it out")
    table = _read_table(path, wanted)
    if test_path is not None and test_path.samefile(path) and not table.has_test:
        raise BadInput(f"test_data is {path} itself; name other rows, or leave it out, and the last sixth is held out")
    name = clean(path.resolve().stem, KEY_LENGTH).strip() or "data"
    tables, source = [table], str(path)
    if test_path is not None or table.has_test:
        test_path = test_path or path
        test = _in_order(_read_table(test_path, wanted._replace(test=True)), test_path, table, path)
        if test.x.shape[1] != table.x.shape[1] or test.image_shape != table.image_shape:
            whose = "its test array" if test_path == path else str(test_path)
            raise BadInput(
                f"{path} has {_shape(table)}, but {whose} has {_shape(test)}; training and test rows must match"
            )
        tables.append(test)
        source = f"{path}, test rows {test_path}" + " without labels" * (table.y is not None and test.y is None)
    (x, *x_test), scaling = _scaled(tables, edition)
    y, classes = None, tuple[str, ...]()
    if table.y is not None:
        words, numbers = np.unique(np.concatenate([t.y for t in tables if t.y is not None]), return_inverse=True)
        y, classes = numbers.astype(np.int64), tuple(map(str, words))
    if not x_test:
        return _held_out(name, source, table._replace(x=x, y=y), classes, scaling)
    y_train = None if y is None else y[: len(x)]
    y_test = None if y is None or tables[1].y is None else y[len(x) :]
    return Dataset(name, source, x, x_test[0], y_train, y_test, table.image_shape, scaling, classes)


def _read_table(path: Path, wanted: Request) -> Table:
    """The table in a file or folder, by its reader. Raises BadInput."""
    with reading(path):
        if not path.is_dir() and not path.is_file():  # a pipe would block
            raise BadInput(f"{path}: is neither a file nor a folder")
        source = _source_of(path)
        if source is None or source.read is None:
            kind = path.suffix or "a file without a suffix"
            raise BadInput(f"{path}: can't read {kind}; allowed: {', '.join(_suffixes())}")
        return source.read(path, wanted)


def _source_of(path: Path) -> DataSource | None:
    return SOURCES.get(_FOLDER if path.is_dir() else path.suffix.lower())


def _scaled(tables: Sequence[Table], edition: int) -> tuple[list[Rows], str]:
    """The rows of the tables, 8-bit pixels divided by 255, and the text for `Dataset.scaling`.

    8-bit numbers are pixels in pictures, and in arrays whose largest number is over 127. Raises BadInput where only
    some of the tables would be divided.
    """
    eight_bit = [t for t in tables if t.x.dtype == np.uint8]
    most = max((int(t.x.max()) for t in eight_bit), default=0)
    divide = most > _DARK or (eight_bit and (edition == 1 or any(t.from_pictures for t in eight_bit)))
    if divide and len(eight_bit) < len(tables):
        raise BadInput(
            "of the training and the test rows one holds 8-bit numbers, which would be divided by 255, and the other "
            "does not; save both as the same type"
        )
    common = np.result_type(np.float32, *(t.x.dtype for t in tables))
    rows = [_pixels(t.x) if divide else t.x.astype(common, copy=False) for t in tables]
    if divide:
        return rows, "divided by 255 (8-bit numbers)"
    return rows, f"none: 8-bit numbers up to {most} are no pixels" if eight_bit else "none"


def _in_order(test: Table, test_path: Path, table: Table, path: Path) -> Table:
    """The test rows with their columns in the order of the training columns, by name. Raises BadInput."""
    if test.names == table.names:
        return test
    if test.names is None or table.names is None:
        bare, named = (test_path, path) if test.names is None else (path, test_path)
        raise BadInput(
            f"the columns of {named} have names and those of {bare} have none, so they can't be matched; "
            "save both with names, or both without"
        )
    place = {name: i for i, name in enumerate(test.names)}
    lacks, known = [n for n in table.names if n not in place], set(table.names)
    more = [n for n in test.names if n not in known]
    if lacks or more:
        parts = [f"lacks {listed(lacks)}"] * bool(lacks) + [f"has {listed(more)} more"] * bool(more)
        raise BadInput(f"the columns of {test_path} must be those of {path}: it {' and '.join(parts)}")
    if not len(known) == len(table.names) == len(test.names):
        raise BadInput(f"{path} and {test_path} have columns of one name in another order, which can't be matched")
    return test._replace(x=np.ascontiguousarray(test.x[:, [place[name] for name in table.names]]))


def _existing(text: str) -> Path | None:
    """The file or folder typed as `text`, or None where there is none or the text can be no path."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError):
        return None


def _held_out(name: str, source: str, table: Table, classes: tuple[str, ...], scaling: str) -> Dataset:
    """A Dataset whose test rows are the last sixth of a permutation with a fixed seed. Raises BadInput."""
    rows = len(table.x)
    if rows < 3:
        raise BadInput(f"{source} has {rows} rows; at least 3 are needed, one of them to test on")
    x, y, x_test, y_test = _parted(table.x, table.y, max(1, rows // _TEST_SHARE))
    return Dataset(name, source, x, x_test, y, y_test, table.image_shape, scaling, classes)


def _shape(table: Table) -> str:
    return f"{table.x.shape[1]} columns" if table.image_shape is None else "x".join(map(str, table.image_shape))


class DataSource(NamedTuple):
    """A source of data: `load` returns a data set by its name, `read` the rows of one kind of file or folder.

    `has_header`: the first line of such a file may be a header, as --header says.
    """

    load: Callable[[], Dataset] | None = None
    read: Callable[[Path, Request], Table] | None = None
    has_header: bool = False


SOURCES: dict[str, DataSource] = {
    "mnist": DataSource(load=partial(_from_idx, "mnist", _DIGITS)),
    "fashion-mnist": DataSource(load=partial(_from_idx, "fashion-mnist", _CLOTHES)),
    "digits": DataSource(load=_digits),
    "low-rank": DataSource(load=_low_rank),
    ".npy": DataSource(read=read_arrays),
    ".npz": DataSource(read=read_arrays),
    ".csv": DataSource(read=read_csv, has_header=True),
    ".parquet": DataSource(read=read_parquet),
    _FOLDER: DataSource(read=read_images),
}
