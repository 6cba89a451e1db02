"""Processes that do the same thing at the same moment, as often as one likes: started once, let go together."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

SECONDS = 120.0  # that one round may take


class Crew:
    """Some of these processes, of which the first few take part in a race."""

    def __init__(self, ends: list[Connection], barriers: dict[int, Barrier]) -> None:
        self.ends, self.barriers = ends, barriers

    def race(self, runners: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What each of so many gets from function(its number from 0, ...); an exception as `Name: what it says`."""
        for number, end in enumerate(self.ends[:runners]):
            end.send((runners, function, (number, *arguments)))
        results = []
        for end in self.ends[:runners]:
            assert end.poll(SECONDS), "a process did not come to the end of its round"
            results.append(end.recv())
        return results


def _run(end: Connection, barriers: dict[int, Barrier], path: list[str]) -> None:
    sys.path[:] = path
    while True:
        try:
            runners, function, arguments = end.recv()
        except EOFError:
            return
        barriers[runners].wait(SECONDS)
        try:
            end.send(function(*arguments))
        except BaseException as error:
            trace = traceback.extract_tb(error.__traceback__)[-1]
            end.send(f"{type(error).__name__}: {error} ({os.path.basename(trace.filename)}:{trace.lineno})")


@contextmanager
def crew_of(size: int, module: str) -> Iterator[Crew]:
    """So many processes that have imported `module` before they part, ended with the block."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    barriers = {n: context.Barrier(n) for n in range(2, size + 1)}
    pairs = [context.Pipe() for _ in range(size)]
    started = [context.Process(target=_run, args=(there, barriers, sys.path), daemon=True) for _, there in pairs]
    for process in started:
        process.start()
    for _, there in pairs:
        there.close()
    try:
        yield Crew([here for here, _ in pairs], barriers)
    finally:
        for here, _ in pairs:
            here.close()
        for process in started:
            process.kill()  # an orderly end of all that is imported takes seconds
            process.join(10)
