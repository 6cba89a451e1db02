"""Torch and MLflow, imported without garbage collections: to be imported first by a command.

They are half a million objects that stay. To look through them again and again as they come is a third of the time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Put the garbage collector off while the block runs."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


with uncollected():
    import mlflow  # noqa: F401

    from elbowroom import models  # noqa: F401

    from .run import execution as run  # noqa: F401
