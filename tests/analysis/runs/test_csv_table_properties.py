"""A table of curves comes back as it was written, in any order; any other text is refused in one line."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from elbowroom.analysis import Floats
from elbowroom.analysis.runs.comparison import assemble
from elbowroom.analysis.runs.csv_table import Row, read_rows
from elbowroom.tracking.store.errors import BadInput, one_line

pytestmark = pytest.mark.property

MODELS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8)
ROWS = st.lists(
    st.builds(Row, MODELS, st.integers(1, 10**12), st.integers(-(2**40), 2**40), st.floats(0, allow_infinity=False)),
    min_size=1,
    max_size=20,
    unique_by=lambda r: r[:3],
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("table") / "t.csv"


def written(path: Path, rows: list[Row], order: list[str], *, quoted: bool = False, ends: str = "\n") -> Path:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, lineterminator=ends)
    writer.writerow(order)
    writer.writerows([getattr(row, name) for name in order] for row in rows)
    path.write_bytes(text.getvalue().encode())
    return path


def curve(rows: list[Row], model: str) -> tuple[list[int], Floats]:
    return assemble((row.dim3, row.seed, row.error) for row in rows if row.model == model)


@given(ROWS, st.permutations(["dim3", "error", "seed", "model"]), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_rows_come_back_as_they_were_written(
    path: Path, rows: list[Row], order: list[str], quoted: bool, ends: str
) -> None:
    assert read_rows(written(path, rows, order, quoted=quoted, ends=ends)) == (rows, "")


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing_where_seeds_are_given(path: Path, rows: list[Row], rng: Any) -> None:
    shuffled = list(rows)
    rng.shuffle(shuffled)
    for model in {row.model for row in rows}:
        dim3, errors = curve(rows, model)
        again, other = curve(read_rows(written(path, shuffled, list(Row._fields)))[0], model)
        assert (again, other.tolist()) == (dim3, errors.tolist())


@given(ROWS)
def test_a_curve_has_every_error_of_the_seeds_that_all_have_and_no_other(rows: list[Row]) -> None:
    for model in {row.model for row in rows}:
        mine = {(r.dim3, r.seed): r.error for r in rows if r.model == model}
        dim3, errors = curve(rows, model)
        assert dim3 == sorted({k for k, _ in mine})
        common = sorted(s for s in {s for _, s in mine} if all((k, s) in mine for k in dim3))
        if common:
            assert errors.tolist() == [[mine[k, s] for k in dim3] for s in common]
        else:
            for k, mean in zip(dim3, errors[0], strict=True):
                own = [e for (each, _), e in mine.items() if each == k]
                assert min(own) * (1 - 1e-12) <= mean <= max(own) * (1 + 1e-12)


HEADERS = st.sampled_from(
    ["dim3,error\n", "dim3,error,seed\n", "error,model,dim3\n", "dim3,error,error\n", "\ufeffdim3,error\r\n", ""]
)
CELLS = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=5),
    st.sampled_from(["", " ", '"', "\0", "1e400", "٣"]),
)
TABLES = st.lists(st.lists(CELLS, max_size=4).map(",".join), max_size=6).map("\n".join)


@given(st.builds("{}{}".format, HEADERS, TABLES | st.text(max_size=40)).map(str.encode) | st.binary(max_size=60))
@example(b"dim3,error\n2,0,5\n")
@example(b'dim3,error\n2,"' + b"x" * 200_000)
@example(b"dim3,error\n" + b"1" * 400 + b",1\n")
def test_any_text_is_rows_or_refused_in_one_line(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        rows, _ = read_rows(path)
    except BadInput as error:
        line = one_line(error)
        assert "t.csv" in line
        assert line.isprintable()
        assert len(line) < 2001
        return
    assert rows
    assert all(type(r.dim3) is int and r.dim3 >= 1 and np.isfinite(r.error) and r.error >= 0 for r in rows)
    assert len({r[:3] for r in rows}) == len(rows)
