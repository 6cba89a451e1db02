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

from elbowroom.studies.execution.fork_server import (
    _ENVIRONMENT,
    _IMPORTED,
    ForkServer,
    Worker,
    _WorkerDied,
    end,
    new_worker,
)
from elbowroom.studies.execution.processes import is_alive
from tests.conftest import ROOT, environment
from tests.studies.harness import Capture, Patch, until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone"),
]


def call(worker: Worker, function: Callable[..., object], *arguments: object) -> Any:
    worker.send(function, *arguments)
    return worker.answer()


def modules(names: tuple[str, ...]) -> set[str]:
    """Return the modules among these names that this process has imported."""
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
    end(workers)


def test_workers_are_forked_by_a_server_that_has_imported_and_opened_nothing(
    server: ForkServer, pair: tuple[Worker, Worker]
) -> None:
    for worker in pair:
        assert worker.process.ppid() == server.process.pid
        assert call(worker, modules, _IMPORTED) == set(_IMPORTED)
        assert call(worker, gc.get_freeze_count) > 100_000
        assert call(worker, gc.isenabled)
    tasks = Path(f"/proc/{server.process.pid}/task")
    assert {(t / "comm").read_text().strip() for t in tasks.iterdir()} <= {"python", "jemalloc_bg_thd"}
    assert server.process.num_threads() <= 2  # pyarrow's allocator has one, which looks after itself in a fork
    assert [f.path for f in server.process.open_files()] == []
    assert {c.laddr for c in server.process.net_connections("all")} == {""}


def test_a_call_has_the_environment_of_its_coordinator_and_a_stream_of_random_numbers_of_its_own(
    pair: tuple[Worker, Worker], monkeypatch: Patch
) -> None:
    first, second = pair
    for value in ("a", "b"):
        monkeypatch.setenv("ELBOWROOM_TEST", value)
        assert call(first, os.getenv, "ELBOWROOM_TEST") == value
    assert {name: call(first, os.getenv, name) for name in _ENVIRONMENT} == _ENVIRONMENT
    assert call(first, os.getenv, "PYTHONPATH") == os.getenv("PYTHONPATH")
    assert call(first, draw) != call(second, draw)
    assert call(first, subprocess.call, ["sh", "-c", "exit 3"]) == 3


def test_a_worker_that_dies_takes_no_other_with_it(server: ForkServer, pair: tuple[Worker, Worker]) -> None:
    first, second = pair
    first.process.kill()
    first.process.wait(30)
    with pytest.raises(OSError, match="Broken pipe"):
        first.send(os.getpid)
    with pytest.raises(_WorkerDied, match="the process ended"):
        first.answer()
    third = server.worker()
    assert call(second, os.getpid) != call(third, os.getpid)
    end([third])


COORDINATOR = """
import os, sys
from elbowroom.studies.execution.fork_server import ForkServer, end
from threadpoolctl import threadpool_info
server = ForkServer("s", fork_this_process=True)
other = ForkServer("s")
early, late = server.worker(), server.worker()
end([early])  # while the server imports
print(server.process.pid, other.process.pid, flush=True)
sys.stdin.readline()
late.send(threadpool_info)
print(max(pool["num_threads"] for pool in late.answer()), flush=True)
late.send(os.getpid)
print(late.answer(), flush=True)
end([server.worker() for _ in range(4)])
print("ended", flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
def test_a_worker_and_a_server_end_with_the_coordinator_and_a_worker_not_with_its_server() -> None:
    """Ending workers prints nothing, and each has one thread, also where its coordinator has more."""
    threads = dict.fromkeys(_ENVIRONMENT, "2")
    with subprocess.Popen(
        [sys.executable, "-c", COORDINATOR],
        cwd=ROOT,
        env=environment(**threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as coordinator:

        def tell() -> None:
            coordinator.stdin.write("\n")
            coordinator.stdin.flush()

        server, other = (psutil.Process(int(word)) for word in coordinator.stdout.readline().split())
        assert server.cmdline() == psutil.Process(coordinator.pid).cmdline()
        assert other.cmdline() != server.cmdline()
        tell()
        assert coordinator.stdout.readline() == "1\n"
        worker = psutil.Process(int(coordinator.stdout.readline()))
        assert worker.ppid() == server.pid
        assert coordinator.stdout.readline() == "ended\n"
        server.kill()
        until(lambda: True if worker.ppid() != server.pid else None, str)
        assert worker.status() != psutil.STATUS_ZOMBIE
        coordinator.kill()
        until(lambda: None if is_alive(worker) or is_alive(other) else True, str)
        assert coordinator.stderr.read() == ""


def test_a_worker_may_be_a_process_of_its_own(capfd: Capture) -> None:
    worker = new_worker("s")
    assert worker.process is None
    pid = call(worker, os.getpid)
    assert worker.process.pid == pid
    assert call(worker, prints) is None
    end([worker])
    assert not psutil.pid_exists(pid)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.endswith("printed by a worker\n")


def test_ctrl_c_is_left_to_the_coordinator(pair: tuple[Worker, Worker]) -> None:
    first, _ = pair
    first.process.send_signal(signal.SIGINT)
    assert call(first, signal.getsignal, signal.SIGINT) == signal.SIG_IGN
