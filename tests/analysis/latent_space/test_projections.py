"""The codes of the first test rows, on known axes and with the shares of known variances."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from elbowroom.analysis.latent_space import projections
from elbowroom.analysis.latent_space.projections import Projections, project
from elbowroom.analysis.runs.comparison import compare
from elbowroom.analysis.runs.query import read
from elbowroom.tracking.store.names import PICTURED, Artifact
from tests.analysis.example_runs import log

N = 300
ROWS = np.random.default_rng(0).standard_normal((N, 5))
ROWS -= ROWS.mean(axis=0)
ROWS = np.linalg.svd(ROWS, full_matrices=False)[0]  # uncorrelated columns of one length
SHADES = np.arange(PICTURED * 4, dtype=np.uint8).reshape(PICTURED, 2, 2)


def logged(store: MlflowClient, folder: Path, dim3: int, codes: np.ndarray, model: str = "ae", **more: Any) -> None:
    arrays: Mapping[str, np.ndarray] = {Artifact.CODES: codes} | more
    log(store, model=model, dim3=dim3, error=1 / dim3, arrays=arrays, folder=folder)


def found(store: MlflowClient) -> Projections:
    (comparison,) = compare(read(store, "e").cells)
    made = project(comparison.series)
    assert made is not None
    return made


def test_more_than_two_latents_are_turned_onto_their_principal_axes(store: MlflowClient, tmp_path: Path) -> None:
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    spread = np.array([1.0, 6.0, 2.0, 3.0, 1.0])  # variances 1, 36, 4, 9, 1
    logged(store, tmp_path, 5, ROWS * spread @ turn)
    logged(store, tmp_path, 2, ROWS[:, :2])
    logged(store, tmp_path, 1, ROWS[:, :1], model="pca")
    made = found(store).points
    codes, share = made["ae"][5]
    assert share == pytest.approx(45 / 51)
    assert np.allclose(np.abs(codes), np.abs(ROWS[:PICTURED, [1, 3]] * [6, 3]))
    assert np.array_equal(made["ae"][2].codes, ROWS[:PICTURED, :2])
    assert (made["pca"][1].codes.shape, made["pca"][1].share) == ((PICTURED, 1), pytest.approx(1))


def test_labels_and_pictures_are_those_of_the_newest_run(store: MlflowClient, tmp_path: Path) -> None:
    logged(store, tmp_path, 2, ROWS[:, :2])
    assert found(store)[:2] == (None, None)
    logged(store, tmp_path, 3, ROWS[:, :3], **{Artifact.LABELS: np.arange(N) % 7, Artifact.PICTURES: SHADES})
    made = found(store)
    assert made.labels is not None
    assert made.labels.tolist() == [i % 7 for i in range(PICTURED)]
    assert np.array_equal(made.pictures, SHADES)


@pytest.mark.parametrize("pictures", [SHADES[:9], SHADES / 1.0, SHADES[:, 0], np.zeros((PICTURED, 40, 2), np.uint8)])
def test_what_does_not_fit_is_not_shown(store: MlflowClient, tmp_path: Path, pictures: np.ndarray) -> None:
    logged(store, tmp_path, 2, ROWS[:, :2])
    logged(store, tmp_path, 3, np.full((N, 3), 7.0))  # collapsed
    logged(store, tmp_path, 4, ROWS[:9, :4])  # of other rows
    logged(store, tmp_path, 5, ROWS[:, :2])  # of another dim3
    logged(store, tmp_path, 2000, np.zeros((N, 2000)))  # whose covariance is not worth its time
    logged(store, tmp_path, 6, ROWS, **{Artifact.LABELS: np.arange(9), Artifact.PICTURES: pictures})
    made = found(store)
    assert made[:2] == (None, None)
    assert (list(made.points["ae"]), made.points["ae"][3].share) == ([2, 3], None)


def test_of_many_dim3_every_second_is_read(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "_MOST_DIM3", 2)
    for k in range(2, 6):
        logged(store, tmp_path, k, ROWS[:, :k])
    made = found(store)
    assert (list(made.points["ae"]), made.left_out) == ([2, 4], [3, 5])
