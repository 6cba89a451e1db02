"""The registration of a model by a report."""

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from elbowroom.analysis.reporting import report
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.run import execute

COLUMN = "column money has over 99.9 % of the variance, so errors and shares tell little of the others"


@pytest.mark.integration
def test_with_a_caution_a_model_is_registered_by_choose_alone(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table whose answer would be one column's rounding, and the same table with each column's own scale."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "units")
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(80, 2)) @ rng.normal(size=(2, 5)), columns=list("abcde"))
    table.assign(money=2.5e11 * rng.random(80)).to_csv("mine.csv", index=False)
    for dim3 in (1, 2):
        execute(RunConfig(model="pca", dataset="mine.csv", dim3=dim3))
    first = report(experiment="units")
    assert first.registered.sentence == (  # type: ignore[union-attr]
        "no model is registered, because of the caution above; --choose model=NAME,dim3=N registers one all the same"
    )
    assert f"\n  caution: {COLUMN}; --scale columns gives" in first.text
    assert "\n  caution: pca at dim3 1 to 2: errors up to " in first.text
    assert COLUMN in first.page.read_text().replace("\u00a0", " ")
    assert store.search_registered_models() == []

    report(experiment="units", choose="dim3=2")
    (model,) = store.search_registered_models()
    assert model.name == "elbowroom-mine"
