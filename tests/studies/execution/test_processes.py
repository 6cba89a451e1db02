"""The next start of a study kills the workers of its dead coordinator, and no other process."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from elbowroom.studies.execution import processes
from elbowroom.studies.execution.processes import find_process, host_tag, kill_orphans, process_tag, record_worker
from elbowroom.studies.records.ownership import claim
from elbowroom.studies.records.trials import connect, lock_study
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.locks import private_folder
from elbowroom.tracking.store.names import Tag
from tests.studies.harness import Patch, Study
from tests.studies.records.test_ownership import CELL, spec

pytestmark = pytest.mark.integration

DEAD = f"{host_tag()} {2**22 + 1} 1.00"  # above all process ids: a dead coordinator


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def name_of(process: subprocess.Popen[bytes]) -> str:
    return f"{host_tag()} {process.pid} {psutil.Process(process.pid).create_time():.2f}"


def record(process: subprocess.Popen[bytes], /, **other: object) -> Path:
    """The record of a worker of study `s` whose coordinator is dead."""
    record_worker("s", DEAD)
    (path,) = private_folder("workers").iterdir()
    about = json.loads(path.read_text())
    assert about["process"] == process_tag()
    path.write_text(json.dumps(about | {"process": name_of(process)} | other))
    return path


def test_only_a_worker_that_its_coordinator_left_is_ended(child: subprocess.Popen[bytes]) -> None:
    kill_orphans("s")
    assert child.poll() is None
    path = record(child)
    assert path.stat().st_mode & 0o777 == 0o600
    kill_orphans("another study")
    assert child.poll() is None
    kill_orphans("s")
    assert not psutil.pid_exists(child.pid)
    assert not path.exists()


@pytest.mark.parametrize(
    ("other", "stays"),
    [
        ({"coordinator": process_tag()}, True),  # it is alive
        ({"boot": "before the last restart"}, False),
        ({"process": f"{host_tag()} {os.getppid()} 1.00"}, False),  # that process is gone, and its id another's
        ({"process": f"elsewhere {os.getpid()} 1.00"}, True),  # in a home that machines share
    ],
)
def test_a_record_of_another_process_ends_none(
    child: subprocess.Popen[bytes], other: dict[str, object], stays: bool
) -> None:
    path = record(child, **({"coordinator": DEAD} | other))
    kill_orphans("s")
    assert child.poll() is None
    assert path.exists() == stays


def test_a_worker_may_end_while_it_is_looked_at(child: subprocess.Popen[bytes], monkeypatch: Patch) -> None:
    def gone(process: psutil.Process) -> int:
        raise psutil.NoSuchProcess(process.pid)

    path = record(child)
    monkeypatch.setattr(psutil.Process, "kill", gone)
    kill_orphans("s")
    assert not path.exists()


def test_a_zombie_is_dead(child: subprocess.Popen[bytes]) -> None:
    tag = name_of(child)
    assert find_process(tag) == psutil.Process(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert find_process(tag) is None


def test_a_store_that_names_a_process_does_not_get_it_killed(filed: Study, child: subprocess.Popen[bytes]) -> None:
    with claim(filed.client, connect(filed.storage), spec()) as held:
        job = held.ask(CELL)
        tags = {**job.place.tags, Tag.PARENT: held.parent_id, Tag.KIND: "run", Tag.WORKER: name_of(child)}
        run_id = held.client.create_run(held.experiment_id, tags=tags).info.run_id
    with lock_study(filed.storage, "s"), claim(filed.client, connect(filed.storage), spec()) as held:
        held.repair("FAILED", "its coordinator died")
    assert filed.client.get_run(run_id).info.status == "FAILED"
    assert child.poll() is None


def test_a_container_is_not_taken_for_another_of_the_same_host_name(filed: Study, monkeypatch: Patch) -> None:
    with claim(filed.client, connect(filed.storage), spec()) as held:
        parent = held.parent_id

    def hold(token: str) -> None:
        filed.client.set_tag(parent, Tag.COORDINATOR, token)
        filed.client.update_run(parent, status="RUNNING")

    hold(f"{socket.gethostname()}/5281a0bf-4026532999 1 2.00 abc")
    with (
        pytest.raises(BadInput, match=r"run by process 1 on \S+/5281a0bf-4026532999; if that machine or container is"),
        claim(filed.client, connect(filed.storage), spec()),
    ):
        pass
    hold(f"{host_tag()} 1 2.00 abc")  # before the machine was started again
    with claim(filed.client, connect(filed.storage), spec()):
        pass
    monkeypatch.setattr(processes, "_HOST_NAMESPACE", "another")  # as if this process were in a container
    host_tag.cache_clear()
    try:
        assert host_tag().startswith(f"{socket.gethostname()}/")
        assert find_process(process_tag()) == psutil.Process()
        assert find_process(f"{socket.gethostname()} {process_tag().split(maxsplit=1)[1]}") is None
    finally:
        host_tag.cache_clear()
