"""Commands import without garbage collection; other importers keep theirs."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT, environment

pytestmark = pytest.mark.integration


def test_whoever_imports_a_command_keeps_the_collector_and_a_command_freezes_its_imports() -> None:
    code = """
import gc, runpy, sys
during = []
gc.callbacks.append(lambda *_: during.append("torch" in sys.modules and "elbowroom.tracking.run" not in sys.modules))
import elbowroom.studies.scan
print(any(during), gc.isenabled(), gc.get_freeze_count())
sys.argv = ["scan", "--models", "none"]
try:
    runpy.run_module("elbowroom.studies.scan", run_name="__main__", alter_sys=True)
except SystemExit as end:
    print(gc.isenabled(), gc.get_freeze_count() > 100_000, end.code)
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.stdout.splitlines() == ["False True 0", "True True 2"], done.stderr
