"""The data that the runs of a study share: loaded, split and digested once, and mapped into each process."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from elbowroom.models.measures.errors import Float64s, column_mse, row_mse
from elbowroom.models.measures.intrinsic_dimension import Intrinsic, measure
from elbowroom.models.measures.probe import neighbour_hits

from ..config import RunConfig
from ..store.errors import BadInput
from ..store.locks import private_file
from .datasets import Dataset, Split, digest, load_dataset, split, value_range
from .precision import dominant, far_from_zero, resolution, sums_of_squares
from .preparation import Encoding, Scaler
from .reference_samples import References

_FACTS = "facts.json"
_LISTS = ("classes", "names", "notes")  # of a Dataset


class MeanRow(NamedTuple):
    """Squared errors of the mean training row: of each held-out row, and of each column over the test rows (dim1,)."""

    val: Float64s | None
    test: Float64s
    columns: Float64s


class Probes(NamedTuple):
    """The `neighbour_hits` of the raw held-out rows; None where they aren't defined."""

    val: npt.NDArray[np.int8] | None
    test: npt.NDArray[np.int8] | None


@dataclass(frozen=True, eq=False)
class PreparedData:
    """A data set, its split and what is computed from the rows once for all runs."""

    data: Dataset
    split: Split
    digests: Mapping[str, str]  # of all rows in order: `all`; of the parts: `train`, `validation`, `test`
    folder: Path | None = None  # shares the data with other processes

    @classmethod
    def load(cls, config: RunConfig) -> Self:
        """The data that the configuration names. Raises BadInput."""
        data = load_dataset(config)
        parts = split(data, config.val_size)
        parts.x_train.flags.writeable = False  # so that one decomposition serves PCA and its curve
        digests = {"all": digest(data.x_train, data.x_test)}
        for name, x in (("train", parts.x_train), ("validation", parts.x_val), ("test", data.x_test)):
            if x is not None:
                digests[name] = digest(x)
        return cls(data, parts, digests)

    def in_float32(self) -> Self:
        """These data with rows in float32. Raises BadInput where that loses their digits."""
        if self.data.x_train.dtype == np.float32:
            return self
        if (far := far_from_zero(self.data.x_train)).size:
            raise BadInput(
                f"{self.data.name}: column {far[0] + 1} lies so far from 0 that 32 bits, in which a model of your own "
                "gets it, lose its digits; subtract a constant from it"
            )
        x, x_val, whole = self.split.x_train, self.split.x_val, self.data
        x_val = None if x_val is None else x_val.astype(np.float32)
        data = replace(whole, x_train=whole.x_train.astype(np.float32), x_test=whole.x_test.astype(np.float32))
        return replace(self, data=data, split=self.split._replace(x_train=x.astype(np.float32), x_val=x_val))

    @cached_property
    def dominant_column(self) -> tuple[str, float] | None:
        """The column with more than 90 % of the training rows' variance, and its share; None where there is none."""
        x, names = self.split.x_train, self.data.names
        found = self._once("dominant.json", lambda: dominant(sums_of_squares(x, self._mean) / len(x)))
        return None if found is None else (names[found[0]] if names else f"column {found[0] + 1}", found[1])

    @cached_property
    def resolution(self) -> float:
        """The mean squared error on test rows that 32 bits make; see `precision.resolution`."""
        return float(self._once("resolution.json", lambda: resolution(self.data.x_test, self._mean)))

    @cached_property
    def _mean(self) -> Float64s:
        """The mean training row (dim1,)."""
        mean: Float64s = self.split.x_train.mean(axis=0, dtype=np.float64)
        return mean

    @cached_property
    def intrinsic(self) -> Intrinsic:
        """The intrinsic dimension of the rows."""
        return Intrinsic(*self._once("intrinsic.json", lambda: measure(self.split.x_train, self.data.x_test)))

    @cached_property
    def probes(self) -> Probes:
        """Whether the labels of the held-out rows can be read from their neighbours."""
        parts = ((self.split.x_val, self.split.y_val), (self.data.x_test, self.data.y_test))

        def hits() -> list[list[int] | None]:
            classes = bool(self.data.classes)
            found = [neighbour_hits(x, y) if x is not None and y is not None and classes else None for x, y in parts]
            return [None if each is None else each.tolist() for each in found]

        val, test = (None if each is None else np.array(each, np.int8) for each in self._once("probes.json", hits))
        return Probes(val, test)

    def _once(self, name: str, compute: Callable[[], Any]) -> Any:
        """The JSON value that `compute` returns; the first process that computes it writes it to the folder."""
        path = None if self.folder is None else self.folder / name
        if path is not None and path.exists():
            return json.loads(path.read_text())
        found = compute()
        if path is not None:
            with suppress(OSError):  # where the disk is full each process computes it
                mine = path.with_suffix(f".{os.getpid()}")
                with private_file(mine) as file:
                    file.write(json.dumps(found).encode())
                mine.replace(path)
        return found

    @cached_property
    def mean_row(self) -> MeanRow:
        """The errors of the mean training row as the reconstruction of each row."""
        mean, x_val, x_test = self._mean, self.split.x_val, self.data.x_test
        val = None if x_val is None else row_mse(x_val, np.broadcast_to(mean, x_val.shape))
        constant = np.broadcast_to(mean, x_test.shape)
        return MeanRow(val, row_mse(x_test, constant), column_mse(x_test, constant))

    @cached_property
    def value_range(self) -> tuple[float, float]:
        """The lowest and the highest training value, or 0 and 1 where all lie between them."""
        return value_range(self.data.x_train)

    @cached_property
    def references(self) -> References:
        """The real rows to compare samples with."""
        return References.of(self.split.x_train, self.data.x_test, self.data.image_shape)

    def save(self, folder: Path) -> None:
        """Write what `map` reads to `folder`, in place of what is there, readable by this user alone."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(0o700)
        parts = {
            "x": (self.split.x_train, self.split.x_val),
            "y": (self.split.y_train, self.split.y_val),
            "x_test": (self.data.x_test,),
            "y_test": (self.data.y_test,),
            "ids_test": (self.data.ids_test,),
        }
        for name, given in parts.items():
            if arrays := [part for part in given if part is not None]:
                with private_file(folder / f"{name}.npy") as file:
                    _write(file, arrays)
        scaler, encoding = self.data.scaler, self.data.encoding
        facts = {name: getattr(self.data, name) for name in ("name", "source", "image_shape", "scaling", *_LISTS)}
        facts["scaler"] = None if scaler is None else [array.tolist() for array in scaler]
        facts["fill"] = None if encoding is None or encoding.fill is None else encoding.fill.tolist()
        facts["words"] = None if encoding is None else encoding.words
        facts |= {"rows_train": len(self.split.x_train), "digests": self.digests}
        with private_file(folder / _FACTS) as file:
            file.write(json.dumps(facts).encode())

    @classmethod
    def map(cls, folder: Path) -> Self:
        """The data that `save` wrote, as read-only memory maps: all processes share one copy.

        The training rows are in the order of the split; the digests are those of the original order.
        """
        facts = json.loads((folder / _FACTS).read_text())
        arrays = {p.stem: np.load(p, mmap_mode="r", allow_pickle=False).view(np.ndarray) for p in folder.glob("*.npy")}
        n, x, y = facts["rows_train"], arrays["x"], arrays.get("y")
        lists: dict[str, Any] = {
            name: None if facts[name] is None else tuple(facts[name]) for name in ("image_shape", *_LISTS)
        }
        scaler = None if facts["scaler"] is None else Scaler(*map(np.array, facts["scaler"]))
        fill = None if facts["fill"] is None else np.array(facts["fill"])
        data = Dataset(
            name=facts["name"],
            source=facts["source"],
            x_train=x,
            x_test=arrays["x_test"],
            y_train=y,
            y_test=arrays.get("y_test"),
            scaling=facts["scaling"],
            scaler=scaler,
            encoding=None if facts["words"] is None else Encoding(fill, facts["words"]),
            ids_test=arrays.get("ids_test"),
            **lists,
        )
        y_train, y_val = (None, None) if y is None else (y[:n], y[n:])
        parts = Split(x[:n], y_train, x[n:], y_val) if n < len(x) else Split(x, y, None, None)
        return cls(data, parts, facts["digests"], folder)


def _write(file: BinaryIO, parts: Sequence[npt.NDArray[Any]]) -> None:
    """Write the arrays, concatenated along their first axis, as one .npy file without a copy in memory."""
    rows = sum(len(part) for part in parts)
    whole = np.broadcast_to(parts[0][:1], (rows, *parts[0].shape[1:]))
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(whole))
    for part in parts:
        file.write(np.ascontiguousarray(part).data)
