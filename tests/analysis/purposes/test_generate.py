"""The purpose `generate`, on curves whose answer is known."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbowroom.analysis.purposes.choice import ByDim3, Held
from elbowroom.analysis.purposes.generate import generate
from tests.conftest import examples


def flat_from_17(last: int, seeds: int, sd: float, draw: int = 0) -> dict[int, Held]:
    """A curve that falls by 0.8 nat a dim3 to 17 and is flat on, of networks that differ by `sd` nats; 1,000 rows."""
    rng = np.random.default_rng(draw)
    rows = 10 * rng.standard_normal(1000)
    made = {}
    for k in range(2, last + 1):
        mean = 103 + 0.8 * max(17 - k, 0) + sd * rng.standard_normal(seeds)
        of_seeds = rows + mean[:, None] + rng.standard_normal((seeds, len(rows)))
        made[k] = Held(of_seeds.mean(axis=0), of_seeds.mean(axis=1))
    return made


def probabilistic_pca(draw: int, columns: int = 20, rank: int = 5) -> ByDim3:
    """-log-likelihood of 500 held-out rows under probabilistic PCA fitted to 500 rows (Tipping & Bishop 1999)."""
    rng = np.random.default_rng(draw)
    loadings = rng.standard_normal((rank, columns))
    x = rng.standard_normal((1000, rank)) @ loadings + rng.standard_normal((1000, columns))
    fit, held = x[:500] - x[:500].mean(axis=0), x[500:] - x[:500].mean(axis=0)
    values, vectors = np.linalg.eigh(fit.T @ fit / len(fit))
    values, scores = values[::-1], (held @ vectors[:, ::-1]) ** 2
    made = {}
    for k in range(1, 13):
        variance = np.r_[values[:k], np.full(columns - k, values[k:].mean())]
        rows = (scores / variance + np.log(2 * np.pi * variance)).sum(axis=1) / 2
        made[k] = Held(rows, rows.mean(keepdims=True))
    return made


@pytest.mark.parametrize(("seeds", "sd"), [(1, 0.05), (5, 0.1)])
def test_a_curve_that_is_flat_from_17_on(seeds: int, sd: float) -> None:
    found = generate("vae", flat_from_17(24, seeds, sd))
    assert (found.choice, found.below, found.reached) == (17, 16, True)
    assert (found.seeds, found.rows) == (seeds, 1000)
    assert found.value == pytest.approx(103, abs=1)
    assert found.interval == (None if seeds == 1 else (17, 17))
    rest = "this network" if seeds == 1 else "95 % interval 17"
    assert found.sentence == (
        f"vae comes within 0.5 nat of the plateau of its ELBO with dim3 17 (16 is not enough; {rest})"
        "; about the ELBO, not about pictures"
    )


@pytest.mark.parametrize("seeds", [1, 5])
def test_a_flat_curve_that_is_cut_after_one_more_dim3_is_not_reached(seeds: int) -> None:
    found = generate("vae", flat_from_17(18, seeds, 0.05))
    assert (found.choice, found.below, found.interval, found.reached) == (None, 18, None, False)
    assert found.sentence == (
        "vae: not reached by dim3 18: too few larger dim3 to see its plateau, extend the range; "
        "about the ELBO, not about pictures"
    )


def test_a_curve_that_falls_to_the_end_is_not_reached() -> None:
    falling = {k: Held(np.full(99, 0.2 * (32 - k)) + np.arange(99), np.full(3, 0.2 * (32 - k))) for k in range(2, 33)}
    assert not generate("vae", falling).reached


def test_too_few_trainings_to_tell() -> None:
    wild = {k: Held(np.arange(9.0), np.array([0.0, 8.0])) for k in (2, 4, 8, 16)}
    found = generate("vae", wild)
    assert not found.reached
    assert "too few rows or trainings" in found.sentence


def test_the_rank_of_probabilistic_pca() -> None:
    assert generate("ppca", probabilistic_pca(0)).choice == 5


def test_the_value_is_of_the_test_rows_and_units_stand_beside() -> None:
    test = {k: Held(np.full(7, 200.0 + k), np.full(5, 200.0 + k)) for k in range(2, 25)}
    found = generate("vae", flat_from_17(24, 5, 0.1), [19, 19, 20, 19, 19], test)
    assert found.value == 217
    assert "; 19.2 of 24 units in use)" in found.sentence
    assert (
        "; no unit is in use: its codes tell nothing of the rows)"
        in generate("vae", flat_from_17(24, 1, 0.05), [0]).sentence
    )
    extend = generate("vae", flat_from_17(24, 1, 0.05), [24]).sentence
    assert "(16 is not enough; this network; all 24 units in use: extend the range to count them)" in extend


CURVE = {k: Held(held.rows[:50], held.seeds) for k, held in flat_from_17(24, 3, 0.05).items()}


@pytest.mark.property
@examples(0.5)
@given(order=st.permutations(range(50)), shift=st.floats(-100, 100), worse=st.floats(0, 3))
def test_order_shifts_and_worse_dim3_change_nothing(order: list[int], shift: float, worse: float) -> None:
    other = {k: Held(held.rows[order] + shift, held.seeds + shift) for k, held in CURVE.items()}
    other[32] = Held(other[24].rows + worse, other[24].seeds + worse)
    assert generate("vae", other).choice == 17


@pytest.mark.soak
def test_right_answers_over_many_draws() -> None:
    ranks = Counter(generate("ppca", probabilistic_pca(draw)).choice for draw in range(100))
    assert ranks[5] >= 95
    for last, seeds, sd in ((20, 1, 0.05), (32, 1, 0.05), (20, 3, 0.1), (20, 5, 0.1), (32, 5, 0.2)):
        found = Counter(generate("vae", flat_from_17(last, seeds, sd, draw)).choice for draw in range(100))
        assert found[17] >= 95, (last, seeds, sd, found)
        cut = [generate("vae", flat_from_17(18, seeds, sd, draw)).choice for draw in range(100)]
        assert sum(choice is not None for choice in cut) <= 5
