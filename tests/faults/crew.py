"""Processes that do the same thing at the same moment, as often as one likes: started once, let go together."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from typing import Any

SECONDS = 120.0  # that one round may take
Race = Callable[..., list[Any]]
together: Barrier


def _join(barrier: Barrier) -> None:
    global together
    together = barrier


def _run(function: Callable[..., Any], *arguments: Any) -> Any:
    together.wait(SECONDS)  # for the others: each of them takes one of the calls
    return function(*arguments)


@contextmanager
def crew(size: int, module: str) -> Iterator[Race]:
    """Call a function in so many processes at once, which have imported `module` before.

    `race(function, ...)` gives what each gets from function(its number from 0, ...), or raises what one raises.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    with context.Pool(size, _join, (context.Barrier(size),)) as pool:

        def race(function: Callable[..., Any], *arguments: Any) -> list[Any]:
            calls = [(function, number, *arguments) for number in range(size)]
            return pool.starmap_async(_run, calls, chunksize=1).get(SECONDS)

        yield race
