"""Runs as `tracking` logs them, without training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric as LoggedMetric
from mlflow.entities import Param as LoggedParam
from mlflow.entities import RunTag

from elbowroom.analysis.pages.report import SECTIONS
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import FACT_PREFIX, Artifact, Kind, Metric, Tag

FIGURES = {section.name: section.plot.draw for section in SECTIONS if section.plot is not None}
"""The function of each figure of a report."""

NOW = iter(range(1_700_000_000_000, 10**15))
"""The store's clock: each run a millisecond after the one before."""


def log(
    client: MlflowClient,
    *,
    dim3: int,
    error: float | None,
    model: str = "ae",
    seed: int = 0,
    test: float | None = 0.5,
    epochs: int = 20,
    lr: float = 1e-3,
    dataset: str = "digits",
    experiment: str = "e",
    status: str = "FINISHED",
    name: str = "",
    facts: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    arrays: Mapping[str, np.ndarray[Any, Any]] | None = None,
    folder: Path | None = None,
) -> str:
    """Log one run of kind `run`; its id."""
    # Names that RunConfig refuses may stand in a store all the same.
    config = json.loads(RunConfig(dim3=dim3, seed=seed, epochs=epochs, lr=lr).to_json())
    config |= {"model": model, "dataset": dataset}
    called = name or f"{model.rpartition(':')[2]}-d{dim3}-s{seed}"
    found = client.get_experiment_by_name(experiment)
    place = client.create_experiment(experiment) if found is None else found.experiment_id
    run_id = str(client.create_run(place, run_name=called, start_time=next(NOW)).info.run_id)
    numbers: dict[str, float] = {Metric.DIM3: dim3, Metric.EPOCHS_TRAINED: 0 if model == "pca" else epochs}
    numbers |= {Metric.FIT_SECONDS: 2.0 + dim3, Metric.PARAMETERS: 1000.0 * dim3}
    numbers |= {} if error is None else {Metric.VAL_MSE_FINAL: error}
    numbers |= {} if test is None else {Metric.TEST_MSE: test}
    words: dict[str, str] = {
        Tag.KIND: Kind.RUN,
        Tag.CONFIG: json.dumps(config),
        Tag.DATASET: dataset,
        Tag.DIGEST: f"d-{dataset}",
    }
    words |= {f"{FACT_PREFIX}{k}": v for k, v in (facts or {}).items()}
    client.log_batch(
        run_id,
        metrics=[LoggedMetric(k, v, 0, 0) for k, v in (numbers | dict(metrics or {})).items()],
        params=[LoggedParam(k, v) for k, v in (params or {}).items()],
        tags=[RunTag(k, v) for k, v in (words | dict(tags or {})).items()],
    )
    if arrays and folder is not None:
        for path, array in arrays.items():
            (folder / run_id / path).parent.mkdir(parents=True, exist_ok=True)
            np.save(folder / run_id / path, array, allow_pickle=False)
        client.log_artifacts(run_id, str(folder / run_id))
    if status != "RUNNING":
        client.set_terminated(run_id, status, end_time=next(NOW))
    return run_id


def rows(mean: float, seed: int, count: int = 200) -> np.ndarray[Any, Any]:
    """Squared errors of test rows (count,) with exactly this mean."""
    drawn = np.random.default_rng(seed).gamma(4.0, size=count)
    scaled: np.ndarray[Any, Any] = (drawn * (mean / drawn.mean())).astype(np.float32)
    return scaled


def errors(
    validation: float, test: float, row_seed: int = 0, mean_row: float | None = None
) -> dict[str, np.ndarray[Any, Any]]:
    """The two arrays of errors of a run, and those of the mean row, where its error is given."""
    found = {Artifact.ERRORS_VAL: rows(validation, row_seed), Artifact.ERRORS_TEST: rows(test, row_seed)}
    if mean_row is not None:
        found |= dict.fromkeys((Artifact.MEAN_ROW_VAL, Artifact.MEAN_ROW_TEST), rows(mean_row, row_seed))
    return found


def log_curve(
    client: MlflowClient,
    curve: Mapping[int, float],
    folder: Path | None = None,
    rows_of: int = 0,
    mean_row: float | None = None,
    **more: Any,
) -> dict[int, str]:
    """Log a run for each dim3 of a curve, with it as validation and test error; their ids."""
    ids = {}
    for k, error in curve.items():
        arrays = None if folder is None else errors(error, error, rows_of, mean_row)
        ids[k] = log(client, dim3=k, error=error, test=error, arrays=arrays, folder=folder, **more)
    return ids
