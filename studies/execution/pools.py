"""Who trains the cells: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial

from elbowroom.models.neural.training import resolve_device
from elbowroom.tracking.store.errors import BadInput, one_line
from elbowroom.tracking.store.recorder import within
from elbowroom.tracking.store.terminal import in_command
from elbowroom.tracking.store.text import hidden

from .cell import Ended, Job, Outcome, run_cell
from .forking import ForkServer, Worker, end, new_worker

CONNECT_SECONDS = 10.0


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
    """Processes of this machine: one that dies takes no other with it."""

    def __init__(self, workers: int, device: str = "cpu", *, verbose: bool = True, study: str = "") -> None:
        super().__init__()
        self.slot_count, self.verbose, self.study = workers, verbose, study
        on_cpu = device == "cpu" or (device == "auto" and resolve_device(device).type == "cpu")
        self.forks = sys.platform == "linux" and on_cpu
        self.server: ForkServer | None = None
        self.workers: list[Worker] = []
        """All that may live; those of `running` are busy, the others idle."""
        self.busy: dict[Future[Outcome], Worker] = {}
        self.threads = ThreadPoolExecutor(workers)
        """Each waits for a worker."""
        self.began = time.perf_counter()

    def begin(self, jobs: int) -> None:
        """See Pool."""
        while len(self.workers) < min(jobs, self.slot_count):
            self._add_worker()

    def warm(self, jobs: int) -> None:
        """See Pool; the seconds since the pool was made are said, where wanted."""
        self.begin(jobs)
        done, _ = wait([self.threads.submit(worker.ready) for worker in self.workers])
        ready = sum(future.exception() is None for future in done)
        if self.verbose:
            print(f"{ready} workers ready after {time.perf_counter() - self.began:.1f} s", file=sys.stderr)

    def slots(self) -> int:
        """One a worker."""
        return self.slot_count

    def submit(self, job: Job) -> None:
        """Give the job to an idle worker, or to a new one."""
        worker = next((w for w in self.workers if w not in self.busy.values()), None) or self._add_worker()
        try:
            worker.send(run_cell, job)
        except OSError:  # it died while idle
            self._remove(worker)
            worker = self._add_worker()
            with suppress(OSError):  # the answer says so
                worker.send(run_cell, job)
        future = self.threads.submit(worker.answer)
        self.running[future], self.busy[future] = job, worker

    def finished(self, seconds: float) -> list[Future[Outcome]]:
        """See Pool."""
        done = list(wait(list(self.running), seconds, FIRST_COMPLETED).done)
        for future in done:
            worker = self.busy.pop(future)
            if future.exception() is not None:
                self._remove(worker)
        return done

    def stop(self) -> None:
        """Kill every worker."""
        end(self.workers)
        if self.server is not None:  # after the workers, because the server reaps them
            self.server.stop()
        self.threads.shutdown()

    def _add_worker(self) -> Worker:
        worker = self._ask() if self.forks else new_worker(self.study)
        self.workers.append(worker)
        return worker

    def _ask(self) -> Worker:
        if self.server is None:  # the first, before any store is opened
            self.server = ForkServer(self.study, of_itself=in_command() and threading.active_count() == 1)
        try:
            return self.server.worker()
        except OSError:  # somebody killed it
            self.server.stop()
            self.server = ForkServer(self.study)
            return self.server.worker()

    def _remove(self, worker: Worker) -> None:
        end([worker])
        self.workers.remove(worker)


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


def _imported() -> None:
    """Finding this function imports all that a cell needs."""
