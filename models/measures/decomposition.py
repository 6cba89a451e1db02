"""Principal axes of rows: one decomposition that is cached, and how much refits of the same rows differ from it.

Björck & Golub 1973 (principal angles); Halko, Martinsson & Tropp 2011 (randomized SVD).
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import scipy

from ..base import Diagnostics, Rows
from ..lazy import sklearn
from .errors import Float64s, rescaled

# The latest decomposition of read-only rows: one serves every dim3 of a study.
_cached: list[tuple[weakref.ref[Rows], Any]] = []


def decompose(x: Rows) -> tuple[Any, bool]:
    """All components of x (N, dim1) as scikit-learn's fitted PCA, and whether they come from the cache.

    Only the decomposition of read-only rows is cached, by their identity: a study maps its rows from files.
    """
    if not x.flags.writeable:
        for rows, fitted in _cached:
            if rows() is x:
                return fitted, True
    # The solver is named: on fewer than 7,840 rows "auto" may select the randomized one, and two fits differ.
    solver = "covariance_eigh" if len(x) >= x.shape[1] else "full"
    mean = x.mean(axis=0, dtype=np.float64)
    # Centred here: covariance_eigh computes E[x x'] - mean mean', which cancels far from 0.
    # copy=False: scikit-learn may overwrite the float64 rows made here; a second copy is 345 MB on MNIST.
    fitted = sklearn.decomposition.PCA(svd_solver=solver, copy=False).fit(x - mean)
    fitted.mean_ += mean
    if not x.flags.writeable:
        _cached[:] = [(weakref.ref(x), fitted)]
    return fitted, False


def refit(x_train: Rows, x_test: Rows, dim3: int) -> Diagnostics:
    """Fit PCA again, by the same and by other programs, and compare the fits by their largest principal angle.

    The rows determine the subspace of the leading axes, to rounding, and not the sign of each axis. The other exact
    program is `numpy.linalg.eigh` of the covariance matrix of the rows in reversed order, which fixes no signs. Exact
    fits are made in float64; the randomized solver and scikit-learn's default get the rows in float32, see `rescaled`.

    Parameters
    ----------
    x_train : (N, dim1)
        Rows to fit.
    x_test : (N_test, dim1)
        Rows to encode.
    dim3 : int
        Number of leading axes to compare.

    Returns
    -------
    Diagnostics
        Angles in degrees between two exact fits by scikit-learn (`again_degrees`), between one of them and numpy's
        (`other_degrees`), and between two fits of scikit-learn's randomized solver with different seeds
        (`randomized_degrees`); how many axes have the opposite sign in numpy's fit (`flipped`), and its codes of the
        test rows (`other_codes`, (N_test, dim3)); the solver that scikit-learn selects by default (`auto_solver`).

    Raises
    ------
    ValueError
        Where dim3 exceeds the rows or columns of x_train.
    """
    first = decompose(x_train)[0].components_[:dim3]  # (dim3, dim1)
    again = decompose(x_train.copy())[0].components_[:dim3]  # a writable copy bypasses the cache
    mean, other = _numpy_axes(x_train, dim3)
    pca, near = sklearn.decomposition.PCA, rescaled(x_train, x_train)
    randomized = [
        pca(n_components=dim3, svd_solver="randomized", random_state=seed).fit(near).components_ for seed in (0, 1)
    ]
    auto = pca(n_components=dim3, svd_solver="auto", random_state=0).fit(near)
    numbers = {
        "again_degrees": _degrees(first, again),
        "other_degrees": _degrees(first, other),
        "flipped": float(((first * other).sum(axis=1) < 0).sum()),
        "randomized_degrees": _degrees(*randomized),
    }
    other_codes = ((x_test - mean) @ other.T).astype(np.float32)
    return Diagnostics(numbers, {"other_codes": other_codes}, {"auto_solver": str(auto._fit_svd_solver)})


def _degrees(a: Rows, b: Rows) -> float:
    """The largest principal angle between the subspaces that rows a and b (dim3, dim1) span."""
    return float(np.rad2deg(scipy.linalg.subspace_angles(a.T.astype(np.float64), b.T.astype(np.float64))[0]))


def _numpy_axes(x: Rows, dim3: int) -> tuple[Float64s, Float64s]:
    """The mean (dim1,) and the dim3 leading axes (dim3, dim1) of x (N, dim1) in reversed row order, by numpy."""
    rows = x[::-1].astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    if len(rows) < rows.shape[1]:  # a dim1 · dim1 matrix could exceed the memory
        return mean, np.linalg.svd(rows, full_matrices=False).Vh[:dim3]
    _, ascending = np.linalg.eigh(rows.T @ rows / max(len(rows) - 1, 1))
    return mean, ascending[:, ::-1][:, :dim3].T
