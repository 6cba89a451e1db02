"""The dialect of a text table: its encoding, separator, decimal mark and header, read off its first lines."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_FAR = 3  # ranges of a column by which a number lies outside it
_WORDS = {",": "commas", ";": "';'", "\t": "tabs", "|": "'|'", " ": "spaces"}
_LOOKED_AT = 200  # lines
_REGULAR = 0.9  # share of the lines that have one number of cells; the reader names one that hasn't


class Dialect(NamedTuple):
    """How the text of a table is cut into cells; `skipped` lines of comments come first."""

    encoding: str = "utf-8"
    separator: str = ","
    decimal: str = "."
    skipped: int = 0
    quotes: bool = False
    unsure: str = ""  # a number that may have a decimal comma or a separator of thousands, where all are such
    first: tuple[str, ...] = ()  # the cells of the first line
    line_bytes: float = 1.0  # of a line, in the mean

    @property
    def notes(self) -> tuple[str, ...]:
        """The choices that the usual .csv does not need."""
        notes = [f"separated by {_WORDS[self.separator]}"] * (self.separator != ",")
        notes += ["with decimal commas"] * (self.decimal == ",")
        notes += [f"in the encoding {self.encoding}"] * (self.encoding != "utf-8")
        notes += [f"without {self.skipped} lines of comments"] * (self.skipped > 0)
        return (", ".join(notes),) if notes else ()


def dialect_of(head: bytes) -> Dialect:
    """The dialect of a file that begins with `head`, whole lines if there are more.

    Of all separators with which the lines have the same number of cells, above one, and of both decimal marks, the
    reading with the largest share of numbers is taken; of equal ones the one with more cells, then the usual one.
    """
    encoding = _encoding(head)
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    lines = [line for line in text.splitlines() if line.strip()][:_LOOKED_AT]
    skipped = next((i for i, line in enumerate(lines) if not line.startswith("#")), 0)
    lines, quotes = lines[skipped:], '"' in text
    found = []
    for order, separator in enumerate(_WORDS):
        rows = cells_of(lines, separator)
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        if width < 2 or count < _REGULAR * len(rows):
            continue
        body = [cell for row in (rows[1:] or rows) for cell in row if cell]
        for comma in (False, True):
            numbers = sum((has_decimal_comma(cell) or is_whole(cell)) if comma else is_number(cell) for cell in body)
            decimals = comma and any(map(has_decimal_comma, body))
            if not comma or decimals:
                found.append((numbers / max(len(body), 1), width, -order, not comma, separator))
    *_, point, separator = max(found, default=(True, ","))
    first = tuple(cells_of(lines[:1], separator)[0]) if lines else ()
    size = max(len(head), 1) / max(len(text.splitlines()), 1)
    unsure = "" if point else _unsure(cells_of(lines[1:] or lines, separator))
    return Dialect(encoding, separator, "." if point else ",", skipped, quotes, unsure, first, size)


def _unsure(rows: Sequence[Sequence[str]]) -> str:
    """A number such as 1,234, where all numbers with a comma are such; else empty."""
    commas = [cell for row in rows for cell in row if has_decimal_comma(cell)]
    return commas[0] if all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", cell) for cell in commas) else ""


def cells_of(lines: Sequence[str], separator: str) -> list[list[str]]:
    """The cells of lines, without quotes; of spaces any number is one separator."""
    if separator == " ":
        return [line.split() for line in lines]
    quoted = '"' in "".join(lines)  # csv has a limit for the length of a cell
    rows = (
        csv.reader(lines, delimiter=separator, skipinitialspace=True) if quoted else (x.split(separator) for x in lines)
    )
    return [[cell.strip() for cell in row] for row in rows]


def _encoding(head: bytes) -> str:
    """UTF-16 by its mark, else UTF-8, else what Windows programs write in the west."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # a letter that the end cuts is no error
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def may_be_names(first: Sequence[str], x: npt.NDArray[Any]) -> bool:
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
    if columns > 2 and list(first) == [str(i) for i in range(len(first))]:
        return True
    if columns > 2 and list(first) == [str(i + 1) for i in range(len(first))] and not (steps[1:] == 1).all():
        return True
    whole = all(map(is_whole, first)) and (columns == 1 or len(set(first)) > 1)
    if whole and _is_rare((x == np.rint(x)).all(axis=1), 0.02):
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


def is_whole(cell: str) -> bool:
    """Whether a cell is a whole number."""
    return re.fullmatch("[+-]?[0-9]+", cell) is not None


def has_decimal_comma(cell: str) -> bool:
    """Whether a cell is a number with a decimal comma."""
    return re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", cell, re.ASCII | re.IGNORECASE) is not None


def is_number(cell: object) -> bool:
    """Whether a cell is a number as Arrow reads it: float() also takes 1_000 and the digits of other scripts."""
    text = str(cell)
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text
