"""Where a page comes from and where it goes: the store, the output folder, and the addresses of runs."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from filelock import FileLock
from matplotlib.figure import Figure

from elbowroom.tracking.store.errors import BadInput, Failed


def output_folder(out: Path) -> Path:
    """The output folder, made, and seen to take files. Raises BadInput."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            return out
    except OSError as error:
        raise BadInput(f"out {out}: can't be written: {error.strerror}") from error


def png(figure: Figure) -> bytes:
    """A figure as a file, the same bytes each time."""
    into = io.BytesIO()
    figure.savefig(into, format="png", metadata={"Software": None})
    return into.getvalue()


def write_files(out: Path, files: Mapping[str, bytes]) -> None:
    """All files, each whole or not at all: written beside the folder's own and then moved over them.

    Two reports that write to one folder at once do so one after the other: its files are all of one of them.
    """
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix=".") as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            with ExitStack() as stack:
                with suppress(PermissionError):  # another user's
                    stack.enter_context(FileLock(_lock_path(out)))
                for name in sorted({Path(n).parts[0] for n in files}):
                    if (out / name).is_dir():  # of a folder nothing older may stay
                        os.replace(out / name, Path(folder) / f"old {name}")
                    os.replace(Path(folder) / name, out / name)
    except OSError as error:
        raise Failed(f"out {out}: {error.strerror or error}") from error


def _lock_path(out: Path) -> Path:
    """Where this machine's lock of an output folder is: not in it, where it would be taken for part of the report."""
    return Path(tempfile.gettempdir()) / f"elbowroom-{hashlib.sha256(bytes(out.resolve())).hexdigest()[:16]}.lock"
