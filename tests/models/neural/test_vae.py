"""The VAE: its objective, its measures and its prior, against formulas written out."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_expit, logsumexp
from scipy.stats import multivariate_normal

from elbowroom.models.measures.errors import active_units, reconstruction_mse
from elbowroom.models.neural.reducer import EVAL_SEED
from tests.models.neural.test_training import SIGNED, X_VAL, X, train


def moments(model: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log-variance, (N, dim3) float64 each, from the encoder itself."""
    with torch.no_grad():
        rows = torch.from_numpy((x - model.mean) / np.float32(model.scale))
        mean, log_var = np.split(model.encoder(rows).numpy().astype(np.float64), 2, axis=1)
    return mean, log_var


def kl(mean: np.ndarray, log_var: np.ndarray) -> float:
    return float(0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1).mean())


@pytest.mark.parametrize(("x", "loss", "fact"), [(X, "auto", "bce"), (X, "mse", "mse"), (SIGNED, "auto", "mse")])
def test_the_code_is_the_mean_and_auto_is_resolved(x: np.ndarray, loss: str, fact: str) -> None:
    model, _ = train("vae", x, None, loss=loss)
    assert model.facts()["loss"] == fact
    mean, _ = moments(model, x)
    assert np.allclose(model.encode(x), mean, atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_the_parts_of_every_epoch_add_up_and_the_elbo_is_at_beta_1(beta: float, loss: str) -> None:
    for m in (e.metrics for e in train("vae", beta=beta, loss=loss)[1]):
        assert m["val/kl"] > 0
        assert m["val/loss"] == pytest.approx(m["val/recon"] + beta * m["val/kl"], rel=1e-5)
        assert m["val/elbo"] == pytest.approx(-(m["val/recon"] + m["val/kl"]), rel=1e-5)


def test_the_noise_moves_the_objective_and_not_the_reconstruction() -> None:
    model, _ = train("vae")
    x = torch.from_numpy(X_VAL)
    first, again, other = (model.objective(x, torch.Generator().manual_seed(s)).loss.item() for s in (0, 0, 1))
    assert first == again != other
    assert np.array_equal(model.reconstruct(X_VAL), model.decode(moments(model, X_VAL)[0].astype(np.float32)))


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_the_measures_are_bernoulli_under_a_sigmoid_whatever_was_trained(loss: str) -> None:
    model, epochs = train("vae", loss=loss)
    terms, mean, log_var = model.elbo_terms(X_VAL), *moments(model, X_VAL)
    eps = np.random.default_rng(EVAL_SEED).standard_normal(mean.shape, dtype=np.float32)

    def nats(z: np.ndarray) -> np.ndarray:
        p = model.decode(z.astype(np.float32)).astype(np.float64)
        return -(X_VAL * np.log(p) + (1 - X_VAL) * np.log1p(-p)).sum(axis=1)

    assert terms.recon == pytest.approx(nats(mean + np.exp(log_var / 2) * eps), rel=1e-5)
    assert terms.kl.sum(axis=1).mean() == pytest.approx(kl(mean, log_var), rel=1e-5)
    assert terms.kl.sum(axis=1).mean() == pytest.approx(epochs[-1].metrics["val/kl"], rel=1e-4)
    assert terms.elbo == pytest.approx(-terms.recon - terms.kl[:, 0] - terms.kl[:, 1])
    assert model.extra_metrics(X_VAL) == {"bce": pytest.approx(nats(mean).mean(), rel=1e-5)}


def test_the_measures_of_signed_data_have_no_bce() -> None:
    model, epochs = train("vae", SIGNED, SIGNED[:200])
    assert model.extra_metrics(SIGNED[:200]) == {}
    elbo = model.elbo_terms(SIGNED[:200]).elbo.mean()
    mean, log_var = moments(model, SIGNED[:200])
    eps = np.random.default_rng(EVAL_SEED).standard_normal(mean.shape, dtype=np.float32)
    error = SIGNED[:200] - model.decode((mean + np.exp(log_var / 2) * eps).astype(np.float32))
    recon = (error.astype(np.float64) ** 2).sum(axis=1).mean() / (2 * model.scale**2)
    assert elbo == pytest.approx(-(recon + kl(mean, log_var)), rel=1e-5)
    assert elbo == pytest.approx(epochs[-1].metrics["val/elbo"], rel=0.02)  # another draw of the same


def test_samples_are_decoded_from_the_standard_normal() -> None:
    model, _ = train("vae", dim3=3)
    z = np.random.default_rng(3).standard_normal((5, 3), dtype=np.float32)
    assert np.array_equal(model.sample(5, np.random.default_rng(3)), model.decode(z))


def test_an_encoder_that_says_nothing_has_no_kl() -> None:
    model, _ = train("vae", dim2=64, lr=1e-2, epochs=20)
    assert (model.elbo_terms(X_VAL).kl.mean(axis=0) > 0.5).all()
    for parameter in model.encoder.main[2].parameters():
        parameter.data.zero_()
    assert (model.elbo_terms(X_VAL).kl == 0).all()
    assert (model.encode(X_VAL) == 0).all()


@pytest.mark.parametrize(
    ("rows", "loss", "beta"), [(X, "bce", 1.0), (X, "mse", 1.0), (X, "bce", 4.0), (SIGNED, "mse", 3.0)]
)
def test_the_objective_is_its_formula_in_the_units_of_the_modules(rows: np.ndarray, loss: str, beta: float) -> None:
    model, _ = train("vae", rows, None, loss=loss, beta=beta)
    x = torch.from_numpy((rows[:50] - model.mean) / np.float32(model.scale))
    got = model.objective(x, torch.Generator().manual_seed(7))
    mean, log_var = model.encoder(x)[:, :2], model.encoder(x)[:, 2:]
    eps = torch.randn(mean.shape, generator=torch.Generator().manual_seed(7))
    raw = model.decoder(mean + eps * (log_var / 2).exp())
    p = raw if model.output == "linear" else raw.sigmoid()
    nats = -(x * p.log() + (1 - x) * (1 - p).log()) if loss == "bce" else (x - p) ** 2 / 2
    kl = (mean**2 + log_var.exp() - 1 - log_var).sum() / 2 / 50
    assert got.parts["kl"].item() == pytest.approx(kl.item(), rel=1e-4)
    assert got.loss.item() == pytest.approx((nats.sum() / 50 + beta * kl).item(), rel=1e-5)
    assert got.parts["elbo"].item() == pytest.approx(-(nats.sum() / 50 + kl).item(), rel=1e-5)


def test_a_vae_whose_kl_outweighs_everything_collapses() -> None:
    model, _ = train("vae", beta=100.0, epochs=60, lr=1e-2)
    assert model.elbo_terms(X_VAL).kl.mean(axis=0).sum() < 0.01
    assert active_units(model.encode(X_VAL)) == 0
    mean_image = reconstruction_mse(X_VAL, np.broadcast_to(X.mean(axis=0), X_VAL.shape))
    assert reconstruction_mse(X_VAL, model.reconstruct(X_VAL)) == pytest.approx(mean_image, rel=0.05)


def linear_gaussian(widened: float) -> tuple[Any, np.ndarray, np.ndarray]:
    """A VAE whose decoder is W z + b, rows drawn from it, and their log-likelihoods without the normal constant.

    The columns of W are orthogonal, so the posterior is normal with independent latents. The encoder has its mean, and
    its log-variance plus `widened`.
    """
    rng = np.random.default_rng(0)
    w = np.linalg.qr(rng.standard_normal((4, 2)))[0] * [2.0, 0.5]  # (dim1, dim3)
    b = rng.standard_normal(4)
    variance = 1 / (1 + np.square(w).sum(axis=0))  # of the posterior
    x = rng.standard_normal((800, 2)) @ w.T + b + rng.standard_normal((800, 4))
    model, _ = train("vae", x.astype(np.float32), None, dim1=4, dim2=8, dim3=2, epochs=1)
    model.mean, model.scale = np.zeros(4, np.float32), 1.0
    a = variance[:, None] * w.T  # of the posterior's mean a (x - b); relu(t) - relu(-t) = t
    layers = [
        (model.encoder.main[0], np.vstack([np.eye(4), -np.eye(4)]), np.zeros(8)),
        (
            model.encoder.main[2],
            np.vstack([np.hstack([a, -a]), np.zeros((2, 8))]),
            np.append(-a @ b, np.log(variance) + widened),
        ),
        (model.decoder.main[0], np.vstack([np.eye(2), -np.eye(2), np.zeros((4, 2))]), np.zeros(8)),
        (model.decoder.main[2], np.hstack([w, -w, np.zeros((4, 4))]), b),
    ]
    for layer, weight, bias in layers:
        layer.weight.data = torch.from_numpy(weight.astype(np.float32))
        layer.bias.data = torch.from_numpy(bias.astype(np.float32))
    likelihood = multivariate_normal(b, w @ w.T + np.eye(4)).logpdf(x) + 2 * np.log(2 * np.pi)
    return model, x.astype(np.float32), likelihood


def test_with_the_exact_posterior_the_weighted_bound_is_the_likelihood_of_each_row() -> None:
    model, x, likelihood = linear_gaussian(widened=0.0)
    assert model._log_weights(x) == pytest.approx(np.tile(likelihood, (64, 1)), abs=1e-4)
    assert model.elbo_terms(x).elbo.mean() == pytest.approx(likelihood.mean(), abs=0.15)  # one draw


def test_with_another_posterior_the_weighted_bound_lies_between_elbo_and_likelihood() -> None:
    model, x, likelihood = linear_gaussian(widened=1.5)
    numbers = model.extra_diagnostics(x, x).numbers
    divergence = np.exp(1.5) - 1 - 1.5  # of two latents: 1.98 nats
    elbo = model.elbo_terms(x).elbo.mean()
    assert elbo == pytest.approx(likelihood.mean() - divergence, abs=0.3)
    assert elbo + 0.9 * divergence < numbers["weighted_bound"] < likelihood.mean()
    assert numbers["weighted_bound_se"] == pytest.approx(likelihood.std() / 800**0.5, rel=0.05)
    assert numbers["weighted_elbo"] == pytest.approx(likelihood.mean() - divergence, abs=0.05)  # of 64 draws


def test_of_many_rows_a_thousand_are_weighted() -> None:
    model, x, likelihood = linear_gaussian(widened=0.0)
    numbers = model.extra_diagnostics(x, np.concatenate([x, x])).numbers
    rows = np.random.default_rng(EVAL_SEED).permutation(1600)[:1000]
    wanted = np.tile(likelihood, 2)[rows].mean()
    assert (numbers["weighted_bound"], numbers["weighted_elbo"]) == pytest.approx((wanted, wanted), abs=1e-4)


def test_the_weighted_bound_of_pixels_lies_between_elbo_and_likelihood() -> None:
    model, _ = train("vae", dim3=1, dim2=32, lr=1e-2, epochs=10)
    z = np.linspace(-8, 8, 2001, dtype=np.float32)[:, None]
    logits = model.logits(z).astype(np.float64)
    joint = X_VAL @ log_expit(logits).T + (1 - X_VAL) @ log_expit(-logits).T - z.T**2 / 2 - np.log(2 * np.pi) / 2
    likelihood = logsumexp(joint + np.log(16 / 2000), axis=1).mean()
    elbo, bound = model.elbo_terms(X_VAL).elbo.mean(), model.extra_diagnostics(X, X_VAL).numbers["weighted_bound"]
    assert elbo < bound < likelihood
    assert bound == pytest.approx(likelihood, abs=0.05)
