"""A worker that a dead coordinator left is ended by the next start of its study; no other process ever is."""

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
from elbowroom.studies.execution.processes import end_left, leave_record, machine, me, process_here
from elbowroom.studies.records.ownership import claim
from elbowroom.studies.records.trials import connect, locked
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.locks import private_folder
from elbowroom.tracking.store.names import Tag
from tests.studies.harness import Study
from tests.studies.records.test_ownership import CELL, charter

pytestmark = pytest.mark.integration

DEAD = f"{machine()} {2**22 + 1} 1.00"  # above all process ids: a coordinator that is gone


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def name_of(process: subprocess.Popen[bytes]) -> str:
    return f"{machine()} {process.pid} {psutil.Process(process.pid).create_time():.2f}"


def record(process: subprocess.Popen[bytes], /, **other: object) -> Path:
    """What a worker of study `s` leaves whose coordinator is gone."""
    leave_record("s", DEAD)
    (path,) = private_folder("workers").iterdir()
    about = json.loads(path.read_text())
    assert about["process"] == me()
    path.write_text(json.dumps(about | {"process": name_of(process)} | other))
    return path


def test_only_a_worker_that_its_coordinator_left_is_ended(child: subprocess.Popen[bytes]) -> None:
    end_left("s")
    assert child.poll() is None
    path = record(child)
    assert path.stat().st_mode & 0o777 == 0o600
    end_left("another study")
    assert child.poll() is None
    end_left("s")
    assert not psutil.pid_exists(child.pid)
    assert not path.exists()


@pytest.mark.parametrize(
    ("other", "stays"),
    [
        ({"coordinator": me()}, True),  # it is alive
        ({"boot": "before the last restart"}, False),
        ({"process": f"{machine()} {os.getppid()} 1.00"}, False),  # that process is gone, and its id another's
        ({"process": f"elsewhere {os.getpid()} 1.00"}, True),  # in a home that machines share
    ],
)
def test_a_record_of_another_process_ends_none(
    child: subprocess.Popen[bytes], other: dict[str, object], stays: bool
) -> None:
    path = record(child, **({"coordinator": DEAD} | other))
    end_left("s")
    assert child.poll() is None
    assert path.exists() == stays


def test_a_worker_may_end_while_it_is_looked_at(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(process: psutil.Process) -> int:
        raise psutil.NoSuchProcess(process.pid)

    path = record(child)
    monkeypatch.setattr(psutil.Process, "kill", gone)
    end_left("s")
    assert not path.exists()


def test_a_zombie_is_dead(child: subprocess.Popen[bytes]) -> None:
    tag = name_of(child)
    assert process_here(tag) == psutil.Process(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert process_here(tag) is None


def test_a_store_that_names_a_process_does_not_get_it_killed(filed: Study, child: subprocess.Popen[bytes]) -> None:
    with claim(filed.client, connect(filed.storage), charter()) as held:
        job = held.ask(CELL, None, once=False)
        tags = {**job.place.tags, Tag.PARENT: held.parent_id, Tag.KIND: "run", Tag.WORKER: name_of(child)}
        run_id = held.client.create_run(held.experiment_id, tags=tags).info.run_id
    with locked(filed.storage, "s"), claim(filed.client, connect(filed.storage), charter()) as held:
        held.repair("FAILED", "its coordinator died")
    assert filed.client.get_run(run_id).info.status == "FAILED"
    assert child.poll() is None


def test_a_container_is_not_taken_for_another_of_the_same_host_name(
    filed: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claim(filed.client, connect(filed.storage), charter()) as held:
        parent = held.parent_id

    def hold(token: str) -> None:
        filed.client.set_tag(parent, Tag.COORDINATOR, token)
        filed.client.update_run(parent, status="RUNNING")

    hold(f"{socket.gethostname()}/5281a0bf-4026532999 1 2.00 abc")
    with (
        pytest.raises(BadInput, match=r"run by process 1 on \S+/5281a0bf-4026532999; if that machine or container is"),
        claim(filed.client, connect(filed.storage), charter()),
    ):
        pass
    hold(f"{machine()} 1 2.00 abc")  # before the machine was started again
    with claim(filed.client, connect(filed.storage), charter()):
        pass
    monkeypatch.setattr(processes, "FIRST_NAMESPACE", "another")  # as if this process were in a container
    machine.cache_clear()
    try:
        assert machine().startswith(f"{socket.gethostname()}/")
        assert process_here(me()) == psutil.Process()
        assert process_here(f"{socket.gethostname()} {me().split(maxsplit=1)[1]}") is None
    finally:
        machine.cache_clear()
