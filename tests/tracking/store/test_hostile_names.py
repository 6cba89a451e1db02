"""Names of files, columns, classes, experiments and models that are paths, markup, formulas or endless."""

import sys
import warnings
from collections.abc import Iterator
from csv import QUOTE_NONNUMERIC
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mlflow import MlflowClient

from elbowroom.models import PCA
from elbowroom.studies import scan
from elbowroom.studies.options import parse_options
from elbowroom.studies.records.results import Point, csv, description, draw
from elbowroom.studies.records.study import done_cells
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.drawing import Look
from elbowroom.tracking.run.figures import FIGURES, RunView
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import Tag
from elbowroom.tracking.train import main
from tests.analysis.example_runs import log
from tests.conftest import marked, signals_kept
from tests.hostile import NAMES, check_lines, nothing_else_in

pytestmark = pytest.mark.integration

FILE_NAMES = {
    k: v
    for k, v in NAMES.items()
    if v.strip(" .") and len(v.encode("utf-8", "replace")) < 240 and not {"/", "\0"} & set(v)
}
ROWS = np.random.default_rng(0).normal(size=(40, 6))
QUICK = ["--model", "pca", "--dim3", "2", "--threads", "1"]


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    with signals_kept():
        yield


def table(path: Path, columns: list[str], classes: list[str]) -> None:
    """A file of rows with a column of classes, `label`."""
    labels = [classes[i % len(classes)] for i in range(len(ROWS))]
    pd.DataFrame(ROWS, columns=columns).assign(label=labels).to_csv(path, index=False, quoting=QUOTE_NONNUMERIC)


CLASSES = [v for k, v in NAMES.items() if v and k != "half a letter"]
"""As far as the reader of CSV takes them."""


@pytest.mark.parametrize("kind", ["a formula", *marked("soak", *(k for k in FILE_NAMES if k != "a formula"))])
def test_a_file_may_be_called_anything(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    word = FILE_NAMES[kind]
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / f"{word}.csv"
    try:
        table(file, [f"{word} {i}" for i in range(6)], ["a", "b"])
    except (OSError, UnicodeEncodeError):
        pytest.skip("this system has no such file names")
    given = [*QUICK, "--dataset", str(file), "--label-column", "label", "--experiment", word]
    with nothing_else_in(tmp_path, tmp_path / "mlruns", tmp_path / "mlflow.db.lock"):
        code = main([*given, "--tracking-uri", store.tracking_uri])
    captured = capsys.readouterr()
    check_lines(captured.out + captured.err.replace("\r", ""))
    assert code == 0
    (run,) = store.search_runs([store.get_experiment_by_name(word).experiment_id])
    assert run.info.status == "FINISHED"
    assert RunConfig.from_json(run.data.tags[Tag.CONFIG]).dataset == str(file)
    assert run.data.tags[Tag.DATASET].isprintable()
    outside_code = "".join(run.data.tags[Tag.DESCRIPTION].split("`")[::2])
    assert not set("<>[]") & set(outside_code)


def test_classes_and_columns_may_be_called_anything(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(tmp_path / "mine.csv", [*CLASSES[:5], "x"], [word[:100] for word in CLASSES])
    given = [*QUICK, "--dataset", "mine.csv", "--label-column", "label", "--tracking-uri", store.tracking_uri]
    assert main(given) == 0
    captured = capsys.readouterr()
    check_lines(captured.out + captured.err)
    assert "missing from font" not in captured.err


@pytest.mark.parametrize("name", ["latent_scatter", *marked("soak", *(n for n in FIGURES if n != "latent_scatter"))])
@pytest.mark.parametrize("kind", ["a formula", "10,000 letters", "a terminal's orders", "nothing"])
def test_a_figure_of_any_class_and_any_run(kind: str, name: str) -> None:
    word = NAMES[kind]
    x = ROWS.astype(np.float32)
    for dim3 in (1, 2):
        model = PCA(dim3=dim3)
        model.fit(x, None)
        names = (word, f"_{word}", "b")
        view = RunView(word, model, (), model.encode(x), np.arange(40) % 3, names, x, x, Look(None), model.spectrum)
        figure = FIGURES[name](view)
        if figure is None:
            continue
        canvas = FigureCanvasAgg(figure)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            canvas.draw()
        assert max(canvas.get_width_height()) < 2000
        if name == "latent_scatter" and dim3 == 2:
            assert len(figure.axes[0].get_legend().get_texts()) == 3


@pytest.mark.parametrize("kind", NAMES)
def test_a_study_is_called_by_what_can_be_printed(kind: str) -> None:
    given = scan.parser().parse_args(["--study", NAMES[kind], "--workers", "1"])
    word = NAMES[kind].strip()
    if word and word.isprintable() and len(word) <= 200:
        assert parse_options(given).study == word
    else:
        with pytest.raises(BadInput, match="study"):
            parse_options(given)


@pytest.mark.parametrize("kind", NAMES)
def test_what_a_study_writes_of_a_model(kind: str) -> None:
    word = NAMES[kind]
    points = [Point(word, k, {0: 1 / k}) for k in (2, 3)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(draw(points, word, "validation error")).draw()
    assert description([word], word).count("```") == (2 if word else 0)
    assert csv(points).startswith("dim3,error,seed,model\n2,0.5,0,")


def test_a_run_that_lacks_what_a_cell_has_is_no_cell(store: MlflowClient) -> None:
    good = log(store, dim3=2, error=0.5)
    log(store, dim3=3, error=0.5, tags={Tag.CONFIG: "{"})
    log(store, dim3=4, error=0.5, tags={Tag.CONFIG: "[" * 5000})
    log(store, dim3=5, error=0.5, tags={Tag.CONFIG: '{"dim3": "x"}'})
    log(store, dim3=6, error=None, test=None)
    runs = store.search_runs([store.get_experiment_by_name("e").experiment_id])
    assert {f.run.info.run_id for f in done_cells(runs, {}).values()} == {good}


@pytest.mark.parametrize("field", ["model", "dataset", "test_data", "label_column"])
@pytest.mark.parametrize("text", ["y" * 1001, "a\ud800", "a\0b"])
def test_a_text_that_no_store_takes_is_refused(field: str, text: str) -> None:
    with pytest.raises(BadInput, match=f"{field} must be text of at most 1000 letters"):
        RunConfig(**{field: text})  # type: ignore[arg-type]


def test_the_longest_configuration_finds_room_in_one_tag() -> None:
    config = RunConfig(model="数" * 1000, dataset="🎉" * 1000, test_data="é" * 1000, label_column='"' * 1000)
    assert len(config.to_json()) < 6000
    assert RunConfig.from_json(config.to_json()) == config


def test_a_terminal_that_lacks_a_letter_shows_a_question_mark(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path / "数据.csv", [f"c{i}" for i in range(6)], ["a", "b"])
    with (tmp_path / "said").open("w", encoding="ascii") as narrow:
        monkeypatch.setattr(sys, "stdout", narrow)
        code = main([*QUICK, "--dataset", "数据.csv", "--label-column", "label", "--tracking-uri", store.tracking_uri])
    assert code == 0
    assert "numbers of ?? in" in (tmp_path / "said").read_text()
