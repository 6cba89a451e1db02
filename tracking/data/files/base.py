"""The result of each reader: the content of a file. Whatever is wrong with a file becomes one line of BadInput."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
from tqdm import tqdm

from ...store.errors import BadInput

_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")

_SEED = 0  # of the sample of --rows
_BYTES = 16  # of memory a number takes at the most: as it is read, as float32, and as float32 split into parts
_LARGE = 200_000_000  # bytes; a log names larger files before they are read
_SHOWN_AFTER = 2  # seconds, when a progress bar appears


class Table(NamedTuple):
    """The rows of a file, as an array or as columns.

    x (N, ...) holds numbers, or is None where the rows are the columns. `columns` are those of a table, of any type; or
    what lies beside x, such as labels. `labels` names the column that usually has them. `named` says whether the
    columns of a table have names in the file. notes tell how it was read where there was a choice.
    """

    x: npt.NDArray[Any] | None
    columns: pa.Table
    labels: str | None = None
    named: bool = True
    from_pictures: bool = False
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """The count of rows."""
        return int(self.columns.num_rows) if self.x is None else len(self.x)


class Contents(NamedTuple):
    """The parts of a file or folder: training rows, and validation and test rows where it says which they are."""

    train: Table
    val: Table | None = None
    test: Table | None = None


class Request(NamedTuple):
    """The fields of RunConfig that say how a file is read; for their meaning see there."""

    label_column: str | None = None
    others: tuple[str, ...] = ()  # further columns that are no part of the rows: ids, groups
    test: bool = False  # rows to test on, which may lack the others
    header: str = "auto"
    array: str | None = None
    rows: int | None = None
    resize: tuple[int, int] | None = None  # width, height

    @property
    def beside(self) -> tuple[str, ...]:
        """The columns that are asked for beside the rows."""
        return (*([] if self.label_column is None else [self.label_column]), *self.others)


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


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading from its begin to its end, with a progress bar where that takes over two seconds."""
    size = path.stat().st_size
    if size > _LARGE:
        _log.info("reading %s (%s)", path, gigabytes(size))
    with (
        path.open("rb") as file,
        tqdm.wrapattr(file, "read", size, desc=path.name, delay=_SHOWN_AFTER, disable=None) as watched,
    ):
        yield watched  # type: ignore[misc]  # a wrapper with all methods of the file


def sampled(count: int, wanted: Request) -> npt.NDArray[np.intp] | slice:
    """The rows to read of `count`: all, or for --rows a sample with a fixed seed, in the order of the file."""
    if wanted.rows is None or wanted.rows >= count:
        return slice(None)
    return np.sort(np.random.default_rng(_SEED).choice(count, wanted.rows, replace=False))


def check_memory(path: Path, rows: int, columns: int, wanted: Request) -> None:
    """Raise BadInput where so many rows of so many numbers do not fit into the free memory."""
    free, kept = psutil.virtual_memory().available, min(rows, wanted.rows or rows)
    need = kept * columns * _BYTES
    if need > free:
        fits = max(1, int(0.8 * free / (columns * _BYTES)))
        raise BadInput(
            f"{path}: {kept:,} rows of {columns:,} numbers need about {gigabytes(need)} of memory, and "
            f"{gigabytes(free)} are free; --rows {fits} reads a random sample"
        )


def gigabytes(count: float) -> str:
    """A number of bytes for a message."""
    return f"{count / 1e9:.3g} GB"


def shown(items: Sequence[_Item], name: str, unit: str) -> Iterable[_Item]:
    """The items, with a progress bar on a terminal where they take over two seconds."""
    return tqdm(items, desc=name, unit=unit, delay=_SHOWN_AFTER, disable=None)


def required(package: str, extra: str, path: Path) -> ModuleType:
    """The package that a reader needs. Raises BadInput, which names the extra, where it is not installed."""
    if importlib.util.find_spec(package) is None:
        raise BadInput(
            f"{path}: needs the package {package}; pip install 'elbowroom[{extra}]' or pip install {package}"
        )
    return importlib.import_module(package)


def listed(names: Sequence[str], most: int = 12) -> str:
    """The first names, each cut to 40 letters, and how many more there are."""
    return ", ".join(n[:40] for n in names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
