"""A digest of a model's code: the user's module and the local files that it imports.

Files are found by parsing import statements, never by importing. So the digest is equal in all processes, and on all
machines, that have these files.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path, PurePosixPath

from elbowroom import models
from elbowroom.models import class_of

_PROJECT = {
    Path(models.__file__).parents[1] / name
    for name in ("analysis", "benchmarks", "elbowroom", "models", "studies", "tracking")
}
"""This project's folders; a user may have a package `models` of their own."""
_imported: dict[str, tuple[ModuleSpec, bytes]] = {}


def code_of(model: str, *, imported: bool = False) -> str:
    """Return an identifier of a model's code, `model` as for `models.build`.

    Of a model of this project it is the revision, empty for the first; of any other, a digest of its `own_files`. With
    `imported`, a file that was edited after this process imported it counts as it was imported.
    """
    revision = class_of(model).revision
    files = own_files(model, imported=imported)
    sha = hashlib.sha256(b"".join(f"{file} {len(text)} ".encode() + text for file, text in sorted(files.items())))
    parts = [sha.hexdigest()[:12]] * bool(files) + [f"revision {revision}"] * (revision != 1)
    return " ".join(parts)


def own_files(model: str, *, imported: bool = False) -> dict[str, bytes]:
    """Return the files of a model `package.module:Name` and of all that they import, by their paths below `sys.path`.

    Packages above a module are included. The standard library, installed packages and this project are not.
    """
    found: dict[str, bytes] = {}
    module, colon, _ = model.partition(":")
    waiting = [module] if colon else []
    while waiting:
        for name, spec in _specs(waiting.pop()):
            if spec.origin is None:  # a folder without __init__.py has no file of its own
                continue
            path = Path(spec.origin)
            package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
            file = str(PurePosixPath(*package.split("."), path.name))
            if file in found:
                continue
            found[file] = _as_imported(name, path) if imported else path.read_bytes()
            if path.suffix == ".py":
                with suppress(SyntaxError, ValueError):  # of another Python version; such a file is never imported
                    waiting += _imports(found[file], package)
    return found


def _is_own(spec: ModuleSpec) -> bool:
    """Whether a top-level module is the user's own."""
    places = [spec.origin or "", *(spec.submodule_search_locations or [])]
    ours = not _PROJECT.isdisjoint(Path(spec.origin or "").resolve().parents)
    installed = any({"site-packages", "dist-packages"} & set(Path(p).parts) for p in places)
    return not ours and not installed and spec.name not in sys.stdlib_module_names


def _specs(name: str) -> Iterator[tuple[str, ModuleSpec]]:
    """The packages above a module of the user's, then the module itself, as far as they exist."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not _is_own(spec):
        return
    yield top, spec
    for part in rest:
        top = f"{top}.{part}"
        spec = PathFinder.find_spec(top, spec.submodule_search_locations or [])  # find_spec would import the packages
        if spec is None:
            return
        yield top, spec


def _imports(text: bytes, package: str) -> Iterator[str]:
    """The dotted names that a module in this package may import, inside functions too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level and not package:
                continue  # raises ImportError outside a package
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _as_imported(name: str, path: Path) -> bytes:
    """A module's file as it was at the first call since the module was imported or reloaded."""
    module = sys.modules.get(name)
    if module is None or module.__spec__ is None:
        return path.read_bytes()
    if name not in _imported or _imported[name][0] is not module.__spec__:
        _imported[name] = module.__spec__, path.read_bytes()
    return _imported[name][1]
