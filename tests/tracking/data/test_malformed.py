"""Every malformed file is refused in one line within 5 s, or read right; none raises, warns or is unpickled."""

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.data.datasets import Dataset
from elbowroom.tracking.store.errors import LONGEST, BadInput
from tests.tracking.data.malformed import Case, cases

SECONDS = 5  # of the processor, for each file


def fault_of_data(case: Case, data: Dataset) -> str | None:
    """The fault of the data that were read; None where there is none."""
    if case.must_fail:
        return "it was read"
    x = np.concatenate([data.x_train, data.x_test])
    y = None if data.y_train is None or data.y_test is None else np.concatenate([data.y_train, data.y_test])
    if x.dtype not in (np.float32, np.float64) or x.ndim != 2 or not np.isfinite(x).all():
        return f"rows of {x.dtype} and shape {x.shape}"
    if (case.label != "none") != (y is not None) and case.format != "image":
        return "labels are missing"
    if y is not None and (len(y) != len(x) or not (y >= 0).all() or not (y < len(data.classes)).all()):
        return "labels do not fit"
    return None


def fault_of_refusal(case: Case, message: str) -> str | None:
    """The fault of the line that refuses a file; None where there is none."""
    if not (message and message.isprintable() and len(message) <= LONGEST):
        return f"it is not one line: {message!r}"
    if case.name not in message:
        return f"the file is not named: {message!r}"
    return None


def test_malformed_files_are_refused_in_one_line_or_read_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A warning is an error here, as in all tests. With -rP it says how many were refused."""
    monkeypatch.chdir(tmp_path)
    faults, outcomes = [], Counter[tuple[str, str]]()
    for number, case in enumerate(cases()):
        folder = tmp_path / "cases" / str(number)
        folder.mkdir(parents=True)
        name = case.write(folder)
        start = time.process_time()
        try:
            outcome, fault = "read", fault_of_data(case, load_dataset(RunConfig(dataset=name, label_column=case.label)))
        except BadInput as error:
            outcome, fault = "refused", fault_of_refusal(case, str(error))
        except Exception as error:
            outcome, fault = "raised", repr(error)
        seconds = time.process_time() - start
        if fault or seconds > SECONDS:
            faults.append((number, case.format, case.damage, fault or f"it took {seconds:.1f} s"))
        outcomes[case.format, outcome] += 1
    assert faults == []
    assert [p.name for p in tmp_path.iterdir()] == ["cases"]  # nothing was unpickled or run
    assert capfd.readouterr().err == ""  # no library printed past Python's warnings
    assert min(outcomes[kind, "refused"] for kind in ("npy", "npz", "csv", "parquet", "image")) > 50
    print(sorted(outcomes.items()))
