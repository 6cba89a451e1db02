"""The data sets, their splits and digests."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from elbowroom.analysis.purposes.choice import Held
from elbowroom.analysis.purposes.keep import Errors, Fitted, keep
from elbowroom.models import PCA, build
from elbowroom.models.measures.errors import reconstruction_mse, row_mse
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.data.datasets import SOURCES, Dataset, DataSource, digest, source_names, split
from elbowroom.tracking.data.files.base import Contents, Request, Table
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.train import parser


def load(dataset: str, **fields: Any) -> Dataset:
    return load_dataset(RunConfig(dataset=dataset, **fields))


def test_digits_come_whole_and_in_the_unit_interval() -> None:
    data = load_dataset("digits")
    assert (data.x_train.shape, data.x_test.shape) == ((1498, 64), (299, 64))
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    assert sorted(np.bincount(np.concatenate([data.y_train, data.y_test]))) == sorted(
        [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    )


def test_low_rank_has_the_rank_it_says() -> None:
    data = load_dataset("low-rank")
    spectrum = np.linalg.eigvalsh(np.cov(data.x_train, rowvar=False))[::-1]
    assert np.allclose(spectrum[:8], 1, atol=0.1)
    assert np.allclose(spectrum[8:], 1e-4, rtol=0.3)


@pytest.mark.parametrize(("dim3", "mse", "rel"), [(4, 4 / 64, 0.1), (7, 1 / 64, 0.1), (8, 1e-4 * 56 / 64, 0.02)])
def test_low_rank_has_one_true_corner(dim3: int, mse: float, rel: float) -> None:
    data = load_dataset("low-rank")
    pca = PCA(dim3=dim3).fit(data.x_train)
    assert reconstruction_mse(data.x_test, pca.reconstruct(data.x_test)) == pytest.approx(mse, rel=rel)


@pytest.mark.parametrize(("model", "trained"), [("pca", {}), ("ae", {"dim2": 64, "epochs": 12})])
def test_low_rank_needs_its_rank_for_every_share(model: str, trained: dict[str, int]) -> None:
    """A wide autoencoder that is trained longer folds the 8 dimensions into 7: 400 units, 30 epochs, 0.92 kept."""
    parts = split(load_dataset("low-rank"), "auto")
    x, x_val = parts.x_train, parts.x_val
    base, held = row_mse(x_val, np.broadcast_to(x.mean(axis=0), x_val.shape)), {}
    for dim3 in range(6, 11):
        settings = asdict(RunConfig(model=model, dim3=dim3, **trained)) | {"dim1": 64}
        rows = row_mse(x_val, build(model, settings).fit(x).reconstruct(x_val))
        held[dim3] = Held(rows, rows.mean(keepdims=True))
    errors = Errors(held, base)
    fitted = Fitted(model, errors, errors, model == "ae", 64)
    assert [keep(fitted, share).choice for share in (0.9, 0.95, 0.99)] == [8, 8, 8]
    assert errors.kept(8)[0] > 0.995


def numbered(rows: int) -> Dataset:
    """Rows and labels that say which row they are."""
    x = np.arange(rows, dtype=np.float32)[:, None]
    return Dataset("numbered", "made", x, x[:2], np.arange(rows), None, None, "none")


@pytest.mark.parametrize(
    ("rows", "val_size", "n_val"),
    [(1498, "auto", 149), (60_000, "auto", 5000), (9, "auto", 0), (1498, 100, 100), (1498, 1496, 1496)],
)
def test_a_split_has_each_row_once(rows: int, val_size: int | Literal["auto"], n_val: int) -> None:
    np.random.seed(7)  # noqa: NPY002 - neither this nor any run's seed moves a split
    parts = split(numbered(rows), val_size)
    val = [] if parts.x_val is None else parts.x_val[:, 0].tolist()
    fit = parts.x_train[:, 0].tolist()
    assert (len(fit), len(val)) == (rows - n_val, n_val)
    assert sorted(fit + val) == list(range(rows))
    assert parts.y_train.tolist() == fit
    assert n_val == 0 or val == np.random.default_rng(0).permutation(rows)[-n_val:].tolist()


def test_val_size_0_keeps_all_rows_for_training() -> None:
    data = load_dataset("digits")
    parts = split(data, 0)
    assert parts.x_val is None
    assert parts.x_train is data.x_train
    with pytest.raises(BadInput, match="val_size 1497 leaves 1 of 1498 training rows; allowed: 0 to 1496"):
        split(data, 1497)


def test_the_digest_reads_every_row_in_order() -> None:
    x = np.arange(40_000, dtype=np.float32).reshape(-1, 2)  # 20,000 rows
    changed = x.copy()
    changed[-1, -1] += 1
    digests = {digest(x), digest(changed), digest(x[::-1]), digest(x.reshape(-1, 4)), digest(x[:5000], x[5000:])}
    assert len(digests) == 5
    assert digest(x) == digest(np.asfortranarray(x)) == "0307536d05d919f8"  # finished runs are found by it


def test_a_shuffled_sixth_of_a_file_without_test_rows_is_held_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=np.arange(26.0).reshape(13, 2), kind=[f"k{i % 3}" for i in range(13)])
    data = load(str(tmp_path / "mine.npz"), label_column="kind")
    order = np.random.default_rng(0).permutation(13)
    assert (data.x_train[:, 0] / 2).tolist() == order[:11].tolist()
    assert (data.x_test[:, 0] / 2).tolist() == order[11:].tolist()
    assert data.y_test.tolist() == (order[11:] % 3).tolist()
    assert (data.name, data.classes, data.image_shape) == ("mine", ("k0", "k1", "k2"), None)


def test_a_file_of_two_rows_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", np.eye(2))
    with pytest.raises(BadInput, match="has 2 rows; at least 3 are needed"):
        load_dataset(str(tmp_path / "two.npy"))


def written(rows: Any, path: Path, **options: bool) -> str:
    """The path of a file that holds a table, or text."""
    if isinstance(rows, str):
        path.write_text(rows)
    elif path.suffix == ".npy":
        np.save(path, np.asarray(rows))
    elif path.suffix == ".csv":
        rows.to_csv(path, index=False, **options)
    else:
        rows.to_parquet(path, index=False)
    return str(path)


@pytest.mark.parametrize(
    ("train", "test", "classes"),
    [
        ("1,2,10\n3,4,9\n5,7,10\n", "9,8,9.0\n1,1,2.0\n", None),  # numbers keep their order
        ("1,2,dog\n3,4,cat\n5,7,dog\n", "9,8,cat\n1,1,ant\n", ("ant", "cat", "dog")),
    ],
)
def test_labels_become_the_same_numbers_in_training_and_test_rows(
    tmp_path: Path, train: str, test: str, classes: tuple[str, ...] | None
) -> None:
    files = (written(f"u,v,kind\n{rows}", tmp_path / name) for name, rows in (("a.csv", train), ("b.csv", test)))
    data = load(next(files), test_data=next(files), label_column="kind")
    assert classes in (None, data.classes)
    assert (data.y_train.tolist(), data.y_test.tolist()) == ([2, 1, 2], [1, 0])
    assert data.x_test.tolist() == [[9, 8], [1, 1]]


TRAIN = pd.DataFrame({"a": [1, 2, 3], "b": [10, 20, 40], "kind": [0, 1, 0]})
TEST = pd.DataFrame({"kind": [1, 0], "b": [50, 60], "a": [7, 8]})


@pytest.mark.parametrize("train", ["a.csv", "a.parquet"])
@pytest.mark.parametrize("test", ["b.csv", "b.parquet"])
def test_test_columns_are_matched_by_name(tmp_path: Path, train: str, test: str) -> None:
    files = written(TRAIN, tmp_path / train), written(TEST, tmp_path / test)
    data = load(files[0], test_data=files[1], label_column="kind")
    assert (data.x_test.tolist(), data.y_test.tolist()) == ([[7, 50], [8, 60]], [1, 0])
    assert data.x_test.flags.c_contiguous


NO_NAMES = "columns of .*{} have {} and those of the training rows have {}, so they can't"


@pytest.mark.parametrize(
    ("train", "name", "test", "other", "message"),
    [
        (np.eye(9, 4), "a.npy", np.eye(9, 5), "b.npy", "rows have 4 columns, and test rows have 5 columns; they must"),
        (np.eye(9, 4), "a.npy", np.eye(9, 4, dtype=np.uint8) * 255, "b.npy", "one holds 8-bit numbers, which would be"),
        (
            np.arange(24.0).reshape(4, 2, 3), "a.npy", np.arange(24.0).reshape(4, 3, 2), "b.npy",
            "training rows have 2x3, and test rows have 3x2; they must match",
        ),
        (
            TRAIN, "a.csv", TEST.rename(columns={"b": "c"}), "b.csv",
            "the columns of .*b.csv must be those of the training rows: it lacks b and has c more$",
        ),
        (TRAIN, "a.csv", TEST.drop(columns="a"), "b.csv", "it lacks a$"),
        (TRAIN, "a.csv", TEST.assign(c=0, d=0), "b.csv", "it has c, d more$"),
        (TRAIN, "a.csv", TEST.assign(c=0).rename(columns={"c": "a"}), "b.csv", "columns of one name in another order"),
        (TRAIN, "a.csv", TEST, "b.npy", NO_NAMES.format("b.npy", "none", "names")),
        (TRAIN, "a.npy", TEST, "b.parquet", NO_NAMES.format("b.parquet", "names", "none")),
        (TRAIN, "a.npy", TEST, "b.csv", NO_NAMES.format("b.csv", "names", "none")),
    ],
)  # fmt: skip
def test_test_rows_that_do_not_match_are_refused(
    tmp_path: Path, train: Any, name: str, test: Any, other: str, message: str
) -> None:
    files = written(train, tmp_path / name), written(test, tmp_path / other)
    with pytest.raises(BadInput, match=message):
        load(files[0], test_data=files[1])


def test_columns_without_names_are_matched_by_their_order(tmp_path: Path) -> None:
    files = written(TRAIN, tmp_path / "a.npy"), written(TEST, tmp_path / "b.csv", header=False)
    assert load(files[0], test_data=files[1]).x_test.tolist() == TEST.to_numpy().tolist()


def test_test_rows_may_lack_the_labels(tmp_path: Path) -> None:
    files = written(TRAIN, tmp_path / "a.csv"), written(TEST.drop(columns="kind"), tmp_path / "b.csv")
    data = load(files[0], test_data=files[1], label_column="kind")
    assert (data.x_test.tolist(), data.y_test, data.y_train.tolist()) == ([[7, 50], [8, 60]], None, [0, 1, 0])
    assert data.source.endswith("b.csv without labels")


def test_the_header_flag_is_for_training_and_test_files(tmp_path: Path) -> None:
    train = written("3,1,2\n0.5,0.25,1\n0.75,0.5,2\n", tmp_path / "a.csv")
    test = written("1,2,3\n0.5,1,0.25\n0.75,2,0.5\n", tmp_path / "b.csv")
    data = load(train, test_data=test, header="yes")
    assert data.x_train.tolist() == [[0.5, 0.25, 1], [0.75, 0.5, 2]]
    assert data.x_test.tolist() == [[0.25, 0.5, 1], [0.5, 0.75, 2]]
    assert len(load(train, test_data=test, header="no").x_test) == 3


GREY = np.random.default_rng(0).integers(0, 256, (16, 2, 3), dtype=np.uint8)
KERAS = {"x_train": GREY[:9], "y_train": np.arange(9), "x_test": GREY[9:13], "y_test": np.array([8, 0, 0, 3])}
MEDMNIST = {
    "train_images": GREY[:9], "train_labels": np.arange(9)[:, None], "val_images": GREY[13:], "val_labels": np.eye(3),
    "test_images": GREY[9:13], "test_labels": np.array([[8], [0], [0], [3]]),
}  # fmt: skip
PLAIN = {"x": GREY[:9], "y": np.arange(9), "x_test": GREY[9:13], "y_test": np.array([8, 0, 0, 3])}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    ("arrays", "label"),
    [(KERAS, "none"), (KERAS, "y_train"), (MEDMNIST, "none"), (MEDMNIST, "train_labels"), (PLAIN, "y")],
)
def test_the_test_arrays_of_a_file_are_its_test_rows(
    tmp_path: Path, arrays: dict[str, np.ndarray], label: str, named: bool
) -> None:
    path = str(tmp_path / "a.npz")
    np.savez(path, **arrays)
    data = load(path, test_data=path if named else "none", label_column=label)
    assert (data.x_train * 255).round().tolist() == GREY[:9].reshape(9, 6).tolist()
    assert (data.x_test * 255).round().tolist() == GREY[9:13].reshape(4, 6).tolist()
    assert (data.y_train.tolist(), data.y_test.tolist()) == (list(range(9)), [8, 0, 0, 3])


def test_of_a_test_file_its_test_arrays_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=GREY[:9], y=np.arange(9))
    np.savez(tmp_path / "b.npz", **KERAS)
    np.savez(tmp_path / "c.npz", x_test=GREY[9:13])
    np.save(tmp_path / "d.npy", GREY[9:13])
    for name, labels in {"b.npz": [8, 0, 0, 3], "c.npz": None, "d.npy": None}.items():
        data = load(str(tmp_path / "a.npz"), test_data=str(tmp_path / name), label_column="y")
        assert (data.x_test * 255).round().tolist() == GREY[9:13].reshape(4, 6).tolist()
        assert (None if data.y_test is None else data.y_test.tolist()) == labels
    np.savez(tmp_path / "e.npz", **{name: array for name, array in KERAS.items() if name != "y_test"})
    data = load(str(tmp_path / "e.npz"), label_column="y_train")  # these are not of the test rows
    assert (data.y_train.tolist(), data.y_test) == (list(range(9)), None)


def test_the_training_file_is_refused_as_test_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.eye(6))
    Path("link.npy").symlink_to("a.npy")
    Path("hard.npy").hardlink_to("a.npy")
    for name in ("a.npy", str(tmp_path / "a.npy"), "link.npy", "hard.npy"):
        with pytest.raises(BadInput, match=r"test_data is a\.npy itself; name other rows, or leave it out"):
            load("a.npy", test_data=name)
    np.save("copy.npy", np.eye(6)[3:])
    assert load("a.npy", test_data="copy.npy").test_repeats
    np.save("other.npy", np.vstack([np.eye(6), np.full((1, 6), 0.5)]))
    assert not load("a.npy", test_data="other.npy").test_repeats
    np.save("twice.npy", np.repeat(np.eye(2), 50, axis=0))  # whichever sixth is held out
    assert load_dataset("twice.npy").test_repeats


NAMED = [key for key, source in SOURCES.items() if source.load is not None]


@pytest.mark.parametrize("key", SOURCES)
def test_a_source_has_one_function_and_is_listed(key: str) -> None:
    assert [SOURCES[key].load, SOURCES[key].read, SOURCES[key].read_name].count(None) == 2
    assert key in next(str(action.help) for action in parser()._actions if action.dest == "dataset")
    with pytest.raises(
        BadInput, match=r"unknown dataset 'digit': no such file or folder.*; known: mnist, .*"
    ) as caught:
        load_dataset("digit")
    assert key in str(caught.value)


@pytest.mark.parametrize("flag", ["test_data", "label_column", "header"])
@pytest.mark.parametrize("name", NAMED)
def test_a_named_source_refuses_the_flags_for_files(name: str, flag: str) -> None:
    with pytest.raises(BadInput, match=f"{flag} goes with a file or folder of your own, and {name} has its own"):
        load(name, **{flag: "x" if flag != "header" else "yes"})


@pytest.mark.parametrize("key", [key for key in SOURCES if key not in NAMED])
def test_a_reader_refuses_what_has_no_rows_in_one_line(tmp_path: Path, key: str) -> None:
    path = tmp_path / (f"a{key}" if key.startswith(".") else "a")
    path.write_bytes(b"\0") if key.startswith(".") else path.mkdir()
    with pytest.raises(BadInput, match=r"^[^\n]+$") as caught:
        load_dataset(str(path))
    assert str(path) in str(caught.value)


def test_a_line_in_the_registry_adds_a_kind_of_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path, wanted: Request) -> Contents:
        return Contents(Table(np.loadtxt(path, skiprows=int(wanted.header == "yes")), pa.table({})))

    monkeypatch.setitem(SOURCES, ".dat", DataSource(read=read, has_header=True))
    (tmp_path / "a.DAT").write_text("1 2\n3 5\n7 8\n9 10\n")
    assert len(load_dataset(str(tmp_path / "a.DAT")).x_train) == 3
    assert len(load(str(tmp_path / "a.DAT"), header="yes").x_train) == 2
    assert ".h5ad, .dat) or a folder of images" in source_names()
    np.save(tmp_path / "b.npy", np.eye(5, 3))
    with pytest.raises(
        BadInput, match=r"header goes with a .csv or .tsv or .txt or .xlsx or .dat file, and .*b\.npy is none"
    ):
        load(str(tmp_path / "b.npy"), header="no")


@pytest.mark.parametrize("name", ["a.npy", "a", "~nobody/x.npy", "x" * 900])
def test_a_missing_file_or_an_impossible_path_is_an_unknown_dataset(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="unknown dataset"):
        load_dataset(name)
    with pytest.raises(BadInput, match=r"test_data .* no such file or folder"):
        load(written(TRAIN, tmp_path / "a.csv"), test_data=name)


@pytest.mark.parametrize(
    ("most", "edition", "divisor"), [(1, 2, 1), (16, 2, 1), (127, 2, 1), (128, 2, 255), (255, 2, 255), (1, 1, 255)]
)
def test_8_bit_numbers_are_pixels_where_the_largest_is_over_127(
    tmp_path: Path, most: int, edition: int, divisor: int
) -> None:
    x = np.tile(np.array([[0, most], [most, 0], [0, 0]], np.uint8), (4, 1))
    np.save(tmp_path / "a.npy", x)
    np.save(tmp_path / "b.npy", np.minimum(x, darker := (most + 1) // 2))
    both = load(str(tmp_path / "a.npy"), test_data=str(tmp_path / "b.npy"), edition=edition)
    assert both.x_train.max() == np.float32(most) / np.float32(divisor)
    assert both.x_test.max() == np.float32(darker) / np.float32(divisor)  # as the training rows, though it is darker
    done = "divided by 255 (8-bit numbers)" if divisor == 255 else f"none: 8-bit numbers up to {most} are no pixels"
    assert both.scaling == done


def test_pictures_are_divided_however_dark_they_are(tmp_path: Path) -> None:
    for i in range(6):
        Image.new("L", (2, 2), i).save(tmp_path / f"{i}.png")
    data = load_dataset(str(tmp_path))
    assert (max(data.x_train.max(), data.x_test.max()), data.scaling[:7]) == (np.float32(5) / 255, "divided")


def test_float64_is_hashed_only_where_float32_loses_digits() -> None:
    x = np.random.default_rng(0).standard_normal((9, 3))
    assert digest(x) == digest(x.astype(np.float32))
    assert (x + 1e9).astype(np.float32).tobytes() == (2 * x + 1e9).astype(np.float32).tobytes()
    assert digest(x + 1e9) != digest(2 * x + 1e9)
