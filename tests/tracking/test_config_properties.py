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
from elbowroom.tracking.config import _MOST, RunConfig, parse_field
from elbowroom.tracking.store.errors import LONGEST, BadInput
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
COUNTS = st.integers(1, _MOST)
TEXT = st.text(min_size=1, max_size=30).filter(lambda text: bool(text.strip()) and "\0" not in text)
RANGES: dict[str, st.SearchStrategy[Any]] = {
    "lr": st.floats(0, 10, exclude_min=True),
    "beta": st.floats(0, allow_infinity=False),
    "patience": st.integers(0, _MOST),
    "seed": st.integers(0, 2**32 - 1),
    "edition": st.integers(1, 2),
}
"""Of the fields whose numbers do not begin at 1."""


def options(name: str) -> tuple[set[type], list[str]]:
    """The types and the words that a field's hint allows."""
    parts = get_args(HINTS[name]) or (HINTS[name],)
    words = [word for part in parts for word in (get_args(part) or (part,)) if isinstance(word, str)]
    return {part for part in parts if isinstance(part, type)}, words


def allowed(name: str) -> st.SearchStrategy[Any]:
    """Any value that a field accepts."""
    types, words = options(name)
    texts = TEXT if str in types else st.sampled_from(words) if words else st.nothing()
    return texts | RANGES.get(name, COUNTS) if types & {int, float} else texts


CONFIGS = st.fixed_dictionaries({name: allowed(name) for name in NAMES}).map(lambda values: RunConfig(**values))


def seen_as_one_line(error: BadInput, name: str = "") -> None:
    """Its message is short, can be printed, and begins with the field's name."""
    message = str(error)
    assert message.startswith(name)
    assert message.isprintable()
    assert 0 < len(message) <= LONGEST
    message.encode()


@given(CONFIGS)
@example(RunConfig())
def test_json_the_text_and_the_command_line_give_the_same_configuration(config: RunConfig) -> None:
    assert RunConfig.from_json(config.to_json()) == config
    typed = {name: str(value) for name, value in asdict(config).items()}
    assert RunConfig(**{name: parse_field(name, text) for name, text in typed.items()}) == config
    arguments = [f"{flag(name)}={value}" for name, value in asdict(config).items()]
    assert RunConfig(**config_fields(parser().parse_args(arguments), NAMES)) == config


@given(st.sampled_from(NAMES), TYPED)
def test_any_text_is_a_value_of_the_field_s_type_or_refused_by_its_name(name: str, text: str) -> None:
    types, words = options(name)
    try:
        value = parse_field(name, text)
    except BadInput as error:
        seen_as_one_line(error, f"{name} must be ")
        assert str not in types
        assert text not in words
        return
    if str in types or text in words:
        assert value == text
    elif int in types:
        assert type(value) is int
        assert value == pytest.approx(float(text), rel=1e-15)
    else:
        assert float in types
        assert type(value) is float
        assert value == float(text) or math.isnan(value)


@given(st.lists(st.one_of(st.sampled_from([flag(n) for n in NAMES]), TYPED), max_size=4))
@example(["--"])
@example(["--seed", "--measure"])
@example(["@file"])
def test_any_words_after_the_command_give_a_configuration_or_one_line(words: list[str]) -> None:
    try:
        given = parser().parse_args([w for w in words if w not in ("-h", "--help")])
        config = RunConfig(**config_fields(given, NAMES))
    except BadInput as error:
        seen_as_one_line(error)
        return
    assert RunConfig.from_json(config.to_json()) == config
    json.dumps(asdict(config), allow_nan=False, ensure_ascii=False).encode()  # as a store and a page take it


NUMBERS = st.one_of(
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.fractions(),
    st.booleans(),
    st.none(),
    st.decimals(),
    st.builds(object),
)


@given(st.sampled_from(NAMES), NUMBERS)
@example("lr", 10**400)
@example("beta", Fraction(10**400))
@example("dim3", _MOST + 1)
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
