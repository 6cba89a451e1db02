"""The data sets, and the one registry of them.

To add one: a function that gives a `Dataset`, and one line in `DATASETS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from elbowroom.models import Array, Rows
from elbowroom.models.lazy import sklearn
from elbowroom.models.neural.training import in_unit_interval

from ..config import RunConfig
from ..store.errors import BadInput
from ..store.text import KEY_LENGTH, clean
from .files import Table, load_table, some
from .mnist import load_idx

Labels = npt.NDArray[np.int64]

SPLIT_SEED = 0  # of every split; never the run's seed, or seeds would be compared on different rows
MOST_OFFSET = 3000  # standard deviations from 0; beyond, rounding to float32 adds over 1e-8 of the rows' variance
DARK = 127  # 8-bit numbers all up to it may be counts or classes; pictures have some above
TEST_SHARE = 6  # a source without a test set gives its last sixth


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows to learn from and rows to be judged on.

    x_train (N, dim1) and x_test (N_test, dim1) are float32, or float64 where those were read; y_train (N,)
    and y_test (N_test,) are class numbers into `classes`, or None. `image_shape` is (height, width) or
    (height, width, 3) where a row is a picture, else None. `scaling` says what reading did to the numbers,
    `source` where they are from.
    """

    name: str
    source: str
    x_train: Rows
    x_test: Rows
    y_train: Labels | None
    y_test: Labels | None
    image_shape: tuple[int, ...] | None
    scaling: str
    classes: tuple[str, ...] = field(default=())

    @property
    def dim1(self) -> int:
        """Numbers in a row."""
        return int(self.x_train.shape[1])

    @cached_property
    def test_repeats(self) -> bool:
        """Whether every test row is one of the training rows."""
        return {hash(row.tobytes()) for row in self.x_test} <= {hash(row.tobytes()) for row in self.x_train}

    @cached_property
    def digest(self) -> str:
        """Of all rows in order, training rows then test rows; see `digest`."""
        return digest(self.x_train, self.x_test)


class Split(NamedTuple):
    """The training rows of a Dataset parted into those to learn from and those to choose by."""

    x_train: Rows
    y_train: Labels | None
    x_val: Rows | None
    y_val: Labels | None


def value_range(x: Rows) -> tuple[float, float]:
    """From the lowest to the highest value of x, or [0, 1] where all lie there."""
    return (0.0, 1.0) if in_unit_interval(x) else (float(x.min()), float(x.max()))


def digest(*arrays: Rows) -> str:
    """Truncated SHA-256, 16 hexadecimal digits, over the shapes and all rows of arrays in order.

    Of float32s, as runs before had read them all; of the float64s where a column has too few digits as float32.
    MLflow's own digest of a numpy array reads its first 10,000 numbers: 12 images of MNIST.
    """
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(repr(array.shape).encode())
        sha.update(np.ascontiguousarray(array, dtype=np.float64 if far_from_zero(array).size else np.float32).data)
    return sha.hexdigest()[:16]


def far_from_zero(x: Rows) -> npt.NDArray[np.intp]:
    """The columns of x (N, dim1) with float64s that vary by so little about their mean that float32 would lose it."""
    if x.dtype == np.float32 or not x.size:
        return np.array([], dtype=np.intp)
    deviations = np.square(x - x.mean(axis=0)).sum(axis=0)
    return np.flatnonzero((np.square(x).sum(axis=0) > MOST_OFFSET**2 * deviations) & (np.ptp(x, axis=0) > 0))


def load_dataset(
    name: str,
    *,
    test_data: str = "none",
    label_column: str = "none",
    header: str = "auto",
    edition: int = RunConfig.edition,
) -> Dataset:
    """The data set of that name, or of that file or folder; the fields are those of RunConfig. Raises BadInput."""
    if name in DATASETS:
        for flag, value in {"test_data": test_data, "label_column": label_column, "header": header}.items():
            if value != getattr(RunConfig, flag):
                raise BadInput(f"{flag} goes with a file or folder of your own, and {name} has its own; leave it out")
        return DATASETS[name]()
    path = _existing(name)
    if path is None:
        raise BadInput(
            f"unknown dataset {name!r}: no such file or folder, and no data set of that name; "
            f"known: {', '.join(DATASETS)}, or a file (.npy, .npz, .csv, .parquet) or folder of images"
        )
    return _own(path, test_data, label_column, header, edition)


def split(dataset: Dataset, val_size: int | Literal["auto"]) -> Split:
    """Part the training rows: the last `val_size` of a permutation with a fixed seed are for validation.

    auto: a tenth, at most 5,000; 0: none, and all rows are learnt from. Raises BadInput where fewer than
    two training rows are left.
    """
    rows = len(dataset.x_train)
    n_val = min(5000, rows // 10) if val_size == "auto" else val_size
    if rows - n_val < 2:
        raise BadInput(
            f"val_size {n_val} leaves {max(rows - n_val, 0)} of {rows} training rows; allowed: 0 to {rows - 2}"
        )
    if n_val == 0:
        return Split(dataset.x_train, dataset.y_train, None, None)
    fit, val = _parted(rows, n_val)
    y = dataset.y_train
    return Split(
        dataset.x_train[fit],
        None if y is None else y[fit],
        dataset.x_train[val],
        None if y is None else y[val],
    )


def _parted(rows: int, last: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Row numbers of all but the last, and of the last, of a permutation with a fixed seed."""
    order = np.random.default_rng(SPLIT_SEED).permutation(rows)
    return order[: rows - last], order[rows - last :]


def _mnist() -> Dataset:
    return _from_idx("mnist", tuple("0123456789"))


def _fashion_mnist() -> Dataset:
    classes = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    return _from_idx("fashion-mnist", classes)


def _from_idx(name: str, classes: tuple[str, ...]) -> Dataset:
    images = load_idx(name)
    return Dataset(
        name=name,
        source=images.source,
        x_train=_pixels(images.x_train),
        x_test=_pixels(images.x_test),
        y_train=images.y_train,
        y_test=images.y_test,
        image_shape=images.x_train.shape[1:],
        scaling="divided by 255",
        classes=classes,
    )


def _pixels(images: npt.NDArray[np.uint8]) -> Array:
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat /= 255
    return flat


def _digits() -> Dataset:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels: Alpaydin & Kaynak 1998, UCI. No download."""
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    table = Table((x / 16).astype(np.float32), y.astype(np.int64), (8, 8))
    return _held_out("digits", "sklearn.datasets.load_digits", table, tuple("0123456789"), "divided by 16")


LOW_RANK, LOW_RANK_NOISE = 8, 0.01


def _low_rank() -> Dataset:
    """7,000 rows of 64 numbers that lie in 8 dimensions but for noise: a curve with one true corner.

    x = z W + 0.01 e, with z (N, 8) and e (N, 64) standard normal and W (8, 64) of orthonormal rows, so
    that the covariance has 8 eigenvalues near 1 and 56 near 0.0001.
    """
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((64, LOW_RANK)))[0].T
    x = rng.standard_normal((7000, LOW_RANK)) @ basis + LOW_RANK_NOISE * rng.standard_normal((7000, 64))
    rows = x.astype(np.float32)
    return Dataset("low-rank", "synthetic", rows[:6000], rows[6000:], None, None, None, "none")


def _own(path: Path, test_data: str, label_column: str, header: str, edition: int) -> Dataset:
    test_path = None if test_data == "none" else _existing(test_data)
    if test_path is None and test_data != "none":
        raise BadInput(f"test_data {test_data!r}: no such file or folder")
    if header != "auto" and ".csv" not in {p.suffix.lower() for p in (path, test_path) if p is not None}:
        raise BadInput(f"header goes with a .csv file, and {path} is none; leave it out")
    table = load_table(path, label_column, header)
    if test_path is not None and test_path.samefile(path) and not table.has_test:
        raise BadInput(f"test_data is {path} itself; name other rows, or leave it out and the last sixth are held out")
    name = clean(path.resolve().stem, KEY_LENGTH).strip() or "data"
    if test_path is None and not table.has_test:
        y, classes = _class_numbers(table.y)
        (x,), scaling = _scaled([table], edition)
        return _held_out(name, str(path), table._replace(x=x, y=y), classes, scaling)
    test_path = test_path or path
    test = _in_order(load_table(test_path, label_column, header, test=True), test_path, table, path)
    if test.x.shape[1] != table.x.shape[1] or test.image_shape != table.image_shape:
        whose = "its test array" if test_path == path else str(test_path)
        raise BadInput(f"{path} has {_shape(table)}, but {whose} has {_shape(test)}; training and test rows must match")
    (x_train, x_test), scaling = _scaled([table, test], edition)
    labels = [] if table.y is None else [t.y for t in (table, test) if t.y is not None]
    y, classes = _class_numbers(np.concatenate(labels) if labels else None)
    n = len(table.x)
    return Dataset(
        name=name,
        source=f"{path}, test rows {test_path}" + " without labels" * (y is not None and test.y is None),
        x_train=x_train,
        x_test=x_test,
        y_train=None if y is None else y[:n],
        y_test=None if y is None or test.y is None else y[n:],
        image_shape=table.image_shape,
        scaling=scaling,
        classes=classes,
    )


def _scaled(tables: Sequence[Table], edition: int) -> tuple[list[Rows], str]:
    """The rows of the tables, 8-bit numbers divided by 255 where those are pixels, and what was done.

    They are pixels in pictures, and in arrays whose largest is over 127; else counts, classes or marks.
    Raises BadInput where some would be divided and others not.
    """
    eight_bit = [t for t in tables if t.x.dtype == np.uint8]
    most = max((int(t.x.max()) for t in eight_bit), default=0)
    divide = most > DARK or (eight_bit and (edition == 1 or any(t.from_pictures for t in eight_bit)))
    if divide and len(eight_bit) < len(tables):
        raise BadInput(
            "of training and test rows one holds 8-bit numbers, which would be divided by 255, and the other does not; "
            "save both as the same type"
        )
    common = np.result_type(np.float32, *(t.x.dtype for t in tables))
    rows = [_pixels(t.x) if divide else t.x.astype(common, copy=False) for t in tables]
    if divide:
        return rows, "divided by 255 (8-bit numbers)"
    return rows, f"none: 8-bit numbers up to {most} are no pixels" if eight_bit else "none"


def _in_order(test: Table, test_path: Path, table: Table, path: Path) -> Table:
    """The test rows with their columns in the order of the training rows', matched by name. Raises BadInput."""
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
        parts = [f"lacks {some(lacks)}"] * bool(lacks) + [f"has {some(more)} more"] * bool(more)
        raise BadInput(f"the columns of {test_path} must be those of {path}: it {' and '.join(parts)}")
    if not len(known) == len(table.names) == len(test.names):
        raise BadInput(f"{path} and {test_path} have columns of one name in another order, which can't be matched")
    return test._replace(x=np.ascontiguousarray(test.x[:, [place[name] for name in table.names]]))


def _existing(text: str) -> Path | None:
    """The file or folder typed as `text`, or None where there is none or no path can be called so."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError):
        return None


def _held_out(name: str, source: str, table: Table, classes: tuple[str, ...], scaling: str) -> Dataset:
    """A Dataset whose test rows are the last sixth of a permutation with a fixed seed."""
    rows = len(table.x)
    fit, test = _parted(rows, max(1, rows // TEST_SHARE))
    if len(fit) < 2:
        raise BadInput(f"{source} has {rows} rows; at least 3 are needed, one of them to test on")
    y = None if table.y is None else table.y.astype(np.int64)
    return Dataset(
        name=name,
        source=source,
        x_train=table.x[fit],
        x_test=table.x[test],
        y_train=None if y is None else y[fit],
        y_test=None if y is None else y[test],
        image_shape=table.image_shape,
        scaling=scaling,
        classes=classes,
    )


def _class_numbers(labels: npt.NDArray[np.generic] | None) -> tuple[Labels | None, tuple[str, ...]]:
    """Labels of any kind as numbers from 0, and the class that each number stands for."""
    if labels is None:
        return None, ()
    classes, numbers = np.unique(labels, return_inverse=True)
    return numbers.astype(np.int64), tuple(str(c) for c in classes)


def _shape(table: Table) -> str:
    return f"{table.x.shape[1]} columns" if table.image_shape is None else "x".join(map(str, table.image_shape))


DATASETS: dict[str, Callable[[], Dataset]] = {
    "mnist": _mnist,
    "fashion-mnist": _fashion_mnist,
    "digits": _digits,
    "low-rank": _low_rank,
}
