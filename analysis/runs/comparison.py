"""Cells, the runs of a store as points of a grid, and comparisons: the curves of models trained on the same data."""

from __future__ import annotations

import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from elbowroom.tracking.store.names import (
    BEFORE,
    COORDINATES,
    CURVE_INDIFFERENT,
    DEFAULT_LOSSES,
    FACT_PREFIX,
    Metric,
    Param,
    Tag,
)
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .. import Floats
from ..elbow import LEAST_POINTS

if TYPE_CHECKING:  # the CSV report assembles its curves here and needs no MLflow
    from mlflow.entities import Run

CODE = "code"  # in a variant: the code of a user's module, or the revision of one of this project's models
LARGEST = 1e100  # of a number in a store, so that its square is finite; errors of float32 data are below 1e77
_MOST_DIM3 = 1_000_000
_MOST_CELLS = 100_000  # of one model in the grid of a study
_SMALLEST = 1e-100  # an error below it counts as 0, so that ratios to it are finite
_MOST_SEED = 2**63
_VARIANT_FIELDS = ("loss", "beta", "output")  # settings in which the series of one comparison may differ
_MOST_ASPECT = 16  # ratio of the sides of a picture
_UNUSABLE_TAG = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
_Model = tuple[str, tuple[tuple[str, str], ...]]  # its name and variant


class Cell(NamedTuple):
    """One run: its place on the grid, and its results.

    seed is 0 where the model takes none, which `seeded` says; a model that is trained in epochs has a budget. settings
    are those of the training; variant those that make another model of it: loss, beta, output, code. error is what is
    judged: the validation error where there is one, else the test error, in the data's units squared.
    """

    run: Run
    model: str
    dim3: int
    seed: int
    dataset: str
    digest: str
    trained: bool
    seeded: bool
    settings: tuple[tuple[str, str], ...]
    variant: tuple[tuple[str, str], ...]
    error: float
    on_validation: bool
    test: float | None

    @property
    def run_id(self) -> str:
        """The id of its run."""
        return str(self.run.info.run_id)

    @property
    def name(self) -> str:
        """The name of its run, on one line; the id where the name is blank."""
        return run_name(self.run)

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """The shape of a row as a picture, None where the run gives none that can be drawn."""
        parts = self.tag(Tag.IMAGE_SHAPE).split("x")
        if len(parts) not in (2, 3) or not all(re.fullmatch("[1-9][0-9]{0,5}", p) for p in parts):
            return None
        height, width, *colours = shape = tuple(int(p) for p in parts)
        drawable = max(height, width) <= _MOST_ASPECT * min(height, width) and colours in ([], [1], [3])
        return shape if drawable else None

    def value(self, pick: str) -> float:
        """`error`, `test` or a metric; nan where it is missing."""
        found = getattr(self, pick) if pick in ("error", "test") else self.metric(pick)
        return np.nan if found is None else float(found)

    def metric(self, name: str) -> float | None:
        """A metric, None where it is missing or not finite."""
        value = self.run.data.metrics.get(name)
        return value if value is not None and is_finite(value) else None

    def tag(self, name: str) -> str:
        """A tag, empty where it is missing."""
        return str(self.run.data.tags.get(name, ""))


class LeftOut(NamedTuple):
    """A run that is no point of a curve, and why."""

    run_id: str
    name: str
    why: str


class Nested(NamedTuple):
    """A run of a model whose latents are ordered, and the test error of its first 1, 2, … latents by their number."""

    cell: Cell
    curve: dict[int, float]


class Store(NamedTuple):
    """The runs of an experiment; those that have a curve of their own are in `nested` alone.

    confirmations are cells at twice the epochs, studies the parent runs, and notes say how scores were read. mean_row
    is the mean row's error, where a table has it.
    """

    experiment_id: str
    experiment: str
    cells: list[Cell]
    confirmations: list[Cell]
    left_out: list[LeftOut]
    unfinished: list[LeftOut]
    studies: list[Run]
    nested: list[Nested]
    notes: Sequence[str] = ()
    mean_row: float | None = None


class Unusable(ValueError):
    """Why a run can't be a point of a curve."""


def own_cell(run: Run, first_code: Mapping[str, str]) -> Cell:
    """Return a finished run of this project as a cell, or raise Unusable.

    A user's model without `Tag.CODE` has that of `first_code`.
    """
    data = run.data
    try:
        config: dict[str, Any] = BEFORE | json.loads(data.tags[Tag.CONFIG])
        values = {k: str(v) for k, v in config.items()}
        model = values["model"]
    except (KeyError, ValueError, TypeError, RecursionError):
        raise Unusable(f"its tag {Tag.CONFIG} is missing or broken") from None
    dim3, seed = (whole(values.get(name, ""), name) for name in ("dim3", "seed"))
    name = Metric.VAL_MSE_FINAL if Metric.VAL_MSE_FINAL in data.metrics else Metric.TEST_MSE
    trained = data.metrics.get(Metric.EPOCHS_TRAINED, 1) > 0
    seeded = data.tags.get(Tag.SEEDED, "yes" if trained else "no") == "yes"
    facts = {k: data.tags.get(f"{FACT_PREFIX}{k}", "") or values.get(k, "") for k in _VARIANT_FIELDS}
    apart = (*CURVE_INDIFFERENT, *COORDINATES, *_VARIANT_FIELDS)
    shared = {k: v for k, v in values.items() if k not in apart}
    made_with = data.tags.get(Tag.CODE) or (first_code.get(model) if ":" in model else None)
    return Cell(
        run=run,
        model=model,
        dim3=dim3,
        seed=seed if seeded else 0,
        dataset=data.tags.get(Tag.DATASET, "") or values.get("dataset", ""),
        digest=data.tags.get(Tag.DIGEST, ""),
        trained=trained,
        seeded=seeded,
        settings=tuple(sorted(shared.items())) if trained else (("val_size", shared.get("val_size", "")),),
        variant=(*(sorted(facts.items()) if trained else ()), *([(CODE, made_with)] if made_with else ())),
        error=_error(data.metrics, name),
        on_validation=name == Metric.VAL_MSE_FINAL,
        test=_error(data.metrics, Metric.TEST_MSE) if Metric.TEST_MSE in data.metrics else None,
    )


def sizes_of(params: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the training rows N and dim1 of a run's data; None where no params give them."""
    sizes = [params.get(name, "") for name in (Param.ROWS_TRAIN, Param.DIM1)]
    known = all(size.isascii() and size.isdigit() and len(size) < 16 for size in sizes)
    return (int(sizes[0]), int(sizes[1])) if known else None


def most_to_judge(params: Mapping[str, str]) -> int | None:
    """Return the largest dim3 whose error tells an elbow, half of the data's rank; None where it is not known."""
    sizes = sizes_of(params)
    return None if sizes is None else min(sizes) // 2


def _code(cell: Cell) -> str:
    return dict(cell.variant).get(CODE, "")


def latest(cells: Sequence[Cell]) -> tuple[list[Cell], list[tuple[Cell, Cell]]]:
    """Return one cell for each place on the grid, and each other cell with the one that replaced it.

    Kept is the last that finished, among measured runs where there are any: they say all that others do.
    """

    def age(cell: Cell) -> tuple[bool, int, int, str]:
        info = cell.run.info
        return is_measured(cell), info.end_time or 0, info.start_time or 0, cell.run_id

    by_place: dict[tuple[object, ...], Cell] = {}
    replaced = []
    for cell in sorted(cells, key=age):
        place = (cell.digest, cell.dataset, cell.model, cell.dim3, cell.seed, cell.settings, cell.variant)
        before = by_place.get(place)
        if before is not None:
            replaced.append((before, cell))
        by_place[place] = cell
    return list(by_place.values()), replaced


def run_name(run: Run) -> str:
    """Return the name of a run on one line, its id where the name is blank."""
    name = clean(str(run.info.run_name or ""), LABEL_LENGTH)
    return name if name.strip() else str(run.info.run_id)


def is_measured(cell: Cell) -> bool:
    """Return whether a run had `--measure`."""
    return cell.metric(Metric.MEASURE_SECONDS) is not None


def whole(text: str, name: str) -> int:
    """Return a dim3 from 1, or a seed from 0. Raises Unusable."""
    low, high = (1, _MOST_DIM3) if name == "dim3" else (0, _MOST_SEED)
    value = finite(text, name)
    if value != round(value) or not low <= value <= high:
        raise Unusable(f"{name} is {value:g}, no whole number from {low}" + (f" to {high:,}" if value > high else ""))
    return int(text) if re.fullmatch("[0-9]+", text) else round(value)


def finite(text: str, name: str, low: float = 0) -> float:
    """Return a number from `low` to LARGEST. Raises Unusable.

    Parameters
    ----------
    text, name
        The number, and what the reason calls it.
    low
        The least that is allowed.
    """
    try:
        value = float(text)
    except ValueError:
        raise Unusable(f"its {name} is {text[:40]!r}, no number") from None
    if value == math.inf or value == sys.float_info.max:  # MLflow's databases store infinity as the largest float
        raise Unusable(f"its {name} is infinite")
    if math.isnan(value) or value < low or value > LARGEST:
        raise Unusable(f"its {name} is {text[:40]}; allowed: {low:g} to {LARGEST:g}")
    return value if abs(value) >= _SMALLEST else 0.0


def is_finite(value: float) -> bool:
    """Return whether a metric is finite; MLflow may give back infinity as the largest float."""
    return math.isfinite(value) and abs(value) <= LARGEST


def _error(metrics: Mapping[str, float], name: str) -> float:
    if name not in metrics:
        raise Unusable(f"it has no metric {name}")
    return finite(str(metrics[name]), name)


def assemble(points: Iterable[tuple[int, int, float]]) -> tuple[list[int], Floats]:
    """Return dim3 (D,), ascending, and errors (S, D) of (dim3, seed, error) triples, each place given once.

    A row for each seed of `_complete`; where there is none, one row of each dim3's mean.
    """
    by_place: dict[int, dict[int, float]] = {}
    for k, seed, error in points:
        by_place.setdefault(k, {})[seed] = error
    dim3, seeds = _complete(by_place)
    if not seeds:
        return dim3, np.array([[float(np.mean([by_place[k][s] for s in sorted(by_place[k])])) for k in dim3]])
    return dim3, np.array([[by_place[k][s] for s in seeds] for k in dim3], dtype=float).T


def _complete(by_dim3: Mapping[int, Collection[int]]) -> tuple[list[int], list[int]]:
    """The dim3 and the seeds of the largest table without a gap, ascending; all dim3 and no seeds where there is none.

    Less than half of the dim3 are left out, from the end of the range: where larger dim3 have fewer seeds, they must
    not cost the others theirs.
    """
    if not by_dim3:
        return [], []
    dim3 = sorted(by_dim3)
    least = max(len(dim3) // 2 + 1, min(len(dim3), LEAST_POINTS))
    shorter = [dim3[:end] for end in range(len(dim3), least - 1, -1)]
    tables = [(part, sorted(set.intersection(*(set(by_dim3[k]) for k in part)))) for part in shorter]
    best = max(tables, key=lambda table: len(table[0]) * len(table[1]))
    return best if best[1] else tables[0]


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
    def complete(self) -> tuple[list[int], list[int]]:
        """The dim3 and the seeds that the elbow is judged on; without seeds, the mean over each dim3's is."""
        return _complete(self.cells)

    @property
    def trained(self) -> bool:
        """Whether the model was trained in epochs."""
        return self.first.trained

    @property
    def seeded(self) -> bool:
        """Whether its numbers depend on a seed."""
        return self.first.seeded

    @property
    def first(self) -> Cell:
        """The first cell; what is no coordinate is the same in all."""
        return next(iter(next(iter(self.cells.values())).values()))

    @property
    def every_cell(self) -> list[Cell]:
        """All its cells, by dim3 and seed."""
        return [cell for dim3 in self.dim3 for cell in self.at(dim3)]

    def at(self, dim3: int) -> list[Cell]:
        """The cells of one dim3, by seed."""
        return [cell for _, cell in sorted(self.cells[dim3].items())]

    def errors(self, pick: str = "error") -> Floats:
        """`error`, `test` or a metric of the complete cells, (S, D) as `assemble` orders it; nan where one lacks it."""
        return assemble((c.dim3, c.seed, c.value(pick)) for c in self.every_cell)[1]

    @property
    def unresolved(self) -> list[int]:
        """The dim3 whose error is no larger than what 32 bits make of the data; runs of before do not say."""
        found = {k: [c.metric(Metric.DATA_RESOLUTION) for c in self.at(k)] for k in self.dim3}
        return [k for k, error in self.means("error").items() if any(r is not None and error <= r for r in found[k])]

    def means(self, pick: str = "test") -> dict[int, float]:
        """Return these values by dim3, as means over its seeds."""
        return {k: float(np.mean([c.value(pick) for c in self.at(k)])) for k in self.dim3}


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
        return [cell for series in self.series for cell in series.every_cell]


def compare(cells: Sequence[Cell]) -> list[Comparison]:
    """Return the comparisons, the largest first. Models without epochs are part of each comparison of their data."""
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


def missing(comparison: Comparison, store: Store) -> list[str]:
    """Return the cells without a finished run, of the studies' grids, else of all pairs of dim3 and seed in the store.

    Cells of an older code of a model do not count, and a seek asks for no pairs.
    """
    lines: list[str] = []
    last = {c.model: _code(c) for c in sorted(comparison.cells, key=lambda c: c.run.info.start_time or 0)}
    for series in (s for s in comparison.series if _code(s.first) == last[s.model]):
        others = [c for c in series.every_cell if not is_sought(c)]
        pairs = dict.fromkeys(sorted({c.dim3 for c in others}), sorted({c.seed for c in others}))
        for dim3, wanted in (_asked(series, store) or pairs).items():
            gone = [seed for seed in wanted if seed not in series.cells.get(dim3, {})]
            lines += [f"{series.label} dim3 {dim3} seed {seed}" for seed in gone]
    return lines


def _asked(series: Series, store: Store) -> dict[int, list[int]]:
    """Return the grids of the studies of these cells, seeds by dim3; empty where no study logged a usable one."""
    names = {c.tag(Tag.STUDY) for c in series.every_cell}
    wanted: dict[int, set[int]] = {}
    for study in (s for s in store.studies if s.data.tags.get(Tag.STUDY) in names or _trains(s, series.first)):
        for dims, seeds in _grids(study, series.model):
            for dim3 in dims:
                wanted.setdefault(dim3, set()).update(range(seeds if series.seeded else 1))
    return {dim3: sorted(seeds) for dim3, seeds in sorted(wanted.items())}


def _grids(study: Run, model: str) -> list[tuple[list[int], int]]:
    """The dim3 of a model and the number of seeds in each grid that a study logged; none of an unusable tag."""
    try:
        last = json.loads(study.data.tags[Tag.GRID])
        grids = [last, *last.get("before", [])]
        asked = [([int(k) for k in g["dim3"].get(model, [])], int(g["seeds"])) for g in grids]
    except _UNUSABLE_TAG:
        return []
    usable = (g for g in asked if len(g[0]) * g[1] <= _MOST_CELLS)
    return [(dims, seeds) for dims, seeds in usable if all(1 <= k <= _MOST_DIM3 for k in dims)]


def is_sought(cell: Cell) -> bool:
    """Return whether a seek chose the cell's dim3."""
    return cell.tag(Tag.SOUGHT) == "true"


def scanned(series: Series, studies: Sequence[Run]) -> Series:
    """Return the series without the dim3 that only seeks chose: these lie close together around an answer.

    A scan takes over cells of a seek, so the dim3 of the scans' grids stay.
    """
    kept = {c.dim3 for c in series.every_cell if not is_sought(c)}
    if kept != series.cells.keys():
        scans = (study for study in studies if _trains(study, series.first))
        kept |= {k for study in scans for dims, _ in _grids(study, series.model) for k in dims}
    return series._replace(cells={k: by_seed for k, by_seed in series.cells.items() if k in kept})


def _trains(study: Run, cell: Cell) -> bool:
    """Whether a study has the data of a cell and its settings, as `studies.grid.study_settings` writes them."""
    try:
        settings = dict(json.loads(study.data.tags[Tag.STUDY_SETTINGS]))
        data = str(settings["dataset"])
    except _UNUSABLE_TAG:
        return False
    own = dict((*cell.settings, *cell.variant))
    same = all(str(settings.get(name, value)).partition(",")[0] in (value, "auto") for name, value in own.items())
    if settings.get("loss") == "auto" and own.get("loss") == "bce":  # which auto gives to few models
        same &= DEFAULT_LOSSES.get(cell.model) == "bce"
    return data.endswith(f"({cell.digest})") and same


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
        same = [c.settings for c in rivals if c.settings.get("epochs") == epochs]
        parts += [f"{k} {v}" for k, v in mine.settings.items() if any(settings.get(k) != v for settings in same)]
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
