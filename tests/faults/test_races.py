"""Four processes do the same thing at the same moment: there is one result and no error."""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import optuna
import pytest
from mlflow import MlflowClient

from elbowroom.analysis.reporting.publish import _version, write_files
from elbowroom.studies.records.ownership import claim
from elbowroom.studies.records.study import StudySpec
from elbowroom.studies.records.trials import connect, lock_study
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import mnist
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.store.client import experiment, reach_store
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import Kind
from tests.conftest import marked
from tests.faults.crew import Race, crew
from tests.tracking.data.test_mnist import FILES, SUMS, deliver

pytestmark = pytest.mark.integration

RUNNERS = 4


@pytest.fixture(scope="module")
def race() -> Iterator[Race]:
    """Calls a function in four processes that have imported this file."""
    with crew(RUNNERS, __name__) as race:
        yield race


# Functions that the processes call at the same moment


def fill_cache(number: int, folder: str) -> list[int]:
    """The numbers of a data set that is fetched first; the source writes an x for each fetch."""

    def source(into: Path) -> None:
        with Path(folder, "asked").open("a") as file:
            file.write("x")
        deliver(into)

    os.environ["ELBOWROOM_CACHE"] = folder
    mnist._MD5["mnist"] = SUMS
    mnist._MIRRORS["mnist"] = [("the source", source)]
    images = mnist.load_idx("mnist")
    return [*images.y_test.tolist(), *images.x_train.ravel().tolist()]


def measure_once(number: int, folder: str) -> list[float | None]:
    """The measurements in a shared folder; made where it has none."""
    return [*PreparedData.map(Path(folder)).intrinsic]


@contextmanager
def own_temporary_folder(number: int, path: str) -> Iterator[None]:
    """A temporary folder for this process alone, as each job of a cluster and each container has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", f"{path}-{number}")
        Path(f"{path}-{number}").mkdir()
        yield


def open_store(number: int, path: str) -> list[str]:
    """The experiments of a new store."""
    with own_temporary_folder(number, path):
        mlflow.set_tracking_uri(f"sqlite:///{path}")
        return [e.name for e in reach_store().search_experiments()]


def open_storage(number: int, path: str) -> int:
    """The number of studies in a new database of Optuna's, after making one."""
    with own_temporary_folder(number, path):
        storage = connect(f"sqlite:///{path}")
        optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
        found = len(storage.get_all_studies())
        storage.remove_session()
        storage.engine.dispose()
        return found


def make_experiment(number: int, uri: str, name: str) -> str:
    """The id of a new experiment."""
    os.environ["MLFLOW_EXPERIMENT_NAME"] = name
    return experiment(MlflowClient(uri))


def register(number: int, uri: str, name: str, run_id: str, model_id: str) -> str:
    """The version of a run's model under a new name."""
    mlflow.set_tracking_uri(uri)  # where MLflow looks for the model
    client = MlflowClient(uri)
    return _version(client, name, client.get_logged_model(model_id), run_id)


def write_report(number: int, out: str) -> None:
    """Write a report into a folder that all share, with this process's number in each file."""
    names = ("report.html", "result.json", "figures/a.png", f"figures/{number}.png")
    write_files(Path(out), {name: str(number).encode() * 100_000 for name in names})


def hold_study(number: int, folder: str, name: str) -> str:
    """Hold a study until all have tried to; its parent run, or the reason why it can't be held."""
    uri, storage = f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/optuna.db"
    mlflow.set_tracking_uri(uri)
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "held"
    spec = StudySpec(name, "a scan of dim3", {"epochs": 1}, Kind.RUN, "0")
    try:
        with lock_study(storage, name), claim(MlflowClient(uri), connect(storage), spec) as records:
            while len(list(Path(folder).glob(f"{name}.*"))) < RUNNERS - 1:
                time.sleep(0.005)
            records.client.set_terminated(records.parent_id, "FINISHED")
            return records.parent_id
    except BadInput as error:
        Path(folder, f"{name}.{number}").touch()
        return str(error)


# Tests


def rounds(many: int) -> pytest.MarkDecorator:
    """Two rounds in `make test`, `many` in `make soak`."""
    return pytest.mark.parametrize("rounds", [2, *marked("soak", many)])


@rounds(50)
def test_a_data_set_is_fetched_once(race: Race, tmp_path: Path, rounds: int) -> None:
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert race(fill_cache, str(folder)) == [[3, 4, *range(8)]] * RUNNERS
        assert (folder / "asked").read_text() == "x"
        assert {p.name for p in (folder / "mnist").iterdir()} == {".lock", *FILES}


@rounds(20)
def test_what_is_shared_is_whole(race: Race, tmp_path: Path, rounds: int) -> None:
    folder = tmp_path / "shared"
    PreparedData.load(RunConfig(dataset="digits")).save(folder)
    before = {p.name for p in folder.iterdir()}
    for _ in range(rounds):
        found = race(measure_once, str(folder))
        assert found == [json.loads((folder / "intrinsic.json").read_text())] * RUNNERS
        assert {p.name for p in folder.iterdir()} == {*before, "intrinsic.json"}
        (folder / "intrinsic.json").unlink()


@rounds(8)
def test_a_tracking_store_is_made_once(race: Race, tmp_path: Path, rounds: int) -> None:
    for number in range(rounds):
        path = tmp_path / f"{number}.db"
        assert race(open_store, str(path)) == [["Default"]] * RUNNERS


@rounds(50)
def test_a_storage_of_trials_is_made_once(race: Race, tmp_path: Path, rounds: int) -> None:
    for number in range(rounds):
        assert race(open_storage, str(tmp_path / f"{number}.db")) == [1] * RUNNERS


@rounds(20)
def test_an_experiment_is_made_once(race: Race, store: MlflowClient, rounds: int) -> None:
    for number in range(rounds):
        found = race(make_experiment, store.tracking_uri, f"e{number}")
        assert found == [store.get_experiment_by_name(f"e{number}").experiment_id] * RUNNERS
    assert len(store.search_experiments()) == 1 + rounds


@rounds(20)
def test_a_model_is_registered_under_one_version(race: Race, store: MlflowClient, rounds: int) -> None:
    for number in range(rounds):
        run_id = store.create_run("0").info.run_id
        model = store.create_logged_model("0", name="model", source_run_id=run_id)
        found = race(register, store.tracking_uri, f"m{number}", run_id, model.model_id)
        assert found == ["1"] * RUNNERS


@rounds(20)
def test_a_report_is_all_of_one(race: Race, tmp_path: Path, rounds: int) -> None:
    for _ in range(rounds):
        assert race(write_report, str(tmp_path)) == [None] * RUNNERS
        files = {p.relative_to(tmp_path).as_posix(): p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
        (word,) = {content[:1] for content in files.values()}
        assert set(files) == {"report.html", "result.json", "figures/a.png", f"figures/{word}.png"}
        assert set(files.values()) == {word * 100_000}


@rounds(20)
def test_a_study_is_held_by_one(race: Race, store: MlflowClient, tmp_path: Path, rounds: int) -> None:
    for number in range(rounds):
        said = race(hold_study, str(tmp_path), f"s{number}")
        parents = [r for r in store.search_runs(["1"]) if r.info.run_name == f"s{number}"]
        assert [r.info.status for r in parents] == ["FINISHED"]
        assert said.count(parents[0].info.run_id) == 1
        assert sum("is running on this machine already; wait for it" in text for text in said) == RUNNERS - 1
