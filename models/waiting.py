"""How long waiting OpenMP threads spin before they sleep; to be set before torch is loaded.

A training step is many loops on OpenMP's threads. At the end of each loop the threads that have finished spin until the
others have: the fastest way where each thread has a core. Where another program uses the core, spinning takes time from
the thread that is waited for, and a training takes many times as long (docs/performance.md, "Threads that wait").

GNU's OpenMP, which torch's Linux wheels and their MKL use, spins 300,000 times, some milliseconds. LLVM's and Intel's,
in builds for macOS, Windows and most of conda, spin for 200 ms. Each library reads the environment once; GNU's when
torch is loaded.

GNU: gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html. LLVM: openmp.llvm.org/design/Runtimes.html, KMP_BLOCKTIME.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SPINS = {
    "GOMP_SPINCOUNT": "2000",
    "KMP_BLOCKTIME": "1",  # ms, the smallest unit of older versions; at 0 a thread sleeps at once
}
POLICY = "OMP_WAIT_POLICY"  # OpenMP's own variable: both libraries derive a spin time from it, unless theirs is set


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set a short spin time in the environment unless it has one; without effect once torch is loaded."""
    if not environment.keys() & {*SPINS, POLICY}:
        environment.update(SPINS)
