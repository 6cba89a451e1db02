"""Tune what is not dim3: `python -m studies.tune --model vae --dim3 10 --trials 50`.

Bayesian optimisation (TPE, Bergstra et al. 2011) of lr, dim2, batch_size, epochs and, for a VAE, beta, at one
dim3, with pruning by the median of earlier trials at the same epoch. Judged on validation rows: the error, or
for a VAE the negative ELBO at beta 1, because the error alone would drive beta to 0. A range, `--dim3 2:20`,
makes dim3 a second objective beside the error; nothing is pruned then, since a small dim3 would always lose.
The number of trials is a total: the same command again goes on. Exit codes: as studies.scan.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import optuna
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, Trial, TrialState
from optuna.visualization import matplotlib as plots

from tracking.cli import Parser, command, config_fields, flag, see_it, use_store
from tracking.config import BadInput, RunConfig
from tracking.material import Material
from tracking.recorder import Recorder, close, reach_store
from tracking.run import prepare
from tracking.schema import Artifact, Kind, Metric, Tag

from .coordinator import Progress, Source, Tally
from .ledger import Ledger, check_same, claim, connect, find_study
from .objective import Job, Outcome, Pruning
from .scan import Means, add_means, means_of, opened_pool, shared_data, supervise, whole
from .spaces import parse_range, settings, shared_fields

TRIALS = "50"
KNOBS = {"pca": (), "linear-ae": ("lr", "batch_size", "epochs"), "vae": ("lr", "dim2", "batch_size", "epochs", "beta")}
DEFAULT_KNOBS = ("lr", "dim2", "batch_size", "epochs")
SHORTEST = 3  # epochs of a trial, at least
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
        knobs = KNOBS.get(self.base.model, DEFAULT_KNOBS)
        return knobs if self.one else tuple(k for k in knobs if k != "beta")

    @property
    def one(self) -> bool:
        """Whether dim3 is fixed."""
        return len(self.dim3) == 1

    @property
    def metric(self) -> str:
        """The metric of each epoch that is the objective."""
        return Metric.VAL_ELBO if self.base.model == "vae" and self.one else Metric.VAL_MSE

    @property
    def sign(self) -> int:
        """-1 where more of the metric is better."""
        return -1 if self.metric == Metric.VAL_ELBO else 1

    @property
    def called(self) -> str:
        """The first objective, for people."""
        return "validation -ELBO, nats" if self.sign < 0 else "validation error"

    def values(self, metrics: Mapping[str, float]) -> list[float]:
        """The objectives of a finished run."""
        first = self.sign * metrics[self.metric] if self.sign < 0 else metrics[Metric.VAL_MSE_FINAL]
        return [first] if self.one else [first, metrics[Metric.DIM3]]

    def suggest(self, trial: Trial) -> RunConfig:
        """A configuration to try."""
        found: dict[str, object] = {}
        if "lr" in self.knobs:
            found["lr"] = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
        if "dim2" in self.knobs:
            found["dim2"] = trial.suggest_int("dim2", 32, 1024, log=True)
        if "batch_size" in self.knobs:
            found["batch_size"] = trial.suggest_categorical("batch_size", (32, 64, 128, 256, 512))
        if "epochs" in self.knobs:
            found["epochs"] = trial.suggest_int("epochs", min(SHORTEST, self.base.epochs), self.base.epochs)
        if "beta" in self.knobs:
            found["beta"] = trial.suggest_float("beta", 0.1, 10.0, log=True)
        low, high = min(self.dim3), max(self.dim3)
        dim3 = low if self.one else trial.suggest_int("dim3", low, high)
        return replace(self.base, **found, dim3=dim3, threads=1, artifacts="light")  # type: ignore[arg-type]


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
        self.left -= 1
        trial = self.ledger.study.ask()
        config = self.question.suggest(trial)
        job = self.ledger.job(config, trial.number, self.shared, self.means.backend == "dask")
        if not self.question.one:
            return job
        name = self.ledger.study.study_name
        question = self.question
        return replace(job, pruning=Pruning(self.means.storage, name, trial._trial_id, question.metric, question.sign))

    def again(self, job: Job) -> None:
        """See Source; what is tried instead is the sampler's to say."""
        self.spare -= 1
        self.left += self.spare >= 0

    def tell(self, job: Job, outcome: Outcome) -> None:
        """See Source."""
        self.ledger.tell(job, outcome)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    again = "what ran ended KILLED; the same command again goes on where this one stopped"
    return command(lambda: _tune(arguments), killed=again)


def parser() -> Parser:
    """The model, what stays fixed, and how to run the trials."""
    made = Parser("studies.tune", "Tune lr, dim2, batch_size, epochs and beta of one model, recorded in MLflow.")
    made.add_argument("--model", default="vae", metavar="X", help="vae, ae, linear-ae, or as in tracking.train")
    made.add_argument("--dim3", default="10", metavar="N", help="one dim3; or 2:20 for the Pareto front")
    made.add_argument("--trials", default=TRIALS, metavar="N", help="in all, those of earlier starts included")
    made.add_argument("--seed", default="0", metavar="N", help="of every training, and of the search")
    made.add_argument("--dataset", default=RunConfig.dataset, metavar="X", help="as in tracking.train")
    made.add_argument("--epochs", default=str(RunConfig.epochs), metavar="N", help="at most, of one trial")
    rest = [n for n in shared_fields() if n not in ("dataset", "epochs", *KNOBS["vae"])]
    made.add_fields(rest)
    add_means(made)
    made.add_store()
    return made


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count towards the total: those that say something of their parameters."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def question_of(given: argparse.Namespace) -> Question:
    """What was asked. Raises BadInput."""
    dim3 = parse_range(given.dim3.removesuffix(".0"))
    names = ["model", "seed", *(n for n in shared_fields() if hasattr(given, n))]
    base = RunConfig(**config_fields(given, names), dim3=dim3[0])
    if base.model == "pca":
        raise BadInput("pca has nothing to tune; allowed: vae, ae, linear-ae or a model of your own")
    return Question(base, dim3, whole("trials", given.trials))


def _tune(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    use_store(given)
    invocation = os.environ.pop("MLFLOW_RUN_ID", None)
    question = question_of(given)
    base = question.base
    what = "a tuning at one dim3" if question.one else "a tuning over dim3"
    span = f"d{question.dim3[0]}" + ("" if question.one else f"-{question.dim3[-1]}")
    means = means_of(given, f"tune-{base.model.rpartition(':')[2]}-{span}-{Path(base.dataset).stem}")
    client = reach_store()
    storage = connect(means.storage)
    material = Material.load(base)
    for dim3 in {question.dim3[0], question.dim3[-1]}:
        prepare(replace(base, dim3=dim3, threads=1), material)
    if material.split.x_val is None:
        raise BadInput("tuning is judged on validation rows, and there are none; allowed: a val_size above 0")
    digest = material.digests["all"]
    free = question.knobs
    held = {k: v for k, v in settings(base, digest).items() if k not in free}
    held |= {"model": base.model, "seed": base.seed, "dim3": list(question.dim3), "most epochs": base.epochs}
    check_same(find_study(storage, means.name), means.name, what, held)
    with (
        opened_pool(means) as pool,
        claim(
            client,
            storage,
            means.name,
            what,
            held,
            kind=Kind.TRIAL,
            digest=digest,
            take_over=means.take_over,
            objectives=1 if question.one else 2,
            invocation=invocation,
        ) as ledger,
        shared_data(material, means) as shared,
    ):
        ledger.values_of = question.values

        def begin() -> tuple[Source, Progress]:
            done = len(counted(ledger.study))
            # Another stream at each start: the same one would propose again what it proposed before.
            ledger.study.sampler = optuna.samplers.TPESampler(seed=base.seed + done, constant_liar=question.one)
            total = max(question.trials, done)
            print(f"study {means.name}: {done} of {question.trials} trials done, tuning {', '.join(free)}", flush=True)
            return Tuning(ledger, question, shared, means), Progress(means.name, total, done, means.workers)

        return finish(ledger, question, supervise(ledger, pool, begin))


def finish(ledger: Ledger, question: Question, tally: Tally) -> int:
    """Print and record the best trials and Optuna's pictures; the exit code."""
    study, recorder = ledger.study, Recorder(ledger.client, ledger.parent_id)
    states = {s: len(study.get_trials(deepcopy=False, states=(s,))) for s in (TrialState.COMPLETE, TrialState.PRUNED)}
    lines = [f"{states[TrialState.COMPLETE]} trials complete, {states[TrialState.PRUNED]} pruned"]
    if states[TrialState.COMPLETE]:
        lines += _best(ledger, question)
    text = "\n".join(lines)
    print(f"\n{text}\n")
    recorder.tags({Tag.DESCRIPTION: "```\n" + text + "\n```"})
    if states[TrialState.COMPLETE] >= DRAWN_FROM:
        with recorder.files() as folder:
            (folder / Artifact.FIGURES).mkdir()
            for name, figure in pictures(study, question).items():
                figure.savefig(folder / Artifact.FIGURES / f"{name}.png", dpi=120, bbox_inches="tight")
                plt.close(figure)
    print(see_it(ledger.experiment_id, ledger.parent_id))
    if tally.failures:
        reason = f"{len(tally.failures)} trials failed"
        print(f"\n{reason}; the same command again makes up for them:", file=sys.stderr)
        for failure in tally.failures:
            print(f"  {failure.config.run_name:<16}{failure.reason}", file=sys.stderr)
        close(ledger.client, ledger.parent_id, "FAILED", reason)
        return 1
    ledger.client.set_terminated(ledger.parent_id, "FINISHED")
    return 0


def train_command(config: RunConfig) -> str:
    """The command that trains this configuration and keeps everything of it."""
    whole_run = replace(config, artifacts="full", threads=RunConfig().threads)
    words = [
        f"{flag(f.name)} {shlex.quote(str(value))}"
        for f in fields(RunConfig)
        if (value := getattr(whole_run, f.name)) != f.default or f.name in ("model", "dim3")
    ]
    return "python -m tracking.train " + " ".join(words)


def _best(ledger: Ledger, question: Question) -> list[str]:
    study = ledger.study
    recorder = Recorder(ledger.client, ledger.parent_id)
    if question.one:
        best = study.best_trial
        recorder.metrics({"best/value": study.best_value})
        config = _config(ledger, best)
        return [f"best: trial {best.number}, {question.called} {study.best_value:.6g}", train_command(config)]
    front = sorted(study.best_trials, key=lambda t: t.values[1])
    for trial in front:
        recorder.metrics({"pareto/error": trial.values[0]}, int(trial.values[1]))
    said = [f"{int(t.values[1]):<6}{t.values[0]:<12.6g}{train_command(_config(ledger, t))}" for t in front]
    return ["Pareto front: no trial has both a smaller dim3 and a smaller error", "dim3  error", *said]


def _config(ledger: Ledger, trial: FrozenTrial) -> RunConfig:
    run = ledger.client.get_run(trial.user_attrs["run_id"])
    return RunConfig.from_json(run.data.tags[Tag.CONFIG])


def pictures(study: optuna.Study, question: Question) -> dict[str, Figure]:
    """Optuna's own plots, those that apply, and the Pareto front."""
    plt.switch_backend("agg")
    if not question.one:
        return {"pareto_front": draw_front(study, question)}
    called = question.called
    made: dict[str, Figure] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "is experimental", once a plot
        made["history"] = _figure(plots.plot_optimization_history(study, target_name=called))
        made["intermediate_values"] = _figure(plots.plot_intermediate_values(study))
        made["slice"] = _figure(plots.plot_slice(study, target_name=called), width=3.2 * len(question.knobs))
        made["parallel_coordinate"] = _figure(plots.plot_parallel_coordinate(study, target_name=called), width=9)
        if len({tuple(t.params.values()) for t in counted(study)}) > DRAWN_FROM and len(set(_values(study))) > 1:
            made["importances"] = _figure(plots.plot_param_importances(study, target_name=called))
            two = list(optuna.importance.get_param_importances(study))[:2]
            if len(two) == len(set(two)) == 2:
                made["contour"] = _figure(plots.plot_contour(study, params=two, target_name=called))
    for axes in made["intermediate_values"].axes:
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
    axes.plot(front[:, 0], front[:, 1], "-o", ms=5, color="C0", label="Pareto front")
    axes.set(title=f"{question.base.model} on {question.base.dataset}", xlabel="latent dimension dim3")
    axes.set_ylabel(f"{question.called}, mean squared")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _values(study: optuna.Study) -> list[float]:
    return [t.values[0] for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]


def _figure(axes: object, width: float | None = None) -> Figure:
    """The figure of what a plot of Optuna's returns, an Axes or an array of them."""
    figure = np.asarray(axes, dtype=object).flat[0].figure
    assert isinstance(figure, Figure)
    if width is not None:
        figure.set_size_inches(width, 4.2)
    return figure


if __name__ == "__main__":
    sys.exit(main())
