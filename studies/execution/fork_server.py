"""The worker processes of this machine: forked from a server, or started one by one where a fork is not safe.

The modules that a cell needs take seconds to import, and 400 MB. So one process for each study, its fork server,
imports them once, and then forks a worker whenever the coordinator asks for one. It opens no store and starts no
thread, because a parent's thread, connection or CUDA context does not work in a forked child, and may block it.

A command forks the server from itself, before it opens its stores. A script or notebook may have threads and
connections of its own: there, and to replace a server that died, the server is a new process.
On macOS and Windows, and for CUDA, each worker is a new process. No worker runs the caller's `__main__`.
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

from .processes import is_alive, process_tag, record_worker

_IMPORTED = ("elbowroom.studies.execution.cell", "mlflow.store.tracking.sqlalchemy_store", "sklearn.decomposition")
"""Modules that a cell needs, with those that MLflow and PCA import only at their first use."""
_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Variables of each worker."""
_WATCH_SECONDS = 0.2  # between checks that the coordinator is alive
_KILL_SECONDS = 5.0  # for killed processes to end
# glibc returns freed memory of this size to the system, which clears each page again at its next use. To keep it saves
# a fifth of the time that a cell takes beside its training, and no memory is wasted: the next cell has the same arrays.
_KEPT_BYTES, _M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = 1 << 26, -1, -3


class _WorkerDied(RuntimeError):
    """A worker's process has ended."""


class Worker:
    """The coordinator's handle of a worker process, which runs one call after the other.

    A forked worker has a socket, `stream`; any other is a `child` of this process.
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
        """Wait until it has imported what it needs. Raises _WorkerDied."""
        if self.process is None:
            self.process = psutil.Process(self._read())

    def send(self, function: Callable[..., object], *arguments: object) -> None:
        """Start a call with a copy of this process's environment variables. Raises OSError where the worker is dead."""
        pickle.dump((function, arguments, os.environ | _ENVIRONMENT), self.calls)
        self.calls.flush()

    def answer(self) -> Any:
        """Wait for the return value of the call. Raises _WorkerDied."""
        self.ready()
        return self._read()

    def kill(self) -> None:
        """Kill it at once; see `end`."""
        if self.stream is not None:
            with suppress(OSError):
                self.stream.shutdown(socket.SHUT_RDWR)  # ends it also where its process id is not known yet
        one = self.child or self.process
        if one is not None:
            with suppress(OSError, psutil.NoSuchProcess):
                one.kill()

    def join(self, seconds: float) -> None:
        """Wait so many seconds at most for its end, and close the streams."""
        one = self.child or self.process
        if one is not None:
            with suppress(psutil.TimeoutExpired, subprocess.TimeoutExpired):
                one.wait(seconds)
        for stream in (self.calls, self.answers):
            with suppress(OSError):  # a call that it never read
                stream.close()

    def _read(self) -> Any:
        try:
            return pickle.load(self.answers)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise _WorkerDied("the process ended") from error


def end(workers: Iterable[Worker]) -> None:
    """Kill workers, all at once, and wait for their end."""
    workers = list(workers)
    for worker in workers:
        worker.kill()
    latest = time.monotonic() + _KILL_SECONDS
    for worker in workers:
        worker.join(max(0.0, latest - time.monotonic()))


class ForkServer:
    """A process that has imported what a cell needs, and forks the workers of one study.

    With `fork_this_process`, it is a fork of this one, which must have no threads or connections; else a new process.
    """

    def __init__(self, study: str, *, fork_this_process: bool = False) -> None:
        self.control, server_end = socket.socketpair()
        with server_end:
            self.process = (
                _fork_server(server_end, self.control, study) if fork_this_process else _start_server(server_end, study)
            )

    def worker(self) -> Worker:
        """Fork a worker. Raises OSError where the server is dead."""
        ours, theirs = socket.socketpair()
        with ours, theirs:  # the worker's two streams keep `ours` open
            socket.send_fds(self.control, [b"fork"], [theirs.fileno()])
            return Worker(ours.makefile("wb"), ours.makefile("rb"), stream=ours)

    def stop(self) -> None:
        """End the server, but not its workers."""
        self.control.close()
        with suppress(psutil.NoSuchProcess):
            self.process.kill()
            self.process.wait()


def new_worker(study: str) -> Worker:
    """Start a worker that is not forked, and imports what it needs itself."""
    child = _start("work", study, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    return Worker(child.stdin, child.stdout, child=child)


def _start_server(server_end: socket.socket, study: str) -> psutil.Process:
    return cast(psutil.Process, _start("serve", study, stdin=server_end.fileno(), make=psutil.Popen))


def _start(role: str, study: str, make: Callable[..., Any] = subprocess.Popen, **streams: int) -> Any:
    """Start a new process with this one's module path, in a session of its own, so that Ctrl-C does not reach it."""
    path = [folder for folder in sys.path if isinstance(folder, str)]
    call = f"_main({role!r}, {os.getpid()}, {study!r})"
    code = f"import sys; sys.path[:] = {path!r}; from elbowroom.studies.execution.fork_server import _main; {call}"
    group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # of Windows
    environment = os.environ | _ENVIRONMENT
    return make([sys.executable, "-c", code], env=environment, start_new_session=True, creationflags=group, **streams)


def _fork_server(server_end: socket.socket, our_end: socket.socket, study: str) -> psutil.Process:
    coordinator = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        server = os.fork()
        if server == 0:
            our_end.close()
            _serve(server_end, coordinator, study)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return psutil.Process(server)


def _serve(control: socket.socket, coordinator: int, study: str) -> NoReturn:
    """Be the fork server, which forks a worker for each socket it receives, until the coordinator is dead."""
    try:
        _begin(coordinator, study)
        _import()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # exit codes of workers are not read
        # Python 3.12 warns of any thread. The only one here is that of pyarrow's allocator, which is safe to fork.
        warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)
        process = psutil.Process(coordinator)
        while is_alive(process):
            if select.select([control], [], [], _WATCH_SECONDS)[0]:
                message, sockets, *_ = socket.recv_fds(control, 4, 1)
                if not message:
                    break
                with socket.socket(fileno=sockets[0]) as stream:
                    if os.fork() == 0:
                        control.close()
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        _work(stream.makefile("rb"), stream.makefile("wb"), coordinator, study)
    except psutil.NoSuchProcess:  # the coordinator died before this process began
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)  # a fork of a command must not go on with the command


def _work(calls: IO[bytes], answers: IO[bytes], coordinator: int, study: str) -> NoReturn:
    """Be a worker, which runs the calls that arrive until the streams are closed or the coordinator is dead."""
    try:
        _begin(coordinator, study)
        _import()
        threading.Thread(target=_exit_after, args=(psutil.Process(coordinator),), daemon=True).start()
        _keep_memory()
        np.random.seed()  # noqa: NPY002  forks would draw the same numbers
        # By name, because these modules must be imported after `_begin`: until then stdout is the stream of answers,
        # stdin that of calls, and an orphan has no record. The rule against imports in functions has no exception.
        importlib.import_module("matplotlib").use("agg")
        with importlib.import_module("elbowroom.models.threads").on_threads(1):
            answer: object = os.getpid()
            while True:
                pickle.dump(answer, answers)
                answers.flush()
                function, arguments, environment = pickle.load(calls)
                os.environ.clear()
                os.environ.update(environment)
                answer = function(*arguments)
    except (EOFError, ConnectionError, psutil.NoSuchProcess):  # the coordinator closed the streams, or died
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _begin(coordinator: int, study: str) -> None:
    """Ignore Ctrl-C, detach stdin and stdout, and write the record by which the study's next start finds this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stderr = cast(TextIO, Output(stderr))
    record_worker(study, process_tag(coordinator))


def _import() -> None:
    gc.disable()
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # a garbage collection in a fork would write to each object, and so copy its page
    gc.enable()


def _exit_after(coordinator: psutil.Process) -> None:
    try:
        while is_alive(coordinator):
            time.sleep(_WATCH_SECONDS)
    finally:
        os._exit(1)


def _keep_memory() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # glibc
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)


def _main(role: str, coordinator: int, study: str) -> NoReturn:
    """Be the process that `_start` starts: a fork server, or a worker with its calls on stdin and answers on stdout."""
    open_streams()
    if role == "serve":
        _serve(socket.socket(fileno=os.dup(0)), coordinator, study)
    _work(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"), coordinator, study)
