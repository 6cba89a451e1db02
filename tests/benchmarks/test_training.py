"""The contestants train the same autoencoder, the limit counts what it has to, and tables say what was measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import plain, time_to_quality, training
from benchmarks.common import Spread, spread, table
from benchmarks.contestants import limit, ours
from benchmarks.time_to_quality import Reached, first_at_or_below
from benchmarks.training import Measured
from models import build
from tests.models.test_contract import SETTINGS

X = np.random.default_rng(0).random((300, 784), dtype=np.float32)
TRAINING = SETTINGS | {"dim1": 784, "dim2": 400, "dim3": 10, "batch_size": 128}


@contextmanager
def counted() -> Iterator[FlopCounterMode]:
    with FlopCounterMode(display=False) as counter:
        yield counter


def test_the_limit_multiplies_what_a_step_of_the_autoencoder_multiplies() -> None:
    assert limit.batches(300) == [128, 128, 44]
    assert limit.batches(256) == [128, 128]
    with counted() as products:
        for size in limit.batches(300):
            limit.Step(size, "cpu")()
    net = plain.Net(10)
    with counted() as step:
        net.loss(torch.from_numpy(X)).backward()
    assert products.get_total_flops() == step.get_total_flops() == limit.flops(300)


@pytest.mark.parametrize("model", ["ae", "vae"])
def test_the_plain_net_has_our_layers_and_our_loss(model: str) -> None:
    net = plain.Net(10, variational=model == "vae")
    mine = build(model, TRAINING | {"lr": 1e-30}).fit(X)
    assert [tuple(p.shape) for p in net.parameters()] == [tuple(p.shape) for p in mine._network.parameters()]
    mine._network.load_state_dict(dict(zip(mine._network.state_dict(), net.state_dict().values(), strict=True)))
    x = torch.from_numpy(X)
    torch.manual_seed(0)
    theirs = net.loss(x).item()
    noise = torch.Generator().manual_seed(0)
    assert mine.objective(x, noise).loss.item() == pytest.approx(theirs, rel=1e-5)
    with torch.no_grad():
        assert np.allclose(mine.reconstruct(X), net(x).numpy(), atol=1e-6)
        assert plain.error_on(net, X) == pytest.approx(float(((net(x) - x) ** 2).mean()), rel=1e-5)


def test_every_contestant_of_this_environment_trains_on_the_same_rows(tmp_path: Path) -> None:
    for name, x in (("x_train", X), ("x_test", X[:50])):
        np.save(tmp_path / f"{name}.npy", x)
    seconds, error = ours.prepare(tmp_path, 2, "cpu", "")()
    assert seconds > 0
    assert 0.05 < error < 0.3  # 1/12 is the variance of uniform pixels
    for mode in training.MODES:
        found = training.measure("limit", mode, 4, tmp_path, 2, "cpu")
        assert found[:3] == ("limit", mode, 4)
        assert found.rows_per_second > 0
        assert found.test_mse is None


def test_a_contestant_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="limit ended before it began, exit code 1"):
        training.measure("limit", training.MODES[0], 0, tmp_path / "nothing", 1, "cpu")


def test_ratios_are_taken_round_by_round_and_the_table_says_the_middle() -> None:
    one = training.MODES[0]
    speeds = {"ours": (300, 200, 600), "plain loop": (100, 100, 100), "limit": (400, 400, 800)}
    measured = [
        Measured(n, one, i, v, None if n == "limit" else 0.0182) for n, s in speeds.items() for i, v in enumerate(s)
    ]
    assert training.ratios(measured, one, "plain loop") == [3, 2, 6]
    assert training.ratios(measured, training.MODES[1], "plain loop") == []
    assert training.summary(measured).splitlines() == [
        "one process",
        "",
        "|  | rows per second | ours over it | test MSE |",
        "| --- | ---: | ---: | ---: |",
        "| ours | 300 (200 to 600) | 1.00 (1.00 to 1.00) | 0.0182 (0.0182 to 0.0182) |",
        "| plain loop | 100 (100 to 100) | 3.00 (2.00 to 6.00) | 0.0182 (0.0182 to 0.0182) |",
        "| limit | 400 (400 to 800) | 0.75 (0.50 to 0.75) |  |",
    ]


def test_spread_and_table() -> None:
    assert spread([3, 1, 2, 10]) == Spread(1, 2.5, 10)
    assert table(("a", "b"), [("x", "1")]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_the_epoch_at_which_a_target_is_reached() -> None:
    assert first_at_or_below(0.5, [0.9, 0.5, 0.6]) == 2
    assert first_at_or_below(0.4, [0.9, 0.5, 0.6]) is None


def test_seeds_that_do_not_get_there_are_counted_and_not_averaged() -> None:
    def one(seed: int, epoch: int | None) -> Reached:
        return Reached("ae", 2, seed, 0.04, 0.05, epoch, None if epoch is None else 2.0 * epoch, 12.0, 100.0)

    (line,) = time_to_quality.summary([one(0, 5), one(1, 10)]).splitlines()[2:]
    assert line.split(" | ")[-4:] == ["8 (5 to 10)", "15.0 (10.0 to 20.0)", "7.5 (5.0 to 10.0)", "8.3 (8.3 to 8.3) |"]
    assert "1 of 2 not reached" in time_to_quality.summary([one(0, 5), one(1, None)])
