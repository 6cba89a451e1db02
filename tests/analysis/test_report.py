"""The report's command line: what it writes, what it logs back, and what it refuses."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from elbowroom.analysis.figures.curves import plot_error
from elbowroom.analysis.pages import report as pages
from elbowroom.analysis.pages.report import SECTIONS, Plot, Section
from elbowroom.analysis.report import main
from elbowroom.analysis.reporting import experiment
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.run import execute
from elbowroom.tracking.store.names import METRICS, Artifact, Column, Kind, Metric, Tag
from tests.analysis.example_runs import log, log_curve
from tests.conftest import locked_for
from tests.hostile import Reader

pytestmark = pytest.mark.integration

CORNER = {k: 1 - 0.1 * (k - 2) if k < 8 else 0.4 - 0.01 * (k - 8) for k in range(2, 13)}
MEAN_ROW = 4.02
TAKEN = {f"figures/{name}.png" for name in ("error", "equivalent", "ratio")}


def fill(store: MlflowClient, folder: Path) -> None:
    """PCA, smooth, and an autoencoder with a corner at 8, where it keeps 90 %; with rows and without models."""
    log_curve(store, {k: 6 / k for k in CORNER}, folder, model="pca", mean_row=MEAN_ROW)
    for seed in (0, 1):
        log_curve(store, CORNER, folder, rows_of=seed, seed=seed, mean_row=MEAN_ROW)


@pytest.fixture(scope="module", autouse=True)
def _filled(shared_store: MlflowClient, tmp_path_factory: pytest.TempPathFactory) -> None:
    fill(shared_store, tmp_path_factory.mktemp("arrays"))


def report(store: MlflowClient, *arguments: str) -> int:
    return main(["--experiment", "e", "--tracking-uri", store.tracking_uri, "--out", "out", *arguments])


def analyses(store: MlflowClient) -> list[Run]:
    experiments = [e.experiment_id for e in store.search_experiments()]
    return [r for r in store.search_runs(experiments) if r.data.tags.get(Tag.KIND) == Kind.ANALYSIS]


def result() -> dict:
    return json.loads(Path("out/result.json").read_text())


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_everything_is_written_and_logged_back(store_copy: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(store_copy) == 0
    out = capsys.readouterr().out
    assert "ae: a clear elbow at dim3 8" in out
    assert "ae errs less than PCA" in out
    written = {str(p.relative_to("out")) for p in Path("out").rglob("*") if p.is_file()}
    assert {"report.html", "result.json", "curves.csv"} | TAKEN <= written
    (run,) = analyses(store_copy)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["choice/ae"] == 8
    kept = {a.path for a in store_copy.list_artifacts(run.info.run_id)}
    assert {"report.html", "result.json", "curves.csv", "figures"} <= kept
    local = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=Artifact.REPORT))
    assert local.read_bytes() == Path("out/report.html").read_bytes()
    assert run.data.tags[Tag.RUNS_DIGEST] == result()["digest"]
    runs = [r.info.run_id for r in store_copy.search_runs([run.info.experiment_id], max_results=1000)]
    assert result()["runs"] == sorted(set(runs) - {run.info.run_id})
    experiment = store_copy.get_experiment_by_name("e")
    assert experiment is not None
    assert "| ae | 8 | 8 to 10 | 8 (8 to 8) |" in experiment.tags[Tag.DESCRIPTION]
    assert run.info.run_id in experiment.tags[Tag.DESCRIPTION]
    assert experiment.tags["mlflow.experiment.primaryMetric.name"] == Metric.TEST_MSE


def test_a_new_section_and_a_new_metric_are_on_the_page_and_in_the_files(
    store_copy: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Section("twice", "Error, again", plot=Plot(plot_error, lambda _: "The same again.", "As above."))
    for module in (pages, experiment):
        monkeypatch.setattr(module, "SECTIONS", [*SECTIONS, added])
    monkeypatch.setitem(METRICS, Metric.EPOCHS_TRAINED, Column("epochs", "epochs trained", 0))
    assert report(store_copy, "--no-log") == 0
    read = Reader(Path("out/report.html").read_text())
    assert "Error, again" in read.text
    assert "As above." in read.text
    assert "The same again." in {image["alt"] for image in read.all("img")}
    assert Path("out/figures/twice.png").exists()
    assert "epochs trained" in read.text
    (*_, epochs) = Path("out/curves.csv").read_text().splitlines()[-1].split(",")
    assert epochs == "20.0"
    (comparison,) = result()["comparisons"]
    assert {p["epochs"] for m in comparison["models"] for p in m["points"] if m["label"] == "ae"} == {20}


def test_the_same_runs_give_the_same_bytes_and_the_last_description_counts(store_copy: MlflowClient) -> None:
    experiment = store_copy.get_experiment_by_name("e")
    assert experiment is not None
    before = "Mine.\n\n<!-- elbowroom: written by the report -->\nAs of last year.\n<!-- elbowroom: end -->"
    store_copy.set_experiment_tag(experiment.experiment_id, Tag.DESCRIPTION, before)
    assert report(store_copy) == 0
    first = Path("out/result.json").read_bytes()
    assert report(store_copy) == 0
    assert Path("out/result.json").read_bytes() == first
    text = store_copy.get_experiment(experiment.experiment_id).tags[Tag.DESCRIPTION]
    assert text.startswith("Mine.\n\ndigits, 20 epochs: pca not reached, ae 8 (dim3 to keep 90 % of the variance)\n")
    assert "last year" not in text
    assert text.count("| ae | 8 |") == 1
    newest = max(analyses(store_copy), key=lambda r: r.info.start_time)
    assert newest.info.run_id in text


def test_read_only_leaves_the_store_as_it_was(store_copy: MlflowClient) -> None:
    before = Path("mlflow.db").read_bytes()
    assert report(store_copy, "--no-log") == 0
    assert Path("mlflow.db").read_bytes() == before
    assert Path("out/report.html").exists()


OTHER_VERSION = "UPDATE alembic_version SET version_num = '0584bdc529eb'"  # of MLflow 2.22
NEWER_VERSION = "UPDATE alembic_version SET version_num = 'ffffffffffff'"


def changed(database: str, *statements: str) -> bytes:
    """Change a database, and return what the file holds then."""
    with closing(sqlite3.connect(database)) as opened:
        for sql in statements:
            opened.execute(sql)
        opened.commit()
    return Path(database).read_bytes()


@pytest.mark.parametrize(
    ("sql", "flags", "said"),
    [
        (OTHER_VERSION, [], "a report with --no-log reads a copy"),  # tests/upgrades has a whole older store
        (NEWER_VERSION, ["--no-log"], "does not know (ffffffffffff): a newer version"),
        ("DROP TABLE trace_metrics", ["--no-log"], "lacks tables of MLflow (trace_metrics)"),
    ],
)
def test_a_store_of_another_mlflow_version_is_refused_and_not_upgraded(
    store_copy: MlflowClient, sql: str, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = changed("mlflow.db", sql)
    assert report(store_copy, *flags) == 2
    assert said in refusal(capsys)
    assert Path("mlflow.db").read_bytes() == before


NO_STORE = {
    "CREATE TABLE songs (a)": "another program's database (it holds songs",
    "CREATE TABLE experiments (a)": "another program's database (it holds experiments",
    "PRAGMA user_version": "is an empty database",
}


@pytest.mark.parametrize("sql", NO_STORE)
@pytest.mark.parametrize("flags", [[], ["--no-log"]])
def test_a_database_without_runs_is_refused_and_stays_as_it_was(
    store_copy: MlflowClient, sql: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = changed("other.db", sql)
    for form in ("sqlite:///other.db", "sqlite+pysqlite:///other.db", "sqlite:///file:other.db?uri=true"):
        assert main(["--experiment", "e", "--tracking-uri", form, *flags]) == 2
        assert NO_STORE[sql] in refusal(capsys)
        assert main(["--experiment", "e", "--tracking-uri", form.replace("other", "nothere"), *flags]) == 2
        assert "there is no such file" in refusal(capsys)
    assert Path("other.db").read_bytes() == before
    assert not Path("nothere.db").exists()


def test_a_registry_of_another_mlflow_version_is_not_upgraded(
    store_copy: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile("mlflow.db", "old.db")
    before = changed("old.db", OTHER_VERSION)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:///old.db")
    assert report(store_copy, "--choose", "dim3=8") == 2
    assert "registry URI sqlite:///old.db has the tables of another MLflow version" in refusal(capsys)
    assert report(store_copy, "--no-log") == 0  # which asks no registry
    assert Path("old.db").read_bytes() == before


def test_a_store_in_a_folder_that_cant_be_written_is_read_from_a_copy(
    store_copy: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what a write-ahead log holds, where SQLite opens no such file."""
    Path("ro").mkdir()
    with closing(sqlite3.connect("mlflow.db")) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("UPDATE experiments SET name = 'in the log' WHERE name = 'e'")
        database.commit()
        for name in ("mlflow.db", "mlflow.db-wal"):
            shutil.copyfile(name, f"ro/{name}")
    connect = sqlite3.connect

    def without_writing(path: str | Path, **options: Any) -> sqlite3.Connection:
        return connect("file:none?mode=ro" if "mode=ro" in str(path) else path, **options)

    monkeypatch.setattr("os.access", lambda path, mode: not str(path).endswith("/ro"))
    monkeypatch.setattr("sqlite3.connect", without_writing)
    arguments = ["--experiment", "in the log", "--tracking-uri", "sqlite:///ro/mlflow.db", "--out", "out", "--no-log"]
    assert main(arguments) == 0
    assert {p.name for p in Path("ro").iterdir()} == {"mlflow.db", "mlflow.db-wal"}


def test_a_store_that_stays_locked_is_waited_for(
    store_copy: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("elbowroom.tracking.store.database.SQLITE_SECONDS", 0.1)
    with locked_for(0.5, Path("mlflow.db")):
        assert report(store_copy) == 2
    assert "database is locked" in refusal(capsys)


def test_the_chosen_model_is_registered_once_with_its_reason(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "e")
    for k in range(2, 7):  # PCA for real, whose runs have models
        execute(RunConfig(model="pca", dataset="digits", dim3=k, artifacts="full" if k == 4 else "light"))
    assert report(store, "--choose", "dim3=4") == 0
    assert report(store, "--choose", "model=pca,dim3=4") == 0
    version = store.get_model_version_by_alias("elbowroom-digits", "chosen")
    assert str(version.version) == "1"
    assert version.tags["elbowroom.dim3"] == "4"
    assert version.tags["elbowroom.why"] == "chosen by hand"
    assert store.get_run(version.run_id).data.params["dim3"] == "4"
    loaded = mlflow.pyfunc.load_model("models:/elbowroom-digits@chosen")
    assert loaded.metadata.run_id == version.run_id
    capsys.readouterr()
    assert report(store, "--choose", "dim3=5") == 0  # a light run, which has no model
    out = capsys.readouterr().out
    command = re.search(r"this makes one: python -m (.*)", out)
    assert command is not None
    assert "--model pca --dataset digits --dim3 5 --seed 0" in command[1]
    assert "--artifacts full" in command[1]
    assert store.get_model_version_by_alias("elbowroom-digits", "chosen").version == version.version


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--choose", "dim3=²"], "choose 'dim3=²': allowed is dim3=12 or model=vae,dim3=12"),
        (["--choose", "12"], "choose '12': allowed is dim3=12 or model=vae,dim3=12"),
        (["--choose", "dim3=99"], "choose dim3=99: ae has finished cells at 2, 3, 4"),
        (["--choose", "dim3=3,model=vae"], "choose model=vae: allowed: pca, ae"),
        (["--map", "dim3=x"], "map 'dim3=x': allowed is TARGET=SOURCE.NAME"),
        (["--rule", "gain:2"], "rule 'gain:2': allowed: keep:N (share of the variance kept, between 0 and 1)"),
        (["--tracking-uri", "sqlite:///none.db"], "there is no such file"),
        (["--tracking-uri", "ftp://x"], "can't be used"),
        (["--out", "mlflow.db"], "out mlflow.db: can't be written"),
        (["--colour"], "unrecognized arguments: --colour; --help lists what is allowed"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    store_copy: MlflowClient, capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    assert report(store_copy, *arguments) == 2
    assert why in refusal(capsys)
    assert analyses(store_copy) == []
    assert not list(Path("out").rglob("*")) if Path("out").exists() else True


def test_without_finished_runs_it_says_what_there_is(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    log(store, dim3=2, error=1.0, status="FAILED", tags={Tag.REASON: "no room"})
    log(store, dim3=2, error=float("nan"), name="odd")
    assert report(store) == 2
    line = refusal(capsys)
    assert "1 have not finished" in line
    assert "1 can't be used, like odd: its val/mse/final is nan" in line


def dies(*_: object, **__: object) -> None:
    raise MlflowException("Max retries exceeded: Connection refused")


def third_page_dies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("elbowroom.tracking.store.client._PAGE", 10)
    answers = iter([MlflowClient.search_runs] * 2)
    patch.setattr(MlflowClient, "search_runs", lambda *a, **k: next(answers, dies)(*a, **k))


def artifacts_die(patch: pytest.MonkeyPatch) -> None:
    """Which is not to be without them."""

    def gone(cell: object, artifact: str, folder: str) -> str:
        patch.setattr("elbowroom.analysis.runs.arrays.mlflow.get_tracking_uri", lambda: "http://127.0.0.1:9")
        patch.setattr(MlflowClient, "search_experiments", dies)
        return "not in the store"

    patch.setattr("elbowroom.analysis.runs.arrays._array", gone)


@pytest.mark.parametrize("death", [third_page_dies, artifacts_die])
def test_a_store_that_dies_mid_read_fails_in_one_line_and_writes_nothing(
    store_copy: MlflowClient,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    death: Callable[[pytest.MonkeyPatch], None],
) -> None:
    death(monkeypatch)
    assert report(store_copy, "--no-log") == 1
    assert "the store stopped answering, nothing was written: Max retries exceeded" in refusal(capsys)
    assert list(Path("out").iterdir()) == []


def test_runs_of_others_are_reported_through_a_map_and_an_analysis_among_them_changes_nothing(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = store.create_experiment("e")
    for k, error in CORNER.items():
        run = store.create_run(experiment)
        store.log_param(run.info.run_id, "latent_size", k)
        store.log_param(run.info.run_id, "arch", "mlp")
        store.log_metric(run.info.run_id, "val_loss", error)
        store.set_terminated(run.info.run_id)
    columns = ("--map", "dim3=params.latent_size,error=metrics.val_loss,model=params.arch")
    assert report(store, *columns) == 0
    assert "mlp: a clear elbow at dim3 8" in capsys.readouterr().out
    first = Path("out/result.json").read_bytes()
    assert report(store, *columns) == 0
    assert Path("out/result.json").read_bytes() == first


def test_a_table_can_have_the_whole_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{k},{e!r},ae" for k, e in CORNER.items()] + [f"{k},{6 / k!r},pca" for k in CORNER]
    lines.append(f"0,{MEAN_ROW},pca")
    Path("t.csv").write_text("\n".join(["dim3,error,model", *lines]))
    assert main(["--curve", "t.csv", "--out", "out"]) == 0
    (comparison,) = result()["comparisons"]
    choices = {m["label"]: {c["rule"]: c["choice"] for c in m["purposes"]} for m in comparison["models"]}
    shares = {"keep:0.80": 4, "keep:0.87": 7, "keep:0.90": 8, "keep:0.95": None}  # PCA misses 90 %, and keeps 87 %
    assert {rule: choices["ae"][rule] for rule in shares} == shares
    assert comparison["mean_row"] == MEAN_ROW
    assert Path("out/figures/error.png").exists()
    assert not Path("mlflow.db").exists()
