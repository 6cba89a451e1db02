"""How good samples of given data can be: real rows as the ceiling, the mean row as the floor, the judge of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from elbowroom.models import Rows
from elbowroom.models.measures.generation import Features, nearest_training, outside, precision_recall

from ..store.names import Quality
from .datasets import value_range

JUDGED = 5_000  # rows of each sample whose precision and recall are measured, at most half the test rows
BALL = 3  # neighbours up to which the ball of a row reaches (Kynkäänniemi et al. 2019)
SEARCHED = 1_000  # samples whose nearest training row is looked for
KEPT = 16  # samples that are kept as pictures, with their nearest training row


class SampleQuality(NamedTuple):
    """What was measured of generated rows; the first of them and their nearest training rows, (n, dim1) both;
    and the mean squared difference of more of them to theirs, (m,)."""

    numbers: Mapping[Quality, float]
    rows: Rows
    nearest: Rows
    distances: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class References:
    """Held-out rows to judge samples by, in PCA's features, as many other real rows, and the range of the data."""

    x_train: Rows
    features: Features
    held_out: Rows
    held_out_features: Rows
    others: Rows
    low: float
    high: float
    real: SampleQuality
    mean_row: SampleQuality

    @property
    def count(self) -> int:
        """Rows of each sample that precision and recall compare: equally many on both sides."""
        return len(self.held_out)

    @classmethod
    def of(cls, x_train: Rows, x_test: Rows) -> Self:
        """From the training rows (N, dim1) and the test rows (N_test, dim1), in two halves: one to judge by, one as
        the sample that no generator can beat."""
        low, high = value_range(x_train)
        features = Features.fit(x_train)
        half = min(JUDGED, len(x_test) // 2)
        mean = x_train.mean(axis=0, dtype=np.float64).astype(x_train.dtype)
        bare = SampleQuality({}, x_test[:0], x_test[:0], np.empty(0))
        held_out = x_test[:half]
        made = cls(x_train, features, held_out, features(held_out), x_test[half:], low, high, bare, bare)
        return replace(made, real=made.judge(made.others), mean_row=made.judge(np.tile(mean, (max(half, KEPT), 1))))

    def judge(self, x: Rows, reconstructed: Rows | None = None) -> SampleQuality:
        """The quality of rows x (n, dim1), as far as there are enough of them; none where they are not finite.

        `reconstructed` is what the model that made them leaves of the held-out rows. No row that a decoder makes is
        as sharp as a real one, so few real rows lie in its samples' balls; these do where the samples are varied.
        """
        if not np.isfinite(x).all():  # a decoder may overflow where no code is
            return SampleQuality({}, x[:0], x[:0], np.empty(0))
        numbers: dict[Quality, float] = {Quality.OUTSIDE: outside(x, self.low, self.high)}
        if BALL < self.count <= len(x):
            made = self.features(x[: self.count])
            found = precision_recall(self.held_out_features, made, BALL)
            numbers |= {Quality.PRECISION: found.precision, Quality.RECALL: found.recall}
            if reconstructed is not None and np.isfinite(reconstructed).all():
                numbers[Quality.COVERAGE] = precision_recall(self.features(reconstructed), made, BALL).recall
        index, distances = nearest_training(x[:SEARCHED], self.x_train)
        numbers[Quality.NEAREST] = float(np.median(distances))
        # A copy: a view would keep all of x in memory.
        return SampleQuality(numbers, x[:KEPT].copy(), self.x_train[index[:KEPT]], distances)
