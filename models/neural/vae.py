"""The variational autoencoder: a distribution of codes for each row, and a prior to sample from.

Kingma & Welling 2014; the weight beta on the KL term: Higgins et al. 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
import scipy
import torch
from torch import Tensor, nn

from ..base import Array, Diagnostics, ElboTerms, Rows
from ..measures.errors import Float64s, bernoulli_nats, kl_by_latent, row_mse
from .layers import FF
from .reducer import EVAL_SEED, TorchReducer
from .training import Objective, Training

_LARGE_BETA = 1e6  # a larger beta is the cause of gradients that overflow
_WEIGHTED_DRAWS, _WEIGHTED_ROWS = 64, 1000  # of the importance-weighted bound; test rows at most


@final
class VAE(TorchReducer):
    """The autoencoder's stack with an encoder that gives the mean and the log-variance of a normal code.

    z = mean + exp(log_var / 2) · noise. The objective is the negative ELBO per row, in nats: the reconstruction term,
    summed over pixels, plus beta times the KL divergence to N(0, I), summed over dim3, averaged over the batch. The
    reconstruction term is the binary cross-entropy (loss `bce`), or half the summed squared error, which is a Gaussian
    of unit variance up to a constant (loss `mse`). An average over pixels beside a summed KL is a common mistake: the
    KL term dominates, and every latent collapses.

    The code of a row is its mean, so `decode(mean)` is the reconstruction.
    """

    default_lr = 1e-2  # measured on these layers: docs/performance.md

    def __init__(self, *, dim2: int, dim3: int, beta: float, loss: str, output: str, training: Training) -> None:
        super().__init__(dim3=dim3, loss=loss, output=output, training=training)
        self.dim2, self.beta = dim2, beta

    def architecture(self, dim1: int) -> tuple[nn.Module, nn.Module]:
        """Return the autoencoder's layers, with an encoder output twice as wide: mean, then log-variance."""
        return FF(dim1, self.dim2, 2 * self.dim3), FF(self.dim3, self.dim2, dim1)

    def default_loss(self, output: str) -> str:
        """Return `bce` for an output of `sigmoid`, else `mse`."""
        return "bce" if output == "sigmoid" else "mse"

    def codes_of(self, encoded: Tensor) -> Tensor:
        """Return the mean, (B, dim3) of (B, 2 · dim3)."""
        return encoded[:, : self.dim3]

    def objective(self, x: Tensor, noise: torch.Generator) -> Objective:
        """Return -ELBO in nats per row of a batch x (B, dim1), with the terms `recon`, `kl` and `elbo` (beta = 1)."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)  # (B, dim3) each
        eps = torch.randn(mean.shape, generator=noise, device=mean.device)
        raw = self.decoder(mean + torch.exp(0.5 * log_var) * eps)  # (B, dim1)
        recon = self.reconstruction(raw, x)
        if self.loss == "mse":
            recon = recon * (0.5 * x.shape[1])
        kl = 0.5 * (mean**2 + log_var.exp() - 1.0 - log_var).sum(dim=1).mean()
        return Objective(recon + self.beta * kl, {"recon": recon, "kl": kl, "elbo": -(recon + kl)})

    def advice(self, first: Mapping[str, Tensor], rows: int) -> str:
        """Return what to change, and the term that is too large in the first batch, if one is."""
        recon, kl = first["recon"].item(), first["kl"].item()
        terms = {"recon": (recon, "lr"), "kl": (kl, "lr"), "beta · kl": (self.beta * kl, "beta")}
        largest = torch.finfo(torch.float32).max / rows / 10  # other batches may have a larger kl than the first
        for term, (value, cause) in terms.items():
            if not abs(value) <= largest:
                return f", with {term} at {value:.3g}; try a smaller --{cause}"
        return "; try a smaller --beta" if self.beta > _LARGE_BETA else super().advice(first, rows)

    def posterior(self, x: Rows) -> tuple[Array, Array]:
        """Return mean and log-variance of the normal code of each row: (N, dim3) each, of x (N, dim1)."""
        encoded = self._in_blocks(lambda b: self.encoder(self._to_modules(b)), x)
        mean, log_var = np.split(encoded, 2, axis=1)
        return mean, log_var

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Return decode(z) for z from N(0, I): (n, dim1)."""
        return self.decode(rng.standard_normal((n, self.dim3), dtype=np.float32))

    def axis_ticks(self, scores: Array, n: int) -> Array:
        """Return quantiles (n,) of the standard normal: each image represents the same share of the prior."""
        quantiles: Array = scipy.special.ndtri(np.linspace(0.5 / n, 1 - 0.5 / n, n)).astype(np.float32)
        return quantiles

    def elbo_terms(self, x: Rows) -> ElboTerms:
        """Return the terms of the ELBO (beta 1) of each row of x (N, dim1); the same draw for the same number of rows.

        The likelihood is Bernoulli where the output is a sigmoid, for either trained loss; else Gaussian of unit
        variance in the units of the modules, without its constant.
        """
        mean, log_var = self.posterior(x)
        noise = np.random.default_rng(EVAL_SEED).standard_normal(mean.shape, dtype=np.float32)
        return ElboTerms(self._nats(x, mean + np.exp(0.5 * log_var) * noise), kl_by_latent(mean, log_var))

    def extra_diagnostics(self, x: Rows, x_test: Rows) -> Diagnostics:
        """Return the importance-weighted bound with 64 draws, mean over at most 1,000 rows of x_test (N_test, dim1).

        `weighted_bound` has the likelihood of `elbo_terms`, `weighted_bound_se` is its standard error over rows.
        `weighted_elbo` is the ELBO of the same rows by the same draws, which no row's bound is below. Burda, Grosse &
        Salakhutdinov 2016.
        """
        rows = np.random.default_rng(EVAL_SEED).permutation(len(x_test))[:_WEIGHTED_ROWS]
        weights = self._log_weights(x_test[rows])
        bound = scipy.special.logsumexp(weights, axis=0) - np.log(_WEIGHTED_DRAWS)
        numbers = {"weighted_bound": float(bound.mean()), "weighted_elbo": float(weights.mean())}
        if len(rows) > 1:
            numbers["weighted_bound_se"] = float(bound.std(ddof=1)) / len(rows) ** 0.5
        return Diagnostics(numbers, {}, {})

    def _log_weights(self, x: Rows) -> Float64s:
        """log(p(x|z) p(z) / q(z|x)) of 64 draws z for each row, (64, N), of x (N, dim1)."""
        mean, log_var = self.posterior(x)
        rng = np.random.default_rng(EVAL_SEED)
        logs = np.empty((_WEIGHTED_DRAWS, len(x)))
        for draw in logs:
            noise = rng.standard_normal(mean.shape, dtype=np.float32)
            z = mean + np.exp(0.5 * log_var) * noise
            prior_over_posterior = 0.5 * (np.square(noise) + log_var - np.square(z)).sum(axis=1, dtype=np.float64)
            draw[:] = prior_over_posterior - self._nats(x, z)
        return logs

    def _nats(self, x: Rows, z: Array) -> Float64s:
        """The reconstruction term (N,) of x (N, dim1) decoded from z (N, dim3)."""
        if self.output == "sigmoid":
            return bernoulli_nats(x, self.logits(z))
        return np.asarray(row_mse(x, self.decode(z)) * self.dim1 / (2 * self.scale**2))
