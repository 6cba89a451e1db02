"""The data sets, their splits and digests."""

from pathlib import Path

import numpy as np
import pytest

from models import PCA
from models.metrics import reconstruction_mse
from tracking.config import BadInput
from tracking.datasets import digest, load_dataset, split


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
    pca = PCA(dim3=8).fit(data.x_train)
    assert reconstruction_mse(data.x_test, pca.reconstruct(data.x_test)) == pytest.approx(1e-4 * 56 / 64, rel=0.02)


@pytest.mark.parametrize(("val_size", "rows"), [("auto", 149), (100, 100), (1496, 1496)])
def test_a_split_parts_the_rows(val_size: int | str, rows: int) -> None:
    data = load_dataset("digits")
    parts = split(data, val_size)
    assert len(parts.x_val) == rows
    together = np.concatenate([parts.x_train, parts.x_val])
    assert np.array_equal(np.sort(together, axis=0), np.sort(data.x_train, axis=0))
    assert np.array_equal(split(data, val_size).x_val, parts.x_val)


def test_no_validation_rows_leaves_all_to_learn_from() -> None:
    data = load_dataset("digits")
    parts = split(data, 0)
    assert parts.x_val is None
    assert parts.x_train is data.x_train
    with pytest.raises(BadInput, match="val_size 1497 leaves 1 of 1498 training rows; allowed: 0 to 1496"):
        split(data, 1497)


def test_the_digest_reads_every_row_in_order() -> None:
    x = np.arange(20_000, dtype=np.float32).reshape(-1, 2)
    changed = x.copy()
    changed[-1, -1] += 1
    digests = {digest(x), digest(changed), digest(x[::-1]), digest(x.reshape(-1, 4)), digest(x[:5000], x[5000:])}
    assert len(digests) == 5
    assert digest(x) == digest(x.copy())


def test_labels_of_text_become_the_same_numbers_in_training_and_test_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("u,v,kind\n1,2,cat\n3,4,dog\n5,7,cat\n")
    (tmp_path / "b.csv").write_text("u,v,kind\n9,8,dog\n1,1,ant\n")
    data = load_dataset(str(tmp_path / "a.csv"), test_data=str(tmp_path / "b.csv"), label_column="kind")
    assert data.classes == ("ant", "cat", "dog")
    assert data.y_train.tolist() == [1, 2, 1]
    assert data.y_test.tolist() == [2, 0]
    assert data.x_test.tolist() == [[9, 8], [1, 1]]


def test_test_rows_that_do_not_match_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((9, 4)))
    np.save(tmp_path / "b.npy", np.random.default_rng(0).random((9, 5)))
    np.save(tmp_path / "c.npy", np.random.default_rng(0).integers(0, 9, (9, 4)).astype(np.uint8))
    with pytest.raises(BadInput, match=r"5 columns, but .* 4 columns"):
        load_dataset(str(tmp_path / "a.npy"), test_data=str(tmp_path / "b.npy"))
    with pytest.raises(BadInput, match="numbers of another kind"):
        load_dataset(str(tmp_path / "a.npy"), test_data=str(tmp_path / "c.npy"))
    with pytest.raises(BadInput, match="no such file or folder"):
        load_dataset(str(tmp_path / "a.npy"), test_data=str(tmp_path / "d.npy"))


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"known: mnist, fashion-mnist, digits, low-rank.*did you mean 'digits'"):
        load_dataset("digit")
