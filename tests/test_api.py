"""docs/api.md and the program on top of the packages: what they show works as it stands, from elsewhere."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment

PAGE = (ROOT / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
TINY = {"epochs=60": "epochs=2", "range(2, 13)": "range(2, 7)", "seeds=2": "seeds=1"}


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
    assert re.search(r"^pca \w+ (\d+|None)$", done.stdout, re.MULTILINE)
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
        assert re.search(rf"^(def|class) {attribute}\b", (ROOT / f"{module.replace('.', '/')}.py").read_text(), re.M), (
            name
        )
    for module in re.findall(r"python -m ([\w.]+)", PAGE):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()


@pytest.mark.slow
def test_a_typed_program_on_the_installed_packages(tmp_path: Path) -> None:
    """Built as a wheel, unpacked into another environment, checked strictly there, and run."""
    source, site, work = tmp_path / "source", tmp_path / "site", tmp_path / "work"
    source.mkdir()
    work.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", *(p.name for p in ROOT.glob("requirements*.txt"))):
        shutil.copy(ROOT / name, source)
    for package in ("analysis", "models", "studies", "tracking"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('..'))"
    env = environment(PYTHONPATH="", ELBOWROOM_CACHE=str(tmp_path / "cache"))
    subprocess.run([sys.executable, "-c", build], cwd=source, env=env, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, site, "zip")
    assert {p.parent.name for p in site.glob("*/py.typed")} == {"analysis", "models", "studies", "tracking"}

    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    there = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    (there / "installed.pth").write_text(f"{site}\n{sysconfig.get_path('purelib')}\n")

    shutil.copy(ROOT / "docs" / "examples" / "downstream.py", work)
    words = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        python,
        "--cache-dir",
        tmp_path / "cache-mypy",
    ]
    typed = subprocess.run([*words, "downstream.py"], cwd=work, env=env, capture_output=True, text=True)
    assert (typed.returncode, typed.stdout) == (0, "Success: no issues found in 1 source file\n"), typed.stderr
    wrong = (work / "downstream.py").read_text().replace("seeds=1", 'seeds="1"').replace("done.run_id)", "done)")
    (work / "wrong.py").write_text(wrong)
    typed = subprocess.run([*words, "wrong.py"], cwd=work, env=env, capture_output=True, text=True)
    assert typed.stdout.count("[arg-type]") == 3  # the types are seen, and not Any

    run = [python, "-c", "import downstream; downstream.main(everything=True)"]
    done = subprocess.run(run, cwd=work, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "assignment.html\nlinear-ae-reaches-pca: error / PCA's" in done.stdout
