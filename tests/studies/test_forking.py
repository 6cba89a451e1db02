"""The processes that train a study's cells: forked from one that has imported what they need, or started one by one."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from studies.forking import ENVIRONMENT, IMPORTED, ForkServer, Worker, new_worker
from tests.conftest import ROOT, environment
from tests.studies.harness import until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone"),
]


def call(worker: Worker, function: Callable[..., object], *arguments: object) -> Any:
    worker.send(function, *arguments)
    return worker.answer()


def modules(names: tuple[str, ...]) -> set[str]:
    """Those that this process has imported."""
    return set(names) & set(sys.modules)


def draw() -> float:
    return float(np.random.rand())  # noqa: NPY002  as a user's model may


def prints() -> None:
    print("printed by a worker")


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    made = ForkServer("s")
    yield made
    made.stop()


@pytest.fixture
def pair(server: ForkServer) -> Iterator[tuple[Worker, Worker]]:
    workers = server.worker(), server.worker()
    for worker in workers:
        worker.ready()
    yield workers
    for worker in workers:
        worker.kill()


def test_workers_are_forked_by_a_server_that_has_imported_and_opened_nothing(
    server: ForkServer, pair: tuple[Worker, Worker]
) -> None:
    for worker in pair:
        assert worker.process is not None
        assert worker.process.ppid() == server.process.pid
        assert call(worker, modules, IMPORTED) == set(IMPORTED)
        assert call(worker, gc.get_freeze_count) > 100_000
        assert call(worker, gc.isenabled)
    tasks = Path(f"/proc/{server.process.pid}/task")
    assert {(t / "comm").read_text().strip() for t in tasks.iterdir()} <= {"python", "jemalloc_bg_thd"}
    assert server.process.num_threads() <= 2  # pyarrow's allocator has one, which looks after itself in a fork
    assert [f.path for f in server.process.open_files()] == []
    assert {c.laddr for c in server.process.net_connections("all")} == {""}


def test_a_call_has_the_environment_of_its_coordinator_and_a_stream_of_random_numbers_of_its_own(
    pair: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    for value in ("a", "b"):
        monkeypatch.setenv("ELBOWROOM_TEST", value)
        assert call(first, os.getenv, "ELBOWROOM_TEST") == value
    assert {name: call(first, os.getenv, name) for name in ENVIRONMENT} == ENVIRONMENT
    assert call(first, os.getenv, "PYTHONPATH") == os.getenv("PYTHONPATH")
    assert call(first, draw) != call(second, draw)
    assert call(first, subprocess.call, ["sh", "-c", "exit 3"]) == 3


def test_a_worker_that_dies_takes_no_other_with_it(server: ForkServer, pair: tuple[Worker, Worker]) -> None:
    first, second = pair
    assert first.process is not None
    first.process.kill()
    first.process.wait(30)
    with pytest.raises((EOFError, OSError)):
        call(first, os.getpid)
    third = server.worker()
    assert call(second, os.getpid) != call(third, os.getpid)
    third.kill()


COORDINATOR = """
import os, sys
from studies.forking import ForkServer
server, other = ForkServer("s"), ForkServer("s")
worker = server.worker()
worker.ready()
print(server.process.pid, other.process.pid, flush=True)
sys.stdin.readline()
worker.send(os.getpid)
print(worker.answer(), flush=True)
sys.stdin.readline()
"""


def test_a_worker_and_a_server_end_with_the_coordinator_and_a_worker_not_with_its_server() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", COORDINATOR],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as coordinator:
        assert coordinator.stdout is not None
        assert coordinator.stdin is not None
        server, other = map(int, coordinator.stdout.readline().split())
        psutil.Process(server).kill()
        coordinator.stdin.write("\n")
        coordinator.stdin.flush()
        worker = int(coordinator.stdout.readline())
        coordinator.kill()
        until(lambda: None if psutil.pid_exists(worker) or psutil.pid_exists(other) else True, str)


def test_a_worker_may_be_a_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    worker = new_worker("s")
    assert worker.process is None
    pid = call(worker, os.getpid)
    assert worker.process is not None
    assert worker.process.pid == pid
    assert call(worker, prints) is None
    worker.kill()
    assert not psutil.pid_exists(pid)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.endswith("printed by a worker\n")


def test_ctrl_c_is_left_to_the_coordinator(pair: tuple[Worker, Worker]) -> None:
    first, _ = pair
    assert first.process is not None
    first.process.send_signal(signal.SIGINT)
    assert call(first, signal.getsignal, signal.SIGINT) == signal.SIG_IGN
