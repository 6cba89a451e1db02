"""scikit-learn, loaded when its first attribute is accessed.

With the parts of SciPy that it imports it takes a third of the loading time of torch and MLflow together, and training
an autoencoder needs nothing of it.
"""

from __future__ import annotations

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec

if "sklearn" not in sys.modules:  # the recipe in the documentation of `importlib`
    spec = find_spec("sklearn")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = LazyLoader(spec.loader)
    sys.modules["sklearn"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["sklearn"])

sklearn = sys.modules["sklearn"]
