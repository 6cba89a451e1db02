"""Locks that all who share a database find, and folders that nobody else can look into."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from elbowroom.tracking.store import locks
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.locks import alone_with, lock_at, private_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_database_is_locked_beside_it_whatever_the_temporary_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
    monkeypatch.chdir(tmp_path)
    with alone_with("sqlite:///a.db"):
        assert [p.name for p in tmp_path.iterdir() if not p.is_symlink()] == ["a.db.lock"]
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "other"))
        monkeypatch.setattr(locks, "_LOCK_SECONDS", 0.0)
        for uri in (f"sqlite:///{tmp_path}/a.db", "sqlite:///link.db"):
            with pytest.raises(BadInput, match=r"a\.db is being made or upgraded by another process"), alone_with(uri):
                pass
    with alone_with("sqlite:///link.db"):
        pass


@pytest.mark.parametrize(
    "uri", ["sqlite:///:memory:", "sqlite:///", "sqlite:///no/a.db", "http://127.0.0.1:1", "nonsense"]
)
def test_what_has_no_place_beside_it_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.chdir(tmp_path)
    with alone_with(uri):
        assert list(tmp_path.iterdir()) == []


def test_where_no_lock_can_be_made_the_store_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.db.lock").mkdir()
    with alone_with(f"sqlite:///{tmp_path}/a.db"):
        pass


@pytest.mark.parametrize(("folder", "lock"), [(0o770, 0o660), (0o755, 0o644), (0o700, 0o600)])
def test_who_may_write_to_a_folder_may_lock_in_it_whatever_the_umask(tmp_path: Path, folder: int, lock: int) -> None:
    tmp_path.chmod(folder)
    before = os.umask(0o077)
    try:
        with lock_at(tmp_path / "a.lock"):
            assert mode(tmp_path / "a.lock") == lock
            with pytest.raises(Timeout):
                FileLock(tmp_path / "a.lock", timeout=0).acquire()
    finally:
        os.umask(before)


def test_a_private_folder_is_this_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path))
    mine = tmp_path / f"elbowroom-{os.getuid()}"
    mine.mkdir(0o777)  # by an accident
    mine.chmod(0o777)
    folder = private_folder("shared")
    assert folder == mine / "shared"
    assert (mode(mine), mode(folder)) == (0o700, 0o700)


def test_a_folder_that_somebody_else_has_put_there_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the cache the temporary folder stands in for it; there, too, it is an error."""
    name = f"elbowroom-{os.getuid()}"
    for place in ("cache", "tmp", "theirs"):
        (tmp_path / place).mkdir()
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "cache" / name).symlink_to(tmp_path / "theirs")
    assert private_folder("shared") == tmp_path / "tmp" / name / "shared"
    (tmp_path / "tmp" / name / "shared").rmdir()
    (tmp_path / "tmp" / name).rmdir()
    (tmp_path / "tmp" / name).symlink_to(tmp_path / "theirs")
    with pytest.raises(PermissionError, match="Made by another user"):
        private_folder("shared")
    assert list((tmp_path / "theirs").iterdir()) == []
