"""`--map`: which params, metrics and tags of other programs' runs hold dim3, the error and the settings."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from mlflow.entities import Run

from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .cells import LARGEST, Cell, Unusable, finite, whole
from .scores import CurveIs

TARGETS = ("dim3", "error", "model", "seed", "dataset", "test")
REPEATABLE = ("settings", "ignore")
"""Targets that may be given more than once."""
SOURCES = ("params", "metrics", "tags")
_SHOWN_VALUES = 3  # of a param in a message
_SHOWN_PARAMS = 5
_SEED_NAME = r"(.*[_. /-])?(seed|random_state)"  # of a param or tag, after its source

Place = tuple[str, str]
"""A source, and a name in it."""


class Columns(NamedTuple):
    """A place for each target. Runs that differ in `settings` make different curves; `ignore` changes no number."""

    targets: Mapping[str, Place]
    settings: Sequence[Place] = ()
    ignore: Sequence[Place] = ()

    @property
    def places(self) -> list[Place]:
        """All places."""
        return [*self.targets.values(), *self.settings, *self.ignore]

    @property
    def text(self) -> str:
        """The mapping as `parse_map` reads it."""
        names = [*self.targets, *("settings" for _ in self.settings), *("ignore" for _ in self.ignore)]
        return ",".join(f"{name}={'.'.join(place)}" for name, place in zip(names, self.places, strict=True))


def parse_map(text: str) -> Columns:
    """Return `dim3=params.latent_size,error=metrics.val_loss,settings=params.lr` as columns. Raises BadInput."""
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    return _columns((target, place) for target, _, place in parts)


def columns_of(given: Mapping[str, str | Sequence[str]]) -> Columns:
    """Return {"dim3": "params.latent_size", "settings": ["params.lr"], …} as columns. Raises BadInput."""
    lists = {target: [places] if isinstance(places, str) else places for target, places in given.items()}
    return _columns((target, place) for target, places in lists.items() for place in places)


def _columns(pairs: Iterable[tuple[str, str]]) -> Columns:
    """Return the columns of pairs of a target and a place, `params.lr`. Raises BadInput."""
    found: dict[str, Place] = {}
    several: dict[str, list[Place]] = {name: [] for name in REPEATABLE}
    for target, place in pairs:
        source, _, name = place.partition(".")
        if target not in (*TARGETS, *REPEATABLE) or source not in SOURCES or not name:
            part = f"{target}={place}" if place else target
            raise BadInput(
                f"map {part!r}: allowed is TARGET=SOURCE.NAME with a target of {', '.join((*TARGETS, *REPEATABLE))} "
                f"and a source of {', '.join(SOURCES)}"
            )
        if target in several:
            several[target].append((source, name))
        else:
            found[target] = (source, name)
    if not {"dim3", "error"} <= set(found):
        raise BadInput("map needs dim3 and error, like dim3=params.latent_size,error=metrics.val_loss")
    return Columns(found, several["settings"], several["ignore"])


def mapped_cell(run: Run, columns: Columns, curve_is: CurveIs) -> Cell:
    """Return a finished run of another program as a cell.

    Parameters
    ----------
    run
        Of the store.
    columns
        Where the run has its coordinates and its error.
    curve_is
        Whether the error is a score, which may be negative.

    Raises
    ------
    Unusable
        Where a place is missing, or holds no number of its range.
    """

    def value(target: str, default: str = "") -> str:
        if target not in columns.targets:
            return default
        source, name = columns.targets[target]
        values = getattr(run.data, source)
        if name not in values:
            raise Unusable(f"it has no {source}.{name}")
        return str(values[name])

    def number(target: str) -> float:
        try:
            return finite(value(target), target, low=-LARGEST if curve_is == "score" else 0)
        except Unusable as reason:
            hint = "; --curve-is score reads what is better the higher it is" if value(target).startswith("-") else ""
            raise Unusable(f"{reason}{hint}") from None

    dim3 = whole(value("dim3"), "dim3")
    settings = ((name, str(getattr(run.data, source).get(name, "none"))) for source, name in columns.settings)
    return Cell(
        run=run,
        model=value("model", "model"),
        dim3=dim3,
        seed=whole(value("seed", "0"), "seed"),
        dataset=value("dataset", "data"),
        digest="",
        trained=True,
        seeded=True,
        settings=tuple(sorted(settings)),
        variant=(),
        error=number("error"),
        on_validation=True,
        test=number("test") if "test" in columns.targets else None,
    )


def check_settings(cells: Sequence[Cell], columns: Columns) -> None:
    """Raise BadInput, with the `--map` to type, where runs of one curve and dim3 differ in a param or tag.

    They would be averaged as seeds. A param that is called a seed may differ. So may one whose value is another word
    in each run, which names the run, if the seeds are mapped.
    """
    places: dict[tuple[object, ...], list[Mapping[str, str]]] = defaultdict(list)
    for cell in cells:
        places[cell.dataset, cell.model, cell.settings, cell.dim3].append(_own_words(cell))
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
        more = f" and {len(listed) - _SHOWN_PARAMS} more" if len(listed) > _SHOWN_PARAMS else ""
        raise BadInput(
            f"runs of one dim3 differ in {', '.join(listed[:_SHOWN_PARAMS])}{more}, and would be averaged as seeds; "
            f"try --map {shlex.quote(','.join([columns.text, *targets]))}, where settings= makes a curve for each "
            "value, seed= is averaged, and ignore= says that it changes no number"
        )


def _own_words(cell: Cell) -> dict[str, str]:
    """The params and tags that another program logged, by their places; without MLflow's and this project's tags."""
    data = cell.run.data
    own = {f"tags.{k}": value for k, value in data.tags.items() if not k.startswith(("mlflow.", "elbowroom."))}
    return {f"params.{name}": value for name, value in data.params.items()} | own


def _is_seed(name: str, values: Collection[str | None]) -> bool:
    return bool(re.fullmatch(_SEED_NAME, name, re.IGNORECASE)) and all(v and v.isdigit() for v in values)


def _is_label(name: str, values: Collection[str | None]) -> bool:
    """Whether the values, one of its own for each run, are times or no numbers."""
    return bool(re.search("time|date", name)) or not any(v and re.fullmatch(r"[-+.\deE]+", v) for v in values)


def _shown(name: str, values: Collection[str | None]) -> str:
    shown = [clean("none" if v is None else v, 40) for v in sorted(values, key=lambda v: (v is None, v))]
    more = ", …" if len(shown) > _SHOWN_VALUES else ""
    return f"{clean(name, LABEL_LENGTH)} ({', '.join(shown[:_SHOWN_VALUES])}{more})"
