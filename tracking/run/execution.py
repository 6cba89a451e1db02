"""Train one model and record it: `execute(config) -> RunResult`.

Everything that a user may have got wrong is found out before a run is opened: the configuration, the
store, the data, the model. Then the run is opened, trained live, measured on the test rows, and closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from PIL import Image

from elbowroom.models import (
    PCA,
    Array,
    ContractError,
    Epoch,
    OnEpoch,
    Reducer,
    class_of,
    in_unit_interval,
    settings_of,
    suited,
)
from elbowroom.models.measures.errors import explained_variance, row_mse
from elbowroom.models.measures.intrinsic_dimension import participation_ratio
from elbowroom.models.threads import on_threads

from ..config import RunConfig
from ..data.datasets import Dataset, Split, far_from_zero, value_range
from ..data.shared import Material
from ..drawing import Look
from ..logged_model.code import code_of
from ..logged_model.log import log_model
from ..store.errors import BadInput
from ..store.names import EXAMPLES, FACT_PREFIX, IMAGE_KEY, Artifact, Metric, Param, Tag
from ..store.recorder import Place, Recorder, reach_store, recording
from .description import describe
from .diagnostics import Measured, measure
from .figures import FIGURES, RunView, draw_reconstructions

Errors = dict[Artifact, npt.NDArray[np.float64]]

PICTURES = 6  # times that the reconstructions are logged during training


@dataclass(frozen=True)
class RunResult:
    """The run's id in the store, and its final metrics by name."""

    run_id: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a run needs, found to be in order."""

    config: RunConfig
    material: Material
    settings: Mapping[str, Any]
    model: Reducer

    @property
    def data(self) -> Dataset:
        """The data set."""
        return self.material.data

    @property
    def split(self) -> Split:
        """Its training rows, parted."""
        return self.material.split


OnOpen = Callable[[Recorder], None]


def execute(
    config: RunConfig,
    on_epoch: OnEpoch | None = None,
    *,
    place: Place | None = None,
    material: Material | None = None,
    on_open: OnOpen | None = None,
) -> RunResult:
    """Train and record one run in MLflow's current tracking store.

    Under `mlflow run` (MLFLOW_RUN_ID) the run it opened is continued; else a new one is opened in the
    experiment that MLFLOW_EXPERIMENT_ID or MLFLOW_EXPERIMENT_NAME names, by default `elbowroom`. With
    `place` it is opened there, as a study's cells are. `material` is the data, where they are loaded
    already. `on_open` is called when the run is open, `on_epoch` after each epoch has been logged; an
    exception from them ends the run FAILED, a KeyboardInterrupt or Stopped KILLED.

    Raises BadInput before the training, RunFailed after it has begun.
    """
    client = reach_store() if place is None else MlflowClient()  # a study's store has been reached before
    with on_threads(config.threads) as threads:
        prepared = prepare(config, material)
        name = (place and place.name) or config.run_name
        with recording(client, name, place) as recorder:
            if on_open is not None:
                on_open(recorder)
            return _record(prepared, recorder, threads, on_epoch)


def prepare(config: RunConfig, material: Material | None = None) -> Prepared:
    """Load the data, unless they are given, and build the model. Raises BadInput for what can't be trained."""
    if config.model.startswith("__main__:"):
        raise BadInput(
            f"model {config.model!r}: what a script or notebook defines can't be imported by a study's workers, or by "
            "whoever loads the model; put it into a module of its own, as package.module:Name"
        )
    material = material or Material.load(config)
    data, parts = material.data, material.split
    if config.patience > 0 and parts.x_val is None:
        raise BadInput(f"patience needs validation rows, and {data.name} is too small to have any; allowed: 0")
    most = min(parts.x_train.shape)
    if config.dim3 > most:
        raise BadInput(
            f"dim3 must be from 1 to {most} ({data.name} has {data.dim1} columns and {len(parts.x_train)} "
            f"training rows), got {config.dim3}"
        )
    settings = asdict(config) | {"dim1": data.dim1, "image_shape": data.image_shape}
    try:
        if not class_of(config.model).takes_float64:
            material = material.in_float32()
        if config.edition == 1 and config.output == "auto" and in_unit_interval(parts.x_train):
            settings["output"] = "sigmoid"
        model = suited(config.model, settings, material.split.x_train)
    except ContractError as error:
        raise BadInput(f"model {config.model!r}: {error}") from error
    except ValueError as error:
        raise BadInput(str(error)) from error
    return Prepared(config, material, settings, model)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What training came to: its epochs, and its seconds without those spent on recording them."""

    epochs: tuple[Epoch, ...]
    seconds: float


def _record(run: Prepared, recorder: Recorder, threads: int, on_epoch: OnEpoch | None) -> RunResult:
    _log_what(run, recorder, threads)
    fitted = _fit(run, recorder, on_epoch)
    codes = run.model.encode(run.data.x_test)
    errors = _errors(run, codes)
    metrics = _metrics(run, fitted, errors)
    facts = run.model.facts()
    recorder.metrics(metrics, len(fitted.epochs))
    curve = run.model.nested_errors(run.data.x_test)
    if curve is not None:
        recorder.series(Metric.CURVE_MSE, curve)
    recorder.tags(
        {f"{FACT_PREFIX}{name}": value for name, value in facts.items()}
        | {
            Tag.DESCRIPTION: describe(
                run.config, run.data, len(run.split.x_train), facts, metrics, fitted.epochs, curve
            )
        }
    )
    full = run.config.artifacts == "full"
    view = _view(run, fitted.epochs, codes)
    measured = _measured(run, recorder, view)
    with recorder.files() as folder:
        _save_arrays(folder, run, view, errors, measured.arrays)
        if full:
            _save_figures(folder / Artifact.FIGURES, view)
    if full:
        dtype = "float64" if far_from_zero(run.split.x_train).size else "float32"
        log_model(recorder.client, recorder.run_id, run.config.model, run.settings, run.model, dtype)
    return RunResult(recorder.run_id, metrics)


def _fit(run: Prepared, recorder: Recorder, on_epoch: OnEpoch | None) -> Fitted:
    """Train, and record each epoch as it ends."""
    epochs: list[Epoch] = []
    recording_seconds = 0.0
    examples, look = run.data.x_test[:EXAMPLES], _look(run.data)

    def record(epoch: Epoch) -> None:
        nonlocal recording_seconds
        began = time.perf_counter()
        epochs.append(epoch)
        recorder.metrics(epoch.metrics, epoch.number)
        if run.config.artifacts == "full" and epoch.number in _picture_epochs(epoch.total):
            title = f"{run.config.run_name}, epoch {epoch.number}"
            with style.context("default"):
                pixels = _pixels(draw_reconstructions(title, examples, run.model.reconstruct(examples), look))
            recorder.image(pixels, IMAGE_KEY, epoch.number)
        if on_epoch is not None:
            on_epoch(epoch)
        recording_seconds += time.perf_counter() - began

    started = time.perf_counter()
    run.model.fit(run.split.x_train, run.split.y_train, x_val=run.split.x_val, on_epoch=record)
    return Fitted(tuple(epochs), time.perf_counter() - started - recording_seconds)


def _errors(run: Prepared, codes: Array) -> Errors:
    """The squared error of each test row, whose codes are these, and of each validation row: its columns' mean."""
    errors = {Artifact.ERRORS_TEST: row_mse(run.data.x_test, run.model.decode(codes))}
    x_val = run.split.x_val
    if x_val is not None:
        errors[Artifact.ERRORS_VAL] = row_mse(x_val, run.model.reconstruct(x_val))
    return errors


def _metrics(run: Prepared, fitted: Fitted, errors: Errors) -> dict[str, float]:
    """The metrics of the end, by name."""
    test = float(errors[Artifact.ERRORS_TEST].mean())
    passes = len(fitted.epochs) or 1
    metrics: dict[str, float] = {
        Metric.TEST_MSE: test,
        Metric.TEST_EXPLAINED_VARIANCE: explained_variance(test, run.material.mean_row_mse),
        **{f"test/{name}": value for name, value in run.model.extra_metrics(run.data.x_test).items()},
        Metric.DIM3: run.config.dim3,
        Metric.FIT_SECONDS: fitted.seconds,
        Metric.SAMPLES_PER_SECOND: len(run.split.x_train) * passes / fitted.seconds,
        Metric.PARAMETERS: run.model.parameter_count(),
        Metric.EPOCHS_TRAINED: len(fitted.epochs),
        **_intrinsic(run),
    }
    if Artifact.ERRORS_VAL in errors:
        metrics[Metric.VAL_MSE_FINAL] = float(errors[Artifact.ERRORS_VAL].mean())
    return metrics


def _intrinsic(run: Prepared) -> dict[str, float]:
    """How many dimensions the data themselves have, those measures that could be taken; of a PCA run only.

    They are about the data and not the model. PCA's runs have them because its spectrum is one of their sources
    and a study has few such runs; readers find them there.
    """
    if not isinstance(run.model, PCA):
        return {}
    rows = run.material.intrinsic
    measures = {
        Metric.INTRINSIC_TWONN: rows.twonn,
        Metric.INTRINSIC_MLE: rows.mle,
        Metric.INTRINSIC_PARTICIPATION: participation_ratio(run.model.spectrum),
        Metric.INTRINSIC_PARALLEL: rows.parallel_analysis,
    }
    return {name: value for name, value in measures.items() if value is not None}


def _measured(run: Prepared, recorder: Recorder, view: RunView) -> Measured:
    """What `--measure` asks for; its numbers and tags are logged here, its arrays with the others."""
    if run.config.measure == "no":
        return Measured()
    began = time.perf_counter()
    measured = measure(run.model, run.material, view.codes)
    recorder.metrics(measured.metrics | {Metric.MEASURE_SECONDS: time.perf_counter() - began}, len(view.epochs))
    recorder.tags(measured.tags)
    return measured


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
    about: dict[str, str] = {
        Tag.CONFIG: run.config.to_json(),
        Tag.DATASET: data.name,
        Tag.DIGEST: run.material.digests["all"],
        Tag.DATA_SCALING: data.scaling,
        Tag.SEEDED: "yes" if "seed" in settings_of(run.config.model) else "no",
    }
    if data.test_repeats:
        about[Tag.TEST_REPEATS] = "true"
    if code := code_of(run.config.model, imported=True):
        about[Tag.CODE] = code
    if data.image_shape is not None:
        about[Tag.IMAGE_SHAPE] = "x".join(map(str, data.image_shape))
    recorder.tags(about)
    source = LocalArtifactDatasetSource(data.source)
    recorder.inputs(
        {
            context: MetaDataset(source, name=data.name, digest=value)  # type: ignore[abstract]
            for context, value in run.material.digests.items()
            if context != "all"
        }
    )


def _save_arrays(
    folder: Path,
    run: Prepared,
    view: RunView,
    errors: Mapping[Artifact, npt.NDArray[np.float64]],
    measured: Mapping[str, npt.NDArray[np.generic]],
) -> None:
    """The `light` artifacts, for readers that have numpy and nothing else."""
    arrays: dict[str, Any] = dict(errors) | {
        Artifact.CODES: view.codes,
        Artifact.ORIGINALS: view.originals,
        Artifact.RECONSTRUCTIONS: view.reconstructions,
    }
    if view.labels is not None:
        arrays[Artifact.LABELS] = view.labels
    if isinstance(run.model, PCA):
        arrays[Artifact.SPECTRUM] = run.model.spectrum
        arrays[Artifact.PCA_CURVE] = run.material.pca_curve
    arrays |= measured
    for name, array in arrays.items():
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / name, array, allow_pickle=False)


@style.context("default")  # the caller's figures may have one of their own
def _save_figures(folder: Path, view: RunView) -> None:
    """Every figure that has something to show."""
    folder.mkdir()
    for name, plot in FIGURES.items():
        figure = plot(view)
        if figure is not None:
            # Figure.savefig would go through all that is drawn twice.
            picture = Image.fromarray(_pixels(figure))
            picture.save(folder / f"{name}.png", compress_level=3, dpi=(figure.dpi, figure.dpi))


def _view(run: Prepared, epochs: tuple[Epoch, ...], codes: Array) -> RunView:
    examples = run.data.x_test[:EXAMPLES]
    return RunView(
        title=run.config.run_name,
        model=run.model,
        epochs=epochs,
        codes=codes,
        labels=run.data.y_test,
        classes=run.data.classes,
        originals=examples,
        reconstructions=run.model.reconstruct(examples),
        look=_look(run.data),
    )


def _look(data: Dataset) -> Look:
    """Pictures from black at the lowest training pixel to white at the highest, or [0, 1] where they lie there."""
    return Look(data.image_shape, *value_range(data.x_train))


def _picture_epochs(total: int) -> set[int]:
    """About six epochs from the first to the last, closer together where the model learns faster."""
    return {round(float(n)) for n in np.geomspace(1, total, PICTURES)}


def _pixels(figure: Figure) -> Any:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
