"""The processes of a study on this machine: how a tag names them, and which of them a dead coordinator has left.

A store may say anything about who is alive, so that nothing is killed because of what stands there. Each worker leaves
a record in a private folder of its user; the next start of the same study ends those whose coordinator is gone.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import psutil

from elbowroom.tracking.store.locks import private_folder

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = Path("/proc/self/ns/pid")
FIRST_NAMESPACE = "pid:[4026531836]"  # of process ids, which the kernel starts with and no container has
WAIT_SECONDS = 10.0  # for a process that was killed


def me(process: int | None = None) -> str:
    """This process, or another one, for a tag: machine, process id, and when it started, because ids come back."""
    about = psutil.Process(process)
    return f"{machine()} {about.pid} {about.create_time():.2f}"


@cache
def machine() -> str:
    """This machine's host name; in a container, which may share it with others, also what tells them apart."""
    namespace = os.readlink(NAMESPACE) if NAMESPACE.exists() else FIRST_NAMESPACE
    container = "" if namespace == FIRST_NAMESPACE else f"/{_boot()[:8]}-{namespace[5:-1]}"
    return socket.gethostname() + container


def process_here(tag: str) -> psutil.Process | None:
    """The living process of this machine that wrote `me()`, if it is one; a zombie is dead."""
    words = tag.split()
    if len(words) < 3 or words[0] != machine():
        return None
    try:
        process = psutil.Process(int(words[1]))
        return process if abs(process.create_time() - float(words[2])) < 0.1 and lives(process) else None
    except (psutil.Error, ValueError):
        return None


def lives(process: psutil.Process) -> bool:
    """Whether a process, and no other of its id, still runs; a zombie does not. Raises psutil.NoSuchProcess."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def leave_record(study: str, coordinator: str) -> None:
    """Write down, in a worker or fork server, what process this is, of which study, and the coordinator's `me()`.

    Without a record it is never killed.
    """
    about = {"process": me(), "boot": _boot(), "study": study, "coordinator": coordinator}
    with (
        suppress(OSError),
        NamedTemporaryFile("w", dir=private_folder("workers"), suffix=".json", delete=False) as file,
    ):
        json.dump(about, file)


def end_left(study: str) -> None:
    """Kill the workers of that study whose coordinator is gone; forget those that are dead.

    To be called by whoever holds the study's lock.
    """
    for path, about in _records():
        worker = process_here(about["process"]) if about["boot"] == _boot() else None
        if worker is not None:
            with suppress(psutil.Error):  # such a worker ends by itself, perhaps meanwhile
                if about["study"] != study or process_here(str(about["coordinator"])):
                    continue
                worker.kill()
                worker.wait(WAIT_SECONDS)
        path.unlink(missing_ok=True)


def _records() -> Iterator[tuple[Path, dict[str, Any]]]:
    """The records of this machine's workers; those of others lie here too where the folder is in a shared home."""
    with suppress(OSError):
        for path in private_folder("workers").glob("*.json"):
            with suppress(ValueError, OSError):
                about = json.loads(path.read_bytes())
                if about["process"].split()[0] == machine():
                    yield path, about


def _boot() -> str:
    """The id of this start of the machine's kernel, where there is one."""
    return BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
