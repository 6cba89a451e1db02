"""The sentences of a seek: where the search of a model is, what is left, the answer, and what it cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from math import ceil, inf
from typing import NamedTuple

from elbowroom.analysis.purposes import PURPOSES
from elbowroom.analysis.purposes.choice import spanned
from elbowroom.tracking.store.text import clean, ranges

from ..execution.next_cells import Known, Phase, Search, View, most_measured, rising
from ..execution.progress import seconds_of
from ..execution.state import duration
from .study import FinishedCell

_REFINED = 8  # cells that narrow an interval, in an estimate


class Time(NamedTuple):
    """The seconds in which cells of a model were trained, and the mean of one more.

    Those of the first seed take longer, as they have figures, so the mean is that of the others, where there are some.
    """

    spent: float
    each: float


def times_of(finished: Sequence[FinishedCell]) -> dict[str, Time]:
    """Return the time of each model's cells."""
    by_model: dict[str, list[FinishedCell]] = {}
    for one in finished:
        by_model.setdefault(one.config.model, []).append(one)
    return {
        model: Time(
            _covered([(f.run.info.start_time / 1000, (f.run.info.end_time or 0) / 1000) for f in mine]),
            statistics.mean(seconds_of(f) for f in [f for f in mine if f.config.seed] or mine),
        )
        for model, mine in by_model.items()
    }


def _covered(times: Sequence[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    length, last = 0.0, -inf
    for begin, end in sorted(times):
        length += max(end - max(begin, last), 0.0)
        last = max(end, last)
    return length


def _label(known: Known) -> str:
    return "" if known.evidence is None else known.evidence.label


def state(known: Known, view: View, search: Search, seconds: float, workers: int) -> str:
    """Return the state of a search: its answer, or where it lies, the cells so far, and what is left.

    Parameters
    ----------
    known, view, search
        The model, the state of one rule, and the search.
    seconds
        The time of a cell.
    workers
        How many cells run at once.
    """
    if view.choice is not None and (view.phase is Phase.DONE or known.knows_curve(view.rule)):
        return view.choice.sentence
    ends = sorted({*_left(known, view, search)})
    cells = " to ".join(map(str, ends))
    time_left = " to ".join(dict.fromkeys(duration(ceil(n / workers) * seconds) for n in ends))
    left = f"about {cells} more in {time_left}" if any(ends) else "the budget is spent"
    climbs = view.phase is Phase.CLIMB and any(ends) and view.wanted[0][0] > max(known.cells)
    trying = f", trying {view.wanted[0][0]}" if climbs else ""
    return f"{_label(known)} {view.rule.text}: {_bracket(known, view)}{trying}; {_cells(known)} so far, {left}"


def _cells(known: Known) -> str:
    return f"{known.trained} cell{'s' if known.trained > 1 else ''}"


def _bracket(known: Known, view: View) -> str:
    """Between which dim3 the answer lies, and what both keep."""
    choice, largest = view.choice, max(known.cells)
    if choice is None or choice.choice is None:
        climbs = choice is not None and choice.by_error and view.phase is Phase.CLIMB and largest < known.most
        at = _kept(known, view, largest)
        return f"dim3 {at} is too small" if climbs else f"no answer up to dim3 {at}"
    if view.phase is Phase.REFINE:
        return f"dim3 {choice.choice} ({spanned(choice.interval or (None, None))})"
    if not choice.by_error:
        return f"dim3 {choice.choice} so far"
    at = _kept(known, view, choice.choice)
    if choice.below is None:
        return f"at most dim3 {at}"
    return f"dim3 {_kept(known, view, choice.below)} is too small, {at} is enough"


def _kept(known: Known, view: View, dim3: int) -> str:
    """A dim3, and the share of the variance that it keeps, where that is what the rule reads."""
    if view.rule.purpose != "keep" or known.evidence is None:
        return str(dim3)
    kept = known.evidence.fitted.chosen.kept(dim3)
    return str(dim3) if kept is None else f"{dim3} (keeps {100 * kept[0]:.3g} %)"


def _left(known: Known, view: View, search: Search) -> tuple[int, int]:
    """About how many cells are left, at least and at most."""
    wanted = view.missing(known)
    around = 4 * (search.seeds if known.seeded else 1)
    if view.phase is Phase.CONFIRM:
        low, high = wanted, wanted + _REFINED
    elif view.phase is Phase.REFINE:
        low, high = wanted, 4 * wanted
    elif view.phase is Phase.NARROW:
        low, high = around - 2, around + wanted.bit_length() + _REFINED
    else:
        rungs = (known.most // max(max(known.cells), 1)).bit_length()
        low, high = min(rungs, around), rungs + around + _REFINED
    budget = known.budget(search)
    return min(low, budget), min(high, budget)


def sentences(
    known: Mapping[str, Known], views: Mapping[str, Sequence[View]], times: Mapping[str, Time], search: Search
) -> list[str]:
    """Return the answers of all models, and what to know beside them.

    Parameters
    ----------
    known, views, times
        The models, the states of their rules, and the times of those that have cells.
    search
        The question.
    """
    said = []
    for model, found in views.items():
        one = known[model]
        if not found:
            only = {rule.purpose: PURPOSES[rule.purpose].only for rule in search.rules}
            said.append(f"{clean(model)}: {'; '.join(only.values())}")
        if not one.cells:
            continue
        shared = " for all its rules" if len(found) > 1 else ""
        cost = f"{_cells(one)}{shared}, {duration(times[model].spent)}"
        said += [answer(one, view, search, cost) for view in found]
        if up := rising(one):
            why = "unused latents" if one.elbo else "too few rows"
            risen = f"{_label(one)} errs more at dim3 {ranges(up)} than at a smaller one"
            said.append(f"{risen}: {why} or the number of --epochs may be the cause")
    return said + _worse_than_pca(known, views)


def answer(known: Known, view: View, search: Search, cost: str) -> str:
    """Return the answer of a rule, and what it cost, beside the cost of a grid.

    Parameters
    ----------
    known, view, search
        The model, the state of the rule, and the question.
    cost
        The cells and their time, in words.
    """
    choice, seeds = view.choice, search.seeds
    if choice is None or view.phase is not Phase.DONE:
        return f"{_label(known)} {view.rule.text}: not settled: {_bracket(known, view)}; {cost}"
    said = choice.sentence + _why_it_ends(known, view, search)
    if choice.choice is None or not known.seeded:
        return f"{said}; {cost}"
    last = min(1 << max(choice.choice - 1, 3).bit_length(), known.most)
    grid = (last - 1) * seeds
    beside = f"; a grid of 2 to {last} with {seeds} seeds would have taken {grid}"
    return f"{said}; {cost}{beside if grid > known.trained else ''}"


def _why_it_ends(known: Known, view: View, search: Search) -> str:
    """Why more cells bring nothing, where the answer is open or its interval wide; or nothing."""
    choice = view.choice
    assert choice is not None
    if choice.choice is not None and choice.choice > known.most and known.knows_curve(view.rule):
        return "; beyond --max-dim3, as one fit gives every dim3"
    if choice.choice is not None:
        low, high = choice.by_rows or (choice.choice, choice.choice)
        wide = max(choice.choice - (low or 1), (high or known.most) - choice.choice) > search.within
        return (
            f"; its width is mostly due to only {choice.rows} rows that choose: a larger --val-size gives more"
            if wide
            else ""
        )
    if view.rule.purpose == "rank" and (most := most_measured(known)) < known.most:
        return f"; hidden entries are predicted up to {most} latents only"
    if choice.missing or max(known.cells) < known.most or known.evidence is None:
        return ""
    if known.most < known.evidence.fitted.most:
        return "; here --max-dim3 is the limit"
    return "" if choice.by_error else "; the data allow no larger dim3"


def _worse_than_pca(known: Mapping[str, Known], views: Mapping[str, Sequence[View]]) -> list[str]:
    """Name the models without a prior that are shown to need more dim3 than PCA, whose map they can learn."""
    pca = {v.rule: v.choice.choice for v in views.get("pca", ()) if v.choice and v.choice.by_error}
    said = []
    for model, one in known.items():
        for view in views[model] if one.seeded and one.elbo is False else ():
            theirs, interval = pca.get(view.rule), view.choice and view.choice.interval
            if theirs and interval and (interval[0] or 0) > theirs:
                why = "a network that is wide enough can learn what PCA does: other --epochs, --dim2 or rows may help"
                said.append(f"{_label(one)} needs more dim3 than pca for {view.rule.text}: {why}")
    return said
