"""The reader of a folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ...store.errors import BadInput
from .base import Request, Table, checked_table, reading

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # some others in Pillow start programs
_SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")  # no names of classes


def read_images(folder: Path, wanted: Request) -> Table:
    """Every image below a folder, in the order of the paths; labelled by subfolder if each is in one. Raises BadInput.

    All must have one size. They are grey if all files are, else in colour.
    """
    if wanted.label_column is not None:
        raise BadInput(f"{folder}: a folder has no columns; its images are labelled by the subfolders they are in")
    inside = ((p, p.relative_to(folder).parts) for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    # Systems and editors leave hidden files: thumbnails, checkpoints, ._1.png
    files = sorted(p for p, parts in inside if not p.is_dir() and not any(part.startswith(".") for part in parts))
    if not files:
        raise BadInput(f"{folder}: holds no images; allowed: {', '.join(_SUFFIXES)}")
    classes = [file.relative_to(folder).parts[0] if file.parent != folder else None for file in files]
    subfolders = {name for name in classes if name is not None}
    splits = sorted(name for name in subfolders if name.lower() in _SPLITS)
    if splits and (len(splits) > 1 or len(subfolders) == 1):
        raise BadInput(
            f"{folder}: its subfolders {', '.join(splits)} are parts of a data set, not classes; give one of them as "
            "dataset and another as test_data"
        )
    pictures: list[Image.Image] = []
    for file in files:
        with reading(file):
            picture = _picture(file)
        pictures.append(picture)
        if picture.size != pictures[0].size:
            raise BadInput(
                f"{file}: is {picture.width}x{picture.height} pixels, {files[0].name} is "
                f"{pictures[0].width}x{pictures[0].height}; all must be of one size"
            )
    mode = "L" if all(p.mode == "L" for p in pictures) else "RGB"
    pixels = np.stack([np.asarray(p.convert(mode)) for p in pictures])
    y = None if None in classes else np.array(classes)
    return checked_table(pixels, y, folder)._replace(from_pictures=True)


def _picture(file: Path) -> Image.Image:
    """A picture, upright, in mode L or RGB."""
    # Opened as a stream: by its name Pillow maps an uncompressed TIFF, and mixes up the rows of one stored sideways.
    with file.open("rb") as content, Image.open(content, formats=_FORMATS) as picture:
        # The last part of a tile is the decoder's raw mode; of a PPM it holds the largest value.
        modes = [tile[3] for tile in picture.tile]
        deep = any(";16" in str(m) or (picture.format == "PPM" and isinstance(m, tuple) and m[-1] > 255) for m in modes)
        if picture.mode.startswith(("I", "F")) or deep:
            raise BadInput(f"{file}: has more than 8 bits a pixel; save such data as .npy")
        count = getattr(picture, "n_frames", 1)
        if count > 1 and picture.format != "MPO":  # a JPEG to which the camera appended a preview or a depth map
            kind = "pages" if picture.format == "TIFF" else "frames"
            raise BadInput(f"{file}: has {count} {kind}; save each as a picture of its own")
        if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise BadInput(f"{file}: has transparent pixels; save it on a background of one colour")
        return ImageOps.exif_transpose(picture).convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
