"""A study is found again after the loss of either store, and what dead processes left is repaired."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from optuna.trial import TrialState
from optuna_dashboard import get_note

from elbowroom.studies.execution.cell import Outcome, Status, run_cell
from elbowroom.studies.grid import study_settings
from elbowroom.studies.records.ownership import claim, find_parent
from elbowroom.studies.records.study import MODEL_CHOICES, StudyRecords, StudySpec, cells_of_others, done_cells
from elbowroom.studies.records.trials import connect
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import Kind, Metric, Tag
from tests.studies.harness import OPEN, Capture, Patch, Study

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("cells_here")]


CELL = RunConfig(model="ae", dataset="digits", dim2=8, epochs=2, threads=1, artifacts="light")
TINY = ("--models", "pca", "--dim3", "2:3", "--seeds", "1", "--dataset", "digits", "--workers", "1")


@pytest.fixture(autouse=True)
def _experiment_of_filed(monkeypatch: Patch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "filed")


def scan(study: Study, *arguments: str) -> int:
    return study.run_here(*TINY, *arguments)


def spec() -> StudySpec:
    digest = PreparedData.load(CELL).digests["all"]
    return StudySpec("s", "a scan of dim3", study_settings(CELL, digest), Kind.RUN, digest)


def test_a_user_who_may_not_write_leaves_no_study_behind(filed: Study, monkeypatch: Patch, capsys: Capture) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "create_run", refuse)
        assert scan(filed) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: tracking URI {filed.tracking_uri} can't open a run: permission denied"
    assert optuna.get_all_study_names(filed.storage) == []
    assert scan(filed) == 0
    trials = len(filed.trials())
    monkeypatch.setattr(MlflowClient, "set_tag", refuse)
    assert scan(filed, "--dim3", "2:4") == 2  # nor may it go on with another's
    assert "permission denied" in capsys.readouterr().err.splitlines()[-1]
    assert (filed.parent().info.status, len(filed.trials())) == ("FINISHED", trials)


def test_a_study_that_keeps_its_files_elsewhere_is_refused(filed: Study) -> None:
    place = filed.client.create_experiment("theirs", artifact_location="ftp://host/x")
    run_id = filed.client.create_run(place).info.run_id
    refused = pytest.raises(BadInput, match=f"^run {run_id} keeps its files on another host, ftp://host/x/")
    with refused, claim(filed.client, connect(filed.storage), spec(), invocation=run_id):
        raise AssertionError
    assert filed.client.get_run(run_id).info.status == "FAILED"
    assert optuna.get_all_study_names(filed.storage) == []


def test_a_cell_whose_worker_died_after_its_run_had_finished_is_done(filed: Study) -> None:
    with claim(filed.client, connect(filed.storage), spec()) as held:
        job = held.ask(CELL)
        finished = run_cell(job)
        assert finished.status is Status.FINISHED
        told = held.tell(job, Outcome(Status.LOST, reason="its worker process died"))
        assert (told.status, told.run_id) == (Status.FINISHED, finished.run_id)
        held.repair("FAILED", "died")
        (trial,) = held.study.get_trials()
        assert (trial.state, trial.user_attrs["run_id"]) == (TrialState.COMPLETE, finished.run_id)
        assert [cell.run.info.run_id for cell in held.done().values()] == [finished.run_id]


def test_a_start_puts_right_what_a_killed_coordinator_left(filed: Study) -> None:
    """At each point where it can die: before the run, in its middle, after it, and between the two stores."""

    def left(held: StudyRecords, config: RunConfig, status: str | None) -> str:
        job = held.ask(config)
        if status is None:
            return ""
        run_id = str(run_cell(job).run_id)
        held.client.update_run(run_id, status=status)
        return run_id

    with claim(filed.client, connect(filed.storage), spec()) as held:
        left(held, CELL, None)
        in_the_middle = left(held, CELL, "RUNNING")
        first = left(held, RunConfig.from_json(CELL.to_json()), "FINISHED")
        second = left(held, CELL, "FINISHED")
        held.repair("FAILED", "its coordinator died")
        status = {r.info.run_id: (r.info.status, r.data.tags.get(Tag.REASON, "")) for r in held.children()}
        assert status == {
            in_the_middle: ("FAILED", "its coordinator died"),
            first: ("FINISHED", ""),
            second: ("FAILED", "another run of this cell had finished before"),
        }
        by_state = {t.state: t for t in held.study.get_trials()}
        assert [t.state for t in held.study.get_trials()].count(TrialState.COMPLETE) == 1
        assert by_state[TrialState.COMPLETE].user_attrs["run_id"] == first
        assert held.study.get_trials(states=OPEN) == []

        filed.client.set_tag(first, Tag.TRIAL, "99")  # it died when the trial stood there and its number did not
        before = len(held.study.get_trials())
        held.repair("FAILED", "its coordinator died")
        assert len(held.study.get_trials()) == before


def test_studies_that_run_at_once_leave_each_others_runs_alone(filed: Study) -> None:
    storage, client = connect(filed.storage), filed.client
    with claim(client, storage, spec()) as held, claim(client, storage, replace(spec(), name="t")) as other:
        ids = [str(run_cell(records.ask(CELL)).run_id) for records in (held, other)]
        running = str(run_cell(other.ask(CELL)).run_id)
        client.update_run(running, status="RUNNING")
        held.others = cells_of_others(client, held.experiment_id, held.parent, held.spec)
        held.repair("FAILED", "its coordinator died")
        assert [client.get_run(i).info.status for i in (*ids, running)] == ["FINISHED", "FINISHED", "RUNNING"]
        assert [c.run.info.run_id for c in held.done().values()] == ids[:1]
        runs = [*held.others, *held.children()]
        counts = {name: [c.run.info.run_id for c in done_cells(runs, {}, name).values()] for name in ("s", "t", "u")}
        assert counts == {"s": ids[:1], "t": ids[1:], "u": ids[:1]}  # its own, else the earlier
        other.repair("FAILED", "")


def test_without_optunas_database_the_study_is_found_by_its_runs(filed: Study, capsys: Capture) -> None:
    assert scan(filed) == 0
    parent, before = filed.parent().info.run_id, filed.errors()
    capsys.readouterr()
    fresh = Study(filed.folder, filed.tracking_uri, f"sqlite:///{filed.folder}/fresh.db", filed.experiment)
    assert scan(fresh) == 0
    assert "complete: nothing to run" in capsys.readouterr().out
    assert fresh.parent().info.run_id == parent
    assert {r.info.run_name for r in fresh.runs()} == set(before)
    assert len(fresh.trials(TrialState.COMPLETE)) == len(fresh.trials()) == 2
    assert {t.user_attrs["run_id"] for t in fresh.trials()} == {r.info.run_id for r in fresh.runs()}
    told, mirrored = ({t.user_attrs["dim3"]: t.user_attrs for t in study.trials()} for study in (filed, fresh))
    assert told == mirrored
    run = filed.finished()[0].data
    assert told[int(run.params["dim3"])] == {
        "model": "pca",
        "dim3": int(run.params["dim3"]),
        "seed": 0,
        "run_id": filed.finished()[0].info.run_id,
        "variance kept": run.metrics[Metric.TEST_EXPLAINED_VARIANCE],
    }


def test_a_study_whose_runs_are_in_another_store_or_deleted_is_refused(filed: Study, capsys: Capture) -> None:
    assert scan(filed) == 0
    capsys.readouterr()
    elsewhere = Study(filed.folder, f"sqlite:///{filed.folder}/other.db", filed.storage, filed.experiment)
    assert scan(elsewhere) == 2
    assert "has its runs in another tracking store" in capsys.readouterr().err
    assert scan(replace(filed, experiment="fresh")) == 2
    said = "has its runs in experiment 'filed'; give --experiment as before, or use another --study"
    assert said in capsys.readouterr().err
    filed.client.delete_run(filed.parent().info.run_id)
    assert scan(filed) == 2
    assert "is deleted; restore it, or use another --study" in capsys.readouterr().err


def test_a_store_that_does_not_answer_is_not_taken_for_one_without_the_study() -> None:
    def busy(run_id: str) -> None:
        raise MlflowException("busy", error_code=TEMPORARILY_UNAVAILABLE)

    client = SimpleNamespace(get_run=busy, tracking_uri="http://me:secret@host")
    study = SimpleNamespace(user_attrs={"elbowroom.parent_run_id": "1"})
    with pytest.raises(BadInput, match=r"http://me:\*\*\*@host can't be used: busy"):
        find_parent(client, study, spec())


def test_a_study_goes_on_when_the_project_has_learnt_another_model(filed: Study, monkeypatch: Patch) -> None:
    assert scan(filed, "--epochs", "12") == 0
    monkeypatch.setattr("elbowroom.studies.records.ownership.MODEL_CHOICES", ("brand-new", *MODEL_CHOICES))
    assert scan(filed, "--models", "pca,linear-ae", "--epochs", "12") == 0
    assert len(filed.trials(TrialState.COMPLETE)) == len(filed.finished()) == 4


def test_a_killed_invocation_is_closed_and_the_next_is_linked(filed: Study) -> None:
    with claim(filed.client, connect(filed.storage), spec()) as held:
        parent = held.parent_id
        experiment = held.experiment_id
    first, second = (filed.client.create_run(experiment).info.run_id for _ in range(2))
    for invocation in (first, second):
        with claim(filed.client, connect(filed.storage), spec(), invocation=invocation):
            pass
    linked = {r.info.run_id: r for r in filed.runs(Kind.INVOCATION)}
    assert {r.data.tags[Tag.PARENT] for r in linked.values()} == {parent}
    assert linked[first].info.status == "FAILED"  # nobody had ended it
    assert linked[second].info.status == "RUNNING"  # `mlflow run` ends it


def test_whatever_ends_the_block_ends_the_parent_and_the_next_start_forgets_it(filed: Study) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        claim(filed.client, connect(filed.storage), spec()),
    ):
        raise KeyboardInterrupt("interrupted by SIGINT")
    parent = filed.parent()
    assert (parent.info.status, parent.data.tags[Tag.REASON]) == ("KILLED", "interrupted by SIGINT")
    assert parent.data.tags[Tag.COORDINATOR] == ""
    with claim(filed.client, connect(filed.storage), spec()):
        assert filed.parent().info.status == "RUNNING"
        assert Tag.REASON not in filed.parent().data.tags


def test_a_study_of_an_earlier_edition_goes_on_in_that(filed: Study) -> None:
    assert scan(filed, "--edition", "1") == 0
    study = optuna.load_study(study_name=filed.name, storage=filed.storage)
    settings_then = {k: v for k, v in study.user_attrs["elbowroom.settings"].items() if k != "edition"}
    study.set_user_attr("elbowroom.settings", settings_then)
    for run in filed.runs():
        config = json.loads(run.data.tags[Tag.CONFIG])
        assert config.pop("edition") == 1
        filed.client.set_tag(run.info.run_id, Tag.CONFIG, json.dumps(config))
    before = {r.info.run_id for r in filed.runs()}
    assert scan(filed, "--dim3", "2:4") == 0
    (new,) = (r for r in filed.runs() if r.info.run_id not in before)
    assert (new.data.params["dim3"], json.loads(new.data.tags[Tag.CONFIG])["edition"]) == ("4", 1)


def test_a_study_says_in_optunas_dashboard_what_it_is(filed: Study) -> None:
    asked = replace(spec(), task="the error of ae at dim3 10")
    storage = connect(filed.storage)
    with claim(filed.client, storage, asked) as held:
        assert held.study.metric_names == ["validation mean squared error"]
        facts, *_, place = get_note(held.study).split("\n\n## ")
        assert facts.splitlines() == [
            "- study: a scan of dim3",
            "- task: the error of ae at dim3 10",
            f"- dataset (digest): digits ({asked.digest})",
            "- MLflow experiment: filed",
        ]
        assert f"mlflow ui --backend-store-uri {filed.tracking_uri}\n# then open http:" in place
        assert held.parent_id in place
        storage.set_study_system_attr(storage.get_study_id_from_name("s"), "study:metric_names", None)
        held.describe("- use 21")
        assert held.study.metric_names == ["validation mean squared error"]
        assert "## Answers\n\n- use 21\n" in get_note(held.study)


def test_tasks_are_params_each_once_and_long_ones_are_cut(filed: Study) -> None:
    for task in ("first", "second", "x" * 9000, "first", "x" * 9000):
        with claim(filed.client, connect(filed.storage), replace(spec(), task=task)):
            pass
    params = {name: value for name, value in filed.parent().data.params.items() if name.startswith("task")}
    assert (params["task"], params["task 2"], len(params["task 3"]), len(params)) == ("first", "second", 1000, 3)


def test_a_study_with_damaged_attributes_is_one_line(filed: Study, capsys: Capture) -> None:
    assert scan(filed) == 0
    capsys.readouterr()
    with closing(sqlite3.connect(filed.storage.removeprefix("sqlite:///"))) as database:
        database.execute("UPDATE study_user_attributes SET value_json = 'no JSON'")
        database.commit()
    assert scan(filed) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: study 's' can't be opened: ")


def test_a_trial_has_the_parameters_of_its_cell(filed: Study) -> None:
    with claim(filed.client, connect(filed.storage), spec()) as held:
        held.ask(replace(CELL, seed=1))
        (trial,) = held.study.get_trials()
        assert trial.params == {"model": "ae", "dim3": CELL.dim3, "seed": 1, "epochs": CELL.epochs}
        held.repair("FAILED", "")
