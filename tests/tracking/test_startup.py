"""The garbage collector is put off in the project's own processes while they import, and nowhere else."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment
from tracking import startup


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_a_command_collects_from_the_moment_it_has_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["-m", "--epochs", "2"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "tracking.train", "--epochs", "2"])
    startup.begin()
    assert not gc.isenabled()
    assert startup.imported()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000  # what was there is not looked through again
    assert not startup.imported()


def test_a_worker_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(startup.WORKER, "yes")
    startup.begin()
    assert not gc.isenabled()


def test_streams_that_the_caller_closed_are_open_and_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(startup.WORKER, "yes")
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    startup.begin()
    assert sys.stdin is not None
    assert sys.stdout is not None
    with sys.stdin as stdin, sys.stdout as stdout, sys.stderr as stderr:
        print("x", file=stderr)
        print("x", flush=True)
        assert stdin.read() == ""
        assert stdin.fileno() < stdout.fileno() < stderr.fileno()


@pytest.mark.parametrize(("called", "enabled"), [("notebook.py", "True"), ("-m", "False")])
def test_whoever_imports_the_packages_keeps_their_collector(called: str, enabled: str) -> None:
    code = f"import gc, sys; sys.argv[0] = {called!r}; import studies; print(gc.isenabled())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == enabled


def test_a_module_of_others_that_imports_the_packages_keeps_its_collector(tmp_path: Path) -> None:
    """While Python looks for it, their package is imported, and ours with it."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text("import tracking\n")
    (tmp_path / "theirs" / "main.py").write_text("import gc\nprint(gc.isenabled())\n")
    env = environment(PYTHONPATH=os.pathsep.join([str(ROOT), str(tmp_path)]))
    command = [sys.executable, "-m", "theirs.main"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
