"""The contestants train the same autoencoder, the limit counts what it has to, and tables say what was measured."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import plain, time_to_quality, training
from benchmarks.contestants import limit
from benchmarks.time_to_quality import Reached, first_at_or_below
from benchmarks.training import Measured
from elbowroom.models import build
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.models.neural.training import streams
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from tests.models.test_contract import SETTINGS

pytestmark = pytest.mark.integration

BYTES = np.random.default_rng(0).integers(0, 256, (300, 784), dtype=np.uint8)
X = BYTES.astype(np.float32) / 255
TRAINING = SETTINGS | {"dim1": 784, "dim2": 400, "dim3": 10, "batch_size": 128}


def test_the_limit_multiplies_what_a_step_of_the_autoencoder_multiplies() -> None:
    assert limit.batches(300) == [128, 128, 44]
    assert limit.batches(256) == [128, 128]
    with FlopCounterMode(display=False) as products:
        for size in limit.batches(300):
            limit.Step(size, "cpu")()
    net = plain.Net(10)
    with FlopCounterMode(display=False) as step:
        net.loss(torch.from_numpy(X)).backward()
    assert products.get_total_flops() == step.get_total_flops() == limit.flops(300)


@pytest.mark.parametrize("model", ["ae", "vae"])
def test_the_plain_net_has_our_layers_and_our_loss(model: str) -> None:
    net = plain.Net(10, variational=model == "vae")
    mine = build(model, TRAINING | {"lr": 1e-30}).fit(X)
    assert [tuple(p.shape) for p in net.parameters()] == [tuple(p.shape) for p in mine.network.parameters()]
    mine.network.load_state_dict(dict(zip(mine.network.state_dict(), net.state_dict().values(), strict=True)))
    x = torch.from_numpy(X)
    torch.manual_seed(0)
    theirs = net.loss(x).item()
    noise = torch.Generator().manual_seed(0)
    assert mine.objective(x, noise).loss.item() == pytest.approx(theirs, rel=1e-5)
    with torch.no_grad():
        assert np.allclose(mine.reconstruct(X), net(x).numpy(), atol=1e-6)
        assert plain.error_on(net, X) == pytest.approx(float(((net(x) - x) ** 2).mean()), rel=1e-5)


class Batches:
    """The rows of X as a loader gives them, in the order that our loop draws from its seed."""

    def __init__(self) -> None:
        self.order = torch.Generator().manual_seed(streams(TRAINING["seed"])[1])

    def __iter__(self) -> Iterator[tuple[torch.Tensor, None]]:
        for rows in torch.randperm(len(X), generator=self.order).split(128):
            yield torch.from_numpy(X)[rows].view(-1, 1, 28, 28), None


class Noted(plain.Net):
    """A net that keeps its losses, each times the rows it is the mean of."""

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        found = super().loss(x)
        self.seen = [*getattr(self, "seen", []), found.item() * len(x)]
        return found


def test_the_plain_loop_takes_our_steps() -> None:
    losses: list[float] = []
    mine = build("ae", TRAINING | {"epochs": 3}).fit(X, on_epoch=lambda e: losses.append(e.metrics["train/loss"]))
    torch.manual_seed(streams(TRAINING["seed"])[0])
    net = Noted(10)
    fresh = [p.detach().clone() for p in net.parameters()]
    assert plain.train(net, Batches(), 3) > 0
    assert losses == pytest.approx([sum(net.seen[i : i + 3]) / len(X) for i in (0, 3, 6)], abs=1e-6)
    for ours, theirs, before in zip(mine.network.parameters(), net.parameters(), fresh, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
        assert (before - theirs).abs().max() > 1e-4  # it has gone ten times further than the two may differ


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small MNIST, laid out as the contestants take it: 300 images to learn from, 50 to be judged on."""
    cache, into = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("data")
    for name, images in (("train", BYTES), ("t10k", BYTES[:50])):
        n = len(images)
        header = np.array([0x803, n, 28, 28], ">i4").tobytes()
        (cache / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (cache / f"{name}-labels-idx1-ubyte").write_bytes(np.array([0x801, n], ">i4").tobytes() + bytes(n))
    np.save(into / "x_train.npy", X)
    np.save(into / "x_test.npy", X[:50])
    return plain.link_mnist(cache, into)


@pytest.mark.soak
@pytest.mark.parametrize("name", [n for n, c in training.CONTESTANTS.items() if not c.peer])
def test_every_contestant_of_this_environment_runs(folder: Path, name: str) -> None:
    mode = "per core" if name == "limit" else "one"
    found = training.measure(name, mode, 4, folder, 2, "cpu")
    assert found[:3] == (name, mode, 4)
    assert len(found.seconds) == (1 if mode == "one" else os.cpu_count())
    assert found.samples_per_second == pytest.approx(sum(600 / s for s in found.seconds))
    assert found.versions["torch"] == torch.__version__.partition("+")[0]
    if name == "limit":
        assert found.test_mse is None
    else:
        assert found.test_mse == pytest.approx(1 / 12, rel=0.1)  # the variance of uniform pixels: no more is in them


@pytest.mark.slow
def test_nothing_is_imported_within_the_time_of_ours(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from benchmarks.contestants import __main__ as one, ours; "
        f"run = ours.prepare(Path({str(folder)!r}), 1, 'cpu', ''); one.warm_up('cpu'); "
        "before = set(sys.modules); run(); print(len(set(sys.modules) - before))"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=training.ROOT, capture_output=True, text=True, check=True)
    assert int(out.stdout) < 10  # torch's compiler alone is hundreds of modules


def test_ratios_are_taken_round_by_round_and_the_table_says_the_middle() -> None:
    speeds = {"ours": (300, 200, 600), "plain": (100, 100, 100), "limit": (400, 400, 800)}
    measured = [
        Measured(n, "one", i, [1.0], v, None if n == "limit" else 0.0182, {})
        for n, s in speeds.items()
        for i, v in enumerate(s)
    ]
    assert training.ratios(measured, "one", "plain") == [3, 2, 6]
    assert training.ratios(measured, "per core", "plain") == []
    assert training.summary(measured).splitlines() == [
        "one process, a thread for each core",
        "",
        "|  | samples per second | ours over it | test MSE |",
        "| --- | ---: | ---: | ---: |",
        "| ours | 300 (200 to 600) | 1.00 (1.00 to 1.00) | 0.0182 (0.0182 to 0.0182) |",
        "| plain | 100 (100 to 100) | 3.00 (2.00 to 6.00) | 0.0182 (0.0182 to 0.0182) |",
        "| limit | 400 (400 to 800) | 0.75 (0.50 to 0.75) |  |",
        "",
        "ours, in % of the limit: 75.0 (50.0 to 75.0)",
    ]


def test_the_plain_loop_learns_from_the_rows_that_we_learn_from(folder: Path) -> None:
    prepared_data = PreparedData.load(RunConfig(dataset="digits"))
    rows = time_to_quality.training_rows(prepared_data.data)
    assert np.array_equal(prepared_data.data.x_train[rows], prepared_data.split.x_train)
    assert len(rows) < len(prepared_data.data.x_train)
    some = [7, 3, 11]
    (images, _) = next(iter(plain.load(folder, rows=some)))
    assert sorted(images.flatten(1).sum(dim=1).tolist()) == pytest.approx(sorted(X[some].sum(axis=1).tolist()))


def test_the_clock_stands_still_while_we_validate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))  # a second from each look at the clock to the next
    monkeypatch.setattr(time_to_quality, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    config = RunConfig(model="ae", epochs=3, val_size=0, device="cpu")
    errors, times = time_to_quality.errors_and_times(config, X[:100], X[100:])
    assert times == [1, 2, 3]
    alone = build("ae", asdict(config)).fit(X[:100])
    assert errors[-1] == reconstruction_mse(X[100:], alone.reconstruct(X[100:]))  # validation disturbs nothing


def test_the_epoch_at_which_a_target_is_reached() -> None:
    assert first_at_or_below(0.5, [0.9, 0.5, 0.6]) == 2
    assert first_at_or_below(0.4, [0.9, 0.5, 0.6]) is None


def test_seeds_that_do_not_get_there_are_counted_and_not_averaged() -> None:
    def one(seed: int, epoch: int | None) -> Reached:
        return Reached("ae", 2, seed, 0.04, 0.05, epoch, None if epoch is None else 2.0 * epoch, 12.0, 100.0)

    (line,) = time_to_quality.summary([one(0, 5), one(1, 10)]).splitlines()[2:]
    reached, budget = line.split(" | ")[-5:-2], line.split(" | ")[-2:]
    assert reached == ["8 (5 to 10)", "15.0 (10.0 to 20.0)", "7.5 (5.0 to 10.0)"]
    assert budget == ["12.0 (12.0 to 12.0)", "8.3 (8.3 to 8.3) |"]
    assert "1 of 2 not reached" in time_to_quality.summary([one(0, 5), one(1, None)])
