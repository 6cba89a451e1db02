"""A .csv file comes back bit for bit, however it is written; any other text is a table or one line."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from elbowroom.tracking.data.precision import LARGEST, SMALLEST
from elbowroom.tracking.data.preparation import as_floats
from elbowroom.tracking.store.errors import LONGEST, BadInput
from tests.conftest import examples
from tests.tracking.data.test_files import load_table

pytestmark = pytest.mark.property

FLOATS = st.one_of(st.floats(-LARGEST, LARGEST), st.floats(-1, 1), st.integers(-(2**63), 2**64 - 1).map(float))
MATRICES = arrays.arrays(float, arrays.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6), elements=FLOATS)
TEXT = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
NAMES = st.text(TEXT, min_size=1, max_size=12).filter(lambda n: n.strip() == n and not is_number(n))


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files") / "t.csv"


STYLES = st.fixed_dictionaries(
    {
        "ends": st.sampled_from(["\n", "\r\n", "\r"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "mark": st.sampled_from(["", "\ufeff"]),
        "before": st.integers(0, 2),
        "between": st.integers(1, 3),
        "last": st.booleans(),
    }
)
"""How a program may write the same numbers."""


def write(path: Path, rows: list[list[Any]], style: dict[str, Any]) -> None:
    text, between = io.StringIO(newline=""), style["ends"] * style["between"]
    csv.writer(text, quoting=style["quoting"], lineterminator=between).writerows(rows)
    content = style["ends"] * style["before"] + text.getvalue().removesuffix(between) + style["ends"] * style["last"]
    path.write_bytes((style["mark"] + content).encode())


def different(x: np.ndarray) -> bool:
    """Whether its rows differ by what float32 can hold: others are refused."""
    return bool(np.ptp(x, axis=0).max() >= SMALLEST)


@examples(2)
@given(MATRICES, STYLES)
def test_finite_numbers_without_a_header_come_back_bit_for_bit(
    path: Path, x: np.ndarray, style: dict[str, Any]
) -> None:
    assume(different(x))
    write(path, [[repr(float(v)) for v in row] for row in x], style)
    table = load_table(path, header="no")
    assert table.numbers.astype(float).tobytes() == x.tobytes()
    assert (table.y, table.image_shape) == (None, None)


@examples(2)
@given(MATRICES, STYLES, st.data())
def test_numbers_with_a_header_and_labels_anywhere_come_back_bit_for_bit(
    path: Path, x: np.ndarray, style: dict[str, Any], data: st.DataObject
) -> None:
    assume(different(x))
    names = data.draw(st.lists(NAMES, min_size=x.shape[1] + 1, max_size=x.shape[1] + 1, unique=True))
    labels = data.draw(st.lists(st.text(TEXT, min_size=1, max_size=9), min_size=len(x), max_size=len(x)))
    labels[0] = "w" + labels[0]  # a word: numbers alone are numbers, see below
    at = data.draw(st.integers(0, x.shape[1]))
    rows = [[*map(float, row[:at]), label, *map(float, row[at:])] for row, label in zip(x, labels, strict=True)]
    write(path, [names, *rows], style)
    table = load_table(path, names[at])
    assert table.numbers.astype(float).tobytes() == x.tobytes()
    assert table.y is not None
    assert table.y.tolist() == labels


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=6))
def test_labels_of_numbers_are_numbers(path: Path, labels: list[int]) -> None:
    path.write_text("x,kind\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels)))
    table = load_table(path, "kind")
    assert table.y is not None
    assert table.y.tolist() == labels


CELLS = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=4),
    st.sampled_from(["", '"', "1", "2.5", "true", "nan", "\0", "1e400"]),
)
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=3).map(",".join), max_size=5).map("\n".join)


@examples(5)
@given(
    TABLES.map(str.encode) | st.text(max_size=60).map(str.encode) | st.binary(max_size=60),
    st.sampled_from([None, "a", "1"]),
)
@example(b"\n\n1,2\n3,4\n", None)
@example(b"a,b\r1,2\r3,4\r", None)
@example(b"a,b\n1,caf\xe9\n2,d\n", "b")
@example(b"\xff\xfea\0,\0b\0\n\0", None)
def test_any_text_is_a_table_or_refused_in_one_line(path: Path, content: bytes, label: str | None) -> None:
    path.write_bytes(content)
    try:
        table = load_table(path, label)
    except BadInput as error:
        seen_as_one_line(error)
        return
    (x,) = as_floats([table.numbers])
    assert x.dtype in (np.float32, np.float64)
    assert x.ndim == 2
    assert np.isfinite(x).all()
    assert different(x)
    assert (table.y is None) == (label is None)
    assert table.y is None or len(table.y) == len(table.numbers)


def seen_as_one_line(error: BadInput) -> None:
    message = str(error)
    assert "t.csv" in message
    assert message.isprintable()
    assert len(message) <= LONGEST
