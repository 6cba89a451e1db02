"""What the map between rows and codes is like: what it keeps, how far it can be trusted, and whether it is one map.

`trustworthiness` asks whether neighbours stay neighbours, `robustness` what a push of a code does to its row,
`smoothness` whether the rows along a line of codes change evenly, and `refit` whether the axes that PCA finds are
there for others to find: the subspace is, to rounding; the sign of an axis is not.

Venna & Kaski 2001 (trustworthiness and continuity); Björck & Golub 1973 (principal angles);
Halko, Martinsson & Tropp 2011 (randomized SVD).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy

from ..base import Array, Reducer, Rows
from ..lazy import sklearn
from ..pca import decompose
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


class Refits(NamedTuple):
    """How other fits of PCA to the same rows differ; angles are the largest principal angle, in degrees."""

    again_degrees: float
    """Between two exact fits by the same program."""
    other_degrees: float
    """Between an exact fit and that of another program."""
    flipped: int
    """How many of the dim3 axes point the other way in the other program's fit."""
    other_codes: Array
    """(N_test, dim3): the test rows' codes by the other program."""
    randomized_degrees: float
    """Between two fits of scikit-learn's randomized solver that differ in the seed."""
    auto_solver: str
    """The solver that scikit-learn takes for these rows where none is named."""


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


def principal_angles(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> Float64s:
    """Angles in degrees, (dim3,), the largest first, between the subspaces that rows a and b (dim3, dim1) span.

    Through sines as well as cosines: a cosine alone can't tell an angle below 1e-6 degrees from 0.
    """
    radians = scipy.linalg.subspace_angles(a.T.astype(np.float64), b.T.astype(np.float64))
    return np.asarray(np.rad2deg(radians), dtype=np.float64)


def refit(x_train: Rows, x_test: Rows, dim3: int) -> Refits:
    """Fit PCA to x_train (N, dim1) again, by others, and see what of it is the same; codes are of x_test.

    The other exact program is `numpy.linalg.eigh` of the covariance matrix of the rows in reversed order, whose
    signs nobody fixes, where scikit-learn fixes its own. In float64, as in `models.pca`; the randomized solver and
    scikit-learn's own choice get the rows in float32, see `near_one`. Raises ValueError where dim3 is more than
    x_train has rows or columns.
    """
    first = decompose(x_train)[0].components_[:dim3]  # (dim3, dim1)
    again = decompose(x_train.copy())[0].components_[:dim3]  # a copy is not remembered, so this is a fit
    mean, other = _unfixed_axes(x_train, dim3)
    pca, near = sklearn.decomposition.PCA, near_one(x_train, x_train)
    randomized = [
        pca(n_components=dim3, svd_solver="randomized", random_state=seed).fit(near).components_ for seed in (0, 1)
    ]
    auto = pca(n_components=dim3, svd_solver="auto", random_state=0).fit(near)
    return Refits(
        again_degrees=float(principal_angles(first, again)[0]),
        other_degrees=float(principal_angles(first, other)[0]),
        flipped=int(((first * other).sum(axis=1) < 0).sum()),
        other_codes=((x_test - mean) @ other.T).astype(np.float32),
        randomized_degrees=float(principal_angles(*randomized)[0]),
        auto_solver=str(auto._fit_svd_solver),
    )


def _unfixed_axes(x: Rows, dim3: int) -> tuple[Float64s, Float64s]:
    """The mean (dim1,) and the dim3 principal axes (dim3, dim1), by numpy alone and from the last row to the first."""
    rows = x[::-1].astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    if len(rows) < rows.shape[1]:  # a matrix of dim1 · dim1 numbers could be too large to have
        return mean, np.linalg.svd(rows, full_matrices=False).Vh[:dim3]
    _, ascending = np.linalg.eigh(rows.T @ rows / max(len(rows) - 1, 1))
    return mean, ascending[:, ::-1][:, :dim3].T


def _root_mean_square(difference: Float64s) -> Float64s:
    """Over the last axis."""
    return np.asarray(np.sqrt(np.square(difference).mean(axis=-1)), dtype=np.float64)
