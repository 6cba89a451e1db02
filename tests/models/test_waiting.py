"""Threads spin briefly in every process that trains, unless the user says otherwise."""

import subprocess
import sys

import pytest

from elbowroom.models.waiting import POLICY, SPINS, limit_spinning
from tests.conftest import environment

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
    env = {name: value for name, value in environment().items() if name not in {*SPINS, POLICY}}
    command = [sys.executable, "-c", f"{FIRST}import {module}", *SPINS]
    assert subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout == f"{SPINS}\n"
