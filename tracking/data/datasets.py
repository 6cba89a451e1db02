"""Data sets, and `SOURCES`, the one registry of where they come from.

To add a data set by name, write a function that returns a `Dataset`; to add a kind of file, a reader in `files/` that
returns its `Contents`. Either needs one line in `SOURCES`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from elbowroom.models import Array, Rows, in_unit_interval
from elbowroom.models.lazy_sklearn import sklearn

from ..config import RunConfig
from ..store.errors import BadInput
from ..store.names import TABLE_FIELDS
from ..store.text import KEY_LENGTH, clean
from .files.arrays import read_mat, read_npy
from .files.base import Contents, Request, reading
from .files.builtin import read_sklearn, read_torchvision
from .files.hdf5 import read_h5, read_h5ad
from .files.images import read_images
from .files.tables import COMPRESSED, read_excel, read_feather, read_json_lines, read_parquet, read_text
from .mnist import load_idx
from .precision import far_from_zero
from .preparation import Encoding, Part, Scaler, arrange, as_floats, fitted, is_class, scaler_of

_SPLIT_SEED = 0  # of every split; never the run's seed, or seeds would be compared on different rows
_DARK = 127  # 8-bit numbers all up to it may be counts or classes; pictures have some above
_TEST_SHARE = 6  # of a source without a test set the last sixth is held out
_RANK, _NOISE = 8, 0.01  # of low-rank
_FOLDER = "a folder of images"
_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_FILE_FIELDS = ("test_data", "label_column", "header", *TABLE_FIELDS)  # of RunConfig: for files and folders alone

DATA_FIELDS = ("dataset", *_FILE_FIELDS, "edition", "val_size")
"""The fields of RunConfig that say which rows there are."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training rows and test rows.

    x_train (N, dim1) and x_test (N_test, dim1) are float32, or float64 where float32 lacks digits of the file. y_train
    (N,) and y_test (N_test,) are indices into `classes`; or float64, and no classes, where the labels are measured; or
    None. `image_shape` is (height, width) or (height, width, 3) where a row is a picture, else None. `scaling` says how
    the numbers were scaled, `source` where they come from.

    Of a table `names` are those of the columns, `scaler` and `encoding` what was fitted on the training rows to scale
    the rows and to handle gaps and words, and `notes` tell how the file was read. ids_test names the test rows. The
    last `val_rows` training rows are validation rows of the source's own; `groups` (N,) must not be split.
    """

    name: str
    source: str
    x_train: Rows
    x_test: Rows
    y_train: npt.NDArray[Any] | None
    y_test: npt.NDArray[Any] | None
    image_shape: tuple[int, ...] | None
    scaling: str
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    scaler: Scaler | None = None
    encoding: Encoding | None = None
    ids_test: npt.NDArray[np.str_] | None = None
    groups: npt.NDArray[Any] | None = None
    val_rows: int = 0
    notes: tuple[str, ...] = ()

    @property
    def dim1(self) -> int:
        """The count of numbers in a row."""
        return int(self.x_train.shape[1])

    @property
    def columns(self) -> list[dict[str, Any]] | None:
        """The columns of a table with what `encoding` does to each; None where there are no names to find them by."""
        if self.names is None or len(set(self.names)) < len(self.names):
            return None
        words = {} if self.encoding is None else self.encoding.words
        numbers = self.names[: self.dim1 - sum(map(len, words.values()))]
        fill = None if self.encoding is None or self.encoding.fill is None else self.encoding.fill.tolist()
        plain = [{"name": name, "fill": fill and fill[i]} for i, name in enumerate(numbers)]
        return [*plain, *({"name": name, "words": list(found)} for name, found in words.items())]

    @cached_property
    def test_repeats(self) -> bool:
        """Whether every test row is one of the training rows."""
        return {hash(row.tobytes()) for row in self.x_test} <= {hash(row.tobytes()) for row in self.x_train}


class Split(NamedTuple):
    """The training rows of a Dataset in two parts: those to train on, and the validation rows."""

    x_train: Rows
    y_train: npt.NDArray[Any] | None
    x_val: Rows | None
    y_val: npt.NDArray[Any] | None


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


def load_dataset(given: RunConfig | str) -> Dataset:
    """The data set that a configuration names, or one by its name or path alone.

    Where the source has no test rows, they are the last sixth of a fixed permutation. Raises BadInput where there is no
    such source, or it can't be read as rows of finite numbers.
    """
    config = given if isinstance(given, RunConfig) else RunConfig(dataset=given)
    name = config.dataset
    source = SOURCES.get(name)
    if source is not None and source.load is not None:
        for field in _FILE_FIELDS:
            if getattr(config, field) != getattr(RunConfig, field):
                raise BadInput(f"{field} goes with a file or folder of your own, and {name} has its own; leave it out")
        return source.load()
    library, colon, inside = name.partition(":")
    if colon and (source := SOURCES.get(f"{library}:")) is not None and source.read_name is not None:
        parts = _parts_of(source.read_name(inside, request_of(config)), config, Path(name), hold_out=True)
        return _assembled(parts, clean(inside, KEY_LENGTH), name, config)
    path = _existing(name)
    if path is None:
        raise BadInput(
            f"unknown dataset {name!r}: no such file or folder, and no data set of that name; known: {source_names()}"
        )
    return _from_files(path, config)


def source_names() -> str:
    """All sources, as the help and the error messages list them."""
    named = [key for key, source in SOURCES.items() if source.load is not None]
    prefixes = [f"{key}NAME" for key, source in SOURCES.items() if source.read_name is not None]
    return f"{', '.join([*named, *prefixes])}, a file ({', '.join(_suffixes())}) or {_FOLDER}"


def _suffixes() -> list[str]:
    return [key for key in SOURCES if key.startswith(".")]


def split(dataset: Dataset, val_size: int | Literal["auto"]) -> Split:
    """Split the training rows: the last `val_size` of a permutation with a fixed seed are the validation rows.

    auto: the source's own, else a tenth, at most 5,000; 0: none. Groups stay whole. Raises BadInput where fewer than
    two training rows are left.
    """
    x, y = dataset.x_train, dataset.y_train
    fit, val = _fit_and_val(len(x), val_size, dataset.val_rows, dataset.groups)
    if not len(val):
        return Split(x, y, None, None)
    return Split(x[fit], None if y is None else y[fit], x[val], None if y is None else y[val])


def _fit_and_val(
    rows: int, val_size: int | Literal["auto"], own: int, groups: npt.NDArray[Any] | None
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The places of the rows to train on and of the validation rows. Raises BadInput where too few are left."""
    if val_size == "auto" and own:
        return np.arange(rows - own), np.arange(rows - own, rows)
    n_val = min(5000, rows // 10) if val_size == "auto" else val_size
    if rows - n_val < 2:
        raise BadInput(
            f"val_size {n_val} leaves {max(rows - n_val, 0)} of {rows} training rows; allowed: 0 to {rows - 2}"
        )
    return _parted(rows, n_val, groups) if n_val else (np.arange(rows), np.arange(0))


def _parted(rows: int, last: int, groups: npt.NDArray[Any] | None) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """A permutation of the rows with a fixed seed, in two parts: all but the last `last`, and those.

    With groups, about as large a share of the groups. Raises BadInput where there are too few of them.
    """
    if groups is None:
        fit, held = np.split(np.random.default_rng(_SPLIT_SEED).permutation(rows), [rows - last])
        return fit, held
    if len(np.unique(groups)) < 2:
        raise BadInput("group_column: the rows are one group, and at least 3 are needed")
    splitter = sklearn.model_selection.GroupShuffleSplit(1, test_size=last / rows, random_state=_SPLIT_SEED)
    ((fit, held),) = splitter.split(np.empty((rows, 0)), groups=groups)
    return fit, held


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
    rows, labels = (x / 16).astype(np.float32), y.astype(np.int64)
    kept, held = _parted(len(rows), len(rows) // _TEST_SHARE, None)
    parts = rows[kept], rows[held], labels[kept], labels[held]
    return Dataset("digits", "sklearn.datasets.load_digits", *parts, (8, 8), "divided by 16", _DIGITS)


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


def request_of(config: RunConfig) -> Request:
    """The fields of a configuration that readers need. Raises BadInput for a size that is none."""
    size = None
    if config.resize != "none":
        if (found := re.fullmatch("([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", config.resize)) is None:
            raise BadInput(f"resize must be none or WIDTHxHEIGHT, such as 32x32, got {config.resize!r}")
        size = int(found[1]), int(found[2])
    return Request(
        label_column=None if config.label_column == "none" else config.label_column,
        others=tuple(n for n in dict.fromkeys((config.id_column, config.group_column)) if n != "none"),
        header=config.header,
        array=None if config.array == "auto" else config.array,
        rows=None if config.rows == "all" else config.rows,
        resize=size,
    )


def _from_files(path: Path, config: RunConfig) -> Dataset:
    """The data set in a file or folder, with the test rows in `test_data` or in the file. Raises BadInput."""
    test_path = None if config.test_data == "none" else _existing(config.test_data)
    if test_path is None and config.test_data != "none":
        raise BadInput(f"test_data {config.test_data!r}: no such file or folder")
    sources = [_source_of(p) for p in (path, test_path) if p is not None]
    if config.header != "auto" and not any(source is not None and source.has_header for source in sources):
        suffixes = " or ".join(suffix for suffix in _suffixes() if SOURCES[suffix].has_header)
        raise BadInput(f"header goes with a {suffixes} file, and {path} is none; leave it out")
    wanted = request_of(config)
    same = test_path is not None and test_path.samefile(path)
    parts = _parts_of(read(path, wanted), config, path, hold_out=test_path is None)
    if same and parts.test is None:
        raise BadInput(f"test_data is {path} itself; name other rows, or leave it out, and the last sixth is held out")
    if test_path is not None and not same:
        held = read(test_path, wanted._replace(test=True))
        parts = parts._replace(test=arrange(held.test or held.train, config, test_path, parts.train), in_file=True)
    source = f"{path}, test rows {test_path or path}" if parts.in_file else str(path)
    name = clean(path.resolve().name.split(".")[0], KEY_LENGTH).strip() or "data"
    return _assembled(parts, name, source, config)


class _Parts(NamedTuple):
    """Training rows, the last `val_rows` of which are validation rows; test rows, which were `in_file` or held out."""

    train: Part
    val_rows: int
    test: Part | None
    in_file: bool


def _parts_of(contents: Contents, config: RunConfig, path: Path, *, hold_out: bool) -> _Parts:
    """The parts of what a reader returned; where it has no test rows, a sixth is held out. Raises BadInput."""
    train, val_rows = arrange(contents.train, config, path), 0
    if contents.val is not None:
        val = arrange(contents.val, config, path, train)
        train, val_rows = _joined(train, val), len(val)
    if contents.test is not None:
        return _Parts(train, val_rows, arrange(contents.test, config, path, train), True)
    del contents  # it may be as large as the rows
    if not hold_out:
        return _Parts(train, val_rows, None, False)
    if len(train) < 3:
        raise BadInput(f"{path} has {len(train)} rows; at least 3 are needed, one of them to test on")
    kept, held = _parted(len(train), max(1, len(train) // _TEST_SHARE), train.groups)
    return _Parts(train.take(kept), 0, train.take(held), False)


def _assembled(parts: _Parts, name: str, source: str, config: RunConfig) -> Dataset:
    """The data set of training and test rows: encoded and scaled by the rows to train on. Raises BadInput."""
    train, val_rows, test, in_file = parts
    assert test is not None
    if in_file:
        source += " without labels" * (train.y is not None and test.y is None)
        _check_parts(train, test)
    fit, _ = _fit_and_val(len(train), config.val_size, val_rows, train.groups)
    encoding = fitted(train, fit, config)
    (x, x_test), scaling = _scaled([encoding.apply(train), encoding.apply(test)], train, test, config)
    scaler = scaler_of(x, fit, config.scale)
    if scaler is not None:
        x, x_test = scaler.apply(x), scaler.apply(x_test)
        scaling = f"{config.scale}: mean 0 and variance 1" + " over all columns" * (config.scale == "global")
    names = None
    if train.names is not None:
        names = (*train.names, *(f"{column}={word}" for column, words in encoding.words.items() for word in words))
    y, y_test, classes = _labels(train.y, test.y)
    return Dataset(
        name=name,
        source=source,
        x_train=x,
        x_test=x_test,
        y_train=y,
        y_test=y_test,
        image_shape=train.image_shape,
        scaling=scaling,
        classes=classes,
        names=names,
        scaler=scaler,
        encoding=encoding,
        ids_test=None if test.ids is None else test.ids.astype(str),
        groups=train.groups,
        val_rows=val_rows,
        notes=(*train.notes, *(f"{note} (test rows)" for note in test.notes if note not in train.notes)),
    )


def _joined(first: Part, second: Part) -> Part:
    """The rows of two parts, one below the other."""
    both = {
        name: None if a is None or b is None else np.concatenate([a, b])
        for name in ("numbers", "y", "ids", "groups")
        for a, b in [(getattr(first, name), getattr(second, name))]
    }
    words = {name: np.concatenate([values, second.words[name]]) for name, values in first.words.items()}
    return replace(first, words=words, **both)  # type: ignore[arg-type]


def _check_parts(train: Part, test: Part) -> None:
    """Raise BadInput where training and test rows do not match, or share a group."""
    if test.numbers.shape[1] != train.numbers.shape[1] or test.image_shape != train.image_shape:
        raise BadInput(f"training rows have {_shape(train)}, and test rows have {_shape(test)}; they must match")
    if train.groups is not None and test.groups is not None:
        shared = np.intersect1d(train.groups.astype(str), test.groups.astype(str)).tolist()
        if shared:
            raise BadInput(f"group_column: {len(shared)} groups, such as {shared[0]!r}, have training and test rows")


def _labels(
    y: npt.NDArray[Any] | None, y_test: npt.NDArray[Any] | None
) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None, tuple[str, ...]]:
    """The labels of training and test rows as indices into the classes, or as numbers that are no classes."""
    if y is None:
        return None, None, ()
    given = y if y_test is None else np.concatenate([y, y_test])
    if not is_class(given):
        return y.astype(np.float64), None if y_test is None else y_test.astype(np.float64), ()
    words, numbers = np.unique(given.astype(str) if given.dtype.kind == "O" else given, return_inverse=True)
    numbers = numbers.astype(np.int64)
    return numbers[: len(y)], None if y_test is None else numbers[len(y) :], tuple(map(str, words))


def read(path: Path, wanted: Request) -> Contents:
    """The content of a file or folder, by its reader. Raises BadInput."""
    with reading(path):
        if not path.is_dir() and not path.is_file():  # a pipe would block
            raise BadInput(f"{path}: is neither a file nor a folder")
        source = _source_of(path)
        if source is None or source.read is None:
            kind = path.suffix or "a file without a suffix"
            raise BadInput(f"{path}: can't read {kind}; allowed: {', '.join(_suffixes())}")
        return source.read(path, wanted)


def _source_of(path: Path) -> DataSource | None:
    suffix = path.suffix.lower()
    if suffix in COMPRESSED:
        inner = SOURCES.get(path.with_suffix("").suffix.lower())
        return inner if inner is not None and inner.is_text else None
    return SOURCES.get(_FOLDER if path.is_dir() else suffix)


def _scaled(arrays: Sequence[npt.NDArray[Any]], train: Part, test: Part, config: RunConfig) -> tuple[list[Rows], str]:
    """The training and test rows, pixels divided by their largest number, and the text for `Dataset.scaling`.

    8-bit numbers are pixels in pictures, and in arrays whose largest number is over 127. Raises BadInput where only
    one of the two would be divided.
    """
    eight_bit = [a for a in arrays if a.dtype == np.uint8]
    most = max((int(a.max()) for a in eight_bit), default=0)
    pictures = train.from_pictures or test.from_pictures
    divide = most > _DARK or (eight_bit and (config.edition == 1 or pictures))
    if config.scale == "255":
        return as_floats([a / np.float32(255) for a in arrays]), "divided by 255"
    if config.scale != "auto":
        return as_floats(arrays), "none"
    if divide and len(eight_bit) < len(arrays):
        raise BadInput(
            "of the training and the test rows one holds 8-bit numbers, which would be divided by 255, and the other "
            "does not; save both as the same type"
        )
    if divide:
        return [_pixels(a) for a in arrays], "divided by 255 (8-bit numbers)"
    if pictures and all(a.dtype == np.uint16 for a in arrays):
        return as_floats([a / np.float32(65535) for a in arrays]), "divided by 65535 (16-bit numbers)"
    return as_floats(arrays), f"none: 8-bit numbers up to {most} are no pixels" if eight_bit else "none"


def _existing(text: str) -> Path | None:
    """The file or folder typed as `text`, or None where there is none or the text can be no path."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError):
        return None


def _shape(part: Part) -> str:
    return f"{part.numbers.shape[1]} columns" if part.image_shape is None else "x".join(map(str, part.image_shape))


class DataSource(NamedTuple):
    """A source of data.

    `load` returns a data set by its name, `read` the content of one kind of file or folder, `read_name` that of a
    library's data set by its name there. `has_header`: the first line of such a file may be a header, as --header says.
    `is_text`: such a file may be compressed.
    """

    load: Callable[[], Dataset] | None = None
    read: Callable[[Path, Request], Contents] | None = None
    read_name: Callable[[str, Request], Contents] | None = None
    has_header: bool = False
    is_text: bool = False


_TEXT = DataSource(read=read_text, has_header=True, is_text=True)
SOURCES: dict[str, DataSource] = {
    "mnist": DataSource(load=partial(_from_idx, "mnist", _DIGITS)),
    "fashion-mnist": DataSource(load=partial(_from_idx, "fashion-mnist", _CLOTHES)),
    "digits": DataSource(load=_digits),
    "low-rank": DataSource(load=_low_rank),
    "sklearn:": DataSource(read_name=read_sklearn),
    "torchvision:": DataSource(read_name=read_torchvision),
    ".csv": _TEXT,
    ".tsv": _TEXT,
    ".txt": _TEXT,
    ".xlsx": DataSource(read=read_excel, has_header=True),
    ".jsonl": DataSource(read=read_json_lines, is_text=True),
    ".ndjson": DataSource(read=read_json_lines, is_text=True),
    ".parquet": DataSource(read=read_parquet),
    ".feather": DataSource(read=read_feather),
    ".arrow": DataSource(read=read_feather),
    ".npy": DataSource(read=read_npy),
    ".npz": DataSource(read=read_npy),
    ".mat": DataSource(read=read_mat),
    ".h5": DataSource(read=read_h5),
    ".hdf5": DataSource(read=read_h5),
    ".h5ad": DataSource(read=read_h5ad),
    _FOLDER: DataSource(read=read_images),
}
