"""One process at a time, and files for one user: locks beside a database, and a folder that nobody else can look into.

Both are found again whatever TMPDIR is, which each job of a cluster and each container has one of its own.
"""

from __future__ import annotations

import errno
import getpass
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from .addresses import cache_folder
from .database import database_file
from .errors import BadInput

PATIENCE = 60.0  # seconds that another process may take to make or upgrade a store
NOT_OURS = (errno.EROFS, errno.EACCES, errno.EPERM)  # a cache that others have filled, and nobody may write to


@contextmanager
def alone_with(uri: str) -> Iterator[None]:
    """Keep other processes from a sqlite file while the block runs; for another URI nothing is kept.

    MLflow and Optuna both make their tables by looking and then making, and the second of two fails. Raises BadInput
    where another process has it for too long.
    """
    with ExitStack() as held:
        path = database_file(uri)
        if path is not None and path.parent.is_dir():
            lock = lock_at(Path(f"{path}.lock"))
            try:
                held.enter_context(lock.acquire(PATIENCE))
            except Timeout:
                raise BadInput(
                    f"{path} is being made or upgraded by another process, which has held {lock.lock_file} "
                    f"for {PATIENCE:.0f} s; wait for it"
                ) from None
            except OSError:  # where no file can be made, no table can be either
                pass
        yield


def lock_at(path: Path) -> FileLock:
    """The lock of that path, not yet held; whoever may write to its folder may hold it, whatever the umask is."""
    return FileLock(path, mode=path.parent.stat().st_mode & 0o666 | 0o600)


def private_folder(name: str) -> Path:
    """A folder for this user alone: in the cache, or where nobody may write there, among the temporary files.

    Raises OSError where neither can be had, or where somebody else has made it.
    """
    try:
        return _private(cache_folder("."), name)
    except OSError as error:
        if error.errno not in NOT_OURS:
            raise
        return _private(Path(tempfile.gettempdir()), name)


def _private(root: Path, name: str) -> Path:
    posix = hasattr(os, "getuid")
    folder = root / f"elbowroom-{os.getuid() if posix else getpass.getuser()}"
    root.mkdir(parents=True, exist_ok=True)
    folder.mkdir(0o700, exist_ok=True)
    about = folder.lstat()
    if posix and (not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid()):
        raise PermissionError(errno.EACCES, "Made by another user", str(folder))
    folder.chmod(0o700)
    (folder / name).mkdir(0o700, exist_ok=True)
    if not os.access(folder / name, os.W_OK) or (posix and folder.stat().st_mode & 0o077):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    return folder / name


def private_file(path: Path) -> BinaryIO:
    """A new file to write to, which only this user can read."""
    return open(path, "wb", opener=partial(os.open, mode=0o600))
