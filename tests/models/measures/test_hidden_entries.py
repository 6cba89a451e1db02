"""The error of hidden entries, on rows whose common factors are known."""

import numpy as np

from elbowroom.models import PCA, Array
from elbowroom.models.base import Reducer, Rows
from elbowroom.models.measures.column_groups import group_columns
from elbowroom.models.measures.hidden_entries import HiddenEntries, hidden_entries
from elbowroom.models.measures.inferred_codes import inferred_codes


class Linear(Reducer):
    """PCA behind the contract of any model, with latents of very different scales."""

    def __init__(self, dim3: int) -> None:
        self.pca, self.units = PCA(dim3=dim3), (100.0 ** np.arange(dim3)).astype(np.float32)

    def fit(self, x: Rows, *_: object, **__: object) -> "Linear":
        self.pca.fit(x)
        return self

    def encode(self, x: Rows) -> Array:
        return self.pca.encode(x) * self.units

    def decode(self, z: Array) -> Rows:
        return self.pca.decode(z / self.units)

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        return self.decode(rng.standard_normal((n, len(self.units)), dtype=np.float32))


def rows(columns: int = 20, factors: int = 3, noise: float = 0.3, count: int = 500) -> tuple[Array, Array]:
    """Training and held-out rows; standardised, so that PCA of raw and of standardised rows are one."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, factors)) @ rng.standard_normal((factors, columns))
    x += noise * rng.standard_normal(x.shape)
    train, held = np.split(x, [count - 100])
    mean, sd = train.mean(axis=0), train.std(axis=0)
    return ((train - mean) / sd).astype(np.float32), ((held - mean) / sd).astype(np.float32)


def measured(x: Array, held: Array, dim3: int = 3) -> HiddenEntries:
    found = hidden_entries(PCA(dim3=dim3).fit(x), x, held)
    assert found is not None
    return found


def test_rows_without_noise_are_predicted_by_their_factors_and_not_by_fewer() -> None:
    x, held = rows(noise=0)
    assert measured(x, held).model.max() < 1e-8
    assert measured(x, held, dim3=2).model.mean() > 0.1
    np.testing.assert_allclose(measured(x, held).mean_row, np.square(held).mean(axis=1) * np.ones((4, 1)), rtol=1e-4)


def test_any_linear_decoder_has_the_error_of_the_exact_codes() -> None:
    x, held = rows()
    exact, iterated = measured(x, held), hidden_entries(Linear(3).fit(x), x, held)
    assert iterated is not None
    np.testing.assert_allclose(iterated.model.mean(axis=1), exact.model.mean(axis=1), rtol=1e-3)
    np.testing.assert_allclose(iterated.mean_row, exact.mean_row, rtol=1e-6)


def test_units_of_the_columns_and_constant_columns_change_nothing() -> None:
    x, held = rows()
    factors, constant = np.geomspace(0.01, 100, 20, dtype=np.float32), np.full((500, 2), 0.1, np.float32)
    wide = [np.hstack([part * factors, constant[: len(part)]]) for part in (x, held)]
    np.testing.assert_allclose(measured(*wide).model, measured(x, held).model, rtol=1e-2, atol=1e-4)


def test_what_is_not_measured() -> None:
    x, held = rows()
    assert hidden_entries(PCA(dim3=3).fit(x[:, :9]), x[:, :9], held[:, :9]) is None
    assert hidden_entries(PCA(dim3=19).fit(x), x, held) is None  # 18 columns are visible
    vae = Linear(3).fit(x)
    vae.posterior = lambda rows: (vae.encode(rows), vae.encode(rows))  # type: ignore[method-assign]
    assert hidden_entries(vae, x, held) is None


def test_at_most_1000_rows_are_held_out_and_the_first_are_the_same() -> None:
    x, held = rows(count=1600)
    more = np.concatenate([held, x])
    np.testing.assert_allclose(measured(x, more).model[:, :100], measured(x, held).model, rtol=1e-6)
    assert measured(x, more).model.shape == (4, 1000)
    assert hidden_entries(Linear(3).fit(x), x, more).model.shape == (4, 300)  # type: ignore[union-attr]


def test_columns_are_grouped_evenly_and_pairs_together() -> None:
    x = np.random.default_rng(0).standard_normal((1000, 11)).astype(np.float32)
    x /= np.sqrt(np.square(x).mean(axis=0))
    groupings, copies = group_columns(np.hstack([x, x[:, ::-1]]))
    assert copies == 22
    for i, groups in enumerate(groupings):
        assert sorted(np.bincount(groups)) == ([2] * 9 + [4] if i % 2 else [2] * 8 + [3] * 2)
        assert (groups == groups[::-1]).all() == bool(i % 2)
    assert {np.bincount(groups).max() for groups in group_columns(np.tile(x, 5))[0]} == {11, 12}
    assert group_columns(x)[1] == 0


def test_codes_end_at_the_least_squares_of_each_row() -> None:
    rng = np.random.default_rng(0)
    loadings, wanted = rng.standard_normal((3, 12)).astype(np.float32), rng.standard_normal((50, 3)).astype(np.float32)
    wanted[:, 0] *= 1e4

    def residuals(z: Array, rows: np.ndarray) -> Array:
        return np.sinh((z - wanted[rows]) / [1e4, 1, 1]).astype(np.float32) @ loadings

    z, total = inferred_codes(residuals, np.zeros_like(wanted), np.array([1e4, 1, 1], np.float32))
    np.testing.assert_allclose(z / [1e4, 1, 1], wanted / [1e4, 1, 1], atol=1e-3)
    assert total.max() < 1e-4


def test_a_decoder_that_ignores_its_code_leaves_the_start() -> None:
    start = np.ones((4, 2), np.float32)
    z, total = inferred_codes(lambda z, rows: np.ones((len(z), 5), np.float32), start, np.ones(2, np.float32))
    np.testing.assert_array_equal(z, start)
    assert total.tolist() == [5] * 4
