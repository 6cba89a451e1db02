"""A study that ends before its jobs."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from elbowroom.studies.execution.coordinator import Coordinator
from elbowroom.studies.options import Options
from elbowroom.studies.records.study import StudyRecords
from elbowroom.tracking.config import RunConfig


def test_the_error_that_ends_a_study_is_written_and_said_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    written: list[tuple[str, str]] = []

    def repair(status: str, reason: str) -> None:
        written.append((status, reason))
        if len(written) == 2:
            raise OSError("no answer from http://ada:secret@host")

    def begin() -> Any:
        raise OSError("http://ada:secret@host is gone")

    pool: Any = SimpleNamespace(stop=lambda: None)
    nothing: Any = None
    study = Coordinator(Options(), RunConfig(), pool, nothing, nothing, nothing, None)
    study.records = cast(StudyRecords, SimpleNamespace(repair=repair))
    with pytest.raises(OSError, match="is gone"):
        study.run(begin)
    assert written[1] == ("FAILED", "http://ada:***@host is gone")
    assert "(OSError: no answer from http://ada:***@host)" in capsys.readouterr().err
