"""CIFAR-10 files: both releases, extracted or packed, official or not, whole or broken."""

from __future__ import annotations

import gzip
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_files import (
    FakeBatch,
    binary_batch,
    make_batches,
    pack,
    published,
    python_batch,
    release_files,
    write_archive,
    write_folder,
)
from thumbnet.data.checksums import BINARY, PYTHON, RELEASES, Release
from thumbnet.data.cifar import CLASS_NAMES, decode_binary_batch, decode_python_batch, read_cifar10
from thumbnet.errors import ChecksumError, DataError, DatasetNotFoundError

BATCHES = make_batches()
PUBLISHED = (published(BINARY), published(PYTHON))
WRITERS = (write_folder, write_archive)
FORMS = [
    pytest.param(release, write, id=f"{release.name}-{write.__name__}") for release in RELEASES for write in WRITERS
]
PATH = Path("data_batch_1")


class RunsCommand:
    """Pickles as a call of os.system."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


class EvaluatesCode(RunsCommand):
    """Pickles as a call of builtins.eval."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:  # type: ignore[override]
        return eval, (f"__import__('os').system({self.command!r})",)


@pytest.mark.parametrize(("release", "write"), FORMS)
def test_every_form_gives_the_images_and_labels_that_were_written(
    tmp_path: Path, release: Release, write: Callable[..., Path]
) -> None:
    write(tmp_path, release)
    splits = read_cifar10(tmp_path, releases=PUBLISHED)
    train_images = np.concatenate([batch.images for batch in BATCHES[:5]])
    assert torch.equal(splits.train.images, torch.from_numpy(train_images))
    assert splits.train.labels.tolist() == [label for batch in BATCHES[:5] for label in batch.labels]
    assert splits.test is not None
    assert torch.equal(splits.test.images, torch.from_numpy(BATCHES[5].images))
    assert splits.test.labels.tolist() == BATCHES[5].labels
    assert splits.val is None
    assert splits.class_names == CLASS_NAMES
    assert splits.flip_keeps_labels
    assert (splits.source.name, splits.source.verified) == ("cifar10", True)
    assert release.name in splits.source.description


@pytest.mark.parametrize(("release", "write"), FORMS)
def test_other_files_are_refused_by_name_unless_they_are_allowed(
    tmp_path: Path, release: Release, write: Callable[..., Path]
) -> None:
    other = [*BATCHES[:2], FakeBatch(255 - BATCHES[2].images, BATCHES[2].labels), *BATCHES[3:]]
    path = write(tmp_path, release, other)
    differing = release.batch_files[2] if path.is_dir() else release.archive
    with pytest.raises(ChecksumError) as caught:
        read_cifar10(tmp_path, releases=PUBLISHED)
    assert differing in caught.value.message
    assert "--allow-unverified" in caught.value.hint
    assert "thumbnet data prepare" in caught.value.hint
    assert release.batch_files[1] not in caught.value.message
    splits = read_cifar10(tmp_path, allow_unverified=True, releases=PUBLISHED)
    assert splits.source.verified is False
    assert differing in splits.source.description
    assert torch.equal(splits.train.images[40:60], torch.from_numpy(other[2].images))


def test_a_changed_batches_meta_is_refused_and_a_missing_one_is_not(tmp_path: Path) -> None:
    meta = write_folder(tmp_path, PYTHON) / PYTHON.meta_file
    meta.write_bytes(meta.read_bytes() + b"\n")
    with pytest.raises(ChecksumError, match=r"batches\.meta"):
        read_cifar10(tmp_path, releases=PUBLISHED)
    meta.unlink()
    assert read_cifar10(tmp_path, releases=PUBLISHED).source.verified


def test_a_published_checksum_belongs_to_every_batch_file() -> None:
    assert set(BINARY.file_checksums) == set(BINARY.batch_files)
    assert set(PYTHON.file_checksums) == set(PYTHON.files)
    for release, num_digits in ((BINARY, 40), (PYTHON, 32)):
        digests = release.file_checksums.values()
        assert len(set(digests)) == len(digests)
        assert all(len(digest) == num_digits and int(digest, 16) for digest in digests)
        assert len(release.archive_sha256) == 64


def test_the_first_form_in_the_stated_order_is_read(tmp_path: Path) -> None:
    expected = []
    for write in reversed(WRITERS):
        for release in reversed(RELEASES):
            expected.append(write(tmp_path, release).name)
            assert f"({expected[-1]})" in read_cifar10(tmp_path, releases=PUBLISHED).source.description
    assert expected[::-1] == [BINARY.folder, PYTHON.folder, BINARY.archive, PYTHON.archive]


def test_nothing_there_is_not_found(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DatasetNotFoundError) as caught:
            read_cifar10(folder)
        assert str(folder) in caught.value.message
        assert "thumbnet data prepare" in caught.value.hint


@pytest.mark.parametrize(("release", "write"), FORMS)
def test_the_release_itself_given_as_data_dir_is_told_to_be_one_too_deep(
    tmp_path: Path, release: Release, write: Callable[..., Path]
) -> None:
    path = write(tmp_path, release)
    with pytest.raises(DatasetNotFoundError) as caught:
        read_cifar10(path)
    assert caught.value.hint.endswith(str(tmp_path))


@pytest.mark.parametrize("allow_unverified", [False, True])
@pytest.mark.parametrize(("release", "write"), FORMS)
def test_a_missing_batch_is_an_error(
    tmp_path: Path, release: Release, write: Callable[..., Path], allow_unverified: bool
) -> None:
    missing = release.batch_files[3]
    path = write(tmp_path, release)
    if path.is_dir():
        (path / missing).unlink()
    else:
        files = release_files(release, BATCHES)
        del files[missing]
        path.write_bytes(pack(release, files))
    with pytest.raises(DataError, match=f"{path}.*{missing} missing") as caught:
        read_cifar10(tmp_path, allow_unverified=allow_unverified, releases=PUBLISHED)
    assert type(caught.value) is DataError
    assert caught.value.hint


@pytest.mark.parametrize("allow_unverified", [False, True])
@pytest.mark.parametrize("num_bytes", [0, 1000, 3073 * 20 - 1])
@pytest.mark.parametrize("release", RELEASES, ids=["binary", "python"])
def test_a_truncated_batch_is_an_error(
    tmp_path: Path, release: Release, num_bytes: int, allow_unverified: bool
) -> None:
    path = write_folder(tmp_path, release) / release.batch_files[4]
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(DataError, match=f"{path}.* damaged") as caught:
        read_cifar10(tmp_path, allow_unverified=allow_unverified, releases=PUBLISHED)
    assert type(caught.value) is DataError
    assert caught.value.hint


def test_labels_above_nine_are_an_error() -> None:
    batch = BATCHES[0]
    for decode, write in ((decode_binary_batch, binary_batch), (decode_python_batch, python_batch)):
        for label in (10, 255):
            content = write(FakeBatch(batch.images, [*batch.labels[:-1], label]))
            with pytest.raises(DataError, match=rf"data_batch_1.*label {label}\b"):
                decode(content, PATH)
    negative = pickle.dumps({b"data": batch.images.reshape(-1, 3072), b"labels": [-1, *batch.labels[1:]]}, 2)
    with pytest.raises(DataError, match=r"data_batch_1.*label -1\b"):
        decode_python_batch(negative, PATH)


@pytest.mark.parametrize(
    "damage", ["tail", "middle", "end", "no-gzip", "no-tar", "folder", "checksum", "late-checksum"]
)
def test_a_damaged_archive_is_an_error_even_where_unverified_files_are_allowed(tmp_path: Path, damage: str) -> None:
    path = write_archive(tmp_path, BINARY)
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(
            {
                "tail": content[:middle],
                "middle": content[:middle] + bytes(64) + content[middle + 64 :],
                "end": content[:-4],
                "no-gzip": b"<html>not found</html>",
                "no-tar": gzip.compress(b"no tar" * 1000),
                "checksum": content[:-8] + bytes(8),
                "late-checksum": gzip.compress(gzip.decompress(content) + bytes(4 << 20))[:-8] + bytes(8),
            }[damage]
        )
    with pytest.raises(DataError, match=f"{path} is damaged or cannot be read") as caught:
        read_cifar10(tmp_path, allow_unverified=True)
    assert type(caught.value) is DataError


def test_an_archive_is_read_for_the_expected_names_only(tmp_path: Path) -> None:
    files = release_files(BINARY, BATCHES) | {"../../escaped": b"x", "data_batch_6.bin": b"y"}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / BINARY.archive).write_bytes(pack(BINARY, files))
    splits = read_cifar10(tmp_path / "in", allow_unverified=True)
    assert len(splits.train) == 100
    assert [path.name for path in tmp_path.rglob("*")] == ["in", BINARY.archive]


@pytest.mark.parametrize("payload", [RunsCommand, EvaluatesCode])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    tmp_path: Path, payload: type[RunsCommand], protocol: int
) -> None:
    folder = write_folder(tmp_path, PYTHON)
    ran = tmp_path / "ran"
    content = pickle.dumps({b"data": payload(f"touch {ran}"), b"labels": []}, protocol)
    (folder / "data_batch_2").write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_2.*(system|eval), which no official file contains"):
        read_cifar10(tmp_path, allow_unverified=True)
    assert not ran.exists()
    pickle.loads(content)  # the payload is a working one
    assert ran.exists()


@pytest.mark.parametrize(
    "name",
    [
        "builtins getattr",
        "__builtin__ eval",
        "numpy load",
        "numpy.core.multiarray scalar",
        "_codecs decode",
        "numpy x.y",
    ],
)
def test_no_other_name_is_looked_up(name: str) -> None:
    with pytest.raises(DataError, match="which no official file contains"):
        decode_python_batch(f"c{name.replace(' ', chr(10))}\n.".encode(), PATH)


def test_a_pickle_cannot_reach_beyond_one_text_encoding() -> None:
    content = b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR."
    with pytest.raises(DataError, match="no official file does"):
        decode_python_batch(content, PATH)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_batch_that_python_3_pickled_again_is_read(protocol: int) -> None:
    batch = BATCHES[0]
    fields = pickle.loads(python_batch(batch), encoding="bytes")
    decoded = decode_python_batch(pickle.dumps(fields, protocol), PATH)
    assert np.array_equal(decoded.images, batch.images.reshape(-1, 3072))
    assert decoded.labels.tolist() == batch.labels


@pytest.mark.parametrize(
    "fields",
    [
        [],
        {},
        {b"data": np.zeros((2, 3072), np.uint8)},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, "1"]},
        {b"data": np.zeros((2, 3072), np.float32), b"labels": [0, 1]},
        {b"data": np.zeros((2, 3072), np.int8), b"labels": [0, 1]},
        {b"data": np.zeros((2, 3072), np.uint8, order="F"), b"labels": [0, 1]},
        {b"data": np.zeros((2, 3071), np.uint8), b"labels": [0, 1]},
        {b"data": np.zeros(3072, np.uint8), b"labels": [0]},
        {b"data": bytes(3072), b"labels": [0]},
    ],
)
def test_a_pickle_of_another_form_is_an_error(fields: object) -> None:
    with pytest.raises(DataError, match="data_batch_1 is damaged: expected `data`"):
        decode_python_batch(pickle.dumps(fields, 2), PATH)


def test_a_batch_without_images_is_an_error() -> None:
    for decode, write in ((decode_binary_batch, binary_batch), (decode_python_batch, python_batch)):
        with pytest.raises(DataError, match=r"data_batch_1 is .*damaged"):
            decode(write(make_batches(0)[0]), PATH)


def test_pixels_that_do_not_fill_the_stated_shape_are_an_error() -> None:
    batch = make_batches(2)[0]
    for images, labels in ((batch.images, batch.labels[:1]), (batch.images[:1], batch.labels)):
        with pytest.raises(DataError, match="data_batch_1 is damaged: expected `data`"):
            decode_python_batch(python_batch(FakeBatch(images, labels)), PATH)


def test_a_flipped_bit_is_read_or_refused_but_never_crashes() -> None:
    """Every bit outside the pixels, where it changes what the pickle does; NumPy's own unpickling dies of some."""
    content = python_batch(make_batches(2)[0])
    pixels = content.index(b"\x89T") + 6
    num_refused = 0
    for position in [*range(pixels), *range(pixels + 2 * 3072, len(content))]:
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            try:
                batch = decode_python_batch(bytes(damaged), PATH)
            except DataError:
                num_refused += 1
            else:
                assert batch.images.shape == (len(batch.labels), 3072)
    assert num_refused > 1000


@settings(deadline=None, max_examples=30)
@given(num_images=st.integers(1, 40), seed=st.integers(0, 1000))
def test_both_formats_hold_the_same(num_images: int, seed: int) -> None:
    batch = make_batches(num_images, seed=seed)[0]
    binary = decode_binary_batch(binary_batch(batch), PATH)
    python = decode_python_batch(python_batch(batch), PATH)
    assert np.array_equal(binary.images, python.images)
    assert np.array_equal(binary.images.reshape(-1, 3, 32, 32), batch.images)
    assert binary.labels.tolist() == python.labels.tolist() == batch.labels


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    path = write_folder(tmp_path) / BINARY.batch_files[0]
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=f"{path} cannot be read"):
        read_cifar10(tmp_path)


@pytest.mark.acceptance
def test_the_real_binary_release_is_read_in_about_a_second() -> None:
    data_dir = Path(os.environ["THUMBNET_DATA"])
    read_cifar10(data_dir, allow_unverified=True)  # from here on the files are in the disk cache
    started_s = time.process_time()  # which other programs on the machine do not lengthen
    splits = read_cifar10(data_dir, allow_unverified=True)
    assert time.process_time() - started_s < 3
    assert splits.train.labels.bincount().tolist() == [5000] * 10
    assert splits.test is not None
    assert splits.test.labels.bincount().tolist() == [1000] * 10
    assert not any(name in splits.source.description for name in BINARY.batch_files[:5])
    mean = splits.train.images.double().mean(dim=(0, 2, 3)) / 255
    assert torch.allclose(mean, torch.tensor([0.4914, 0.4822, 0.4465], dtype=torch.float64), atol=1e-4)
