"""The next cells of a seek: `next_cells(known, search, workers)`, a pure function of the cells that have finished.

Each model climbs the ladder 2, 4, 8, … with one seed until a rule is met. Cells between the last dim3 that is not
enough and the first that is narrow this bracket to two neighbours. One seed may have taken a wrong branch, so these
cells only locate the answer: the dim3 around it get several seeds, as do those whose means lie within noise of the
rule, and the bracket opens again where their fit leaves it. Where the interval is still too wide, more dim3 around the
answer come before more seeds. An interval that ends in a wide gap gets cells there. A ladder ends where the error is
shown to rise; the gaps beside the least are then tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from itertools import count, islice, pairwise
from math import ceil, inf, log1p, sqrt
from typing import NamedTuple

import numpy as np

from elbowroom.analysis.purposes import PURPOSES, Evidence, NotOffered, Rule, choose
from elbowroom.analysis.purposes.choice import Choice, Missing
from elbowroom.analysis.purposes.crossing import Curve

LEAST_SEEDS = 3
_FIRST = 2  # dim3
_AROUND = (-2, -1, 0, 1)  # the dim3 that get several seeds, about the choice
_AT_ONCE = 4  # rungs, or dim3 of a bracket: of more at once, most are far from the answer
_LARGER = 2  # dim3 beyond a least that have to be no better
_INSET = 8  # part of a bracket that a new dim3 leaves on each side, so that the bracket always shrinks
_ADDED = 4  # cells of a round that narrows the interval, at least
_RISE = 0.05  # of the error: a larger dim3 that errs by more than this gets a second seed
_DOUBT = 3.0  # standard errors within which a mean may lie on the other side of the rule
_STEP_UP = 1.5  # of dim3: the next one above an interval that is open there
_NEAR = 0.2  # of dim3: a gap that is not searched for the least
_PART = 1 / 3  # of the way from the choice to an end of its interval: more cells should shorten it by more than this


class Cell(NamedTuple):
    """One training."""

    model: str
    dim3: int
    seed: int


class Known(NamedTuple):
    """One model: the seeds of its finished cells by dim3, and the evidence of these, None where there are none.

    most is the largest dim3 that may be asked for. seeded: whether trainings differ. spent: how many cells this seek
    has trained. elbo: whether the model has an ELBO, None where that is not known.
    """

    cells: Mapping[int, Collection[int]]
    evidence: Evidence | None
    most: int
    seeded: bool = True
    spent: int = 0
    elbo: bool | None = None

    def knows_curve(self, rule: Rule) -> bool:
        """Return whether one training gave what the rule reads at every dim3, as PCA's does for `keep`."""
        if rule.purpose != "keep" or self.evidence is None:
            return False
        try:
            return self.evidence.fitted.chosen.whole is not None
        except Missing:
            return False

    @property
    def trained(self) -> int:
        """The number of finished cells."""
        return sum(map(len, self.cells.values()))

    def budget(self, search: Search) -> int:
        """Return how many cells may still be trained."""
        return max(search.max_cells * len(search.rules) - self.spent, 0)


class Search(NamedTuple):
    """The question: the rules, how near the interval has to come to the answer, and how much it may cost.

    within is a number of dim3 on each side, seeds that of the dim3 around the answer, max_cells that of the cells of a
    model for each rule.
    """

    rules: Sequence[Rule]
    within: int = 1
    seeds: int = LEAST_SEEDS
    max_cells: int = 40


class Phase(Enum):
    """The state of the search for one rule."""

    CLIMB = "climbing"
    NARROW = "narrowing"
    CONFIRM = "confirming"
    REFINE = "refining"
    DONE = "done"


class View(NamedTuple):
    """One rule of one model: the phase, the choice, and the trainings that come next, as (dim3, number of seeds).

    complete: all of these are needed, not as many as there are workers.
    """

    rule: Rule
    phase: Phase
    choice: Choice | None = None
    wanted: Sequence[tuple[int, int]] = ()
    complete: bool = False

    def missing(self, known: Known) -> int:
        """Return how many of these trainings the model has not."""
        return sum(max(number - len(known.cells.get(dim3, ())), 0) for dim3, number in self.wanted)


def next_cells(
    known: Mapping[str, Known], search: Search, workers: int, views: Mapping[str, Sequence[View]] | None = None
) -> list[Cell]:
    """Return the cells of the next round; none where every rule of every model is settled, or its budget is spent.

    A round is complete before the next is asked for, so the order in which cells finish does not change the search. The
    last round trains models without a seed, as PCA, at the answers of the others, where they are compared.

    Parameters
    ----------
    known
        The finished cells of each model.
    search
        The question.
    workers
        How many cells run at once.
    views
        The state of each model, where the caller has it from `look`.
    """
    views = {model: look(one, search) for model, one in known.items()} if views is None else views
    open_models = [m for m, found in views.items() if any(view.wanted for view in found) and known[m].budget(search)]
    width = min(ceil(workers / max(len(open_models), 1)), _AT_ONCE)
    cells: list[Cell] = []
    for model in open_models:
        one = known[model]
        asked = dict.fromkeys(c for view in views[model] for c in _cells(model, one, view, width))
        cells += islice(asked, one.budget(search))
    return cells or _baselines(known, search, views)


def _baselines(known: Mapping[str, Known], search: Search, views: Mapping[str, Sequence[View]]) -> list[Cell]:
    """The cells of models without a seed at the answers of the other models."""
    answers = sorted({v.choice.choice or 0 for m, found in views.items() if known[m].seeded for v in found if v.choice})
    cells: list[Cell] = []
    for model, one in known.items():
        asked = [Cell(model, k, 0) for k in answers if k not in one.cells and 1 <= k <= one.most and not one.seeded]
        cells += asked[: one.budget(search)]
    return cells


def _cells(model: str, known: Known, view: View, width: int) -> list[Cell]:
    """The cells of one rule: missing seeds of the wanted dim3, from the smallest on."""
    found = []
    for dim3, number in view.wanted:
        there = known.cells.get(dim3, ())
        found += [Cell(model, dim3, s) for s in islice((s for s in count() if s not in there), number - len(there))]
    return found if view.complete else found[:width]


def look(known: Known, search: Search) -> list[View]:
    """Return the state of the search of one model, rule by rule; rules that do not concern it are left out."""
    views = []
    for rule in search.rules:
        if not offered(rule, known.elbo):
            continue
        try:
            view = _look(known, rule, search)
        except NotOffered:
            continue
        if not view.missing(known):  # also where cells are there, but their arrays are lost
            view = view._replace(phase=Phase.DONE, wanted=())
        views.append(view)
    return views


def offered(rule: Rule, elbo: bool | None) -> bool:
    """Return whether a rule is for a model, by whether this has an ELBO; None where that is not known."""
    needed = PURPOSES[rule.purpose].elbo
    return None in (needed, elbo) or needed is elbo


def _look(known: Known, rule: Rule, search: Search) -> View:
    choice = None if known.evidence is None else choose(rule, known.evidence)
    if rule.purpose == "rank":
        known = known._replace(most=most_measured(known))
    if choice is not None and choice.choice is None and known.knows_curve(rule):
        return View(rule, Phase.DONE, choice)
    each = search.seeds if known.seeded else 1
    if single := _lacking(known, _unsure(known), 2):
        return View(rule, Phase.CLIMB, choice, single, complete=True)
    if choice is None or choice.choice is None or _may_gain(known, choice):
        return _beyond(known, rule, choice, each)
    if gap := [k for k in _gap(choice, known.cells) if k <= known.most]:
        place = choice.place or sqrt(max(gap[0] - 1, 1) * (gap[-1] + 1))
        return View(rule, Phase.NARROW, choice, [(k, 1) for k in _inside(gap, place)])
    around = [choice.choice + step for step in _AROUND]
    if missing := _lacking(known, dict.fromkeys([*around, *_doubtful(known, choice)]), each):
        return View(rule, Phase.CONFIRM, choice, missing, complete=True)
    if known.seeded and choice.by_error:
        if above := _above(known, choice):
            return View(rule, Phase.REFINE, choice, [(above, 1)])
        if wide := _too_wide(choice, known.most, search.within):
            return _refine(known, rule, choice, wide)
    ends = _in_end_gaps(known, rule, choice, search.within)
    return View(rule, Phase.REFINE if ends else Phase.DONE, choice, [(k, 1) for k in ends])


def most_measured(known: Known) -> int:
    """Return the largest dim3 to ask for by `rank`: beyond a size of the data runs have no hidden entries."""
    try:
        measured = {} if known.evidence is None else known.evidence.hidden_entries()[0]
    except Missing:
        measured = {}
    largest = max(known.cells, default=0)
    return known.most if largest in measured or not largest else max(measured, default=0)


def _may_gain(known: Known, choice: Choice) -> bool:
    """Whether fewer than two dim3 beyond a least or a plateau have cells, and more can have."""
    larger = sum(k > (choice.choice or 0) for k in known.cells)
    return not choice.by_error and larger < _LARGER and max(known.cells) < known.most and not _rises(known)


def _above(known: Known, choice: Choice) -> int | None:
    """The next larger dim3, where the interval reaches beyond those that have cells, and errors do not rise there."""
    curve, largest = _curve(known), max(known.cells)
    if curve is None or choice.interval is None or choice.interval[1] is not None or curve.falling < len(curve.dim3):
        return None
    return min(ceil(_STEP_UP * largest), known.most) if largest < known.most else None


def _beyond(known: Known, rule: Rule, choice: Choice | None, each: int) -> View:
    """The search for a rule that no dim3 has met so far."""
    largest = max(known.cells, default=0)
    if largest < known.most and not _rises(known):
        rungs = (max(2 * largest, _FIRST) * 2**n for n in range(known.most.bit_length()))
        upward = list(dict.fromkeys(min(k, known.most) for k in rungs))[: 1 if rising(known) else _AT_ONCE]
        return View(rule, Phase.CLIMB, choice, [(k, 1) for k in upward])
    if choice is None or choice.missing or largest > known.most:
        return View(rule, Phase.DONE, choice)
    if not choice.by_error:  # a plateau or a least that takes two larger dim3 to be seen
        missing = _lacking(known, range(largest - 2, largest + 1), 1)
        return View(rule, Phase.CONFIRM, choice, missing) if missing else View(rule, Phase.DONE, choice)
    last = largest
    if (curve := _curve(known)) is not None and curve.falling < len(curve.dim3):
        if between := _beside_least(curve, choice.short or 0.0):
            return View(rule, Phase.NARROW, choice, [(k, 1) for k in between])
        last = curve.dim3[curve.falling - 1]
    low = 1 if choice.interval is None else choice.interval[0]
    if missing := _lacking(known, (last,) if low is None else (last - 1, last), each):
        return View(rule, Phase.CONFIRM, choice, missing, complete=True)
    if known.seeded and low is not None and (choice.by_rows or (None,))[0] is None:
        return _refine(known, rule, choice, range(low, last + 1))
    return View(rule, Phase.DONE, choice)


def _lacking(known: Known, dim3: Iterable[int], each: int) -> list[tuple[int, int]]:
    """Select the dim3 that may be asked for and have fewer seeds than `each`, and pair them with that number."""
    return [(k, each) for k in dim3 if 1 <= k <= known.most and len(known.cells.get(k, ())) < each]


def _doubtful(known: Known, choice: Choice) -> list[int]:
    """The dim3 whose means may lie on the other side of the rule by noise, as those that led to a wrong branch do."""
    curve = _curve(known)
    if curve is None or not choice.by_error or choice.choice is None or (noise := curve.noise) is None:
        return []
    errors = np.sqrt(noise.of_one / curve.counts)
    at = list(curve.dim3).index(choice.choice)
    above, below = curve.means - curve.fitted[at], curve.fitted[max(at - 1, 0)] - curve.means
    apart = np.where(np.arange(len(errors)) < at, above, below)
    return [k for k, near in zip(curve.dim3, apart < _DOUBT * errors, strict=True) if near]


def _refine(known: Known, rule: Rule, choice: Choice, wide: Sequence[int]) -> View:
    """One more seed for the dim3 of an interval that have fewest, the nearest to the answer first."""
    there = {k: len(known.cells.get(k, ())) for k in wide}
    at = choice.place or choice.choice or wide[-1]
    nearest = sorted(wide, key=lambda k: (there[k], abs(k - at)))
    return View(rule, Phase.REFINE, choice, [(k, there[k] + 1) for k in nearest[:_ADDED]], complete=True)


def rising(known: Known) -> list[int]:
    """Return the dim3 at which a trained model errs more than at a smaller one, as those trained too briefly do."""
    if (curve := _curve(known)) is None:
        return []
    least = np.minimum.accumulate([inf, *curve.means[:-1]])
    return [k for k, risen in zip(curve.dim3, curve.means - least > log1p(_RISE), strict=True) if risen]


def _unsure(known: Known) -> list[int]:
    """The dim3 whose errors seem to rise, and that which errs least; none where no error rises."""
    curve, up = _curve(known), rising(known)
    return [*up, curve.dim3[int(curve.means.argmin())]] if curve is not None and up else []


def _curve(known: Known) -> Curve | None:
    """The errors of a model whose trainings differ; None where there are none."""
    try:
        return known.evidence.fitted.chosen.curve(seeded=True) if known.evidence is not None and known.seeded else None
    except Missing:
        return None


def _rises(known: Known) -> bool:
    """Whether the last two dim3 err more than a smaller one, by more than the noise of trainings."""
    curve, last = _curve(known), sorted(known.cells)[-2:]
    return curve is not None and rising(known)[-2:] == last and curve.falling <= len(curve.dim3) - 2


def _beside_least(curve: Curve, short: float) -> list[int]:
    """The middles of the gaps beside the dim3 that errs least: where errors rise again, less may be between them.

    None where the parabola through it and its neighbours stays far above the rule, which the least misses by `short`.
    """
    at = int(curve.means.argmin())
    least, about = curve.dim3[at], slice(at - 1, at + 2)
    if 0 < at < len(curve.dim3) - 1:
        bend, slope, _ = np.polyfit(np.log(curve.dim3[about]) - np.log(least), curve.means[about], 2)
        if short > slope**2 / (4 * bend) + _RISE:
            return []
    gaps = [(a, b) for a, b in pairwise(curve.dim3) if least in (a, b) and b - a > max(_NEAR * a, 1)]
    return [round(sqrt(a * b)) for a, b in gaps]


def _gap(choice: Choice, scanned: Collection[int]) -> list[int]:
    """The dim3 without cells next below the choice; where these have cells, and a least is sought, next above it."""
    assert choice.choice is not None
    below = list(range((choice.below or 0) + 1, choice.choice))
    if below or choice.by_error or choice.interval is None or choice.interval[1] == choice.choice:
        return below
    above = min((k for k in scanned if k > choice.choice), default=0)
    return list(range(choice.choice + 1, above))


def _inside(gap: Sequence[int], place: float) -> list[int]:
    """Dim3 of a gap in the order in which they narrow it: where the fit meets the rule, then steps about that."""
    step = max((len(gap) + 1) // _INSET, 1)
    first = min(max(round(place), gap[0] - 1 + step), gap[-1] + 1 - step)
    stepped = [k for k in gap if (k - first) % step == 0]
    return sorted(stepped, key=lambda k: (abs(k - first), (k > first) == (first > place)))


def _in_end_gaps(known: Known, rule: Rule, choice: Choice, within: int) -> list[int]:
    """The middles of the gaps in which an interval ends, where these are a large part of its way from the choice.

    What has no cells was not excluded, and more cells of the others do not narrow such an end.

    Parameters
    ----------
    known, rule, choice
        The model, the rule, and what it chooses.
    within
        How far the interval may reach.
    """
    if choice.interval is None or choice.choice is None or known.knows_curve(rule):
        return []
    at, (low, high) = choice.choice, choice.interval
    low = low or 1
    gaps = [(at - low, range(low, min(k for k in known.cells if k >= low)))]
    if high is not None:
        below = max((k for k in known.cells if k < high), default=0)
        gaps.append((high - at, range(below + 1, high + (high not in known.cells))))
    wide = [gap for far, gap in gaps if far > within and len(gap) > _PART * far]
    return [k for gap in wide if (k := round(sqrt(gap[0] * gap[-1]))) <= known.most]


def _too_wide(choice: Choice, most: int, within: int) -> Sequence[int]:
    """The dim3 of an interval that reaches too far from the choice; none where more trainings would not narrow it."""
    if choice.by_rows is None or choice.interval is None or choice.choice is None:
        return ()
    at, (low, high), (rows_low, rows_high) = choice.choice, choice.interval, choice.by_rows
    low, high, rows_low = low or 1, high or min(2 * at, most), rows_low or 1
    near_low, near_high = at - within, at + within
    if rows_low < near_low:
        near_low = rows_low - ceil(_PART * (at - rows_low))
    if rows_high is None:
        near_high = most
    elif rows_high > near_high:
        near_high = rows_high + ceil(_PART * (rows_high - at))
    return () if near_low <= low and high <= near_high else range(low, min(high, most) + 1)
