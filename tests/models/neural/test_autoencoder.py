"""The autoencoders: their layers, their error beside PCA's, and the Gaussian they sample from."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from elbowroom.models import PCA, build
from elbowroom.models.measures.errors import bernoulli_nats, reconstruction_mse
from tests.models.neural.test_training import SIGNED, X_VAL, X, train
from tests.models.test_contract import SETTINGS


def low_rank(rows: int, rank: int) -> np.ndarray:
    """Signed rows of 15 numbers: that rank, and a little noise in every direction."""
    rng = np.random.default_rng(4)
    signal = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, 15))
    return (signal + 0.2 * rng.standard_normal((rows, 15)) + 3).astype(np.float32)


@pytest.mark.parametrize("k", [2, 20])
def test_the_assignments_models_are_784_400_k(k: int) -> None:
    x = np.random.default_rng(0).random((32, 784), dtype=np.float32)
    fitted: dict[str, Any] = {
        name: build(name, SETTINGS | {"dim1": 784, "dim2": 400, "dim3": k}).fit(x)
        for name in ("ae", "vae", "linear-ae")
    }
    outer = (784 * 400 + 400) + (k * 400 + 400) + (400 * 784 + 784)
    assert {name: model.parameter_count() for name, model in fitted.items()} == {
        "ae": outer + (400 * k + k),
        "vae": outer + 2 * (400 * k + k),
        "linear-ae": (784 * k + k) + (k * 784 + 784),
    }
    model = fitted["ae"]
    kinds = [type(m) for m in [*model.encoder.main, *model.decoder.main]]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear] * 2
    widths = [(m.in_features, m.out_features) for m in [*model.encoder.main, *model.decoder.main] if hasattr(m, "bias")]
    assert widths == [(784, 400), (400, k), (k, 400), (400, 784)]


def test_encode_and_decode_are_the_layers_by_hand() -> None:
    model, _ = train("ae")
    w = {name.removeprefix("weights/"): array for name, array in model.state().items()}

    def layers(part: str, x: np.ndarray) -> np.ndarray:
        hidden = np.maximum(x @ w[f"{part}.main.0.weight"].T + w[f"{part}.main.0.bias"], 0)
        return hidden @ w[f"{part}.main.2.weight"].T + w[f"{part}.main.2.bias"]

    z = layers("encoder", X_VAL)
    assert np.allclose(model.encode(X_VAL), z, atol=1e-5)
    assert np.allclose(model.reconstruct(X_VAL), 1 / (1 + np.exp(-layers("decoder", z))), atol=1e-5)


def test_a_linear_autoencoder_is_affine_and_never_a_sigmoid() -> None:
    model, _ = train("linear-ae")
    assert model.facts()["output"] == "linear"
    between = model.reconstruct((X[:100] + X[100:200]) / 2)
    assert np.allclose(between, (model.reconstruct(X[:100]) + model.reconstruct(X[100:200])) / 2, atol=1e-5)


def test_a_linear_autoencoder_spans_the_subspace_of_pca() -> None:
    x = low_rank(600, 3)
    model, _ = train("linear-ae", x, None, dim3=3, lr=1e-2, epochs=60)
    pca = PCA(dim3=3).fit(x)
    ratio = reconstruction_mse(x, model.reconstruct(x)) / reconstruction_mse(x, pca.reconstruct(x))
    assert 1 - 1e-6 < ratio < 1.02
    basis, _ = np.linalg.qr(model.decoder.weight.detach().numpy())  # (15, 3), columns orthonormal
    cosines = np.linalg.svd(pca.components @ basis, compute_uv=False)  # of the angles between the two subspaces
    assert (cosines > 0.995).all()


@pytest.mark.parametrize("dim3", [1, 3])
def test_samples_come_from_the_gaussian_of_the_codes(dim3: int) -> None:
    model, _ = train("linear-ae", SIGNED, None, dim3=dim3)
    codes = model.encode(SIGNED).astype(np.float64)
    assert np.allclose(model.code_mean, codes.mean(axis=0), atol=1e-5)
    assert np.allclose(model.code_cov, np.cov(codes, rowvar=False), rtol=1e-4)
    sample = model.sample(100_000, np.random.default_rng(0))
    weight = model.decoder.weight.detach().numpy().astype(np.float64) * model.scale  # of an affine decoder
    centre = model.decode(codes.mean(axis=0, keepdims=True))[0]
    cov = weight @ model.code_cov @ weight.T
    assert np.allclose(sample.mean(axis=0), centre, atol=0.02 * np.sqrt(cov.max()))
    assert np.allclose(np.cov(sample, rowvar=False), cov, atol=0.02 * cov.max())


def test_bce_is_told_where_the_output_is_a_sigmoid() -> None:
    model, _ = train("ae")
    logits = torch.logit(torch.from_numpy(model.reconstruct(X_VAL))).numpy()
    assert model.extra_metrics(X_VAL) == {"bce": pytest.approx(bernoulli_nats(X_VAL, logits).mean(), rel=1e-4)}
    assert train("linear-ae")[0].extra_metrics(X_VAL) == {}


@pytest.mark.parametrize(("loss", "fact"), [("auto", "mse"), ("mse", "mse"), ("bce", "bce")])
def test_the_loss_is_mse_unless_bce_is_asked_for(loss: str, fact: str) -> None:
    model, epochs = train("ae", loss=loss)
    assert model.facts()["loss"] == fact
    wanted = reconstruction_mse(X_VAL, model.reconstruct(X_VAL)) if fact == "mse" else model.extra_metrics(X_VAL)["bce"]
    assert epochs[-1].metrics["val/loss"] == pytest.approx(wanted, rel=1e-5)
