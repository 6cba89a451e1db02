"""Studies without worker processes, for tests of what a study does and not of its workers."""

from concurrent.futures import Future

from elbowroom.studies.execution.cell import Job, Outcome, run_cell
from elbowroom.studies.execution.pools import Pool


class Here(Pool):
    """Cells train in this process, one after another: no worker has to import what is imported here."""

    def __init__(self, *_: object, study: str, **__: object) -> None:
        super().__init__(study)

    def slots(self) -> int:
        return 1

    def submit(self, job: Job) -> None:
        future: Future[Outcome] = Future()
        future.set_result(run_cell(job))
        self.running[future] = job

    def finished(self, seconds: float) -> list[Future[Outcome]]:
        return list(self.running)

    def stop(self) -> None:
        return
