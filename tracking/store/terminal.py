"""The standard streams of a command: they may be closed, full or unread, and passwords are hidden on them."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO, cast

from .text import clean, hidden

LOG_LEVELS: Final = {
    "optuna": logging.WARNING,
    "alembic": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,
    "mlflow.system_metrics": logging.WARNING,
}
"""Levels of loggers that would report each step of a migration, the SQL of an error that is raised as well, or the
beginning and the end of each monitor."""

_PASS_SECONDS = 1.0  # for the last lines of child processes


def printing(body: Callable[[], int]) -> int:
    """Run a command and return its exit code, even where its output ends early (`| head`, a full disk).

    Where output was lost and not merely unread, one line on stderr says so, and 0 becomes 1.
    """
    open_streams()
    before = sys.stdout, sys.stderr
    out, err = map(Output, before)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        code = body()
        out.flush()
        if out.error:
            print(f"error: stdout can't be written: {out.error}", file=sys.stderr)
            return code or 1
        return code
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def through_stderr() -> Iterator[Callable[[], None]]:
    """Pass what is written to the file descriptor of stderr, also by child processes, to `sys.stderr`, line by line.

    A display that replaces `sys.stderr` then says where these lines stand. Yields a function that begins to pass them:
    it starts a thread, which must not be there yet when this process is forked.
    """
    before, terminal = sys.stderr, os.dup(2)
    received, written = os.pipe()
    os.dup2(written, 2)
    os.close(written)

    def pass_on() -> None:
        with open(received, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                print(line.rstrip("\n"), file=sys.stderr, flush=True)

    thread = threading.Thread(target=pass_on, daemon=True)
    with open(terminal, "w", encoding=before.encoding) as stream:
        output = Output(stream)
        try:
            sys.stderr = cast(TextIO, output)
            yield thread.start
        finally:
            sys.stderr = output.stream = before  # a library that is imported meanwhile may log to `output` for ever
            os.dup2(terminal, 2)
            if thread.ident is None:
                thread.start()
            thread.join(_PASS_SECONDS)


def quiet_libraries() -> None:
    """Silence what MLflow and Optuna report by themselves, and keep MLflow from following redirects."""
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # one for each run
    os.environ.setdefault("MLFLOW_ALLOW_HTTP_REDIRECTS", "false")  # a redirect would send files to another host
    for name, level in LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)


def say(text: str) -> None:
    """Print lines without secrets and control characters."""
    for line in text.split("\n"):
        print(clean(line))


def in_command() -> bool:
    """Return whether this process runs a command of this project, and no other program's code."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name.removeprefix("elbowroom.").startswith(("analysis.", "studies.", "tracking."))


class Output:
    """A standard stream that drops what can't be written; `error` says why, unless the reader closed the pipe."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.error = stream, ""
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a character that the terminal's encoding lacks becomes `?`

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write text, and return its length even where it was dropped."""
        self._try(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream, or drop what it holds."""
        self._try(self.stream.flush)

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.error = str(error.strerror)
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


def open_streams() -> None:
    """Open standard streams that the caller closed (`>&-`) on /dev/null: the next file would get their number."""
    for name in ("stdin", "stdout", "stderr"):  # in the order of their numbers: a new file gets the lowest free one
        if getattr(sys, name) is None:
            # By its number, so that it stays open when the stream is replaced.
            stream = open(os.open(os.devnull, os.O_RDWR), "r+", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def hide_in_output() -> None:
    """Hide secrets in the log records, warnings and uncaught exceptions of this process.

    For commands and workers, not for programs that import these packages. The record factory reaches the loggers of
    libraries that have handlers of their own, which a filter of the root logger would not.
    """
    logging.setLogRecordFactory(_HiddenRecord)
    warnings.formatwarning = lambda *args, **kwargs: hidden(_formatwarning(*args, **kwargs))
    sys.excepthook = lambda *error: print(hidden("".join(traceback.format_exception(*error))), end="", file=sys.stderr)


_formatwarning = warnings.formatwarning


class _HiddenRecord(logging.LogRecord):
    """A log record whose message and traceback have no secrets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info:
            self.exc_text = hidden(logging.Formatter().formatException(self.exc_info))

    def getMessage(self) -> str:
        return hidden(super().getMessage())
