"""How many latent dimensions does my data need, and is an autoencoder worth it over PCA?

The four packages `models`, `tracking`, `studies` and `analysis` are parts of this one. A wheel has them in this
folder; in a checkout they lie beside it.
"""

from pathlib import Path

from .deprecated_names import find_moved

PACKAGES = ("models", "tracking", "studies", "analysis")

if not Path(__file__).with_name(PACKAGES[0]).is_dir():
    __path__.append(str(Path(__file__).resolve().parents[1]))

find_moved()
