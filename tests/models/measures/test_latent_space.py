"""Measures of the map between rows and codes, where the map is linear, constant or known."""

import numpy as np
import pytest

from elbowroom.models import PCA, Reducer
from elbowroom.models.measures.errors import row_mse
from elbowroom.models.measures.latent_space import (
    _LENGTHS,
    Neighbourhoods,
    interpolate,
    robustness,
    smoothness,
    trustworthiness,
)


def draw(seed: int, rows: int = 600, columns: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32)


X = draw(0) * np.linspace(2, 0.2, 10, dtype=np.float32) + 3


class Decoder(Reducer):
    """Two codes, the first two columns, and rows made of them by a function."""

    def __init__(self, function):
        self.function = function

    def fit(self, x, y=None, *, x_val=None, on_epoch=None):
        return self

    def encode(self, x):
        return x[:, :2].copy()

    def decode(self, z):
        return self.function(z).astype(np.float32)

    def sample(self, n, rng):
        return self.decode(rng.standard_normal((n, 2)))


def constant(z: np.ndarray) -> np.ndarray:
    return np.full((len(z), 10), 0.3)


def on_a_circle(z: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(np.pi * z[:, 0]), np.sin(np.pi * z[:, 0])], axis=1)


def test_neighbours_are_kept_by_the_identity_and_by_chance_alone() -> None:
    assert trustworthiness(X, 2 * X) == (1, 1)
    chance = trustworthiness(X, draw(1, columns=2))
    assert 0.45 < chance.trustworthiness < 0.6
    assert 0.45 < chance.continuity < 0.6


def test_a_fold_is_less_trustworthy_and_a_tear_less_continuous() -> None:
    line = np.linspace(-1, 1, 301, dtype=np.float32)[:, None]
    fold = trustworthiness(line, np.abs(line))
    tear = trustworthiness(np.abs(line), line)
    assert fold.continuity > 0.98 > 0.7 > fold.trustworthiness
    assert tear == fold[::-1]


def test_neighbourhoods_of_few_rows_have_fewer_neighbours_or_no_number() -> None:
    assert trustworthiness(X[:20], X[:20]) == (1, 1)
    assert trustworthiness(X[:19], X[:19]) == Neighbourhoods(None, None)
    mixed = np.concatenate([X[:50], draw(1)])
    assert trustworthiness(mixed, np.concatenate([X[:50], draw(2)]), rows=50) == (1, 1)


@pytest.mark.parametrize("dim3", [1, 4])
def test_a_linear_decoder_loses_the_square_of_the_push(dim3: int) -> None:
    model = PCA(dim3=dim3).fit(X)
    got = robustness(model, X, np.random.default_rng(0))
    assert got.dtype == np.float64
    assert got[:, 0].tolist() == list(_LENGTHS)
    u = np.random.default_rng(0).standard_normal((len(X), dim3))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    pushed = np.square(model.encode(X).std(axis=0, dtype=np.float64) * u).sum(axis=1) / 10  # (N,), at r = 1
    at_0 = row_mse(X, model.reconstruct(X))
    assert got[:, 1] == pytest.approx(at_0.mean() + got[:, 0] ** 2 * pushed.mean(), rel=1e-5)
    spread = [(at_0 + r**2 * pushed).std(ddof=1) / np.sqrt(len(X)) for r in _LENGTHS]
    assert got[:, 2] == pytest.approx(np.array(spread), rel=1e-4)
    # Over all directions the mean of u_j^2 is 1 / dim3.
    wanted = at_0.mean() + 9 * model.encode(X).var(axis=0).mean() / 10
    assert got[-1, 1] == pytest.approx(wanted, rel=0.05)


def test_a_constant_decoder_is_as_wrong_everywhere_and_the_first_rows_are_taken() -> None:
    got = robustness(Decoder(constant), X, np.random.default_rng(0), lengths=(0, 5), rows=100)
    error = row_mse(X[:100], constant(X[:100]).astype(np.float32))
    assert got[:, 1] == pytest.approx(error.mean())
    assert got[:, 2] == pytest.approx(error.std(ddof=1) / 10)
    assert np.isfinite(robustness(Decoder(constant), X[:1], np.random.default_rng(0))).all()


def test_lines_through_pca_are_even_and_straight() -> None:
    model = PCA(dim3=3).fit(X)
    z = model.encode(X)
    path = interpolate(model, z[:40], z[40:80], steps=7)
    assert path.shape == (40, 7, 10)
    assert path.dtype == np.float32
    assert np.allclose(path[:, 0], model.decode(z[:40]), atol=1e-6)
    assert np.allclose(path[:, -1], model.decode(z[40:80]), atol=1e-6)
    assert np.allclose(path[:, 3], (path[:, 0] + path[:, -1]) / 2, atol=1e-5)
    got = smoothness(path)
    assert got.largest_step == pytest.approx(np.ones(40), abs=1e-5)
    assert got.detour == pytest.approx(np.ones(40), abs=1e-5)


def test_a_half_circle_is_even_and_a_detour() -> None:
    z = np.zeros((2, 2), np.float32)
    path = interpolate(Decoder(on_a_circle), z, z + 1, steps=101)
    got = smoothness(path)
    assert got.largest_step == pytest.approx(np.ones(2), abs=1e-3)
    assert got.detour == pytest.approx(np.full(2, np.pi / 2), abs=1e-3)


def test_a_jump_is_one_large_step() -> None:
    path = interpolate(Decoder(lambda z: z[:, :1] > 0.55), np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32))
    assert smoothness(path).largest_step.tolist() == [10]
    assert smoothness(path).detour.tolist() == [1]


def test_pairs_that_go_nowhere_are_left_out() -> None:
    collapsed = smoothness(interpolate(Decoder(constant), draw(0)[:5, :2], draw(1)[:5, :2]))
    assert collapsed.largest_step.shape == collapsed.detour.shape == (0,)
    model = PCA(dim3=2).fit(X)
    z = model.encode(X)
    assert smoothness(interpolate(model, z[:3], z[[0, 5, 2]])).detour.shape == (1,)
