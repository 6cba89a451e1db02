"""Read the runs of an experiment as cells, and name each run that is left out, with the reason.

Metrics and params come with the pages of one search. Only the few runs that have a curve of their own take a request
each, for its history. `Columns`, from `--map`, say where the runs of another program hold their numbers.
"""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Metric as LoggedMetric
from mlflow.entities import Param, Run, RunData, RunInfo

from elbowroom.tracking.store.client import every_run
from elbowroom.tracking.store.errors import BadInput, deleted_experiment
from elbowroom.tracking.store.names import Kind, Metric, Tag
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from ..purposes import Rule
from .comparison import (
    LARGEST,
    Cell,
    LeftOut,
    Nested,
    Store,
    Unusable,
    compare,
    finite,
    is_finite,
    own_cell,
    run_name,
    whole,
)
from .csv_table import CurveIs, best_score, check_falls, mean_row, read_rows

_TARGETS = ("dim3", "error", "model", "seed", "dataset", "test")
_REPEATABLE = ("settings", "ignore")  # targets that may be given more than once
_SOURCES = ("params", "metrics", "tags")
_SHOWN_VALUES = 3  # of a param in a message
_SHOWN_PARAMS = 5
_SEED_NAME = r"(.*[_. /-])?(seed|random_state)"  # of a param or tag, after its source
_Place = tuple[str, str]  # a source, and a name in it
_REASON_LENGTH = 500  # letters


class Columns(NamedTuple):
    """A place for each target. Runs that differ in `settings` make different curves; `ignore` changes no number."""

    targets: Mapping[str, _Place]
    settings: Sequence[_Place] = ()
    ignore: Sequence[_Place] = ()

    @property
    def places(self) -> list[_Place]:
        """All places."""
        return [*self.targets.values(), *self.settings, *self.ignore]

    @property
    def text(self) -> str:
        """The mapping as `columns_of` reads it."""
        names = [*self.targets, *("settings" for _ in self.settings), *("ignore" for _ in self.ignore)]
        return ",".join(f"{name}={'.'.join(place)}" for name, place in zip(names, self.places, strict=True))


def read(
    client: MlflowClient, experiment: str, columns: Columns | None = None, *, curve_is: CurveIs = "error"
) -> Store:
    """Read the runs of an experiment.

    Parameters
    ----------
    client
        Of the tracking store.
    experiment
        Its name.
    columns
        Where the runs of another program hold their numbers, whatever their kind. None: the runs of this project.
    curve_is
        Whether the mapped error is an error or a score.

    Returns
    -------
    Store
        Its cells have errors, also where scores were read.

    Raises
    ------
    BadInput
        Where there is no such experiment, or it is deleted; and where mapped runs of one dim3 differ in more than their
        seeds, errors rise, scores fall, or their best value is unknown.
    """
    place = experiment_id(client, experiment)
    if columns is None:
        runs = every_run(client, place, f"tags.`{Tag.KIND}` = '{Kind.RUN}'")
        studies = every_run(client, place, f"tags.`{Tag.KIND}` = '{Kind.STUDY}'")
    else:  # without the runs that analyses logged there
        ours, studies = (Kind.ANALYSIS, Kind.INVOCATION), []
        runs = [r for r in every_run(client, place, "") if r.data.tags.get(Tag.KIND) not in ours]
        runs = [r for r in runs if r.info.run_id != os.environ.get("MLFLOW_RUN_ID")]
    runs.sort(key=lambda r: (r.info.start_time or 0, r.info.run_id))
    unfinished = [_unfinished(r) for r in runs if r.info.status != "FINISHED"]
    store = Store(place, experiment, [], [], [], unfinished, studies, [])
    _sort_into(store, client, [r for r in runs if r.info.status == "FINISHED"], columns, curve_is)
    if columns is None or not store.cells:
        return store
    _check_settings(store.cells, columns)
    return _falling(_as_errors(store) if curve_is == "score" else store, curve_is)


def read_table(path: Path, curve_is: CurveIs, rule: Rule | None = None) -> Store:
    """Return a CSV file as a store, a run for each row.

    Parameters
    ----------
    path, curve_is
        The file, and whether its errors are errors or scores.
    rule
        The rule that was asked for, None for the default.

    Raises
    ------
    BadInput
        As `read` and `read_rows` do.
    """
    columns = columns_of(
        "dim3=metrics.dim3,error=metrics.error,model=params.model,seed=params.seed,dataset=params.dataset"
    )
    rows, note = read_rows(path, curve_is)
    base, more = mean_row(rows, rule)
    cells = []
    for number, row in enumerate(rows):
        if not row.dim3:
            continue
        run_id = f"row {number + 1}"
        info = RunInfo(run_id, "0", "", "FINISHED", number, number, "active", run_name=run_id)
        metrics = [LoggedMetric("dim3", row.dim3, 0, 0), LoggedMetric("error", row.error, 0, 0)]
        params = [Param("model", row.model), Param("seed", str(row.seed)), Param("dataset", path.name)]
        try:
            cells.append(_mapped_cell(Run(info, RunData(metrics, params, [])), columns, "error"))
        except Unusable as reason:
            raise BadInput(f"{path.name}, {run_id}: {reason}") from None
    notes = [text for text in (note, more) if text]
    return _falling(Store("", path.name, cells, [], [], [], [], [], notes, base), curve_is)


def experiment_id(client: MlflowClient, experiment: str) -> str:
    """Return the id of an experiment. Raises BadInput where there is none, or it is deleted."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        there = sorted(e.name for e in client.search_experiments(max_results=50))
        raise BadInput(f"no experiment {experiment!r}; there are: {', '.join(there)}")
    if found.lifecycle_stage == "deleted":
        raise BadInput(deleted_experiment(experiment, found.experiment_id))
    return str(found.experiment_id)


def _unfinished(run: Run) -> LeftOut:
    reason = clean(run.data.tags.get(Tag.REASON, ""), _REASON_LENGTH)
    return LeftOut(run.info.run_id, run_name(run), f"{run.info.status}{': ' if reason else ''}{reason}")


def _sort_into(
    store: Store, client: MlflowClient, finished: Sequence[Run], columns: Columns | None, curve_is: CurveIs
) -> None:
    """Add finished runs, the oldest first, to the lists of the store."""
    tagged = [r for r in finished if Tag.CODE in r.data.tags]
    first_code = {r.data.params.get("model", ""): r.data.tags[Tag.CODE] for r in reversed(tagged)}
    order: Counter[tuple[object, ...]] = Counter()
    for run in finished:
        try:
            cell = own_cell(run, first_code) if columns is None else _mapped_cell(run, columns, curve_is)
        except Unusable as reason:
            store.left_out.append(LeftOut(run.info.run_id, run_name(run), str(reason)))
            continue
        if columns is None and Metric.CURVE_MSE in run.data.metrics:
            store.nested.append(Nested(cell, _own_curve(client, cell)))
            continue
        if columns is not None and "seed" not in columns.targets:  # runs of one place are its seeds, in their order
            place = (cell.dataset, cell.model, cell.dim3, cell.settings)
            cell = cell._replace(seed=order[place])
            order[place] += 1
        (store.confirmations if cell.tag(Tag.CONFIRMS) == "true" else store.cells).append(cell)


def _own_curve(client: MlflowClient, cell: Cell) -> dict[int, float]:
    """The test error by dim3 that one run logged, where it is finite; takes a request."""
    history = client.get_metric_history(cell.run_id, Metric.CURVE_MSE)
    known = [m for m in history if is_finite(m.value) and m.value >= 0 and 1 <= m.step <= cell.dim3]
    return {m.step: m.value for m in sorted(known, key=lambda m: (m.step, m.timestamp))}


def _as_errors(store: Store) -> Store:
    """The store with the errors of its cells in the place of their scores."""
    best, note = best_score([v for cell in store.cells for v in (cell.error, cell.test) if v is not None])
    cells = [c._replace(error=best - c.error, test=None if c.test is None else best - c.test) for c in store.cells]
    return store._replace(cells=cells, notes=[note])


def _falling(store: Store, curve_is: CurveIs) -> Store:
    """The store. Raises BadInput where an error curve of it rises, or a score curve falls."""
    for series in (s for comparison in compare(store.cells) for s in comparison.series):
        check_falls(series.label, series.dim3, series.errors(), curve_is)
    return store


def columns_of(given: Mapping[str, str | Sequence[str]] | str) -> Columns:
    """Return `dim3=params.k,error=metrics.loss,settings=params.lr`, or the same as a mapping, as columns.

    Raises BadInput.
    """
    if isinstance(given, str):
        pairs = [part.strip().partition("=")[::2] for part in given.split(",") if part.strip()]
    else:
        lists = {target: [places] if isinstance(places, str) else places for target, places in given.items()}
        pairs = [(target, place) for target, places in lists.items() for place in places]
    found: dict[str, _Place] = {}
    several: dict[str, list[_Place]] = {name: [] for name in _REPEATABLE}
    for target, place in pairs:
        source, _, name = place.partition(".")
        if target not in (*_TARGETS, *_REPEATABLE) or source not in _SOURCES or not name:
            part = f"{target}={place}" if place else target
            raise BadInput(
                f"map {part!r}: allowed is TARGET=SOURCE.NAME with a target of {', '.join((*_TARGETS, *_REPEATABLE))} "
                f"and a source of {', '.join(_SOURCES)}"
            )
        if target in several:
            several[target].append((source, name))
        else:
            found[target] = (source, name)
    if not {"dim3", "error"} <= set(found):
        raise BadInput("map needs dim3 and error, like dim3=params.latent_size,error=metrics.val_loss")
    return Columns(found, several["settings"], several["ignore"])


def _mapped_cell(run: Run, columns: Columns, curve_is: CurveIs) -> Cell:
    """A finished run of another program as a cell; a score may be negative. Raises Unusable."""
    if Metric.CURVE_MSE in run.data.metrics and run.data.tags.get(Tag.KIND) == Kind.RUN:
        raise Unusable(f"it has a curve of its own ({Metric.CURVE_MSE}), and is no point of one")

    def value(target: str, default: str = "") -> str:
        if target not in columns.targets:
            return default
        source, name = columns.targets[target]
        values = getattr(run.data, source)
        if name not in values:
            raise Unusable(f"it has no {source}.{name}")
        return str(values[name])

    def number(target: str) -> float:
        try:
            return finite(value(target), target, low=-LARGEST if curve_is == "score" else 0)
        except Unusable as reason:
            hint = "; --curve-is score reads what is better the higher it is" if value(target).startswith("-") else ""
            raise Unusable(f"{reason}{hint}") from None

    dim3 = whole(value("dim3"), "dim3")
    settings = ((name, str(getattr(run.data, source).get(name, "none"))) for source, name in columns.settings)
    return Cell(
        run=run,
        model=value("model", "model"),
        dim3=dim3,
        seed=whole(value("seed", "0"), "seed"),
        dataset=value("dataset", "data"),
        digest="",
        trained=True,
        seeded=True,
        settings=tuple(sorted(settings)),
        variant=(),
        error=number("error"),
        on_validation=True,
        test=number("test") if "test" in columns.targets else None,
    )


def _check_settings(cells: Sequence[Cell], columns: Columns) -> None:
    """Raise BadInput, with the `--map` to type, where runs of one curve and dim3 differ in a param or tag.

    They would be averaged as seeds. A param that is called a seed may differ. So may one whose value is another word
    in each run, which names the run, if the seeds are mapped.
    """
    places: dict[tuple[object, ...], list[Mapping[str, str]]] = defaultdict(list)
    for cell in cells:
        places[cell.dataset, cell.model, cell.settings, cell.dim3].append(_own_words(cell))
    mapped = {f"{source}.{name}" for source, name in columns.places}
    mixed: dict[str, set[str | None]] = {}
    for name in sorted({name for members in places.values() for words in members for name in words} - mapped):
        values = [{words.get(name) for words in members} for members in places.values()]
        if any(len(those) > 1 and not _is_seed(name, those) for those in values):
            mixed[name] = set.union(*values)
    labels = [name for name, values in mixed.items() if len(values) == len(cells) and _is_label(name, values)]
    if "seed" in columns.targets:
        mixed = {name: values for name, values in mixed.items() if name not in labels}
    if mixed:
        targets = [f"{'ignore' if name in labels else 'settings'}={name}" for name in mixed]
        listed = [_shown(name, values) for name, values in mixed.items()]
        more = f" and {len(listed) - _SHOWN_PARAMS} more" if len(listed) > _SHOWN_PARAMS else ""
        raise BadInput(
            f"runs of one dim3 differ in {', '.join(listed[:_SHOWN_PARAMS])}{more}, and would be averaged as seeds; "
            f"try --map {shlex.quote(','.join([columns.text, *targets]))}, where settings= makes a curve for each "
            "value, seed= is averaged, and ignore= says that it changes no number"
        )


def _own_words(cell: Cell) -> dict[str, str]:
    """The params and tags that another program logged, by their places; without MLflow's and this project's tags."""
    data = cell.run.data
    own = {f"tags.{k}": value for k, value in data.tags.items() if not k.startswith(("mlflow.", "elbowroom."))}
    return {f"params.{name}": value for name, value in data.params.items()} | own


def _is_seed(name: str, values: Collection[str | None]) -> bool:
    return bool(re.fullmatch(_SEED_NAME, name, re.IGNORECASE)) and all(v and v.isdigit() for v in values)


def _is_label(name: str, values: Collection[str | None]) -> bool:
    """Whether the values, one of its own for each run, are times or no numbers."""
    return bool(re.search("time|date", name)) or not any(v and re.fullmatch(r"[-+.\deE]+", v) for v in values)


def _shown(name: str, values: Collection[str | None]) -> str:
    shown = [clean("none" if v is None else v, 40) for v in sorted(values, key=lambda v: (v is None, v))]
    more = ", …" if len(shown) > _SHOWN_VALUES else ""
    return f"{clean(name, LABEL_LENGTH)} ({', '.join(shown[:_SHOWN_VALUES])}{more})"
