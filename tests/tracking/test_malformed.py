"""Every malformed file is refused in one line within 5 s, or read right; none raises, hangs or fills the memory."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.conftest import environment
from tests.tracking import malformed
from tracking.config import LONGEST_MESSAGE

SECONDS = 5  # for each file


def fault(told: dict[str, Any]) -> str | None:
    """What is wrong with what came of a case, as `malformed.main` told it."""
    outcome, message = told["outcome"], told["message"]
    if outcome not in ("refused", "read"):
        return f"it {outcome} {message}"
    if told["must"] != "either" and told["must"] != outcome:
        return f"it was {outcome}"
    if outcome == "read" and message:
        return message
    if outcome == "refused" and not (message and message.isprintable() and len(message) <= LONGEST_MESSAGE):
        return f"it is not one line: {message!r}"
    name = Path(told["path"]).name
    if outcome == "refused" and name.isprintable() and len(name) < LONGEST_MESSAGE / 3 and name not in message:
        return f"the file is not named: {message!r}"
    if told["warned"]:
        return f"it warned {told['warned']}"
    if told["seconds"] > SECONDS:
        return f"it took {told['seconds']:.1f} s"
    if told["memory"] > malformed.MEMORY or "llocat" in message:
        return f"it took {told['memory']} bytes"
    return None


def tell(folder: Path, every: int) -> list[dict[str, Any]]:
    """What came of every so-manieth case."""
    command = [sys.executable, "-m", "tests.tracking.malformed", str(folder), str(every)]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=500, check=False
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended by {done.returncode} after {told[-1:]}: {done.stderr[-2000:]}"
    assert done.stderr == ""  # no library printed past Python's warnings
    assert [p.name for p in folder.iterdir()] == []  # nothing was written beside its own folder, "pwned" least of all
    return told


def test_a_sample_of_malformed_files(tmp_path: Path) -> None:
    told = tell(tmp_path, every=10)
    assert [(t["format"], t["attack"], wrong) for t in told if (wrong := fault(t))] == []
    assert len(told) > 150


@pytest.mark.soak
def test_a_thousand_malformed_files(tmp_path: Path) -> None:
    told = tell(tmp_path, every=1)
    assert [(t["format"], t["attack"], wrong) for t in told if (wrong := fault(t))] == []
    refused = Counter(t["format"] for t in told if t["outcome"] == "refused")
    read = Counter(t["format"] for t in told if t["outcome"] == "read")
    slowest, largest = max(t["seconds"] for t in told), max(t["memory"] for t in told)
    print(f"\n{len(told)} files, the slowest in {slowest:.2f} s, the largest in {largest >> 20} MiB")
    print("\n".join(f"{name:<10} refused {refused[name]:>4}, read {read[name]:>4}" for name in sorted(refused)))
    assert len(told) >= 1000
    assert sum(refused.values()) >= 1000
    assert min(refused[name] for name in ("npy", "npz", "csv", "parquet", "image", "idx")) >= 70


@pytest.mark.soak
@pytest.mark.parametrize(
    ("format_", "attack"),
    [("npz", "bomb"), ("csv", "pipe"), ("csv", "odd file name"), ("image", "link to itself")],
)
def test_the_command_refuses_it_in_one_line_and_leaves_no_run(
    store: MlflowClient, tmp_path: Path, format_: str, attack: str
) -> None:
    case = next(c for c in malformed.cases() if (c.format, c.attack) == (format_, attack))
    (tmp_path / "data").mkdir()
    path = case.write(tmp_path / "data")
    command = [sys.executable, "-m", "tracking.train", "--model", "pca", "--dataset", str(path)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"error: {tmp_path}")
    assert store.search_runs([e.experiment_id for e in store.search_experiments()]) == []
