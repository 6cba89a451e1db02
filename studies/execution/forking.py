"""The worker processes of this machine: forked from a server, or started one by one where a fork is not safe.

What a cell needs takes seconds to import and 400 MB to hold. So one process for each study, its fork server, imports it
once and then forks a worker whenever the coordinator asks for one. It opens no store and runs nothing in parallel,
because a thread, a connection or a CUDA context of the parent is of no use in a forked child, and may block it.

A command forks the server from itself, before it opens its stores. A script or notebook may have threads and
connections of its own: there, and in the place of a server that died, it is a new process.
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
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import IO, Any, NoReturn, TextIO, cast

import numpy as np
import psutil

from elbowroom.tracking.store.terminal import Output, open_streams

from .processes import leave_record, lives, me

IMPORTED = ("elbowroom.studies.execution.cell", "mlflow.store.tracking.sqlalchemy_store", "sklearn.decomposition")
"""Modules that a cell needs, those that MLflow and PCA import at their first use among them."""
THREAD_NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ENVIRONMENT = dict.fromkeys(THREAD_NAMES, "1")
WATCH_SECONDS = 0.2  # between looks at whether the coordinator lives
KILL_SECONDS = 5.0  # for processes that were killed to be gone
# glibc gives freed memory of this size back to the system, which clears each page anew when it is wanted again. To keep
# it saves a fifth of what a cell does beside its training, and takes no more: the next cell has the same arrays.
KEPT_BYTES, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = 1 << 26, -1, -3


class WorkerDied(RuntimeError):
    """A worker's process has ended."""


class Worker:
    """A worker process as its coordinator sees it: it runs one call after the other.

    `calls` and `answers` lead to it and back. A forked one has a `socket`, any other is a `child` of this process.
    """

    def __init__(
        self,
        calls: IO[bytes],
        answers: IO[bytes],
        *,
        stream: socket.socket | None = None,
        child: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.calls, self.answers, self.stream, self.child = calls, answers, stream, child
        self.process: psutil.Process | None = None

    def ready(self) -> None:
        """Wait until it has imported what it needs. Raises WorkerDied."""
        if self.process is None:
            self.process = psutil.Process(self._read())

    def send(self, function: Callable[..., object], *arguments: object) -> None:
        """Start a call, with a copy of this process's environment; what was read at import stays. Raises OSError."""
        pickle.dump((function, arguments, os.environ | ENVIRONMENT), self.calls)
        self.calls.flush()

    def answer(self) -> Any:
        """Wait for what the call returns. Raises WorkerDied."""
        self.ready()
        return self._read()

    def kill(self) -> None:
        """End it, whatever it is doing; see `end`."""
        if self.stream is not None:
            with suppress(OSError):
                self.stream.shutdown(socket.SHUT_RDWR)  # its process id may not be known yet
        one = self.child or self.process
        if one is not None:
            with suppress(OSError, psutil.NoSuchProcess):
                one.kill()

    def join(self, seconds: float) -> None:
        """Wait at most so long until it is gone, and close the streams."""
        one = self.child or self.process
        if one is not None:
            with suppress(psutil.TimeoutExpired, subprocess.TimeoutExpired):
                one.wait(seconds)
        for stream in (self.calls, self.answers):
            with suppress(OSError):  # what it was sent and never read
                stream.close()

    def _read(self) -> Any:
        try:
            return pickle.load(self.answers)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise WorkerDied("the process ended") from error


def end(workers: Iterable[Worker]) -> None:
    """Kill workers, all at once, and wait until they are gone."""
    workers = list(workers)
    for worker in workers:
        worker.kill()
    latest = time.monotonic() + KILL_SECONDS
    for worker in workers:
        worker.join(max(0.0, latest - time.monotonic()))


class ForkServer:
    """A process that has imported what a cell needs, and forks workers of one study.

    `of_itself`: forked from this process, which has opened nothing and has no threads; else a new process.
    """

    def __init__(self, study: str, *, of_itself: bool = False) -> None:
        self.control, there = socket.socketpair()
        with there:
            self.process = _forked(there, self.control, study) if of_itself else _server(there, study)

    def worker(self) -> Worker:
        """Ask for one more. Raises OSError where the server is dead."""
        here, there = socket.socketpair()
        with here, there:  # the two streams of the worker hold ours
            socket.send_fds(self.control, [b"fork"], [there.fileno()])
            return Worker(here.makefile("wb"), here.makefile("rb"), stream=here)

    def stop(self) -> None:
        """End it. Its workers go on."""
        self.control.close()
        with suppress(psutil.NoSuchProcess):
            self.process.kill()
            self.process.wait()


def new_worker(study: str) -> Worker:
    """Start a worker that imports for itself."""
    child = _start("work", study, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    return Worker(child.stdin, child.stdout, child=child)


def _server(there: socket.socket, study: str) -> psutil.Process:
    return cast(psutil.Process, _start("serve", study, stdin=there.fileno(), make=psutil.Popen))


def _start(role: str, study: str, make: Callable[..., Any] = subprocess.Popen, **streams: int) -> Any:
    """A process of its own, which Ctrl-C does not reach, with this one's module path."""
    path = [folder for folder in sys.path if isinstance(folder, str)]
    call = f"main({role!r}, {os.getpid()}, {study!r})"
    code = f"import sys; sys.path[:] = {path!r}; from elbowroom.studies.execution.forking import main; {call}"
    group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # of Windows
    environment = os.environ | ENVIRONMENT
    return make([sys.executable, "-c", code], env=environment, start_new_session=True, creationflags=group, **streams)


def _forked(there: socket.socket, here: socket.socket, study: str) -> psutil.Process:
    coordinator = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        server = os.fork()
        if server == 0:
            here.close()
            serve(there, coordinator, study)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return psutil.Process(server)


def serve(control: socket.socket, coordinator: int, study: str) -> NoReturn:
    """Be the fork server: fork a worker for each socket received, until the coordinator, a process id, is gone."""
    try:
        _begin(coordinator, study)
        _import()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a worker ended
        # Python 3.12 warns of any thread; the only one is pyarrow's allocator's, which is safe to fork.
        warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)
        process = psutil.Process(coordinator)
        while lives(process):
            if select.select([control], [], [], WATCH_SECONDS)[0]:
                message, sockets, *_ = socket.recv_fds(control, 4, 1)
                if not message:
                    break
                with socket.socket(fileno=sockets[0]) as stream:
                    if os.fork() == 0:
                        control.close()
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        work(stream.makefile("rb"), stream.makefile("wb"), coordinator, study)
    except psutil.NoSuchProcess:  # the coordinator was gone before this began
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)  # this may be a fork of a command, which is not to go on here


def work(calls: IO[bytes], answers: IO[bytes], coordinator: int, study: str) -> NoReturn:
    """Be a worker: run the calls that arrive until there are no more, or the coordinator, a process id, is gone."""
    try:
        _begin(coordinator, study)
        _import()
        threading.Thread(target=_end_with, args=(psutil.Process(coordinator),), daemon=True).start()
        _keep_memory()
        np.random.seed()  # noqa: NPY002  else all workers would draw the same numbers
        # By name: an import above would come before `_begin`, and what it printed would go into the answers.
        importlib.import_module("matplotlib").use("agg")
        with importlib.import_module("elbowroom.models.threads").on_threads(1):
            _write(answers, os.getpid())
            while True:
                function, arguments, environment = _read(calls)
                os.environ.clear()
                os.environ.update(environment)
                _write(answers, function(*arguments))
    except (_HungUp, psutil.NoSuchProcess):
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


class _HungUp(Exception):
    """The coordinator has closed the streams."""


def _read(calls: IO[bytes]) -> Any:
    try:
        return pickle.load(calls)
    except (EOFError, ConnectionError) as error:
        raise _HungUp from error


def _write(answers: IO[bytes], answer: object) -> None:
    try:
        pickle.dump(answer, answers)
        answers.flush()
    except ConnectionError as error:
        raise _HungUp from error


def _begin(coordinator: int, study: str) -> None:
    """Leave Ctrl-C, stdin and stdout to the coordinator; let the study's next start find this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stderr = cast(TextIO, Output(stderr))
    leave_record(study, me(coordinator))


def _import() -> None:
    gc.disable()
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # a collection in a fork would write to each object, and so copy its page
    gc.enable()


def _end_with(coordinator: psutil.Process) -> None:
    try:
        while lives(coordinator):
            time.sleep(WATCH_SECONDS)
    finally:
        os._exit(1)


def _keep_memory() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # glibc
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)


def main(role: str, coordinator: int, study: str) -> NoReturn:
    """Be a fork server or a worker of the coordinator, a process id, that started this process."""
    open_streams()
    if role == "serve":
        serve(socket.socket(fileno=os.dup(0)), coordinator, study)
    work(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"), coordinator, study)
