"""Writes folders of small pictures, and files that real cameras and scanners produce but Pillow does not write."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION, COMPRESSION = 0x0112, 0x0103  # EXIF tags
TEXT, SHORT = 2, 3  # EXIF types


def make_classes(
    folder: Path, classes: tuple[str, ...] = ("cat", "dog"), num_images: int = 3, mode: str = "RGB", side: int = 6
) -> Path:
    """A folder of class folders; each picture `<number>.png` has its own grey level and a black corner."""
    for place, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(num_images):
            image = Image.new("L", (side, side), (40 + 20 * number + 7 * place) % 256)
            image.putpixel((0, 0), 0)
            image.convert(mode).save(folder / name / f"{number}.png")
    return folder


def broken_exif(orientation: int) -> bytes:
    """An EXIF block with an orientation, and a tag (compression, a number) that is stored as a text."""
    text = b"JPEG\0\0"
    entries = [(COMPRESSION, TEXT, len(text), 38), (ORIENTATION, SHORT, 1, orientation)]
    listed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + listed + struct.pack("<I", 0) + text


def write_deep(path: Path, levels: list[int]) -> None:
    """A grey 16-bit PNG of one row."""
    Image.fromarray(np.array([levels], np.uint16)).save(path)


def write_deep_colour(path: Path, levels: list[tuple[int, int, int]]) -> None:
    """A 16-bit colour PNG of one row, which Pillow reads but cannot write."""
    row = b"\0" + b"".join(struct.pack(">HHH", *colour) for colour in levels)
    header = struct.pack(">IIBBBBB", len(levels), 1, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(row)), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def jpeg_bytes(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()
