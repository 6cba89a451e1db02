"""The worker processes of this machine: forked from a server, or started one by one where a fork is not safe.

What a cell needs takes seconds to import and 400 MB to hold. So one process for each study, its fork server, imports it
once and then forks a worker whenever the coordinator asks for one. It opens no store and runs nothing in parallel,
because a thread, a connection or a CUDA context of the parent is of no use in a forked child, and may block it.

A command forks the server from itself, before it opens its stores. A script or notebook may have threads and
connections of its own: there, and in the place of a server that died, it is a new process, `python -m studies.forking`.
On macOS and Windows, and for CUDA, each worker is such a process. None of them runs the caller's `__main__`.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, NoReturn

import numpy as np
import psutil

from tracking.imports import uncollected
from tracking.schema import in_command, open_streams

from .processes import leave_record, me, process_here

IMPORTED = ("studies.objective", "torch._dynamo", "mlflow.store.tracking.sqlalchemy_store", "sklearn.decomposition")
"""What a cell needs: what it imports, and what Adam, MLflow and PCA import when they are first used."""
THREAD_NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ENVIRONMENT = dict.fromkeys(THREAD_NAMES, "1") | {"MPLBACKEND": "agg"}
WATCH_SECONDS = 0.2  # between looks at whether the coordinator lives
KILL_SECONDS = 5.0  # for a process that was killed to be gone
# glibc gives freed memory of this size back to the system, which clears each page anew when it is wanted again. To keep
# it saves a fifth of what a cell does beside its training, and takes no more: the next cell has the same arrays.
KEPT_BYTES, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = 1 << 26, -1, -3


class Worker:
    """A worker process as its coordinator sees it: it runs one call after the other.

    `calls` and `answers` lead to it and back. `hang_up` ends it where its process id is not known yet.
    """

    def __init__(self, calls: IO[bytes], answers: IO[bytes], hang_up: Callable[[], None]) -> None:
        self.calls, self.answers, self.hang_up = calls, answers, hang_up
        self.process: psutil.Process | None = None

    def ready(self) -> None:
        """Wait until it has imported what it needs. Raises EOFError where it died before."""
        if self.process is None:
            self.process = psutil.Process(pickle.load(self.answers))

    def send(self, function: Callable[..., object], *arguments: object) -> None:
        """Start a call, in this process's present environment. Raises OSError where the worker is dead."""
        pickle.dump((function, arguments, os.environ | ENVIRONMENT), self.calls)
        self.calls.flush()

    def answer(self) -> Any:
        """Wait for what the call returns. Raises EOFError where the worker died."""
        self.ready()
        return pickle.load(self.answers)

    def kill(self) -> None:
        """End it, at once, whatever it is doing."""
        with suppress(OSError):
            self.hang_up()
        if self.process is not None:
            with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                self.process.kill()
                self.process.wait(KILL_SECONDS)
        for stream in (self.calls, self.answers):
            with suppress(OSError):  # what it was sent and never read
                stream.close()


class ForkServer:
    """A process that has imported what a cell needs, and forks workers of one study."""

    def __init__(self, study: str) -> None:
        self.control, there = socket.socketpair()
        with there:
            alone = in_command() and threading.active_count() == 1
            self.process = _forked_server(there, self.control, study) if alone else _new_server(there, study)

    def worker(self) -> Worker:
        """Ask for one more. Raises OSError where the server is dead."""
        here, there = socket.socketpair()
        with there:
            try:
                socket.send_fds(self.control, [b"fork"], [there.fileno()])
            except OSError:
                here.close()
                raise
        with here:  # its two streams hold it
            return Worker(here.makefile("wb"), here.makefile("rb"), lambda: here.shutdown(socket.SHUT_RDWR))

    def stop(self) -> None:
        """End it. Its workers go on."""
        self.control.close()
        with suppress(psutil.NoSuchProcess):
            self.process.kill()
            self.process.wait()


def new_worker(study: str) -> Worker:
    """Start a worker that imports for itself."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(_command("work", study), env=_environment(), stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None

    def end() -> None:
        process.kill()
        process.wait()

    return Worker(process.stdin, process.stdout, end)


def _forked_server(there: socket.socket, here: socket.socket, study: str) -> psutil.Process:
    coordinator = me()
    sys.stdout.flush()
    sys.stderr.flush()
    server = os.fork()
    if server == 0:
        here.close()
        serve(there, coordinator, study)
    return psutil.Process(server)


def _new_server(there: socket.socket, study: str) -> psutil.Process:
    return psutil.Popen(_command("serve", study), env=_environment(), stdin=there.fileno())


def _command(role: str, study: str) -> list[str]:
    # -P: a file in the working directory is not to be taken for a module, unless that is on the caller's path.
    return [sys.executable, "-P", "-m", "studies.forking", role, me(), study]


def _environment() -> dict[str, str]:
    """This process's, with its module path, which a script or notebook may have changed."""
    return os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}


def serve(control: socket.socket, coordinator: str, study: str) -> NoReturn:
    """Be the fork server of a coordinator, by its `me()`, until that is gone: a worker for each stream that arrives."""
    try:
        _begin(coordinator, study)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a worker ended
        # pyarrow's allocator has a thread, which looks after itself in a fork; of all threads Python 3.12 warns.
        warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)
        _import()
        while process_here(coordinator):
            if select.select([control], [], [], WATCH_SECONDS)[0]:
                message, streams, *_ = socket.recv_fds(control, 4, 1)
                if not message:
                    break
                with socket.socket(fileno=streams[0]) as stream:
                    if os.fork() == 0:
                        control.close()
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        work(stream.makefile("rb"), stream.makefile("wb"), coordinator, study)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)  # this may be a fork of a command, which is not to go on here


def work(calls: IO[bytes], answers: IO[bytes], coordinator: str, study: str) -> NoReturn:
    """Be a worker: run the calls that arrive until there are no more, or the coordinator, by its `me()`, is gone."""
    try:
        _begin(coordinator, study)
        threading.Thread(target=_end_with, args=(coordinator,), daemon=True).start()
        _keep_memory()
        np.random.seed()  # noqa: NPY002  a fork would draw what its parent would have drawn
        pickle.dump(os.getpid(), answers)
        answers.flush()
        with suppress(EOFError):
            while True:
                function, arguments, environment = pickle.load(calls)
                os.environ.clear()
                os.environ.update(environment)
                pickle.dump(function(*arguments), answers)
                answers.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _begin(coordinator: str, study: str) -> None:
    """Leave Ctrl-C to the coordinator, and stdin and stdout too; let the study's next start find this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    leave_record(study, coordinator)


def _import() -> None:
    with uncollected():
        for name in IMPORTED:
            importlib.import_module(name)
        gc.freeze()  # a collection in a worker would write to each object, and so copy its page


def _end_with(coordinator: str) -> None:
    while process_here(coordinator):
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def _keep_memory() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # glibc
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)


def main() -> NoReturn:
    """Be a fork server or a worker of the coordinator that started this process."""
    open_streams()
    role, coordinator, study = sys.argv[1:]
    if role == "serve":
        serve(socket.socket(fileno=os.dup(0)), coordinator, study)
    _import()
    work(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"), coordinator, study)


if __name__ == "__main__":
    main()
