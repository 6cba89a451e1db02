"""Which classes overlap and how far apart they lie, on codes where it is known."""

import numpy as np
import pytest

from elbowroom.analysis.latent_space.classes import class_distances, class_overlaps, class_pairs, rank_correlation
from elbowroom.analysis.latent_space.similarity import neighbours

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 3], 200)  # no row is of class 2


def test_classes_on_one_spot_share_their_neighbours_and_others_do_not() -> None:
    codes = RNG.standard_normal((600, 2))
    codes[LABELS == 3] += 100
    shares = class_overlaps(neighbours(codes, 5), LABELS)
    assert class_pairs(LABELS) == [(0, 1), (0, 3), (1, 3)]
    assert shares == pytest.approx([0.5, 0, 0], abs=0.03)
    assert class_overlaps(np.array([[1], [0], [0]]), np.array([0, 1, 1])).tolist() == [1.0]


def test_distances_are_those_of_the_mean_codes() -> None:
    codes = np.array([[0, 0], [0, 2], [4, 1], [0, 4]], dtype=np.float32)
    assert class_distances(codes, np.array([0, 0, 1, 2])).tolist() == [4, 3, 5]


def test_ranks_agree_disagree_or_are_not_defined() -> None:
    a = np.arange(6.0)
    assert rank_correlation(a, a**3) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a[:3], a[:3]) is None  # three classes
    assert rank_correlation(a, np.zeros(6)) is None
