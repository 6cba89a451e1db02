"""Who trains the cells: processes of this machine (loky), or a Dask cluster."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from functools import partial

import psutil
from loky import ProcessPoolExecutor, process_executor

from tracking import startup
from tracking.config import BadInput
from tracking.recorder import within
from tracking.schema import hidden, one_line

from .objective import Ended, Job, Outcome, run_cell
from .processes import leave_record

CONNECT_SECONDS = 10.0
LEAK_BYTES = 2 * 10**9  # that a worker may grow by before it is replaced
# glibc gives freed memory of this size back to the system, which clears each page anew when it is wanted again. To keep
# it saves a fifth of what a cell does beside its training, and takes no more: the next cell has the same arrays.
MALLOC_NAMES, KEPT_BYTES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), 1 << 26
THREAD_NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Pool(ABC):
    """Takes jobs while `free()`, and gives their outcomes back."""

    def __init__(self) -> None:
        self.running: dict[Future[Outcome], Job] = {}

    @abstractmethod
    def slots(self) -> int:
        """How many jobs run at once."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Start a job."""

    @abstractmethod
    def stop(self) -> None:
        """End the workers, at once, whatever they are doing."""

    @abstractmethod
    def finished(self, seconds: float) -> list[Future[Outcome]]:
        """Those of `running` that are done, waiting so long for the first."""

    def begin(self, jobs: int) -> None:
        """Start workers for so many jobs, where that is the pool's to do: they import while others get ready."""
        return

    def warm(self, jobs: int) -> None:
        """The same, and wait for their imports."""
        return

    def free(self) -> bool:
        """Whether it takes another job: one that would run at once."""
        return len(self.running) < self.slots()

    def take(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """The jobs that ended, waiting for the first at most so long. A dead worker's are LOST."""
        return [(self.running.pop(future), self.outcome(future)) for future in self.finished(seconds)]

    def outcome(self, future: Future[Outcome]) -> Outcome:
        """What a finished future holds."""
        try:
            return future.result()
        except Exception as error:
            return Outcome(Ended.LOST, reason=f"its worker was lost: {one_line(error)}")


class LocalPool(Pool):
    """Processes of this machine, each in an executor of its own: one that dies takes no other with it."""

    def __init__(self, workers: int, verbose: bool = True, study: str = "") -> None:
        super().__init__()
        self.verbose, self.study = verbose, study
        self.executors = [_executor(study) for _ in range(workers)]
        self.used: dict[Future[Outcome], int] = {}
        self.started: list[Future[None]] = []
        self.began = time.perf_counter()

    def begin(self, jobs: int) -> None:
        """See Pool."""
        self.started += [e.submit(_imported) for e in self.executors[len(self.started) : jobs]]

    def warm(self, jobs: int) -> None:
        """See Pool; the seconds since the pool was made are said, where wanted."""
        self.begin(jobs)
        wait(self.started)
        if self.verbose:
            print(f"{len(self.started)} workers ready after {time.perf_counter() - self.began:.1f} s", file=sys.stderr)

    def slots(self) -> int:
        """One an executor."""
        return len(self.executors)

    def submit(self, job: Job) -> None:
        """Give the job to an idle executor."""
        slot = next(i for i in range(len(self.executors)) if i not in self.used.values())
        try:
            future = self.executors[slot].submit(run_cell, job)
        except Exception:  # it died while idle
            self._renew(slot)
            future = self.executors[slot].submit(run_cell, job)
        self.running[future], self.used[future] = job, slot

    def finished(self, seconds: float) -> list[Future[Outcome]]:
        """See Pool; a broken executor is replaced."""
        done = list(wait(list(self.running), seconds, FIRST_COMPLETED).done)
        for future in done:
            slot = self.used.pop(future)
            if future.exception() is not None:
                self._renew(slot)
        return done

    def stop(self) -> None:
        """Kill every worker."""
        for executor in self.executors:
            for process in list((executor._processes or {}).values()):
                if process.pid is not None and psutil.pid_exists(process.pid):
                    os.kill(process.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            executor.shutdown(wait=False, kill_workers=True)

    def _renew(self, slot: int) -> None:
        self.executors[slot].shutdown(wait=False, kill_workers=True)
        self.executors[slot] = _executor(self.study)


class DaskPool(Pool):
    """The worker processes of a Dask cluster, as many as it has at the moment."""

    def __init__(self, scheduler: str) -> None:
        super().__init__()
        try:
            # Here and not above: nobody else's start should take the second that it takes to import.
            distributed = importlib.import_module("distributed")
        except ImportError as error:
            extra = "backend dask needs the extra `cluster`: pip install -r requirements-cluster.txt"
            raise BadInput(extra) from error
        self.address, self.alone = hidden(scheduler), False
        dial = partial(distributed.Client, scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        try:
            # One that takes the connection and says nothing is waited for without end.
            self.client = within(CONNECT_SECONDS + 1, dial)
        except Exception as error:  # OSError, TimeoutError, ValueError for an address that is none
            reason = one_line(error) if str(error) else f"no answer within {CONNECT_SECONDS:.0f} s"
            raise BadInput(f"scheduler {self.address} can't be reached: {reason}") from error
        try:
            self._check_imports()
        except BaseException:
            self.client.close(timeout=5)
            raise

    def _check_imports(self) -> None:
        """Raise BadInput where a process of the cluster can't import this code: each cell would be lost there.

        The scheduler must as well, because Dask unpickles there what it hands to the workers.
        """
        found: dict[str, object] = self.client.run(_imported, on_error="return")
        try:
            self.client.run_on_scheduler(_imported)
        except Exception as error:
            found["scheduler"] = error
        for where, answer in found.items():
            if isinstance(answer, Exception):
                raise BadInput(
                    f"{where} of the Dask cluster can't import what a cell needs: {one_line(answer)}; start it with "
                    "this checkout on PYTHONPATH, in an environment with both requirements files"
                )

    def slots(self) -> int:
        """The cluster's threads; one where it has no worker yet, so that an adaptive one starts some."""
        try:
            workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        except Exception as error:  # KeyError while it is looked for, then that the client is closed
            raise ConnectionError(f"scheduler {self.address} is gone") from error
        if not workers and not self.alone:
            print(f"scheduler {self.address} has no worker; waiting for one", file=sys.stderr)
        self.alone = not workers
        return max(1, sum(int(w["nthreads"]) for w in workers))

    def free(self) -> bool:
        """See Pool; or wait behind one that runs: an adaptive cluster grows by what waits."""
        return len(self.running) < 2 * self.slots()

    def submit(self, job: Job) -> None:
        """Queue the job; Dask starts it again on another worker when its own is lost: see Job.once."""
        self.running[self.client.submit(run_cell, job, pure=False)] = job

    def finished(self, seconds: float) -> list[Future[Outcome]]:
        """See Pool."""
        end = time.monotonic() + seconds
        while not (done := [f for f in self.running if f.done()]) and time.monotonic() < end:
            time.sleep(0.05)
        return done

    def stop(self) -> None:
        """Leave the cluster. What runs there ends when it sees that its run was closed."""
        with suppress(Exception):  # the scheduler may be gone
            self.client.cancel(list(self.running), force=True)
            self.client.close(timeout=5)


def _executor(study: str) -> ProcessPoolExecutor:
    env = dict.fromkeys(THREAD_NAMES, "1") | dict.fromkeys(MALLOC_NAMES, str(KEPT_BYTES))
    env |= {"MPLBACKEND": "agg", startup.WORKER: "yes"}
    return ProcessPoolExecutor(max_workers=1, env=env, initializer=_begin, initargs=(os.getpid(), study))


def _begin(parent: int, study: str) -> None:
    """In a new worker of that study: leave Ctrl-C to the coordinator, and end with it, however it ends."""
    startup.imported()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # loky takes the first training's memory for a leak, and would start a new process at each.
    process_executor._MAX_MEMORY_LEAK_SIZE = LEAK_BYTES
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    leave_record(study, parent)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _imported() -> None:
    """Finding this function imports all that a cell needs."""
