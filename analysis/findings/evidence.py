"""The evidence of one model's runs for each purpose, read from the store when a purpose asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elbowroom.tracking.store.names import Artifact, Metric, Param

from .. import Floats
from ..purposes.choice import ByDim3, Held, Missing, NotOffered
from ..purposes.keep import Errors, Fitted
from ..purposes.probe import Coded
from ..purposes.rank import Beside, gavish_donoho
from ..runs.arrays import fetch, rows_of
from ..runs.comparison import Cell, Series, is_measured, most_to_judge, scanned, sizes_of
from .against_pca import spectrum_of
from .curve_evidence import UNKNOWN, CurveEvidence

if TYPE_CHECKING:  # the CSV report reads tables and needs no MLflow
    from mlflow.entities import Run

_FEWEST_SHIFTED = 20  # rows: the mean of fewer is far from its expectation by chance
_PROBED = 5  # trainings a dim3 whose codes are probed: a probe is slow, and rows differ more than trainings do


class MeanRow(NamedTuple):
    """The squared errors of the mean training row, (N,) of the validation rows and of the test rows; None: unknown."""

    val: Floats | None
    test: Floats | None


def mean_row(series: Sequence[Series]) -> MeanRow:
    """Return the mean row's errors, which every run of the data logs; of older runs, PCA's have those of the test rows.

    By Pythagoras: the mean row's squared error is PCA's, plus the square of the code over dim1.
    """
    newest = [max(s.every_cell, key=lambda c: c.run.info.start_time or 0) for s in series]
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


def shift(baseline: Series, base: MeanRow) -> float:
    """Return the share of the mean row's error on the test rows that is their common distance from the training mean.

    PCA's codes tell it, at least in part; 0 where these are missing, or fewer than 20.
    """
    cell = baseline.at(baseline.dim3[-1])[0]
    codes, sizes = fetch([cell], Artifact.CODES)[cell.run_id], sizes_of(cell.run.data.params)
    if isinstance(codes, str) or codes.ndim != 2 or len(codes) < _FEWEST_SHIFTED or base.test is None or sizes is None:
        return 0.0
    distance = np.square(codes.mean(axis=0, dtype=np.float64)).sum() / sizes[1]
    return float(distance / base.test.mean())


class _CodesByDim3(Mapping[int, Sequence[Floats]]):
    """The codes (N, dim3) of the first trainings by dim3, read when they are asked for; the last ones are kept."""

    def __init__(self, series: Series, artifact: str, rows: int) -> None:
        self.series, self.artifact, self.rows = series, artifact, rows
        self.last: tuple[int, list[Floats]] | None = None

    def __getitem__(self, dim3: int) -> list[Floats]:
        if self.last is None or self.last[0] != dim3:
            found = fetch(self.series.at(dim3)[:_PROBED], self.artifact).values()
            codes = [a for a in found if not isinstance(a, str) and a.shape[:1] == (self.rows,) and a.ndim == 2]
            if not codes or not all(np.isfinite(a).all() for a in codes):
                raise Missing(f"features: the codes at dim3 {dim3} are not in the store or unusable")
            self.last = dim3, codes
        return self.last[1]

    def __iter__(self) -> Iterator[int]:
        return iter(self.series.dim3)

    def __len__(self) -> int:
        return len(self.series.dim3)


class ModelEvidence(CurveEvidence):
    """The evidence of one series of runs."""

    def __init__(
        self,
        series: Series,
        baseline: Series | None,
        base: MeanRow,
        val: ByDim3,
        test: ByDim3,
        mean_row: float | None = None,
        studies: Sequence[Run] = (),
    ) -> None:
        """Take a series and what was read of it.

        Parameters
        ----------
        series, baseline
            The cells of the model, and of PCA.
        base
            The mean row's errors.
        val, test
            The errors of both sets of rows, by dim3.
        mean_row
            Of a table, the mean row's error.
        studies
            The parent runs of the store.
        """
        unresolved = series.unresolved
        resolved = series._replace(cells={k: v for k, v in series.cells.items() if k not in unresolved})
        self.scanned = scanned(resolved, studies) if resolved.cells else resolved
        errors = {k: np.array([c.error for c in series.at(k)]) for k in series.dim3}
        most = most_to_judge(series.first.run.data.params)
        curve = (self.scanned.complete[0], self.scanned.errors())
        super().__init__(series.label, errors, curve, mean_row, most)
        self.unresolved = unresolved
        self.left_out = [k for k in resolved.dim3 if k not in self.scanned.cells]
        self.series, self.baseline, self.base, self.val, self.test = series, baseline, base, val, test
        self.seeded = series.seeded

        sizes = sizes_of(series.first.run.data.params)
        self.most = UNKNOWN if sizes is None else min(sizes)

    @cached_property
    def fitted(self) -> Fitted:
        """The squared errors, of the validation rows where their baseline is known. Raises Missing."""
        if not self.series.first.digest:
            return self.by_means()
        test = _fitting(self.test, self.base.test)
        if test is None:
            return self._by_metrics()
        test = test._replace(whole=self._curve(Artifact.PCA_CURVE))
        if not self.series.first.on_validation:
            note = "chosen on the test rows: there are no validation rows"
        elif (val := _fitting(self.val, self.base.val)) is None:
            note = "chosen on the test rows: runs lack the mean row's errors of two validation rows or more"
        else:
            val = val._replace(whole=self._curve(Artifact.PCA_CURVE_VAL))
            return Fitted(self.label, val, test, self.seeded, self.most)
        return Fitted(self.label, test, test, self.seeded, self.most, note)

    def value_range(self) -> float:
        """Return the largest less the smallest value of the training rows. Raises Missing."""
        found = self.series.first.metric(Metric.DATA_RANGE)
        if not found:
            raise Missing("the runs lack the range of the data, which new runs log: train one cell again")
        return found

    def columns(self, dim3: int) -> tuple[float, float] | None:
        """Return the largest column's share of the variance, and the share of its own that the median column keeps."""
        if dim3 not in self.series.cells:
            return None
        cell = self.series.at(dim3)[0]
        found = fetch([cell], Artifact.COLUMNS_TEST)[cell.run_id]
        if isinstance(found, str) or found.ndim != 2 or len(found) != 2 or not found[0].sum() > 0:
            return None
        base, left = found[:, found[0] > 0].astype(np.float64)
        return float(base.max() / base.sum()), float(np.quantile(1 - left / base, 0.5, method="higher"))

    def probe(self) -> tuple[Coded, Coded | None]:
        """Return the codes of the rows that choose, and of those that report. Raises Missing."""
        test = self._coded(Artifact.CODES, Artifact.LABELS, Artifact.PROBE_TEST)
        val = self._coded(Artifact.CODES_VAL, Artifact.LABELS_VAL, Artifact.PROBE_VAL)
        if val is not None:
            return val, test
        if test is not None:
            return test, None
        raise Missing("no features without labels: --label-column or a column of classes gives them")

    def _coded(self, codes: str, labels: str, raw: str) -> Coded | None:
        """One set of rows; None where it has no labels. Raises Missing for labels that are no classes."""
        first = self.series.first
        own, hits = (fetch([first], artifact)[first.run_id] for artifact in (labels, raw))
        if not isinstance(own, str) and own.dtype.kind == "f":
            raise Missing("no features: the labels are measured numbers, not classes")
        if isinstance(own, str) or own.ndim != 1 or own.dtype.kind not in "iu":
            return None
        if isinstance(hits, str) or hits.shape != own.shape or hits.dtype.kind != "i":
            return Coded(_CodesByDim3(self.series, codes, len(own)), own, None)
        return Coded(_CodesByDim3(self.series, codes, len(own)), own, hits)

    @cached_property
    def val_elbo(self) -> dict[int, Floats]:
        """The validation ELBO of each training, (S,) by dim3, in nats a row; nan where it is not known.

        It is the mean of the rows that `generate` reads. Where a run lacks them, all have that of their last epoch,
        which has another draw and may have another likelihood.
        """
        rows = self._elbo_rows[0]
        if rows.keys() == self.series.cells.keys():
            return {k: -held.seeds for k, held in rows.items()}
        return {k: np.array([c.value(Metric.VAL_ELBO) for c in self.series.at(k)]) for k in self.series.dim3}

    def elbo(self) -> tuple[ByDim3, list[float], ByDim3 | None]:
        """Return -ELBO of the rows that choose, units in use at the largest dim3, and -ELBO of the test rows.

        Raises NotOffered for a model without an ELBO, and Missing.
        """
        if not self._has_elbo:
            raise NotOffered
        val, test = self._elbo_rows
        if not (test or val):
            raise Missing("generate needs the ELBO of each row, which new runs log: train its cells again")
        units = [c.metric(Metric.TEST_UNITS_IN_USE) for c in self.series.at(max(val or test))]
        return val or test, [u for u in units if u is not None], test if val else None

    @property
    def _has_elbo(self) -> bool:
        return self.series.first.metric(Metric.TEST_ELBO) is not None

    @cached_property
    def _elbo_rows(self) -> tuple[ByDim3, ByDim3]:
        """-ELBO of the validation rows and of the test rows."""
        if not self._has_elbo:
            return {}, {}
        return self._negative(Artifact.ELBO_VAL), self._negative(Artifact.ELBO_TEST)

    def _negative(self, artifact: str) -> ByDim3:
        found = rows_of(self.series, artifact, signed=True)[0]
        return {k: Held(-held.rows, -held.seeds) for k, held in found.items()}

    def hidden_entries(self) -> tuple[dict[int, Floats], Floats, Beside]:
        """Return the squared errors of hidden entries, those of the mean row, and other counts. Raises Missing."""
        return self._hidden_entries

    @cached_property
    def _hidden_entries(self) -> tuple[dict[int, Floats], Floats, Beside]:
        """Read once: a round of a seek asks twice."""
        if self.series.first.metric(Metric.TEST_KL) is not None:
            raise NotOffered
        cells = [c for c in self.series.every_cell if is_measured(c)]
        arrays = fetch(cells, Artifact.HIDDEN_ENTRIES)
        by_dim3: dict[int, list[Floats]] = {}
        for cell in cells:
            found = arrays[cell.run_id]
            if not isinstance(found, str) and found.ndim == 2 and np.isfinite(found).all():
                by_dim3.setdefault(cell.dim3, []).append(found.astype(np.float64))
        if not by_dim3:
            needs = "10 to 10,000 columns that vary (of a network also dim1 · dim3 up to 60,000)"
            raise Missing(
                f"rank needs {needs}: the measured runs have no hidden entries"
                if cells
                else "rank is not measured: studies.scan --measure yes measures it for 10 columns or more"
            )
        base = fetch(cells, Artifact.HIDDEN_ENTRIES_MEAN)
        known = [a.astype(np.float64) for a in base.values() if not isinstance(a, str) and a.ndim == 2]
        stacked = {k: np.stack(arrays) for k, arrays in by_dim3.items() if len({a.shape for a in arrays}) == 1}
        if not known or not stacked:
            raise Missing("rank: the errors of hidden entries are unusable")
        return stacked, max(known, key=lambda a: a.shape[1]), self._beside(cells[0])

    def _beside(self, measured: Cell) -> Beside:
        """Other counts of the data's components."""
        copies = measured.metric(Metric.COPIED_COLUMNS)
        if self.baseline is None:
            return Beside(copies=None if copies is None else int(copies))
        first = self.baseline.first
        parallel, spectrum = first.metric(Metric.INTRINSIC_PARALLEL), spectrum_of(first)
        sizes = sizes_of(first.run.data.params)
        rank = None if spectrum is None or sizes is None else gavish_donoho(spectrum, *sizes)
        return Beside(None if parallel is None else int(parallel), rank, None if copies is None else int(copies))

    def _by_metrics(self) -> Fitted:
        """The shares left of the test rows, of runs whose mean row's errors are not known by row. Raises Missing."""
        kept = {k: [c.value(Metric.TEST_EXPLAINED_VARIANCE) for c in self.series.at(k)] for k in self.series.dim3}
        left = {k: 1 - np.array(values) for k, values in kept.items()}
        if not all(np.isfinite(values).all() for values in left.values()):
            raise Missing("no share of the variance: the runs log neither the mean row's errors nor explained variance")
        errors = Errors.of_means(left, 1.0)
        note = "chosen on the test rows by their means alone: the interval is of the trainings, without the rows"
        return Fitted(self.label, errors, errors, self.seeded, self.most, note)

    def _curve(self, artifact: str) -> Floats | None:
        """PCA's error for every dim3 from 0, and the standard error of its logarithm: (K + 1, 2)."""
        if self.seeded:
            return None
        found = fetch([self.series.first], artifact)[self.series.first.run_id]
        if isinstance(found, str) or found.ndim != 2 or found.shape[1] != 2 or len(found) < 2:
            return None
        curve = found.astype(np.float64)
        curve[~np.isfinite(curve[:, 1]), 1] = 0.0  # where nothing is left
        if artifact == Artifact.PCA_CURVE:  # its second column has another meaning
            curve[:, 1] = np.nan
        return curve if np.isfinite(curve[:, 0]).all() and curve[0, 0] > 0 else None


def _fitting(by_dim3: ByDim3, base: Floats | None) -> Errors | None:
    """The errors of rows whose baseline is known; None where there are none."""
    if base is None or not by_dim3 or any(len(held.rows) != len(base) for held in by_dim3.values()):
        return None
    return Errors(by_dim3, base)
