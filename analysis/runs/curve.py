"""Errors by dim3 and seed as the arrays of one curve."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .. import Floats


def assemble(points: Iterable[tuple[int, int, float]]) -> tuple[list[int], Floats]:
    """Return dim3 (D,), ascending, and errors (S, D) of (dim3, seed, error) triples, each place given once.

    A row for each seed that every dim3 has, by seed; where there is none, one row of the means over each dim3's seeds.
    """
    by_place: dict[int, dict[int, float]] = {}
    for k, seed, error in points:
        by_place.setdefault(k, {})[seed] = error
    dim3 = sorted(by_place)
    seeds = common_seeds(by_place.values())
    if not seeds:
        return dim3, np.array([[float(np.mean([by_place[k][s] for s in sorted(by_place[k])])) for k in dim3]])
    return dim3, np.array([[by_place[k][s] for s in seeds] for k in dim3], dtype=float).T


def common_seeds(by_dim3: Iterable[Iterable[int]]) -> list[int]:
    """Return the seeds that every dim3 has, ascending."""
    return sorted(set.intersection(*map(set, by_dim3)))
