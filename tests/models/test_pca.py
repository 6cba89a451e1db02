"""PCA against what is known of it."""

import numpy as np
import pytest

from elbowroom.models import PCA
from elbowroom.models.measures import errors
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.models.pca import _degrees, errors_by_dim3

CENTRED = np.random.default_rng(2).standard_normal((400, 10)).astype(np.float32) * np.linspace(2, 0.5, 10, dtype="f4")
X = (np.random.default_rng(1).standard_normal((300, 12)) * np.linspace(3, 0.2, 12) + 5).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "dim3", "rel"),
    [(X, 1, 1e-5), (X, 4, 1e-5), (X, 11, 1e-5), (X[:8], 3, 1e-5), (CENTRED, 1, 1e-6), (CENTRED, 9, 1e-6)],
)
def test_train_error_is_the_sum_of_the_eigenvalues_left_out(x: np.ndarray, dim3: int, rel: float) -> None:
    pca = PCA(dim3=dim3).fit(x)
    assert pca.spectrum.shape == (min(x.shape),)
    wanted = pca.spectrum[dim3:].sum() / x.shape[1] * (len(x) - 1) / len(x)
    assert reconstruction_mse(x, pca.reconstruct(x)) == pytest.approx(wanted, rel=rel)


def test_the_mean_image_has_the_variance_of_the_data_as_its_error() -> None:
    pca = PCA(dim3=1).fit(X)
    error = reconstruction_mse(X, pca.decode(np.zeros((len(X), 1), np.float32)))
    assert error == pytest.approx(X.var(axis=0, dtype=np.float64).mean(), rel=1e-5)


def test_data_of_rank_3_need_3_components() -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((100, 3)) @ rng.standard_normal((3, 12)) + 1).astype(np.float32)
    pca = PCA(dim3=5).fit(x)
    assert (pca.spectrum >= 0).all()
    assert (pca.spectrum[3:] < 1e-10 * pca.spectrum[0]).all()
    assert np.allclose(pca.components @ pca.components.T, np.eye(5), atol=1e-5)
    assert np.allclose(pca.reconstruct(x), x, atol=1e-4)
    assert np.isfinite(pca.sample(10, np.random.default_rng(0))).all()
    assert reconstruction_mse(x, PCA(dim3=2).fit(x).reconstruct(x)) > 0.01


def test_equations_1_and_2_are_inverse_once_the_scores_are_standardised() -> None:
    pca = PCA(dim3=2).fit(X)
    scores = pca.encode(X)
    x_hat = pca.generate(scores / np.sqrt(pca.spectrum[:2]).astype(np.float32))
    assert np.allclose(x_hat, pca.reconstruct(X), atol=1e-4)
    mean_image = reconstruction_mse(X, np.broadcast_to(pca.mean, X.shape))
    assert reconstruction_mse(X, pca.generate(scores)) > mean_image  # the clash of notation, fed in as it stands


@pytest.mark.parametrize("x", [X, X[:8]], ids=["tall", "wide"])
def test_two_fits_are_bitwise_equal(x: np.ndarray) -> None:
    a, b = PCA(dim3=5).fit(x), PCA(dim3=5).fit(x)
    assert np.array_equal(a.components, b.components)
    assert np.array_equal(a.encode(x), b.encode(x))


def test_codes_are_uncorrelated_with_the_eigenvalues_as_variances() -> None:
    pca = PCA(dim3=12).fit(X)
    assert np.allclose(np.cov(pca.encode(X), rowvar=False), np.diag(pca.spectrum), atol=1e-4)


def test_samples_have_the_mean_and_covariance_of_the_data() -> None:
    sample = PCA(dim3=12).fit(X).sample(200_000, np.random.default_rng(0))
    assert np.allclose(sample.mean(axis=0), X.mean(axis=0), atol=0.03)
    assert np.allclose(np.cov(sample, rowvar=False), np.cov(X, rowvar=False), atol=0.1)


def test_more_components_than_rows_or_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="dim3 13 needs as many rows and columns"):
        PCA(dim3=13).fit(X)
    with pytest.raises(ValueError, match=r"dim3 9 needs as many rows and columns, got \(8, 12\)"):
        PCA(dim3=9).check(X[:8])
    assert PCA(dim3=2).fit(X).parameter_count() == 36


def test_ticks_reach_two_and_a_half_standard_deviations() -> None:
    scores = np.array([-2, 2], dtype=np.float32)  # of deviation 2
    assert PCA(dim3=1).axis_ticks(scores, 5).tolist() == [-5, -2.5, 0, 2.5, 5]
    for unit in (2.0**110, 2.0**-110):  # whose squares no float32 holds
        assert (PCA(dim3=1).axis_ticks(scores * np.float32(unit), 5) / unit).tolist() == [-5, -2.5, 0, 2.5, 5]


def test_errors_by_dim3_are_those_of_each_fit_and_its_clipped_reconstruction() -> None:
    rng = np.random.default_rng(0)
    x = rng.beta(0.5, 0.5, size=(300, 12)).astype(np.float32)
    x_test = rng.beta(0.5, 0.5, size=(80, 12)).astype(np.float32)
    curve = errors_by_dim3(x, x_test)
    assert curve.shape == (13, 2)
    mean = np.broadcast_to(x.mean(axis=0), x_test.shape)
    assert curve[0] == pytest.approx([np.mean((x_test - mean) ** 2)] * 2, rel=1e-5)
    for dim3 in (1, 5, 11):
        rebuilt = PCA(dim3=dim3).fit(x).reconstruct(x_test)
        assert curve[dim3, 0] == pytest.approx(np.mean((x_test - rebuilt) ** 2), rel=1e-4)
        assert curve[dim3, 1] == pytest.approx(np.mean((x_test - rebuilt.clip(0, 1)) ** 2), rel=1e-4)
    assert curve[12, 0] == pytest.approx(0, abs=1e-12)
    assert np.isnan(errors_by_dim3(x - 1, x_test - 1)[:, 1]).all()
    found = PCA(dim3=2).fit(x).extra_artifacts(x, x_test)
    assert found["spectrum"].shape == (12,)
    np.testing.assert_array_equal(found["pca_curve"], curve)


@pytest.mark.parametrize("read_only", [True, False])
def test_read_only_rows_have_their_curve_computed_once(read_only: bool) -> None:
    x, x_test = X[:200].copy(), X[200:].copy()
    x.flags.writeable = x_test.flags.writeable = not read_only
    curves = [PCA(dim3=k).fit(x).extra_artifacts(x, x_test)["pca_curve"] for k in (2, 3)]
    assert (curves[0] is curves[1]) == read_only
    np.testing.assert_array_equal(*curves)
    validation = [PCA(dim3=k).fit(x).validation_curve(x, x_test) for k in (2, 3)]
    assert (validation[0] is validation[1]) == read_only
    other = PCA(dim3=2).fit(x).extra_artifacts(x, x_test[:50])["pca_curve"]
    assert other[0, 0] == pytest.approx(np.square(x_test[:50] - x.mean(axis=0)).mean(), rel=1e-5)


@pytest.mark.parametrize("x", [X[:200], X[:8]], ids=["tall", "wide"])
def test_the_validation_curve_is_that_of_each_fit(x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_BLOCK", 12 * 7)  # blocks of seven rows
    x_val, most = X[200:], min(x.shape)
    curve = PCA(dim3=2).fit(x).validation_curve(x, x_val)
    assert curve.shape == (most + 1, 2)
    assert curve[:, 0] == pytest.approx(errors_by_dim3(x, x_val)[:, 0], abs=1e-12)
    b = np.square(x_val - x.mean(axis=0, dtype=np.float64)).mean(axis=1)
    for dim3 in (0, 1, most // 2):
        e = b if dim3 == 0 else errors.row_mse(x_val, PCA(dim3=dim3).fit(x).reconstruct(x_val))
        assert curve[dim3, 0] == pytest.approx(e.mean(), rel=1e-5)
        left = e.sum() / b.sum()
        wanted = np.sqrt((e - left * b).var(ddof=1) / len(b)) / (b.mean() * left)
        assert curve[dim3, 1] == pytest.approx(wanted, rel=1e-4, abs=1e-7)


def test_the_standard_error_of_the_share_left_is_its_deviation_over_samples() -> None:
    model, found = PCA(dim3=2).fit(CENTRED), []
    for seed in range(400):
        rows = np.random.default_rng(seed).standard_normal((150, 10)) * np.linspace(2, 0.5, 10)
        found.append(model.validation_curve(CENTRED, rows))
    logs = np.log([curve[1:9, 0] / curve[0, 0] for curve in found])
    assert np.mean(found, axis=0)[1:9, 1] == pytest.approx(logs.std(axis=0), rel=0.1)  # known to 3.5 %


def test_one_validation_row_has_an_error_without_a_standard_error() -> None:
    curve = PCA(dim3=2).fit(X).validation_curve(X, X[:1])
    assert np.isfinite(curve[:, 0]).all()
    assert not np.isfinite(curve[:, 1]).any()


def draw(seed: int, rows: int = 600, columns: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32)


DRAWN = draw(0) * np.linspace(2, 0.2, 10, dtype=np.float32) + 3


@pytest.mark.parametrize("theta", [90, 30, 1, 1e-3, 1e-7, 0])
def test_the_largest_angle_is_found_however_small(theta: float) -> None:
    first, second, third = np.eye(3)
    turned = np.cos(np.deg2rad(theta)) * first + np.sin(np.deg2rad(theta)) * second
    assert _degrees(np.stack([third, first]), np.stack([third, turned])) == pytest.approx(theta, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("read_only", [False, True])
def test_exact_fits_agree_but_for_the_signs(read_only: bool) -> None:
    x, x_test = DRAWN[:500].copy(), DRAWN[500:]
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
    """Numpy leaves the signs of the 40 axes open, so the count is neither none nor all."""
    x = draw(3, 600, 40) * np.linspace(3, 0.3, 40, dtype=np.float32)
    assert 0 < PCA(dim3=40).fit(x).extra_diagnostics(x, x[:5]).numbers["flipped"] < 40


def test_the_randomized_solver_differs_where_the_spectrum_is_flat() -> None:
    x = draw(0, 700, 200)
    numbers, _, texts = PCA(dim3=3).fit(x).extra_diagnostics(x, draw(1, 5, 200))
    assert numbers["randomized_degrees"] > 0.1
    assert texts == {"auto_solver": "randomized"}
    assert numbers["again_degrees"] < 1e-4
    assert numbers["other_degrees"] < 1e-3


def test_refits_of_fewer_rows_than_columns() -> None:
    wide = draw(0, 30, 100)
    numbers, _, texts = PCA(dim3=3).fit(wide).extra_diagnostics(wide, draw(1, 5, 100))
    assert numbers["other_degrees"] < 1e-3
    assert texts == {"auto_solver": "full"}
