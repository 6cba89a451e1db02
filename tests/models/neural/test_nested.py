"""The autoencoder with ordered latents: their order where it is known, and the curve that one training gives."""

from typing import Any

import numpy as np
import pytest
import torch

from elbowroom.models import MODELS, PCA, build, gives_a_curve
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.models.neural.nested import _PEAK, NestedAutoencoder
from tests.models.neural.test_training import DIGITS, SIGNED, X_VAL, train
from tests.models.test_contract import SETTINGS, example

DEVIATIONS = (4.0, 2.0, 1.0)


@pytest.fixture(scope="module")
def toy() -> tuple[Any, np.ndarray]:
    """Rows of 8 numbers that fill three directions, unequally, and a model of four latents fitted to them."""
    rng = np.random.default_rng(0)
    directions, _ = np.linalg.qr(rng.standard_normal((8, 3)))
    x = (rng.standard_normal((1000, 3)) * DEVIATIONS @ directions.T + 1).astype(np.float32)
    model, _ = train("nested-ae", x, None, dim1=8, dim2=64, dim3=4, epochs=60, lr=1e-2)
    return model, x


@pytest.fixture(scope="module")
def digits() -> Any:
    model, _ = train("nested-ae", DIGITS, None, dim2=64, dim3=8, epochs=60, lr=1e-2)
    return model


def test_the_latents_of_low_rank_data_come_out_in_the_order_of_their_directions(toy: tuple[Any, np.ndarray]) -> None:
    model, x = toy
    codes, scores = model.encode(x), PCA(dim3=3).fit(x).encode(x)
    correlations = np.abs(np.corrcoef(codes.T, scores.T)[:4, 4:])  # (latent, principal component)
    assert correlations[0].argmax() == 0
    assert correlations[0, 0] > 0.9
    errors = model.nested_errors(x)
    for k in (1, 2):  # for Gaussian rows no code of k numbers that is easily found is much better than PCA's
        wanted = reconstruction_mse(x, PCA(dim3=k).fit(x).reconstruct(x))
        assert 0.75 * wanted < errors[k - 1] < 1.15 * wanted
    assert errors[2] < 0.1 * errors[1]
    assert errors[3] < 0.1 * errors[1]


def test_the_last_of_the_curve_is_the_models_own_error(digits: Any) -> None:
    errors = digits.nested_errors(X_VAL)
    assert errors.shape == (8,)
    assert errors.dtype == np.float64
    assert errors[-1] == reconstruction_mse(X_VAL, digits.reconstruct(X_VAL))


def test_more_latents_never_err_more_and_each_is_about_as_good_as_pca(digits: Any) -> None:
    errors = digits.nested_errors(DIGITS)
    assert (np.diff(errors) <= 0.01 * errors[:-1]).all()
    assert errors[-1] < 0.5 * errors[0]
    pca = [reconstruction_mse(DIGITS, PCA(dim3=k).fit(DIGITS).reconstruct(DIGITS)) for k in range(1, 9)]
    assert (errors < np.array(pca) * 1.02).all()


def test_a_cut_is_zeros_and_flags_in_front_of_the_layers(digits: Any) -> None:
    """The decoder's output for a cut code, computed by hand."""
    z = digits.encode(X_VAL[:5])
    w = {name.removeprefix("weights/decoder.layers.main."): a for name, a in digits.state().items()}
    given = np.hstack([z[:, :3], np.zeros((5, 5)), np.zeros((5, 3)), np.ones((5, 5))])
    raw = np.maximum(given @ w["0.weight"].T + w["0.bias"], 0) @ w["2.weight"].T + w["2.bias"]
    np.testing.assert_allclose(digits.decode_first(z, 3), 1 / (1 + np.exp(-raw)), atol=1e-5)
    assert np.array_equal(digits.decode_first(z, 8), digits.decode(z))


@pytest.mark.parametrize("dim3", [1, 2, 32])
def test_cuts_go_from_1_to_all_and_are_drawn_in_proportion(dim3: int) -> None:
    model = build("nested-ae", SETTINGS | {"dim3": dim3})
    assert isinstance(model, NestedAutoencoder)
    counts = np.zeros(dim3)
    noise = torch.Generator().manual_seed(0)
    for _ in range(200):
        cuts = model.cuts(100, noise).numpy()
        assert cuts.min() >= 1
        assert cuts.max() <= dim3
        counts += np.bincount(cuts, minlength=dim3 + 1)[1:]
    k = np.arange(1, dim3 + 1)
    weights = k / (k**2 + _PEAK**2)
    np.testing.assert_allclose(counts / counts.sum(), weights / weights.sum(), rtol=0.1)


def test_the_curve_is_in_the_datas_units() -> None:
    """The modules see scaled rows, but the errors are in the units of the rows as they are given."""
    model, _ = train("nested-ae", SIGNED, None, dim3=3)
    errors = model.nested_errors(SIGNED)
    by_hand = [np.square(SIGNED - model.decode_first(model.encode(SIGNED), k)).mean() for k in (1, 2, 3)]
    np.testing.assert_allclose(errors, by_hand, rtol=1e-5)
    assert errors[0] > 0.3


def test_no_other_model_claims_a_curve() -> None:
    assert {name for name in MODELS if gives_a_curve(name)} == {"nested-ae"}
    for name in MODELS.keys() - {"nested-ae"}:
        x, settings = example(name)
        assert build(name, settings).fit(x).nested_errors(x) is None
    assert not gives_a_curve("tests.models.test_registry:noisy")  # a factory
