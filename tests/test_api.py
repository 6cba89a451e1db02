"""docs/api.md and the program on top of the packages: what they show works as it stands, from elsewhere."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

from elbowroom.studies.oracles import ORACLES
from tests.conftest import ROOT, environment

pytestmark = pytest.mark.integration

PACKAGES = ("analysis", "elbowroom", "models", "studies", "tracking")
PAGE = (ROOT / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
TINY = {"epochs=60": "epochs=2", "range(2, 13)": "range(2, 7)", "seeds=2": "seeds=1"}


@pytest.mark.slow
def test_every_block_of_the_page_runs(tmp_path: Path) -> None:
    """As one script in a folder of its own, with fewer epochs and cells; mine.py is a file beside it."""
    (module,) = (b for b in BLOCKS if b.startswith("# mine.py\n"))
    (tmp_path / "mine.py").write_text(module)
    script = "\n".join(b for b in BLOCKS if b != module)
    for shown, tiny in TINY.items():
        assert shown in script
        script = script.replace(shown, tiny)
    (tmp_path / "script.py").write_text(script)
    env = environment(ELBOWROOM_CACHE=str(tmp_path / "cache"))
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^pca keeps 90 % of the variance with dim3 \d+ ", done.stdout, re.MULTILINE)
    assert re.search(r"^\d cells: pca keeps 90 % of the variance with dim3 21 ", done.stdout, re.MULTILINE)
    assert "open reports/report.html" in done.stdout
    mse, logged = re.search(r"^(0\.\d+) (0\.\d+)$", done.stdout, re.MULTILINE).groups()  # type: ignore[union-attr]
    assert float(mse) == pytest.approx(float(logged), rel=1e-4)
    assert "<mine.FirstColumns object" in done.stdout


def test_the_page_names_what_there_is() -> None:
    """Every function of its table, and every command."""
    names = re.findall(r"`((?:tracking|studies|analysis)\.[\w.]+)(?:\(|`)", PAGE)
    assert len(names) > 12
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert callable(getattr(importlib.import_module(f"elbowroom.{module}"), attribute)), name
    for module in re.findall(r"python -m ([\w.]+)", PAGE):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()


FEW_CELLS = """
from elbowroom.studies.grid import PRESETS, Grid
from elbowroom.tracking.config import RunConfig
few = RunConfig(dataset="digits", dim2=16, epochs=2)
PRESETS["digits"] = Grid(dict.fromkeys(("pca", "ae", "vae"), (2, 3)), 1, few, "quick")
"""


class Installed(NamedTuple):
    """An environment of its own with the packages in it, and a folder to work in."""

    python: Path
    work: Path
    env: dict[str, str]

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=self.work, env=self.env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built as a wheel and unpacked; what they need is found where it is here."""
    place = tmp_path_factory.mktemp("installed")
    source, site, work = place / "source", place / "site", place / "work"
    source.mkdir()
    work.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", *(p.name for p in ROOT.glob("requirements*.txt"))):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    env = environment(PYTHONPATH="", ELBOWROOM_CACHE=str(place / "cache"))
    build = "from setuptools import build_meta; build_meta.build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=source, env=env, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    shutil.unpack_archive(wheel, site, "zip")
    venv.create(place / "venv", with_pip=False)
    python = place / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    there = Path(subprocess.check_output([python, "-c", ask], text=True).strip())
    (there / "installed.pth").write_text(f"{site}\n{sysconfig.get_path('purelib')}\n")
    shutil.copy(ROOT / "docs" / "examples" / "downstream.py", work)
    return Installed(python, work, env)


@pytest.mark.soak
def test_a_program_on_the_installed_packages_is_typed(installed: Installed) -> None:
    site = installed.work.parent / "site"
    assert {p.parent.name for p in site.glob("*/py.typed")} == {"elbowroom"}
    cache = installed.work.parent / "types"
    words = [sys.executable, "-m", "mypy", "--strict", "--python-executable", installed.python, "--cache-dir", cache]

    assert installed.run(*words, "downstream.py").stdout == "Success: no issues found in 1 source file\n"
    program = (installed.work / "downstream.py").read_text()
    wrong = program.replace("seeds=1", 'seeds="1"').replace("load_reducer(done.run_id)", "load_reducer(done)")
    (installed.work / "wrong.py").write_text(wrong)
    assert installed.run(*words, "wrong.py").stdout.count("[arg-type]") == 2  # the types are seen, and not Any


@pytest.mark.slow
def test_a_program_on_the_installed_packages_runs(installed: Installed) -> None:
    done = installed.run(installed.python, "downstream.py")
    assert done.returncode == 0, done.stderr
    assert "epoch 2 of 2" in done.stdout
    assert "10 cells to run on" in done.stdout
    assert done.stdout.endswith("epochs must be at least 1, got 0\n")


@pytest.mark.soak
def test_the_assignment_and_the_oracles_as_functions(installed: Installed) -> None:
    """As written, but with a preset of few cells."""
    program = f"{FEW_CELLS}import downstream; print(*downstream.the_rest(), sep='\\n')"
    done = installed.run(installed.python, "-c", program)
    assert done.returncode == 0, done.stderr
    page, *findings = done.stdout.splitlines()
    assert (installed.work / page).exists()
    assert len(findings) == len(ORACLES)
