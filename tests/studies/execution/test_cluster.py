"""Studies on real servers and a real cluster (PostgreSQL, `mlflow server`, Dask), also when these stop."""

import logging
import random
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from elbowroom.studies.execution.cell import Job, Status, extend_retries, run_cell
from elbowroom.studies.options import Options
from elbowroom.studies.seek import Question, seek
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.store import client
from elbowroom.tracking.store.names import Kind, Tag
from elbowroom.tracking.store.recorder import Place
from tests.conftest import ROOT, environment, free_port, locked_for
from tests.studies.harness import (
    PASSWORD,
    Capture,
    Patch,
    Server,
    Study,
    dask_cluster,
    kill_tree,
    mlflow_server,
    postgres_server,
    until,
)

pytestmark = pytest.mark.integration

DIGITS = ("--dataset", "digits", "--dim2", "8")
QUICK = (*DIGITS, "--models", "pca,ae", "--dim3", "2:4", "--seeds", "1", "--epochs", "2")
EPOCHS = 150
LONG = (*DIGITS, "--models", "pca,ae", "--dim3", "2:4", "--seeds", "1", "--epochs", str(EPOCHS))
ONE = (*DIGITS, "--models", "ae", "--dim3", "2", "--seeds", "1", "--epochs", "500")  # takes longer than a start
CHAOTIC = (*DIGITS, "--models", "pca,ae", "--dim3", "2:6", "--seeds", "2", "--epochs", "100")
CELL = RunConfig(model="ae", dataset="digits", dim2=8, epochs=2, threads=1, artifacts="light")

Undisturbed = Callable[[tuple[str, ...]], dict[str, float]]


def dask(address: str) -> tuple[str, ...]:
    return ("--backend", "dask", "--scheduler", address)


def check_ended(study: Study, process: subprocess.Popen[str], reason: str) -> None:
    """The study ends with one line that says why."""
    assert process.wait(200) == 1
    last = study.log.splitlines()[-1]
    assert re.match(rf"error: run \w+ failed: .*{reason}", last)
    assert "Traceback" not in study.log


# On servers and on Dask


@pytest.mark.slow
@pytest.mark.server
def test_a_study_on_dask_and_servers_comes_out_as_one_on_this_machine_and_files(
    served: Study, undisturbed: Undisturbed
) -> None:
    with dask_cluster(served.folder, "--no-nanny") as cluster:
        assert served.run(*QUICK, *dask(cluster.address)) == 0, served.log
    served.check_complete(6)
    assert served.errors() == undisturbed(QUICK)
    trained = {int(r.data.tags[Tag.WORKER].split()[1]) for r in served.finished()}
    assert trained == {w.pid for w in cluster.workers}


@pytest.mark.slow
@pytest.mark.server
def test_a_seek_on_dask_and_servers_trains_the_cells_of_one_on_this_machine(served: Study, filed: Study) -> None:
    question = Question(("pca", "ae"), max_dim3=4, base=RunConfig(dataset="digits", dim2=8, epochs=2))
    here = Options(tracking_uri=filed.tracking_uri, storage=filed.storage, experiment="here", study="s", workers=2)
    answer = seek(question, here)
    sought = replace(served, module="studies.seek")
    with dask_cluster(served.folder, "--no-nanny") as cluster:
        asked = ("--models", "pca,ae", "--max-dim3", "4", *DIGITS, "--epochs", "2")
        assert sought.run(*asked, *dask(cluster.address)) == 0, sought.log
    sought.check_complete(sum(answer.cells.values()))
    assert sought.errors() == replace(filed, experiment="here").errors()
    assert answer.choices["ae"]["keep:0.90"].sentence in sought.log


@pytest.mark.server
@pytest.mark.soak
def test_a_dask_worker_that_is_killed_has_its_cell_tried_again_by_another(
    served: Study, undisturbed: Undisturbed
) -> None:
    with dask_cluster(served.folder, "--no-nanny") as cluster:
        process = served.start(*LONG, *dask(cluster.address))
        run, worker = served.halt_one(process, EPOCHS)
        assert worker.pid in {w.pid for w in cluster.workers}
        worker.kill()
        assert process.wait(300) == 0, served.log
    served.check_complete(6)
    lost = served.client.get_run(run.info.run_id)
    assert (lost.info.status, lost.data.tags[Tag.REASON]) == ("FAILED", "its first worker was lost")
    assert served.statuses() == {"FINISHED": 6, "FAILED": 1}
    (again,) = [r for r in served.finished() if r.info.run_name == run.info.run_name]
    assert int(again.data.tags[Tag.WORKER].split()[1]) in {w.pid for w in cluster.workers} - {worker.pid}
    assert f"{run.info.run_name}: its first worker was lost; trying it again" in served.log
    assert served.errors() == undisturbed(LONG)


@pytest.mark.server
@pytest.mark.soak
def test_a_killed_coordinator_of_a_cluster_is_replaced_and_the_clusters_workers_are_left_alone(
    served: Study, undisturbed: Undisturbed
) -> None:
    with dask_cluster(served.folder, "--no-nanny") as cluster:
        process = served.start(*ONE, *dask(cluster.address))
        run, worker = served.halt_one(process, 500)
        process.kill()
        process.wait(30)
        worker.resume()
        assert served.run(*ONE, *dask(cluster.address)) == 0, served.log
        assert [w.poll() for w in cluster.workers] == [None, None]
    served.check_complete(1)
    # Where a machine trains it in less time than a coordinator takes to start, it counts.
    assert served.client.get_run(run.info.run_id).info.status in ("FINISHED", "FAILED")
    assert served.errors() == undisturbed(ONE)


@pytest.mark.server
@pytest.mark.soak
def test_a_scheduler_that_is_gone_ends_the_study_and_the_next_start_completes_it(served: Study) -> None:
    with dask_cluster(served.folder) as cluster:
        process = served.start(*LONG, *dask(cluster.address))
        served.training(process)
        cluster.scheduler.kill()
        check_ended(served, process, f"scheduler {cluster.address} is gone")
    assert served.parent().info.status == "FAILED"
    assert served.run(*LONG, "--workers", "2") == 0, served.log
    served.check_complete(6)


ADAPTIVE = """
import signal
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
    cluster.adapt(minimum=0, maximum=2, target_duration="100ms")
    print(cluster.scheduler_address, flush=True)
    signal.pause()
"""


@pytest.mark.server
@pytest.mark.soak
def test_an_adaptive_cluster_grows_from_nothing_by_the_cells_that_wait(filed: Study) -> None:
    script = filed.folder / "adaptive.py"
    script.write_text(ADAPTIVE)
    with subprocess.Popen(
        [sys.executable, script], cwd=filed.folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as cluster:
        try:
            assert filed.run(*LONG, *dask(cluster.stdout.readline().strip())) == 0, filed.log
        finally:
            kill_tree(cluster)
    filed.check_complete(6)
    assert "has no worker; waiting for one" in filed.log
    assert len({r.data.tags[Tag.WORKER] for r in filed.finished()}) == 2


# Servers that go away


def test_a_request_waits_ten_minutes_for_a_server_that_is_away(monkeypatch: Patch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time", SimpleNamespace(sleep=slept.append))
    extend_retries()
    with pytest.raises(MlflowException, match="refused"):
        MlflowClient(f"http://127.0.0.1:{free_port()}").get_run("0")
    assert 600 <= sum(slept) <= 700


@pytest.mark.server
@pytest.mark.soak
@pytest.mark.parametrize("what", ["server", "databases"])
def test_what_is_away_for_a_while_is_waited_for(tmp_path: Path, undisturbed: Undisturbed, what: str) -> None:
    """The tracking server, for half a minute; or PostgreSQL under both stores, while the tracking server stays."""
    with postgres_server() as postgres, mlflow_server(tmp_path, f"{postgres.uri}/tracking") as server:
        study = Study(tmp_path, server.uri, f"{postgres.uri}/optuna", "away", "away")
        process = study.start(*LONG, "--workers", "2")
        run, worker = study.halt_one(process, EPOCHS)
        assert 0 < len(study.epochs(run)) < EPOCHS
        if what == "server":
            server.kill()
            worker.resume()
            # One request says so before its fourth retry, having waited 0 + 4 + 8 + 16 seconds.
            until(lambda: "Retry(total=6" in study.log or None, lambda: study.log, 180)
            server.start()
        else:
            postgres.stop()
            worker.resume()
            until(lambda: re.search(r'" 50[03] ', server.log.read_text()), server.log.read_text)
            postgres.start()
        assert process.wait(400) == 0, study.log
        study.check_complete(6)
        assert study.statuses() == {"FINISHED": 6}
        assert study.epochs(run) == list(range(1, EPOCHS + 1))
        assert study.errors() == undisturbed(LONG)


@pytest.mark.server
@pytest.mark.soak
def test_a_server_that_stays_away_ends_the_study_and_the_next_start_completes_it(postgres: str, tmp_path: Path) -> None:
    with mlflow_server(tmp_path, f"{postgres}/tracking") as server:
        study = Study(tmp_path, server.uri, f"{postgres}/optuna", "gone", "gone")
        process = study.start(*LONG, "--workers", "1", MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")
        study.training(process)
        server.kill()
        check_ended(study, process, "refused")
        server.start()
        assert study.run(*LONG, "--workers", "2") == 0, study.log
        study.check_complete(6)


def cell_of(study: Study, tracking_uri: str, digest: str, **more: Any) -> Job:
    """A cell of a study that has no coordinator."""
    experiment = study.client.create_experiment(study.experiment)
    parent = study.client.create_run(experiment, tags={Tag.KIND: Kind.STUDY, Tag.STUDY: study.name})
    tags = {Tag.STUDY.value: study.name, Tag.TRIAL.value: "0"}
    place = Place(experiment, parent.info.run_id, Kind.RUN, tags)
    return Job(CELL, 0, place, tracking_uri, digest, **more)


@pytest.mark.slow
@pytest.mark.server
def test_a_cell_that_starts_while_the_server_is_away_waits_for_it(
    served: Study, postgres: str, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    late = mlflow_server(served.folder, f"{postgres}/tracking")
    job = cell_of(served, late.uri, PreparedData.load(CELL).digests["all"])
    monkeypatch.setattr(client, "ANSWER_SECONDS", 3.0)  # less than a server takes to start
    late.launch()
    try:
        with caplog.at_level(logging.WARNING, "urllib3.connectionpool"):
            outcome = run_cell(job)
        assert "Retry(total=9" in caplog.text
        assert outcome.status is Status.FINISHED, outcome.reason
        assert [r.info.run_id for r in served.finished()] == [outcome.run_id]
    finally:
        late.kill()


def test_a_cell_that_starts_while_the_file_is_locked_waits_for_it(filed: Study, tmp_path: Path) -> None:
    job = cell_of(filed, f"{filed.tracking_uri}?timeout=0.1", PreparedData.load(CELL).digests["all"])
    with locked_for(1.0, tmp_path / "mlflow.db"):
        outcome = run_cell(job)
    assert outcome.status is Status.FINISHED, outcome.reason


# What a worker finds


def test_a_job_that_dask_starts_again_is_run_once(filed: Study) -> None:
    job = cell_of(filed, filed.tracking_uri, PreparedData.load(CELL).digests["all"], once=True)
    first = run_cell(job)
    assert first.status is Status.FINISHED, first.reason
    second = run_cell(job)
    assert (second.status, second.run_id) == (Status.FINISHED, first.run_id)
    assert second.metrics == first.metrics
    filed.client.update_run(str(first.run_id), status="RUNNING")  # as a lost worker leaves it
    third = run_cell(job)
    assert (third.status, third.reason) == (Status.LOST, "its first worker was lost")
    assert len(filed.runs()) == 1


@pytest.mark.parametrize(
    ("digest", "code", "reason"),
    [
        ("0123456789abcdef", "", r"digits on \S+ has digest \w{16}, the study's has 0123456789abcdef"),
        ("0", "revision 2", r"the code of ae on \S+ is revision 1, the study began with revision 2"),
    ],
)
def test_a_worker_whose_data_or_code_differ_from_the_studys_trains_nothing(
    filed: Study, digest: str, code: str, reason: str
) -> None:
    outcome = run_cell(cell_of(filed, filed.tracking_uri, digest, code=code))
    assert outcome.status is Status.FAILED
    assert re.search(reason, outcome.reason)
    assert filed.runs() == []


def test_a_worker_reads_a_header_as_the_study_does(filed: Study) -> None:
    path = filed.folder / "a.csv"
    path.write_text("1,2,3\n" + "".join(f"{i}.5,{i * i % 7}.5,{i % 3}.5\n" for i in range(20)))
    config = replace(CELL, model="pca", dataset=str(path), header="yes")
    digest = PreparedData.load(config).digests["all"]
    outcome = run_cell(replace(cell_of(filed, filed.tracking_uri, digest), config=config))
    assert outcome.status is Status.FINISHED, outcome.reason
    assert filed.runs()[0].data.params["rows_train"] == "16"


# Chaos


@pytest.mark.server
@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_chaos_on_servers(served: Study, undisturbed: Undisturbed) -> None:
    """Workers and the coordinator die four times, and the study comes out bit for bit as if they had not."""
    dice, hits = random.Random(0), []
    while True:
        process = served.start(*CHAOTIC, "--workers", "2")
        while len(hits) < 4 and (training := served.training(process)):
            victim = dice.choice([None, *(worker for _, worker in training)])
            hits.append("coordinator" if victim is None else "worker")
            if victim is None:
                process.kill()
                break
            victim.kill()
            victim.wait(30)
        if process.wait(600) == 0:
            break
        assert len(hits) < 50, served.log
    assert len(hits) == 4
    assert set(hits) == {"coordinator", "worker"}
    served.check_complete(5 + 10)
    assert served.statuses()["FAILED"] >= 1
    assert served.errors() == undisturbed(CHAOTIC)


# Bad input


@pytest.fixture
def mute() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("answers", ["refuses", "is silent"])
@pytest.mark.parametrize("what", ["storage", "scheduler"])
def test_what_cannot_be_reached_is_named_in_one_line_and_not_waited_for(
    filed: Study, mute: int, what: str, answers: str
) -> None:
    port = mute if answers == "is silent" else free_port()
    url = f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:{port}/optuna"
    more = {"storage": ("--storage", url), "scheduler": dask(f"tcp://127.0.0.1:{port}")}[what]
    command = filed.command(*QUICK, *more)
    # Half a minute on a machine that is free; a silent server would be waited for without an end.
    done = subprocess.run(
        command, cwd=filed.folder, env=environment(), capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {what} ")
    assert f"127.0.0.1:{port}" in line
    assert PASSWORD not in line
    assert [*filed.runs(), *filed.runs(Kind.STUDY)] == []


def refused(study: Study, capsys: Capture, *arguments: str) -> str:
    """The one line with which the command is refused."""
    assert study.run_here(*QUICK, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert [*study.runs(), *study.runs(Kind.STUDY)] == []
    return line


@pytest.mark.parametrize(
    ("missing", "given", "said"),
    [
        ("distributed", dask("tcp://127.0.0.1:8786"), "backend dask .*pip install -r requirements-cluster.txt"),
        (
            "psycopg",
            ("--storage", f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1/optuna"),
            r"storage postgresql\+psycopg://me:\*\*\*@127.0.0.1/optuna .*pip install -r requirements-cluster.txt",
        ),
        (
            "",
            dask("tcp://head-node:8786"),
            "tracking URI .* is a file, which workers of a cluster can't share;.*server",
        ),
    ],
)
def test_a_cluster_without_its_packages_or_its_server_is_refused(
    filed: Study,
    monkeypatch: Patch,
    capsys: Capture,
    missing: str,
    given: tuple[str, ...],
    said: str,
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    assert re.match(f"error: {said}", refused(filed, capsys, *given))


@pytest.mark.server
def test_the_tracking_database_is_refused_as_storage(
    filed: Study, http_server: Server, postgres: str, capsys: Capture
) -> None:
    line = refused(filed, capsys, "--storage", f"{postgres}/tracking")
    assert "is an MLflow tracking store" in line
    assert PASSWORD not in line


@pytest.mark.slow
@pytest.mark.server
def test_a_cluster_that_cannot_import_this_code_is_refused(
    filed: Study, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("tests.studies.harness.environment", lambda **more: environment(**more) | {"PYTHONPATH": ""})
    with dask_cluster(tmp_path / "elsewhere", workers=1) as cluster:
        line = refused(filed, capsys, *dask(cluster.address))
    assert "of the Dask cluster can't import what a cell needs" in line
    assert "No module named 'elbowroom'" in line


@pytest.mark.usefixtures("cells_here")
def test_a_study_that_another_machine_holds_needs_take_over(filed: Study, capsys: Capture) -> None:
    given = (*QUICK, "--models", "pca", "--workers", "1")
    assert filed.run_here(*given, "--dim3", "2") == 0
    parent = filed.parent().info.run_id
    filed.client.set_tag(parent, Tag.COORDINATOR, "head-node 4711 1700000000.00 0a1b2c3d")
    filed.client.update_run(parent, status="RUNNING")
    capsys.readouterr()
    given += ("--dim3", "2:3")
    assert filed.run_here(*given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is run by process 4711 on head-node" in line
    assert "--take-over" in line
    assert len(filed.runs()) == 1
    assert filed.parent().data.tags[Tag.COORDINATOR].startswith("head-node 4711 ")
    assert filed.run_here(*given, "--take-over") == 0
    filed.check_complete(2)


# The recipe of the documentation


def recipe() -> str:
    """The Python of docs/cluster.md, up to where it would talk to Slurm."""
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "cluster.md").read_text(), re.DOTALL)
    before, marker, _ = block.partition("cluster.adapt(")
    assert marker
    return before


def test_the_slurm_recipe_makes_a_job_of_one_worker_with_one_thread(tmp_path: Path) -> None:
    code = recipe() + "print(cluster.job_script())\ncluster.close()\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    script = done.stdout
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "#SBATCH --cpus-per-task=1" in script
    assert "#SBATCH -t 04:00:00" in script
    assert "#SBATCH --output=elbowroom-%j.log" in script
    assert f"export PYTHONPATH={tmp_path}" in script.splitlines()
    (worker,) = [line for line in script.splitlines() if "distributed.cli.dask_worker" in line]
    assert " --nthreads 1 " in worker
    assert "--nworkers" not in worker  # one, then
