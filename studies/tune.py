"""Tune what is not dim3: `python -m studies.tune --model vae --dim3 10 --trials 50`.

Bayesian optimisation (TPE, Bergstra et al. 2011) of lr, dim2, batch_size, epochs and, for a VAE, beta, at one
dim3. Trials are pruned by the median of earlier trials at the same epoch. The objective is measured on validation
rows: the error, or for a VAE the negative ELBO at beta 1, because the error alone would drive beta to 0. A range,
`--dim3 2:20`, makes dim3 a second objective beside the error; then nothing is pruned, because a small dim3 would always
lose. The number of trials is a total: the same command again continues. From Python: `tune`. Exit codes as of
`studies.scan`.
"""

from __future__ import annotations

import elbowroom.tracking.imports  # noqa: F401  before the others

# isort: split
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from math import inf
from pathlib import Path
from typing import Self

import matplotlib.pyplot as plt
import numpy as np
import optuna
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from mlflow.entities import Run
from optuna.trial import FrozenTrial, Trial, TrialState
from optuna.visualization import matplotlib as plots

from elbowroom.analysis.reporting.front_page import links_line
from elbowroom.tracking.cli import Parser, command, config_fields, flag
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.logged_model.code import code_of
from elbowroom.tracking.run.execution import prepare
from elbowroom.tracking.store.addresses import children_page, run_page
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import BEST, PARETO, Artifact, Kind, Metric, Tag
from elbowroom.tracking.store.recorder import Recorder
from elbowroom.tracking.store.session import use_store
from elbowroom.tracking.store.text import clean, markdown, ranges

from .execution.cell import Job, Pruning
from .execution.coordinator import Coordinator, Failure, JobQueue, Summary, open_study
from .grid import check_whole, model_settings, parse_range, parse_whole, shared_fields, study_settings
from .options import RESUME, Options, add_options, parse_options
from .records.outlook import outlook
from .records.results import description
from .records.study import StudyRecords, StudySpec, done_cells, trial_attributes
from .records.trials import absolute, retry_storage

_DIM3, _TRIALS = 10, 50
_MIN_EPOCHS = 3  # of a trial
_KNOBS: Mapping[str, Callable[[Trial, int], object]] = {
    "lr": lambda trial, most: trial.suggest_float("lr", 1e-4, 3e-2, log=True),
    "dim2": lambda trial, most: trial.suggest_int("dim2", 32, 1024, log=True),
    "batch_size": lambda trial, most: trial.suggest_categorical("batch_size", (32, 64, 128, 256, 512)),
    "epochs": lambda trial, most: trial.suggest_int("epochs", min(_MIN_EPOCHS, most), most),
    "beta": lambda trial, most: trial.suggest_float("beta", 0.1, 10.0, log=True),
}
"""The fields of RunConfig that are tuned, where the model takes them, and their ranges; `most` is the base's epochs."""
_DESCRIBED = 8  # trials of a front in a description, which has room for 5,000 letters
_MIN_DRAWN = 2  # complete trials that a figure needs


@dataclass(frozen=True)
class Search:
    """The settings to tune, and their ranges. Raises BadInput for a search that can't be made."""

    base: RunConfig
    """The settings of all trials: model, dataset, seed and the rest. Its epochs are a trial's most; dim3 is unused."""
    dim3: tuple[int, ...]
    """One, or several evenly spaced ones for the Pareto front of error and dim3."""
    trials: int
    """In all, those of earlier starts included."""

    @classmethod
    def of(cls, base: RunConfig | None = None, dim3: int | Iterable[int] = _DIM3, trials: int = _TRIALS) -> Self:
        """Make a search; `dim3` may be one number, and no base is `RunConfig()`.

        Parameters
        ----------
        base, dim3, trials
            See Search.

        Raises
        ------
        BadInput
            A dim3 or number of trials below 1, or a search that can't be made.
        """
        values = {check_whole("dim3", k) for k in (dim3 if isinstance(dim3, Iterable) else [dim3])}
        return cls(RunConfig() if base is None else base, tuple(sorted(values)), check_whole("trials", trials))

    def __post_init__(self) -> None:
        """Check that there is something to tune."""
        if self.base.patience > 0:
            raise BadInput("tuning prunes trials and chooses their epochs; allowed: patience 0")
        if not self.dim3 or len(set(np.diff(self.dim3))) > 1:
            typed, wrong = ",".join(map(str, self.dim3)), "has gaps" if self.dim3 else "is empty"
            raise BadInput(f"dim3 {typed!r} {wrong}; allowed: one number, 2:20 or 2:20:2")
        if not self.knobs:
            allowed = f"allowed: a model that asks for one of {', '.join(_KNOBS)}"
            raise BadInput(f"{self.base.model} has nothing to tune; {allowed}")

    @property
    def knobs(self) -> tuple[str, ...]:
        """The fields that are tuned. With the error as the objective beta is fixed, because it would go to 0."""
        taken = model_settings(self.base.model)
        return tuple(k for k in _KNOBS if k in taken and (self.one_dim3 or k != "beta"))

    @property
    def study(self) -> str:
        """The default name of its study."""
        span = f"d{self.dim3[0]}" + ("" if self.one_dim3 else f"-{self.dim3[-1]}")
        return f"tune-{self.base.model.rpartition(':')[2]}-{span}-{Path(self.base.dataset).stem}"

    @property
    def one_dim3(self) -> bool:
        """Whether dim3 is fixed, and the error the only objective."""
        return len(self.dim3) == 1

    @property
    def metric(self) -> str:
        """The metric of each epoch that is the first objective; where beta is tuned, one that is independent of it."""
        return Metric.VAL_ELBO if "beta" in self.knobs else Metric.VAL_MSE

    @property
    def sign(self) -> int:
        """-1 where a higher metric is better."""
        return -1 if self.metric == Metric.VAL_ELBO else 1

    @property
    def objective(self) -> str:
        """The name of the first objective in texts and figures."""
        return "validation -ELBO (nats)" if self.sign < 0 else "validation mean squared error"

    def values(self, metrics: Mapping[str, float]) -> list[float]:
        """The objectives of a finished run."""
        first = self.sign * metrics[self.metric] if self.sign < 0 else metrics[Metric.VAL_MSE_FINAL]
        return [first] if self.one_dim3 else [first, metrics[Metric.DIM3]]

    def suggest(self, trial: Trial) -> RunConfig:
        """The configuration of a trial."""
        found = {name: _KNOBS[name](trial, int(self.base.epochs)) for name in self.knobs}
        low, high = self.dim3[0], self.dim3[-1]
        dim3 = low if self.one_dim3 else trial.suggest_int("dim3", low, high, step=self.dim3[1] - low)
        return replace(self.base, **found, dim3=dim3, threads=1, artifacts="light")  # type: ignore[arg-type]


@dataclass(frozen=True)
class Best:
    """A trial that no other one betters in all objectives."""

    trial: int
    """The trial's number."""
    run_id: str
    config: RunConfig
    values: tuple[float, ...]
    """The value of `TuneResult.objective`; with several dim3 also the dim3."""


@dataclass(frozen=True)
class TuneResult:
    """The content of a study at the end of a tuning."""

    complete: bool
    """Whether there are as many trials as were asked for."""
    study: str
    run_id: str
    """The id of the study's run, which is the parent of its trials' runs."""
    experiment_id: str
    objective: str
    """The quantity that is minimised."""
    best: tuple[Best, ...]
    """One; with several dim3 the Pareto front by dim3; none where no trial is complete."""
    trials: int
    """Complete and pruned ones."""
    pruned: int
    outlook: str
    """Whether more trials would help, in a sentence."""
    failures: tuple[Failure, ...]


def _counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count towards the total."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return command(lambda: _main(arguments), killed=RESUME)


def _main(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    use_store(given)
    names = ["model", "seed", *(n for n in shared_fields() if hasattr(given, n))]
    dim3 = parse_range(given.dim3.removesuffix(".0"))
    search = Search(RunConfig(**config_fields(given, names)), dim3, parse_whole("trials", given.trials))
    return 0 if tune(search, parse_options(given)).complete else 1


def parser() -> Parser:
    """The flags of the model, of what stays fixed, and of how to run the trials."""
    made = Parser("studies.tune", "Tune lr, dim2, batch_size, epochs and beta of one model, recorded in MLflow.")
    made.add_argument(
        "--model", default="vae", metavar="X", help="vae, ae, pca-mlp, conv-ae, or your own as in tracking.train"
    )
    made.add_argument("--dim3", default=str(_DIM3), metavar="N", help="one dim3; or 2:20 for the Pareto front")
    made.add_argument(
        "--trials", default=str(_TRIALS), metavar="N", help="total number of trials, with those of earlier starts"
    )
    made.add_argument("--seed", default="0", metavar="N", help="seed of every training and of the search")
    made.add_argument(
        "--dataset", default=RunConfig.dataset, metavar="X", help="a name, a file or a folder, as in tracking.train"
    )
    made.add_argument(
        "--epochs", default=RunConfig.epochs, metavar="N", help="epochs of a trial, at most; auto as in tracking.train"
    )
    # patience would be a second way to stop early, beside the pruning and the number of epochs; no report reads trials
    rest = [n for n in shared_fields() if n not in ("dataset", "patience", "measure", *_KNOBS)]
    made.add_fields(rest)
    add_options(made)
    made.add_store()
    return made


def tune(search: Search | None = None, options: Options | None = None) -> TuneResult:
    """Look for the best lr, dim2, batch_size, epochs and beta of one model, and return what the study holds then.

    Nothing is printed unless `options.verbose`. Under `mlflow run` the run that it opened becomes the study's, or is
    linked to it. Raises BadInput before anything is opened, and RunFailed where the study itself can't go on.
    """
    search = Search.of() if search is None else search
    options = (options or Options()).named(search.study)
    with open_study(options, search.base, search.trials) as study:
        search = replace(search, base=study.base)
        for dim3 in {search.dim3[0], search.dim3[-1]}:
            prepare(replace(search.base, dim3=dim3, threads=1), study.prepared_data)
        if study.prepared_data.split.x_val is None:
            raise BadInput("tuning is judged on validation rows, and there are none; allowed: a val_size above 0")
        spec = _spec(search, options.study, study.prepared_data.digests["all"])
        _check_code(study.runs(spec), spec)
        with study.claimed(spec):
            return _finish(study, search, _run_trials(study, search))


def _spec(search: Search, name: str, digest: str) -> StudySpec:
    base = search.base
    settings = {k: v for k, v in study_settings(base, digest).items() if k not in search.knobs}
    settings |= {"model": base.model, "seed": base.seed, "dim3": list(search.dim3), "most epochs": base.epochs}
    what = "a tuning at one dim3" if search.one_dim3 else "a tuning over dim3"
    return StudySpec(
        name,
        what,
        settings,
        Kind.TRIAL,
        digest,
        f"the best {', '.join(search.knobs)} of {base.model} at dim3 {ranges(list(search.dim3))}",
        objectives=(search.objective,) if search.one_dim3 else (search.objective, Metric.DIM3),
        values=search.values,
        codes={base.model: code_of(base.model)},
    )


def _run_trials(study: Coordinator, search: Search) -> Summary:
    """Run the missing trials."""
    records, options, storage = study.records, study.options, absolute(study.options.storage)

    @retry_storage
    def ask(_: int) -> Job:
        """Make a trial, which the sampler chooses, and its job. A repair closes one that an outage interrupts here."""
        trial = records.study.ask()
        config = search.suggest(trial)
        for name, value in trial_attributes(config).items():
            trial.set_user_attr(name, value)
        job = records.job(config, trial.number)
        if not search.one_dim3:
            return job
        return replace(job, pruning=Pruning(storage, options.study, search.metric, search.sign))

    done = len(_counted(records.study))
    # Another seed at each start, because the same one would propose the same trials again.
    sampler = optuna.samplers.TPESampler(seed=search.base.seed + done, constant_liar=search.one_dim3)
    records.study.sampler = sampler
    options.say(f"study {options.study}: {done} of {search.trials} trials done, tuning {', '.join(search.knobs)}")
    total = max(search.trials, done)
    Recorder(records.client, records.parent_id).tags({Tag.TRIALS: str(total)})
    return study.run(JobQueue(ask, range(search.trials - done)), study.progress(total, done))


def _check_code(trials: list[Run], spec: StudySpec) -> None:
    """Raise BadInput where trials were made with other code of the model, because the sampler would learn from them."""
    other = [cell for cell in done_cells(trials, spec.codes).values() if not cell.is_current]
    if other:
        raise BadInput(
            f"study {spec.name!r} has trials that were made with other code of {other[0].config.model}; "
            "its trials could not be compared: put the code back as it was, or use another --study"
        )


def _finish(study: Coordinator, search: Search, summary: Summary) -> TuneResult:
    """Record the best trials and Optuna's figures, print the best, and end the study's run."""
    records, options = study.records, study.options
    recorder, trials = Recorder(records.client, records.parent_id), _counted(records.study)
    complete = [t for t in trials if t.state is TrialState.COMPLETE]
    missing = search.trials - len(trials)
    reason = f"{missing} of {search.trials} trials failed" if missing > 0 else ""
    best = _best(records, search) if complete else ()
    pruned, one = len(trials) - len(complete), search.one_dim3
    points = [
        (t.values[0], 0.0 if one else t.values[1]) if t.state is TrialState.COMPLETE else (inf, 0.0) for t in trials
    ]
    more = outlook(points, len(search.knobs) + (not one), nats=search.sign < 0)
    answer = _answer(search, best, len(trials))
    said = [f"{pruned} of {len(trials)} trials were stopped early (pruned)" if pruned else "", more]
    options.say("\n".join(["", answer, *_commands(search, best), *filter(None, said), ""]))
    _describe(records, search, best, answer, [*said, reason])
    if len(complete) >= _MIN_DRAWN:
        with recorder.files() as folder:
            (folder / Artifact.FIGURES).mkdir()
            with _without_windows(), style.context("default"):
                for name, figure in _figures(records.study, search).items():
                    figure.savefig(folder / Artifact.FIGURES / f"{name}.png", dpi=120, bbox_inches="tight")
                    plt.close(figure)
    study.conclude(summary, reason)
    return TuneResult(
        complete=not reason,
        study=options.study,
        run_id=records.parent_id,
        experiment_id=records.experiment_id,
        objective=search.objective,
        best=best,
        trials=len(trials),
        pruned=pruned,
        outlook=more,
        failures=tuple(summary.failures),
    )


def _train_command(config: RunConfig) -> str:
    """The command that trains this configuration and keeps all artifacts."""
    whole_run = replace(config, artifacts="full", threads=RunConfig().threads)
    words = [
        f"{flag(f.name)} {shlex.quote(str(value))}"
        for f in fields(RunConfig)
        if (value := getattr(whole_run, f.name)) != f.default or f.name in ("model", "dim3")
    ]
    return "python -m tracking.train " + " ".join(words)


def _best(records: StudyRecords, search: Search) -> tuple[Best, ...]:
    """The best trial, or the Pareto front by dim3, recorded as metrics of the study's run."""
    study, found = records.study, []
    trials = [study.best_trial] if search.one_dim3 else sorted(study.best_trials, key=lambda t: t.values[1])
    for trial in trials:
        run = records.client.get_run(trial.user_attrs["run_id"])
        config = RunConfig.from_json(run.data.tags[Tag.CONFIG])
        found.append(Best(trial.number, str(run.info.run_id), config, tuple(trial.values)))
    points = ((BEST, 0, b.values[0]) if search.one_dim3 else (PARETO, b.config.dim3, b.values[0]) for b in found)
    Recorder(records.client, records.parent_id).points(points)
    return tuple(found)


def _answer(search: Search, best: tuple[Best, ...], trials: int) -> str:
    """The best trial and its settings, or the ends of the Pareto front."""
    if not best:
        return f"None of {trials} trials is complete"
    if search.one_dim3:
        (one,) = best
        settings = ", ".join(f"{name} {_short(getattr(one.config, name))}" for name in search.knobs)
        return f"Best of {trials} trials: trial {one.trial}, {search.objective} {one.values[0]:.4g} ({settings})"
    ends = dict.fromkeys(f"{b.values[0]:.4g} at dim3 {b.config.dim3}" for b in (best[0], best[-1]))
    return f"Pareto front of {trials} trials: {search.objective} {' to '.join(ends)}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _commands(search: Search, best: tuple[Best, ...]) -> list[str]:
    """The commands that train the best trials, as lines to print."""
    if search.one_dim3 or not best:
        return [f"train it:  {_train_command(b.config)}" for b in best]
    rows = [f"{b.config.dim3:<6}{b.values[0]:<12.6g}{_train_command(b.config)}" for b in best]
    return ["No trial has both a smaller dim3 and a smaller error than these:", "dim3  error", *rows]


def _describe(
    records: StudyRecords, search: Search, best: tuple[Best, ...], answer: str, sentences: Sequence[str]
) -> None:
    """Write the answer, a table of the best trials, and the commands that train them to both stores."""
    settings = search.knobs if search.one_dim3 else ("dim3", *search.knobs)
    rows: list[Sequence[object]] = [("trial", search.objective, *settings), (":--",) * (2 + len(settings))]
    shown = best[:_DESCRIBED]
    rows += [(b.trial, f"{b.values[0]:.4g}", *(_short(getattr(b.config, name)) for name in settings)) for b in shown]
    left_out = f"the front has {len(best) - len(shown)} more, with larger dim3" if shown != best else ""
    table = ["", *(f"| {' | '.join(map(str, row))} |" for row in rows)] if shown else []
    answer = "\n".join([markdown(answer), *table])
    commands = [
        f"Train trial {b.trial} again: `{clean(_train_command(b.config)).replace('`', chr(39))}`" for b in shown
    ]
    rest = "\n\n".join([description([left_out, *sentences]), *commands])  # the UI wraps this code, but no block of code
    place, parent_id = records.experiment_id, records.parent_id
    links = {f"Trial {b.trial}": run_page(place, b.run_id) for b in shown}
    links["All trials, the best first"] = children_page(place, parent_id, search.metric, search.sign > 0)
    Recorder(records.client, parent_id).tags({Tag.DESCRIPTION: "\n\n".join([answer, links_line(links), rest])})
    records.describe(f"{answer}\n\n{rest}")


@contextmanager
def _without_windows() -> Iterator[None]:
    """Use a pyplot backend without windows while the block runs: Optuna draws with pyplot."""
    before = plt.get_backend()
    plt.switch_backend("agg")
    try:
        yield
    finally:
        plt.switch_backend(before)


def _figures(study: optuna.Study, search: Search) -> dict[str, Figure]:
    """Optuna's own plots, as far as they apply; with several dim3 the Pareto front."""
    name, complete = search.objective, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    made: dict[str, Figure] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # one per plot
        if not search.one_dim3:
            axes = plots.plot_pareto_front(
                study, targets=lambda t: t.values[::-1], target_names=["latent dimension dim3", name]
            )
            axes.set_title(f"{search.base.model} on {search.base.dataset}")
            axes.legend(["trial", "Pareto front"][-len(axes.collections) :])  # all trials may be on the front
            return {"pareto_front": _figure(axes)}
        varied = [k for k in search.knobs if len({t.params[k] for t in complete}) > 1]
        made["history"] = _figure(plots.plot_optimization_history(study, target_name=name))
        made["intermediate_values"] = _figure(plots.plot_intermediate_values(study))
        for kind, plot in {"slice": plots.plot_slice, "parallel_coordinate": plots.plot_parallel_coordinate}.items():
            if varied:
                made[kind] = _figure(plot(study, varied, target_name=name), max(8.0, 3.2 * len(varied)))
        if len(varied) > 1 and len({t.value for t in complete}) > 1:
            made["importances"] = _figure(plots.plot_param_importances(study, params=varied, target_name=name))
            made["importances"].axes[0].get_legend().remove()  # type: ignore[union-attr]  # it hides a bar
            two = list(optuna.importance.get_param_importances(study, params=varied))[:2]
            made["contour"] = _figure(plots.plot_contour(study, params=two, target_name=name))
    made["history"].axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    (axes,) = made["intermediate_values"].axes
    axes.set(xlabel="epoch", ylabel=name)
    if (legend := axes.get_legend()) is not None:
        legend.remove()  # it has an entry per trial
    return made


def _figure(axes: object, width: float = 8.0) -> Figure:
    """The figure of the Axes, or array of Axes, that Optuna returns, with plain numbers on log axes."""
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
