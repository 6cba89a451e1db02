"""Threads spin briefly in every process that trains, unless the user says otherwise, and no bit of a result changes."""

import subprocess
import sys
from typing import Any

import pytest

from elbowroom.models.openmp import POLICY, SPINS, limit_spinning
from tests.conftest import environment
from tests.models.test_contract import SETTINGS

# What is in the environment when torch is first loaded, which ends the process.
FIRST = """
import os, sys
from importlib.machinery import ModuleSpec

class Torch:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == "torch" else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        print({name: os.environ.get(name) for name in sys.argv[1:]}, flush=True)
        os._exit(0)

sys.meta_path.insert(0, Torch())
"""


LOSSES = """
import numpy as np
from elbowroom.models import build
from elbowroom.models.threads import on_threads

x, losses = np.random.default_rng(0).random((1000, 784), dtype=np.float32), []
with on_threads(2):
    build("vae", settings).fit(x, on_epoch=lambda epoch: losses.append(epoch.metrics["train/loss"].hex()))
"""


def output(code: str, *arguments: str, **variables: str) -> str:
    """Return the output of a Python process whose environment has only these of our variables."""
    env = {name: value for name, value in environment().items() if name not in {*SPINS, POLICY}} | variables
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("own", "limited"),
    [
        ({"HOME": "/home/me"}, {"HOME": "/home/me", "GOMP_SPINCOUNT": "2000", "KMP_BLOCKTIME": "1"}),
        *(
            (own, own)
            for own in ({"GOMP_SPINCOUNT": "9"}, {"KMP_BLOCKTIME": "infinite"}, {"OMP_WAIT_POLICY": "active"})
        ),
    ],
)
def test_both_libraries_are_told_unless_the_user_has_set_one(own: dict[str, str], limited: dict[str, str]) -> None:
    environment = dict(own)
    limit_spinning(environment)
    assert environment == limited


@pytest.mark.integration
@pytest.mark.parametrize(
    "module",
    [
        "elbowroom.models",
        "elbowroom.tracking.train",
        "elbowroom.studies.scan",
        pytest.param("elbowroom.studies.tune", marks=pytest.mark.slow),
        pytest.param("elbowroom.studies.assignment", marks=pytest.mark.slow),
    ],
)
def test_it_stands_in_the_environment_before_torch_is_loaded(module: str) -> None:
    """Our code imports torch in `models` alone, see tests/test_architecture.py; here third parties are seen, too."""
    assert output(f"{FIRST}import {module}", *SPINS) == f"{SPINS}\n"


@pytest.mark.integration
def test_losses_on_two_threads_are_the_same_to_the_bit_however_they_wait() -> None:
    here: dict[str, Any] = {"settings": SETTINGS | {"dim1": 784, "dim2": 400, "epochs": 2, "batch_size": 128}}
    exec(LOSSES, here)
    code = f"settings = {here['settings']}\n{LOSSES}print(losses)"
    assert output(code, GOMP_SPINCOUNT="0", KMP_BLOCKTIME="0") == f"{here['losses']}\n"
