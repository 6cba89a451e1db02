"""Curves from a CSV file with the columns dim3, error and perhaps seed and model, of any program."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from elbowroom.tracking.store.errors import BadInput

from .. import Floats
from .scores import CurveIs

COLUMNS = ("dim3", "error", "seed", "model")
NEEDED = ("dim3", "error")


class Row(NamedTuple):
    """One error of one model."""

    model: str
    dim3: int
    seed: int
    error: float


def read_rows(path: Path, curve_is: CurveIs = "error") -> list[Row]:
    """The rows of a file. Those of one model and dim3 without a seed are told apart by their order. Raises BadInput.

    `curve_is` says what the column error has; scores are given as they are.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            names = [n.strip() for n in reader.fieldnames or []]
            reader.fieldnames = names
            if missing := [c for c in NEEDED if c not in names]:
                have = f"it has {', '.join(names)[:200]}" if names else "it is empty"
                raise BadInput(
                    f"{path.name}: no column {' and '.join(missing)} ({have}); needed: dim3,error[,seed][,model]"
                )
            if doubled := [c for c in COLUMNS if names.count(c) > 1]:
                raise BadInput(f"{path.name}: has {names.count(doubled[0])} columns {doubled[0]}")
            return _rows(path.name, reader, with_seed="seed" in names, negative=curve_is == "score")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no CSV file in UTF-8"
        raise BadInput(f"{path}: {why}") from error


def _rows(name: str, reader: csv.DictReader[str], *, with_seed: bool, negative: bool) -> list[Row]:
    rows: list[Row] = []
    seen: dict[tuple[str, int, int], int] = {}
    places: Counter[tuple[str, int]] = Counter()
    for cells in reader:
        line = reader.line_num
        if any(cell.strip() for cell in cells.get(None, [])):  # under None csv keeps what is over
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
            seed = places[model, k]
            places[model, k] += 1
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


def curve(rows: list[Row], model: str) -> tuple[list[int], Floats]:
    """dim3 (D,) and errors (S, D) of a model: the seeds that every dim3 has, else one row of means."""
    by_place: dict[int, dict[int, float]] = {}
    for row in rows:
        if row.model == model:
            by_place.setdefault(row.dim3, {})[row.seed] = row.error
    dim3 = sorted(by_place)
    common = sorted(set.intersection(*(set(by_place[k]) for k in dim3)))
    if not common:
        return dim3, np.array([[float(np.mean(list(by_place[k].values()))) for k in dim3]])
    return dim3, np.array([[by_place[k][seed] for k in dim3] for seed in common])
