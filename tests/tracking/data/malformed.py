"""Good data files with damage, the same ones each time, and an array that must not be unpickled."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
from PIL import Image

X = np.round(np.random.default_rng(0).normal(size=(12, 4)), 3)
BYTES = np.random.default_rng(1).integers(0, 256, (12, 5, 4), dtype=np.uint8)
UNPICKLED = "unpickled"  # what a pickle here leaves in the working folder


class Bomb:
    """Leaves a file in the working folder where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (Path(UNPICKLED),)


class Case(NamedTuple):
    """A damaged file. Where it `must_fail`, a length or a checksum in it says that it was cut."""

    format: str
    damage: str
    name: str
    content: bytes
    label: str
    must_fail: bool

    def write(self, folder: Path) -> str:
        """Write the case into an empty folder; the value of --dataset that names it."""
        if self.format == "image":  # a picture between three good ones, which differ
            for i in range(3):
                Image.new("L", (4, 5), 60 * i).save(folder / f"good{i}.png")
        path = folder / self.name
        path.write_bytes(self.content)
        return str(folder if self.format == "image" else path)


def cases() -> Iterator[Case]:
    """All of them, in one order."""
    rng = random.Random(0)
    counts = {"npy": 55, "npz": 75, "csv": 40, "parquet": 80, "image": 30}
    for format_, files in _whole().items():
        others = [*files.values()][1:] + [*files.values()][:1]
        for (name, content), other in zip(files.items(), others, strict=True):
            for damage, damaged in _damages(content, other, rng, counts[format_]):
                label = "kind" if name in ("a.npz", "a.csv", "a.parquet") and rng.random() < 0.5 else "none"
                must_fail = damage == "cut" and format_ not in ("csv", "image")
                yield Case(format_, damage, name, damaged, label, must_fail)


def _whole() -> dict[str, dict[str, bytes]]:
    """Good files: name and content, by format."""
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=list("uvwx") * 3)
    table = pa.table({name: frame[name] for name in frame})
    text = frame.to_csv(index=False).encode()
    noise = Image.fromarray(np.random.default_rng(2).integers(0, 256, (5, 4, 3), dtype=np.uint8))
    kinds = ("RGB.png", "P.png", "RGB.jpeg", "CMYK.jpeg", "P.gif", "RGB.bmp", "RGB.tiff", "RGB.webp", "RGB.ppm")
    return {
        "npy": {
            "a.npy": _made(np.save, X),
            "b.npy": _made(np.save, np.asfortranarray(X.astype(">f4"))),
            "c.npy": _made(np.save, BYTES),
        },
        "npz": {
            "a.npz": _made(np.savez, x=X, kind=np.array(list("uvwx") * 3)),
            "b.npz": _made(np.savez_compressed, x_train=BYTES),
        },
        "csv": {
            "a.csv": text,
            "b.csv": b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
            "c.csv": frame.drop(columns="kind").to_csv(index=False, header=False, quoting=1).encode(),
        },
        "parquet": {
            f"{name}.parquet": _made(lambda file, kind: parquet.write_table(table, file, compression=kind), compression)
            for name, compression in (("a", "snappy"), ("b", "zstd"), ("c", "none"))
        },
        "image": {name: _made(noise.convert(name.split(".")[0]).save, name.split(".")[1]) for name in kinds},
    }


def _made(write: Callable[..., object], *given: Any, **named: Any) -> bytes:
    """Return the bytes that a library writes into a file."""
    file = io.BytesIO()
    write(file, *given, **named)
    return file.getvalue()


def _damages(content: bytes, other: bytes, rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        start = rng.randrange(len(content))
        end = min(len(content), start + rng.choice((1, 2, 8, 100)))
        flipped = bytearray(content)
        for _ in range(rng.choice((1, 1, 3, 20))):
            flipped[rng.randrange(len(content))] ^= rng.randrange(1, 256)
        yield (
            ("cut", content[:start]),
            ("flipped bytes", bytes(flipped)),
            ("zeroed", content[:start] + bytes(end - start) + content[end:]),
            ("doubled part", content[:end] + content[start:]),
            ("another's tail", content[:start] + other[min(start, len(other)) :]),
        )[number % 5]
