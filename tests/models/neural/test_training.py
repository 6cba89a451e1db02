"""The training loop, and the models trained by it, on data small enough to know the answer."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.optim.adam import adam

from elbowroom.models import PCA, Diverged, Epoch, Reducer, build, in_unit_interval
from elbowroom.models.measures.errors import reconstruction_mse, row_mse
from elbowroom.models.neural.reducer import _cross_entropy, _suited_output
from elbowroom.models.neural.training import SCHEDULES, resolve_device, streams
from tests.models.test_contract import SETTINGS

DIGITS = (load_digits().data / 16).astype(np.float32)
X, X_VAL = DIGITS[:1000], DIGITS[1000:1200]
SIGNED = 5 * X - 2


def train(model: str, x: np.ndarray = X, x_val: np.ndarray | None = X_VAL, **settings: Any) -> tuple[Any, list[Epoch]]:
    epochs: list[Epoch] = []
    built = build(model, SETTINGS | {"dim1": 64, "epochs": 3, "batch_size": 64} | settings)
    built.fit(x, x_val=x_val, on_epoch=epochs.append)
    return built, epochs


def series(epochs: list[Epoch], name: str) -> list[float]:
    return [e.metrics[name] for e in epochs]


def same_state(a: Reducer, b: Reducer) -> bool:
    """Whether two fitted models agree in every bit of weights and scaling."""
    x, y = a.state(), b.state()
    return x.keys() == y.keys() and all(np.array_equal(x[k], y[k]) for k in x if k != "epochs_trained")


@pytest.mark.parametrize("model", ["ae", "linear-ae", "vae"])
def test_the_seed_decides_every_bit(model: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a, b, c = (train(model, seed=s)[1] for s in (0, 0, 1))
    assert series(a, "train/loss") == series(b, "train/loss")
    assert series(a, "train/loss") != series(c, "train/loss")
    assert torch.equal(torch.get_rng_state(), before)  # the caller's generator is left as it was


@pytest.mark.parametrize("model", ["ae", "linear-ae", "vae"])
def test_the_seed_decides_every_weight_and_validation_rows_none(model: str) -> None:
    fitted, again, other, blind = (
        train(model, x_val=v, seed=s)[0] for s, v in ((0, X_VAL), (0, X_VAL), (1, X_VAL), (0, None))
    )
    assert same_state(fitted, again)
    assert not same_state(fitted, other)
    assert same_state(fitted, blind)


def rows_in_order(monkeypatch: pytest.MonkeyPatch, model: str, **settings: Any) -> list[int]:
    """The rows, by number, as two epochs of training come to them."""
    x = np.tile(np.arange(100, dtype=np.float32)[:, None] / 128, (1, 64))
    built: Any = build(model, SETTINGS | {"dim1": 64, "epochs": 2, "output": "sigmoid"} | settings)
    objective, seen = built.objective, []
    monkeypatch.setattr(
        built, "objective", lambda x, noise: (seen.extend((x[:, 0] * 128).tolist()), objective(x, noise))[1]
    )
    built.fit(x)
    return [int(n) for n in seen]


def test_neither_the_noise_nor_the_weights_change_the_order_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    order = rows_in_order(monkeypatch, "vae")
    assert sorted(order[:100]) == sorted(order[100:]) == list(range(100))
    assert order[:100] != order[100:]
    assert rows_in_order(monkeypatch, "vae", dim3=5) == order  # another amount of noise
    assert rows_in_order(monkeypatch, "ae") == order  # none at all
    assert rows_in_order(monkeypatch, "vae", batch_size=7) == order
    assert rows_in_order(monkeypatch, "vae", seed=1) != order


def test_looking_at_the_model_between_epochs_does_not_change_its_training() -> None:
    fits = []
    for look in (False, True):
        losses: list[float] = []
        model = build("tests.models.test_registry:noisy", SETTINGS | {"dim1": 64, "epochs": 3})

        def on_epoch(epoch: Epoch, model: Reducer = model, look: bool = look, losses: list[float] = losses) -> None:
            losses.append(epoch.metrics["train/loss"])
            if look:
                model.reconstruct(X_VAL)

        model.fit(X, on_epoch=on_epoch)
        fits.append((losses, model))
    assert fits[0][0] == fits[1][0]
    assert same_state(fits[0][1], fits[1][1])


# Training losses of the first commit with this loop, one thread: what a change of the loop may not change.
LOSSES = {
    "ae": [0.18091217041015625, 0.1757780456542969, 0.17039288330078126],
    "linear-ae": [1.2175972900390626, 1.1709810791015625, 1.1402181396484374],
    "vae": [45.2295859375, 44.3130546875, 43.35298828125],
}


@pytest.mark.parametrize("model", LOSSES)
def test_at_a_constant_rate_the_losses_are_those_of_the_first_loop(model: str) -> None:
    assert series(train(model)[1], "train/loss") == pytest.approx(LOSSES[model], rel=1e-5)  # another BLAS, other bits


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


def test_one_cycle_rises_over_a_tenth_and_falls_to_nothing() -> None:
    share = SCHEDULES["one-cycle"]
    assert [share(p) for p in (0.05, 0.1, 0.55, 1.0)] == pytest.approx([0.5, 1.0, 0.5, 0.0])
    assert max(share(p) for p in np.linspace(0, 1, 1001)) == 1.0


def test_a_budget_of_one_step_takes_it_at_the_middle_of_the_cycle() -> None:
    one = {"epochs": 1, "batch_size": 5000}
    scheduled, _ = train("ae", schedule="one-cycle", lr=1e-2, **one)
    constant, _ = train("ae", lr=1e-2 * SCHEDULES["one-cycle"](0.5), **one)
    assert same_state(scheduled, constant)


def test_the_rate_of_each_step_follows_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    def noted(*arguments: Any, lr: float, **more: Any) -> None:
        rates.append(lr)
        adam(*arguments, lr=lr, **more)

    monkeypatch.setattr("elbowroom.models.neural.adam.adam", noted)
    train("ae", schedule="one-cycle", lr=1e-2, epochs=2, batch_size=300)  # 1,000 rows: four steps an epoch
    assert rates == pytest.approx([1e-2 * SCHEDULES["one-cycle"]((i + 0.5) / 8) for i in range(8)])


def test_three_streams_from_one_seed() -> None:
    assert len(set(streams(0))) == 3
    assert streams(0) == streams(0)
    assert set(streams(0)).isdisjoint(streams(1))


def test_epochs_and_metrics() -> None:
    _, epochs = train("vae")
    assert [(e.number, e.total) for e in epochs] == [(1, 3), (2, 3), (3, 3)]
    assert set(epochs[0].metrics) == {"train/loss", "val/loss", "val/mse", "val/recon", "val/kl", "val/elbo"}
    assert epochs[0].metrics["val/loss"] == pytest.approx(-epochs[0].metrics["val/elbo"])  # beta is 1
    assert set(train("ae", x_val=None)[1][0].metrics) == {"train/loss"}


@pytest.mark.parametrize(
    "batch_size", [64, 999, 1000, 5000]
)  # a short last batch, one of a row, one, and more than there are
@pytest.mark.parametrize(("model", "x"), [("ae", X), ("linear-ae", SIGNED)])
def test_the_training_loss_is_the_mean_over_the_rows(model: str, x: np.ndarray, batch_size: int) -> None:
    still, epochs = train(model, x, None, lr=0.0, batch_size=batch_size, epochs=1)  # the weights stay
    wanted = reconstruction_mse(x, still.reconstruct(x)) / still.scale**2
    assert epochs[0].metrics["train/loss"] == pytest.approx(wanted, rel=1e-5)


def test_each_batch_is_measured_before_its_own_step_from_weights_of_their_own_stream() -> None:
    model, epochs = train("ae", epochs=1, batch_size=5000)
    torch.manual_seed(streams(0).weights)
    encoder, decoder = model.architecture(64)
    with torch.no_grad():
        x = torch.from_numpy(X)
        wanted = ((decoder(encoder(x)).sigmoid() - x) ** 2).mean().item()
    assert epochs[0].metrics["train/loss"] == pytest.approx(wanted, rel=1e-5)
    assert same_state(model, train("ae", epochs=1, batch_size=1000)[0])


def test_validation_error_is_that_of_the_deterministic_reconstruction_in_the_datas_units() -> None:
    for x, x_val in ((X, X_VAL), (SIGNED, 5 * X_VAL - 2)):
        model, epochs = train("vae", x, x_val)
        wanted = reconstruction_mse(x_val, model.reconstruct(x_val))
        assert epochs[-1].metrics["val/mse"] == pytest.approx(wanted, rel=1e-4)


def test_validation_in_several_blocks_counts_every_row_once() -> None:
    x_val = np.tile(DIGITS, (3, 1))  # 5391 rows, unlike blocks
    x_val[4096:] = 1 - x_val[4096:]
    model, epochs = train("ae", x_val=x_val)
    wanted = reconstruction_mse(x_val, model.reconstruct(x_val))
    assert epochs[-1].metrics["val/mse"] == pytest.approx(wanted, rel=1e-5)
    assert epochs[-1].metrics["val/loss"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("model", ["ae", "linear-ae", "vae"])
def test_ten_times_the_data_have_a_hundred_times_the_error_and_the_same_loss(model: str) -> None:
    (_, once), (_, ten) = (train(model, k * SIGNED, k * SIGNED[:200]) for k in (1, 10))
    assert series(ten, "val/mse") == pytest.approx([100 * v for v in series(once, "val/mse")], rel=1e-3)
    assert series(ten, "train/loss") == pytest.approx(series(once, "train/loss"), rel=1e-3)


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
    assert _suited_output(x) == (output, reason)
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


def test_patience_stops_and_keeps_the_best_epoch() -> None:
    model, epochs = train("ae", lr=0.3, epochs=200, patience=3)
    losses = series(epochs, "val/loss")
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 200
    shorter, _ = train("ae", lr=0.3, epochs=best + 1)
    assert same_state(model, shorter)  # what a run has that ends with the best epoch
    assert reconstruction_mse(X_VAL, model.reconstruct(X_VAL)) == pytest.approx(losses[best], rel=1e-4)


@pytest.mark.parametrize(("x_val", "patience"), [(X_VAL, 0), (None, 1)])
def test_without_patience_or_validation_rows_the_budget_is_spent(x_val: np.ndarray | None, patience: int) -> None:
    assert len(train("ae", x_val=x_val, lr=0.3, epochs=30, patience=patience)[1]) == 30


def test_steps_far_too_large_diverge_in_the_second_epoch_of_one_step_each() -> None:
    epochs: list[Epoch] = []
    model = build("linear-ae", SETTINGS | {"dim1": 64, "epochs": 9, "batch_size": 1000, "lr": 1e30})
    with pytest.raises(Diverged, match=r"training loss became (nan|inf) in epoch 2; try a smaller --lr"):
        model.fit(X, on_epoch=epochs.append)
    assert [e.number for e in epochs] == [1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"beta": 1e37}, "inf in epoch 1, with beta · kl at 4.01e+35; try a smaller --beta"),  # its sum over 1,000 rows
        ({"beta": 1e38}, "inf in epoch 1, with beta · kl at 4.01e+36; try a smaller --beta"),
        ({"beta": 1e39}, "nan in epoch 1, with beta · kl at 4.01e+37; try a smaller --beta"),
        ({"lr": 1e30}, "nan in epoch 1; try a smaller --lr"),
        ({"lr": 1e30, "batch_size": 1000}, "nan in epoch 2, with recon at nan; try a smaller --lr"),
    ],
)
def test_a_vae_that_diverges_names_the_term_and_what_to_change(settings: dict[str, float], said: str) -> None:
    with pytest.raises(Diverged) as caught:
        train("vae", **settings)
    assert str(caught.value) == f"the training loss became {said}"


def test_gradients_whose_squares_overflow_stop_a_vae_that_would_not_move_any_more() -> None:
    with pytest.raises(Diverged, match="the squared gradients became infinite in epoch 1; try a smaller --beta"):
        train("vae", beta=1e30)
    train("vae", beta=1e6)


def test_a_loss_that_is_no_number_names_the_epoch() -> None:
    x = X.copy()
    x[0, 0] = np.nan
    with pytest.raises(Diverged, match="training loss became nan in epoch 1"):
        train("linear-ae", x)


def test_bce_outside_the_unit_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss bce needs .* lie in \[-2, 3\]"):
        train("vae", SIGNED, loss="bce")
    with pytest.raises(ValueError, match="device 'mars' is not available here; allowed: auto, cpu"):
        train("ae", device="mars")


@pytest.mark.parametrize(
    ("x", "bad", "message"),
    [
        (X, {"loss": "bce", "output": "linear"}, "the output is linear and the data lie in"),
        (SIGNED, {"loss": "bce", "output": "auto"}, "the output is auto and the data lie in"),
        (
            SIGNED,
            {"loss": "mse", "output": "sigmoid"},
            r"output sigmoid needs data in \[0, 1\], and these lie in \[-2, 3\]",
        ),
    ],
)
def test_check_refuses_before_anything_is_trained(x: np.ndarray, bad: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("ae", SETTINGS | bad).check(x)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(ValueError, match=r"device 'cuda' is not available here; allowed: auto, cpu$"):
        build("ae", SETTINGS | {"device": "cuda"})


def test_a_linear_autoencoder_reaches_the_error_of_pca() -> None:
    model, _ = train("linear-ae", lr=1e-2, epochs=60, dim3=5)
    pca: Reducer = PCA(dim3=5).fit(X)
    ratio = reconstruction_mse(X, model.reconstruct(X)) / reconstruction_mse(X, pca.reconstruct(X))
    assert 1 <= ratio < 1.01


def test_the_autoencoder_has_the_assignments_layers() -> None:
    model, _ = train("ae", dim2=40, dim3=3)
    assert model.parameter_count() == (64 * 40 + 40) + (40 * 3 + 3) + (3 * 40 + 40) + (40 * 64 + 64)
    assert model.sample(5000, np.random.default_rng(0)).shape == (5000, 64)
    assert np.allclose(model.code_mean, model.encode(X).mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(("loss", "beta"), [("bce", 1.0), ("mse", 1.0), ("bce", 4.0)])
def test_the_vaes_objective_is_its_formula(loss: str, beta: float) -> None:
    model, _ = train("vae", loss=loss, beta=beta)
    x = torch.from_numpy(X[:50])
    got = model.objective(x, torch.Generator().manual_seed(7))
    mean, log_var = model.encoder(x)[:, :2], model.encoder(x)[:, 2:]
    eps = torch.randn(mean.shape, generator=torch.Generator().manual_seed(7))
    p = torch.sigmoid(model.decoder(mean + eps * (log_var / 2).exp()))
    nats = -(x * p.log() + (1 - x) * (1 - p).log()) if loss == "bce" else (x - p) ** 2 / 2
    kl = (mean**2 + log_var.exp() - 1 - log_var).sum() / 2 / 50
    assert got.loss.item() == pytest.approx((nats.sum() / 50 + beta * kl).item(), rel=1e-5)
    assert got.parts["elbo"].item() == pytest.approx(-(nats.sum() / 50 + kl).item(), rel=1e-5)
    assert np.array_equal(model.reconstruct(X[:3]), model.decode(model.encode(X[:3])))


def test_a_vae_whose_kl_outweighs_everything_collapses() -> None:
    model, _ = train("vae", beta=100.0, epochs=60, lr=1e-2)
    metrics = model.extra_metrics(X_VAL)
    assert metrics["kl"] < 0.01
    assert metrics["active_units"] == 0
    mean_image = reconstruction_mse(X_VAL, np.broadcast_to(X.mean(axis=0), X_VAL.shape))
    assert reconstruction_mse(X_VAL, model.reconstruct(X_VAL)) == pytest.approx(mean_image, rel=0.05)
