"""Pictures as clients send them: good ones, and those that must be refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def picture(kind: str = "PNG", *, side: int = 40, seed: int = 0) -> bytes:
    """A file of smooth noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(stream, kind)
    return stream.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A white PNG of a few kilobytes, however many pixels it has: one bit each."""
    row = b"\0" + b"\xff" * ((width + 7) // 8)
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in chunks)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def jpeg_of(width: int, height: int) -> bytes:
    """A small JPEG whose header claims this size."""
    content = picture("JPEG")
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def webp_of(width: int, height: int) -> bytes:
    """The header of a lossless WebP of this size: VP8L keeps 14 bits a side."""
    sides = (width - 1) | (height - 1) << 14
    data = b"\x2f" + struct.pack("<I", sides) + bytes(20)
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def png_with_comments(num_comments: int) -> bytes:
    """A PNG of one pixel, with comments of a million characters, a kilobyte each, which take 4 MB each when read."""
    content = png_of(1, 1)
    packed = zlib.compress(("\N{GRINNING FACE}" + "a" * 1_048_000).encode(), 9)
    comments = b"".join(png_chunk(b"iTXt", b"key %d\0\1\0\0\0" % number + packed) for number in range(num_comments))
    place = content.index(b"IDAT") - 4
    return content[:place] + comments + content[place:]


def jpeg_with_scans(num_scans: int, *, side: int = 40) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    stream = io.BytesIO()
    Image.new("L", (side, side), 200).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    place = content.rindex(b"\xff\xda")
    repeated = num_scans - content.count(b"\xff\xda")
    return content[:-2] + content[place:-2] * repeated + content[-2:]


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'

# Name: file, and the status that it is refused with.
BAD_PICTURES = {
    "bomb.png": (png_of(10_000, 5000), 413),
    "bomb.jpg": (jpeg_of(10_000, 5000), 413),
    "bomb.webp": (webp_of(10_000, 5000), 413),
    "letter.txt": (b"Dear Sir, ...", 415),
    "letter.png": (b"Dear Sir, ...", 415),
    "drawing.svg": (SVG, 415),
    "page.html": (b"<!doctype html><script>alert(1)</script>", 415),
    "icon.ico": (b"\0\0\1\0\1\0", 415),
    "cut.png": (picture()[:200], 422),
    "header.png": (picture()[:20], 422),
    "cut.jpg": (picture("JPEG", side=200)[:700], 422),
    "cut.webp": (picture("WEBP")[:40], 422),
    "sound.wav": (b"RIFF\x10\0\0\0WAVEfmt ", 422),
    "empty.png": (b"", 422),
    "comments.png": (png_with_comments(62), 422),
    "scans.jpg": (jpeg_with_scans(5000), 422),
}
