"""Names in a store that are paths, markup, formulas, orders to a terminal, endless or nothing: they stay names."""

import csv
import io
import json
import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mlflow import MlflowClient
from mlflow.entities import Metric as LoggedMetric
from mlflow.entities import Param, Run, RunData, RunInfo, RunTag

from elbowroom.analysis import assignment, report
from elbowroom.analysis.findings.find import Findings, Pick, find
from elbowroom.analysis.latent_space.projections import Points, Projections
from elbowroom.analysis.pages.interactive import views
from elbowroom.analysis.pages.report import Page, RunLine, render
from elbowroom.analysis.reporting.experiment import _curves_csv
from elbowroom.analysis.reporting.publish import _description, _registered_name, _which_command
from elbowroom.analysis.runs.arrays import Examples
from elbowroom.analysis.runs.comparison import Cell, LeftOut, Store, own_cell
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import FACT_PREFIX, PACKAGE_PREFIX, Kind, Metric, Tag
from elbowroom.tracking.store.text import clean, key, markdown, quoted
from tests.analysis.example_runs import FIGURES, log
from tests.analysis.test_assignment import log_all
from tests.conftest import marked
from tests.hostile import ALL, NAMES, Reader, check_files, check_lines, check_page, nothing_else_in

pytestmark = pytest.mark.integration

NUMBERS = {2: 0.5, 3: 0.3, 4: 0.2, 5: 0.15, 6: 0.12}


def hostile_run(word: str, model: str, dim3: int, error: float) -> Run:
    """A run as a server could send it, with a word in every place that is text."""
    config = json.loads(RunConfig(dim3=dim3, seed=0).to_json()) | {"model": model, "dataset": word, word: word}
    tags = {
        Tag.KIND: Kind.RUN,
        Tag.CONFIG: json.dumps(config),
        Tag.DATASET: word,
        Tag.DIGEST: word or "d",
        Tag.LABEL: word,
        Tag.STUDY: word,
        Tag.COMMIT: word,
        Tag.IMAGE_SHAPE: word,
        Tag.REASON: word,
        f"{FACT_PREFIX}loss": word,
        f"{FACT_PREFIX}output": word,
        f"{PACKAGE_PREFIX}{word}": word,
    }
    numbers = {Metric.VAL_MSE_FINAL: error, Metric.TEST_MSE: error, Metric.FIT_SECONDS: 1.0, Metric.PARAMETERS: 9.0}
    info = RunInfo(f"{dim3:032x}", "1", "", "FINISHED", dim3, dim3, "active", run_name=word)
    metrics = [LoggedMetric(k, v, 0, 0) for k, v in numbers.items()]
    return Run(info, RunData(metrics, [Param(word, word)], [RunTag(k, v) for k, v in tags.items()]))


def cells(word: str) -> list[Cell]:
    """Three models on one data set: called so, called so behind a module, and PCA."""
    made = []
    for model in (word, f"module:{word}", "pca"):
        for dim3, error in NUMBERS.items():
            cell = own_cell(hostile_run(word, model, dim3, error), {})
            assert cell is not None
            made.append(cell)
    return made


def findings(word: str) -> tuple[Findings, Store]:
    study = hostile_run(word, "ae", 2, 0.1)
    study.data.tags[Tag.GRID] = json.dumps({"dim3": {word: [2, 99]}, "seeds": 1})
    left = [LeftOut("e" * 32, c.name, clean(word, 500)) for c in cells(word)[:1]]
    store = Store("1", word, cells(word), [], left, left, [study], [])
    return find(store), store


@pytest.mark.parametrize("kind", NAMES)
def test_a_word_in_every_place_stays_a_word(kind: str) -> None:
    word = NAMES[kind]
    found, store = findings(word)
    (comparison,) = found.comparisons
    labels = [m.label for m in comparison.models]
    assert len(set(labels)) == 3
    for text in (*labels, comparison.name, *(m.sentence for m in comparison.models), *comparison.missing):
        assert text.strip()
        assert clean(text) == text
        assert len(text) < 600
    json.loads(found.to_json())
    rows = {comparison.name: Examples((1, 1), np.ones((2, 1)), {label: {2: np.ones((2, 1))} for label in labels})}
    points = {label: {2: Points(np.eye(2), 1.0)} for label in labels}
    codes = {comparison.name: Projections(None, None, points, [])}
    live = views(found.comparisons, rows, codes, lambda run_id: f"javascript:{word}", 10**6)
    assert {p["link"] for m in live["c1-error"]["models"] for p in m["points"]} == {None}
    for name in ("c1-pictures", "c1-codes"):
        assert [m["label"] for m in live[name]["models"]] == [clean(label, 28) for label in labels]
    page = Page(
        title=word, figures={}, links=lambda run_id: f'http://127.0.0.1:5000/#/{run_id}" onclick="{word}',
        command=word, made_with={word: word}, note=word, registered=word, live=live,
        runs=[RunLine(c.run_id, c.name, word, c.model, c.dim3, c.seed, c.error, None, None) for c in store.cells],
    )  # fmt: skip
    html = render(found, page)
    check_page(html)
    assert json.loads(Reader(html).scripts[0]) == json.loads(json.dumps(live))
    table = list(csv.reader(io.StringIO(_curves_csv(found))))
    assert {row[1] for row in table[1:]} == set(labels)
    said = "\n".join(_description(found))
    assert len(said) <= 5000
    assert said.encode()
    assert not re.search(r"<|(?<!\\)[\[\]`!]", said)


@pytest.mark.parametrize("name", ["error", *marked("soak", *(n for n in FIGURES if n != "error"))])
@pytest.mark.parametrize("kind", ["a formula", "10,000 letters", "a terminal's orders", "nothing"])
def test_a_word_is_drawn_letter_by_letter(kind: str, name: str) -> None:
    figure = FIGURES[name](findings(NAMES[kind])[0].comparisons[0])
    if figure is None:
        return
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a missing letter
        canvas.draw()
    assert max(canvas.get_width_height()) < 3000
    assert all(len(t.get_text()) < 120 for legend in figure.legends for t in legend.get_texts())


@pytest.mark.parametrize("kind", NAMES)
def test_a_word_made_harmless(kind: str) -> None:
    word = NAMES[kind]
    assert clean(word).isprintable()
    assert len(clean(word, 80)) <= 80
    assert re.fullmatch(r"[\w .:-]{1,200}", key(word))
    assert key(word).strip(".")
    assert not re.search(r"<|(?<!\\)[\[\]`!#]", markdown(word))
    code = quoted(word)
    assert code.count("`") in (0, 2)
    assert code.count("`") == 2 or not re.search(r"[<>\[\]()&*_]", code)
    name = _registered_name(word)
    assert re.fullmatch(r"elbowroom-[\w .-]*[\w-]", name)
    assert len(name) <= 90


@pytest.mark.parametrize("plain", ["fashion-mnist", "my data 2", "größe", "v1.2"])
def test_plain_names_stay_as_they_are(plain: str) -> None:
    assert clean(plain, 80) == markdown(plain) == quoted(plain) == key(plain) == plain
    assert _registered_name(plain) == f"elbowroom-{plain}"


def test_models_whose_names_end_alike_share_nothing(store: MlflowClient) -> None:
    long = "x" * 2500
    for k, error in NUMBERS.items():
        for i, model in enumerate(("one:Net", "two:Net", f"{long}1{long}:Net", f"{long}2{long}:Net")):
            log(store, model=model, dim3=k, error=error + i)
    assert report.main(["--experiment", "e", "--tracking-uri", store.tracking_uri, "--out", "out", "--no-log"]) == 0
    models = json.loads(Path("out/result.json").read_text())["comparisons"][0]["models"]
    labels = {m["label"]: m["points"][0]["error"] for m in models}
    assert {k: v for k, v in labels.items() if len(k) < 20} == {"one:Net": 0.5, "two:Net": 1.5}
    assert sorted(labels.values()) == [0.5, 1.5, 2.5, 3.5]
    assert all(len(label) < 100 for label in labels)


def test_the_commands_on_a_store_of_such_names(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both pages, logged: nothing but the folder and the store is written, and nothing but text is shown."""
    word, experiment = ALL, ALL[:400]
    log_all(store, tmp_path / "arrays", model_of={"vae": word[:3000]})
    log(store, dim3=4, error=None, test=None)
    log(store, dim3=4, error=1.0, status="FAILED")
    place = store.get_experiment_by_name("e").experiment_id
    for run in store.search_runs([place]):
        store.update_run(run.info.run_id, name=word)
        for tag in (Tag.DATASET, Tag.COMMIT, Tag.REASON, Tag.LABEL, Tag.STUDY, f"{FACT_PREFIX}loss"):
            store.set_tag(run.info.run_id, tag, word)
    store.set_experiment_tag(place, Tag.DESCRIPTION, "Its owner's words.")
    store.rename_experiment(place, experiment)
    given = ["--experiment", experiment, "--tracking-uri", store.tracking_uri, "--out"]
    with nothing_else_in(tmp_path, tmp_path / "a", tmp_path / "b", tmp_path / "mlruns"):
        assert report.main([*given, "a"]) == 0
        assert assignment.main([*given, "b", "--show", "2"]) == 0
    captured = capsys.readouterr()
    check_lines(captured.out + captured.err)
    for page in (Path("a/report.html"), Path("b/assignment.html")):
        check_page(page.read_text())
    check_files(Path("a"), {"report.html", "result.json", "curves.csv", "figures"})
    check_files(Path("b"), {"assignment.html", "assignment.json", "assignment-figures"})
    found = store.get_experiment_by_name(experiment)
    for run in store.search_runs([found.experiment_id], f"tags.`{Tag.KIND}` = '{Kind.ANALYSIS}'"):
        assert run.info.status == "FINISHED"
        assert "<" not in run.data.tags[Tag.DESCRIPTION]
    assert not re.search(r"<|(?<!\\)!\[", found.tags[Tag.DESCRIPTION])


@pytest.mark.parametrize("kind", NAMES)
def test_the_suggested_command_is_words_for_the_shell(kind: str) -> None:
    word = NAMES[kind]
    found, _ = findings(word)
    found.comparisons[0].settings["tracking_uri"] = "http://evil.example"
    sentence = _which_command(Pick(found.comparisons[0].models[0].label, 2, None, 0, ""), found.comparisons[0])
    command = sentence.partition("makes one: ")[2]
    assert bool(command) == (len(word) < 200)
    words = shlex.split(command)
    if words:
        assert words[:3] == ["python", "-m", "tracking.train"]
        assert words[words.index("--dataset") + 1] == clean(word)
        assert "--tracking-uri" not in words
