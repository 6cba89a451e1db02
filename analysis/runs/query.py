"""The one query: the runs of an experiment as cells, and what had to be left out, with the reason.

Metrics and params come with the query's own pages; nothing is asked for run by run, but the histories of those
few runs that have a curve of their own.
"""

from __future__ import annotations

import gc
import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Metric as LoggedMetric
from mlflow.entities import Param, Run, RunData, RunInfo

from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import BEFORE, FACT_PREFIX, Kind, Metric, Tag
from elbowroom.tracking.store.text import LABEL_LENGTH, clean, deleted_experiment

from .csv_table import Row
from .scores import CurveIs, as_said, best_score

# Fields of a configuration that leave its numbers as they are, or that a cell is placed by.
INDIFFERENT = ("dataset", "test_data", "label_column", "header", "artifacts", "threads", "device", "measure", "edition")
COORDINATES = ("model", "dim3", "seed")
# Settings in which the series of one comparison may differ: they make another model of it.
OF_THE_MODEL = ("loss", "beta", "output")
CODE = "code"  # likewise, where a user's module was edited or one of this project's models has another revision
TARGETS = ("dim3", "error", "model", "seed", "dataset", "test")
SEVERAL = ("settings", "ignore")  # targets that may be given more than once
SOURCES = ("params", "metrics", "tags")
PAGE = 1000  # runs a request
MOST = 1e100  # of what a store's number may be, so that its square is finite: those of float32 data are below 1e77
LEAST = 1e-100  # an error below it counts as 0, so that others divided by it are finite
MOST_DIM3 = 1_000_000
MOST_SEED = 2**63
LONGEST_REASON = 500  # letters
SQUATTEST = 16  # times that a picture may be higher than wide, or wider than high


class Cell(NamedTuple):
    """One run: where it stands on the grid, and what came out.

    error is what is judged, the validation error where there is one; test is None where there is none.
    trained says whether it had epochs, and with them a budget, seeded whether its numbers are those of its seed.
    settings are those of its training, variant those that make another model of it.
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
        """Of the store."""
        return str(self.run.info.run_id)

    @property
    def name(self) -> str:
        """Of the run, as its owner called it, on one line."""
        return _name(self.run)

    def metric(self, name: str) -> float | None:
        """A metric that is a number to reckon with, None where there is none."""
        value = self.run.data.metrics.get(name)
        return value if value is not None and _is_finite(value) else None

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """The shape of a row as a picture, None where the run does not say, or says what can't be drawn."""
        parts = self.tag(Tag.IMAGE_SHAPE).split("x")
        if len(parts) not in (2, 3) or not all(re.fullmatch("[1-9][0-9]{0,5}", p) for p in parts):
            return None
        height, width, *colours = shape = tuple(int(p) for p in parts)
        drawn = max(height, width) <= SQUATTEST * min(height, width) and colours in ([], [1], [3])
        return shape if drawn else None

    def tag(self, name: str) -> str:
        """A tag, empty where there is none."""
        return str(self.run.data.tags.get(name, ""))


class LeftOut(NamedTuple):
    """A run that is no part of any curve, and why."""

    run_id: str
    name: str
    why: str


class Nested(NamedTuple):
    """A run of a model whose latents are ordered, and the test error of its first 1, 2, … latents by how many."""

    cell: Cell
    curve: dict[int, float]


class Store(NamedTuple):
    """What an experiment holds: finished cells, those run again to confirm a corner, what was left out, studies.

    Runs that have a curve of their own stand in `nested` and nowhere else: they are no point of another. `notes` say
    how runs of others, or a table, were read.
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


Place = tuple[str, str]  # a source and a name in it


class Columns(NamedTuple):
    """Where the runs of others have what is needed: a place for each target.

    Runs that differ in a place of `settings` make different curves; those of `ignore` change no number.
    """

    targets: Mapping[str, Place]
    settings: Sequence[Place] = ()
    ignore: Sequence[Place] = ()

    @property
    def places(self) -> list[Place]:
        """All of them."""
        return [*self.targets.values(), *self.settings, *self.ignore]

    @property
    def text(self) -> str:
        """What parse_map reads."""
        names = [*self.targets, *("settings" for _ in self.settings), *("ignore" for _ in self.ignore)]
        return ",".join(f"{name}={'.'.join(place)}" for name, place in zip(names, self.places, strict=True))


def parse_map(text: str) -> Columns:
    """`dim3=params.latent_size,error=metrics.val_loss,settings=params.lr` as columns. Raises BadInput."""
    found: dict[str, Place] = {}
    several: dict[str, list[Place]] = {name: [] for name in SEVERAL}
    for part in filter(None, (p.strip() for p in text.split(","))):
        target, _, place = part.partition("=")
        source, _, name = place.partition(".")
        if target not in (*TARGETS, *SEVERAL) or source not in SOURCES or not name:
            raise BadInput(
                f"map {part!r}: allowed is TARGET=SOURCE.NAME with a target of {', '.join((*TARGETS, *SEVERAL))} "
                f"and a source of {', '.join(SOURCES)}"
            )
        if target in several:
            several[target].append((source, name))
        else:
            found[target] = (source, name)
    if not {"dim3", "error"} <= set(found):
        raise BadInput("map needs dim3 and error, like dim3=params.latent_size,error=metrics.val_loss")
    return Columns(found, several["settings"], several["ignore"])


def read(
    client: MlflowClient, experiment: str, columns: Columns | None = None, *, curve_is: CurveIs = "error"
) -> Store:
    """The runs of an experiment. With `columns` those that others logged, of any kind. Raises BadInput."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        there = sorted(e.name for e in client.search_experiments(max_results=50))
        raise BadInput(f"no experiment {experiment!r}; there are: {', '.join(there)}")
    if found.lifecycle_stage == "deleted":
        raise BadInput(deleted_experiment(experiment, found.experiment_id))
    ours = "" if columns else f"tags.`{Tag.KIND}` = '{Kind.RUN}'"
    runs = _search(client, found.experiment_id, ours)
    if columns:  # what analyses left there is no run of theirs
        runs = [r for r in runs if r.data.tags.get(Tag.KIND) not in (Kind.ANALYSIS, Kind.INVOCATION)]
        runs = [r for r in runs if r.info.run_id != os.environ.get("MLFLOW_RUN_ID")]
    store = Store(found.experiment_id, experiment, [], [], [], [], [], [])
    if not columns:
        store.studies.extend(_search(client, found.experiment_id, f"tags.`{Tag.KIND}` = '{Kind.STUDY}'"))
    places: Counter[tuple[object, ...]] = Counter()
    runs.sort(key=lambda r: (r.info.start_time or 0, r.info.run_id))
    tagged = [r for r in runs if Tag.CODE in r.data.tags and r.info.status == "FINISHED"]
    first = {r.data.params.get("model", ""): r.data.tags[Tag.CODE] for r in reversed(tagged)}
    for run in runs:
        try:
            cell = _mapped(run, columns, curve_is) if columns else _cell(run, first)
        except Unusable as reason:
            store.left_out.append(_left_out(run, str(reason)))
            continue
        if cell is None:
            why = clean(run.data.tags.get(Tag.REASON, ""), LONGEST_REASON)
            store.unfinished.append(_left_out(run, f"{run.info.status}{': ' if why else ''}{why}"))
            continue
        if _has_curve(run):
            store.nested.append(Nested(cell, _curve(client, cell)))
            continue
        if columns and "seed" not in columns.targets:  # told apart by their order
            place = (cell.dataset, cell.model, cell.dim3, cell.settings)
            cell = cell._replace(seed=places[place])
            places[place] += 1
        (store.confirmations if cell.tag(Tag.CONFIRMS) == "true" else store.cells).append(cell)
    if curve_is == "score" and store.cells:
        return _turned(store)
    return store


def _turned(store: Store) -> Store:
    """A store whose cells have scores, with errors in their place."""
    best = best_score([v for cell in store.cells for v in (cell.error, cell.test) if v is not None])
    cells = [c._replace(error=best - c.error, test=None if c.test is None else best - c.test) for c in store.cells]
    return store._replace(cells=cells, notes=[as_said(best)])


def of_rows(rows: Sequence[Row], name: str, curve_is: CurveIs = "error") -> Store:
    """A table as a store: each row a run that somebody logged."""
    targets = {"dim3": ("metrics", "dim3"), "error": ("metrics", "error"), "model": ("params", "model")}
    targets |= {"seed": ("params", "seed"), "dataset": ("params", "dataset")}
    cells = []
    for number, row in enumerate(rows):
        run_id = f"row {number + 1}"
        info = RunInfo(run_id, "0", "", "FINISHED", number, number, "active", run_name=run_id)
        metrics = [LoggedMetric("dim3", row.dim3, 0, 0), LoggedMetric("error", row.error, 0, 0)]
        params = [Param("model", row.model), Param("seed", str(row.seed)), Param("dataset", name)]
        try:
            cell = _mapped(Run(info, RunData(metrics=metrics, params=params, tags=[])), Columns(targets), curve_is)
        except Unusable as reason:
            raise BadInput(f"{name}, {run_id}: {reason}") from None
        assert cell is not None  # all have finished
        cells.append(cell)
    store = Store("", name, cells, [], [], [], [], [])
    return _turned(store) if curve_is == "score" else store


class Unusable(ValueError):
    """Why a run can't be a point of a curve."""


def _search(client: MlflowClient, experiment_id: str, filter_string: str) -> list[Run]:
    """Every active run that matches, page after page."""
    runs: list[Run] = []
    token: str | None = None
    with _no_collections():
        while True:
            page = client.search_runs([experiment_id], filter_string, max_results=PAGE, page_token=token)
            runs.extend(page)
            token = page.token
            if not token:
                return runs


@contextmanager
def _no_collections() -> Iterator[None]:
    """Hold Python's search for dead cycles: among millions of new objects it takes twice the time of the query."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _left_out(run: Run, why: str) -> LeftOut:
    return LeftOut(run.info.run_id, _name(run), why)


def _name(run: Run) -> str:
    """What its owner called a run, on one line; its id where that says nothing."""
    name = clean(str(run.info.run_name or ""), LABEL_LENGTH)
    return name if name.strip() else str(run.info.run_id)


def _cell(run: Run, first: Mapping[str, str]) -> Cell | None:
    """A run of ours as a cell, None where it has not finished. Raises Unusable.

    One of a user's model that is older than `Tag.CODE` was made with the first code that a later one tells of.
    """
    if run.info.status != "FINISHED":
        return None
    data = run.data
    try:
        config: dict[str, Any] = BEFORE | json.loads(data.tags[Tag.CONFIG])
        values = {k: str(v) for k, v in config.items()}
        model = values["model"]
    except (KeyError, ValueError, TypeError, RecursionError):
        raise Unusable(f"its tag {Tag.CONFIG} is missing or broken") from None
    dim3, seed = (_whole(values.get(name, ""), name) for name in ("dim3", "seed"))
    name = Metric.VAL_MSE_FINAL if Metric.VAL_MSE_FINAL in data.metrics else Metric.TEST_MSE
    trained = data.metrics.get(Metric.EPOCHS_TRAINED, 1) > 0
    seeded = data.tags.get(Tag.SEEDED, "yes" if trained else "no") == "yes"
    facts = {k: data.tags.get(f"{FACT_PREFIX}{k}", "") or values.get(k, "") for k in OF_THE_MODEL}
    shared = {k: v for k, v in values.items() if k not in (*INDIFFERENT, *COORDINATES, *OF_THE_MODEL)}
    made_with = data.tags.get(Tag.CODE) or (first.get(model) if ":" in model else None)
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
        error=_number(data.metrics, name),
        on_validation=name == Metric.VAL_MSE_FINAL,
        test=_number(data.metrics, Metric.TEST_MSE) if Metric.TEST_MSE in data.metrics else None,
    )


def code(cell: Cell) -> str:
    """Of its model, empty where the run does not say."""
    return dict(cell.variant).get(CODE, "")


def _has_curve(run: Run) -> bool:
    """Whether it is a run of ours whose model gives the error of every smaller dim3."""
    return Metric.CURVE_MSE in run.data.metrics and run.data.tags.get(Tag.KIND) == Kind.RUN


def _curve(client: MlflowClient, cell: Cell) -> dict[int, float]:
    """That error by dim3, where it is a number: a request for each such run, of which there are few."""
    history = client.get_metric_history(cell.run_id, Metric.CURVE_MSE)
    known = [m for m in history if _is_finite(m.value) and m.value >= 0 and 1 <= m.step <= cell.dim3]
    return {m.step: m.value for m in sorted(known, key=lambda m: (m.step, m.timestamp))}


def _mapped(run: Run, columns: Columns, curve_is: CurveIs) -> Cell | None:
    """A run that somebody else logged as a cell, None where it has not finished. Raises Unusable."""
    if run.info.status != "FINISHED":
        return None

    if _has_curve(run):
        raise Unusable(f"it has a curve of its own ({Metric.CURVE_MSE}), and is no point of one")

    def value(target: str, default: str = "") -> str:
        if target not in columns.targets:
            return default
        source, name = columns.targets[target]
        values = getattr(run.data, source)
        if name not in values:
            raise Unusable(f"it has no {source}.{name}")
        return str(values[name])

    def measured(target: str) -> float:
        try:
            return _finite(value(target), target, low=-MOST if curve_is == "score" else 0)
        except Unusable as reason:
            hint = "; --curve-is score reads what is better the higher it is" if value(target).startswith("-") else ""
            raise Unusable(f"{reason}{hint}") from None

    dim3 = _whole(value("dim3"), "dim3")
    return Cell(
        run=run,
        model=value("model", "model"),
        dim3=dim3,
        seed=_whole(value("seed", "0"), "seed"),
        dataset=value("dataset", "data"),
        digest="",
        trained=True,
        seeded=True,
        settings=tuple(
            sorted((name, str(getattr(run.data, source).get(name, "none"))) for source, name in columns.settings)
        ),
        variant=(),
        error=measured("error"),
        on_validation=True,
        test=measured("test") if "test" in columns.targets else None,
    )


def _number(metrics: Mapping[str, float], name: str) -> float:
    if name not in metrics:
        raise Unusable(f"it has no metric {name}")
    return _finite(str(metrics[name]), name)


def _finite(text: str, name: str, low: float = 0) -> float:
    try:
        value = float(text)
    except ValueError:
        raise Unusable(f"its {name} is {text[:40]!r}, no number") from None
    if value == math.inf or value == sys.float_info.max:  # as which MLflow's databases keep the infinite
        raise Unusable(f"its {name} is infinite")
    if math.isnan(value) or value < low or value > MOST:
        raise Unusable(f"its {name} is {text[:40]}; allowed: {low:g} to {MOST:g}")
    return value if abs(value) >= LEAST else 0.0


def _whole(text: str, name: str) -> int:
    """A dim3 from 1, or a seed from 0."""
    low, high = (1, MOST_DIM3) if name == "dim3" else (0, MOST_SEED)
    value = _finite(text, name)
    if value != round(value) or not low <= value <= high:
        raise Unusable(f"{name} is {value:g}, no whole number from {low}" + (f" to {high:,}" if value > high else ""))
    return int(text) if re.fullmatch("[0-9]+", text) else round(value)


def _is_finite(value: float) -> bool:
    """Whether it is a number to reckon with; an infinite metric may come back as the largest number there is."""
    return math.isfinite(value) and abs(value) <= MOST


def latest(cells: Sequence[Cell]) -> tuple[list[Cell], list[LeftOut]]:
    """One cell for each place on the grid, the last that finished of those with the most measures; the others, named.

    A run that was measured says all that a bare one of the same cell does.
    """
    by_place: dict[tuple[object, ...], Cell] = {}
    doubled = []

    def rank(cell: Cell) -> tuple[bool, int, int, str]:
        info = cell.run.info
        return cell.metric(Metric.MEASURE_SECONDS) is not None, info.end_time or 0, info.start_time or 0, cell.run_id

    for cell in sorted(cells, key=rank):
        place = (cell.digest, cell.dataset, cell.model, cell.dim3, cell.seed, cell.settings, cell.variant)
        before = by_place.get(place)
        if before is not None:
            what = "a later" if rank(before)[0] == rank(cell)[0] else "a measured"
            doubled.append(_left_out(before.run, f"{what} run of the same cell finished: {cell.run_id}"))
        by_place[place] = cell
    return list(by_place.values()), doubled
