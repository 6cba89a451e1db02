"""Cells as curves: one comparison for each data set and training, one series for each model in it.

Cells of different data or budgets are never averaged. A series is judged by the seeds that each of its dim3 has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from elbowroom.tracking.store.names import DEFAULT_LOSSES
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .. import Floats
from .cells import Cell, LeftOut, is_measured, latest
from .curve import assemble, common_seeds

_Model = tuple[str, tuple[tuple[str, str], ...]]  # its name and variant


class Series(NamedTuple):
    """One model's cells, by dim3 and seed."""

    label: str
    model: str
    cells: dict[int, dict[int, Cell]]

    @property
    def dim3(self) -> list[int]:
        """The dim3 that have cells, ascending."""
        return sorted(self.cells)

    @property
    def seeds(self) -> list[int]:
        """The seeds that every dim3 has; if there are none, the mean over each dim3's own seeds is judged."""
        return common_seeds(self.cells.values())

    @property
    def trained(self) -> bool:
        """Whether the model was trained in epochs, and so has seeds and a budget."""
        return self.first.trained

    @property
    def seeded(self) -> bool:
        """Whether its numbers depend on a seed."""
        return self.first.seeded

    @property
    def first(self) -> Cell:
        """The first cell; what is no coordinate is the same in all."""
        return next(iter(next(iter(self.cells.values())).values()))

    def at(self, dim3: int) -> list[Cell]:
        """The cells of one dim3 that are judged: of the common seeds, or all where there are none."""
        by_seed = self.cells[dim3]
        return [by_seed[seed] for seed in (self.seeds or sorted(by_seed))]

    def errors(self, pick: str = "error") -> Floats:
        """`error`, `test` or a metric, (S, D) as `assemble` orders it; nan where a cell has no such number."""
        cells = [cell for by_seed in self.cells.values() for cell in by_seed.values()]
        return assemble((cell.dim3, cell.seed, _value(cell, pick)) for cell in cells)[1]

    @property
    def dropped(self) -> list[Cell]:
        """Finished cells of seeds that some dim3 lacks."""
        used = set(self.seeds)
        return [c for by_seed in self.cells.values() for seed, c in by_seed.items() if used and seed not in used]


class Comparison(NamedTuple):
    """Series of the same data and training; `doubled` names their runs that a later run of the same cell replaced."""

    name: str
    dataset: str
    digest: str
    settings: dict[str, str]
    series: list[Series]
    doubled: list[LeftOut]

    @property
    def cells(self) -> list[Cell]:
        """The cells of all its series."""
        return [c for s in self.series for by_seed in s.cells.values() for c in by_seed.values()]


def compare(cells: Sequence[Cell]) -> list[Comparison]:
    """Return the comparisons that the cells make, the largest first.

    Models without epochs are part of every comparison of their data.
    """
    kept, replaced = latest(cells)
    groups: dict[tuple[object, ...], list[Cell]] = defaultdict(list)
    for cell in kept:
        if cell.trained:
            groups[(*data_of(cell), cell.settings)].append(cell)
    for cell in kept:
        if not cell.trained:
            places = [place for place, members in groups.items() if data_of(members[0]) == data_of(cell)]
            for place in places or [(*data_of(cell), cell.settings)]:
                groups[place].append(cell)
    made = []
    for members in groups.values():
        first = members[0]
        ids = {c.run_id for c in members}
        doubled = [_doubled(old, new) for old, new in replaced if new.run_id in ids]
        made.append(Comparison("", first.dataset, first.digest, dict(first.settings), _series(members), doubled))
    made.sort(key=lambda c: (-sum(len(s.cells) for s in c.series), c.dataset, c.digest, sorted(c.settings.items())))
    return [c._replace(name=name) for c, name in zip(made, _names(made), strict=True)]


def data_of(cell: Cell) -> tuple[object, ...]:
    """Return the data that cells must share to be compared: the rows, and how many of them are for validation."""
    return (cell.dataset, cell.digest, cell.on_validation, dict(cell.settings).get("val_size", ""))


def _doubled(old: Cell, new: Cell) -> LeftOut:
    what = "a measured" if is_measured(new) and not is_measured(old) else "a later"
    return LeftOut(old.run_id, old.name, f"{what} run of the same cell finished: {new.run_id}")


def _series(cells: Sequence[Cell]) -> list[Series]:
    """One for each model and variant, those without epochs first, then by label."""
    by_model: dict[_Model, dict[int, dict[int, Cell]]] = {}
    for cell in cells:
        by_model.setdefault((cell.model, cell.variant), {}).setdefault(cell.dim3, {})[cell.seed] = cell
    labels = _numbered([_label(model, by_model) for model in by_model])
    made = [Series(label, model, grid) for label, ((model, _), grid) in zip(labels, by_model.items(), strict=True)]
    return sorted(made, key=lambda s: (s.trained, s.label))


def _label(model: _Model, models: Iterable[_Model]) -> str:
    """The model's short name, and what tells its variant from others: `ae`, `ae (loss bce)`.

    Where the name of another model has the same end it is the whole name.
    """
    (name, variant), names = model, {other for other, _ in models}
    short = name.rpartition(":")[2]
    shared = any(other != name and other.rpartition(":")[2] == short for other in names)
    label = _printable(name if shared else short or name)
    rivals = [dict(other) for each, other in models if each == name and other != variant]
    differing = {k: v for k, v in variant if any(rival.get(k) != v for rival in rivals)}
    shown = [f"{k} {v}" for k, v in differing.items() if (k, v) != ("loss", DEFAULT_LOSSES.get(name))]
    return clean(f"{label} ({', '.join(shown)})", 2 * LABEL_LENGTH) if shown else label


def _names(comparisons: Sequence[Comparison]) -> list[str]:
    """`mnist, 20 epochs` for each, and in what it differs from others of the same name."""
    names = []
    for mine in comparisons:
        epochs = mine.settings.get("epochs")
        rivals = [c for c in comparisons if c is not mine and c.dataset == mine.dataset]
        parts = [_printable(mine.dataset), *([f"{epochs} epochs"] if epochs else [])]
        same = [c for c in rivals if c.settings.get("epochs") == epochs]
        parts += [
            f"{k} {v}" for k, v in mine.settings.items() if k != "epochs" and any(c.settings.get(k) != v for c in same)
        ]
        if any(c.digest != mine.digest for c in rivals):
            parts.append(f"digest {mine.digest[:8]}")
        names.append(clean(", ".join(parts), 2 * LABEL_LENGTH))
    return _numbered(names)


def _printable(text: str) -> str:
    """A name from the store, on one line and not empty."""
    return clean(text, LABEL_LENGTH).strip() or "no name"


def _numbered(names: Sequence[str]) -> list[str]:
    """The names, each that occurs several times with a number that makes it unique."""
    made: list[str] = []
    for i, name in enumerate(names):
        wanted, number = name if names.count(name) == 1 else f"{name} ({i + 1})", i + 1
        while wanted in made or (wanted != name and wanted in names):
            number += 1
            wanted = f"{name} ({number})"
        made.append(wanted)
    return made


def _value(cell: Cell, pick: str) -> float:
    value = {"error": cell.error, "test": cell.test}[pick] if pick in ("error", "test") else cell.metric(pick)
    return np.nan if value is None else value
