"""Tune what is not dim3: `python -m studies.tune --model vae --dim3 10 --trials 50`.

Bayesian optimisation (TPE, Bergstra et al. 2011) of lr, dim2, batch_size, epochs and, for a VAE, beta, at one
dim3, with pruning by the median of earlier trials at the same epoch. Judged on validation rows: the error, or
for a VAE the negative ELBO at beta 1, because the error alone would drive beta to 0. A range, `--dim3 2:20`,
makes dim3 a second objective beside the error; nothing is pruned then, since a small dim3 would always lose.
The number of trials is a total: the same command again goes on. From Python: `tune`. Exit codes: as studies.scan.
"""

from __future__ import annotations

import elbowroom.tracking.imports  # noqa: F401  before the others

# isort: split
import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import optuna
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from mlflow.entities import Run
from optuna.trial import FrozenTrial, Trial, TrialState
from optuna.visualization import matplotlib as plots

from elbowroom.tracking.cli import Parser, command, config_fields, flag
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.shared import Material
from elbowroom.tracking.logged_model.code import code_of
from elbowroom.tracking.run.execution import prepare
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import BEST, PARETO, Artifact, Kind, Metric, Tag
from elbowroom.tracking.store.recorder import Recorder, reach_store
from elbowroom.tracking.store.session import borrowed, see_it, use_store

from .execution.cell import Job, Pruning
from .execution.coordinator import Failure, Progress, Source, Tally, conclude, described, supervise
from .execution.pools import Pool
from .grid import asked_by, parse_range, settings, shared_fields
from .options import DEFAULT_STORAGE, Means, add_means, means_of, opened_pool, shared_data, whole, whole_number
from .records.ownership import as_begun, claim, find_parent, find_study
from .records.study import Charter, Ledger, children, done_cells
from .records.trials import absolute, connect, lasting, locked

DIM3, TRIALS = 10, 50
SHORTEST = 3  # epochs of a trial, at least
KNOBS: Mapping[str, Callable[[Trial, int], object]] = {
    "lr": lambda trial, most: trial.suggest_float("lr", 1e-4, 3e-2, log=True),
    "dim2": lambda trial, most: trial.suggest_int("dim2", 32, 1024, log=True),
    "batch_size": lambda trial, most: trial.suggest_categorical("batch_size", (32, 64, 128, 256, 512)),
    "epochs": lambda trial, most: trial.suggest_int("epochs", min(SHORTEST, most), most),
    "beta": lambda trial, most: trial.suggest_float("beta", 0.1, 10.0, log=True),
}
"""The field of a configuration that is tuned, of those that the model asks for, and what it may be; `most` epochs."""
DRAWN_FROM = 2  # complete trials, without which there is nothing to draw


@dataclass(frozen=True)
class Question:
    """What a study of this kind looks for, and among what."""

    base: RunConfig
    dim3: tuple[int, ...]
    trials: int

    @property
    def knobs(self) -> tuple[str, ...]:
        """The fields that are tuned. beta is left alone where the error is the objective: it would go to 0."""
        asked = asked_by(self.base.model)
        return tuple(k for k in KNOBS if k in asked and (self.one or k != "beta"))

    @property
    def name(self) -> str:
        """Of the study, where it is given none."""
        span = f"d{self.dim3[0]}" + ("" if self.one else f"-{self.dim3[-1]}")
        return f"tune-{self.base.model.rpartition(':')[2]}-{span}-{Path(self.base.dataset).stem}"

    @property
    def one(self) -> bool:
        """Whether dim3 is fixed."""
        return len(self.dim3) == 1

    @property
    def metric(self) -> str:
        """The metric of each epoch that is the objective: where beta is tuned, what does not depend on it."""
        return Metric.VAL_ELBO if "beta" in self.knobs else Metric.VAL_MSE

    @property
    def sign(self) -> int:
        """-1 where more of the metric is better."""
        return -1 if self.metric == Metric.VAL_ELBO else 1

    @property
    def called(self) -> str:
        """The first objective, for people."""
        return "validation -ELBO (nats)" if self.sign < 0 else "validation error, mean squared"

    def values(self, metrics: Mapping[str, float]) -> list[float]:
        """The objectives of a finished run."""
        first = self.sign * metrics[self.metric] if self.sign < 0 else metrics[Metric.VAL_MSE_FINAL]
        return [first] if self.one else [first, metrics[Metric.DIM3]]

    def suggest(self, trial: Trial) -> RunConfig:
        """A configuration to try."""
        found = {name: KNOBS[name](trial, self.base.epochs) for name in self.knobs}
        low, high = self.dim3[0], self.dim3[-1]
        dim3 = low if self.one else trial.suggest_int("dim3", low, high, step=self.dim3[1] - low)
        return replace(self.base, **found, dim3=dim3, threads=1, artifacts="light")  # type: ignore[arg-type]


@dataclass(frozen=True)
class Best:
    """A trial that no other betters in all objectives: its number, its run, its configuration and its values."""

    trial: int
    run_id: str
    config: RunConfig
    values: tuple[float, ...]
    """What `Question.called` says; with a range of dim3 also the dim3."""


@dataclass(frozen=True)
class TuneResult:
    """What a study holds when a tuning ends."""

    complete: bool
    """Whether there are as many trials as were asked for."""
    study: str
    run_id: str
    """Of the study's run, which is the parent of its trials'."""
    experiment_id: str
    objective: str
    """What is minimised."""
    best: tuple[Best, ...]
    """One, or with a range of dim3 the Pareto front by dim3; none where no trial is complete."""
    trials: int
    """Complete ones and pruned ones."""
    pruned: int
    failures: tuple[Failure, ...]


class Tuning(Source):
    """Trials, each chosen in the light of those before, until there are as many as were asked for."""

    def __init__(self, ledger: Ledger, question: Question, shared: str | None, means: Means) -> None:
        self.ledger, self.question, self.shared, self.means = ledger, question, shared, means
        self.left = question.trials - len(counted(ledger.study))
        self.spare = question.trials  # replacements of trials whose worker died

    def next(self) -> Job | None:
        """See Source."""
        if self.left <= 0:
            return None
        job = self._ask()
        self.left -= 1
        return job

    @lasting
    def _ask(self) -> Job:
        """A trial that the sampler proposes, and its job. One that an outage cuts short the next repair closes."""
        study, question = self.ledger.study, self.question
        trial = study.ask()
        job = self.ledger.job(question.suggest(trial), trial.number, self.shared, self.means.on_cluster)
        if not question.one:
            return job
        pruning = Pruning(
            absolute(self.means.storage), study.study_name, trial._trial_id, question.metric, question.sign
        )
        return replace(job, pruning=pruning)

    def again(self, job: Job) -> bool:
        """See Source; what is tried instead is the sampler's to say."""
        if self.spare == 0:
            return False
        self.spare -= 1
        self.left += 1
        return True


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    again = "what ran ended KILLED; the same command again goes on where this one stopped"
    return command(lambda: _tune(arguments), killed=again)


def parser() -> Parser:
    """The model, what stays fixed, and how to run the trials."""
    made = Parser("studies.tune", "Tune lr, dim2, batch_size, epochs and beta of one model, recorded in MLflow.")
    made.add_argument("--model", default="vae", metavar="X", help="vae, ae, linear-ae, or as in tracking.train")
    made.add_argument("--dim3", default=str(DIM3), metavar="N", help="one dim3; or 2:20 for the Pareto front")
    made.add_argument("--trials", default=str(TRIALS), metavar="N", help="in all, those of earlier starts included")
    made.add_argument("--seed", default="0", metavar="N", help="of every training, and of the search")
    made.add_argument("--dataset", default=RunConfig.dataset, metavar="X", help="as in tracking.train")
    made.add_argument("--epochs", default=str(RunConfig.epochs), metavar="N", help="at most, of one trial")
    # patience would be a second way to stop early, beside the pruning and the number of epochs
    rest = [n for n in shared_fields() if n not in ("dataset", "patience", *KNOBS)]
    made.add_fields(rest)
    add_means(made)
    made.add_store()
    return made


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count towards the total: those that say something of their parameters."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def question_of(given: argparse.Namespace) -> Question:
    """What was asked, as typed. Raises BadInput."""
    dim3 = parse_range(given.dim3.removesuffix(".0"))
    names = ["model", "seed", *(n for n in shared_fields() if hasattr(given, n))]
    return _checked(RunConfig(**config_fields(given, names)), dim3, whole("trials", given.trials))


def _checked(base: RunConfig, dim3: tuple[int, ...], trials: int) -> Question:
    """The question, if there is one. Raises BadInput."""
    typed = ",".join(map(str, dim3))
    if not dim3 or len(set(np.diff(dim3))) > 1:
        raise BadInput(f"dim3 {typed!r} {'has gaps' if dim3 else 'is empty'}; allowed: one number, 2:20 or 2:20:2")
    question = Question(replace(base, dim3=dim3[0]), dim3, trials)
    if not question.knobs:
        raise BadInput(f"{base.model} has nothing to tune; allowed: a model that asks for one of {', '.join(KNOBS)}")
    return question


def _tune(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    use_store(given)
    question = question_of(given)
    return 0 if run_question(question, means_of(given, question.name)).complete else 1


def tune(
    *,
    base: RunConfig | None = None,
    dim3: int | Iterable[int] = DIM3,
    trials: int = TRIALS,
    study: str | None = None,
    storage: str = DEFAULT_STORAGE,
    workers: int | None = None,
    backend: str = "local",
    scheduler: str | None = None,
    take_over: bool = False,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    verbose: bool = False,
) -> TuneResult:
    """Look for the best lr, dim2, batch_size, epochs and beta of one model, in `trials` trials in all.

    `base` (None: `RunConfig()`) is what stays as it is: model, dataset, seed and the rest; its epochs are the most
    that a trial has, and its dim3 is not read. Several `dim3`, evenly spaced, ask for the Pareto front of error and
    dim3. `tracking_uri` and `experiment` are as of `tracking.run.execute` where they are None. Nothing is printed
    unless `verbose`.

    Raises BadInput before anything is opened, RunFailed where the study itself can't go on.
    """
    values = tuple(sorted({whole_number("dim3", k) for k in (dim3 if isinstance(dim3, Iterable) else [dim3])}))
    base = RunConfig() if base is None else base
    if base.patience > 0:
        raise BadInput("tuning prunes trials and chooses their epochs; allowed: patience 0")
    question = _checked(base, values, whole_number("trials", trials))
    means = Means(study or question.name, storage, workers, backend, scheduler, take_over, verbose)
    with borrowed(tracking_uri, experiment):
        return run_question(question, means)


def run_question(question: Question, means: Means) -> TuneResult:
    """Run the trials that are missing, as a study in the store in use: see `tune`.

    Under `mlflow run` the run that it opened becomes the study's, or is linked to it.
    """
    what = "a tuning at one dim3" if question.one else "a tuning over dim3"
    with borrowed():
        invocation = os.environ.pop("MLFLOW_RUN_ID", None)
        with opened_pool(means, question.base.device, question.trials) as pool:
            client = reach_store()
            storage = connect(means.storage)
            base = as_begun(storage, means.name, question.base)
            question = replace(question, base=base)
            material = Material.load(base)
            for dim3 in {question.dim3[0], question.dim3[-1]}:
                prepare(replace(base, dim3=dim3, threads=1), material)
            if material.split.x_val is None:
                raise BadInput("tuning is judged on validation rows, and there are none; allowed: a val_size above 0")
            charter = _charter(question, means.name, what, material.digests["all"])
            parent = find_parent(client, find_study(storage, charter), charter)  # a wrong name is said at once
            if parent is not None:
                _check_code(children(client, parent, Kind.TRIAL), charter)
            with (
                locked(means.storage, means.name),
                shared_data(material, means) as shared,
                claim(client, storage, charter, take_over=means.take_over, invocation=invocation) as ledger,
            ):
                del material
                return finish(ledger, question, _trials(ledger, question, pool, shared, means), means)


def _charter(question: Question, name: str, what: str, digest: str) -> Charter:
    """What the study is."""
    base = question.base
    held = {k: v for k, v in settings(base, digest).items() if k not in question.knobs}
    held |= {"model": base.model, "seed": base.seed, "dim3": list(question.dim3), "most epochs": base.epochs}
    codes = {base.model: code_of(base.model)}
    return Charter(name, what, held, Kind.TRIAL, digest, objectives=1 if question.one else 2, codes=codes)


def _trials(ledger: Ledger, question: Question, pool: Pool, shared: str | None, means: Means) -> Tally:
    """Run the trials that are missing."""
    ledger.values_of = question.values

    def begin() -> tuple[Source, Progress]:
        done = len(counted(ledger.study))
        # Another stream at each start: the same one would propose again what it proposed before.
        seed = question.base.seed + done
        ledger.study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=question.one)
        total = max(question.trials, done)
        tuned = ", ".join(question.knobs)
        means.say(f"study {means.name}: {done} of {question.trials} trials done, tuning {tuned}")
        return Tuning(ledger, question, shared, means), Progress(means.name, total, done, means.verbose)

    return supervise(ledger, pool, begin)


def _check_code(trials: list[Run], charter: Charter) -> None:
    """Raise BadInput where trials have finished that other code of the model made: the sampler learns from them."""
    other = [cell for cell in done_cells(trials, charter.codes).values() if not cell.present]
    if other:
        raise BadInput(
            f"study {charter.name!r} has trials that were made with other code of {other[0].config.model}; "
            "its trials could not be compared: put the code back as it was, or use another --study"
        )


def finish(ledger: Ledger, question: Question, tally: Tally, means: Means) -> TuneResult:
    """Record the best trials and Optuna's pictures, and print them where wanted."""
    study, recorder = ledger.study, Recorder(ledger.client, ledger.parent_id)
    trials = counted(study)
    complete = [t for t in trials if t.state is TrialState.COMPLETE]
    missing = question.trials - len(trials)
    reason = f"{missing} of {question.trials} trials failed" if missing > 0 else ""
    best = _best(ledger, question) if complete else ()
    lines = [f"{len(complete)} trials complete, {len(trials) - len(complete)} pruned", *_said(question, best)]
    text = "\n".join(lines)
    means.say(f"\n{text}\n")
    recorder.tags({Tag.DESCRIPTION: described([*lines, reason])})
    if len(complete) >= DRAWN_FROM:
        with recorder.files() as folder:
            (folder / Artifact.FIGURES).mkdir()
            with _off_screen(), style.context("default"):
                for name, figure in pictures(study, question).items():
                    figure.savefig(folder / Artifact.FIGURES / f"{name}.png", dpi=120, bbox_inches="tight")
                    plt.close(figure)
    means.say(see_it(ledger.experiment_id, ledger.parent_id))
    conclude(ledger, reason, tally.failures, verbose=means.verbose)
    return TuneResult(
        complete=not reason,
        study=means.name,
        run_id=ledger.parent_id,
        experiment_id=ledger.experiment_id,
        objective=question.called,
        best=best,
        trials=len(trials),
        pruned=len(trials) - len(complete),
        failures=tuple(tally.failures),
    )


def train_command(config: RunConfig) -> str:
    """The command that trains this configuration and keeps everything of it."""
    whole_run = replace(config, artifacts="full", threads=RunConfig().threads)
    words = [
        f"{flag(f.name)} {shlex.quote(str(value))}"
        for f in fields(RunConfig)
        if (value := getattr(whole_run, f.name)) != f.default or f.name in ("model", "dim3")
    ]
    return "python -m tracking.train " + " ".join(words)


def _best(ledger: Ledger, question: Question) -> tuple[Best, ...]:
    """The best trials, recorded as metrics of the study's run."""
    recorder = Recorder(ledger.client, ledger.parent_id)
    if question.one:
        recorder.metrics({BEST: ledger.study.best_value})
        return (_read(ledger, ledger.study.best_trial),)
    front = tuple(_read(ledger, t) for t in sorted(ledger.study.best_trials, key=lambda t: t.values[1]))
    for each in front:
        recorder.metrics({PARETO: each.values[0]}, each.config.dim3)
    return front


def _read(ledger: Ledger, trial: FrozenTrial) -> Best:
    run = ledger.client.get_run(trial.user_attrs["run_id"])
    config = RunConfig.from_json(run.data.tags[Tag.CONFIG])
    return Best(trial.number, str(run.info.run_id), config, tuple(trial.values))


def _said(question: Question, best: tuple[Best, ...]) -> list[str]:
    """The best trials as the commands that train them."""
    if not best:
        return []
    if question.one:
        (one,) = best
        return [f"best: trial {one.trial}, {question.called} {one.values[0]:.6g}", train_command(one.config)]
    said = [f"{b.config.dim3:<6}{b.values[0]:<12.6g}{train_command(b.config)}" for b in best]
    return ["Pareto front: no trial has both a smaller dim3 and a smaller error", "dim3  error", *said]


@contextmanager
def _off_screen() -> Iterator[None]:
    """Optuna draws with pyplot: without windows, and with the caller's backend again afterwards."""
    before = plt.get_backend()
    plt.switch_backend("agg")
    try:
        yield
    finally:
        plt.switch_backend(before)


def pictures(study: optuna.Study, question: Question) -> dict[str, Figure]:
    """Optuna's own plots, those that apply, or the Pareto front."""
    if not question.one:
        return {"pareto_front": draw_front(study, question)}
    called, complete = question.called, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    varied = [k for k in question.knobs if len({t.params[k] for t in complete}) > 1]
    made: dict[str, Figure] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # once a plot
        made["history"] = _figure(plots.plot_optimization_history(study, target_name=called))
        made["intermediate_values"] = _figure(plots.plot_intermediate_values(study))
        for name, plot in {"slice": plots.plot_slice, "parallel_coordinate": plots.plot_parallel_coordinate}.items():
            if varied:
                made[name] = _figure(plot(study, varied, target_name=called), max(8.0, 3.2 * len(varied)))
        if len(varied) > 1 and len({t.value for t in complete}) > 1:
            made["importances"] = _figure(plots.plot_param_importances(study, params=varied, target_name=called))
            made["importances"].axes[0].get_legend().remove()  # type: ignore[union-attr]  # it hides a bar
            two = list(optuna.importance.get_param_importances(study, params=varied))[:2]
            made["contour"] = _figure(plots.plot_contour(study, params=two, target_name=called))
    made["history"].axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    (axes,) = made["intermediate_values"].axes
    axes.set(xlabel="epoch", ylabel=called)
    if (legend := axes.get_legend()) is not None:
        legend.remove()  # a line a trial: fifty entries
    return made


def draw_front(study: optuna.Study, question: Question) -> Figure:
    """Every complete trial as a dot, and those that no other betters in both joined."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    points = np.array([t.values for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))])
    front = np.array(sorted((t.values[1], t.values[0]) for t in study.best_trials))
    axes.plot(points[:, 1], points[:, 0], "o", ms=4, color="0.6", label="trial")
    axes.plot(front[:, 0], front[:, 1], "-o", ms=5, color="C0", drawstyle="steps-post", label="Pareto front")
    axes.set(title=f"{question.base.model} on {question.base.dataset}", xlabel="latent dimension dim3")
    axes.set_ylabel(question.called)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _figure(axes: object, width: float = 8.0) -> Figure:
    """The figure of what a plot of Optuna's returns, an Axes or an array of them; plain numbers on its log axes."""
    figure = np.asarray(axes, dtype=object).flat[0].figure
    assert isinstance(figure, Figure)
    figure.set_size_inches(width, 4.2)
    for axis in (axis for each in figure.axes for axis in (each.xaxis, each.yaxis)):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1, 3)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    return figure


if __name__ == "__main__":
    sys.exit(main())
