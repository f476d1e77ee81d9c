"""Writes small CIFAR files in the official formats, for tests: both releases, as a folder and as a .tar.gz."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from thumbnet.data.checksums import BINARY, PYTHON, Release
from thumbnet.data.cifar import CLASS_NAMES

NUM_BATCHES = 6


@dataclass(frozen=True)
class FakeBatch:
    """Images uint8 [N,3,32,32] and labels [N] of one batch file."""

    images: np.ndarray
    labels: list[int]


def make_batches(
    num_images: int = 20, *, seed: int = 0, num_batches: int = NUM_BATCHES, num_classes: int = len(CLASS_NAMES)
) -> list[FakeBatch]:
    """Five training batches and a test batch of `num_images` each.

    The classes take turns, and a class is a grey level with noise, so that a model can learn them.
    """
    rng = np.random.default_rng(seed)
    batches = []
    level = 240 // num_classes
    for _ in range(num_batches):
        labels = [int(label) for label in rng.permutation(np.arange(num_images) % num_classes)]
        noise = rng.integers(0, level, (num_images, 3, 32, 32))
        images = (level * np.array(labels).reshape(-1, 1, 1, 1) + noise).astype(np.uint8)
        batches.append(FakeBatch(images, labels))
    return batches


def binary_batch(batch: FakeBatch, release: Release = BINARY) -> bytes:
    """The bytes of `data_batch_1.bin`: a label (in CIFAR-100 after a coarse one) and 3072 pixels for each image."""
    planes = batch.images.reshape(-1, 3072)
    coarse = bytes([9]) * (release.label_bytes - 1)
    return b"".join(coarse + bytes([label]) + row.tobytes() for label, row in zip(batch.labels, planes, strict=True))


def python_batch(batch: FakeBatch, release: Release = PYTHON, title: bytes = b"training batch 1 of 5") -> bytes:
    """The bytes of `data_batch_1`: the very opcodes that Python 2.7's cPickle and NumPy 1 wrote (protocol 2).

    Python 3 cannot write these itself: its byte strings become calls of `_codecs.encode`.
    """
    num_images = len(batch.labels)
    pixels = batch.images.tobytes()
    memo = _Memo()
    labels = b"".join(b"K" + bytes([label]) for label in batch.labels)
    names = b"".join(_py2_str(b"fake_s_%06d.png" % index) + memo.put() for index in range(num_images))
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\n" + memo.put() + b"cnumpy\nndarray\n" + memo.put()
    reconstruct += b"K\x00\x85" + _py2_str(b"b") + b"\x87R" + memo.put()
    dtype = b"cnumpy\ndtype\n" + memo.put() + _py2_str(b"u1") + b"K\x00K\x01\x87R" + memo.put()
    dtype += b"(K\x03" + _py2_str(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    shape = b"J" + struct.pack("<i", num_images) + b"J" + struct.pack("<i", 3072) + b"\x86"
    array = reconstruct + b"(K\x01" + shape + dtype + b"\x89" + _py2_str(pixels) + b"tb"
    return (
        b"\x80\x02}" + memo.put() + b"("
        + _py2_str(b"batch_label") + memo.put() + _py2_str(title) + memo.put()
        + _py2_str(release.label_key) + memo.put() + b"]" + memo.put() + b"(" + labels + b"e"
        + _py2_str(b"data") + memo.put() + array
        + _py2_str(b"filenames") + memo.put() + b"]" + memo.put() + b"(" + names + b"e"
        + b"u."
    )  # fmt: skip


def release_files(release: Release, batches: list[FakeBatch]) -> dict[str, bytes]:
    """The content of every file of a release, by file name."""
    write = binary_batch if release.name == BINARY.name else python_batch
    files = {file: write(batch, release) for file, batch in zip(release.batch_files, batches, strict=True)}
    if release.name == BINARY.name:
        files[release.meta_file] = "\n".join((*release.class_names, "")).encode()
    else:
        names = b"".join(_py2_str(name.encode()) for name in release.class_names)
        files[release.meta_file] = b"\x80\x02}" + _py2_str(b"label_names") + b"](" + names + b"es."
    return files


def write_folder(data_dir: Path, release: Release = BINARY, batches: list[FakeBatch] | None = None) -> Path:
    """Write `data_dir/cifar-10-batches-bin/` (or `-py/`) and return that folder."""
    folder = data_dir / release.folder
    folder.mkdir(parents=True)
    for file, content in release_files(release, batches or make_batches()).items():
        (folder / file).write_bytes(content)
    return folder


def write_archive(data_dir: Path, release: Release = BINARY, batches: list[FakeBatch] | None = None) -> Path:
    """Write `data_dir/cifar-10-binary.tar.gz` (or `-python`) and return that file."""
    path = data_dir / release.archive
    path.write_bytes(pack(release, release_files(release, batches or make_batches())))
    return path


def pack(release: Release, files: Mapping[str, bytes]) -> bytes:
    """A .tar.gz of `files` in the release's folder, with a readme.html as official ones have; equal for equal files."""
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w") as archive:
        top = tarfile.TarInfo(release.folder)
        top.type = tarfile.DIRTYPE
        archive.addfile(top)
        for file, content in {**files, "readme.html": b"<html></html>"}.items():
            member = tarfile.TarInfo(f"{release.folder}/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(tar_bytes.getvalue(), compresslevel=1, mtime=0)


def published(release: Release, batches: list[FakeBatch] | None = None) -> Release:
    """The release as if these batches were the official ones, with the checksums of their files and archive."""
    files = release_files(release, batches or make_batches())
    return replace(
        release,
        archive_sha256=hashlib.sha256(pack(release, files)).hexdigest(),
        file_checksums={
            file: hashlib.new(release.algorithm, files[file]).hexdigest() for file in release.file_checksums
        },
    )


class _Memo:
    """Counts the BINPUT and LONG_BINPUT opcodes, which cPickle writes after nearly every object."""

    def __init__(self) -> None:
        self.count = 0

    def put(self) -> bytes:
        self.count += 1
        return b"q" + bytes([self.count]) if self.count < 256 else b"r" + struct.pack("<I", self.count)


def _py2_str(text: bytes) -> bytes:
    """SHORT_BINSTRING or BINSTRING, as a Python 2 `str` was pickled."""
    return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text
