"""Measures of generated rows, on sets whose precision, recall and origin are known."""

import numpy as np
import pytest

from elbowroom.models import MODELS, PCA, build
from elbowroom.models.measures.generation import (
    GENERATORS,
    nearest_training,
    outside,
    precision_recall,
    sharpness,
)
from tests.models.test_contract import example


def draw(seed: int, rows: int = 1000, columns: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32)


def naive(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """Precision and recall by the definition, one pair at a time."""

    def inside(row: np.ndarray, others: np.ndarray) -> bool:
        radii = [np.sort([np.linalg.norm(a - b) for j, b in enumerate(others) if j != i]) for i, a in enumerate(others)]
        return any(np.linalg.norm(row - a) <= r[2] for a, r in zip(others, radii, strict=True))

    return float(np.mean([inside(f, real) for f in fake])), float(np.mean([inside(r, fake) for r in real]))


def test_precision_and_recall_are_those_of_the_definition() -> None:
    real = draw(0, 30, 3).astype(np.float64)
    fake = 0.8 * draw(1, 30, 3).astype(np.float64) + 0.5
    assert precision_recall(real, fake) == pytest.approx(naive(real, fake))
    assert 0 < precision_recall(real, fake)[1] < 1


def test_a_set_covers_itself_its_likes_and_nothing_far_away() -> None:
    assert precision_recall(draw(0), draw(0)) == (1, 1)
    assert precision_recall(draw(0, 1500), draw(1, 1500)) == pytest.approx((0.9, 0.9), abs=0.1)  # two blocks
    assert precision_recall(draw(0), draw(1) + 100) == (0, 0)


@pytest.mark.parametrize("shift", [0, 1000])
def test_a_constant_generator_covers_nothing(shift: float) -> None:
    """A radius that rounding makes a little more than 0 would not do this."""
    real = draw(0) + np.float32(shift)
    middle = np.tile(real.mean(axis=0), (len(real), 1))
    assert precision_recall(real, middle) == (1, 0)
    # A copy of a real row, at distance 0, covers that row and no other.
    assert precision_recall(real, np.tile(real[7], (len(real), 1))) == (1, 1 / len(real))


def test_a_generator_that_drops_a_mode_is_precise_and_covers_its_share() -> None:
    real, fake = draw(0), draw(1)
    real[:700, 0] += 50  # the mode that is dropped
    precision, recall = precision_recall(real, fake)
    assert precision > 0.75
    assert recall == pytest.approx(0.3, abs=0.03)


def test_the_nearest_training_row_of_a_copy_is_at_distance_0() -> None:
    x_train = draw(0, 500, 20) + 10
    index, mse = nearest_training(x_train[[3, 499, 0]], x_train)
    assert index.tolist() == [3, 499, 0]
    assert mse.tolist() == [0, 0, 0]
    moved = x_train[[5]]
    moved[0, 2] += 0.5
    index, mse = nearest_training(moved, x_train)
    assert index.tolist() == [5]
    assert mse[0] == pytest.approx(0.25 / 20, rel=1e-5)


def test_the_values_outside_are_counted() -> None:
    x = np.array([[-0.1, 0, 1, 0.5], [1.2, -1e-7, 1 + 1e-7, 7]], np.float32)
    assert outside(x, (0, 1)) == 3 / 8
    assert outside(x, (-1, 8)) == 0
    assert outside(x, (0.5, 1)) == 5 / 8


def test_sharpness_is_the_variance_after_a_laplace_filter() -> None:
    dot = np.zeros((1, 5, 5), np.float32)
    dot[0, 2, 2] = 1  # filtered: -4 in the middle of 3 by 3 pixels, 1 beside it
    flat, ramp = np.full((1, 25), 0.7, np.float32), np.tile(np.arange(5, dtype=np.float32), 5)[None]
    row = dot.reshape(1, 25)
    assert sharpness(row, (5, 5)) == pytest.approx((16 + 4) / 9)
    assert sharpness(np.concatenate([row, flat]), (5, 5)) == pytest.approx((16 + 4) / 9 / 2)
    assert sharpness(ramp, (5, 5)) == sharpness(flat, (5, 5)) == pytest.approx(0, abs=1e-9)
    assert sharpness(np.repeat(row, 3, axis=1), (5, 5, 3)) == pytest.approx(20 / 9)  # grey
    assert sharpness(flat, (25, 1)) is None
    assert sharpness(flat[:0], (5, 5)) is None


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("model", MODELS)
def test_a_generator_draws_from_the_rng_it_is_given(generator: str, model: str) -> None:
    x, settings = example(model)
    fitted = build(model, settings).fit(x)
    codes = fitted.encode(x)
    a, again, other = (GENERATORS[generator](fitted, codes, 30, np.random.default_rng(s)) for s in (0, 0, 1))
    assert a.shape == (30, x.shape[1])
    assert a.dtype == np.float32
    assert np.array_equal(a, again)
    assert not np.array_equal(a, other)


def mixed(codes: np.ndarray) -> np.ndarray:
    """Codes of rows drawn from the mixture, by a model whose codes are its rows but for a rotation."""
    model = PCA(dim3=2).fit(draw(0, columns=2))
    return model.encode(GENERATORS["mixture"](model, codes.astype(np.float32), 400, np.random.default_rng(0)))


@pytest.mark.parametrize("unit", [1, 1e-3, 1e3])
def test_the_mixture_draws_from_both_clusters_and_never_between(unit: float) -> None:
    codes = draw(1, columns=2)
    codes[::4, 0] += 40
    drawn = mixed(unit * codes) / unit
    right = drawn[:, 0] > 20
    assert right.mean() == pytest.approx(0.25, abs=0.06)
    assert np.abs(drawn - np.where(right[:, None], [40, 0], [0, 0])).max() < 6
    assert 0.1 < right[:200].mean() < 0.4  # in no order


@pytest.mark.parametrize("rows", [2, 30, 500])
def test_the_mixture_takes_few_codes_and_collapsed_ones(rows: int) -> None:
    assert np.isfinite(mixed(draw(1, rows, 2))).all()
    assert np.allclose(mixed(np.full((rows, 2), 0.7)), 0.7, atol=1e-4)
    half = draw(1, rows, 2)
    half[:, 1] = 0.7  # one latent of two
    assert np.allclose(mixed(half)[:, 1], 0.7, atol=0.02)


def test_only_the_model_of_a_distribution_has_a_posterior() -> None:
    for name in MODELS:
        x, settings = example(name)
        model = build(name, settings).fit(x)
        posterior = model.posterior(x)
        assert (posterior is not None) == (name == "vae")
        if posterior is not None:
            assert posterior[0].shape == posterior[1].shape == (len(x), 2)
            assert np.array_equal(posterior[0], model.encode(x))
