"""Malformed data files, the same ones each time: good files with damage, and a table of mistakes."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
from PIL import Image

from elbowroom.tracking.data import mnist

X = np.round(np.random.default_rng(0).normal(size=(12, 4)), 3)
X[:, 0] = np.arange(12)  # which row it is
BYTES = np.random.default_rng(1).integers(0, 256, (12, 5, 4), dtype=np.uint8)
IMAGES = b"\0\0\x08\x03" + struct.pack(">3I", 4, 3, 2) + bytes(range(24))
LABELS = b"\0\0\x08\x01" + struct.pack(">I", 4) + bytes([3, 1, 4, 1])
IDX = {name: IMAGES if "images" in name else LABELS for name in mnist._MD5["mnist"]}
UNPICKLED = "unpickled"  # what a pickle here leaves in the working folder


class Case(NamedTuple):
    """A file, what is done with it and what must come of it. Where `x` is given, just that is read."""

    format: str
    attack: str
    name: str
    content: bytes
    label: str = "none"
    must: Literal["refused", "read", "either"] = "refused"
    x: Any = None

    def write(self, folder: Path) -> str:
        """What --dataset names, in an empty folder `mnist`, which is also MNIST's cache."""
        if self.format == "idx":
            for name, whole in IDX.items():
                (folder / name).write_bytes(whole)
        elif self.format == "image":  # a picture between three good ones, which differ
            for i in range(3):
                Image.new("L", (4, 5), 60 * i).save(folder / f"good{i}.png")
        path = folder / self.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.content)
        return {"idx": "mnist", "image": str(folder)}.get(self.format, str(path))


def cases() -> Iterator[Case]:
    """All of them, in one order."""
    for make in (_damaged, _arrays, _headers, _zips, _csv, _parquet, _images, _idx, _names):
        yield from make()


def made(write: Callable[[io.BytesIO], object]) -> bytes:
    """What a library writes into a file."""
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _npy(array: Any) -> bytes:
    return made(lambda file: np.save(file, array))


def _npz(**arrays: Any) -> bytes:
    return made(lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


def _zip(members: dict[str, bytes]) -> bytes:
    def write(file: io.BytesIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), content)

    return made(write)


def _stored(columns: dict[str, Any], notes: dict[str, str] | None = None, **options: Any) -> bytes:
    return made(lambda file: parquet.write_table(pa.table(columns, metadata=notes), file, **options))


def _picture(picture: Image.Image, kind: str = "png", **options: Any) -> bytes:
    return made(lambda file: picture.save(file, kind, **options))


# Good files of every format, cut, with flipped, zeroed and doubled bytes, and with another's end.


def whole() -> dict[str, dict[str, bytes]]:
    """Good files: name and content, by format."""
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=list("uvwx") * 3)
    table = {name: frame[name] for name in frame}
    text = frame.to_csv(index=False).encode()
    noise = Image.fromarray(np.random.default_rng(2).integers(0, 256, (5, 4, 3), dtype=np.uint8))
    kinds = ("RGB.png", "P.png", "RGB.jpeg", "CMYK.jpeg", "P.gif", "RGB.bmp", "RGB.tiff", "RGB.webp", "RGB.ppm")
    return {
        "npy": {"a.npy": _npy(X), "b.npy": _npy(np.asfortranarray(X.astype(">f4"))), "c.npy": _npy(BYTES)},
        "npz": {
            "a.npz": _npz(x=X, kind=np.array(list("uvwx") * 3)),
            "b.npz": made(lambda file: np.savez_compressed(file, x_train=BYTES)),
        },
        "csv": {
            "a.csv": text,
            "b.csv": b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
            "c.csv": frame.drop(columns="kind").to_csv(index=False, header=False, quoting=1).encode(),
        },
        "parquet": {
            f"{name}.parquet": _stored(table, compression=compression)
            for name, compression in (("a", "snappy"), ("b", "zstd"), ("c", "none"))
        },
        "image": {name: _picture(noise.convert(name.split(".")[0]), name.split(".")[1]) for name in kinds},
        "idx": IDX,
    }


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


def _damaged() -> Iterator[Case]:
    rng = random.Random(0)
    counts = {"npy": 55, "npz": 75, "csv": 40, "parquet": 80, "image": 30, "idx": 20}
    for format_, files in whole().items():
        others = [*files.values()][1:] + [*files.values()][:1]
        for (name, content), other in zip(files.items(), others, strict=True):
            for attack, damaged in _damages(content, other, rng, counts[format_]):
                label = "kind" if name in ("a.npz", "a.csv", "a.parquet") and rng.random() < 0.5 else "none"
                # The other formats have neither a length nor a checksum.
                short = attack == "cut" and format_ not in ("csv", "image")
                yield Case(format_, attack, name, damaged, label, "refused" if short else "either")


# Arrays that are no rows of numbers, and .npy headers that do not fit


class Bomb:
    """Leaves a file in the working folder where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (Path(UNPICKLED),)


def _arrays() -> Iterator[Case]:
    arrays = {
        "Python objects": [np.array([[Bomb(), 1], [2, 3]], object)],
        "text": [np.array([["a", "b"], ["c", "d"]]), np.array([[b"a", b"b"], [b"c", b"d"]])],
        "dates and times": [X.astype("M8[s]"), X.astype("m8[s]")],
        "complex numbers": [X * 1j],
        "structured numbers": [np.zeros(12, "f8,f8"), np.zeros((12, 4), "V8")],
        "no finite number": [np.where(X == 5, bad, X) for bad in (np.nan, np.inf, -np.inf, 1e300, -3.5e38)],
        "too little": [X[:0], X[:1], X[:, :0], np.ones((12, 4)), X[0], np.array(3.0)],
    }
    for attack, several in arrays.items():
        for array in several:
            yield Case("npy", attack, "a.npy", _npy(array))
            yield Case("npz", attack, "a.npz", _npz(x=array))
    for dtype in ("f2", "f4", ">f4", ">f8", "g", "i1", "u2", ">i2", "i4", "i8", ">i8", "u8"):
        array = X.round().clip(0, 100).astype(dtype)
        yield Case("npy", "unusual but right", "A.NPY", _npy(array), "none", "read", array.astype("f4"))
        yield Case("npz", "unusual but right", "a.npz", _npz(any=np.asfortranarray(array)), "none", "read", array)


def _headed(text: str, version: int = 1) -> bytes:
    size = struct.pack("<H" if version == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode() + b"\n" + bytes(96)


def _headers() -> Iterator[Case]:
    about = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}"
    shapes = (
        "(13, 4)", "(1099511627776, 4)", "(0, 4)", "()", "(12,)", "12", "None", "[3, 4]", "(3.0, 4)", "(3, 4", "{}",
        "(3, (4,))", "__import__('pathlib').Path('unpickled').touch()", "(" * 4000 + ")" * 4000,
    )  # fmt: skip
    descrs = ("'|O'", "[('a', '|O')]", "'<f7'", "'nonsense'", "''", "None", "8", "'f8,f8'", "'<U2'", "'T'")
    texts = [about.format("'<f8'", shape) for shape in shapes] + [about.format(descr, "(3, 4)") for descr in descrs]
    for text in (*texts, "", "{", "[]", "{'descr': '<f8'}", "a" * 9000, "1" * 60_000, "\0" * 50):
        yield Case("npy", "header that does not fit", "a.npy", _headed(text))
        yield Case("npz", "header that does not fit", "a.npz", _zip({"x.npy": _headed(text)}))
    for version in (0, 4, 255):
        yield Case("npy", "version of the format", "a.npy", _headed(texts[0], version))


def _zips() -> Iterator[Case]:
    for labels in (np.arange(12) * 1j, np.arange(11), np.where(X == 5, np.nan, X)[:, 0], np.array([b"\xff"] * 12)):
        yield Case("npz", "labels that are none", "a.npz", _npz(x=X, kind=labels), "kind")
    yield Case("npz", "labels that are none", "a.npz", _npz(x=X, kind=np.array([Bomb()] * 12)), "kind")
    for archive in (_npz(x=X), _npz(kind=np.arange(12)), _npz(u=X, v=X, kind=np.arange(12)), _npz()):
        yield Case("npz", "arrays that are not there", "a.npz", archive, "kind")
    for member in ({"x.txt": b"hello"}, {"x": b""}, {"x.npy": b""}, {"x.npy": pickle.dumps(Bomb())}, {"folder/": b""},
                   {"x.npy": _npz(x=X)}, {"../x.npy": b"no"}, {"\x1b[31m.npy": b"no"}):  # fmt: skip
        yield Case("npz", "member that is no array", "a.npz", _zip(member))
    for content in (b"", pickle.dumps(Bomb()), b"a,b\n1,2\n", gzip.compress(_npy(X)), b"PK\x03\x04", b"PK" * 99):
        for format_ in ("npy", "npz"):
            yield Case(format_, "another format", f"a.{format_}", content)
    yield Case("npz", "unusual but right", "a.npz", _npy(X), "none", "read", X)
    yield Case("npy", "unusual but right", "a.npy", _npz(x=X), "none", "read", X)


# Tables


def _csv() -> Iterator[Case]:
    rows = "1,3,2\n4,5,6\n7,8,0\n"
    long = "n" * 10_000
    refused = {
        "long name": [f"{long},b\n1,2\n3,\n5,6\n", f"a,{long}\n1,x\n3,4\n5,6\n", f"{long}\n" + "x\n" * 9],
        "NUL and control characters": ["a,b\n1,2\0\n3,4\n5,6\n", "\0" * 99, "a\x1b[31m\x07,b\n1,2\n3,\n5,6\n"],
        "ragged rows": ["a,b\n1,2\n3\n5,6\n", "a,b\n1,2,3\n4,5\n6,7\n", "1\n2,3\n4,5\n", "a,b,c\n1,2,3,4\n1,2,3\n"],
        "no finite number": [f"a,b\n1,2\n{bad},4\n5,6\n" for bad in ("nan", "inf", "-inf", "1e400", "1e39", "NA", "")],
        "no number": [f"a,b\n1,2\n{bad},4\n5,6\n" for bad in (
            "x", "1;2", '"1,5"', "1_000", "0x1p3", "1e", "--1", "1 2", "٣", "１", "½", "2020-01-01", "12:30", "<b>",
            "=1+1", "\u202e1",
        )],
        "header alone": ["a,b", "1,2,3", "a", "\n\n\n", "", " ", ",", '""\n'],
        "names of rows": [",a,b\n" + rows, "Unnamed: 0,b,c\n" + rows, "a,b,\n" + rows],
        "quote never closed": ['a,b\n"1,2\n3,4\n5,6\n', '"a,b\n1,2\n3,4\n', '"' * 999],
        "other separators": ["a;b\n1;2\n3;4\n", "a\tb\n1\t2\n3\t4\n", "a|b\n1|2\n3|4\n", "a b\n1 2\n3 4\n5 6\n"],
        "other languages": ["<html><body>404</body></html>\n" * 9, '{"a": [1, 2]}\n' * 3, "%PDF-1.7\n" * 9],
        "one long line": ["1" * 2_000_000, '"' + "a" * 3_000_000 + '"\n1\n2\n', "a,b\n1,2\n" + "1" * 20_000_000],
    }  # fmt: skip
    for attack, texts in refused.items():
        for text in texts:
            yield Case("csv", attack, "a.csv", text.encode())
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-7", "latin-1"):
        yield Case("csv", "another encoding", "a.csv", ("aé,b\n" + rows[:-1]).encode(encoding))
    yield Case("csv", "another encoding", "a.csv", "a,kind\n1,café\n3,b\n5,b\n".encode("latin-1"), "kind")
    for content in (gzip.compress(b"a,b\n1,2\n3,4\n"), _npy(X), bytes(range(256)) * 40, pickle.dumps(Bomb())):
        yield Case("csv", "another format", "a.csv", content)
    for label, text in (("kind", rows), ("a", "a,a,b\n" + rows), ("b", "a,b\n1,x\n2,\n3,y\n"), ("c", "c\nx\ny\nz\n"),
                        ("q\n", rows), (long, rows), ("", rows)):  # fmt: skip
        yield Case("csv", "labels that are none", "a.csv", text.encode(), label)
    for text in ("\ufeffa,b,c\n" + rows, "a,b,c\r\n" + rows.replace("\n", "\r\n"), rows.replace("\n", "\r"),
                 "\n\n" + rows, "\n\na,b,c\n" + rows, "a,a,a\n" + rows, "größe,名前,🦊\n" + rows,
                 rows.replace("2", '"2"'), rows.replace("5", "+5.0e0"), rows.replace("\n", "\n\n"),
                 f"a,{long},c\n" + rows, "a\0,b,c\n" + rows):  # fmt: skip
        yield Case(
            "csv", "unusual but right", "a.csv", text.encode(), "none", "read", [[1, 3, 2], [4, 5, 6], [7, 8, 0]]
        )


def _parquet() -> Iterator[Case]:
    three = {
        "struct": [{"u": 1}, {"u": 2}, {"u": 3}], "list": [[1], [2, 3], []], "deep": [[[[1]]]] * 3,
        "map": pa.array([[("k", 1)]] * 3, pa.map_(pa.string(), pa.int8())), "binary": [b"\xff", b"", b"1"],
        "null": pa.nulls(3), "nulls": [1, None, 3], "nan": [1.0, np.nan, 3.0], "inf": [1.0, np.inf, 3.0],
    }  # fmt: skip
    words = {
        "string": ["a", "1", "2"], "large string": pa.array(["1", "2", "3"], pa.large_string()),
        "date": pa.array([1, 2, 3], pa.date32()), "time": pa.array([1, 2, 3], pa.time64("us")),
        "timestamp": pa.array([1, 2, 3], pa.timestamp("ns", "UTC")), "duration": pa.array([1, 2, 3], pa.duration("s")),
        "decimal": pa.array([1, 2, 3], pa.decimal128(9, 2)), "dictionary": pa.array(list("aba")).dictionary_encode(),
        "fixed bytes": pa.array([b"ab"] * 3, pa.binary(2)),
    }  # fmt: skip
    for kind, column in (three | words).items():
        content = _stored({"a": [1.0, 2.0, 4.0], "b": column})
        yield Case("parquet", f"column of type {kind}", "a.parquet", content)
        must: Literal["refused", "either"] = "either" if kind in words else "refused"
        yield Case("parquet", f"labels of type {kind}", "a.parquet", content, "b", must)
    for columns in ({}, {"a": pa.array([], pa.float64())}, {"a": [1.0]}, {"a": [1, 1, 1]}):
        yield Case("parquet", "too little", "a.parquet", _stored(columns))
    for name in ("", "Unnamed: 0", "__index_level_0__"):
        yield Case("parquet", "names of rows", "a.parquet", _stored({name: [1, 2, 3], "b": [1, 2, 3]}))
    for text in ("{", "[]", '{"index_columns": 5}', '{"index_columns": ["zz"]}', '{"index_columns": ["a", "b"]}',
                 '{"index_columns": [{"kind": "range"}]}', "\x00", "9" * 5000):  # fmt: skip
        content = _stored({"a": [1, 2, 3], "b": [1, 2, 4]}, {"pandas": text})
        yield Case("parquet", "pandas' notes that do not fit", "a.parquet", content, "none", "either")
    good = whole()["parquet"]["a.parquet"]
    footer = len(good) - 8 - struct.unpack("<I", good[-8:-4])[0]
    for content in (
        *(good[:-8] + struct.pack("<I", length) + b"PAR1" for length in (0, 1, 2**31 - 1, len(good), len(good) - 12)),
        b"PAR1" + bytes(footer - 4) + good[footer:], b"PAR1" + b"\xff" * (footer - 4) + good[footer:],
        b"PARE" + good[4:-4] + b"PARE",
    ):  # fmt: skip
        yield Case("parquet", "footer or pages that do not fit", "a.parquet", content)
    for content in (b"", b"PAR1", b"PAR1" * 99, b"a,b\n1,2\n", _npy(X), pickle.dumps(Bomb())):
        yield Case("parquet", "another format", "a.parquet", content)
    for kind in ("f2", "f4", "i1", "u2", "i8", "u8"):
        x = np.arange(12).reshape(4, 3).astype(kind)
        content = _stored({"a": x[:, 0], "b": x[:, 1], "a.b": x[:, 2]})
        yield Case("parquet", "unusual but right", "year=2020/a.parquet", content, "none", "read", x)


# Pictures


def _png(depth: int, colour: int, size: tuple[int, int] = (4, 5), pixels: int = 100) -> bytes:
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(pixels))),
        (b"IEND", b""),
    )
    packed = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _images() -> Iterator[Case]:
    for depth, colour in ((16, 0), (16, 2), (16, 4), (16, 6), (7, 0), (8, 5), (0, 0), (255, 255), (4, 2)):
        yield Case("image", "depth that can't be", "x.png", _png(depth, colour))
    for size in ((0, 5), (20_000, 20_000), (5000, 5000), (3, 3)):
        yield Case("image", "size that can't be", "x.png", _png(8, 0, size))
    yield Case("image", "pixels that lack", "x.png", _png(8, 0, pixels=3))
    for text in (b"P5 99999 99999 255\n", b"P5 4 5 65535\n" + bytes(40), b"P5 4 5 0\n", b"P5 -4 5 255\n",
                 b"P5 4 5 255\n", b"P2 4 5 255\n" + b"x " * 20, b"P7\n", b"P5 4\n",
                 b"PF 4 5 -1\n" + bytes(240)):  # fmt: skip
        yield Case("image", "PGM that does not fit", "x.pgm", text)
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 5\n(unpickled) (w) file closefile\n"
    for content in (b"<svg xmlns='http://www.w3.org/2000/svg' width='4' height='5'/>", b"not a picture", b"", _npy(X),
                    b"<html>404", postscript, b"%PDF-1.7\n", _zip({"x": b""}), bytes(10_000), b"\xff" * 10_000,
                    b"8BPS\0\x01" + bytes(60), pickle.dumps(Bomb())):  # fmt: skip
        yield Case("image", "another format", "x.png", content)
    yield Case("image", "16 bits", "x.tif", _picture(Image.fromarray(BYTES[0].astype(np.uint16)), "tiff"))
    yield Case("image", "floats", "x.tif", _picture(Image.fromarray(np.ones((5, 4), np.float32)), "tiff"))
    yield Case("image", "another size", "x.png", _picture(Image.new("L", (5, 4))))
    palette = Image.fromarray(np.arange(20, dtype=np.uint8).reshape(5, 4) % 4).convert("P")
    for name, content in {
        "a.gif": _picture(palette, "gif"),
        "b.png": _picture(palette, transparency=bytes([255, 255])),
        "c.jpg": _picture(Image.new("CMYK", (4, 5), (9, 8, 7, 6)), "jpeg"),
        "d.png": _picture(Image.new("LA", (4, 5), (9, 255))),
        "e.png": _picture(Image.new("1", (4, 5), 1)),
        "f.PNG": _picture(Image.new("RGBA", (4, 5), (1, 2, 3, 255))),
        "g.tif": _picture(Image.new("CMYK", (4, 5)), "tiff", compression="tiff_lzw"),
        "h.webp": _picture(Image.new("RGB", (4, 5)), "webp", lossless=True),
        "i.jpg": _picture(Image.new("L", (4, 5)), "jpeg", exif=b"Exif\0\0garbage"),
        "new\nline.png": _picture(Image.new("L", (4, 5), 7)),
        "deeper/a.png": _picture(Image.new("L", (4, 5), 7)),
    }.items():
        yield Case("image", "unusual but right", name, content, "none", "read")


# MNIST's files, and names that are hard to print


def _idx() -> Iterator[Case]:
    name = "train-images-idx3-ubyte"
    for content in (b"", b"\0", b"\0\0\x08\xff" + bytes(99), gzip.compress(IMAGES), pickle.dumps(Bomb())):
        yield Case("idx", "another format", name, content)
    x = np.arange(24).reshape(4, 6) / np.float32(255)
    yield Case("idx", "unusual but right", name, IMAGES, "none", "read", x)


def _names() -> Iterator[Case]:
    for suffix in ("npy", "npz", "csv", "parquet"):
        for odd in ("a\nb", "\x1b[31mred", "\u202egnp", "n" * 240, "%s{x}", "\udcff", "'`$(id)", "a b\t", "-rf", "🦊"):
            yield Case(suffix, "odd file name", f"{odd}.{suffix}", b"\x93NUMPY nothing, \xff of use")
    for name in ("x", "x.npy.gz", "x.pkl", "x." + "y" * 200):
        yield Case("no format", "suffix", name, pickle.dumps(Bomb()))
    notes = json.dumps({"index_columns": ["kind"], "columns": [], "column_indexes": []})
    table = _stored({"a": [1, 2, 3], "kind": list("uvw")}, {"pandas": notes})
    yield Case("parquet", "unusual but right", "a.parquet", table, "none", "read", [[1], [2], [3]])
