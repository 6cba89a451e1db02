"""The base class of the torch models: scaling, the choice of output and loss, and what it refuses."""

import numpy as np
import pytest
import torch

from elbowroom.models import build, in_unit_interval
from elbowroom.models.measures.errors import reconstruction_mse, row_mse
from elbowroom.models.neural.reducer import _cross_entropy, _suited_output
from tests.models.neural.test_training import SIGNED, X, train
from tests.models.test_contract import SETTINGS


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1000.0])
def test_the_cross_entropy_and_its_gradient_are_torchs_own(scale: float) -> None:
    draw = torch.Generator().manual_seed(0)
    raw = (scale * torch.randn(50, 64, generator=draw, dtype=torch.float64)).requires_grad_()
    x = torch.rand(50, 64, generator=draw, dtype=torch.float64).round(decimals=1)  # 0 and 1 among them
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(raw, x, reduction="sum")
    got = _cross_entropy(raw, x)
    assert got.item() == pytest.approx(wanted.item(), rel=1e-12)
    gradients = [torch.autograd.grad(loss, raw)[0] for loss in (got, wanted)]
    assert torch.allclose(*gradients, rtol=0, atol=1e-12)


def test_data_without_variance_are_learnt_and_not_divided_by_0() -> None:
    x = np.full((50, 64), -3, dtype=np.float32)
    model, _ = train("ae", x, x, lr=1e-2, epochs=50)
    assert model.scale == 1
    assert reconstruction_mse(x, model.reconstruct(x)) < 1e-3


@pytest.mark.parametrize(
    ("x", "inside"), [([[0.0, 1.0]], True), ([[-1e-7, 1.0]], False), ([[0.0, 1.0001]], False), ([[0.5, np.nan]], False)]
)
def test_the_unit_interval_is_closed(x: list[list[float]], inside: bool) -> None:
    assert in_unit_interval(np.array(x, dtype=np.float32)) is inside


def test_one_scale_for_all_columns_where_the_data_leave_the_unit_interval() -> None:
    model, _ = train("ae", SIGNED)
    assert model.facts()["output"] == "linear"
    assert np.allclose(model.mean, SIGNED.mean(axis=0), atol=1e-6)
    assert model.scale == pytest.approx(float(np.sqrt(SIGNED.var(axis=0).mean())), rel=1e-5)
    assert train("ae")[0].facts()["output"] == "sigmoid"


@pytest.mark.parametrize(
    ("low", "high", "columns", "output"),
    [(0.0, 1.0, 64, "sigmoid"), (0.1, 0.9, 16, "sigmoid"), (0.1, 0.9, 15, "linear"), (0.0, 0.5, 64, "linear")],
)
def test_auto_is_a_sigmoid_where_a_quarter_of_the_columns_come_near_both_ends(
    low: float, high: float, columns: int, output: str
) -> None:
    x = np.full((3, 65), [[0.3], [0.4], [0.4]])
    x[:, 64] = 1  # does not vary
    x[0, :columns], x[1, :columns] = low, high
    reaching = columns if high > 0.5 else 0
    reason = f"the data lie in [0, 1], and {reaching} of the 64 columns that vary come often near both ends"
    facts = train("vae", x, x, epochs=1)[0].facts()
    assert (facts["output"], facts["output_reason"]) == (output, reason)
    assert facts["loss"] == ("bce" if output == "sigmoid" else "mse")
    assert train("vae", x, x, epochs=1, loss="bce")[0].facts()["output"] == "sigmoid"  # as asked for


def test_one_outlier_a_column_is_no_second_end() -> None:
    long_tails = np.exp(np.random.default_rng(0).standard_normal((500, 20)))
    scaled = (long_tails - long_tails.min(axis=0)) / np.ptp(long_tails, axis=0)
    assert (scaled.min(), scaled.max()) == (0, 1)
    assert _suited_output(scaled)[0] == "linear"
    often = np.where(np.random.default_rng(1).random((500, 20)) < 0.05, 1.0, 0.0)
    assert _suited_output(often)[0] == "sigmoid"


def test_shares_of_a_whole_are_learnt() -> None:
    rng = np.random.default_rng(0)
    parts, weights = rng.dirichlet(np.full(200, 0.3), size=5), rng.dirichlet(np.full(5, 0.7), size=1500)
    x = weights @ parts
    x /= x.sum(axis=1, keepdims=True)
    assert 0 <= x.min() < x.max() < 0.2
    model, _ = train("ae", x, None, dim3=4, dim2=50, epochs=10)
    assert reconstruction_mse(x, model.reconstruct(x)) < 0.05 * x.var(axis=0).mean()


FLOAT64 = np.random.default_rng(0).standard_normal((300, 4)) @ np.random.default_rng(1).standard_normal((4, 12))
FLOAT64 += 0.05 * np.random.default_rng(2).standard_normal(FLOAT64.shape)


def errors_at(scale: float, model: str, offset: float = 0.0) -> tuple[np.ndarray, dict[str, float]]:
    """Squared errors of each row, and the last epoch's metrics, in units of the scale."""
    x = FLOAT64 * scale + offset
    made, epochs = train(model, x[:200], x[200:], dim3=3, dim1=12, output="linear")
    metrics = dict(epochs[-1].metrics) if epochs else {}
    return row_mse(x[200:], made.reconstruct(x[200:])) / scale**2, metrics


@pytest.mark.parametrize("model", ["pca", "ae", "linear-ae", "nested-ae", "vae"])
def test_the_data_s_unit_changes_no_scaled_error(model: str) -> None:
    errors, metrics = errors_at(1.0, model)
    for scale in (2.0**100, 2.0**-100):
        scaled, others = errors_at(scale, model)
        assert np.array_equal(scaled, errors)
        assert {k: v / scale**2 if k == "val/mse" else v for k, v in others.items()} == metrics
    for scale in (3.7, 1e30, 1e-30):
        assert errors_at(scale, model)[0] == pytest.approx(errors, rel=1e-5)


@pytest.mark.parametrize("model", ["pca", "ae"])
def test_a_constant_in_the_data_costs_no_digits(model: str) -> None:
    errors, _ = errors_at(1.0, model)
    for offset in (1e4, 1e6, 1e8):
        assert errors_at(1.0, model, offset)[0] == pytest.approx(errors, rel=1e-3)


@pytest.mark.parametrize(
    ("x", "bad", "message"),
    [
        (X, {"loss": "bce", "output": "linear"}, "the output is linear and the data lie in"),
        (SIGNED, {"loss": "bce"}, r"loss bce needs .* the output is auto and the data lie in \[-2, 3\]"),
        (SIGNED, {"output": "sigmoid"}, r"output sigmoid needs data in \[0, 1\], and these lie in \[-2, 3\]"),
    ],
)
def test_check_refuses_before_anything_is_trained(x: np.ndarray, bad: dict[str, str], message: str) -> None:
    for refusing in (lambda: build("ae", SETTINGS | bad).check(x), lambda: train("vae", x, **bad)):
        with pytest.raises(ValueError, match=message):
            refusing()
