"""Hits of the nearest-neighbour probe, on labels that rows tell or hide."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from elbowroom.models.measures.probe import neighbour_hits

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [800, 190, 10])
APART = (RNG.standard_normal((1000, 6)) + 100 * LABELS[:, None]).astype(np.float32)


def test_classes_that_lie_apart_are_hit_and_labels_by_chance_as_often_as_chance_has_it() -> None:
    assert (neighbour_hits(APART, LABELS) == 1).all()
    hits = neighbour_hits(APART[:800], np.random.default_rng(1).integers(2, size=800))
    assert hits.mean() == pytest.approx(0.5, abs=0.06)  # 3 standard errors


def test_a_hit_is_the_vote_of_the_five_nearest_others() -> None:
    x = RNG.standard_normal((60, 20)).astype(np.float32)
    labels = (x[:, 0] > 0).astype(np.int64)
    distances = np.square(x[:, None].astype(float) - x).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    votes = labels[distances.argsort(axis=1)[:, :5]].sum(axis=1) >= 3
    assert neighbour_hits(x, labels).tolist() == (votes == labels).tolist()
    assert neighbour_hits(x * np.float32(2.0**100) + 0, labels).tolist() == (votes == labels).tolist()


def test_three_thousand_rows_are_probed_and_each_class_has_its_share() -> None:
    x, labels = np.repeat(APART, 5, axis=0), np.repeat(LABELS, 5)  # 5,000 rows
    hits = neighbour_hits(x, labels)
    assert (hits.dtype, np.unique(hits).tolist()) == (np.int8, [-1, 1])
    assert np.bincount(labels[hits >= 0]).tolist() == [2400, 570, 30]
    assert 1000 < np.flatnonzero(hits >= 0)[1500] < 4000  # not the first rows
    assert np.array_equal(hits, neighbour_hits(x, labels))


def test_equally_near_rows_are_chosen_alike_with_any_number_of_threads() -> None:
    grid = RNG.integers(3, size=(1500, 17)).astype(np.float32)  # many distances are equal
    labels = RNG.integers(4, size=1500)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(neighbour_hits(grid, labels))
    assert np.array_equal(*found)


@pytest.mark.parametrize("labels", [np.zeros(100, int), np.array([0, 1, 0, 1, 0]), np.arange(100)])
def test_one_class_five_rows_and_numbers_of_rows_have_no_probe(labels: np.ndarray) -> None:
    assert neighbour_hits(APART[: len(labels)], labels) is None
