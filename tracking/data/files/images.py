"""The reader of a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageOps

from ...store.errors import BadInput
from .base import Contents, Request, Table, check_memory, reading, sampled, shown

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # some others in Pillow start programs
_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Folders that are parts of a data set, and no classes."""
_DEEP = ("I;16", "I;16B", "I;16L", "I")  # modes of grey pictures of 16 bits


def read_images(folder: Path, wanted: Request) -> Contents:
    """Every image below a folder, in the order of the paths; labelled by subfolder if each is in one. Raises BadInput.

    Subfolders `train`, `val` and `test` are the parts of the data set. All images must have one size, unless they are
    resized. They are grey if all files are, else in colour.
    """
    if wanted.label_column is not None:
        raise BadInput(f"{folder}: a folder has no columns; its images are labelled by the subfolders they are in")
    inside = ((p, p.relative_to(folder).parts) for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    # Systems and editors leave hidden files: thumbnails, checkpoints, ._1.png
    files = sorted(p for p, parts in inside if not p.is_dir() and not any(part.startswith(".") for part in parts))
    if not files:
        raise BadInput(f"{folder}: holds no images; allowed: {', '.join(_SUFFIXES)}")
    top = {file.relative_to(folder).parts[0] if file.parent != folder else "" for file in files}
    parts = {_PARTS.get(name.lower(), "") for name in top}
    if "" in parts or (parts == {"val"} or len(top) != len(parts)):
        return Contents(_pictures(folder, files, wanted))
    if "train" not in parts and not wanted.test:
        raise BadInput(
            f"{folder}: its subfolders {', '.join(sorted(top))} are parts of a data set, not classes, and there is no "
            "train; give one of them as dataset and another as test_data"
        )
    by_part = {
        _PARTS[name.lower()]: _pictures(folder / name, [f for f in files if (folder / name) in f.parents], wanted)
        for name in sorted(top)
    }
    train = by_part.get("train") or next(iter(by_part.values()))
    return Contents(train, by_part.get("val"), by_part.get("test"))


def _pictures(folder: Path, files: Sequence[Path], wanted: Request) -> Table:
    """Pictures of one folder, or a sample of them for --rows."""
    kept = sampled(len(files), wanted)
    files = files[kept] if isinstance(kept, slice) else [files[i] for i in kept]
    pictures: list[Image.Image] = []
    for file in shown(files, folder.name, "image"):
        with reading(file):
            picture = _picture(file)
            if wanted.resize is not None:
                picture = picture.resize(wanted.resize, Image.Resampling.BILINEAR, reducing_gap=3.0)
        if not pictures:
            check_memory(folder, len(files), picture.width * picture.height * len(picture.getbands()), wanted)
        pictures.append(picture)
        if picture.size != pictures[0].size:
            raise BadInput(
                f"{file}: is {picture.width}x{picture.height} pixels, {files[0].name} is "
                f"{pictures[0].width}x{pictures[0].height}; all must be of one size; --resize "
                f"{pictures[0].width}x{pictures[0].height} makes them so"
            )
    deep = [p.mode in _DEEP for p in pictures]
    if any(deep) and not all(deep):
        raise BadInput(f"{files[deep.index(True)]}: has 16 bits a pixel and another has 8; save all alike")
    mode = "L" if all(p.mode == "L" for p in pictures) else "RGB"
    arrays = [np.asarray(p).astype(np.uint16) if all(deep) else np.asarray(p.convert(mode)) for p in pictures]
    classes = [file.relative_to(folder).parts[0] if file.parent != folder else None for file in files]
    columns = pa.table({} if None in classes else {"class": classes})
    notes = () if wanted.resize is None else (f"resized to {wanted.resize[0]}x{wanted.resize[1]}",)
    label = None if None in classes else "class"
    return Table(np.stack(arrays), columns, label, from_pictures=True, notes=notes)


def _picture(file: Path) -> Image.Image:
    """A picture, upright, in mode L or RGB, or in grey of 16 bits."""
    # Opened as a stream: by its name Pillow maps an uncompressed TIFF, and mixes up the rows of one stored sideways.
    with file.open("rb") as content, Image.open(content, formats=_FORMATS) as picture:
        # The last part of a tile is the decoder's raw mode; of a PPM it holds the largest value.
        modes = [tile[3] for tile in picture.tile]
        deep = any(";16" in str(m) or (picture.format == "PPM" and isinstance(m, tuple) and m[-1] > 255) for m in modes)
        if picture.mode.startswith("F") or (deep and picture.mode not in _DEEP):
            raise BadInput(f"{file}: has more than 16 bits a pixel, or colours of 16 bits; save such data as .npy")
        count = getattr(picture, "n_frames", 1)
        if count > 1 and picture.format != "MPO":  # a JPEG to which the camera appended a preview or a depth map
            kind = "pages" if picture.format == "TIFF" else "frames"
            raise BadInput(f"{file}: has {count} {kind}; save each as a picture of its own")
        if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise BadInput(f"{file}: has transparent pixels; save it on a background of one colour")
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in _DEEP:
            if np.asarray(upright).max() >= 2**16:
                raise BadInput(f"{file}: has more than 16 bits a pixel; save such data as .npy")
            return upright.copy()
        return upright.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
