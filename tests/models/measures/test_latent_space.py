"""Measures of the map between rows and codes, where the map is linear, constant or known."""

import numpy as np
import pytest

from elbowroom.models import PCA, Reducer
from elbowroom.models.measures import latent_space
from elbowroom.models.measures.errors import row_mse
from elbowroom.models.measures.latent_space import (
    _LENGTHS,
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
    assert trustworthiness(X, draw(1, columns=2)) == pytest.approx((0.52, 0.52), abs=0.08)


def test_a_fold_is_less_trustworthy_and_a_tear_less_continuous() -> None:
    line = np.linspace(-1, 1, 301, dtype=np.float32)[:, None]
    fold = trustworthiness(line, np.abs(line))
    assert fold == (pytest.approx(0.6, abs=0.1), pytest.approx(1, abs=0.02))
    assert trustworthiness(np.abs(line), line) == fold[::-1]


def test_neighbourhoods_of_few_rows_have_fewer_neighbours_or_no_number() -> None:
    assert trustworthiness(X[:20], X[:20]) == (1, 1)
    assert trustworthiness(X[:19], X[:19]) is None


def test_the_first_rows_alone_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_space, "_MOST", 50)
    monkeypatch.setattr(latent_space, "_PERTURBED", 100)
    assert trustworthiness(np.concatenate([X[:50], draw(1)]), np.concatenate([X[:50], draw(2)])) == (1, 1)
    first, all_rows = (robustness(Decoder(constant), x) for x in (X[:100], X))
    assert np.array_equal(first, all_rows)


@pytest.mark.parametrize("dim3", [1, 4])
def test_a_linear_decoder_loses_the_square_of_the_push(dim3: int) -> None:
    model = PCA(dim3=dim3).fit(X)
    got = robustness(model, X)
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


def test_a_constant_decoder_is_as_wrong_everywhere() -> None:
    got = robustness(Decoder(constant), X)
    error = row_mse(X, constant(X).astype(np.float32))
    assert got[:, 1] == pytest.approx(error.mean())
    assert got[:, 2] == pytest.approx(error.std(ddof=1) / np.sqrt(600))
    assert np.isfinite(robustness(Decoder(constant), X[:1])).all()


def test_lines_through_pca_are_even_and_straight() -> None:
    model = PCA(dim3=3).fit(X)
    z = model.encode(X)
    path = interpolate(model, z[:80].reshape(2, 40, 3))
    assert path.shape == (40, 11, 10)
    assert path.dtype == np.float32
    assert np.allclose(path[:, 0], model.decode(z[:40]), atol=1e-6)
    assert np.allclose(path[:, -1], model.decode(z[40:80]), atol=1e-6)
    assert np.allclose(path[:, 5], (path[:, 0] + path[:, -1]) / 2, atol=1e-5)
    np.testing.assert_allclose(smoothness(path), np.ones((2, 40)), atol=1e-5)


def test_a_half_circle_is_even_and_a_detour() -> None:
    path = interpolate(Decoder(on_a_circle), np.stack([np.zeros((2, 2)), np.ones((2, 2))]))
    np.testing.assert_allclose(smoothness(path), [[1, 1], [np.pi / 2, np.pi / 2]], atol=1e-2)


def test_a_jump_is_one_large_step() -> None:
    ends = np.stack([np.zeros((1, 2)), np.ones((1, 2))])
    assert smoothness(interpolate(Decoder(lambda z: z[:, :1] > 0.55), ends)) == ([10], [1])


def test_pairs_that_go_nowhere_are_left_out() -> None:
    largest_step, detour = smoothness(interpolate(Decoder(constant), draw(0)[:10, :2].reshape(2, 5, 2)))
    assert len(largest_step) == len(detour) == 0
    model = PCA(dim3=2).fit(X)
    z = model.encode(X)
    assert len(smoothness(interpolate(model, z[[[0, 1, 2], [0, 5, 2]]]))[1]) == 1
