"""Train one model and record it: load, build, fit, evaluate, write.

The first two find every mistake of the user before a run is opened. Epochs are logged while the model is fitted;
everything else is computed into a `RunRecord` and then written at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import style
from mlflow import MlflowClient
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]

from elbowroom.models import (
    ContractError,
    Epoch,
    OnEpoch,
    Reducer,
    Scaled,
    class_of,
    in_unit_interval,
    settings_of,
    suited,
)
from elbowroom.models.measures.errors import (
    active_units,
    column_mse,
    explained_variance,
    kl_by_latent,
    reconstruction_mse,
    row_mse,
    units_in_use,
)
from elbowroom.models.measures.intrinsic_dimension import participation_ratio
from elbowroom.models.threads import on_threads

from ..config import RunConfig
from ..data.datasets import Dataset, Split
from ..data.precision import far_from_zero
from ..data.prepared_data import PreparedData
from ..drawing import Look, model_colour, small_pictures
from ..logged_model.code import code_of
from ..logged_model.log import log_model
from ..store.client import reach_store
from ..store.errors import BadInput
from ..store.names import EXAMPLES, FACT_PREFIX, IMAGE_KEY, PICTURE_SIDE, PICTURED, Artifact, Metric, Param, Tag
from ..store.recorder import Place, Recorder, RunRecord, recording
from .description import describe
from .diagnostics import diagnose, sampled_codes
from .figures import FIGURES, RunView, draw_reconstructions, pixels, png

_PICTURES = 6  # epochs whose reconstructions are logged, closer together where the model learns faster


@dataclass(frozen=True)
class RunResult:
    """The run's id in the store, and its final metrics by name, without those of `--measure`."""

    run_id: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A valid configuration, its data, and the unfitted model with the settings that it was built from."""

    config: RunConfig
    prepared_data: PreparedData
    settings: Mapping[str, Any]
    model: Reducer

    @property
    def data(self) -> Dataset:
        return self.prepared_data.data

    @property
    def split(self) -> Split:
        return self.prepared_data.split

    @property
    def look(self) -> Look:
        """Pictures are black at the lowest training value and white at the highest."""
        return Look(self.data.image_shape, *self.prepared_data.value_range)


class _Fitted(NamedTuple):
    """The measured epochs of a training, and its seconds without those of the callback."""

    epochs: tuple[Epoch, ...]
    seconds: float

    @property
    def trained(self) -> int:
        """The number of epochs, 0 for a model without."""
        return self.epochs[-1].number if self.epochs else 0


def execute(
    config: RunConfig,
    on_epoch: OnEpoch | None = None,
    *,
    place: Place | None = None,
    prepared_data: PreparedData | None = None,
    on_open: Callable[[Recorder], None] | None = None,
) -> RunResult:
    """Train and record one run in MLflow's current tracking store.

    Under `mlflow run` (MLFLOW_RUN_ID) the run that it opened is continued. Otherwise a new run is opened in the
    experiment of MLFLOW_EXPERIMENT_ID or MLFLOW_EXPERIMENT_NAME, by default `elbowroom`.

    Parameters
    ----------
    config : RunConfig
    on_epoch : callable, optional
        Receives each `Epoch` after it has been logged.
    place : Place, optional
        Open a new run there instead, as a study does for its cells.
    prepared_data : PreparedData, optional
        The data, where they are loaded already.
    on_open : callable, optional
        Receives the `Recorder` when the run is open.

    Returns
    -------
    RunResult

    Raises
    ------
    BadInput
        Before the training, for a configuration, data or a store that can't be used.
    RunFailed
        After the run was opened. An exception of a callback ends the run FAILED, a KeyboardInterrupt or Stopped KILLED.
    """
    client = reach_store() if place is None else MlflowClient()  # a study has reached its store before
    with on_threads(config.threads) as threads:
        run = prepare(config, prepared_data)
        with recording(client, (place and place.name) or config.run_name, place) as recorder:
            if on_open is not None:
                on_open(recorder)
            _log_start(run, recorder, threads)
            fitted = fit(run, _epoch_logger(run, recorder, on_epoch))
            record = evaluate(run, fitted)
            metrics = record.metrics
            if config.measure == "yes":
                record |= diagnose(run.model, run.prepared_data, record.arrays[Artifact.CODES])
            recorder.write(record, step=fitted.trained)
            if config.artifacts == "full":
                scaler, model = run.data.scaler, run.model
                whole = model if scaler is None else Scaled(model, *scaler)  # of rows in the data's own units
                dtype = "float64" if scaler or far_from_zero(run.split.x_train).size else "float32"
                log_model(client, recorder.run_id, config.model, run.settings, whole, dtype, run.data.columns)
            return RunResult(recorder.run_id, metrics)


def prepare(config: RunConfig, prepared_data: PreparedData | None = None) -> _Prepared:
    """Load the data, unless they are given, and build the model. Raises BadInput for what can't be trained."""
    if config.model.startswith("__main__:"):
        raise BadInput(
            f"model {config.model!r}: what a script or notebook defines can't be imported by a study's workers, or by "
            "whoever loads the model; put it into a module of its own, as package.module:Name"
        )
    prepared_data = prepared_data or PreparedData.load(config)
    data, parts = prepared_data.data, prepared_data.split
    config = config.for_rows(len(parts.x_train))
    most = min(parts.x_train.shape)
    if config.dim3 > most:
        raise BadInput(
            f"dim3 must be from 1 to {most} ({data.name} has {data.dim1} columns and {len(parts.x_train)} "
            f"training rows), got {config.dim3}"
        )
    settings = asdict(config) | {"dim1": data.dim1, "image_shape": data.image_shape}
    try:
        if not class_of(config.model).takes_float64:
            prepared_data = prepared_data.in_float32()
        if config.edition == 1 and config.output == "auto" and in_unit_interval(parts.x_train):
            settings["output"] = "sigmoid"
        model = suited(config.model, settings, prepared_data.split.x_train)
    except ContractError as error:
        raise BadInput(f"model {config.model!r}: {error}") from error
    except ValueError as error:
        raise BadInput(str(error)) from error
    return _Prepared(config, prepared_data, settings, model)


def fit(run: _Prepared, on_epoch: OnEpoch | None = None) -> _Fitted:
    """Train the model. `on_epoch` receives each epoch, and its seconds are not the training's."""
    epochs: list[Epoch] = []
    waited = 0.0

    def collect(epoch: Epoch) -> None:
        nonlocal waited
        began = time.perf_counter()
        epochs.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
        waited += time.perf_counter() - began

    began = time.perf_counter()
    run.model.fit(run.split.x_train, run.split.y_train, x_val=run.split.x_val, on_epoch=collect)
    return _Fitted(tuple(epochs), time.perf_counter() - began - waited)


def evaluate(run: _Prepared, fitted: _Fitted) -> RunRecord:
    """Compute everything that a run keeps of its fitted model; figures with `artifacts=full` alone."""
    model, data = run.model, run.data
    codes = model.encode(data.x_test)
    examples = data.x_test[:EXAMPLES]
    extra = model.extra_artifacts(run.split.x_train, data.x_test)
    mean_row = run.prepared_data.mean_row
    rebuilt = model.decode(codes)
    columns = np.stack([mean_row.columns, column_mse(data.x_test, rebuilt)])
    found: dict[str, npt.NDArray[Any] | None] = {
        Artifact.CODES: codes,
        Artifact.LABELS: data.y_test,
        Artifact.IDS: data.ids_test,
        Artifact.ERRORS_TEST: row_mse(data.x_test, rebuilt),
        Artifact.MEAN_ROW_TEST: mean_row.test,  # in float64, as squares of float32 numbers may exceed its range
        Artifact.COLUMNS_TEST: columns,
        Artifact.COLUMNS_OWN: None if data.scaler is None else columns * np.square(data.scaler.scale),
        Artifact.PROBE_TEST: run.prepared_data.probes.test,
        Artifact.ORIGINALS: examples,
        Artifact.RECONSTRUCTIONS: model.reconstruct(examples),
        Artifact.PICTURES: small_pictures(data.x_test[:PICTURED], run.look, PICTURE_SIDE),
        **{f"{name}.npy": array for name, array in extra.items()},
    }
    del rebuilt  # as large as the test rows
    if (x_val := run.split.x_val) is not None:
        codes_val = model.encode(x_val)
        found |= {
            Artifact.CODES_VAL: codes_val,
            Artifact.LABELS_VAL: run.split.y_val,
            Artifact.ERRORS_VAL: row_mse(x_val, model.decode(codes_val)),
            Artifact.MEAN_ROW_VAL: mean_row.val,
            Artifact.ELBO_VAL: None if (terms := model.elbo_terms(x_val)) is None else terms.elbo,
            Artifact.PROBE_VAL: run.prepared_data.probes.val,
            Artifact.PCA_CURVE_VAL: model.validation_curve(run.split.x_train, x_val),
        }
    arrays = {path: array for path, array in found.items() if array is not None}
    view = RunView(
        title=run.config.run_name,
        model=model,
        epochs=fitted.epochs,
        codes=codes,
        labels=data.y_test,
        classes=data.classes,
        originals=examples,
        reconstructions=arrays[Artifact.RECONSTRUCTIONS],
        look=run.look,
        spectrum=extra.get("spectrum"),
    )
    record = RunRecord(
        metrics=_metrics(run, fitted, arrays) | _intrinsic(run, view.spectrum),
        tags={f"{FACT_PREFIX}{name}": value for name, value in model.facts().items()},
        arrays=arrays,
        figures=_figures(view) if run.config.artifacts == "full" else {},
        curve=model.nested_errors(data.x_test),
    )
    record |= _posterior(run)
    description = describe(run.config, run.prepared_data, record, fitted.epochs)
    return record | RunRecord(tags={Tag.DESCRIPTION: description})


def _metrics(run: _Prepared, fitted: _Fitted, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, float]:
    test = float(arrays[Artifact.ERRORS_TEST].mean())
    passes = fitted.trained or 1
    low, high = run.prepared_data.value_range
    metrics: dict[str, float] = {
        Metric.TEST_MSE: test,
        Metric.TEST_EXPLAINED_VARIANCE: explained_variance(test, float(run.prepared_data.mean_row.test.mean())),
        **{f"test/{name}": value for name, value in run.model.extra_metrics(run.data.x_test).items()},
        Metric.DIM3: run.config.dim3,
        Metric.DATA_RANGE: high - low,
        Metric.DATA_RESOLUTION: run.prepared_data.resolution,
        Metric.FIT_SECONDS: fitted.seconds,
        Metric.SAMPLES_PER_SECOND: len(run.split.x_train) * passes / fitted.seconds,
        Metric.PARAMETERS: run.model.parameter_count(),
        Metric.EPOCHS_TRAINED: fitted.trained,
    }
    if Artifact.ERRORS_VAL in arrays:
        metrics[Metric.VAL_MSE_FINAL] = float(arrays[Artifact.ERRORS_VAL].mean())
    return metrics


def _posterior(run: _Prepared) -> RunRecord:
    """The KL by latent, the latents in use and the error of drawn codes; and the ELBO, where the model has terms."""
    model, x = run.model, run.data.x_test
    terms, posterior = model.elbo_terms(x), model.posterior(x)
    if posterior is None:
        return RunRecord()
    kl = kl_by_latent(*posterior) if terms is None else terms.kl
    by_latent, rate = kl.mean(axis=0), float(kl.sum(axis=1).mean())
    record = RunRecord(
        {
            Metric.TEST_KL: rate,
            Metric.TEST_ACTIVE_UNITS: active_units(posterior[0]),
            Metric.TEST_UNITS_IN_USE: units_in_use(by_latent),
            Metric.SAMPLED_MSE: reconstruction_mse(x, model.decode(sampled_codes(*posterior))),
        },
        arrays={Artifact.KL_BY_DIM: by_latent},
    )
    if terms is None:
        return record
    elbo: dict[str, float] = {Metric.TEST_ELBO: -(float(terms.recon.mean()) + rate)}
    return record | RunRecord(elbo, arrays={Artifact.ELBO_TEST: terms.elbo})


def _intrinsic(run: _Prepared, spectrum: npt.NDArray[np.float64] | None) -> dict[str, float]:
    """Estimates of the data's intrinsic dimension, those that are defined.

    They describe the data and not the model. PCA's runs have them because one needs the spectrum, and because a study
    has few such runs.
    """
    if spectrum is None:
        return {}
    rows = run.prepared_data.intrinsic
    estimates = {
        Metric.INTRINSIC_TWONN: rows.twonn,
        Metric.INTRINSIC_TWONN_SE: rows.twonn_se,
        Metric.INTRINSIC_MLE: rows.mle,
        Metric.INTRINSIC_MLE_SE: rows.mle_se,
        Metric.INTRINSIC_ROWS: rows.rows,
        Metric.INTRINSIC_PARTICIPATION: participation_ratio(spectrum),
        Metric.INTRINSIC_PARALLEL: rows.parallel_analysis,
    }
    return {name: value for name, value in estimates.items() if value is not None}


@style.context("default")  # the caller's style must not change what a run keeps
def _figures(view: RunView) -> dict[str, bytes]:
    figures = {name: plot(view) for name, plot in FIGURES.items()}
    return {name: png(figure) for name, figure in figures.items() if figure is not None}


def _epoch_logger(run: _Prepared, recorder: Recorder, on_epoch: OnEpoch | None) -> OnEpoch:
    examples, look = run.data.x_test[:EXAMPLES], run.look
    pictured = 0

    def log(epoch: Epoch) -> None:
        nonlocal pictured
        recorder.metrics(epoch.metrics, epoch.number)
        # Counted, because a long training does not pass on each of its epochs.
        due = int((np.geomspace(1, epoch.total, _PICTURES).round() <= epoch.number).sum())
        if run.config.artifacts == "full" and due > pictured:
            pictured = due
            title = f"{run.config.run_name}, epoch {epoch.number}"
            with style.context("default"):
                picture = pixels(draw_reconstructions(title, examples, run.model.reconstruct(examples), look))
            recorder.client.log_image(recorder.run_id, picture, key=IMAGE_KEY, step=epoch.number, synchronous=True)
        if on_epoch is not None:
            on_epoch(epoch)

    return log


def _log_start(run: _Prepared, recorder: Recorder, threads: int) -> None:
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
    tags: dict[str, str] = {
        Tag.CONFIG: run.config.to_json(),
        Tag.DATASET: data.name,
        Tag.COLOUR: model_colour(run.config.model),
        Tag.DIGEST: run.prepared_data.digests["all"],
        Tag.DATA_SCALING: data.scaling,
        Tag.SEEDED: "yes" if "seed" in settings_of(run.config.model) else "no",
    }
    if data.notes:
        tags[Tag.DATA_READING] = json.dumps(data.notes, ensure_ascii=False)
    if (dominant := run.prepared_data.dominant_column) is not None:
        tags[Tag.DOMINANT_COLUMN] = json.dumps(dict(zip(("column", "share"), dominant, strict=True)))
    if data.test_repeats:
        tags[Tag.TEST_REPEATS] = "true"
    if code := code_of(run.config.model, imported=True):
        tags[Tag.CODE] = code
    if data.image_shape is not None:
        tags[Tag.IMAGE_SHAPE] = "x".join(map(str, data.image_shape))
    recorder.tags(tags)
    source = LocalArtifactDatasetSource(data.source)
    digests = {context: digest for context, digest in run.prepared_data.digests.items() if context != "all"}
    recorder.inputs({c: MetaDataset(source, name=data.name, digest=d) for c, d in digests.items()})  # type: ignore[abstract]
