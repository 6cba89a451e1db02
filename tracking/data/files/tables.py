"""The readers of tables through Arrow: text, JSON lines, .parquet and .feather; and of .xlsx by openpyxl."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.feather as feather
import pyarrow.json as arrow_json
import pyarrow.parquet as parquet

from ...store.addresses import cache_folder
from ...store.errors import BadInput
from ...store.text import KEY_LENGTH, clean
from ..precision import fits_float32
from .base import Contents, Request, Table, check_memory, listed, opened, reading, required, sampled, shown
from .dialect import Dialect, dialect_of, is_number, may_be_names

_log = logging.getLogger(__name__)

COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
"""Suffixes behind that of a text table, and Arrow's name of the codec."""
_HEAD = 1 << 16  # bytes that the dialect is read off
_PACKED = 4  # times as large, a guess, is the text of a compressed file
_MANY = 20_000_000  # numbers that a log announces before they are read
_BLOCK = 16 << 20  # bytes that Arrow reads at a time; a row can't be longer


def read_text(path: Path, wanted: Request) -> Contents:
    """The columns of a .csv, .tsv or .txt file, also a compressed one. Raises BadInput.

    The first line is a header where it has anything but numbers, or the name of the labels. Arrow reads the file:
    it refuses rows of different lengths, which pandas pads or cuts without a warning.
    """
    with _text(path) as file:
        head = more = file.read(_HEAD)
        while more and b"\n" not in head and b"\r" not in head:
            head += (more := file.read(_HEAD))
    dialect = dialect_of(head[: head.rfind(b"\n") + 1] or head)
    if dialect.unsure:
        raise BadInput(
            f"{path}: {dialect.unsure!r} may have a decimal comma or a separator of thousands, as all numbers with a "
            "comma here; save with decimal points"
        )
    first = dialect.first
    unnamed = _unnamed(first, wanted)
    size = path.stat().st_size * (_PACKED if path.suffix in COMPRESSED else 1)
    check_memory(path, int(size / dialect.line_bytes), max(len(first), 1), wanted)
    options = arrow_csv.ReadOptions(
        # With several threads Arrow's error does not name the row that is too short or too long.
        use_threads=False,
        autogenerate_column_names=unnamed,
        block_size=_BLOCK,
        skip_rows=0 if wanted.rows else dialect.skipped,
        encoding="utf-8" if wanted.rows else dialect.encoding,
    )
    with _text(path) as file:
        table = arrow_csv.read_csv(
            _sample(file, path, dialect, wanted.rows - unnamed) if wanted.rows else _regular(file, dialect),
            read_options=options,
            parse_options=arrow_csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=dialect.quotes),
            convert_options=arrow_csv.ConvertOptions(decimal_point=dialect.decimal),
        )
    return _table(table, first, unnamed, path, wanted, dialect.notes)


def _unnamed(first: Sequence[object], wanted: Request) -> bool:
    """Whether a table with this first line has no header."""
    numbers = bool(first) and all(map(is_number, first)) and wanted.label_column not in first
    return wanted.header == "no" or (wanted.header == "auto" and numbers)


def _table(
    table: pa.Table, first: Sequence[str], unnamed: bool, path: Path, wanted: Request, notes: tuple[str, ...]
) -> Contents:
    """A table whose first line is known, with names for its columns. Raises BadInput where that line may be names."""
    if not unnamed:
        names = [name.strip() or f"column {i}" for i, name in enumerate(table.column_names, 1)]
        return _contents(table.rename_columns(names), path, notes)
    if wanted.header == "auto" and all(pa.types.is_integer(c.type) or pa.types.is_floating(c.type) for c in table):
        x = np.column_stack([column.to_numpy() for column in table.columns])
        if len(x) > 1 and may_be_names(first, x):
            raise BadInput(
                f"{path}: its first line, {listed(first, 4)}, may be names of the columns or a row; "
                "--header yes or --header no says which"
            )
    return _contents(table, path, notes, named=False)


def _contents(table: pa.Table, path: Path, notes: tuple[str, ...] = (), *, named: bool = True) -> Contents:
    """The content of a file that is one table. Raises BadInput where it is empty."""
    if table.num_columns == 0 or table.num_rows == 0:
        raise BadInput(f"{path}: has a header and no rows" if table.num_columns else f"{path}: is empty")
    return Contents(Table(None, _without_lists(table.flatten()), named=named, notes=notes))


def _without_lists(table: pa.Table) -> pa.Table:
    """A table with a column of numbers for each place of lists of one length: `emb` becomes `emb[0]`, `emb[1]`, …."""
    names, columns = list[str](), list[Any]()
    for name, column in zip(table.column_names, table.columns, strict=True):
        lengths = (
            pc.list_value_length(column) if pa.types.is_nested(column.type) and "list" in str(column.type) else None
        )
        if lengths is None or column.null_count or len(pc.unique(lengths)) > 1:
            names.append(name)
            columns.append(column)
            continue
        values = pc.list_flatten(column).to_numpy().reshape(len(column), -1)
        names += [f"{name}[{i}]" for i in range(values.shape[1])]
        columns += [pa.array(values[:, i]) for i in range(values.shape[1])]
    return pa.table(columns, names)


@contextmanager
def _text(path: Path) -> Iterator[Any]:
    """The bytes of a text file, which may be compressed."""
    with opened(path) as file:
        codec = COMPRESSED.get(path.suffix.lower())
        yield file if codec is None else pa.CompressedInputStream(pa.PythonFile(file, "r"), codec)


def _regular(file: Any, dialect: Dialect) -> Any:
    """A text for Arrow, which knows one separator between two cells, and no spaces at the end of a line."""
    if dialect.separator != " ":
        return file
    lines = (b" ".join(line.split()) for line in file.read().decode(dialect.encoding).encode().splitlines())
    return io.BytesIO(b"\n".join(lines))


def _sample(file: Any, path: Path, dialect: Dialect, rows: int) -> Any:
    """The first line and a sample of the others, with a fixed seed, as a text without comments."""
    count = sum(1 for _ in _records(file, dialect)) - 1
    chosen = sampled(count, Request(rows=rows))
    places = set(range(count)) if isinstance(chosen, slice) else set(chosen.tolist())
    with _text(path) as again:
        kept = (line for i, line in enumerate(_records(again, dialect), -1) if i < 0 or i in places)
        return _regular(io.BytesIO("".join(kept).encode()), dialect._replace(encoding="utf-8"))


def _records(file: Any, dialect: Dialect) -> Iterator[str]:
    """The lines of a text behind its comments; a line that ends within quotes goes on."""
    record = ""
    for number, line in enumerate(io.TextIOWrapper(file, dialect.encoding)):
        if number < dialect.skipped or not line.strip():
            continue
        record += line if line.endswith("\n") else f"{line}\n"
        if record.count('"') % 2 == 0:
            yield record
            record = ""


def read_json_lines(path: Path, wanted: Request) -> Contents:
    """The columns of a file with one JSON object a line. Raises BadInput."""
    with _text(path) as file:
        table = arrow_json.read_json(file, arrow_json.ReadOptions(block_size=_BLOCK))
    return _contents(_taken(table, wanted), path)


def read_parquet(path: Path, wanted: Request) -> Contents:
    """The columns of a .parquet file, without an index that pandas saved. Raises BadInput.

    They are read one by one, and doubles are kept in 32 bits where these hold their variation: a large file takes half
    of its size.
    """
    with parquet.ParquetFile(path) as file:
        rows, names = file.metadata.num_rows, file.schema_arrow.names
        check_memory(path, rows, len(names), wanted)
        if rows * len(names) > _MANY:
            _log.info("reading %s: %s rows of %s columns", path, f"{rows:,}", f"{len(names):,}")
        if len(set(names)) < len(names):
            table = _taken(file.read(), wanted)
        else:
            one_by_one = (file.read(columns=[name]) for name in shown(names, path.name, "column"))
            columns = [_compact(_taken(one, wanted).column(0)) for one in one_by_one]
            table = pa.table(columns, names)
        table = table.replace_schema_metadata(file.schema_arrow.metadata)
    return _contents(_without_index(table, wanted), path)


def _compact(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """A column of doubles in float32 where that holds its range and variation; others as they are."""
    if column.type != pa.float64():
        return column
    values = column.to_numpy()
    return pa.array(values.astype(np.float32)) if fits_float32(values) else column


def read_feather(path: Path, wanted: Request) -> Contents:
    """The columns of a .feather or .arrow file, without an index that pandas saved. Raises BadInput."""
    table = feather.read_table(path, memory_map=True)
    check_memory(path, table.num_rows, table.num_columns, wanted)
    return _contents(_without_index(_taken(table, wanted), wanted), path)


def _taken(table: pa.Table, wanted: Request) -> pa.Table:
    kept = sampled(table.num_rows, wanted)
    return table if isinstance(kept, slice) else table.take(pa.array(kept))


def _without_index(table: pa.Table, wanted: Request) -> pa.Table:
    """A table without the index that pandas saved as columns, unless a column of it is asked for."""
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return table.drop_columns([n for n in index if n in table.column_names and n not in wanted.beside])


def read_excel(path: Path, wanted: Request) -> Contents:
    """A sheet of an .xlsx file, by default the first. Raises BadInput."""
    required("openpyxl", "excel", path)
    with pd.ExcelFile(path, engine="openpyxl") as book:
        names = [str(name) for name in book.sheet_names]
        sheet = wanted.array or names[0]
        if sheet not in names:
            raise BadInput(f"{path}: has no sheet {sheet!r}; it has: {listed(names)}")
        frame = book.parse(sheet, header=None)
    if frame.empty:
        raise BadInput(f"{path}: is empty")
    first = ["" if pd.isna(cell) else str(cell) for cell in frame.iloc[0]]
    unnamed = _unnamed(first, wanted)
    columns = {number: frame[number].iloc[0 if unnamed else 1 :].infer_objects() for number in frame.columns}
    names = [f"f{number}" for number in frame.columns] if unnamed else first
    arrays = [pa.array(c if c.dtype != object else c.map(_text_of), from_pandas=True) for c in columns.values()]
    notes = (f"sheet {sheet[:40]!r} of {len(book.sheet_names)}",) if len(book.sheet_names) > 1 else ()
    return _table(_taken(pa.table(arrays, names), wanted), first, unnamed, path, wanted, notes)


def _text_of(cell: object) -> str | None:
    return None if pd.isna(cell) else str(cell)  # type: ignore[call-overload]


def save_frame(frame: pd.DataFrame, name: str = "frame") -> str:
    """Write a DataFrame to the cache, and return the path as a `dataset` for a run or a study.

    Equal frames have one file, so that a study continues. Raises BadInput for a column of several types.
    """
    with reading(f"the frame {name}"):
        table = pa.Table.from_pandas(frame, preserve_index=False)
        content = pa.BufferOutputStream()
        parquet.write_table(table, content)
    file = content.getvalue()
    path = cache_folder("frames") / hashlib.sha256(file).hexdigest()[:16] / f"{clean(name, KEY_LENGTH)}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(file)
        part.replace(path)
    return str(path)
