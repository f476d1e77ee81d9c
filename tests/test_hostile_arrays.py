"""npz and CIFAR files that are damaged, crafted or far too large: a DataError, quickly, and nothing else."""

from __future__ import annotations

import _codecs
import gzip
import io
import pickle
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cifar_files import make_batches, python_batch, write_folder
from thumbnet.data import memory
from thumbnet.data.array_splits import checked_names
from thumbnet.data.checksums import BINARY, PYTHON
from thumbnet.data.cifar import decode_python_batch, read_archive, read_cifar10
from thumbnet.data.npz import read_npz
from thumbnet.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4), dtype=np.uint8)
LABELS = np.arange(6) % 2


def npy(header: bytes, payload: bytes = b"") -> bytes:
    """A .npy file with any header."""
    padded = header + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + payload


def write_members(path: Path, members: dict[str, bytes]) -> Path:
    """An .npz file, good but for these members."""
    buffer = io.BytesIO()
    np.savez(buffer, images=IMAGES, labels=LABELS)
    with zipfile.ZipFile(buffer) as good, zipfile.ZipFile(path, "w") as archive:
        for name in good.namelist():
            archive.writestr(name, members.pop(name, good.read(name)))
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (6, 4, 4",  # not closed
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (6L, 4, 'a",
        b"((((((((((" * 600,
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000000000000,), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (4000000000000,), }",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (-3, 4, 4), }",
        b"{'descr': '|V99999999999999999999', 'fortran_order': False, 'shape': (6,), }",
        b"{'descr': [('a', '<u1', (99999999999999,))], 'fortran_order': False, 'shape': (6,), }",
        b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (6,), }",
        b"[]",
        b"\x80\xff",
    ],
)
@pytest.mark.parametrize("member", ["images.npy", "labels.npy"])
def test_a_header_that_is_none_is_a_data_error(header: bytes, member: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set\.npz"):
        read_npz(write_members(tmp_path / "set.npz", {member: npy(header, b"\0" * 96)}))


def test_a_member_that_is_no_array_is_a_data_error(tmp_path: Path) -> None:
    for name in ("images.npy", "labels.npy"):
        with pytest.raises(DataError, match=r"images|labels"):
            read_npz(write_members(tmp_path / "set.npz", {name: b"Dear Sir, ..."}))
    with pytest.raises(DataError, match="class_names"):
        read_npz(write_members(tmp_path / "set.npz", {"class_names": b"cat dog"}))


@pytest.mark.parametrize("content", [b"a text, no array", b"(lp0\n."])
def test_a_file_of_another_kind_brings_no_advice_to_load_it_unsafely(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged, or no \.npz file") as caught:
        read_npz(tmp_path / "other.npz")
    assert "pickle" not in str(caught.value)


def test_an_unknown_compression_or_an_encrypted_member_is_a_data_error(tmp_path: Path) -> None:
    content = bytearray(write_members(tmp_path / "set.npz", {}).read_bytes())
    central = content.index(b"PK\x01\x02")
    for offset, value in ((10, 97), (8, 1)):  # method; flags: encrypted
        changed = bytearray(content)
        for start, shift in ((central, 0), (0, -2)):
            struct.pack_into("<H", changed, start + offset + shift, value)
        (tmp_path / "set.npz").write_bytes(changed)
        with pytest.raises(DataError, match=r"set\.npz"):
            read_npz(tmp_path / "set.npz")


def test_mutated_npz_files_raise_nothing_else(tmp_path: Path) -> None:
    whole = write_members(tmp_path / "set.npz", {}).read_bytes()
    draw = random.Random(0)
    num_refused = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(draw.choice((1, 1, 3, 30))):
            content[draw.randrange(len(content))] = draw.randrange(256)
        if draw.random() < 0.1:
            del content[draw.randrange(len(content)) :]
        (tmp_path / "set.npz").write_bytes(content)
        try:
            read_npz(tmp_path / "set.npz")
        except DataError:
            num_refused += 1
    assert num_refused > 300


def test_an_npz_that_unpacks_to_more_than_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "DATA_SHARE", 0.0)
    np.savez_compressed(tmp_path / "set.npz", images=IMAGES, labels=LABELS)
    with pytest.raises(DataError, match=r"set\.npz .* memory"):
        read_npz(tmp_path / "set.npz")


def test_a_label_beyond_all_classes_is_refused(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 0, 1, 2**64 - 1], np.uint64)  # as a signed number: -1
    np.savez(tmp_path / "set.npz", images=IMAGES, labels=labels)
    with pytest.raises(DataError, match="labels is uint64"):
        read_npz(tmp_path / "set.npz")


@pytest.mark.parametrize("name", ["b\ud800d", "\udfff"])
def test_a_class_name_that_is_no_text_is_refused(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=IMAGES, labels=LABELS, class_names=np.array(["cat", name]))
    with pytest.raises(DataError, match="class_names"):
        read_npz(tmp_path / "set.npz")


def test_very_many_class_names_take_no_minute() -> None:
    names = [str(number) for number in range(50_000)]
    assert checked_names(names) == tuple(names)  # by comparing each with each: a minute
    with pytest.raises(DataError, match="'7'"):
        checked_names([*names, "7"])


class _Fields:
    """Pickles as a call of `_codecs.encode`, as Python 3 writes byte strings, with another codec."""

    def __init__(self, codec: str) -> None:
        self.codec = codec

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return _codecs.encode, ("x" * 200_000, self.codec)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({b"data": _Fields("idna")}, protocol=2), "idna"),
        (b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".", "more parts"),
        (b"\x80\x02" + b"(" * 200_000 + b"t" * 200_000 + b".", "more parts"),
        (b"\x80\x02" + b"]2" * 100_000 + b".", "more parts"),
        (b"\x80\x02I" + b"9" * 100_000 + b"\n.", "damaged"),
    ],
    ids=["idna", "nested lists", "nested tuples", "copies", "a long number"],
)
def test_a_pickle_that_would_take_a_minute_is_refused_at_once(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        decode_python_batch(content, Path("data_batch_1"))
    assert "data_batch_1" in caught.value.message


def test_a_real_batch_is_far_from_that_limit() -> None:
    batch = make_batches(300, num_batches=1)[0]
    assert len(decode_python_batch(python_batch(batch), Path("data_batch_1")).labels) == 300


def zeros_in_tar(path: Path, name: str, num_bytes: int) -> Path:
    """A .tar.gz with one member of so many zero bytes."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo(name)
        member.size = num_bytes
        archive.addfile(member, _Zeros(num_bytes))
    return path


class _Zeros(io.RawIOBase):
    def __init__(self, num_left: int) -> None:
        self._num_left = num_left

    def read(self, size: int = -1) -> bytes:
        size = min(size, self._num_left)
        self._num_left -= size
        return bytes(size)


@pytest.mark.parametrize("name", [f"{BINARY.folder}/{BINARY.batch_files[0]}", "readme.html"])
def test_an_archive_that_holds_too_much_is_refused_before_it_is_in_memory(name: str, tmp_path: Path) -> None:
    path = zeros_in_tar(tmp_path / BINARY.archive, name, 3_000_000)
    with pytest.raises(DataError, match="too large"):
        read_archive(path, BINARY, max_bytes=1_000_000)


def test_an_archive_that_claims_6_gb_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo(f"{BINARY.folder}/{BINARY.batch_files[0]}")
    member.size = 6_000_000_000
    (tmp_path / BINARY.archive).write_bytes(gzip.compress(member.tobuf() + bytes(10_000)))
    with pytest.raises(DataError, match="too large"):
        read_archive(tmp_path / BINARY.archive, BINARY)


@pytest.mark.parametrize("release", [BINARY, PYTHON], ids=lambda release: release.name)
def test_a_batch_file_that_is_huge_or_none_at_all_is_refused(release: object, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, release, make_batches(2))  # type: ignore[arg-type]
    first = folder / release.batch_files[0]  # type: ignore[attr-defined]
    with first.open("r+b") as file:
        file.truncate(250_000_000)  # a hole: takes no room on disk
    with pytest.raises(DataError, match="too large"):
        read_cifar10(tmp_path, allow_unverified=True)
    first.unlink()
    first.mkdir()
    with pytest.raises(DataError, match=first.name):
        read_cifar10(tmp_path, allow_unverified=True)
