"""Optuna's database when it can't be read."""

from pathlib import Path

import optuna
import pytest

from studies.claim import as_begun, find_study
from studies.ledger import Charter
from studies.storage import lasting, storage_at
from tracking.config import BadInput, RunConfig
from tracking.schema import Kind


@pytest.mark.parametrize(
    ("broken", "said"),
    [(slice(0, 16), "file is not a database"), (slice(100, 100_000), "database disk image is malformed")],
)
def test_a_broken_file_is_not_waited_for(tmp_path: Path, broken: slice, said: str) -> None:
    database, tries = tmp_path / "optuna.db", []
    url = f"sqlite:///{database}"
    optuna.create_study(storage=storage_at(url), study_name="s").add_trial(optuna.trial.create_trial(value=1.0))
    content = bytearray(database.read_bytes())
    content[broken] = b"\xff" * len(content[broken])
    database.write_bytes(content)

    @lasting
    def read() -> None:
        tries.append(url)
        optuna.load_study(storage=storage_at(url), study_name="s")

    with pytest.raises(optuna.exceptions.StorageInternalError) as raised:
        read()
    assert said in str(raised.value.__cause__)
    assert len(tries) == 1
    charter = Charter("s", "a scan of dim3", {}, Kind.RUN, "0")
    for ask in (lambda: as_begun(storage_at(url), "s", RunConfig()), lambda: find_study(storage_at(url), charter)):
        with pytest.raises(BadInput, match=rf"^study 's' can't be opened: \w+: {said}$"):
            ask()
