"""The training loop, and the models trained by it, on data small enough to know the answer."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from models import PCA, Diverged, Epoch, Reducer, build
from models.fitting import streams
from models.metrics import reconstruction_mse
from tests.models.test_contract import SETTINGS

DIGITS = (load_digits().data / 16).astype(np.float32)
X, X_VAL = DIGITS[:1000], DIGITS[1000:1200]
SIGNED = 5 * X - 2


def train(model: str, x: np.ndarray = X, x_val: np.ndarray | None = X_VAL, **settings: Any) -> tuple[Any, list[Epoch]]:
    epochs: list[Epoch] = []
    built = build(model, SETTINGS | {"dim1": 64, "epochs": 3, "batch_size": 64} | settings)
    built.fit(x, x_val=x_val, on_epoch=epochs.append)
    return built, epochs


def series(epochs: list[Epoch], name: str) -> list[float]:
    return [e.metrics[name] for e in epochs]


@pytest.mark.parametrize("model", ["ae", "linear-ae", "vae"])
def test_the_seed_decides_every_bit(model: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a, b, c = (train(model, seed=s)[1] for s in (0, 0, 1))
    assert series(a, "train/loss") == series(b, "train/loss")
    assert series(a, "train/loss") != series(c, "train/loss")
    assert torch.equal(torch.get_rng_state(), before)  # the caller's generator is left as it was


def test_three_streams_from_one_seed() -> None:
    assert len(set(streams(0))) == 3
    assert streams(0) == streams(0)
    assert set(streams(0)).isdisjoint(streams(1))


def test_epochs_and_metrics() -> None:
    _, epochs = train("vae")
    assert [(e.number, e.total) for e in epochs] == [(1, 3), (2, 3), (3, 3)]
    assert set(epochs[0].metrics) == {"train/loss", "val/loss", "val/mse", "val/recon", "val/kl", "val/elbo"}
    assert epochs[0].metrics["val/loss"] == pytest.approx(-epochs[0].metrics["val/elbo"])  # beta is 1
    assert set(train("ae", x_val=None)[1][0].metrics) == {"train/loss"}


def test_validation_error_is_that_of_the_deterministic_reconstruction_in_the_datas_units() -> None:
    for x, x_val in ((X, X_VAL), (SIGNED, 5 * X_VAL - 2)):
        model, epochs = train("vae", x, x_val)
        wanted = reconstruction_mse(x_val, model.reconstruct(x_val))
        assert epochs[-1].metrics["val/mse"] == pytest.approx(wanted, rel=1e-4)


def test_one_scale_for_all_columns_where_the_data_leave_the_unit_interval() -> None:
    model, _ = train("ae", SIGNED)
    assert model.facts()["output"] == "linear"
    assert np.allclose(model.mean, SIGNED.mean(axis=0), atol=1e-6)
    assert model.scale == pytest.approx(float(np.sqrt(SIGNED.var(axis=0).mean())), rel=1e-5)
    assert train("ae")[0].facts()["output"] == "sigmoid"


def test_patience_stops_and_keeps_the_best_epoch() -> None:
    model, epochs = train("ae", lr=0.3, epochs=200, patience=3)
    losses = series(epochs, "val/loss")
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 200
    assert reconstruction_mse(X_VAL, model.reconstruct(X_VAL)) == pytest.approx(losses[best], rel=1e-4)


def test_a_loss_that_is_no_number_names_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    x = X.copy()
    x[0, 0] = np.nan
    with pytest.raises(Diverged, match="training loss became nan in epoch 1"):
        train("linear-ae", x)


def test_bce_outside_the_unit_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss bce needs .* lie in \[-2, 3\]"):
        train("vae", SIGNED, loss="bce")
    with pytest.raises(ValueError, match="device 'mars' is not available here; allowed: auto, cpu"):
        train("ae", device="mars")


def test_a_linear_autoencoder_reaches_the_error_of_pca() -> None:
    model, _ = train("linear-ae", lr=1e-2, epochs=60, dim3=5)
    pca: Reducer = PCA(dim3=5).fit(X)
    ratio = reconstruction_mse(X, model.reconstruct(X)) / reconstruction_mse(X, pca.reconstruct(X))
    assert 1 <= ratio < 1.01


def test_the_autoencoder_has_the_assignments_layers() -> None:
    model, _ = train("ae", dim2=40, dim3=3)
    assert model.parameter_count() == (64 * 40 + 40) + (40 * 3 + 3) + (3 * 40 + 40) + (40 * 64 + 64)
    assert model.sample(5000, np.random.default_rng(0)).shape == (5000, 64)
    assert np.allclose(model.code_mean, model.encode(X).mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(("loss", "beta"), [("bce", 1.0), ("mse", 1.0), ("bce", 4.0)])
def test_the_vaes_objective_is_its_formula(loss: str, beta: float) -> None:
    model, _ = train("vae", loss=loss, beta=beta)
    x = torch.from_numpy(X[:50])
    got = model.objective(x, torch.Generator().manual_seed(7))
    mean, log_var = model.encoder(x)[:, :2], model.encoder(x)[:, 2:]
    eps = torch.randn(mean.shape, generator=torch.Generator().manual_seed(7))
    p = torch.sigmoid(model.decoder(mean + eps * (log_var / 2).exp()))
    nats = -(x * p.log() + (1 - x) * (1 - p).log()) if loss == "bce" else (x - p) ** 2 / 2
    kl = (mean**2 + log_var.exp() - 1 - log_var).sum() / 2 / 50
    assert got.loss.item() == pytest.approx((nats.sum() / 50 + beta * kl).item(), rel=1e-5)
    assert got.parts["elbo"].item() == pytest.approx(-(nats.sum() / 50 + kl).item(), rel=1e-5)
    assert np.array_equal(model.reconstruct(X[:3]), model.decode(model.encode(X[:3])))


def test_a_vae_whose_kl_outweighs_everything_collapses() -> None:
    model, _ = train("vae", beta=100.0, epochs=60, lr=1e-2)
    metrics = model.extra_metrics(X_VAL)
    assert metrics["kl"] < 0.01
    assert metrics["active_units"] == 0
    mean_image = reconstruction_mse(X_VAL, np.broadcast_to(X.mean(axis=0), X_VAL.shape))
    assert reconstruction_mse(X_VAL, model.reconstruct(X_VAL)) == pytest.approx(mean_image, rel=0.05)
