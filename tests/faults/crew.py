"""Processes that call one function at the same moment."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from typing import Any

SECONDS = 120.0  # longest time of one round
Race = Callable[..., list[Any]]
together: Barrier


def _join(barrier: Barrier) -> None:
    global together
    together = barrier


def _run(function: Callable[..., Any], *arguments: Any) -> Any:
    together.wait(SECONDS)  # until each process has one of the calls
    return function(*arguments)


@contextmanager
def crew(size: int, module: str) -> Iterator[Race]:
    """Start processes that import `module`, and give `race(function, ...)`.

    It calls function(number, ...) in all processes at once, where `number` is the process's from 0, and returns the
    list of their results, or raises the exception of one.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    with context.Pool(size, _join, (context.Barrier(size),)) as pool:

        def race(function: Callable[..., Any], *arguments: Any) -> list[Any]:
            calls = [(function, number, *arguments) for number in range(size)]
            return pool.starmap_async(_run, calls, chunksize=1).get(SECONDS)

        yield race
