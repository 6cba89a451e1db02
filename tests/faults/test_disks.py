"""Full disks and read-only folders: a small tmpfs, which only root on Linux can mount."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from elbowroom.analysis import report
from elbowroom.studies import scan
from elbowroom.tracking import train
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import mnist
from elbowroom.tracking.data.mnist import load_idx
from elbowroom.tracking.run import execute
from elbowroom.tracking.store.addresses import cache_folder
from elbowroom.tracking.store.errors import BadInput, RunFailed
from elbowroom.tracking.store.names import Tag
from tests.conftest import marked
from tests.studies.harness import Study
from tests.tracking.data.test_mnist import SUMS, deliver

pytestmark = pytest.mark.integration

CONFIG = RunConfig(model="pca", dataset="digits", threads=1)


@dataclass
class Disk:
    """A tmpfs in a folder."""

    folder: Path

    def leave(self, free: int) -> None:
        """Fill it, except for that many bytes."""
        with (self.folder / "ballast").open("wb") as file:
            file.write(bytes(max(0, shutil.disk_usage(self.folder).free - free)))

    def clear(self) -> None:
        """Remove the filling."""
        (self.folder / "ballast").unlink()

    def read_only(self, yes: bool = True) -> None:
        """Forbid writing, for root too."""
        subprocess.run(["mount", "-o", f"remount,{'ro' if yes else 'rw'}", self.folder], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of eight megabytes, for one test."""
    made = Disk(tmp_path / "disk")
    made.folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", made.folder]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs takes root on Linux")
    yield made
    subprocess.run(["umount", "-l", made.folder], check=True)


@pytest.fixture
def tiny_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of eight pixels, from a source beside this test."""
    monkeypatch.setitem(mnist._MD5, "mnist", SUMS)
    monkeypatch.setitem(mnist._MIRRORS, "mnist", [("the source", deliver)])


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on stderr; no traceback."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


# A full disk


@pytest.mark.parametrize("free", [0, 200_000, *marked("soak", 100_000, 400_000, 600_000)])
def test_wherever_the_disk_is_full_a_run_says_so_or_is_whole(disk: Disk, empty_database: Path, free: int) -> None:
    shutil.copyfile(empty_database, disk.folder / "mlflow.db")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{disk.folder}/mlflow.db")
    try:
        client = MlflowClient()
        experiment = client.create_experiment("elbowroom", artifact_location=(disk.folder / "artifacts").as_uri())
        disk.leave(free)
        if free < 450_000:  # what a run and its model take
            with pytest.raises((BadInput, RunFailed), match=r"No space left on device|disk is full") as caught:
                execute(CONFIG)
            runs = client.search_runs([experiment])
            assert len(runs) == (0 if caught.type is BadInput else 1)
            assert (caught.type is BadInput) == (free == 0)  # then it is found out before a run is opened
            for run in runs:
                assert run.info.status in ("FAILED", "RUNNING")  # sqlite needs room to change a status
                assert "test/mse" in run.data.metrics
            disk.clear()
        whole = client.get_run(execute(CONFIG).run_id)
        assert whole.info.status == "FINISHED"
        assert len(whole.outputs.model_outputs) == 1
    finally:
        mlflow.set_tracking_uri(before)


def test_a_full_folder_for_temporary_files_fails_the_run_in_one_line(
    disk: Disk, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    disk.leave(0)
    with pytest.raises(RunFailed, match="No space left on device"):
        execute(CONFIG)
    (run,) = store.search_runs(["1"])
    assert (run.info.status, "No space left" in run.data.tags[Tag.REASON]) == ("FAILED", True)


def test_a_cache_on_a_full_disk_is_named_and_nothing_half_written_stays(
    disk: Disk, tiny_mnist: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELBOWROOM_CACHE", str(disk.folder / "cache"))
    cache_folder("mnist").mkdir(parents=True)
    (cache_folder("mnist") / ".lock").touch()
    disk.leave(0)
    with pytest.raises(BadInput, match=r"^[^\n]*No space left on device[^\n]*$"):
        load_idx("mnist")
    assert [p.name for p in cache_folder("mnist").iterdir()] == [".lock"]
    disk.clear()
    assert load_idx("mnist").y_test.tolist() == [3, 4]


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


CURVE = "dim3,error\n" + "\n".join(f"{k},{1 / k}" for k in range(1, 13)) + "\n"


def test_a_report_that_does_not_fit_leaves_the_old_one_as_it_was(
    disk: Disk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text(CURVE)
    out = disk.folder / "out"
    given = ["--curve", str(tmp_path / "a.csv"), "--out", str(out)]
    assert report.main(given) == 0
    before = files_of(out)
    assert {"report.html", "result.json", "curves.csv"} <= set(before)
    (tmp_path / "a.csv").write_text(CURVE.replace("0.5\n", "0.6\n"))
    for free in (0, 10_000, 100_000):
        disk.leave(free)
        capsys.readouterr()
        assert report.main(given) in (1, 2)
        assert "No space left on device" in refused(capsys)
        assert files_of(out) == before
        disk.clear()
    assert report.main(given) == 0
    assert set(files_of(out)) == set(before)
    assert files_of(out)["result.json"] != before["result.json"]


TINY = ("--models", "pca", "--dim3", "2:4", "--seeds", "1", "--dataset", "digits", "--workers", "1")


@pytest.mark.parametrize(
    ("what", "free"), [*marked("slow", ("store", 0)), *marked("soak", ("storage", 0), ("store", 60_000), ("cache", 0))]
)
def test_a_study_on_a_full_disk_says_so_and_completes_once_there_is_room(
    disk: Disk, store: MlflowClient, cells_here: None, empty_database: Path, tmp_path: Path, what: str, free: int
) -> None:
    """The study that meets the full disk has its own processes; those before and after run in this one."""
    places = {name: disk.folder if name == what else tmp_path for name in ("storage", "store", "cache")}
    shutil.copyfile(empty_database, places["store"] / "mlflow.db")
    study = Study(tmp_path, f"sqlite:///{places['store']}/mlflow.db", f"sqlite:///{places['storage']}/o.db", "full")
    client = MlflowClient(study.tracking_uri)
    client.create_experiment("full", artifact_location=(places["store"] / "artifacts").as_uri())
    if what == "cache":
        (tmp_path / "cache").symlink_to(disk.folder)
    assert study.run_here(*TINY, "--dim3", "2:2") == 0
    disk.leave(free)
    code = study.run(*TINY)
    assert code in (0, 1, 2), study.log
    assert "Traceback" not in study.log
    if free == 0:
        assert code != 0
    if code != 0:
        assert "disk is full" in study.log or "No space left" in study.log
    disk.clear()
    assert study.run_here(*TINY) == 0
    study.check_complete(3)


# A read-only folder


def test_a_store_or_a_folder_that_can_only_be_read_is_refused_in_one_line(
    disk: Disk, capsys: pytest.CaptureFixture[str], store: MlflowClient, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(CURVE)
    shutil.copyfile(tmp_path / "mlflow.db", disk.folder / "mlflow.db")
    disk.read_only()
    uri, storage = f"sqlite:///{disk.folder}/mlflow.db", f"sqlite:///{disk.folder}/o.db"
    assert train.main(["--model", "pca", "--dataset", "digits", "--tracking-uri", uri]) == 2
    assert "attempt to write a readonly database" in refused(capsys)
    assert scan.main([*TINY, "--tracking-uri", uri, "--storage", f"sqlite:///{tmp_path}/o.db"]) == 2
    assert "attempt to write a readonly database" in refused(capsys)
    assert report.main(["--tracking-uri", uri, "--out", str(tmp_path / "out")]) == 2
    assert "no experiment 'elbowroom'" in refused(capsys)  # it can be read
    assert scan.main([*TINY, "--tracking-uri", store.tracking_uri, "--storage", storage]) == 2
    assert f"storage {storage} can't be used" in refused(capsys)
    assert store.get_experiment_by_name("elbowroom") is None
    assert report.main(["--curve", str(tmp_path / "a.csv"), "--out", str(disk.folder / "out")]) == 2
    assert "can't be written: Read-only file system" in refused(capsys)


def test_a_cache_that_can_only_be_read_is_read(disk: Disk, tiny_mnist: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELBOWROOM_CACHE", str(disk.folder))
    disk.read_only()
    with pytest.raises(BadInput, match=r"^mnist: the cache .* can't be written \(Read-only file system\); ELBOWROOM_"):
        load_idx("mnist")
    disk.read_only(False)
    load_idx("mnist")
    disk.read_only()
    assert load_idx("mnist").y_test.tolist() == [3, 4]
    (cache_folder("mnist") / "train-labels-idx1-ubyte").stat()


@pytest.mark.parametrize("home", ["unset", "read-only"])
def test_without_a_home_to_write_to_a_run_is_recorded(
    disk: Disk, store: MlflowClient, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    disk.read_only()
    if home == "unset":
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", str(disk.folder))
    monkeypatch.delenv("ELBOWROOM_CACHE", raising=False)
    assert store.get_run(execute(CONFIG).run_id).info.status == "FINISHED"
