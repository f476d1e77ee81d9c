"""The two forms in which CIFAR-10 and CIFAR-100 are published, and the checksums of their files.

Source: the release of https://www.cs.toronto.edu/~kriz/cifar.html. CIFAR-10's checksums are the list that this project
was given with its own copy of the data; CIFAR-100's are those that Keras, TensorFlow Datasets and torchvision check
(none is published for the files in its binary form: there, only the archive can be verified). Only the official
releases are listed, no other copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# fmt: off
CIFAR100_CLASSES = (  # the fine ones, in the order of their labels
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest",
    "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard",
    "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum",
    "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf",
    "woman", "worm",
)
# fmt: on


@dataclass(frozen=True)
class Release:
    """One published form: the archive, the folder that it holds, and the files in that folder.

    `dataset` is the name for people. `batch_files` are in reading order, the test batch last. `file_checksums` has
    hexadecimal digests of `algorithm` (`sha1` or `md5`) for every batch file, and for `meta_file`, where they are
    published. `label_key` is that of the labels in a python batch; a binary record has `label_bytes` before its pixels,
    the last of them the label.
    """

    name: str
    folder: str
    archive: str
    archive_sha256: str
    batch_files: tuple[str, ...]
    meta_file: str
    algorithm: str
    file_checksums: Mapping[str, str]
    dataset: str = "CIFAR-10"
    class_names: tuple[str, ...] = CIFAR10_CLASSES
    label_key: bytes = b"labels"
    label_bytes: int = 1

    @property
    def can_be_verified(self) -> bool:
        """Whether a published checksum is known of every batch file."""
        return all(file in self.file_checksums for file in self.batch_files)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of the folder that is read or unpacked."""
        return (*self.batch_files, self.meta_file)

    def is_official(self, file: str, content: bytes) -> bool:
        """Whether `content` is what was published as `file`; True for a file without a published checksum."""
        published = self.file_checksums.get(file)
        return published is None or hashlib.new(self.algorithm, content).hexdigest() == published

    def is_official_archive(self, path: Path) -> bool:
        """Whether the file at `path` is the published archive, by its SHA-256. OSError if it cannot be read."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.archive_sha256


BINARY = Release(
    name="binary",
    folder="cifar-10-batches-bin",
    archive="cifar-10-binary.tar.gz",
    archive_sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    batch_files=(*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"),
    meta_file="batches.meta.txt",
    algorithm="sha1",
    file_checksums={
        "data_batch_1.bin": "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
        "data_batch_2.bin": "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
        "data_batch_3.bin": "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
        "data_batch_4.bin": "aab85764eb3584312d3c7f65fd2fd016e36a258e",
        "data_batch_5.bin": "26e2849e66a845b7f1e4614ae70f4889ae604628",
        "test_batch.bin": "67eb016db431130d61cd03c7ad570b013799c88c",
    },
)

PYTHON = Release(
    name="python",
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    archive_sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    batch_files=(*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"),
    meta_file="batches.meta",
    algorithm="md5",
    file_checksums={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
)

RELEASES = (BINARY, PYTHON)

CIFAR100_BINARY = Release(
    name="binary",
    folder="cifar-100-binary",
    archive="cifar-100-binary.tar.gz",
    archive_sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    batch_files=("train.bin", "test.bin"),
    meta_file="fine_label_names.txt",
    algorithm="md5",
    file_checksums={},
    dataset="CIFAR-100",
    class_names=CIFAR100_CLASSES,
    label_bytes=2,
)

CIFAR100_PYTHON = Release(
    name="python",
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
    archive_sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    batch_files=("train", "test"),
    meta_file="meta",
    algorithm="md5",
    file_checksums={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
    dataset="CIFAR-100",
    class_names=CIFAR100_CLASSES,
    label_key=b"fine_labels",
)

CIFAR100_RELEASES = (CIFAR100_PYTHON, CIFAR100_BINARY)
