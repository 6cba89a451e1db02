"""Known answers on real MNIST: exact for PCA; for what is trained, what a plain loop reaches."""

import numpy as np
import pytest

from elbowroom.models import PCA
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.models.measures.intrinsic_dimension import measure, participation_ratio
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.data.datasets import Dataset
from elbowroom.tracking.run import execute
from tests.conftest import marked

pytestmark = [pytest.mark.integration, pytest.mark.mnist]


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    return load_dataset("mnist")


@pytest.fixture(scope="module")
def whole(mnist: Dataset) -> PCA:
    return PCA(dim3=784).fit(mnist.x_train)


@pytest.mark.parametrize(
    ("dim3", "mse"),
    {0: 0.06747, 2: 0.05567, 5: 0.04453, 10: 0.03407, 15: 0.02788, 20: 0.02354, 50: 0.01149, 154: 0.00330}.items(),
)
def test_pca_is_right_to_five_decimals(mnist: Dataset, whole: PCA, dim3: int, mse: float) -> None:
    z = whole.encode(mnist.x_test)
    z[:, dim3:] = 0  # one eigendecomposition serves every dim3
    assert round(reconstruction_mse(mnist.x_test, whole.decode(z)), 5) == mse


@pytest.mark.parametrize(
    ("dim3", "share"), [(2, 0.168), (5, 0.332), (10, 0.488), (20, 0.644), (50, 0.825), (154, 0.950)]
)
def test_shares_of_the_variance(whole: PCA, dim3: int, share: float) -> None:
    assert round(float(whole.spectrum[:dim3].sum() / whole.spectrum.sum()), 3) == share


def test_equations_1_and_2_confused_are_worse_than_the_mean_image(mnist: Dataset, whole: PCA) -> None:
    z = whole.encode(mnist.x_test)
    z[:, 2:] = 0
    assert round(reconstruction_mse(mnist.x_test, whole.generate(z)), 4) == 0.0708
    assert round(reconstruction_mse(mnist.x_test, np.broadcast_to(whole.mean, mnist.x_test.shape)), 4) == 0.0675


def test_dimensions_of_the_data(mnist: Dataset, whole: PCA) -> None:
    """TwoNN's is known; the others are what these definitions give, to be noticed when they change."""
    found = measure(mnist.x_train, mnist.x_test)
    assert found.twonn == pytest.approx(13.6, abs=0.1)
    assert found.mle == pytest.approx(11.85, abs=0.01)
    assert found.parallel_analysis == pytest.approx(42, abs=2)
    assert participation_ratio(whole.spectrum) == pytest.approx(30.7, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "metric", "bound"),
    [
        *marked("slow", ({"model": "vae", "dim3": 2}, "test/elbo", 155.0)),
        *marked(
            "soak",
            ({"model": "ae", "dim3": 10}, "test/mse", 0.0146),
            ({"model": "ae", "dim3": 20}, "test/mse", 0.0080),
            ({"model": "vae", "dim3": 20, "epochs": 10}, "test/elbo", 107.0),
        ),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_is_trained_reaches_the_plain_loop(settings: dict, metric: str, bound: float) -> None:
    assert abs(execute(RunConfig(**settings, artifacts="light")).metrics[metric]) <= bound
