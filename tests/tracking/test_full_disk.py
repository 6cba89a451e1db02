"""A disk that is really full: a tmpfs of a few megabytes, which takes root to mount."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from tracking.config import BadInput, RunConfig
from tracking.recorder import RunFailed
from tracking.run import execute

pytestmark = pytest.mark.integration

CONFIG = RunConfig(model="ae", dataset="digits", epochs=1, threads=1)  # full artifacts: about 0.5 MB


@pytest.fixture
def disk(tmp_path: Path, empty_database: Path) -> Iterator[Path]:
    """A small disk with an empty store on it, in use."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", folder]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs takes root on Linux")
    try:
        shutil.copyfile(empty_database, folder / "mlflow.db")
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        MlflowClient().create_experiment("elbowroom", artifact_location=(folder / "artifacts").as_uri())
        yield folder
        mlflow.set_tracking_uri(before)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def leave(free: int, disk: Path) -> None:
    """Fill the disk but for so many bytes."""
    with (disk / "ballast").open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - free))


def test_a_run_that_fills_the_disk_does_not_finish_and_keeps_what_was_logged(disk: Path) -> None:
    leave(200_000, disk)
    with pytest.raises(RunFailed, match=r"No space left on device|disk is full"):
        execute(CONFIG)
    (run,) = MlflowClient().search_runs(["1"])
    assert run.info.status != "FINISHED"  # sqlite can't change a status without room for its journal
    assert "test/mse" in run.data.metrics


def test_a_disk_without_room_is_found_out_before_a_run_is_opened(disk: Path) -> None:
    leave(0, disk)
    with pytest.raises(BadInput, match="can't open a run: OperationalError: database or disk is full"):
        execute(CONFIG)
    assert MlflowClient().search_runs(["1"]) == []
