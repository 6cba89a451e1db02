"""Files and numbers in a store that are not what they should be: left out with the reason, and the page is written."""

import http.server
import io
import json
import math
import os
import pickle
import re
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric as LoggedMetric
from mlflow.entities import Run, RunData, RunInfo, RunTag

from analysis import answers, assignment, report, rows
from analysis.curves import compare
from analysis.figures import FIGURES
from analysis.findings import asked, find, pca_curve
from analysis.rows import fetch
from analysis.store import Store, Unusable, _cell, read
from tests.analysis.runs import errors, log
from tests.analysis.test_answers import CODES, LABELS, log_measured
from tests.analysis.test_assignment import log_all
from tests.conftest import marked
from tests.hostile import check_lines, check_page
from tracking.config import RunConfig
from tracking.schema import Artifact, Kind, Metric, Tag

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


def header(shape: str, dtype: str = "<f4", version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + len(text).to_bytes(2 if version[0] == 1 else 4, "little") + text


def zipped(name: str = "x.npy") -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as file:
        file.writestr(name, npy(np.ones(3)))
    return into.getvalue()


GOOD = npy(np.ones((4, 2), dtype=np.float32))
BYTES: dict[str, tuple[bytes, str]] = {
    "a pickle": (pickle.dumps(Trap()), "unusable, no array of numbers"),
    "an array of objects": (npy(np.array([Trap()]), allow_pickle=True), "unusable, no array of numbers"),
    "objects inside a structure": (
        npy(np.zeros(2, dtype=[("a", "O")]), allow_pickle=True),
        "unusable, no array of numbers",
    ),
    "a zip": (zipped(), "unusable, no array of numbers"),
    "a zip with a path": (zipped("../../x.npy"), "unusable, no array of numbers"),
    "text": (b"<html>404</html>", "unusable, no array of numbers"),
    "nothing": (b"", "unusable, no array of numbers"),
    "half a header": (GOOD[:20], "unusable, no array of numbers"),
    "half its numbers": (GOOD[:-5], "unusable, no array of numbers"),
    "a header of a terabyte": (header("(2**40,)"), "unusable, no array of numbers"),
    "a header of 4 terabytes": (header(f"({2**40},)"), "unusable, no array of numbers"),
    "a header beyond any number": (header(f"({'9' * 5000},)"), "unusable, no array of numbers"),
    "a header below 0": (header("(-1,)") + bytes(64), "unusable"),
    "a header below 0, twice": (header("(-1, -4)") + bytes(64), "unusable"),
    "a header that is a program": (header("__import__('os').mkdir('wrecked')"), "unusable, no array of numbers"),
    "a deep header": (header("(" * 4000), "unusable"),
    "an endless header": (header("(1,)" + " " * 60_000), "unusable, no array of numbers"),
    "an unknown version": (b"\x93NUMPY\x09\x09" + GOOD[8:], "unusable, no array of numbers"),
    "words": (npy(np.array(["one", "two"])), "not of numbers"),
    "bytes": (npy(np.array([b"one"])), "not of numbers"),
    "a structure": (npy(np.zeros(3, dtype=[("a", "f4"), ("b", "f4")])), "not of numbers"),
    "complex numbers": (npy(np.ones(3, dtype=complex)), "not of numbers"),
    "truth": (npy(np.ones(3, dtype=bool)), "not of numbers"),
    "days": (npy(np.array(["2020-01-01"], dtype="M8[D]")), "not of numbers"),
    "long numbers": (npy(np.ones(3, dtype=np.longdouble)), "not of numbers"),
    "large numbers": (npy(np.array([1.0, -1e200])), "with numbers up to 1e+200"),
}


def cell(uri: str, run_id: str = "a" * 32, **tags: str) -> Any:
    config = json.loads(RunConfig(dim3=2).to_json())
    info = RunInfo(run_id, "1", "", "FINISHED", 1, 1, "active", artifact_uri=uri, run_name="run")
    words = {Tag.KIND: Kind.RUN, Tag.CONFIG: json.dumps(config), Tag.DIGEST: "d"} | tags
    metrics = [LoggedMetric(Metric.TEST_MSE, 0.5, 0, 0)]
    return _cell(Run(info, RunData(metrics, [], [RunTag(k, v) for k, v in words.items()])))


@pytest.fixture(autouse=True)
def _nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / WRECKED).exists()


@pytest.mark.parametrize("kind", BYTES)
def test_what_is_no_array_of_numbers_is_named(tmp_path: Path, kind: str) -> None:
    content, why = BYTES[kind]
    (tmp_path / "errors").mkdir()
    (tmp_path / Artifact.ERRORS_TEST).write_bytes(content)
    found = fetch([cell(str(tmp_path))], Artifact.ERRORS_TEST)["a" * 32]
    assert isinstance(found, str)
    assert why in found
    assert found.isprintable()


def test_numbers_of_any_kind_are_read(tmp_path: Path) -> None:
    (tmp_path / "errors").mkdir()
    for dtype in (">f8", "<f4", "f2", "u1", ">i8"):
        (tmp_path / Artifact.ERRORS_TEST).write_bytes(npy(np.array([[1, 2], [3, 4]], dtype=dtype, order="F")))
        found = fetch([cell(tmp_path.as_uri())], Artifact.ERRORS_TEST)["a" * 32]
        assert isinstance(found, np.ndarray)
        assert found.tolist() == [[1, 2], [3, 4]]
        assert found.dtype.isnative


def test_a_file_of_ten_gigabytes_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "errors").mkdir()
    with (tmp_path / Artifact.ERRORS_TEST).open("wb") as file:
        file.truncate(10 * 2**30)
    assert fetch([cell(str(tmp_path))], Artifact.ERRORS_TEST)["a" * 32] == "unusable, larger than 512 MB"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "errors").mkdir()
    os.mkfifo(tmp_path / Artifact.ERRORS_TEST)
    (tmp_path / Artifact.ERRORS_VAL).mkdir()
    (tmp_path / "codes").write_text("no folder")
    for artifact in (Artifact.ERRORS_TEST, Artifact.ERRORS_VAL, Artifact.CODES):
        assert fetch([cell(str(tmp_path))], artifact)["a" * 32] == "not in the store"


class Listener(http.server.BaseHTTPRequestHandler):
    """Writes down what it is asked, and by whom; has no file."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.path} {self.headers.get('Authorization')}")
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Silent."""


@pytest.fixture
def listener() -> Iterator[int]:
    Listener.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("scheme", ["http", "mlflow-artifacts"])
def test_no_other_host_is_asked_for_files_or_told_a_password(
    listener: int, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    place = f"{scheme}://127.0.0.1:{listener}/api/2.0/mlflow-artifacts/artifacts/1/files"
    monkeypatch.setattr(rows.mlflow, "get_tracking_uri", lambda: "http://127.0.0.1:9")
    monkeypatch.setattr(rows.mlflow, "MlflowClient", lambda: SimpleNamespace(search_experiments=lambda **_: []))
    found = fetch([cell(place)], Artifact.ERRORS_TEST)["a" * 32]
    assert found == "on another host than the store, and not asked for"
    assert Listener.asked == []
    monkeypatch.setattr(rows.mlflow, "get_tracking_uri", lambda: f"http://127.0.0.1:{listener}")
    if scheme == "http":  # the store's own host is asked as before
        assert fetch([cell(place)], Artifact.ERRORS_TEST)["a" * 32] == "not in the store"
        assert Listener.asked != []


def test_a_report_is_not_sent_to_another_host(
    store: MlflowClient, listener: int, capsys: pytest.CaptureFixture[str]
) -> None:
    store.create_experiment("e", artifact_location=f"http://127.0.0.1:{listener}/x")
    for k in range(2, 8):
        log(store, dim3=k, error=1 / k)
    given = ["--experiment", "e", "--tracking-uri", store.tracking_uri, "--out", "out"]
    assert report.main([*given, "--no-log"]) == 0
    assert report.main(given) == 1
    assert "keeps its files on another host, http://127.0.0.1" in capsys.readouterr().err
    assert Listener.asked == []


@pytest.mark.parametrize("run_id", ["../../../x", "{out}", "..", "a/b"])
def test_a_run_called_like_a_path_writes_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_id: str) -> None:
    """The store's ids name no folder of the copies."""
    seen: list[Path] = []

    def download(artifact_uri: str, dst_path: str) -> str:
        seen.append(Path(dst_path))
        (Path(dst_path) / "test.npy").write_bytes(GOOD)
        return str(Path(dst_path) / "test.npy")

    monkeypatch.setattr(rows.mlflow.artifacts, "download_artifacts", download)
    monkeypatch.setattr(rows.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    name = run_id.format(out=tmp_path / "out")
    found = fetch([cell("s3://bucket/x", name)], Artifact.ERRORS_TEST)[name]
    assert isinstance(found, np.ndarray)
    assert [p.resolve().is_relative_to(tmp_path / "temporary") for p in seen] == [True]
    assert [p.name for p in tmp_path.iterdir()] == ["temporary"]


CONFIGS = {
    "none": None,
    "no JSON": "{",
    "a list": "[]",
    "a word": '"x"',
    "deep": "[" * 100_000,
    "deep inside": '{"model": "ae", "dim3": 2, "seed": 0, "x": ' + "[" * 900 + "]" * 900 + "}",
    "10 MB": json.dumps({"model": "ae", "dim3": 2, "seed": 0, "x": "y" * 10_000_000}),
    "no model": '{"dim3": 2, "seed": 0}',
    "a list of dim3": '{"model": "ae", "dim3": [2], "seed": 0}',
    "half a dim3": '{"model": "ae", "dim3": 2.5, "seed": 0}',
    "no dim3": '{"model": "ae", "dim3": 0, "seed": 0}',
    "below 0": '{"model": "ae", "dim3": -2, "seed": 0}',
    "endless": '{"model": "ae", "dim3": Infinity, "seed": 0}',
    "no number": '{"model": "ae", "dim3": NaN, "seed": 0}',
    "too large": '{"model": "ae", "dim3": 1000000000, "seed": 0}',
    "far too large": '{"model": "ae", "dim3": 1e300, "seed": 0}',
    "of 5,000 digits": '{"model": "ae", "dim3": ' + "9" * 5000 + ', "seed": 0}',
    "true": '{"model": "ae", "dim3": true, "seed": 0}',
    "a large seed": '{"model": "ae", "dim3": 2, "seed": 1e300}',
    "a seed below 0": '{"model": "ae", "dim3": 2, "seed": -1}',
}
USABLE = ("10 MB", "deep inside")


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_configuration_that_is_none_is_the_reason(kind: str) -> None:
    tags = {} if CONFIGS[kind] is None else {Tag.CONFIG: CONFIGS[kind]}
    if kind == "none":
        run = Run(RunInfo("a", "1", "", "FINISHED", 1, 1, "active"), RunData([], [], []))
        with pytest.raises(Unusable):
            _cell(run)
    elif kind in USABLE:
        assert cell("", **tags).dim3 == 2
    else:
        with pytest.raises(Unusable) as raised:
            cell("", **tags)
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 200


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 1e308, sys.float_info.max])
def test_an_error_that_is_none_is_the_reason(value: float) -> None:
    config = RunConfig(dim3=2).to_json()
    info = RunInfo("a", "1", "", "FINISHED", 1, 1, "active")
    data = RunData([LoggedMetric(Metric.TEST_MSE, value, 0, 0)], [], [RunTag(Tag.CONFIG, config)])
    with pytest.raises(Unusable, match="its test/mse is"):
        _cell(Run(info, data))


GRIDS = [
    "{",
    "[]",
    "null",
    '{"dim3": []}',
    '{"dim3": {"ae": 5}, "seeds": 1}',
    '{"dim3": {"ae": ["x"]}, "seeds": 1}',
    '{"dim3": {"ae": [2]}, "seeds": 1e300}',
    '{"dim3": {"ae": [2]}, "seeds": 1000000000000}',
    "[" * 50_000,
    '{"dim3": {"ae": [1e30]}, "seeds": 1}',
    '{"dim3": {"ae": [-5]}, "seeds": 3}',
    '{"dim3": {"ae": [2]}}',
]


@pytest.mark.parametrize("grid", GRIDS, ids=range(len(GRIDS)))
def test_a_grid_that_is_none_asks_for_nothing(grid: str) -> None:
    one = cell("", **{Tag.STUDY: "s"})._replace(model="ae")
    study = Run(
        RunInfo("s", "1", "", "FINISHED", 1, 1, "active"),
        RunData([], [], [RunTag(Tag.STUDY, "s"), RunTag(Tag.GRID, grid)]),
    )
    store = Store("1", "e", [one], [], [], [], [study], [])
    (series,) = compare([one])[0].series
    assert asked(series, store) == {}


@pytest.mark.parametrize(
    "text", ["axb", "0x0", "-1x-64", "³x³", "1e9x2", "64x1", "8x8x8", "8x8x3x1", "8", "x", "99999999x1"]
)
def test_a_shape_that_is_none_is_drawn_as_lines(text: str) -> None:
    assert cell("", **{Tag.IMAGE_SHAPE: text}).image_shape is None


def test_shapes_of_pictures() -> None:
    assert cell("", **{Tag.IMAGE_SHAPE: "28x28"}).image_shape == (28, 28)
    assert cell("", **{Tag.IMAGE_SHAPE: "32x16x3"}).image_shape == (32, 16, 3)


NO_CURVES = [
    np.zeros((0, 2)),
    np.ones((5, 3)),
    np.ones(5),
    np.full((5, 2), np.nan),
    np.full((5, 2), -1.0),
    np.full((5, 2), np.inf),
    np.ones((200_000, 2)),
]
NO_SPECTRA = [
    np.array([]),
    np.array([np.nan, 1]),
    np.ones((2, 2)),
    np.zeros(5),
    -np.ones(5),
    np.ones(200_000),
    np.ones(3),
]


@pytest.mark.parametrize("curve", NO_CURVES, ids=range(7))
@pytest.mark.parametrize("spectrum", NO_SPECTRA, ids=range(7))
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


def test_a_wide_range_takes_no_more_memory_than_another(store: MlflowClient) -> None:
    for i, k in enumerate((2, 5, 10, 100, 10_000, 999_999)):
        log(store, dim3=k, error=1 / (i + 1), test=1 / (i + 1))
        log(store, model="pca", dim3=k, error=1 / (i + 1), test=1 / (i + 1))
    (comparison,) = find(read(store, "e")).comparisons
    assert comparison.models[0].verdict is not None


def spoil(store: MlflowClient, content: bytes, only: str = "") -> None:
    """Write this into every array of the experiment's runs."""
    for run in store.search_runs([store.get_experiment_by_name("e").experiment_id]):
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        for file in folder.rglob("*.npy"):
            if only in str(file):
                file.write_bytes(content)


SPOILT: dict[str, bytes] = {
    "a pickle": pickle.dumps(Trap()),
    "a zip": zipped(),
    "cut off": GOOD[:-5],
    "words": npy(np.array(["one", "two"])),
    "large numbers": npy(np.full((1000, 2), 1e200)),
    "nan": npy(np.full((1000, 2), np.nan)),
    "endless": npy(np.full((1000, 2), np.inf)),
    "as large as they may be": npy(np.full((1000, 2), 1e30)),
    "one number": npy(np.float64(1)),
    "no rows": npy(np.ones((0, 2))),
    "no columns": npy(np.ones((9, 0))),
    "one row": npy(np.ones((1, 2))),
    "below 0": npy(-np.ones(1000)),
    "zeros": npy(np.zeros(1000)),
    "five dimensions": npy(np.ones((2, 2, 2, 2, 2))),
    "three dimensions": npy(np.ones((3, 200, 3))),
    "wide": npy(np.ones((2, 50_000))),
}
QUICK = ("a zip", "large numbers")
CODES_ALL_THE_SAME = ("as large as they may be", "one row")


@pytest.mark.parametrize("kind", [*QUICK, *marked("soak", *(k for k in SPOILT if k not in QUICK))])
def test_both_pages_are_written_whatever_the_files_hold(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    log_all(store, tmp_path / "arrays")
    spoil(store, SPOILT[kind])
    given = ["--experiment", "e", "--tracking-uri", store.tracking_uri, "--no-log", "--out", "out"]
    assert report.main(given) == 0
    assert assignment.main([*given, "--show", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    check_lines(captured.out)
    for page in ("report.html", "assignment.html"):
        check_page(Path("out", page).read_text())
    said = Path("out/assignment.html").read_text()
    assert "Missing or unusable" in said
    assert kind in CODES_ALL_THE_SAME or "codes/test.npy is" in said


@pytest.mark.soak
@pytest.mark.parametrize("artifact", [*Artifact])
def test_one_spoilt_kind_of_file_leaves_the_rest(store: MlflowClient, tmp_path: Path, artifact: Artifact) -> None:
    if not artifact.endswith(".npy"):
        return
    log_all(store, tmp_path / "arrays")
    spoil(store, npy(np.full((1000, 2), 1e200)), artifact)
    given = ["--experiment", "e", "--tracking-uri", store.tracking_uri, "--no-log", "--out", "out"]
    assert report.main(given) == 0
    assert assignment.main([*given, "--show", "2"]) == 0
    assert len(list(Path("out/assignment-figures").iterdir())) >= 9


def test_errors_of_other_lengths_have_no_interval_and_the_rest_goes_on(store: MlflowClient, tmp_path: Path) -> None:
    for k in range(2, 8):
        arrays = errors(1 / k, 1 / k)
        if k == 4:
            arrays = {name: rows[:-7] for name, rows in arrays.items()}
        log(store, dim3=k, error=1 / k, test=1 / k, arrays=arrays, folder=tmp_path / "arrays")
    (comparison,) = find(read(store, "e")).comparisons
    assert "ae: no interval at dim3 4: errors/test.npy is missing or unusable" in comparison.notes
    assert [p.low is None for p in comparison.models[0].points] == [k == 4 for k in range(2, 8)]


@pytest.mark.parametrize(
    ("name", "value"),
    [(m, v) for m in (Metric.FIT_SECONDS, Metric.PARAMETERS, Metric.TEST_ACTIVE_UNITS, Metric.VAL_ELBO,
                      Metric.TEST_EXPLAINED_VARIANCE, Metric.INTRINSIC_TWONN, Metric.EPOCHS_TRAINED)
     for v in (math.nan, math.inf, -1.0, 1e308, 1e30, 0.0, 1e-320)],
)  # fmt: skip
def test_other_metrics_may_be_anything(name: str, value: float) -> None:
    made = []
    for model in ("pca", "ae"):
        for k in range(2, 8):
            one = cell("", f"{model}{k}")
            one.run.data._metrics[name] = value
            made.append(one._replace(model=model, dim3=k, error=1 / k, test=1 / k))
    store = Store("1", "e", made, [], [], [], [], [])
    for rule in ("gain:0.05", "unexplained:0.1"):
        found = find(store, rule)
        json.loads(found.to_json())
        for draw in FIGURES.values():
            for comparison in found.comparisons:
                draw(comparison)


def test_errors_near_nothing_and_near_the_most(store: MlflowClient) -> None:
    for k, error in zip(range(2, 8), (1e30, 1.0, 1e-30, 1e-60, 1e-320, 0.0), strict=True):
        log(store, dim3=k, error=error, test=error)
        log(store, model="pca", dim3=k, error=error, test=1e-320)
    assert report.main(["--experiment", "e", "--tracking-uri", store.tracking_uri, "--no-log", "--out", "out"]) == 0


def test_labels_of_any_run_serve_and_a_lost_file_is_named(store: MlflowClient, tmp_path: Path) -> None:
    log_measured(store, tmp_path / "a", seed=0, labels=None)
    log_measured(store, tmp_path / "a", seed=1)
    log_measured(store, tmp_path / "a", seed=2, labels=LABELS[::-1].copy())
    log_measured(store, tmp_path / "a", seed=3, labels=LABELS - 5)
    shelf = answers.Shelf()
    (comparison,) = compare(read(store, "e").cells)
    found = answers.answer(comparison, (2,), shelf)
    assert found.maps[0].commonest == pytest.approx(np.bincount(LABELS).max() / len(LABELS))
    notes = [re.sub(r" \(run \w+\)", "", n) for n in found.notes if Artifact.LABELS in n]
    assert notes == [
        "ae-d2-s0: codes/labels.npy is not in the store",
        "ae-d2-s2: codes/labels.npy is not what other runs of these rows say, and not used",
        "ae-d2-s3: codes/labels.npy is unusable, no classes",
    ]


def test_codes_of_another_width_are_named(store: MlflowClient, tmp_path: Path) -> None:
    log_measured(store, tmp_path / "a", seed=0)
    log_measured(store, tmp_path / "a", seed=1, codes=np.hstack([CODES] * 100))
    (comparison,) = compare(read(store, "e").cells)
    found = answers.answer(comparison, (2,), answers.Shelf())
    assert found.repeats[0].names == ["seed 0"]
    assert any("unusable, of shape (" in n and "where dim3 is 2" in n for n in found.notes)


def test_other_measured_data_are_named(store: MlflowClient, tmp_path: Path) -> None:
    log_all(store, tmp_path / "arrays")
    log_measured(store, tmp_path / "arrays", tags={Tag.DATASET: "iris", Tag.DIGEST: "d-iris"})
    assignment.write(store, "e", tmp_path, assignment.Wanted(shown=(2,)), log=False)
    assert "iris, 20 epochs was measured too, and is not on this page" in (tmp_path / "assignment.html").read_text()
