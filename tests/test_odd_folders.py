"""Folders as systems, cameras, network drives, other alphabets and thumbnet itself leave them."""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from odd_pictures import make_classes
from thumbnet.config import config_to_toml
from thumbnet.data.folder import read_folder
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ConfigError, DataError, ImageError
from thumbnet.recipes import load_recipe

COMPANIONS = (
    "0.png:Zone.Identifier", "0.png\uf03aZone.Identifier", "._0.png", ".DS_Store", "Thumbs.db", "ehthumbs.db",
    "desktop.ini", "Icon\r", "M0100.CTG", "MVI_0001.THM", "GOPR1.LRV", "0.xmp", "IMG_0001.AAE",
    "0.png@SynoEAStream", "@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg", ".AppleDouble/0.png", "__MACOSX/._0.png",
    "#recycle/9.png", "@Recycle/9.png", "$RECYCLE.BIN/9.png", "System Volume Information/9.png", "lost+found/9.png",
)  # fmt: skip


@pytest.mark.parametrize("companion", COMPANIONS)
def test_what_systems_and_cameras_leave_is_left_out(companion: str, tmp_path: Path) -> None:
    make_classes(tmp_path)
    for folder in (tmp_path, tmp_path / "cat"):
        path = folder / companion
        path.parent.mkdir(parents=True, exist_ok=True)
        if folder != tmp_path or "/" in companion:
            Image.new("L", (3, 3)).save(path, "PNG")
    splits = read_folder(tmp_path, image_size=4)
    assert splits.class_names == ("cat", "dog")
    assert len(splits.train) == 6


def spoil(folder: Path) -> Path:
    """Two classes of four pictures, of which three files are no pictures, each in another way."""
    make_classes(folder, num_images=4)
    (folder / "cat" / "weights.pt").write_bytes(b"PK\x03\x04")
    (folder / "cat" / "gone.png").symlink_to("nowhere.png")
    (folder / "dog" / "2.png").write_bytes(b"\x89PNG")
    os.mkfifo(folder / "dog" / "pipe.png")
    return folder


def test_all_bad_files_are_named_with_their_number(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        read_folder(spoil(tmp_path), image_size=4)
    assert "4 of 11 files" in caught.value.message
    for name in ("cat/weights.pt", "cat/gone.png", "dog/2.png", "dog/pipe.png"):
        assert name in caught.value.message
    assert "skip_unreadable" in caught.value.hint


def test_bad_files_can_be_skipped_and_are_recorded(tmp_path: Path) -> None:
    dataset = load_dataset(f"folder:{spoil(tmp_path)}", image_size=4, val_fraction=0, skip_unreadable=True)
    assert len(dataset.train) + len(dataset.test) == 7
    assert dataset.source.skipped == ("cat/gone.png", "cat/weights.pt", "dog/2.png", "dog/pipe.png")
    assert any("4 files" in remark for remark in dataset.source.remarks)
    for file in (tmp_path / "cat").iterdir():
        file.unlink()
        file.write_bytes(b"no picture")
    with pytest.raises(DataError, match="cat has no images"):
        load_dataset(f"folder:{tmp_path}", skip_unreadable=True)
    with pytest.raises(ConfigError, match="skip_unreadable"):
        load_dataset("digits", skip_unreadable=True)


def test_two_spellings_of_a_name_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert composed != decomposed
    make_classes(tmp_path / "train", classes=(composed, "thé"))
    make_classes(tmp_path / "test", classes=(decomposed, "thé"))
    if len({folder.name for split in tmp_path.iterdir() for folder in split.iterdir()}) < 3:
        pytest.skip("this file system normalises names itself")
    splits = read_folder(tmp_path, image_size=4)
    assert splits.class_names == (composed, "thé")
    assert splits.test is not None
    assert len(splits.test) == 6
    both = make_classes(make_classes(tmp_path / "both", classes=(composed, "thé")), classes=(decomposed,))
    assert read_folder(both, image_size=4).train.labels.tolist() == [0] * 6 + [1] * 3
    np.savez(
        tmp_path / "set.npz",
        images=np.zeros((4, 4, 4), np.uint8),
        labels=np.arange(4) % 2,
        class_names=np.array([composed, decomposed]),
    )
    with pytest.raises(DataError, match="twice"):
        load_dataset(f"npz:{tmp_path / 'set.npz'}")


@pytest.mark.parametrize("names", [("plane", "train"), ("exam", "Test"), ("car", "test", "train", "val")])
def test_classes_may_be_called_as_splits_are(names: tuple[str, ...], tmp_path: Path) -> None:
    assert read_folder(make_classes(tmp_path, classes=names), image_size=4).class_names == tuple(sorted(names))


def test_where_a_class_and_a_split_cannot_be_told_apart_the_hint_works(tmp_path: Path) -> None:
    make_classes(tmp_path, classes=("test", "train"))  # pictures that lie in no class, or two classes?
    with pytest.raises(DataError, match="outside its class folders") as caught:
        read_folder(tmp_path)
    assert "train/train" in caught.value.hint
    mixed = make_classes(make_classes(tmp_path / "mixed", classes=("plane",)) / "train", classes=("ice", "tgv")).parent
    with pytest.raises(DataError, match="mixes splits and classes") as caught:
        read_folder(mixed)
    assert "into train/" in caught.value.hint
    (mixed / "train").rename(mixed / "old")
    (mixed / "train").mkdir()
    (mixed / "old").rename(mixed / "train" / "train")
    (mixed / "plane").rename(mixed / "train" / "plane")
    assert read_folder(mixed, image_size=4).class_names == ("plane", "train")


def make_run(folder: Path) -> None:
    """What a training that has just begun leaves, and a picture of it."""
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(config_to_toml(load_recipe("sprint")))
    (folder / "checkpoint-last.pt").write_bytes(b"PK")
    Image.new("RGB", (9, 9)).save(folder / "curves.png")


@pytest.mark.parametrize("place", ["runs/sprint-1", "runs/seeds-1/seed-0", "my-run", "cat/run", "train/cat/runs/a"])
def test_what_thumbnet_wrote_itself_is_no_class(place: str, tmp_path: Path) -> None:
    make_classes(tmp_path / "train" if place.startswith("train") else tmp_path)
    make_run(tmp_path / place)
    if "seed" in place:
        (tmp_path / "runs" / "seeds-1" / "seeds.json").write_text("{}")
    dataset = load_dataset(f"folder:{tmp_path}", image_size=4, val_fraction=0)
    assert dataset.class_names == ("cat", "dog")
    assert len(dataset.train) + len(dataset.test) == 6
    assert any("thumbnet itself" in remark for remark in dataset.source.remarks)


def test_a_check_of_the_data_is_no_class(tmp_path: Path) -> None:
    make_classes(tmp_path)
    (tmp_path / "check").mkdir()
    for name in ("suspects.csv", "check.json"):
        (tmp_path / "check" / name).write_text("{}")
    Image.new("RGB", (9, 9)).save(tmp_path / "check" / "label.png")
    assert read_folder(tmp_path, image_size=4).class_names == ("cat", "dog")


def test_a_class_with_a_config_of_another_tool_stays_a_class(tmp_path: Path) -> None:
    make_classes(tmp_path)
    (tmp_path / "cat" / "config.toml").write_text("[tool]\nname = 1\n")
    (tmp_path / "dog" / "config.toml").write_text("not = [toml")
    assert len(read_folder(tmp_path, image_size=4).train) == 6


def test_links_back_end_and_each_real_folder_is_read_once(tmp_path: Path) -> None:
    make_classes(tmp_path)
    cat = tmp_path / "cat"
    for number in range(2):
        (cat / f"back{number}").symlink_to(".", target_is_directory=True)
        (cat / f"up{number}").symlink_to("..", target_is_directory=True)
    (cat / "more").mkdir()
    Image.new("L", (3, 3), 9).save(cat / "more" / "9.png")
    (cat / "again").symlink_to("more", target_is_directory=True)
    splits = read_folder(tmp_path, image_size=4)
    assert splits.class_names == ("cat", "dog")
    assert len(splits.train) == 7


def test_a_class_may_be_a_link_and_serve_in_two_splits(tmp_path: Path) -> None:
    make_classes(tmp_path / "pictures")
    for split in ("train", "test"):
        (tmp_path / "data" / split).mkdir(parents=True)
        for name in ("cat", "dog"):
            (tmp_path / "data" / split / name).symlink_to(tmp_path / "pictures" / name, target_is_directory=True)
    splits = read_folder(tmp_path / "data", image_size=4)
    assert splits.test is not None
    assert (len(splits.train), len(splits.test)) == (6, 6)


def test_very_deep_folders_are_read_or_refused(tmp_path: Path) -> None:
    make_classes(tmp_path)
    here = os.open(tmp_path / "cat", os.O_RDONLY)
    try:
        for _ in range(250):
            os.mkdir("d", dir_fd=here)
            deeper = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
    finally:
        os.close(here)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        assert len(read_folder(tmp_path, image_size=4).train) == 6
    finally:
        sys.setrecursionlimit(limit)


def test_progress_is_shown_on_stderr_and_can_be_left_out(tmp_path: Path) -> None:
    make_classes(tmp_path)
    shown = io.StringIO()
    with redirect_stderr(shown):
        read_folder(tmp_path, image_size=4, progress_after_s=0.0)
    assert "6/6" in shown.getvalue()
    silent = io.StringIO()
    with redirect_stderr(silent):
        load_dataset(f"folder:{tmp_path}", image_size=4, show_progress=False)
    assert silent.getvalue() == ""


def test_the_pictures_are_in_memory_once(tmp_path: Path) -> None:
    """A few grey pictures come first, so that the array grows to three channels on the way."""
    make_classes(tmp_path, classes=("a",), num_images=2, mode="L")
    make_classes(tmp_path, classes=("b",), num_images=40)
    dataset = load_dataset(f"folder:{tmp_path}", image_size=16, val_fraction=0)
    assert dataset.image_shape == (3, 16, 16)
    num_bytes = (len(dataset.train) + len(dataset.test)) * 3 * 16 * 16
    assert dataset.train.images.untyped_storage().nbytes() <= num_bytes
    assert dataset.train.images.is_contiguous()
    expected = {(40 + 20 * number) % 256 for number in range(40)}
    assert {int(image[0, 8, 8]) for image in dataset.train.images[dataset.train.labels == 1]} <= expected


def test_pictures_that_do_not_fit_in_memory_are_refused_with_what_they_would_take(tmp_path: Path) -> None:
    make_classes(tmp_path)
    with pytest.raises(ConfigError, match=r"6 pictures of 4,000,000x4,000,000 pixels .* 96,000\.0 GB") as caught:
        read_folder(tmp_path, image_size=4_000_000)
    assert "image_size" in caught.value.hint
