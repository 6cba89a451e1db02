"""The plots, pictures and codes that a reader of a page can move, as plain data for `templates/page.js`: `views`.

Numbers and texts are those of the findings and tables. Nothing here reads a store.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from elbowroom.tracking.drawing import PALETTE, Look, small_pictures
from elbowroom.tracking.store.text import clean, ranges

from ..figures.curves import LOG_FROM, LONGEST, SPARSE_LOG_FROM, Style, is_ladder, is_wide, pictured, styles_of
from ..findings.find import ComparisonFinding, ModelFinding, Point, run_at
from ..latent_space.projections import Points, Projections
from ..purposes import Rule
from ..purposes.choice import Choice
from ..runs.arrays import Examples
from .report import by_rule, choice_text, interval, link_to, number, percent

View = dict[str, Any]
_Array = npt.NDArray[Any]

_MOST_MODELS = 8  # as many as there are colours
_PICTURES, _LINES = 8, 4  # rows of the examples that are shown
_LARGEST = 40  # pixels of a picture's longer side
_MOST_DIM3 = 400  # of the pictures: browsers draw a strip of so many lines whole
_MOST_COLUMNS = 60  # of a row that is drawn as a line
_FARTHEST = 3.0  # SD of a column, at which the lines are cut off
_FOR_CODES = 0.25  # of the room that is left, for the codes of one comparison
_START = 2  # dim3 of the codes: they are not projected there
_CLASSES = [c if c != "#1a1a1a" else "var(--ink)" for c in PALETTE]  # black is white in the dark
_SIDE = 1000  # of a panel of codes, whose coordinates are whole numbers
_GOLDEN = 0.618034  # its multiples without their whole parts spread over [0, 1]
_ABREAST = 16  # pictures of rows in one image
_MOST_BYTES = 300_000  # of that image
_FORMATS: tuple[dict[str, Any], ...] = (
    {"format": "png", "optimize": True},
    *({"format": "jpeg", "quality": quality} for quality in (85, 60, 30)),
)


def views(
    comparisons: Sequence[ComparisonFinding],
    examples: Mapping[str, Examples],
    codes: Mapping[str, Projections],
    links: Callable[[str], str | None],
    room: int,
) -> dict[str, View]:
    """Return the plot, the pictures and the codes of each comparison, as `c1-error`, `c1-pictures` and `c1-codes`.

    Comparisons of the same data share the pictures of the codes, as `sprite1`.

    Parameters
    ----------
    comparisons
        In the order of the page.
    examples, codes
        Test rows and their reconstructions, and their codes, by name of the comparison.
    links
        Returns a run's address by its id.
    room
        Characters of JSON that all may take. Plots come first; of codes and pictures, dim3 that do not fit are left
        out.
    """
    made: dict[str, View] = {}
    sprites: dict[str, str] = {}  # their names, by the digest of the data

    def add(name: str, view: View | None) -> None:
        nonlocal room
        if view is not None and _size(view) <= room:
            made[name] = view
            room -= _size(view)

    for i, comparison in enumerate(comparisons, 1):
        if any(m.points for m in comparison.models):
            add(f"c{i}-error", plot(comparison, links))
    for i, comparison in enumerate(comparisons, 1):
        if (projected := codes.get(comparison.name)) is None:
            continue
        if comparison.digest not in sprites and (drawn := sprite(projected)) is not None:
            name = f"sprite{len(sprites) + 1}"
            add(name, drawn)
            sprites |= {comparison.digest: name} if name in made else {}
        add(f"c{i}-codes", scatter(comparison, projected, sprites.get(comparison.digest), int(_FOR_CODES * room)))
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
    in_force = {model.choice.rule for model in comparison.models}
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
        "rule": next((i for i, rule in enumerate(rules) if rule.text in in_force), 0),
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
    draw = _strip(found) if _look(found).shape(found.originals.shape[1]) else _lines(found)
    return _fitting(every, every, lambda kept: _pictures(comparison, found, kept, draw), room)


def _fitting(every: list[int], kept: list[int], make: Callable[[list[int]], View], room: int) -> View | None:
    """Return a view of as many dim3 as fit into the room, every second until they do; None where none fits."""
    while kept:
        if len(kept) <= _MOST_DIM3:
            view = make(kept)
            left = [k for k in every if k not in kept]
            view["left_out"] = f"Left out to keep this file small: dim3 {ranges(left)}." if left else ""
            if _size(view) <= room:
                return view
        kept = kept[::2] if len(kept) > 1 else []
    return None


def _nearest(dim3: Sequence[int], wanted: int) -> int:
    return min(range(len(dim3)), key=lambda i: abs(dim3[i] - wanted))


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
    small = small_pictures(found.originals[:1], _look(found), _LARGEST)
    return {
        "kind": "pictures",
        "count": min(len(found.originals), _LINES if small is None else _PICTURES),
        "shape": None if small is None else list(small.shape[1:3]),
        "dim3": list(kept),
        "start": _nearest(kept, start or 0),
        "originals": draw([found.originals]),
        "models": models,
    }


def scatter(comparison: ComparisonFinding, found: Projections, sprite_name: str | None, room: int) -> View | None:
    """Return the codes of the first test rows by model and dim3, None where none fit into the room.

    Points are x and y in turn, from the left and from the top of a panel, whose axes end at the outermost points.

    Parameters
    ----------
    comparison, found
        The models, and their codes.
    sprite_name
        The name of the view with the pictures of the rows, None without.
    room
        Characters of JSON.
    """
    kept = sorted({k for points in found.points.values() for k in points})
    labels = None if found.labels is None else found.labels.tolist()

    def view(kept: list[int]) -> View:
        models = []
        for model, style in _shown(comparison):
            points = {k: each for k, each in sorted(found.points.get(model.label, {}).items()) if k in kept}
            if points:
                texts = {"dim3": list(points), "texts": [_plane_text(k, each) for k, each in points.items()]}
                models.append(_named(model, style) | texts | {"points": [_placed(p.codes) for p in points.values()]})
        return {
            "kind": "codes",
            "count": max(len(p.codes) for points in found.points.values() for p in points.values()),
            "side": _SIDE,
            "labels": labels,
            "classes": [[k, _CLASSES[k % len(_CLASSES)]] for k in sorted(set(labels or []))],
            "colour": PALETTE[0],
            "sprite": sprite_name,
            "dim3": kept,
            "start": _nearest(kept, pictured(comparison, _START) or _START),
            "models": models,
        }

    return _fitting(sorted({*kept, *found.left_out}), kept, view, room)


def _plane_text(dim3: int, points: Points) -> str:
    if points.share is None:
        return "all codes are equal"
    return {1: "one latent, across", 2: "both latents"}.get(dim3) or f"{percent(points.share)} of the variance"


def _placed(codes: _Array) -> list[int]:
    """Codes (n, 2) as whole numbers, x and y in turn; those of one latent (n, 1) get a height that says nothing."""
    if codes.shape[1] == 1:
        codes = np.column_stack([codes[:, 0], np.arange(len(codes)) * _GOLDEN % 1])
    low, span = codes.min(axis=0), np.ptp(codes, axis=0)
    shares = np.where(span > 0, (codes - low) / np.where(span > 0, span, 1), 0.5)
    shares[:, 1] = 1 - shares[:, 1]
    placed: list[int] = (_SIDE * shares).round().astype(int).ravel().tolist()
    return placed


def sprite(found: Projections) -> View | None:
    """Return the pictures of the rows side by side in one image, None without pictures or where it is too large."""
    if found.pictures is None:
        return None
    count, height, width = found.pictures.shape[:3]
    lines = -(-count // _ABREAST)
    whole = np.zeros((lines * _ABREAST, *found.pictures.shape[1:]), dtype=np.uint8)
    whole[:count] = found.pictures
    grid = whole.reshape(lines, _ABREAST, height, width, -1).swapaxes(1, 2)
    uris = (_uri(grid.reshape(lines * height, _ABREAST * width, -1), **options) for options in _FORMATS)
    image = next((uri for uri in uris if len(uri) <= _MOST_BYTES * 4 // 3), None)
    return None if image is None else {"image": image, "columns": _ABREAST, "shape": [height, width]}


def _uri(pixels: _Array, **options: Any) -> str:
    """Return pixels (height, width), or with their colours, as the data URI of an image."""
    into = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).save(into, **options)
    return f"data:image/{options['format']};base64,{base64.b64encode(into.getvalue()).decode()}"


def _shown(comparison: ComparisonFinding) -> list[tuple[ModelFinding, Style]]:
    styles = styles_of(model.model for model in comparison.models)
    return list(zip(comparison.models, styles, strict=True))[:_MOST_MODELS]


def _named(model: ModelFinding, style: Style) -> View:
    return {"label": clean(model.label, LONGEST), "colour": style.colour, "marker": style.marker}


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
    if shares[0] is not None:
        ends = "" if None in shares else f" [{percent(shares[2])}, {percent(shares[1])}]"
        said.append(f"variance kept {percent(shares[0])}{ends}")
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


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _row_text(point: Point, comparison: ComparisonFinding) -> str:
    share = _kept(point.error, comparison)
    return f"{'' if share is None else f'keeps {percent(share)}, '}error {number(point.error)}"


def _look(found: Examples) -> Look:
    return Look(found.image_shape, float(found.originals.min()), float(found.originals.max()))


def _strip(found: Examples) -> Callable[[list[_Array]], str]:
    """Return a function that makes one PNG, as a data URI, of rows (n, dim1): a line of pictures for each element."""

    def strip(lines: list[_Array]) -> str:
        parts = (small_pictures(rows[:_PICTURES], _look(found), _LARGEST) for rows in lines)
        return _uri(np.concatenate([np.concatenate(p, axis=1) for p in parts if p is not None]), format="png")

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
