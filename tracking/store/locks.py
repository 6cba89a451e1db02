"""Locks beside a database, and folders and files that only this user can read.

Their places do not depend on TMPDIR, which differs between the jobs of a cluster and between containers.
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

_LOCK_SECONDS = 60.0  # that another process may take to make or upgrade a store
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)  # of a cache that others filled


@contextmanager
def alone_with(uri: str) -> Iterator[None]:
    """Hold the lock of a sqlite file while the block runs, because MLflow and Optuna create tables without one.

    Raises BadInput where another process holds the lock for a minute.
    """
    with ExitStack() as held:
        path = database_file(uri)
        if path is not None and path.parent.is_dir():
            lock = lock_at(Path(f"{path}.lock"))
            try:
                held.enter_context(lock.acquire(_LOCK_SECONDS))
            except Timeout:
                raise BadInput(
                    f"{path} is being made or upgraded by another process, which has held {lock.lock_file} "
                    f"for {_LOCK_SECONDS:.0f} s; wait for it"
                ) from None
            except OSError:  # then the folder is read-only, and no table can be made either
                pass
        yield


def lock_at(path: Path) -> FileLock:
    """Return the lock at a path, not yet held; whoever may write to the folder may hold it, whatever the umask."""
    return FileLock(path, mode=path.parent.stat().st_mode & 0o666 | 0o600)


def private_folder(name: str) -> Path:
    """Return a folder of this user alone, in the cache, or in the temporary folder where the cache is read-only.

    Raises OSError where neither can be made, or another user made it.
    """
    try:
        return _private(cache_folder("."), name)
    except OSError as error:
        if error.errno not in _READ_ONLY:
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
    """Open a new file for writing that only this user can read."""
    return open(path, "wb", opener=partial(os.open, mode=0o600))
