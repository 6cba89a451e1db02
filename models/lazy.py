"""scikit-learn, loaded when its first attribute is accessed.

With the parts of SciPy that it imports it takes a third of the loading time of torch and MLflow together, and training
an autoencoder needs nothing of it.
"""

from __future__ import annotations

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec
from types import ModuleType


def _lazily(name: str) -> ModuleType:
    """The package of that name, not yet executed, by the recipe in the documentation of `importlib`."""
    if name in sys.modules:
        return sys.modules[name]
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    spec.loader = LazyLoader(spec.loader)
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


sklearn = _lazily("sklearn")
