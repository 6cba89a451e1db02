"""Keep a run KILLED that `mlflow run` calls FAILED: `python -m tracking.aftermath RUN_ID PID`.

`mlflow run` ends the run of a command that did not exit with 0 as FAILED, even where the command has
ended it already: its own check for that never holds, because it looks for the status's name among
numbers (MLflow 3.17, `_maybe_set_run_terminated`). So a process of its own waits until `mlflow run` is
gone and sets the status back. To be removed once MLflow keeps what the command has set.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from mlflow import MlflowClient

PATIENCE = 60.0  # seconds that `mlflow run` may take to end
ROOT = str(Path(__file__).resolve().parents[1])


def keep_killed(run_id: str) -> None:
    """Start the process that outlives this one and the `mlflow run` above it."""
    path = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))
    subprocess.Popen(
        [sys.executable, "-m", "tracking.aftermath", run_id, str(os.getppid())],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # the Ctrl-C of a terminal goes to all of its session
    )


def main(run_id: str, pid: int) -> None:
    """Wait for process `pid` to end, then set the run's status."""
    deadline = time.monotonic() + PATIENCE
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    MlflowClient().set_terminated(run_id, "KILLED")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
