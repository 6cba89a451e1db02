"""docs/deploy.md, followed: PostgreSQL, S3 and an `mlflow server` that knows its users, all for real on loopback."""

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg
import pytest
from mlflow import MlflowClient

from elbowroom.analysis import report
from elbowroom.studies import scan
from elbowroom.tracking import train
from elbowroom.tracking.store.names import Kind, Tag
from tests.conftest import BIN, ROOT, environment, free_port, wait_for
from tests.faults.proxy import Answer, Fault, proxy_to
from tests.studies.harness import Postgres, Server, Study, kill_tree, postgres_server, undisturbed

pytestmark = pytest.mark.integration

DEPLOY = (ROOT / "docs" / "deploy.md").read_text()
GRID = ("--dataset", "digits", "--dim2", "8", "--models", "pca,ae", "--dim3", "2:5", "--seeds", "1")
SMALL = (*GRID, "--epochs", "2", "--workers", "2")
ONE_RUN = ("--model", "pca", "--dataset", "digits", "--dim3", "2")


def block(words: str, text: str = DEPLOY) -> str:
    """The one block of commands with these words in it."""
    (found,) = [b for b in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if words in b]
    return str(found)


class Deployment:
    """The set-up of the document, made by its commands, with this machine's ports in the place of its own."""

    def __init__(self, folder: Path, postgres: Postgres, s3: str, key: tuple[str, str]) -> None:
        self.folder, self.postgres, self.s3, self.key, self.port = folder, postgres, s3, key, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.storage = f"postgresql+psycopg://optuna@127.0.0.1:{postgres.port}/optuna"
        self.here, self.work = folder / "server", folder / "work"
        self.here.mkdir()
        self.work.mkdir()
        self.sh("server.env <<END")
        self.settings = dict(line.split("=", 1) for line in (self.here / "server.env").read_text().splitlines())
        self.sh("CREATE ROLE")
        self.server = Server(["bash", "-c", self.as_here(block("mlflow server"))], self.here, self.port)

    def start(self) -> None:
        """Follow the section on users."""
        self.server.start()
        self.users = dict(re.findall(r"^(ada|ben) (\w+)$", self.sh("users.create_user"), re.MULTILINE))
        self.users["admin"] = self.settings["MLFLOW_AUTH_ADMIN_PASSWORD"]
        self.homes = {user: self.home(user) for user in ("ada", "ben")}

    def as_here(self, text: str) -> str:
        """Commands of the document, for this machine; each thing to be replaced has to be somewhere in it."""
        here = {
            "127.0.0.1:5432": f"127.0.0.1:{self.postgres.port}",
            "127.0.0.1:5000": f"127.0.0.1:{self.port}",
            "--port 5000": f"--port {self.port}",
            "--workers 4": "--workers 1",
            "https://mlflow.example.org": self.uri,
            "https://s3.example.org": self.s3,
            "KEY_OF_THE_BUCKET": self.key[0],
            "SECRET_OF_THE_BUCKET": self.key[1],
            "sudo -u postgres psql": f"psql --host 127.0.0.1 --port {self.postgres.port} --username postgres",
            "--preset digits": " ".join(SMALL),
            "--out report": "--out report --choose model=pca,dim3=4",  # so short a range has no choice of its own
        }
        for theirs, ours in here.items():
            assert theirs in DEPLOY
            text = text.replace(theirs, ours)
        return text

    def sh(self, words: str, folder: Path | None = None, **more: str) -> str:
        """Run the document's block with these words in it, as it stands; what it says."""
        return self.bash(self.as_here(block(words)), folder or self.here, **more)

    def bash(self, script: str, folder: Path, **more: str) -> str:
        path = f"{self.postgres.install.bin_path}{os.pathsep}{environment()['PATH']}"
        env = environment(PATH=path, **more)
        done = subprocess.run(["bash", "-e", "-c", script], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def home(self, user: str) -> Path:
        """A user's home directory, as the document says."""
        folder = self.folder / f"home-{user}"
        folder.mkdir()
        script = self.as_here(block("mlflow_tracking_username")).replace("username = ada", f"username = {user}")
        script = script.replace("ADAS_PASSWORD", self.users[user])
        script = script.replace("OPTUNA_PASSWORD", self.settings["OPTUNA_PASSWORD"])
        self.bash(script, folder, HOME=str(folder))
        return folder

    def secrets(self) -> list[str]:
        """Every secret there is, and how a request carries the users'."""
        names = [n for n in self.settings if re.search("PASSWORD|SECRET", n)]
        assert len(names) == 5
        tokens = [base64.b64encode(f"{u}:{p}".encode()).decode() for u, p in self.users.items()]
        return [*(self.settings[n] for n in names), *self.users.values(), *tokens]

    def everything(self) -> dict[str, bytes]:
        """All that was written anywhere, but for the files in which secrets belong."""
        found = {}
        for database in ("tracking", "auth", "optuna"):
            url = f"postgresql://postgres@127.0.0.1:{self.postgres.port}/{database}"
            found[database] = self.bash(f"pg_dump {url}", self.here).encode()
        bucket = boto3.client("s3", endpoint_url=self.s3, **keys(self.key))
        for page in bucket.get_paginator("list_objects_v2").paginate(Bucket="elbowroom-artifacts"):
            for each in page.get("Contents", ()):
                found[each["Key"]] = bucket.get_object(Bucket="elbowroom-artifacts", Key=each["Key"])["Body"].read()
        for path in [*self.work.rglob("*"), self.server.log]:
            if path.is_file():
                found[str(path)] = path.read_bytes()
        return found

    def written(self) -> list[tuple[Any, ...]]:
        """How many experiments, runs and studies there are."""
        counted = []
        for database, table in (("tracking", "experiments"), ("tracking", "runs"), ("optuna", "studies")):
            url = f"postgresql://postgres@127.0.0.1:{self.postgres.port}/{database}"
            with psycopg.connect(url) as connection:
                there = connection.execute(f"SELECT to_regclass('{table}') IS NOT NULL").fetchone() == (True,)
                found = connection.execute(f"SELECT count(*) FROM {table}").fetchone() if there else (0,)
            assert found is not None
            counted.append((table, *found))
        return counted

    def leaks(self) -> list[str]:
        """The places where a secret stands and must not, command lines of processes included."""
        found = self.everything()
        family = [psutil.Process(self.server.process.pid)]
        family += family[0].children(recursive=True)
        found |= {f"process {p.pid}": " ".join(p.cmdline()).encode() for p in family}
        assert any(b"mlflow server" in v for k, v in found.items() if k.startswith("process"))
        return [f"{s[:4]}… in {name}" for name, data in found.items() for s in self.secrets() if s.encode() in data]


def keys(pair: tuple[str, str]) -> dict[str, str]:
    return {"aws_access_key_id": pair[0], "aws_secret_access_key": pair[1], "region_name": "us-east-1"}


@contextmanager
def s3_server(folder: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """The address of an S3 with the document's bucket, and the one key that it takes."""
    port = free_port()
    server = Server([BIN / "moto_server", "--host", "127.0.0.1", "--port", str(port)], folder, port)
    server.launch()
    try:
        wait_for(f"{server.uri}/moto-api/", server.process, server.log)
        first: Any = {"endpoint_url": server.uri, **keys(("first", "first"))}
        boto3.client("s3", **first).create_bucket(Bucket="elbowroom-artifacts")
        iam = boto3.client("iam", **first)
        iam.create_user(UserName="mlflow")
        allowed = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}], "Version": "2012-10-17"}
        iam.put_user_policy(UserName="mlflow", PolicyName="s3", PolicyDocument=json.dumps(allowed))
        key = iam.create_access_key(UserName="mlflow")["AccessKey"]
        checked = urllib.request.Request(f"{server.uri}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
        urllib.request.urlopen(checked).close()
        yield server.uri, (key["AccessKeyId"], key["SecretAccessKey"])
    finally:
        server.kill()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deploy")
    with postgres_server() as postgres, s3_server(folder) as (s3, key):
        hba = postgres.data / "pg_hba.conf"  # a password is asked for, as a PostgreSQL of a distribution does
        hba.write_text("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        with psycopg.connect(f"{postgres.uri}/postgres".replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")
            for name in ("tracking", "optuna"):  # the harness's
                connection.execute(f"DROP DATABASE {name}")
        made = Deployment(folder, postgres, s3, key)
        try:
            made.start()
            yield made
        finally:
            made.server.kill()


@pytest.fixture
def ada(deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """This test, and what it starts, is Ada."""
    monkeypatch.setenv("HOME", str(deployed.homes["ada"]))


def refused(deployed: Deployment, module: str, *arguments: str, **more: str) -> str:
    """The one line with which a command is refused: within half a minute, where the machine is free."""
    done = command(deployed, module, *arguments, **more)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert [s for s in deployed.secrets() if s in done.stdout + done.stderr] == []
    return line


def command(deployed: Deployment, module: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", module, *arguments]
    env = environment(MLFLOW_TRACKING_URI=deployed.uri) | more
    return subprocess.run(words, cwd=deployed.work, env=env, capture_output=True, text=True, timeout=180)


def said(what: str) -> str:
    """The output that the document's table promises for a row."""
    (row,) = re.findall(rf"^\| {re.escape(what)} \| `(.*)` \|$", DEPLOY, re.MULTILINE)
    return str(row)


# The way through


@pytest.mark.server
@pytest.mark.slow
def test_a_scan_and_its_report_come_out_as_on_files_and_no_secret_is_anywhere(
    deployed: Deployment, ada: None, tmp_path: Path, empty_database: Path
) -> None:
    secret = (deployed.homes["ada"] / ".pgpass", deployed.homes["ada"] / ".mlflow" / "credentials")
    for path in (deployed.here / "server.env", *secret):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    printed = deployed.sh("analysis.report", deployed.work)
    (deployed.work / "printed").write_text(printed)
    assert "registered models:/elbowroom-digits@chosen" in printed
    assert "logged as run" in printed
    assert (deployed.work / "report" / "report.html").exists()
    client = MlflowClient(deployed.uri)
    experiment = client.get_experiment_by_name("elbowroom")
    assert experiment is not None
    assert experiment.artifact_location.startswith("mlflow-artifacts:")
    runs = client.search_runs([experiment.experiment_id], f"tags.`{Tag.KIND}` = '{Kind.RUN}'")
    found = {r.info.run_name: r.data.metrics["val/mse/final"] for r in runs}
    assert len(runs) == len(found) == 8
    assert found == undisturbed(tmp_path / "files", empty_database, SMALL)
    everything = deployed.everything()
    assert sum(name.endswith("codes/test.npy") for name in everything) == 8  # in the bucket, then
    assert b"elbowroom.study.name" in everything["tracking"]
    assert deployed.leaks() == []
    (deployed.work / "forgotten").write_text(f"PGPASSWORD={deployed.settings['PGPASSWORD']}")
    assert len(deployed.leaks()) == 1
    (deployed.work / "forgotten").unlink()


@pytest.mark.server
@pytest.mark.slow
def test_a_user_writes_into_an_experiment_of_another_once_that_is_granted(deployed: Deployment, ada: None) -> None:
    ben = {"HOME": str(deployed.homes["ben"])}
    client = MlflowClient(deployed.uri)
    experiment = client.get_experiment_by_name("elbowroom")
    if experiment is None:
        client.create_experiment("elbowroom")
    if not client.search_registered_models("name = 'elbowroom-digits'"):
        client.create_registered_model("elbowroom-digits")
    before = deployed.written()
    study = ("studies.scan", *SMALL, "--study", "bens", "--storage", deployed.storage)
    for words in (("tracking.train", *ONE_RUN), study):
        assert said("no permission for the experiment") in refused(deployed, *words, **ben)
    assert deployed.written() == before
    deployed.sh("grant_user_permission")
    assert command(deployed, "tracking.train", *ONE_RUN, **ben).returncode == 0
    assert deployed.leaks() == []


SBATCH = (
    'bash -n "$1" && cp "$1" "$HERE/job.sh" && { setsid bash "$HERE/job.sh" &> "$HERE/job.log" & } && '
    'echo $! >> "$HERE/jobs" && echo "Submitted batch job $!"'
)


@pytest.mark.server
@pytest.mark.slow
def test_a_slurm_job_trains_with_the_files_of_its_user(deployed: Deployment, ada: None, tmp_path: Path) -> None:
    """The recipe of docs/cluster.md as it stands, where `sbatch` runs the job at once, here."""
    for name, script in {"sbatch": SBATCH, "scancel": 'kill -- -"$1"'}.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (recipe,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "cluster.md").read_text(), re.DOTALL)
    here = {"interface=None": 'interface="lo"', "maximum_jobs=50": "maximum_jobs=1", '"/tmp"': f'"{tmp_path}"'}
    for theirs, ours in here.items():
        assert theirs in recipe
        recipe = recipe.replace(theirs, ours)
    env = environment(HERE=str(tmp_path), ELBOWROOM_CACHE=str(tmp_path / "cache"))
    env["PATH"] = f"{tmp_path}{os.pathsep}{env['PATH']}"
    jobs = Study(deployed.work, deployed.uri, deployed.storage, "slurm", "slurm")
    with subprocess.Popen([sys.executable, "-c", recipe], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as head:
        try:
            assert head.stdout is not None
            address = head.stdout.readline().strip()
            one = ("--models", "ae", "--dim3", "2", "--epochs", "2")
            assert jobs.run(*GRID, *one, "--backend", "dask", "--scheduler", address) == 0, jobs.log
            workers = {int(r.data.tags[Tag.WORKER].split()[1]) for r in jobs.finished()}
            groups = {int(line) for line in (tmp_path / "jobs").read_text().split()}
            assert {os.getpgid(w) for w in workers} == groups
        finally:
            kill_tree(head)
            subprocess.run(["bash", "-c", f"xargs -I% kill -9 -- -% < {tmp_path}/jobs"], stderr=subprocess.DEVNULL)
    jobs.check_complete(1)
    written = (tmp_path / "job.sh").read_text() + (tmp_path / "job.log").read_text()
    assert [s for s in deployed.secrets() if s in written] == []


# What is refused


@pytest.mark.server
@pytest.mark.slow
def test_what_is_wrong_is_said_in_one_line_before_training(deployed: Deployment, ada: None, tmp_path: Path) -> None:
    nobody = {"HOME": str(tmp_path)}
    wrong = nobody | {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "not hers at all"}
    place = ("--storage", deployed.storage)
    before = deployed.written()
    for words, who in (
        (("tracking.train", *ONE_RUN), nobody),
        (("studies.scan", *SMALL, *place), wrong),
        (("analysis.report",), wrong),
    ):
        assert said("no password, or a wrong one") in refused(deployed, *words, **who)
    line = refused(deployed, "studies.scan", *SMALL, *place, PGPASSWORD="not Optuna's")
    assert said("Optuna's password is wrong") in line
    assert deployed.written() == before


@pytest.mark.server
@pytest.mark.slow
def test_an_artifact_store_that_does_not_work_is_noticed_before_training(deployed: Deployment, ada: None) -> None:
    others = {
        "the bucket is not there": ("s3://elbowroom-artifacts/", "s3://not-there/"),
        "the server's S3 key is wrong": (deployed.key[1], "0" * 40),
    }
    before = deployed.written()
    with ExitStack() as stack:
        servers = {}
        for number, (what, (right, wrong)) in enumerate(others.items()):
            folder, port = deployed.folder / f"other-{number}", free_port()
            shutil.copytree(deployed.here, folder, ignore=shutil.ignore_patterns("*.log"))
            settings = folder / "server.env"
            assert right in settings.read_text()
            settings.write_text(settings.read_text().replace(right, wrong))
            script = deployed.as_here(block("mlflow server")).replace(str(deployed.port), str(port))
            servers[what] = Server(["bash", "-c", script], folder, port)
            servers[what].launch()
            stack.callback(servers[what].kill)
        for what, server in servers.items():
            wait_for(f"{server.uri}/health", server.process, server.log)
            for more in ((), ("--experiment", "one that is not there yet")):
                line = refused(deployed, "tracking.train", *ONE_RUN, "--tracking-uri", server.uri, *more)
                assert said(what) in line
    assert deployed.written() == before


@pytest.mark.server
@pytest.mark.slow
def test_a_backup_is_restored_and_an_upgrade_finds_nothing_to_do(
    deployed: Deployment, ada: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(deployed.uri)
    run = client.create_run(client.create_experiment("kept"))
    client.log_metric(run.info.run_id, "kept", 0.5)
    deployed.sh("pg_dump")
    assert {p.stem for p in deployed.here.glob("*.dump")} == {"tracking", "auth", "optuna"}
    (command,) = re.findall(r"`(pg_restore .*?)`", DEPLOY)
    psql = deployed.as_here("sudo -u postgres psql")
    deployed.bash(f"{psql} --command 'CREATE DATABASE restored OWNER mlflow'", deployed.here)
    restore = deployed.as_here(command).replace("/tracking ", "/restored ")
    deployed.bash(f"set -a; . ./server.env; {restore}", deployed.here)
    monkeypatch.setenv("PGPASSWORD", deployed.settings["PGPASSWORD"])
    restored = MlflowClient(f"postgresql+psycopg://mlflow@127.0.0.1:{deployed.postgres.port}/restored")
    assert restored.get_run(run.info.run_id).data.metrics == {"kept": 0.5}
    deployed.sh("mlflow db upgrade")


# Without servers


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"You are not authenticated. Please see the docs", "takes no such user and password"),
        (403, b"Permission denied", "permission denied: the server's administrator grants it"),
        (403, b"Invalid Host header - possible DNS rebinding attack detected", "Invalid Host header - possible DNS"),
    ],
)
def test_an_answer_that_is_a_refusal_is_one_line(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], status: int, body: bytes, words: str
) -> None:
    with proxy_to("http://127.0.0.1:9") as server:
        server.watch(lambda n, request: Fault("refused", Answer(status, {}, body)))
        for module in (train, scan, report):
            assert module.main(["--tracking-uri", server.uri]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith(f"error: tracking URI {server.uri} can't be used: ")
            assert words in line


@pytest.mark.parametrize("place", ["--tracking-uri", "--storage"])
@pytest.mark.parametrize("password", ["pa/ssw0rd", "pa?ssw0rd", "pa#ssw0rd", "pa@ssw0rd", "pa ssw0rd", "50/ssw0rd@x"])
def test_a_password_that_ends_elsewhere_for_another_program_is_refused_and_no_part_of_it_is_shown(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], place: str, password: str
) -> None:
    uri = f"http://me:{password}@127.0.0.1:9" if place == "--tracking-uri" else f"postgresql://me:{password}@h/optuna"
    modules = (train, scan, report) if place == "--tracking-uri" else (scan,)
    for module in modules:
        assert module.main([place, uri]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said("`/ ? # @` as such in the password of a URL") in line
        assert "ssw0rd" not in line
    assert Path("optuna.db").exists() is False
