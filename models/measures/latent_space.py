"""Quality of the map between rows and codes: neighbourhoods kept, sensitivity to noise in the codes, smooth paths.

Venna & Kaski 2001 (trustworthiness and continuity).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..base import Array, Reducer, Rows
from ..lazy import sklearn
from .errors import Float64s, near_one, row_mse

FEWEST = 20  # rows; with fewer no neighbourhood is worth a number
LENGTHS = (0, 0.1, 0.25, 0.5, 1, 1.5, 2, 3)  # of a push, in standard deviations
ROUNDING = 1e-5  # relative: float32 rows that differ by less are equal


class Neighbourhoods(NamedTuple):
    """How well neighbours are kept, 1 where all are and about 0.5 by chance; None where rows are too few."""

    trustworthiness: float | None
    """Those near in the codes are near in the data."""
    continuity: float | None
    """Those near in the data are near in the codes."""


class Smoothness(NamedTuple):
    """How even and how straight decoded lines are, (pairs,) each, of the pairs that go anywhere."""

    largest_step: Float64s
    """The largest step over the mean step: 1 where all are equal."""
    detour: Float64s
    """The length of the path over the distance between its ends: 1 where it is straight."""


def trustworthiness(x: Rows, z: Array, rows: int = 5000, k: int = 10) -> Neighbourhoods:
    """Trustworthiness and continuity of codes z (N, dim3) of x (N, dim1), over k nearest neighbours.

    Both are scikit-learn's `trustworthiness`, once with the roles exchanged. The first 5,000 rows are taken: its
    memory grows with the square of their number (about 0.5 GB here). k is below half the number of rows.
    """
    x, z = x[:rows], z[:rows]
    if len(x) < FEWEST:
        return Neighbourhoods(None, None)
    k = min(k, (len(x) - 1) // 2)
    x, z = near_one(x, x), near_one(z, z)
    return Neighbourhoods(
        float(sklearn.manifold.trustworthiness(x, z, n_neighbors=k)),
        float(sklearn.manifold.trustworthiness(z, x, n_neighbors=k)),
    )


def robustness(
    model: Reducer, x: Rows, rng: np.random.Generator, lengths: Sequence[float] = LENGTHS, rows: int = 2000
) -> Float64s:
    """The error of the first 2,000 rows of x (N, dim1) after a push of their codes: (R, 3), one row per length.

    Columns: length r, mean squared error of decode(z + delta), and its standard error over the rows. delta_j is
    r · sd_j · u_j, with sd_j the standard deviation of latent j over these rows and u uniform on the unit sphere
    of R^dim3: so r is a length where every latent has variance 1, and compares across models. A row is pushed the
    same way at every length.
    """
    x = x[:rows]
    z = model.encode(x).astype(np.float64)
    u = rng.standard_normal(z.shape)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    push = z.std(axis=0) * u  # (N, dim3)
    curve = []
    for length in lengths:
        errors = row_mse(x, model.decode((z + length * push).astype(np.float32)))
        curve.append((length, errors.mean(), errors.std() / np.sqrt(max(len(x) - 1, 1))))
    return np.array(curve, dtype=np.float64)


def interpolate(model: Reducer, z_from: Array, z_to: Array, steps: int = 11) -> Rows:
    """Rows along straight lines of codes from z_from to z_to (pairs, dim3), both ends included.

    Of shape (pairs, steps, dim1).
    """
    t = np.linspace(0, 1, steps, dtype=np.float32)[:, None]  # (steps, 1)
    z = (1 - t) * z_from[:, None] + t * z_to[:, None]  # (pairs, steps, dim3)
    return model.decode(z.reshape(-1, z.shape[2])).reshape(len(z), steps, -1)


def smoothness(path: Rows) -> Smoothness:
    """How evenly and how straight each path (pairs, steps, dim1) goes; distances are root mean squares per column.

    A pair whose ends are the same row is left out, as all are whose path has length 0: there is nothing to divide
    by. So a collapsed decoder has no pairs at all.
    """
    path64 = path.astype(np.float64)
    step = _root_mean_square(np.diff(path64, axis=1))  # (pairs, steps - 1)
    straight = _root_mean_square(path64[:, -1] - path64[:, 0])  # (pairs,)
    moved = straight > ROUNDING * np.abs(path64).max(initial=0.0)
    step, straight = step[moved], straight[moved]
    return Smoothness(step.max(axis=1) / step.mean(axis=1), step.sum(axis=1) / straight)


def _root_mean_square(difference: Float64s) -> Float64s:
    """Over the last axis."""
    return np.asarray(np.sqrt(np.square(difference).mean(axis=-1)), dtype=np.float64)
