"""Each measure against a number worked out by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from elbowroom.models.measures.errors import (
    active_units,
    bernoulli_nats,
    column_mse,
    constant_mse,
    explained_variance,
    kl_by_latent,
    reconstruction_mse,
    row_mse,
    units_in_use,
)

A = np.array([[0, 0], [1, 3]], dtype=np.float32)
B = np.array([[1, 1], [1, 1]], dtype=np.float32)


def test_squared_error() -> None:
    assert row_mse(A, B).tolist() == [1.0, 2.0]
    assert reconstruction_mse(A, B) == 1.5
    assert row_mse(A, B).dtype == np.float64
    assert column_mse(A, B).tolist() == [0.5, 2.5]
    with pytest.raises(ValueError, match=r"x has shape \(2, 2\), its reconstruction \(1, 2\)"):
        row_mse(A, B[:1])


@pytest.mark.parametrize("n", [1, 1047, 1048, 1049, 2100])
def test_blocks_of_rows_are_the_plain_formula(n: int) -> None:
    x, x_hat = np.random.default_rng(0).standard_normal((2, n, 1000)).astype(np.float32)
    squares = (x.astype(np.float64) - x_hat) ** 2
    assert np.array_equal(row_mse(x, x_hat), squares.mean(axis=1))
    assert column_mse(x, x_hat) == pytest.approx(squares.mean(axis=0))


def test_explained_variance_is_0_for_the_mean_and_1_for_perfection() -> None:
    mean = A.mean(axis=0)
    total = constant_mse(A, mean)
    assert total == 1.25  # (.25 + 2.25) · 2 / 4
    assert explained_variance(reconstruction_mse(A, np.broadcast_to(mean, A.shape)), total) == 0
    assert explained_variance(0.0, total) == 1
    assert explained_variance(reconstruction_mse(A, B), total) == pytest.approx(1 - 1.5 / 1.25)
    assert math.isnan(explained_variance(0.0, constant_mse(B, B[0])))  # every row is the mean


def test_kl_to_the_standard_normal() -> None:
    zero = np.zeros((1, 3), dtype=np.float32)
    assert kl_by_latent(zero, zero).tolist() == [[0, 0, 0]]
    one = np.ones((1, 1), dtype=np.float32)
    assert kl_by_latent(one, one)[0, 0] == pytest.approx(0.5 * (1 + math.e - 1 - 1), rel=1e-6)
    mean = np.array([[3, 0], [0, -1]], dtype=np.float32)
    log_var = np.log(np.array([[1, 4], [1, 1]], dtype=np.float32))
    assert kl_by_latent(mean, log_var) == pytest.approx(np.array([[4.5, 1.5 - math.log(2)], [0, 0.5]]), rel=1e-6)


def test_bernoulli_nats() -> None:
    x = np.array([[1.0, 0.0]], dtype=np.float32)
    assert bernoulli_nats(x, np.zeros((1, 2), np.float32))[0] == pytest.approx(2 * math.log(2))
    assert bernoulli_nats(x, np.array([[-1e4, 0]], np.float32))[0] == pytest.approx(1e4 + math.log(2))
    assert bernoulli_nats(x, np.array([[1e4, -1e4]], np.float32))[0] == 0
    assert bernoulli_nats(x, np.array([[1e4, 1e4]], np.float32))[0] == 1e4
    grey = np.array([[0.25]], np.float32)
    logit = np.array([[math.log(0.25 / 0.75)]], np.float32)  # a perfect answer, at the floor: the entropy
    assert bernoulli_nats(grey, logit)[0] == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75), rel=1e-6)


def test_nats_are_those_of_torch() -> None:
    rng = np.random.default_rng(0)
    x, logits = rng.random((7, 5), np.float32), 4 * rng.standard_normal((7, 5), np.float32)
    t = F.binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(x), reduction="none")
    assert bernoulli_nats(x, logits) == pytest.approx(t.sum(dim=1).numpy(), rel=1e-5)


def test_active_units() -> None:
    codes = np.array([[0.0, -0.09, -0.11], [0.0, 0.09, 0.11]], dtype=np.float32)  # variances 0, .0081, .0121
    assert active_units(codes) == 1


def test_units_in_use() -> None:
    assert units_in_use(np.array([0.0, 0.049, 0.051, 3.0])) == 2
