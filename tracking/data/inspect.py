"""Look at a file before training: `python -m tracking.data inspect mine.csv`.

It lists the columns with what each holds and what becomes of it, and ends with the command that trains on them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table as Grid

from ..cli import Parser, command, config_fields, flag
from ..config import RunConfig
from ..store.errors import BadInput
from ..store.names import TABLE_FIELDS
from ..store.text import clean, dominance
from .columns import Column, Kind, look, pick
from .datasets import read, request_of
from .files.base import Contents, Table
from .precision import dominant
from .preparation import fault_of, share_of_gaps, suggested

_MOST = 200  # columns of the table
_FIELDS = ("label_column", "header", *TABLE_FIELDS)  # of RunConfig


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser("tracking.data", "Look at a file: its columns, what becomes of each, and the flags to type.")
    made.add_argument("action", choices=["inspect"])
    made.add_argument("file", metavar="FILE", help="a file or folder, as --dataset takes it")
    made.add_fields(f.name for f in fields(RunConfig) if f.name in _FIELDS)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return command(lambda: _inspect(arguments), killed="nothing was written")


def _inspect(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    config = RunConfig(dataset=given.file, **config_fields(given, _FIELDS))
    path = Path(config.dataset).expanduser()
    if not path.exists():
        raise BadInput(f"no such file or folder: {path}")
    contents = read(path, request_of(config))
    print(f"{clean(str(path), 200)}: {_parts(contents)}" + "".join(f"; {note}" for note in contents.train.notes))
    if contents.train.x is not None:
        return _array(contents.train, path)
    return _table(look(contents.train), config, path)


def _parts(contents: Contents) -> str:
    """The rows of each part."""
    named = zip(("", " of validation", " of test"), contents, strict=True)
    return ", ".join(f"{part.rows:,} rows{of}" for of, part in named if part is not None)


def _array(table: Table, path: Path) -> int:
    """Print what an array holds, and the command that trains on it."""
    x = table.x
    assert x is not None
    gaps = int(np.isnan(x).sum()) if x.dtype.kind == "f" else 0
    low, high = np.fmin.reduce(x, axis=None), np.fmax.reduce(x, axis=None)
    shape = "x".join(map(str, x.shape[1:]))
    print(f"  {shape} numbers a row ({x.dtype}), from {low:.4g} to {high:.4g}" + f", {gaps:,} gaps" * (gaps > 0))
    beside = ", ".join(table.columns.column_names)
    print(f"  beside them: {beside}" if beside else "  no labels")
    print(f"\ntrain:  python -m tracking.train --dataset {shlex.quote(str(path))}" + " --missing median" * (gaps > 0))
    return 0


def _table(columns: Sequence[Column], config: RunConfig, path: Path) -> int:
    """Print a line for each column, and the command that trains on them."""
    used = {c.name for c in pick(columns, config, path)}
    grid = Grid("column", "holds", "values", "becomes", "flag", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns[:_MOST]:
        grid.add_row(*(clean(text, 60) for text in _row(column, config, column.name in used)))
    Console(highlight=False, markup=False, soft_wrap=False).print(grid)
    if len(columns) > _MOST:
        print(f"and {len(columns) - _MOST} columns more")
    chosen = [c for c in columns if c.name in used]
    for line in _said(chosen, config):
        print(line)
    flags = suggested(chosen, config)
    typed = {name: value for name in _FIELDS if (value := getattr(config, name)) != getattr(RunConfig, name)}
    if any(text.startswith("--drop ") for text in flags):
        typed.pop("drop", None)  # it is part of the suggestion
    given = [f"{flag(name)} {shlex.quote(str(value))}" for name, value in typed.items()]
    units = ["--scale columns"] * (_dominant(chosen) is not None and config.scale in ("auto", "none", "global"))
    words = [text.partition(" (")[0] for text in flags]
    print(f"train:  {' '.join(['python -m tracking.train --dataset', shlex.quote(str(path)), *given, *words, *units])}")
    return 0


def _row(column: Column, config: RunConfig, used: bool) -> tuple[str, str, str, str, str]:
    """The cells of a column's line."""
    flags = " ".join(suggested([column], config)).replace(f" {shlex.quote(column.name)}", "") if used else ""
    roles = {config.label_column: "labels", config.id_column: "ids", config.group_column: "groups"}
    fault = fault_of(column, config) if used else None
    if not used:
        becomes = roles.get(column.name, "left out")
    elif fault is not None:
        becomes = "refused"
    elif column.kind == Kind.WORDS:
        becomes = "left out" if config.categories == "drop" else f"{column.distinct} columns of 0 and 1"
    else:
        becomes = "a number" + f", gaps: {config.missing}" * (column.gaps > 0)
    holds = str(column.kind) + (f", {share_of_gaps(column)}" if column.gaps and column.kind != Kind.EMPTY else "")
    return column.name, holds, _values(column), becomes, flags


def _values(column: Column) -> str:
    """The range of numbers, or an example of other values."""
    if column.kind == Kind.EMPTY:
        return ""
    if column.values.dtype.kind not in "iufb" or not column.values.size:
        return f"{column.example[:30]}, …" + f" ({column.distinct} different)" * (column.distinct > 0)
    low, high = np.fmin.reduce(column.values), np.fmax.reduce(column.values)
    return f"{low:.4g}, constant" if low == high else f"{low:.4g} to {high:.4g}"


def _said(columns: Sequence[Column], config: RunConfig) -> Iterator[str]:
    """Remarks on the columns as a whole."""
    if found := _dominant(columns):
        yield dominance(found[0].name, found[1])
    numbers = [c for c in columns if c.kind == Kind.NUMBERS]
    constant = [c.called for c in numbers if np.fmin.reduce(c.values) == np.fmax.reduce(c.values)]
    if constant:
        yield f"constant, and so of no use: {', '.join(constant[:8])}"


def _dominant(columns: Sequence[Column]) -> tuple[Column, float] | None:
    """The column with more than 90 % of the variance of all, and its share."""
    numbers = [c for c in columns if c.kind == Kind.NUMBERS]
    found = dominant(np.array([np.nanvar(c.values, dtype=np.float64) for c in numbers]))
    return None if found is None else (numbers[found[0]], found[1])
