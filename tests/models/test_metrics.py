"""Each measure against a number worked out by hand."""

import math

import numpy as np
import pytest

from models.metrics import (
    active_units,
    bernoulli_nats,
    explained_variance,
    kl_standard_normal,
    reconstruction_mse,
    row_mse,
)

A = np.array([[0, 0], [1, 3]], dtype=np.float32)
B = np.array([[1, 1], [1, 1]], dtype=np.float32)


def test_squared_error() -> None:
    assert row_mse(A, B).tolist() == [1.0, 2.0]
    assert reconstruction_mse(A, B) == 1.5
    many = np.random.default_rng(0).random((5000, 3), dtype=np.float32)  # more than one block
    assert reconstruction_mse(many, 0 * many) == pytest.approx(float((many.astype(float) ** 2).mean()), rel=1e-12)
    with pytest.raises(ValueError, match="shape"):
        row_mse(A, B[:1])


def test_explained_variance_is_0_for_the_mean_and_1_for_perfection() -> None:
    mean = A.mean(axis=0)
    assert explained_variance(A, np.broadcast_to(mean, A.shape), mean) == 0
    assert explained_variance(A, A, mean) == 1


def test_kl_to_the_standard_normal() -> None:
    zero = np.zeros((1, 3), dtype=np.float32)
    assert kl_standard_normal(zero, zero).tolist() == [0.0]
    one = np.ones((1, 1), dtype=np.float32)
    assert kl_standard_normal(one, one)[0] == pytest.approx(0.5 * (1 + math.e - 1 - 1), rel=1e-6)


def test_bernoulli_nats() -> None:
    x = np.array([[1.0, 0.0]], dtype=np.float32)
    assert bernoulli_nats(x, np.zeros((1, 2), np.float32))[0] == pytest.approx(2 * math.log(2))
    assert bernoulli_nats(x, np.array([[-1e4, 0]], np.float32))[0] == pytest.approx(1e4 + math.log(2))


def test_active_units() -> None:
    codes = np.array([[0.0, -0.09, -0.11], [0.0, 0.09, 0.11]], dtype=np.float32)  # variances 0, .0081, .0121
    assert active_units(codes) == 1
