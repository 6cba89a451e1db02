"""Modules of version 0.1 that docs/api.md named and that have another name now. To be removed in version 0.3."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "analysis.errors": "tracking.store.errors",
    "analysis.experiment": "analysis.reporting",
    "tracking.datasets": "tracking.data",
    "tracking.packaging": "tracking.logged_model",
    "tracking.recorder": "tracking.store.errors",
    "tracking.schema": "tracking.store.names",
}
"""The module that has the public names of an old one."""


def find_moved() -> None:
    """Add an import hook for the old modules, whose names are those of the new ones with a DeprecationWarning."""
    sys.meta_path.append(_Moved())


class _Moved(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.removeprefix("elbowroom.") in MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        """An empty module will do."""

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        new = f"elbowroom.{MOVED[old.removeprefix('elbowroom.')]}"

        def lookup(name: str) -> Any:
            found = None if name.startswith("__") else getattr(importlib.import_module(new), name, None)
            if found is None:
                raise AttributeError(f"module {old!r} has no attribute {name!r}")
            text = f"{old}.{name} is {new}.{name} now; the old name goes in version 0.3"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            return found

        module.__getattr__ = lookup  # type: ignore[method-assign]
