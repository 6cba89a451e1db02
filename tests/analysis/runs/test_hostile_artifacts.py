"""Files and numbers in a store that are not what they should be: left out with the reason, and the page is written."""

import io
import json
import math
import os
import pickle
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric as LoggedMetric
from mlflow.entities import Run, RunData, RunInfo, RunTag
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

from elbowroom.analysis import assignment, report
from elbowroom.analysis.findings.against_pca import pca_curve
from elbowroom.analysis.findings.find import find
from elbowroom.analysis.latent_space.answers import Shelf, answer
from elbowroom.analysis.runs import arrays
from elbowroom.analysis.runs.arrays import fetch
from elbowroom.analysis.runs.comparison import Store, Unusable, compare, own_cell
from elbowroom.analysis.runs.query import read
from elbowroom.tracking.cli import be_quiet
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import Artifact, Kind, Metric, Tag
from elbowroom.tracking.store.session import borrowed
from tests.analysis.example_runs import FIGURES, log, log_curve
from tests.analysis.latent_space.test_answers import CODES, LABELS, log_measured
from tests.analysis.test_assignment import log_all
from tests.conftest import marked
from tests.faults.proxy import FAULTS, Answer, Fault, Proxy, proxy_to
from tests.hostile import check_lines, check_page

pytestmark = pytest.mark.integration

WRECKED = "wrecked"


class Trap:
    """Makes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.mkdir, (WRECKED,)


def npy(array: Any, **how: Any) -> bytes:
    into = io.BytesIO()
    np.save(into, array, **how)
    return into.getvalue()


def header(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


GOOD = npy(np.ones((4, 2), dtype=np.float32))
BYTES = {
    "a pickle": (pickle.dumps(Trap()), "no array of numbers"),
    "an array of objects": (npy(np.array([Trap()]), allow_pickle=True), "no array of numbers"),
    "a program": (
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os').mkdir('wrecked'), }\n"),
        "no array of numbers",
    ),
    "below 0": (header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1000000,), }\n"), "no array of numbers"),
    "text": (b"<html>404</html>", "no array of numbers"),
    "half its numbers": (GOOD[:-5], "no array of numbers"),
    "words": (npy(np.array(["one", "two"])), "not of numbers"),
    "large numbers": (npy(np.array([1.0, -1e200])), "with numbers up to 1e+200"),
}


def cell(uri: str, run_id: str = "a" * 32, **tags: str) -> Any:
    config = json.loads(RunConfig(dim3=2).to_json())
    info = RunInfo(run_id, "1", "", "FINISHED", 1, 1, "active", artifact_uri=uri, run_name="run")
    words = {Tag.KIND: Kind.RUN, Tag.CONFIG: json.dumps(config), Tag.DIGEST: "d"} | tags
    metrics = [LoggedMetric(Metric.TEST_MSE, 0.5, 0, 0)]
    return own_cell(Run(info, RunData(metrics, [], [RunTag(k, v) for k, v in words.items()])), {})


def fetched(place: str, run_id: str = "a" * 32) -> Any:
    return fetch([cell(place, run_id)], Artifact.ERRORS_TEST)[run_id]


def given(store: MlflowClient) -> list[str]:
    return ["--experiment", "e", "--tracking-uri", store.tracking_uri, "--out", "out"]


@pytest.fixture(autouse=True)
def _nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "errors").mkdir()
    yield
    assert not (tmp_path / WRECKED).exists()


@pytest.fixture
def uri(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the tracking URI that arrays are fetched by; its server is up."""
    monkeypatch.setattr(arrays.mlflow, "MlflowClient", lambda: SimpleNamespace(search_experiments=lambda **_: []))
    return lambda given: monkeypatch.setattr(arrays.mlflow, "get_tracking_uri", lambda: given)


@pytest.mark.parametrize(("content", "why"), BYTES.values(), ids=BYTES)
def test_what_is_no_array_of_numbers_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / Artifact.ERRORS_TEST).write_bytes(content)
    found = fetched(str(tmp_path))
    assert found.startswith("unusable, ")
    assert why in found
    assert found.isprintable()


def test_numbers_of_any_kind_are_read(tmp_path: Path) -> None:
    for dtype in (">f8", "<f4", "f2", "u1", ">i8"):
        (tmp_path / Artifact.ERRORS_TEST).write_bytes(npy(np.array([[1, 2], [3, 4]], dtype=dtype, order="F")))
        found = fetched(tmp_path.as_uri())
        assert found.tolist() == [[1, 2], [3, 4]]
        assert found.dtype.isnative


@pytest.fixture
def listener() -> Iterator[Proxy]:
    """A web host that has no file, and notes what it is asked."""
    with proxy_to("http://127.0.0.1:9") as host:
        host.watch(lambda n, request: FAULTS["404"])
        yield host


@pytest.mark.parametrize("scheme", ["http", "mlflow-artifacts"])
def test_no_other_host_is_asked_for_files_or_told_a_password(
    listener: Proxy, uri: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    place = f"{scheme}://{listener.uri.removeprefix('http://')}/api/2.0/mlflow-artifacts/artifacts/1/files"
    uri("http://127.0.0.1:9")
    assert fetched(place) == "not in the store but on another host"
    assert listener.seen == []
    uri(listener.uri)
    if scheme == "http":  # the store's own host is asked as before
        assert fetched(place) == "not in the store"
        assert listener.seen != []


def test_a_folder_that_a_server_names_is_not_read(tmp_path: Path, uri: Callable[[str], None]) -> None:
    (tmp_path / Artifact.ERRORS_TEST).write_bytes(GOOD)
    for place in (str(tmp_path), tmp_path.as_uri()):
        uri("sqlite:///x.db")
        assert isinstance(fetched(place), np.ndarray)
        for server in ("http://host", "databricks"):
            uri(server)
            assert fetched(place) == "not in the store but in a folder of this machine"


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("ftp://host/x", " but on another host"),
        ("http://[host/x", " but at a malformed address"),
        ("s3://bucket/x", ": ModuleNotFoundError: No module named 'boto3'"),
    ],
)
def test_an_address_that_nobody_can_read_or_write_is_named(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str, why: str
) -> None:
    """Another host is not asked; of a bucket, the library is missing here."""

    def lacks(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'boto3'")

    asked = lacks if address.startswith("s3") else None
    monkeypatch.setattr(arrays.mlflow.artifacts, "download_artifacts", asked)
    for name in ("log_artifact", "log_artifacts"):
        monkeypatch.setattr(MlflowClient, name, asked)
    log_curve(store, {k: 1 / k for k in range(2, 6)})
    with closing(sqlite3.connect("mlflow.db")) as database:  # MLflow's client takes no such address; a server might
        database.execute("UPDATE runs SET artifact_uri = ?", [address])
        database.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'e'", [address])
        database.commit()
    assert report.main([*given(store), "--no-log"]) == 0
    notes = json.loads(Path("out/result.json").read_text())["comparisons"][0]["notes"]
    assert f"ae: no interval at dim3 2 to 5: errors/val.npy is not in the store{why}" in notes
    capsys.readouterr()
    assert report.main(given(store)) in (1, 2)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_report_is_not_sent_to_another_host(
    store: MlflowClient, listener: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    store.create_experiment("e", artifact_location=f"{listener.uri}/x")
    log_curve(store, {k: 1 / k for k in range(2, 6)})
    runs = len(store.search_runs(["1"]))
    assert report.main(given(store)) == 1
    assert "keeps its files on another host, http://127.0.0.1" in capsys.readouterr().err
    assert listener.seen == []
    assert len(store.search_runs(["1"])) == runs


def test_no_redirect_is_followed(
    listener: Proxy, tmp_path: Path, uri: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_HTTP_REDIRECTS", raising=False)
    (tmp_path / "a.npy").write_bytes(GOOD)
    with proxy_to("http://127.0.0.1:9") as server:
        server.watch(lambda n, request: Fault("redirect", Answer(307, {"Location": f"{listener.uri}/x"}, b"")))
        place = f"{server.uri}/api/2.0/mlflow-artifacts/artifacts/1"
        with borrowed(server.uri):  # in all that reports and studies do
            assert isinstance(fetched(place), str)
        assert "MLFLOW_ALLOW_HTTP_REDIRECTS" not in os.environ
        be_quiet()  # in commands and workers
        with suppress(OSError):
            HttpArtifactRepository(place).list_artifacts()
        HttpArtifactRepository(place).log_artifact(str(tmp_path / "a.npy"))
        assert {request.method for request in server.seen} == {"GET", "PUT"}
        assert listener.seen == []
        monkeypatch.setenv("MLFLOW_ALLOW_HTTP_REDIRECTS", "true")  # which a user may say
        be_quiet()
        with suppress(OSError):
            HttpArtifactRepository(place).list_artifacts()
        assert listener.seen != []


@pytest.mark.parametrize("run_id", ["../../../x", "{out}"])
def test_a_run_called_like_a_path_writes_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_id: str) -> None:
    """The store's ids name no folder of the copies."""
    seen: list[Path] = []

    def download(artifact_uri: str, dst_path: str) -> str:
        seen.append(Path(dst_path))
        (Path(dst_path) / "test.npy").write_bytes(GOOD)
        return str(Path(dst_path) / "test.npy")

    monkeypatch.setattr(arrays.mlflow.artifacts, "download_artifacts", download)
    monkeypatch.setattr(arrays.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert isinstance(fetched("s3://bucket/x", run_id.format(out=tmp_path / "out")), np.ndarray)
    assert [p.resolve().is_relative_to(tmp_path / "temporary") for p in seen] == [True]
    assert {p.name for p in tmp_path.iterdir()} == {"temporary", "errors"}


@pytest.mark.parametrize(
    "config",
    [
        "[]",
        '{"dim3": 2, "seed": 0}',
        '{"model": "ae", "dim3": 2.5, "seed": 0}',
        '{"model": "ae", "dim3": 0, "seed": 0}',
        '{"model": "ae", "dim3": Infinity, "seed": 0}',
        '{"model": "ae", "dim3": 2, "seed": -1}',
    ],
)
def test_a_configuration_that_is_none_is_the_reason(config: str) -> None:
    with pytest.raises(Unusable) as raised:
        cell("", **{Tag.CONFIG: config})
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    "grid", ["{", "null", '{"dim3": {"ae": ["x"]}, "seeds": 1}', '{"dim3": {"ae": [-5]}, "seeds": 3}']
)
def test_a_grid_that_is_none_asks_for_nothing(grid: str) -> None:
    tags = [RunTag(Tag.STUDY, "s"), RunTag(Tag.GRID, grid)]
    study = Run(RunInfo("s", "1", "", "FINISHED", 1, 1, "active"), RunData([], [], tags))
    one = cell("", **{Tag.STUDY: "s"})._replace(model="ae")
    found = find(Store("1", "e", [one], [], [], [], [study], []))
    assert found.comparisons[0].missing == []


@pytest.mark.parametrize(
    ("text", "shape"),
    [("28x28", (28, 28)), ("32x16x3", (32, 16, 3)), ("axb", None), ("-1x-64", None), ("8x8x8", None)],
)
def test_a_shape_that_is_none_is_drawn_as_lines(text: str, shape: tuple[int, ...] | None) -> None:
    assert cell("", **{Tag.IMAGE_SHAPE: text}).image_shape == shape


@pytest.mark.parametrize(
    ("curve", "spectrum"),
    [
        (np.ones((5, 3)), np.array([np.nan, 1])),
        (np.full((5, 2), np.nan), np.zeros(5)),
        (np.full((5, 2), -1.0), np.ones(3)),
    ],
    ids=range(3),
)
def test_a_curve_and_a_spectrum_of_pca_that_are_none(tmp_path: Path, curve: np.ndarray, spectrum: np.ndarray) -> None:
    np.save(tmp_path / Artifact.PCA_CURVE, curve)
    np.save(tmp_path / Artifact.SPECTRUM, spectrum)
    cells = [cell(str(tmp_path), f"{k:032x}")._replace(model="pca", dim3=k, test=1 / k, error=1 / k) for k in (2, 5)]
    (series,) = compare(cells)[0].series
    notes: list[str] = []
    found = pca_curve(series, notes)
    assert found is not None
    assert len(found.raw) == 6
    assert "PCA's spectrum is missing: its curve ends with the scanned range" in notes


SPOILT: dict[str, bytes] = {
    "a pickle": pickle.dumps(Trap()),
    "large numbers": npy(np.full((1000, 2), 1e200)),
    "nan": npy(np.full((1000, 2), np.nan)),
    "one row": npy(np.ones((1, 2))),
    "no columns": npy(np.ones((9, 0))),
    "below 0": npy(-np.ones(1000)),
    "five dimensions": npy(np.ones((2, 2, 2, 2, 2))),
}
QUICK = ("a pickle", "large numbers")


@pytest.mark.parametrize("kind", [*QUICK, *marked("soak", *(k for k in SPOILT if k not in QUICK))])
def test_both_pages_are_written_whatever_the_files_hold(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    log_all(store, tmp_path / "arrays")
    for run in store.search_runs([store.get_experiment_by_name("e").experiment_id]):
        for file in Path(run.info.artifact_uri.removeprefix("file://")).rglob("*.npy"):
            file.write_bytes(SPOILT[kind])
    assert report.main([*given(store), "--no-log"]) == 0
    assert assignment.main([*given(store), "--no-log", "--show", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    check_lines(captured.out)
    for page in ("report.html", "assignment.html"):
        check_page(Path("out", page).read_text())
    said = Path("out/assignment.html").read_text()
    assert "Missing or unusable" in said
    assert kind == "one row" or "codes/test.npy is" in said


OTHERS = (
    Metric.FIT_SECONDS, Metric.PARAMETERS, Metric.TEST_ACTIVE_UNITS, Metric.TEST_UNITS_IN_USE, Metric.VAL_ELBO,
    Metric.TEST_EXPLAINED_VARIANCE, Metric.INTRINSIC_TWONN, Metric.EPOCHS_TRAINED,
)  # fmt: skip


@pytest.mark.parametrize("value", [math.nan, sys.float_info.max, -1.0, 0.0])  # a database's infinite is the largest
def test_other_metrics_may_be_anything(value: float) -> None:
    made = []
    for model in ("pca", "ae"):
        for k in range(2, 8):
            one = cell("", f"{model}{k}")
            one.run.data._metrics |= dict.fromkeys(OTHERS, value)
            made.append(one._replace(model=model, dim3=k, error=1 / k, test=1 / k))
    for rule in ("gain:0.05", "unexplained:0.1"):
        found = find(Store("1", "e", made, [], [], [], [], []), rule)
        json.loads(found.to_json())
        points = found.comparisons[0].models[1].points
        assert [p.error for p in points] == [1 / k for k in range(2, 8)]
        assert any(v is not None for v in points[0].metrics.values()) is (value in (-1.0, 0.0))
        for draw in FIGURES.values():
            draw(found.comparisons[0])


def test_errors_near_nothing_and_near_the_most(store: MlflowClient) -> None:
    for k, error in enumerate((1e100, 1.0, 1e-62, 1e-100, 1e-320, 0.0), 2):
        log(store, dim3=k, error=error, test=error)
        log(store, model="pca", dim3=k, error=error, test=1e-320)
    assert report.main([*given(store), "--no-log"]) == 0


def test_labels_of_any_run_serve_and_a_lost_or_unusable_file_is_named(store: MlflowClient, tmp_path: Path) -> None:
    log_measured(store, tmp_path / "a", seed=0, labels=None)
    log_measured(store, tmp_path / "a", seed=1)
    log_measured(store, tmp_path / "a", seed=2, labels=LABELS[::-1].copy())
    log_measured(store, tmp_path / "a", seed=3, labels=LABELS - 5)
    log_measured(store, tmp_path / "a", seed=4, codes=np.hstack([CODES] * 100))
    shelf = Shelf()
    (comparison,) = compare(read(store, "e").cells)
    found = answer(comparison, (2,), shelf)
    assert found.maps[0].commonest == pytest.approx(np.bincount(LABELS).max() / len(LABELS))
    notes = [re.sub(r" \(run \w+\)", "", n) for n in found.notes if Artifact.LABELS in n]
    assert notes == [
        "ae-d2-s0: codes/labels.npy is not in the store",
        "ae-d2-s2: codes/labels.npy is not what other runs of these rows say, and not used",
        "ae-d2-s3: codes/labels.npy is unusable, no classes",
    ]
    assert found.repeats[0].names == [f"seed {seed}" for seed in range(4)]
    assert any("unusable, of shape (" in n and "where dim3 is 2" in n for n in found.notes)
