"""What can go wrong for the user: one line, what was wrong and what is allowed."""

import re

from tracking.schema import printable

LONGEST = 2000  # letters of an error


class BadInput(ValueError):
    """Something that was typed, or a file or store that was named, can't be used."""


class Failed(RuntimeError):
    """The store stopped answering, or a file could not be written, in the middle of the work."""


def one_line(error: BaseException) -> str:
    """An exception as one line, without passwords."""
    text = printable(hidden(" ".join(str(error).split())), LONGEST)
    return text or type(error).__name__


def hidden(text: str) -> str:
    """Text without the passwords of the URIs in it."""
    return re.sub(r"(\w://[^:/@\s]*):[^@/\s]+@", r"\1:***@", text)
