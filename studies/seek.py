"""Seek the dim3 that a purpose needs: `python -m studies.seek --dataset mine.csv --rule keep:0.90`.

No range is asked for: each model is trained at 2, 4, 8, … latents until the rule is met, then between the last dim3
that is not enough and the first that is, and then several times around the answer (`execution.next_cells`). The cells
are those of `studies.scan`, which trains none of them again. The same command again continues. From Python: `seek`.
Exit codes: 0 settled, or the budget is spent; 1 some cells failed; 2 bad input; 130 or 143 interrupted.
"""

from __future__ import annotations

import elbowroom.tracking.imports  # noqa: F401  before the others

# isort: split
import argparse
import json
import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from elbowroom.analysis.findings import find
from elbowroom.analysis.purposes import DEFAULT_RULE, PURPOSES, Rule
from elbowroom.analysis.purposes.choice import Choice
from elbowroom.analysis.purposes.features import unfit_labels
from elbowroom.analysis.purposes.probe import Coded, Sample
from elbowroom.analysis.runs.arrays import fetch
from elbowroom.models import Reducer, class_of, gives_a_curve
from elbowroom.models.base import Labels
from elbowroom.models.measures.hidden_entries import COLUMNS
from elbowroom.tracking.cli import UNSET, Parser, command, config_fields
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.logged_model.code import code_of
from elbowroom.tracking.run.execution import prepare
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import TAG_LENGTH, Artifact, Kind, Tag
from elbowroom.tracking.store.recorder import Recorder
from elbowroom.tracking.store.session import use_store
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .execution.coordinator import Coordinator, Failure, JobQueue, Summary, open_study
from .execution.next_cells import LEAST_SEEDS, Cell, Known, Phase, Search, look, next_cells, offered
from .execution.state import Answer
from .grid import DEFAULT_MODELS, cell_config, check_whole, model_settings, parse_whole, shared_fields, study_settings
from .options import RESUME, Options, add_options, parse_options
from .records.results import (
    Answers,
    curve,
    readable,
    record_answers,
    record_curve,
    table,
)
from .records.seek_sentences import sentences, state, times_of
from .records.study import FinishedCell, StudySpec, error_objective

_WHAT = "a seek of dim3"
_FEW_ROWS = 50  # validation rows
_FIRST = 2  # dim3 with which each model is built to check it
_MOST_CELLS = 400  # of a round, which a tag records
_MANY = 1000  # cells: more than there are workers


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""

    def body() -> int:
        given = parser().parse_args(arguments)
        use_store(given)
        return 0 if seek(_question(given), parse_options(given)).complete else 1

    return command(body, killed=RESUME)


def parser() -> Parser:
    """The flags of the question, of what all cells share, and of how to run them."""
    made = Parser("studies.seek", "Seek the dim3 that a purpose needs, with few trainings, recorded in MLflow.")
    asked = made.add_argument_group("the question")
    asked.add_argument("--models", default=UNSET, metavar="A,B", help=f"default: {','.join(DEFAULT_MODELS)}")
    asked.add_argument(
        "--rule", default=DEFAULT_RULE, metavar="RULE,…", help="the purpose, or several: keep:0.90,features:0.02"
    )
    asked.add_argument("--within", default="1", metavar="N", help="how far the 95%% interval may reach on each side")
    asked.add_argument("--seeds", default=str(LEAST_SEEDS), metavar="N", help="seeds at the dim3 around the answer")
    asked.add_argument(
        "--max-cells",
        default=UNSET,
        metavar="N",
        help="cells of a model to train at most, for each rule; default: 40, and 10 for each seed after the third",
    )
    asked.add_argument("--max-dim3", default=UNSET, metavar="N", help="the largest dim3; default: all the data allow")
    asked.add_argument("--timeout", default=UNSET, metavar="30m", help="begin no cell after this time: 90s, 30m or 2h")
    made.add_fields(shared_fields())
    add_options(made)
    made.add_store()
    return made


def _question(given: argparse.Namespace) -> Question:
    """The question as typed. Raises BadInput."""
    return Question(
        models=DEFAULT_MODELS if given.models == UNSET else tuple(m.strip() for m in given.models.split(",")),
        rules=tuple(rule.strip() for rule in given.rule.split(",")),
        within=parse_whole("within", given.within),
        seeds=parse_whole("seeds", given.seeds),
        max_cells=None if given.max_cells == UNSET else parse_whole("max-cells", given.max_cells),
        max_dim3=None if given.max_dim3 == UNSET else parse_whole("max-dim3", given.max_dim3),
        timeout=None if given.timeout == UNSET else _seconds(given.timeout),
        base=RunConfig(**config_fields(given, shared_fields())),
    )


def _seconds(text: str) -> float:
    """A time as typed, in seconds. Raises BadInput."""
    typed = re.fullmatch(r"\s*(\d{1,6}(?:\.\d+)?)\s*([smh])\s*", text)
    if typed is None or float(typed[1]) == 0:
        raise BadInput(f"timeout {text!r} is no time; allowed: 90s, 30m or 2h")
    return float(typed[1]) * {"s": 1, "m": 60, "h": 3600}[typed[2]]


@dataclass(frozen=True)
class Question:
    """The question of a seek. Raises BadInput where it can't be asked."""

    models: tuple[str, ...] = DEFAULT_MODELS
    rules: tuple[str, ...] = (DEFAULT_RULE,)
    within: int = 1
    """The number of dim3 that the 95 % interval may reach on each side of the answer."""
    seeds: int = LEAST_SEEDS
    """The number of trainings at each dim3 around the answer; fewer than three do not show how much they differ."""
    base: RunConfig = field(default_factory=RunConfig)
    """The settings of all cells. Its model, dim3, seed, threads and artifacts are not read."""
    max_cells: int | None = None
    """The number of cells of a model that this study trains at most, for each rule; None: 10, and 10 for each seed.

    So 40 with three seeds.
    """
    max_dim3: int | None = None
    """The largest dim3 to train; None: the smaller of the training rows and columns."""
    timeout: float | None = None
    """The seconds after which no cell begins."""

    def __post_init__(self) -> None:
        """Check what can be checked without the data."""
        for name in ("within", "seeds", "max_cells", "max_dim3"):
            if getattr(self, name) is not None:  # an int is recorded, not one of numpy
                object.__setattr__(self, name, check_whole(name.replace("_", "-"), getattr(self, name)))
        if self.seeds < LEAST_SEEDS:
            raise BadInput(f"seeds must be at least {LEAST_SEEDS}: fewer do not show how much trainings differ")
        if not all(self.models) or not all(self.rules) or not self.models or not self.rules:
            raise BadInput("models and rules must not be empty; allowed: lists like pca,ae and keep:0.90")
        if len({*self.models}) < len(self.models) or len({*self.search.rules}) < len(self.rules):
            raise BadInput("models and rules: each may be given once")
        for rule in self.search.rules:
            if not rule.serves:
                some = ", ".join(name for name, purpose in PURPOSES.items() if purpose.serves)
                raise BadInput(f"rule {rule.text} reads a whole curve, which studies.scan makes; allowed: {some}")
        for model in self.models:
            model_settings(model)  # raises for an unknown model
            if gives_a_curve(model):
                raise BadInput(f"{model}: one training gives its whole curve: python -m tracking.train --model {model}")
        for rule in self.search.rules:
            if not any(offered(rule, _has_elbo(model)) for model in self.models):
                only = PURPOSES[rule.purpose].only
                raise BadInput(f"rule {rule.purpose}: {only}; models are {', '.join(self.models)}")
            if rule.purpose == "rank" and self.base.measure != "yes":
                raise BadInput("rule rank reads errors of hidden entries, which runs with --measure yes have: add it")

    @property
    def search(self) -> Search:
        """The question as the choice of cells reads it. Raises BadInput for an unknown rule."""
        cells = 10 + 10 * self.seeds if self.max_cells is None else self.max_cells
        return Search(tuple(map(Rule.parse, self.rules)), self.within, self.seeds, cells)

    @property
    def task(self) -> str:
        """The task of its study, in words."""
        asked = f"the dim3 that {', '.join(self.rules)} needs, of {', '.join(self.models)}"
        return f"{asked}; 95 % interval within {self.within} dim3, {self.seeds} seeds around the answer"

    @property
    def study(self) -> str:
        """The default name of its study."""
        return f"seek-{clean(Path(self.base.dataset).stem, LABEL_LENGTH)}"


def _has_elbo(model: str) -> bool:
    return class_of(model).posterior is not Reducer.posterior


@dataclass(frozen=True)
class SeekResult:
    """The answers of a seek."""

    complete: bool
    """Whether no cell failed."""
    settled: bool
    """Whether every rule of every model is settled; else the budget is spent, or a cell failed."""
    study: str
    run_id: str
    """The id of the study's run, which is the parent of its cells' runs."""
    experiment_id: str
    choices: Mapping[str, Mapping[str, Choice]]
    """By model and rule."""
    cells: Mapping[str, int]
    """The cells that the answers stand on, by model; those of earlier studies included."""
    failures: tuple[Failure, ...]
    """The cells that failed in this start, and why. The same call again tries them."""


def seek(question: Question | None = None, options: Options | None = None) -> SeekResult:
    """Seek the dim3 of each rule and model, training the cells that its study and experiment have not.

    Nothing is printed unless `options.verbose`. A cell that fails raises nothing: its model's search ends, and
    `SeekResult.failures` has the reason. Raises BadInput before anything is opened, and RunFailed where the study
    itself can't go on.
    """
    question = Question() if question is None else question
    options = (options or Options()).named(question.study)
    with open_study(options, question.base, _MANY) as study:
        question = replace(question, base=study.base)
        most = _check_data(question, study.prepared_data, options)
        digest = study.prepared_data.digests["all"]
        codes = {model: code_of(model) for model in question.models}
        settings = study_settings(question.base, digest)
        spec = StudySpec(
            options.study,
            _WHAT,
            settings,
            Kind.RUN,
            digest,
            question.task,
            objectives=error_objective(study.prepared_data),
            codes=codes,
            tags={Tag.SOUGHT: "true"},
        )
        done, outdated, bare = study.done(spec, question.models)
        if "features" in {rule.purpose for rule in question.search.rules}:
            _check_labels(study.prepared_data, done.values())
        for cells, why in ((outdated, "were made with other code"), (bare, "lack the measures")):
            if count := len({c.run.info.run_id for c in cells if c.config.model in codes}):
                options.say(f"{count} finished cells {why} and do not count")
        with study.claimed(spec):
            run = _Seek(study, question, most)
            return run.finish(run.train())


def _check_data(question: Question, prepared_data: PreparedData, options: Options) -> int:
    """The largest dim3; prints where rows are few. Raises BadInput for rules or models that do not fit to the data."""
    parts, data = prepared_data.split, prepared_data.data
    purposes = {rule.purpose for rule in question.search.rules}
    if "features" in purposes and data.y_train is None:
        raise BadInput(f"rule features needs labels, and {data.name} has none: --label-column names their column")
    if "features" in purposes and not data.classes:
        raise BadInput(f"rule features needs classes, and the labels of {data.name} are measured numbers")
    _, labels = _labels(prepared_data)
    if "features" in purposes and labels is not None and (unfit := unfit_labels(Sample.of(Coded({}, labels, None)))):
        raise BadInput(f"rule features: {unfit}; --val-size takes more")
    if "rank" in purposes and data.dim1 < COLUMNS.start:
        raise BadInput(f"rule rank needs {COLUMNS.start} columns or more, {data.name} has {data.dim1}")
    most: int = min(*parts.x_train.shape, question.max_dim3 or data.dim1)
    for model in question.models:
        prepare(replace(question.base, model=model, dim3=min(_FIRST, most), threads=1), prepared_data)
    rows = len(data.x_test if parts.x_val is None else parts.x_val)
    if rows < _FEW_ROWS:
        which = "test rows" if parts.x_val is None else "validation rows"
        options.say(
            f"only {rows} {which} choose: intervals within {question.within} dim3 may take more of them, "
            "however many cells are trained; --val-size takes more"
        )
    return most


def _check_labels(prepared_data: PreparedData, done: Iterable[FinishedCell]) -> None:
    """Raise BadInput where finished cells logged other labels of the same rows: `features` reads those."""
    artifact, labels = _labels(prepared_data)
    logged = [found for found in fetch(readable(done), artifact).values() if not isinstance(found, str)]
    if any(not np.array_equal(found, np.asarray(labels)) for found in logged):
        name = prepared_data.data.name
        raise BadInput(f"rule features: the finished cells of {name} have other labels; use another --experiment")


def _labels(prepared_data: PreparedData) -> tuple[Artifact, Labels | None]:
    """The labels of the rows that choose, and the artifact that a run logs them as."""
    parts, data = prepared_data.split, prepared_data.data
    return (Artifact.LABELS, data.y_test) if parts.x_val is None else (Artifact.LABELS_VAL, parts.y_val)


class _Seek:
    """A seek whose study this process holds."""

    def __init__(self, study: Coordinator, question: Question, most: int) -> None:
        self.study, self.question, self.most, self.search = study, question, most, question.search
        self.records, self.options = study.records, study.options
        self.failed: set[str] = set()
        """Models of which a cell failed in this start."""
        self.progress = study.progress(0, 0, rounds=True)
        self.began = time.monotonic()
        self.answers: list[Answer] = []
        self.ended = False
        """Whether no more cells are asked for: the rules are settled, or the cells that they may have are spent."""
        self.recorder = Recorder(self.records.client, self.records.parent_id)

    def train(self) -> Summary:
        """Train round by round until the rules are settled or the budget is spent."""
        return self.study.run(JobQueue(self.records.ask, (), self._rounds(), self._is_late), self.progress)

    def _is_late(self) -> bool:
        return self.question.timeout is not None and time.monotonic() - self.began > self.question.timeout

    def _rounds(self) -> Iterator[list[RunConfig]]:
        """The cells of each round, which is recorded before it begins: a killed study completes it first.

        That of another question is left.
        """
        tags = self.records.client.get_run(self.records.parent_id).data.tags
        last = json.loads(tags.get(Tag.SEEK, "{}"))
        places: Mapping[str, list[tuple[int, int]]] = last.pop("round", {})
        if last != self._asked:
            places = {}
        asked = [self._config(Cell(model, *place)) for model in places for place in places[model]]
        missing: list[RunConfig] = []
        while True:
            done, key = self.records.done(), self.records.spec.key
            self.failed |= {config.model for config in missing if key(config) not in done}
            missing = [config for config in asked if config.model not in self.failed and key(config) not in done]
            if not missing:
                cells = self._next(self._finished(done))
                asked = missing = [self._config(cell) for cell in cells]
                self._record(cells)
            if not missing:
                self.ended = True
                return
            self.progress.extend(len(missing), 0)
            yield missing

    def _next(self, finished: Sequence[FinishedCell]) -> list[Cell]:
        """The cells of the next round, after the states of the search are shown."""
        workers = self.study.pool.slots()
        known = {model: one for model, one in self._known(finished).items() if model not in self.failed}
        views = {model: look(one, self.search) for model, one in known.items()}
        times = times_of(finished)
        self.answers = []
        for model, one in known.items():
            for view in views[model] if one.cells else ():
                said = state(one, view, self.search, times[model].each, workers)
                self.answers.append(Answer(model, None if view.choice is None else view.choice.choice, said))
        self.progress.answers(self.answers)
        return next_cells(known, self.search, workers, views)[:_MOST_CELLS]

    def _config(self, cell: Cell) -> RunConfig:
        return cell_config(self.question.base, cell.model, cell.dim3, cell.seed)

    def _record(self, cells: Sequence[Cell]) -> None:
        round_: dict[str, list[tuple[int, int]]] = {}
        for cell in cells:
            round_.setdefault(cell.model, []).append((cell.dim3, cell.seed))
        tags: dict[str, str] = {Tag.SEEK: json.dumps(self._asked | {"round": round_})}
        if len(noted := json.dumps(self.answers)) <= TAG_LENGTH:
            tags[Tag.SEEK_STATE] = noted
        self.recorder.tags(tags)

    @property
    def _asked(self) -> dict[str, object]:
        """Return the part of the question that decides the cells of a round, as plain data."""
        search, codes = self.search, dict(self.records.spec.codes)
        rules = [rule.text for rule in search.rules]
        limits = [search.within, search.seeds, search.max_cells, self.most]
        return {"rules": rules, "limits": limits, "codes": codes, "measure": self.question.base.measure}

    def _finished(self, done: Mapping[str, FinishedCell]) -> list[FinishedCell]:
        """The cells of the question, by model in its order; measured ones, where it asks for measures."""
        models = self.question.models
        places = {Cell(f.config.model, f.config.dim3, f.config.seed) for f in done.values()}
        asked = sorted((place for place in places if place.model in models), key=lambda p: (models.index(p.model), p))
        keys = [self.records.spec.key(self._config(place)) for place in asked]
        return [done[key] for key in keys if key in done]

    def _known(self, finished: Sequence[FinishedCell]) -> dict[str, Known]:
        """The finished cells of each model, and their evidence."""
        evidence = find.evidence(readable(finished))
        known = {}
        for model in self.question.models:
            mine = [f for f in finished if f.config.model == model]
            cells: dict[int, set[int]] = {}
            for one in mine:
                cells.setdefault(one.config.dim3, set()).add(one.config.seed)
            spent = sum(f.run.data.tags.get(Tag.PARENT) == self.records.parent_id for f in mine)
            seeded = "seed" in model_settings(model)
            known[model] = Known(cells, evidence.get(model), self.most, seeded, spent, _has_elbo(model))
        return known

    def finish(self, summary: Summary) -> SeekResult:
        """Record the answers and the curve on the study's parent run, print them where wanted, and end the run."""
        records, workers = self.records, self.study.pool.slots()
        finished = self._finished(records.done())
        known, times = self._known(finished), times_of(finished)
        views = {model: look(one, self.search) for model, one in known.items()}
        said = sentences(known, views, times, self.search)
        failed = sorted({failure.model for failure in summary.failures})
        settled = not failed and all(v.phase is Phase.DONE for found in views.values() for v in found)
        reason = f"cells of {', '.join(failed)} failed" if failed else ""
        points, (label,) = curve(finished), records.spec.objectives
        title = clean(self.question.base.dataset, LABEL_LENGTH)
        if any("epochs" in model_settings(model) for model in self.question.models):
            title += f", {self.question.base.epochs} epochs"
        shown = f"{label}, ± SD over seeds, (n): n seeds; {title}\n\n{table(points)}"
        self.options.say("\n" + "\n".join([shown, "", *said]) + "\n")
        record_curve(self.recorder, points, title, label)
        first = {model: found[0].choice for model, found in views.items() if found and found[0].choice is not None}
        answers = Answers(title, self.search.rules[0], first, {}, [*said, reason], [shown])
        pages = record_answers(records, answers)
        if not settled and not failed:
            self._say_what_goes_on(known)
        if settled or summary.fit_seconds:
            self.options.say(summary.spent(workers))
        self.study.conclude(summary, reason, pages)
        if len(known) > 1:
            name = self.records.client.get_experiment(records.experiment_id).name
            self.options.say(f"the models side by side:  python -m analysis.report --experiment {shlex.quote(name)}")
        return SeekResult(
            complete=not failed,
            settled=settled,
            study=self.options.study,
            run_id=records.parent_id,
            experiment_id=records.experiment_id,
            choices={m: {v.rule.text: v.choice for v in found if v.choice} for m, found in views.items()},
            cells={model: one.trained for model, one in known.items()},
            failures=tuple(summary.failures),
        )

    def _say_what_goes_on(self, known: Mapping[str, Known]) -> None:
        """Print which limit ended the search, and the command that goes on."""
        why, more, limit = "--timeout", "", self.search.max_cells
        if self.ended:
            spent = max(one.spent for one in known.values()) // len(self.search.rules)
            why, more = f"--max-cells {limit}", f" with --max-cells {2 * max(spent, limit)}"
        self.options.say(f"not settled, {why} is spent: the same command{more} goes on")


if __name__ == "__main__":
    sys.exit(main())
