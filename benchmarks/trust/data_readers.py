"""Readers of data: arrays, CIFAR's files, pictures, and the lists and recipes that users write."""

from __future__ import annotations

import base64
import io
import struct
import tarfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from thumbnet.data.checksums import BINARY
from thumbnet.data.cifar import decode_binary_batch, decode_python_batch, read_archive
from thumbnet.data.dataset import Split
from thumbnet.data.exclusion import read_exclusions
from thumbnet.data.images import read_header, read_image_array
from thumbnet.data.leaks import LEAK_COLUMNS, VAL_COLUMNS, leaks_from_csv, val_leaks_from_csv
from thumbnet.data.npz import read_npz
from thumbnet.data.sources import load_dataset
from thumbnet.recipes import load_recipe
from trust.reader import Reader, put

PICTURES = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA", "PCX", "DDS", "SGI", "JPEG2000", "AVIF")
PICTURES += ("HEIF", "DIB", "ICNS", "XBM")
# Formats that Pillow reads and does not write.
OTHER_PICTURES = (
    b'/* XPM */\nstatic char *a[] = {\n"2 2 2 1",\n"a c #000000",\n"b c #ffffff",\n"ab",\n"ba"\n};\n',
    b"\x59\xa6\x6a\x95" + struct.pack(">7I", 2, 2, 8, 4, 1, 0, 0) + bytes(4),  # SUN
    b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 1, 2, 2, 8, 1) + bytes(12) + bytes(2) + bytes(4),  # PSD
    b"qoif" + struct.pack(">IIBB", 2, 2, 3, 0) + b"\xfe\1\2\3" * 4 + bytes(7) + b"\1",
)
# A pickle of two black images, as CIFAR's are written.
PICKLE = zlib.decompress(
    base64.b64decode(
        "eNrt2ctOwkAUBuBpQZSC9xve71o3JLyGjSxm1Q0h0+mYkpSWv50mkmjiRpCn1in0Kcz5FpPJ+c+cdn++7E8wVw5lGiqZOyopLw4s"
        "v84YC4UWsP2GucZCj5IeajPUOdZkUown065MM9UdF7EeiSwTU2eYKZkmuc4KqR00Vl1OEq5SrHvsGxuR5VtmYIBmZKY5HK052hyb"
        "rmd59itrz7BVPQz1dGL+Zdu3TX/Rw87iZ45djj3Xqy1nfGC/3++//BrLw2MaB8HCfIF1GCGEEEIIIYQQQgghhBBC/iEclguGI45j"
        "jU4QWdUeI1BxjpMyOuU4G+Dc9ZjXVCZvmTwQWkbDZRcuyqZLjqtqZfGO67Jyw3FrKk1TeRvFKhFjleOuTO45HgZ4dKt+gaey6nI8"
        "Ry1VdP8Aydpr2w=="
    )
)


def readers_of_data(place: Path) -> dict[str, Reader]:
    """The readers by name; `place` is a folder to work in."""
    train = Split(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    folder = folder_of_pictures(place / "folder")
    data = f"folder:{folder}"

    def recipe(content: bytes) -> None:
        load_recipe(str(put(place / "recipe.toml", content)))

    def labels(content: bytes) -> None:
        labels_file = put(folder / "labels.csv", content)
        try:
            load_dataset(data, image_size=8)
        finally:
            labels_file.unlink()

    binary = b"".join(bytes([label]) + bytes(3072) for label in (0, 9, 3))
    suspects = b"index,path,label,suggested,score,kind\n0,,0,1,0.9,label\n2,,0,,0.1,duplicate\n"
    leaks = f"{','.join(LEAK_COLUMNS)}\n0,a/0.png,a,b,0.990000,leak,train,test,1,b/1.png,0.990000,false\n"
    val_leaks = f"{','.join(VAL_COLUMNS)}\n3,a/0.png,a,1,b/1.png,b,1.000000,true\n"
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.png"))]
    groups_csv = "path,group\n" + "".join(f"{name},{index // 2}\n" for index, name in enumerate(files))
    return {
        "npz": Reader([_npz()], lambda content: read_npz(put(place / "data.npz", content))),
        "cifar-binary": Reader([binary], lambda content: decode_binary_batch(content, place / "data_batch_1.bin")),
        "cifar-pickle": Reader([PICKLE], lambda content: decode_python_batch(content, place / "data_batch_1")),
        "cifar-archive": Reader(
            [_archive(binary)], lambda content: read_archive(put(place / BINARY.archive, content), BINARY)
        ),
        "pictures": Reader(_pictures(), lambda content: read_image_array(io.BytesIO(content), image_size=16)),
        "picture-headers": Reader(_pictures(), lambda content: read_header(io.BytesIO(content))),
        "labels.csv": Reader([_labels(files, "label"), _labels(files, "labels")], labels),
        "groups.csv": Reader(
            [groups_csv.encode()],
            lambda content: load_dataset(data, image_size=8, groups=str(put(place / "groups.csv", content))),
        ),
        "exclude.csv": Reader(
            [suspects],
            lambda content: read_exclusions(put(place / "suspects.csv", content), train, ("0", "1")),
        ),
        "leaks.csv": Reader([leaks.encode()], lambda content: leaks_from_csv(_text(content), name="leaks.csv")),
        "leaks-val.csv": Reader(
            [val_leaks.encode()], lambda content: val_leaks_from_csv(_text(content), name="leaks-val.csv")
        ),
        "recipe": Reader([b'recipe = "sprint"\nepochs = 3\nlr = 0.1\nmodel_options.blocks = "c8p"\n'], recipe),
    }


def folder_of_pictures(folder: Path) -> Path:
    """A folder of two classes with thirteen small pictures each."""
    for index in range(6):
        place = folder / "ab"[index % 4 // 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 40 * index).save(place / f"{index}.png")
    for name in ("a", "b"):
        for index in range(6, 16):
            Image.new("L", (8, 8), index).save(folder / name / f"{index}.png")
    return folder


def _text(content: bytes) -> str:
    """What is no UTF-8 is refused before a table is read."""
    return content.decode(errors="replace")


def _npz() -> bytes:
    content = io.BytesIO()
    names = np.array(["a", "b"])
    np.savez(content, images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 0, 1]), class_names=names)
    return content.getvalue()


def _labels(files: list[str], column: str) -> bytes:
    rows = (f"{name},{'xy'[index % 2]},{'train' if index % 5 else 'test'}\n" for index, name in enumerate(files))
    return f"path,{column},split\n{''.join(rows)}".encode()


def _archive(batch: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in BINARY.files:
            member = tarfile.TarInfo(f"{BINARY.folder}/{name}")
            member.size = len(batch)
            archive.addfile(member, io.BytesIO(batch))
    return content.getvalue()


def _pictures() -> list[bytes]:
    seeds = [*OTHER_PICTURES]
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    for kind in PICTURES:
        for mode in ("RGB", "L", "1"):
            content = io.BytesIO()
            try:
                Image.new(mode, (20, 12), 1).save(content, kind)
            except (OSError, ValueError, KeyError):  # a format that this build of Pillow does not write so
                continue
            seeds.append(content.getvalue())
    return seeds
