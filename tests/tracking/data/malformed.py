"""Malformed data files, the same ones each time: good files with damage, and a table of mistakes."""

from __future__ import annotations

import gzip
import io
import pickle
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
from PIL import Image

X = np.round(np.random.default_rng(0).normal(size=(12, 4)), 3)
X[:, 0] = np.arange(12)  # which row it is
BYTES = np.random.default_rng(1).integers(0, 256, (12, 5, 4), dtype=np.uint8)
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
        """What --dataset names, in an empty folder."""
        if self.format == "image":  # a picture between three good ones, which differ
            for i in range(3):
                Image.new("L", (4, 5), 60 * i).save(folder / f"good{i}.png")
        path = folder / self.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.content)
        return str(folder if self.format == "image" else path)


class Bomb:
    """Leaves a file in the working folder where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (Path(UNPICKLED),)


def cases() -> Iterator[Case]:
    """All of them, in one order."""
    for make in (_damaged, _arrays, _csv, _parquet, _images, _others):
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


def _zip(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _stored(columns: dict[str, Any], **options: Any) -> bytes:
    return made(lambda file: parquet.write_table(pa.table(columns), file, **options))


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
    counts = {"npy": 55, "npz": 75, "csv": 40, "parquet": 80, "image": 30}
    for format_, files in whole().items():
        others = [*files.values()][1:] + [*files.values()][:1]
        for (name, content), other in zip(files.items(), others, strict=True):
            for attack, damaged in _damages(content, other, rng, counts[format_]):
                label = "kind" if name in ("a.npz", "a.csv", "a.parquet") and rng.random() < 0.5 else "none"
                # The other formats have neither a length nor a checksum.
                short = attack == "cut" and format_ not in ("csv", "image")
                yield Case(format_, attack, name, damaged, label, "refused" if short else "either")


# Made by hand


def _arrays() -> Iterator[Case]:
    for kind in ("f2", "f4", ">f4", ">f8", "g", "i1", "u2", ">i2", "i4", "i8", ">i8", "u8"):
        array = X.round().clip(0, 100).astype(kind)
        yield Case("npy", "unusual but right", "A.NPY", _npy(array), "none", "read", array.astype("f4"))
        yield Case("npz", "unusual but right", "a.npz", _npz(any=np.asfortranarray(array)), "none", "read", array)
    about = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}"
    shapes = ("(13, 4)", "(1099511627776, 4)", "12", "(3.0, 4)", "(3, 4", "__import__('pathlib').Path('unpickled')")
    texts = [about.format("'<f8'", shape) for shape in shapes]
    texts += [about.format(kind, "(3, 4)") for kind in ("'|O'", "[('a', '|O')]", "'nonsense'", "None", "'T'")]
    for text in (*texts, "", "{", "1" * 60_000, "\0" * 50):
        headed = b"\x93NUMPY\1\0" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + bytes(96)
        yield Case("npy", "header that does not fit", "a.npy", headed)
        yield Case("npz", "header that does not fit", "a.npz", _zip("x.npy", headed))
    for member, content in (("x.txt", b"hello"), ("x.npy", b""), ("x.npy", pickle.dumps(Bomb())), ("folder/", b""),
                            ("x.npy", _npz(x=X)), ("../x.npy", b"no"), ("\x1b[31m.npy", b"no")):  # fmt: skip
        yield Case("npz", "member that is no array", "a.npz", _zip(member, content))
    for labels in (np.arange(12) * 1j, np.array([b"\xff"] * 12), np.array([Bomb()] * 12)):
        yield Case("npz", "labels that are none", "a.npz", _npz(x=X, kind=labels), "kind")


def _csv() -> Iterator[Case]:
    rows = "1,3,2\n4,5,6\n7,8,0\n"
    long = "n" * 10_000
    refused = {
        "long name": [f"{long},b\n1,2\n3,\n5,6\n", f"a,{long}\n1,x\n3,4\n5,6\n", f"{long}\n" + "x\n" * 9],
        "control characters": ["a,b\n1,2\0\n3,4\n5,6\n", "\0" * 99, "a\x1b[31m\x07,b\n1,2\n3,\n5,6\n"],
        "no finite number": [f"a,b\n1,2\n{bad},4\n5,6\n" for bad in ("nan", "inf", "1e400", "1e39", "NA")],
        "no number": [f"a,b\n1,2\n{bad},4\n5,6\n" for bad in (
            "1;2", "1_000", "0x1p3", "1e", "--1", "1 2", "٣", "１", "½", "2020-01-01", "12:30", "=1+1", "\u202e1",
        )],
        "header alone": ["a,b", "1,2,3", "a", "\n\n\n", " ", ",", '""\n'],
        "quote never closed": ['a,b\n"1,2\n3,4\n', '"a,b\n1,2\n3,4\n', '"' * 999],
        "other languages": ["<html><body>404</body></html>\n" * 9, '{"a": [1, 2]}\n' * 3, "%PDF-1.7\n" * 9],
        "one long line": ["1" * 2_000_000, '"' + "a" * 3_000_000 + '"\n1\n2\n', "a,b\n1,2\n" + "1" * 20_000_000],
    }  # fmt: skip
    for attack, texts in refused.items():
        for text in texts:
            yield Case("csv", attack, "a.csv", text.encode())
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-7", "latin-1"):
        yield Case("csv", "another encoding", "a.csv", ("aé,b\n" + rows[:-1]).encode(encoding))
    yield Case("csv", "another encoding", "a.csv", "a,kind\n1,café\n3,b\n5,b\n".encode("latin-1"), "kind")
    for label in ("q\n", long, ""):
        yield Case("csv", "labels that are none", "a.csv", rows.encode(), label)
    for text in ("a,b,c\r\n" + rows.replace("\n", "\r\n"), rows.replace("\n", "\r"), "\n\na,b,c\n" + rows,
                 "a,a,a\n" + rows, "größe,名前,🦊\n" + rows, rows.replace("5", "+5.0e0"), f"a,{long},c\n" + rows,
                 "a\0,b,c\n" + rows):  # fmt: skip
        read = [[1, 3, 2], [4, 5, 6], [7, 8, 0]]
        yield Case("csv", "unusual but right", "a.csv", text.encode(), "none", "read", read)


def _parquet() -> Iterator[Case]:
    three = {
        "deep": [[[[1]]]] * 3, "map": pa.array([[("k", 1)]] * 3, pa.map_(pa.string(), pa.int8())),
        "binary": [b"\xff", b"", b"1"], "null": pa.nulls(3), "nan": [1.0, np.nan, 3.0], "inf": [1.0, np.inf, 3.0],
    }  # fmt: skip
    words = {
        "large string": pa.array(["1", "2", "3"], pa.large_string()), "date": pa.array([1, 2, 3], pa.date32()),
        "time": pa.array([1, 2, 3], pa.time64("us")), "timestamp": pa.array([1, 2, 3], pa.timestamp("ns", "UTC")),
        "duration": pa.array([1, 2, 3], pa.duration("s")), "decimal": pa.array([1, 2, 3], pa.decimal128(9, 2)),
        "dictionary": pa.array(list("aba")).dictionary_encode(), "fixed bytes": pa.array([b"ab"] * 3, pa.binary(2)),
    }  # fmt: skip
    for kind, column in (three | words).items():
        content = _stored({"a": [1.0, 2.0, 4.0], "b": column})
        yield Case("parquet", f"column of type {kind}", "a.parquet", content)
        must: Literal["refused", "either"] = "either" if kind in words else "refused"
        yield Case("parquet", f"labels of type {kind}", "a.parquet", content, "b", must)
    for columns in ({}, {"a": pa.array([], pa.float64())}, {"": [1, 2, 3], "b": [1, 2, 3]}):
        yield Case("parquet", "too little", "a.parquet", _stored(columns))
    for kind in ("f2", "f4", "i1", "u2", "i8", "u8"):
        x = np.arange(12).reshape(4, 3).astype(kind)
        content = _stored({"a": x[:, 0], "b": x[:, 1], "a.b": x[:, 2]})
        yield Case("parquet", "unusual but right", "year=2020/a.parquet", content, "none", "read", x)


def _images() -> Iterator[Case]:
    for text in (b"P5 99999 99999 255\n", b"P5 4 5 65535\n" + bytes(40), b"P5 4 5 0\n", b"P5 -4 5 255\n",
                 b"P5 4 5 255\n", b"P7\n", b"PF 4 5 -1\n" + bytes(240)):  # fmt: skip
        yield Case("image", "PGM that does not fit", "x.pgm", text)
    yield Case("image", "16 bits", "x.tif", _picture(Image.fromarray(BYTES[0].astype(np.uint16)), "tiff"))
    yield Case("image", "floats", "x.tif", _picture(Image.fromarray(np.ones((5, 4), np.float32)), "tiff"))
    palette = Image.fromarray(np.arange(20, dtype=np.uint8).reshape(5, 4) % 4).convert("P")
    for name, content in {
        "a.gif": _picture(palette, "gif"),
        "b.png": _picture(palette, transparency=bytes([255, 255])),
        "c.jpg": _picture(Image.new("CMYK", (4, 5), (9, 8, 7, 6)), "jpeg"),
        "e.png": _picture(Image.new("1", (4, 5), 1)),
        "g.tif": _picture(Image.new("CMYK", (4, 5)), "tiff", compression="tiff_lzw"),
        "h.webp": _picture(Image.new("RGB", (4, 5)), "webp", lossless=True),
        "i.jpg": _picture(Image.new("L", (4, 5)), "jpeg", exif=b"Exif\0\0garbage"),
        "new\nline.png": _picture(Image.new("L", (4, 5), 7)),
        "deeper/a.png": _picture(Image.new("L", (4, 5), 7)),
    }.items():
        yield Case("image", "unusual but right", name, content, "none", "read")


def _others() -> Iterator[Case]:
    """Other formats, and names that are hard to print."""
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 5\n(unpickled) (w) file closefile\n"
    contents = (b"", pickle.dumps(Bomb()), gzip.compress(_npy(X)), b"PK" * 99, b"PAR1" * 99, bytes(range(256)) * 40,
                b"<svg xmlns='http://www.w3.org/2000/svg' width='4' height='5'/>", postscript)  # fmt: skip
    for format_, suffix in (("npy", "npy"), ("npz", "npz"), ("csv", "csv"), ("parquet", "parquet"), ("image", "png")):
        for content in contents:
            yield Case(format_, "another format", f"x.{suffix}", content)
    for suffix in ("npy", "npz", "csv", "parquet"):
        for odd in ("a\nb", "\x1b[31mred", "\u202egnp", "n" * 240, "%s{x}", "\udcff", "'`$(id)", "a b\t", "-rf", "🦊"):
            yield Case(suffix, "odd file name", f"{odd}.{suffix}", b"\x93NUMPY nothing, \xff of use")
    for name in ("x", "x.npy.gz", "x.pkl", "x." + "y" * 200):
        yield Case("no format", "suffix", name, pickle.dumps(Bomb()))
