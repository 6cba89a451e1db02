"""Data files as damage and malice make them, the same ones each time; `main` has them read, and says what came of it.

It runs in a process of its own, which may take little memory, and which alone is ended by a crash or an endless wait.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import os
import pickle
import random
import resource
import shutil
import socket
import struct
import sys
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
from PIL import Image

from tracking import idx
from tracking.config import BadInput
from tracking.datasets import Dataset, load_dataset

MEMORY = 2 << 30  # bytes of address space beyond what the process has before it reads the first
GIB = 1 << 30
X = np.round(np.random.default_rng(0).normal(size=(12, 4)), 3)
X[:, 0] = np.arange(12)  # which row it is
BYTES = np.random.default_rng(1).integers(0, 256, (12, 5, 4), dtype=np.uint8)
IMAGES = b"\0\0\x08\x03" + struct.pack(">3I", 4, 3, 2) + bytes(range(24))
LABELS = b"\0\0\x08\x01" + struct.pack(">I", 4) + bytes([3, 1, 4, 1])
IDX = {name: IMAGES if "images" in name else LABELS for name in idx.MD5["mnist"]}


@dataclass
class Case:
    """One thing that somebody calls a data set: how it is made in an empty folder, and what must come of it.

    `write` gives what is named as the data set. Where `x` is given, just that is read.
    """

    format: str
    attack: str
    write: Callable[[Path], Path]
    label: str = "none"
    must: Literal["refused", "read", "either"] = "refused"
    x: Any = None


def cases() -> Iterator[Case]:
    """All of them, in one order."""
    yield from _damaged()
    yield from _npy()
    yield from _npz()
    yield from _csv()
    yield from _parquet()
    yield from _images()
    yield from _idx()
    yield from _no_files()


# Damage: whole files of each kind, then cut, flipped, holed, doubled and mixed.


def _whole() -> dict[str, list[tuple[str, bytes]]]:
    """Good files by format: name and content."""

    def made(write: Callable[[io.BytesIO], object]) -> bytes:
        file = io.BytesIO()
        write(file)
        return file.getvalue()

    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=list("uvwx") * 3)
    text = frame.to_csv(index=False).encode()
    files = {
        "npy": [
            ("a.npy", made(lambda f: np.save(f, X))),
            ("b.npy", made(lambda f: np.save(f, np.asfortranarray(X.astype(">f4"))))),
            ("c.npy", made(lambda f: np.save(f, BYTES))),
        ],
        "npz": [
            ("a.npz", made(lambda f: np.savez(f, x=X, kind=np.array(list("uvwx") * 3)))),
            ("b.npz", made(lambda f: np.savez_compressed(f, x_train=BYTES))),
        ],
        "csv": [
            ("a.csv", text),
            ("b.csv", b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")),
            ("c.csv", frame.drop(columns="kind").to_csv(index=False, header=False, quoting=1).encode()),
        ],
        "parquet": [
            (f"{name}.parquet", made(lambda f, c=compression: frame.to_parquet(f, compression=c)))  # type: ignore[misc]
            for name, compression in (("a", "snappy"), ("b", "zstd"), ("c", None))
        ],
        "image": [],
    }
    for kind, mode in (
        ("png", "RGB"), ("png", "P"), ("jpeg", "RGB"), ("jpeg", "CMYK"), ("gif", "P"), ("bmp", "RGB"),
        ("tiff", "RGB"), ("webp", "RGB"), ("ppm", "RGB"),
    ):  # fmt: skip
        noise = np.random.default_rng(2).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).convert(mode)
        content = made(lambda f, p=picture, k=kind: p.save(f, format=k))  # type: ignore[misc]
        files["image"].append((f"{mode}.{kind}", content))
    return files


def _damages(whole: bytes, other: bytes, rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        kind = ("cut", "flipped bytes", "zeroed", "doubled part", "another's tail")[number % 5]
        start = rng.randrange(len(whole))
        end = min(len(whole), start + rng.choice((1, 2, 8, 100)))
        if kind == "cut":
            yield kind, whole[:start]
        elif kind == "flipped bytes":
            content = bytearray(whole)
            for _ in range(rng.choice((1, 1, 3, 20))):
                content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
            yield kind, bytes(content)
        elif kind == "zeroed":
            yield kind, whole[:start] + bytes(end - start) + whole[end:]
        elif kind == "doubled part":
            yield kind, whole[:end] + whole[start:]
        else:
            yield kind, whole[:start] + other[min(start, len(other)) :]


def _damaged() -> Iterator[Case]:
    rng = random.Random(0)
    counts = {"npy": 50, "npz": 75, "csv": 40, "parquet": 70, "image": 25}
    for format_, files in _whole().items():
        for (name, whole), (_, other) in zip(files, files[1:] + files[:1], strict=True):
            for attack, content in _damages(whole, other, rng, counts[format_]):
                label = "kind" if name[0] == "a" and format_ != "npy" and rng.random() < 0.5 else "none"
                if format_ == "image":
                    yield Case(format_, attack, _among(name, content, whole), "none", "either")
                else:
                    yield Case(format_, attack, _file(name, content), label, "either")


def _file(name: str, content: bytes | Callable[[Path], object]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)
        return path

    return write


def _among(name: str, content: bytes | Callable[[Path], object], good: bytes | None = None) -> Callable[[Path], Path]:
    """A picture between three good ones, which differ."""

    def write(folder: Path) -> Path:
        for i in range(3):
            if good is not None:
                (folder / f"good{i}{Path(name).suffix}").write_bytes(good)
            else:
                Image.new("L", (4, 5), 60 * i).save(folder / f"good{i}.png")
        _file(name, content)(folder)
        return folder

    return write


# .npy: headers that lie.


def _header(descr: str, shape: str, *, order: str = "False", data: bytes = bytes(96), version: int = 1) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode("latin-1")
    return _headed(text, data, version)


def _headed(text: bytes, data: bytes = bytes(96), version: int = 1) -> bytes:
    size = struct.pack("<H" if version == 1 else "<I", (len(text) + 1) % (1 << 16 if version == 1 else 1 << 32))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + b"\n" + data


SHAPES = (
    "(2**40,)", "(1099511627776,)", "(3, 1099511627776)", "(13, 4)", "(4294967296, 4294967296)", f"({10**30}, 4)",
    f"({'9' * 4000}, {'9' * 4000})", "(-1, 4)", "(-3, -4)", "(3, -1)", "(0, 4)", "(4, 0)", "(0, 9223372036854775807)",
    "()",
    "(12,)", "12", "None", "'(3, 4)'", "[3, 4]", "(3.0, 4)", "(3, 4", "(True, 12)", "(1, 12)", "{}", "(3, (4,))",
    "(3, 4j)",
    "__import__('os').system('touch pwned')", "(lambda: (3, 4))()", "(" * 4000 + ")" * 4000, "-" * 9000 + "1",
    "(3,)*2",
    f"({'1, ' * 3000})", "(12, 1, 1, 1, 1, 1, 1, 1)", f"({'1, ' * 64}12)", f"({'1, ' * 65}12)",
)  # fmt: skip
DESCRS = (
    "'|O'", "'O8'", "[('a', '<f8'), ('b', '<f8')]", "[('a', '|O')]", "'|V8'", "'|V0'", "'<U2'", "'<U0'", "'|S8'",
    "'|S0'",
    "'<M8[s]'", "'<m8[ns]'", "'<c16'", "'(2,2)<f8'", "'(1000000,1000000)f8'", "'<f7'", "'<i9'", "'nonsense'", "''",
    "None",
    "8", "'<U2147483647'", "'|V9223372036854775807'", "{'names': ['a'], 'formats': ['O']}", "'f8,f8'", "'>'",
    "'\\x00'",
    "[('a', '<f8', (3,))]", "[('a'*5000, '<f8')]", "'float64; import os'", "('<f8', (3,))", "'<f8' + '<f8'", "'T'",
    "'datetime64'",
)  # fmt: skip
GOOD = (
    "float16",
    "float32",
    "float64",
    ">f4",
    ">f8",
    "int8",
    "uint16",
    ">i2",
    "int32",
    "int64",
    ">i8",
    "uint64",
    "longdouble",
)


def _npy() -> Iterator[Case]:
    for shape in SHAPES:
        yield Case("npy", "shape that lies", _file("a.npy", _header("'<f8'", shape)))
    for descr in DESCRS:
        yield Case("npy", "type that holds no numbers", _file("a.npy", _header(descr, "(3, 4)")))
    for descr in ("'|V0'", "'<U0'", "'|S0'"):
        yield Case("npy", "type that holds no numbers", _file("a.npy", _header(descr, "(4611686018427387904, 2)")))
    for order in ("True", "1", "'yes'", "None", "2**3"):
        lie = _header("'<f8'", "(3, 1000000)", order=order)
        yield Case("npy", "shape that lies", _file("a.npy", lie))
    for number, version in enumerate((0, 2, 3, 4, 9, 255)):
        content = _header("'<f8'", "(3, 1000000000)", version=version)
        yield Case("npy", "version of the format", _file(f"{number}.npy", content))
    for text in (b"", b"{", b"{}", b"[]", b"{'descr': '<f8'}", b"\x00" * 50, b"\xff" * 50, b"{'shape': (3, 4)} " * 9,
                     b"1" * 60_000,
                 b"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), 'more': 1}", b"[" * 9000, b"a" * 9000,
                 b"{**{}}"):  # fmt: skip
        yield Case("npy", "header that is none", _file("a.npy", _headed(text)))
    for size in (0, 1, 65535):
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", size) + b"{" * 20
        yield Case("npy", "header that is none", _file("a.npy", content))
    yield Case(
        "npy", "header that is none", _file("a.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 20)
    )
    for name, thing in {
        "pickle": X.tolist(),
        "objects": np.array([[object, 1], [2, 3]], dtype=object),
        "pandas": pd.DataFrame(X),
    }.items():
        yield Case("npy", f"pickled {name}", _file("a.npy", pickle.dumps(thing)))
    yield Case(
        "npy", "objects", _file("a.npy", lambda p: np.save(p, np.array([[{}, 1], [2, 3]], object), allow_pickle=True))
    )
    yield Case("npy", "another format", _file("a.npy", lambda p: np.savez(p.open("wb"), x=X)))
    yield Case("npy", "another format", _file("a.npy", b"a,b\n1,2\n3,4\n5,6\n"))
    yield Case("npy", "another format", _file("a.npy", lambda p: pd.DataFrame(X).to_parquet(p)))
    yield Case("npy", "zero rows", _file("a.npy", lambda p: np.save(p, X[:0])))
    yield Case("npy", "one row", _file("a.npy", lambda p: np.save(p, X[:1])))
    for bad in (np.nan, np.inf, -np.inf, 1e300, -3.5e38):
        yield Case("npy", "no finite number", _file("a.npy", lambda p, b=bad: np.save(p, np.where(X == 5, b, X))))  # type: ignore[misc]
    for dtype in GOOD:
        x = (X * 8).round().clip(0, 100).astype(dtype) if np.dtype(dtype).kind in "iu" else X.astype(dtype)
        yield Case(
            "npy", "unusual but right", _file("a.npy", lambda p, x=x: np.save(p, x)), must="read", x=x.astype("f4")
        )  # type: ignore[misc]
    yield Case("npy", "unusual but right", _file("a.npy", lambda p: np.save(p, np.asfortranarray(X))), must="read", x=X)
    yield Case("npy", "unusual but right", _file("A.NPY", lambda p: np.save(p.open("wb"), X)), must="read", x=X)
    late = _whole()["npy"][0][1] + b"more" * 100
    yield Case("npy", "unusual but right", _file("a.npy", late), must="read", x=X)
    yield Case(
        "npy", "10 GB with a hole", _file("a.npy", lambda p: _sparse(p, _header("'<f4'", "(2500000, 1000)", data=b"")))
    )
    yield Case("npy", "10 GB with a hole", _file("a.npy", lambda p: _sparse(p, b"")))


def _sparse(path: Path, start: bytes, size: int = 10_000_000_200) -> None:
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)


# .npz: zips that lie, and bombs.


def _zip(*members: tuple[str, bytes, int, int], flags: int = 0, crc: int = 0) -> bytes:
    """A zip written by hand of (name, packed bytes, size said to be unpacked, method)."""
    out, central = bytearray(), bytearray()
    for name, packed, size, method in members:
        raw, big = name.encode(), size >= 2**32 - 1
        extra = struct.pack("<HHQQ", 1, 16, size, len(packed)) if big else b""
        short = (2**32 - 1, 2**32 - 1) if big else (len(packed), size)
        common = struct.pack("<HHHHHLLLHH", 45, flags, method, 0, 33, crc, *short, len(raw), len(extra))
        central += b"PK\x01\x02" + struct.pack("<H", 45) + common
        central += struct.pack("<HHHLL", 0, 0, 0, 0, len(out)) + raw + extra
        out += b"PK\x03\x04" + common + raw + extra + packed
    end = struct.pack("<HHHHLLH", 0, 0, len(members) % 65536, len(members) % 65536, len(central), len(out), 0)
    return bytes(out + central + b"PK\x05\x06" + end)


def _zeros(start: bytes, mib: int, bits: int = -15) -> bytes:
    """`start` and so many MiB of zeros, packed: 1 KB each."""
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    first = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + block * mib + zlib.compressobj(9, zlib.DEFLATED, -15).flush()


def _deflated(content: bytes) -> bytes:
    return zlib.compress(content)[2:-4]


def _npz() -> Iterator[Case]:
    for shape in SHAPES:
        yield Case("npz", "shape that lies", _file("a.npz", _zipped({"x.npy": _header("'<f8'", shape)})))
    for descr in DESCRS:
        yield Case("npz", "type that holds no numbers", _file("a.npz", _zipped({"x.npy": _header(descr, "(3, 4)")})))
    for descr in ("'|O'", "'<c16'", "'<M8[s]'", "'|V8'", "[('a', '<f8')]", "'<U9999999'", "'<f8'"):
        whole = {"x.npy": _npy_bytes(X), "kind.npy": _header(descr, "(12,)", data=bytes(48))}
        yield Case("npz", "labels that are none", _file("a.npz", _zipped(whole)), "kind")
    words = {"x.npy": _npy_bytes(X), "kind.npy": _npy_bytes(np.array([b"\xff\xfe"] * 12))}
    yield Case("npz", "labels that are none", _file("a.npz", _zipped(words)), "kind")
    head = _header("'|u1'", "(1024, 1048576)", data=b"")
    for gib in (1, 4, 20):
        content = _zip(("x.npy", _zeros(head, 1024 * gib), len(head) + gib * GIB, 8))
        yield Case("npz", "bomb", _file("a.npz", content))
        liar = _zip(("x.npy", _zeros(head, 1024 * gib), 5000, 8))
        yield Case("npz", "bomb that says it is small", _file("a.npz", liar))
    for promised in (300 * GIB, 2**62, 2**63 - 1, 2**64 - 1):
        yield Case("npz", "bomb", _file("a.npz", _zip(("x.npy", _deflated(head), promised, 8))))
    for method in (0, 12, 14):
        yield Case("npz", "bomb", _file("a.npz", _zip(("x.npy", head * 99, 300 * GIB, method))))
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        bomb = (
            _zipped({"x.npy": _header("'|u1'", "(300, 1000000)", data=bytes(300_000_000))}, method)
            if method == 12
            else b""
        )
        if bomb:
            yield Case("npz", "bomb", _file("a.npz", bomb))
        yield Case(
            "npz", "unusual but right", _file("a.npz", _zipped({"x.npy": _npy_bytes(X)}, method)), must="read", x=X
        )
    many = [(f"{i}.npy", b"", 0, 0) for i in range(100_000)]
    yield Case("npz", "100,000 members", _file("a.npz", _many(100_000)))
    yield Case("npz", "100,000 members", _file("a.npz", _zip(*many)), must="either")
    yield Case("npz", "nested", _file("a.npz", _zipped({"x.npy": _zipped({"x.npy": _npy_bytes(X)})})))
    yield Case(
        "npz", "nested", _file("a.npz", _zipped({"x.npz": _zipped({"x.npz": _zipped({"x.npy": _npy_bytes(X)})})}))
    )
    twice = ("x.npy", _deflated(_npy_bytes(X)), len(_npy_bytes(X)), 8)
    yield Case("npz", "two members of one name", _file("a.npz", _zip(twice, twice, crc=zlib.crc32(_npy_bytes(X)))))
    yield Case("npz", "two members of one name", _file("a.npz", _zipped({"x": b"text", "x.npy": _npy_bytes(X)})))
    for name in (
        "../../x.npy",
        "/tmp/x.npy",
        "..\\x.npy",
        "C:\\x.npy",
        "a/b/c.npy",
        "\x1b[31m.npy",
        "a\nb.npy",
        "é" * 5000,
        ".npy",
    ):
        whole = {name: _npy_bytes(X), "../pwned.npy": _npy_bytes(X)}
        yield Case("npz", "member named like a path", _file("a.npz", _zipped(whole)))
        alone = {"x.npy": b"no", name: _npy_bytes(X)}
        yield Case("npz", "member named like a path", _file("a.npz", _zipped(alone)))
    for flags in (1, 0x41, 0x2001):
        content = _zip(("x.npy", _deflated(_npy_bytes(X)), len(_npy_bytes(X)), 8), flags=flags)
        yield Case("npz", "encrypted", _file("a.npz", content))
    for method in (1, 6, 9, 93, 95, 97, 98, 99, 65535):
        yield Case("npz", "unknown compression", _file("a.npz", _zip(("x.npy", b"abc", 3, method))))
    yield Case(
        "npz", "wrong checksum", _file("a.npz", _zip(("x.npy", _deflated(_npy_bytes(X)), len(_npy_bytes(X)), 8), crc=7))
    )
    for size in (0, 1, 100, 1000, 10**6, 2**31):
        content = _zip(("x.npy", _deflated(_npy_bytes(X)), size, 8), crc=zlib.crc32(_npy_bytes(X)))
        yield Case("npz", "size that lies", _file("a.npz", content), must="either")
    for other in ({"x.txt": b"hello"}, {"x": b"hello"}, {"x": b""}, {"x.npy": b""}, {"x.npy": pickle.dumps(X)}, {},
                     {"folder/": b""},
                  {"x.pkl": pickle.dumps([1, 2])}, {"word/document.xml": b"<xml/>"}):  # fmt: skip
        yield Case("npz", "member that is no array", _file("a.npz", _zipped(other)))
    for content in (
        b"PK\x05\x06" + bytes(18),
        b"PK\x03\x04",
        b"PK\x05\x06",
        _npy_bytes(X),
        b"",
        b"PK" * 1000,
        gzip.compress(_npy_bytes(X)),
    ):
        yield Case("npz", "another format", _file("a.npz", content))
    yield Case("npz", "10 GB with a hole", _file("a.npz", lambda p: _sparse(p, b"PK\x03\x04")))
    hole = _zip(("x.npy", _npy_bytes(X), 10**10, 0))
    yield Case("npz", "10 GB with a hole", _file("a.npz", lambda p: _sparse(p, hole)))


def _npy_bytes(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def _many(count: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i in range(count):
            archive.writestr(zipfile.ZipInfo(f"{i}.npy"), b"")
    return file.getvalue()


# .csv


def _csv() -> Iterator[Case]:
    rows = "1,2,3\n4,5,6\n7,8,0\n"
    long = "n" * 10_000
    refused = {
        "long name": [f"{long},b\n1,2\n3,\n5,6\n", f"a,{long}\n1,x\n3,4\n5,6\n", f"{long}\n" + "x\n" * 9],
        "NUL and control characters": ["a,b\n1,2\0\n3,4\n5,6\n", "\0" * 99, "a\x1b[31m\x07,b\n1,2\n3,\n5,6\n",
        "a,b\n1,\x1b[2J\n3,4\n5,6\n"],
        "ragged rows": ["a,b\n1,2\n3\n5,6\n", "a,b\n1,2,3\n4,5\n6,7\n", "1\n2,3\n4,5\n",
        "a,b,c\n1,2,3,4\n1,2,3\n5,6,7\n"],
        "too many columns": [",".join(["1"] * n) + "\n" + ",".join(["2"] * n) + "\n" for n in (50_001, 100_000,
        400_000, 1_000_000)]
        + [",".join(f"c{i}" for i in range(n)) + "\n" for n in (60_000, 1_000_000)],
        "no finite number": [f"a,b\n1,2\n{bad},4\n5,6\n" for bad in ("nan", "inf", "-inf", "1e400", "-1e400", "1e39",
        "NaN", "NA", "", "Infinity")],
        "no number": [f"a,b\n1,2\n{bad},4\n5,6\n" for bad in (
            "x", "1;2", '"1,5"', "1_000", "0x1p3", "1e", "--1", "1 2", "٣", "１", "½", "true1", "2020-01-01", "12:30",
            "<b>", "=1+1", "'1'", "\u202e1",
        )],
        "header alone": ["a,b", "a,b\n", "1,2,3", "a", "\n\n\n", "", "\r\n", " ", ",", ",,,\n", '""\n'],
        "names of rows": [",a,b\n" + rows, "Unnamed: 0,b,c\n" + rows],
        "quote never closed": ['a,b\n"1,2\n3,4\n5,6\n', '"a,b\n1,2\n3,4\n', 'a,b\n1,2\n3,"4\n' + "5,6\n" * 1000,
        '"' * 999],
        "other separators": ["a;b\n" + rows.replace(",", ";"), "a\tb\n" + rows.replace(",", "\t"),
        "a|b\n" + rows.replace(",", "|"), "a b\n1 2\n3 4\n5 6\n"],
        "other languages": ["<html><body>404</body></html>\n" * 9, "{\"a\": [1, 2]}\n" * 3, "---\n- 1\n- 2\n- 3\n",
        "%PDF-1.7\n" * 9, "import os\n" * 5],
        "one long line": ["1" * 2_000_000, "a," * 1_000_000, '"' + "a" * 3_000_000 + '"\n1\n2\n',
        "a,b\n1,2\n" + "1" * 3_000_000 + ",2\n"],
    }  # fmt: skip
    for attack, texts in refused.items():
        for text in texts:
            yield Case("csv", attack, _file("a.csv", text.encode()))
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7"):
        yield Case("csv", f"in {encoding}", _file("a.csv", ("aé,b\n" + rows[:-1]).encode(encoding)))
    yield Case("csv", "in latin-1", _file("a.csv", "größe,b\n1,2\n3,4\n5,6\n".encode("latin-1")))
    yield Case("csv", "in latin-1", _file("a.csv", "a,kind\n1,café\n3,b\n5,b\n".encode("latin-1")), "kind")
    for content in (
        gzip.compress(b"a,b\n1,2\n3,4\n"),
        _zipped({"a.csv": b"a,b\n1,2\n3,4\n"}),
        _npy_bytes(X),
        bytes(range(256)) * 40,
    ):
        yield Case("csv", "another format", _file("a.csv", content))
    for label, text in {
        "kind": "a,b\n1,2\n3,4\n5,6\n", "a": "a,a,b\n1,2,3\n4,5,6\n7,8,9\n", "b": "a,b\n1,x\n2,\n3,y\n",
        "c": "c\nx\ny\nz\n",
        "l": f"a,l\n1,x\n2,{'y' * 1000}\n3,z\n", "m": "a,m\n" + "1,x\n2,y\n" * 50_000 + f"3,{'y' * 100_000}\n",
        "q\n": "a,b\n1,2\n3,4\n5,6\n", long: "a,b\n1,2\n3,4\n5,6\n", "": "a,b\n1,2\n3,4\n5,6\n",
    }.items():  # fmt: skip
        yield Case("csv", "labels that are none", _file("a.csv", text.encode()), label)
    yield Case("csv", "10 GB with a hole", _file("a.csv", lambda p: _sparse(p, b"a,b\n1,2\n3,4\n5,6\n")))
    yield Case("csv", "10 GB with a hole", _file("a.csv", lambda p: _sparse(p, b"")))
    good = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 0]])
    for text in (
        "\ufeffa,b,c\n" + rows, "a,b,c\r\n" + rows.replace("\n", "\r\n"), "a,b,c\r" + rows.replace("\n", "\r"),
        "\n\n" + rows, "\n\na,b,c\n" + rows,
        "a,a,a\n" + rows, "größe,名前,🦊\n" + rows, rows.replace("2", '"2"'), "0,1,2\n" + rows, rows.replace("5",
        "+5.0e0"), rows[:-1],
        "a,b,c\n" + rows.replace("\n", "\n\n"), "a,b,c\n\n\n" + rows, f"a,{long},c\n" + rows, "<b>,../x,'\n" + rows,
        "a\0,b,c\n" + rows,
    ):  # fmt: skip
        yield Case("csv", "unusual but right", _file("a.csv", text.encode()), must="read", x=good)
    yield Case(
        "csv",
        "unusual but right",
        _file("a.csv", b"a,kind\n1,\xc3\xa9\n2,\xf0\x9f\xa6\x8a\n3,b\n"),
        "kind",
        "read",
        [[1], [2], [3]],
    )
    wide = "\n".join(",".join(str(i + j) for j in range(5000)) for i in range(1, 4))
    yield Case(
        "csv", "unusual but right", _file("a.csv", wide.encode()), must="read", x=np.add.outer(range(1, 4), range(5000))
    )


# .parquet


def _parquet() -> Iterator[Case]:
    three: dict[str, Any] = {
        "nested": pa.array([{"u": 1}, {"u": 2}, {"u": 3}]), "list": pa.array([[1], [2, 3], []]),
        "fixed list": pa.array([[1, 2]] * 3, pa.list_(pa.int8(), 2)), "map": pa.array([[("k", 1)]] * 3,
        pa.map_(pa.string(), pa.int8())),
        "string": pa.array(["a", "1", "2"]), "large string": pa.array(["1", "2", "3"], pa.large_string()),
        "binary": pa.array([b"\xff", b"", b"1"]),
        "null": pa.nulls(3), "nulls": pa.array([1, None, 3]), "decimal": pa.array([1, 2, 3], pa.decimal128(9, 2)),
        "date": pa.array([1, 2, 3], pa.date32()),
        "time": pa.array([1, 2, 3], pa.time64("us")), "timestamp": pa.array([1, 2, 3], pa.timestamp("ns", "UTC")),
        "duration": pa.array([1, 2, 3], pa.duration("s")),
        "dictionary": pa.array(["a", "b", "a"]).dictionary_encode(), "dictionary of numbers": pa.array([1, 2,
        1]).dictionary_encode(),
        "nan": pa.array([1.0, np.nan, 3.0]), "inf": pa.array([1.0, np.inf, 3.0]), "deep": pa.array([[[[[1]]]]] * 3),
        "struct of list": pa.array([{"u": [1]}] * 3), "fixed bytes": pa.array([b"ab"] * 3, pa.binary(2)),
    }  # fmt: skip
    for attack, column in three.items():
        right = attack in ("dictionary of numbers",)
        table = pa.table({"a": [1.0, 2.0, 4.0], "b": column})
        yield Case(
            "parquet",
            f"column of type {attack}",
            _file("a.parquet", _stored(table)),
            must="either" if right else "refused",
        )
        words = attack in (
            "string",
            "large string",
            "date",
            "dictionary",
            "decimal",
            "time",
            "timestamp",
            "duration",
            "dictionary of numbers",
            "fixed bytes",
        )
        yield Case(
            "parquet",
            f"labels of type {attack}",
            _file("a.parquet", _stored(table)),
            "b",
            "either" if words else "refused",
        )
    for table in (
        pa.table({}),
        pa.table({"a": pa.array([], pa.float64())}),
        pa.table({"a": [1.0]}),
        pa.table({"a": [1, 1, 1]}),
    ):
        yield Case("parquet", "too little", _file("a.parquet", _stored(table)))
    wide = pa.table({f"c{i}": [1, 2, 3] for i in range(50_001)})
    yield Case("parquet", "too many columns", _file("a.parquet", _stored(wide)))
    for name in ("", "Unnamed: 0", "__index_level_0__"):
        yield Case("parquet", "names of rows", _file("a.parquet", _stored(pa.table({name: [1, 2, 3], "b": [1, 2, 3]}))))
    million = pa.table({"a": pa.array(np.zeros(2**21, np.int8))})
    few = _stored(million)
    yield Case(
        "parquet", "row count that lies", _file("a.parquet", few.replace(b"\x80\x80\x80\x02", b"\xfe\xff\xff\x7f"))
    )
    for lie in (
        b"\x80\x80\x80\x06",
        b"\xff\xff\xff\x7f",
        b"\x00\x00\x00\x00",
        b"\x81\x80\x80\x02",
        b"\x02\x80\x80\x02",
    ):
        yield Case(
            "parquet", "row count that lies", _file("a.parquet", few.replace(b"\x80\x80\x80\x02", lie)), must="either"
        )
    yield Case("parquet", "bomb", _file("a.parquet", lambda p: _repeated(p, million, 20)))
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["u" * 1_000_000]))
    bomb = _stored(pa.table({"a": pa.array(np.arange(100_000)), "b": long}))
    yield Case("parquet", "bomb", _file("a.parquet", bomb))
    yield Case("parquet", "bomb", _file("a.parquet", bomb), "b")
    index = pa.table(
        {"a": pa.array(np.arange(100_000)), "b": long},
        metadata={"pandas": json.dumps({"index_columns": ["b"], "columns": [], "column_indexes": []})},
    )
    yield Case("parquet", "bomb", _file("a.parquet", _stored(index)), must="either")
    zeros = _stored(pa.table({"a": np.zeros(30_000_000)}), compression="zstd", use_dictionary=False)
    yield Case("parquet", "bomb", _file("a.parquet", zeros))
    for text in ("{", "[]", "null", '{"index_columns": 5}', '{"index_columns": ["zz"]}',
                     '{"index_columns": [{"kind": "range"}]}', '{"index_columns": ["a", "b"]}',
                 '{"columns": "x"}', "\x00", '{"index_columns": [["a"]]}', "9" * 5000, "[" * 5000):  # fmt: skip
        table = pa.table({"a": [1, 2, 3], "b": [1, 2, 4]}, metadata={"pandas": text})
        yield Case("parquet", "pandas' notes that lie", _file("a.parquet", _stored(table)), must="either")
    for notes in ({"ARROW:schema": "AAAA"}, {"ARROW:schema": "/////w=="}, {"x" * 10_000: "y" * 100_000}):
        table = pa.table({"a": [1, 2, 3], "b": [1, 2, 4]}, metadata=notes)
        yield Case("parquet", "arrow's notes that lie", _file("a.parquet", _stored(table)), must="either")
    whole = _whole()["parquet"][0][1]
    for length in (0, 1, 2**31 - 1, 2**32 - 1, len(whole), len(whole) - 8, len(whole) - 12):
        yield Case(
            "parquet",
            "footer that lies",
            _file("a.parquet", whole[:-8] + struct.pack("<I", length) + b"PAR1"),
            must="either",
        )
    yield Case("parquet", "encrypted", _file("a.parquet", b"PARE" + whole[4:-4] + b"PARE"))
    yield Case("parquet", "encrypted", _file("a.parquet", whole[:-4] + b"PARE"))
    footer = whole.rindex(b"PAR1") - 4 - struct.unpack("<I", whole[-8:-4])[0]
    yield Case("parquet", "pages that are gone", _file("a.parquet", b"PAR1" + bytes(footer - 4) + whole[footer:]))
    yield Case("parquet", "pages that are gone", _file("a.parquet", b"PAR1" + b"\xff" * (footer - 4) + whole[footer:]))
    for content in (b"", b"PAR1", b"PAR1PAR1", b"PAR1" * 99, b"a,b\n1,2\n", _npy_bytes(X), _zipped({"x.npy": b""})):
        yield Case("parquet", "another format", _file("a.parquet", content))
    yield Case("parquet", "10 GB with a hole", _file("a.parquet", lambda p: _sparse(p, whole)))
    for kind in ("float16", "float32", "int8", "uint16", "int64", "uint64"):
        x = np.arange(12).reshape(4, 3).astype(kind)
        table = pa.table({f"c{i}": x[:, i] for i in range(3)})
        yield Case("parquet", "unusual but right", _file("a.parquet", _stored(table)), must="read", x=x)
    mixed = pa.table(
        {"a": [1, 2, 3], "b": [True, False, True], "c": [0.5, 1.5, 2.5], "a.b": pa.array([1, 2, 3], pa.uint64())}
    )
    yield Case(
        "parquet",
        "unusual but right",
        _file("a.parquet", _stored(mixed)),
        must="read",
        x=[[1, 1, 0.5, 1], [2, 0, 1.5, 2], [3, 1, 2.5, 3]],
    )

    def parted(folder: Path) -> Path:
        path = folder / "year=2020" / "a.parquet"
        path.parent.mkdir()
        path.write_bytes(_stored(pa.table({"a": [1, 2, 3], "b": [1, 2, 4]})))
        return path

    yield Case("parquet", "unusual but right", parted, must="read", x=[[1, 1], [2, 2], [3, 4]])


def _stored(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    parquet.write_table(table, file, **options)
    return file.getvalue()


def _repeated(path: Path, table: pa.Table, times: int) -> None:
    with parquet.ParquetWriter(path, table.schema) as writer:
        for _ in range(times):
            writer.write_table(table)


# Pictures


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(
    width: int,
    height: int,
    depth: int = 8,
    colour: int = 0,
    pixels: bytes = zlib.compress(bytes(100)),
    extra: bytes = b"",
) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _images() -> Iterator[Case]:
    for size in ((50_000, 50_000), (2**31 - 1, 1), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1), (2**32 - 1, 2**32 - 1), (0,
                     0), (0, 5), (20_000, 20_000),
                 (13_000, 13_000), (12_000, 9_000), (5000, 5000)):  # fmt: skip
        for colour in (0, 2, 3, 6):
            yield Case("image", "PNG that promises too much", _among("x.png", _png(*size, colour=colour)))
    blank = _zeros(b"", 160, bits=15)
    yield Case("image", "bomb", _among("x.png", _png(12_900, 12_900, pixels=blank)))

    def bombs(folder: Path) -> Path:
        for i in range(4):
            (folder / f"{i}.png").write_bytes(_png(12_900, 12_900, pixels=blank))
        return folder

    yield Case("image", "bomb", bombs)
    for depth, colour in ((16, 0), (16, 2), (16, 4), (16, 6), (7, 0), (8, 5), (0, 0), (255, 255), (4, 2)):
        yield Case("image", "depth that can't be", _among("x.png", _png(4, 5, depth, colour)))
    text = _chunk(b"zTXt", b"k\0\0" + _zeros(b"", 500, bits=15)) + _chunk(b"iCCP", b"k\0\0" + _zeros(b"", 500, bits=15))
    yield Case("image", "bomb", _among("x.png", _png(4, 5, extra=text)), must="either")
    for header in (b"P5 99999 99999 255\n", b"P6 50000 50000 255\n", b"P5 4 5 65535\n" + bytes(40), b"P5 4 5 0\n",
                     b"P5 -4 5 255\n", b"P4 4294967296 4294967296\n",
                   b"P5 4 5 255\n", b"P5 " + b"9" * 5000 + b" 5 255\n", b"P2 4 5 255\n" + b"x " * 20, b"P7\n",
                   b"P5 4\n", b"PF 4 5 -1\n" + bytes(240)):  # fmt: skip
        yield Case("image", "PGM that lies", _among("x.pgm", header))
    for width, height in ((60_000, 60_000), (65_535, 65_535), (4, 65_535), (0, 0)):
        gif = (
            b"GIF89a"
            + struct.pack("<HHBBB", width, height, 0x80, 0, 0)
            + bytes(6)
            + b","
            + struct.pack("<HHHHB", 0, 0, width, height, 0)
            + b"\x02\x02\x44\x01\x00;"
        )
        yield Case("image", "GIF that promises too much", _among("x.gif", gif))
        bmp = (
            b"BM"
            + struct.pack("<IHHI", 100, 0, 0, 54)
            + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
            + bytes(46)
        )
        yield Case("image", "BMP that promises too much", _among("x.bmp", bmp))
        tags = b"".join(
            struct.pack("<HHII", tag, 4, 1, value)
            for tag, value in (
                (256, width),
                (257, height),
                (258, 8),
                (259, 1),
                (262, 1),
                (273, 8),
                (277, 1),
                (278, height),
                (279, 2**31),
            )
        )
        yield Case(
            "image",
            "TIFF that promises too much",
            _among("x.tif", b"II*\0\x08\0\0\0" + struct.pack("<H", 9) + tags + bytes(4)),
        )
    good = io.BytesIO()
    Image.new("L", (4, 5), 9).save(good, "png")
    for name, content in {
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='4' height='5'/>", "text": b"not a picture",
        "nothing": b"", "html": b"<html>404",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 5\n(pwned) (w) file closefile\n",
        "pdf": b"%PDF-1.7\n",
        "npy": _npy_bytes(X), "zip": _zipped({"x": b""}), "zeros": bytes(10_000), "ones": b"\xff" * 10_000,
        "icon": b"\0\0\x01\0\x01\0" + bytes(40),
        "wmf": b"\xd7\xcd\xc6\x9a" + bytes(40), "fli": bytes(4) + b"\x11\xaf" + bytes(200),
        "psd": b"8BPS\0\x01" + bytes(60), "sun": b"\x59\xa6\x6a\x95" + bytes(60),
    }.items():  # fmt: skip
        yield Case("image", f"{name} called a picture", _among("x.png", content))
    yield Case("image", "sparse picture", _among("x.png", lambda p: _sparse(p, good.getvalue())), must="either")
    yield Case("image", "sparse picture", _among("x.png", lambda p: _sparse(p, b"")))
    yield Case("image", "pipe called a picture", _among("x.png", os.mkfifo))
    yield Case("image", "device called a picture", _among("x.png", lambda p: p.symlink_to("/dev/zero")))
    yield Case("image", "socket called a picture", _among("x.png", _socket))
    yield Case("image", "link that leads nowhere", _among("x.png", lambda p: p.symlink_to("nowhere.png")))
    yield Case("image", "link to itself", _among("x.png", lambda p: p.symlink_to("x.png")))
    yield Case("image", "unreadable", _among("x.png", lambda p: p.symlink_to("/proc/self/mem")))
    yield Case("image", "folder called a picture", _among("x.png", lambda p: p.mkdir()), must="read")
    yield Case("image", "folder that holds itself", _among("loop", lambda p: p.symlink_to(".")), must="read")
    yield Case("image", "sizes that differ", _among("x.png", _png(3, 3, pixels=zlib.compress(bytes(12)))))
    yield Case("image", "pixels that lack", _among("x.png", _png(4, 5, pixels=zlib.compress(bytes(3)))))
    palette = Image.fromarray(np.arange(20, dtype=np.uint8).reshape(5, 4) % 4).convert("P")
    for name, save in {
        "a.gif": lambda p: palette.save(p, save_all=True, append_images=[palette.rotate(180)]),
        "b.png": lambda p: palette.save(p, transparency=bytes([0, 99, 255])),
        "c.jpg": lambda p: Image.new("CMYK", (4, 5), (9, 8, 7, 6)).save(p),
        "d.png": lambda p: Image.new("LA", (4, 5), (9, 8)).save(p),
        "e.png": lambda p: Image.new("1", (4, 5), 1).save(p),
        "f.PNG": lambda p: Image.new("RGBA", (4, 5), (1, 2, 3, 4)).save(p),
        "g.tif": lambda p: Image.new("CMYK", (4, 5)).save(p, compression="tiff_lzw"),
        "h.webp": lambda p: Image.new("RGB", (4, 5)).save(p, lossless=True),
        "i.jpg": lambda p: Image.new("L", (4, 5)).save(p, exif=b"Exif\0\0garbage"),
        "new\nline.png": lambda p: Image.new("L", (4, 5), 7).save(p),
    }.items():
        yield Case("image", "unusual but right", _among(name, save), must="read")
    yield Case(
        "image",
        "16 bits",
        _among("x.tif", lambda p: Image.fromarray(np.arange(20, dtype=np.uint16).reshape(5, 4)).save(p)),
    )
    yield Case("image", "floats", _among("x.tif", lambda p: Image.fromarray(np.ones((5, 4), np.float32)).save(p)))
    yield Case("image", "no pictures", lambda folder: folder)
    yield Case("image", "no pictures", _file("folder", lambda p: p.mkdir()))


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as s:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket may have 107 letters
        s.bind(path.name)
        os.chdir(here)


# MNIST's files in the cache, and Fashion-MNIST's package


def _idx() -> Iterator[Case]:
    rng = random.Random(1)

    def cached(name: str, content: bytes | Callable[[Path], object]) -> Callable[[Path], Path]:
        def write(folder: Path) -> Path:
            for each, whole in IDX.items():
                _file(each, whole)(folder)
            (folder / name).unlink()
            _file(name, content)(folder)
            return Path("mnist")

        return write

    for name, whole in IDX.items():
        for attack, content in _damages(whole, LABELS + IMAGES, rng, 15):
            yield Case("idx", attack, cached(name, content), must="either")
    images = "train-images-idx3-ubyte"
    for attack, content in {
        "header that lies": b"\0\0\x08\x03" + b"\xff" * 12, "nothing": b"", "no header": b"\0",
        "256 dimensions": b"\0\0\x08\xff" + bytes(99),
        "gzip": gzip.compress(IMAGES), "bomb": gzip.compress(bytes(10**7)), "pickle": pickle.dumps(IMAGES),
        "floats": b"\0\0\x0d\x03" + bytes(40),
    }.items():  # fmt: skip
        yield Case("idx", attack, cached(images, content))
    for attack, make in {
        "10 GB with a hole": lambda p: _sparse(p, IMAGES), "pipe": os.mkfifo,
        "device": lambda p: p.symlink_to("/dev/zero"), "folder": lambda p: p.mkdir(),
        "link to itself": lambda p: p.symlink_to(p.name), "unreadable": lambda p: p.symlink_to("/proc/self/mem"),
    }.items():  # fmt: skip
        yield Case("idx", attack, cached(images, make))
    yield Case(
        "idx", "unusual but right", cached(images, IMAGES), must="read", x=np.arange(24).reshape(4, 6) / np.float32(255)
    )

    def packed(content: Callable[[str], bytes]) -> Callable[[Path], Path]:
        def write(folder: Path) -> Path:
            for name in IDX:
                (folder / f"{name}.gz").write_bytes(content(name))
            return Path("fashion-mnist")

        return write

    bomb = b"\x1f\x8b\x08\0\0\0\0\0\0\0" + _zeros(b"", 20 * 1024) + bytes(8)
    yield Case("idx", "gzip bomb", packed(lambda name: bomb if name == images else gzip.compress(IDX[name])))
    yield Case("idx", "gzip that is none", packed(lambda name: b"\x1f\x8b nothing"))
    yield Case("idx", "gzip that is cut", packed(lambda name: gzip.compress(IDX[name])[:-9]))


# What is no file, and names that are hard to say


def _no_files() -> Iterator[Case]:
    for suffix in ("npy", "npz", "csv", "parquet"):
        name = f"x.{suffix}"
        yield Case(suffix, "pipe", _file(name, os.mkfifo))
        yield Case(suffix, "socket", _file(name, _socket))
        yield Case(suffix, "folder", _file(name, lambda p: p.mkdir()))
        yield Case(suffix, "link to itself", _file(name, lambda p: p.symlink_to(p.name)))
        yield Case(suffix, "link that leads nowhere", _file(name, lambda p: p.symlink_to("nowhere")))
        yield Case(suffix, "unreadable", _file(name, lambda p: p.symlink_to("/proc/self/mem")))
        for device in ("zero", "null", "full", "random", "tty"):
            yield Case(suffix, "device", _file(name, lambda p, d=device: p.symlink_to(f"/dev/{d}")))  # type: ignore[misc]
        for odd in (
            "a\nb",
            "\x1b[31mred",
            "\u202egnp",
            "n" * 240,
            "%s{x}",
            "\udcff",
            "'\"`$(id)",
            "a b\t",
            "-rf",
            "🦊",
        ):
            yield Case(suffix, "odd file name", _file(f"{odd}.{suffix}", b"\x93NUMPY nothing, \xff of use"))
    yield Case("no format", "device", lambda folder: Path("/dev/zero"))
    yield Case("no format", "device", lambda folder: Path("/proc/self/mem"))
    yield Case("no format", "suffix", _file("x", b"1,2\n"))
    yield Case("no format", "suffix", _file("x.npy.gz", gzip.compress(_npy_bytes(X))))
    yield Case("no format", "suffix", _file("x.pkl", pickle.dumps(X)))
    yield Case("no format", "suffix", _file("x." + "y" * 200, b""))
    yield Case("no format", "name that no file can have", lambda folder: Path("x" * 10_000))
    yield Case("no format", "name that no file can have", lambda folder: Path("x/" * 5_000))
    yield Case("no format", "name that no file can have", lambda folder: Path("~nobody/x.csv"))


def _write(case: Case, folder: Path) -> Path:
    """Where the case is, in a folder that is also the cache and a package of MNIST's files."""
    inside = folder / "mnist"
    inside.mkdir(parents=True)
    os.environ["ELBOWROOM_CACHE"] = str(folder)
    idx.DEBIAN = inside
    return case.write(inside)


def fault(case: Case, data: Dataset) -> str | None:
    """What is wrong with what was read."""
    x = np.concatenate([data.x_train, data.x_test])
    y = None if data.y_train is None or data.y_test is None else np.concatenate([data.y_train, data.y_test])
    if x.dtype != np.float32 or x.ndim != 2 or not np.isfinite(x).all():
        return f"rows of {x.dtype} and shape {x.shape}"
    if (case.label != "none") != (y is not None) and case.format not in ("image", "idx"):
        return "labels are missing"
    if y is not None and (len(y) != len(x) or not (y >= 0).all() or not (y < len(data.classes)).all()):
        return "labels do not fit"
    if case.x is not None:
        x = data.x_train if case.format == "idx" else x
        wanted = np.asarray(case.x, np.float32)
        if not np.array_equal(x[x[:, 0].argsort()], wanted[wanted[:, 0].argsort()]):
            return "other numbers than were written"
    return None


def _status(name: str) -> int:
    """Bytes of memory, as /proc calls them."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) * 1024


def _outcome(case: Case, path: Path) -> tuple[str, str]:
    """What came of a case, and the message, read as --dataset reads."""
    try:
        return "read", fault(case, load_dataset(str(path), label_column=case.label)) or ""
    except BadInput as error:
        return "refused", str(error)
    except Exception:
        return "raised", traceback.format_exc()


def main(folder: Path, every: int) -> None:
    """Read every so-manieth case and print what came of each, as a line of JSON."""
    logging.disable()  # or each file that is removed from the cache is told
    for name, sums in idx.MD5.items():
        idx.MD5[name] = {file: hashlib.md5(IDX[file]).hexdigest() for file in sums}
    idx.SOURCES.update({"mnist": [], "fashion-mnist": [("the package", idx._debian)]})
    for number, case in enumerate(cases()):
        if number % every:
            continue
        place = folder / str(number)
        path = _write(case, place)
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        before = _status("VmRSS")
        resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + MEMORY, resource.RLIM_INFINITY))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            start = time.process_time()  # of the processor: others on it make no file slower
            outcome, message = _outcome(case, path)
            seconds = time.process_time() - start
        told = {
            "format": case.format, "attack": case.attack, "must": case.must, "path": str(path), "outcome": outcome,
            "message": message, "seconds": seconds, "memory": _status("VmHWM") - before,
            "warned": [str(w.message) for w in warned],
        }  # fmt: skip
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(json.dumps(told), flush=True)
        shutil.rmtree(place)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
