"""The state of a study, read from the tracking store alone: what a study and `studies.watch` show on a terminal.

A store may have been written by a stranger: no code of a model is imported, and tags that can't be read are left out.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run

from elbowroom.models import MODELS, settings_of
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.errors import BadInput, one_line
from elbowroom.tracking.store.names import BEFORE, INDIFFERENT, Kind, Metric, Tag

from ..execution.cell import PRUNED, error_of
from ..execution.processes import find_process, host_tag
from ..execution.state import Answer, CellState, Place, Stage, StudyState
from ..grid import study_settings
from .results import choices
from .study import FinishedCell, StudySpec, cells_of_others, children, done_cells

_READ_SECONDS = 2.0  # between two readings of a store, at least
_SHARE = 0.05  # of a core, and of the time for choices: what takes longer is made less often
_SILENT_SECONDS = 900.0  # after which a study of another machine may have died
_MOST_CELLS = 20_000  # of a tag
_STAGES = {"FINISHED": Stage.DONE, "RUNNING": Stage.RUNNING, "FAILED": Stage.FAILED}
_ENDS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
"""What a tag of another program raises."""
_UNSEEDED = {model for model in MODELS if "seed" not in settings_of(model)}


class StoredStudy:
    """A study in its tracking store, to be read again and again.

    Parameters
    ----------
    client
        Of the tracking store.
    parent
        The parent run of the study.
    codes, others
        The current code of its models, and the cells of other studies that count as done here, where they are known:
        the process that runs the study knows them.
    """

    def __init__(
        self,
        client: MlflowClient,
        parent: Run,
        codes: Mapping[str, str] | None = None,
        others: list[Run] | None = None,
    ) -> None:
        self.client, self.parent, self.codes = client, parent, codes or {}
        self.name = parent.data.tags.get(Tag.STUDY, "")
        self.settings = _plain(parent.data.tags.get(Tag.STUDY_SETTINGS, ""))
        self.tuned = "most epochs" in self.settings
        self.others = self._others() if others is None else others
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

    @property
    def sought(self) -> bool:
        """Whether it is a seek, which notes its choices; those of a scan take the arrays of its runs."""
        return Tag.SEEK in self.parent.data.tags

    def state(self) -> StudyState:
        """Read the state, of a scan without choices: see `states`."""
        self.parent = self.client.get_run(self.parent.info.run_id)
        tags = self.parent.data.tags
        runs = children(self.client, self.parent, Kind.TRIAL if self.tuned else Kind.RUN)
        runs.sort(key=_began)
        epochs = {run.info.run_id: _epoch(self.client, run) for run in runs if run.info.status == "RUNNING"}
        start = _start(tags)
        times = [when for run in (self.parent, *runs) for when in (_began(run), _ended(run))]
        note = self._end(min(max(start, *times, *(when for _, when in epochs.values())), time.time()))
        # what runs or has failed is shown where it is of this start
        old = {"RUNNING"} if note else {"RUNNING", "FAILED"}
        shown = [run for run in runs if run.info.status not in old or (not note and _began(run) >= start)]
        cells, total, answers = (self._trials if self.tuned else self._cells)(shown, epochs)
        return StudyState(
            self.name,
            tuple(cells),
            total,
            answers,
            measure=self.parent.data.params.get("objective", "objective" if self.tuned else "error"),
            tuned=self.tuned,
            workers=len({run.data.tags.get(Tag.WORKER) for run in runs if _began(run) >= start} - {None}),
            running=not note,
            note=note,
        )

    def _end(self, written: float) -> str:
        """How the study ended, in a line; empty while it runs. written: when its runs were last written to."""
        tags, status = self.parent.data.tags, self.parent.info.status
        when = f"{datetime.fromtimestamp(written):%Y-%m-%d %H:%M:%S}"
        if status != "RUNNING":
            reason = tags.get(Tag.REASON, "") if status == "FAILED" else ""
            return f"{_ENDS.get(status, status)} at {when}" + (f": {reason}" if reason else "")
        holder = tags.get(Tag.COORDINATOR, "").split()
        is_elsewhere = bool(holder) and holder[0] != host_tag()
        if time.time() - written < _SILENT_SECONDS if is_elsewhere else find_process(" ".join(holder[:3])):
            return ""
        ended = f"its process on {holder[0]} may have ended" if is_elsewhere else "its process ended without finishing"
        return f"no sign of life since {when}: {ended} (start the same command to go on)"

    def _trials(self, runs: list[Run], epochs: _Epochs) -> _Content:
        """The content of a tuning."""
        names, cells = _tuned(self.settings), []
        for run in runs:
            number, config, metrics = run.data.tags.get(Tag.TRIAL, ""), _config(run), run.data.metrics
            pruned = run.data.tags.get(Tag.REASON, "").startswith(PRUNED)
            stage = Stage.PRUNED if pruned else _STAGES.get(run.info.status)
            if config is None or stage is None or not re.fullmatch(r"\d{1,9}", number):
                continue
            value = None
            if stage is Stage.DONE:
                elbo, error = (metrics.get(name) for name in (Metric.VAL_ELBO, Metric.VAL_MSE_FINAL))
                value = -elbo if "beta" in names and elbo is not None else error
            found = {name: getattr(config, name) for name in names}
            texts = tuple((name, f"{v:.3g}" if isinstance(v, float) else str(v)) for name, v in found.items())
            cell = _cell(run, config, Place(trial=int(number)), stage, epochs)
            cells.append(replace(cell, value=value, settings=texts))
        asked = self.parent.data.tags.get(Tag.TRIALS, "")
        total = int(asked) if re.fullmatch(r"\d{1,6}", asked) else len(cells)
        return sorted(cells, key=lambda cell: cell.place), total, ()

    def _cells(self, runs: list[Run], epochs: _Epochs) -> _Content:
        """The content of a scan or a seek."""
        tags, sought = self.parent.data.tags, self.sought
        found = [c for c in done_cells([*runs, *self.others], self.codes, self.name).values() if c.is_current]
        unseeded = {c.config.model for c in found if c.run.data.tags.get(Tag.SEEDED) == "no"} | _UNSEEDED
        asked = _round(tags) if sought else _grid(tags, unseeded)
        by_run = {c.run.info.run_id: c for c in found if c.config.measure == "yes" or not asked.measured(c.config.dim3)}
        self.done = list(by_run.values())
        cells = {place: CellState(place) for place in asked.places}
        for done in self.done:
            place = _place(done.run, done.config)
            wanted = place in cells or place.confirms or not asked.places
            if (place.model in asked.models and not place.confirms) if sought else wanted:
                cell = _cell(done.run, done.config, place, Stage.DONE, {})
                cells[place] = replace(cell, value=error_of(done.metrics))
        for run in runs:
            config, stage = _config(run), _STAGES.get(run.info.status)
            if config is None or stage not in (Stage.RUNNING, Stage.FAILED):
                continue
            place = _place(run, config)
            asked_for = place in cells or place.confirms  # confirmations are part of no grid
            if stage is Stage.RUNNING or (asked_for and cells.get(place, CellState(place)).ended < _began(run)):
                cells[place] = _cell(run, config, place, stage, epochs)
        models = list(dict.fromkeys([*asked.models, *(place.model for place in sorted(cells))]))
        ordered = sorted(cells.values(), key=lambda c: (models.index(c.place.model), c.place.confirms, c.place))
        return ordered, None if sought or not asked.places else len(cells), _noted(tags) if sought else ()


def states(study: StoredStudy, wait: Callable[[float], object] = time.sleep) -> Iterator[StudyState]:
    """The state of a study again and again, until it has ended, or `wait` returns true.

    After a reading that failed it is the last one, with the reason. The choices of a scan take longest: they are made
    when cells have finished, and in a small share of the time.
    """
    answers: tuple[Answer, ...] = ()
    state, counted, due, read = None, -1, 0.0, 0.0
    while state is None or state.running:
        began = time.thread_time()
        try:
            state = study.state()
            read = time.thread_time() - began
            if not study.sought:
                if study.done and ((state.done != counted and time.monotonic() > due) or not state.running):
                    counted = state.done  # also where its arrays can't be read: they are read again with the next cell
                    asked = time.monotonic()  # other threads read the arrays: a server gets four requests a cell
                    open_models = {c.place.model for c in state.cells if c.stage in (Stage.WAITING, Stage.RUNNING)}
                    # A larger dim3 of the grid may still reach what the finished ones do not.
                    found = answers_of(study.done)
                    answers = tuple(a for a in found if a.dim3 is not None or a.model not in open_models)
                    due = time.monotonic() + (time.monotonic() - asked) / _SHARE
                state = replace(state, answers=answers)
        except Exception as error:
            if state is None:
                raise
            state = replace(state, note=f"the store did not answer: {one_line(error, 200)}")
        yield state
        if state.running and wait(max(_READ_SECONDS, read / _SHARE)):
            return


def answers_of(cells: Iterable[FinishedCell]) -> tuple[Answer, ...]:
    """The choice of each model by the default rule, as a scan makes it; confirmations are left out."""
    curve = [cell for cell in cells if Tag.CONFIRMS not in cell.run.data.tags]
    return tuple(Answer(model, choice.choice, choice.sentence) for model, choice in choices(curve).items())


_Epochs = Mapping[str, tuple[int, float]]
"""The last epoch of each running run, by its id, and when it was written."""
_Content = tuple[list[CellState], int | None, tuple[Answer, ...]]
"""The cells of a study, their total, and the choices."""


def _cell(run: Run, config: RunConfig, place: Place, stage: Stage, epochs: _Epochs) -> CellState:
    """The state of the cell of a run."""
    if stage is not Stage.RUNNING:
        return CellState(place, stage, began=_began(run), ended=_ended(run))
    epoch, _ = epochs[run.info.run_id]
    most = 0 if config.epochs == "auto" else int(config.epochs)
    return CellState(place, stage, epoch, most, run.data.tags.get(Tag.WORKER, ""), began=_began(run))


def _place(run: Run, config: RunConfig) -> Place:
    return Place(config.model, config.dim3, config.seed, Tag.CONFIRMS in run.data.tags)


def _epoch(client: MlflowClient, run: Run) -> tuple[int, float]:
    """The last epoch that a run has logged, and when."""
    if Metric.TRAIN_LOSS not in run.data.metrics:
        return 0, 0.0
    last = max(client.get_metric_history(run.info.run_id, Metric.TRAIN_LOSS), key=lambda metric: metric.step)
    return last.step, last.timestamp / 1000


def _began(run: Run) -> float:
    return (run.info.start_time or 0) / 1000


def _ended(run: Run) -> float:
    return (run.info.end_time or 0) / 1000


def _start(tags: Mapping[str, str]) -> float:
    """When the process that runs a study began."""
    words = tags.get(Tag.COORDINATOR, "").split()
    return float(words[2]) if len(words) > 2 and re.fullmatch(r"\d+\.?\d*", words[2]) else 0.0


def _tuned(settings: Mapping[str, Any]) -> list[str]:
    """The settings that a tuning chooses: those that its study does not fix."""
    dim3 = settings.get("dim3")
    several = ["dim3"] if isinstance(dim3, list) and len(dim3) > 1 else []
    return [name for name in study_settings(RunConfig(), "") if name not in {**BEFORE, **settings}] + several


def _config(run: Run) -> RunConfig | None:
    try:
        return RunConfig.from_json(run.data.tags[Tag.CONFIG])
    except (KeyError, TypeError, BadInput):
        return None


def _plain(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except _UNREADABLE:
        return {}


class _Asked(NamedTuple):
    """The cells that a study has asked for, its models in their order, and whether cells of a dim3 need measures."""

    places: list[Place]
    models: list[str]
    measured: Callable[[int], bool]


_NOTHING = _Asked([], [], lambda dim3: False)


def _grid(tags: Mapping[str, str], unseeded: set[str]) -> _Asked:
    """The content of the last start of a scan."""
    grid = _plain(tags.get(Tag.GRID, ""))
    try:
        asked = {str(model): [int(k) for k in values] for model, values in grid["dim3"].items()}
        repeated, repeats = grid.get("repeated", ([], 1))
        repeated = set(repeated)
        seeds = {k: max(int(grid["seeds"]), int(repeats) if k in repeated else 1) for ks in asked.values() for k in ks}
    except _UNREADABLE:
        return _NOTHING
    if sum(seeds[k] for values in asked.values() for k in values) > _MOST_CELLS:
        return _NOTHING
    places = [
        Place(model, k, seed)
        for model, values in asked.items()
        for k in values
        for seed in range(1 if model in unseeded else seeds[k])
    ]
    return _Asked(places, list(asked), lambda dim3: grid.get("measure") == "yes" or dim3 in repeated)


def _round(tags: Mapping[str, str]) -> _Asked:
    """The last round of a seek."""
    seek = _plain(tags[Tag.SEEK])
    try:
        places = [Place(str(m), int(k), int(seed)) for m, found in seek["round"].items() for k, seed in found]
        return _Asked(places, [str(model) for model in seek["codes"]], lambda dim3: seek.get("measure") == "yes")
    except _UNREADABLE:
        return _NOTHING


def _noted(tags: Mapping[str, str]) -> tuple[Answer, ...]:
    """The state of each search of a seek, as it noted them with its last round."""
    try:
        noted = json.loads(tags.get(Tag.SEEK_STATE, "[]"))
        return tuple(Answer(str(model), None if k is None else int(k), str(text)) for model, k, text in noted)
    except _UNREADABLE:
        return ()
