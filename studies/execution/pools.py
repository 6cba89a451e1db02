"""The workers of a study: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from urllib.parse import urlparse

import mlflow

from elbowroom.models.neural.training import resolve_device
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.store.client import within
from elbowroom.tracking.store.errors import BadInput, one_line
from elbowroom.tracking.store.locks import private_folder
from elbowroom.tracking.store.terminal import in_command
from elbowroom.tracking.store.text import hidden

from ..options import Options
from ..records.trials import study_key
from .cell import Job, Outcome, Status, run_cell
from .fork_server import ForkServer, Worker, end, new_worker

_CONNECT_SECONDS = 10.0


class Pool(ABC):
    """Runs jobs and returns their outcomes. `study` is the key of the study."""

    restarts_jobs = False
    """Whether it may start a job a second time by itself."""

    def __init__(self, study: str = "") -> None:
        self.study = study
        self.shared: str | None = None
        """The folder from which its workers map the data; None: each worker loads them."""
        self.running: dict[Future[Outcome], Job] = {}

    @abstractmethod
    def slots(self) -> int:
        """The number of jobs that run at once."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Start a job."""

    @abstractmethod
    def stop(self) -> None:
        """End the workers at once, also those that train."""

    @abstractmethod
    def finished(self, seconds: float) -> list[Future[Outcome]]:
        """The futures in `running` that are done, after a wait of at most `seconds` for the first."""

    def begin(self, jobs: int) -> None:
        """Start workers for that many jobs, so that they import while the coordinator opens its stores."""
        return

    def warm(self, jobs: int) -> None:
        """Start workers for that many jobs, wait until they have imported what they need, and print how long."""
        return

    @contextmanager
    def share(self, prepared_data: PreparedData) -> Iterator[None]:
        """Write the data to a folder, from which the workers map them while the block runs.

        To be entered with the study locked: the folder is named after the study, so that the next start replaces the
        one of a killed coordinator. Raises BadInput where it can't be written.
        """
        folder = None
        with ExitStack() as stack:
            try:
                folder = private_folder("shared") / self.study
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                prepared_data.save(folder)
            except OSError as error:
                raise BadInput(
                    f"the data can't be written to {folder or error.filename}: {error.strerror or error}; "
                    "ELBOWROOM_CACHE moves it"
                ) from error
            del prepared_data
            self.shared = str(folder)
            yield

    def free(self) -> bool:
        """Whether another job would run at once."""
        return len(self.running) < self.slots()

    def take(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """The jobs that ended, after a wait of at most `seconds` for the first. A dead worker's job is LOST."""
        return [(self.running.pop(future), _outcome(future)) for future in self.finished(seconds)]


def _outcome(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except Exception as error:
        return Outcome(Status.LOST, reason=f"its worker was lost: {one_line(error)}")


class _LocalPool(Pool):
    """Processes of this machine, one per slot. One that dies ends no other."""

    def __init__(self, workers: int, device: str = "cpu", *, verbose: bool = True, study: str = "") -> None:
        super().__init__(study)
        self.slot_count, self.verbose = workers, verbose
        on_cpu = device == "cpu" or (device == "auto" and resolve_device(device).type == "cpu")
        self.forks = sys.platform == "linux" and on_cpu
        self.server: ForkServer | None = None
        self.workers: list[Worker] = []
        """All living ones, busy and idle."""
        self.busy: dict[Future[Outcome], Worker] = {}
        self.threads = ThreadPoolExecutor(workers)
        """One thread waits for the answer of each busy worker."""
        self.began = time.perf_counter()

    def begin(self, jobs: int) -> None:
        while len(self.workers) < min(jobs, self.slot_count):
            self._add_worker()

    def warm(self, jobs: int) -> None:
        self.begin(jobs)
        done, _ = wait([self.threads.submit(worker.ready) for worker in self.workers])
        ready = sum(future.exception() is None for future in done)
        if self.verbose:
            print(f"{ready} workers ready after {time.perf_counter() - self.began:.1f} s", file=sys.stderr)

    def slots(self) -> int:
        return self.slot_count

    def submit(self, job: Job) -> None:
        worker = next((w for w in self.workers if w not in self.busy.values()), None) or self._add_worker()
        try:
            worker.send(run_cell, job)
        except OSError:  # it died while idle
            self._remove(worker)
            worker = self._add_worker()
            with suppress(OSError):  # `answer` raises then
                worker.send(run_cell, job)
        future = self.threads.submit(worker.answer)
        self.running[future], self.busy[future] = job, worker

    def finished(self, seconds: float) -> list[Future[Outcome]]:
        done = list(wait(list(self.running), seconds, FIRST_COMPLETED).done)
        for future in done:
            worker = self.busy.pop(future)
            if future.exception() is not None:
                self._remove(worker)
        return done

    def stop(self) -> None:
        end(self.workers)
        if self.server is not None:  # after the workers, because the server reaps them
            self.server.stop()
        self.threads.shutdown()

    def _add_worker(self) -> Worker:
        worker = self._fork() if self.forks else new_worker(self.study)
        self.workers.append(worker)
        return worker

    def _fork(self) -> Worker:
        if self.server is None:  # the first, before any store is opened
            self.server = ForkServer(self.study, fork_this_process=in_command() and threading.active_count() == 1)
        try:
            return self.server.worker()
        except OSError:  # somebody killed it
            self.server.stop()
            self.server = ForkServer(self.study)
            return self.server.worker()

    def _remove(self, worker: Worker) -> None:
        end([worker])
        self.workers.remove(worker)


class _DaskPool(Pool):
    """The worker processes that a Dask cluster has at the moment. They may be on other machines."""

    restarts_jobs = True

    def __init__(self, scheduler: str) -> None:
        super().__init__()
        try:
            # Imported late, because it takes a second that only a cluster's studies should spend.
            distributed = importlib.import_module("distributed")
        except ImportError as error:
            extra = "backend dask needs the extra `cluster`: pip install -r requirements-cluster.txt"
            raise BadInput(extra) from error
        self.address, self.without_workers = hidden(scheduler), False
        dial = partial(distributed.Client, scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
        try:
            # Dask has no timeout for a server that accepts the connection and sends nothing.
            self.client = within(_CONNECT_SECONDS + 1, dial)
        except Exception as error:  # OSError, TimeoutError, ValueError for an address that is none
            reason = one_line(error) if str(error) else f"no answer within {_CONNECT_SECONDS:.0f} s"
            raise BadInput(f"scheduler {self.address} can't be reached: {reason}") from error
        try:
            self._check_imports()
        except BaseException:
            self.client.close(timeout=5)
            raise

    def _check_imports(self) -> None:
        """Raise BadInput where a worker, or the scheduler, which unpickles jobs too, can't import this code."""
        found: dict[str, object] = self.client.run(_check_import, on_error="return")
        try:
            self.client.run_on_scheduler(_check_import)
        except Exception as error:
            found["scheduler"] = error
        for where, answer in found.items():
            if isinstance(answer, Exception):
                raise BadInput(
                    f"{where} of the Dask cluster can't import what a cell needs: {one_line(answer)}; start it with "
                    "this checkout on PYTHONPATH, in an environment with both requirements files"
                )

    @contextmanager
    def share(self, prepared_data: PreparedData) -> Iterator[None]:
        """Let each worker load the data."""
        yield

    def slots(self) -> int:
        """The cluster's threads; one where it has no worker yet, so that an adaptive one starts some."""
        try:
            workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        except Exception as error:  # first a KeyError, later that the client is closed
            raise ConnectionError(f"scheduler {self.address} is gone") from error
        if not workers and not self.without_workers:
            print(f"scheduler {self.address} has no worker; waiting for one", file=sys.stderr)
        self.without_workers = not workers
        return max(1, sum(int(w["nthreads"]) for w in workers))

    def free(self) -> bool:
        """Whether another job would run or be next: an adaptive cluster grows by the number of waiting jobs."""
        return len(self.running) < 2 * self.slots()

    def submit(self, job: Job) -> None:
        """Queue the job. Dask starts it again on another worker when its own is lost: see Job.once."""
        self.running[self.client.submit(run_cell, job, pure=False)] = job

    def finished(self, seconds: float) -> list[Future[Outcome]]:
        end = time.monotonic() + seconds
        while not (done := [f for f in self.running if f.done()]) and time.monotonic() < end:
            time.sleep(0.05)
        return done

    def stop(self) -> None:
        """Leave the cluster. Its workers stop a training when they see that its run was closed."""
        with suppress(Exception):  # the scheduler may be gone
            self.client.cancel(list(self.running), force=True)
            self.client.close(timeout=5)


def _check_import() -> None:
    """Do nothing: to unpickle this function is to import this module, and with it all that a cell needs."""


@contextmanager
def open_pool(options: Options, device: str) -> Iterator[Pool]:
    """The workers of a study on a device, as in RunConfig, ended when the block ends.

    Raises BadInput where the Dask cluster can't be reached, or can't share the tracking store.
    """
    workers, study = options.workers or os.cpu_count() or 1, study_key(options.storage, options.study)
    cluster = options.backend == "dask"
    pool = _cluster(options) if cluster else _LocalPool(workers, device, verbose=options.verbose, study=study)
    try:
        yield pool
    finally:
        pool.stop()


def _cluster(options: Options) -> Pool:
    scheduler = str(options.scheduler)
    uri = mlflow.get_tracking_uri()
    if uri.startswith("sqlite") and urlparse(scheduler).hostname not in ("127.0.0.1", "localhost"):
        raise BadInput(
            f"tracking URI {uri} is a file, which workers of a cluster can't share; "
            "start an `mlflow server` and give --tracking-uri http://HOST:5000"
        )
    return _DaskPool(scheduler)
