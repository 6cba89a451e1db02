"""The VAE: its objective, its measures and its prior, against formulas written out."""

from typing import Any

import numpy as np
import pytest
import torch

from elbowroom.models.measures.errors import reconstruction_mse
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
    got = model.extra_metrics(X_VAL)
    assert set(got) == {"elbo", "kl", "active_units", "bce"}
    mean, log_var = moments(model, X_VAL)
    eps = np.random.default_rng(EVAL_SEED).standard_normal(mean.shape, dtype=np.float32)

    def nats(z: np.ndarray) -> float:
        p = model.decode(z.astype(np.float32)).astype(np.float64)
        return float(-(X_VAL * np.log(p) + (1 - X_VAL) * np.log1p(-p)).sum(axis=1).mean())

    assert got["kl"] == pytest.approx(kl(mean, log_var), rel=1e-5)
    assert got["kl"] == pytest.approx(epochs[-1].metrics["val/kl"], rel=1e-4)
    assert got["bce"] == pytest.approx(nats(mean), rel=1e-5)
    assert got["elbo"] == pytest.approx(-(nats(mean + np.exp(log_var / 2) * eps) + got["kl"]), rel=1e-5)


def test_the_measures_of_signed_data_have_no_bce() -> None:
    model, epochs = train("vae", SIGNED, SIGNED[:200])
    got = model.extra_metrics(SIGNED[:200])
    assert set(got) == {"elbo", "kl", "active_units"}
    mean, log_var = moments(model, SIGNED[:200])
    eps = np.random.default_rng(EVAL_SEED).standard_normal(mean.shape, dtype=np.float32)
    error = SIGNED[:200] - model.decode((mean + np.exp(log_var / 2) * eps).astype(np.float32))
    recon = (error.astype(np.float64) ** 2).sum(axis=1).mean() / (2 * model.scale**2)
    assert got["elbo"] == pytest.approx(-(recon + kl(mean, log_var)), rel=1e-5)
    assert got["elbo"] == pytest.approx(epochs[-1].metrics["val/elbo"], rel=0.02)  # another draw of the same


def test_samples_are_decoded_from_the_standard_normal() -> None:
    model, _ = train("vae", dim3=3)
    z = np.random.default_rng(3).standard_normal((5, 3), dtype=np.float32)
    assert np.array_equal(model.sample(5, np.random.default_rng(3)), model.decode(z))


def test_an_encoder_that_says_nothing_has_no_kl_and_no_active_unit() -> None:
    model, _ = train("vae", dim2=64, lr=1e-2, epochs=20)
    told = model.extra_metrics(X_VAL)
    assert told["active_units"] == 2
    assert told["kl"] > 1
    for parameter in model.encoder.main[2].parameters():
        parameter.data.zero_()
    blank = model.extra_metrics(X_VAL)
    assert (blank["kl"], blank["active_units"]) == (0, 0)
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
    metrics = model.extra_metrics(X_VAL)
    assert metrics["kl"] < 0.01
    assert metrics["active_units"] == 0
    mean_image = reconstruction_mse(X_VAL, np.broadcast_to(X.mean(axis=0), X_VAL.shape))
    assert reconstruction_mse(X_VAL, model.reconstruct(X_VAL)) == pytest.approx(mean_image, rel=0.05)
