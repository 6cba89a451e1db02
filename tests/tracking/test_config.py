"""One configuration, checked where it is made."""

import json
import re
from dataclasses import fields

import numpy as np
import pytest

from elbowroom.models.neural.training import SCHEDULES
from elbowroom.tracking.config import RunConfig, field_help, parse_field
from elbowroom.tracking.store.errors import BadInput

BAD = {
    "must be at least 1": [
        ("dim2", 0), ("dim3", 0), ("dim3", -1), ("epochs", 0), ("batch_size", 0), ("threads", 0),
    ],
    "must be at least 0": [("patience", -1), ("seed", -1), ("val_size", -1)],
    "must be below 2**32": [("seed", 2**32)],
    "must be a whole number, ": [("dim3", 2.0), ("dim3", True), ("dim2", None), ("seed", "auto")],
    "must be a whole number or auto": [("val_size", "all"), ("threads", 1.5), ("epochs", None)],
    "must be auto or a number above 0 and at most 10": [
        ("lr", 0.0), ("lr", -1.0), ("lr", 10.5), ("lr", float("nan")), ("lr", float("inf")),
    ],
    "must be a finite number of at least 0": [("beta", -0.1), ("beta", float("nan")), ("beta", float("inf"))],
    "must be a number or auto": [("lr", "1e-3")],
    "must be a number, ": [("beta", False)],
    "must be auto or mse or bce": [("loss", "l1"), ("loss", 1)],
    "must be one-cycle or constant": [("schedule", "cosine")],
    "must be auto or sigmoid or linear": [("output", "tanh")],
    "must be auto or cpu or cuda or mps": [("device", "tpu")],
    "must be full or light": [("artifacts", "none")],
    "must be from 1 to 2": [("edition", 0), ("edition", 3)],
    "must be auto or yes or no": [("header", "maybe"), ("header", True)],
    "must be no or yes": [("measure", "true"), ("measure", True)],
    "must be text": [("model", 3), ("label_column", None)],
    "is empty": [("model", " "), ("dataset", ""), ("test_data", ""), ("label_column", "\t")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "allowed"), [(*one, allowed) for allowed, those in BAD.items() for one in those]
)
def test_a_bad_value_is_refused_with_the_field_and_what_is_allowed(field: str, value: object, allowed: str) -> None:
    with pytest.raises(BadInput, match=f"^{re.escape(f'{field} {allowed}')}"):
        RunConfig(**{field: value})


def test_the_ends_of_the_ranges_are_allowed() -> None:
    ends = {"dim2": 1, "dim3": 1, "epochs": 1, "batch_size": 1, "patience": 0, "val_size": 0, "threads": 1}
    config = RunConfig(**ends, lr=10, beta=0, seed=2**32 - 1)
    assert (config.lr, config.beta, config.seed) == (10, 0, 4294967295)


@pytest.mark.parametrize(
    ("rows", "batch_size", "epochs"),
    [(55_000, 128, 12), (1349, 128, 228), (1349, 64, 114), (128, 128, 2500), (129, 128, 1250), (55_000, 512, 24)],
)
def test_epochs_auto_is_12_epochs_or_2500_steps(rows: int, batch_size: int, epochs: int) -> None:
    assert RunConfig(batch_size=batch_size).for_rows(rows) == RunConfig(batch_size=batch_size, epochs=epochs)


def test_epochs_that_are_given_stay() -> None:
    assert RunConfig(epochs=3).for_rows(10).epochs == 3


def test_numbers_of_numpy_are_taken_as_pythons_own() -> None:
    config = RunConfig(dim3=np.int64(3), lr=np.float32(0.5), beta=2, val_size=np.int32(7))
    assert config.to_json() == RunConfig(dim3=3, lr=0.5, beta=2.0, val_size=7).to_json()
    with pytest.raises(BadInput, match=r"^dim3 must be a whole number, got np.float64\(3.0\)"):
        RunConfig(dim3=np.float64(3))


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("dim3", "7", 7), ("dim3", "7.0", 7), ("dim3", "1e3", 1000), ("seed", str(2**53 + 1), 2**53 + 1),
        ("lr", "1e-3", 1e-3), ("lr", "1", 1.0), ("val_size", "auto", "auto"), ("val_size", "0", 0),
        ("loss", "bce", "bce"), ("dataset", "2", "2"),
    ],
)  # fmt: skip
def test_typed_values(field: str, text: str, value: object) -> None:
    parsed = parse_field(field, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("dim3", "2.5", "dim3 must be a whole number, got '2.5'"),
        ("dim3", "", "dim3 must be a whole number, got ''"),
        ("dim3", "nan", "dim3 must be a whole number, got 'nan'"),
        ("dim3", "1e400", "dim3 must be a whole number, got '1e400'"),
        ("lr", "fast", "lr must be a number or auto, got 'fast'"),
        ("val_size", "0.1", "val_size must be a whole number or auto, got '0.1'"),
        ("loss", "MSE", "loss must be auto or mse or bce, got 'MSE'"),
    ],
)
def test_typed_nonsense_is_refused_with_what_is_allowed(field: str, text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_field(field, text)
    assert str(caught.value) == message


def test_json_of_another_version_gives_the_configuration_back() -> None:
    """A field of a later one is skipped; before there were schedules, the rate was constant."""
    config = RunConfig(model="ae", lr=3e-4, val_size=0, schedule="constant")
    other = json.loads(config.to_json()) | {"invented_later": 1}
    assert other.pop("schedule") == "constant"
    assert RunConfig.from_json(json.dumps(other)) == config


def test_every_field_explains_itself() -> None:
    assert [*field_help()] == [f.name for f in fields(RunConfig)]
    assert all(len(text.split()) > 2 and "\n" not in text for text in field_help().values())
    assert field_help()["dim2"] == "Width of the hidden layer."


def test_the_schedules_are_those_of_the_training_loop() -> None:
    assert {RunConfig(schedule=name).schedule for name in SCHEDULES} >= {RunConfig.schedule}


def test_run_names() -> None:
    assert RunConfig().run_name == "vae-d2-s0"
    assert RunConfig(model="my.module:Deep", dim3=7, seed=3).run_name == "Deep-d7-s3"
