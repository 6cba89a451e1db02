"""The registry of the models, and how one is built from its name and settings.

To add a model: a file in this folder with a `Reducer`, and one line in `MODELS`. Its constructor names the
settings that it needs and gets those; a new setting is one new field of `tracking.config.RunConfig`.
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
from .neural.nested import NestedAutoencoder
from .neural.training import Training
from .neural.vae import VAE
from .pca import PCA

MODELS: dict[str, type[Reducer]] = {
    "pca": PCA,
    "ae": Autoencoder,
    "linear-ae": LinearAutoencoder,
    "nested-ae": NestedAutoencoder,
    "vae": VAE,
}


LR_HERE, LR_ELSEWHERE = 1e-2, 1e-3
"""What `lr` auto means for a model of the registry and for any other. The first was chosen on these layers
(docs/performance.md) and kills others: the convolutions of docs/conv_autoencoder.py, for one."""


TRIAL_ROWS = 64  # of the user's data, on which a model of their own is held against the contract


class UnknownModel(ValueError):
    """No model goes by that name, or what the name points to can't be imported."""


def build(model: str, settings: Mapping[str, Any]) -> Reducer:
    """The unfitted model of that name, with the settings that its constructor asks for.

    `model` is a name in MODELS, or `package.module:Name` for a Reducer class or a factory
    (dim1, dim3) -> (encoder, decoder) of torch modules. Raises UnknownModel, or ContractError where
    `Name` asks for a setting that there is not.
    """
    settings = dict(settings)
    if settings["lr"] == "auto":
        settings["lr"] = LR_HERE if model in MODELS else LR_ELSEWHERE
    made_of = settings | {"training": Training(**{f.name: settings[f.name] for f in fields(Training)})}
    found = _find(model)
    if isinstance(found, type) and issubclass(found, Reducer):
        reducer: Reducer = _call(found, made_of)
        return reducer

    def factory(dim1: int, dim3: int) -> Any:
        return _call(found, made_of | {"dim1": dim1, "dim3": dim3})

    return FactoryAutoencoder(
        factory,
        dim3=made_of["dim3"],
        loss=made_of["loss"],
        output=made_of["output"],
        training=made_of["training"],
    )


def suited(model: str, settings: Mapping[str, Any], x: Rows) -> Reducer:
    """The unfitted model of that name, see `build`, found to suit rows like x (N, dim1).

    One that is not of the registry is held against the contract, on a few of the rows. Raises ValueError, of which
    UnknownModel and ContractError are.
    """
    made = build(model, settings)
    made.check(x)
    if model not in MODELS:
        few = x[: max(TRIAL_ROWS, 2 * settings["dim3"])]
        check_contract(lambda: build(model, {**settings, "epochs": 1}), few, settings["dim3"])
    return made


def settings_of(model: str) -> frozenset[str]:
    """The settings that this model asks for, those of its training among them; `model` as for `build`.

    PCA asks for no `seed`: its fit is the same for all.
    """
    found = _find(model)
    asked = set(inspect.signature(found).parameters)
    if "training" in asked or not (isinstance(found, type) and issubclass(found, Reducer)):
        asked |= {f.name for f in fields(Training)}
    return frozenset(asked - {"training"})


def gives_a_curve(model: str) -> bool:
    """Whether one training of this model gives the error of every smaller dim3 too; `model` as for `build`."""
    return class_of(model).nested_errors is not Reducer.nested_errors


def class_of(model: str) -> type[Reducer]:
    """The class of this model, of a factory the one that trains its modules; `model` as for `build`."""
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
        raise UnknownModel(f"model {model!r}: importing {module_name!r} failed: {_one_line(error)}") from error
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
    """function(**those settings that it names)."""
    wanted = [
        p for p in inspect.signature(function).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    unknown = [p.name for p in wanted if p.name not in settings and p.default is p.empty]
    if unknown:
        raise ContractError(
            f"{getattr(function, '__name__', function)} asks for {', '.join(unknown)}, which is no setting; "
            f"the settings are: {', '.join(sorted(settings))}"
        )
    return function(**{p.name: settings[p.name] for p in wanted if p.name in settings})


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
