"""The errors that a user sees: one line that says what is wrong and what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from .text import clean

LONGEST = 900  # letters of the message of a BadInput


class BadInput(ValueError):
    """Something that the user typed or named can't be used."""

    def __init__(self, message: str) -> None:
        super().__init__(clean(" ".join(message.split()), LONGEST))


class Failed(RuntimeError):
    """The store stopped answering, or a file could not be written, during the work."""


class RunFailed(RuntimeError):
    """A run was opened and did not finish; the store says so, if it could be reached."""

    def __init__(self, reason: str, run_id: str) -> None:
        super().__init__(reason)
        self.reason, self.run_id = reason, run_id


_LINE_LENGTH: Final = 400  # letters of an exception's text: a server's may be a whole page

_LOGIN_ADVICE: Final = {
    "UNAUTHENTICATED": "the server takes no such user and password; MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD give them, else ~/.mlflow/credentials",
    "PERMISSION_DENIED": "permission denied: the server's administrator grants it to a user, READ or EDIT for each "
    "experiment",
}
"""By MLflow's error codes."""


def one_line(error: BaseException, longest: int = _LINE_LENGTH) -> str:
    """Return an exception as one line without secrets; of a database's the driver's message, without the SQL."""
    ours = isinstance(error, RuntimeError | ValueError)
    if not ours:
        error = driver_error(error) or error
    code = str(getattr(error, "error_code", ""))  # MLflow's
    words = " ".join(str(error).split())
    text = clean(f"{_LOGIN_ADVICE[code]} ({words})" if code in _LOGIN_ADVICE else words, longest)
    return text if text and (ours or code) else f"{type(error).__name__}: {text}"


def driver_error(error: BaseException) -> BaseException | None:
    """Return the error of the database driver that SQLAlchemy, MLflow or Optuna wrapped; None without one."""
    found = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None)
    return found if isinstance(found, BaseException) else None


@contextmanager
def as_bad_input(what: str, longest: int = _LINE_LENGTH) -> Iterator[None]:
    """Turn any exception of the block into a BadInput that begins with `what`: each kind of store has its own."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"{what}: {one_line(error, longest)}") from error


def store_failed(error: Exception) -> bool:
    """Return whether a store, a database or a disk failed; by class names, as importing the classes takes seconds."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, OSError) or not names.isdisjoint({"MlflowException", "SQLAlchemyError"})


def deleted_experiment(name: str, experiment_id: str) -> str:
    """Return the message about an experiment that its owner deleted, with the command that restores it."""
    restore = f"mlflow experiments restore --experiment-id {experiment_id}"
    return f"experiment {name!r} is deleted; restore it ({restore}), or name another"
