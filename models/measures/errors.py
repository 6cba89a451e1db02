"""Errors and divergences, each with one definition for every model.

Squared errors are means over rows and pixels, in the data's units, summed in float64: the one error by
which models are compared. Divergences are in nats per row and are never compared across models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..base import Array, Rows

Float64s = npt.NDArray[np.float64]

ACTIVE_UNIT_VARIANCE = 0.01  # Burda, Grosse & Salakhutdinov 2016, section 5.2
BLOCK = 2**20  # values of which there are float64 copies at a time


def row_mse(x: Rows, x_hat: Rows) -> Float64s:
    """Mean squared error of each row, (N,) float64, of x and x_hat (N, dim1)."""
    if x.shape != x_hat.shape:
        raise ValueError(f"x has shape {x.shape}, its reconstruction {x_hat.shape}")
    errors = np.empty(len(x))
    for rows in _blocks(x):
        errors[rows] = np.square(x[rows].astype(np.float64) - x_hat[rows]).mean(axis=1)
    return errors


def reconstruction_mse(x: Rows, x_hat: Rows) -> float:
    """Mean over rows and pixels of (x - x_hat)^2, a float64."""
    return float(row_mse(x, x_hat).mean())


def constant_mse(x: Rows, row: Rows) -> float:
    """The error of always answering `row` (dim1,) to x (N, dim1); of the training mean: what there is to explain."""
    return reconstruction_mse(x, np.broadcast_to(row, x.shape))


def near_one(x: Rows, of: Rows) -> Array:
    """Rows x (n, dim1) about a mean of the rows `of` (N, dim1), in units of about their spread, in float32.

    So squares neither overflow nor vanish, and no distance is lost in |a|^2 - 2 a·b + |b|^2. The unit is a power
    of two, which changes no digit; a thousand of the rows give both.
    """
    some = of[:: max(1, len(of) // 1000)].astype(np.float64)
    spread = float(np.sqrt(some.var(axis=0).mean())) or 1.0
    near = x - some.mean(axis=0).astype(of.dtype)
    near /= 2.0 ** np.frexp(spread)[1]
    rows: Array = near.astype(np.float32, copy=False)
    return rows


def explained_variance(error: float, total: float) -> float:
    """1 - SSE / SS, of a model's error and that of always answering the training mean.

    0 for a model that knows only the mean row, 1 for a perfect one, NaN where every row is the mean.
    """
    return 1.0 - error / total if total > 0 else float("nan")


def kl_standard_normal(mean: Array, log_var: Array) -> Float64s:
    """KL(N(mean, exp(log_var)) || N(0, I)) of each row in nats, (N,), from (N, dim3) both."""
    return np.asarray(kl_by_latent(mean, log_var).sum(axis=1), dtype=np.float64)


def kl_by_latent(mean: Array, log_var: Array) -> Float64s:
    """The same before it is summed over latents: (N, dim3).

    Kingma & Welling 2014, appendix B: 1/2 (mean_j^2 + exp(log_var_j) - 1 - log_var_j).
    """
    m, v = mean.astype(np.float64), log_var.astype(np.float64)
    return np.asarray(0.5 * (m**2 + np.exp(v) - 1.0 - v), dtype=np.float64)


def bernoulli_nats(x: Rows, logits: Array) -> Float64s:
    """Binary cross-entropy of each row in nats, summed over pixels, (N,), from (N, dim1) both.

    On grey pixels it has a floor above 0 (45.5 nats on MNIST's test images, what a perfect
    reconstruction would cost) and is no log-likelihood.
    """
    nats = np.empty(len(x))
    for rows in _blocks(x):
        t = logits[rows].astype(np.float64)
        # log(1 + exp(t)) without logaddexp, for which there is no vector code
        softplus = np.maximum(t, 0.0) + np.log1p(np.exp(-np.abs(t)))
        nats[rows] = (softplus - x[rows] * t).sum(axis=1)
    return nats


def active_units(mean: Array) -> int:
    """How many of the dim3 latents move with the data: variance of the mean over rows > 0.01.

    mean (N, dim3): the encoder's means. Burda, Grosse & Salakhutdinov 2016, section 5.2.
    """
    return int((mean.astype(np.float64).var(axis=0) > ACTIVE_UNIT_VARIANCE).sum())


def _blocks(x: Array) -> list[slice]:
    """The rows of x (N, dim1) in blocks: float64 copies of a whole data set never exist."""
    rows = max(1, BLOCK // x.shape[1])
    return [slice(start, start + rows) for start in range(0, len(x), rows)]
