"""Classes with too few pictures, or groups of them, for the splits or folds are told with all else that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from odd_pictures import make_classes
from test_faults_at_once import lines_of, lock, spoil, write_groups
from test_labels_file import write_folder
from thumbnet.data.sources import load_dataset, load_whole_dataset
from thumbnet.data.split_folder import split_folder
from thumbnet.errors import DataError, ImageError

TWO_FEW = "2 classes have fewer images than the 3 splits need: 'dog' has 2, 'eel' has 1"


def write_pictures(folder: Path, **numbers: int) -> Path:
    """So many pictures of each class."""
    for name, number in numbers.items():
        make_classes(folder, classes=(name,), num_images=number)
    return folder


def error_of(folder: Path, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        load_dataset(f"folder:{folder}", image_size=4, show_progress=False, **options)
    return caught.value


def faults_of(folder: Path, **options: Any) -> list[str]:
    """The faults, of an unreadable picture its name alone."""
    return [line.partition(" is not an image")[0] for line in lines_of(error_of(folder, **options), folder)]


@pytest.mark.parametrize("val_fraction", [0.1, "auto"])
def test_too_few_images_are_told_with_bad_files(tmp_path: Path, val_fraction: float | str) -> None:
    spoil(write_pictures(tmp_path, cat=5, dog=2, eel=1) / "cat" / "1.png")
    assert faults_of(tmp_path, val_fraction=val_fraction) == [TWO_FEW, "cat/1.png"]
    hint = error_of(tmp_path, val_fraction=val_fraction).hint
    assert "set val_fraction to 0" in hint
    assert "skip_unreadable" in hint
    assert faults_of(tmp_path, val_fraction=0) == [
        "class 'eel' has 1 image for 2 splits, expected at least 2",
        "cat/1.png",
    ]


def test_splits_of_its_own_need_no_images_of_train(tmp_path: Path) -> None:
    spoil(write_pictures(tmp_path / "train", cat=5, dog=1) / "cat" / "1.png")
    write_pictures(tmp_path / "test", cat=1, dog=1)
    told = ["class 'dog' has 1 image for 2 splits, expected at least 2", "train/cat/1.png"]
    assert faults_of(tmp_path) == told
    write_pictures(tmp_path / "val", cat=1, dog=1)
    assert isinstance(error_of(tmp_path), ImageError)


def test_nothing_is_divided_where_all_images_are_test_images(tmp_path: Path) -> None:
    spoil(write_pictures(tmp_path, cat=2, dog=1) / "cat" / "1.png")
    with pytest.raises(ImageError, match="1 of 3 files"):
        load_whole_dataset(f"folder:{tmp_path}", image_size=4, show_progress=False)


@pytest.mark.parametrize("val_fraction", [0.1, "auto"])
def test_too_few_groups_are_told_at_once(tmp_path: Path, val_fraction: float | str) -> None:
    make_classes(tmp_path / "cat", classes=("a", "b", "c"))
    make_classes(tmp_path / "dog", classes=("a",), num_images=9)
    write_pictures(tmp_path, eel=1, ray=3)
    few = "2 classes have fewer groups than the 3 splits need: 'dog' has 1, 'eel' has 1"
    assert error_of(tmp_path, groups="folders", val_fraction=val_fraction).message == few
    spoil(tmp_path / "cat" / "a" / "1.png")
    assert faults_of(tmp_path, groups="folders", val_fraction=val_fraction) == [few, "cat/a/1.png"]


def test_images_count_where_the_file_of_groups_has_faults(tmp_path: Path) -> None:
    write_groups(write_pictures(tmp_path, cat=5, dog=2), ["cat/0.png,"])
    assert faults_of(tmp_path, groups="auto") == [
        "groups.csv, line 2: the group of 'cat/0.png' is empty",
        "class 'dog' has 2 images for 3 splits, expected at least 3",
    ]


def test_too_few_images_for_folds_are_told_at_once(tmp_path: Path) -> None:
    folds = {"folds": 4, "fold": 0}
    write_pictures(tmp_path / "train", cat=9, dog=3, eel=1)
    few = "2 classes have fewer images than the 4 folds need: 'dog' has 3, 'eel' has 1"
    assert error_of(tmp_path, **folds).message == few
    spoil(tmp_path / "train" / "cat" / "1.png")
    assert faults_of(tmp_path, **folds) == [few, "train/cat/1.png"]
    write_pictures(tmp_path / "val", cat=1, dog=1, eel=1)  # which folds divide, too
    assert faults_of(tmp_path, **folds)[0] == "class 'eel' has 2 images for 4 folds, expected at least 4"


def test_too_few_images_of_a_label_are_told_at_once(tmp_path: Path) -> None:
    rows = {f"{number}.png": "dog" for number in range(9)} | {f"none-{number}.png": "" for number in range(5)}
    write_folder(tmp_path, {**rows, "a.png": "dog;cat", "b.png": "owl", "c.png": "dog;owl"}, header="path,labels")
    few = "2 labels have fewer images than the 3 splits need: 'cat' has 1, 'owl' has 2"
    assert error_of(tmp_path).message == few
    spoil(tmp_path / "1.png")
    assert faults_of(tmp_path) == [few, "1.png"]
    assert "2 labels have fewer images than the 4 folds need" in faults_of(tmp_path, folds=4, fold=0)[0]


def test_pictures_that_are_not_listed_may_be_of_any_label(tmp_path: Path) -> None:
    write_folder(tmp_path, {**{f"{number}.png": "dog" for number in range(9)}, "a.png": "cat", "b.png": "owl"})
    Image.new("L", (4, 4)).save(tmp_path / "new.png")
    few = "2 classes have fewer images than the 3 splits need: 'cat' has 1, 'owl' has 1"
    assert faults_of(tmp_path) == ["labels.csv, 'new.png' is not listed", few]
    Image.new("L", (4, 4)).save(tmp_path / "newer.png")
    assert faults_of(tmp_path) == [f"labels.csv, '{name}.png' is not listed" for name in ("new", "newer")]


def test_pictures_in_no_class_folder_may_be_of_any_class(tmp_path: Path) -> None:
    write_pictures(tmp_path, cat=5, dog=2, eel=1)
    Image.new("L", (4, 4)).save(tmp_path / "stray.png")
    assert faults_of(tmp_path) == [
        f"1 image in {tmp_path} outside its class folders, for instance stray.png",
        "class 'eel' has 1 image for 3 splits, expected at least 3",
    ]


def test_a_class_with_a_folder_that_cannot_be_listed_may_have_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path, cat=5, dog=2, eel=1)
    (tmp_path / "dog" / "locked").mkdir()
    lock("locked", monkeypatch)
    assert faults_of(tmp_path) == [
        "the folder dog/locked cannot be listed: Permission denied",
        "class 'eel' has 1 image for 3 splits, expected at least 3",
    ]


def test_pictures_that_are_left_out_do_not_count(tmp_path: Path) -> None:
    spoil(write_pictures(tmp_path, cat=5, dog=3) / "dog" / "1.png")
    (tmp_path / "ape").mkdir()
    empty, few = "class folder ape has no images", "class 'dog' has 2 images for 3 splits, expected at least 3"
    assert faults_of(tmp_path) == [empty, "dog/1.png"]
    assert faults_of(tmp_path, skip_unreadable=True) == [empty, few]


def test_dividing_a_folder_tells_of_it_too(tmp_path: Path) -> None:
    pets = write_pictures(tmp_path / "pets", cat=5, dog=2, eel=1)
    (pets / "ape").mkdir()
    with pytest.raises(DataError) as caught:
        split_folder(pets, tmp_path / "out")
    assert lines_of(caught.value, pets) == ["class folder ape has no images", TWO_FEW]
    assert "leave a split out with --val 0" in caught.value.hint
    assert "val_fraction" not in caught.value.hint
    with pytest.raises(DataError) as caught:
        split_folder(pets, tmp_path / "out", val=0, groups="folders")
    assert lines_of(caught.value, pets)[1] == "class 'eel' has 1 group for 2 splits, expected at least 2"
    assert "the groups with --groups off" in caught.value.hint
