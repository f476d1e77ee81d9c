"""data check by class: what exclude.csv lists, which classes lose much, every image's scores, names of files."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from thumbnet.cli import main
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.data.sources import load_dataset
from thumbnet.data.split_folder import split_folder
from thumbnet.data_check import check, pictures
from thumbnet.data_check.by_class import count_kinds, large_losses
from thumbnet.data_check.check import DataCheck, check_data
from thumbnet.data_check.folds import OutOfFold
from thumbnet.data_check.groups import groups_of_alike, groups_to_csv, is_parted
from thumbnet.data_check.pictures import draw_pictures
from thumbnet.data_check.scores import scores_to_csv
from thumbnet.data_check.suspects import Duplicate, Place, Suspect, SuspectKind, find_duplicates_across
from thumbnet.errors import ConfigError
from thumbnet.recipes import load_recipe
from thumbnet.runs.resolve import load_data

NUM_IMAGES = 60


def suspect(index: int, label: str, kind: SuspectKind) -> Suspect:
    return Suspect(index, f"{label}/{index}.png", label, "", 0.5, kind)


def answers(dataset: Dataset) -> OutOfFold:
    """Models that are sure of the labels, all but those of the images 3 and 4."""
    labels = dataset.train.labels.numpy()
    probabilities = np.full((len(labels), dataset.num_classes), 0.1 / (dataset.num_classes - 1))
    probabilities[np.arange(len(labels)), labels] = 0.9
    probabilities[[3, 4]] = probabilities[[3, 4]][:, ::-1]
    return OutOfFold(probabilities, np.ones(len(labels)))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of two classes in a folder; one file is there twice, another nearly so."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for name in ("bad", "good"):
        (folder / name).mkdir()
        for number in range(NUM_IMAGES // 2):
            pixels = generator.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    (folder / "good" / "copy.png").write_bytes((folder / "good" / "05.png").read_bytes())
    with Image.open(folder / "bad" / "06.png") as picture:
        picture.point(lambda level: level * 0.8 + 10).save(folder / "bad" / "nearly.png")
    return folder


@pytest.fixture(scope="module")
def checked(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> DataCheck:
    """A check in which nothing is trained."""
    options = {"data": f"folder:{photos}", "device": "cpu", "image_size": 16, "kernels": "pytorch"}
    config = load_recipe(options=options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "predict_out_of_fold", lambda config, dataset, **options: answers(dataset))
        return check_data(
            config,
            out=tmp_path_factory.mktemp("check"),
            log_style="silent",
            kinds=["duplicate", "label"],
            max_labels=1,
        )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_exclude_lists_the_kinds_that_are_asked_for(checked: DataCheck, photos: Path) -> None:
    suspects, excluded = (rows_of(checked.path / name) for name in ("suspects.csv", "exclude.csv"))
    kinds = [row["kind"] for row in suspects]
    assert kinds.count("exact-duplicate") == kinds.count("duplicate") == kinds.count("label") == 1
    assert excluded == [row for row in suspects if row["kind"] in ("label", "duplicate")]
    dataset = load_dataset(f"folder:{photos}", image_size=16, val_fraction=0.0, exclude=checked.path / "exclude.csv")
    assert dataset.num_excluded == 2


def test_an_exclude_file_without_lines_excludes_nothing(checked: DataCheck, photos: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text((checked.path / "exclude.csv").read_text().splitlines()[0] + "\n")
    assert load_dataset(f"folder:{photos}", image_size=16, exclude=empty).num_excluded == 0


def test_a_dataset_read_with_such_a_file_is_that_of_the_config(photos: Path, tmp_path: Path) -> None:
    empty, listed = tmp_path / "empty.csv", tmp_path / "listed.csv"
    empty.write_text("index,path,label,suggested,score,kind\n")
    listed.write_text("index,path,label,suggested,score,kind\n0,bad/00.png,bad,,1,dark\n")
    options = {"data": f"folder:{photos}", "device": "cpu", "image_size": 16}
    config = load_recipe(options=options, settings=["val_fraction=0.1"])
    whole = load_dataset(f"folder:{photos}", image_size=16, exclude=empty)
    load_data(config.replace(exclude=str(empty)), say=print, dataset=whole)
    with pytest.raises(ConfigError, match="leaves 0 images out"):
        load_data(config.replace(exclude=str(listed)), say=print, dataset=whole)


def test_the_summary_has_names_classes_and_kinds(checked: DataCheck) -> None:
    summary = json.loads((checked.path / "check.json").read_text())
    assert summary["kinds"] == ["label", "duplicate"]
    by_class = summary["suspects_by_class"]
    assert set(by_class) == set(summary["class_sizes"]) == {"bad", "good"}
    for kind, number in summary["suspects"].items():
        assert sum(counts[kind] for counts in by_class.values()) == number
    assert summary["num_excluded"] == sum(sum(counts.values()) for counts in summary["excluded_by_class"].values()) == 2
    exact, near = (
        {Path(pair[side]["path"]).name for pair in summary["duplicates"] if pair["is_exact"] is wanted for side in
         ("first", "second")} for wanted in (True, False)
    )  # fmt: skip
    assert exact == {"05.png", "copy.png"}
    assert near == {"06.png", "nearly.png"}
    assert [listed["path"] for listed in summary["suspects_listed"]] == [found.path for found in checked.suspects]
    text = str(checked)
    assert "exact-duplicate       1   of 1 pair in all splits" in text
    table = [line.split() for line in text.splitlines() if line.startswith(("class", "bad", "good"))]
    kinds = [kind for kind, number in summary["suspects"].items() if number]
    assert table[0] == ["class", "images", *kinds]
    assert table[1:] == [
        [name, str(summary["class_sizes"][name]), *(str(counts[kind]) for kind in kinds)]
        for name, counts in by_class.items()
        if any(counts.values())
    ]
    assert len(kinds) >= 3


def test_alike_pictures_become_groups_that_no_split_parts(
    checked: DataCheck, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(checked.path / "groups.csv")
    groups: dict[str, set[str]] = {}
    for row in rows:
        groups.setdefault(row["group"], set()).add(row["path"])
    assert sorted(map(sorted, groups.values())) == [["bad/06.png", "bad/nearly.png"], ["good/05.png", "good/copy.png"]]
    assert checked.summary["num_groups"] == 2
    for seed in range(4):
        dataset = load_dataset(
            f"folder:{photos}", image_size=16, groups=str(checked.path / "groups.csv"), split_seed=seed
        )
        homes = {path: name for name in ("train", "val", "test") for path in dataset.split(name).paths or ()}
        assert homes["bad/06.png"] == homes["bad/nearly.png"]
        assert homes["good/05.png"] == homes["good/copy.png"]
    monkeypatch.setattr(check, "check_data", lambda *arguments, **options: checked)
    assert main(["data", "check", "--data", f"folder:{photos}", "--set", "flip=false", "--groups", "auto"]) == 0
    *_, groups_line, exclude_line = capsys.readouterr().out.splitlines()
    train = f"thumbnet train --data folder:{photos}"
    said = f"{train} --groups {checked.path / 'groups.csv'} --set flip=false"
    assert groups_line == f"to keep alike pictures on one side of every split: {said}"
    said = f"{train} --exclude {checked.path / 'exclude.csv'} --set 'groups=\"auto\"' --set flip=false"
    kinds = ", ".join(checked.summary["kinds"])
    assert exclude_line == f"to leave 2 images ({kinds}) out: {said}"
    assert main(["data", "check", "--data", f"folder:{photos}", "--set", "labels=folders"]) == 0
    *_, groups_line, exclude_line = capsys.readouterr().out.splitlines()
    assert groups_line.endswith(f"--groups {checked.path / 'groups.csv'} --set 'labels=\"folders\"'")
    assert exclude_line.endswith(f"--exclude {checked.path / 'exclude.csv'} --set 'labels=\"folders\"'")
    nothing = replace(checked, excluded=())
    monkeypatch.setattr(check, "check_data", lambda *arguments, **options: nothing)
    assert main(["data", "check", "--data", f"folder:{photos}"]) == 0
    *_, nothing_line, groups_line = capsys.readouterr().out.splitlines()
    assert nothing_line.startswith(f"nothing to leave out by --kinds {kinds}; look at ")
    assert groups_line.startswith("to keep alike pictures on one side of every split: ")


def test_where_none_are_alike_the_commands_that_name_the_groups_hold_too(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = tmp_path / "photos"
    shutil.copytree(photos, apart)
    (apart / "good" / "copy.png").unlink()
    (apart / "bad" / "nearly.png").unlink()
    monkeypatch.setattr(check, "predict_out_of_fold", lambda config, dataset, **options: answers(dataset))
    options = {"data": f"folder:{apart}", "device": "cpu", "image_size": 16, "kernels": "pytorch"}
    done = check_data(load_recipe(options=options), out=tmp_path / "check", log_style="silent")
    file = done.path / "groups.csv"
    assert (done.summary["num_groups"], file.read_text()) == (0, "path,group\n")
    fold = load_dataset(f"folder:{apart}", image_size=16, groups=str(file), folds=4, fold=0)
    assert len(fold.test) == NUM_IMAGES // 4
    split_folder(apart, tmp_path / "split", val=0.0, groups=str(file))
    groups = load_dataset(f"folder:{tmp_path / 'split'}", image_size=16, groups="auto").train.groups
    assert groups is None or len(groups.unique()) == len(groups)


def test_groups_of_alike_pictures_are_joined_with_those_that_there_are() -> None:
    images = torch.zeros(4, 1, 4, 4, dtype=torch.uint8)
    labels, codes = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1, 2, 0])
    train = Split(images, labels, tuple("abcd"), positions=torch.arange(4), groups=codes)
    test = Split(images[:2], labels[:2], ("e", "f"), groups=torch.tensor([3, 4]))
    dataset = Dataset(train, None, test, ("x", "y"), (0.5,), (0.5,), True, Source("noise", "noise"))
    one, two, three = (Place("train", index) for index in (0, 1, 3))
    (group,) = groups_of_alike(dataset, [Duplicate(two, three, 0.99, False)])
    assert group == (one, two, three)
    assert groups_to_csv(dataset, [group]).splitlines() == ["path,group", "a,alike-1", "b,alike-1", "d,alike-1"]
    assert not is_parted(dataset, [group])
    tested = Place("test", 1)
    joined = groups_of_alike(dataset, [Duplicate(tested, one, 0.99, False)])
    assert joined == ((one, three, tested),)
    assert is_parted(dataset, joined)  # the source has that test split itself
    drawn = replace(dataset, test=replace(test, positions=torch.arange(2)))
    assert not is_parted(drawn, joined)


def test_scores_has_every_image(checked: DataCheck, photos: Path) -> None:
    rows = rows_of(checked.path / "scores.csv")
    train = load_dataset(f"folder:{photos}", image_size=16, val_fraction=0.0).train
    assert train.positions is not None
    assert train.paths is not None
    assert [int(row["index"]) for row in rows] == train.positions.tolist()
    assert [row["path"] for row in rows] == list(train.paths)
    probabilities = np.array([[float(row["p_bad"]), float(row["p_good"])] for row in rows])
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(rows)))
    labels = [row["label"] for row in rows]
    assert labels == [path.partition("/")[0] for path in train.paths]
    assert all(row["suggested"] != row["label"] for row in rows)
    scores = [1 - float(row[f"p_{row['label']}"]) for row in rows]
    assert [float(row["score"]) for row in rows] == pytest.approx(scores)
    assert int(np.argmax(scores)) in (3, 4)


def test_probabilities_of_many_classes_keep_their_digits() -> None:
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    split = Split(images, torch.tensor([0, 1]))
    dataset = Dataset(split, None, split, ("a", 'b,"c'), (0.5,), (0.5,), True, Source("noise", "noise"))
    found = OutOfFold(np.array([[1 - 1e-9, 1e-9], [0.25, 0.75]]), np.array([1.0, 2.5]))
    rows = list(csv.DictReader(scores_to_csv(dataset, found).splitlines()))
    assert [float(row['p_b,"c']) for row in rows] == [1e-9, 0.75]
    assert [row["relative_distance"] for row in rows] == ["1.000000", "2.500000"]


def test_a_class_that_loses_more_than_twice_its_share_is_warned_of() -> None:
    sizes = {"defective": 617, "good": 1353}
    listed = [suspect(index, "defective", "outlier") for index in range(300)]
    listed += [suspect(index, "defective", "flat") for index in range(300)]  # which count once
    listed += [suspect(1000 + index, "good", "outlier") for index in range(76)]
    (loss,) = large_losses(listed, sizes, file="suspects.csv")
    assert (loss.num_listed, loss.num_images) == (300, 617)
    assert "300 of the 617 images of class 'defective' (48.6%), but 5.6% of the other images" in str(loss)
    assert loss.to_dict()["warning"] == str(loss)
    half = [*listed[:150], *listed[600:], *(suspect(2000 + index, "good", "dark") for index in range(253))]
    assert large_losses(half, sizes, file="suspects.csv") == ()  # a quarter of each class
    assert large_losses(listed[:1], sizes, file="suspects.csv") == ()  # by chance
    assert large_losses([], sizes, file="suspects.csv") == ()
    counts = count_kinds(listed, tuple(sizes))
    assert counts["defective"] == {**dict.fromkeys(get_args(SuspectKind), 0), "outlier": 300, "flat": 300}


def test_one_of_two_equal_classes_can_lose_more_than_its_share() -> None:
    sizes = {"cat": 100, "dog": 100}
    listed = [suspect(index, "cat", "dark") for index in range(40)]
    (loss,) = large_losses([*listed, suspect(100, "dog", "dark")], sizes, file="exclude.csv")
    assert (loss.class_name, loss.share, loss.share_of_all, loss.share_of_others) == ("cat", 0.4, 0.205, 0.01)
    assert large_losses(listed[:5], sizes, file="exclude.csv") == ()  # by chance
    of_both = [*listed, *(suspect(100 + index, "dog", "dark") for index in range(20))]
    assert large_losses(of_both, sizes, file="exclude.csv") == ()  # twice as many, and no more


def test_pictures_name_files(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def seen(groups: object, captions: list[str], *, title: str) -> str:
        shown.extend(captions)
        return title

    monkeypatch.setattr(pictures, "draw_suspects", seen)
    monkeypatch.setattr(pictures, "png_bytes", lambda figure: figure.encode())
    dataset = load_dataset(f"folder:{photos}", image_size=16, val_fraction=0.0)
    assert dataset.train.paths is not None
    assert dataset.train.positions is not None
    path = dataset.train.paths[7]
    found = [replace(suspect(int(dataset.train.positions[7]), "bad", "label"), suggested="good")]
    drawn = draw_pictures(dataset, found, find_duplicates_across(dataset), answers(dataset))
    assert set(drawn) == {"label.png", "exact-duplicate.png", "duplicate.png"}
    assert shown[0].startswith(f"{path}: bad\nrather good (")
    assert sorted(line.partition(" ")[2] for line in shown[1].splitlines()[:2]) == [
        "good/05.png: good", "good/copy.png: good"
    ]  # fmt: skip
    assert "bad/nearly.png" in shown[2]
    without = replace(dataset, train=replace(dataset.train, paths=None))
    shown.clear()
    draw_pictures(without, found, (), answers(dataset))
    assert shown[0].startswith(f"{found[0].index}: bad")
