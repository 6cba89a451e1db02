"""Train one model and record it: `execute(config) -> RunResult`.

Everything that a user may have got wrong is found out before a run is opened: the configuration, the
store, the data, the model. Then the run is opened, trained live, measured on the test rows, and closed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from threadpoolctl import threadpool_limits

from models import MODELS, PCA, Array, ContractError, Epoch, OnEpoch, Reducer, build, check_contract
from models.metrics import explained_variance, row_mse

from .config import BadInput, RunConfig
from .datasets import Dataset, Split, digest, load_dataset, split
from .describe import describe
from .figures import FIGURES, Look, RunView, draw_reconstructions
from .packaging import log_model
from .recorder import Recorder, reach_store, recording
from .schema import EXAMPLES, FACT_PREFIX, IMAGE_KEY, Artifact, Metric, Param, Tag

PICTURES = 6  # times that the reconstructions are logged during training
TRIAL_ROWS = 64  # of the user's data, on which a model of their own is held against the contract


@dataclass(frozen=True)
class RunResult:
    """The run's id in the store, and its final metrics by name."""

    run_id: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a run needs, found to be in order."""

    config: RunConfig
    data: Dataset
    split: Split
    settings: Mapping[str, Any]
    model: Reducer


def execute(config: RunConfig, on_epoch: OnEpoch | None = None) -> RunResult:
    """Train and record one run in MLflow's current tracking store.

    Under `mlflow run` (MLFLOW_RUN_ID) the run it opened is continued; else a new one is opened in the
    experiment that MLFLOW_EXPERIMENT_ID or MLFLOW_EXPERIMENT_NAME names, by default `elbowroom`.
    `on_epoch` is called after each epoch has been logged; an exception from it ends the run FAILED, a
    KeyboardInterrupt KILLED.

    Raises BadInput before a run is opened, RunFailed after.
    """
    client = reach_store()
    with _threads(config) as threads:
        prepared = prepare(config)
        with recording(client, config.run_name) as recorder:
            return _record(prepared, recorder, threads, on_epoch)


def prepare(config: RunConfig) -> Prepared:
    """Load the data and build the model. Raises BadInput for whatever can't be trained."""
    data = load_dataset(config.dataset, test_data=config.test_data, label_column=config.label_column)
    parts = split(data, config.val_size)
    if config.patience > 0 and parts.x_val is None:
        raise BadInput(f"patience needs validation rows, and {data.name} is too small to have any; allowed: 0")
    most = min(parts.x_train.shape)
    if config.dim3 > most:
        raise BadInput(
            f"dim3 must be from 1 to {most} ({data.name} has {data.dim1} columns and {len(parts.x_train)} "
            f"training rows), got {config.dim3}"
        )
    settings = asdict(config) | {"dim1": data.dim1}
    try:
        model = build(config.model, settings)
        model.check(parts.x_train)
        if config.model not in MODELS:
            few = parts.x_train[: max(TRIAL_ROWS, 2 * config.dim3)]
            check_contract(lambda: build(config.model, settings | {"epochs": 1}), few, config.dim3)
    except ContractError as error:
        raise BadInput(f"model {config.model!r}: {error}") from error
    except ValueError as error:
        raise BadInput(str(error)) from error
    return Prepared(config, data, parts, settings, model)


def _record(run: Prepared, recorder: Recorder, threads: int, on_epoch: OnEpoch | None) -> RunResult:
    _log_what(run, recorder, threads)
    examples = run.data.x_test[:EXAMPLES]
    look = _look(run.data)
    full = run.config.artifacts == "full"
    epochs: list[Epoch] = []

    recording_seconds = 0.0

    def record(epoch: Epoch) -> None:
        nonlocal recording_seconds
        began = time.perf_counter()
        epochs.append(epoch)
        recorder.metrics(epoch.metrics, epoch.number)
        if full and epoch.number in _picture_epochs(epoch.total):
            title = f"{run.config.run_name}, epoch {epoch.number}"
            figure = draw_reconstructions(title, examples, run.model.reconstruct(examples), look)
            recorder.image(_pixels(figure), IMAGE_KEY, epoch.number)
        if on_epoch is not None:
            on_epoch(epoch)
        recording_seconds += time.perf_counter() - began

    started = time.perf_counter()
    run.model.fit(run.split.x_train, run.split.y_train, x_val=run.split.x_val, on_epoch=record)
    seconds = time.perf_counter() - started - recording_seconds

    passes = len(epochs) or 1
    x_hat = run.model.reconstruct(run.data.x_test)
    errors: dict[Artifact, Any] = {Artifact.ERRORS_TEST: row_mse(run.data.x_test, x_hat)}
    if run.split.x_val is not None:
        errors[Artifact.ERRORS_VAL] = row_mse(run.split.x_val, run.model.reconstruct(run.split.x_val))
    metrics: dict[str, float] = {
        Metric.TEST_MSE: float(errors[Artifact.ERRORS_TEST].mean()),
        Metric.TEST_EXPLAINED_VARIANCE: explained_variance(
            run.data.x_test, x_hat, run.split.x_train.mean(axis=0, dtype=np.float64).astype(np.float32)
        ),
        **{f"test/{name}": value for name, value in run.model.extra_metrics(run.data.x_test).items()},
        Metric.DIM3: run.config.dim3,
        Metric.FIT_SECONDS: seconds,
        Metric.SAMPLES_PER_SECOND: len(run.split.x_train) * passes / seconds,
        Metric.PARAMETERS: run.model.parameter_count(),
        Metric.EPOCHS_TRAINED: len(epochs),
    }
    if Artifact.ERRORS_VAL in errors:
        metrics[Metric.VAL_MSE_FINAL] = float(errors[Artifact.ERRORS_VAL].mean())
    recorder.metrics(metrics, len(epochs))
    recorder.tags(
        {f"{FACT_PREFIX}{name}": value for name, value in run.model.facts().items()}
        | {Tag.DESCRIPTION: describe(run.config, run.data, len(run.split.x_train), run.model.facts(), metrics, epochs)}
    )

    view = _view(run, tuple(epochs), examples, look)
    with recorder.files() as folder:
        _save_arrays(folder, run, view, errors)
        if full:
            for name, figure in _draw(view):
                path = folder / Artifact.FIGURES / f"{name}.png"
                path.parent.mkdir(exist_ok=True)
                figure.savefig(path)
    if full:
        log_model(recorder.client, recorder.run_id, run.config.model, run.settings, run.model)
    return RunResult(recorder.run_id, metrics)


def _log_what(run: Prepared, recorder: Recorder, threads: int) -> None:
    """What is known before training: the configuration, the data and where they are from."""
    data, parts = run.data, run.split
    recorder.params(
        asdict(run.config)
        | {
            Param.DIM1: data.dim1,
            Param.ROWS_TRAIN: len(parts.x_train),
            Param.ROWS_VAL: 0 if parts.x_val is None else len(parts.x_val),
            Param.ROWS_TEST: len(data.x_test),
            Param.THREADS_USED: threads,
        }
    )
    recorder.tags(
        {
            Tag.CONFIG: run.config.to_json(),
            Tag.DATASET: data.name,
            Tag.DIGEST: data.digest,
            Tag.DATA_SCALING: data.scaling,
        }
    )
    rows = {"train": parts.x_train, "validation": parts.x_val, "test": data.x_test}
    recorder.inputs(
        {
            context: MetaDataset(  # type: ignore[abstract]
                LocalArtifactDatasetSource(data.source), name=data.name, digest=digest(x)
            )
            for context, x in rows.items()
            if x is not None
        }
    )


def _save_arrays(folder: Path, run: Prepared, view: RunView, errors: Mapping[Artifact, Any]) -> None:
    """The `light` artifacts, for readers that have numpy and nothing else."""
    arrays: dict[str, Any] = {name: rows.astype(np.float32) for name, rows in errors.items()}
    arrays |= {
        Artifact.CODES: view.codes,
        Artifact.ORIGINALS: view.originals,
        Artifact.RECONSTRUCTIONS: view.reconstructions,
    }
    if view.labels is not None:
        arrays[Artifact.LABELS] = view.labels
    if isinstance(run.model, PCA):
        arrays[Artifact.SPECTRUM] = run.model.spectrum
    for name, array in arrays.items():
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / name, array, allow_pickle=False)


def _view(run: Prepared, epochs: tuple[Epoch, ...], examples: Array, look: Look) -> RunView:
    return RunView(
        title=run.config.run_name,
        model=run.model,
        epochs=epochs,
        codes=run.model.encode(run.data.x_test),
        labels=run.data.y_test,
        classes=run.data.classes,
        originals=examples,
        reconstructions=run.model.reconstruct(examples),
        look=look,
    )


def _draw(view: RunView) -> Iterator[tuple[str, Figure]]:
    for name, plot in FIGURES.items():
        figure = plot(view)
        if figure is not None:
            yield name, figure


def _look(data: Dataset) -> Look:
    """Pictures from black at the lowest training pixel to white at the highest, or [0, 1] where they lie there."""
    low, high = float(data.x_train.min()), float(data.x_train.max())
    return Look(data.image_shape) if low >= 0 and high <= 1 else Look(data.image_shape, low, high)


def _picture_epochs(total: int) -> set[int]:
    """About six epochs from the first to the last, closer together where the model learns faster."""
    return {round(float(n)) for n in np.geomspace(1, total, PICTURES)}


def _pixels(figure: Figure) -> Any:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@contextmanager
def _threads(config: RunConfig) -> Iterator[int]:
    """Torch and BLAS on so many threads, and as before afterwards."""
    wanted = (os.cpu_count() or 1) if config.threads == "auto" else config.threads
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        with threadpool_limits(wanted):
            yield wanted
    finally:
        torch.set_num_threads(before)
