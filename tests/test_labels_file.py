"""labels.csv in a folder of pictures: one label a picture or several, its faults, and how such pictures are divided."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from small_runs import small_config
from thumbnet.config import run_config_from_toml
from thumbnet.data.class_counts import baseline, class_table, dataset_counts
from thumbnet.data.from_arrays import dataset_from_arrays, save_dataset
from thumbnet.data.multi_label_splits import divide_labels
from thumbnet.data.source_registry import read_source
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.sources import load_dataset
from thumbnet.data.split_folder import split_folder
from thumbnet.data.subset import draw_subset
from thumbnet.errors import ConfigError, DataError
from thumbnet.runs.own_data import load_named_dataset
from thumbnet.runs.train import train
from thumbnet.specs.data import DataSpec, Labels, ReadOptions

NAMES = ("cat", "dog", "owl")


def write_folder(path: Path, rows: Mapping[str, str], *, header: str = "path,label") -> Path:
    """A folder of grey pictures of 4x4 pixels with a labels.csv."""
    for name in rows:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), len(name)).save(path / name)
    lines = [header, *(f"{name},{label}" for name, label in rows.items())]
    (path / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path, *, labels: Labels = "auto") -> SourceSplits:
    return read_source(DataSpec(f"folder:{path}"), ReadOptions.sized(4, labels=labels))


def several(num_images: int = 60, *, seed: int = 0) -> np.ndarray:
    """Labels of three classes, of which the last is rare, and some images have none."""
    marks = np.random.default_rng(seed).random((num_images, 3)) < [0.5, 0.3, 0.1]
    marks[:6, 2] = True
    return marks.astype(np.uint8)


def test_a_file_names_the_classes(tmp_path: Path) -> None:
    write_folder(tmp_path, {"b/2.png": "dog", "1.png": "cat", "b/1.png": "cat"})
    splits = read(tmp_path)
    assert (splits.class_names, splits.train.paths) == (("cat", "dog"), ("1.png", "b/1.png", "b/2.png"))
    assert splits.train.labels.tolist() == [0, 0, 1]
    assert splits.labels_from == "file"


def test_class_folders_are_obeyed_where_that_is_said(tmp_path: Path) -> None:
    write_folder(tmp_path, {"dog/1.png": "cat", "owl/1.png": "dog"})
    assert read(tmp_path, labels="folders").class_names == ("dog", "owl")
    assert read(tmp_path).class_names == ("cat", "dog")


def test_several_labels_and_none(tmp_path: Path) -> None:
    write_folder(tmp_path, {"1.png": "dog;cat", "2.png": "", "3.png": "owl"})
    train = read(tmp_path).train
    assert train.labels.dtype == torch.uint8
    assert train.labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_the_column_labels_means_several(tmp_path: Path) -> None:
    write_folder(tmp_path, {"1.png": "dog", "2.png": "cat"}, header="path,labels")
    assert read(tmp_path).train.has_several_labels


def test_splits_are_those_of_the_column(tmp_path: Path) -> None:
    rows = {"1.png": "cat,train", "2.png": "dog,train", "3.png": "dog,test", "4.png": "cat,val"}
    splits = read(write_folder(tmp_path, rows, header="path,label,split"))
    assert splits.test is not None
    assert splits.val is not None
    assert (splits.train.paths, splits.val.paths, splits.test.paths) == (("1.png", "2.png"), ("4.png",), ("3.png",))


def test_splits_are_those_of_folders_called_so(tmp_path: Path) -> None:
    splits = read(write_folder(tmp_path, {"train/1.png": "cat", "train/2.png": "dog", "test/1.png": "dog"}))
    assert splits.test is not None
    assert splits.test.paths == ("test/1.png",)
    assert splits.test.labels.tolist() == [1]


def test_a_spreadsheets_file_is_read(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a/1.png": "cat", "2.png": "dog"})
    (tmp_path / "labels.csv").write_bytes("\ufeffpath,label,who\r\na\\1.png, cat ,me\r\n./2.png,dog,\r\n".encode())
    assert read(tmp_path).class_names == ("cat", "dog")


def test_all_faults_of_the_file_are_named_at_once(tmp_path: Path) -> None:
    write_folder(tmp_path, {"1.png": "cat", "2.png": "dog", "3.png": "dog"})
    text = "path,labels\n1.png,cat;cat\n1.png,dog\ngone.png,cat\n2.png,cat;;dog\n2.png,cat,dog\n"
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    for fault in (
        "6 faults",
        "line 2: '1.png' has a label twice",
        "line 3: '1.png' is there twice, before in line 2",
        "line 4: there is no picture 'gone.png'",
        "line 5: a label of '2.png' is empty",
        "line 6 has more fields",
        "labels.csv, '3.png' is not listed",
    ):
        assert fault in caught.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file,label\n1.png,cat\n", "no column 'path'"),
        ("path,kind\n1.png,cat\n", "no column 'label'"),
        ("path,label,labels\n1.png,cat,dog\n", "columns 'label' and 'labels'"),
        ("path,label\n1.png,cat\n2.png,\n", "'2.png' has no label"),
        ("path,label\n1.png,cat\n2.png,cat\n", "only one label, 'cat'"),
        ("path,labels\n1.png,\n2.png,\n", "has no label"),
        ("path,label,split\n1.png,cat,train\n2.png,dog,test\n", "no training picture has the label 'dog'"),
        ("path,label,split\n1.png,cat,train\n2.png,dog,\n", "the split of '2.png' is ''"),
        ("path,labels\n1.png,cat\n2.png\n", "line 3 has fewer fields"),
        ("path,label,split,split\n1.png,cat,train,test\n2.png,dog,train,test\n", "twice the column 'split'"),
        ("path,label,Split\n1.png,cat,train\n2.png,dog,test\n", "no training picture has the label 'dog'"),
        ("path;label\n1.png;cat\n2.png;dog\n", "has ';' between its columns"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    write_folder(tmp_path, {"1.png": "cat", "2.png": "dog"})
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=expected):
        read(tmp_path)


def test_the_way_back_to_class_folders_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat/1.png": "1", "dog/2.png": "2"}, header="id,breed")
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert 'set labels = "folders"' in caught.value.hint


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(DataError, match=r"labels\.csv is no file"):
        read(tmp_path, labels="file")


def test_odd_names_are_found_as_they_are(tmp_path: Path) -> None:
    write_folder(tmp_path, {" 1.png": "cat", "a\\b.png": "dog"})
    assert read(tmp_path).train.paths == (" 1.png", "a\\b.png")


def test_a_split_of_unreadable_pictures_without_labels_is_a_fault(tmp_path: Path) -> None:
    rows = {"1.png": "cat,train", "2.png": "dog,train", "3.png": ",test"}
    write_folder(tmp_path, rows, header="path,labels,split")
    (tmp_path / "3.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="no test picture can be read"):
        load_dataset(f"folder:{tmp_path}", image_size=4, skip_unreadable=True)


def test_a_file_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"no file .*labels\.csv"):
        read(tmp_path, labels="file")
    with pytest.raises(ConfigError, match=r"labels is 'file', but digits has no labels\.csv"):
        load_dataset("digits", labels="file")
    options = ReadOptions()
    object.__setattr__(options, "labels", "files")  # which beartype would refuse here, and nobody elsewhere
    with pytest.raises(ConfigError, match="labels is 'files'"):
        options.__post_init__()


def test_runs_of_before_keep_their_class_folders() -> None:
    values = 'recipe = "r"\nmodel = "sprint"\nepochs = 1\nlr = 0.1\nmomentum = 0.9\nschedule = "one-cycle"\n'
    assert run_config_from_toml(f'{values}data = "folder:x"\n', name="x").labels == "folders"
    assert run_config_from_toml(f'{values}data = "digits"\n', name="x").labels == "auto"


def test_a_run_on_class_folders_knows_its_data_in_another_place(tmp_path: Path) -> None:
    """Though a labels.csv there says other things."""
    rows = {f"{name}/{index:02}.png": "other" for name in ("dark", "light") for index in range(20)}
    write_folder(tmp_path / "before", {**rows, "dark/00.png": "one"})
    for number, name in enumerate(rows):
        levels = np.random.default_rng(number).integers(0, 150, (16, 16)) + 100 * name.startswith("light")
        Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "before" / name)
    config = small_config(tmp_path).replace(data=f"folder:{tmp_path / 'before'}", image_size=16, labels="folders")
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    moved = (tmp_path / "before").rename(tmp_path / "after")
    dataset, is_own = load_named_dataset(run, f"folder:{moved}")
    assert (dataset.class_names, is_own) == (("dark", "light"), True)
    (moved / "dark" / "01.png").unlink()
    write_folder(moved, {"dark/00.png": "dark", "light/00.png": "light"})
    with pytest.raises(DataError, match="is not listed"):  # for all that is known, other data
        load_named_dataset(run, f"folder:{moved}")


def test_folders_do_not_group_what_a_file_labels(tmp_path: Path) -> None:
    rows = {f"all/{index}.png": NAMES[index % 2] for index in range(20)}
    write_folder(tmp_path, rows)
    assert load_dataset(f"folder:{tmp_path}", image_size=4, groups="auto").division.groups == "off"
    with pytest.raises(ConfigError, match="the folders are no classes"):
        load_dataset(f"folder:{tmp_path}", image_size=4, groups="folders")
    with pytest.raises(ConfigError, match="the folders are no classes"):
        split_folder(tmp_path, tmp_path.parent / "out", groups="folders")


def test_every_part_has_its_share_of_every_label() -> None:
    labels = torch.from_numpy(several(400))
    parts = divide_labels(labels, None, (0.8, 0.2), seed=0, class_names=NAMES)
    held = labels[parts == 1].sum(dim=0, dtype=torch.int64)
    assert torch.all((held - 0.2 * labels.sum(dim=0, dtype=torch.int64)).abs() <= 1)
    assert abs(int((parts == 1).sum()) - 80) <= 2
    assert torch.equal(parts, divide_labels(labels, None, (0.8, 0.2), seed=0, class_names=NAMES))
    assert not torch.equal(parts, divide_labels(labels, None, (0.8, 0.2), seed=1, class_names=NAMES))


def test_no_group_is_parted() -> None:
    groups = torch.arange(400) // 5
    parts = divide_labels(torch.from_numpy(several(400)), groups, [0.25] * 4, seed=0, class_names=NAMES)
    assert all(len(parts[groups == group].unique()) == 1 for group in range(80))
    assert parts.bincount(minlength=4).min() >= 85


def test_too_few_images_of_a_label_are_refused() -> None:
    labels = torch.zeros(9, 2, dtype=torch.uint8)
    labels[:, 0] = 1
    labels[0, 1] = 1
    with pytest.raises(DataError, match="label 'dog' has 1 image, too few for 2 splits"):
        divide_labels(labels, None, (0.5, 0.5), seed=0, class_names=NAMES[:2])


@pytest.mark.parametrize("num_rare", [2, 3, 4, 5, 6])
def test_few_images_of_a_label_are_in_both_parts(num_rare: int) -> None:
    labels = torch.from_numpy(several(200)[:, :2].copy())
    rare = torch.zeros(200, 1, dtype=torch.uint8)
    rare[:num_rare] = 1
    parts = divide_labels(torch.cat([labels, rare], dim=1), None, (0.9, 0.1), seed=0, class_names=NAMES)
    assert sorted(parts[:num_rare].unique().tolist()) == [0, 1]
    assert abs(int((parts == 1).sum()) - 20) <= 2


@pytest.mark.parametrize("num_train", [10, 196, 199])
def test_training_images_that_are_left_out_need_no_label(num_train: int) -> None:
    labels = torch.from_numpy(several(200))
    chosen = draw_subset(labels, torch.arange(200), num_train=num_train, seed=0, class_names=NAMES)
    assert abs(len(chosen) - num_train) <= 2
    assert labels[chosen].any(dim=0).all()


def test_the_test_images_do_not_depend_on_validation() -> None:
    images = np.arange(60, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    with_val, without = (
        dataset_from_arrays(images, several(), class_names=NAMES, val_fraction=fraction) for fraction in (0.2, 0.0)
    )
    assert torch.equal(with_val.test.images, without.test.images)
    assert with_val.val is not None
    assert len(with_val.train) + len(with_val.val) + len(with_val.test) == 60
    assert all(split.labels.any(dim=0).all() for split in (with_val.train, with_val.val, with_val.test))


def test_arrays_of_several_labels_are_kept(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (60, 4, 4), np.uint8)
    dataset = dataset_from_arrays(images, several().astype(bool), class_names=NAMES)
    assert dataset.has_several_labels
    again = load_dataset(f"npz:{save_dataset(dataset, tmp_path / 'own.npz')}")
    assert again.checksum() == dataset.checksum()
    assert "labels, of which an image may have several" in again.source.description


def test_labels_in_another_form_are_refused() -> None:
    images = np.arange(96, dtype=np.uint8).reshape(6, 4, 4)
    with pytest.raises(DataError, match="0 and 1 as"):
        dataset_from_arrays(images, [["cat", "dog"]] * 6)
    with pytest.raises(DataError, match="2 columns for 3 class names"):
        dataset_from_arrays(images, np.eye(2, dtype=np.uint8)[[0, 1] * 3], class_names=NAMES)
    with pytest.raises(DataError, match="'cat;dog' has a ';', which parts"):
        dataset_from_arrays(images, np.eye(2, dtype=np.uint8)[[0, 1] * 3], class_names=("cat;dog", "owl"))
    with pytest.raises(DataError, match="differ in form"):
        dataset_from_arrays(images, np.eye(2, dtype=np.uint8)[[0, 1] * 3], test=(images, [0, 1] * 3))
    dataset = dataset_from_arrays(np.resize(images, (60, 4, 4)), np.eye(2, dtype=np.uint8)[[0, 1] * 30])
    assert any("exactly one label" in remark for remark in dataset.source.remarks)


def test_counts_are_by_label_and_the_baseline_by_set() -> None:
    images = np.resize(np.arange(96, dtype=np.uint8), (60, 4, 4))
    dataset = dataset_from_arrays(images, several(), class_names=NAMES, val_fraction=0)
    counts = dataset_counts(dataset)
    assert sum(counts["owl"].values()) == int(several()[:, 2].sum())
    table = class_table(counts, num_images={"train": len(dataset.train), "test": len(dataset.test)})
    assert table.splitlines()[-1].split() == ["all", str(len(dataset.train)), str(len(dataset.test))]
    labels = torch.tensor([[0, 0], [0, 0], [1, 1]], dtype=torch.uint8)
    assert str(baseline(labels, ("cat", "dog"))) == "always 'no label': 66.7%"
    assert str(baseline(1 - labels, ("cat", "dog"))) == "always 'cat;dog': 66.7%"
