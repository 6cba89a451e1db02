"""The scan's command line, on real worker processes."""

import importlib
import json
import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import optuna
import psutil
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from elbowroom.analysis.elbow import Verdict
from elbowroom.analysis.findings.find import find
from elbowroom.analysis.runs.query import read
from elbowroom.studies import scan as scan_command
from elbowroom.studies.grid import Grid, parse_confirm
from elbowroom.studies.records.study import FinishedCell
from elbowroom.studies.scan import _all_asked, _corners, _long_cells_first
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.locks import private_folder
from elbowroom.tracking.store.names import CURVE_PREFIX, VERDICT_PREFIX, Artifact, Kind, Metric, Tag
from elbowroom.tracking.train import main as train
from tests.conftest import in_this_process, marked
from tests.studies.harness import FLAKY, NET, OPEN, Capture, Patch, Study, in_terminal, run_through_kills, undisturbed

pytestmark = pytest.mark.integration

TINY = ["--models", "pca,ae", "--dim3", "2:3", "--seeds", "1", "--dataset", "digits", "--epochs", "2", "--dim2", "8"]


def scan(study: Study, *arguments: str) -> int:
    return study.run_here("--workers", "1", *arguments)


@pytest.mark.usefixtures("cells_here")
def test_a_study_is_one_tree_with_ids_both_ways_and_is_never_run_twice(filed: Study, capsys: Capture) -> None:
    assert scan(filed, *TINY) == 0
    parent = filed.parent()
    cells = filed.runs()
    assert sorted(filed.errors()) == ["ae-d2-s0", "ae-d3-s0", "pca-d2-s0", "pca-d3-s0"]
    assert {r.data.tags[Tag.PARENT] for r in cells} == {parent.info.run_id}
    by_number = {str(t.number): t for t in filed.trials()}
    for run in cells:
        trial = by_number[run.data.tags[Tag.TRIAL]]
        assert trial.user_attrs["run_id"] == run.info.run_id
        assert trial.value == run.data.metrics[Metric.VAL_MSE_FINAL]
    curve = {m.step: m.value for m in filed.client.get_metric_history(parent.info.run_id, f"{CURVE_PREFIX}ae")}
    assert curve == {2: filed.errors()["ae-d2-s0"], 3: filed.errors()["ae-d3-s0"]}
    assert parent.info.status == "FINISHED"
    assert parent.data.tags[Tag.COORDINATOR] == ""
    out = capsys.readouterr().out
    assert f"{curve[3]:#.4g}" in out
    assert not list(private_folder("shared").iterdir())

    before = filed.errors()
    assert scan(filed, *TINY) == 0  # nothing is missing
    assert "complete: nothing to run" in capsys.readouterr().out
    assert scan(filed, *TINY, "--dim3", "2:4") == 0  # a larger grid fills in
    assert {k: v for k, v in filed.errors().items() if k in before} == before
    assert len(filed.runs()) == 6
    assert scan(filed, *TINY, "--epochs", "3") == 2  # what may not change is named
    assert "epochs 2 -> 3" in capsys.readouterr().err
    assert scan(filed, *TINY, "--dim3", "2:3", "--dry-run") == 0
    assert len(filed.runs()) == 6
    assert len(filed.runs(Kind.STUDY)) == 1


@pytest.mark.usefixtures("cells_here")
def test_a_study_takes_over_finished_cells_of_others_and_changes_none(filed: Study, capsys: Capture) -> None:
    assert scan(filed, *TINY, "--confirm", "ae=3") == 0
    theirs = {r.info.run_id: (r.info.status, r.data.tags) for r in [*filed.runs(), filed.parent()]}
    other = replace(filed, name="other")
    capsys.readouterr()
    assert scan(other, *TINY, "--models", "ae", "--dim3", "3:4", "--confirm", "ae=3") == 0
    out = capsys.readouterr().out
    assert "6 finished cells of other studies are taken over: s\nstudy other: 4 cells" in out
    assert "to confirm an elbow\n\ndim3  ae\n2     0." in out
    assert sorted((r.info.run_name, r.data.params["epochs"]) for r in other.runs()) == [
        ("ae-d4-s0", f"{e}") for e in (2, 4)
    ]
    assert len(other.trials(TrialState.COMPLETE)) == len(other.trials()) == 2
    parent = other.parent().info.run_id
    logged = [filed.client.get_metric_history(parent, f"{CURVE_PREFIX}{model}") for model in ("pca", "ae")]
    assert [[m.step for m in curve] for curve in logged] == [[2, 3], [2, 3, 4]]
    assert {r.info.run_id: (r.info.status, r.data.tags) for r in [*filed.runs(), filed.parent()]} == theirs
    assert scan(filed, *TINY, "--dim3", "2:4", "--models", "ae") == 0  # and the other way round
    assert "2 finished cells of other studies are taken over: other" in capsys.readouterr().out
    assert len(filed.runs()) == 6


@pytest.mark.usefixtures("cells_here")
def test_cells_with_other_settings_confirmations_and_runs_of_no_study_are_not_taken_over(
    filed: Study, capsys: Capture
) -> None:
    given = [*TINY, "--models", "ae", "--dim3", "3"]
    alone = ["--model", "ae", "--dim3", "3", "--epochs", "4", "--dim2", "8", "--dataset", "digits", "--threads", "1"]
    assert train([*alone, "--tracking-uri", filed.tracking_uri, "--experiment", filed.experiment]) == 0
    assert scan(filed, *given, "--confirm", "ae=3") == 0
    other = replace(filed, name="other")
    assert scan(other, *given, "--epochs", "4") == 0
    assert "taken over" not in capsys.readouterr().out
    assert [m.step for m in filed.client.get_metric_history(other.parent().info.run_id, f"{CURVE_PREFIX}ae")] == [3]
    assert len(other.runs()) == 1


@pytest.mark.usefixtures("cells_here")
def test_missing_measures_come_to_be_once_and_stay(filed: Study, capsys: Capture) -> None:
    given = [*TINY, "--models", "pca"]

    def rank() -> str:
        ((model,),) = (c.models for c in find(read(filed.client, filed.experiment)).comparisons)
        return next(choice.sentence for choice in model.purposes if choice.purpose == "rank")

    assert scan(filed, *given, "--dim3", "2") == 0
    assert rank() == "pca: rank is not measured: studies.scan --measure yes measures it for 10 columns or more"
    capsys.readouterr()
    assert scan(filed, *given, "--measure") == 0
    out = capsys.readouterr().out
    assert "1 finished cells lack the measures and are trained anew with them\nstudy s: 2 cells" in out
    assert "left: 2 cells; time and disk are estimated" in out
    assert rank() == "pca: rank is not reached by 3, which predicts hidden entries best: extend the range"
    assert scan(replace(filed, name="other"), *given, "--measure") == 0
    assert "complete: nothing to run" in capsys.readouterr().out
    for again in ([*given, "--measure"], given):
        assert scan(filed, *again) == 0
        assert "complete: nothing to run" in capsys.readouterr().out
    assert len(filed.trials(TrialState.COMPLETE)) == len(filed.runs()) == 1 + 2


@pytest.mark.usefixtures("cells_here")
def test_epochs_auto_is_a_number_in_every_run_or_that_of_a_study_that_was_begun(filed: Study, capsys: Capture) -> None:
    pca = ["--models", "pca", "--dim3", "2", "--dataset", "digits"]

    def epochs() -> list[int]:
        runs = filed.client.search_runs([filed.parent().info.experiment_id], f"tags.`{Tag.KIND}` = '{Kind.RUN}'")
        return [json.loads(r.data.tags[Tag.CONFIG])["epochs"] for r in runs]

    assert scan(filed, *pca) == 0
    assert epochs() == [228]  # 2,500 steps, 11 of them an epoch
    assert scan(filed, *pca, "--epochs", "228") == 0
    assert "complete: nothing to run" in capsys.readouterr().out
    begun = [*pca, "--study", "begun before"]
    assert scan(filed, *begun, "--epochs", "12") == 0
    assert scan(filed, *begun, "--dim3", "2:3") == 0
    assert sorted(epochs()) == [12, 12, 228]


@pytest.mark.usefixtures("cells_here")
def test_seeds_are_a_total_and_a_confirmation_is_no_part_of_the_curve(filed: Study, capsys: Capture) -> None:
    assert scan(filed, *TINY, "--dim3", "2:4") == 0
    assert scan(filed, *TINY, "--dim3", "2:4", "--seeds", "2", "--confirm", "ae=3") == 0
    done = [r for r in filed.runs() if r.info.status == "FINISHED"]
    longer = [r for r in done if Tag.CONFIRMS in r.data.tags]
    assert {r.data.params["epochs"] for r in longer} == {"4"}
    assert sorted(r.info.run_name for r in longer) == [f"ae-d{k}-s{seed}" for k in (2, 3, 4) for seed in (0, 1)]
    curve_runs = {r.info.run_name: r for r in done if Tag.CONFIRMS not in r.data.tags}
    assert len(curve_runs) == len(done) - len(longer) == 3 + 2 * 3
    parent = filed.parent()
    logged = {m.step: m.value for m in filed.client.get_metric_history(parent.info.run_id, f"{CURVE_PREFIX}ae")}
    at_3 = [curve_runs[f"ae-d3-s{seed}"].data.metrics[Metric.VAL_MSE_FINAL] for seed in (0, 1)]
    assert logged[3] == pytest.approx(sum(at_3) / 2, rel=1e-12)
    assert "the same after 4 epochs, to confirm an elbow" in capsys.readouterr().out
    assert len(filed.trials(TrialState.COMPLETE)) == len(filed.trials()) == len(done)

    assert scan(filed, *TINY, "--dim3", "2:3", "--models", "ae") == 0  # asks for less: the curve stays whole
    out = capsys.readouterr().out
    assert "complete: nothing to run" in out
    assert "4     0." in out


@pytest.mark.usefixtures("cells_here")
def test_what_goes_wrong_at_the_end_fails_the_parent_with_its_reason(
    filed: Study, monkeypatch: Patch, capsys: Capture
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("elbowroom.studies.records.results.draw", full)
        assert scan(filed, *TINY) == 1
    assert "No space left on device" in capsys.readouterr().err
    parent = filed.parent()
    assert parent.info.status == "FAILED"
    assert "No space left on device" in parent.data.tags[Tag.REASON]
    assert scan(filed, *TINY) == 0
    assert len(filed.runs()) == 4
    assert filed.parent().info.status == "FINISHED"


def test_data_that_cannot_be_shared_leave_no_study(filed: Study, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert scan(filed, *TINY) == 2
    assert "the data can't be written to" in capsys.readouterr().err
    assert [*filed.runs(), *filed.runs(Kind.STUDY)] == []
    assert optuna.get_all_study_names("sqlite:///optuna.db") == []


@pytest.mark.usefixtures("cells_here")
def test_a_study_without_attributes_is_another_programs_unless_it_is_empty(filed: Study, capsys: Capture) -> None:
    for name in ("s", "other"):
        study = optuna.create_study(storage="sqlite:///optuna.db", study_name=name)
    assert scan(filed, *TINY) == 0  # its maker died before it could set them
    assert len(filed.errors()) == 4
    study.ask()
    assert scan(filed, *TINY, "--study", "other") == 2
    assert "holds a study of another program" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--dim3", "5:2"], "empty, reversed"),
        (["--dim3", "1:1000000000"], "more than 10000 values"),
        (["--dim3", "2:65"], "dim3 must be from 1 to 64 (digits has 64 columns"),
        (["--seeds", "0"], "seeds must be a whole number of at least 1"),
        (["--workers", "0"], "workers must be a whole number of at least 1"),
        (["--models", "vea"], "unknown model 'vea'"),
        (["--models", "vea", "--seeds", "2"], "unknown model 'vea'"),
        (["--models", ","], "models is empty"),
        (["--backend", "spark"], "unknown backend 'spark'; allowed: local, dask"),
        (["--backend", "dask"], "needs --scheduler"),
        (["--preset", "all"], "unknown preset 'all'; allowed: quick, assignment, digits"),
        (["--storage", "nonsense"], "is no database URL"),
        (["--storage", "sqlite:///mlflow.db"], "is an MLflow tracking store"),
        (["--confirm", "7"], "confirm 7: not among the dim3 of ae"),
        (["--confirm", "pca=3"], "confirm pca=3: only what has epochs can be confirmed; allowed: ae"),
        (["--models", "pca", "--confirm", "3"], "confirm 3: only what has epochs can be confirmed"),
        (["--study", ""], "study is empty"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    filed: Study, capsys: Capture, arguments: list[str], line: str
) -> None:
    assert scan(filed, *TINY, *arguments) == 2
    (only,) = capsys.readouterr().err.splitlines()
    assert line in only
    assert [*filed.runs(), *filed.runs(Kind.STUDY)] == []


@pytest.mark.usefixtures("cells_here")
def test_choice_and_verdict_stand_on_the_study_with_the_grid_that_was_asked_for(filed: Study, capsys: Capture) -> None:
    """PCA's whole curve is known: it keeps 90 % of the digits' variance from 21 on, beyond the scanned range."""
    assert scan(filed, "--models", "pca", "--dim3", "2:9", "--dataset", "digits") == 0
    out = capsys.readouterr().out
    assert "pca keeps 90 % of the variance with dim3 21 (20 is not enough; 95 % interval 21 to 22)\n" in out
    assert "pca: no elbow, and the error still falls at the end of the range\n" in out
    parent = filed.parent()
    assert parent.data.tags[f"{VERDICT_PREFIX}pca"] == "exhausted"
    assert parent.data.metrics["choice/pca"] == 21
    assert parent.data.metrics["kept/pca"] == pytest.approx(0.8994, abs=5e-5)  # of the test rows
    assert parent.data.params["rule"] == "keep:0.90"
    assert parent.data.params["task"] == "the error of pca at dim3 2 to 9; 3 seeds"
    description = parent.data.tags[Tag.DESCRIPTION]  # the sentences can be wrapped, the table of the curve can't
    assert description.startswith("digits, 228 epochs: pca 21 (dim3 to keep 90 % of the variance)\n\n| model |")
    assert "\n| pca | 21 | 21 to 22 | none, still falls |\n\n[Curve](" in description
    assert re.search(r"\n- pca keeps .*\n- pca: no elbow, .* range\n\n```\n.*\n\ndim3  pca\n", description)
    experiment = filed.client.get_experiment(parent.info.experiment_id)
    assert experiment.tags[Tag.DESCRIPTION].startswith(description.partition("[Curve]")[0] + "[The study ")
    assert json.loads(parent.data.tags[Tag.GRID]) == {"dim3": {"pca": list(range(2, 10))}, "seeds": 3}


def test_a_study_keeps_every_grid_that_was_asked_for_once() -> None:
    wide, deep = Grid({"pca": (2, 3), "ae": (2, 3)}, 3), Grid({"ae": (48,)}, 1)
    tag = None
    for grid in (wide, deep, deep, wide, deep):
        tag = _all_asked(grid, tag)
    assert json.loads(tag or "") == {
        "dim3": {"ae": [48]},
        "seeds": 1,
        "before": [{"dim3": {"pca": [2, 3], "ae": [2, 3]}, "seeds": 3}],
    }


def corner_at(dim3: int | None) -> SimpleNamespace:
    kind, interval = ("none", None) if dim3 is None else ("clear", (dim3, dim3))
    return SimpleNamespace(judged=(Verdict(kind, dim3, interval, None, "none", {}, 20.0, None, "a corner"), ""))


def test_the_corners_to_confirm_are_those_that_the_analysis_finds(monkeypatch: Patch) -> None:
    """Only trained models have some, judged at the study's epochs: PCA has no budget that could make a corner."""
    values = tuple(range(2, 21))
    grid = Grid({"pca": values, "ae": values}, 1, RunConfig(epochs=20))
    done = [FinishedCell(None, RunConfig(model="ae", dim3=8, epochs=e), {}) for e in (20, 40)]
    printed: list[str] = []

    def corners(grid: Grid, at: int | None = 8) -> Mapping[str, int]:
        def evidence(_: object, cells: list[FinishedCell]) -> dict[str, SimpleNamespace]:
            assert cells == done[:1]
            return {"pca": corner_at(at), "ae": corner_at(at), "vae": SimpleNamespace(judged=(None, "too few"))}

        monkeypatch.setattr(scan_command, "evidence", evidence)
        return _corners(MlflowClient(), grid, done, printed.append)

    auto = replace(grid, confirm="auto")
    assert corners(auto) == {"ae": 8}
    assert corners(auto, None) == {}
    assert printed == ["to confirm: ae=8", "nothing to confirm: no trained model's curve has a clear elbow"]
    assert corners(replace(auto, dim3={"ae": (2, 3, 7, 10)})) == {"ae": 7}  # the nearest
    assert corners(replace(auto, dim3={"ae": (2, 3, 7)})) == {}  # it lies beyond this grid
    assert corners(replace(grid, confirm={"ae": 5})) == {"ae": 5}
    assert corners(grid) == parse_confirm("no", grid) == {}
    assert parse_confirm("auto", grid) == "auto"
    assert parse_confirm("5", grid) == parse_confirm("ae=5", grid) == {"ae": 5}


@pytest.mark.usefixtures("cells_here")
def test_its_verdicts_are_those_of_the_report(filed: Study, capsys: Capture) -> None:
    """PCA has no epochs, so a report judges its cells of all studies of the data as one curve."""
    assert scan(filed, "--models", "pca", "--dim3", "2:12", "--dataset", "digits") == 0
    other = replace(filed, name="other")
    capsys.readouterr()
    assert scan(other, *TINY, "--dim3", "2:5") == 0
    assert "pca: its answers also use other runs of the experiment, at dim3 6 to 12" in capsys.readouterr().out
    (comparison,) = find(read(filed.client, filed.experiment)).comparisons
    reported = {model.label: model.verdict.kind for model in comparison.models if model.verdict}
    tags = other.parent().data.tags
    assert reported == {model: tags[f"{VERDICT_PREFIX}{model}"] for model in ("pca", "ae")}
    assert reported["pca"] == "exhausted"  # four points of its own would tell nothing


@pytest.mark.usefixtures("cells_here")
def test_corners_are_confirmed_by_the_command_that_finds_them(
    filed: Study, monkeypatch: Patch, capsys: Capture
) -> None:
    """The autoencoder is said to have a corner at 3; the second start is killed as it judges."""
    judged: list[int] = []
    found = iter([{"ae": corner_at(3)}, {}, None, {"ae": corner_at(3)}, {}])

    def evidence(_: object, cells: list[FinishedCell]) -> dict[str, SimpleNamespace]:
        judged.append(sum(f.config.model == "ae" for f in cells))
        if (answer := next(found)) is None:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(scan_command, "evidence", evidence)
    given = [*TINY, "--dim3", "2:4", "--confirm", "auto"]
    assert scan(filed, *given, "--dry-run") == 0
    said = capsys.readouterr()
    assert "study s: 6 cells" in said.out
    assert "confirmations are decided after these cells" in said.out
    assert scan(filed, *given) == 0
    said = capsys.readouterr()
    assert "to confirm:" not in said.out
    shown = re.findall(r"^(\d+/\d+|to confirm: .*)", said.err, re.MULTILINE)
    assert shown == [*(f"{i}/6" for i in range(1, 7)), "to confirm: ae=3", "7/9", "8/9", "9/9"]
    assert "the same after 4 epochs, to confirm an elbow" in said.out
    assert "9 cells in" in said.out
    assert judged == [3, 3]

    given = [*TINY, "--dim3", "2:5", "--confirm", "auto"]
    with pytest.raises(KeyboardInterrupt):
        scan(filed, *given)
    assert len(filed.runs()) == 11
    assert filed.parent().info.status == "KILLED"
    capsys.readouterr()
    assert scan(filed, *given) == 0
    said = capsys.readouterr()
    assert "to confirm: ae=3\nstudy s: 12 cells" in said.out
    assert "12/12  ae-d5-s0" in said.err
    assert {r.data.params["epochs"] for r in filed.runs()} == {"2", "4"}
    assert len(filed.runs()) == 12
    assert filed.parent().info.status == "FINISHED"


def test_short_cells_go_last_but_for_the_first_with_and_without_measures() -> None:
    cells = Grid({"pca": (2, 3, 4, 5), "ae": (2, 3)}, 2, RunConfig(), measured=(4, 5)).cells()
    assert [(c.model, c.dim3, c.seed) for c in _long_cells_first(cells)] == [
        ("pca", 2, 0),
        ("ae", 2, 0),
        ("ae", 3, 0),
        ("pca", 4, 0),
        ("ae", 2, 1),
        ("ae", 3, 1),
        ("pca", 3, 0),
        ("pca", 5, 0),
    ]


@pytest.mark.slow
def test_a_cell_that_raises_fails_alone_and_is_tried_again_by_the_next_start(
    filed: Study, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    (tmp_path / "flaky.py").write_text(FLAKY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    given = [*TINY, "--models", "flaky:flaky,pca"]
    assert scan(filed, *given) == 1
    err = capsys.readouterr().err
    assert "1 of 4 cells failed" in err
    assert "flaky-d3-s0     no threes" in err
    assert len(filed.errors()) == 3
    (failed,) = [r for r in filed.runs() if r.info.status == "FAILED"]
    assert "no threes" in failed.data.tags[Tag.REASON]
    assert filed.parent().info.status == "FAILED"
    (tmp_path / "mended").touch()
    in_this_process(monkeypatch)
    assert scan(filed, *given) == 0
    assert len(filed.runs()) == 5
    assert filed.parent().info.status == "FINISHED"


@pytest.mark.slow
@pytest.mark.usefixtures("cells_here")
def test_cells_of_a_model_that_was_edited_are_trained_anew_and_never_averaged(
    filed: Study, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_scanned.py").write_text(NET)
    given = [*TINY, "--models", "mine_scanned:net,pca", "--seeds", "2"]
    assert scan(filed, *given, "--seeds", "1") == 0
    for run in filed.runs():  # as if they were older than the tag: they count as made with this code
        if Tag.CODE in run.data.tags:
            filed.client.delete_tag(run.info.run_id, Tag.CODE)
    assert scan(filed, *given) == 0
    assert "2 finished cells" not in capsys.readouterr().out
    first = [r for r in filed.runs() if r.data.params["model"] != "pca"]
    assert len(first) == 4

    (tmp_path / "mine_scanned.py").write_text(NET + "# edited")
    importlib.reload(sys.modules["mine_scanned"])
    assert scan(filed, *given, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "mine_scanned:net: 4 finished cells were made with other code and are trained anew" in said
    assert re.search(r"net +4 +0 ", said)
    assert scan(replace(filed, name="other"), *given, "--dry-run") == 0
    assert said.splitlines()[0] in capsys.readouterr().out
    assert scan(filed, *given, "--seeds", "1") == 0
    before = {r.info.run_id for r in first}
    new = [r for r in filed.runs() if r.data.params["model"] != "pca" and r.info.run_id not in before]
    assert len(new) == 2
    assert {r.info.status for r in filed.runs()} == {"FINISHED"}
    parent = filed.parent()
    curve = Path(filed.client.download_artifacts(parent.info.run_id, Artifact.CURVE)).read_text().splitlines()
    logged = {f"{r.data.params['dim3']},{r.data.metrics[Metric.VAL_MSE_FINAL]!r},0,mine_scanned:net" for r in new}
    assert {line for line in curve if "mine_scanned" in line} == logged
    assert scan(filed, *given, "--models", "pca") == 0  # its last code is the curve of a model not asked for
    again = Path(filed.client.download_artifacts(parent.info.run_id, Artifact.CURVE)).read_text().splitlines()
    assert sorted(again) == sorted(curve)

    (comparison,) = find(read(filed.client, filed.experiment)).comparisons
    old_code, new_code = (next(r.data.tags[Tag.CODE] for r in some if Tag.CODE in r.data.tags) for some in (first, new))
    seeds = {m.label: [p.seeds for p in m.points] for m in comparison.models}
    assert seeds == {"pca": [1, 1], f"net (code {old_code})": [2, 2], f"net (code {new_code})": [1, 1]}
    assert comparison.missing == [f"net (code {new_code}) dim3 {k} seed 1" for k in (2, 3)]  # of the first start


LONG = [*TINY, "--models", "ae", "--epochs", "1000000"]


def test_ctrl_c_ends_what_ran_killed_and_a_second_start_is_refused(
    filed: Study, tmp_path: Path, capsys: Capture
) -> None:
    process = filed.start(*LONG, "--workers", "1")
    ((_, worker),) = filed.training(process)
    server = psutil.Process(worker.ppid())
    assert (server.ppid(), server.cmdline()) == (process.pid, psutil.Process(process.pid).cmdline())  # forked from it
    assert scan(filed, *LONG) == 2
    assert "is running on this machine already" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert [p for p in (server, worker) if p.is_running()] == []
    assert "the same command again continues the study" in filed.log
    (run,) = filed.runs()
    assert (run.info.status, run.data.tags[Tag.REASON]) == ("KILLED", "interrupted by SIGINT")
    assert filed.parent().info.status == "KILLED"
    assert filed.trials(*OPEN) == []


@pytest.mark.parametrize(
    ("deaths", "workers", "dim3", "seeds"),
    [*marked("slow", (2, 1, (2, 3), 1)), *marked("soak", (6, 2, (2, 3, 4, 5, 6), 2))],
)
def test_a_study_whose_processes_are_killed_comes_out_as_if_they_had_not_been(
    filed: Study,
    tmp_path: Path,
    empty_database: Path,
    deaths: int,
    workers: int,
    dim3: tuple[int, ...],
    seeds: int,
) -> None:
    """The errors equal an undisturbed study's bit for bit."""
    grid = [*TINY, "--dim3", ",".join(map(str, dim3)), "--seeds", str(seeds), "--epochs", "100"]
    run_through_kills(filed, [*grid, "--workers", str(workers)], deaths)
    filed.check_complete(len(dim3) + len(dim3) * seeds)
    assert filed.statuses()["FAILED"] >= 1
    assert undisturbed(tmp_path / "calm", empty_database, grid) == filed.errors()


@pytest.mark.slow
def test_a_scan_on_a_terminal_is_a_table_and_what_its_workers_print_stands_above_it(filed: Study) -> None:
    (filed.folder / "loud.py").write_text(f"print('a model prints')\n{NET}")
    code, text = in_terminal(filed.command(*TINY, "--models", "pca,loud:net", "--workers", "2"), filed.folder)
    assert code == 0
    assert text.count(b"\x1b[?25l") == text.count(b"\x1b[?25h") == 1
    assert b"a model prints" in text
    assert b" of 4 cells done" in text
    assert b"left\r\n2/4" not in text
    filed.check_complete(4)
