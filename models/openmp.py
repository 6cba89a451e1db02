"""The time that waiting OpenMP threads spin before they sleep; to be set before torch is loaded.

At the end of a parallel loop the threads that have finished spin until the others have. Where another program uses the
core, spinning delays the thread that is waited for, and a training takes many times as long (docs/performance.md).
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SPINS = {
    "GOMP_SPINCOUNT": "2000",  # GNU's OpenMP, of torch's Linux wheels and their MKL; its default is 300,000
    "KMP_BLOCKTIME": "1",  # ms; LLVM's and Intel's, whose default is 200; at 0 a thread sleeps at once
}
POLICY = "OMP_WAIT_POLICY"  # OpenMP's own variable: both libraries derive a spin time from it, unless theirs is set


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set a short spin time in the environment unless it has one; without effect once torch is loaded."""
    if not environment.keys() & {*SPINS, POLICY}:
        environment.update(SPINS)
