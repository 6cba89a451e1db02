"""The cached decomposition, and refits of PCA whose agreement is known."""

import numpy as np
import pytest

from elbowroom.models import PCA
from elbowroom.models.measures.decomposition import _principal_angles, refit


def draw(seed: int, rows: int = 600, columns: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32)


X = draw(0) * np.linspace(2, 0.2, 10, dtype=np.float32) + 3


def test_one_subspace_in_two_bases_is_at_no_angle() -> None:
    a = draw(0)[:3]
    assert _principal_angles(a, draw(1, 3, 3) @ a).max() < 1e-3  # float32 rows
    turned = np.linalg.qr(draw(1, 3, 3).astype(np.float64)).Q @ a
    assert _principal_angles(a, turned).max() < 1e-10
    assert _principal_angles(a, -a[::-1]).max() < 1e-10


@pytest.mark.parametrize("theta", [90, 30, 1, 1e-3, 1e-7])
def test_an_angle_is_found_however_small(theta: float) -> None:
    first, second, third = np.eye(3)
    turned = np.cos(np.deg2rad(theta)) * first + np.sin(np.deg2rad(theta)) * second
    assert _principal_angles(first[None], turned[None]) == pytest.approx([theta], rel=1e-6)
    both = _principal_angles(np.stack([third, first]), np.stack([third, turned]))
    assert both == pytest.approx([theta, 0], rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("read_only", [False, True])
def test_exact_fits_agree_but_for_the_signs(read_only: bool) -> None:
    x, x_test = X[:500].copy(), X[500:]
    x.flags.writeable = not read_only
    model = PCA(dim3=4).fit(x)
    got = refit(x, x_test, 4)
    assert got.again_degrees < 1e-4
    assert got.other_degrees < 1e-3
    assert got.auto_solver == "covariance_eigh"
    assert got.other_codes.shape == (100, 4)
    assert got.other_codes.dtype == np.float32
    own = model.encode(x_test)
    signs = np.sign((own * got.other_codes).sum(axis=0))
    assert np.allclose(own, got.other_codes * signs, atol=1e-4)
    assert got.flipped == (signs < 0).sum()
    assert PCA(dim3=2).fit(x).reused == read_only  # the refits left the cache alone


def test_flips_are_counted_over_all_axes() -> None:
    """Of 40 axes whose signs numpy does not fix, some are flipped and some are not."""
    x = draw(3, 600, 40) * np.linspace(3, 0.3, 40, dtype=np.float32)
    assert 0 < refit(x, x[:5], 40).flipped < 40


def test_the_randomized_solver_differs_where_the_spectrum_is_flat() -> None:
    got = refit(draw(0, 700, 200), draw(1, 5, 200), 3)
    assert got.randomized_degrees > 0.1
    assert got.auto_solver == "randomized"
    assert got.again_degrees < 1e-4
    assert got.other_degrees < 1e-3


def test_fewer_rows_than_columns() -> None:
    wide = draw(0, 30, 100)
    got = refit(wide, draw(1, 5, 100), 3)
    assert got.other_degrees < 1e-3
    assert got.auto_solver == "full"
    with pytest.raises(ValueError, match="n_components"):
        refit(wide, wide, 31)
