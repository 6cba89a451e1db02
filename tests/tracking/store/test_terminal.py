"""Passwords in log records, warnings and tracebacks; standard streams that are closed, unread, or on a full disk."""

import io
import logging
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator

import pytest

from elbowroom.analysis.report import main as report
from elbowroom.tracking.cli import be_quiet
from elbowroom.tracking.store.terminal import hide_in_output, open_streams, printing, through_stderr

URI = "http://ada:secret@host"


@pytest.fixture
def hiding() -> Iterator[None]:
    factory, form, hook = logging.getLogRecordFactory(), warnings.formatwarning, sys.excepthook
    hide_in_output()
    yield
    logging.setLogRecordFactory(factory)
    warnings.formatwarning, sys.excepthook = form, hook


def test_a_record_of_any_logger_hides_passwords_in_its_message_and_traceback(hiding: None) -> None:
    shown: list[str] = []
    own = logging.Handler()  # a library's, behind which nothing reaches the root
    own.emit = lambda record: shown.append(own.format(record))  # type: ignore[method-assign]
    log = logging.getLogger("a.library")
    log.addHandler(own)
    try:
        raise OSError(URI)
    except OSError:
        log.exception("Retrying %s", URI)
    finally:
        log.removeHandler(own)
    (text,) = shown
    assert text.startswith("Retrying http://ada:***@host\nTraceback ")
    assert text.endswith("OSError: http://ada:***@host")


def test_warnings_and_uncaught_exceptions_hide_passwords(hiding: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert "UserWarning: http://ada:***@host" in warnings.formatwarning(URI, UserWarning, "a.py", 1)
    try:
        raise OSError(URI)
    except OSError as error:
        sys.excepthook(OSError, error, error.__traceback__)
        told = "".join(traceback.format_exception(error))
    assert capsys.readouterr().err == told.replace("secret", "***")


@pytest.mark.parametrize("start", [be_quiet, lambda: report(["--rule", "?"])], ids=["tracking", "analysis"])
def test_what_commands_and_workers_start_with_hides(hiding: None, start: Callable[[], object]) -> None:
    logging.setLogRecordFactory(logging.LogRecord)
    start()
    assert logging.getLogRecordFactory() is not logging.LogRecord


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


def test_what_a_child_writes_to_stderr_passes_through_this_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    with through_stderr():
        kept = sys.stderr  # as a library's handler of log records
        subprocess.run([sys.executable, "-c", "import os; os.write(2, b'a line\\nand \\xff')"], check=True)
        print("its own", file=sys.stderr, flush=True)
    assert shown.getvalue() == "a line\nand \ufffd\n"
    print("later", file=kept, flush=True)
    assert shown.getvalue().endswith("later\n")
    os.write(2, b"behind it")
    assert capfd.readouterr().err == "its own\nbehind it"
