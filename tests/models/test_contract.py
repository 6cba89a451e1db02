"""Every model of the registry keeps the contract, and a model that breaks it is told which part."""

import math
from typing import Any

import numpy as np
import pytest

from elbowroom.models import MODELS, ContractError, Epoch, build, check_contract, class_of
from elbowroom.models.base import Reducer

SETTINGS: dict[str, Any] = {
    "dim1": 12, "dim2": 8, "dim3": 2, "epochs": 1, "batch_size": 16, "lr": 1e-3, "schedule": "constant", "beta": 1.0,
    "loss": "auto", "output": "auto", "patience": 0, "seed": 0, "device": "cpu",
}  # fmt: skip
UNIT = np.random.default_rng(0).random((60, 12), dtype=np.float32)


def example(model: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Rows (60, dim1) in [0, 1] that the model's class says it accepts, and settings to build it for them."""
    shape = class_of(model).example_shape
    rows = np.random.default_rng(0).random((60, math.prod(shape)), dtype=np.float32)
    return rows, SETTINGS | {"dim1": rows.shape[1], "image_shape": shape if len(shape) > 1 else None}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dim3", [1, 2, 5])
@pytest.mark.parametrize("signed", [False, True], ids=["unit", "signed"])
def test_every_model_keeps_the_contract(model: str, dim3: int, signed: bool) -> None:
    x, settings = example(model)
    check_contract(lambda: build(model, settings | {"dim3": dim3}), 3 * x - 1 if signed else x, dim3)


class Good(Reducer):
    """Keeps the first two columns."""

    def fit(self, x, y=None, *, x_val=None, on_epoch=None):
        self.mean = x.mean(axis=0)
        return self

    def encode(self, x):
        return x[:, :2].copy()

    def decode(self, z):
        return np.hstack([z, np.tile(self.mean[2:], (len(z), 1))])

    def sample(self, n, rng):
        return self.decode(rng.standard_normal((n, 2), dtype=np.float32))


def test_a_good_model_of_ones_own_passes() -> None:
    check_contract(Good, UNIT.copy(), 2)


def test_a_model_has_no_extras_by_default() -> None:
    model = Good().fit(UNIT)
    assert model.extra_metrics(UNIT) == model.extra_artifacts(UNIT, UNIT) == {}
    assert model.extra_diagnostics(UNIT, UNIT) == ({}, {}, {})
    assert model.elbo_terms(UNIT) is model.validation_curve(UNIT, UNIT) is model.nested_errors(UNIT) is None


def spoil(x: np.ndarray) -> None:
    x += 1


@pytest.mark.parametrize(
    ("part", "method", "broken"),
    [
        ("constructor: raised ValueError: no luck", "__init__", lambda self: fail("no luck")),
        ("fit: must return the model itself", "fit", lambda self, x, y=None, **k: None),
        ("fit: must not change", "fit", lambda self, x, y=None, **k: (spoil(x), self)[1]),
        ("fit: raised ZeroDivisionError", "fit", lambda self, x, y=None, **k: 1 / 0),
        ("fit: epochs must count from 1", "fit", lambda self, x, on_epoch, **k: (on_epoch(Epoch(0, 1, {})), self)[1]),
        ("fit: raised AttributeError", "fit", lambda self, x, on_epoch, **k: (on_epoch(1), self)[1]),
        ("encode: raised ValueError: on two lines", "encode", lambda self, x: fail("on\ntwo lines")),
        ("encode: must give shape", "encode", lambda self, x: x),
        ("encode: must give float32", "encode", lambda self, x: x[:, :2].astype(float)),
        ("encode: gave NaN", "encode", lambda self, x: x[:, :2] * np.float32("nan")),
        ("encode: must give a numpy array", "encode", lambda self, x: x[:, :2].tolist()),
        ("encode: the same rows", "encode", lambda self, x: np.random.default_rng().random((len(x), 2), np.float32)),
        ("decode: must give shape", "decode", lambda self, z: z),
        (r"decode: must give shape \(1, 12\)", "decode", lambda self, z: np.zeros((60, 12), np.float32)),
        ("decode: must give float32", "decode", lambda self, z: np.zeros((len(z), 12))),
        ("decode: gave NaN or infinite", "decode", lambda self, z: np.full((len(z), 12), np.inf, np.float32)),
        ("sample: must give shape", "sample", lambda self, n, rng: rng.random((n, 2), np.float32)),
        ("sample: another rng", "sample", lambda self, n, rng: np.zeros((n, 12), np.float32)),
        ("sample: the same rng", "sample", lambda self, n, rng: np.random.default_rng().random((n, 12), np.float32)),
        ("state: a model restored", "restore", lambda self, state: Good().fit(np.zeros((2, 12), np.float32))),
        (
            "state: raised TypeError: Bad.secret is no array, number or string: override",
            "state",
            lambda self: Reducer.state(_with_object(self)),
        ),
        ("state: must hold plain arrays, and mean holds", "state", lambda self: {"mean": np.array([{}, 1])}),
        ("state: raised TypeError", "state", lambda self: None),
        ("state: raised AttributeError: 'Bad' object has no attribute 'mean'", "state", lambda self: {}),
        ("state: raised AttributeError: 'NoneType'", "restore", lambda self, state: None),
    ],
)
def test_what_breaks_is_named(part: str, method: str, broken: Any) -> None:
    bad = type("Bad", (Good,), {method: broken})
    with pytest.raises(ContractError, match=f"^{part}"):
        check_contract(bad, UNIT.copy(), 2)


def _with_object(model: Any) -> Any:
    model.secret = object()
    return model


def fail(message: str) -> Any:
    raise ValueError(message)


def test_what_sampling_needs_must_be_in_the_state() -> None:
    class Forgetful(Good):
        spread = np.float32(1)

        def fit(self, x, y=None, *, x_val=None, on_epoch=None):
            self.spread = x.std()
            return super().fit(x)

        def sample(self, n, rng):
            return super().sample(n, rng) * self.spread

        def state(self):
            return {"mean": self.mean}

    with pytest.raises(ContractError, match=r"^state: a model restored from its state must encode, decode and sample"):
        check_contract(Forgetful, UNIT.copy(), 2)
