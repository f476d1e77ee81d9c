"""folder: the three layouts, what is ignored, the number of channels, and what is refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from odd_pictures import write_deep
from thumbnet.data.folder import read_folder
from thumbnet.data.sources import load_dataset
from thumbnet.errors import DataError, ImageError


def make(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), num_images: int = 4, mode: str = "RGB") -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(num_images):
            level = 20 * index + 10 * classes.index(name)
            colour = level if mode == "L" else (level, level // 2, 200 - level)
            Image.new(mode, (40 + index, 60), colour).save(folder / name / f"{index}.png")
    return folder


def test_bare_class_folders(tmp_path: Path) -> None:
    splits = read_folder(make(tmp_path), image_size=16)
    assert splits.class_names == ("cat", "dog")
    assert splits.val is None
    assert splits.test is None
    assert splits.train.images.shape == (8, 3, 16, 16)
    assert splits.train.labels.tolist() == [0] * 4 + [1] * 4
    assert splits.train.paths is not None
    assert splits.train.paths[5] == "dog/1.png"
    assert splits.train.images[5, 0].unique().tolist() == [30]


def test_train_and_test_and_val_are_used_as_such(tmp_path: Path) -> None:
    for name, number in (("train", 5), ("test", 2), ("val", 3)):
        make(tmp_path / name, num_images=number)
    splits = read_folder(tmp_path)
    assert splits.test is not None
    assert splits.val is not None
    assert (len(splits.train), len(splits.test), len(splits.val)) == (10, 4, 6)


def test_a_tenth_is_taken_for_what_is_missing(tmp_path: Path) -> None:
    bare = load_dataset(f"folder:{make(tmp_path / 'bare', num_images=20)}")
    assert bare.val is not None
    assert (len(bare.train), len(bare.val), len(bare.test)) == (32, 4, 4)
    make(tmp_path / "halves" / "train", num_images=20)
    make(tmp_path / "halves" / "val", num_images=3)
    halves = load_dataset(f"folder:{tmp_path / 'halves'}")
    assert halves.val is not None
    assert (len(halves.train), len(halves.val), len(halves.test)) == (36, 6, 4)


def test_all_grey_gives_one_channel_and_one_colour_image_three(tmp_path: Path) -> None:
    make(tmp_path, mode="L")
    assert read_folder(tmp_path).train.images.shape[1] == 1
    Image.new("RGB", (50, 50), (1, 2, 3)).save(tmp_path / "cat" / "colour.png")
    assert read_folder(tmp_path).train.images.shape[1] == 3


def test_hidden_and_text_files_are_ignored_and_nested_folders_read(tmp_path: Path) -> None:
    make(tmp_path)
    for name in (".DS_Store", "notes.txt"):
        (tmp_path / "cat" / name).write_text("x")
    (tmp_path / "dog" / "more").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "dog" / "more" / "4.png")
    splits = read_folder(tmp_path)
    assert len(splits.train) == 9
    assert splits.train.paths is not None
    assert "dog/more/4.png" in splits.train.paths


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent"):
        read_folder(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        read_folder(tmp_path / "file")
    with pytest.raises(DataError, match="only one class folder, 'cat'"):
        read_folder(make(tmp_path / "one", classes=("cat",)))
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no class folders"):
        read_folder(tmp_path / "none")
    (make(tmp_path / "empty") / "eel").mkdir()
    with pytest.raises(DataError, match="eel has no images"):
        read_folder(tmp_path / "empty")
    make(tmp_path / "uneven" / "train")
    make(tmp_path / "uneven" / "test", classes=("cat", "cow"))
    with pytest.raises(DataError, match="other classes than train"):
        read_folder(tmp_path / "uneven")
    if os.fsencode("\udce9") == b"\xe9":  # a system that keeps names as bytes
        dogs = make(tmp_path / "latin") / "dog"
        (dogs / "2.png").rename(dogs / os.fsdecode(b"ol\xe9.png"))
        with pytest.raises(DataError, match=r"dog is not UTF-8: b'ol\\xe9\.png'"):
            read_folder(tmp_path / "latin")
    (make(tmp_path / "broken") / "dog" / "2.png").write_bytes(b"\x89PNG")
    with pytest.raises(ImageError, match=r"dog/2\.png"):
        read_folder(tmp_path / "broken")


def test_pictures_of_a_single_colour_are_counted_by_the_scale_of_the_set(tmp_path: Path) -> None:
    """Levels up to 4,000 of 65,535 all seem black, but 12 bits are used here."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        write_deep(tmp_path / name / "0.png", [0, 200, 4000, 7])
    Image.new("L", (4, 4), 9).save(tmp_path / "cat" / "plain.png")
    remarks = read_folder(tmp_path, image_size=4).source.remarks
    assert remarks[-1].startswith("1 picture of a single colour, for instance cat/plain.png.")
