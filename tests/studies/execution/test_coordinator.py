"""A study that ends before its jobs."""

from types import SimpleNamespace
from typing import Any

import pytest

from elbowroom.studies.execution.coordinator import supervise


def test_the_error_that_ends_a_study_is_written_and_said_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    written: list[tuple[str, str]] = []

    def repair(status: str, reason: str) -> None:
        written.append((status, reason))
        if len(written) == 2:
            raise OSError("no answer from http://ada:secret@host")

    def begin() -> Any:
        raise OSError("http://ada:secret@host is gone")

    records: Any = SimpleNamespace(repair=repair)
    pool: Any = SimpleNamespace(stop=lambda: None)
    with pytest.raises(OSError, match="is gone"):
        supervise(records, pool, begin)
    assert written[1] == ("FAILED", "http://ada:***@host is gone")
    assert "(OSError: no answer from http://ada:***@host)" in capsys.readouterr().err
