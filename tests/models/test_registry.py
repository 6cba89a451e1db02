"""From a name and settings to a model: the registry, a class of one's own, a factory of torch modules."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from elbowroom.models import MODELS, ContractError, Training, UnknownModel, build, check_contract
from elbowroom.models.base import Reducer
from tests.models.test_contract import SETTINGS, UNIT, Good, example

HERE = "tests.models.test_registry"
SIGNED = 3 * UNIT - 1


def test_each_name_of_the_registry_builds_its_class() -> None:
    assert {name: type(build(name, example(name)[1])) for name in MODELS} == MODELS


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(UnknownModel) as caught:
        build("linear_ae", SETTINGS)
    known = ", ".join(MODELS)
    assert str(caught.value) == f"unknown model 'linear_ae'; known: {known}, or package.module:Name"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":Name", "importing '' failed: "),
        (".relative:Name", "importing '.relative' failed: "),
        ("no_such_module:Name", "importing 'no_such_module' failed: "),
        ("raises_on_import:Name", "importing 'raises_on_import' failed: RuntimeError: no licence for this$"),
        ("two_functions:nobody", "two_functions has no class or function 'nobody'; it has: a, b$"),
        ("two_functions:depth", "two_functions has no class or function 'depth'; it has: a, b$"),
    ],
)
def test_a_name_that_leads_to_no_model_says_why(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raises_on_import.py").write_text("raise RuntimeError('no licence\\nfor this')")
    (tmp_path / "two_functions.py").write_text("def b(): ...\ndef a(): ...\ndef _hidden(): ...\ndepth = 3")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownModel, match=f"^model '{name}': {message}"):
        build(name, SETTINGS)


class Half(Reducer):
    def encode(self, x):
        return x

    def decode(self, z):
        return z


def test_an_unfinished_class_is_told_what_it_lacks() -> None:
    with pytest.raises(ContractError, match=r"^lacks fit, sample$"):
        build(f"{HERE}:Half", SETTINGS)


class Choosy(Good):
    def __init__(self, dim3, *, seed, training, colour="red", **rest):
        self.given = {"dim3": dim3, "seed": seed, "training": training, "colour": colour, **rest}


class Greedy(Good):
    def __init__(self, dim3, colour, taste):
        raise AssertionError("never called")


def test_a_class_is_given_the_settings_that_it_names_and_no_others() -> None:
    settings = SETTINGS | {"dim3": 4, "seed": 9}
    before = dict(settings)
    training = Training(epochs=1, batch_size=16, lr=1e-3, schedule="constant", patience=0, seed=9, device="cpu")
    model: Any = build(f"{HERE}:Choosy", settings)
    assert model.given == {"dim3": 4, "seed": 9, "training": training, "colour": "red"}
    assert settings == before


class Brisk(Choosy):
    default_lr = 0.5


@pytest.mark.parametrize(
    ("model", "lr"),
    [("ae", 1e-2), ("vae", 1e-2), (f"{HERE}:Choosy", 1e-3), (f"{HERE}:Brisk", 0.5), (f"{HERE}:by_name", 1e-3)],
)
def test_an_automatic_learning_rate_is_the_models_default(model: str, lr: float) -> None:
    built: Any = build(model, SETTINGS | {"lr": "auto"})
    assert (built.given["training"] if isinstance(built, Choosy) else built.training).lr == lr


def greedy(dim1: int, dim3: int, colour: str, taste: str) -> None:
    raise AssertionError("never called")


@pytest.mark.parametrize("name", ["Greedy", "greedy"])
def test_what_asks_for_no_setting_is_told_the_settings(name: str) -> None:
    asked = rf"{name} asks for colour, taste, which is no setting; the settings are: batch_size, beta"
    with pytest.raises(ContractError, match=asked):
        build(f"{HERE}:{name}", SETTINGS).fit(UNIT)


def by_name(dim3: int, dim2: int, dim1: int, beta: float) -> tuple[nn.Module, nn.Module]:
    assert (dim1, dim2, dim3, beta) == (12, 8, 2, 1.0)
    return nn.Linear(dim1, dim3), nn.Linear(dim3, dim1)


@pytest.mark.parametrize(
    ("settings", "low", "output"),
    [({}, UNIT, "sigmoid"), ({"output": "linear"}, UNIT, "linear"), ({}, SIGNED, "linear")],
)
def test_a_factory_gets_settings_by_name_and_the_output_that_the_data_allow(
    settings: dict[str, Any], low: np.ndarray, output: str
) -> None:
    model = build(f"{HERE}:by_name", SETTINGS | settings).fit(low)
    assert model.facts()["output"] == output
    assert model.parameter_count() == (12 * 2 + 2) + (2 * 12 + 12)
    far = model.decode(np.full((1, 2), 1e3, np.float32))  # a sigmoid holds it in [0, 1], a linear layer does not
    assert bool((far >= 0).all() and (far <= 1).all()) == (output == "sigmoid")


def noisy(dim1: int, dim3: int) -> Any:
    """Behaves otherwise in training: dropout, and running means in the state."""
    return nn.Sequential(nn.Dropout(0.5), nn.Linear(dim1, dim3), nn.BatchNorm1d(dim3)), nn.Linear(dim3, dim1)


def nested(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Sequential(*modules[:-1], nn.Sequential(modules[-1])))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda m, k: [nn.Linear(m, k), nn.Linear(k, m)], "^factory: gives list, not a pair"),
        (lambda m, k: (nn.Linear(m, k), nn.Linear(k, m), nn.Identity()), "^factory: gives tuple, not a pair"),
        (lambda m, k: (nn.Linear(m, k), "decoder"), "^factory: gives tuple, not a pair"),
        (lambda m, k: (nn.Linear(m, k), nested(nn.Linear(k, m), nn.Sigmoid())), "^decoder: ends in a Sigmoid; leave"),
        (lambda m, k: (nn.Linear(m, k + 1), nn.Linear(k, m)), "^fit: raised RuntimeError: mat1 and mat2"),
    ],
)
def test_what_a_factory_gives_is_checked(factory: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{HERE}.given", lambda dim1, dim3: factory(dim1, dim3), raising=False)
    with pytest.raises(ContractError, match=message):
        check_contract(lambda: build(f"{HERE}:given", SETTINGS), UNIT, 2)


def sigmoid_inside(dim1: int, dim3: int) -> Any:
    return nn.Linear(dim1, dim3), nested(nn.Linear(dim3, 8), nn.Sigmoid(), nn.Linear(8, dim1))


@pytest.mark.parametrize("factory", ["sigmoid_inside", "noisy"])
@pytest.mark.parametrize("x", [UNIT, SIGNED], ids=["unit", "signed"])
def test_a_good_factory_keeps_the_contract(factory: str, x: np.ndarray) -> None:
    check_contract(lambda: build(f"{HERE}:{factory}", SETTINGS), x, 2)
