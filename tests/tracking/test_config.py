"""One configuration, checked where it is made."""

import json
from dataclasses import fields

import pytest

from tracking.config import BadInput, RunConfig, field_help, parse_field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dim2", 0), ("dim3", 0), ("dim3", -1), ("dim3", 2.0), ("dim3", True), ("epochs", 0), ("batch_size", 0),
        ("lr", 0.0), ("lr", -1.0), ("lr", float("nan")), ("lr", float("inf")), ("beta", -0.1), ("beta", float("nan")),
        ("patience", -1), ("seed", -1), ("seed", 2**32), ("val_size", -1), ("val_size", "all"), ("threads", 0),
        ("loss", "l1"), ("output", "tanh"), ("device", "tpu"), ("artifacts", "none"), ("model", " "), ("dataset", ""),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(BadInput, match=f"^{field} "):
        RunConfig(**{field: value})


def test_patience_without_validation_rows_is_refused() -> None:
    with pytest.raises(BadInput, match="patience needs validation rows"):
        RunConfig(patience=3, val_size=0)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [("dim3", "7", 7), ("dim3", "7.0", 7), ("lr", "1e-3", 1e-3), ("val_size", "auto", "auto"), ("val_size", "0", 0)],
)
def test_typed_values(field: str, text: str, value: object) -> None:
    parsed = parse_field(field, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["2.5", "x", "", "inf", "nan", "1e400"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="dim3 must be a whole number, got"):
        parse_field("dim3", text)


def test_json_gives_the_configuration_back_and_skips_what_it_does_not_know() -> None:
    config = RunConfig(model="ae", lr=3e-4, val_size=0)
    assert RunConfig.from_json(config.to_json()) == config
    later = json.loads(config.to_json()) | {"invented_later": 1}
    assert RunConfig.from_json(json.dumps(later)) == config


def test_every_field_explains_itself() -> None:
    assert set(field_help()) == {f.name for f in fields(RunConfig)}


def test_run_names() -> None:
    assert RunConfig().run_name == "vae-d2-s0"
    assert RunConfig(model="my.module:Deep", dim3=7, seed=3).run_name == "Deep-d7-s3"
