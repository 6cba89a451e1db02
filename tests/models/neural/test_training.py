"""The training loop, and the models trained by it, on data small enough to know the answer."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.optim.adam import adam

from elbowroom.models import Diverged, Epoch, Reducer, build
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.models.neural.autoencoder import Autoencoder
from elbowroom.models.neural.training import SCHEDULES, _is_measured, resolve_device, streams
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


@pytest.mark.parametrize("model", ["ae", "linear-ae", "nested-ae", "pca-mlp", "vae"])
def test_the_seed_decides_every_bit_and_validation_rows_none(model: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    fits = [train(model, x_val=v, seed=s) for s, v in ((0, X_VAL), (0, X_VAL), (1, X_VAL), (0, None))]
    (fitted, again, other, blind), epochs = zip(*fits, strict=True)
    losses = [series(e, "train/loss") for e in epochs]
    assert losses[0] == losses[1] == losses[3] != losses[2]
    assert same_state(fitted, again)
    assert not same_state(fitted, other)
    assert same_state(fitted, blind)
    assert torch.equal(torch.get_rng_state(), before)  # the caller's generator is left as it was


def rows_in_order(monkeypatch: pytest.MonkeyPatch, model: str, **settings: Any) -> list[int]:
    """The rows, by number, as two epochs of training come to them."""
    x = np.tile(np.arange(100, dtype=np.float32)[:, None] / 128, (1, 64))
    built: Any = build(model, SETTINGS | {"dim1": 64, "epochs": 2, "output": "sigmoid"} | settings)
    objective, seen = built.objective, []

    def noted(x: torch.Tensor, noise: torch.Generator) -> Any:
        if built.network.training:  # not where the rows are those to stop by
            seen.extend((x[:, 0] * 128).tolist())
        return objective(x, noise)

    monkeypatch.setattr(built, "objective", noted)
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
    seen, unseen = (build("tests.models.test_registry:noisy", SETTINGS | {"dim1": 64, "epochs": 3}) for _ in range(2))
    seen.fit(X, on_epoch=lambda epoch: seen.reconstruct(X_VAL))
    assert same_state(seen, unseen.fit(X))


# Training losses of the first commit with this loop, one thread: what a change of the loop may not change.
LOSSES = {
    "ae": [0.18091217041015625, 0.1757780456542969, 0.17039288330078126],
    "linear-ae": [1.2175972900390626, 1.1709810791015625, 1.1402181396484374],
    "vae": [45.2295859375, 44.3130546875, 43.35298828125],
}


@pytest.mark.parametrize("model", LOSSES)
def test_at_a_constant_rate_the_losses_are_those_of_the_first_loop(model: str) -> None:
    assert series(train(model)[1], "train/loss") == pytest.approx(LOSSES[model], rel=1e-5)  # another BLAS, other bits


def test_one_cycle_rises_over_a_tenth_and_falls_to_nothing() -> None:
    share = SCHEDULES["one-cycle"]
    assert [share(p) for p in (0.05, 0.1, 0.55, 1.0)] == pytest.approx([0.5, 1.0, 0.5, 0.0])
    assert max(share(p) for p in np.linspace(0, 1, 1001)) == 1.0


def test_the_rate_of_each_step_follows_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    def noted(*arguments: Any, lr: float, **more: Any) -> None:
        rates.append(lr)
        adam(*arguments, lr=lr, **more)

    monkeypatch.setattr("elbowroom.models.neural.adam.adam", noted)
    train("ae", schedule="one-cycle", lr=1e-2, epochs=2, batch_size=300)  # 1,000 rows: four steps an epoch
    assert rates == pytest.approx([1e-2 * SCHEDULES["one-cycle"]((i + 0.5) / 8) for i in range(8)])


def test_three_streams_from_each_seed() -> None:
    assert len({*streams(0), *streams(1)}) == 6


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


BLOCKS = np.concatenate([np.tile(DIGITS, (3, 1))[:4096], 1 - DIGITS[:1295]])  # two, unlike


@pytest.mark.parametrize(
    ("model", "x", "x_val"), [("vae", X, X_VAL), ("vae", SIGNED, 5 * X_VAL - 2), ("ae", X, BLOCKS)]
)
def test_validation_error_is_that_of_the_deterministic_reconstruction_in_the_datas_units(
    model: str, x: np.ndarray, x_val: np.ndarray
) -> None:
    fitted, epochs = train(model, x, x_val)
    wanted = reconstruction_mse(x_val, fitted.reconstruct(x_val))
    assert epochs[-1].metrics["val/mse"] == pytest.approx(wanted, rel=1e-4)
    if model == "ae":
        assert epochs[-1].metrics["val/loss"] == pytest.approx(wanted, rel=1e-5)


def validations(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """The rows and the loss of each validation of an autoencoder, as they come."""
    seen: list[tuple[int, float]] = []
    evaluate = Autoencoder.evaluate

    def noted(self: Autoencoder, x: torch.Tensor) -> dict[str, float]:
        found = evaluate(self, x)
        seen.append((len(x), found["val/loss"]))
        return found

    monkeypatch.setattr(Autoencoder, "evaluate", noted)
    return seen


def test_patience_stops_by_a_tenth_of_the_training_rows_and_keeps_its_best_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = validations(monkeypatch)
    model, epochs = train("ae", x_val=None, lr=0.3, epochs=200, patience=3)
    assert {rows for rows, _ in seen} == {100}
    losses = [loss for _, loss in seen]
    best = int(np.argmin(losses))
    assert epochs[-1].number == model.epochs_trained == len(losses) == best + 4 < 200
    shorter, _ = train("ae", x_val=None, lr=0.3, epochs=best + 1, patience=best + 1)
    assert same_state(model, shorter)  # what a run has that ends with the best epoch


def test_the_rows_to_stop_by_take_no_gradient_step_and_depend_on_no_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [set(rows_in_order(monkeypatch, "ae", patience=5, seed=seed)) for seed in (0, 1)]
    assert parts[0] == parts[1]
    assert len(parts[0]) == 90


def test_validation_rows_do_not_stop_a_training() -> None:
    with_rows, without = (train("ae", x_val=v, lr=0.3, epochs=200, patience=3)[0] for v in (X_VAL, None))
    assert same_state(with_rows, without)


def test_without_patience_the_budget_is_spent() -> None:
    assert len(train("ae", lr=0.3, epochs=30)[1]) == 30


def test_patience_needs_a_row_to_hold_out() -> None:
    train("ae", X[:10], patience=1)
    with pytest.raises(ValueError, match="holds out a tenth of the training rows, and needs at least 10, got 9"):
        build("ae", SETTINGS | {"patience": 1}).check(X[:9])


@pytest.mark.parametrize(("total", "every"), [(12, 1), (200, 1), (201, 2), (450, 4), (1000, 8)])
def test_a_long_training_is_measured_at_about_200_epochs(total: int, every: int) -> None:
    numbers = [n for n in range(1, total + 1) if _is_measured(n, total)]
    assert numbers == sorted({1, *range(every, total + 1, every), total})
    assert len(numbers) <= 202


def test_epochs_that_are_not_measured_are_neither_validated_nor_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = validations(monkeypatch)
    _, epochs = train("ae", X[:20], X_VAL[:20], epochs=205, dim2=2)
    assert [e.number for e in epochs] == [1, *range(2, 205, 2), 205]
    assert len(seen) == len(epochs)


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        ("linear-ae", {"lr": 1e30, "batch_size": 1000}, "training loss became inf in epoch 2; try a smaller --lr"),
        # Its sum over 1,000 rows is too large for float32.
        (
            "vae",
            {"beta": 1e37},
            "training loss became inf in epoch 1, with beta · kl at 4.01e+35; try a smaller --beta",
        ),
        (
            "vae",
            {"beta": 1e39},
            "training loss became nan in epoch 1, with beta · kl at 4.01e+37; try a smaller --beta",
        ),
        ("vae", {"lr": 1e30}, "training loss became nan in epoch 1; try a smaller --lr"),
        (
            "vae",
            {"lr": 1e30, "batch_size": 1000},
            "training loss became nan in epoch 2, with recon at nan; try a smaller --lr",
        ),
        ("vae", {"beta": 1e30}, "squared gradients became infinite in epoch 1; try a smaller --beta"),
    ],
)
def test_a_training_that_diverges_names_the_epoch_the_term_and_what_to_change(
    model: str, settings: dict[str, float], said: str
) -> None:
    with pytest.raises(Diverged) as caught:
        train(model, **settings)
    assert str(caught.value) == f"the {said}"


def test_a_large_beta_does_not_diverge_and_rows_that_are_no_numbers_do() -> None:
    train("vae", beta=1e6)
    with pytest.raises(Diverged, match="training loss became nan in epoch 1"):
        train("linear-ae", np.where(X == 0, np.nan, X))


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    for device in ("cuda", "mars"):
        with pytest.raises(ValueError, match=rf"device '{device}' is not available here; allowed: auto, cpu$"):
            build("ae", SETTINGS | {"device": device})
