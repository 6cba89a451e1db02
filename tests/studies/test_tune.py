"""Tuning: what is tried and judged, pruning inside one dim3, totals, the best command, the Pareto front."""

import shlex
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FixedTrial, TrialState, create_trial
from optuna_dashboard import get_note

from elbowroom.studies import scan, tune
from elbowroom.studies.execution.cell import _PRUNER, Job, Pruning, Status, run_cell
from elbowroom.studies.tune import Search, _commands, _train_command
from elbowroom.tracking import train
from elbowroom.tracking.cli import config_fields
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.logged_model.code import code_of
from elbowroom.tracking.store.names import Kind, Metric, Tag
from elbowroom.tracking.store.recorder import Place
from tests.studies.harness import FLAKY, NET, Capture, Patch

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("cells_here")]

AE = RunConfig(model="ae", dataset="digits", dim3=4, epochs=8)
VAE = replace(AE, model="vae")


def call(store: MlflowClient, *arguments: str) -> int:
    return tune.main(
        ["--dataset", "digits", "--study", "t", "--workers", "1", "--tracking-uri", store.tracking_uri, *arguments]
    )


def runs(store: MlflowClient, kind: Kind) -> list[Run]:
    experiments = [e.experiment_id for e in store.search_experiments()]
    return [r for r in store.search_runs(experiments) if r.data.tags.get(Tag.KIND) == kind]


def study() -> optuna.Study:
    return optuna.load_study(study_name="t", storage="sqlite:///optuna.db")


@pytest.mark.parametrize(
    ("base", "dim3", "knobs", "metric"),
    [
        (VAE, (4,), {"lr", "dim2", "batch_size", "epochs", "beta"}, Metric.VAL_ELBO),
        (AE, (4,), {"lr", "dim2", "batch_size", "epochs"}, Metric.VAL_MSE),
        (replace(AE, model="linear-ae"), (4,), {"lr", "batch_size", "epochs"}, Metric.VAL_MSE),
        # the error alone would drive beta to 0
        (VAE, (2, 3), {"lr", "dim2", "batch_size", "epochs"}, Metric.VAL_MSE),
        (replace(AE, model="tests.models.test_registry:noisy"), (4,), {"lr", "batch_size", "epochs"}, "val/mse"),
    ],
)
def test_a_model_is_tuned_in_what_it_asks_for(
    base: RunConfig, dim3: tuple[int, ...], knobs: set[str], metric: str
) -> None:
    search = Search(base, dim3, 1)
    assert set(search.knobs) == knobs
    assert search.metric == metric


def test_what_is_tried_is_the_base_but_for_the_knobs() -> None:
    tried = {"lr": 0.01, "dim2": 50, "batch_size": 64, "epochs": 5, "beta": 0.5}
    config = Search(VAE, (4,), 1).suggest(FixedTrial(tried))
    assert config == replace(VAE, **tried, threads=1, artifacts="light")
    assert Search(AE, (2, 4, 6), 1).suggest(FixedTrial(tried | {"dim3": 6})).dim3 == 6


def test_less_of_the_objective_is_better() -> None:
    metrics: Mapping[str, float] = {Metric.VAL_ELBO: -30, Metric.VAL_MSE: 0.2, Metric.VAL_MSE_FINAL: 0.1, "dim3": 4}
    assert Search(VAE, (4,), 1).values(metrics) == [30.0]
    assert Search(AE, (4,), 1).values(metrics) == [0.1]
    assert Search(VAE, (2, 3), 1).values(metrics) == [0.1, 4.0]


@pytest.mark.parametrize("config", [replace(AE, artifacts="light"), replace(VAE, lr=0.0021, beta=0.3, test_data="a b")])
def test_the_command_trains_this_configuration_and_keeps_everything(config: RunConfig) -> None:
    words = shlex.split(_train_command(replace(config, threads=1)))
    assert words[:3] == ["python", "-m", "tracking.train"]
    given = train.parser().parse_args(words[3:])
    assert RunConfig(**config_fields(given, [f.name for f in fields(RunConfig)])) == replace(config, artifacts="full")


def job_among(store: MlflowClient, others: float, metric: str, sign: int) -> tuple[Job, optuna.Study]:
    """A trial of an autoencoder, after five that had `others` at every epoch."""
    made = optuna.create_study(storage="sqlite:///optuna.db", study_name="t", pruner=_PRUNER)
    before = dict.fromkeys(range(1, AE.epochs + 1), others)
    for _ in range(5):
        made.add_trial(create_trial(value=others, intermediate_values=before))
    trial = made.ask()
    parent = store.create_run(store.create_experiment("e"))
    place = Place(parent.info.experiment_id, parent.info.run_id, Kind.TRIAL, {Tag.TRIAL: str(trial.number)}, "trial-5")
    pruning = Pruning("sqlite:///optuna.db", "t", metric, sign)
    config = replace(VAE if sign < 0 else AE, dim2=16, threads=1, artifacts="light")
    digest = PreparedData.load(config).digests["all"]
    return Job(config, trial.number, place, store.tracking_uri, digest, pruning=pruning), made


@pytest.mark.parametrize(
    ("others", "metric", "sign", "status"),
    [
        (0.0, Metric.VAL_MSE, 1, Status.PRUNED),
        (1e9, Metric.VAL_MSE, 1, Status.FINISHED),
        (0.0, Metric.VAL_ELBO, -1, Status.PRUNED),
        (1e9, Metric.VAL_ELBO, -1, Status.FINISHED),
    ],
)
def test_a_trial_behind_the_median_is_killed_at_the_third_epoch_with_the_reason(
    store: MlflowClient, others: float, metric: Metric, sign: int, status: Status
) -> None:
    job, made = job_among(store, others, metric, sign)
    outcome = run_cell(job)
    assert outcome.status is status
    (run,) = runs(store, Kind.TRIAL)
    assert run.info.run_id == outcome.run_id
    assert run.info.run_name == "trial-5"
    epochs = [m.step for m in store.get_metric_history(run.info.run_id, metric)]
    assert list(made.get_trials()[-1].intermediate_values) == epochs
    if status is Status.PRUNED:
        assert run.info.status == "KILLED"
        assert run.data.tags[Tag.REASON].startswith(f"stopped after epoch 3 of {AE.epochs}: {metric}")
        assert epochs == [1, 2, 3]
    else:
        assert run.info.status == "FINISHED"
        assert epochs == list(range(1, AE.epochs + 1))


def test_the_best_is_printed_as_its_command_and_trials_are_a_total(store: MlflowClient, capsys: Capture) -> None:
    given = ["--model", "vae", "--dim3", "3", "--epochs", "6"]
    assert call(store, *given, "--trials", "7") == 0
    out = capsys.readouterr().out
    (parent,) = runs(store, Kind.STUDY)
    trials = study().get_trials()
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert len(trials) == len(runs(store, Kind.TRIAL)) == 7
    by_id = {r.info.run_id: r for r in runs(store, Kind.TRIAL)}
    for trial in trials:
        run = by_id[trial.user_attrs["run_id"]]
        assert run.data.tags[Tag.TRIAL] == str(trial.number)
        assert run.data.tags[Tag.PARENT] == parent.info.run_id
        assert run.info.status == ("FINISHED" if trial.state is TrialState.COMPLETE else "KILLED")
        if trial.state is TrialState.COMPLETE:
            assert trial.value == -run.data.metrics[Metric.VAL_ELBO]
    best = min((t for t in trials if t.state is TrialState.COMPLETE), key=lambda t: t.value)
    config = RunConfig.from_json(by_id[best.user_attrs["run_id"]].data.tags[Tag.CONFIG])
    assert f"train it:  {_train_command(config)}\n" in out
    answer = (
        f"Best of 7 trials: trial {best.number}, validation -ELBO (nats) {best.value:.4g} (lr {config.lr:.3g}, dim2 "
    )
    assert f"\n{answer}{config.dim2}, " in out
    few = "Run at least 35 trials (--trials 35): 7 are too few to tell whether more would help"
    assert few in out
    described = parent.data.tags[Tag.DESCRIPTION]
    title, table, links, sentences, command = described.split("\n\n")
    assert title.startswith(answer)
    assert table.startswith("| trial | validation -ELBO (nats) | lr | dim2 | batch_size | epochs | beta |\n")
    assert f"\n| {best.number} | {best.value:.4g} | {config.lr:.3g} | {config.dim2} | " in table
    assert best.user_attrs["run_id"] in links
    assert few in sentences.replace("\\", "")
    assert command == f"Train trial {best.number} again: `{_train_command(config)}`"
    note = get_note(study())
    assert all(part in note for part in (title, table, sentences, command))
    assert links not in note
    assert study().metric_names == ["validation -ELBO (nats)"]
    assert best.user_attrs == {
        "model": "vae",
        "dim3": 3,
        "seed": 0,
        "run_id": best.user_attrs["run_id"],
        "variance kept": by_id[best.user_attrs["run_id"]].data.metrics[Metric.TEST_EXPLAINED_VARIANCE],
    }
    assert parent.data.metrics["best/value"] == best.value
    drawn = {Path(f.path).stem for f in store.list_artifacts(parent.info.run_id, "figures")}
    assert {"history", "intermediate_values", "slice", "parallel_coordinate", "importances", "contour"} == drawn

    assert call(store, *given, "--trials", "7") == 0
    assert len(study().get_trials()) == 7
    assert call(store, *given, "--trials", "9") == 0
    assert len(study().get_trials()) == 9
    assert len(runs(store, Kind.STUDY)) == 1
    capsys.readouterr()
    assert call(store, *given, "--trials", "9", "--epochs", "7") == 2
    assert "most epochs 6 -> 7" in capsys.readouterr().err
    assert scan.main(["--study", "t", "--dataset", "digits", "--tracking-uri", store.tracking_uri]) == 2
    assert "holds a tuning at one dim3, not a scan of dim3" in capsys.readouterr().err


def test_trials_of_other_code_are_refused(
    store: MlflowClient, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "mine_tuned.py"
    module.write_text(NET)
    given = ["--model", "mine_tuned:net", "--dim3", "3", "--epochs", "3"]
    assert call(store, *given, "--trials", "1") == 0
    (trial,) = runs(store, Kind.TRIAL)
    assert trial.data.tags[Tag.CODE] == code_of("mine_tuned:net")
    module.write_text(NET + "# edited")
    assert call(store, *given, "--trials", "2") == 2
    assert "has trials that were made with other code of mine_tuned:net" in capsys.readouterr().err
    module.write_text(NET)
    assert call(store, *given, "--trials", "2") == 0


def test_over_dim3_the_pareto_front_is_printed_logged_and_drawn(
    store: MlflowClient, capsys: Capture, monkeypatch: Patch
) -> None:
    monkeypatch.setattr("elbowroom.studies.tune._DESCRIBED", 1)
    assert call(store, "--model", "ae", "--dim3", "2:5", "--epochs", "4", "--trials", "8") == 0
    out = capsys.readouterr().out
    trials = study().get_trials()
    assert study().metric_names == ["validation mean squared error", "dim3"]
    assert "Run at least 35 trials (--trials 35): 8 are too few to tell whether more would help" in out
    assert {t.state for t in trials} == {TrialState.COMPLETE}  # nothing is pruned across dim3
    points = [(t.values[1], t.values[0]) for t in trials]
    front = {(d, e) for d, e in points if not any((a <= d and b <= e and (a, b) != (d, e)) for a, b in points)}
    (parent,) = runs(store, Kind.STUDY)
    logged = {(m.step, m.value) for m in store.get_metric_history(parent.info.run_id, "pareto/error")}
    assert logged == front
    for dim3, error in front:
        assert f"{int(dim3):<6}{error:<12.6g}python -m tracking.train --model ae" in out
    described = parent.data.tags[Tag.DESCRIPTION]
    assert f"\n- the front has {len(front) - 1} more, with larger dim3\n" in described
    assert described.count("Train trial ") == 1
    assert [f.path for f in store.list_artifacts(parent.info.run_id, "figures")] == ["figures/pareto_front.png"]


def test_trials_that_fail_are_told_and_made_up_for(
    store: MlflowClient, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    (tmp_path / "flaky.py").write_text(FLAKY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    given = ["--model", "flaky:flaky", "--dim3", "3", "--trials", "2", "--epochs", "3"]
    assert call(store, *given) == 1
    said = capsys.readouterr()
    assert "2 of 2 trials failed" in said.err
    assert "trial-0         no threes" in said.err
    (parent,) = runs(store, Kind.STUDY)
    assert (parent.info.status, "|" in parent.data.tags[Tag.DESCRIPTION]) == ("FAILED", False)  # no empty table
    assert _commands(Search.of(dim3=(2, 3)), ()) == []
    (tmp_path / "mended").touch()
    assert call(store, *given) == 0
    assert [t.state for t in study().get_trials()] == [TrialState.FAIL] * 2 + [TrialState.COMPLETE] * 2
    assert runs(store, Kind.STUDY)[0].info.status == "FINISHED"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--model", "pca"], "pca has nothing to tune"),
        (["--trials", "0"], "trials must be a whole number of at least 1"),
        (["--dim3", "2,3,7"], "has gaps"),
        (["--dim3", "2:65"], "dim3 must be from 1 to 64"),
        (["--val-size", "0"], "there are none; allowed: a val_size above 0"),
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--patience", "3"], "unrecognized arguments"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    store: MlflowClient, capsys: Capture, arguments: list[str], line: str
) -> None:
    assert call(store, "--model", "vae", "--dim3", "3", "--epochs", "3", *arguments) == 2
    (only,) = capsys.readouterr().err.splitlines()
    assert line in only
    assert [*runs(store, Kind.TRIAL), *runs(store, Kind.STUDY)] == []
    assert not (Path("optuna.db").exists() and optuna.get_all_study_names("sqlite:///optuna.db"))
