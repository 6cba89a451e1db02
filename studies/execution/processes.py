"""The processes of a study on this machine: their names in tags, and the orphans of a dead coordinator.

A store may have been written by a stranger, so no process is killed because of what a store says. Instead each worker
writes a record into a private folder of its user, and the next start of the same study kills the workers whose
coordinator is dead.
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

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_HOST_NAMESPACE = "pid:[4026531836]"  # the kernel's first namespace of process ids, which no container has
_WAIT_SECONDS = 10.0  # for a killed process to end


def process_tag(process: int | None = None) -> str:
    """The name of a process, None for this one, in tags: machine, id, and start time, because ids are used again."""
    about = psutil.Process(process)
    return f"{host_tag()} {about.pid} {about.create_time():.2f}"


@cache
def host_tag() -> str:
    """The host name of this machine; in a container, which may share the host name, also an id of the container."""
    namespace = os.readlink(_NAMESPACE) if _NAMESPACE.exists() else _HOST_NAMESPACE
    container = "" if namespace == _HOST_NAMESPACE else f"/{_boot()[:8]}-{namespace[5:-1]}"
    return socket.gethostname() + container


def find_process(tag: str) -> psutil.Process | None:
    """The living process of this machine with that `process_tag`, or None; a zombie is dead."""
    words = tag.split()
    if len(words) < 3 or words[0] != host_tag():
        return None
    try:
        process = psutil.Process(int(words[1]))
        return process if abs(process.create_time() - float(words[2])) < 0.1 and is_alive(process) else None
    except (psutil.Error, ValueError):
        return None


def is_alive(process: psutil.Process) -> bool:
    """Whether this very process still runs; a zombie does not. Raises psutil.NoSuchProcess."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def record_worker(study: str, coordinator: str) -> None:
    """Write a record of this worker or fork server: its study, and the `process_tag` of its coordinator.

    A worker without a record is never killed.
    """
    about = {"process": process_tag(), "boot": _boot(), "study": study, "coordinator": coordinator}
    with (
        suppress(OSError),
        NamedTemporaryFile("w", dir=private_folder("workers"), suffix=".json", delete=False) as file,
    ):
        json.dump(about, file)


def kill_orphans(study: str) -> None:
    """Kill the workers of that study whose coordinator is dead, and delete the records of dead workers.

    To be called with the study locked.
    """
    for path, about in _records():
        worker = find_process(about["process"]) if about["boot"] == _boot() else None
        if worker is not None:
            with suppress(psutil.Error):  # it may end by itself meanwhile
                if about["study"] != study or find_process(str(about["coordinator"])):
                    continue
                worker.kill()
                worker.wait(_WAIT_SECONDS)
        path.unlink(missing_ok=True)


def _records() -> Iterator[tuple[Path, dict[str, Any]]]:
    """The records of this machine's workers; in a shared home the folder has those of other machines, too."""
    with suppress(OSError):
        for path in private_folder("workers").glob("*.json"):
            with suppress(ValueError, OSError):
                about = json.loads(path.read_bytes())
                if about["process"].split()[0] == host_tag():
                    yield path, about


def _boot() -> str:
    """The id of this boot of the machine, or an empty string where it has none."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
