"""The assignment's four tasks as plain values, from a store's measured runs: `answer(...)`.

What needs the data or a model was measured when the runs were made (`--measure`); here codes are compared, runs put
together, and what is missing named. The same runs give the same values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import Artifact, Metric, Param, Quality, Source, Tag, sample_metric

from ..runs.arrays import LOST, MOST_ROWS, fetch, interval, redraw
from ..runs.cells import Cell
from ..runs.comparison import Comparison, Series
from .similarity import (
    FEWEST,
    affine_disparity,
    disparity,
    gaussian_kl,
    is_constant,
    linear_cka,
    mmd_to_normal,
    neighbour_accuracy,
    neighbour_overlap,
    neighbours,
)

NEIGHBOURS = 10
MOST_CLASSES = 10_000
MOST_NEIGHBOURS = 50_000  # rows whose neighbours are looked for, each with each
OTHER_PROGRAM = "another exact program"
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Spread:
    """A number of each run; sd over runs where there are two and more."""

    mean: float
    sd: float | None
    values: list[float]


def spread(values: Iterable[float | None]) -> Spread | None:
    """Return the mean and SD of the values that are known; None if no run has one."""
    known = [float(v) for v in values if v is not None]
    if not known:
        return None
    return Spread(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None, known)


@dataclass(frozen=True)
class Estimate:
    """A mean over test rows and its 95 % interval, the rows resampled."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """Two runs' codes of the same rows; None where one of them is constant. See `analysis.latent_space.similarity`."""

    first: str
    second: str
    raw: float | None
    affine: float | None
    cka: float | None
    overlap: float | None


@dataclass(frozen=True)
class Repeats:
    """Task 1, and the same for the other models: one model at one dim3, run several times."""

    label: str
    model: str
    dim3: int
    names: list[str]
    error: Spread | None
    pairs: list[Pair]
    chance: float | None
    accuracy: list[Estimate]
    collapsed: list[str]
    note: str


@dataclass(frozen=True)
class Map:
    """Task 2: what stands behind the qualitative comparison of one model at one dim3, over its runs.

    ratio is of its test error over PCA's; commonest is the share of the commonest class, what guessing gives.
    """

    label: str
    model: str
    dim3: int
    error: Estimate | None
    ratio: Estimate | None
    accuracy: Estimate | None
    commonest: float | None
    trustworthiness: Spread | None
    continuity: Spread | None
    outside: Spread | None


@dataclass(frozen=True)
class Refit:
    """Task 2: PCA run twice, angles in degrees. clash is the error where scores of equation (1) go into (2)."""

    dim3: int
    again: float
    other: float
    flipped: int
    randomized: float
    auto_solver: str
    rows: int
    dim1: int
    error: float | None
    clash: float | None
    mean_row: float | None


@dataclass(frozen=True)
class Prior:
    """Task 4: how far all codes together are from N(0, I). squared and null: the MMD and its level by chance.

    rejected counts the runs whose MMD is above it at 5 %; kl is in nats, None where the codes of a run lie in fewer
    dimensions.
    """

    label: str
    dim3: int
    of: str
    squared: Spread
    null: Spread
    rejected: int
    kl: Spread | None


@dataclass(frozen=True)
class Health:
    """Task 4: what a model whose codes are distributions does with its latents; KLs in nats."""

    label: str
    dim3: int
    active: Spread | None
    kl: Spread
    kl_by_dim: list[list[float]]
    error: Spread | None
    sampled_error: Spread | None
    collapsed: bool
    reason: str


@dataclass(frozen=True)
class Robust:
    """Task 4: the error of decode(z + push), mean over runs, and times that without a push."""

    label: str
    model: str
    dim3: int
    lengths: list[float]
    errors: list[float]
    standard_errors: list[float]

    @property
    def ratios(self) -> list[float | None]:
        """To the error without a push."""
        return [e / self.errors[0] if self.errors[0] > 0 else None for e in self.errors]


@dataclass(frozen=True)
class Smooth:
    """Task 4: along straight lines between codes."""

    label: str
    model: str
    dim3: int
    largest_step: Spread | None
    detour: Spread | None
    midway: Spread | None


@dataclass(frozen=True)
class Draws:
    """Task 4: mean squared difference of samples, drawn again with the same seed and with a new one."""

    label: str
    dim3: int
    same: Spread
    new: Spread


@dataclass(frozen=True)
class Generator:
    """Task 4: one way to make rows. main: one of the four that the assignment's question is about."""

    name: str
    label: str
    source: str
    dim3: int | None
    main: bool
    precision: Spread | None
    recall: Spread | None
    coverage: Spread | None
    outside: Spread | None
    nearest: Spread | None


@dataclass(frozen=True)
class Answers:
    """All that the page says, but for what the report finds already."""

    shown: list[int]
    repeats: list[Repeats]
    maps: list[Map]
    refits: list[Refit]
    priors: list[Prior]
    health: list[Health]
    robust: list[Robust]
    smooth: list[Smooth]
    draws: list[Draws]
    generators: list[Generator]
    controls: list[Generator]
    notes: list[str]


class Group(NamedTuple):
    """The measured runs of one series at one dim3, by seed."""

    series: Series
    dim3: int
    cells: list[Cell]

    @property
    def label(self) -> str:
        """The label of the series."""
        return self.series.label

    @property
    def is_pca(self) -> bool:
        """Whether the codes are scores, and there is a second fit of them."""
        return self.series.model == "pca"

    @property
    def has_posterior(self) -> bool:
        """Whether a code is a distribution."""
        return all(c.metric(Metric.SAMPLED_MSE) is not None for c in self.cells)

    def spread(self, metric: str) -> Spread | None:
        """A metric over the runs."""
        return spread(c.metric(metric) for c in self.cells)


def measured(comparison: Comparison, shown: Sequence[int]) -> list[Group]:
    """The runs with measures, of each series at each dim3 that is shown."""
    groups = []
    for series in comparison.series:
        for dim3 in shown:
            cells = [c for _, c in sorted(series.cells.get(dim3, {}).items())]
            cells = [c for c in cells if c.metric(Metric.MEASURE_SECONDS) is not None]
            if cells:
                groups.append(Group(series, dim3, cells))
    return groups


class Shelf:
    """Arrays of runs, each fetched once; what is missing or unusable is named in `notes`, and the rest goes on."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._held: dict[tuple[str, str], Array | None] = {}
        self._labels: tuple[set[str], Array | None] | None = None

    def take(self, cells: Sequence[Cell], artifact: str, ndim: int, most: int = MOST_ROWS) -> list[Array | None]:
        """One array for each cell, finite, of that many dimensions, and of at most so many rows; or None."""
        new = [c for c in cells if (c.run_id, artifact) not in self._held]
        for cell, found in zip(new, fetch(new, artifact).values(), strict=True):
            why = found if isinstance(found, str) else _unusable(found, ndim, most)
            if why:
                self._note(cell, artifact, why)
            self._held[cell.run_id, artifact] = None if why else np.asarray(found)
        return [self._held[c.run_id, artifact] for c in cells]

    def one(self, cell: Cell, artifact: str, ndim: int, most: int = MOST_ROWS) -> Array | None:
        """The array of one cell."""
        return self.take([cell], artifact, ndim, most)[0]

    def codes(self, cells: Sequence[Cell], artifact: str) -> list[Array | None]:
        """The codes (N, dim3) of each cell."""
        found = self.take(cells, artifact, 2)
        for i, (cell, codes) in enumerate(zip(cells, found, strict=True)):
            if codes is not None and codes.shape[1] != cell.dim3:
                self._note(cell, artifact, f"unusable, of shape {codes.shape} where dim3 is {cell.dim3}")
                self._held[cell.run_id, artifact] = found[i] = None
        return found

    def labels(self, cells: Sequence[Cell]) -> Array | None:
        """The classes of the test rows, whole numbers from 0, as the first run that has them says.

        Data without labels are no fault; a run of those with labels that lacks them, or has others, is named.
        """
        places = {c.run_id: c for c in cells}
        if self._labels is None or not places.keys() <= self._labels[0]:
            self._labels = set(places), self._common_labels(list(places.values()))
        return self._labels[1]

    def _common_labels(self, cells: Sequence[Cell]) -> Array | None:
        found = fetch(cells, Artifact.LABELS)
        known = {k: a.astype(np.int64) for k, a in found.items() if isinstance(a, np.ndarray) and _are_labels(a)}
        first = next(iter(known.values()), None)
        for cell in cells:
            raw, mine = found[cell.run_id], known.get(cell.run_id)
            if mine is None and (first is not None or raw is not LOST):
                self._note(cell, Artifact.LABELS, raw if isinstance(raw, str) else "unusable, no classes")
            elif mine is not None and first is not None and not np.array_equal(mine, first):
                self._note(cell, Artifact.LABELS, "not what other runs of these rows say, and not used")
        return first

    def _note(self, cell: Cell, artifact: str, why: str) -> None:
        self.notes.append(f"{cell.name} (run {cell.run_id}): {artifact} is {why}")


def _unusable(array: Array, ndim: int, most: int) -> str:
    if array.ndim != ndim or not array.size or max(array.shape[:-1], default=len(array)) > most:
        return f"unusable, of shape {array.shape}"
    return "" if np.isfinite(array).all() else "not finite"


def _are_labels(array: Array) -> bool:
    """Whether an array names a class of each row."""
    if array.ndim != 1 or not 0 < len(array) <= MOST_ROWS or array.dtype.kind not in "iu":
        return False
    return bool(array.min() >= 0 and array.max() < MOST_CLASSES)


def same_rows(cells: Sequence[Cell]) -> None:
    """Raise BadInput unless all runs are of the same rows in the same order, as their digests say."""
    digests = dict.fromkeys(c.digest for c in cells)
    if len(digests) > 1 or "" in digests:
        named = " and ".join(d or "no digest" for d in list(digests)[:3])
        raise BadInput(f"codes of other test rows can't be compared: {named}; allowed: runs of the same data")


def answer(comparison: Comparison, shown: Sequence[int], shelf: Shelf) -> Answers:
    """Everything that the measured runs of a comparison tell of these dim3."""
    groups = measured(comparison, shown)
    same_rows([c for g in groups for c in g.cells])
    labels = shelf.labels([c for g in groups for c in g.cells])
    codes = {id(g): _Codes(g, shelf, labels) for g in groups}
    errors = {id(g): _row_errors(g, shelf) for g in groups}
    baselines = {g.dim3: errors[id(g)] for g in groups if g.is_pca}
    missing = [
        f"{s.label} at dim3 {k} was not measured: its part of the page is missing"
        for s in comparison.series
        for k in shown
        if not any(g.series is s and g.dim3 == k for g in groups)
    ]
    return Answers(
        shown=list(shown),
        repeats=[_repeats(g, codes[id(g)]) for g in groups],
        maps=[_map(g, codes[id(g)], errors[id(g)], baselines.get(g.dim3)) for g in groups],
        refits=[r for g in groups if g.is_pca and (r := _refit(g, shelf)) is not None],
        priors=[p for g in groups if not g.is_pca for p in _priors(g, codes[id(g)], shelf)],
        health=[h for g in groups if g.has_posterior and (h := _health(g, codes[id(g)], shelf)) is not None],
        robust=[r for r in (_robust(g, shelf) for g in groups) if r is not None],
        smooth=[
            Smooth(
                g.label,
                g.series.model,
                g.dim3,
                g.spread(Metric.LARGEST_STEP),
                g.spread(Metric.DETOUR),
                g.spread(Metric.MIDWAY),
            )
            for g in groups
        ],
        draws=[
            Draws(g.label, g.dim3, same, new)
            for g in groups
            if (same := g.spread(Metric.SAME_DRAW)) is not None and (new := g.spread(Metric.NEW_DRAW)) is not None
        ],
        generators=[maker for g in groups for maker in _generators(g)],
        controls=_controls(groups),
        notes=[*missing, *dict.fromkeys(shelf.notes)],  # last, when all else has been asked for
    )


class _Codes:
    """The codes of a group's runs, and of PCA's second fit, with their neighbours found once."""

    def __init__(self, group: Group, shelf: Shelf, labels: Array | None) -> None:
        arrays = dict(zip(group.cells, shelf.codes(group.cells, Artifact.CODES), strict=True))
        names = {c: "scikit-learn" if group.is_pca else f"seed {c.seed}" for c in group.cells}
        self.by_name = {names[c]: a for c, a in arrays.items() if a is not None}
        if group.is_pca:
            (other,) = shelf.codes(group.cells[:1], Artifact.CODES_REFIT)
            self.by_name |= {} if other is None else {OTHER_PROGRAM: other}
        lengths = [len(a) for a in self.by_name.values()]
        for name in [n for n, a in self.by_name.items() if len(a) != max(lengths, key=lengths.count)]:
            shelf.notes.append(f"{group.label} at dim3 {group.dim3}, {name}: its codes are of another number of rows")
            del self.by_name[name]
        rows = {len(a) for a in self.by_name.values()}
        self.labels = labels if labels is not None and {len(labels)} == rows else None
        self.near = {
            n: neighbours(a, NEIGHBOURS) for n, a in self.by_name.items() if NEIGHBOURS < len(a) <= MOST_NEIGHBOURS
        }
        self.collapsed = [n for n, a in self.by_name.items() if is_constant(a)]
        self.correct = {
            n: neighbour_accuracy(near, self.labels)
            for n, near in self.near.items()
            if self.labels is not None and n not in self.collapsed and n != OTHER_PROGRAM
        }


def _repeats(group: Group, codes: _Codes) -> Repeats:
    names = list(codes.by_name)
    pairs = [
        Pair(
            a,
            b,
            disparity(codes.by_name[a], codes.by_name[b]),
            affine_disparity(codes.by_name[a], codes.by_name[b]),
            linear_cka(codes.by_name[a], codes.by_name[b]),
            None
            if {a, b} & set(codes.collapsed) or a not in codes.near
            else neighbour_overlap(codes.near[a], codes.near[b]),
        )
        for a, b in combinations(names, 2)
    ]
    rows = len(codes.by_name[names[0]]) if names else 0
    note = ""
    if len(names) < 2:
        count = f"{len(names)} measured run{'s' * (len(names) != 1)}"
        note = f"{group.label} has {count} at dim3 {group.dim3}: it takes two to compare"
    return Repeats(
        label=group.label,
        model=group.series.model,
        dim3=group.dim3,
        names=names,
        error=spread(c.test for c in group.cells),
        pairs=pairs,
        chance=NEIGHBOURS / (rows - 1) if rows > NEIGHBOURS else None,
        accuracy=[_estimate(c.astype(float)) for c in codes.correct.values()],
        collapsed=codes.collapsed,
        note=note,
    )


def _estimate(rows: Array) -> Estimate:
    """The mean of a number of each test row."""
    low, high = interval(redraw(rows))
    return Estimate(float(rows.mean()), low, high)


def _row_errors(group: Group, shelf: Shelf) -> Array | None:
    """The test error of each row, mean over the runs."""
    arrays = [a for a in shelf.take(group.cells, Artifact.ERRORS_TEST, 1) if a is not None and (a >= 0).all()]
    if not arrays or len({len(a) for a in arrays}) > 1:
        return None
    return np.asarray(np.mean(arrays, axis=0, dtype=np.float64))


def _map(group: Group, codes: _Codes, errors: Array | None, baseline: Array | None) -> Map:
    ratio = None
    if errors is not None and baseline is not None and len(errors) == len(baseline):
        redrawn, others = redraw(errors), redraw(baseline)
        if others.all():  # of rows without an error nothing is a share
            ratio = Estimate(float(errors.mean() / baseline.mean()), *interval(redrawn / others))
    correct = list(codes.correct.values())
    return Map(
        label=group.label,
        model=group.series.model,
        dim3=group.dim3,
        error=None if errors is None else _estimate(errors),
        ratio=ratio,
        accuracy=_estimate(np.mean(correct, axis=0)) if correct else None,
        commonest=None if codes.labels is None else float(np.bincount(codes.labels).max() / len(codes.labels)),
        trustworthiness=group.spread(Metric.TRUSTWORTHINESS),
        continuity=group.spread(Metric.CONTINUITY),
        outside=group.spread(sample_metric(Source.OWN, Quality.OUTSIDE)),
    )


def _refit(group: Group, shelf: Shelf) -> Refit | None:
    cell = group.cells[0]
    numbers = [
        cell.metric(m) for m in (Metric.REFIT_DEGREES, Metric.OTHER_DEGREES, Metric.FLIPPED, Metric.RANDOMIZED_DEGREES)
    ]
    again, other, flipped, randomized = numbers
    if again is None or other is None or flipped is None or randomized is None:
        return None
    spectrum, scores = shelf.one(cell, Artifact.SPECTRUM, 1), shelf.one(cell, Artifact.CODES, 2)
    curve = fetch([cell], Artifact.PCA_CURVE)[cell.run_id]
    dim1 = _count(cell, Param.DIM1)
    clash = None
    fits = spectrum is not None and scores is not None and len(spectrum[: group.dim3]) == scores.shape[1]
    if fits and spectrum is not None and scores is not None and cell.test is not None and dim1:
        # (2) multiplies each score of (1) by sqrt(lambda) once more; the v_i are orthonormal.
        excess = (scores.astype(float) ** 2).mean(axis=0) * (np.sqrt(spectrum[: group.dim3]) - 1) ** 2
        clash = float(cell.test + excess.sum() / dim1)
    return Refit(
        dim3=group.dim3,
        again=again,
        other=other,
        flipped=int(flipped),
        randomized=randomized,
        auto_solver=cell.tag(Tag.AUTO_SOLVER),
        rows=_count(cell, Param.ROWS_TRAIN),
        dim1=dim1,
        error=cell.test,
        clash=clash,
        mean_row=None if isinstance(curve, str) or curve.ndim != 2 or not curve.size else float(curve[0, 0]),
    )


def _count(cell: Cell, param: Param) -> int:
    """A whole number among a run's params, 0 where there is none."""
    text = cell.run.data.params.get(param, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _priors(group: Group, codes: _Codes, shelf: Shelf) -> list[Prior]:
    """Compare the codes with N(0, I); of a model with a posterior both its means and draws from it."""
    sets = {"means" if group.has_posterior else "codes": list(codes.by_name.values())}
    if group.has_posterior:
        sets["draws"] = [a for a in shelf.codes(group.cells, Artifact.CODES_SAMPLED) if a is not None]
    made = []
    for of, arrays in sets.items():
        found = [mmd_to_normal(a) for a in arrays if len(a) >= FEWEST]
        squared, null = spread(m.squared for m in found), spread(m.null for m in found)
        if squared is not None and null is not None:
            rejected = sum(m.squared > m.null for m in found)
            divergences = [gaussian_kl(a) for a in arrays]
            kl = None if None in divergences else spread(divergences)
            made.append(Prior(group.label, group.dim3, of, squared, null, rejected, kl))
    return made


def _health(group: Group, codes: _Codes, shelf: Shelf) -> Health | None:
    arrays = [a for a in shelf.take(group.cells, Artifact.KL_BY_DIM, 1) if a is not None and len(a) == group.dim3]
    kl = spread(a.sum() for a in arrays)
    if kl is None:
        return None
    active = group.spread(Metric.TEST_ACTIVE_UNITS)
    collapsed = bool(codes.collapsed) or (active is not None and min(active.values) == 0)
    return Health(
        label=group.label,
        dim3=group.dim3,
        active=active,
        kl=kl,
        kl_by_dim=[sorted((float(v) for v in a), reverse=True) for a in arrays],
        error=spread(c.test for c in group.cells),
        sampled_error=group.spread(Metric.SAMPLED_MSE),
        collapsed=collapsed,
        reason=_why_collapsed(group) if collapsed else "",
    )


def _why_collapsed(group: Group) -> str:
    """The usual cause, as the run's own settings show it."""
    first = group.cells[0]
    dim1 = _count(first, Param.DIM1)
    try:
        beta = float(dict(first.variant).get("beta") or 1)
    except ValueError:
        beta = 1.0
    text = "no latent carries anything: the KL term, summed over latents, outweighs the reconstruction"
    if beta > 1 and dim1:
        text += f"; beta = {beta:g} weighs like a reconstruction averaged over {beta:g} of the {dim1} pixels"
        text += ", the usual mistake: averaged over all of them beside a summed KL" if beta >= dim1 else ""
    return text


def _robust(group: Group, shelf: Shelf) -> Robust | None:
    arrays = [a for a in shelf.take(group.cells, Artifact.ROBUSTNESS, 2) if a is not None and a.shape[1] == 3]
    if not arrays or len({len(a) for a in arrays}) > 1:
        return None
    lengths, errors, se = np.asarray(np.mean(arrays, axis=0, dtype=np.float64)).T
    return Robust(group.label, group.series.model, group.dim3, lengths.tolist(), errors.tolist(), se.tolist())


def _generators(group: Group) -> list[Generator]:
    """The ways to make rows with one model, those that the assignment's question is about first."""
    shown = group.label.upper() if group.series.model in ("pca", "ae", "vae") else group.label
    if group.is_pca:
        ways = [(Source.OWN, "equation (2)", True)]
    elif group.has_posterior:
        ways = [(Source.OWN, "N(0, I)", True), (Source.MIXTURE, "mixture", False)]
    else:
        ways = [
            (Source.NORMAL, "N(0, I)", True),
            (Source.MIXTURE, "mixture", True),
            (Source.OWN, "one Gaussian", False),
        ]
    ways.append((Source.RECONSTRUCTED, "reconstructions", False))
    return [
        _generator(f"{shown}, {how}", group.label, source, group.dim3, main, group.cells) for source, how, main in ways
    ]


def _generator(name: str, label: str, source: Source, dim3: int | None, main: bool, cells: Sequence[Cell]) -> Generator:
    precision, recall, coverage, outside, nearest = (
        spread(c.metric(sample_metric(source, quality)) for c in cells)
        for quality in (Quality.PRECISION, Quality.RECALL, Quality.COVERAGE, Quality.OUTSIDE, Quality.NEAREST)
    )
    return Generator(name, label, source.value, dim3, main, precision, recall, coverage, outside, nearest)


def _controls(groups: Sequence[Group]) -> list[Generator]:
    """Return the controls made of the data alone; every measured run has the same values, so the first one serves."""
    if not groups:
        return []
    names = {Source.REAL: "other real rows", Source.MEAN_ROW: "the mean row, always"}
    return [_generator(name, "", source, None, True, groups[0].cells[:1]) for source, name in names.items()]
