"""Standard streams that are closed, that nobody reads, or whose disk is full: `open_streams` and `printing`."""

import os
import sys
from collections.abc import Callable

import pytest

from elbowroom.tracking.store.terminal import open_streams, printing


def test_streams_that_the_caller_closed_are_open_and_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    open_streams()
    assert sys.stdin is not None
    assert sys.stdout is not None
    with sys.stdin as stdin, sys.stdout as stdout, sys.stderr as stderr:
        print("x", file=stderr)
        print("x", flush=True)
        assert stdin.read() == ""
        assert stdin.fileno() < stdout.fileno() < stderr.fileno()


def long_work() -> int:
    """Prints more than a buffer holds, and ends as usual."""
    for _ in range(20_000):
        print("a line")
        print("another", file=sys.stderr)
    return 3


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_reader_that_goes_away_ends_no_command(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, name, stream)
        assert printing(long_work) == 3
        assert getattr(sys, name) is stream
    printed = capsys.readouterr()
    assert {"stdout": printed.err, "stderr": printed.out}[name].count("\n") == 20_000


@pytest.mark.parametrize(("work", "code"), [(long_work, 3), (lambda: print("a line") or 0, 1)])
def test_a_full_disk_behind_the_output_is_one_line_at_the_end(
    work: Callable[[], int], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert printing(work) == code
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line != "another"] == ["error: stdout can't be written: No space left on device"]
