"""Trainings of milliseconds beside others, and a table of times whose ratios are known."""

import json
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks import waiting
from benchmarks.waiting import Measured, summary
from elbowroom.tracking.data.mnist import Images

pytestmark = pytest.mark.integration

X = np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)


def test_times_beside_others_are_compared_with_those_alone_of_the_same_round() -> None:
    long, short = "GOMP_SPINCOUNT=300000", "GOMP_SPINCOUNT=2000"
    measured = [
        Measured(long, 0, 1.0, {"training": 4.0, "loops": 14.0}),
        Measured(long, 1, 2.0, {"training": 9.0, "loops": 30.0}),
        Measured(short, 0, 1.0, {"training": 2.0, "loops": 4.0}),
        Measured(short, 1, 3.0, {"training": 6.6, "loops": 13.5}),
    ]
    assert summary(measured).splitlines()[2:] == [
        f"| {long} | 1.50 (1.00 to 2.00) | 1.00 (1.00 to 1.00) | 4.25 (4.00 to 4.50) | 14.50 (14.00 to 15.00) |",
        f"| {short} | 2.00 (1.00 to 3.00) | 1.25 (1.00 to 1.50) | 2.10 (2.00 to 2.20) | 4.25 (4.00 to 4.50) |",
    ]


@pytest.mark.slow
def test_a_training_is_timed_alone_and_beside_others_which_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "load_idx", lambda name: Images(X, X, X, X))
    before = psutil.Process().children()
    lines, setting = tmp_path / "lines.jsonl", "GOMP_SPINCOUNT=2000"
    assert waiting.main(["--rounds", "1", "--settings", setting, "--jsonl", str(lines)]) == 0
    assert psutil.Process().children() == before
    found = json.loads(lines.read_text().splitlines()[1])
    assert (found["setting"], set(found["beside"])) == (setting, {"training", "loops"})
    assert 0 < found["alone"] < 10
    assert f"| {setting} |" in capsys.readouterr().out
