"""The packages by their two names: `elbowroom.models`, and `models` in a checkout's root."""

import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from elbowroom import PACKAGES
from elbowroom.deprecated_names import MOVED
from elbowroom.tracking.config import RunConfig
from tests.conftest import ROOT, environment
from tests.tracking.logged_model.test_log import OWN_REDUCER

pytestmark = pytest.mark.integration

# A pickle of an earlier version, with the bare name.
PICKLED = pickle.dumps(RunConfig(dim3=7), protocol=0).replace(b"elbowroom.tracking", b"tracking")
BOTH = """
import pickle, sys
import {first}
import {second}
for package in ("models", "tracking", "studies", "analysis"):
    __import__(package)
import models, models.pca, tracking.config, elbowroom.models, elbowroom.models.pca, elbowroom.tracking.config
from models import VAE
assert models is elbowroom.models and models.pca is elbowroom.models.pca and VAE is elbowroom.models.VAE
assert tracking.config.RunConfig is elbowroom.tracking.config.RunConfig
ours = {{id(m): m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] in sys.argv[1:]}}
assert len(set(ours.values())) == len(ours) > 20, "a file was loaded twice"
assert all(m.__spec__.name == m.__name__ for n, m in sys.modules.items() if n.startswith("elbowroom."))
from tracking.datasets import load_dataset  # a module of before
assert load_dataset is sys.modules["elbowroom.tracking.data"].load_dataset
print(pickle.loads({pickled!r}).dim3, tracking.config.RunConfig.__module__)
"""


def output(code: str, folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"),
    [("models.pca", "elbowroom.studies.scan"), ("elbowroom.studies.scan", "tracking.run")],
)
def test_no_module_is_loaded_twice(first: str, second: str) -> None:
    """Every module of ours under any name; two of one file are two modules."""
    code = BOTH.format(first=first, second=second, pickled=PICKLED)
    assert output(code, ROOT, "elbowroom", *PACKAGES) == "7 elbowroom.tracking.config"


OLD = {
    "analysis.experiment": "report",
    "analysis.errors": "BadInput",
    "tracking.datasets": "load_dataset",
    "tracking.packaging": "load_reducer",
    "tracking.recorder": "RunFailed",
    "tracking.schema": "Tag",
}


@pytest.mark.parametrize("module", MOVED)
def test_the_names_of_before_warn_and_give_the_same_objects(module: str) -> None:
    old = importlib.import_module(f"elbowroom.{module}")
    new = importlib.import_module(f"elbowroom.{MOVED[module]}")
    with pytest.warns(DeprecationWarning, match=rf"elbowroom\.{MOVED[module]}\.{OLD[module]} now"):
        assert getattr(old, OLD[module]) is getattr(new, OLD[module])
    with pytest.raises(AttributeError):
        old.no_such_name  # noqa: B018


@pytest.mark.slow
def test_a_folder_with_packages_of_the_same_names_is_left_alone(tmp_path: Path) -> None:
    """There a model of the user's own imports its neighbour `models`, and the run's logged model finds it again."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("SHIFT = 2.0\n")
    (tmp_path / "analysis.py").write_text("raise RuntimeError('of the user')\n")
    (tmp_path / "mine.py").write_text(OWN)
    words = ["--model", "mine:Keep", "--dataset", "digits", "--dim3", "3", "--epochs", "1"]
    command = [sys.executable, "-m", "elbowroom.tracking.train", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = output(READ, tmp_path)
    assert answer == "2.0 2.0"


# A model that needs the user's own `models`.
OWN = OWN_REDUCER.replace("import numpy as np", "import numpy as np\nimport models").replace(
    "np.tile(self.mean,", "np.tile(self.mean - models.SHIFT,"
)

READ = """
import mlflow, models
from elbowroom.tracking.logged_model import load_reducer
mlflow.set_tracking_uri("sqlite:///mlflow.db")
run = mlflow.search_runs(search_all_experiments=True).run_id[0]
here = load_reducer(run, model="mine:Keep")
shipped = load_reducer(run, trust_code=True)
import numpy as np
print(float(models.SHIFT), float(np.round(np.mean(shipped.mean - shipped.decode(np.zeros((1, 3), "f4")))) + 0.0))
"""
