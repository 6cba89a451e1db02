"""docs/deploy.md, followed: PostgreSQL, S3 and an `mlflow server` that knows its users, all for real on loopback."""

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import mlflow
import psutil
import psycopg
import pytest
from mlflow import MlflowClient
from moto.server import ThreadedMotoServer

from analysis import errors, report
from studies import scan
from tests.conftest import BIN, ROOT, environment, free_port, wait_for
from tests.studies.harness import Postgres, Server, Study, kill_tree, postgres_server, until
from tests.studies.test_cluster import settled
from tracking import recorder, train
from tracking.config import BadInput
from tracking.schema import Kind, Tag

DEPLOY = (ROOT / "docs" / "deploy.md").read_text()
GRID = ("--dataset", "digits", "--dim2", "8", "--models", "pca,ae", "--dim3", "2:5", "--seeds", "1")
SMALL = (*GRID, "--epochs", "2", "--workers", "2")
EPOCHS = 150
LONG = (*GRID, "--epochs", str(EPOCHS), "--workers", "2")
ONE_RUN = ("--model", "pca", "--dataset", "digits", "--dim3", "2")


def block(words: str, text: str = DEPLOY) -> str:
    """The one block of commands with these words in it."""
    (found,) = [b for b in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if words in b]
    return str(found)


@dataclass
class Deployment:
    """The set-up of the document, made by its commands, with this machine's ports in the place of its own."""

    folder: Path
    postgres: Postgres
    s3: str
    key: tuple[str, str]
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.here, self.work = self.folder / "server", self.folder / "work"
        self.here.mkdir()
        self.work.mkdir()

    def as_here(self, text: str) -> str:
        """Commands of the document, for this machine; each thing to be replaced has to be somewhere in it."""
        psql = f"psql --host 127.0.0.1 --port {self.postgres.port} --username postgres"
        here = {
            "127.0.0.1:5432": f"127.0.0.1:{self.postgres.port}",
            "127.0.0.1:5000": f"127.0.0.1:{self.port}",
            "--port 5000": f"--port {self.port}",
            "--workers 4": "--workers 1",
            "https://mlflow.example.org": self.uri,
            "https://s3.example.org": self.s3,
            "KEY_OF_THE_BUCKET": self.key[0],
            "SECRET_OF_THE_BUCKET": self.key[1],
            "sudo -u postgres psql": psql,
            "--preset digits": " ".join(SMALL),
        }
        for theirs, ours in here.items():
            assert theirs in DEPLOY
            text = text.replace(theirs, ours)
        return text

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage(self) -> str:
        return f"postgresql+psycopg://optuna@127.0.0.1:{self.postgres.port}/optuna"

    def sh(self, words: str, folder: Path | None = None, **more: str) -> str:
        """Run the document's block with these words in it, as it stands; what it says."""
        return self.bash(self.as_here(block(words)), folder or self.here, **more)

    def bash(self, script: str, folder: Path, **more: str) -> str:
        path = f"{self.postgres.install.bin_path}{os.pathsep}{environment()['PATH']}"
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=folder,
            env=environment(PATH=path, **more),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @cached_property
    def server(self) -> Server:
        return Server(["bash", "-c", self.as_here(block("mlflow server"))], self.here, self.port)

    @cached_property
    def settings(self) -> dict[str, str]:
        """What server.env says."""
        return dict(line.split("=", 1) for line in (self.here / "server.env").read_text().splitlines())

    @cached_property
    def users(self) -> dict[str, str]:
        """The passwords of the users, who are made at the first look."""
        said = self.sh("users.create_user")
        return dict(re.findall(r"^(ada|ben) (\w+)$", said, re.MULTILINE)) | {
            "admin": self.settings["MLFLOW_AUTH_ADMIN_PASSWORD"]
        }

    def home(self, user: str) -> Path:
        """A user's home directory, as the document says."""
        folder = self.folder / f"home-{user}"
        if not folder.exists():
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

    def leaks(self) -> list[str]:
        """Where a secret stands that must not. Processes' command lines are looked at, too."""
        found = self.everything()
        family = [psutil.Process(self.server.process.pid)]
        family += family[0].children(recursive=True)
        found |= {f"process {p.pid}": " ".join(p.cmdline()).encode() for p in family}
        assert any(b"mlflow server" in v for k, v in found.items() if k.startswith("process"))
        return [f"{s[:4]}… in {name}" for name, data in found.items() for s in self.secrets() if s.encode() in data]


def keys(pair: tuple[str, str]) -> dict[str, str]:
    return {"aws_access_key_id": pair[0], "aws_secret_access_key": pair[1], "region_name": "us-east-1"}


@contextmanager
def s3_server() -> Iterator[tuple[str, tuple[str, str]]]:
    """The address of an S3 with the document's bucket, and the one key that it takes."""
    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        url = f"http://127.0.0.1:{port}"
        first: Any = {"endpoint_url": url, **keys(("first", "first"))}
        boto3.client("s3", **first).create_bucket(Bucket="elbowroom-artifacts")
        iam = boto3.client("iam", **first)
        iam.create_user(UserName="mlflow")
        allowed = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}], "Version": "2012-10-17"}
        iam.put_user_policy(UserName="mlflow", PolicyName="s3", PolicyDocument=json.dumps(allowed))
        key = iam.create_access_key(UserName="mlflow")["AccessKey"]
        checked = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
        urllib.request.urlopen(checked).close()
        yield url, (key["AccessKeyId"], key["SecretAccessKey"])
    finally:
        server.stop()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The document, followed to the end of its section on users."""
    folder = tmp_path_factory.mktemp("deploy")
    with postgres_server() as postgres, s3_server() as (s3, key):
        hba = postgres.data / "pg_hba.conf"  # a password is asked for, as a PostgreSQL of a distribution does
        hba.write_text("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        with psycopg.connect(f"{postgres.uri}/postgres".replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")
            for name in ("tracking", "optuna"):  # the harness's
                connection.execute(f"DROP DATABASE {name}")
        made = Deployment(folder, postgres, s3, key)
        made.sh("server.env <<END")
        made.sh("CREATE ROLE")
        made.server.start()
        try:
            assert set(made.users) == {"admin", "ada", "ben"}
            yield made
        finally:
            made.server.kill()


def study(deployed: Deployment, name: str) -> Study:
    return Study(deployed.work, deployed.uri, deployed.storage, name, name)


@pytest.fixture
def ada(deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """This test, and what it starts, is Ada."""
    monkeypatch.setenv("HOME", str(deployed.home("ada")))


def on_files(folder: Path, grid: tuple[str, ...]) -> dict[str, float]:
    """The errors of a grid in sqlite."""
    folder.mkdir()
    done = Study(folder, f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/optuna.db", "files")
    assert done.run(*grid) == 0, done.log
    return done.errors()


def refused(deployed: Deployment, module: str, *arguments: str, **more: str) -> str:
    """The one line with which a command is refused, within half a minute."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=deployed.work,
        env=environment(MLFLOW_TRACKING_URI=deployed.uri) | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert time.monotonic() - began < 30
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert [s for s in deployed.secrets() if s in done.stdout + done.stderr] == []
    return line


def said(what: str) -> str:
    """What the document's table promises for it."""
    (row,) = re.findall(rf"^\| {re.escape(what)} \| `(.*)` \|$", DEPLOY, re.MULTILINE)
    return str(row)


# The way through


@pytest.mark.server
@pytest.mark.slow
def test_a_scan_and_its_report_come_out_as_on_files_and_no_secret_is_anywhere(
    deployed: Deployment, ada: None, tmp_path: Path
) -> None:
    for path in (deployed.here / "server.env", *(deployed.home("ada") / n for n in (".pgpass", ".mlflow/credentials"))):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    printed = deployed.sh("analysis.report", deployed.work)
    (advice,) = re.findall(r"this makes one: (python -m tracking\.train .*)", printed)
    commands = ["export MLFLOW_TRACKING_URI=" + deployed.uri, advice, "python -m analysis.report --out report"]
    printed += deployed.bash("\n".join(commands), deployed.work)
    (deployed.work / "printed").write_text(printed)
    assert "registered models:/elbowroom-digits@chosen" in printed
    assert "logged as run" in printed
    assert (deployed.work / "report" / "report.html").exists()
    client = MlflowClient(deployed.uri)
    experiment = client.get_experiment_by_name("elbowroom")
    assert experiment is not None
    assert experiment.artifact_location.startswith("mlflow-artifacts:")
    runs = client.search_runs([experiment.experiment_id], f"tags.`{Tag.KIND}` = '{Kind.RUN}'")
    found = {r.info.run_name: r.data.metrics["val/mse/final"] for r in runs if Tag.STUDY in r.data.tags}
    assert len(runs) == 9
    assert found == on_files(tmp_path / "files", SMALL)
    everything = deployed.everything()
    assert sum(name.endswith("codes/test.npy") for name in everything) == 9  # in the bucket, then
    assert b"elbowroom.study.name" in everything["tracking"]
    assert deployed.leaks() == []


@pytest.mark.server
@pytest.mark.slow
def test_a_user_writes_into_an_experiment_of_another_once_that_is_granted(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ben = {"HOME": str(deployed.home("ben"))}
    place = ("--storage", deployed.storage)
    monkeypatch.setenv("HOME", str(deployed.home("ada")))
    client = MlflowClient(deployed.uri)
    experiment = client.get_experiment_by_name("elbowroom")
    if experiment is None:
        client.create_experiment("elbowroom")
    try:
        client.create_registered_model("elbowroom-digits")
    except mlflow.MlflowException as error:
        assert error.error_code == "RESOURCE_ALREADY_EXISTS"
    before = deployed.everything()
    for command in (("tracking.train", *ONE_RUN), ("studies.scan", *SMALL, "--study", "bens", *place)):
        assert said("no permission for the experiment") in refused(deployed, *command, **ben)
    after = deployed.everything()
    assert after["optuna"].count(b"bens") == 0
    assert after["tracking"].count(b"pca-d2-s0") == before["tracking"].count(b"pca-d2-s0")
    deployed.sh("grant_user_permission")
    monkeypatch.setenv("HOME", ben["HOME"])
    done = subprocess.run(
        [sys.executable, "-m", "tracking.train", *ONE_RUN],
        cwd=deployed.work,
        env=environment(MLFLOW_TRACKING_URI=deployed.uri),
        check=False,
    )
    assert done.returncode == 0
    assert deployed.leaks() == []
