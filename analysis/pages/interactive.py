"""The plots and pictures that a reader of the report can move, as plain data for `templates/page.js`: `views`.

Numbers and texts are those of the findings and tables. Nothing here reads a store.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from elbowroom.tracking.drawing import Look
from elbowroom.tracking.store.text import clean, ranges

from ..figures.curves import LOG_FROM, LONGEST, SPARSE_LOG_FROM, Style, is_ladder, is_wide, pictured, styles_of
from ..findings.find import ComparisonFinding, ModelFinding, Point, run_at
from ..purposes import Rule
from ..purposes.choice import Choice
from ..runs.arrays import Examples
from .report import by_rule, choice_text, image, interval, link_to, number

View = dict[str, Any]
_Array = npt.NDArray[Any]

_MOST_MODELS = 8  # as many as there are colours
_PICTURES, _LINES = 8, 4  # rows of the examples that are shown
_LARGEST = 40  # pixels of a picture's longer side
_MOST_DIM3 = 400  # of the pictures: browsers draw a strip of so many lines whole
_MOST_COLUMNS = 60  # of a row that is drawn as a line
_FARTHEST = 3.0  # SD of a column, at which the lines are cut off


def views(
    comparisons: Sequence[ComparisonFinding],
    examples: Mapping[str, Examples],
    links: Callable[[str], str | None],
    room: int,
) -> dict[str, View]:
    """Return the plot and the pictures of each comparison, as `c1-error` and `c1-pictures`.

    Parameters
    ----------
    comparisons
        In the order of the page.
    examples
        Test rows and their reconstructions by name of the comparison.
    links
        Returns a run's address by its id.
    room
        Characters of JSON that all may take. Plots come first; of pictures, dim3 that do not fit are left out.
    """
    made: dict[str, View] = {}

    def add(name: str, view: View | None) -> None:
        nonlocal room
        if view is not None and _size(view) <= room:
            made[name] = view
            room -= _size(view)

    for i, comparison in enumerate(comparisons, 1):
        if any(m.points for m in comparison.models):
            add(f"c{i}-error", plot(comparison, links))
    for i, comparison in enumerate(comparisons, 1):
        if (found := examples.get(comparison.name)) is not None:
            add(f"c{i}-pictures", pictures(comparison, found, room))
    return made


def _size(view: View) -> int:
    return len(json.dumps(view))


def plot(comparison: ComparisonFinding, links: Callable[[str], str | None]) -> View:
    """Return the curves of the error and of the variance kept, and the choices for each purpose."""
    shown = _shown(comparison)
    points = [p for m, _ in shown for p in m.points]
    rules, choices = by_rule(comparison)
    by_series = {s.label: s for s in comparison.comparison.series}
    ladder, more = is_ladder(p.dim3 for p in points), len(comparison.models) - len(shown)

    def link(model: ModelFinding, point: Point) -> View:
        run_id, seed = run_at(by_series[model.label], point.dim3) if model.label in by_series else (None, 0)
        return {
            "link": None if run_id is None else link_to(links(run_id)),
            "link_text": f"open the run of seed {seed}" if point.seeds > 1 else "open its run",
        }

    return {
        "kind": "plot",
        "error_name": comparison.error_name,
        "kept": comparison.mean_row is not None,
        "log_dim3": ladder,
        "log_error": is_wide([p.error for p in points], SPARSE_LOG_FROM if ladder else LOG_FROM),
        "rule": next((i for i, rule in enumerate(rules) if _is_in_force(rule, comparison)), 0),
        "purposes": [_purpose(rule, [c.get(rule.text) for c in choices[: len(shown)]], comparison) for rule in rules],
        "models": [
            _named(model, style) | {"points": [_point(p, model, comparison) | link(model, p) for p in model.points]}
            for model, style in shown
        ],
        "left_out": f"Without {more} more models, which the tables have." if more > 0 else "",
    }


def pictures(comparison: ComparisonFinding, found: Examples, room: int) -> View | None:
    """Return the first test rows and each model's reconstructions of them by dim3; None where none fit into the room.

    Pictures are one PNG a model, with a line of pictures for each dim3; other rows are lines of their columns.
    """
    every = sorted({k for made in found.made.values() for k in made})
    kept, draw = every, _strips(found) if _look(found).shape(found.originals.shape[1]) else _lines(found)
    while kept:
        view = _pictures(comparison, found, kept, draw)
        left = [k for k in every if k not in kept]
        view["left_out"] = f"Left out to keep this file small: dim3 {ranges(left)}." if left else ""
        if _size(view) <= room and len(kept) <= _MOST_DIM3:
            return view
        kept = kept[::2] if len(kept) > 1 else []
    return None


def _pictures(
    comparison: ComparisonFinding, found: Examples, kept: Sequence[int], draw: Callable[[list[_Array]], Any]
) -> View:
    models = []
    for model, style in _shown(comparison):
        made = {k: rows for k, rows in found.made.get(model.label, {}).items() if k in kept}
        if made:
            points = {p.dim3: _row_text(p, comparison) for p in model.points}
            texts = {"dim3": sorted(made), "texts": [points.get(k, "") for k in sorted(made)]}
            models.append(_named(model, style) | texts | {"rows": draw([made[k] for k in sorted(made)])})
    pick = comparison.pick
    start = pick.dim3 if pick is not None and pick.dim3 in kept else pictured(comparison)
    shape = _look(found).shape(found.originals.shape[1])
    smaller = _smaller(shape or (1,))
    return {
        "kind": "pictures",
        "count": min(len(found.originals), _LINES if shape is None else _PICTURES),
        "shape": None if shape is None else [ceil(side / smaller) for side in shape[:2]],
        "dim3": list(kept),
        "start": min(range(len(kept)), key=lambda i: abs(kept[i] - (start or 0))),
        "originals": draw([found.originals]),
        "models": models,
    }


def _shown(comparison: ComparisonFinding) -> list[tuple[ModelFinding, Style]]:
    styles = styles_of(model.model for model in comparison.models)
    return list(zip(comparison.models, styles, strict=True))[:_MOST_MODELS]


def _named(model: ModelFinding, style: Style) -> View:
    return {"label": clean(model.label, LONGEST), "colour": style.colour, "marker": style.marker}


def _is_in_force(rule: Rule, comparison: ComparisonFinding) -> bool:
    return any(model.choice.rule == rule.text for model in comparison.models)


def _purpose(rule: Rule, choices: Sequence[Choice | None], comparison: ComparisonFinding) -> View:
    """A purpose, its choices by model, and for a share of the variance the level that a curve has to cross."""
    base = comparison.mean_row if rule.purpose == "keep" else None
    return {
        "words": rule.words,
        "level": None if base is None else {"error": _short((1 - rule.amount) * base), "kept": rule.amount},
        "choices": [
            {"dim3": c.choice if c else None, "ends": c.interval if c else None, "text": choice_text(c) if c else "–"}
            for c in choices
        ],
    }


def _point(point: Point, model: ModelFinding, comparison: ComparisonFinding) -> View:
    """A point with its interval, each as error and as variance kept, and the text on it."""
    errors = (point.error, point.low, point.high)
    shares = [_kept(e, comparison) for e in errors]
    said = [f"{comparison.error_name} {interval(point.error, (point.low, point.high))}"]
    said += [] if shares[0] is None else [f"variance kept {_percent(shares[0])}{_between(shares[2], shares[1])}"]
    said.append(f"{point.seeds} seeds" if point.seeds > 1 else "one training")
    if point.dim3 in model.undertrained:
        said.append(f"looks undertrained: {model.undertrained[point.dim3]}")
    if point.dim3 in model.unused:
        said.append(f"{model.unused[point.dim3]:.1f} latents in use")
    return {
        "dim3": point.dim3,
        "error": [_short(e) for e in errors],
        "kept": [_short(s) for s in (shares[0], shares[2], shares[1])],
        "hollow": point.dim3 in model.undertrained or point.dim3 in model.unused,
        "says": [clean(text, 200) for text in said],
    }


def _kept(error: float | None, comparison: ComparisonFinding) -> float | None:
    """The share of the variance that an error leaves, as at the right of the figure."""
    return None if error is None or not comparison.mean_row else 1 - error / comparison.mean_row


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{_percent(low)}, {_percent(high)}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _row_text(point: Point, comparison: ComparisonFinding) -> str:
    share = _kept(point.error, comparison)
    return f"{'' if share is None else f'keeps {_percent(share)}, '}error {number(point.error)}"


def _look(found: Examples) -> Look:
    return Look(found.image_shape, float(found.originals.min()), float(found.originals.max()))


def _smaller(shape: tuple[int, ...]) -> int:
    """By what whole number the sides of a picture are divided."""
    return ceil(max(shape[:2]) / _LARGEST)


def _strips(found: Examples) -> Callable[[list[_Array]], str]:
    """Return a function that makes one PNG, as a data URI, of rows (n, dim1): a line of pictures for each element."""
    look = _look(found)
    shape = look.shape(found.originals.shape[1]) or ()
    smaller = _smaller(shape)

    def small(row: _Array) -> _Array:
        shades = np.nan_to_num(255 * look.scaled(row)).round().astype(np.uint8).reshape(shape)
        picture = Image.fromarray(shades[..., 0] if shape[2:] == (1,) else shades)
        return np.asarray(picture.reduce(smaller))

    def strip(lines: list[_Array]) -> str:
        whole = np.concatenate([np.concatenate([small(row) for row in rows[:_PICTURES]], axis=1) for rows in lines])
        into = io.BytesIO()
        Image.fromarray(whole).save(into, format="png")
        return image(into.getvalue()).uri

    return strip


def _lines(found: Examples) -> Callable[[list[_Array]], list[list[list[int]]]]:
    """Return a function that makes lines of rows (n, dim1): heights of columns, standardised, from 0 to 100."""
    columns = np.linspace(0, found.originals.shape[1] - 1, min(found.originals.shape[1], _MOST_COLUMNS)).astype(int)
    base = found.originals[:, columns].astype(float)
    mean, sd = base.mean(axis=0), base.std(axis=0)
    sd[sd == 0] = 1

    def lines(examples: list[_Array]) -> list[list[list[int]]]:
        scaled = [np.clip((rows[:_LINES, columns] - mean) / sd / _FARTHEST, -1, 1) for rows in examples]
        return [np.nan_to_num(50 * (1 + each)).round().astype(int).tolist() for each in scaled]

    return lines
