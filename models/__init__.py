"""The models and their registry. This package knows arrays and torch: no MLflow, no Optuna, no paths, no data sets.

To add a model: see registry.py.
"""

from __future__ import annotations

if __name__ == "models":  # by its bare name, in a checkout
    from elbowroom import aliases

    aliases.stand_for("models")

from .openmp import limit_spinning

limit_spinning()  # before the imports below load torch

from .base import Array, ContractError, Diagnostics, Epoch, Labels, OnEpoch, Reducer, Rows, in_unit_interval
from .contract import check_contract
from .neural.training import Diverged, Training
from .neural.vae import VAE
from .pca import PCA
from .registry import MODELS, UnknownModel, build, class_of, gives_a_curve, settings_of, suited
from .scaled import Scaled, restored

__all__ = [
    "MODELS",
    "PCA",
    "VAE",
    "Array",
    "ContractError",
    "Diagnostics",
    "Diverged",
    "Epoch",
    "Labels",
    "OnEpoch",
    "Reducer",
    "Rows",
    "Scaled",
    "Training",
    "UnknownModel",
    "build",
    "check_contract",
    "class_of",
    "gives_a_curve",
    "in_unit_interval",
    "restored",
    "settings_of",
    "suited",
]
