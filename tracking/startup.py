"""What a command or a worker process begins with: open streams, and Python's garbage collector put off for its imports.

Torch, MLflow and what they import are half a million objects that stay. The collector looks through them again and
again as they come, and once more as the process ends: a third of the imports' time, and a second at the end. Only the
project's own processes put it off; whoever imports these packages keeps theirs as it is.
"""

from __future__ import annotations

import gc
import os
import sys

PACKAGES = ("analysis", "benchmarks", "models", "studies", "tracking")
WORKER = "ELBOWROOM_WORKER"  # set for the processes that train a study's cells


def begin() -> None:
    """Collect nothing until `imported`, and have all streams, in a worker and where one of our modules is run.

    To be called by a package as it is imported: until `python -m` has found its module, it calls itself that.
    """
    if (sys.argv[:1] == ["-m"] and _ours()) or WORKER in os.environ:
        gc.disable()
        _open_streams()


def _open_streams() -> None:
    """Open what the caller closed (`>&-`): the next file would get its number, and what is printed would go there."""
    for name in ("stdin", "stdout", "stderr"):  # in the order of their numbers: a new file gets the lowest that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115


def _ours() -> bool:
    """Whether the module that Python looks for is the project's, and not one that imports it on the way."""
    words = sys.orig_argv
    return "-m" not in words or words[words.index("-m") + 1].partition(".")[0] in PACKAGES


def imported() -> bool:
    """Collect from here on, but not what is there by now; whether it had been put off."""
    put_off = not gc.isenabled()
    if put_off:
        gc.freeze()
        gc.enable()
    return put_off
