"""The garbage collector is put off in the project's own processes while they import, and nowhere else."""

import gc
import subprocess
import sys
from collections.abc import Iterator

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


@pytest.mark.parametrize(("called", "enabled"), [("notebook.py", "True"), ("-m", "False")])
def test_whoever_imports_the_packages_keeps_their_collector(called: str, enabled: str) -> None:
    code = f"import gc, sys; sys.argv[0] = {called!r}; import studies; print(gc.isenabled())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == enabled
