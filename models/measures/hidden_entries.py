"""Squared error of hidden entries of held-out rows: unlike the error of whole rows it rises again beyond the rank.

Wold 1978; Bro, Kjeldahl, Smilde & Kiers 2008; Owen & Perry 2009. Some columns of a row are hidden, its code is inferred
from the others by least squares, and the code predicts the hidden entries. Columns are divided by their standard
deviation over the training rows, else the loudest columns alone decide; constant columns are left out.

PCA is fitted again, to standardised rows: the rank is a property of the correlations, and PCA of raw rows spends its
first components on loud columns. Any other model stays as it was trained, on raw rows; the visible squared errors that
its codes minimise have the weights 1 / SD^2.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..base import Array, Reducer, Rows
from ..pca import PCA
from .column_groups import CORRELATED_ROWS, group_columns
from .errors import Float64s
from .inferred_codes import inferred_codes

_ROWS, _ITERATED_ROWS = 1_000, 300  # held out, at most
_ITERATED_VALUES, _FEWEST_ITERATED = 1_800_000, 30  # rows · dim1 · dim3 where codes are iterated, and rows

COLUMNS = range(10, 10_001)
"""Numbers of columns that vary with which entries are hidden; the search for copies grows with their square."""

_Mask = npt.NDArray[np.bool_]


class HiddenEntries(NamedTuple):
    """Squared error of each row, mean over its entries, of a model and of the mean training row, (groupings, N) each.

    `copies` counts the columns that correlate above 0.95 with another.
    """

    model: Float64s
    mean_row: Float64s
    copies: int


class _Standard(NamedTuple):
    """The columns that vary (D,), with their mean and standard deviation over the training rows."""

    columns: npt.NDArray[np.intp]
    mean: Float64s
    sd: Float64s

    def rows(self, x: Rows) -> Float64s:
        """Standardised rows (N, D) of x (N, dim1)."""
        z: Float64s = x[:, self.columns] - self.mean
        z /= self.sd
        return z


def hidden_entries(model: Reducer, x: Rows, x_held: Rows) -> HiddenEntries | None:
    """Predict each entry of held-out rows once in each grouping of the columns; `column_groups` makes these.

    Parameters
    ----------
    model : Reducer
        Fitted to x.
    x : (N_train, dim1)
        Training rows.
    x_held : (N_held, dim1)
        Held-out rows. The first 1,000 are used; where codes are iterated 300, fewer with many columns and latents.

    Returns
    -------
    HiddenEntries or None
        None where fewer than 10 columns vary, or more than 10,000; where dim3 exceeds the visible columns; for a model
        with a posterior, because least squares know nothing of its prior; where time allows fewer than 30 rows.
    """
    varying = np.flatnonzero(x.min(axis=0) < x.max(axis=0))
    if len(varying) not in COLUMNS or model.posterior(x_held[:1]) is not None:
        return None
    mean, sd = (np.asarray(f(x, axis=0, dtype=np.float64))[varying] for f in (np.mean, np.std))
    standard = _Standard(varying, mean, sd)
    groupings, copies = group_columns(standard.rows(x[:CORRELATED_ROWS]).astype(np.float32))
    dim3 = model.encode(x_held[:1]).shape[1]
    exact = isinstance(model, PCA)
    rows = _ROWS if exact else min(_ITERATED_ROWS, _ITERATED_VALUES // (x.shape[1] * dim3))
    visible = len(varying) - max(int(np.bincount(groups).max()) for groups in groupings)
    if dim3 > visible or rows < _FEWEST_ITERATED:
        return None
    x_held = x_held[:rows]
    held = standard.rows(x_held)
    predict = _linear(_components(x, standard)[:dim3].T, held) if exact else _decoded(model, x, x_held, standard)
    errors = np.zeros((2, len(groupings), len(held)))
    for i, groups in enumerate(groupings):
        for group in range(groups.max() + 1):
            hidden = groups == group
            for kind, predicted in enumerate((predict(hidden), np.zeros_like(held))):
                errors[kind, i] += np.square(held - predicted)[:, hidden].sum(axis=1) / len(varying)
    return HiddenEntries(errors[0], errors[1], copies)


# The components of the latest standardised rows: one decomposition serves every dim3 of a study.
_cached: list[tuple[weakref.ref[Rows], Array]] = []


def _components(x: Rows, standard: _Standard) -> Array:
    """All components (K, D) of PCA on the standardised rows of x (N, dim1)."""
    for rows, known in _cached:
        if rows() is x:
            return known
    z = standard.rows(x)
    components: Array = PCA(dim3=min(z.shape)).fit(z).components
    if not x.flags.writeable:
        _cached[:] = [(weakref.ref(x), components)]
    return components


def _linear(loadings: Array, held: Float64s) -> Callable[[_Mask], Float64s]:
    """Predict standardised rows (N, D) by the least squares of their visible columns on loadings (D, dim3)."""

    def predict(hidden: _Mask) -> Float64s:
        codes = np.linalg.lstsq(loadings[~hidden], held[:, ~hidden].T, rcond=1e-6)[0]  # copies leave null directions
        return np.asarray((loadings @ codes).T)

    return predict


def _decoded(model: Reducer, x: Rows, x_held: Rows, standard: _Standard) -> Callable[[_Mask], Float64s]:
    """Predict standardised rows (N, D) by the codes of least visible error, from the better of two starts.

    The starts are encode(row with its hidden entries at their mean) and the mean code.
    """
    codes = model.encode(x)
    centre, scale = codes.mean(axis=0), codes.std(axis=0)
    scale = np.maximum(scale, 1e-4 * np.abs(centre))  # a latent that hardly varies: a step above its rounding
    scale[scale == 0] = 1

    def predict(hidden: _Mask) -> Float64s:
        columns, filled = standard.columns[~hidden], x_held.copy()
        filled[:, standard.columns[hidden]] = standard.mean[hidden]
        visible, sd = x_held[:, columns], standard.sd[~hidden].astype(x_held.dtype)

        def residuals(z: Array, rows: npt.NDArray[np.intp]) -> Array:
            return ((model.decode(z)[:, columns] - visible[rows]) / sd).astype(np.float32, copy=False)

        (z, error), (other, error_other) = (
            inferred_codes(residuals, start, scale)
            for start in (model.encode(filled), np.tile(centre, (len(x_held), 1)))
        )
        return standard.rows(model.decode(np.where((error_other < error)[:, None], other, z)))

    return predict
