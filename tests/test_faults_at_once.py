"""Faults of every kind in one folder are told in one message, so that no try ends at the next of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from odd_pictures import make_classes
from small_runs import small_config
from test_labels_file import write_folder
from thumbnet.data.exclusion import SUSPECT_COLUMNS, read_exclusions
from thumbnet.data.faults import FolderFaults
from thumbnet.data.folder import read_folder
from thumbnet.data.picture_request import PictureRequest, Pictures
from thumbnet.data.reading import reading_pictures_by
from thumbnet.data.sources import load_dataset
from thumbnet.data.split_folder import split_folder
from thumbnet.data.unreadable import NUM_NAMED
from thumbnet.errors import ConfigError, DataError, ImageError
from thumbnet.runs.planning.facts import look_at_folder
from thumbnet.specs.division import Division

BY_FOLDERS, BY_FILE = Division(groups="folders"), Division(groups="auto")


def lines_of(error: DataError, folder: Path) -> list[str]:
    """The faults that a message names, whose number it says."""
    first, *lines = error.message.splitlines()
    assert first == f"{len(lines)} faults in the folder {folder}:"
    return [line.strip().replace(f"{folder}/", "") for line in lines]


def faults_of(folder: Path, *, division: Division = Division(), skip_unreadable: bool = False) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_folder(folder, image_size=4, division=division, skip_unreadable=skip_unreadable)
    return lines_of(caught.value, folder)


def spoil(*files: Path) -> None:
    for file in files:
        file.write_bytes(b"no picture")


def write_groups(folder: Path, lines: Sequence[str]) -> None:
    (folder / "groups.csv").write_text("\n".join(["path,group", *lines]))


def lock(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of this name cannot be listed: permissions do not hold for root, by whom tests may be run."""
    scandir = os.scandir

    def refused(folder: str | Path) -> object:
        if Path(folder).name == name:
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("os.scandir", refused)


def never(request: PictureRequest) -> Pictures:
    raise AssertionError("pictures are read")


def test_a_labels_file_its_pictures_and_groups(tmp_path: Path) -> None:
    rows = {
        "a.png": "cat,train", "b.png": "dog,train", "c.png": "owl,test", "d.png": "cat,test", "e.png": "cat,exam",
        "f.png": "", "g.png": "", "h.png": "",
    }  # fmt: skip
    write_folder(tmp_path, rows, header="path,label,split")
    listed = [f"{name},{labels}" for name, labels in rows.items() if labels]
    text = ["path,label,split", *listed, "gone.png,cat,train", "a.png,dog,train", "f.png,cat,train,more"]
    (tmp_path / "labels.csv").write_text("\n".join(text))
    spoil(tmp_path / "b.png", tmp_path / "h.png")
    write_groups(tmp_path, ["a.png,x", "d.png,x", "b.png,", "g.png,y", "nowhere.png,y"])
    found = faults_of(tmp_path, division=BY_FILE)
    assert found == [
        'labels.csv, line 9 has more fields than the first line; put a name with a comma into "..."',
        "labels.csv, line 6: the split of 'e.png' is 'exam', not train, val or test",
        "labels.csv, line 7: there is no picture 'gone.png' in the folder",
        "labels.csv, line 8: 'a.png' is there twice, before in line 2",
        "labels.csv, 'g.png' is not listed",
        "labels.csv, 'h.png' is not listed",
        "labels.csv: no training picture has the label 'owl'",
        "groups.csv, line 4: the group of 'b.png' is empty",
        "groups.csv, line 6: the data has no image of path 'nowhere.png'",
        "groups.csv, the group 'x' stands in train and test",
        *found[-2:],
    ]
    assert [line.partition(" is not an image")[0] for line in found[-2:]] == ["b.png", "h.png"]


def test_class_folders_with_splits_of_other_names_and_groups(tmp_path: Path) -> None:
    make_classes(tmp_path / "training", classes=("cat", "dog"))
    make_classes(tmp_path / "Testing", classes=("cat", "cow"))
    make_classes(tmp_path / "valid", classes=("cat", "cow", "dog"))
    make_classes(tmp_path / "val", classes=("cat",), num_images=1)
    Image.new("L", (4, 4)).save(tmp_path / "stray.png")
    (tmp_path / "training" / "dog" / "empty").mkdir()
    spoil(tmp_path / "training" / "dog" / "1.png", tmp_path / "Testing" / "cow" / "0.png", tmp_path / "stray.png")
    (tmp_path / "val" / "dog").mkdir()
    write_groups(tmp_path, ["train/cat/0.png,x", "test/cat/0.png,x", "training/cat/1.png,y", "test/cow/1.png,z"])
    assert [line.partition(" is not an image")[0] for line in faults_of(tmp_path, division=BY_FILE)] == [
        f"{tmp_path} has a folder 'Testing', expected 'test'",
        f"{tmp_path} has a folder 'training', expected 'train'",
        f"{tmp_path} has a folder 'valid', expected 'val'",
        f"1 image in {tmp_path} outside its class folders, for instance stray.png",
        "Testing has other classes than train: train lacks 'cow'",
        "Testing has other classes than train: it lacks 'dog'",
        "class folder val/dog has no images",
        "groups.csv, line 4: the data has no image of path 'training/cat/1.png'",
        "groups.csv, the group 'x' stands in train and test",
        "training/dog/1.png",
        "stray.png",
        "Testing/cow/0.png",
    ]


def test_a_class_that_train_lacks_is_no_group(tmp_path: Path) -> None:
    make_classes(tmp_path / "train", classes=("cat", "dog"))
    for split in ("val", "test"):
        make_classes(tmp_path / split, classes=("cat", "dog", "cow"))
    assert faults_of(tmp_path, division=BY_FILE) == [
        f"{split} has other classes than train: train lacks 'cow'" for split in ("val", "test")
    ]


def test_every_group_in_two_splits_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            make_classes(tmp_path / split / name, classes=("film 1", "film 2"), num_images=1)
    make_classes(tmp_path / "val", classes=("cat", "dog"))
    spoil(tmp_path / "val" / "cat" / "0.png")
    *groups, picture = faults_of(tmp_path, division=BY_FOLDERS)
    assert groups == [f"{tmp_path}, the group 'film {number}' stands in train and test" for number in (1, 2)]
    assert "val/cat/0.png is not an image" in picture
    with pytest.raises(ImageError, match="1 of 14 files"):  # folds divide all anew
        read_folder(tmp_path, image_size=4, division=Division(groups="folders", folds=2, fold=0))


def test_splits_beside_folders_that_are_none(tmp_path: Path) -> None:
    make_classes(tmp_path / "train")
    make_classes(tmp_path, classes=("ape", "bee"))
    (tmp_path / "validation").mkdir()
    spoil(tmp_path / "train" / "cat" / "1.png")
    mixed, renamed, empty, picture = (line.replace(str(tmp_path), "PATH") for line in faults_of(tmp_path))
    assert mixed == "PATH mixes splits and classes: folders 'ape', 'bee' stand beside 'train'"
    assert renamed == "PATH has a folder 'validation', expected 'val'"
    assert "it lacks 'cat', 'dog'" in empty
    assert "train/cat/1.png is not an image" in picture


def test_a_test_split_without_a_training_split(tmp_path: Path) -> None:
    make_classes(tmp_path / "test")
    spoil(tmp_path / "test" / "cat" / "1.png")
    first, second = faults_of(tmp_path)
    assert first == f"{tmp_path} has 'test' but no train/"
    assert "test/cat/1.png is not an image" in second


def test_a_single_class_is_told_with_its_bad_files_but_a_folder_too_high_at_once(tmp_path: Path) -> None:
    make_classes(tmp_path / "one" / "pets", classes=("cat",))
    spoil(tmp_path / "one" / "pets" / "cat" / "1.png")
    first, second = faults_of(tmp_path / "one" / "pets")
    assert "only one class folder, 'cat', expected at least 2" in first
    assert "cat/1.png is not an image" in second
    make_classes(tmp_path / "one" / "pets", classes=("dog",))
    with pytest.raises(DataError, match="only one class folder, 'pets'"):
        read_folder(tmp_path / "one", image_size=4, read=never)


def test_a_single_label_is_told_with_bad_files(tmp_path: Path) -> None:
    write_folder(tmp_path, {"1.png": "cat", "2.png": "cat"})
    spoil(tmp_path / "2.png")
    first, second = faults_of(tmp_path)
    assert first == "labels.csv has only one label, 'cat'"
    assert "2.png is not an image" in second


def test_every_label_without_training_pictures_is_named(tmp_path: Path) -> None:
    rows = {f"{number}.png": f"kind {number},{'test' if number else 'train'}" for number in range(8)}
    write_folder(tmp_path, rows, header="path,label,split")
    assert faults_of(tmp_path) == [
        f"labels.csv: no training picture has the label 'kind {number}'" for number in range(1, 8)
    ]


def test_a_label_on_a_faulty_line_may_be_there_when_the_line_is_mended(tmp_path: Path) -> None:
    write_folder(tmp_path, {"1.png": "cat", "2.png": ""})
    (tmp_path / "labels.csv").write_text("path,label\n1.png,cat\n2.pgn,dog\n")
    assert faults_of(tmp_path) == [
        "labels.csv, line 3: there is no picture '2.pgn' in the folder",
        "labels.csv, '2.png' is not listed",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file,kind\n1.png,cat\n", "has no column 'path' and no column 'label'"),
        ("path,path,kind\n1.png,1.png,cat\n", "has no column 'label' and twice the column 'path'"),
    ],
)
def test_a_labels_file_that_cannot_be_used_is_told_at_once_with_what_is_known(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {"1.png": "cat", "locked/2.png": "dog"})
    (tmp_path / "labels.csv").write_text(text)
    lock("locked", monkeypatch)
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path, image_size=4, read=never)
    assert lines_of(caught.value, tmp_path) == [
        "the folder locked cannot be listed: Permission denied",
        f"labels.csv {expected}",
    ]


def test_what_seems_to_be_missing_in_a_table_behind_a_fault_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {"1.png": "cat", "2.png": "dog", "locked/3.png": "owl"})
    write_groups(tmp_path, ["locked/3.png,x", "2.png,x"])
    lock("locked", monkeypatch)
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path, image_size=4, division=BY_FILE)
    assert caught.value.message == f"the folder {tmp_path / 'locked'} cannot be listed: Permission denied"


def test_an_empty_split_of_class_folders_is_no_matter_of_a_labels_file(tmp_path: Path) -> None:
    make_classes(tmp_path / "train")
    for name in ("cat", "dog"):
        (tmp_path / "test" / name).mkdir(parents=True)
    assert faults_of(tmp_path) == [f"class folder test/{name} has no images" for name in ("cat", "dog")]


def test_many_faults_of_one_kind_leave_room_for_others(tmp_path: Path) -> None:
    faults = FolderFaults()
    faults.add_table(tmp_path / "labels.csv", (f"{number}.png is not listed" for number in range(300)), hint="list it")
    faults.add_table(tmp_path / "groups.csv", (f"line {number}" for number in range(60)), hint="mend it")
    faults.add_unreadable([ImageError(f"{number}.png is empty") for number in range(3)], 400, hint="replace it")
    with pytest.raises(DataError) as caught:
        faults.raise_all(tmp_path)
    first, *lines, last = caught.value.message.splitlines()
    assert first == f"363 faults in the folder {tmp_path}:"
    assert last == "  ... and 263 more"
    assert len(lines) == NUM_NAMED
    numbers = {text: sum(text in line for line in lines) for text in ("labels.csv", "groups.csv", "is empty")}
    assert numbers == {"labels.csv": 49, "groups.csv": 48, "is empty": 3}


def test_dividing_a_folder_tells_of_its_groups_too(tmp_path: Path) -> None:
    make_classes(tmp_path / "pets", num_images=9)
    (tmp_path / "pets" / "eel").mkdir()
    write_groups(tmp_path / "pets", ["cat/0.png,", "cow/0.png,x"])
    with pytest.raises(DataError) as caught:
        split_folder(tmp_path / "pets", tmp_path / "out", groups="auto")
    assert lines_of(caught.value, tmp_path / "pets") == [
        "class folder eel has no images",
        "groups.csv, line 2: the group of 'cat/0.png' is empty",
        "groups.csv, line 3: the data has no image of path 'cow/0.png'",
    ]
    make_classes(tmp_path / "pets" / "new" / "train")
    Image.new("L", (4, 4)).save(tmp_path / "pets" / "new" / "stray.png")
    with pytest.raises(DataError) as caught:
        split_folder(tmp_path / "pets" / "new", tmp_path / "out")
    assert lines_of(caught.value, tmp_path / "pets" / "new")[1].endswith("has train/ of its own")


def test_groups_that_are_none_are_refused_before_pictures_are_read(tmp_path: Path) -> None:
    make_classes(tmp_path)
    with reading_pictures_by(never), pytest.raises(ConfigError, match="groups is 'films'"):
        load_dataset(f"folder:{tmp_path}", groups="films")
    spoil(tmp_path / "cat" / "1.png")
    with pytest.raises(DataError) as caught:
        load_dataset(f"folder:{tmp_path}", groups=str(tmp_path / "films.csv"), image_size=4)
    first, second = lines_of(caught.value, tmp_path)
    assert first == "there is no file films.csv"
    assert "cat/1.png is not an image" in second


def test_all_lines_of_a_list_of_other_images_are_named(tmp_path: Path) -> None:
    train = read_folder(make_classes(tmp_path / "pets"), image_size=4).train
    file = tmp_path / "exclude.csv"
    rows = [
        "x,cat/0.png,cat,,,",
        "9,cat/0.png,cat,,,",
        "1,cat/0.png,cat,,,",
        "2,cat/2.png,cat,,,",
        "3,dog/0.png,cat,,,",
    ]
    file.write_text("\n".join([",".join(SUSPECT_COLUMNS), *rows]))
    with pytest.raises(DataError) as caught:
        read_exclusions(file, train, ("cat", "dog"))
    first, *lines = caught.value.message.splitlines()
    assert first == f"{file} has 4 faults:"
    assert [line.partition(":")[0] for line in lines] == [f"  line {number}" for number in (2, 3, 4, 6)]


def test_a_plan_is_not_made_of_a_single_class(tmp_path: Path) -> None:
    make_classes(tmp_path / "pets", classes=("cat",))
    spoil(tmp_path / "pets" / "cat" / "1.png")
    config = small_config(tmp_path / "none").replace(data=f"folder:{tmp_path / 'pets'}")
    with pytest.raises(DataError, match="2 faults in the folder"):
        look_at_folder(config)
    write_folder(tmp_path / "listed", {"1.png": "cat,test", "2.png": "dog,test"}, header="path,label,split")
    with pytest.raises(DataError, match="2 faults in the folder"):
        look_at_folder(config.replace(data=f"folder:{tmp_path / 'listed'}"))
