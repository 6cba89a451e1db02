"""The digest of a model's code."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from elbowroom.models import MODELS, PCA
from elbowroom.tracking.logged_model.code import code_of, own_files

FACTORY = "from torch import nn\ndef net(dim1, dim3):\n    return nn.Linear(dim1, dim3), nn.Linear(dim3, dim1)\n"
FILES = {
    "pkg/__init__.py": "",
    "pkg/net.py": "import os, numpy, models\nimport beside\ntry:\n    import legacy\nexcept SyntaxError:\n    pass\n"
    "from .sub import deep\nfrom . import sibling\n" + FACTORY,
    "pkg/sub/__init__.py": "x = 1\n",
    "pkg/sub/deep.py": "from ..cousin import y\n",
    "pkg/sibling.py": "z = 1\n",
    "pkg/cousin.py": "def y():\n    import folder.late\n",
    "folder/late.py": "raise RuntimeError('this file is parsed and never imported')\n",
    "beside.py": "import pkg.net\n",
    "legacy.py": "print 'for another Python'\n",
    "stranger.py": "",
}
IMPORTED = set(FILES) - {"stranger.py"}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A model with files of its own, in a folder that is on the path."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield "pkg.net:net"
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.usefixtures("model")
def test_a_models_files_are_all_that_it_imports_and_no_others() -> None:
    assert own_files("pkg.net:net") == {name: FILES[name].encode() for name in IMPORTED}


def test_a_relative_import_outside_a_package_hides_no_other_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = "try:\n    from .beside import f\nexcept ImportError:\n    from beside import f\n"
    (tmp_path / "alone.py").write_text(text)
    (tmp_path / "beside.py").write_text("f = 1\n")
    assert set(own_files("alone:Net")) == {"alone.py", "beside.py"}
    assert "folder.late" not in sys.modules


@pytest.mark.parametrize("name", ["pkg/cousin.py", "pkg/sub/__init__.py", "stranger.py"])
def test_the_code_changes_with_each_of_these_files(model: str, tmp_path: Path, name: str) -> None:
    before = code_of(model)
    assert code_of(model) == before
    with (tmp_path / name).open("a") as file:
        file.write("a = 1\n")
    assert (code_of(model) != before) == (name in IMPORTED)


def test_the_code_is_the_same_wherever_the_files_lie(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = code_of(model)
    (tmp_path / "elsewhere").mkdir()
    for name in ("pkg", "folder", "beside.py"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    monkeypatch.chdir("/")
    for name in [n for n in sys.modules if n.partition(".")[0] in ("pkg", "beside")]:
        del sys.modules[name]
    assert code_of(model) == before


def test_a_process_answers_for_what_it_has_imported_until_that_is_loaded_again(model: str, tmp_path: Path) -> None:
    before = code_of(model, imported=True)
    with (tmp_path / "beside.py").open("a") as file:
        file.write("import stranger\n")
    assert code_of(model, imported=True) == before != code_of(model)
    importlib.reload(sys.modules["beside"])
    assert code_of(model, imported=True) == code_of(model)


def test_a_model_of_the_registry_has_a_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {code_of(name) for name in MODELS} == {""}
    monkeypatch.setattr(PCA, "revision", 2)
    assert code_of("pca") == "revision 2"
    assert code_of("models.pca:PCA") == "revision 2"  # this project's files are not the user's
