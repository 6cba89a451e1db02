"""The convolutional autoencoder: its layers, images of odd sizes and of three channels, and rows that are no images."""

from typing import Any

import numpy as np
import pytest
import torch

from elbowroom.models import build, check_contract
from elbowroom.models.measures.errors import reconstruction_mse
from tests.models.neural.test_training import X, train
from tests.models.test_contract import SETTINGS


def settings(*image_shape: int, **others: Any) -> dict[str, Any]:
    return SETTINGS | {"dim1": int(np.prod(image_shape)), "image_shape": image_shape} | others


@pytest.mark.parametrize("shape", [(8, 8), (7, 5), (1, 1), (9, 4, 1), (5, 6, 3)])
def test_images_of_any_size_come_back_in_their_size(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random((20, int(np.prod(shape))), dtype=np.float32)
    check_contract(lambda: build("conv-ae", settings(*shape)), x, 2)


def test_its_layers_for_a_28_by_28_image() -> None:
    x = np.random.default_rng(0).random((20, 784), dtype=np.float32)
    model = build("conv-ae", settings(28, 28, dim2=50, dim3=3)).fit(x)
    features = 32 * 7 * 7
    encoder = (9 * 16 + 16) + (9 * 16 * 32 + 32) + (features * 50 + 50) + (50 * 3 + 3)
    decoder = (3 * 50 + 50) + (50 * features + features) + (9 * 32 * 16 + 16) + (9 * 16 + 1)
    assert model.parameter_count() == encoder + decoder


def test_a_row_has_the_channels_of_a_pixel_side_by_side() -> None:
    """One red pixel changes the features near it: the order of the numbers is height, width, channel."""
    x = np.zeros((2, 16, 12, 3), dtype=np.float32)
    x[1, 8, 2, 0] = 1
    model: Any = build("conv-ae", settings(16, 12, 3, output="sigmoid")).fit(x.reshape(2, -1))
    with torch.no_grad():
        image = model.encoder[0](torch.from_numpy(x.reshape(2, -1)))
        assert image.shape == (2, 3, 16, 12)
        assert (image[1] != image[0]).nonzero().tolist() == [[0, 8, 2]]
        assert torch.equal(model.decoder[-1](image), torch.from_numpy(x.reshape(2, -1)))


def test_it_learns_more_than_the_mean_image() -> None:
    model, _ = train("conv-ae", image_shape=(8, 8), dim2=50, dim3=8, epochs=30, lr=1e-2, schedule="one-cycle")
    assert reconstruction_mse(X, model.reconstruct(X)) < 0.6 * X.var(axis=0).mean()


@pytest.mark.parametrize("given", [{}, {"image_shape": None}, {"image_shape": (64,)}])
def test_rows_that_are_no_images_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"conv-ae needs rows that are images, of an image_shape \(height, width\)"):
        build("conv-ae", SETTINGS | given)


def test_another_number_of_columns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs rows of 48 numbers for an image_shape of \(8, 6\), got rows of 64"):
        build("conv-ae", settings(8, 6)).fit(X)
