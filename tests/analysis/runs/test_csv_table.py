"""A table of any program: read, judged, refused."""

from pathlib import Path

import numpy as np
import pytest

from elbowroom.analysis.report import main
from elbowroom.analysis.runs.comparison import assemble
from elbowroom.analysis.runs.csv_table import read_rows
from elbowroom.tracking.store.errors import BadInput


def csv(folder: Path, text: str) -> Path:
    path = folder / "t.csv"
    path.write_text(text)
    return path


def curve(folder: Path, text: str, model: str = "error") -> tuple[list[int], list[list[float]]]:
    rows = read_rows(csv(folder, text))
    dim3, errors = assemble((row.dim3, row.seed, row.error) for row in rows if row.model == model)
    return dim3, errors.tolist()


def test_seeds_are_rows_and_models_are_apart(tmp_path: Path) -> None:
    text = "dim3,error,seed,model\n2,4,0,a\n3,3,0,a\n3,1,1,a\n2,2,1,a\n2,9,0,b\n"
    assert curve(tmp_path, text, "a") == ([2, 3], [[4, 3], [2, 1]])
    assert curve(tmp_path, text, "b") == ([2], [[9]])


def test_repeated_dim3_without_seeds_are_seeds(tmp_path: Path) -> None:
    assert curve(tmp_path, "error, dim3\n4,2\n3,3\n2,2\n1,3\n") == ([2, 3], [[4, 3], [2, 1]])


def test_seeds_that_lack_a_dim3_are_left_out_and_without_a_common_one_the_means_are_judged(tmp_path: Path) -> None:
    assert curve(tmp_path, "dim3,error,seed\n2,4,0\n3,3,0\n2,8,1\n") == ([2, 3], [[4, 3]])
    assert curve(tmp_path, "dim3,error,seed\n2,4,0\n2,6,2\n3,3,1\n") == ([2, 3], [[5, 3]])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no column dim3 and error (it is empty); needed: dim3,error"),
        ("dim3,error\n", "a header and no rows"),
        ("k,loss\n1,2\n", "no column dim3 and error (it has k, loss)"),
        ("dim3,loss\n1,2\n", "no column error (it has dim3, loss)"),
        ("dim3,error\n2\n", "line 2: error must be a number, got ''"),
        ("dim3,error\n2,nan\n", "line 2: error must be a number, got 'nan'"),
        ("dim3,error\n2,-1\n", "line 2: error must not be negative, got -1"),
        ("dim3,error\n2.5,1\n", "line 2: dim3 must be a whole number from 1, got 2.5"),
        ("dim3,error\n2,0,5\n", "line 2: has more cells than the header"),  # a decimal comma
        ("dim3,error,error\n2,1,2\n", "has 2 columns error"),
        ("dim3,error,seed\n2,1,0.4\n", "line 2: seed must be a whole number, got 0.4"),
        ("dim3,error,seed\n2,1,0\n2,2,0\n", "line 3: dim3 2, seed 0 is there already, in line 2"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    assert main(["--curve", str(csv(tmp_path, text))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert why in line


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--curve", str(tmp_path / "none.csv")]) == 2
    assert "No such file" in capsys.readouterr().err
    (tmp_path / "t.csv").write_bytes(b"dim3,error\n2,\xff\xfe\n")
    assert main(["--curve", str(tmp_path / "t.csv")]) == 2
    assert "no CSV file in UTF-8" in capsys.readouterr().err
    with pytest.raises(BadInput, match="Is a directory"):
        read_rows(tmp_path)


def test_the_verdict_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    k = np.arange(2, 21)
    corner = np.where(k < 8, 1 - 0.1 * (k - 2), 0.4 - 0.01 * (k - 8))
    lines = [f"{a},{b!r},corner" for a, b in zip(k.tolist(), corner.tolist(), strict=True)]
    lines += [f"{a},{1 / a!r},smooth" for a in range(2, 31)]
    lines += ["2,1,short", "3,1,short"]
    assert main(["--curve", str(csv(tmp_path, "\n".join(["dim3,error,model", *lines])))]) == 0
    out = capsys.readouterr().out
    assert "corner: use dim3 = 8: a clear elbow there (95 % interval 8 to 8)" in out
    assert "smooth: use dim3 = 20, the smallest dim3 after which" in out
    assert "short: 2 values of dim3 are no curve: it takes 4" in out
    assert list(tmp_path.iterdir()) == [tmp_path / "t.csv"]
