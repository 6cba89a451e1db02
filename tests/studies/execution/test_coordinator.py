"""A study that ends before its jobs."""

from types import SimpleNamespace
from typing import Any

import pytest

from elbowroom.studies.execution.coordinator import Coordinator, JobQueue
from elbowroom.studies.execution.progress import Progress
from elbowroom.studies.options import Options
from elbowroom.tracking.config import RunConfig
from tests.studies.harness import Capture


def test_the_error_that_ends_a_study_is_written_and_said_without_passwords(capsys: Capture) -> None:
    written: list[tuple[str, str]] = []

    def repair(status: str, reason: str) -> None:
        written.append((status, reason))
        raise OSError("no answer from http://ada:secret@host")

    def make(number: int) -> Any:
        raise OSError("http://ada:secret@host is gone")

    pool = SimpleNamespace(stop=lambda: None, warm=lambda jobs: None, free=lambda: True)
    study = Coordinator(Options(), RunConfig(), pool, None, None, None, None)
    study.records = SimpleNamespace(repair=repair)
    with pytest.raises(OSError, match="is gone"):
        study.run(JobQueue(make, [1]), Progress(1, 0, verbose=False))
    assert written == [("FAILED", "http://ada:***@host is gone")]
    assert "(OSError: no answer from http://ada:***@host)" in capsys.readouterr().err


def test_a_job_whose_worker_dies_is_made_three_times() -> None:
    numbers = iter(range(9))
    queue = JobQueue(lambda item: SimpleNamespace(trial=next(numbers), item=item), ["a", "b"])
    made, again = [], []
    while (job := queue.next()) is not None:
        made.append((job.trial, job.item))
        if job.trial != 1:
            again.append(queue.retry(job))
    assert made == [(0, "a"), (1, "b"), (2, "a"), (3, "a")]
    assert again == [True, True, False]
