"""A model of your own without a fork: a convolutional autoencoder for 28 x 28 pictures.

    python -m tracking.train --model docs.conv_autoencoder:conv_autoencoder --dim3 10

Such a factory takes (dim1, dim3), or any other setting it names, and gives (encoder, decoder): modules of
flat rows (B, dim1) to codes (B, dim3) and back. Leave the last sigmoid out; `--output` adds it where the
data lie in [0, 1]. The training loop, the store and the figures are the project's.
"""

from torch import nn


def conv_autoencoder(dim1: int, dim3: int) -> tuple[nn.Module, nn.Module]:
    """28 x 28 -> 14 x 14 -> 7 x 7 -> dim3, and back."""
    if dim1 != 28 * 28:
        raise ValueError(f"conv_autoencoder takes pictures of 28 x 28 pixels, got rows of {dim1}")
    encoder = nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),  # (B, 1, 28, 28)
        nn.Conv2d(1, 16, 3, stride=2, padding=1),  # (B, 16, 14, 14)
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),  # (B, 32, 7, 7)
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, dim3),
    )
    decoder = nn.Sequential(
        nn.Linear(dim3, 32 * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),  # (B, 16, 14, 14)
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),  # (B, 1, 28, 28)
        nn.Flatten(),
    )
    return encoder, decoder
