"""The assignment's four tasks as values, from a store's measured runs: `answer(...)`, task by task.

What needs the data or a model was measured when the runs were made (`--measure`). Here codes are compared and runs
averaged. The same runs give the same values. Task 3, the error against dim3, is in `analysis.findings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from elbowroom.tracking.store.names import Artifact, Metric, Param, Quality, Source, Tag, sample_metric

from ..runs.arrays import fetch, interval, redraw
from ..runs.comparison import Cell, Comparison
from .measured import NEIGHBOURS, Codes, Group, Shelf, check_same_rows, measured
from .similarity import (
    FEWEST,
    affine_disparity,
    disparity,
    gaussian_kl,
    linear_cka,
    mmd_to_normal,
    neighbour_overlap,
)

_Array = npt.NDArray[Any]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Answers:
    """The answers for each model at each dim3 that is shown."""

    shown: list[int]
    repeats: list[Repeats]
    """Task 1: do two trainings give the same latent space?"""
    maps: list[Map]
    """Task 2: how does a model compare with PCA?"""
    refits: list[Refit]
    """Task 2: does PCA change when it is run twice?"""
    draws: list[Draws]
    """Task 4: do generated samples differ from call to call?"""
    priors: list[Prior]
    """Task 4: are all codes together N(0, I)?"""
    robust: list[Robust]
    """Task 4: is decoding robust to errors of the code?"""
    smooth: list[Smooth]
    """Task 4: is the latent space smooth?"""
    health: list[Health]
    """Task 4: which latents does a VAE use?"""
    generators: list[Generator]
    """Task 4: which way to generate rows is best?"""
    controls: list[Generator]
    """The same measures of real rows, and of the mean row."""
    notes: list[str]
    """What is missing or unusable."""


@dataclass(frozen=True)
class Spread:
    """A number of each run, its mean, and its SD over two runs and more."""

    mean: float
    sd: float | None
    values: list[float]


@dataclass(frozen=True)
class Estimate:
    """A mean over test rows and its 95 % interval, the rows resampled."""

    value: float
    low: float
    high: float


def answer(comparison: Comparison, shown: Sequence[int], shelf: Shelf) -> Answers:
    """Answer the assignment from the measured runs of a comparison.

    Parameters
    ----------
    comparison
        Its series are the models.
    shown
        The dim3 of the answers.
    shelf
        Caches the arrays; its notes become part of the answers.

    Raises
    ------
    BadInput
        Where runs have other test rows than others.
    """
    groups = measured(comparison, shown)
    cells = [c for g in groups for c in g.cells]
    check_same_rows(cells)
    labels = shelf.labels(cells)
    codes = [Codes(g, shelf, labels) for g in groups]
    errors = [_row_errors(g, shelf) for g in groups]
    pca = {g.dim3: rows for g, rows in zip(groups, errors, strict=True) if g.is_pca}
    with_codes = list(zip(groups, codes, strict=True))
    missing = [
        f"{s.label} at dim3 {k} was not measured: its part of the page is missing"
        for s in comparison.series
        for k in shown
        if not any(g.series is s and g.dim3 == k for g in groups)
    ]
    return Answers(
        shown=list(shown),
        repeats=[_repeats(g, c) for g, c in with_codes],
        maps=[_map(g, c, rows, pca.get(g.dim3)) for (g, c), rows in zip(with_codes, errors, strict=True)],
        refits=_known(_refit(g, shelf) for g in groups if g.is_pca),
        priors=[p for g, c in with_codes if not g.is_pca for p in _priors(g, c, shelf)],
        health=_known(_health(g, c, shelf) for g, c in with_codes if g.has_posterior),
        robust=_known(_robust(g, shelf) for g in groups),
        smooth=[_smooth(g) for g in groups],
        draws=_known(_draws(g) for g in groups),
        generators=[generator for g in groups for generator in _generators(g)],
        controls=_controls(groups),
        notes=[*missing, *dict.fromkeys(shelf.notes)],  # last: all arrays have been fetched
    )


# Task 1: do two trainings give the same latent space?


@dataclass(frozen=True)
class Pair:
    """Two runs' codes of the same rows, compared by `analysis.latent_space.similarity`; None where one is constant.

    raw is the Procrustes disparity, affine that after the best affine map, overlap the share of common neighbours.
    """

    first: str
    second: str
    raw: float | None
    affine: float | None
    cka: float | None
    overlap: float | None


@dataclass(frozen=True)
class Repeats:
    """Several runs of one model at one dim3, by name.

    chance is the overlap of random neighbours; accuracy that of the neighbours' vote for the class, for each run;
    collapsed names the runs whose codes are constant; note says why there is nothing to compare.
    """

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


def _repeats(group: Group, codes: Codes) -> Repeats:
    names = list(codes.by_name)
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
        error=_spread(c.test for c in group.cells),
        pairs=[_pair(codes, first, second) for first, second in combinations(names, 2)],
        chance=NEIGHBOURS / (rows - 1) if rows > NEIGHBOURS else None,
        accuracy=[_estimate(c.astype(float)) for c in codes.correct.values()],
        collapsed=codes.collapsed,
        note=note,
    )


def _pair(codes: Codes, first: str, second: str) -> Pair:
    a, b = codes.by_name[first], codes.by_name[second]
    varied = first in codes.neighbours and not {first, second} & set(codes.collapsed)
    overlap = neighbour_overlap(codes.neighbours[first], codes.neighbours[second]) if varied else None
    return Pair(first, second, disparity(a, b), affine_disparity(a, b), linear_cka(a, b), overlap)


# Task 2: how does a model compare with PCA, and does PCA change when it is run twice?


@dataclass(frozen=True)
class Map:
    """The quality of one model at one dim3, over its runs.

    ratio is its test error over PCA's; accuracy that of the neighbours' vote, and commonest the share of the commonest
    class, which guessing gets; outside the share of generated values outside the range of the data.
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
    """PCA fitted twice; angles between the subspaces in degrees.

    again: to the same program; other: to another exact one; randomized: between two fits of the randomized solver.
    flipped counts the axes of opposite sign. clash is the error where scores of equation (1) go into equation (2),
    error that of PCA, and mean_row that of the mean row.
    """

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


def _map(group: Group, codes: Codes, errors: _Array | None, pca: _Array | None) -> Map:
    ratio = None
    if errors is not None and pca is not None and len(errors) == len(pca):
        redrawn, baseline = redraw(errors), redraw(pca)
        if baseline.all():
            ratio = Estimate(float(errors.mean() / pca.mean()), *interval(redrawn / baseline))
    correct = list(codes.correct.values())
    return Map(
        label=group.label,
        model=group.series.model,
        dim3=group.dim3,
        error=None if errors is None else _estimate(errors),
        ratio=ratio,
        accuracy=_estimate(np.mean(correct, axis=0)) if correct else None,
        commonest=None if codes.labels is None else float(np.bincount(codes.labels).max() / len(codes.labels)),
        trustworthiness=_metric(group, Metric.TRUSTWORTHINESS),
        continuity=_metric(group, Metric.CONTINUITY),
        outside=_metric(group, sample_metric(Source.OWN, Quality.OUTSIDE)),
    )


def _refit(group: Group, shelf: Shelf) -> Refit | None:
    cell = group.cells[0]
    again, other, flipped, randomized = (
        cell.metric(m) for m in (Metric.REFIT_DEGREES, Metric.OTHER_DEGREES, Metric.FLIPPED, Metric.RANDOMIZED_DEGREES)
    )
    if again is None or other is None or flipped is None or randomized is None:
        return None
    clash = _clash(cell, shelf)
    curve = fetch([cell], Artifact.PCA_CURVE)[cell.run_id]
    return Refit(
        dim3=group.dim3,
        again=again,
        other=other,
        flipped=int(flipped),
        randomized=randomized,
        auto_solver=cell.tag(Tag.AUTO_SOLVER),
        rows=_count(cell, Param.ROWS_TRAIN),
        dim1=_count(cell, Param.DIM1),
        error=cell.test,
        clash=clash,
        mean_row=None if isinstance(curve, str) or curve.ndim != 2 or not curve.size else float(curve[0, 0]),
    )


def _clash(cell: Cell, shelf: Shelf) -> float | None:
    """The test error of PCA where the scores of equation (1) are put into equation (2)."""
    spectrum, scores = shelf.one(cell, Artifact.SPECTRUM, 1), shelf.one(cell, Artifact.CODES, 2)
    dim1 = _count(cell, Param.DIM1)
    if spectrum is None or scores is None or cell.test is None or not dim1:
        return None
    variances = spectrum[: cell.dim3]
    if len(variances) != scores.shape[1]:
        return None
    # (2) multiplies each score of (1) by sqrt(lambda) once more; the v_i are orthonormal.
    excess = (scores.astype(float) ** 2).mean(axis=0) * (np.sqrt(variances) - 1) ** 2
    return float(cell.test + excess.sum() / dim1)


# Task 4: what does a model with a prior add?


@dataclass(frozen=True)
class Draws:
    """Mean squared difference of samples, drawn again with the same seed and with a new one."""

    label: str
    dim3: int
    same: Spread
    new: Spread


@dataclass(frozen=True)
class Prior:
    """How far all codes together are from N(0, I), of a model's codes, or of the means or draws of its posterior.

    squared is the squared MMD, null its 95th percentile by chance, rejected the number of runs above that. kl is in
    nats, None where the codes of a run have no full covariance.
    """

    label: str
    dim3: int
    of: str
    squared: Spread
    null: Spread
    rejected: int
    kl: Spread | None


@dataclass(frozen=True)
class Robust:
    """The error of decode(z + push) by the length of the push in SDs of the codes, mean over runs."""

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
    """Along straight lines between codes: see `Metric.LARGEST_STEP`, `DETOUR` and `MIDWAY`."""

    label: str
    model: str
    dim3: int
    largest_step: Spread | None
    detour: Spread | None
    midway: Spread | None


@dataclass(frozen=True)
class Health:
    """The use of the latents of a model with a posterior; KLs in nats, those of each run in descending order.

    error is the test error, sampled_error that of decode(z) for z drawn from the posterior. reason says why it
    collapsed.
    """

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
class Generator:
    """One way to generate rows. main: one of the four of the assignment's question."""

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


def _draws(group: Group) -> Draws | None:
    same, new = _metric(group, Metric.SAME_DRAW), _metric(group, Metric.NEW_DRAW)
    return None if same is None or new is None else Draws(group.label, group.dim3, same, new)


def _priors(group: Group, codes: Codes, shelf: Shelf) -> list[Prior]:
    """Compare the codes with N(0, I); of a model with a posterior its means, and draws from it."""
    sets = {"means" if group.has_posterior else "codes": list(codes.by_name.values())}
    if group.has_posterior:
        sets["draws"] = _known(shelf.codes(group.cells, Artifact.CODES_SAMPLED))
    made = []
    for of, arrays in sets.items():
        found = [mmd_to_normal(a) for a in arrays if len(a) >= FEWEST]
        squared, null = _spread(m.squared for m in found), _spread(m.null for m in found)
        if squared is not None and null is not None:
            rejected = sum(m.squared > m.null for m in found)
            divergences = [gaussian_kl(a) for a in arrays]
            kl = None if None in divergences else _spread(divergences)
            made.append(Prior(group.label, group.dim3, of, squared, null, rejected, kl))
    return made


def _robust(group: Group, shelf: Shelf) -> Robust | None:
    arrays = [a for a in _known(shelf.take(group.cells, Artifact.ROBUSTNESS, 2)) if a.shape[1] == 3]
    if not arrays or len({len(a) for a in arrays}) > 1:
        return None
    lengths, errors, se = np.asarray(np.mean(arrays, axis=0, dtype=np.float64)).T
    return Robust(group.label, group.series.model, group.dim3, lengths.tolist(), errors.tolist(), se.tolist())


def _smooth(group: Group) -> Smooth:
    step, detour, midway = (_metric(group, m) for m in (Metric.LARGEST_STEP, Metric.DETOUR, Metric.MIDWAY))
    return Smooth(group.label, group.series.model, group.dim3, step, detour, midway)


def _health(group: Group, codes: Codes, shelf: Shelf) -> Health | None:
    arrays = [a for a in _known(shelf.take(group.cells, Artifact.KL_BY_DIM, 1)) if len(a) == group.dim3]
    kl = _spread(a.sum() for a in arrays)
    if kl is None:
        return None
    active = _metric(group, Metric.TEST_ACTIVE_UNITS)
    collapsed = bool(codes.collapsed) or (active is not None and min(active.values) == 0)
    return Health(
        label=group.label,
        dim3=group.dim3,
        active=active,
        kl=kl,
        kl_by_dim=[sorted((float(v) for v in a), reverse=True) for a in arrays],
        error=_spread(c.test for c in group.cells),
        sampled_error=_metric(group, Metric.SAMPLED_MSE),
        collapsed=collapsed,
        reason=_why_collapsed(group.cells[0]) if collapsed else "",
    )


def _why_collapsed(cell: Cell) -> str:
    """The usual cause, by the settings of the run."""
    dim1 = _count(cell, Param.DIM1)
    try:
        beta = float(dict(cell.variant).get("beta") or 1)
    except ValueError:
        beta = 1.0
    text = "no latent carries anything: the KL term, summed over latents, outweighs the reconstruction"
    if beta > 1 and dim1:
        text += f"; beta = {beta:g} weighs like a reconstruction averaged over {beta:g} of the {dim1} pixels"
        text += ", the usual mistake: averaged over all of them beside a summed KL" if beta >= dim1 else ""
    return text


def _generators(group: Group) -> list[Generator]:
    """The ways to generate rows with one model, those of the assignment's question first."""
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


def _controls(groups: Sequence[Group]) -> list[Generator]:
    """The controls made of the data alone, of the first run: they are equal in all."""
    names = {Source.REAL: "other real rows", Source.MEAN_ROW: "the mean row, always"}
    return [_generator(n, "", source, None, True, groups[0].cells[:1]) for source, n in names.items() if groups]


def _generator(name: str, label: str, source: Source, dim3: int | None, main: bool, cells: Sequence[Cell]) -> Generator:
    precision, recall, coverage, outside, nearest = (
        _spread(c.metric(sample_metric(source, quality)) for c in cells)
        for quality in (Quality.PRECISION, Quality.RECALL, Quality.COVERAGE, Quality.OUTSIDE, Quality.NEAREST)
    )
    return Generator(name, label, source.value, dim3, main, precision, recall, coverage, outside, nearest)


# Numbers of runs and of rows.


def _metric(group: Group, name: str) -> Spread | None:
    return _spread(c.metric(name) for c in group.cells)


def _spread(values: Iterable[float | None]) -> Spread | None:
    """The spread of the values that are known, None without any."""
    known = [float(v) for v in values if v is not None]
    if not known:
        return None
    return Spread(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None, known)


def _estimate(rows: _Array) -> Estimate:
    """The mean of a number of each test row."""
    low, high = interval(redraw(rows))
    return Estimate(float(rows.mean()), low, high)


def _row_errors(group: Group, shelf: Shelf) -> _Array | None:
    """The test error of each row, mean over the runs."""
    arrays = [a for a in _known(shelf.take(group.cells, Artifact.ERRORS_TEST, 1)) if (a >= 0).all()]
    if not arrays or len({len(a) for a in arrays}) > 1:
        return None
    return np.asarray(np.mean(arrays, axis=0, dtype=np.float64))


def _count(cell: Cell, param: Param) -> int:
    """A whole number among a run's params, 0 where there is none."""
    text = cell.run.data.params.get(param, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _known(values: Iterable[_T | None]) -> list[_T]:
    return [value for value in values if value is not None]
