"""The purpose `rank`, on rows of known rank and on errors written by hand."""

from collections.abc import Callable, Iterable
from dataclasses import asdict

import numpy as np
import pytest

from elbowroom.analysis.purposes.choice import Choice
from elbowroom.analysis.purposes.rank import Beside, gavish_donoho, rank
from elbowroom.models import PCA
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.models.measures.hidden_entries import hidden_entries
from elbowroom.models.registry import build
from elbowroom.tracking.config import RunConfig

Draw = Callable[[np.random.Generator], np.ndarray]


def factors(rng: np.random.Generator, rows: int, columns: int, count: int, noise: object) -> np.ndarray:
    """Rows of common factors with normal loadings, and noise of this SD, one for all columns or one for each."""
    loadings = rng.standard_normal((count, columns))
    common = rng.standard_normal((rows, count)) @ loadings
    return common + noise * rng.standard_normal((rows, columns))


def loud(rng: np.random.Generator) -> np.ndarray:
    return np.hstack([factors(rng, 2000, 40, 5, 1.0), 20 * rng.standard_normal((2000, 3))])


def lognormal(rng: np.random.Generator) -> np.ndarray:
    return factors(rng, 2000, 40, 3, np.exp(rng.standard_normal(40)))


def pca_rank(x: np.ndarray, scanned: Iterable[int]) -> Choice:
    """The rank of rows by PCA at some dim3: the last sixth is not used, of the others a tenth is held out."""
    x = x.astype(np.float32)[: len(x) - len(x) // 6]
    train, held = np.split(x, [len(x) - len(x) // 10])
    train.flags.writeable = False
    measured = {dim3: hidden_entries(PCA(dim3=dim3).fit(train), train, held) for dim3 in scanned}
    first = next(iter(measured.values()))
    by_dim3 = {k: m.model[None] for k, m in measured.items()}
    return rank("pca", by_dim3, first.mean_row, Beside(copies=first.copies), seeded=False)


KNOWN: dict[str, tuple[int, Draw]] = {
    "5 of 40, weak noise": (5, lambda rng: factors(rng, 2000, 40, 5, 0.3)),
    "5 of 40, strong noise": (5, lambda rng: factors(rng, 2000, 40, 5, 2.0)),
    "5 of 15, noisy": (5, lambda rng: factors(rng, 2000, 15, 5, 0.7)),
    "5 of 100, 200 rows": (5, lambda rng: factors(rng, 200, 100, 5, 1.0)),
    "0 of 30": (0, lambda rng: rng.standard_normal((2000, 30))),
    "3 of 40, unequal noise": (3, lognormal),
    "5 beside loud columns": (5, loud),
}


@pytest.mark.parametrize("name", ["5 of 100, 200 rows", "0 of 30", "5 beside loud columns"])
def test_the_rank_of_linear_data(name: str) -> None:
    true, draw = KNOWN[name]
    assert pca_rank(draw(np.random.default_rng(0)), range(1, 9)).choice == true


@pytest.mark.soak
@pytest.mark.parametrize("name", KNOWN)
def test_the_rank_is_exact_in_95_percent_of_draws(name: str) -> None:
    true, draw = KNOWN[name]
    found = [pca_rank(draw(np.random.default_rng(seed)), range(1, 11)).choice for seed in range(40)]
    assert np.mean(np.array(found) == true) >= 0.95


def test_a_trained_autoencoder_has_the_rank_of_its_rows_though_its_test_error_falls_on() -> None:
    x = factors(np.random.default_rng(9), 1500, 40, 5, 1.0).astype(np.float32)
    train, held = np.split(x, [1200])
    measured, errors = {}, []
    for dim3 in range(3, 8):
        settings = asdict(RunConfig(model="ae", dim2=64, dim3=dim3, epochs=40)) | {"dim1": 40}
        model = build("ae", settings).fit(train)
        measured[dim3] = hidden_entries(model, train, held)
        errors.append(reconstruction_mse(held, model.reconstruct(held)))
    chosen = rank("ae", {k: m.model[None] for k, m in measured.items()}, measured[3].mean_row, Beside())
    assert (chosen.choice, chosen.interval) == (5, (5, 5))
    assert (np.diff(errors) < 0).all()  # 0.91 at 5, 0.87 at 7


def test_columns_that_are_copies_have_no_rank() -> None:
    white = np.random.default_rng(0).standard_normal((1000, 20))
    found = pca_rank(np.hstack([white, white]), range(1, 25))
    assert (found.choice, found.interval, found.reached) == (None, None, False)
    assert found.sentence == (
        "pca: rank is not identified: groupings of the columns say 0 to 20; 40 columns nearly copy another"
    )


def written(
    *means: float, seeds: tuple[float, ...] = (0.0,), twin: tuple[float, ...] = (), seeded: bool = True
) -> Choice:
    """The rank of errors with these means at dim3 0, 1, ...; `twin` in two groupings, seeds apart by a share."""
    rows = 1 + 0.1 * np.random.default_rng(0).standard_normal((4, 400))
    rows /= rows.mean(axis=1, keepdims=True)
    every = [np.stack([mean * rows[0], other * rows[1]] * 2) for mean, other in zip(means, twin or means, strict=True)]
    by_dim3 = {
        dim3: np.stack([errors * (1 + share * (-1) ** dim3) for share in seeds])
        for dim3, errors in enumerate(every)
        if dim3
    }
    return rank("ae", by_dim3, every[0], Beside(), seeded=seeded)


def test_the_least_is_the_rank_and_must_not_be_the_last() -> None:
    found = written(1, 0.8, 0.5, 0.6, 0.7)
    assert (found.choice, found.below, found.interval, found.reached) == (2, 1, (2, 2), True)
    assert found.value == pytest.approx(0.5)
    assert (found.seeds, found.rows) == (1, 400)
    assert found.sentence == "ae: rank 2, by predicting hidden entries; this network"
    assert written(1, 1.1, 1.2).choice == 0
    falling = written(1, 0.8, 0.5)
    assert (falling.choice, falling.interval, falling.reached) == (None, (2, None), False)
    assert falling.below == 2
    assert falling.sentence == "ae: rank is not reached by 2, which predicts hidden entries best: extend the range"


def test_of_equal_errors_the_first_counts_and_the_range_has_both() -> None:
    found = written(1, 0.8, 0.5, 0.5 - 1e-9, 0.9)
    assert (found.choice, found.interval) == (2, (2, 3))
    assert found.sentence == "ae: rank 2 (2 to 3 not excluded), by predicting hidden entries; this network"


def test_trainings_that_differ_widen_the_range() -> None:
    means = (1, 0.8, 0.5, 0.505, 0.6)
    assert written(*means, seeds=(0.0, 0.0)).interval == (2, 2)
    assert written(*means, seeds=(-0.01, 0.01)).interval == (2, 3)


def test_each_dim3_counts_with_its_own_trainings() -> None:
    rows = np.ones((4, 400))
    signs = (-0.01, 0.01) * 40
    by_dim3 = {
        dim3: np.stack([mean * (1 + share) * rows for share in signs[:seeds]])
        for dim3, mean, seeds in ((1, 0.8, 2), (2, 0.5, 80), (3, 0.505, 80), (4, 0.6, 2))
    }
    found = rank("ae", by_dim3, rows, Beside())
    assert (found.choice, found.interval, found.seeds) == (2, (2, 2), 80)
    assert rank("ae", {k: v[:2] for k, v in by_dim3.items()}, rows, Beside()).interval == (2, 3)


def test_groupings_that_differ_by_three_quarters_of_the_rank_do_not_identify_it() -> None:
    found = written(1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.55, twin=(1, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06))
    assert found.sentence == "ae: rank is not identified: groupings of the columns say 0 to 5"
    assert (found.choice, found.interval, found.reached) == (None, None, False)
    near = written(1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.55, twin=(1, 0.9, 0.8, 0.7, 0.65, 0.66, 0.67))
    assert (near.choice, near.interval) == (5, (4, 5))


def test_the_shortest_rows_and_the_scanned_dim3_are_compared() -> None:
    errors = np.ones((1, 4, 300)) + 0.01 * np.random.default_rng(0).standard_normal((1, 4, 300))
    found = rank(
        "pca", {4: 0.5 * errors[:, :, :200], 2: 0.8 * errors, 8: 0.9 * errors}, errors[0], Beside(), seeded=False
    )
    assert (found.choice, found.below, found.interval, found.rows) == (4, 2, (3, 7), 200)
    said = "pca: rank 4 (3 to 7 not excluded), by predicting hidden entries; 3, 5 to 7 not scanned"
    assert found.sentence == said


def test_a_rank_between_scanned_dim3_is_in_the_interval() -> None:
    x = factors(np.random.default_rng(0), 600, 20, 6, 0.7)
    found = pca_rank(x, (2, 4, 8, 16))
    assert (found.choice, found.interval) == (8, (5, 15))
    assert pca_rank(x, (2, 4, 12, 16)).interval == (3, 11)


def test_the_residue_of_training_is_no_factor() -> None:
    """Such are the errors of pca-mlp on rows of rank 4 without noise."""
    means = (1, 0.6, 0.38, 0.17, 0.0010, 0.0011, 0.0012, 0.0008, 0.0009)
    twin = (1, 0.6, 0.38, 0.17, 0.0010, 0.0012, 0.0007, 0.0009, 0.0013)
    trained = written(*means, twin=twin)
    assert (trained.choice, trained.below) == (4, 3)
    assert written(*means, twin=twin, seeded=False).choice == 7
    assert written(*(mean + 0.01 for mean in means)).choice == 7
    weak = written(1, 0.6, 0.38, 0.17, 0.008, 0.005, 0.002, 0.009)  # factors of less than a hundredth
    assert (weak.choice, weak.interval) == (4, (4, 6))


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        (Beside(parallel_analysis=2), "; parallel analysis 2"),
        (Beside(2, 2, 30), "; parallel analysis 2, Gavish-Donoho 2"),  # the groupings agree in spite of copies
        (Beside(2, 9), "; parallel analysis 2, Gavish-Donoho 9: they disagree"),
    ],
)
def test_other_counts_stand_beside_it(beside: Beside, words: str) -> None:
    errors = 1 + 0.01 * np.random.default_rng(0).standard_normal((4, 100))
    found = rank(
        "pca", {1: 0.8 * errors[None], 2: 0.5 * errors[None], 3: 0.9 * errors[None]}, errors, beside, seeded=False
    )
    assert found.sentence == f"pca: rank 2, by predicting hidden entries{words}"


@pytest.mark.parametrize(("count", "noise"), [(0, 1.0), (5, 1.0), (5, 0.0), (12, 0.5)])
@pytest.mark.parametrize(("rows", "columns"), [(2000, 40), (60, 200)])
def test_gavish_and_donoho_count_strong_factors_in_white_noise(
    count: int, noise: float, rows: int, columns: int
) -> None:
    x = factors(np.random.default_rng(0), rows, columns, count, noise)
    spectrum = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2 / (rows - 1)
    assert gavish_donoho(spectrum, rows, columns) == count
