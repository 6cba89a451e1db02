"""Data of one's own: read right, or refused with one line that names the place."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tracking.config import BadInput
from tracking.files import load_table

X = np.arange(12, dtype=np.float64).reshape(4, 3)


def picture(path: Path, value: int, size: tuple[int, int] = (3, 2), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)


def test_npy_and_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "b.npz", x=X, y=np.array([0, 1, 1, 0]))
    assert load_table(tmp_path / "a.npy").x.tolist() == X.tolist()
    table = load_table(tmp_path / "b.npz", "y")
    assert (table.x.dtype, table.y.tolist(), table.scaling) == (np.float32, [0, 1, 1, 0], "none")


def test_pictures_in_arrays_keep_their_shape_and_bytes_are_divided(tmp_path: Path) -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.save(tmp_path / "grey.npy", grey)
    np.save(tmp_path / "torch.npy", np.stack([grey] * 3, axis=1))  # channels first
    table = load_table(tmp_path / "grey.npy")
    assert (table.image_shape, table.x[0, 1]) == ((3, 4), np.float32(1) / 255)
    colour = load_table(tmp_path / "torch.npy")
    assert colour.image_shape == (3, 4, 3)
    assert np.allclose(colour.x.reshape(2, 3, 4, 3)[..., 2] * 255, grey)


@pytest.mark.parametrize("header", ["a,b,c\n", ""])
def test_csv_with_and_without_a_header(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(header + "".join(",".join(map(str, row)) + "\n" for row in X))
    assert load_table(tmp_path / "a.csv").x.tolist() == X.tolist()


def test_parquet_with_labels(tmp_path: Path) -> None:
    pd.DataFrame(X, columns=["a", "b", "c"]).assign(kind=list("uvuv")).to_parquet(tmp_path / "a.parquet")
    table = load_table(tmp_path / "a.parquet", "kind")
    assert (table.x.tolist(), table.y.tolist()) == (X.tolist(), list("uvuv"))


def test_folders_of_images(tmp_path: Path) -> None:
    for name, value in {"cat/1.png": 0, "cat/2.png": 51, "dog/1.png": 255}.items():
        picture(tmp_path / "classes" / name, value)
    table = load_table(tmp_path / "classes")
    assert (table.image_shape, table.y.tolist()) == ((2, 3), ["cat", "cat", "dog"])
    assert table.x[:, 0].tolist() == [0, np.float32(51) / 255, 1]
    picture(tmp_path / "flat" / "a.png", 9, mode="RGB")
    picture(tmp_path / "flat" / "b.png", 99)
    flat = load_table(tmp_path / "flat")
    assert (flat.image_shape, flat.y) == ((2, 3, 3), None)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1, np.nan], [2, 3]]), "row 1, column 2 is not a finite number"),
        (np.array([[1, 2], [np.inf, 3]]), "row 2, column 1 is not a finite number"),
        (np.array([[1, 2], [1e300, 3]]), "row 2, column 1 is not a finite number"),
        (np.array([["a", "b"], ["c", "d"]]), "holds str32 values; allowed: real numbers"),
        (np.array([[1, 2j], [3, 4]]), "holds complex128 values"),
        (np.zeros((0, 3)), "is empty"),
        (np.zeros((1, 3)), "has one row"),
        (np.zeros(3), "rows and columns are needed"),
        (np.ones((5, 3)), "all 5 rows are the same"),
        (np.array([[object(), 1], [2, 3]], dtype=object), "holds Python objects, not numbers"),
    ],
)
def test_arrays_that_are_no_data(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(BadInput, match=message):
        load_table(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv: Empty CSV file"),
        ("a.csv", b"a,b\n1,2\n3\n", "Expected 2 columns, got 1"),
        ("a.csv", b"a,b\n1,2\n3,4,5\n", "Expected 2 columns, got 3"),
        ("a.csv", b"a,b\n1,2\n3,\n", "row 2, column 'b' is empty"),
        ("a.csv", b"a,b\n1,x\n3,4\n", "column 'b' holds 'x', not numbers"),
        ("a.csv", b",b\n0,2\n1,4\n", "looks like row numbers"),
        ("a.parquet", b"garbage", "a.parquet: "),
        ("a.npy", b"garbage", "or is no numpy file"),
        ("a.npz", b"PK\x03\x04garbage", "a.npz: "),
        ("a.npy", b"\x93NUMPY\x01\x00", "a.npy: "),
        ("a.txt", b"1 2", "can't read .txt; allowed: .npy, .npz, .csv, .parquet"),
    ],
)
def test_files_that_are_no_data(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        load_table(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_labels_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(BadInput, match="has no column 'kind'; it has: a, b"):
        load_table(tmp_path / "a.csv", "kind")


def test_images_that_are_no_data(tmp_path: Path) -> None:
    for name in ("broken", "sizes", "deep"):
        picture(tmp_path / name / "a.png", 1)
    (tmp_path / "broken" / "b.png").write_bytes(b"\x89PNG not really")
    picture(tmp_path / "sizes" / "b.png", 1, size=(9, 9))
    Image.fromarray(np.zeros((2, 3), dtype=np.uint16)).save(tmp_path / "deep" / "b.png")
    (tmp_path / "empty").mkdir()
    for name, message in {
        "broken": "b.png: is no readable image",
        "sizes": "b.png: is 9x9 pixels, a.png is 3x2",
        "deep": "b.png: has more than 8 bits a pixel",
        "empty": "empty: holds no images",
    }.items():
        with pytest.raises(BadInput, match=message):
            load_table(tmp_path / name)
