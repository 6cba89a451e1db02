"""A tracking server that misbehaves: a run, a study and a report come out whole, or say clearly that they did not."""

import itertools

import pytest

from tests.faults.proxy import FAULTS, Proxy
from tests.faults.truth import Kept, Truth
from tracking.config import BadInput, RunConfig
from tracking.recorder import RunFailed
from tracking.run import execute

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")]
LIGHT = RunConfig(model="ae", dataset="digits", dim2=8, epochs=2, threads=1, artifacts="light")
FULL = RunConfig(model="ae", dataset="digits", dim2=8, epochs=2, threads=1)
LONGEST = 500  # characters of a line that says what went wrong
names = (f"e{number}" for number in itertools.count())


def attempt(config: RunConfig, experiment: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said of a run in this experiment that can't be recorded; empty where it could."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", experiment)
    try:
        execute(config)
    except (BadInput, RunFailed) as error:
        return str(error) or "?"
    return ""


def disturbed(
    proxy: Proxy, truth: Truth, config: RunConfig, number: int, fault: str, monkeypatch: pytest.MonkeyPatch, like: Kept
) -> str:
    """One run to whose n-th request something happens; what is said of it, empty where it came out whole."""
    experiment = next(names)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1" if FAULTS[fault].silent else "60")
    proxy.watch(lambda n, request: FAULTS[fault] if n == number else None)
    said = attempt(config, experiment, monkeypatch)
    where = proxy.hit
    assert len(where) == 1, (number, fault)
    runs = truth.runs(experiment)
    if not said:
        assert len(runs) == 1, where
        assert truth.kept(runs[0]) == like, where
        return ""
    assert len(said) <= LONGEST, (where, said)
    assert "\n" not in said, (where, said)
    assert [r.info.status for r in runs] in ([], ["FAILED"]), (where, said)
    return said


def undisturbed(proxy: Proxy, truth: Truth, config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> tuple[Kept, int]:
    """A run to which nothing happens, and how many requests it makes where its experiment is a new one."""
    experiment = next(names)
    proxy.watch()
    assert attempt(config, experiment, monkeypatch) == ""
    (run,) = truth.runs(experiment)
    return truth.kept(run), len(proxy.seen)
