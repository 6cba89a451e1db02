"""Params and tags of others' runs that `--map` does not name, and in which runs differ that would be averaged."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .query import Cell, Columns

SHOWN = 3  # values of a param in a message
NAMED = 5  # params in a message
SEED = r"(.*[_. /-])?(seed|random_state)"  # what a seed is called, behind its source


def check_settings(cells: Sequence[Cell], columns: Columns) -> None:
    """Raise BadInput, with the `--map` to type, where runs of one curve and dim3 differ in a param or tag: a setting?

    One that is called a seed is none. One with a word of its own for each run names the run, if the seeds are mapped.
    """
    places: dict[tuple[object, ...], list[Mapping[str, str]]] = defaultdict(list)
    for cell in cells:
        places[cell.dataset, cell.model, cell.settings, cell.dim3].append(_words(cell))
    mapped = {f"{source}.{name}" for source, name in columns.places}
    mixed: dict[str, set[str | None]] = {}
    for name in sorted({name for members in places.values() for words in members for name in words} - mapped):
        values = [{words.get(name) for words in members} for members in places.values()]
        if any(len(those) > 1 and not _is_seed(name, those) for those in values):
            mixed[name] = set.union(*values)
    labels = [name for name, values in mixed.items() if len(values) == len(cells) and _is_label(name, values)]
    if "seed" in columns.targets:
        mixed = {name: values for name, values in mixed.items() if name not in labels}
    if mixed:
        targets = [f"{'ignore' if name in labels else 'settings'}={name}" for name in mixed]
        listed = [_shown(name, values) for name, values in mixed.items()]
        more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
        raise BadInput(
            f"runs of one dim3 differ in {', '.join(listed[:NAMED])}{more}, and would be averaged as seeds; "
            f"try --map {shlex.quote(','.join([columns.text, *targets]))}, where settings= makes a curve for each "
            "value, seed= is averaged, and ignore= says that it changes no number"
        )


def _words(cell: Cell) -> dict[str, str]:
    """The params and tags that its owner gave a run, by their places; not those of MLflow and of this project."""
    data = cell.run.data
    own = {f"tags.{k}": value for k, value in data.tags.items() if not k.startswith(("mlflow.", "elbowroom."))}
    return {f"params.{name}": value for name, value in data.params.items()} | own


def _is_seed(name: str, values: Collection[str | None]) -> bool:
    return bool(re.fullmatch(SEED, name, re.IGNORECASE)) and all(v and v.isdigit() for v in values)


def _is_label(name: str, values: Collection[str | None]) -> bool:
    """Whether values, of which each run has one of its own, are no numbers, or times."""
    return bool(re.search("time|date", name)) or not any(v and re.fullmatch(r"[-+.\deE]+", v) for v in values)


def _shown(name: str, values: Collection[str | None]) -> str:
    shown = [clean("none" if v is None else v, 40) for v in sorted(values, key=lambda v: (v is None, v))]
    more = ", …" if len(shown) > SHOWN else ""
    return f"{clean(name, LABEL_LENGTH)} ({', '.join(shown[:SHOWN])}{more})"
