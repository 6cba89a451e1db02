"""`python -m tracking.data inspect FILE`: all columns at once, and the command that trains on them."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from elbowroom.tracking import train
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.data.__main__ import main
from elbowroom.tracking.store.errors import BadInput
from tests.conftest import signals_kept


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    frame.insert(0, "id", range(1, 61))
    frame = frame.assign(city=np.resize(["Oslo", "Rome"], 60), day=pd.date_range("2020-01-01", periods=60), one=1)
    frame["money"] = 2.5e11 * rng.random(60)
    frame.loc[:5, "b"] = np.nan
    frame.to_csv("mine.csv", index=False)
    return "mine.csv"


def inspected(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with signals_kept():
        code = main(["inspect", *words])
    return code, capsys.readouterr().out


def test_all_columns_and_the_flag_for_each(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = inspected(capsys, table)
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if line.strip()}
    assert code == 0
    assert lines["mine.csv:"] == "60 rows"
    assert lines["id"] == "ids 1 to 60 refused --id-column"
    assert lines["b"].startswith("numbers, 6 gaps, 10 % ")
    assert lines["b"].endswith("refused --missing median (or drop)")
    assert lines["city"] == "words Oslo, … (2 different) refused --categories one-hot (or drop)"
    assert lines["day"] == "dates 2020-01-01, … refused --drop"
    assert lines["one"] == "numbers 1, constant a number"
    assert lines["column"].startswith("money has over 99.9 % of the variance, so errors and shares tell little")
    assert lines["constant,"] == "and so of no use: 'one'"


def test_the_refusal_names_them_all_in_one_line(table: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_dataset(table)
    assert str(caught.value) == (
        "mine.csv: 4 of 8 columns can't be used as they are: 'id' numbers the rows; 'b' has 6 gaps, 10 %; 'city' holds "
        "words (2 different), such as 'Oslo'; 'day' holds dates, such as '2020-01-01'. Allowed: --id-column id "
        "--drop day --categories one-hot (or drop) --missing median (or drop), or --label-column for the one with the "
        "labels. `python -m tracking.data inspect mine.csv` lists all columns"
    )


def test_the_command_that_it_ends_with_can_be_trained(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = inspected(capsys, table, "--label-column", "city")
    words = shlex.split(re.search("^train:  python -m tracking.train (.*)$", text, re.MULTILINE)[1])  # type: ignore[index]
    given = train.parser().parse_args(words)
    assert (given.id_column, given.drop, given.label_column, given.missing) == ("id", "day", "city", "median")
    assert given.scale == "columns"
    fields = {name: getattr(given, name) for name in ("id_column", "drop", "label_column", "missing", "scale")}
    assert load_dataset(RunConfig(dataset=table, **fields)).names == ("a", "b", "c", "one", "money")
    code, text = inspected(capsys, *words[1:])
    assert (code, "refused" in text) == (0, False)


def test_arrays_and_their_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = np.arange(24.0).reshape(6, 2, 2)
    np.savez(tmp_path / "a.npz", x_train=pictures, y_train=np.arange(6), x_test=pictures[:2] + 1)
    code, text = inspected(capsys, str(tmp_path / "a.npz"))
    assert code == 0
    assert "a.npz: 6 rows, 2 rows of test\n  2x2 numbers a row (float64), from 0 to 23\n  beside them: labels" in text


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with signals_kept():
        assert main(["inspect", "nowhere.csv"]) == 2
    assert capsys.readouterr().err == "error: no such file or folder: nowhere.csv\n"
