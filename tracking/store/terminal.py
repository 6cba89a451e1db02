"""The standard streams of a command, and what is not shown on them."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TextIO, cast

from .text import clean, hidden


class _HiddenRecord(logging.LogRecord):
    """A log record whose message and traceback hide what `hidden` hides."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info:
            self.exc_text = hidden(logging.Formatter().formatException(self.exc_info))

    def getMessage(self) -> str:
        return hidden(super().getMessage())


_formatwarning = warnings.formatwarning


def hide_in_output() -> None:
    """Let log records, warnings and uncaught exceptions of this process hide what `hidden` hides.

    For commands and workers, not for programs that import these packages. Libraries' loggers have handlers of their
    own, which a filter at the root would not reach: all get their records from one factory.
    """
    logging.setLogRecordFactory(_HiddenRecord)
    warnings.formatwarning = lambda *args, **kwargs: hidden(_formatwarning(*args, **kwargs))
    sys.excepthook = lambda *error: print(hidden("".join(traceback.format_exception(*error))), end="", file=sys.stderr)


class Output:
    """A standard stream. What it can't take is left out, and ends no work; `error` says why, unless nobody reads it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.error = stream, ""
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name must not end what a terminal can't show

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """As of a stream; all of the text counts as written."""
        self._try(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """As of a stream."""
        self._try(self.stream.flush)

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.error = str(error.strerror)
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


def in_command() -> bool:
    """Whether this process was started as a command of this project, so that nothing else runs in it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name.removeprefix("elbowroom.").startswith(("analysis.", "studies.", "tracking."))


def open_streams() -> None:
    """Open what the caller closed (`>&-`): the next file would get its number, and what is printed would go there."""
    for name in ("stdin", "stdout", "stderr"):  # in the order of their numbers: a new file gets the lowest that is free
        if getattr(sys, name) is None:
            # Of a number, so that it stays open when the stream is replaced.
            stream = open(os.open(os.devnull, os.O_RDWR), "r+", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def printing(body: Callable[[], int]) -> int:
    """Run a command whose output may end before it does, at `| head` or a full disk; its exit code.

    Where output was lost for another reason than that nobody reads it, one line on stderr says so, and 0 becomes 1.
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


def say(text: str) -> None:
    """Print lines without control characters, which a terminal would obey."""
    for line in text.split("\n"):
        print(clean(line))
