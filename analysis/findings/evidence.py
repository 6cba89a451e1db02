"""What the runs of one model hold for each purpose, read from the store where a purpose asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from elbowroom.tracking.store.names import Artifact, Metric, Param

from .. import Floats
from ..purposes.choice import ByDim3, Held, Missing
from ..purposes.keep import Errors, Fitted
from ..runs.arrays import fetch
from ..runs.comparison import Cell, Series, most_to_judge
from .curve_evidence import UNKNOWN, CurveEvidence


class MeanRow(NamedTuple):
    """The squared errors of the mean training row, (N,) of the validation rows and of the test rows; None: unknown."""

    val: Floats | None
    test: Floats | None


def mean_row(series: Sequence[Series]) -> MeanRow:
    """Return the mean row's errors, which every run of the data logs; of older runs, PCA's have those of the test rows.

    By Pythagoras: the mean row's squared error is PCA's, plus the square of the code over dim1.
    """
    newest = [max((c for k in s.dim3 for c in s.at(k)), key=lambda c: c.run.info.start_time or 0) for s in series]
    val, test = (_first(newest, artifact) for artifact in (Artifact.MEAN_ROW_VAL, Artifact.MEAN_ROW_TEST))
    for cell in [c for s in series if s.model == "pca" for c in s.at(s.dim3[0])] if test is None else []:
        errors, codes = (fetch([cell], artifact)[cell.run_id] for artifact in (Artifact.ERRORS_TEST, Artifact.CODES))
        dim1 = cell.run.data.params.get(Param.DIM1, "")
        if isinstance(errors, str) or isinstance(codes, str) or not dim1.isdecimal():
            continue
        if codes.ndim == 2 and errors.shape == codes.shape[:1]:
            test = errors + (codes.astype(np.float64) ** 2).sum(axis=1) / int(dim1)
    return MeanRow(val, test)


def _first(cells: Sequence[Cell], artifact: str) -> Floats | None:
    """The array (N,) of the first cell that has it."""
    for cell in cells:
        found = fetch([cell], artifact)[cell.run_id]
        if isinstance(found, np.ndarray) and found.ndim == 1 and np.isfinite(found).all() and found.mean() > 0:
            return found.astype(np.float64)
    return None


class ModelEvidence(CurveEvidence):
    """The evidence of one series of runs."""

    def __init__(self, series: Series, base: MeanRow, val: ByDim3, test: ByDim3, mean_row: float | None) -> None:
        """Take a series and what was read of it.

        Parameters
        ----------
        series
            The cells of the model.
        base
            The mean row's errors.
        val, test
            The errors of both sets of rows, by dim3.
        mean_row
            Of a table, the mean row's error.
        """
        errors = {k: np.array([c.error for c in series.at(k)]) for k in series.dim3}
        most = most_to_judge(series.first.run.data.params)
        super().__init__(series.label, errors, (series.complete[0], series.errors()), mean_row, most)
        self.series, self.base, self.val, self.test = series, base, val, test

    @property
    def most(self) -> int:
        """The largest dim3 that the data allow, min(N, dim1)."""
        params = self.series.first.run.data.params
        known = [int(params[name]) for name in (Param.DIM1, Param.ROWS_TRAIN) if params.get(name, "").isdecimal()]
        return min(known, default=UNKNOWN)

    def errors(self) -> Fitted:
        """Return the squared errors, of the validation rows where their baseline is known. Raises Missing."""
        if not self.series.first.digest:
            return super().errors()
        test = _fitting(self.test, self.base.test)
        if test is None:
            return self._by_metrics()
        val = _fitting(self.val, self.base.val) if self.series.first.on_validation else None
        if val is None:
            note = "chosen on the test rows: older runs lack the mean row's errors of the validation rows"
            if not self.series.first.on_validation:
                note = "chosen on the test rows: there are no validation rows"
            test = test._replace(whole=self._curve(Artifact.PCA_CURVE))
            return Fitted(self.label, test, test, self.series.seeded, self.most, note)
        return Fitted(
            self.label,
            val._replace(whole=self._curve(Artifact.PCA_CURVE_VAL)),
            test._replace(whole=self._curve(Artifact.PCA_CURVE)),
            self.series.seeded,
            self.most,
        )

    def value_range(self) -> float:
        """Return the largest less the smallest value of the training rows. Raises Missing."""
        found = self.series.first.metric(Metric.DATA_RANGE)
        if not found:
            raise Missing("the runs lack the range of the data, which new runs log: train one cell again")
        return found

    def _by_metrics(self) -> Fitted:
        """The shares left of the test rows, of runs whose mean row's errors are not known by row. Raises Missing."""
        left = {k: [1 - c.value(Metric.TEST_EXPLAINED_VARIANCE) for c in self.series.at(k)] for k in self.series.dim3}
        if not np.isfinite([v for values in left.values() for v in values]).all():
            raise Missing("no share of the variance: the runs log neither the mean row's errors nor explained variance")
        held = {k: Held(np.array([np.mean(v)]), np.array(v)) for k, v in left.items()}
        errors = Errors(held, np.ones(1))
        note = "chosen on the test rows by their means alone: the interval is of the trainings, without the rows"
        return Fitted(self.label, errors, errors, self.series.seeded, self.most, note)

    def _curve(self, artifact: str) -> Floats | None:
        """PCA's error for every dim3 from 0, and the standard error of its logarithm: (K + 1, 2)."""
        if self.series.seeded:
            return None
        found = fetch([self.series.first], artifact)[self.series.first.run_id]
        if isinstance(found, str) or found.ndim != 2 or found.shape[1] != 2 or len(found) < 2:
            return None
        curve = found.astype(np.float64)
        if artifact == Artifact.PCA_CURVE:  # its second column has another meaning
            curve[:, 1] = np.nan
        return curve if np.isfinite(curve[:, 0]).all() and curve[0, 0] > 0 else None


def _fitting(by_dim3: ByDim3, base: Floats | None) -> Errors | None:
    """The errors of rows whose baseline is known; None where there are none."""
    if base is None or not by_dim3 or any(len(held.rows) != len(base) for held in by_dim3.values()):
        return None
    return Errors(by_dim3, base)
