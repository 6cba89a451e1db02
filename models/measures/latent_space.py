"""Quality of the map between rows and codes: preserved neighbourhoods, sensitivity to noise in the codes, smooth paths.

Venna & Kaski 2001 (trustworthiness and continuity).
"""

from __future__ import annotations

import numpy as np

from ..base import Array, Reducer, Rows
from ..lazy_sklearn import sklearn
from .errors import Float64s, rescaled, row_mse

STEPS = 11  # codes on each line, both ends included
_FEWEST, _MOST = 20, 5000  # rows for neighbourhoods: memory grows with their square, to 0.5 GB
_NEIGHBOURS = 10
_PERTURBED = 2000  # rows
_SEED = 0  # of the perturbations
_LENGTHS = (0, 0.1, 0.25, 0.5, 1, 1.5, 2, 3)  # of a perturbation, in standard deviations
_ROUNDING = 1e-5  # relative difference below which float32 rows are equal


def trustworthiness(x: Rows, z: Array) -> tuple[float, float] | None:
    """Return trustworthiness and continuity of the first 5,000 rows x (N, dim1) and codes z (N, dim3), or None.

    The share of neighbours in the codes that are neighbours in the data, and the reverse: 1 for all, about 0.5 by
    chance, None for fewer than 20 rows.
    """
    x, z = x[:_MOST], z[:_MOST]
    if len(x) < _FEWEST:
        return None
    k = min(_NEIGHBOURS, (len(x) - 1) // 2)
    x, z = rescaled(x, x), rescaled(z, z)
    share = sklearn.manifold.trustworthiness
    return float(share(x, z, n_neighbors=k)), float(share(z, x, n_neighbors=k))


def robustness(model: Reducer, x: Rows) -> Float64s:
    """Return the errors of a fitted model after random perturbations of the codes of the first 2,000 rows of x.

    Columns (8, 3): length r, mean squared error of decode(z + delta), and its standard error over the rows. delta of
    latent j is r · sd_j · u_j, with sd_j the standard deviation of latent j over these rows and u uniform on the unit
    sphere of R^dim3, one direction for each row. So r is a length where every latent has variance 1, which is
    comparable across models.
    """
    x = x[:_PERTURBED]
    z = model.encode(x).astype(np.float64)
    u = np.random.default_rng(_SEED).standard_normal(z.shape)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    delta = z.std(axis=0) * u  # (N, dim3), of length 1
    curve = []
    for length in _LENGTHS:
        errors = row_mse(x, model.decode((z + length * delta).astype(np.float32)))
        curve.append((length, errors.mean(), errors.std() / np.sqrt(max(len(x) - 1, 1))))
    return np.array(curve, dtype=np.float64)


def interpolate(model: Reducer, ends: Array) -> Rows:
    """Return rows (pairs, STEPS, dim1) decoded from codes on the lines between ends[0] and ends[1], (pairs, dim3)."""
    t = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]  # (STEPS, 1)
    z = (1 - t) * ends[0][:, None] + t * ends[1][:, None]  # (pairs, STEPS, dim3)
    return model.decode(z.reshape(-1, z.shape[2])).reshape(len(z), STEPS, -1)


def smoothness(path: Rows) -> tuple[Float64s, Float64s]:
    """Return evenness and straightness of each path (pairs, steps, dim1), by root mean squares over columns.

    The largest step divided by the mean step, 1 where all are equal; and the length of the path divided by the distance
    between its ends, 1 where it is straight. A path whose ends are equal rows is left out, because both divide by its
    length: a collapsed decoder has no paths.
    """
    path64 = path.astype(np.float64)
    step = _root_mean_square(np.diff(path64, axis=1))  # (pairs, steps - 1)
    straight = _root_mean_square(path64[:, -1] - path64[:, 0])  # (pairs,)
    moved = straight > _ROUNDING * np.abs(path64).max(initial=0.0)
    step, straight = step[moved], straight[moved]
    return step.max(axis=1) / step.mean(axis=1), step.sum(axis=1) / straight


def _root_mean_square(difference: Float64s) -> Float64s:
    return np.asarray(np.sqrt(np.square(difference).mean(axis=-1)), dtype=np.float64)
