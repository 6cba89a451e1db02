"""What the processes that train a study's cells are like."""

import gc
import json
import os

import pytest

from studies.workers import KEPT_BYTES, MALLOC_NAMES, THREAD_NAMES, LocalPool
from tracking.alone import private_folder

pytestmark = pytest.mark.integration


def test_a_worker_has_one_thread_its_collector_and_memory_that_stays() -> None:
    pool = LocalPool(2)
    try:
        pool.begin(1)
        pool.warm(1)
        assert len(pool.started) == 1  # begun once, and no more of them than jobs
        ask = pool.executors[0].submit
        assert ask(gc.isenabled).result()
        assert ask(gc.get_freeze_count).result() > 100_000  # all that it imported
        held = {name: ask(os.getenv, name).result() for name in (*THREAD_NAMES, *MALLOC_NAMES)}
        assert held == dict.fromkeys(THREAD_NAMES, "1") | dict.fromkeys(MALLOC_NAMES, str(KEPT_BYTES))
        (record,) = private_folder("workers").iterdir()
        assert json.loads(record.read_text())["process"].split()[1] == str(ask(os.getpid).result())
    finally:
        pool.stop()
