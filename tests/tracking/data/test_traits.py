"""The table in docs/data.md: what happens to each trait that real files have."""

import gzip
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pytest
import scipy.io
import scipy.sparse
from PIL import Image

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset, save_frame
from elbowroom.tracking.data.datasets import Dataset, split
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.store.errors import BadInput
from tests.conftest import ROOT

X = np.random.default_rng(0).normal(size=(60, 3)).round(3)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
KINDS = np.resize(["cat", "dog"], 60)
TRAITS: dict[str, Callable[[Path], None]] = {}


def trait(name: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Register a test as the row of that name."""

    def add(test: Callable[[Path], None]) -> Callable[[Path], None]:
        assert name not in TRAITS
        TRAITS[name] = test
        return test

    return add


def load(path: Path | str, **fields: Any) -> Dataset:
    return load_dataset(RunConfig(dataset=str(path), **fields))


def csv(folder: Path, frame: pd.DataFrame = FRAME, name: str = "a.csv", **options: Any) -> Path:
    frame.to_csv(folder / name, index=False, **options)
    return folder / name


def rows(data: Dataset) -> np.ndarray:
    """All rows, sorted: which of them are test rows is of no interest."""
    x = np.concatenate([data.x_train, data.x_test])
    return x[np.lexsort(x.T)]


SORTED = X[np.lexsort(X.T)].astype(np.float32)


def is_whole(data: Dataset) -> None:
    assert np.array_equal(rows(data), SORTED)


def refuses(message: str, path: Path | str, **fields: Any) -> None:
    with pytest.raises(BadInput, match=message):
        load(path, **fields)


@trait("semicolons and decimal commas")
def _(folder: Path) -> None:
    data = load(csv(folder, sep=";", decimal=","))
    is_whole(data)
    assert data.notes == ("separated by ';', with decimal commas",)


@trait("1,234: a decimal comma or thousands")
def _(folder: Path) -> None:
    numbers = pd.DataFrame({"a": [f"{i % 9 + 1},{100 + i}" for i in range(60)], "b": range(0, 120, 2)})
    refuses("'1,100' may have a decimal comma or a separator of thousands", csv(folder, numbers, sep=";"))
    numbers.loc[0, "a"] = "0,5"
    assert load(csv(folder, numbers, sep=";"), columns="a").x_train.max() < 10


@trait("tabs (.tsv)")
def _(folder: Path) -> None:
    is_whole(load(csv(folder, sep="\t", name="a.tsv")))


@trait("spaces, lines of comments (.txt of numpy)")
def _(folder: Path) -> None:
    np.savetxt(folder / "a.txt", X, header="made by hand\nin two lines")
    data = load(folder / "a.txt")
    is_whole(data)
    assert data.notes == ("separated by spaces, without 2 lines of comments",)


@trait("compressed text (.csv.gz, .bz2, .zst)")
def _(folder: Path) -> None:
    (folder / "a.csv.gz").write_bytes(gzip.compress(csv(folder).read_bytes()))
    is_whole(load(folder / "a.csv.gz"))
    for suffix, codec in {"bz2": "bz2", "zst": "zstd"}.items():
        with pa.output_stream(folder / f"a.csv.{suffix}", compression=codec) as file:
            file.write((folder / "a.csv").read_bytes())
        is_whole(load(folder / f"a.csv.{suffix}"))


@trait("an encoding of Windows, or UTF-16")
def _(folder: Path) -> None:
    for encoding, called in {"cp1252": "cp1252", "utf-16": "utf-16"}.items():
        csv(folder, FRAME.rename(columns={"a": "größe"}), encoding=encoding)
        data = load(folder / "a.csv")
        assert (data.names[0], data.notes) == ("größe", (f"in the encoding {called}",))


@trait("numbers in the first line")
def _(folder: Path) -> None:
    csv(folder, FRAME.set_axis(["1100", "1200", "1300"], axis=1))
    refuses("--header yes or --header no says which", folder / "a.csv")
    is_whole(load(folder / "a.csv", header="yes"))


@trait("a row that is too short")
def _(folder: Path) -> None:
    path = csv(folder)
    path.write_text(path.read_text() + "1,2\n")
    refuses("Row #62: Expected 3 columns, got 2: 1,2", path)


@trait("running numbers, or an index that pandas wrote")
def _(folder: Path) -> None:
    FRAME.to_csv(folder / "a.csv")
    refuses("'column 1' numbers the rows. Allowed: --id-column 'column 1'", folder / "a.csv")
    data = load(folder / "a.csv", id_column="column 1")
    is_whole(data)
    order = np.random.default_rng(0).permutation(60)
    assert data.ids_test.tolist() == order[50:].astype(str).tolist()


@trait("another word in each row")
def _(folder: Path) -> None:
    csv(folder, FRAME.assign(name=[f"patient {i}" for i in range(60)]))
    refuses("'name' has another word in each row, such as 'patient 0'. Allowed: --id-column name", folder / "a.csv")
    is_whole(load(folder / "a.csv", drop="name"))


@trait("words")
def _(folder: Path) -> None:
    csv(folder, FRAME.assign(kind=KINDS))
    refuses(r"'kind' holds words \(2 different\), such as 'cat'. Allowed: --categories one-hot", folder / "a.csv")
    is_whole(load(folder / "a.csv", categories="drop"))
    assert load(folder / "a.csv", categories="one-hot", columns="kind").dim1 == 2
    hot = load(folder / "a.csv", categories="one-hot")
    assert hot.names == ("a", "b", "c", "kind=cat", "kind=dog")
    assert (hot.x_train[:, 3] + hot.x_train[:, 4] == 1).all()


@trait("a word that only test rows have")
def _(folder: Path) -> None:
    train = csv(folder, FRAME.assign(kind=KINDS))
    test = csv(folder, FRAME[:4].assign(kind="emu"), "b.csv")
    assert load(train, test_data=str(test), categories="one-hot").x_test[:, 3:].tolist() == [[0, 0]] * 4


@trait("more than 100 different words")
def _(folder: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(300) % 7, "w": [f"w{i % 150}" for i in range(300)]})
    refuses(r"'w' holds words \(150 different, and one-hot takes 100\)", csv(folder, frame), categories="one-hot")


@trait("dates")
def _(folder: Path) -> None:
    csv(folder, FRAME.assign(when=pd.date_range("2020-01-01", periods=60)))
    refuses("'when' holds dates, such as '2020-01-01'. Allowed: --drop when", folder / "a.csv")
    csv(folder, FRAME.assign(when=pd.date_range("2020-01-01", periods=60).strftime("%d/%m/%Y")))
    refuses("'when' holds dates, such as '01/01/2020'", folder / "a.csv")


@trait("gaps: empty, NA, nan")
def _(folder: Path) -> None:
    csv(folder, FRAME.mask(FRAME.b > 1))
    refuses("3 of 3 columns .*'b' has [0-9]+ gaps, .*Allowed: --missing median", folder / "a.csv")
    kept = load(folder / "a.csv", missing="drop")
    assert np.array_equal(rows(kept), SORTED[SORTED[:, 1] <= 1])
    data = load(csv(folder, FRAME.assign(b=FRAME.b.where(FRAME.index != 7))), missing="median")
    (filled,) = set(rows(data)[:, 1]) - set(SORTED[:, 1]) or {np.float32(0)}
    fit = split(load(csv(folder)), "auto").x_train[:, 1]
    assert filled == pytest.approx(np.median(fit[fit != np.float32(X[7, 1])]), abs=1e-6)


@trait("gaps written as words, such as ?")
def _(folder: Path) -> None:
    csv(folder, FRAME.assign(b=FRAME.b.astype(str).where(FRAME.index > 1, "?")))
    refuses(r"'b' has 2 gaps, 3.3 % \(written '\?'\)", folder / "a.csv")
    assert len(rows(load(folder / "a.csv", missing="drop"))) == 58


@trait("a gap in each row")
def _(folder: Path) -> None:
    csv(folder, FRAME.mask(np.eye(3, dtype=bool)[np.arange(60) % 3]))
    refuses("60 of 60 rows have gaps; --drop the columns with most", folder / "a.csv", missing="drop")


@trait("a column without values")
def _(folder: Path) -> None:
    csv(folder, FRAME.assign(d=np.nan))
    refuses("'d' has no values. Allowed: --drop d", folder / "a.csv")


@trait("some columns of many")
def _(folder: Path) -> None:
    csv(folder, FRAME.assign(gene_1=1.0 * np.arange(60) % 7, gene_2=2.5, note=KINDS))
    assert load(folder / "a.csv", columns="gene_*").names == ("gene_1", "gene_2")
    assert load(folder / "a.csv", columns="a,gene_*", drop="gene_2").names == ("a", "gene_1")
    refuses("has no column 'gen', which columns names; it has: a, b, c, gene_1", folder / "a.csv", columns="gen")


@trait("two columns of one name")
def _(folder: Path) -> None:
    assert load(csv(folder, FRAME.set_axis(["a", "a", "c"], axis=1))).names == ("a", "a", "c")
    refuses("has 2 columns 'a'", folder / "a.csv", label_column="a")


@trait("a column with nearly all the variance")
def _(folder: Path) -> None:
    data = PreparedData.load(RunConfig(dataset=str(csv(folder, FRAME.assign(money=2.5e11 * X[:, 0] + 1e11)))))
    assert data.dominant_column == ("money", pytest.approx(1))
    assert data.resolution > 1e6  # the other columns' errors are below it
    scaled = PreparedData.load(RunConfig(dataset=str(folder / "a.csv"), scale="columns"))
    assert scaled.dominant_column is None
    assert np.allclose(scaled.split.x_train.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(scaled.split.x_train.var(axis=0), 1, atol=1e-6)
    assert scaled.resolution < 1e-12


@trait("numbers far from 0, such as years or time stamps")
def _(folder: Path) -> None:
    path = folder / "a.npy"
    np.save(path, X + 1e9)
    assert load(path).x_train.dtype == np.float64
    assert np.allclose(np.ptp(load(path).x_train, axis=0), np.ptp(load(csv(folder)).x_train, axis=0), atol=1e-6)


@trait("infinite, or too large for 32 bits")
def _(folder: Path) -> None:
    for value, fault in {np.inf: "not a finite number: inf", 1e39: "larger than 8.3e"}.items():
        csv(folder, FRAME.assign(b=FRAME.b.where(FRAME.index != 2, value)))
        refuses(f"row 3, column 2 is {fault}", folder / "a.csv")


@trait("labels as words or as numbers")
def _(folder: Path) -> None:
    assert load(csv(folder, FRAME.assign(kind=KINDS)), label_column="kind").classes == ("cat", "dog")
    assert load(csv(folder, FRAME.assign(kind=np.arange(60) % 3)), label_column="kind").classes == ("0", "1", "2")


@trait("labels that are measured, as an age")
def _(folder: Path) -> None:
    data = load(csv(folder, FRAME.assign(age=np.arange(60) + 0.5)), label_column="age")
    assert (data.classes, data.y_train.dtype) == ((), np.float64)
    assert sorted([*data.y_train, *data.y_test]) == (np.arange(60) + 0.5).tolist()


@trait("rows without a label")
def _(folder: Path) -> None:
    csv(folder, FRAME.assign(kind=pd.Series(KINDS).where(FRAME.index > 3)))
    refuses("labels are missing, 4 in all, the first in row 1; --missing drop", folder / "a.csv", label_column="kind")
    assert len(rows(load(folder / "a.csv", label_column="kind", missing="drop"))) == 56


@trait("rows of one patient, site or batch")
def _(folder: Path) -> None:
    path = csv(folder, FRAME.assign(who=np.arange(60) // 3))
    data = load(path, group_column="who", id_column="a", columns="a,b,c")
    parts = split(data, "auto")
    groups = {float(x): i // 3 for i, x in enumerate(FRAME.b.astype(np.float32))}
    found = [{groups[float(v)] for v in x[:, 0]} for x in (parts.x_train, parts.x_val, data.x_test)]
    assert sum(map(len, found)) == len(set.union(*found)) == 20
    assert all(found)


@trait("rows without a group")
def _(folder: Path) -> None:
    path = csv(folder, FRAME.assign(who=pd.Series(KINDS).where(FRAME.index > 3)))
    refuses("group_column 'who' has gaps; each row needs a group", path, group_column="who")


@trait("a group in training and test file")
def _(folder: Path) -> None:
    train, test = (csv(folder, FRAME.assign(who=who), f"{who}.csv") for who in (1, 2))
    train = csv(folder, FRAME.assign(who=np.arange(60) % 3), "1.csv")
    refuses("1 groups, such as '2', have training and test rows", train, test_data=str(test), group_column="who")


@trait("test rows without labels, as of Kaggle")
def _(folder: Path) -> None:
    train, test = csv(folder, FRAME.assign(kind=KINDS)), csv(folder, FRAME[:5], "test.csv")
    data = load(train, test_data=str(test), label_column="kind")
    assert (data.y_test, data.classes, len(data.x_test)) == (None, ("cat", "dog"), 5)


@trait("test columns in another order")
def _(folder: Path) -> None:
    test = csv(folder, FRAME[["c", "a", "b"]][:5], "test.csv")
    assert np.array_equal(load(csv(folder), test_data=str(test)).x_test, X[:5].astype(np.float32))


@trait("an Excel sheet (.xlsx)")
def _(folder: Path) -> None:
    with pd.ExcelWriter(folder / "a.xlsx") as book:
        FRAME.to_excel(book, sheet_name="one", index=False)
        (2 * FRAME).to_excel(book, sheet_name="two", index=False)
    data = load(folder / "a.xlsx")
    is_whole(data)
    assert data.notes == ("sheet 'one' of 2",)
    assert np.array_equal(rows(load(folder / "a.xlsx", array="two")), 2 * SORTED)


@trait("JSON lines (.jsonl)")
def _(folder: Path) -> None:
    FRAME.to_json(folder / "a.jsonl", orient="records", lines=True)
    is_whole(load(folder / "a.jsonl"))


@trait("Parquet and Feather")
def _(folder: Path) -> None:
    FRAME.to_parquet(folder / "a.parquet")
    feather.write_feather(FRAME, str(folder / "a.feather"))
    is_whole(load(folder / "a.parquet"))
    is_whole(load(folder / "a.feather"))


@trait("a column of lists, as of embeddings")
def _(folder: Path) -> None:
    pd.DataFrame({"emb": X.tolist(), "kind": KINDS}).to_parquet(folder / "a.parquet")
    data = load(folder / "a.parquet", label_column="kind")
    is_whole(data)
    assert data.names == ("emb[0]", "emb[1]", "emb[2]")


@trait("a pandas DataFrame")
def _(folder: Path) -> None:
    path = save_frame(FRAME.assign(kind=pd.Categorical(KINDS)), "mine")
    data = load(path, label_column="kind")
    is_whole(data)
    assert (data.name, data.classes) == ("mine", ("cat", "dog"))
    assert save_frame(FRAME.assign(kind=pd.Categorical(KINDS)), "mine") == path


@trait("arrays with their test rows (.npz of Keras, MedMNIST)")
def _(folder: Path) -> None:
    np.savez(folder / "a.npz", x_train=X[:50], y_train=np.arange(50) % 2, x_test=X[50:], y_test=np.arange(10) % 2)
    data = load(folder / "a.npz")
    assert np.array_equal(data.x_test, X[50:].astype(np.float32))
    assert data.y_test.tolist() == [0, 1] * 5


@trait("one of several arrays")
def _(folder: Path) -> None:
    np.savez(folder / "a.npz", rows=X, others=2 * X)
    refuses("holds the arrays rows, others; --array names one of them", folder / "a.npz")
    is_whole(load(folder / "a.npz", array="rows"))


@trait("Matlab (.mat)")
def _(folder: Path) -> None:
    scipy.io.savemat(folder / "a.mat", {"X": X, "y": np.arange(60) % 3})
    data = load(folder / "a.mat", label_column="y")
    is_whole(data)
    assert data.classes == ("0", "1", "2")


@trait("a sparse matrix (.npz of scipy)")
def _(folder: Path) -> None:
    scipy.sparse.save_npz(folder / "a.npz", scipy.sparse.csr_matrix(X))
    is_whole(load(folder / "a.npz"))


@trait("HDF5 (.h5)")
def _(folder: Path) -> None:
    with h5py.File(folder / "a.h5", "w") as file:
        file["deep/X"], file["deep/y"] = X, [b"cat", b"dog"] * 30
    is_whole(load(folder / "a.h5", array="deep/X"))
    assert load(folder / "a.h5", array="deep/X", label_column="deep/y").classes == ("cat", "dog")


@trait("cells and genes (.h5ad of anndata)")
def _(folder: Path) -> None:
    sparse = scipy.sparse.csr_matrix(np.maximum(X, 0))
    with h5py.File(folder / "a.h5ad", "w") as file:
        place = file.create_group("X")
        place.attrs.update({"encoding-type": "csr_matrix", "shape": sparse.shape})
        place["data"], place["indices"], place["indptr"] = sparse.data, sparse.indices, sparse.indptr
        file["layers/raw"] = X
        obs = file.create_group("obs")
        obs.attrs["_index"] = "_index"
        obs["_index"] = [f"cell{i}".encode() for i in range(60)]
        kind = obs.create_group("kind")
        kind["categories"], kind["codes"] = [b"cat", b"dog"], np.arange(60, dtype=np.int8) % 2
    data = load(folder / "a.h5ad", label_column="kind", id_column="_index")
    assert (data.x_train.min(), data.classes) == (0, ("cat", "dog"))
    assert data.ids_test[0].startswith("cell")
    is_whole(load(folder / "a.h5ad", array="raw"))
    refuses("has no layer 'counts'; it has: raw", folder / "a.h5ad", array="counts")


def picture(path: Path, value: int, size: tuple[int, int] = (4, 3), dtype: type = np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(size[::-1], value, dtype)
    pixels[0, 0] = 0
    Image.fromarray(pixels).save(path)


@trait("a folder of images, with a folder for each class")
def _(folder: Path) -> None:
    for i in range(12):
        picture(folder / "shots" / ("cat", "dog")[i % 2] / f"{i}.png", 20 * i)
    data = load(folder / "shots")
    assert (data.image_shape, data.classes, data.scaling) == ((3, 4), ("cat", "dog"), "divided by 255 (8-bit numbers)")


@trait("train/, val/ and test/ above the classes")
def _(folder: Path) -> None:
    for i, place in enumerate(np.repeat(["train", "val", "test"], 4)):
        picture(folder / "set" / place / ("cat", "dog")[i % 2] / f"{i}.png", 20 * i)
    data = load(folder / "set")
    parts = split(data, "auto")
    brightest = [(x.max(axis=1) * 255 / 20).round().tolist() for x in (parts.x_train, parts.x_val, data.x_test)]
    assert list(map(sorted, brightest)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@trait("images of several sizes")
def _(folder: Path) -> None:
    for i in range(6):
        picture(folder / "mix" / f"{i}.png", 40 * i, (4 + i, 3))
    refuses("is 5x3 pixels, 0.png is 4x3; all must be of one size; --resize 4x3", folder / "mix")
    assert load(folder / "mix", resize="8x6").image_shape == (6, 8)
    refuses("resize must be none or WIDTHxHEIGHT, such as 32x32, got '8'", folder / "mix", resize="8")


@trait("images of 16 bits")
def _(folder: Path) -> None:
    for i in range(6):
        picture(folder / "deep" / f"{i}.png", 13107 * i, dtype=np.uint16)
    data = load(folder / "deep")
    assert (data.scaling, rows(data).max()) == ("divided by 65535 (16-bit numbers)", 1)


@trait("more rows than fit into memory")
def _(folder: Path) -> None:
    csv(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("psutil.virtual_memory", lambda: type("Free", (), {"available": 1000})())
        refuses(r"a.npy: 60 rows of 3 numbers need about 2.88e-06 GB of memory, .*; --rows 16 reads", saved(folder))
        assert len(rows(load(folder / "a.npy", rows=16))) == 16


def saved(folder: Path) -> Path:
    np.save(folder / "a.npy", X)
    return folder / "a.npy"


@trait("a sample of the rows")
def _(folder: Path) -> None:
    FRAME.to_parquet(folder / "a.parquet")
    csv(folder)
    known = {tuple(row) for row in SORTED}
    for path in (folder / "a.csv", folder / "a.parquet", saved(folder)):
        found = rows(load(path, rows=20))
        assert (len(found), {tuple(row) for row in found} <= known) == (20, True)
        assert np.array_equal(found, rows(load(path, rows=20)))


@trait("the data sets of scikit-learn and torchvision")
def _(folder: Path) -> None:
    data = load("sklearn:wine")
    assert (data.dim1, data.names[0], data.classes) == (13, "alcohol", ("class_0", "class_1", "class_2"))
    assert load("sklearn:diabetes").classes == ()
    refuses("sklearn:wines: scikit-learn has no such data set; it has: .*wine", "sklearn:wines")
    broken = "could not be read: operator torchvision::nms does not exist"  # built for another torch, as the lowest is
    refuses(f"torchvision:cifar: (is no data set with training and test rows|{broken})", "torchvision:cifar")


@trait("a package that is not installed")
def _(folder: Path) -> None:
    FRAME.to_excel(folder / "a.xlsx", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        refuses(r"needs the package openpyxl; pip install 'elbowroom\[excel\]'", folder / "a.xlsx")


@pytest.mark.parametrize("name", TRAITS)
def test_what_happens_to_a_trait(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path / "cache"))
    TRAITS[name](tmp_path)


def test_the_page_has_a_row_for_each_trait() -> None:
    page = (ROOT / "docs" / "data.md").read_text()
    (table,) = re.findall(r"^\| trait \|.*?\n\n", page, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\| ([^|]+?) \| ", table, re.MULTILINE)[1:] == [*TRAITS]
