"""The assignment's four tasks as tables, from a store's measured runs: `answer(...)`, task by task.

What needs the data or a model was measured when the runs were made (`--measure`). Here codes are compared and runs
averaged. The same runs give the same values. Task 3, the error against dim3, is in `analysis.findings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.utils import Bunch

from elbowroom.tracking.store.names import (
    DEFAULT_LOSSES,
    Artifact,
    Metric,
    Param,
    Quality,
    Source,
    Tag,
    sample_artifact,
    sample_metric,
)

from ..findings.intervals import ends, logs, margins
from ..purposes.choice import Held
from ..purposes.uncertainty import Variance, spread
from ..runs.arrays import LOST, MOST_ROWS, are_labels, fetch
from ..runs.comparison import Cell, Comparison, Series, is_measured
from .classes import class_distances, class_overlaps, class_pairs, rank_correlation
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
"""Nearest neighbours of a code that are compared, and that vote for its class."""
IN_USE = 0.05
"""KL in nats above which a latent is in use, as in the metric `test/units_in_use`."""
MIXED_WITH = 5
"""Nearest neighbours of a code whose classes tell which classes overlap."""
MOST_PAIRS = 8
"""Pairs of classes that are named, those that overlap most."""
SECOND_FIT = "another exact solver"
"""The name of PCA's second fit among the runs."""
_CODES = (Artifact.CODES, Artifact.CODES_REFIT, Artifact.CODES_SAMPLED, Artifact.CODES_SD)  # (N, dim3)
_ONE_AXIS = {
    Artifact.ERRORS_TEST,
    Artifact.KL_BY_DIM,
    Artifact.SPECTRUM,
    *(sample_artifact(s, "nearest_mse") for s in Source),
}
_THREE_AXES = {Artifact.DRAWS, Artifact.PLANE, Artifact.INTERPOLATIONS}  # pictures in a grid; others have two axes
_MOST_SIDE = 64  # cells along a side of a grid
_MOST_NEIGHBOUR_ROWS = 50_000  # codes whose neighbours are searched, each row against each
_QUALITIES = {
    "precision": Quality.PRECISION,
    "recall": Quality.RECALL,
    "coverage": Quality.COVERAGE,
    "outside": Quality.OUTSIDE,
    "nearest": Quality.NEAREST,
    "sharpness": Quality.SHARPNESS,
}
_SMOOTHNESS = {"largest_step": Metric.LARGEST_STEP, "detour": Metric.DETOUR, "midway": Metric.MIDWAY}
_Array = npt.NDArray[Any]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Answers:
    """The answers as tables: lists of rows, which are mappings with their columns as attributes.

    A row is about the model `model`, or the series `label`, at one `dim3`. Numbers are Spreads over runs or Estimates
    over test rows, None where they are not known.
    """

    shown: list[int]
    """The dim3 of the rows."""
    cast: dict[str, str]
    """The label of the model in each role of the tasks, where there is one: `pca`, `ae`, `vae`, and `same`, the
    autoencoder with the loss of the VAE."""
    classes: tuple[str, ...]
    """The names of the classes, empty without labels."""
    repeats: list[Bunch]
    """Task 1: do two trainings give the same latent space?

    names of the runs, their error, and pairs of them: first, second, and by `analysis.latent_space.similarity` raw (the
    Procrustes disparity), affine, cka and overlap, None where codes are constant. chance is the overlap of random
    neighbours; accuracy that of the neighbours' vote for the class, for each run; collapsed names the runs of constant
    codes; note says why there is nothing to compare. By `analysis.latent_space.classes`: mixing and places, the rank
    correlations of two runs' overlaps and distances of classes, for each pair of runs; overlaps, the pairs of classes
    that overlap most, each with its mean share, and shares of each run.
    """
    maps: list[Bunch]
    """Task 2: how does a model compare with PCA?

    error; its ratio to PCA's, added from the findings by `analysis.assignment`; accuracy of the neighbours' vote, and
    commonest, the share of the commonest class, which guessing gets; trustworthiness, continuity; outside, the share of
    generated values outside the data's range.
    """
    refits: list[Bunch]
    """Task 2: does PCA change when it is run twice?

    Angles between subspaces in degrees: again, to the same program; other, to another exact one; randomized, between
    two fits of the randomized solver. flipped counts the axes of opposite sign. clash is the error where scores of
    equation (1) go into equation (2), error that of PCA, clipped that of PCA with its rows clipped to [0, 1], and
    mean_row that of the mean row.
    """
    draws: list[Bunch]
    """Task 4: do generated samples differ from call to call? Mean squares, with the same seed and with a new one."""
    priors: list[Bunch]
    """Task 4: are all codes together N(0, I)?

    of: the codes, or the means or draws of a posterior. squared is the squared MMD, null its 95th percentile by chance,
    rejected the number of runs above that; kl in nats, None where the codes of a run have no full covariance.
    """
    robust: list[Bunch]
    """Task 4: is decoding robust to errors of the code? errors of decode(z + push) by lengths in SDs of the codes."""
    smooth: list[Bunch]
    """Task 4: is the latent space smooth along straight lines? largest_step, detour and midway, as in `Metric`."""
    health: list[Bunch]
    """Task 4: which latents does a VAE use?

    units in use, kl in nats and kl_by_dim of each run in descending order; error, and sampled_error, that of decode(z)
    for z drawn from the posterior; whether it collapsed, and the reason.
    """
    generators: list[Bunch]
    """Task 4: which way to generate rows is best?

    name and source; precision, recall, coverage, outside, nearest and sharpness, as in `Quality`; main: whether it is
    one of the four of the assignment's question.
    """
    controls: list[Bunch]
    """The measures of the generators, taken of real rows and of the mean row."""
    notes: list[str]
    """Notes on missing and unusable runs and arrays."""


@dataclass(frozen=True)
class Spread:
    """A number of each run, its mean, and its SD over two runs and more."""

    mean: float
    sd: float | None
    values: list[float]


@dataclass(frozen=True)
class Estimate:
    """A mean over test rows and its 95 % interval: over rows, and for an error over trainings where there are two.

    low and high are None where the trainings differ too much to give an interval.
    """

    value: float
    low: float | None
    high: float | None


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
    def place(self) -> dict[str, Any]:
        """The columns of a table that say which model a row is about."""
        return {"label": self.series.label, "model": self.series.model, "dim3": self.dim3}

    @property
    def is_pca(self) -> bool:
        """Whether the codes are PCA scores, of which there is a second fit."""
        return self.series.model == "pca"

    @property
    def has_posterior(self) -> bool:
        """Whether a code is a distribution."""
        return all(c.metric(Metric.SAMPLED_MSE) is not None for c in self.cells)

    def spread(self, metric: str) -> Spread | None:
        """Return a metric of each run."""
        return _spread(c.metric(metric) for c in self.cells)


def measured(comparison: Comparison, shown: Sequence[int]) -> list[Group]:
    """Return the measured runs of each series at each dim3 that is shown, without empty groups."""
    groups = []
    for series in comparison.series:
        for dim3 in shown:
            cells = [c for _, c in sorted(series.cells.get(dim3, {}).items()) if is_measured(c)]
            if cells:
                groups.append(Group(series, dim3, cells))
    return groups


def run_names(group: Group) -> list[str]:
    """Return the names of a group's runs."""
    return ["scikit-learn" if group.is_pca else f"seed {c.seed}" for c in group.cells]


class Shelf:
    """A cache of the arrays of runs. `notes` names each array that is missing or unusable, which is None then."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._arrays: dict[tuple[str, str], _Array | None] = {}

    def take(self, cells: Sequence[Cell], artifact: str) -> list[_Array | None]:
        """Return an array of each cell, of the number of axes that the artifact has."""
        new = [c for c in cells if (c.run_id, artifact) not in self._arrays]
        for cell, found in zip(new, fetch(new, artifact).values(), strict=True):
            why = found if isinstance(found, str) else _unusable(found, artifact, cell.dim3)
            if why:
                self._note(cell, artifact, why)
            self._arrays[cell.run_id, artifact] = None if why else np.asarray(found)
        return [self._arrays[c.run_id, artifact] for c in cells]

    def one(self, cell: Cell, artifact: str) -> _Array | None:
        """Return the array of one cell, as `take` does."""
        return self.take([cell], artifact)[0]

    def labels(self, cells: Sequence[Cell]) -> _Array | None:
        """Return the classes of the test rows, whole numbers from 0, of the first run that has them; None without.

        Runs that lack them, or have others, are named where another run has them.
        """
        found = fetch(cells, Artifact.LABELS)
        known = {k: a.astype(np.int64) for k, a in found.items() if isinstance(a, np.ndarray) and are_labels(a)}
        first = next(iter(known.values()), None)
        for cell in cells:
            raw, mine = found[cell.run_id], known.get(cell.run_id)
            if mine is None and (first is not None or isinstance(raw, np.ndarray) or raw != LOST):
                self._note(cell, Artifact.LABELS, raw if isinstance(raw, str) else "unusable, no classes")
            elif mine is not None and first is not None and not np.array_equal(mine, first):
                self._note(cell, Artifact.LABELS, "not what other runs of these rows say, and not used")
        return first

    def _note(self, cell: Cell, artifact: str, why: str) -> None:
        self.notes.append(f"{cell.name} (run {cell.run_id}): {artifact} is {why}")


class _Codes:
    """The codes (N, dim3) of a group's runs and of PCA's second fit, by name, with their nearest neighbours.

    collapsed names runs of constant codes; labels are the classes of the rows, or None; correct says for each other run
    whether the vote of a row's neighbours gives its class, (N,). overlaps and distances have, of each of these runs and
    of the second fit, a number for each pair of classes; empty without labels.
    """

    def __init__(self, group: Group, shelf: Shelf, labels: _Array | None) -> None:
        arrays = dict(zip(run_names(group), shelf.take(group.cells, Artifact.CODES), strict=True))
        if group.is_pca:
            arrays[SECOND_FIT] = shelf.one(group.cells[0], Artifact.CODES_REFIT)
        self.by_name = {name: a for name, a in arrays.items() if a is not None}
        lengths = [len(a) for a in self.by_name.values()]
        for name in [n for n, a in self.by_name.items() if len(a) != max(lengths, key=lengths.count)]:
            shelf.notes.append(f"{group.label} at dim3 {group.dim3}, {name}: its codes are of another number of rows")
            del self.by_name[name]
        self.rows = max(map(len, self.by_name.values()), default=0)
        self.labels = labels if labels is not None and len(labels) == self.rows else None
        searched = NEIGHBOURS < self.rows <= _MOST_NEIGHBOUR_ROWS
        self.neighbours = {n: neighbours(a, NEIGHBOURS) for n, a in self.by_name.items() if searched}
        self.collapsed = [n for n, a in self.by_name.items() if is_constant(a)]
        self.correct = [
            neighbour_accuracy(found, self.labels)
            for n, found in self.neighbours.items()
            if self.labels is not None and n not in self.collapsed and n != SECOND_FIT
        ]
        self.overlaps: dict[str, _Array] = {}
        self.distances: dict[str, _Array] = {}
        for name, near in self.neighbours.items():
            if self.labels is not None and name not in self.collapsed:
                self.overlaps[name] = class_overlaps(near[:, :MIXED_WITH], self.labels)
                self.distances[name] = class_distances(self.by_name[name], self.labels)

    def most_overlapping(self) -> list[Bunch]:
        """Return the pairs of classes that overlap most, by their mean over runs."""
        if self.labels is None or not self.overlaps:
            return []
        pairs, runs = class_pairs(self.labels), np.array(list(self.overlaps.values()))
        mean = runs.mean(axis=0)
        return [
            Bunch(first=pairs[i][0], second=pairs[i][1], share=float(mean[i]), shares=runs[:, i].tolist())
            for i in np.argsort(-mean, kind="stable")[:MOST_PAIRS]
        ]


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
    """
    groups = measured(comparison, shown)
    labels = shelf.labels([c for g in groups for c in g.cells])
    codes = [_Codes(g, shelf, labels) for g in groups]
    errors = [_held(_known(shelf.take(g.cells, Artifact.ERRORS_TEST))) for g in groups]
    with_codes = list(zip(groups, codes, strict=True))
    missing = [
        f"{s.label} at dim3 {k} was not measured: its part of the page is missing"
        for s in comparison.series
        for k in shown
        if not any(g.series is s and g.dim3 == k for g in groups)
    ]
    return Answers(
        shown=list(shown),
        cast=_cast(groups),
        classes=() if labels is None else tuple(str(i) for i in range(int(labels.max()) + 1)),
        repeats=[_repeats(g, c) for g, c in with_codes],
        maps=[_map(g, c, rows) for (g, c), rows in zip(with_codes, errors, strict=True)],
        refits=_known(_refit(g, shelf) for g in groups if g.is_pca),
        priors=[p for g, c in with_codes if not g.is_pca for p in _priors(g, c, shelf)],
        health=_known(_health(g, c, shelf) for g, c in with_codes if g.has_posterior),
        robust=_known(_robust(g, shelf) for g in groups),
        smooth=[Bunch(**g.place, **{name: g.spread(m) for name, m in _SMOOTHNESS.items()}) for g in groups],
        draws=_known(_draws(g) for g in groups),
        generators=[generator for g in groups for generator in _generators(g)],
        controls=_controls(groups),
        notes=[*missing, *dict.fromkeys(shelf.notes)],  # last: all arrays have been fetched
    )


def _cast(groups: Sequence[Group]) -> dict[str, str]:
    """Return the labels of the models that the tasks are about; of several autoencoders the assignment's."""
    vae = next((g for g in groups if g.has_posterior), None)
    trained = [g for g in groups if g.series.trained and not g.has_posterior and g.series.model != "pca-mlp"]
    trained.sort(key=lambda g: (g.series.model != "ae", _loss(g) != DEFAULT_LOSSES["ae"]))
    loss = "" if vae is None else _loss(vae)
    same = [g for g in trained if g.series.model == "ae" and _loss(g) == loss in DEFAULT_LOSSES.values()]
    found = {"pca": [g for g in groups if g.is_pca], "ae": trained, "vae": [vae] if vae else [], "same": same}
    return {role: members[0].label for role, members in found.items() if members}


def _loss(group: Group) -> str:
    return dict(group.series.first.variant).get("loss", "")


# Task 1: do two trainings give the same latent space?


def _repeats(group: Group, codes: _Codes) -> Bunch:
    names = list(codes.by_name)
    note = ""
    if len(names) < 2:
        count = f"{len(names)} measured run{'s' * (len(names) != 1)}"
        note = f"{group.label} has {count} at dim3 {group.dim3}: it takes two to compare"
    return Bunch(
        **group.place,
        names=names,
        error=_spread(c.test for c in group.cells),
        pairs=[_pair(codes, first, second) for first, second in combinations(names, 2)],
        chance=NEIGHBOURS / (codes.rows - 1) if codes.rows > NEIGHBOURS else None,
        accuracy=[_estimate(c.astype(float)) for c in codes.correct],
        collapsed=codes.collapsed,
        overlaps=codes.most_overlapping(),
        note=note,
    )


def _pair(codes: _Codes, first: str, second: str) -> Bunch:
    a, b = codes.by_name[first], codes.by_name[second]
    varied = first in codes.neighbours and not {first, second} & set(codes.collapsed)
    return Bunch(
        first=first,
        second=second,
        raw=disparity(a, b),
        affine=affine_disparity(a, b),
        cka=linear_cka(a, b),
        overlap=neighbour_overlap(codes.neighbours[first], codes.neighbours[second]) if varied else None,
        mixing=_agreement(codes.overlaps, first, second),
        places=_agreement(codes.distances, first, second),
    )


def _agreement(by_run: Mapping[str, _Array], first: str, second: str) -> float | None:
    """Return the rank correlation of two runs in a number of each pair of classes."""
    return rank_correlation(by_run[first], by_run[second]) if {first, second} <= by_run.keys() else None


# Task 2: how does a model compare with PCA, and does PCA change when it is run twice?


def _map(group: Group, codes: _Codes, errors: Held | None) -> Bunch:
    return Bunch(
        **group.place,
        error=None if errors is None else _mean_error(errors),
        accuracy=_estimate(np.mean(codes.correct, axis=0)) if codes.correct else None,
        commonest=None if codes.labels is None else float(np.bincount(codes.labels).max() / len(codes.labels)),
        trustworthiness=group.spread(Metric.TRUSTWORTHINESS),
        continuity=group.spread(Metric.CONTINUITY),
        outside=group.spread(sample_metric(Source.OWN, Quality.OUTSIDE)),
    )


def _refit(group: Group, shelf: Shelf) -> Bunch | None:
    cell = group.cells[0]
    again, other, flipped, randomized = (
        cell.metric(m) for m in (Metric.REFIT_DEGREES, Metric.OTHER_DEGREES, Metric.FLIPPED, Metric.RANDOMIZED_DEGREES)
    )
    if again is None or other is None or flipped is None or randomized is None:
        return None
    curve = fetch([cell], Artifact.PCA_CURVE)[cell.run_id]  # may have nan, which a shelf refuses
    by_dim3 = np.empty((0, 2)) if isinstance(curve, str) or curve.ndim != 2 or curve.shape[1] != 2 else curve
    return Bunch(
        dim3=group.dim3,
        again=again,
        other=other,
        flipped=int(flipped),
        randomized=randomized,
        auto_solver=cell.tag(Tag.AUTO_SOLVER),
        rows=_count(cell, Param.ROWS_TRAIN),
        dim1=_count(cell, Param.DIM1),
        error=cell.test,
        clash=_clash(cell, shelf),
        mean_row=_finite_at(by_dim3, 0, 0),
        clipped=_finite_at(by_dim3, cell.dim3, 1),
    )


def _finite_at(array: _Array, row: int, column: int) -> float | None:
    """Return a number of a table, None where there is no such row or it is not finite."""
    return float(array[row, column]) if row < len(array) and np.isfinite(array[row, column]) else None


def _clash(cell: Cell, shelf: Shelf) -> float | None:
    """Return the test error of PCA where the scores of equation (1) are put into equation (2)."""
    spectrum, scores = shelf.one(cell, Artifact.SPECTRUM), shelf.one(cell, Artifact.CODES)
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


def _draws(group: Group) -> Bunch | None:
    same, new = group.spread(Metric.SAME_DRAW), group.spread(Metric.NEW_DRAW)
    return None if same is None or new is None else Bunch(label=group.label, dim3=group.dim3, same=same, new=new)


def _priors(group: Group, codes: _Codes, shelf: Shelf) -> list[Bunch]:
    """Compare the codes with N(0, I); of a model with a posterior its means, and draws from it."""
    sets = {"means" if group.has_posterior else "codes": list(codes.by_name.values())}
    if group.has_posterior:
        sets["draws"] = _known(shelf.take(group.cells, Artifact.CODES_SAMPLED))
    made = []
    for of, arrays in sets.items():
        found = [mmd_to_normal(a) for a in arrays if len(a) >= FEWEST]
        if found:
            divergences = [gaussian_kl(a) for a in arrays]
            row = Bunch(
                label=group.label,
                dim3=group.dim3,
                of=of,
                squared=_spread(m.squared for m in found),
                null=_spread(m.null for m in found),
                rejected=sum(m.squared > m.null for m in found),
                kl=None if None in divergences else _spread(divergences),
            )
            made.append(row)
    return made


def _robust(group: Group, shelf: Shelf) -> Bunch | None:
    curve = _mean([a for a in _known(shelf.take(group.cells, Artifact.ROBUSTNESS)) if a.shape[1] == 3])
    if curve is None:
        return None
    lengths, errors, standard_errors = curve.T.tolist()
    return Bunch(**group.place, lengths=lengths, errors=errors, standard_errors=standard_errors)


def _health(group: Group, codes: _Codes, shelf: Shelf) -> Bunch | None:
    arrays = [a for a in _known(shelf.take(group.cells, Artifact.KL_BY_DIM)) if len(a) == group.dim3]
    if not arrays:
        return None
    counts = [int((a > IN_USE).sum()) for a in arrays]
    collapsed = bool(codes.collapsed) or min(counts) == 0
    return Bunch(
        label=group.label,
        dim3=group.dim3,
        in_use=_spread(counts),
        kl=_spread(a.sum() for a in arrays),
        kl_by_dim=[sorted(a.astype(float).tolist(), reverse=True) for a in arrays],
        error=_spread(c.test for c in group.cells),
        sampled_error=group.spread(Metric.SAMPLED_MSE),
        collapsed=collapsed,
        reason=_why_collapsed(group.cells[0]) if collapsed else "",
    )


def _why_collapsed(cell: Cell) -> str:
    """Return the usual cause, by the settings of the run."""
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


def _generators(group: Group) -> list[Bunch]:
    """Return the ways to generate rows with one model, those of the assignment's question first."""
    model = group.series.model
    shown = group.label.replace(model, model.upper(), 1) if model in ("pca", "ae", "vae") else group.label
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
        Bunch(
            name=f"{shown}, {how}", label=group.label, source=source, dim3=group.dim3, main=main,
            **_qualities(group.cells, source),
        )
        for source, how, main in ways
    ]  # fmt: skip


def _controls(groups: Sequence[Group]) -> list[Bunch]:
    """Return the controls made of the data alone, of the first run: they are equal in all."""
    names = {Source.REAL: "other real rows", Source.MEAN_ROW: "the mean row, always"}
    return [
        Bunch(name=name, label="", source=source, dim3=None, main=True, **_qualities(groups[0].cells[:1], source))
        for source, name in names.items()
    ]


def _qualities(cells: Sequence[Cell], source: Source) -> dict[str, Spread | None]:
    return {
        name: _spread(c.metric(sample_metric(source, quality)) for c in cells) for name, quality in _QUALITIES.items()
    }


# Numbers of runs and of rows.


def _spread(values: Iterable[float | None]) -> Spread | None:
    """Return the spread of the values that are known, None without any."""
    known = [float(v) for v in values if v is not None]
    if not known:
        return None
    return Spread(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None, known)


def _estimate(rows: _Array) -> Estimate:
    """Return the mean of a number of each test row."""
    value, margin = float(rows.mean()), spread(rows, 1, Variance(0.0, 0)).margin(0.975)
    low, high = np.clip([value - margin, value + margin], rows.min(), rows.max())  # a share is at most 1
    return Estimate(value, float(low), float(high))


def _mean_error(errors: Held) -> Estimate:
    """Return the mean of an error of each test row and run."""
    value = float(errors.rows.mean())
    return Estimate(value, *ends(value, margins({0: logs(errors)})[0]))


def _held(arrays: Sequence[_Array]) -> Held | None:
    """Return the errors of runs by row and by run, None where their arrays differ in length or there is none."""
    rows = _mean(arrays)
    return None if rows is None else Held(rows, np.array([a.mean(dtype=np.float64) for a in arrays]))


def _mean(arrays: Sequence[_Array]) -> _Array | None:
    """Return the mean over runs, None where their arrays differ in length or there is none."""
    if not arrays or len({len(a) for a in arrays}) > 1:
        return None
    return np.asarray(np.mean(arrays, axis=0, dtype=np.float64))


def _count(cell: Cell, param: Param) -> int:
    """Return a whole number among a run's params, 0 where there is none."""
    text = cell.run.data.params.get(param, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _known(values: Iterable[_T | None]) -> list[_T]:
    return [value for value in values if value is not None]


def _unusable(array: _Array, artifact: str, dim3: int) -> str:
    """Return why an array can't be used, empty where it can."""
    axes = 1 if artifact in _ONE_AXIS else 3 if artifact in _THREE_AXES else 2
    most = _MOST_SIDE if artifact in (*_THREE_AXES, Artifact.PLANE_TICKS) else MOST_ROWS
    if array.ndim != axes or not array.size or max(array.shape[:-1], default=len(array)) > most:
        return f"unusable, of shape {array.shape}"
    if not np.isfinite(array).all():
        return "not finite"
    fits = artifact not in _CODES or array.shape[1] == dim3
    return "" if fits else f"unusable, of shape {array.shape} where dim3 is {dim3}"
