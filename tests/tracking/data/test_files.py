"""A user's own files: read right, or refused with one line that names the place."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.datasets import read, request_of
from elbowroom.tracking.data.preparation import Part, arrange, as_floats
from elbowroom.tracking.store.errors import BadInput
from tests.tracking.data.malformed import UNPICKLED, Bomb

X = np.arange(12, dtype=np.float64).reshape(4, 3)


def picture(path: Path, value: int, size: tuple[int, int] = (3, 2), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)


def write(path: Path, content: Any) -> Path:
    """Text or bytes as they are; arrays and columns in a file of the kind that the suffix says."""
    if isinstance(content, str | bytes):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    elif path.suffix == ".npy":
        np.save(path, content)
    elif path.suffix == ".npz":
        np.savez_compressed(path, **content)
    else:
        pd.DataFrame(content).to_parquet(path)
    return path


def made(write: Callable[..., object], *given: Any) -> bytes:
    """Return the bytes that a library writes into a file."""
    file = io.BytesIO()
    write(file, *given)
    return file.getvalue()


def load_table(path: Path, label_column: str | None = None, **fields: Any) -> Part:
    config = RunConfig(label_column=label_column or "none", **fields)
    return arrange(read(path, request_of(config)).train, config, path)


def refused(path: Path, message: str, label_column: str | None = None, **fields: Any) -> None:
    """BadInput of one line."""
    with pytest.raises(BadInput, match=message) as caught:
        load_table(path, label_column, **fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "label", "x", "y"),
    [
        ("a.npy", X, None, X, None),
        ("a.npy", np.array([[2**24 + 1], [0]]), None, np.array([[2**24 + 1], [0]]), None),
        ("a.npz", {"anything": X}, None, X, None),
        ("a.npz", {"other": X[:2], "x_train": X}, None, X, None),
        ("a.npz", {"anything": X, "kind": np.array(list("uvuv"))}, "kind", X, list("uvuv")),
        ("a.npz", {"anything": X, "kind": np.array([b"u", b"v", b"u", b"v"])}, "kind", X, list("uvuv")),
        ("a.npz", {"anything": X > 4}, None, X > 4, None),
        ("a.npz", {"x": X, "kind": np.array([[3], [1], [4], [1]])}, "kind", X, [3, 1, 4, 1]),
        ("a.npz", {"x_train": X, "y_train": np.arange(4)}, None, X, [0, 1, 2, 3]),
        ("a.npz", {"train_images": X, "train_labels": np.arange(4)[:, None]}, None, X, [0, 1, 2, 3]),
        ("a.npz", {"x_train": X, "y_train": np.eye(4)}, None, X, None),  # what are no classes is left alone
        ("a.npz", {"x_train": X, "y_train": np.arange(4.0)}, None, X, None),
        ("a.npz", {"x_train": X, "y_train": np.array([None] * 4)}, None, X, None),
        ("a.npz", {"anything": np.asfortranarray(X.astype(">i2"))}, None, X, None),
        ("a.csv", "\n\n1,2\n3,4\n", None, np.array([[1, 2], [3, 4]]), None),
        ("a.csv", "a, b; c\n1, 2\n3, 4\n", None, np.array([[1, 2], [3, 4]]), None),
        ("a.csv", "0,1,2\n0.5,0.25,u\n0.75,0.5,v\n", "2", np.array([[0.5, 0.25], [0.75, 0.5]]), ["u", "v"]),
        ("a.csv", "a,kind,b\n1.5,u,true\n2,v,false\n", "kind", np.array([[1.5, 1], [2, 0]]), ["u", "v"]),
        ("a.parquet", dict(zip("abc", X.T, strict=True)), None, X, None),
        ("a.parquet", {"a": X[:, 0], "kind": list("uvuv"), "b": X[:, 1]}, "kind", X[:, :2], list("uvuv")),
    ],
)
def test_rows_and_labels_are_read(
    tmp_path: Path, name: str, content: Any, label: str | None, x: np.ndarray, y: list[object] | None
) -> None:
    table = load_table(write(tmp_path / name, content), label)
    assert table.numbers.tolist() == x.tolist()
    assert (None if table.y is None else table.y.tolist()) == y


@pytest.mark.parametrize("kind", ["f2", "f4", ">f4", ">f8", "g", "i1", "u2", ">i2", "i4", "i8", ">i8", "u8"])
def test_every_type_of_number_is_read(tmp_path: Path, kind: str) -> None:
    array = X.astype(kind)
    assert load_table(write(tmp_path / "A.NPY", made(np.save, array))).numbers.tolist() == X.tolist()
    assert load_table(write(tmp_path / "a.npz", {"any": np.asfortranarray(array)})).numbers.tolist() == X.tolist()
    if kind[0] not in ">g":
        path = write(tmp_path / "a.parquet", dict(zip("abc", array.T, strict=True)))
        assert load_table(path).numbers.tolist() == X.tolist()


@pytest.mark.parametrize(
    ("numbers", "dtype", "held"),
    [
        ([0, 255], "int16", "float32"),
        ([0, 255], "float64", "float32"),
        ([2**24, 2**24 + 1], "int64", "float64"),  # the variation is lost in float32
        ([1e9, 1e9 + 1], "float64", "float64"),
    ],
)
def test_rows_are_float64_where_float32_loses_their_variation(numbers: list[float], dtype: str, held: str) -> None:
    (x,) = as_floats([np.array(numbers, dtype)[:, None]])
    assert (x[:, 0].tolist(), x.dtype) == (numbers, held)


@pytest.mark.parametrize(
    ("shape", "image_shape", "dim1"),
    [
        ((4, 6), None, 6), ((4, 2, 3), (2, 3), 6), ((4, 1, 5, 6), (5, 6), 30), ((4, 5, 6, 1), (5, 6), 30),
        ((4, 5, 6, 3), (5, 6, 3), 90), ((4, 3, 5, 6), (5, 6, 3), 90), ((4, 5, 6, 2), None, 60),
    ],
)  # fmt: skip
def test_the_shape_of_a_picture(
    tmp_path: Path, shape: tuple[int, ...], image_shape: tuple[int, ...] | None, dim1: int
) -> None:
    table = load_table(write(tmp_path / "a.npy", np.random.default_rng(0).random(shape)))
    assert (table.image_shape, table.numbers.shape) == (image_shape, (4, dim1))


def test_channels_may_come_first_as_torch_stores_pictures(tmp_path: Path) -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    table = load_table(write(tmp_path / "a.npy", np.stack([grey] * 3, axis=1)))
    assert np.array_equal(table.numbers.reshape(2, 3, 4, 3)[..., 2], grey)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
@pytest.mark.parametrize(
    "header", ["a,b,c", "", "\ufeffa,b,c", '"a","b","c"', "\n\na,b,c", "a,a,a", "größe,名前,🦊", "a" * 9999 + ",b,\0"]
)
def test_csv_with_and_without_a_header(tmp_path: Path, header: str, end: str) -> None:
    lines = [header] * bool(header) + [",".join(map(str, row)) for row in X]
    assert load_table(write(tmp_path / "a.csv", end.join(lines) + end)).numbers.tolist() == X.tolist()


FRACTIONS = "0.5,0.25,0.75\n0.5,0.75,0.25\n0.25,0.5,0.75\n"
SPECTRA = "".join(f"0.{31 + i},0.{54 - i},0.{45 + i % 2},0.{41 + i}\n" for i in range(30))
COUNTS = "".join(f"{900 + 7 * i},{2500 - i},{2000 + i % 3}\n" for i in range(30))


@pytest.mark.parametrize(
    ("first", "rows"),
    [
        ("0,1,2", FRACTIONS),  # as pandas heads columns without names
        ("0,1,2", "0,1,2\n3,4,5\n6,7,8\n"),
        ("1,2,3", "3,1,2\n4,5,7\n7,8,0\n"),
        ("0,1", "0.5,0.25\n0.75,0.5\n"),  # whole numbers above fractions
        ("1045,2231,1178,3005", SPECTRA),  # and far from them
        ("1100.5,1083.1,1120.7,1140.2", SPECTRA),
        ("400.5,500.5,600.5,700.5", SPECTRA),
        ("2019,2020,2021", COUNTS),  # in equal steps, amid the numbers below
        ("2500,1200,1100", COUNTS.replace("2000", "2600")),  # falls, as no other row does
        ("2019,2019,2020,2020", SPECTRA),  # doubled
        ("0.1,1,10,100", "0.5,0.3,0.9,0.1\n0.2,0.8,0.1,0.7\n0.9,0.1,0.4,0.3\n"),  # doses, two amid the others
        ("2015,2016,2017", "40,12,77\n31,95,20\n55,21,80\n"),  # equal steps, few rows
        ("0", "0.5\n0.25\n0.75\n"),  # as pandas heads a Series
    ],
)
def test_numbers_that_may_be_names_are_read_as_neither(tmp_path: Path, first: str, rows: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{first}\n{rows}")
    refused(path, f"a.csv: its first line, {first.split(',')[0]}, .*; --header yes or --header no says which$")
    numbers = np.array([line.split(",") for line in rows.splitlines()], dtype=float)
    table = load_table(path, header="yes")
    assert (table.numbers.tolist(), table.names) == (numbers.tolist(), tuple(first.split(",")))
    table = load_table(path, header="no")
    assert (table.numbers[1:].tolist(), table.names) == (numbers.tolist(), None)
    assert table.numbers[0].tolist() == np.array(first.split(","), dtype=float).tolist()


@pytest.mark.parametrize(
    "rows",
    [
        "1,2\n3,4\n",
        "1,2,3\n4,5,6\n7,8,9\n",  # all count
        "1,2,5\n3,1,4\n6,2,1\n",  # rises, by chance
        "0.1,0.5,1.5\n0.2,0.4,0.7\n0.1,0.2,0.9\n" * 9,  # all rise: sums
        "5.1,3.5,1.4,0.2\n4.9,3,1.4,0.2\n4.7,3.2,1.3,0.2\n",
        "0,0,0\n0.5,0.25,0.75\n0.25,0.5,0.5\n",  # at rest; names would differ
        "0,1\n1,0\n1,1\n",
        SPECTRA,
        COUNTS,
    ],
)
def test_a_first_row_like_others_is_a_row(tmp_path: Path, rows: str) -> None:
    (tmp_path / "a.csv").write_text(rows)
    expected = np.array([line.split(",") for line in rows.splitlines()], dtype=float)
    assert load_table(tmp_path / "a.csv").numbers.tolist() == expected.tolist()


def test_few_rows_of_random_numbers_are_taken_for_a_header(tmp_path: Path) -> None:
    rng, asked = np.random.default_rng(0), 0
    for _ in range(200):
        np.savetxt(tmp_path / "a.csv", rng.normal(size=(20, 4)), delimiter=",")
        try:
            load_table(tmp_path / "a.csv")
        except BadInput:
            asked += 1
    assert asked <= 200 / 10  # a row of four rises or falls in 1 of 12 cases


def test_columns_without_a_header_have_names_for_the_labels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("5.1,3.5,u\n4.9,3,v\n")
    table = load_table(tmp_path / "a.csv", "f2", header="no")
    assert (table.numbers.shape, table.y.tolist()) == ((2, 2), ["u", "v"])


@pytest.mark.parametrize(
    ("mark", "called"),
    [(";", "';'"), ("\t", "tabs"), ("|", "'|'"), (" ", "spaces"), ("   ", "spaces"), (",", "commas")],
)
@pytest.mark.parametrize("header", ["a,b,kind", '"a","b","kind"'])
@pytest.mark.parametrize("decimal", [".", ","])
def test_separators_and_decimal_commas_are_detected(
    tmp_path: Path, mark: str, called: str, header: str, decimal: str
) -> None:
    if mark == decimal:
        mark = '","'  # in quotes
    cells = [(f"0{decimal}40{i}", f"1{decimal}5", f"{i}") for i in range(3)]
    quote = '"' * (len(mark) == 3 and mark[0] == '"')
    lines = [header.replace('"', "").replace(",", mark), *(mark.join(row) for row in cells)]
    (tmp_path / "a.csv").write_text("\n".join(f"{quote}{line}{quote}" for line in lines))
    part = load_table(tmp_path / "a.csv", "kind")
    assert part.numbers.tolist() == [[0.4, 1.5], [0.401, 1.5], [0.402, 1.5]]
    assert part.y.tolist() == [0, 1, 2]
    notes = [f"separated by {called}"] * (called != "commas") + ["with decimal commas"] * (decimal == ",")
    assert part.notes == ((", ".join(notes),) if notes else ())


def test_folders_of_images(tmp_path: Path) -> None:
    for name, value in {"cat/1.png": 0, "cat/2.png": 51, "dog/1.png": 255}.items():
        picture(tmp_path / "classes" / name, value)
    table = load_table(tmp_path / "classes")
    assert (table.image_shape, table.y.tolist()) == ((2, 3), ["cat", "cat", "dog"])
    assert table.numbers[:, 0].tolist() == [0, 51, 255]
    picture(tmp_path / "flat" / "a.png", 9, mode="RGB")
    picture(tmp_path / "flat" / "b.png", 99)
    flat = load_table(tmp_path / "flat")
    assert (flat.image_shape, flat.y, flat.from_pictures) == ((2, 3, 3), None, True)
    assert flat.numbers.reshape(2, 6, 3)[:, 0].tolist() == [[9, 0, 0], [99, 99, 99]]


def test_hidden_and_other_files_between_images_are_skipped(tmp_path: Path) -> None:
    for name, value in {"a.png": 1, "b.PNG": 2, ".ipynb_checkpoints/a.png": 3}.items():
        picture(tmp_path / name, value)
    (tmp_path / "._a.png").write_bytes(b"resource fork")
    (tmp_path / "notes.txt").write_text("not an image")
    assert load_table(tmp_path).numbers[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_pictures_are_read_upright(tmp_path: Path, suffix: str) -> None:
    """Orientation 6: a quarter turn to the left was stored, and is turned back."""
    upright = Image.new("L", (16, 24), 250)
    upright.paste(5, (0, 0, 16, 8))  # dark on top
    turned = Image.Exif()
    turned[0x0112] = 6
    upright.save(tmp_path / f"a.{suffix}")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / f"b.{suffix}", exif=turned)
    upright.transpose(Image.Transpose.ROTATE_180).save(tmp_path / f"c.{suffix}")
    table = load_table(tmp_path)
    assert table.image_shape[:2] == (24, 16)
    assert np.abs(table.numbers[0] - table.numbers[1]).max() < 0.05  # JPEG and WEBP lose a little
    assert np.abs(table.numbers[0] - table.numbers[2]).max() > 0.9


def test_an_opaque_picture_with_an_alpha_channel_is_read(tmp_path: Path) -> None:
    Image.new("RGBA", (3, 2), (51, 51, 51, 255)).save(tmp_path / "a.png")
    Image.new("LA", (3, 2), (102, 255)).save(tmp_path / "b.png")
    Image.new("L", (3, 2), 153).save(tmp_path / "c.png", transparency=9)
    assert load_table(tmp_path).numbers[:, 0].tolist() == [51, 102, 153]


def test_a_preview_that_a_camera_appended_to_a_jpeg_is_ignored(tmp_path: Path) -> None:
    for name, value in {"a.jpg": 51, "b.jpg": 102}.items():
        preview = Image.new("RGB", (3, 2), (0, 0, 0))
        Image.new("RGB", (3, 2), (value,) * 3).save(tmp_path / name, "mpo", save_all=True, append_images=[preview])
    assert load_table(tmp_path).numbers[:, 0].tolist() == [51, 102]


def test_parts_of_a_data_set_are_no_classes(tmp_path: Path) -> None:
    for number, place in enumerate(("train/cat", "train/dog", "Val/cat", "Val/dog", "test/cat", "test/dog")):
        picture(tmp_path / "parts" / place / "a.png", 10 * number)
    contents = read(tmp_path / "parts", request_of(RunConfig()))
    assert [part.x[:, 0, 0].tolist() for part in contents] == [[0, 10], [20, 30], [40, 50]]
    assert {tuple(part.columns["class"].to_pylist()) for part in contents} == {("cat", "dog")}
    for number, place in enumerate(("val/cat", "test/cat")):
        picture(tmp_path / "untrained" / place / "a.png", number)
    refused(
        tmp_path / "untrained", "its subfolders test, val are parts of a data set, not classes, and there is no train"
    )
    for number, name in enumerate(("bus", "train")):  # as a class among others
        picture(tmp_path / "vehicles" / name / "a.png", number)
    assert load_table(tmp_path / "vehicles").y.tolist() == ["bus", "train"]


UNUSABLE_ARRAYS = [
    (np.array([[1, np.nan], [2, 3]]), "row 1, column 2 is not a finite number"),
    (np.array([[1, 2], [np.inf, 3]]), "row 2, column 1 is not a finite number"),
    (np.array([[1, 2], [1e39, 3]]), r"row 2, column 1 is larger than 8.3e\+34: 1e\+39"),
    (np.array([[1, 2], [-3.5e38, 3]]), r"row 2, column 1 is larger than 8.3e\+34: -3.5e\+38"),
    (np.array([["a", "b"], ["c", "d"]]), "holds str32 values; allowed: real numbers"),
    (np.array([[1, 2j], [3, 4]]), "holds complex128 values"),
    (np.zeros((0, 3)), "is empty"),
    (np.zeros((1, 3)), "has one row"),
    (np.zeros(3), "rows and columns are needed"),
    (np.ones((5, 3)), "all 5 rows are the same"),
    (np.array([[b"a", b"b"], [b"c", b"d"]]), "holds bytes8 values; allowed: real numbers"),
    (np.array([[1, 2], [3, 4]], dtype="M8[s]"), r"holds datetime64\[s\] values"),
    (np.array([[1, 2], [3, 4]], dtype="m8[s]"), r"holds timedelta64\[s\] values"),
    (np.zeros(12, "f8,f8"), "holds void128 values"),
    (np.zeros((12, 4), "V8"), "holds void64 values"),
    (np.array(3.0), "rows and columns are needed"),
    (np.zeros((3, 0)), "is empty"),
]


@pytest.mark.parametrize(("array", "message"), UNUSABLE_ARRAYS)
def test_unusable_arrays_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    refused(write(tmp_path / "a.npy", array), f"a.npy: .*{message}")
    refused(write(tmp_path / "a.npz", {"x": array}), f"a.npz: .*{message}")


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    objects = np.array([[Bomb(), 1], [2, 3]], dtype=object)
    for name, content in {"a.npy": objects, "a.npz": {"x": objects}, "pickle.npy": pickle.dumps(Bomb())}.items():
        refused(write(Path(name), content), f"{name}: .*(Python objects|Object arrays)")
    labels = write(Path("labels.npz"), {"x": X, "kind": objects})
    refused(labels, "labels.npz: array 'kind': could not be read: Object arrays", "kind")
    assert not Path(UNPICKLED).exists()
    np.load("a.npy", allow_pickle=True)
    assert Path(UNPICKLED).exists()  # the bomb works


COLUMNS = ",".join(f"c{i}" for i in range(20)) + "\n"


@pytest.mark.parametrize(
    ("name", "content", "label", "message"),
    [
        ("a.csv", "", None, "could not be read: Empty CSV file"),
        ("a.csv", "a,b\n", None, "has a header and no rows"),
        ("a.csv", "a,b\n1,2\n", None, "has one row"),
        ("a.csv", "a,b\n1,2\n3\n", None, ".*Row #3: Expected 2 columns, got 1: 3"),
        ("a.csv", "a,b\n1,2\n3,4,5\n", None, ".*Row #3: Expected 2 columns, got 3: 3,4,5"),
        ("a.csv", "1,2\n3\n", None, ".*Row #2: Expected 2 columns, got 1: 3"),
        ("a.csv", "a,b\n1,2\n3,\n", None, "1 of 2 columns can't be used as they are: 'b' has 1 gap, 50 %"),
        ("a.csv", "a b, c d\n1, 2\n3,\n", None, "1 of .*: 'c d' has 1 gap, 50 %. Allowed: --missing median"),
        ("a.csv", "a,b\n1,2\n3,nan\n", None, "1 of .*: 'b' has 1 gap"),
        ("a.csv", "a,b\n1,2\n3,-inf\n", None, "row 2, column 2 is not a finite number: -inf"),
        ("a.csv", "a,b\n1,2\n3,x\n", None, r"1 of .*: 'b' holds words \(2 different\), such as '2'"),
        ("a.csv", ",b\n0,2\n1,4\n", None, "1 of .*: 'column 1' numbers the rows. Allowed: --id-column 'column 1'"),
        ("a.csv", "a,b,\n0,2,\n1,4,\n", None, "1 of .*: 'column 3' has no values. Allowed: --drop 'column 3'"),
        ("a.csv", bytes(range(256)), None, "could not be read: CSV parse error"),
        ("a.csv", "a,b\n1,2\n3,4\n", "kind", "has no column 'kind'; it has: a, b$"),
        ("a.csv", "a,kind\n1,u\n2,\n", "kind", "labels are missing, 1 in all, the first in row 2; --missing drop"),
        ("a.csv", "a,kind\n1,3\n2,\n", "kind", "labels are missing, 1 in all, the first in row 2; --missing drop"),
        ("a.csv", "a,a,b\n1,2,3\n3,4,5\n", "a", "has 2 columns 'a'"),
        ("a.csv", "kind\nu\nv\n", "kind", "no column is left to train on"),
        ("a.csv", COLUMNS + "1," * 19 + "1\n", "kind", ".*c10, c11 and 8 more$"),
        ("a.parquet", b"", None, ".*size is 0 bytes"),
        ("a.parquet", b"garbage" * 9, None, ".*not a parquet file"),
        ("a.parquet", {"a": [1, 2], "b": ["u", "v"]}, None, r"1 of .*: 'b' holds words \(2 different\), such as 'u'"),
        ("a.parquet", {"a": [1, 2], "b": [[1], [3, 4]]}, None, "1 of .*: 'b' holds lists of different lengths"),
        ("a.parquet", {"a": [1.0, None], "b": [1, 2]}, None, "1 of .*: 'a' has 1 gap"),
        ("a.parquet", {"Unnamed: 0": [0, 1], "b": [1, 2]}, None, "1 of .*: 'Unnamed: 0' numbers the rows"),
        ("a.npy", b"", None, "is no numpy file"),
        ("a.npy", b"garbage", None, "is no numpy file, or holds Python objects"),
        ("a.npy", b"\x93NUMPY\x01\x00", None, "could not be read: EOF: reading array header"),
        ("a.npy", X, "kind", "has no columns by name, as label_column"),
        ("a.npz", b"", None, "is no numpy file"),
        ("a.npz", b"PK\x03\x04garbage", None, "could not be read: File is not a zip file"),
        ("a.npz", {"u": X, "v": X}, None, "holds the arrays u, v; --array names one of them"),
        ("a.npz", {"x": X}, "kind", "has no array 'kind'; it has: x"),
        ("a.npz", {"x": X, "kind": np.arange(3)}, "kind", r"has 4 rows, but array 'kind' has shape \(3,\)"),
        ("a.npz", {"x": X, "kind": np.zeros((4, 2))}, "kind", r"has 4 rows, but array 'kind' has shape \(4, 2\)"),
        (
            "a.npz",
            {"x": X, "kind": np.array([1, np.nan, 2, 3])},
            "kind",
            "labels are missing, 1 in all, the first in row 2",
        ),
        ("a.dat", "1 2", None, "can't read .dat; allowed: .csv, .tsv, .txt, .xlsx, .jsonl"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, name: str, content: Any, label: str | None, message: str) -> None:
    refused(write(tmp_path / name, content), f"{name}: {message}", label)


LONG = "n" * 10_000
ROWS = "1,3,2\n4,5,6\n7,8,0\n"
HEADERS = (
    "(13, 4)",
    "(1099511627776, 4)",
    "12",
    "(3.0, 4)",
    "(3, 4",
    "__import__('pathlib').Path('unpickled').touch()",
)


def headed(text: str) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + bytes(96)


@pytest.mark.parametrize(
    ("name", "contents", "label"),
    [
        ("a.csv", [f"a,b\n1,2\n{bad},4\n5,6\n" for bad in (
            "inf", "1e400", "NA", "1;2", "1_000", "0x1p3", "1e", "1 2", "٣", "１", "½", "2020-01-01", "=1+1", "\u202e1",
        )], None),
        ("a.csv", [f"{LONG},b\n1,2\n3,\n", f"a,{LONG}\n1,x\n3,4\n", "1" * 2_000_000, "a,b\n" + "1" * 20_000_000], None),
        ("a.csv", ["a,b\n1,2\0\n3,4\n", "\0" * 99, "a\x1b[31m\x07,b\n1,2\n3,\n", '"a,b\n1,2\n', "<html>\n" * 9], None),
        ("a.csv", ["a,b", "a", "\n\n\n", " ", ",", '""\n'], None),
        ("a.csv", [("aé,b\n" + ROWS).encode(e) for e in ("utf-16", "utf-16-le", "utf-32", "utf-7", "latin-1")], None),
        ("a.csv", [ROWS], "q\n"),
        ("a.npy", [headed(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {each}, }}") for each in HEADERS], None),
        ("a.npy", [headed(f"{{'descr': {kind}, 'fortran_order': False, 'shape': (3, 4), }}")
                   for kind in ("'|O'", "[('a', '|O')]", "'nonsense'", "None", "'T'")], None),
        ("a.npy", [headed("{"), headed("1" * 60_000), made(np.save, X).replace(b"NUMPY\1", b"NUMPY\4")], None),
        ("a.npz", [b"PK" * 99, made(np.savez), {"x": made(np.save, X)}], None),
        ("a.npz", [{"x": X, "kind": bad} for bad in (np.arange(4) * 1j, np.array([b"\xff"] * 4))], "kind"),
        ("a.parquet", [b"PAR1" * 99, {}, {"a": []}] + [{"a": [1.0, 2.0], "b": column} for column in (
            [[[[1]]]] * 2, [b"\xff", b""], [None, None], [1.0, np.inf], pd.Categorical(["a", "b"]),
            pd.to_datetime(["2020", "2021"]), pd.to_timedelta([1, 2]),
        )], None),
    ],
)  # fmt: skip
def test_other_contents_are_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, contents: list[Any], label: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for content in contents:
        refused(write(tmp_path / name, content), f"^{tmp_path}/{name}: ", label)
    assert [p.name for p in tmp_path.iterdir()] == [name]  # nothing was run


@pytest.mark.parametrize(
    "odd", ["a\nb", "\x1b[31mred", "\u202egnp", "n" * 240, "%s{x}", "\udcff", "'`$(id)", "-rf", "🦊"]
)
@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "parquet", "pkl"])
def test_a_file_with_an_odd_name_is_refused_in_one_line(tmp_path: Path, suffix: str, odd: str) -> None:
    path = write(tmp_path / f"{odd}.{suffix}", b"\x93NUMPY nothing, \xff of use")
    with pytest.raises(BadInput) as caught:
        load_table(path)
    assert str(caught.value).isprintable()


def test_a_folder_called_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    (tmp_path / "year=2020").mkdir()
    assert load_table(write(tmp_path / "year=2020" / "a.parquet", {"a": [1, 2]})).numbers.tolist() == [[1], [2]]


def test_a_device_is_refused() -> None:
    refused(Path("/dev/null"), "/dev/null: is neither a file nor a folder")


def test_a_row_of_a_csv_file_may_be_long(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((3, 10_000))
    (tmp_path / "a.csv").write_text("".join(",".join(f"{v:.200f}" for v in row) + "\n" for row in x))
    assert np.array_equal(load_table(tmp_path / "a.csv").numbers, x)


def test_a_zip_of_other_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.txt", b"text")
    refused(tmp_path / "a.npz", r"a.npz: array 'x\.txt': holds bytes32 values; allowed: real numbers")


def test_a_numpy_file_of_the_other_suffix_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.npy", X).rename(tmp_path / "b.npz")
    write(tmp_path / "a.npz", {"x": X}).rename(tmp_path / "b.npy")
    for name in ("b.npz", "b.npy"):
        assert load_table(tmp_path / name).numbers.tolist() == X.tolist()


def test_a_folder_has_no_column_of_labels(tmp_path: Path) -> None:
    picture(tmp_path / "folder" / "a.png", 1)
    refused(tmp_path / "folder", "folder: a folder has no columns", "kind")


def stored(picture: Image.Image, kind: str = "png", **options: Any) -> bytes:
    return made(lambda file: picture.save(file, kind, **options))


SEVERAL = {"save_all": True, "append_images": [Image.new("L", (3, 2), value) for value in (99, 199)]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.png", b"\x89PNG not really", "could not be read: "),
        ("b.png", stored(Image.new("L", (300, 200), 2))[:200], "could not be read: "),
        (
            "b.png",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 3 2\n",
            "could not be read: cannot identify image file",
        ),
        ("b.png", stored(Image.new("L", (9, 9), 1)), "is 9x9 pixels, a.png is 3x2"),
        ("b.png", stored(Image.fromarray(np.zeros((2, 3), np.uint16))), "has 16 bits a pixel and another has 8"),
        (
            "b.tif",
            stored(Image.fromarray(np.ones((2, 3), np.float32)), "tiff"),
            "has more than 16 bits a pixel, or colours of 16",
        ),
        ("b.ppm", b"P6 3 2 1023\n" + bytes(36), "has more than 16 bits a pixel, or colours of 16"),
        ("b.pgm", b"P5 3 2 0\n" + bytes(6), "could not be read: "),
        ("b.pgm", b"P5 -3 2 255\n" + bytes(6), "could not be read: "),
        ("b.png", stored(Image.new("RGBA", (3, 2), (9, 9, 9, 254))), "has transparent pixels; save it on a background"),
        ("b.png", stored(Image.new("LA", (3, 2), (9, 0))), "has transparent pixels"),
        ("b.png", stored(Image.new("P", (3, 2)), transparency=0), "has transparent pixels"),
        ("b.png", stored(Image.new("L", (3, 2), 9), transparency=9), "has transparent pixels"),
        ("b.png", stored(Image.new("RGB", (3, 2), (9, 9, 9)), transparency=(9, 9, 9)), "has transparent pixels"),
        ("b.tif", stored(Image.new("L", (3, 2)), "tiff", **SEVERAL), "has 3 pages; save each as a picture of its own"),
        ("b.gif", stored(Image.new("L", (3, 2)), "gif", **SEVERAL), "has 3 frames; save each as a picture of its own"),
        ("b.webp", stored(Image.new("L", (3, 2)), "webp", **SEVERAL), "has 3 frames"),
        ("b.png", stored(Image.new("L", (3, 2)), "png", **SEVERAL), "has 3 frames"),
    ],
)
def test_unusable_images_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    picture(tmp_path / "a.png", 1)
    refused(write(tmp_path / name, content).parent, f"{name}: {message}")


def test_unusable_folders_of_images_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "holds no images")
    picture(tmp_path / "a.png", 1)
    refused(tmp_path, "has one row")
    picture(tmp_path / "b.png", 1)
    refused(tmp_path, "all 2 rows are the same")
    (tmp_path / "c.png").symlink_to("nowhere")
    refused(tmp_path, "c.png: could not be read: No such file or directory")


def test_an_index_that_pandas_saved_is_no_column(tmp_path: Path) -> None:
    rows = pd.DataFrame({"a": [1, 2], "b": [3, 4]}, index=["u", "v"])
    assert load_table(write(tmp_path / "a.parquet", rows)).numbers.tolist() == [[1, 3], [2, 4]]
