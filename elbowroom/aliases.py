"""In a checkout `tracking.train` is another name of `elbowroom.tracking.train`: the same module, loaded once.

A package that is imported by its bare name calls `stand_for`. From then on an import hook finds the package's modules
by either name. A folder `models` that belongs to a user is never touched.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

from . import PACKAGES


def stand_for(package: str) -> None:
    """Let the bare name of a package mean `elbowroom.<package>`; called by its `__init__` under the bare name."""
    if not any(isinstance(finder, _Aliases) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Aliases())
    # The import system returns what it finds here after the bare package has run.
    sys.modules[package] = importlib.import_module(f"elbowroom.{package}")


class _Aliases(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        package, dot, _ = name.partition(".")
        ours = dot and package in PACKAGES and sys.modules.get(package) is sys.modules.get(f"elbowroom.{package}")
        real = importlib.util.find_spec(f"elbowroom.{name}") if ours else None
        if real is None:
            return None
        return ModuleSpec(
            name, _Alias(real), origin=real.origin, is_package=real.submodule_search_locations is not None
        )


class _Alias(Loader):
    """Gives the module of another spec, which it loads at most once."""

    def __init__(self, real: ModuleSpec) -> None:
        self.real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.real.name)
        self.own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing. The import system has put the alias's spec in the place of the module's own."""
        module.__spec__ = self.own

    def get_code(self, name: str) -> CodeType | None:
        """Return the module's code, for `python -m`."""
        loader: Any = self.real.loader
        code: CodeType | None = loader.get_code(self.real.name)
        return code
