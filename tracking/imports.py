"""Import torch and MLflow without garbage collection; a command imports this module first.

They make half a million objects that stay, and repeated collections would take a third of the time.
"""

import gc

_enabled = gc.isenabled()
gc.disable()
try:
    import mlflow  # noqa: F401

    from elbowroom import models  # noqa: F401

    from .run import execution as run  # noqa: F401
finally:
    if _enabled:
        gc.enable()
