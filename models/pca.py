"""Principal component analysis: the linear baseline, exact and deterministic.

Pearson 1901; Jolliffe, Principal Component Analysis, 2nd ed. 2002. Principal angles: Björck & Golub 1973; randomized
solver: Halko, Martinsson & Tropp 2011.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Self, final

import numpy as np
import scipy

from .base import Array, Diagnostics, Labels, OnEpoch, Reducer, Rows, in_unit_interval
from .lazy_sklearn import sklearn
from .measures.errors import Float64s, blocks, rescaled

_CLIPPED_EACH, _CLIPPED_MORE = 32, 30  # dim3 at which the error of clipped reconstructions is computed
_TICKS_REACH = 2.5  # standard deviations in each direction on the latent plane


@final
class PCA(Reducer):
    """Projection on the dim3 eigenvectors v_i of the covariance matrix with the largest eigenvalues lambda_i.

    Codes are the scores of the assignment's equation (1), alpha_i = (x - mu) · v_i, with variance lambda_i. The alpha_i
    of its equation (2), `generate`, are standardised scores, with variance 1. Scores of (1) put into (2) reconstruct
    worse than the mean image. The sum over i = 0..K has K + 1 terms, so dim3 = K + 1.
    """

    takes_float64 = True

    def __init__(self, *, dim3: int) -> None:
        self.dim3 = dim3

    def fit(
        self, x: Rows, y: Labels | None = None, *, x_val: Rows | None = None, on_epoch: OnEpoch | None = None
    ) -> Self:
        """Decompose the covariance of x (N, dim1), in float64: see `Reducer.fit`. Raises ValueError as `check`."""
        self.check(x)
        fitted, self.reused = _decompose(x)
        self.mean = fitted.mean_.astype(x.dtype)  # mu: (dim1,)
        # All eigenvalues, (min(N, dim1),): one fit determines the training error of every dim3.
        # Rounding leaves values of a rank-deficient covariance slightly below 0.
        self.spectrum: Float64s = np.maximum(fitted.explained_variance_, 0.0)
        self.components = fitted.components_[: self.dim3].astype(np.float32)  # v: (dim3, dim1)
        return self

    def check(self, x: Rows) -> None:
        """Raise ValueError where dim3 exceeds the rows or columns of x."""
        if self.dim3 > min(x.shape):
            raise ValueError(f"PCA with dim3 {self.dim3} needs as many rows and columns, got {x.shape}")

    def encode(self, x: Rows) -> Array:
        """Return scores alpha_i = (x - mu) · v_i, equation (1): (N, dim3) of x (N, dim1)."""
        z: Array = (x - self.mean).astype(np.float32, copy=False) @ self.components.T
        return z

    def decode(self, z: Array) -> Rows:
        """Return the inverse of equation (1), mu + sum_i z_i v_i: (N, dim1) of scores (N, dim3)."""
        x: Rows = self.mean + z @ self.components
        return x

    def generate(self, alpha: Array) -> Rows:
        """Return equation (2), mu + sum_i alpha_i sqrt(lambda_i) v_i: (N, dim1) of standardised scores (N, dim3)."""
        deviations: Array = np.sqrt(self.spectrum[: self.dim3]).astype(np.float32)  # sqrt(lambda): (dim3,)
        return self.decode(alpha * deviations)

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Return equation (2) with alpha from N(0, I): draws (n, dim1) from the Gaussian that PCA fits to the data."""
        return self.generate(rng.standard_normal((n, self.dim3), dtype=np.float32))

    def axis_ticks(self, scores: Array, n: int) -> Array:
        """Return n scores (n,) from -2.5 to 2.5 standard deviations of `scores` (N,): equation (2) along one axis."""
        reach = _TICKS_REACH * float(scores.std(dtype=np.float64))
        return np.linspace(-reach, reach, n, dtype=np.float32)

    def parameter_count(self) -> int:
        """Return the size of the mean and the components, dim1 · (dim3 + 1)."""
        return int(self.mean.size + self.components.size)

    def facts(self) -> dict[str, str]:
        """Return output and scaling, which are fixed, and whether the decomposition came from the cache."""
        made = "reused from an earlier fit of the same rows" if self.reused else "made by this fit"
        return {"output": "linear", "scaling": "centred by the training mean", "decomposition": made}

    def extra_artifacts(self, x: Rows, x_test: Rows) -> dict[str, Float64s]:
        """Return `spectrum` (min(N, dim1),) and `pca_curve` (K + 1, 2), which is `errors_by_dim3`."""
        return {"spectrum": self.spectrum, "pca_curve": errors_by_dim3(x, x_test)}

    def validation_curve(self, x: Rows, x_val: Rows) -> Float64s:
        """Return the error on x_val (N_val, dim1) of PCA fitted to x, by dim3 from 0 to K = min(N, dim1): (K + 1, 2).

        The second column is the standard error over rows of the logarithm of the share left, R = sum e / sum b with the
        squared errors e of a row and b of the mean row. By the delta method it is that of the mean of e - R b, divided
        by the mean of e. Not finite where nothing is left, and with one row.
        """
        return _cached(_validation_curve, x, x_val)

    def extra_diagnostics(self, x: Rows, x_test: Rows) -> Diagnostics:
        """Return how much refits of x (N, dim1), by the same and by other programs, differ from this fit.

        Angles are the largest principal angles in degrees between two exact fits by scikit-learn (`again_degrees`),
        between one of them and numpy's (`other_degrees`), and between two fits of the randomized solver with different
        seeds (`randomized_degrees`). The signs of the axes are not determined: `flipped` counts those that differ in
        numpy's fit, whose codes of x_test are `other_codes` (N_test, dim3). `auto_solver` is scikit-learn's default.
        """
        first = _decompose(x)[0].components_[: self.dim3]  # (dim3, dim1)
        again = _decompose(x.copy())[0].components_[: self.dim3]  # a writable copy bypasses the cache
        mean, other = _numpy_axes(x, self.dim3)
        pca, near = sklearn.decomposition.PCA, rescaled(x, x)
        randomized = [
            pca(n_components=self.dim3, svd_solver="randomized", random_state=seed).fit(near).components_
            for seed in (0, 1)
        ]
        auto = pca(n_components=self.dim3, svd_solver="auto", random_state=0).fit(near)
        numbers = {
            "again_degrees": _degrees(first, again),
            "other_degrees": _degrees(first, other),
            "flipped": float(((first * other).sum(axis=1) < 0).sum()),
            "randomized_degrees": _degrees(*randomized),
        }
        other_codes = ((x_test - mean) @ other.T).astype(np.float32)
        return Diagnostics(numbers, {"other_codes": other_codes}, {"auto_solver": str(auto._fit_svd_solver)})


# The latest decomposition of read-only rows: one serves every dim3 of a study.
_cached_fit: list[tuple[weakref.ref[Rows], Any]] = []


def _decompose(x: Rows) -> tuple[Any, bool]:
    """All components of x (N, dim1) as scikit-learn's fitted PCA, and whether they come from the cache.

    Only the decomposition of read-only rows is cached, by their identity: a study maps its rows from files.
    """
    if not x.flags.writeable:
        for rows, fitted in _cached_fit:
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
        _cached_fit[:] = [(weakref.ref(x), fitted)]
    return fitted, False


_Curve = Callable[[Rows, Rows], Float64s]
# The latest curve of each kind of read-only rows: every PCA run of a study has the same.
_cached_curves: dict[_Curve, tuple[weakref.ref[Rows], weakref.ref[Rows], Float64s]] = {}


def _cached(curve: _Curve, x: Rows, held_out: Rows) -> Float64s:
    """curve(x, held_out), computed once for rows that are read-only."""
    if curve in _cached_curves:
        rows, rows_held_out, known = _cached_curves[curve]
        if rows() is x and rows_held_out() is held_out:
            return known
    found = curve(x, held_out)
    if not (x.flags.writeable or held_out.flags.writeable):
        _cached_curves[curve] = (weakref.ref(x), weakref.ref(held_out), found)
    return found


def errors_by_dim3(x: Rows, x_test: Rows) -> Float64s:
    """Return the mean squared errors on x_test (N_test, dim1) of PCA fitted to x (N, dim1), from one decomposition.

    Of shape (K + 1, 2), by dim3 from 0, the mean row's, to K = min(N, dim1). The first column comes from what the
    leading scores leave of the squared distance to the mean. The second is of reconstructions clipped to [0, 1],
    computed at every dim3 to 32 and at 30 more, log-linear between these, and NaN where x does not lie in [0, 1].
    """
    return _cached(_errors_by_dim3, x, x_test)


def _errors_by_dim3(x: Rows, x_test: Rows) -> Float64s:
    fitted, _ = _decompose(x)
    centred = x_test - fitted.mean_  # (N_test, dim1)
    scores = centred @ fitted.components_.T  # (N_test, K)
    kept = np.append(0.0, np.cumsum((scores**2).mean(axis=0)))
    raw = np.maximum((centred**2).sum(axis=1).mean() - kept, 0.0) / x.shape[1]
    most = len(raw) - 1
    if not in_unit_interval(x):
        return np.column_stack([raw, np.full_like(raw, np.nan)])
    some = np.geomspace(1, most, _CLIPPED_MORE).round().astype(int)
    places = np.unique([*range(min(_CLIPPED_EACH, most) + 1), *some])
    rebuilt, errors = np.broadcast_to(fitted.mean_, x_test.shape).astype(np.float32), []
    for before, dim3 in zip([0, *places[:-1]], places, strict=True):
        more = scores[:, before:dim3].astype(np.float32) @ fitted.components_[before:dim3].astype(np.float32)
        rebuilt = rebuilt + more
        errors.append(((rebuilt.clip(0, 1) - x_test) ** 2).mean(dtype=np.float64))
    logs = np.log(np.maximum(errors, np.finfo(float).tiny))
    return np.column_stack([raw, np.exp(np.interp(np.arange(most + 1), places, logs))])


def _validation_curve(x: Rows, x_val: Rows) -> Float64s:
    fitted, _ = _decompose(x)
    rows = len(x_val)
    sums = np.zeros((3, len(fitted.components_) + 1))  # over rows, of e, e^2 and e b; at dim3 0 e is b
    for block in blocks(x_val):
        centred = x_val[block] - fitted.mean_  # (n, dim1)
        b = np.square(centred).sum(axis=1, keepdims=True)  # (n, 1)
        kept = np.square(centred @ fitted.components_.T).cumsum(axis=1)  # (n, K)
        e = np.maximum(np.hstack([b, b - kept]), 0)  # (n, K + 1)
        sums += np.stack([e.sum(axis=0), np.square(e).sum(axis=0), (e * b).sum(axis=0)])
    e_sum, e_squares, e_b = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        left = e_sum / e_sum[0]
        squares = e_squares - 2 * left * e_b + left**2 * e_b[0]  # of e - R b, whose mean is 0
        log_error = np.sqrt(np.maximum(squares, 0) / (rows - 1) * rows) / e_sum
    return np.column_stack([e_sum / x_val.size, log_error])


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
