"""Import torch and MLflow without garbage collection; a command imports this module first.

They make half a million objects that stay, and repeated collections would take a third of the time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Disable the garbage collector while the block runs."""
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
