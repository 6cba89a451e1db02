"""The data as the runs of one study share them: loaded, parted and digested once, mapped into each process."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from elbowroom.models.measures.errors import constant_mse
from elbowroom.models.measures.intrinsic_dimension import Intrinsic, measure
from elbowroom.models.neural.training import in_unit_interval
from elbowroom.models.pca import errors_by_dim3

from ..config import RunConfig
from ..store.errors import BadInput
from ..store.locks import private_file
from . import load_dataset
from .datasets import Dataset, Split, digest, far_from_zero, split
from .reference_samples import References

FACTS = "facts.json"
READING = ("dataset", "test_data", "label_column", "header", "edition", "val_size")
"""The fields of RunConfig that say which rows there are."""


@dataclass(frozen=True, eq=False)
class Material:
    """A data set and its parts: all that a run needs to know of the data."""

    data: Dataset
    split: Split
    folder: Path | None = None
    """From which other processes have it too."""

    @classmethod
    def load(cls, config: RunConfig) -> Self:
        """The data that the configuration names. Raises BadInput."""
        data = load_dataset(
            config.dataset,
            test_data=config.test_data,
            label_column=config.label_column,
            header=config.header,
            edition=config.edition,
        )
        parts = split(data, config.val_size)
        parts.x_train.flags.writeable = False  # so that one decomposition serves PCA and its curve
        return cls(data, parts)

    def in_float32(self) -> Self:
        """The same rows in float32. Raises BadInput where that loses their digits."""
        if self.data.x_train.dtype == np.float32:
            return self
        if (far := far_from_zero(self.data.x_train)).size:
            raise BadInput(
                f"{self.data.name}: column {far[0] + 1} lies so far from 0 that 32 bits, in which a model of your own "
                "gets it, lose its digits; subtract a constant from it"
            )
        rows = {name: getattr(self.data, name).astype(np.float32) for name in ("x_train", "x_test")}
        x_val = None if self.split.x_val is None else self.split.x_val.astype(np.float32)
        parts = self.split._replace(x_train=self.split.x_train.astype(np.float32), x_val=x_val)
        made = replace(self, data=replace(self.data, **rows), split=parts)
        made.__dict__["digests"] = self.digests
        return made

    @cached_property
    def digests(self) -> dict[str, str]:
        """Of all rows in order under `all`, and of the parts: train, validation, test."""
        parts = {"train": self.split.x_train, "validation": self.split.x_val, "test": self.data.x_test}
        return {"all": self.data.digest} | {name: digest(x) for name, x in parts.items() if x is not None}

    @cached_property
    def intrinsic(self) -> Intrinsic:
        """What the rows say of their own dimension: measured when first asked for, once for all runs on them."""
        return Intrinsic(*self._once("intrinsic", lambda: list(measure(self.split.x_train, self.data.x_test))))

    @cached_property
    def pca_curve(self) -> npt.NDArray[np.float64]:
        """PCA's test error for every dim3 from 0, (K + 1, 2): raw, and clipped to [0, 1] or nan; for all runs once."""
        x, x_test = self.split.x_train, self.data.x_test
        return np.array(self._once("pca_curve", lambda: errors_by_dim3(x, x_test, clip=in_unit_interval(x)).tolist()))

    @cached_property
    def mean_row_mse(self) -> float:
        """The test error of always answering the mean of the training rows."""
        return constant_mse(self.data.x_test, self.split.x_train.mean(axis=0, dtype=np.float64))

    @cached_property
    def references(self) -> References:
        """What samples of these data are judged by, for all runs that are measured once."""
        return References.of(self.split.x_train, self.data.x_test)

    def _once(self, name: str, take: Callable[[], list[Any]]) -> list[Any]:
        """What `take` gives, numbers in lists; the first process that needs it leaves it in the folder for others."""
        path = None if self.folder is None else self.folder / f"{name}.json"
        if path is not None and path.exists():
            found: list[Any] = json.loads(path.read_text())
            return found
        taken = take()
        if path is not None:
            with suppress(OSError):  # where the disk is full the others take it themselves
                mine = path.with_suffix(f".{os.getpid()}")
                with private_file(mine) as file:
                    file.write(json.dumps(taken).encode())
                mine.replace(path)
        return taken

    def save(self, folder: Path) -> None:
        """Write to `folder`, replacing what is there, what `map` reads, for this user's eyes alone."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(0o700)
        parts = {
            "x": (self.split.x_train, self.split.x_val),
            "y": (self.split.y_train, self.split.y_val),
            "x_test": (self.data.x_test,),
            "y_test": (self.data.y_test,),
        }
        for name, given in parts.items():
            if arrays := [part for part in given if part is not None]:
                with private_file(folder / f"{name}.npy") as file:
                    _write(file, arrays)
        facts = {
            "name": self.data.name,
            "source": self.data.source,
            "image_shape": self.data.image_shape,
            "scaling": self.data.scaling,
            "classes": self.data.classes,
            "rows_train": len(self.split.x_train),
            "digests": self.digests,
        }
        with private_file(folder / FACTS) as file:
            file.write(json.dumps(facts).encode())

    @classmethod
    def map(cls, folder: Path) -> Self:
        """What `save` wrote, as read-only maps of its files: many processes share one copy in memory.

        The training rows of the data set stand here in the order of the split: those to learn from, then
        those to choose by.
        """
        facts = json.loads((folder / FACTS).read_text())
        arrays = {p.stem: np.load(p, mmap_mode="r", allow_pickle=False).view(np.ndarray) for p in folder.glob("*.npy")}
        n, x, y = facts["rows_train"], arrays["x"], arrays.get("y")
        data = Dataset(
            name=facts["name"],
            source=facts["source"],
            x_train=x,
            x_test=arrays["x_test"],
            y_train=y,
            y_test=arrays.get("y_test"),
            image_shape=None if facts["image_shape"] is None else tuple(facts["image_shape"]),
            scaling=facts["scaling"],
            classes=tuple(facts["classes"]),
        )
        has_val = n < len(x)
        parts = Split(
            x[:n],
            None if y is None else y[:n],
            x[n:] if has_val else None,
            y[n:] if has_val and y is not None else None,
        )
        made = cls(data, parts, folder)
        made.__dict__["digests"] = facts["digests"]  # of the rows as they were, not as they stand here
        return made


def _write(file: BinaryIO, parts: Sequence[npt.NDArray[Any]]) -> None:
    """The arrays, one below the other, as one .npy file: to join them first would take their memory once more."""
    rows = sum(len(part) for part in parts)
    whole = np.broadcast_to(parts[0][:1], (rows, *parts[0].shape[1:]))
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(whole))
    for part in parts:
        file.write(np.ascontiguousarray(part).data)
