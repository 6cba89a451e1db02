"""Whatever is typed or stored gives a configuration or BadInput, and nothing else."""

import json
import math
from dataclasses import asdict, fields
from fractions import Fraction
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from elbowroom.tracking.cli import config_fields, flag
from elbowroom.tracking.config import MOST, RunConfig, parse_field
from elbowroom.tracking.store.errors import LONGEST as LONGEST
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.train import parser

pytestmark = pytest.mark.property

HINTS = get_type_hints(RunConfig)
NAMES = [f.name for f in fields(RunConfig)]
WORDS = ["auto", "one-cycle", "constant", "mse", "bce", "linear", "cpu", "light", "yes"]
SURROGATES = st.characters()  # all of them: an argument that is no UTF-8 arrives as half letters
NUMERALS = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(["1e400", "-1e400", "1_000", "٣", "１", " 2 ", "2.0", "2.5", "0x10", "1e-400", "infinity",
    "9" * 5000, "2" + "0" * 400, "1/2", "--1", "+1", "1e"]),
)  # fmt: skip
TYPED = st.one_of(st.text(SURROGATES, max_size=20), NUMERALS, st.sampled_from(WORDS))
COUNTS = st.integers(1, MOST)


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    """Any that is allowed."""
    text = st.text(min_size=1, max_size=30).filter(lambda t: bool(t.strip()) and "\0" not in t)
    values: dict[str, Any] = {
        "model": draw(text), "dataset": draw(text), "test_data": draw(text), "label_column": draw(text),
        "header": draw(st.sampled_from(["auto", "yes", "no"])),
        "dim2": draw(COUNTS), "dim3": draw(COUNTS), "epochs": draw(COUNTS), "batch_size": draw(COUNTS),
        "lr": draw(st.just("auto") | st.floats(0, 10, exclude_min=True)), "beta": draw(st.floats(0,
        allow_infinity=False)),
        "schedule": draw(st.sampled_from(["one-cycle", "constant"])), "loss": draw(st.sampled_from(["auto", "mse",
        "bce"])),
        "output": draw(st.sampled_from(["auto", "sigmoid", "linear"])), "patience": draw(st.integers(0, MOST)),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "val_size": draw(st.just("auto") | COUNTS), "device": draw(st.sampled_from(["auto", "cpu", "cuda", "mps"])),
        "threads": draw(st.just("auto") | COUNTS), "artifacts": draw(st.sampled_from(["full", "light"])),
        "edition": draw(st.integers(1, 2)),
        "measure": draw(st.sampled_from(["no", "yes"])),
    }  # fmt: skip
    assert set(values) == set(NAMES)
    return RunConfig(**values)


def seen_as_one_line(error: BadInput, name: str = "") -> None:
    """Its message is short, can be printed, and begins with the field's name."""
    message = str(error)
    assert message.startswith(name)
    assert message.isprintable()
    assert 0 < len(message) <= LONGEST
    message.encode()
    return message


@given(configs())
@example(RunConfig())
def test_json_the_text_and_the_command_line_give_the_same_configuration(config: RunConfig) -> None:
    assert RunConfig.from_json(config.to_json()) == config
    typed = {name: str(value) for name, value in asdict(config).items()}
    assert RunConfig(**{name: parse_field(name, text) for name, text in typed.items()}) == config
    arguments = [f"{flag(name)}={value}" for name, value in asdict(config).items()]
    assert RunConfig(**config_fields(parser().parse_args(arguments), NAMES)) == config


@given(st.sampled_from(NAMES), TYPED)
def test_any_text_is_a_value_of_the_field_s_type_or_refused_by_its_name(name: str, text: str) -> None:
    options = get_args(HINTS[name]) or (HINTS[name],)
    words = [w for option in options for w in (get_args(option) or (option,)) if isinstance(w, str)]
    try:
        value = parse_field(name, text)
    except BadInput as error:
        seen_as_one_line(error, f"{name} must be ")
        allowed = str in options or text in words
        assert not allowed
        return
    if str in options or text in words:
        assert value == text
    elif int in options:
        assert type(value) is int
        assert value == pytest.approx(float(text), rel=1e-15)
    else:
        assert float in options
        assert type(value) is float
        assert value == float(text) or math.isnan(value)


@given(st.sampled_from(NAMES), TYPED)
def test_any_value_on_the_command_line_gives_a_configuration_or_one_line(name: str, text: str) -> None:
    try:
        config = RunConfig(**config_fields(parser().parse_args([f"{flag(name)}={text}"]), NAMES))
    except BadInput as error:
        seen_as_one_line(error)
        return
    assert RunConfig.from_json(config.to_json()) == config
    json.dumps(asdict(config), allow_nan=False, ensure_ascii=False).encode()  # as a store and a page take it


@given(st.lists(st.one_of(st.sampled_from([flag(n) for n in NAMES]), TYPED), max_size=4))
@example(["--"])
@example(["--seed", "--measure"])
@example(["@file"])
def test_any_words_after_the_command_give_a_configuration_or_one_line(words: list[str]) -> None:
    try:
        RunConfig(**config_fields(parser().parse_args([w for w in words if w not in ("-h", "--help")]), NAMES))
    except BadInput as error:
        seen_as_one_line(error)


NUMBERS = st.one_of(
    st.integers(-(10**400), 10**400), st.floats(), st.fractions(), st.booleans(), st.none(), st.decimals()
)


@given(st.sampled_from(NAMES), NUMBERS)
@example("lr", 10**400)
@example("beta", Fraction(10**400))
@example("dim3", MOST + 1)
def test_any_number_from_python_gives_a_configuration_or_one_line(name: str, value: Any) -> None:
    try:
        config = RunConfig(**{name: value})
    except BadInput as error:
        seen_as_one_line(error, f"{name} ")
        return
    assert float(getattr(config, name)) == pytest.approx(float(value))


PLAIN = st.none() | st.booleans() | st.floats() | st.text()
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner))


@given(st.text(SURROGATES) | JSON.map(json.dumps) | st.dictionaries(st.sampled_from(NAMES), PLAIN).map(json.dumps))
@example('{"lr": 1' + "0" * 400 + "}")
@example("[" * 100_000)
@example('{"dim3": 2, "dim3": 3}')
def test_any_text_in_a_store_is_a_configuration_or_refused(text: str) -> None:
    try:
        config = RunConfig.from_json(text)
    except BadInput as error:
        seen_as_one_line(error)
        return
    assert RunConfig.from_json(config.to_json()) == config
