"""The sample that is probed, and the balanced mean of its misses."""

import numpy as np
import pytest

from elbowroom.analysis.purposes.probe import Coded, Sample
from elbowroom.analysis.purposes.uncertainty import Variance

NONE = Variance(0.0, 0)


def test_each_class_has_its_share_of_at_most_3000_rows() -> None:
    labels = np.repeat([0, 1, 2], [8000, 1960, 40])
    sample = Sample.of(Coded({}, labels, None))
    assert sample.counts.tolist() == [2400, 588, 12]
    assert len(np.unique(sample.rows)) == 3000
    assert np.array_equal(sample.rows, Sample.of(Coded({}, labels, None)).rows)
    raw = np.array([1, -1, 0, 1, -1], dtype=np.int8)
    assert Sample.of(Coded({}, np.array([5, 5, 7, 7, 7]), raw)).rows.tolist() == [0, 2, 3]


def test_classes_weigh_alike_but_for_those_of_one_row() -> None:
    sample = Sample.of(Coded({}, np.repeat([3, 4, 9], [6, 2, 1]), None))
    weights = sample.weights[np.argsort(sample.rows)]
    assert weights == pytest.approx([1 / 12] * 6 + [1 / 4] * 2 + [0])
    assert sample.kinds == 2


def test_the_mean_is_of_recalls_and_its_rows_are_stratified() -> None:
    sample = Sample.of(Coded({}, np.repeat([0, 1], [80, 20]), None))
    lost = np.zeros(100)
    lost[np.flatnonzero(sample.classes == 1)[:5]] = 1
    found = sample.mean(lost, NONE)
    variance = (0.25 * 0.75 * 20 / 19) / 20 / 4
    added = 2 * (1 / 160 / 160 * 80 + 1 / 40 / 40 * 20) / 100
    assert found.mean == pytest.approx(0.125)
    assert found.spread.error == pytest.approx(np.sqrt(variance * 100 / 99 * 99 / 100 + added), rel=0.01)


def test_rows_near_their_class_are_hit() -> None:
    labels = np.arange(60) % 2
    codes = labels[:, None] + np.random.default_rng(0).random((60, 1)) / 10
    codes[[3, 8]] = codes[[4, 9]] + 1e-3
    sample = Sample.of(Coded({1: [codes, codes]}, labels, None))
    missed = sample.misses([codes, codes])
    assert missed.shape == (2, 60)
    assert sorted(sample.rows[missed[0] == 1]) == [3, 8]
