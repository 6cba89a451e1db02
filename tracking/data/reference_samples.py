"""The limits of the quality of generated samples: real rows are the upper one, the mean row is the lower one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from elbowroom.models import PCA, Rows
from elbowroom.models.measures.generation import NEIGHBOURS, nearest_training, outside, precision_recall, sharpness

from ..store.names import Quality
from .datasets import value_range

SEARCHED = 1_000  # samples whose nearest training row is found
_JUDGED = 5_000  # rows of each sample whose precision and recall are measured, at most half the test rows
_FEATURES = 50  # principal components, at most: on MNIST they hold 82 % of the variance
_KEPT = 16  # samples that are kept as pictures, with their nearest training row


class SampleQuality(NamedTuple):
    """The measured qualities of generated rows, and some of those rows."""

    numbers: Mapping[Quality, float]
    rows: Rows  # (n, dim1)
    nearest: Rows  # their nearest training rows
    distances: npt.NDArray[np.float64]  # (m,): mean squared differences of more rows to their nearest training rows


@dataclass(frozen=True, eq=False)
class References:
    """Real rows to compare samples with: `held_out`, also in PCA's features; the `others` are a sample themselves."""

    x_train: Rows
    features: PCA
    held_out: Rows
    held_out_features: Rows
    others: Rows
    low: float  # the range of the training rows
    high: float
    image_shape: tuple[int, ...] | None = None

    @classmethod
    def of(cls, x_train: Rows, x_test: Rows, image_shape: tuple[int, ...] | None = None) -> Self:
        """Make references of the training rows and of both halves of the test rows.

        Parameters
        ----------
        x_train, x_test : (N, dim1), (N_test, dim1)
        image_shape : tuple of int, optional
            The shape of a row as a picture.
        """
        low, high = value_range(x_train)
        features = PCA(dim3=min(_FEATURES, *x_train.shape)).fit(x_train)
        half = min(_JUDGED, len(x_test) // 2)
        held_out, others = x_test[:half], x_test[half:]
        return cls(x_train, features, held_out, features.encode(held_out), others, low, high, image_shape)

    @property
    def count(self) -> int:
        """Rows of each sample that precision and recall compare: as many as are held out."""
        return len(self.held_out)

    @cached_property
    def real(self) -> SampleQuality:
        """The quality of real rows: no generator can exceed it."""
        return self.judge(self.others)

    @cached_property
    def mean_row(self) -> SampleQuality:
        """The quality of the mean training row, repeated."""
        mean = self.x_train.mean(axis=0, dtype=np.float64).astype(self.x_train.dtype)
        return self.judge(np.tile(mean, (max(self.count, _KEPT), 1)))

    def judge(self, x: Rows, reconstructed: Rows | None = None) -> SampleQuality:
        """The quality of the sample x (n, dim1): what so many rows allow to measure, and nothing if one is not finite.

        `reconstructed` are the model's reconstructions of the held-out rows, for the coverage: decoded rows are less
        sharp than real ones, so few real rows lie in the balls of a sample.
        """
        if not np.isfinite(x).all():  # a decoder may overflow where no code is
            return SampleQuality({}, x[:0], x[:0], np.empty(0))
        numbers: dict[Quality, float] = {Quality.OUTSIDE: outside(x, (self.low, self.high))}
        if NEIGHBOURS < self.count <= len(x):
            made = self.features.encode(x[: self.count])
            precision, recall = precision_recall(self.held_out_features, made)
            numbers |= {Quality.PRECISION: precision, Quality.RECALL: recall}
            if reconstructed is not None and np.isfinite(reconstructed).all():
                _, numbers[Quality.COVERAGE] = precision_recall(self.features.encode(reconstructed), made)
        if self.image_shape is not None and (sharp := sharpness(x[:_JUDGED], self.image_shape)) is not None:
            numbers[Quality.SHARPNESS] = sharp
        index, distances = nearest_training(x[:SEARCHED], self.x_train)
        numbers[Quality.NEAREST] = float(np.median(distances))
        # A copy: a view would keep all of x in memory.
        return SampleQuality(numbers, x[:_KEPT].copy(), self.x_train[index[:_KEPT]], distances)
