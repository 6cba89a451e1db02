"""The measures that `--measure` adds to a run: those that need the model or the data, which readers of the store lack.

`models.measures` defines them. Here they are computed with fixed seeds and get their names in the store. A measure
that is not defined for a model or its rows is left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from elbowroom.models import Array, Reducer
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.models.measures.generation import GENERATORS, nearest_training
from elbowroom.models.measures.hidden_entries import hidden_entries
from elbowroom.models.measures.latent_space import STEPS, interpolate, robustness, smoothness, trustworthiness

from ..data.prepared_data import PreparedData
from ..data.reference_samples import SEARCHED, SampleQuality
from ..store.names import Artifact, Metric, Source, Tag, sample_artifact, sample_metric
from ..store.recorder import RunRecord
from .figures import DRAW_SEEDS, DRAWN, SIDE, decoded_plane

_SEED = 0
_PAIRS = 500  # of test rows between whose codes are interpolated
_PATHS_VALUES = 2**23  # values decoded at a time: all lines of wide rows would take gigabytes
_PICTURED_PAIRS = 5
_STORED_AS: dict[str, str] = {
    "again_degrees": Metric.REFIT_DEGREES,
    "other_degrees": Metric.OTHER_DEGREES,
    "flipped": Metric.FLIPPED,
    "randomized_degrees": Metric.RANDOMIZED_DEGREES,
    "other_codes": Artifact.CODES_REFIT,
    "auto_solver": Tag.AUTO_SOLVER,
    "weighted_bound": Metric.WEIGHTED_BOUND,
    "weighted_bound_se": Metric.WEIGHTED_BOUND_SE,
    "weighted_elbo": Metric.WEIGHTED_ELBO,
}
"""Names in the store of the diagnostics that PCA and the VAE add; those of other models are made from their own names.
"""


def diagnose(model: Reducer, prepared_data: PreparedData, codes: Array) -> RunRecord:
    """Compute all measures of a fitted model, and the seconds that they took.

    Parameters
    ----------
    model : Reducer
    prepared_data : PreparedData
        Its training and test rows.
    codes : (N_test, dim3)
        Codes of the test rows.

    Returns
    -------
    RunRecord
        Metrics, arrays and tags by their names in the store.
    """
    began = time.perf_counter()
    record = RunRecord()
    for part in _parts(model, prepared_data, codes):
        record |= part
    return record | RunRecord({Metric.MEASURE_SECONDS: time.perf_counter() - began})


def _parts(model: Reducer, prepared_data: PreparedData, codes: Array) -> Iterator[RunRecord]:
    x, x_test = prepared_data.split.x_train, prepared_data.data.x_test
    near = trustworthiness(x_test, codes)
    if near is not None:
        yield RunRecord({Metric.TRUSTWORTHINESS: near[0], Metric.CONTINUITY: near[1]})
    yield RunRecord(arrays={Artifact.ROBUSTNESS: robustness(model, x_test)})
    yield _interpolations(model, prepared_data, codes)
    decoded = decoded_plane(model, codes, SIDE)
    yield RunRecord(arrays={Artifact.PLANE: decoded.x, Artifact.PLANE_TICKS: decoded.ticks})
    draws = np.stack([model.sample(DRAWN, np.random.default_rng(seed)) for seed in DRAW_SEEDS])
    new, same = (reconstruction_mse(draws[0], draws[i]) for i in (1, 2))
    yield RunRecord({Metric.NEW_DRAW: new, Metric.SAME_DRAW: same}, arrays={Artifact.DRAWS: draws})
    yield from _samples(model, prepared_data)
    if (posterior := model.posterior(x_test)) is not None:
        widths = np.exp(0.5 * posterior[1].astype(np.float64)).astype(np.float32)
        yield RunRecord(arrays={Artifact.CODES_SAMPLED: sampled_codes(*posterior), Artifact.CODES_SD: widths})
    yield _hidden_entries(model, prepared_data)
    extra = model.extra_diagnostics(x, x_test)
    yield RunRecord(
        {_STORED_AS.get(name, f"measure/{name}"): number for name, number in extra.numbers.items()},
        {_STORED_AS.get(name, f"elbowroom.measure.{name}"): text for name, text in extra.texts.items()},
        {_STORED_AS.get(name, f"measure/{name}.npy"): array for name, array in extra.arrays.items()},
    )


def _interpolations(model: Reducer, prepared_data: PreparedData, codes: Array) -> RunRecord:
    """Between random pairs of test rows, of different classes where there are labels."""
    data = prepared_data.data
    labels, rng = data.y_test if data.classes else None, np.random.default_rng(_SEED)
    ends = rng.integers(len(codes), size=(2, 4 * _PAIRS))
    apart = ends[0] != ends[1] if labels is None else labels[ends[0]] != labels[ends[1]]
    ends = ends[:, apart][:, :_PAIRS]
    if not ends.size:
        return RunRecord()
    pictured, midway, smooth = [], [], []
    size = max(_PICTURED_PAIRS, _PATHS_VALUES // (STEPS * prepared_data.data.dim1))
    for start in range(0, ends.shape[1], size):
        paths = interpolate(model, codes[ends[:, start : start + size]])
        smooth.append(smoothness(paths))
        midway.append(nearest_training(paths[:, STEPS // 2], prepared_data.split.x_train)[1])
        pictured.append(paths[:_PICTURED_PAIRS].copy())
    metrics: dict[str, float] = {Metric.MIDWAY: float(np.concatenate(midway).mean())}
    largest_step, detour = (np.concatenate(parts) for parts in zip(*smooth, strict=True))
    if len(detour):
        metrics |= {Metric.LARGEST_STEP: float(largest_step.mean()), Metric.DETOUR: float(detour.mean())}
    return RunRecord(metrics, arrays={Artifact.INTERPOLATIONS: pictured[0]})


def _samples(model: Reducer, prepared_data: PreparedData) -> Iterator[RunRecord]:
    """The quality of each generator's samples, and of real rows and the mean row beside them."""
    training_codes = model.encode(prepared_data.split.x_train)
    references = prepared_data.references
    reconstructed = model.reconstruct(references.held_out) if references.count else None
    yield _sample(Source.REAL, references.real)
    yield _sample(Source.MEAN_ROW, references.mean_row)
    yield _sample(Source.RECONSTRUCTED, references.judge(model.reconstruct(references.others)))
    for name, generate in GENERATORS.items():
        rows = generate(model, training_codes, max(references.count, SEARCHED), np.random.default_rng(_SEED))
        yield _sample(Source(name), references.judge(rows, reconstructed))


def _sample(source: Source, sample: SampleQuality) -> RunRecord:
    return RunRecord(
        {sample_metric(source, quality): value for quality, value in sample.numbers.items()},
        arrays={
            sample_artifact(source): sample.rows,
            sample_artifact(source, "nearest"): sample.nearest,
            sample_artifact(source, "nearest_mse"): sample.distances,
        },
    )


def sampled_codes(mean: Array, log_var: Array) -> Array:
    """Return one code a row, (N, dim3), drawn from the posterior's mean and log-variance, (N, dim3) each."""
    noise = np.random.default_rng(_SEED).standard_normal(mean.shape)
    drawn: Array = (mean + np.exp(0.5 * log_var.astype(np.float64)) * noise).astype(np.float32)
    return drawn


def _hidden_entries(model: Reducer, prepared_data: PreparedData) -> RunRecord:
    """On validation rows, as every purpose chooses on them; on test rows where there are none."""
    parts = prepared_data.split
    held = prepared_data.data.x_test if parts.x_val is None else parts.x_val
    found = hidden_entries(model, parts.x_train, held)
    if found is None:
        return RunRecord()
    return RunRecord(
        {Metric.COPIED_COLUMNS: found.copies},
        arrays={Artifact.HIDDEN_ENTRIES: found.model, Artifact.HIDDEN_ENTRIES_MEAN: found.mean_row},
    )
