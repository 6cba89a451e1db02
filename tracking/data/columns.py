"""The kinds of the columns of a table, and what becomes of each: the one look that inspection and refusal share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..config import RunConfig
from ..store.errors import BadInput
from .files.base import Table, listed
from .files.dialect import is_number

MOST_WORDS = 100
"""Different words of a column that --categories one-hot takes."""
_NUMERIC = 0.9  # share of the cells that are numbers in a column of numbers; the others are gaps
_DATED = 0.9
_COUNTED = 20  # rows from which 1, 2, 3, … are the numbers of the rows, and words that differ name them
_ID_NAME = re.compile(r"(|.*[_ .-])(id|idx|index|row|nr|no)|unnamed: 0|__index_level_0__|column 1", re.IGNORECASE)
_DATE = re.compile(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?\s*")
_EMPTY = ("", "nan", "na", "n/a", "null", "none")  # cells that say that there is no value


class Kind(StrEnum):
    """The kind of the values of a column."""

    NUMBERS = "numbers"
    WORDS = "words"
    DATES = "dates"
    IDS = "ids"
    LISTS = "lists"
    EMPTY = "no values"


@dataclass(frozen=True)
class Column:
    """A column of a table, as found: values holds its numbers (N,), nan at a gap, or its words, None at a gap.

    `gap_words` are the texts in a column of numbers, such as `?`, that are read as gaps. `distinct` counts the
    different words, `example` is one.
    """

    name: str
    kind: Kind
    values: npt.NDArray[Any] = field(repr=False)
    gaps: int = 0
    gap_words: tuple[str, ...] = ()
    distinct: int = 0
    example: str = ""

    @property
    def called(self) -> str:
        """The name for a message."""
        return repr(self.name[:40]) if self.name else "the column without a name"


def look(table: Table) -> list[Column]:
    """Find the kind of each column of a table, in their order."""
    names = table.columns.column_names
    return [_column(name, _whole(table.columns.column(i))) for i, name in enumerate(names)]


def _whole(values: pa.ChunkedArray) -> pa.Array:
    """The values in one piece, without a copy where they are."""
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _column(name: str, values: pa.Array) -> Column:
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _column(name, values.cast(kind.value_type))
    if pa.types.is_null(kind) or values.null_count == len(values):
        return Column(name, Kind.EMPTY, np.full(len(values), np.nan), len(values))
    if pa.types.is_decimal(kind):
        values = values.cast(pa.float64())
        kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return _of_numbers(name, values)
    if pa.types.is_temporal(kind):
        return Column(name, Kind.DATES, _words(values), values.null_count, example=str(values.drop_null()[0]))
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        example = "lists of different lengths" if "list" in str(kind) else str(kind)
        return Column(name, Kind.LISTS, np.empty(0), values.null_count, example=example)
    return _of_texts(name, values)


def _of_numbers(name: str, values: pa.Array) -> Column:
    numbers = values.to_numpy(zero_copy_only=False)
    if values.null_count and numbers.dtype == object:  # bool with gaps
        numbers = numbers.astype(np.float64)
    gaps = int(np.isnan(numbers).sum()) if numbers.dtype.kind == "f" else 0
    kind = Kind.EMPTY if gaps == len(numbers) else Kind.IDS if _counts_rows(name, numbers) else Kind.NUMBERS
    return Column(name, kind, numbers, gaps)


def _counts_rows(name: str, numbers: npt.NDArray[Any]) -> bool:
    """Whether whole numbers count up by 1; in any order under a name such as `id`."""
    if numbers.dtype.kind not in "iu" or int(numbers.max()) - int(numbers.min()) != len(numbers) - 1:
        return False
    counted, is_id = int(numbers.min()) + np.arange(len(numbers)), _ID_NAME.fullmatch(name) is not None
    return bool((is_id or len(numbers) >= _COUNTED) and ((np.sort(numbers) if is_id else numbers) == counted).all())


def _of_texts(name: str, values: pa.Array) -> Column:
    texts = values.cast(pa.large_string())
    counts = [(word, n) for word, n in _counted(texts) if word is not None and word.strip().lower() not in _EMPTY]
    total = sum(n for _, n in counts)
    words = _words(texts)
    gaps = len(texts) - total
    if not total:
        return Column(name, Kind.EMPTY, np.full(len(texts), np.nan), len(texts))
    numeric = sum(n for word, n in counts if is_number(word))
    if numeric >= _NUMERIC * total and numeric:
        others = tuple(word for word, _ in counts if not is_number(word))
        numbers = np.array([float(w) if w is not None and is_number(w) else np.nan for w in words])
        return Column(name, Kind.NUMBERS, numbers, int(np.isnan(numbers).sum()), others)
    dated = sum(n for word, n in counts if _DATE.fullmatch(word))
    unique = len(counts) == total and total >= _COUNTED
    kind = Kind.DATES if dated >= _DATED * total else Kind.IDS if unique else Kind.WORDS
    return Column(name, kind, words, gaps, distinct=len(counts), example=counts[0][0])


def _counted(texts: pa.Array) -> list[tuple[str | None, int]]:
    found = pc.value_counts(texts)
    return list(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True))


def plain(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """The values as numbers, with nan at a gap, or as texts, with None at a gap."""
    values = _whole(column)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    whole = pa.types.is_boolean(values.type) and not values.null_count
    if whole or pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        numbers: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
        return numbers
    return _words(values)


def _words(values: pa.Array) -> npt.NDArray[Any]:
    """The values as texts, None at a gap."""
    texts = np.array(values.cast(pa.large_string()).to_pylist(), dtype=object)
    return np.array([None if w is None or w.strip().lower() in _EMPTY else w for w in texts], dtype=object)


def pick(columns: Sequence[Column], config: RunConfig, path: Path) -> list[Column]:
    """The columns to train on, by --columns and --drop, without those that name labels, rows or groups.

    Raises BadInput for a name or pattern that fits no column.
    """
    roles = {config.label_column, config.id_column, config.group_column}
    names = [c.name for c in columns]
    chosen = set(names) if config.columns == "all" else matching(config.columns, names, "columns", path)
    left_out = set() if config.drop == "none" else matching(config.drop, names, "drop", path)
    return [c for c in columns if c.name in chosen and c.name not in left_out | roles]


def matching(text: str, names: Sequence[str], flag: str, path: Path) -> set[str]:
    """The names that fit a list of names and patterns. Raises BadInput where one of them fits none."""
    found: set[str] = set()
    for part in map(str.strip, text.split(",")):
        fits = {name for name in names if name == part} or {name for name in names if fnmatchcase(name, part)}
        if not fits:
            raise BadInput(f"{path}: has no column {part[:40]!r}, which {flag} names; it has: {listed(names)}")
        found |= fits
    return found
