"""What `--measure` adds to a run: all that needs the model or the data and that readers of the store have not.

The definitions are in `models.measures`; here they are taken, with the draws of fixed seeds,
and given their names in the store. What a model or the rows can't answer is left out, never made up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from elbowroom.models import PCA, Array, Reducer
from elbowroom.models.measures.decomposition import refit
from elbowroom.models.measures.errors import kl_by_latent, reconstruction_mse
from elbowroom.models.measures.generation import GENERATORS, nearest_training
from elbowroom.models.measures.latent_space import interpolate, robustness, smoothness, trustworthiness

from ..data.reference_samples import SEARCHED, SampleQuality
from ..data.shared import Material
from ..store.names import (
    Artifact,
    Metric,
    Source,
    Tag,
    distances_artifact,
    nearest_artifact,
    sample_artifact,
    sample_metric,
)
from .figures import SIDE, decoded_plane

DRAWN = 36  # samples of each draw
DRAW_SEEDS = (1, 2, 1)
PAIRS = 500  # of test rows between which codes are interpolated
STEPS = 11  # rows along each line, both ends included
PATHS_VALUES = 2**23  # of these rows at a time: of wide ones all pairs would be gigabytes
PICTURED_PAIRS = 5
SEED = 0


@dataclass
class Measured:
    """Numbers, arrays and tags by their names in the store."""

    metrics: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def measure(model: Reducer, material: Material, codes: Array) -> Measured:
    """Everything about a fitted model; codes (N_test, dim3) are the test rows'."""
    found = Measured()
    _neighbourhoods(found, material, codes)
    _robustness(found, model, material)
    _interpolations(found, model, material, codes)
    _plane(found, model, codes)
    _draws(found, model)
    _samples(found, model, material)
    _posterior(found, model, material)
    if isinstance(model, PCA):
        _refits(found, model, material)
    return found


def _neighbourhoods(found: Measured, material: Material, codes: Array) -> None:
    near = trustworthiness(material.data.x_test, codes)
    if near.trustworthiness is not None and near.continuity is not None:
        found.metrics |= {Metric.TRUSTWORTHINESS: near.trustworthiness, Metric.CONTINUITY: near.continuity}


def _robustness(found: Measured, model: Reducer, material: Material) -> None:
    found.arrays[Artifact.ROBUSTNESS] = robustness(model, material.data.x_test, np.random.default_rng(SEED))


def _interpolations(found: Measured, model: Reducer, material: Material, codes: Array) -> None:
    """Between random pairs of test rows, of different classes where there are labels."""
    labels, rng = material.data.y_test, np.random.default_rng(SEED)
    ends = rng.integers(len(codes), size=(2, 4 * PAIRS))
    apart = ends[0] != ends[1] if labels is None else labels[ends[0]] != labels[ends[1]]
    first, last = ends[:, apart][:, :PAIRS]
    if not len(first):
        return
    pictured, midway, smooth = [], [], []
    size = max(PICTURED_PAIRS, PATHS_VALUES // (STEPS * material.data.dim1))
    for start in range(0, len(first), size):
        pairs = slice(start, start + size)
        paths = interpolate(model, codes[first[pairs]], codes[last[pairs]], STEPS)
        if not np.isfinite(paths).all():
            return
        smooth.append(smoothness(paths))
        midway.append(nearest_training(paths[:, STEPS // 2], material.split.x_train)[1])
        pictured.append(paths[:PICTURED_PAIRS].copy())
    largest_step, detour = (np.concatenate(parts) for parts in zip(*smooth, strict=True))
    if len(detour):
        found.metrics[Metric.LARGEST_STEP] = float(largest_step.mean())
        found.metrics[Metric.DETOUR] = float(detour.mean())
    found.metrics[Metric.MIDWAY] = float(np.concatenate(midway).mean())
    found.arrays[Artifact.INTERPOLATIONS] = pictured[0]


def _plane(found: Measured, model: Reducer, codes: Array) -> None:
    decoded = decoded_plane(model, codes, SIDE)
    found.arrays[Artifact.PLANE] = decoded.x.reshape(decoded.rows, SIDE, -1)
    found.arrays[Artifact.PLANE_TICKS] = np.stack(decoded.ticks)


def _draws(found: Measured, model: Reducer) -> None:
    """`plot_generated_samples` with one seed, another, and the first again: differs, and is identical."""
    draws = np.stack([model.sample(DRAWN, np.random.default_rng(seed)) for seed in DRAW_SEEDS])
    found.arrays[Artifact.DRAWS] = draws
    found.metrics[Metric.NEW_DRAW] = reconstruction_mse(draws[0], draws[1])
    found.metrics[Metric.SAME_DRAW] = reconstruction_mse(draws[0], draws[2])


def _samples(found: Measured, model: Reducer, material: Material) -> None:
    """Each way to generate rows, against real ones; and what real ones and the mean row come to."""
    training_codes = model.encode(material.split.x_train)
    references = material.references
    reconstructed = model.reconstruct(references.held_out) if references.count else None
    _log_sample(found, Source.REAL, references.real)
    _log_sample(found, Source.MEAN_ROW, references.mean_row)
    _log_sample(found, Source.RECONSTRUCTED, references.judge(model.reconstruct(references.others)))
    for name, generate in GENERATORS.items():
        rows = generate(model, training_codes, max(references.count, SEARCHED), np.random.default_rng(SEED))
        _log_sample(found, Source(name), references.judge(rows, reconstructed))


def _log_sample(found: Measured, source: Source, sample: SampleQuality) -> None:
    found.metrics |= {sample_metric(source, quality): value for quality, value in sample.numbers.items()}
    found.arrays[sample_artifact(source)] = sample.rows
    found.arrays[nearest_artifact(source)] = sample.nearest
    found.arrays[distances_artifact(source)] = sample.distances


def _posterior(found: Measured, model: Reducer, material: Material) -> None:
    """Of a model whose code is a distribution: its KL by dimension, and codes drawn from it."""
    x = material.data.x_test
    posterior = model.posterior(x)
    if posterior is None:
        return
    mean, log_var = posterior
    noise = np.random.default_rng(SEED).standard_normal(mean.shape)
    drawn = (mean + np.exp(0.5 * log_var.astype(np.float64)) * noise).astype(np.float32)
    found.arrays[Artifact.CODES_SAMPLED] = drawn
    found.arrays[Artifact.KL_BY_DIM] = kl_by_latent(mean, log_var).mean(axis=0)
    found.metrics[Metric.SAMPLED_MSE] = reconstruction_mse(x, model.decode(drawn))


def _refits(found: Measured, model: PCA, material: Material) -> None:
    fits = refit(material.split.x_train, material.data.x_test, model.dim3)
    found.metrics |= {
        Metric.REFIT_DEGREES: fits.again_degrees,
        Metric.OTHER_DEGREES: fits.other_degrees,
        Metric.FLIPPED: fits.flipped,
        Metric.RANDOMIZED_DEGREES: fits.randomized_degrees,
    }
    found.arrays[Artifact.CODES_REFIT] = fits.other_codes
    found.tags[Tag.AUTO_SOLVER] = fits.auto_solver
