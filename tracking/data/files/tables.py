"""The readers of tables, .csv and .parquet, through Arrow."""

from __future__ import annotations

import csv
import re
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from ...store.errors import BadInput
from .base import Request, Table, checked_table, listed, reading

_CSV_BLOCK = 16 << 20  # bytes that Arrow reads at a time; a row can't be longer
_FAR = 3  # ranges of a column by which a number lies outside it


def read_csv(path: Path, wanted: Request) -> Table:
    """The columns of a .csv file. Raises BadInput.

    The first line is a header where it has anything but numbers, or the name of the labels. Arrow reads the file:
    it refuses rows of different lengths, which pandas pads or cuts without a warning.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(islice((line for line in file if line.strip("\r\n")), 2))
    first = next(csv.reader(lines[:1]), [])
    numbers = bool(first) and all(_is_number(cell) for cell in first) and wanted.label_column not in first
    unnamed = wanted.header == "no" or (wanted.header == "auto" and numbers)
    # With several threads Arrow's error does not name the row that is too short or too long.
    options = arrow_csv.ReadOptions(use_threads=False, autogenerate_column_names=unnamed, block_size=_CSV_BLOCK)
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
            f"{path}: its first line, {listed(first, 4)}, may be names of the columns or a row; "
            "--header yes or --header no says which"
        )
    return table._replace(names=None)


def _may_be_names(first: list[str], x: npt.NDArray[Any]) -> bool:
    """Whether numbers in the first line, which is the first row of x (N, dim1), may be the names of columns.

    True where one of these holds:
    - There are three columns or more, and the line is 0, 1, 2, …; or it is 1, 2, 3, … and some other row does not
      count up by 1 as well.
    - It is whole numbers, not all equal where there are several, and at most 2 % of the other rows are whole.
    - There are three columns or more, the line rises or falls in equal steps, and at most 10 % of the other rows do.
      From four columns or twenty rows on the steps need not be equal, and some may be 0: in a few rows of three
      columns that is common by chance.
    - In each column that varies, its number lies outside the others by more than three times their range.
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
    far = np.maximum(x[0] - high, low - x[0]) > _FAR * (high - low)
    return bool(varied.any() and far[varied].all())


def _is_rare(marks: npt.NDArray[np.bool_], share: float) -> bool:
    """Whether the first row is marked, and at most this share of the others."""
    return bool(marks[0] and marks[1:].mean() <= share)


def _separated_otherwise(lines: list[str]) -> str | None:
    """The separator of the first two lines where it is no comma, as an error message; None where none is found."""
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


def read_parquet(path: Path, wanted: Request) -> Table:
    """The columns of a .parquet file, without an index that pandas saved. Raises BadInput."""
    with parquet.ParquetFile(path) as file:
        table = file.read()
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return _columns(table.drop_columns([name for name in index if name in table.column_names]), wanted, path)


def _columns(table: pa.Table, wanted: Request, path: Path) -> Table:
    """The columns of numbers as rows, and the labels, which a file of test rows may lack. Raises BadInput."""
    if table.num_rows == 0:
        raise BadInput(f"{path}: has a header and no rows")
    y, label_column = None, wanted.label_column
    if label_column is not None and (label_column in table.column_names or not wanted.test):
        found = [i for i, name in enumerate(table.column_names) if name == label_column]
        if not found:
            raise BadInput(f"{path}: has no column {label_column!r}; it has: {listed(table.column_names)}")
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
    return checked_table(array, y, path)._replace(names=tuple(table.column_names))


def _why_no_numbers(name: str, column: pa.ChunkedArray) -> str:
    """The error message for a column: what it holds in place of numbers."""
    kind = column.type
    if pa.types.is_nested(kind):
        held = "lists" if "list" in str(kind) else kind
        return f"column {name!r} holds {held}, not numbers; save each of their values as a column of its own"
    others = ((row, str(v)[:40]) for row, v in enumerate(column.to_pylist(), 1) if not _is_number(v))
    row, text = next(others, (1, str(column[0])))
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
    with reading(f"{path}: column {name!r}"):
        words = np.array(column.cast(pa.large_string()).to_pylist(), dtype=str)
    if (words == "").any():
        raise BadInput(f"{path}: row {int((words == '').argmax()) + 1}, column {name!r} is empty")
    return words


def _row(marks: pa.ChunkedArray) -> int:
    """The number of the first marked row, from 1."""
    return int(pc.index(marks, True).as_py()) + 1


def _holds_numbers(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_number(cell: object) -> bool:
    text = str(cell)
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text  # float() also takes 1_000 and the digits of other scripts
