"""What can go wrong for the user: one line, what was wrong and what is allowed."""

from tracking.schema import answered, printable, shortened
from tracking.schema import hidden as hidden  # for those who read

LONGEST = 2000  # letters of an error


class BadInput(ValueError):
    """Something that was typed, or a file or store that was named, can't be used."""


class Failed(RuntimeError):
    """The store stopped answering, or a file could not be written, in the middle of the work."""


def one_line(error: BaseException) -> str:
    """An exception as one line, without passwords."""
    text = shortened(printable(hidden(answered(" ".join(str(error).split())))), LONGEST)
    return text or type(error).__name__
