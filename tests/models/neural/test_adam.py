"""Our Adam takes the steps of torch's, and imports no compiler."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from elbowroom.models.neural.adam import Adam
from tests.conftest import ROOT, environment


def loss_of(net: nn.Module, step: int) -> Tensor:
    x = torch.arange(12.0).reshape(4, 3) + step
    return (net(x) ** 2).mean()


@pytest.mark.parametrize("fused", [True, False])
def test_its_steps_are_those_of_torch_to_the_bit(fused: bool) -> None:
    """With a parameter that never has a gradient, and one that has it from the third step on."""
    rates = [0.1, 0.03, 0.2, 0.01, 0.05]
    nets = []
    for _ in range(2):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        net.register_parameter("unused", nn.Parameter(torch.ones(2)))
        nets.append(net)
    ours, theirs = nets
    mine = Adam(ours.parameters(), lambda step: rates[step])
    mine.fused = fused
    reference = torch.optim.Adam(theirs.parameters(), lr=1.0, fused=fused)
    for step, rate in enumerate(rates):
        for net in nets:
            net[0].requires_grad_(step >= 2)
        ours.zero_grad()
        loss_of(ours, step).backward()
        mine.step()
        reference.param_groups[0]["lr"] = rate
        reference.zero_grad()
        loss_of(theirs, step).backward()
        reference.step()
        assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    assert torch.equal(ours.get_parameter("unused"), torch.ones(2))
    assert mine.is_finite()
    next(iter(mine.moments.values())).square.fill_(float("inf"))
    assert not mine.is_finite()


@pytest.mark.integration
def test_a_training_imports_no_compiler() -> None:
    code = """
import sys
import numpy as np
from dataclasses import asdict
from elbowroom.models import build
from elbowroom.tracking.config import RunConfig
x = np.eye(5, dtype=np.float32)
build("vae", asdict(RunConfig(epochs=2, dim3=2)) | {"dim1": 5}).fit(x, x_val=x)
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
