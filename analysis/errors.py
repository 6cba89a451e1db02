"""The errors that a user may see: one line that says what was wrong and what is allowed."""

from elbowroom.tracking.schema import hidden as hidden  # for those who read
from elbowroom.tracking.schema import one_line as one_line

LONGEST = 2000  # letters of a BadInput or Failed


class BadInput(ValueError):
    """Something that was typed, or a file or store that was named, can't be used."""

    def __init__(self, message: str) -> None:
        super().__init__(hidden(message))


class Failed(RuntimeError):
    """The store stopped answering, or a file could not be written, in the middle of the work."""
