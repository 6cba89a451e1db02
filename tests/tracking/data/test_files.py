"""A user's own files: read right, or refused with one line that names the place."""

import pickle
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from elbowroom.tracking.data.datasets import _read_table
from elbowroom.tracking.data.files.base import Request, Table
from elbowroom.tracking.store.errors import BadInput
from tests.tracking.data.malformed import UNPICKLED, Bomb

X = np.arange(12, dtype=np.float64).reshape(4, 3)


def picture(path: Path, value: int, size: tuple[int, int] = (3, 2), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)


def saved(path: Path) -> Path:
    """X in a file of the kind that the suffix says."""
    if path.suffix == ".parquet":
        pd.DataFrame(X, columns=["a", "b", "c"]).to_parquet(path)
    elif path.suffix == ".npy":
        np.save(path, X)
    else:
        np.savez_compressed(path, x=X)
    return path


def load_table(path: Path, label_column: str | None = None, header: str = "auto") -> Table:
    return _read_table(path, Request(label_column, header))


def refused(path: Path, message: str, label_column: str | None = None, header: str = "auto") -> None:
    """BadInput of one line."""
    with pytest.raises(BadInput, match=message) as caught:
        load_table(path, label_column, header)
    assert "\n" not in str(caught.value)


def test_npy_and_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "b.npz", x=X, y=np.array([0, 1, 1, 0]))
    assert load_table(tmp_path / "a.npy").x.tolist() == X.tolist()
    table = load_table(tmp_path / "b.npz", "y")
    assert (table.x.dtype, table.y.tolist()) == (X.dtype, [0, 1, 1, 0])


def test_pictures_in_arrays_keep_their_shape(tmp_path: Path) -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.save(tmp_path / "grey.npy", grey)
    np.save(tmp_path / "torch.npy", np.stack([grey] * 3, axis=1))  # channels first
    table = load_table(tmp_path / "grey.npy")
    assert (table.image_shape, table.x[0, 1]) == ((3, 4), 1)
    colour = load_table(tmp_path / "torch.npy")
    assert colour.image_shape == (3, 4, 3)
    assert np.array_equal(colour.x.reshape(2, 3, 4, 3)[..., 2], grey)


@pytest.mark.parametrize(
    ("arrays", "label", "x", "y"),
    [
        ({"anything": X}, None, X, None),
        ({"other": X[:2], "x_train": X}, None, X, None),
        ({"anything": X, "kind": np.array(list("uvuv"))}, "kind", X, list("uvuv")),
        ({"anything": X > 4}, None, X > 4, None),
        ({"x": X, "kind": np.array([[3], [1], [4], [1]])}, "kind", X, [3, 1, 4, 1]),
        ({"x_train": X, "y_train": np.arange(4)}, None, X, [0, 1, 2, 3]),
        ({"train_images": X, "train_labels": np.arange(4)[:, None]}, None, X, [0, 1, 2, 3]),
        ({"x_train": X, "y_train": np.eye(4)}, None, X, None),  # what are no classes is left alone
        ({"x_train": X, "y_train": np.arange(4.0)}, None, X, None),
        ({"x_train": X, "y_train": np.array([None] * 4)}, None, X, None),
        ({"anything": np.asfortranarray(X.astype(">i2"))}, None, X, None),
    ],
)
def test_npz_with_one_array_or_one_of_a_known_name(
    tmp_path: Path, arrays: dict[str, np.ndarray], label: str | None, x: np.ndarray, y: list[str] | None
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    table = load_table(tmp_path / "a.npz", label)
    assert table.x.tolist() == x.tolist()
    assert (None if table.y is None else table.y.tolist()) == y


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
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random(shape))
    table = load_table(tmp_path / "a.npy")
    assert (table.image_shape, table.x.shape) == (image_shape, (4, dim1))


@pytest.mark.parametrize("header", ["a,b,c\n", "", "\ufeffa,b,c\r\n", '"a","b","c"\n\n'])
def test_csv_with_and_without_a_header(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(header + "".join(",".join(map(str, row)) + "\n" for row in X))
    assert load_table(tmp_path / "a.csv").x.tolist() == X.tolist()


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
    assert (table.x.tolist(), table.names) == (numbers.tolist(), tuple(first.split(",")))
    table = load_table(path, header="no")
    assert (table.x[1:].tolist(), table.names) == (numbers.tolist(), None)
    assert table.x[0].tolist() == np.array(first.split(","), dtype=float).tolist()


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
    assert load_table(tmp_path / "a.csv").x.tolist() == expected.tolist()


def test_few_rows_of_random_numbers_are_taken_for_a_header(tmp_path: Path) -> None:
    rng, asked = np.random.default_rng(0), 0
    for _ in range(200):
        np.savetxt(tmp_path / "a.csv", rng.normal(size=(20, 4)), delimiter=",")
        try:
            load_table(tmp_path / "a.csv")
        except BadInput:
            asked += 1
    assert asked <= 200 / 10  # a row of four rises or falls in 1 of 12 cases


def test_the_name_of_the_labels_makes_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("0,1,2\n0.5,0.25,u\n0.75,0.5,v\n")
    table = load_table(tmp_path / "a.csv", "2")
    assert (table.x.tolist(), table.y.tolist()) == ([[0.5, 0.25], [0.75, 0.5]], ["u", "v"])


def test_columns_without_a_header_have_names_for_the_labels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("5.1,3.5,u\n4.9,3,v\n")
    table = load_table(tmp_path / "a.csv", "f2", "no")
    assert (table.x.shape, table.y.tolist()) == ((2, 2), ["u", "v"])


@pytest.mark.parametrize(
    ("mark", "called"), [(";", "';'"), ("\t", "tabs"), ("|", r"'\|'"), (" ", "spaces"), ("   ", "spaces")]
)
@pytest.mark.parametrize("header", ["a,b,kind", '"a","b","kind"', "1,2,3"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_other_separators_are_named(tmp_path: Path, mark: str, called: str, header: str, decimal: str) -> None:
    lines = [header.replace(",", mark), *(mark.join((f"0{decimal}40{i}", f"1{decimal}5", f"{i}")) for i in range(3))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    commas = ", with decimal commas; save with commas and decimal points$" if decimal == "," else "; save with commas$"
    for label in (None, "kind"):
        refused(tmp_path / "a.csv", f"a.csv: columns look separated by {called}{commas}", label)


def test_where_commas_fit_no_other_separator_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a, b; c\n1, 2\n3, 4\n")
    assert load_table(tmp_path / "a.csv").x.tolist() == [[1, 2], [3, 4]]
    (tmp_path / "a.csv").write_text("a b, c d\n1, 2\n3,\n")
    refused(tmp_path / "a.csv", "row 2, column ' c d' is empty")


def test_csv_with_labels_and_words_for_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,kind,b\n1.5,u,true\n2,v,false\n")
    table = load_table(tmp_path / "a.csv", "kind")
    assert (table.x.tolist(), table.y.tolist()) == ([[1.5, 1], [2, 0]], ["u", "v"])


@pytest.mark.parametrize(
    ("dtype", "held"),
    [("uint8", "uint8"), ("int16", "float32"), ("int64", "float32"), ("float32", "float32"), ("float64", "float64")],
)
def test_numbers_are_held_in_a_type_that_has_all_their_digits(tmp_path: Path, dtype: str, held: str) -> None:
    pd.DataFrame({"a": [0, 255]}, dtype=dtype).to_parquet(tmp_path / "a.parquet")
    table = load_table(tmp_path / "a.parquet")
    assert (table.x.tolist(), table.x.dtype) == ([[0], [255]], held)
    np.save(tmp_path / "a.npy", np.array([[2**24 + 1], [0]]))
    assert load_table(tmp_path / "a.npy").x.tolist() == [[2**24 + 1], [0]]


def test_parquet_with_labels(tmp_path: Path) -> None:
    pd.DataFrame(X, columns=["a", "b", "c"]).assign(kind=list("uvuv")).to_parquet(tmp_path / "a.parquet")
    table = load_table(tmp_path / "a.parquet", "kind")
    assert (table.x.tolist(), table.y.tolist()) == (X.tolist(), list("uvuv"))


def test_folders_of_images(tmp_path: Path) -> None:
    for name, value in {"cat/1.png": 0, "cat/2.png": 51, "dog/1.png": 255}.items():
        picture(tmp_path / "classes" / name, value)
    table = load_table(tmp_path / "classes")
    assert (table.image_shape, table.y.tolist()) == ((2, 3), ["cat", "cat", "dog"])
    assert table.x[:, 0].tolist() == [0, 51, 255]
    picture(tmp_path / "flat" / "a.png", 9, mode="RGB")
    picture(tmp_path / "flat" / "b.png", 99)
    flat = load_table(tmp_path / "flat")
    assert (flat.image_shape, flat.y, flat.from_pictures) == ((2, 3, 3), None, True)
    assert flat.x.reshape(2, 6, 3)[:, 0].tolist() == [[9, 0, 0], [99, 99, 99]]


def test_hidden_and_other_files_between_images_are_skipped(tmp_path: Path) -> None:
    for name, value in {"a.png": 1, "b.PNG": 2, ".ipynb_checkpoints/a.png": 3}.items():
        picture(tmp_path / name, value)
    (tmp_path / "._a.png").write_bytes(b"resource fork")
    (tmp_path / "notes.txt").write_text("not an image")
    assert load_table(tmp_path).x[:, 0].tolist() == [1, 2]


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
    assert np.abs(table.x[0] - table.x[1]).max() < 0.05  # JPEG and WEBP lose a little
    assert np.abs(table.x[0] - table.x[2]).max() > 0.9


SEE_THROUGH: dict[str, tuple[Image.Image, dict[str, object]]] = {
    "RGBA": (Image.new("RGBA", (3, 2), (9, 9, 9, 254)), {}),
    "LA": (Image.new("LA", (3, 2), (9, 0)), {}),
    "P": (Image.new("P", (3, 2)), {"transparency": 0}),
    "L with a transparent grey": (Image.new("L", (3, 2), 9), {"transparency": 9}),
    "RGB with a transparent colour": (Image.new("RGB", (3, 2), (9, 9, 9)), {"transparency": (9, 9, 9)}),
}


@pytest.mark.parametrize("mode", SEE_THROUGH)
def test_transparent_pictures_are_refused_by_name(tmp_path: Path, mode: str) -> None:
    image, options = SEE_THROUGH[mode]
    image.save(tmp_path / "a.png", **options)
    picture(tmp_path / "b.png", 1)
    refused(tmp_path, "a.png: has transparent pixels; save it on a background of one colour")


def test_an_opaque_picture_with_an_alpha_channel_is_read(tmp_path: Path) -> None:
    Image.new("RGBA", (3, 2), (51, 51, 51, 255)).save(tmp_path / "a.png")
    Image.new("LA", (3, 2), (102, 255)).save(tmp_path / "b.png")
    Image.new("L", (3, 2), 153).save(tmp_path / "c.png", transparency=9)
    assert load_table(tmp_path).x[:, 0].tolist() == [51, 102, 153]


@pytest.mark.parametrize(
    ("suffix", "kind"), [("tif", "pages"), ("gif", "frames"), ("webp", "frames"), ("png", "frames")]
)
def test_several_pictures_in_a_file_are_refused(tmp_path: Path, suffix: str, kind: str) -> None:
    several = [Image.new("L", (3, 2), v) for v in (9, 99, 199)]
    several[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=several[1:])
    picture(tmp_path / "b.png", 1)
    refused(tmp_path, f"a.{suffix}: has 3 {kind}; save each as a picture of its own")


def test_a_preview_that_a_camera_appended_to_a_jpeg_is_ignored(tmp_path: Path) -> None:
    for name, value in {"a.jpg": 51, "b.jpg": 102}.items():
        preview = Image.new("RGB", (3, 2), (0, 0, 0))
        Image.new("RGB", (3, 2), (value,) * 3).save(tmp_path / name, "mpo", save_all=True, append_images=[preview])
    assert load_table(tmp_path).x[:, 0].tolist() == [51, 102]


def test_parts_of_a_data_set_are_no_classes(tmp_path: Path) -> None:
    for number, place in enumerate(("train/cat", "train/dog", "Val/cat", "Val/dog")):
        picture(tmp_path / "parts" / place / "a.png", number)
    refused(tmp_path / "parts", "parts: its subfolders Val, train are parts of a data set, not classes; give one of")
    assert load_table(tmp_path / "parts" / "train").y.tolist() == ["cat", "dog"]
    for number, name in enumerate(("bus", "train")):  # as a class among others
        picture(tmp_path / "vehicles" / name / "a.png", number)
    assert load_table(tmp_path / "vehicles").y.tolist() == ["bus", "train"]


@pytest.mark.parametrize(
    ("array", "message"),
    [
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
    ],
)
def test_unusable_arrays_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x=array)
    for name in ("a.npy", "a.npz"):
        refused(tmp_path / name, f"{name}: .*{message}")


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    objects = np.array([[Bomb(), 1], [2, 3]], dtype=object)
    np.save("a.npy", objects, allow_pickle=True)
    np.savez("a.npz", x=objects)
    np.savez("labels.npz", x=X, kind=objects)
    Path("pickle.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("a.npy", "a.npz", "pickle.npy"):
        refused(Path(name), f"{name}: .*(Python objects|Object arrays)")
    refused(Path("labels.npz"), "labels.npz: array 'kind': could not be read: Object arrays", "kind")
    assert not Path(UNPICKLED).exists()
    np.load("a.npy", allow_pickle=True)
    assert Path(UNPICKLED).exists()  # the bomb works


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv: could not be read: Empty CSV file"),
        ("a.csv", b"a,b\n", "a.csv: has a header and no rows"),
        ("a.csv", b"a,b\n1,2\n", "a.csv: has one row"),
        ("a.csv", b"a,b\n1,2\n3\n", "a.csv: .*Row #3: Expected 2 columns, got 1: 3"),
        ("a.csv", b"a,b\n1,2\n3,4,5\n", "a.csv: .*Row #3: Expected 2 columns, got 3: 3,4,5"),
        ("a.csv", b"1,2\n3\n", "a.csv: .*Row #2: Expected 2 columns, got 1: 3"),
        ("a.csv", b"a,b\n1,2\n3,\n", "a.csv: row 2, column 'b' is empty"),
        ("a.csv", b"a,b\n1,2\n3,nan\n", "a.csv: row 2, column 'b' is empty or not a number"),
        ("a.csv", b"a,b\n1,2\n3,-inf\n", "a.csv: row 2, column 2 is not a finite number: -inf"),
        (
            "a.csv",
            b"a,b\n1,2\n3,x\n",
            r"a.csv: row 2, column 'b' holds 'x' \(text\), not numbers; label_column names",
        ),
        ("a.csv", b'a,b\n1,2\n3,"4,5"\n', "a.csv: row 2, column 'b' holds '4,5', with a decimal comma; save it with"),
        ("a.csv", b",b\n0,2\n1,4\n", "a.csv: .*looks like row numbers; save without an index"),
        ("a.csv", b"a,b,\n0,2,3\n1,4,5\n", "a.csv: column 3 has no name"),
        ("a.csv", bytes(range(256)), "a.csv: .*can't decode byte"),
        ("a.parquet", b"", "a.parquet: .*size is 0 bytes"),
        ("a.parquet", b"garbage" * 9, "a.parquet: .*not a parquet file"),
        ("a.npy", b"", "a.npy: .*is no numpy file"),
        ("a.npz", b"", "a.npz: is no numpy file"),
        ("a.npy", b"garbage", "a.npy: is no numpy file, or holds Python objects"),
        ("a.npz", b"PK\x03\x04garbage", "a.npz: could not be read: File is not a zip file"),
        ("a.npy", b"\x93NUMPY\x01\x00", "a.npy: could not be read: EOF: reading array header"),
        ("a.txt", b"1 2", "can't read .txt; allowed: .npy, .npz, .csv, .parquet"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, message)


def test_empty_lines_before_the_first_row_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n\n1,2\n3,4\n")
    assert load_table(tmp_path / "a.csv").x.tolist() == [[1, 2], [3, 4]]


def test_a_folder_called_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    (tmp_path / "year=2020").mkdir()
    assert load_table(saved(tmp_path / "year=2020" / "a.parquet")).x.tolist() == X.tolist()


def test_a_device_is_refused() -> None:
    refused(Path("/dev/null"), "/dev/null: is neither a file nor a folder")


def test_a_row_of_a_csv_file_may_be_long(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((3, 10_000))
    (tmp_path / "a.csv").write_text("".join(",".join(f"{v:.200f}" for v in row) + "\n" for row in x))
    assert np.array_equal(load_table(tmp_path / "a.csv").x, x)


def test_a_zip_of_other_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.txt", b"text")
    refused(tmp_path / "a.npz", r"a.npz: array 'x\.txt': holds bytes32 values; allowed: real numbers")


def test_labels_in_bytes_are_words(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, kind=np.array([b"u", b"v", b"u", b"v"]))
    assert load_table(tmp_path / "a.npz", "kind").y.tolist() == ["u", "v", "u", "v"]


def test_a_numpy_file_of_the_other_suffix_is_read(tmp_path: Path) -> None:
    saved(tmp_path / "a.npy").rename(tmp_path / "b.npz")
    saved(tmp_path / "a.npz").rename(tmp_path / "b.npy")
    for name in ("b.npz", "b.npy"):
        assert load_table(tmp_path / name).x.tolist() == X.tolist()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"a": [1, 2], "b": ["u", "v"]},
            r"row 1, column 'b' holds 'u' \(text\), not numbers; label_column names the labels$",
        ),
        ({"a": [1, 2], "b": [[1, 2], [3, 4]]}, "column 'b' holds lists, not numbers; save each of their values as a"),
        ({"a": [1, 2], "b": [{"u": 1}, {"u": 2}]}, "column 'b' holds struct<u: int64>, not numbers"),
        ({"b": [Decimal("1.50"), Decimal(2)]}, r"row 1, column 'b' holds '1.50' \(decimal128\(3, 2\)\), not"),
        ({"a": [1.0, None], "b": [1, 2]}, "row 2, column 'a' is empty"),
        ({"Unnamed: 0": [0, 1], "b": [1, 2]}, "looks like row numbers"),
    ],
)
def test_unusable_tables_are_refused(tmp_path: Path, columns: dict[str, list], message: str) -> None:
    pd.DataFrame(columns).to_parquet(tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", f"a.parquet: .*{message}")


@pytest.mark.parametrize(
    ("content", "label", "message"),
    [
        ("a,b\n1,2\n3,4\n", "kind", "has no column 'kind'; it has: a, b$"),
        ("a,kind\n1,u\n2,\n", "kind", "row 2, column 'kind' is empty"),
        ("a,kind\n1,3\n2,\n", "kind", "row 2, column 'kind' is empty"),
        ("a,a,b\n1,2,3\n3,4,5\n", "a", "has 2 columns 'a'"),
        ("kind\nu\nv\n", "kind", "is empty"),
        (",".join(f"c{i}" for i in range(20)) + "\n", "kind", "has a header and no rows"),
        (",".join(f"c{i}" for i in range(20)) + "\n" + "1," * 19 + "1\n", "kind", "c10, c11 and 8 more$"),
    ],
)
def test_missing_labels_are_refused(tmp_path: Path, content: str, label: str | None, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    refused(tmp_path / "a.csv", f"a.csv: .*{message}", label)


@pytest.mark.parametrize(
    ("arrays", "label", "message"),
    [
        (
            {"u": X, "v": X},
            None,
            "holds the arrays u, v; allowed: x, x_train, train_images, data, or one array alone",
        ),
        ({"x": X}, "kind", "has no array 'kind'; it has: x"),
        ({"x": X, "kind": np.arange(3)}, "kind", r"has 4 rows, but labels of shape \(3,\)"),
        ({"x": X, "kind": np.zeros((4, 2))}, "kind", r"has 4 rows, but labels of shape \(4, 2\)"),
        ({"x": X, "kind": np.array([1, np.nan, 2, 3])}, "kind", "the label of row 2 is not a finite number"),
    ],
)
def test_npz_without_what_is_asked_for(
    tmp_path: Path, arrays: dict[str, np.ndarray], label: str | None, message: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    refused(tmp_path / "a.npz", f"a.npz: {message}", label)


def test_label_columns_go_with_tables(tmp_path: Path) -> None:
    refused(saved(tmp_path / "a.npy"), "a .npy file has no columns by name", "kind")
    picture(tmp_path / "folder" / "a.png", 1)
    refused(tmp_path / "folder", "folder: a folder has no columns", "kind")


def test_unusable_images_are_refused(tmp_path: Path) -> None:
    for name in ("broken", "cut", "sizes", "deep", "one", "same"):
        picture(tmp_path / name / "a.png", 1)
    (tmp_path / "broken" / "b.png").write_bytes(b"\x89PNG not really")
    picture(tmp_path / "sizes" / "b.png", 1, size=(9, 9))
    Image.fromarray(np.zeros((2, 3), dtype=np.uint16)).save(tmp_path / "deep" / "b.png")
    picture(tmp_path / "same" / "b.png", 1)
    picture(tmp_path / "cut" / "b.png", 2, size=(300, 200))
    content = (tmp_path / "cut" / "b.png").read_bytes()
    (tmp_path / "cut" / "b.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "postscript").mkdir()
    (tmp_path / "postscript" / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 5\n")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "a.png").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    for name, message in {
        "postscript": "a.png: could not be read: cannot identify image file",
        "gone": "a.png: could not be read: No such file or directory",
        "broken": "b.png: could not be read: ",
        "cut": "b.png: could not be read: ",
        "one": "one: has one row",
        "same": "same: all 2 rows are the same",
        "sizes": "b.png: is 9x9 pixels, a.png is 3x2",
        "deep": "b.png: has more than 8 bits a pixel",
        "empty": "empty: holds no images",
    }.items():
        refused(tmp_path / name, message)


def test_a_colour_picture_of_more_than_8_bits_is_refused(tmp_path: Path) -> None:
    for most, digits in ((255, b"\1\2\3" * 4), (1023, b"\1\2\1\2\1\2" * 4)):
        for name in "ab":
            (tmp_path / f"{name}.ppm").write_bytes(b"P6 2 2 %d\n" % most + digits.replace(b"\1", name.encode()))
        if most == 255:
            assert load_table(tmp_path).x.shape == (2, 12)
    refused(tmp_path, "a.ppm: has more than 8 bits a pixel")
