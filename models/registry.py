"""The registry of the models, and the construction of a model from its name and settings.

To add a model: one file with a `Reducer`, in `models/neural/` or beside `pca.py`, and one line in `MODELS`. Its
constructor names the settings that it needs; a new setting is one new field of `tracking.config.RunConfig`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from .base import ContractError, Reducer, Rows
from .contract import check_contract
from .neural.autoencoder import Autoencoder, FactoryAutoencoder, LinearAutoencoder
from .neural.conv_autoencoder import ConvAutoencoder
from .neural.nested import NestedAutoencoder
from .neural.pca_mlp import PCAWithDecoder
from .neural.training import Training
from .neural.vae import VAE
from .pca import PCA

MODELS: dict[str, type[Reducer]] = {
    "pca": PCA,
    "pca-mlp": PCAWithDecoder,
    "ae": Autoencoder,
    "linear-ae": LinearAutoencoder,
    "nested-ae": NestedAutoencoder,
    "conv-ae": ConvAutoencoder,
    "vae": VAE,
}

_TRIAL_ROWS = 64  # of the user's data, for the contract checks of a model of their own


class UnknownModel(ValueError):
    """There is no model of that name, or the module that the name points to cannot be imported."""


def build(model: str, settings: Mapping[str, Any]) -> Reducer:
    """Return the unfitted model of that name, constructed with the settings that its constructor names.

    `model` is a name in MODELS, or `package.module:Name` of a Reducer class or of a factory (dim1, dim3) ->
    (encoder, decoder) of torch modules. `settings` are the fields of a RunConfig and `dim1`; `image_shape`, None where
    it is not given, is (height, width) or (height, width, 3) of rows that are images.

    Raises UnknownModel; ContractError where `Name` asks for a setting that does not exist; ValueError where the model
    does not accept a setting.
    """
    found, kind = _find(model), class_of(model)
    offered = {"image_shape": None, **settings}
    if offered["lr"] == "auto":
        offered["lr"] = kind.default_lr
    offered["training"] = Training(**{f.name: offered[f.name] for f in fields(Training)})

    def factory(dim1: int, dim3: int) -> Any:
        return _call(found, offered | {"dim1": dim1, "dim3": dim3})

    reducer: Reducer = _call(kind, offered if found is kind else offered | {"factory": factory})
    return reducer


def suited(model: str, settings: Mapping[str, Any], x: Rows) -> Reducer:
    """Build a model and check that it accepts rows like x.

    Parameters
    ----------
    model, settings
        As for `build`. A model outside the registry is checked against the contract.
    x : (N, dim1)
        Rows, of which a few are fitted for the contract, in one epoch.

    Returns
    -------
    Reducer
        The unfitted model.

    Raises
    ------
    ValueError
        Of which UnknownModel and ContractError are subclasses.
    """
    made = build(model, settings)
    made.check(x)
    if model not in MODELS:
        few = x[: max(_TRIAL_ROWS, 2 * settings["dim3"])]
        check_contract(lambda: build(model, {**settings, "epochs": 1}), few, settings["dim3"])
    return made


def settings_of(model: str) -> frozenset[str]:
    """Return the names of the settings that this model uses, those of its training included; `model` as for `build`.

    PCA does not use `seed`: its fit is the same for all.
    """
    found, kind = _find(model), class_of(model)
    asked = set(inspect.signature(found).parameters)
    if "training" in asked or found is not kind:
        asked |= {f.name for f in fields(Training)}
    return frozenset(asked - {"training"})


def gives_a_curve(model: str) -> bool:
    """Return whether one training of this model gives the error of every smaller dim3 too; `model` as for `build`."""
    return class_of(model).nested_errors is not Reducer.nested_errors


def class_of(model: str) -> type[Reducer]:
    """Return the class of this model; for a factory, the class that trains its modules. `model` as for `build`."""
    found = _find(model)
    return found if isinstance(found, type) and issubclass(found, Reducer) else FactoryAutoencoder


def _find(model: str) -> Callable[..., Any]:
    if model in MODELS:
        return MODELS[model]
    module_name, colon, name = model.partition(":")
    if not colon:
        raise UnknownModel(f"unknown model {model!r}; known: {', '.join(MODELS)}, or package.module:Name")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything while it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UnknownModel(f"model {model!r}: importing {module_name!r} failed: {reason}") from error
    found: Callable[..., Any] | None = getattr(module, name, None)
    if found is None or not callable(found):
        names = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise UnknownModel(
            f"model {model!r}: {module_name} has no class or function {name!r}; it has: {', '.join(names) or 'none'}"
        )
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise ContractError(f"lacks {missing}")
    return found


def _call(function: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
    """Call the function with those settings that its parameters name. Raises ContractError where one is missing."""
    parameters = inspect.signature(function).parameters.values()
    wanted = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    unknown = [p.name for p in wanted if p.name not in settings and p.default is p.empty]
    if unknown:
        raise ContractError(
            f"{getattr(function, '__name__', function)} asks for {', '.join(unknown)}, which is no setting; "
            f"the settings are: {', '.join(sorted(settings))}"
        )
    return function(**{p.name: settings[p.name] for p in wanted if p.name in settings})
