"""PCA against the others, on curves and rows whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from elbowroom.analysis.findings.against_pca import (
    Against,
    DecoderPart,
    _components,
    _equivalent,
    _explained,
    _profile_likelihood,
    decoder_part,
    who_wins,
)

HALVING = 0.5 ** np.arange(11)  # PCA's error at dim3 0 to 10


def point(dim3: int, ratio: float, low: float | None, high: float | None) -> Against:
    return Against(dim3, ratio, 1.0, ratio, low, high, None, None)


def test_components_are_log_linear_between_and_end_with_the_curve() -> None:
    errors = (1.0, 0.5, 0.5**2.5, 0.5**10, 2.0)
    assert [_components(HALVING, error) for error in errors] == pytest.approx([0, 1, 2.5, 10, 0])
    assert _components(HALVING, 0.5**10.1) is None


def test_the_curve_ends_where_rounding_begins() -> None:
    """Rank 3: a network that errs between PCA's last error and its rounding, or less, is worth more than 2."""
    curve = np.array([1.0, 0.5, 0.1, 1e-30, 2e-31])
    found = [_equivalent(curve, error, 0.1) for error in (0.1, 0.05, 1e-12, 0.0)]
    assert [(e.components, e.high, e.most) for e in found] == [(2, None, 2), *[(None, None, 2)] * 3]
    assert found[0].low == pytest.approx(2 - 0.1 / np.log(5))


def test_the_interval_of_an_equivalent_is_where_pca_has_the_ends_of_the_errors() -> None:
    found = _equivalent(HALVING, 0.25, 0.4 * np.log(2))  # 0.25 / 2^0.4 to 0.25 * 2^0.4
    assert (found.components, found.low, found.high) == pytest.approx((2, 1.6, 2.4))
    assert found.most == 10
    alone = _equivalent(HALVING, 0.25, None)
    assert (alone.components, alone.low, alone.high) == (pytest.approx(2), None, None)
    assert _equivalent(HALVING, 0.25, 2.5) == alone  # 12 times as large at either end


def test_beyond_the_most_components_there_is_none() -> None:
    found = _equivalent(HALVING, 0.5**12, 3 * np.log(2))
    assert (found.components, found.high) == (None, None)
    assert found.low == pytest.approx(9)


@pytest.mark.parametrize(
    ("low", "high", "errs"),
    [(0.5, 0.9, "less"), (1.1, 1.2, "more"), (0.99, 1.015, "the same"), (0.9, 1.1, "unknown"), (None, None, "unknown")],
)
def test_what_an_interval_says(low: float | None, high: float | None, errs: str) -> None:
    assert point(2, 1.0, low, high).errs == errs


def test_who_wins_where_in_a_sentence() -> None:
    points = [
        point(2, 0.8, 0.7, 0.9),
        point(3, 0.6, 0.5, 0.7),
        point(4, 1.0, 0.99, 1.01),
        point(5, 1.5, 1.4, 1.6),
        point(7, 1.05, 0.9, 1.2),
    ]
    assert who_wins("ae", points) == (
        "ae errs less than PCA at dim3 2 to 3 (down to 0.6 times, at 3); "
        "PCA errs less than ae at dim3 5 (up to 1.5 times); "
        "ae and PCA err the same, within 2 %, at dim3 4; "
        "undecided at dim3 7 (ratio 1.05; the interval contains 1)"
    )


def test_one_training_is_not_the_method() -> None:
    assert who_wins("ae", [replace(point(2, 0.8, 0.7, 0.9), method=False)]) == (
        "this network of ae errs less than PCA at dim3 2 (down to 0.8 times, at 2)"
    )


def test_the_decoder_has_its_part_where_the_lead_is_shown() -> None:
    """PCA errs 1; at dim3 4 the lead is not shown."""
    mine = [point(2, 0.5, 0.4, 0.6), point(3, 0.2, 0.1, 0.3), point(4, 0.9, 0.8, 1.1), point(5, 0.5, 0.4, 0.6)]
    decoder = [point(k, ratio, ratio, ratio) for k, ratio in ((2, 0.6), (3, 0.1), (4, 0.9))]
    between = [point(2, 0.9, 0.8, 1.2), point(3, 2.0, 1.5, 2.5), point(4, 2.0, 1.5, 2.5)]
    part = decoder_part(mine, decoder, between)
    assert part.shares == pytest.approx({2: 0.8, 3: 1.125})
    assert part.beyond == [3]
    assert who_wins("ae", mine, part).endswith(
        ". pca-mlp, a trained decoder on PCA's codes, has 80 % to all of this lead at dim3 2 to 3, "
        "and errs less than ae at dim3 3"
    )
    assert who_wins("ae", mine, DecoderPart({2: -0.001}, [])).endswith(" has 0 % of this lead at dim3 2")


def test_an_error_of_rounding_gives_no_ratio() -> None:
    """Linear data of rank 3: PCA errs by rounding from there on, and a network does not."""
    points = [point(2, 0.8, 0.7, 0.9), replace(point(3, 1, 1, 1), error=1e-4, pca=1e-15, ratio=None)]
    assert who_wins("ae", points).endswith("; PCA's error at dim3 3 is rounding, and gives no ratio")
    assert who_wins("ae", points[1:]) == "PCA's error at dim3 3 is rounding, and gives no ratio"


def test_what_has_no_interval_is_apart_from_what_is_not_shown() -> None:
    points = [point(2, 0.9, 0.8, 1.1), point(3, 0.7, None, None), point(4, 0.8, None, None)]
    assert who_wins("ae", points) == (
        "undecided at dim3 2 (ratio 0.90; the interval contains 1); undecided at dim3 3 to 4 (ratio 0.70 to "
        "0.80; no interval: errors by row are missing, or the seeds differ too much)"
    )


def test_without_a_common_dim3_nobody_wins() -> None:
    assert who_wins("ae", [Against(2, 1.0, None, None, None, None, None, None)]) == "ae and PCA share no dim3"


def test_explained_variance() -> None:
    spectrum = np.array([5.0, 3.0, 1.0, 1.0])
    assert [_explained(spectrum, s) for s in (0.5, 0.8, 0.9, 0.95)] == [1, 2, 3, 4]


def test_the_profile_likelihood_splits_two_groups_of_eigenvalues() -> None:
    assert _profile_likelihood(np.array([10.0, 9.8, 10.2, 1.0, 1.1, 0.9, 1.0])) == 3
    assert _profile_likelihood(np.ones(5)) is None
