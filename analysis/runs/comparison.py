"""Cells put together to curves: one comparison for each data set and training, one series for each model in it.

Data sets and budgets are never averaged. A series judges the seeds that every dim3 of it has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .. import Floats
from .query import Cell, LeftOut, latest

DEFAULTS = {("pca", "loss"): "", ("ae", "loss"): "mse", ("vae", "loss"): "bce", ("linear-ae", "loss"): "mse"}


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
        return sorted(set.intersection(*(set(by_seed) for by_seed in self.cells.values())))

    @property
    def trained(self) -> bool:
        """Whether it has epochs, and so seeds and a budget."""
        return self.first.trained

    @property
    def seeded(self) -> bool:
        """Whether its numbers depend on a seed."""
        return self.first.seeded

    @property
    def first(self) -> Cell:
        """Any cell of it."""
        return next(iter(next(iter(self.cells.values())).values()))

    def at(self, dim3: int) -> list[Cell]:
        """The cells of one dim3 that count: of the common seeds, or all where there are none."""
        by_seed = self.cells[dim3]
        return [by_seed[seed] for seed in (self.seeds or sorted(by_seed))]

    def errors(self, pick: str = "error") -> Floats:
        """(S, D): a row a common seed; one row of means where there is none. nan where a cell has no such number."""
        rows = [[_value(cell, pick) for cell in self.at(k)] for k in self.dim3]
        if self.seeds:
            return np.array(rows, dtype=float).T
        return np.array([[float(np.mean(row)) for row in rows]])

    @property
    def dropped(self) -> list[Cell]:
        """Finished cells of seeds that not every dim3 has."""
        used = set(self.seeds)
        return [c for by_seed in self.cells.values() for seed, c in by_seed.items() if used and seed not in used]


class Comparison(NamedTuple):
    """Series of the same data and training, under a name of its own, and what had to be said about their cells."""

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
    """The comparisons that the cells make, the largest first.

    Models without epochs stand in each comparison of their data.
    """
    kept, doubled = latest(cells)
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
        mine = [d for d in doubled if d.why.rpartition(" ")[2] in ids]
        made.append(Comparison("", first.dataset, first.digest, dict(first.settings), _series(members), mine))
    made.sort(key=lambda c: (-sum(len(s.cells) for s in c.series), c.dataset, c.digest, sorted(c.settings.items())))
    return [c._replace(name=name) for c, name in zip(made, _names(made), strict=True)]


def _names(comparisons: Sequence[Comparison]) -> list[str]:
    """`mnist, 20 epochs` for each, and what tells it from others that would be called the same."""
    names = []
    for mine in comparisons:
        epochs = mine.settings.get("epochs")
        rivals = [c for c in comparisons if c is not mine and c.dataset == mine.dataset]
        parts = [_called(mine.dataset), *([f"{epochs} epochs"] if epochs else [])]
        same = [c for c in rivals if c.settings.get("epochs") == epochs]
        parts += [
            f"{k} {v}" for k, v in mine.settings.items() if k != "epochs" and any(c.settings.get(k) != v for c in same)
        ]
        if any(c.digest != mine.digest for c in rivals):
            parts.append(f"digest {mine.digest[:8]}")
        names.append(clean(", ".join(parts), 2 * LABEL_LENGTH))
    return _told_apart(names)


def _called(text: str) -> str:
    """A name from the store, on one line and not empty."""
    name = clean(text, LABEL_LENGTH).strip()
    return name or "no name"


def _told_apart(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that are the same, which no other has."""
    made: list[str] = []
    for i, name in enumerate(names):
        wanted, number = name if names.count(name) == 1 else f"{name} ({i + 1})", i + 1
        while wanted in made or (wanted != name and wanted in names):
            number += 1
            wanted = f"{name} ({number})"
        made.append(wanted)
    return made


def data_of(cell: Cell) -> tuple[object, ...]:
    """The data that cells must share to be compared: the rows, and how many of them are for validation."""
    return (cell.dataset, cell.digest, cell.on_validation, dict(cell.settings).get("val_size", ""))


def _series(cells: Sequence[Cell]) -> list[Series]:
    """One for each model and variant, those without epochs first, then by name."""
    by_variant: dict[tuple[str, tuple[tuple[str, str], ...]], dict[int, dict[int, Cell]]] = {}
    for cell in cells:
        by_variant.setdefault((cell.model, cell.variant), {}).setdefault(cell.dim3, {})[cell.seed] = cell
    labels = _told_apart([_label(model, variant, by_variant) for model, variant in by_variant])
    made = [Series(label, model, grid) for label, ((model, _), grid) in zip(labels, by_variant.items(), strict=True)]
    return sorted(made, key=lambda s: (s.trained, s.label))


def _label(
    model: str, variant: tuple[tuple[str, str], ...], others: Iterable[tuple[str, tuple[tuple[str, str], ...]]]
) -> str:
    """The model's short name, and what tells it from other variants of it: `ae`, `ae (loss bce)`.

    Where another model's ends alike it is the whole name.
    """
    short = _called(model.rpartition(":")[2] or model)
    if any(m != model and m.rpartition(":")[2] == model.rpartition(":")[2] for m, _ in others):
        short = _called(model)
    rivals = [dict(v) for m, v in others if m == model and v != variant]
    mine = dict(variant)
    differing = [k for k in mine if any(r.get(k) != mine[k] for r in rivals)]
    shown = [f"{k} {mine[k]}" for k in differing if DEFAULTS.get((model, k)) != mine[k]]
    return clean(f"{short} ({', '.join(shown)})", 2 * LABEL_LENGTH) if shown else short


def _value(cell: Cell, pick: str) -> float:
    if pick == "error":
        return cell.error
    if pick == "test":
        return np.nan if cell.test is None else cell.test
    found = cell.metric(pick)
    return np.nan if found is None else found
