"""The data sets that come with scikit-learn and torchvision, by their names there."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import pyarrow as pa

from ...store.addresses import cache_folder
from ...store.errors import BadInput
from .base import Contents, Request, Table, reading, sampled


def read_sklearn(name: str, wanted: Request) -> Contents:
    """The data set of `sklearn.datasets.load_NAME` or `fetch_NAME`, with its targets as labels. Raises BadInput."""
    datasets = importlib.import_module("sklearn.datasets")
    known = [n for n in datasets.__all__ if n.startswith(("load_", "fetch_"))]
    function = next((f for f in (f"load_{name}", f"fetch_{name}") if f in known), None)
    if function is None:
        names = sorted(n.partition("_")[2] for n in known)
        raise BadInput(f"sklearn:{name}: scikit-learn has no such data set; it has: {', '.join(names)}")
    with reading(f"sklearn:{name}"):
        held = getattr(datasets, function)()
        x, y = held.get("images", held.data), np.asarray(held.target)
        if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiu" or y.shape != x.shape[:1]:
            raise BadInput(f"sklearn:{name}: is no array of numbers with a target for each row")
        words = np.asarray(held.get("target_names", []))
        if y.dtype.kind in "iu" and words.ndim == 1 and len(words) == len(np.unique(y)):
            y = words.astype(str)[y]
        kept = sampled(len(x), wanted)
        target = pa.array(y[kept])
        if "images" in held or "feature_names" not in held:
            return Contents(Table(x[kept], pa.table({"target": target}), labels="target"))
        columns = {str(n): pa.array(x[kept, i]) for i, n in enumerate(held.feature_names)}
        return Contents(Table(None, pa.table(columns | {"target": target}), labels="target"))


def read_torchvision(name: str, wanted: Request) -> Contents:
    """The data set of `torchvision.datasets.NAME`, downloaded into the cache. Raises BadInput."""
    with reading(f"torchvision:{name}"):
        found = getattr(importlib.import_module("torchvision.datasets"), name, None)
        if not isinstance(found, type) or not {"train", "download"} <= inspect.signature(found).parameters.keys():
            raise BadInput(
                f"torchvision:{name}: is no data set with training and test rows, such as torchvision:CIFAR10"
            )
        parts = [found(str(cache_folder("torchvision")), train=train, download=True) for train in (True, False)]
        return Contents(_images(parts[0], wanted), test=_images(parts[1], wanted))


def _images(held: Any, wanted: Request) -> Table:
    x, y = np.asarray(held.data), np.asarray(held.targets)
    kept = sampled(len(x), wanted)
    return Table(x[kept], pa.table({"target": pa.array(y[kept])}), labels="target", from_pictures=True)
