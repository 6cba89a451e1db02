"""A pool of this machine's processes: what it does when they die. What they are like: test_forking."""

import json
import sys
import time
from collections.abc import Iterator

import pytest

from elbowroom.studies.execution import pools
from elbowroom.studies.execution.cell import Outcome, Status
from elbowroom.studies.execution.fork_server import end
from elbowroom.studies.execution.pools import _LocalPool
from elbowroom.studies.execution.processes import process_tag
from elbowroom.tracking.store.locks import private_folder
from tests.conftest import marked
from tests.studies.harness import Patch

pytestmark = pytest.mark.integration


@pytest.fixture
def pool(request: pytest.FixtureRequest, monkeypatch: Patch) -> Iterator[_LocalPool]:
    """One whose workers are forked, unless the test asks for another device."""
    monkeypatch.setattr(pools, "run_cell", str)
    made = _LocalPool(2, getattr(request, "param", "cpu"), verbose=False, study="s")
    yield made
    made.stop()


def take(pool: _LocalPool, count: int) -> list[object]:
    """Return the outcomes of the next `count` jobs that end."""
    found: list[object] = []
    while len(found) < count:
        found += [outcome for _, outcome in pool.take(1.0)]
    return found


@pytest.mark.parametrize("pool", ["cpu", *marked("slow", "cuda")], indirect=True)
def test_jobs_run_on_as_many_workers_as_there_are_jobs(pool: _LocalPool, request: pytest.FixtureRequest) -> None:
    pool.begin(1)
    pool.warm(1)
    (worker,) = pool.workers
    records = [json.loads(path.read_text()) for path in private_folder("workers").iterdir()]
    assert {(r["study"], r["coordinator"]) for r in records} == {("s", process_tag())}
    assert str(worker.process.pid) in {r["process"].split()[1] for r in records}
    assert (pool.server is not None) == (sys.platform == "linux" and request.node.callspec.params["pool"] == "cpu")
    for job in ("job 0", "job 1"):  # `str`, in the place of `run_cell`, gives them back
        assert pool.free()
        pool.submit(job)
    assert not pool.free()
    assert sorted(map(str, take(pool, 2))) == ["job 0", "job 1"]
    assert len(pool.workers) == 2


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["cpu", "cuda"], indirect=True)
def test_a_worker_that_died_idle_is_replaced_and_one_that_dies_under_a_job_loses_it(
    pool: _LocalPool, monkeypatch: Patch
) -> None:
    pool.warm(1)
    (first,) = pool.workers
    first.process.kill()
    first.process.wait(30)
    pool.submit("job 0")
    assert take(pool, 1) == ["job 0"]
    assert first not in pool.workers
    monkeypatch.setattr(pools, "run_cell", sys.exit)
    pool.submit("job 0")
    (lost,) = take(pool, 1)
    assert lost == Outcome(Status.LOST, reason="its worker was lost: the process ended")
    assert pool.workers == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_a_server_that_was_killed_is_replaced_and_an_interrupt_while_a_job_is_handed_out_leaves_no_worker(
    pool: _LocalPool, monkeypatch: Patch
) -> None:
    pool.warm(1)
    before = pool.server
    before.process.kill()
    before.process.wait(30)
    end(pool.workers)
    pool.workers.clear()
    pool.submit("job 0")
    assert take(pool, 1) == ["job 0"]
    assert pool.server is not before

    class Interrupted(dict[object, object]):
        def __setitem__(self, key: object, value: object) -> None:
            raise KeyboardInterrupt

    (worker,) = pool.workers
    monkeypatch.setattr(pools, "run_cell", time.sleep)
    monkeypatch.setattr(pool, "busy", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        pool.submit(600)
    pool.stop()
    assert not worker.process.is_running()
