"""The state of a study, read from the tracking store alone: what `studies.watch` shows.

A store may have been written by a stranger: no code of a model is imported, and tags that can't be read are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from elbowroom.models import MODELS, settings_of
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import BEFORE, INDIFFERENT, Kind, Metric, Tag

from ..execution.cell import PRUNED, error_of
from ..execution.processes import find_process, host_tag
from ..execution.state import Answer, CellState, Place, Stage, StudyState, in_order, place_of, tuned_settings
from .results import choices
from .study import FinishedCell, StudySpec, cells_of_others, children, done_cells

_MOST_CELLS = 20_000  # of a tag
_KNOBS = ("lr", "dim2", "batch_size", "epochs", "beta", "dim3")
_STAGES = {"FINISHED": Stage.DONE, "RUNNING": Stage.RUNNING, "FAILED": Stage.FAILED}
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
"""What a tag of another program raises."""


class StoredStudy:
    """A study in its tracking store, to be read again and again."""

    def __init__(self, client: MlflowClient, parent: Run) -> None:
        self.client, self.parent = client, parent
        self.name = parent.data.tags.get(Tag.STUDY, "")
        self.settings = _plain(parent.data.tags.get(Tag.STUDY_SETTINGS, ""))
        self.tuned, self.sought = "most epochs" in self.settings, Tag.SEEK in parent.data.tags
        self.others: list[Run] = [] if self.tuned else self._others()
        self.done: list[FinishedCell] = []
        """The cells that are done, as the last `state` found them."""

    def _others(self) -> list[Run]:
        """The cells of other studies that count as done here, which a running study reads once, too."""
        digest = re.search(r"\((\w+)\)$", str(self.settings.get("dataset")))
        if digest is None or not isinstance(self.settings.get("epochs"), int):
            return []
        settings = {name: value for name, value in BEFORE.items() if name not in INDIFFERENT} | self.settings
        spec = StudySpec(self.name, "", settings, Kind.RUN, digest[1])
        return cells_of_others(self.client, self.parent.info.experiment_id, self.parent, spec)

    def is_running(self) -> bool:
        """Whether a process runs the study; one on another machine is taken to live."""
        holder = self.parent.data.tags.get(Tag.COORDINATOR, "").split()
        if self.parent.info.status != "RUNNING" or not holder:
            return False
        return holder[0] != host_tag() or find_process(" ".join(holder[:3])) is not None

    def rests_since(self) -> float | None:
        """When the study, which does not run, was last written to, in seconds since 1970."""
        runs = [self.parent, *children(self.client, self.parent, Kind.TRIAL if self.tuned else Kind.RUN)]
        return max((run.info.end_time / 1000 for run in runs if run.info.end_time), default=None)

    def state(self, answers: tuple[Answer, ...] = ()) -> StudyState:
        """Read the state. Where the study notes no choices, they are `answers`, which take the arrays of its runs."""
        self.parent = self.client.get_run(self.parent.info.run_id)
        tags = self.parent.data.tags
        if self.tuned:
            trials = trial_states(self.client, children(self.client, self.parent, Kind.TRIAL), self.settings)
            asked = tags.get(Tag.TRIALS, "")
            most = int(asked) if re.fullmatch(r"\d{1,6}", asked) else len(trials)
            return StudyState(self.name, in_order(trials, ()), most, (), objective(self.settings))
        runs = children(self.client, self.parent, Kind.RUN)
        found = [c for c in done_cells([*runs, *self.others], {}, self.name).values() if c.is_current]
        self.done = list({cell.run.info.run_id: cell for cell in found}.values())
        places, models = _round(tags) if self.sought else _grid(tags, self.done)
        cells = {place: CellState(place) for place in places}
        for cell in done_states(self.done):
            model, confirms = cell.place.model, cell.place.confirms
            if (model in models and not confirms) if self.sought else (cell.place in cells or confirms or not places):
                cells[cell.place] = cell
        self._add_open(cells, runs)
        if self.sought:
            return StudyState(self.name, in_order(cells.values(), models), None, _noted(tags) or answers)
        return StudyState(self.name, in_order(cells.values(), models), len(cells), answers)

    def _add_open(self, cells: dict[Place, CellState], runs: Iterable[Run]) -> None:
        """Set the cells that run or have failed: in this start, where the study runs."""
        running = self.is_running()
        words = self.parent.data.tags.get(Tag.COORDINATOR, "").split()
        start = float(words[2]) if running and len(words) > 2 and re.fullmatch(r"\d+\.?\d*", words[2]) else 0.0
        for run in sorted(runs, key=lambda r: r.info.start_time or 0):
            config, stage = _config(run), _STAGES.get(run.info.status)
            if config is None or stage not in (Stage.RUNNING, Stage.FAILED) or run.info.start_time / 1000 < start:
                continue
            place = place_of(config, run.data.tags)
            if stage is Stage.RUNNING and running:
                cells[place] = _running(self.client, run, config, CellState(place))
            elif stage is Stage.FAILED and place in cells:
                before = cells[place]
                if before.stage is not Stage.DONE or before.ended < run.info.start_time / 1000:
                    cells[place] = CellState(place, Stage.FAILED, ended=(run.info.end_time or 0) / 1000)


def answers_of(cells: Iterable[FinishedCell]) -> tuple[Answer, ...]:
    """The choice of each model by the default rule, as a scan makes it; confirmations are left out."""
    curve = {cell.run.info.run_id: cell for cell in cells if Tag.CONFIRMS not in cell.run.data.tags}
    return tuple(Answer(model, choice.choice, choice.sentence) for model, choice in choices(curve.values()).items())


def done_states(cells: Iterable[FinishedCell]) -> list[CellState]:
    """The states of finished cells."""
    return [
        CellState(
            place_of(cell.config, cell.run.data.tags),
            Stage.DONE,
            value=error_of(cell.metrics),
            began=(cell.run.info.start_time or 0) / 1000,
            ended=(cell.run.info.end_time or 0) / 1000,
        )
        for cell in cells
    ]


def matched_states(found: Mapping[RunConfig, FinishedCell | None], epochs: int | str) -> list[CellState]:
    """The states of cells, with their finished runs or None; cells of other epochs than those confirm an elbow."""
    states = []
    for config, cell in found.items():
        place = Place(config.model, config.dim3, config.seed, config.epochs != epochs)
        states.append(CellState(place) if cell is None else replace(done_states([cell])[0], place=place))
    return states


def trial_states(client: MlflowClient, runs: Iterable[Run], settings: Mapping[str, Any]) -> list[CellState]:
    """The states of the trials of a tuning, without those that were interrupted.

    Parameters
    ----------
    client
        Of the tracking store.
    runs
        The runs of the trials.
    settings
        The settings of the study, which those that are tuned are not part of.
    """
    names, found = knobs(settings), []
    for run in runs:
        number, config = run.data.tags.get(Tag.TRIAL, ""), _config(run)
        stage = _STAGES.get(run.info.status)
        if run.data.tags.get(Tag.REASON, "").startswith(PRUNED):
            stage = Stage.PRUNED
        if config is None or stage is None or not re.fullmatch(r"\d{1,9}", number):
            continue
        place, tuned = Place(trial=int(number)), tuned_settings(config, names)
        if stage is Stage.RUNNING:
            found.append(_running(client, run, config, CellState(place, settings=tuned)))
            continue
        elbo, error = (run.data.metrics.get(name) for name in (Metric.VAL_ELBO, Metric.VAL_MSE_FINAL))
        value = error if "beta" in settings or elbo is None else -elbo
        began, ended = (run.info.start_time or 0) / 1000, (run.info.end_time or 0) / 1000
        value = value if stage is Stage.DONE else None
        found.append(CellState(place, stage, value=value, settings=tuned, began=began, ended=ended))
    return found


def knobs(settings: Mapping[str, Any]) -> list[str]:
    """The settings that a tuning chooses, by those of the study."""
    dim3 = settings.get("dim3")
    several = isinstance(dim3, list) and len(dim3) > 1
    return [name for name in _KNOBS if (several if name == "dim3" else name not in settings)]


def objective(settings: Mapping[str, Any]) -> str:
    """The objective of a tuning, by the settings of its study: where beta is tuned, one that is independent of it."""
    return "validation error" if "beta" in settings else "validation -ELBO, nats"


def running_cells(client: MlflowClient, experiment_id: str, parent_id: str) -> dict[int, tuple[int, str]]:
    """The epochs and the workers of the running cells of a study, by the numbers of their trials.

    Parameters
    ----------
    client
        Of the tracking store.
    experiment_id, parent_id
        The experiment and the parent run of the study.
    """
    words = f"tags.`{Tag.PARENT}` = '{parent_id}' AND attributes.status = 'RUNNING'"
    found = {}
    for run in client.search_runs([experiment_id], words):
        if Tag.TRIAL in run.data.tags:
            found[int(run.data.tags[Tag.TRIAL])] = (_epoch(client, run), run.data.tags.get(Tag.WORKER, ""))
    return found


def _running(client: MlflowClient, run: Run, config: RunConfig, cell: CellState) -> CellState:
    return CellState(
        cell.place,
        Stage.RUNNING,
        epoch=_epoch(client, run),
        epochs=int(config.epochs) if config.epochs != "auto" else 0,
        worker=run.data.tags.get(Tag.WORKER, ""),
        settings=cell.settings,
        began=(run.info.start_time or 0) / 1000,
    )


def _epoch(client: MlflowClient, run: Run) -> int:
    """The last epoch that a run has logged."""
    if Metric.TRAIN_LOSS not in run.data.metrics:
        return 0
    return max(metric.step for metric in client.get_metric_history(run.info.run_id, Metric.TRAIN_LOSS))


def _config(run: Run) -> RunConfig | None:
    try:
        return RunConfig.from_json(run.data.tags[Tag.CONFIG])
    except (KeyError, TypeError, BadInput):
        return None


_UNSEEDED = {model for model in MODELS if "seed" not in settings_of(model)}


def _plain(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except _UNREADABLE:
        return {}


def _grid(tags: Mapping[str, str], done: Iterable[FinishedCell]) -> tuple[list[Place], list[str]]:
    """The cells that the last start of a scan asked for, and its models in their order."""
    grid = _plain(tags.get(Tag.GRID, ""))
    unseeded = {c.config.model for c in done if c.run.data.tags.get(Tag.SEEDED) == "no"} | _UNSEEDED
    try:
        asked = {str(model): [int(k) for k in values] for model, values in grid["dim3"].items()}
        repeated, repeats = grid.get("repeated", ([], 1))
        seeds = {k: max(int(grid["seeds"]), int(repeats) if k in repeated else 1) for ks in asked.values() for k in ks}
    except _UNREADABLE:
        return [], []
    if sum(seeds[k] for values in asked.values() for k in values) > _MOST_CELLS:
        return [], []
    places = [
        Place(model, k, seed)
        for model, values in asked.items()
        for k in values
        for seed in range(1 if model in unseeded else seeds[k])
    ]
    return places, list(asked)


def _round(tags: Mapping[str, str]) -> tuple[list[Place], list[str]]:
    """The cells of the last round of a seek, and its models in their order."""
    seek = _plain(tags[Tag.SEEK])
    try:
        places = [Place(str(m), int(k), int(seed)) for m, found in seek["round"].items() for k, seed in found]
        return places, [str(model) for model in seek["codes"]]
    except _UNREADABLE:
        return [], []


def _noted(tags: Mapping[str, str]) -> tuple[Answer, ...]:
    """The state of each search of a seek, as it noted them with its last round."""
    try:
        noted = json.loads(tags.get(Tag.SEEK_STATE, "[]"))
        return tuple(Answer(str(model), None if k is None else int(k), str(text)) for model, k, text in noted)
    except _UNREADABLE:
        return ()
