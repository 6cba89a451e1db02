"""Params of others' runs that `--map` does not name, and in which the runs of one curve differ all the same."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import pairwise

from tracking.schema import LABEL_LENGTH, clean

from .errors import BadInput
from .store import Cell, Columns

SHOWN = 3  # values of a param in a message
NAMED = 5  # params in a message
SEED = r"(.*[_. /-])?(seed|random_state)"  # what a seed is called
Values = dict[tuple[int, int], set[str | None]]


def check_settings(cells: Sequence[Cell], columns: Columns) -> list[str]:
    """What to say of params that differ only from one dim3, or one seed, to another.

    Raises BadInput, with the `--map` to type, where runs that would be averaged as seeds differ in a param: it may be
    a setting. One that is called a seed is none. One that differs in each run, but is no number, only names the run, if
    the seeds are mapped.
    """
    named = {name for source, name in columns.places if source == "params"}
    curves: dict[tuple[object, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        curves[cell.dataset, cell.model, cell.settings].append(cell)
    notes: list[str] = []
    mixed: dict[str, set[str | None]] = {}
    for members in curves.values():
        for name in sorted({name for cell in members for name in cell.run.data.params} - named):
            values: Values = defaultdict(set)
            for cell in members:
                place = (cell.dim3, cell.seed if "seed" in columns.targets else 0)
                values[place].add(cell.run.data.params.get(name))
            different = set.union(*values.values())
            if re.fullmatch(SEED, name, re.IGNORECASE) and all(v and v.isdigit() for v in different):
                continue
            if _is_mixed(values):
                mixed[name] = mixed.get(name, set()) | different
            elif len(different) > 1 and not _names_the_run(values):
                shown = _shown(name, different)
                notes.append(f"{shown} differs with dim3 or seed: if it is a setting, more than those shapes the curve")
    if mixed:
        raise BadInput(_refusal(mixed, cells, columns))
    return list(dict.fromkeys(notes))


def _by_dim3(values: Values) -> dict[int, set[str | None]]:
    found: dict[int, set[str | None]] = defaultdict(set)
    for (dim3, _), those in values.items():
        found[dim3] |= those
    return found


def _is_mixed(values: Values) -> bool:
    """Whether seeds of one dim3 have different values, and not each run its own."""
    if any(len(those) > 1 for those in values.values()):
        return True
    follows_dim3 = all(len(those) == 1 for those in _by_dim3(values).values())
    return not follows_dim3 and len(set.union(*values.values())) < len(values)


def _names_the_run(values: Values) -> bool:
    """Whether each dim3, or each run, has a value of its own that is no number, or that rises or falls with dim3."""
    by_dim3 = _by_dim3(values)
    different = set.union(*values.values())
    if len(different) not in (len(by_dim3), len(values)):
        return False
    try:
        numbers = [float(value or "") for dim3 in sorted(by_dim3) for value in by_dim3[dim3]]
    except ValueError:
        return True
    steps = [after - before for before, after in pairwise(numbers)]
    return len(different) == len(by_dim3) and (all(s > 0 for s in steps) or all(s < 0 for s in steps))


def _refusal(mixed: dict[str, set[str | None]], cells: Sequence[Cell], columns: Columns) -> str:
    labels = {name for name, values in mixed.items() if len(values) == len(cells) and _is_label(name, values)}
    targets = [f"{'ignore' if name in labels else 'settings'}=params.{name}" for name in mixed]
    listed = [_shown(name, values) for name, values in mixed.items()]
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    typed = shlex.quote(",".join([columns.text, *targets]))
    return (
        f"runs of one dim3 differ in {', '.join(listed[:NAMED])}{more}, and would be averaged as seeds; "
        f"try --map {typed}, where settings= makes a curve for each value, seed= is averaged, and ignore= says that a "
        "param changes no number"
    )


def _is_label(name: str, values: Collection[str | None]) -> bool:
    """Whether values, of which each run has one of its own, are no numbers, or times."""
    return bool(re.search("time|date", name)) or not any(v and re.fullmatch(r"[-+.\deE]+", v) for v in values)


def _shown(name: str, values: Collection[str | None]) -> str:
    shown = [clean("none" if v is None else v, 40) for v in sorted(values, key=lambda v: (v is None, v))]
    more = ", …" if len(shown) > SHOWN else ""
    return f"params.{clean(name, LABEL_LENGTH)} ({', '.join(shown[:SHOWN])}{more})"
