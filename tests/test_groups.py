"""What belongs together stands on one side of every split: by sub-folders, by a file, in a run and in data check."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from small_runs import small_config
from thumbnet.config import TrainConfig, config_from_toml
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.data.groups import group_names, resolve_groups, with_groups
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.sources import dataset_of, load_dataset
from thumbnet.data.undivided import undivided
from thumbnet.data_check.folds import _folds, check_folds
from thumbnet.errors import ConfigError, DataError, RunError
from thumbnet.models.registry import resolved_options
from thumbnet.recipes import load_recipe
from thumbnet.runs.changes import config_changes
from thumbnet.runs.load_checked import load_checked
from thumbnet.runs.own_data import DataPlace, load_named_dataset, load_own_dataset
from thumbnet.runs.reproduce import reproducing_command
from thumbnet.runs.resolve import say_nothing
from thumbnet.runs.resume import resume
from thumbnet.runs.run import RunDir, load_run
from thumbnet.runs.seeds.train import train_seeds
from thumbnet.runs.train import train
from thumbnet.specs.division import Division


def split_of(paths: list[str], *, first: int = 0) -> Split:
    labels = torch.tensor([int("dog" in path) for path in paths])
    images = torch.arange(first, first + len(paths)).reshape(-1, 1, 1, 1).to(torch.uint8).expand(-1, 1, 4, 4).clone()
    return Split(images, labels, tuple(paths))


def source_of(
    paths: list[str], *, val: list[str] | None = None, test: list[str] | None = None, name: str = "folder:/pets"
) -> SourceSplits:
    return SourceSplits(
        train=split_of(paths),
        val=None if val is None else split_of(val, first=100),
        test=None if test is None else split_of(test, first=150),
        class_names=("cat", "dog"),
        flip_keeps_labels=True,
        source=Source(name, "made up"),
    )


PETS = [f"{kind}/home {home}/{number}.png" for kind in ("cat", "dog") for home in range(6) for number in range(4)]
PETS += ["cat/alone.png", "dog/alone.png"]


def homes_in(split: Split | None) -> set[str]:
    assert split is not None
    assert split.paths is not None
    return {path.split("/")[1] for path in split.paths if "home" in path}


def test_the_first_folder_inside_a_class_names_the_group() -> None:
    paths = ["cat/a/1.png", "cat/a/deep/2.png", "cat/3.png", "dog/a/4.png", "dog/b/5.png"]
    splits = with_groups(source_of(paths), "folders")
    assert splits.train.groups is not None
    assert splits.train.groups.tolist() == [0, 0, 2, 0, 1]
    (remark,) = splits.source.remarks
    assert remark == (
        "Groups (sub-folders of the classes): 2 groups of 4 images, the largest of 3; 1 image without a group, each "
        "for itself. No split has a part of a group."
    )


def test_names_in_the_folders_of_splits_are_read_below_the_class() -> None:
    splits = source_of(["train/cat/a/1.png", "train/dog/2.png"], test=["test/cat/b/3.png", "test/dog/b/4.png"])
    assert group_names(splits, "folders") == ("a", "", "b", "b")


def test_a_class_may_be_called_as_a_split_is() -> None:
    splits = replace(source_of(["train/1.png", "train/cat/2.png", "test/3.png"]), class_names=("test", "train"))
    assert group_names(splits, "folders") == ("", "cat", "")


@pytest.mark.parametrize("fields", [{}, {"folds": 3, "fold": 1}])
def test_no_split_has_a_part_of_a_group(fields: Mapping[str, int]) -> None:
    dataset = dataset_of(source_of(PETS), val_fraction=0.2, division=Division(groups="auto", **fields))
    assert dataset.division == Division(groups="folders", **fields)
    sides = [homes_in(split) for split in (dataset.train, dataset.val, dataset.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert set.union(*sides) == {f"home {home}" for home in range(6)}
    for split in (dataset.train, dataset.val, dataset.test):
        assert split is not None
        assert set(split.labels.tolist()) == {0, 1}
        assert split.groups is not None
        assert len(split.groups) == len(split)


def test_without_groups_the_split_is_that_of_before() -> None:
    before = dataset_of(source_of(PETS), val_fraction=0.2)
    assert before.division == Division()
    assert before.train.groups is None
    assert homes_in(before.train) & homes_in(before.test)


def test_every_image_is_in_one_fold() -> None:
    tests = []
    for fold in range(3):
        dataset = dataset_of(source_of(PETS), val_fraction=0.0, division=Division(folds=3, fold=fold))
        assert dataset.val is None
        assert dataset.test.positions is not None
        assert dataset.train.positions is not None
        assert sorted([*dataset.test.positions.tolist(), *dataset.train.positions.tolist()]) == list(range(len(PETS)))
        assert dataset.test.images[:, 0, 0, 0].tolist() == dataset.test.positions.tolist()
        tests += dataset.test.positions.tolist()
    assert sorted(tests) == list(range(len(PETS)))


def test_folds_are_of_train_and_val_and_the_sources_own_test_takes_no_part() -> None:
    splits = source_of(PETS, val=["cat/9.png", "dog/9.png"] * 3, test=["cat/10.png", "dog/10.png"])
    dataset = dataset_of(splits, val_fraction=0.2, division=Division(folds=2, fold=0))
    assert dataset.val is not None
    assert len(dataset.train) + len(dataset.val) + len(dataset.test) == len(PETS) + 6
    assert "The 2 images of the source's own test split take no part in the folds." in dataset.source.remarks
    seen = torch.cat([split.images[:, 0, 0, 0] for split in (dataset.train, dataset.val, dataset.test)])
    assert seen.max() < 150


def test_excluded_images_leave_their_fold_and_the_others_stay(tmp_path: Path) -> None:
    listed = tmp_path / "exclude.csv"
    rows = [(3, PETS[3], "cat"), (30, PETS[30], "dog")]
    lines = [f"{index},{path},{label},,1.0,label" for index, path, label in rows]
    listed.write_text("\n".join(["index,path,label,suggested,score,kind", *lines]))
    for fold in range(2):
        whole, less = (
            dataset_of(source_of(PETS), val_fraction=0.0, division=Division(folds=2, fold=fold), exclude=exclude)
            for exclude in (None, listed)
        )
        assert less.num_excluded == 2
        for name in ("train", "test"):
            before, after = (set(dataset.split(name).paths or ()) for dataset in (whole, less))
            assert before - after == before & {PETS[3], PETS[30]}
            assert after < before or not before & {PETS[3], PETS[30]}


def test_images_of_the_sources_own_validation_split_are_excluded_from_folds_too(tmp_path: Path) -> None:
    listed = tmp_path / "exclude.csv"
    listed.write_text(f"index,path,label,suggested,score,kind\n{len(PETS) + 1},dog/9.png,dog,,1.0,label")
    splits = source_of(PETS, val=["cat/9.png", "dog/9.png", "dog/8.png"])
    for fold in range(2):
        division = Division(folds=2, fold=fold)
        dataset = dataset_of(splits, val_fraction=0.0, division=division, exclude=listed)
        assert "dog/9.png" not in {*(dataset.train.paths or ()), *(dataset.test.paths or ())}
        assert len(dataset.train) + len(dataset.test) == len(PETS) + 2


def write_groups(folder: Path, lines: list[str], *, header: str = "path,group") -> str:
    path = folder / "groups.csv"
    path.write_text("\n".join([header, *lines]), encoding="utf-8-sig")
    return str(path)


def test_a_file_names_the_groups(tmp_path: Path) -> None:
    file = write_groups(tmp_path, ["cat/1.png,x,seen", "dog/caf\u00e9.png, x ,"], header="path,group,note")
    paths = ["cat/1.png", "cat/2.png", unicodedata.normalize("NFD", "dog/caf\u00e9.png")]
    assert group_names(source_of(paths), file) == ("x", "", "x")


def test_paths_that_differ_in_their_spelling_alone_are_told_apart(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "caf\u00e9/1.png") for form in ("NFC", "NFD"))
    file = write_groups(tmp_path, [f"{composed},x", f"{apart},y"])
    assert group_names(source_of([composed, "dog/1.png", apart]), file) == ("x", "", "y")


def test_a_file_counts_images_of_data_without_files(tmp_path: Path) -> None:
    file = write_groups(tmp_path, ["0,x", "47,x", "3,y"], header="index,group")
    images, labels = np.arange(48 * 16, dtype=np.uint16).reshape(48, 4, 4).astype(np.uint8), np.arange(48) % 2
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    dataset = load_dataset(f"npz:{tmp_path / 'data.npz'}", groups=file)
    for split in (dataset.train, dataset.val, dataset.test):
        assert split is not None
        assert split.positions is not None
        assert len({0, 47} & set(split.positions.tolist())) != 1
    for index in ("48", "-1", "9" * 5_000):  # Python reads no number of thousands of digits
        write_groups(tmp_path, [f"{index},x"], header="index,group")
        with pytest.raises(DataError, match=f"line 2: the data has no image of index '{index[:50]}"):
            load_dataset(f"npz:{tmp_path / 'data.npz'}", groups=file)


def test_all_faults_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    file = write_groups(tmp_path, ["cat/1.png,x", "cat/9.png,x", "cat/2.png,", "cat/1.png,y"])
    with pytest.raises(DataError) as caught:
        with_groups(source_of(["cat/1.png", "cat/2.png", "dog/1.png"]), file)
    assert str(caught.value.message).splitlines() == [
        f"{file} has 3 faults:",
        "  line 3: the data has no image of path 'cat/9.png'",
        "  line 4: the group of 'cat/2.png' is empty",
        "  line 5: 'cat/1.png' is in the group 'y', but before in 'x'",
    ]


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        ("picture,group", "cat/1.png,x", "has no column 'path'"),
        ("path,module", "cat/1.png,x", "has no column 'group'"),
        ("path,group", "cat/7.png,x", "line 2: the data has no image of path 'cat/7.png'"),
    ],
)
def test_a_file_that_is_no_such_file_is_refused(tmp_path: Path, header: str, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        with_groups(source_of(["cat/1.png", "dog/1.png"]), write_groups(tmp_path, [line], header=header))


def test_a_skipped_file_may_be_listed(tmp_path: Path) -> None:
    splits = source_of(["cat/1.png", "dog/1.png"])
    splits = replace(splits, source=replace(splits.source, skipped=("cat/broken.png",)))
    assert group_names(splits, write_groups(tmp_path, ["cat/broken.png,x", "dog/1.png,x"])) == ("", "x")


def test_a_file_that_is_not_asked_for_is_said(pets: Path) -> None:
    write_groups(pets, [])
    assert load_dataset(f"folder:{pets}", image_size=8, val_fraction=0).source.remarks == (
        f"{pets / 'groups.csv'} was not obeyed (--groups auto does): what belongs together may be parted.",
    )


@pytest.mark.parametrize("groups", ["off", "folders", "auto"])
def test_a_dataset_that_is_divided_anew_says_how_it_is_divided_now(pets: Path, groups: str) -> None:
    read = load_dataset(f"folder:{pets}", image_size=8, groups=groups)
    again = dataset_of(undivided(read), val_fraction=0.1, division=Division(groups="auto"))
    (remark,) = again.source.remarks
    assert remark.startswith("Groups (groups.csv): 6 groups")
    folded = dataset_of(undivided(read), val_fraction=0.1, division=Division(folds=3, fold=0))
    (remark,) = folded.source.remarks
    assert "groups.csv was not obeyed" in remark


def test_auto_takes_the_file_then_the_folders_then_nothing(tmp_path: Path) -> None:
    name = f"folder:{tmp_path}"
    assert resolve_groups("auto", source_of(["cat/1.png", "dog/1.png"], name=name)) == "off"
    assert resolve_groups("auto", source_of(PETS, name=name)) == "folders"
    file = write_groups(tmp_path, [])
    assert resolve_groups("auto", source_of(PETS, name=name)) == file
    assert resolve_groups("auto", source_of(PETS, name="npz:x")) == "off"


def test_folders_are_refused_where_there_are_none() -> None:
    with pytest.raises(ConfigError, match="groups is 'folders', but the images of digits lie in no folders"):
        load_dataset("digits", groups="folders")


def test_splits_of_the_sources_own_that_part_a_group_are_refused() -> None:
    splits = source_of(["cat/a/1.png", "dog/b/1.png"], test=["cat/a/2.png", "dog/c/3.png"])
    with pytest.raises(DataError, match="the group 'a' stands in train and test"):
        dataset_of(splits, val_fraction=0.0, division=Division(groups="folders"))


def test_folds_divide_all_images_anew_as_the_advice_says() -> None:
    splits = source_of(["cat/a/1.png", "dog/b/1.png", "cat/c/1.png", "dog/d/1.png"], val=["cat/a/2.png", "dog/e/1.png"])
    with pytest.raises(DataError, match=r"'a' stands in train and val\nhint: .*--folds 4"):
        dataset_of(splits, val_fraction=0.0, division=Division(groups="folders"))
    for fold in range(2):
        divided = dataset_of(splits, val_fraction=0.0, division=Division(groups="folders", folds=2, fold=fold))
        assert len({"cat/a/1.png", "cat/a/2.png"} & set(divided.test.paths or ())) in (0, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"groups": "modules"}, "groups is 'modules'"),
        ({"folds": 1, "fold": 0}, "folds is 1"),
        ({"folds": 51, "fold": 0}, "folds is 51"),
        ({"folds": 4}, "folds is 4, but fold is not given"),
        ({"fold": 4}, "fold is 4, but folds is not given"),
        ({"folds": 4, "fold": 4}, "fold is 4"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small_config(Path("data.npz"), **fields)


def test_a_class_with_fewer_images_than_folds_is_named() -> None:
    with pytest.raises(DataError, match="class 'dog' has 2 images for 3 folds"):
        dataset_of(
            source_of(["cat/1.png"] * 9 + ["dog/1.png"] * 2), val_fraction=0.0, division=Division(folds=3, fold=0)
        )


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Pictures of 8x8 pixels in six homes, a file of groups beside the classes."""
    draw = np.random.default_rng(0)
    for index, path in enumerate(PETS):
        file = tmp_path / "pets" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        levels = draw.integers(0, 150, (8, 8), np.uint8) + np.uint8(100 * ("dog" in path))
        levels[0, 0] = index
        Image.fromarray(levels).save(file)
    write_groups(tmp_path / "pets", [f"{path},{path.split('/')[1]}" for path in PETS if "home" in path])
    return tmp_path / "pets"


def test_a_run_keeps_its_groups_whatever_becomes_of_the_file(pets: Path, tmp_path: Path) -> None:
    config = small_config(pets).replace(data=f"folder:{pets}", image_size=8, groups="auto", folds=3, fold=2)
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert run.config.division == Division(groups=str(pets / "groups.csv"), folds=3, fold=2)
    assert (run.path / "groups.csv").read_bytes() == (pets / "groups.csv").read_bytes()
    (pets / "groups.csv").unlink()
    again = load_run(run.path)
    own = load_own_dataset(again)
    assert not homes_in(own.train) & homes_in(own.test)
    moved = shutil.copytree(pets, tmp_path / "moved")
    _, is_own = load_named_dataset(again, f"folder:{moved}", DataPlace())
    assert is_own
    assert again.load_dataset(f"folder:{moved}").division == Division()  # other data is divided as usual
    (run.path / "metrics.json").unlink()
    resumed = resume(run.path, log_style="silent", pictures=False)
    assert resumed.card.data_checksum == run.card.data_checksum
    (run.path / "groups.csv").write_text("path,group\n")
    with pytest.raises(RunError, match=r"groups\.csv"):
        load_own_dataset(load_run(run.path))


def test_several_seeds_obey_a_file_of_groups(pets: Path, tmp_path: Path) -> None:
    file = pets / "groups.csv"
    config = small_config(pets).replace(data=f"folder:{pets}", image_size=8, groups=str(file), val_fraction=0.2)
    done = train_seeds(config, num_seeds=2, run_dir=tmp_path / "seeds", log_style="silent", pictures=False)
    for run in done.runs:
        own = load_own_dataset(run)
        assert not homes_in(own.train) & (homes_in(own.test) | homes_in(own.val))
    dataset = load_own_dataset(done.runs[0])  # by the run's own copy of the file
    load_checked(config, dataset=dataset, say=say_nothing)
    file.write_text("path,group\n")
    with pytest.raises(ConfigError, match=r"groups is '.*pets/groups.csv', but the dataset that was given has"):
        load_checked(config, dataset=dataset, say=say_nothing)


def test_the_place_of_the_file_is_no_change_but_other_groups_are() -> None:
    config = small_config(Path("data.npz"), groups="/a/groups.csv")
    assert config_changes(config, config.replace(groups="/run/groups.csv")) == []
    assert config_changes(config, config.replace(groups="off")) == ["groups was a .csv file and is off"]
    assert config_changes(config, config.replace(folds=2, fold=0)) != []


def test_a_command_names_the_groups() -> None:
    def command_of(asked: TrainConfig, **resolved: str) -> str:
        options = resolved_options(asked.model, asked.model_options)
        config = asked.replace(data="folder:/pets", model_options=options, **resolved)
        return reproducing_command(config, asked, sides=(32, 32))

    asked = load_recipe("sprint", options={"groups": "auto"})
    assert "--groups /pets/groups.csv" in command_of(asked, groups="/pets/groups.csv")
    assert "--groups auto" in command_of(asked, groups="folders")
    command = command_of(load_recipe("sprint", options={"groups": "folders"}, settings=["folds=4", "fold=1"]))
    assert "--groups folders" in command
    assert "--set folds=4 --set fold=1" in command


def test_data_check_parts_no_group(tiny_dataset: Dataset) -> None:
    groups = torch.arange(96) // 4
    dataset = replace(tiny_dataset, train=replace(tiny_dataset.train, groups=groups))
    times = torch.zeros(96)
    for seen, unseen in _folds(dataset, 3, seed=0):
        assert not set(groups[seen].tolist()) & set(groups[unseen].tolist())
        times[unseen] += 1
    assert times.eq(1).all()


def test_data_check_refuses_groups_that_fill_no_folds_before_it_trains(tiny_dataset: Dataset) -> None:
    groups = torch.where(tiny_dataset.train.labels == 0, 1000, torch.arange(96))
    dataset = replace(tiny_dataset, train=replace(tiny_dataset.train, groups=groups))
    with pytest.raises(DataError, match="has 1 group for 3 splits"):
        check_folds(small_config(Path("data.npz")), dataset, num_folds=3, num_repeats=1)


def test_an_old_config_is_divided_as_before(small_run: Path) -> None:
    config = RunDir(small_run).read_config()
    assert config.division == Division()
    assert "groups" in (small_run / "config.toml").read_text()
    text = "".join(
        line for line in (small_run / "config.toml").read_text().splitlines(True) if not line.startswith("groups")
    )
    dataset, _ = load_checked(config_from_toml(text, name="old"), say=lambda sentence: None)
    assert dataset.checksum() == load_run(small_run).card.data_checksum
