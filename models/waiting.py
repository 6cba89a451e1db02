"""How long threads that wait for each other spin before they sleep: to be set before torch is loaded.

A training step is many loops on OpenMP's threads, and at the end of each the thread that is done spins until the others
are: the fastest way where each has a core. Where another program has the core, the spinning takes time from the thread
that is waited for, and a training takes many times as long (docs/performance.md, "Threads that wait").

GNU's OpenMP, which torch's Linux wheels and the MKL in them use, spins 300,000 times, some milliseconds. LLVM's and
Intel's, of the builds for macOS and Windows and most of conda's, spin for 200 ms. Each reads the environment once,
GNU's as torch is loaded.

GNU: gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html. LLVM: openmp.llvm.org/design/Runtimes.html, KMP_BLOCKTIME.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SPINS = {
    "GOMP_SPINCOUNT": "2000",
    "KMP_BLOCKTIME": "1",  # ms: older versions know no smaller unit, and at 0 a thread sleeps at once
}
POLICY = "OMP_WAIT_POLICY"  # OpenMP's own: both libraries turn it into a time to spin, unless theirs is set


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenMP's threads spin briefly, unless the user has set one of the variables; without effect after torch."""
    if not environment.keys() & {*SPINS, POLICY}:
        environment.update(SPINS)
