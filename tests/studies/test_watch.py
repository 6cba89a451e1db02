"""The command that watches a study: what it prints, its exit codes, and the table on a terminal."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from elbowroom.studies import watch
from elbowroom.studies.execution.processes import process_tag
from elbowroom.studies.execution.state import Answer
from elbowroom.studies.records import stored_state
from elbowroom.studies.records.stored_state import StoredStudy, states
from elbowroom.tracking.store.names import Tag
from tests.hostile import NAMES, check_lines
from tests.studies.harness import Capture, Patch, in_terminal
from tests.studies.records.test_stored_state import log_study

pytestmark = pytest.mark.integration


def call(store: MlflowClient, *arguments: str) -> int:
    return watch.main(["--tracking-uri", store.tracking_uri, *arguments])


def test_a_study_that_runs_is_printed_once_where_stdout_is_no_terminal(store: MlflowClient, capsys: Capture) -> None:
    log_study(store, f"{process_tag()} token")
    assert call(store) == call(store, "--study", "s") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("s: 1 of 4 cells done, 1 running, 1 failed")
    assert [line.split() for line in lines[3:5]] == [
        ["dim3", "2", "3", "4", "5"],
        ["ae", "0.250", "7/20", "failed", "·"],
    ]


@pytest.mark.parametrize(
    ("status", "end"), [("FINISHED", ""), ("KILLED", ""), ("FAILED", ": 1 of 4 cells failed")], ids=str.lower
)
def test_a_study_that_has_ended_says_how_and_when(store: MlflowClient, status: str, end: str, capsys: Capture) -> None:
    parent = log_study(store, "")
    store.set_tag(parent.info.run_id, Tag.REASON, "1 of 4 cells failed")
    store.set_terminated(parent.info.run_id, status)
    assert call(store, "--study", "s") == 0
    word = {"FINISHED": "finished", "KILLED": "interrupted", "FAILED": "failed"}[status]
    note = capsys.readouterr().out.splitlines()[1]
    assert re.fullmatch(rf"{word} at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d{end}", note)


def test_a_store_that_can_only_be_copied_is_shown_once(
    store: MlflowClient, monkeypatch: Patch, capsys: Capture
) -> None:
    log_study(store, f"{process_tag()} token")
    monkeypatch.setattr(watch, "on_terminal", lambda _: True)
    monkeypatch.setattr(watch, "is_copy", lambda _: True)
    assert call(store) == 0
    assert "shown once: the store can't be written to here" in capsys.readouterr().out


def test_an_unknown_study_names_those_that_there_are(store: MlflowClient, capsys: Capture) -> None:
    log_study(store, "", NAMES["a terminal's orders"].replace("\0", ""))
    log_study(store, "", "other")
    assert call(store, "--study", "nope") == 2
    err = capsys.readouterr().err
    check_lines(err)
    assert err.startswith("error: no study 'nope' in experiment 'elbowroom'; there are: other, a b c")
    assert call(store, "--experiment", "nope") == 2
    assert capsys.readouterr().err.startswith("error: no experiment 'nope'; there are: ")


def test_a_store_that_fails_later_is_asked_again(store: MlflowClient, monkeypatch: Patch) -> None:
    study = StoredStudy(store, log_study(store, f"{process_tag()} token"))
    found = states(study, lambda seconds: None)
    first = next(found)
    with monkeypatch.context() as patch:
        patch.setattr(study, "state", lambda: {}["gone"])
        assert next(found) == replace(first, note="the store did not answer: KeyError: 'gone'")
    assert next(found).note == ""
    store.set_terminated(study.parent.info.run_id, "FINISHED")
    assert next(found).note.startswith("finished at 20")
    assert list(found) == []


def test_a_choice_that_is_not_reached_is_left_out_while_cells_of_its_model_are_missing(
    store: MlflowClient, monkeypatch: Patch
) -> None:
    answers = (Answer("ae", None, "not reached by 2"), Answer("pca", 2, "pca keeps"))
    monkeypatch.setattr(stored_state, "answers_of", lambda cells: answers)
    study = StoredStudy(store, log_study(store, f"{process_tag()} token"))
    found = states(study, lambda seconds: None)
    assert next(found).answers == answers[1:]


def test_ctrl_c_ends_the_table_of_a_terminal_and_gives_the_cursor_back(store: MlflowClient, tmp_path: Path) -> None:
    log_study(store, f"{process_tag()} token")
    command = [sys.executable, "-m", "studies.watch", "--tracking-uri", store.tracking_uri]
    code, text = in_terminal(command, tmp_path, shown=b"7/20")
    assert code == 130
    assert text.count(b"\x1b[?25l") == text.count(b"\x1b[?25h") == 1
    assert b"interrupted by SIGINT; the study itself was not touched" in text
