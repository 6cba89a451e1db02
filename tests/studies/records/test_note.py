"""The note of a study, as Optuna's dashboard reads it."""

import re

import optuna
import pytest
from optuna_dashboard import get_note, save_note

from elbowroom.studies.records.note import compose, page_of, report_command, write_note
from tests.hostile import NAMES
from tests.studies.harness import Patch

OBJECTIVE = ("validation mean squared error",)
PAGE = ("http://host:5000/#/experiments/1/runs/abc", "")


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study()


def write(study: optuna.Study, text: str) -> None:
    write_note(study._storage, study._study_id, text)


def test_the_dashboard_reads_what_was_written_last(study: optuna.Study) -> None:
    for text in ("short", "ö" * 5000, "x" * 2045, "short again"):
        write(study, text)
        assert get_note(study) == text


@pytest.mark.parametrize("edited", ["mine", "", "first, and mine"])
def test_a_note_that_a_user_edited_is_left_alone(study: optuna.Study, edited: str) -> None:
    write(study, "first")
    write(study, "second")
    save_note(study, edited)
    write(study, "third")
    assert get_note(study) == edited


def test_a_note_that_was_there_before_is_left_alone(study: optuna.Study) -> None:
    save_note(study, "mine")
    write(study, "first")
    assert get_note(study) == "mine"


@pytest.mark.parametrize("writes", range(5))
def test_a_note_that_a_crash_left_half_written_is_written_again(
    study: optuna.Study, monkeypatch: Patch, writes: int
) -> None:
    write(study, "a" * 5000)
    storage, left = study._storage, iter(range(writes))

    def dies(study_id: int, key: str, value: object) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        type(storage).set_study_system_attr(storage, study_id, key, value)

    monkeypatch.setattr(storage, "set_study_system_attr", dies)
    with pytest.raises(KeyboardInterrupt):
        write(study, "b" * 5000)
    monkeypatch.undo()
    write(study, "c" * 5000)
    assert get_note(study) == "c" * 5000


def test_of_a_grid_it_says_what_is_no_answer_and_where_that_is() -> None:
    report = report_command("http://host:5000", "my runs")
    running = compose({"study": "a scan of dim3"}, OBJECTIVE, PAGE, "", report)
    assert running.startswith("- study: a scan of dim3\n\n## Answers\n\nThe answers are written here when")
    assert "Its value is the validation mean squared error: less is better." in running
    assert "**Best Trial** is not the answer: it is the trial with the smallest error" in running
    assert "**History** and **Hyperparameter Importance** tell nothing here" in running
    assert f"[The study's run in MLflow](<{PAGE[0]}>)" in running
    assert "python -m analysis.report --experiment 'my runs' --tracking-uri http://host:5000\n```" in running
    ended = compose({"study": "a scan of dim3"}, OBJECTIVE, PAGE, "- use 21", report)
    assert "## Answers\n\n- use 21\n" in ended


def test_of_a_tuning_it_says_what_the_best_trials_are() -> None:
    one = compose({}, OBJECTIVE, PAGE, "")
    assert "**Best Trial** has the best settings." in one
    front = compose({}, (*OBJECTIVE, "dim3"), PAGE, "")
    assert "Its values are the validation mean squared error and dim3: less is better." in front
    assert "**Best Trials** are the Pareto front" in front
    assert not any("analysis.report" in note or "History" in note for note in (one, front))


def test_a_store_without_a_server_is_opened_by_a_command() -> None:
    address, command = page = page_of("sqlite:////my data/mlflow.db", "1", "abc")
    assert command == "mlflow ui --backend-store-uri 'sqlite:////my data/mlflow.db'"
    note = compose({}, OBJECTIVE, page, "")
    assert f"```sh\n{command}\n# then open {address}\n```" in note
    assert "](" not in note


def test_passwords_are_left_out() -> None:
    for uri in ("https://me:hunter22@host", "postgresql://me:hunter22@host/db"):
        note = compose({}, OBJECTIVE, page_of(uri, "1", "abc"), "", report_command(uri, "e"))
        assert "hunter22" not in note
        assert "me:***@host" in note


@pytest.mark.parametrize("kind", [k for k in NAMES if k != "nothing"])
def test_names_make_no_link_picture_or_element(kind: str) -> None:
    name = NAMES[kind]
    note = compose({"dataset": name}, OBJECTIVE, PAGE, "", report_command("sqlite:///x.db", name))
    first, *_ = note.split("\n\n## ")
    assert first.count("\n") == 0
    if "/" in name:  # as code: of an address the dashboard would make a link
        assert re.fullmatch(r"- dataset: `[^`]*`", first)
    else:
        assert not re.search(r"<|(?<!\\)[\[\]`!#*]", first)
    *_, command = note.split("```sh\n")
    assert command.endswith("\n```")
    assert "```" not in command[:-3]
    assert command.count("\n") == 1
