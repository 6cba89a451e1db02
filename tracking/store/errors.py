"""The errors that a user may see: one line that says what was wrong and what is allowed."""

from __future__ import annotations

from typing import Final

from .text import clean

LOGIN: Final = {
    "UNAUTHENTICATED": "the server takes no such user and password; MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD give them, else ~/.mlflow/credentials",
    "PERMISSION_DENIED": "permission denied: the server's administrator grants it to a user, READ or EDIT for each "
    "experiment",
}
"""What MLflow's error codes mean for whoever has to give a password."""


LINE_LENGTH: Final = 400
"""Letters of what an exception says: a server's may carry a whole page."""


def driver_error(error: BaseException) -> BaseException | None:
    """The error of the database's driver that SQLAlchemy wrapped, MLflow and Optuna perhaps again; None if none."""
    found = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None)
    return found if isinstance(found, BaseException) else None


def one_line(error: BaseException, longest: int = LINE_LENGTH) -> str:
    """An exception as one line, without passwords; a database's in the words of its driver, without the SQL."""
    ours = isinstance(error, RuntimeError | ValueError)
    if not ours:
        error = driver_error(error) or error
    code = str(getattr(error, "error_code", ""))  # MLflow's
    words = " ".join(str(error).split())
    text = clean(f"{LOGIN[code]} ({words})" if code in LOGIN else words, longest)
    return text if text and (ours or code) else f"{type(error).__name__}: {text}"


LONGEST = 600
"""Letters of the message of a BadInput or Failed."""


class BadInput(ValueError):
    """What a user typed, or a file or store that a user named, can't be used: one line, what is wrong and allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(clean(" ".join(message.split()), LONGEST))


class Failed(RuntimeError):
    """The store stopped answering, or a file could not be written, in the middle of the work."""


class RunFailed(RuntimeError):
    """A run was opened and did not finish; the store says so, as well as it could be reached."""

    def __init__(self, reason: str, run_id: str) -> None:
        super().__init__(reason)
        self.reason, self.run_id = reason, run_id


def store_failed(error: Exception) -> bool:
    """Whether a tracking store, a database or a disk failed. By the names of classes: to import them takes seconds."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, OSError) or not names.isdisjoint({"MlflowException", "SQLAlchemyError"})
