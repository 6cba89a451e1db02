"""Read a CSV file with the columns dim3, error and perhaps seed and model."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from elbowroom.tracking.store.errors import BadInput

from .scores import CurveIs

_COLUMNS = ("dim3", "error", "seed", "model")
_REQUIRED = ("dim3", "error")


class Row(NamedTuple):
    """The error of one training; `model` is `error` where the table names none."""

    model: str
    dim3: int
    seed: int
    error: float


def read_rows(path: Path, curve_is: CurveIs = "error") -> list[Row]:
    """Return the rows of a file; scores, where `curve_is` says so, as they are. Raises BadInput.

    Without a column seed, the rows of one model and dim3 are its seeds, in their order.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            names = [n.strip() for n in reader.fieldnames or []]
            reader.fieldnames = names
            if missing := [c for c in _REQUIRED if c not in names]:
                have = f"it has {', '.join(names)[:200]}" if names else "it is empty"
                raise BadInput(
                    f"{path.name}: no column {' and '.join(missing)} ({have}); needed: dim3,error[,seed][,model]"
                )
            if doubled := [c for c in _COLUMNS if names.count(c) > 1]:
                raise BadInput(f"{path.name}: has {names.count(doubled[0])} columns {doubled[0]}")
            return _rows(path.name, reader, with_seed="seed" in names, negative=curve_is == "score")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no CSV file in UTF-8"
        raise BadInput(f"{path}: {why}") from error


def _rows(name: str, reader: csv.DictReader[str], *, with_seed: bool, negative: bool) -> list[Row]:
    rows: list[Row] = []
    seen: dict[tuple[str, int, int], int] = {}
    order: Counter[tuple[str, int]] = Counter()
    for cells in reader:
        line = reader.line_num
        if any(cell.strip() for cell in cells.get(None, [])):  # csv puts surplus cells under None
            raise BadInput(f"{name}, line {line}: has more cells than the header")
        model = (cells.get("model") or "").strip() or "error"
        dim3 = _number(name, line, "dim3", cells.get("dim3"))
        error = _number(name, line, "error", cells.get("error"))
        if dim3 != round(dim3) or dim3 < 1:
            raise BadInput(f"{name}, line {line}: dim3 must be a whole number from 1, got {dim3:g}")
        if error < 0 and not negative:
            why = f"error must not be negative, got {error:g}; --curve-is score reads what is better the higher it is"
            raise BadInput(f"{name}, line {line}: {why}")
        k = round(dim3)
        if with_seed:
            number = _number(name, line, "seed", cells.get("seed"))
            seed = round(number)
            if seed != number:
                raise BadInput(f"{name}, line {line}: seed must be a whole number, got {number:g}")
            if (model, k, seed) in seen:
                where = f"dim3 {k}, seed {seed}" + (f" of {model[:40]}" if cells.get("model") else "")
                raise BadInput(f"{name}, line {line}: {where} is there already, in line {seen[model, k, seed]}")
        else:
            seed = order[model, k]
            order[model, k] += 1
        seen[model, k, seed] = line
        rows.append(Row(model, k, seed, error))
    if not rows:
        raise BadInput(f"{name}: a header and no rows")
    return rows


def _number(name: str, line: int, column: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(f"{name}, line {line}: {column} must be a number, got {(text or '')[:40]!r}")
    return value
