"""The cached decomposition, and refits of PCA whose agreement is known."""

import numpy as np
import pytest

from elbowroom.models import PCA
from elbowroom.models.measures.decomposition import _degrees, refit


def draw(seed: int, rows: int = 600, columns: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32)


X = draw(0) * np.linspace(2, 0.2, 10, dtype=np.float32) + 3


@pytest.mark.parametrize("theta", [90, 30, 1, 1e-3, 1e-7, 0])
def test_the_largest_angle_is_found_however_small(theta: float) -> None:
    first, second, third = np.eye(3)
    turned = np.cos(np.deg2rad(theta)) * first + np.sin(np.deg2rad(theta)) * second
    assert _degrees(np.stack([third, first]), np.stack([third, turned])) == pytest.approx(theta, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("read_only", [False, True])
def test_exact_fits_agree_but_for_the_signs(read_only: bool) -> None:
    x, x_test = X[:500].copy(), X[500:]
    x.flags.writeable = not read_only
    model = PCA(dim3=4).fit(x)
    numbers, arrays, texts = model.extra_diagnostics(x, x_test)
    assert numbers["again_degrees"] < 1e-4
    assert numbers["other_degrees"] < 1e-3
    assert texts == {"auto_solver": "covariance_eigh"}
    other, own = arrays["other_codes"], model.encode(x_test)
    assert (other.shape, other.dtype) == ((100, 4), np.float32)
    signs = np.sign((own * other).sum(axis=0))
    assert np.allclose(own, other * signs, atol=1e-4)
    assert numbers["flipped"] == (signs < 0).sum()
    assert PCA(dim3=2).fit(x).reused == read_only  # the refits left the cache alone


def test_flips_are_counted_over_all_axes() -> None:
    """Of 40 axes whose signs numpy does not fix, some are flipped and some are not."""
    x = draw(3, 600, 40) * np.linspace(3, 0.3, 40, dtype=np.float32)
    assert 0 < refit(x, x[:5], 40).numbers["flipped"] < 40


def test_the_randomized_solver_differs_where_the_spectrum_is_flat() -> None:
    numbers, _, texts = refit(draw(0, 700, 200), draw(1, 5, 200), 3)
    assert numbers["randomized_degrees"] > 0.1
    assert texts == {"auto_solver": "randomized"}
    assert numbers["again_degrees"] < 1e-4
    assert numbers["other_degrees"] < 1e-3


def test_fewer_rows_than_columns() -> None:
    wide = draw(0, 30, 100)
    numbers, _, texts = refit(wide, draw(1, 5, 100), 3)
    assert numbers["other_degrees"] < 1e-3
    assert texts == {"auto_solver": "full"}
    with pytest.raises(ValueError, match="n_components"):
        refit(wide, wide, 31)
