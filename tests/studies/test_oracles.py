"""The oracles hold, are recorded, and can fail."""

import numpy as np
import pytest
from mlflow import MlflowClient

from elbowroom.studies import oracles
from elbowroom.studies.oracles import ORACLES, Finding, main
from elbowroom.tracking.store.names import Kind, Tag
from tests.studies.harness import Capture, Patch

pytestmark = pytest.mark.integration


def test_all_hold_and_are_runs_of_their_own_kind(store: MlflowClient, capsys: Capture) -> None:
    assert main(["--tracking-uri", store.tracking_uri]) == 0
    assert f"all {len(ORACLES)} hold" in capsys.readouterr().out
    runs = store.search_runs([e.experiment_id for e in store.search_experiments()])
    assert {r.data.tags[Tag.KIND] for r in runs} == {Kind.ORACLE}
    assert {r.info.status for r in runs} == {"FINISHED"}
    children = {r.info.run_name: r.data.metrics for r in runs if Tag.PARENT in r.data.tags}
    assert set(children) == set(ORACLES)
    assert {m["holds"] for m in children.values()} == {1.0}
    assert children["linear-ae-reaches-pca"]["error_ratio"] <= 1.01
    collapse = children["collapse-is-seen"]
    assert collapse["units_in_use"] == 0 < collapse["units_in_use_beta_1"]


def _raises(x: np.ndarray) -> Finding:
    raise RuntimeError("no answer")


def test_one_that_does_not_hold_or_raises_is_exit_code_1(
    store: MlflowClient, monkeypatch: Patch, capsys: Capture
) -> None:
    asked = {"wrong": lambda x: Finding(False, "2 is 3", {"off": 1.0}), "raises": _raises}
    asked |= {"right": lambda x: Finding(True, "fine", {})}
    monkeypatch.setattr(oracles, "ORACLES", asked)
    assert main(["--tracking-uri", store.tracking_uri]) == 1
    said = capsys.readouterr()
    assert "FAILS  wrong" in said.out
    assert "2 of 3 do not hold: wrong, raises" in said.err
    runs = store.search_runs([e.experiment_id for e in store.search_experiments()])
    (parent,) = [r for r in runs if Tag.PARENT not in r.data.tags]
    assert (parent.info.status, parent.data.tags[Tag.KIND]) == ("FAILED", Kind.ORACLE)
    assert parent.data.tags[Tag.REASON] == "2 of 3 do not hold: wrong, raises"


def test_a_wrong_machine_is_found_out(monkeypatch: Patch) -> None:
    monkeypatch.setattr(oracles, "kl_by_latent", lambda mean, log_var: mean**2)
    assert not ORACLES["kl-is-its-integral"](np.zeros((1, 1), dtype=np.float32)).holds
