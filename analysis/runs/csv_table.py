"""Read a CSV file with the columns dim3, error and perhaps seed and model; scores become errors."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import scipy

from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .. import Floats
from ..elbow import LEAST_POINTS, POINTS_TO_TELL
from ..purposes import Rule

CurveIs = Literal["error", "score"]
_MOST_FALL = 0.2  # below the first value, as a share of the curve's range
_LEAST_RISE = 1e-3  # as a share of the largest value, where the curve has few points
_ROUNDING = 1e-9  # the same where it has enough
_LEAST_SHARE = 0.05  # of the best value, that the highest score must reach
_RISING, _RISING_FEW = 0.8, 0.95  # share of the variance that an isotonic fit must explain; where points are few
_COLUMNS = ("dim3", "error", "seed", "model")
_REQUIRED = ("dim3", "error")
NO_MEAN_ROW = "a row with dim3 0 would give the error of the mean row"
"""What a table lacks for a share of the variance."""


class Row(NamedTuple):
    """The error of one training; `model` is `error` where the table names none. dim3 = 0 is the mean row."""

    model: str
    dim3: int
    seed: int
    error: float


def read_rows(path: Path, curve_is: CurveIs = "error") -> tuple[list[Row], str]:
    """Return the rows of a file, scores as errors, and a note that says so. Raises BadInput.

    Without a column seed, the rows of one model and dim3 are its seeds, in their order.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            names = [n.strip() for n in reader.fieldnames or []]
            reader.fieldnames = names
            if missing := [c for c in _REQUIRED if c not in names]:
                have = f"it has {', '.join(names)[:200]}" if names else "it is empty"
                lacks = f"{path.name}: no column {' and '.join(missing)} ({have})"
                raise BadInput(f"{lacks}; needed: dim3,error[,seed][,model]")
            if doubled := [c for c in _COLUMNS if names.count(c) > 1]:
                raise BadInput(f"{path.name}: has {names.count(doubled[0])} columns {doubled[0]}")
            rows = _rows(path.name, reader, with_seed="seed" in names, negative=curve_is == "score")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no CSV file in UTF-8"
        raise BadInput(f"{path}: {why}") from error
    if curve_is == "error":
        return rows, ""
    best, note = best_score([row.error for row in rows])
    return [row._replace(error=best - row.error) for row in rows], note


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
        if dim3 != round(dim3) or dim3 < 0:
            raise BadInput(f"{name}, line {line}: dim3 must be a whole number from 0, got {dim3:g}")
        if error < 0 and not negative:
            why = f"error must not be negative, got {error:g}; --curve-is score reads what is better the higher it is"
            raise BadInput(f"{name}, line {line}: {why}")
        k = round(dim3)
        number = _number(name, line, "seed", cells.get("seed")) if with_seed else order[model, k]
        order[model, k] += 1
        seed = round(number)
        if seed != number:
            raise BadInput(f"{name}, line {line}: seed must be a whole number, got {number:g}")
        if (model, k, seed) in seen:
            where = f"dim3 {k}, seed {seed}" + (f" of {model[:40]}" if cells.get("model") else "")
            raise BadInput(f"{name}, line {line}: {where} is there already, in line {seen[model, k, seed]}")
        seen[model, k, seed] = line
        rows.append(Row(model, k, seed, error))
    if not any(row.dim3 for row in rows):
        raise BadInput(f"{name}: a header and no rows" + (" with a dim3 from 1" if rows else ""))
    return rows


def mean_row(rows: Sequence[Row], rule: Rule | None) -> tuple[float | None, str]:
    """Return the mean row's error, of the rows with dim3 = 0, and a note.

    Where a rule of shares was asked for and there are no such rows, the errors are read as shares of it, and the note
    says so. Raises BadInput where one exceeds 1, and for mean rows without an error or of several data.
    """
    by_model: dict[str, list[float]] = {}
    for row in rows:
        if row.dim3 == 0:
            by_model.setdefault(row.model, []).append(row.error)
    if by_model:
        means = [float(np.mean(errors)) for errors in by_model.values()]
        if not min(means):
            raise BadInput("the mean row's error, of dim3 0, must be positive: no share of 0 can be kept")
        if max(means) > (1 + _ROUNDING) * min(means):
            apart = f"from {min(means):.4g} to {max(means):.4g}"
            raise BadInput(f"the mean row's error, of dim3 0, differs between models, {apart}: give each a table")
        return means[0], ""
    if rule is None or rule.purpose != "keep":
        return None, ""
    if (most := max(row.error for row in rows)) > 1:
        raise BadInput(f"rule {rule.text}: an error of {most:g} is no share of the mean row's; {NO_MEAN_ROW}")
    return 1.0, f"errors read as shares of the mean row's error; {NO_MEAN_ROW}"


def _number(name: str, line: int, column: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(f"{name}, line {line}: {column} must be a number, got {(text or '')[:40]!r}")
    return value


def best_score(values: Sequence[float]) -> tuple[float, str]:
    """Return the best value that such scores can have, and a note for a page. Raises BadInput where it is unknown."""
    best = _best(values)
    if best is None:
        unknown = f"the best value of scores from {min(values):g} to {max(values):g} is not known"
        allowed = "allowed are scores whose best is 1, 100 or 0; else give errors, the best value minus the score"
        raise BadInput(f"curve-is score: {unknown}; {allowed}")
    return best, f"read as scores: error = {best:g} - score"


def _best(values: Sequence[float]) -> float | None:
    """1 for shares and for R², which may be negative; 100 for percentages; 0 for log-likelihoods; None for others."""
    low, high = min(values), max(values)
    if high <= 0:
        return 0.0
    if low >= -1 and _LEAST_SHARE <= high <= 1:
        return 1.0
    return 100.0 if low >= 0 and 100 * _LEAST_SHARE <= high <= 100 else None


def _rises(mean: Floats) -> bool:
    """Whether a mean curve (D,) rises from its start: an isotonic fit explains it, and it hardly falls first."""
    span, few = float(np.ptp(mean)), len(mean) < POINTS_TO_TELL
    if len(mean) < LEAST_POINTS or span <= (_LEAST_RISE if few else _ROUNDING) * mean.max():
        return False
    if mean[0] - mean.min() > _MOST_FALL * span:
        return False
    unexplained = ((mean - scipy.optimize.isotonic_regression(mean).x) ** 2).sum() / ((mean - mean.mean()) ** 2).sum()
    return bool(1 - unexplained >= (_RISING_FEW if few else _RISING))


def check_falls(label: str, dim3: Sequence[int], error: Floats, curve_is: CurveIs) -> None:
    """Raise BadInput, with the flag to type, where a curve rises.

    Parameters
    ----------
    label
        Of the curve.
    dim3
        (D,).
    error
        (S, D); of scores, the best value minus the score.
    curve_is
        What the user said the curve is.
    """
    mean = error.mean(axis=0)
    if not _rises(mean):
        return
    name, first, last = clean(label, LABEL_LENGTH), f"dim3 {dim3[0]}", f"dim3 {dim3[-1]}"
    if curve_is == "score":
        falls = f"the scores of {name!r} fall from {first} to {last}"
        raise BadInput(f"{falls}: are they errors? Leave out --curve-is score")
    said = f"the curve {name!r} rises from {mean[0]:.4g} at {first} to {mean[-1]:.4g} at {last}"
    best = _best(mean.tolist())
    guess, flag = "score without a known best value", "give errors, the best value minus the score"
    if best is not None:
        guess = "explained variance, R² or accuracy" + " in percent" * (best == 100)
        flag = f"--curve-is score reads error = {best:g} - score"
    least = dim3[int(mean.argmin())]
    raise BadInput(f"{said}: is it a score ({guess})? {flag}. If it is an error, dim3 {least} errs least")
