"""Principal component analysis: the linear baseline, exact and deterministic.

Two equations of the assignment use the letter alpha for two things. Equation (1) encodes,
alpha_i = (x - mu) · v_i: a *score*, in the data's units, with variance lambda_i. Equation (2) generates,
x = mu + sum_i alpha_i sqrt(lambda_i) v_i: here alpha_i is a *standardised* score, alpha_i / sqrt(lambda_i)
of equation (1), with variance 1. Feed the one into the other and the reconstruction comes out worse than
the mean image (MNIST, 2 components: 0.0708 against 0.0675). And its sum over i = 0..K has K + 1 terms, so
dim3 = K + 1.

Here codes are the scores of equation (1): `decode` adds mu + sum_i z_i v_i, and `generate` is equation (2).

Pearson 1901; Jolliffe, Principal Component Analysis, 2nd ed. 2002.
"""

from __future__ import annotations

import weakref
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from .base import Array, Labels, OnEpoch, Reducer, Rows
from .lazy import sklearn

CLIPPED_EACH, CLIPPED_MORE = 32, 30  # dim3 at which the clipped error is measured
TICKS_REACH = 2.5  # standard deviations each way on the latent plane


@final
class PCA(Reducer):
    """Projection on the dim3 eigenvectors of the covariance matrix with the largest eigenvalues."""

    takes_float64 = True

    def __init__(self, *, dim3: int) -> None:
        self.dim3 = dim3

    def fit(
        self,
        x: Rows,
        y: Labels | None = None,
        *,
        x_val: Rows | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Eigendecompose the covariance of x (N, dim1), in float64; see `Reducer.fit`.

        The solver is named, because on fewer than 7,840 rows scikit-learn's "auto" may pick the
        randomized one, and then two fits of the same data differ.
        """
        self.check(x)
        fitted, self.reused = decompose(x)
        self.mean = fitted.mean_.astype(x.dtype)  # mu: (dim1,)
        # All eigenvalues, (min(N, dim1),): this one fit knows the training error of every dim3.
        # Rounding leaves values of a rank-deficient covariance a hair below 0.
        self.spectrum: npt.NDArray[np.float64] = np.maximum(fitted.explained_variance_, 0.0)
        self.components = fitted.components_[: self.dim3].astype(np.float32)  # v: (dim3, dim1)
        return self

    def check(self, x: Rows) -> None:
        """Raise ValueError where dim3 is more than x has rows or columns."""
        if self.dim3 > min(x.shape):
            raise ValueError(f"PCA with dim3 {self.dim3} needs as many rows and columns, got {x.shape}")

    def encode(self, x: Rows) -> Array:
        """Scores alpha_i = (x - mu) · v_i, equation (1): (N, dim3) of (N, dim1)."""
        z: Array = (x - self.mean).astype(np.float32, copy=False) @ self.components.T
        return z

    def decode(self, z: Array) -> Rows:
        """The inverse of equation (1), mu + sum_i z_i v_i: (N, dim1) of scores (N, dim3)."""
        x: Rows = self.mean + z @ self.components
        return x

    def generate(self, alpha: Array) -> Rows:
        """Equation (2): mu + sum_i alpha_i sqrt(lambda_i) v_i, (N, dim1) of standardised scores (N, dim3)."""
        return self.decode(alpha * self._deviations())

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Equation (2) with alpha from N(0, I): the Gaussian that PCA fits to the data, (n, dim1)."""
        return self.generate(rng.standard_normal((n, self.dim3), dtype=np.float32))

    def axis_ticks(self, scores: Array, n: int) -> Array:
        """Plus and minus 2.5 standard deviations, in scores: equation (2) along one component."""
        reach = TICKS_REACH * float(scores.std(dtype=np.float64))
        return np.linspace(-reach, reach, n, dtype=np.float32)

    def parameter_count(self) -> int:
        """The mean and the components: dim1 · (dim3 + 1)."""
        return int(self.mean.size + self.components.size)

    def facts(self) -> dict[str, str]:
        """The output is linear, the data centred by the training mean, and the decomposition new or not."""
        made = "reused from an earlier fit of the same rows" if self.reused else "made by this fit"
        return {"output": "linear", "scaling": "centred by the training mean", "decomposition": made}

    def _deviations(self) -> Array:
        deviations: Array = np.sqrt(self.spectrum[: self.dim3]).astype(np.float32)
        return deviations  # sqrt(lambda): (dim3,)


def errors_by_dim3(x: Rows, x_test: Rows, *, clip: bool) -> npt.NDArray[np.float64]:
    """The mean squared error on x_test (N_test, dim1) of PCA fitted on x (N, dim1) for every dim3: (K + 1, 2).

    K is min(N, dim1); row 0 is the mean image's error. The first column is of the reconstructions as they are:
    what the scores of the first dim3 components leave of the squared distance to the mean. The second, nan
    without `clip`, is of those cut off to [0, 1]; it is measured at every dim3 to 32 and at 30 more, between
    which its logarithm is linear.
    """
    fitted, _ = decompose(x)
    centred = x_test - fitted.mean_  # (N_test, dim1)
    scores = centred @ fitted.components_.T  # (N_test, K)
    kept = np.append(0.0, np.cumsum((scores**2).mean(axis=0)))
    raw = np.maximum((centred**2).sum(axis=1).mean() - kept, 0.0) / x.shape[1]
    most = len(raw) - 1
    if not clip:
        return np.column_stack([raw, np.full_like(raw, np.nan)])
    places = np.unique([*range(min(CLIPPED_EACH, most) + 1), *np.geomspace(1, most, CLIPPED_MORE).round().astype(int)])
    picture, errors = np.broadcast_to(fitted.mean_, x_test.shape).astype(np.float32), []
    for before, dim3 in zip([0, *places[:-1]], places, strict=True):
        more = scores[:, before:dim3].astype(np.float32) @ fitted.components_[before:dim3].astype(np.float32)
        picture = picture + more
        errors.append(((picture.clip(0, 1) - x_test) ** 2).mean(dtype=np.float64))
    logs = np.log(np.maximum(errors, np.finfo(float).tiny))
    return np.column_stack([raw, np.exp(np.interp(np.arange(most + 1), places, logs))])


# The decomposition last made of rows that can't change, by those rows: one serves every dim3 of a study.
_last: list[tuple[weakref.ref[Rows], Any]] = []


def decompose(x: Rows) -> tuple[Any, bool]:
    """All components of x (N, dim1), and whether they were there already.

    Only read-only rows are remembered, by identity: a study's, which are mapped from files.
    """
    if not x.flags.writeable:
        for rows, fitted in _last:
            if rows() is x:
                return fitted, True
    solver = "covariance_eigh" if len(x) >= x.shape[1] else "full"
    mean = x.mean(axis=0, dtype=np.float64)
    # Centred here: covariance_eigh takes E[x x'] - mean mean', which far from 0 is rounding.
    # copy=False: it may work in the float64 rows that were made for it; a second copy is 345 MB on MNIST
    fitted = sklearn.decomposition.PCA(svd_solver=solver, copy=False).fit(x - mean)
    fitted.mean_ += mean
    if not x.flags.writeable:
        _last[:] = [(weakref.ref(x), fitted)]
    return fitted, False
