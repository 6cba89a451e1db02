"""A model of scaled rows, as one of the rows themselves."""

from dataclasses import asdict

import numpy as np

from elbowroom.models import PCA, Scaled, restored
from elbowroom.tracking.config import RunConfig

RNG = np.random.default_rng(0)
CENTER, SCALE = np.array([1e9, -2.0, 0.0]), np.array([1e6, 1.0, 1e-3])
X = CENTER + SCALE * (RNG.normal(size=(50, 2)) @ RNG.normal(size=(2, 3)))  # of rank 2


def test_all_dimensions_give_the_rows_back_in_their_own_units() -> None:
    model = Scaled(PCA(dim3=2), CENTER, SCALE).fit(X)
    assert np.abs((model.reconstruct(X) - X) / SCALE).max() < 1e-5
    assert np.array_equal(model.encode(X), model.model.encode(((X - CENTER) / SCALE).astype(np.float32)))


def test_samples_have_the_units_of_the_rows() -> None:
    drawn = Scaled(PCA(dim3=2), CENTER, SCALE).fit(X).sample(2000, np.random.default_rng(0))
    assert np.allclose(drawn.mean(axis=0), X.mean(axis=0), atol=0.1 * SCALE)
    assert np.allclose(drawn.std(axis=0), X.std(axis=0), rtol=0.1)


def test_the_state_restores_either_kind() -> None:
    scaled = ((X - CENTER) / SCALE).astype(np.float32)
    inner = PCA(dim3=2).fit(scaled)
    settings = asdict(RunConfig(model="pca")) | {"dim1": 3}
    whole = restored("pca", settings, Scaled(inner, CENTER, SCALE).state())
    assert isinstance(whole, Scaled)
    assert np.array_equal(whole.encode(X), inner.encode(scaled))
    assert isinstance(restored("pca", settings, inner.state()), PCA)
