"""PCA's codes with a trained decoder: the codes are PCA's, and the decoder bends where the data do."""

import numpy as np
import pytest

from elbowroom.models import PCA
from elbowroom.models.measures.errors import reconstruction_mse
from tests.models.neural.test_training import SIGNED, X_VAL, X, train


@pytest.mark.parametrize("x", [X, SIGNED, X.astype(np.float64) + 1e6], ids=["unit", "signed", "far"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_codes_are_the_scores_of_pca_for_every_seed(x: np.ndarray, seed: int) -> None:
    model, _ = train("pca-mlp", x, None, dim3=5, seed=seed, epochs=1, lr=1e-2)
    scores = PCA(dim3=5).fit(x).encode(x)
    assert model.encode(x) == pytest.approx(scores, abs=1e-5 * float(scores.std()))


def test_the_decoder_bends_where_the_data_do() -> None:
    t = np.linspace(-1, 1, 1000, dtype=np.float32)
    parabola = np.column_stack([3 * t, t**2])
    assert reconstruction_mse(parabola, PCA(dim3=1).fit(parabola).reconstruct(parabola)) == pytest.approx(
        2 / 45, rel=0.01
    )  # the variance of t², 4 / 45, over two columns
    model, _ = train("pca-mlp", parabola, None, dim1=2, dim2=32, dim3=1, epochs=60, lr=1e-2, schedule="one-cycle")
    assert reconstruction_mse(parabola, model.reconstruct(parabola)) < 0.001


def test_samples_are_drawn_from_the_gaussian_of_equation_2() -> None:
    model, _ = train("pca-mlp", dim3=3)
    assert model.code_mean == pytest.approx(np.zeros(3), abs=1e-5)
    assert model.code_cov == pytest.approx(np.diag(PCA(dim3=3).fit(X).spectrum[:3]), abs=1e-5)


def test_rows_that_are_all_the_same_are_learnt() -> None:
    same = np.ones_like(X)
    with np.errstate(invalid="ignore"):  # scikit-learn divides by their variance
        model, _ = train("pca-mlp", same, None, epochs=1)
    assert np.isfinite(model.reconstruct(same)).all()


def test_validation_error_is_that_of_the_reconstruction() -> None:
    model, epochs = train("pca-mlp", lr=1e-2)
    assert epochs[-1].metrics["val/mse"] == pytest.approx(reconstruction_mse(X_VAL, model.reconstruct(X_VAL)), rel=1e-4)
