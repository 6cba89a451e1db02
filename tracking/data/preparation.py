"""From the content of a file to rows of numbers: columns are chosen, gaps and words handled, rows checked and scaled.

Medians and scales are scikit-learn's. All that is fitted is fitted on the training rows alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from elbowroom.models import Rows
from elbowroom.models.lazy_sklearn import sklearn

from ..config import RunConfig
from ..store.errors import BadInput
from .columns import MOST_WORDS, Column, Kind, look, pick, plain
from .files.base import Table, listed
from .precision import LARGEST, SMALLEST, blocks, far_from_zero

_LABEL_NAMES = ("label", "labels", "target", "class", "species", "diagnosis")
_SHOWN, _LETTERS = 8, 30  # columns in a refusal, letters of an example
_FEW_VALUES, _ROWS_EACH = 20, 10  # whole numbers with more values, and fewer rows for each, are no classes


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one part of a data set before they are numbers alone.

    numbers (N, k) have nan at gaps; words are the columns of words, None at gaps; y (N,), ids (N,) and groups (N,) are
    the values of the columns that name them, if any. names are those of the columns of numbers, if they have any; kinds
    are those of all columns that were chosen, also of words that are left out. An array has neither.
    """

    numbers: npt.NDArray[Any]
    names: tuple[str, ...] | None
    words: dict[str, npt.NDArray[Any]]
    kinds: tuple[tuple[str, Kind], ...] | None
    y: npt.NDArray[Any] | None
    ids: npt.NDArray[Any] | None
    groups: npt.NDArray[Any] | None
    image_shape: tuple[int, ...] | None
    from_pictures: bool
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: npt.NDArray[Any]) -> Part:
        """These rows of the part, as indices or marks."""
        kept: dict[str, Any] = {
            name: None if (a := getattr(self, name)) is None else a[rows] for name in ("y", "ids", "groups")
        }
        words = {name: values[rows] for name, values in self.words.items()}
        return replace(self, numbers=self.numbers[rows], words=words, **kept)

    @property
    def gaps(self) -> npt.NDArray[np.bool_]:
        """The rows (N,) that have a gap."""
        marks = np.zeros(len(self), dtype=bool)
        if self.numbers.dtype.kind == "f":
            marks |= np.isnan(self.numbers).any(axis=1)
        for values in self.words.values():
            marks |= pd.isna(values)
        return marks


class Scaler(NamedTuple):
    """Rows x as (x - center) / scale, both (dim1,), fitted on training rows."""

    center: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    def apply(self, x: Rows) -> Rows:
        """The rows x (N, dim1), scaled, in float32."""
        scaled = np.empty(x.shape, dtype=np.float32)
        for rows in blocks(x):
            scaled[rows] = (x[rows] - self.center) / self.scale
        return scaled


class Encoding(NamedTuple):
    """The numbers that fill the gaps of the columns, (k,) or None, and the words of each column that is encoded."""

    fill: npt.NDArray[np.float64] | None
    words: dict[str, tuple[str, ...]]

    def apply(self, part: Part) -> npt.NDArray[Any]:
        """The rows (N, dim1) of a part: the columns of numbers, then a column of 0 and 1 for each word."""
        x = part.numbers
        if self.fill is not None and x.dtype.kind == "f":
            x = np.where(np.isnan(x), self.fill, x)
        hot = [values == word for name, values in part.words.items() for word in self.words[name]]
        return np.column_stack([x, *hot]) if hot else x


def arrange(table: Table, config: RunConfig, path: Path, like: Part | None = None) -> Part:
    """The rows of a table, with its labels, the names of the rows and their groups apart.

    Parameters
    ----------
    table
        As a reader returns it.
    config
        Its fields say which columns are which.
    path
        Named in the error messages.
    like
        The training rows, where these are others: their columns are taken, and labels and ids may be missing.

    Raises
    ------
    BadInput
        Naming all columns that can't be used, and the flags that say what to do with them.
    """
    notes = table.notes
    y = _beside(table, table.labels if config.label_column == "none" else config.label_column, path, like)
    ids, groups = (
        _beside(table, None if n == "none" else n, path, like) for n in (config.id_column, config.group_column)
    )
    if table.x is not None:
        if config.columns != "all" or config.drop != "none" or config.categories != "refuse":
            raise BadInput(f"{path}: is an array without columns by name; columns, drop and categories go with a table")
        if like is not None:
            _check_named(False, like, path)
        x, image_shape = _flat(table.x)
        part = Part(x, None, {}, None, y, ids, groups, image_shape, table.from_pictures, notes)
    else:
        used = pick([c for c in look(table) if c.name != table.labels], config, path)
        used = used if like is None else _as_in_training(used, table, like, path)
        if refusal := refused(used, config, path):
            raise BadInput(refusal)
        kept = [c for c in used if c.kind in (Kind.NUMBERS, Kind.IDS)]
        words = {c.name: c.values for c in used if c.kind == Kind.WORDS and config.categories == "one-hot"}
        if not kept and not words:
            raise BadInput(f"{path}: no column is left to train on")
        x = _stacked(kept, table.rows)
        names = tuple(c.name for c in kept) if table.named else None
        kinds = tuple((c.name, c.kind) for c in used)
        part = Part(x, names, words, kinds, y, ids, groups, None, False, (*notes, *_told(used, config)))
    part = _without_gaps(part, config, path)
    _check(part.numbers, path)
    return part


def _stacked(columns: Sequence[Column], rows: int) -> npt.NDArray[Any]:
    """The numbers of columns as an array (rows, columns), filled column by column: a table may fill the memory."""
    x = np.empty((rows, len(columns)), np.result_type(*{c.values.dtype for c in columns}) if columns else np.float32)
    for i, column in enumerate(columns):
        x[:, i] = column.values
    return x


def _beside(table: Table, name: str | None, path: Path, like: Part | None) -> npt.NDArray[Any] | None:
    """The values of a column: numbers, or texts with None at a gap. Raises BadInput where there is none."""
    if name is None:
        return None
    found = [i for i, n in enumerate(table.columns.column_names) if n == name]
    if not found and like is not None:
        return None
    if not found and not table.columns.num_columns:
        raise BadInput(f"{path}: has no columns by name, as label_column, id_column and group_column need")
    if not found:
        raise BadInput(f"{path}: has no column {name!r}; it has: {listed(table.columns.column_names)}")
    if len(found) > 1:
        raise BadInput(f"{path}: has {len(found)} columns {name!r}")
    return plain(table.columns.column(found[0]))


def _flat(x: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], tuple[int, ...] | None]:
    """Rows (N, dim1) of an array, and the shape of a picture.

    Pictures are (N, height, width), (N, height, width, 1 or 3) or (N, 1 or 3, height, width).
    """
    shape = None
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] not in (1, 3):
        x = np.moveaxis(x, 1, 3)  # channels first, as torch stores pictures
    if x.ndim == 3 or (x.ndim == 4 and x.shape[3] in (1, 3)):
        shape = x.shape[1:] if x.shape[3:] == (3,) else x.shape[1:3]
    return np.ascontiguousarray(x.reshape(len(x), -1)), shape


def _as_in_training(columns: Sequence[Column], table: Table, like: Part, path: Path) -> list[Column]:
    """The columns of test rows in the order of the training columns, by name, of their kinds. Raises BadInput."""
    _check_named(table.named, like, path)
    if like.kinds is None:
        return list(columns)
    names, here = [name for name, _ in like.kinds], [c.name for c in columns]
    if names == here:
        return [_of_kind(c, kind, path) for c, (_, kind) in zip(columns, like.kinds, strict=True)]
    place = {c.name: c for c in columns}
    lacks, more = [n for n in names if n not in place], [n for n in place if n not in names]
    if lacks or more:
        parts = [f"lacks {listed(lacks)}"] * bool(lacks) + [f"has {listed(more)} more"] * bool(more)
        raise BadInput(f"the columns of {path} must be those of the training rows: it {' and '.join(parts)}")
    if not len(place) == len(names) == len(here):
        raise BadInput(
            f"{path}: has columns of one name in another order than the training rows; they can't be matched"
        )
    return [_of_kind(place[name], kind, path) for name, kind in like.kinds]


def _check_named(named: bool, like: Part, path: Path) -> None:
    """Raise BadInput where the columns of either training or test rows have names."""
    if named != (like.names is not None):
        raise BadInput(
            f"the columns of {path} have {'names' if named else 'none'} and those of the training rows have "
            f"{'none' if named else 'names'}, so they can't be matched; save both with names, or both without"
        )


def _of_kind(column: Column, kind: Kind, path: Path) -> Column:
    """A column of test rows, of the kind that it has in the training rows. Raises BadInput."""
    numeric = column.values.dtype.kind in "iufb"
    if kind in (Kind.NUMBERS, Kind.IDS):
        if not numeric:
            raise BadInput(f"{path}: {column.called} holds {column.kind}, and numbers in the training rows")
    elif kind == Kind.WORDS and numeric:
        texts = [None if gap else f"{v:g}" for v, gap in zip(column.values, np.isnan(column.values), strict=True)]
        return replace(column, kind=kind, values=np.array(texts, dtype=object))
    return replace(column, kind=kind)


def refused(columns: Sequence[Column], config: RunConfig, path: Path) -> str | None:
    """The error message for the columns that can't be used, with the flags to type; None where all can be used."""
    faults = {c.name: fault for c in columns if (fault := fault_of(c, config)) is not None}
    if not faults:
        return None
    said = [f"{c.called} {faults[c.name]}" for c in columns if c.name in faults]
    more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    flags = " ".join(suggested(columns, config))
    return (
        f"{path}: {len(faults)} of {len(columns)} columns can't be used as they are: {'; '.join(said[:_SHOWN])}{more}. "
        f"Allowed: {flags}{', or --label-column for the one with the labels' * (config.label_column == 'none')}. "
        f"`python -m tracking.data inspect {shlex.quote(str(path))}` lists all columns"
    )


def fault_of(column: Column, config: RunConfig) -> str | None:
    """The reason why a column can't be used with these settings, as a verb phrase; None where it can."""
    named = column.name in map(str.strip, config.columns.split(","))
    gaps = f"has {share_of_gaps(column)}" if column.gaps and config.missing == "refuse" else None
    match column.kind:
        case Kind.EMPTY:
            return "has no values"
        case Kind.LISTS:
            return f"holds {column.example}"
        case Kind.DATES:
            return f"holds dates, such as {column.example[:_LETTERS]!r}"
        case Kind.IDS if column.values.dtype.kind in "iu":
            return None if named else "numbers the rows"
        case Kind.IDS:
            return f"has another word in each row, such as {column.example[:_LETTERS]!r}"
        case Kind.WORDS if config.categories == "drop":
            return None
        case Kind.WORDS if config.categories == "refuse" or column.distinct > MOST_WORDS:
            most = f", and one-hot takes {MOST_WORDS}" if config.categories != "refuse" else ""
            return f"holds words ({column.distinct} different{most}), such as {column.example[:_LETTERS]!r}"
    return gaps


def share_of_gaps(column: Column) -> str:
    """The count of a column's gaps, their share, and the texts that are read as gaps."""
    as_text = f" (written {', '.join(repr(w[:_LETTERS]) for w in column.gap_words[:3])})" if column.gap_words else ""
    return (
        f"{column.gaps:,} gap{'s' * (column.gaps > 1)}, {100 * column.gaps / max(len(column.values), 1):.2g} %{as_text}"
    )


def suggested(columns: Sequence[Column], config: RunConfig) -> list[str]:
    """The flags that make all columns usable: words are encoded, gaps filled, and what is no feature is left out."""
    faulty = [c for c in columns if fault_of(c, config) is not None]
    one_id = next((c for c in faulty if c.kind == Kind.IDS), None) if config.id_column == "none" else None
    encoded = [c for c in faulty if c.kind == Kind.WORDS and c.distinct <= MOST_WORDS]
    unusable = [c for c in faulty if c.kind != Kind.NUMBERS and c not in encoded and c is not one_id]
    flags = [] if one_id is None else [f"--id-column {shlex.quote(one_id.name)}"]
    before = [] if config.drop == "none" else [config.drop]
    if unusable:
        flags.append(f"--drop {shlex.quote(','.join([*before, *(c.name for c in unusable)]))}")
    if encoded:
        flags.append("--categories one-hot (or drop)")
    if any(c.gaps for c in columns if c.kind == Kind.NUMBERS or c in encoded) and config.missing == "refuse":
        flags.append("--missing median (or drop)")
    return flags


def _told(columns: Sequence[Column], config: RunConfig) -> tuple[str, ...]:
    """The choices that were made, for whoever reads the run."""
    left_out = [c.name for c in columns if c.kind == Kind.WORDS and config.categories == "drop"]
    encoded = [f"{c.name} ({c.distinct})" for c in columns if c.kind == Kind.WORDS and config.categories == "one-hot"]
    filled = [f"{c.name} ({c.gaps})" for c in columns if c.gaps and c.kind == Kind.NUMBERS]
    notes = [f"gaps filled with the column's median: {listed(filled)}"] * (config.missing == "median" and bool(filled))
    named = [c.name for c in columns if c.kind == Kind.NUMBERS and c.name.lower() in _LABEL_NAMES]
    if config.label_column == "none" and named:
        notes.append(f"{named[0]} is trained on, as a number; --label-column {named[0]} would make it the labels")
    notes += [f"left out, as they hold words: {listed(left_out)}"] * bool(left_out)
    notes += [f"a column of 0 and 1 for each word of {listed(encoded)}"] * bool(encoded)
    return tuple(notes)


def _without_gaps(part: Part, config: RunConfig, path: Path) -> Part:
    """The part without the rows that have gaps, with --missing drop. Raises BadInput where a gap is refused."""
    if part.groups is not None and pd.isna(part.groups).any():
        raise BadInput(f"{path}: group_column {config.group_column!r} has gaps; each row needs a group")
    gaps = part.gaps
    unlabelled = np.zeros(len(part), dtype=bool) if part.y is None else pd.isna(part.y)
    if config.missing == "drop":
        drop = gaps | unlabelled
        if not drop.any():
            return part
        kept = part.take(~drop)
        if len(kept) < 2:
            raise BadInput(f"{path}: {int(drop.sum()):,} of {len(part):,} rows have gaps; --drop the columns with most")
        return replace(kept, notes=(*part.notes, f"{int(drop.sum()):,} rows with gaps left out, {len(kept):,} kept"))
    if unlabelled.any():
        raise BadInput(
            f"{path}: labels are missing, {int(unlabelled.sum()):,} in all, the first in row "
            f"{int(unlabelled.argmax()) + 1}; --missing drop leaves such rows out"
        )
    if config.missing == "refuse" and gaps.any():  # of an array; those of a table are refused before
        row = int(gaps.argmax())
        column = int(np.isnan(part.numbers[row]).argmax())
        raise BadInput(
            f"{path}: row {row + 1}, column {column + 1} is not a finite number: nan; {int(gaps.sum()):,} rows have "
            "such gaps: --missing median fills them, --missing drop leaves the rows out"
        )
    return part


def fitted(part: Part, rows: npt.NDArray[np.intp], config: RunConfig) -> Encoding:
    """The encoding of gaps and words, fitted on these rows of a part."""
    fill, words = None, dict[str, tuple[str, ...]]()
    if config.missing == "median" and part.numbers.dtype.kind == "f":
        imputer = sklearn.impute.SimpleImputer(strategy="median", keep_empty_features=True)
        fill = imputer.fit(part.numbers[rows]).statistics_
    for name, values in part.words.items():
        words[name] = tuple(sorted({word for word in values[rows] if word is not None}))
    return Encoding(fill, words)


def scaler_of(x: Rows, rows: npt.NDArray[np.intp], kind: str) -> Scaler | None:
    """The scaler of --scale, fitted on these rows of x (N, dim1); None where they stay as they are."""
    if kind not in ("columns", "global"):
        return None
    found = sklearn.preprocessing.StandardScaler().fit(x[rows])
    scale = found.scale_ if kind == "columns" else np.full(x.shape[1], np.sqrt(found.var_.mean()))
    return Scaler(found.mean_, scale)


def as_floats(arrays: Sequence[npt.NDArray[Any]]) -> list[Rows]:
    """Rows (N, dim1) in float32, or all in float64 where float32 loses the variation of a column."""
    float64 = any(far_from_zero(x).size for x in arrays)
    return [x.astype(np.float64 if float64 else np.float32, copy=False) for x in arrays]


def _check(x: npt.NDArray[Any], path: Path) -> None:
    """Raise BadInput for rows that are too few, or all alike, and for numbers but nan that float32 can't hold."""
    if len(x) < 2:
        raise BadInput(f"{path}: has one row; more are needed" if len(x) else f"{path}: is empty")
    if not x.shape[1]:  # words alone
        return
    if x.dtype.kind == "f":
        for rows in blocks(x):
            refused = np.abs(x[rows], dtype=np.float64) > LARGEST
            if refused.any():
                row, column = (int(i) for i in np.argwhere(refused)[0])
                value = x[rows][row, column]
                fault = f"larger than {LARGEST:.2g}" if np.isfinite(value) else "not a finite number"
                raise BadInput(f"{path}: row {rows.start + row + 1}, column {column + 1} is {fault}: {value}")
    spans = np.fmax.reduce(x, axis=0).astype(np.float64) - np.fmin.reduce(x, axis=0)  # beside nan
    if not spans.any():
        raise BadInput(f"{path}: all {len(x)} rows are the same")
    if spans.max() < SMALLEST:
        raise BadInput(f"{path}: no column varies by {SMALLEST:.2g}, which is too little for 32 bits; use another unit")


def is_class(labels: npt.NDArray[Any]) -> bool:
    """Whether labels are classes: words, or whole numbers that are few, or that have ten rows each."""
    if labels.dtype.kind not in "iuf":
        return True
    if labels.dtype.kind == "f" and (labels != np.rint(labels)).any():
        return False
    count = len(np.unique(labels))
    return count <= _FEW_VALUES or count * _ROWS_EACH <= len(labels)
