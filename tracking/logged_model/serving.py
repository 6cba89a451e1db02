"""The module that serves a logged model, shipped inside the model's artifact beside a copy of `models`.

MLflow calls `_load_pyfunc` in a process that may have no checkout, and whose own `models` may be another package. So
the copy has a name of its own (`tracking.logged_model.log`), and this file finds it as its neighbour.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

FOLDER = "data"
"""The folder of a model's files; in the artifact MLflow puts it into another one of that name."""
ABOUT, WEIGHTS = "model.json", "weights.safetensors"
OPS = ("reconstruct", "encode", "decode", "sample")


class _Served:
    """One fitted model behind MLflow's `predict(data, params)`."""

    def __init__(self, reducer: Any, about: dict[str, Any]) -> None:
        self.reducer, self.dtype, self.columns = reducer, about["dtype"], about.get("columns")
        dim1, dim3 = about["settings"]["dim1"], about["settings"]["dim3"]
        self.widths = {"reconstruct": dim1, "encode": dim1, "decode": dim3, "sample": None}

    def get_raw_model(self) -> Any:
        """The model itself, for MLflow's function of that name."""
        return self.reducer

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Apply params["op"] to the rows of data (N, ·) and return an array of the model's dtype.

        reconstruct and encode take rows of dim1, decode codes of dim3. Of a DataFrame with the columns of the training
        table these are taken by name, gaps and words as in training; else columns count by their order. sample draws N
        new rows, whatever the data, from a generator seeded with params["seed"]. Raises ValueError for another op or
        width, or a column that is missing.
        """
        params = params or {}
        op, seed = params.get("op", OPS[0]), params.get("seed", 0)
        if op not in OPS:
            raise ValueError(f"unknown op {op!r}; allowed: {', '.join(OPS)}")
        by_name = isinstance(data, pd.DataFrame) and self.columns and op in ("reconstruct", "encode")
        rows = np.asarray(self._by_name(data) if by_name else data, dtype=self.dtype)
        if op == "sample":
            return self.reducer.sample(len(rows), np.random.default_rng(int(seed))).astype(self.dtype, copy=False)
        width = self.widths[op]
        if rows.ndim != 2 or rows.shape[1] != width:
            raise ValueError(f"op {op!r} takes rows of {width} numbers, got an array of shape {rows.shape}")
        return getattr(self.reducer, op)(rows).astype(self.dtype, copy=False)

    def _by_name(self, table: pd.DataFrame) -> Any:
        """Return the rows (N, dim1) of a table that has the columns of the training table, and others; or the table."""
        columns = self.columns or []
        lacks = [c["name"] for c in columns if c["name"] not in table]
        if len(lacks) == len(columns):  # other names, or numbers: by their order
            return table
        if lacks:
            raise ValueError(f"the table lacks the columns {', '.join(lacks[:12])}")
        made: list[Any] = []
        for column in columns:
            values = table[column["name"]]
            if "words" in column:
                made += [values.astype(str) == word for word in column["words"]]
            else:
                numbers = pd.to_numeric(values, errors="coerce")
                made.append(numbers if column["fill"] is None else numbers.fillna(column["fill"]))
                if made[-1].isna().any():
                    raise ValueError(f"column {column['name']!r} has a gap or a word")
        return np.column_stack(made)


def _load_pyfunc(path: str) -> _Served:
    """MLflow's entry: the model whose files lie in the folder `path`."""
    about = json.loads((Path(path) / ABOUT).read_text(encoding="utf-8"))
    state = {name: np.asarray(value) for name, value in about["state"].items()}
    state |= load_file(Path(path) / WEIGHTS)
    models = importlib.import_module(f"{__package__}.models")
    with _shipped(models, Path(path).parents[1] / "code"):
        reducer = models.restored(about["model"], about["settings"], state)
    return _Served(reducer, about)


@contextmanager
def _shipped(models: Any, code: Path) -> Iterator[None]:
    """Import a user's shipped modules under their own names, with the copy beside this file as `elbowroom.models`.

    The copy is `models` too, unless the user has a module of that name. After the block the process has its own again.
    """
    own = {p.stem for p in code.iterdir()} - {__package__}
    names = {"elbowroom.models"} | ({"models"} - own)
    tops = own | {"elbowroom", "models"}
    aside = {n: sys.modules.pop(n) for n in list(sys.modules) if n.partition(".")[0] in tops}
    prefix = models.__name__
    copies = {n: m for n, m in sys.modules.items() if n == prefix or n.startswith(f"{prefix}.")}
    sys.modules["elbowroom"] = ModuleType("elbowroom")
    sys.modules["elbowroom"].models = models  # type: ignore[attr-defined]
    sys.modules.update({name + n.removeprefix(prefix): m for name in names for n, m in copies.items()})
    try:
        yield
    finally:
        for n in [n for n in sys.modules if n.partition(".")[0] in tops]:
            del sys.modules[n]
        sys.modules.update(aside)
