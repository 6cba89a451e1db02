"""The command that watches a study: what it prints, its exit codes, and the table on a terminal."""

import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from elbowroom.studies import watch
from elbowroom.studies.execution.processes import process_tag
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
    assert lines[: len(lines) // 2][1:3] == ["dim3     2     3       4  5", "ae    0.25  7/20  failed  ·"]
    assert lines[6].startswith("1 of 4 cells done, 1 running, 1 failed")
    assert "not running" not in " ".join(lines)


def test_a_study_that_rests_says_since_when(store: MlflowClient, capsys: Capture) -> None:
    parent = log_study(store, "")
    store.set_tag(parent.info.run_id, Tag.REASON, "1 of 4 cells failed")
    store.set_terminated(parent.info.run_id, "FAILED")
    assert call(store, "--study", "s") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "not running since 20" in out
    assert out.endswith(": FAILED, 1 of 4 cells failed")


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
    study = watch.StoredStudy(store, log_study(store, f"{process_tag()} token"))
    monkeypatch.setattr(watch, "READ_SECONDS", 0.0)
    boards = watch._boards(study)
    first = next(boards)
    with monkeypatch.context() as patch:
        patch.setattr(study, "state", lambda _: {}["gone"])
        board = next(boards)
    assert (board.state, board.note) == (first.state, "the store did not answer: KeyError: 'gone'")
    assert next(boards).note == ""
    store.set_terminated(study.parent.info.run_id, "FINISHED")
    assert next(boards).note.startswith("not running since 20")
    assert list(boards) == []


def test_ctrl_c_ends_the_table_of_a_terminal_and_gives_the_cursor_back(store: MlflowClient, tmp_path: Path) -> None:
    log_study(store, f"{process_tag()} token")
    command = [sys.executable, "-m", "studies.watch", "--tracking-uri", store.tracking_uri]
    code, text = in_terminal(command, tmp_path, shown=b"7/20")
    assert code == 130
    assert text.count(b"\x1b[?25l") == text.count(b"\x1b[?25h") == 1
    assert b"interrupted by SIGINT; the study itself was not touched" in text
