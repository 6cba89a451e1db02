"""Commands import without garbage collection; other importers keep theirs."""

import gc
import subprocess
import sys

import pytest

from elbowroom.tracking.imports import uncollected
from tests.conftest import ROOT, environment


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_off_in_the_block_and_as_before_after_it(before: bool) -> None:
    try:
        (gc.enable if before else gc.disable)()
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() == before
    finally:
        gc.enable()


@pytest.mark.integration
def test_whoever_imports_a_command_keeps_the_collector_and_a_command_freezes_its_imports() -> None:
    code = """
import gc, runpy, sys, elbowroom.studies.scan
print(gc.isenabled(), gc.get_freeze_count())
sys.argv = ["scan", "--models", "none"]
try:
    runpy.run_module("elbowroom.studies.scan", run_name="__main__", alter_sys=True)
except SystemExit as end:
    print(gc.isenabled(), gc.get_freeze_count() > 100_000, end.code)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["True 0", "True True 2"], done.stderr
