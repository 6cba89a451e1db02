"""Errors and divergences, with one definition for every model.

Squared errors are means over rows and columns, in the units of the data, summed in float64: models are compared by
these alone. Divergences are in nats per row and are not comparable across models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..base import Array, Rows

Float64s = npt.NDArray[np.float64]

_ACTIVE_UNIT_VARIANCE = 0.01  # Burda, Grosse & Salakhutdinov 2016, section 5.2
IN_USE_NATS = 0.05  # KL: 11 and 4 latents of two seeds have a variance above 0.01, and 4 and 4 this KL
_BLOCK = 2**20  # values that are copied to float64 at a time


def row_mse(x: Rows, x_hat: Rows) -> Float64s:
    """Return the mean squared error of each row, (N,), of x and x_hat (N, dim1). Raises ValueError for other shapes."""
    if x.shape != x_hat.shape:
        raise ValueError(f"x has shape {x.shape}, its reconstruction {x_hat.shape}")
    errors = np.empty(len(x))
    for rows in blocks(x):
        errors[rows] = np.square(x[rows].astype(np.float64) - x_hat[rows]).mean(axis=1)
    return errors


def column_mse(x: Rows, x_hat: Rows) -> Float64s:
    """Return the mean squared error of each column, (dim1,), of x and x_hat (N, dim1)."""
    total = np.zeros(x.shape[1])
    for rows in blocks(x):
        total += np.square(x[rows].astype(np.float64) - x_hat[rows]).sum(axis=0)
    return total / len(x)


def reconstruction_mse(x: Rows, x_hat: Rows) -> float:
    """Return the mean of (x - x_hat)^2 over rows and columns. Raises ValueError as `row_mse`."""
    return float(row_mse(x, x_hat).mean())


def constant_mse(x: Rows, row: Rows) -> float:
    """Return the error on x (N, dim1) of a constant prediction `row` (dim1,)."""
    return reconstruction_mse(x, np.broadcast_to(row, x.shape))


def rescaled(x: Rows, reference: Rows) -> Array:
    """Return rows x (n, dim1) as float32, centred and scaled by the rows `reference` (N, dim1).

    Squares of the result neither overflow nor underflow, and |a|^2 - 2 a·b + |b|^2 does not cancel. The scale is a
    power of two near the spread, so it changes no digit; a thousand rows determine it and the centre.
    """
    some = reference[:: max(1, len(reference) // 1000)].astype(np.float64)
    spread = float(np.sqrt(some.var(axis=0).mean())) or 1.0
    centred = x - some.mean(axis=0).astype(reference.dtype)
    centred /= 2.0 ** np.frexp(spread)[1]
    rows: Array = centred.astype(np.float32, copy=False)
    return rows


def explained_variance(error: float, total: float) -> float:
    """Return 1 - SSE / SS for a model's error and the `constant_mse` of the training mean, on the same rows.

    0 for a model that returns the mean row, 1 without errors, NaN where the total is 0.
    """
    return 1.0 - error / total if total > 0 else float("nan")


def kl_by_latent(mean: Array, log_var: Array) -> Float64s:
    """Return KL(N(mean, exp(log_var)) || N(0, 1)) of each row and latent in nats, for mean and log_var (N, dim3).

    Kingma & Welling 2014, appendix B: 1/2 (mean_j^2 + exp(log_var_j) - 1 - log_var_j).
    """
    m, v = mean.astype(np.float64), log_var.astype(np.float64)
    return np.asarray(0.5 * (m**2 + np.exp(v) - 1.0 - v), dtype=np.float64)


def bernoulli_nats(x: Rows, logits: Array) -> Float64s:
    """Return the binary cross-entropy of each row in nats, summed over columns, (N,), for x and logits (N, dim1).

    On grey pixels its minimum is above 0 (45.5 nats on MNIST's test images), so it is no log-likelihood.
    """
    nats = np.empty(len(x))
    for rows in blocks(x):
        t = logits[rows].astype(np.float64)
        # log(1 + exp(t)) without logaddexp, which has no vector code
        softplus = np.maximum(t, 0.0) + np.log1p(np.exp(-np.abs(t)))
        nats[rows] = (softplus - x[rows] * t).sum(axis=1)
    return nats


def active_units(mean: Array) -> int:
    """Return how many latents of the encoder's means (N, dim3) have a variance over rows above 0.01.

    Burda, Grosse & Salakhutdinov 2016, section 5.2.
    """
    return int((mean.astype(np.float64).var(axis=0) > _ACTIVE_UNIT_VARIANCE).sum())


def units_in_use(kl: Float64s) -> int:
    """Return how many latents have a KL, (dim3,), mean over rows, above IN_USE_NATS."""
    return int((kl > IN_USE_NATS).sum())


def blocks(x: Rows) -> list[slice]:
    """Return blocks of the rows of x (N, dim1), so that the whole data set is never copied to float64."""
    rows = max(1, _BLOCK // x.shape[1])
    return [slice(start, start + rows) for start in range(0, len(x), rows)]
