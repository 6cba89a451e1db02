"""One process at a time: what two commands that start at once would otherwise both make."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import sqlalchemy
from filelock import FileLock, Timeout

PATIENCE = 60.0  # seconds that another process may take; then this one tries all the same


@contextmanager
def alone_with(uri: str) -> Iterator[None]:
    """Keep other processes of this machine from a sqlite file while the block runs; for another URI nothing is kept.

    MLflow and Optuna both make their tables by looking and then making, and the second of two fails.
    """
    with ExitStack() as held:
        if uri.startswith("sqlite:///"):
            path = str(Path(sqlalchemy.make_url(uri).database or "").resolve())
            lock = Path(tempfile.gettempdir()) / f"elbowroom-{hashlib.sha256(path.encode()).hexdigest()[:16]}.lock"
            with suppress(PermissionError, Timeout):  # another user's, who is then trusted to be done soon
                held.enter_context(FileLock(lock, timeout=PATIENCE))
        yield
