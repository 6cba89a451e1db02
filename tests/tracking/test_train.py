"""The command line: what it prints, what it returns, what it leaves behind."""

import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient
from werkzeug.serving import make_ssl_devcert

from elbowroom.tracking.store import client
from elbowroom.tracking.store.names import Metric, Tag
from elbowroom.tracking.train import main
from tests.conftest import environment, marked, signals_kept

pytestmark = pytest.mark.integration

QUICK = ["--dataset", "digits", "--epochs", "2", "--dim2", "16", "--artifacts", "light"]


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """`main` takes the signals of the process over; a test gives them back."""
    with signals_kept():
        yield


def run(store: MlflowClient, *arguments: str) -> int:
    return main([*arguments, "--tracking-uri", store.tracking_uri])


def all_runs(store: MlflowClient) -> list:
    return store.search_runs([e.experiment_id for e in store.search_experiments()])


def test_a_good_run_prints_metrics_name_id_and_how_to_see_it(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, *QUICK, "--model", "ae", "--dim3", "3", "--experiment", "mine") == 0
    (recorded,) = all_runs(store)
    assert store.get_experiment_by_name("mine").experiment_id == recorded.info.experiment_id
    out, err = capsys.readouterr()
    assert f"run ae-d3-s0, id {recorded.info.run_id}" in out
    assert f"test/mse                  {recorded.data.metrics[Metric.TEST_MSE]:.6g}" in out
    assert "mlflow ui --backend-store-uri sqlite:///" in out
    assert err.splitlines()[-1].startswith("ae-d3-s0  epoch 2/2  train/loss ")  # stderr is no terminal here


def refused(store: MlflowClient, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a command that ends with 2, prints nothing else and leaves no run."""
    assert main(["--tracking-uri", store.tracking_uri, *QUICK, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert all_runs(store) == []
    return line


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--model", "vea"],
            "unknown model 'vea'; known: pca, pca-mlp, ae, linear-ae, nested-ae, conv-ae, vae, or package.module",
        ),
        (["--dataset", "mnits"], "unknown dataset 'mnits'"),
        (["--dim3", "65"], "dim3 must be from 1 to 64"),
        (["--lr", "nan"], "lr must be auto or a number above 0"),
        (["--dataset", __file__], f"{__file__}: can't read .py"),
        (["--epoch", "3"], "unrecognized arguments: --epoch 3"),
        (["--test-data", "x.npy"], "test_data goes with a file or folder of your own"),
        (["--model", "no.such:Model"], "model 'no.such:Model': importing 'no.such' failed"),
        *(
            (["--tracking-uri", uri], f"tracking URI {uri} can't be used")
            for uri in ("./mlruns", "nonsense://x", "sqlite:////proc/nowhere/x.db")
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert refused(store, capsys, *arguments).startswith(f"error: {line}")


def test_a_server_that_does_not_answer_is_named_in_time(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client.ANSWER_SECONDS <= 15
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.5)
    line = refused(store, capsys, "--tracking-uri", "http://ann:secret@127.0.0.1:9")
    assert line == "error: tracking URI http://ann:***@127.0.0.1:9 did not answer within 0 s"


def test_a_server_whose_certificate_is_not_trusted_is_named(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = make_ssl_devcert(str(tmp_path / "server"), host="localhost")
    server = HTTPServer(("localhost", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"https://localhost:{server.server_port}"
    try:
        line = refused(store, capsys, "--tracking-uri", uri)
        assert line.startswith(f"error: tracking URI {uri}: no secure connection: ")
        assert "certificate verify failed: self-signed certificate" in line
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", certificate)
        assert main([*QUICK, "--tracking-uri", uri]) == 2
        assert "501" in capsys.readouterr().err  # it answers, though no MLflow
    finally:
        server.shutdown()
        server.server_close()


def test_under_mlflow_run_bad_input_ends_the_run_failed_with_the_reason(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = store.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", opened)
    assert run(store, *QUICK, "--dim3", "0") == 2
    after = store.get_run(opened)
    assert after.info.status == "FAILED"
    assert after.data.tags[Tag.DESCRIPTION] == "Not run: dim3 must be at least 1, got 0"


def test_a_full_disk_ends_the_run_failed_with_one_line(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MlflowClient, "log_artifacts", full)
    assert run(store, *QUICK) == 1
    (recorded,) = all_runs(store)
    assert recorded.info.status == "FAILED"
    assert recorded.data.metrics[Metric.TEST_MSE] > 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"error: run {recorded.info.run_id} failed: OSError: [Errno 28] No space left on device"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), *marked("slow", (signal.SIGTERM, 143))])
def test_a_signal_ends_the_run_killed(store: MlflowClient, tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "tracking.train", *QUICK, "--tracking-uri", store.tracking_uri]
    command += ["--epochs", "100000"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    guard = threading.Timer(120, process.kill)  # a child that never trains must not hang the tests
    guard.start()
    assert "epoch 1/" in process.stderr.readline()
    process.send_signal(number)
    _, err = process.communicate()
    guard.cancel()
    assert process.returncode == code
    assert err.splitlines()[-1] == f"interrupted by {number.name}; a run that was open ended KILLED"
    (recorded,) = all_runs(store)
    assert recorded.info.status == "KILLED"
    assert recorded.data.tags[Tag.REASON] == f"interrupted by {number.name}"
