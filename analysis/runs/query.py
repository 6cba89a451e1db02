"""Read the runs of an experiment as cells, and name each run that is left out, with the reason.

Metrics and params come with the pages of one search. Only the few runs that have a curve of their own take a request
each, for its history.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities import Metric as LoggedMetric
from mlflow.entities import Param, Run, RunData, RunInfo

from elbowroom.tracking.store.errors import BadInput, deleted_experiment
from elbowroom.tracking.store.names import Kind, Metric, Tag
from elbowroom.tracking.store.text import clean

from .cells import Cell, LeftOut, Nested, Store, Unusable, is_finite, own_cell, run_name
from .csv_table import Row
from .mapping import Columns, mapped_cell
from .scores import CurveIs, as_said, best_score

_PAGE = 1000  # runs a request
_REASON_LENGTH = 500  # letters
_TABLE_COLUMNS = Columns(
    {
        "dim3": ("metrics", "dim3"),
        "error": ("metrics", "error"),
        "model": ("params", "model"),
        "seed": ("params", "seed"),
        "dataset": ("params", "dataset"),
    }
)


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
        Where there is no such experiment, or it is deleted, or the best value of the scores is unknown.
    """
    found = client.get_experiment_by_name(experiment)
    if found is None:
        there = sorted(e.name for e in client.search_experiments(max_results=50))
        raise BadInput(f"no experiment {experiment!r}; there are: {', '.join(there)}")
    if found.lifecycle_stage == "deleted":
        raise BadInput(deleted_experiment(experiment, found.experiment_id))
    runs = _search(client, found.experiment_id, "" if columns else f"tags.`{Tag.KIND}` = '{Kind.RUN}'")
    if columns:  # without the runs that analyses logged there
        runs = [r for r in runs if r.data.tags.get(Tag.KIND) not in (Kind.ANALYSIS, Kind.INVOCATION)]
        runs = [r for r in runs if r.info.run_id != os.environ.get("MLFLOW_RUN_ID")]
    store = Store(found.experiment_id, experiment, [], [], [], [], [], [])
    if not columns:
        store.studies.extend(_search(client, found.experiment_id, f"tags.`{Tag.KIND}` = '{Kind.STUDY}'"))
    runs.sort(key=lambda r: (r.info.start_time or 0, r.info.run_id))
    finished = [r for r in runs if r.info.status == "FINISHED"]
    store.unfinished.extend(_unfinished(r) for r in runs if r.info.status != "FINISHED")
    tagged = [r for r in finished if Tag.CODE in r.data.tags]
    first_code = {r.data.params.get("model", ""): r.data.tags[Tag.CODE] for r in reversed(tagged)}
    order: Counter[tuple[object, ...]] = Counter()
    for run in finished:
        has_curve = Metric.CURVE_MSE in run.data.metrics and run.data.tags.get(Tag.KIND) == Kind.RUN
        try:
            if columns and has_curve:
                raise Unusable(f"it has a curve of its own ({Metric.CURVE_MSE}), and is no point of one")
            cell = mapped_cell(run, columns, curve_is) if columns else own_cell(run, first_code)
        except Unusable as reason:
            store.left_out.append(LeftOut(run.info.run_id, run_name(run), str(reason)))
            continue
        if has_curve:
            store.nested.append(Nested(cell, _own_curve(client, cell)))
            continue
        if columns and "seed" not in columns.targets:  # runs of one place are its seeds, in their order
            place = (cell.dataset, cell.model, cell.dim3, cell.settings)
            cell = cell._replace(seed=order[place])
            order[place] += 1
        (store.confirmations if cell.tag(Tag.CONFIRMS) == "true" else store.cells).append(cell)
    return _as_errors(store) if curve_is == "score" and store.cells else store


def of_rows(rows: Sequence[Row], name: str, curve_is: CurveIs = "error") -> Store:
    """Return a table as a store, a run for each row.

    Parameters
    ----------
    rows
        Of the table, with errors or scores.
    name
        Of the file, which stands for the data set.
    curve_is
        Whether the rows have errors or scores.

    Raises
    ------
    BadInput
        For a number outside its range, and where the best value of the scores is unknown.
    """
    cells = []
    for number, row in enumerate(rows):
        run_id = f"row {number + 1}"
        info = RunInfo(run_id, "0", "", "FINISHED", number, number, "active", run_name=run_id)
        metrics = [LoggedMetric("dim3", row.dim3, 0, 0), LoggedMetric("error", row.error, 0, 0)]
        params = [Param("model", row.model), Param("seed", str(row.seed)), Param("dataset", name)]
        try:
            cells.append(mapped_cell(Run(info, RunData(metrics, params, [])), _TABLE_COLUMNS, curve_is))
        except Unusable as reason:
            raise BadInput(f"{name}, {run_id}: {reason}") from None
    store = Store("", name, cells, [], [], [], [], [])
    return _as_errors(store) if curve_is == "score" else store


def _as_errors(store: Store) -> Store:
    """The store with the errors of its cells in the place of their scores."""
    best = best_score([v for cell in store.cells for v in (cell.error, cell.test) if v is not None])
    cells = [c._replace(error=best - c.error, test=None if c.test is None else best - c.test) for c in store.cells]
    return store._replace(cells=cells, notes=[as_said(best)])


def _search(client: MlflowClient, experiment_id: str, filter_string: str) -> list[Run]:
    """Every active run that matches, page after page."""
    runs: list[Run] = []
    token: str | None = None
    with _no_garbage_collection():
        while True:
            page = client.search_runs([experiment_id], filter_string, max_results=_PAGE, page_token=token)
            runs.extend(page)
            token = page.token
            if not token:
                return runs


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector: among millions of new objects it takes twice the time of the query."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _unfinished(run: Run) -> LeftOut:
    reason = clean(run.data.tags.get(Tag.REASON, ""), _REASON_LENGTH)
    return LeftOut(run.info.run_id, run_name(run), f"{run.info.status}{': ' if reason else ''}{reason}")


def _own_curve(client: MlflowClient, cell: Cell) -> dict[int, float]:
    """The test error by dim3 that one run logged, where it is finite; takes a request."""
    history = client.get_metric_history(cell.run_id, Metric.CURVE_MSE)
    known = [m for m in history if is_finite(m.value) and m.value >= 0 and 1 <= m.step <= cell.dim3]
    return {m.step: m.value for m in sorted(known, key=lambda m: (m.step, m.timestamp))}
