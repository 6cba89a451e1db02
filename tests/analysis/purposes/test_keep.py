"""One quality for all models: `keep` and `psnr`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from elbowroom.analysis import Floats
from elbowroom.analysis.purposes.choice import Choice, Held
from elbowroom.analysis.purposes.keep import SHARES, Errors, Fitted, keep, psnr

ROWS = 200
NOISE = 1.2 * np.random.default_rng(1).standard_normal(ROWS)  # of single rows


def _errors(left: Mapping[int, Sequence[float]], rng: np.random.Generator | None = None) -> Errors:
    """Errors whose shares left are these, by dim3 and seed, of rows that all lose the same share."""
    base = np.ones(ROWS) if rng is None else rng.gamma(4.0, size=ROWS)
    held = {k: Held(base * float(np.mean(v)), base.mean() * np.array(v, dtype=float)) for k, v in left.items()}
    return Errors(held, base)


def _keep(left: Mapping[int, Sequence[float]], share: float = 0.9, *, seeded: bool = True, most: int = 1000) -> Choice:
    errors = _errors(left)
    return keep(Fitted("ae", errors, errors, seeded, most), share)


def test_the_sentence_names_the_quality_the_step_and_the_interval() -> None:
    found = _keep({k: [0.35 * 0.93**k] * 3 for k in (4, 8, 12, 16, 20, 24)})
    assert found.sentence == (
        "ae keeps 90 % of the variance with dim3 20 (16 is not enough, 17 to 19 not scanned; 95 % interval 17 to 20)"
    )
    assert (found.choice, found.below, found.reached, found.seeds, found.rows) == (
        20, 16, True, 3, ROWS,
    )  # fmt: skip
    assert found.value == pytest.approx(1 - 0.35 * 0.93**20)


@pytest.mark.parametrize(
    ("left", "most", "words"),
    [
        ({k: [0.5 - 0.019 * k] for k in range(2, 21)}, 1000, "not reached by 20, which keeps 88 %: extend the range"),
        ({k: [max(0.9 - 0.1 * k, 0.37)] for k in range(2, 21)}, 1000, "not reached, it saturates at 63 %"),
        ({k: [0.37 + 0.53 * 0.6**k] for k in range(2, 21)}, 1000, "not reached, it saturates at 63 %"),
        (
            {2: [0.3], 3: [0.098], 4: [0.104], 5: [0.101]},
            1000,
            "not reached, it saturates at 89.9 %; at 3 it keeps enough by itself",
        ),
        ({1: [0.6], 2: [0.4], 4: [0.2], 8: [0.2], 16: [0.2], 32: [0.2]}, 1000, "not reached, it saturates at 80 %"),
        ({2: [0.2], 3: [0.1004]}, 1000, "not reached by 3, which keeps 89.96 %: extend the range"),
        (
            {3: [0.3], 10: [0.13], 12: [0.2], 20: [0.25]},
            1000,
            "not reached, the best, 10, keeps 87 %, and 20 keeps 75 %; 95 % interval 4 to beyond the range",
        ),
        ({k: [1.2] for k in range(2, 21)}, 1000, "not reached by 20, where it errs more than the mean row"),
        (
            {2: [0.4], 4: [0.3], 8: [0.2], 16: [0.19], 20: [0.21]},
            20,
            "not reached up to 20, as many as the data allow; the best of the tried, 16, keeps 81 %",
        ),
        ({k: [1 - k / 25] for k in range(2, 21)}, 20, "not reached by any dim3, the best keeps 80 %"),
    ],
)
def test_a_share_that_is_not_reached_says_why(left: dict[int, list[float]], most: int, words: str) -> None:
    found = _keep(left, most=most)
    assert found.sentence == f"ae: 90 % of the variance {words}"
    assert (found.choice, found.reached, found.below) == (None, False, max(left))


def test_a_share_that_the_rows_leave_open_has_an_interval() -> None:
    errors = _errors({k: [0.3 - 0.01 * k] for k in range(1, 20)}, np.random.default_rng(0))
    noisy = Errors({k: Held(h.rows + NOISE, h.seeds) for k, h in errors.by_dim3.items()}, errors.base)
    found = keep(Fitted("ae", noisy, noisy, True, 19), 0.9)
    assert (found.choice, found.interval) == (None, (17, None))
    assert "not reached by any dim3, the best keeps 89 %; 95 % interval 17 to beyond the range" in found.sentence


def test_a_choice_of_all_that_the_data_allow_says_so() -> None:
    assert _keep({k: [1 - 0.98 * k / 5] for k in range(1, 6)}, most=5).sentence.endswith("), as many as the data allow")


def test_dim3_that_cross_back_are_named() -> None:
    found = _keep({2: [0.3], 4: [0.2], 6: [0.15], 8: [0.097], 10: [0.101], 12: [0.05], 14: [0.04]})
    assert found.choice == 8
    assert "at 10 it keeps less than 90 %" in found.sentence


def test_a_choice_of_one_latent_says_nothing_of_smaller_ones() -> None:
    assert _keep({k: [0.05 / k] for k in range(1, 9)}).sentence == (
        "ae keeps 90 % of the variance with dim3 1 (95 % interval 1, with the noise of neighbouring dim3)"
    )


def test_the_choice_at_the_start_says_that_no_smaller_dim3_was_scanned() -> None:
    found = _keep({k: [1 / k] for k in range(20, 40)})
    assert (found.choice, found.below) == (20, None)
    assert "no smaller one was scanned" in found.sentence


def test_an_error_that_rises_again_hides_no_choice() -> None:
    left = {k: [0.05 + 0.25 / k + 0.002 * k] for k in range(2, 51)}  # at most .1 from 6.91 to 18.09, least at 11
    found = _keep(left)
    assert (found.choice, found.below, found.interval) == (7, 6, (7, 7))
    assert "at 19 to 50 it keeps less than 90 %" in found.sentence
    assert _keep(left, 0.92).sentence == (
        "ae: 92 % of the variance not reached, the best, 11, keeps 90.5 %, and from 12 on the error rises"
    )


def test_the_mean_share_decides_where_trainings_are_apart_by_a_factor() -> None:
    left = {k: [1.6 / k, 0.4 / k] for k in range(2, 30)}  # their geometric mean is .8 / k
    assert _keep(left).choice == 10


@pytest.mark.parametrize("first", [1, 5])
def test_where_the_range_begins_is_no_end_of_the_interval(first: int) -> None:
    rng = np.random.default_rng(0)
    left = {k: (0.1 - 0.0005 * k) * (1 + 0.1 * rng.standard_normal(3)) for k in range(first, 12)}
    found = _keep({k: v.tolist() for k, v in left.items()})
    assert found.interval is not None
    assert found.interval[0] == (1 if first == 1 else None)


def test_few_validation_rows_show_the_share_on_the_test_rows() -> None:
    chosen, reported = _errors({k: [1 / k] for k in range(2, 30)}), _errors({k: [1.2 / k] for k in range(2, 30)})
    found = keep(Fitted("ae", chosen, reported, True, 99), 0.9)
    assert found.choice == 10
    assert found.value == pytest.approx(0.88)
    assert found.note == (
        "chosen on 200 validation rows; on the test rows 88 % of the variance (95 % interval over rows 88 to 88): "
        "less than on the validation rows, so new rows may keep less"
    )


def test_psnr_reads_the_error_against_the_range() -> None:
    errors = _errors({k: [0.1 / k] for k in range(1, 200)})
    found = psnr(Fitted("ae", errors, errors, True, 1000), 30.0, 1.0)  # an error of .001
    assert found.choice == 100
    assert found.sentence.startswith("ae reaches 30 dB with dim3 100 (99 is not enough; ")
    easy = psnr(Fitted("ae", errors, errors, True, 1000), 20.0, 100.0)
    assert (easy.choice, easy.note) == (1, "the mean row reaches 20 dB without any latent")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-6, 1e6))
def test_a_factor_and_the_order_of_the_rows_change_nothing(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    errors = _errors({k: rng.normal(1 / k, 0.02 / k, 2) for k in range(2, 25)}, rng)
    order = rng.permutation(ROWS)
    scaled = Errors(
        {k: Held(h.rows[order] * factor, h.seeds * factor) for k, h in errors.by_dim3.items()},
        errors.base[order] * factor,
    )
    first, second = (keep(Fitted("ae", e, e, True, 99), 0.9) for e in (errors, scaled))
    assert (first.choice, first.interval, first.below) == (second.choice, second.interval, second.below)


def _pca(x: Floats, held_out: Floats) -> Errors:
    """PCA's errors on held-out rows for every dim3, with the standard error of the logarithm of their share."""
    fitted = PCA().fit(x)
    centred = held_out - fitted.mean_
    base = (centred**2).mean(axis=1)
    squares = np.cumsum((centred @ fitted.components_.T) ** 2, axis=1) / x.shape[1]
    rows = np.maximum(base[:, None] - np.column_stack([np.zeros(len(base)), squares]), 0)  # (N, K + 1)
    left = rows.mean(axis=0) / base.mean()
    error = (rows - left * base[:, None]).std(axis=0, ddof=1) / len(base) ** 0.5 / base.mean()
    return Errors({}, base, np.column_stack([rows.mean(axis=0), error / np.maximum(left, 1e-12)]))


@pytest.mark.soak
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("spectrum", ["power", "exponential", "flat"])
def test_the_interval_covers_the_answer_of_the_population(spectrum: str, share: float) -> None:
    rng = np.random.default_rng(3)
    k = np.arange(1, 61)
    values = {"power": k**-1.2, "exponential": np.exp(-k / 10), "flat": 1.2 - k / 60}[spectrum]
    x = rng.standard_normal((22_000, 60)) * np.sqrt(values) @ np.linalg.qr(rng.standard_normal((60, 60)))[0]
    train, population = x[:2000], x[2000:]
    truth = keep(Fitted("pca", *[_pca(train, population)] * 2, False, 60), share).choice
    hits = 0
    for _ in range(100):
        drawn = _pca(train, population[rng.integers(len(population), size=200)])
        found = keep(Fitted("pca", drawn, drawn, False, 60), share)
        assert found.interval is not None
        low, high = found.interval
        hits += truth is not None and low is not None and low <= truth <= (high or 61)
    assert hits >= 93
