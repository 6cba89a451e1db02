"""The garbage collector is put off in the project's own processes while they import, and nowhere else."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment
from tracking import startup
from tracking.schema import printing


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


def long_work() -> int:
    """Prints more than a buffer holds, and ends as usual."""
    for _ in range(20_000):
        print("a line")
        print("another", file=sys.stderr)
    return 3


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_reader_that_goes_away_ends_no_command(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, name, stream)
        assert printing(long_work) == 3
        assert getattr(sys, name) is stream
    printed = capsys.readouterr()
    assert {"stdout": printed.err, "stderr": printed.out}[name].count("\n") == 20_000


@pytest.mark.parametrize(("work", "code"), [(long_work, 3), (lambda: print("a line") or 0, 1)])
def test_a_full_disk_behind_the_output_is_one_line_at_the_end(
    work: Callable[[], int], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert printing(work) == code
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line != "another"] == ["error: stdout can't be written: No space left on device"]
