"""Data sources by name: one of the user's, by a call or an installed package; what each obeys, and what it may give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import thumbnet
from plugins import install_plugin
from thumbnet.data.source_registry import DATA_SOURCES, data_choices, source_name
from thumbnet.errors import ConfigError, DataError

PACKAGE = """
import torch
from thumbnet import DataSource, Source, SourceSplits, Split


def read(spec, options):
    images = torch.full((12, 1, options.image_size, options.image_size), 7, dtype=torch.uint8)
    images[::2, :, 0] = len(spec.place)
    return SourceSplits(
        train=Split(images, torch.arange(12) % 2),
        val=None,
        test=None,
        class_names=("even", "odd"),
        flip_keeps_labels=False,
        source=Source(spec.data, "stripes"),
    )


stripes = DataSource(read, place="COLOUR", is_path=False, obeys=frozenset({"image_size"}))
not_one = 3
"""


@pytest.fixture(autouse=True)
def _forget() -> object:
    with DATA_SOURCES.scope():
        yield


def splits_of(images: torch.Tensor, labels: torch.Tensor, names: tuple[str, ...] = ("a", "b")) -> thumbnet.SourceSplits:
    split = thumbnet.Split(torch.zeros(1, 1, 1, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))
    object.__setattr__(split, "images", images)  # past the checks of types that only tests have
    object.__setattr__(split, "labels", labels)
    return thumbnet.SourceSplits(
        train=split,
        val=None,
        test=None,
        class_names=names,
        flip_keeps_labels=True,
        source=thumbnet.Source("mine", "made for a test"),
    )


def noise(spec: thumbnet.DataSpec, options: thumbnet.ReadOptions) -> thumbnet.SourceSplits:
    generator = torch.Generator().manual_seed(len(spec.place))
    side = options.image_size
    images = torch.randint(0, 256, (20, 3, side, side), generator=generator, dtype=torch.uint8)
    return splits_of(images, torch.arange(20) % 2)


def test_a_source_of_the_users_is_one_function_and_one_call(tmp_path: Path) -> None:
    thumbnet.register_data_source("noise", noise, place="SEED", obeys=("image_size",))
    dataset = thumbnet.load_dataset(f"noise:{tmp_path}/../x", image_size=8)
    assert dataset.image_shape == (3, 8, 8)
    assert dataset.source.name == f"noise:{tmp_path.parent}/x"  # whatever the reader called it: what --data takes
    assert (len(dataset.train), len(dataset.test)) == (16, 2)
    assert "noise:SEED" in data_choices()


def test_a_package_brings_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"stripes": "stripes", "bad": "not_one", "lost": "not_there"}
    install_plugin(tmp_path, monkeypatch, {"thumbnet.data_sources": points}, PACKAGE)
    dataset = thumbnet.load_dataset("stripes:red", image_size=6, val_fraction=0)
    assert dataset.source.name == "stripes:red"
    assert int(dataset.train.images.min()) == 3
    with pytest.raises(ConfigError, match="'bad' is int"):
        thumbnet.load_dataset("bad")
    with pytest.raises(ConfigError, match="lost"):
        thumbnet.load_dataset("lost")
    assert thumbnet.load_dataset("stripes:red", image_size=6).class_names == ("even", "odd")


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        ("noise:1", {"data_dir": "x"}, "data_dir is 'x', but noise:1 is not read from there"),
        ("noise:1", {"allow_unverified": True}, "allow_unverified is True"),
        ("noise:1", {"skip_unreadable": True}, "skip_unreadable is True"),
        ("fixed", {"image_size": 8}, "image_size is 8, but the images of fixed have 16 pixels"),
        ("noise", {}, "data is 'noise'"),
        ("noise:", {}, "data is 'noise:'"),
        ("digits:3", {}, "data is 'digits:3'"),
        ("cifar11", {}, "unknown data 'cifar11'"),
        ("", {}, "unknown data ''"),
    ],
)
def test_what_a_source_does_not_obey_is_refused(data: str, arguments: dict[str, object], message: str) -> None:
    thumbnet.register_data_source("noise", noise, place="SEED", obeys=("image_size",))
    thumbnet.register_data_source("fixed", lambda spec, _: noise(spec, thumbnet.ReadOptions(image_size=16)))
    with pytest.raises(ConfigError) as caught:
        thumbnet.load_dataset(data, **arguments)  # type: ignore[arg-type]
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (splits_of(torch.zeros(4, 3, 8, 8), torch.arange(4) % 2), "images of torch.float32"),
        (splits_of(torch.zeros(4, 2, 8, 8, dtype=torch.uint8), torch.arange(4) % 2), "expected uint8"),
        (splits_of(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4) - 1), "labels from -1 to 2"),
        (splits_of(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4) % 3), "labels from 0 to 2 for 2"),
        (splits_of(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4) % 2 / 2), "labels of torch.float32"),
        (splits_of(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), ("a",)), "classes"),
        (splits_of(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)), "expected uint8"),
        ("nothing", "gives str"),
    ],
)
def test_what_a_source_may_not_give_is_a_data_error(splits: object, message: str) -> None:
    thumbnet.register_data_source("odd", lambda *_: splits)  # type: ignore[arg-type, return-value]
    with pytest.raises(DataError, match=message):
        thumbnet.load_dataset("odd")


def test_a_name_that_is_taken_or_an_unknown_argument_is_refused() -> None:
    for name in ("cifar10", "folder", "Not a name"):
        with pytest.raises(ConfigError):
            thumbnet.register_data_source(name, noise)
    with pytest.raises(ConfigError, match="obeys has 'colour'"):
        thumbnet.register_data_source("noise", noise, obeys=("colour",))


def test_of_a_source_that_is_gone_the_name_stays_as_it_is() -> None:
    assert source_name("gone:../x") == "gone:../x"
