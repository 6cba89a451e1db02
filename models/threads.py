"""The number of threads that the models compute on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def on_threads(threads: int | Literal["auto"]) -> Iterator[int]:
    """Set the number of threads of torch and BLAS within the context, and yield it; `auto` is torch's own."""
    before = torch.get_num_threads()
    wanted = before if threads == "auto" else threads
    torch.set_num_threads(wanted)
    try:
        with threadpool_limits(wanted):
            yield wanted
    finally:
        torch.set_num_threads(before)
