"""data split: class folders, or a labels.csv, become train, val and test folders, which then can be trained on."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from odd_pictures import make_classes
from small_runs import small_config
from test_labels_file import NAMES, several, write_folder
from thumbnet.cli import main
from thumbnet.data import split_files as module
from thumbnet.data.folder import read_folder
from thumbnet.data.groups import resolve_groups, with_groups
from thumbnet.data.sources import load_dataset
from thumbnet.data.split_folder import split_folder
from thumbnet.errors import ConfigError, DataError
from thumbnet.runs.train import train
from thumbnet.specs.data import Labels


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Forty cats, five of them in a folder of their own, and twenty dogs."""
    make_classes(tmp_path / "pets", classes=("cat",), num_images=40)
    make_classes(tmp_path / "pets", classes=("dog",), num_images=20)
    (tmp_path / "pets" / "cat" / "tom").mkdir()
    for number in range(5):
        (tmp_path / "pets" / "cat" / f"{number}.png").rename(tmp_path / "pets" / "cat" / "tom" / f"{number}.png")
    (tmp_path / "pets" / "notes.txt").write_text("no picture")
    return tmp_path / "pets"


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def test_every_picture_is_in_one_split_by_its_shares(pets: Path, tmp_path: Path) -> None:
    before = files_in(pets)
    done = split_folder(pets, tmp_path / "out", test=0.25, val=0.1)
    expected = {"cat": {"train": 26, "val": 4, "test": 10}, "dog": {"train": 13, "val": 2, "test": 5}}
    assert done.counts == expected
    found = files_in(tmp_path / "out")
    assert {name.partition("/")[2]: content for name, content in found.items()} == before
    assert len(found) == len(before)
    assert sum(name.startswith(("train/cat/tom/", "val/cat/tom/", "test/cat/tom/")) for name in found) == 5
    assert files_in(pets) == before
    splits = read_folder(tmp_path / "out", image_size=4)
    assert splits.test is not None
    assert splits.val is not None
    assert (len(splits.train), len(splits.val), len(splits.test)) == (39, 6, 15)
    with (tmp_path / "out" / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == set(found)
    for row in rows:
        assert row["path"] == f"{row['split']}/{row['from']}"
        assert row["from"].startswith(f"{row['class']}/")
        assert row["group"] == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "pets"]


def test_what_thumbnet_wrote_among_the_pictures_is_left_out_and_named(
    pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = pets / "runs" / "sprint-1"
    make_classes(run.parent, classes=("sprint-1",))  # pictures, as a run has some
    (run / "config.toml").write_text("recipe = 'sprint'\nmodel = 'sprint'\nepochs = 1\nlr = 0.1\nschedule = 'cosine'\n")
    assert main(["data", "split", str(pets), "--out", str(tmp_path / "out")]) == 0
    assert "Left out, since thumbnet itself wrote it: runs." in capsys.readouterr().err
    assert not (tmp_path / "out" / "train" / "runs").exists()


def split_of_groups(folder: Path) -> dict[str, set[str]]:
    """The splits in which each group is, by split.csv."""
    found: dict[str, set[str]] = {}
    with (folder / "split.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["group"], set()).add(row["split"])
    return found


@pytest.mark.parametrize("groups", ["folders", "auto", "FILE"])
def test_groups_stay_together_and_the_new_folder_knows_them(groups: str, pets: Path, tmp_path: Path) -> None:
    films = {file.relative_to(pets): f"film-{int(file.stem) % 8}" for file in pets.rglob("*.png")}
    asked = groups
    if groups == "FILE":
        asked = str(tmp_path / "films.csv")
        Path(asked).write_text(
            "\n".join(["path,group", *(f"{file.as_posix()},{film}" for file, film in films.items())])
        )
    else:
        for file, film in films.items():
            place = pets / file.parts[0] / film
            place.mkdir(exist_ok=True)
            (pets / file).rename(place / file.name)
    done = split_folder(pets, tmp_path / "out", groups=asked)
    assert "8 groups of 60 images" in done.remarks[0]
    found = split_of_groups(tmp_path / "out")
    assert {len(splits) for splits in found.values()} == {1}
    assert len(found) == 8
    assert set.union(*found.values()) == {"train", "val", "test"}
    splits = read_folder(tmp_path / "out", image_size=4)
    again = with_groups(splits, resolve_groups("auto", splits))  # which refuses a group that stands in two splits
    assert again.train.groups is not None
    assert len(again.train.groups.unique()) == sum(splits == {"train"} for splits in found.values())


def test_what_is_not_obeyed_is_said_and_too_few_groups_are_refused(pets: Path, tmp_path: Path) -> None:
    (pets / "groups.csv").write_text("path,group\ncat/5.png,film\n")
    (remark,) = split_folder(pets, tmp_path / "out").remarks
    assert "was not obeyed (--groups auto does)" in remark
    (pets / "groups.csv").write_text("path,group\n" + "".join(f"dog/{number}.png,film\n" for number in range(20)))
    with pytest.raises(DataError, match="'dog' has 1 group") as caught:
        split_folder(pets, tmp_path / "more", groups="auto")
    assert "--groups off" in caught.value.hint
    with pytest.raises(ConfigError, match="groups is 'films'"):
        split_folder(pets, tmp_path / "more", groups="films")


def test_the_draw_depends_on_the_seed_alone(pets: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        split_folder(pets, tmp_path / name, split_seed=seed)
    a, b, c = (set(files_in(tmp_path / name)) for name in "abc")
    assert a == b
    assert a != c


def test_links_lead_to_the_pictures(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = split_folder("pets", "out", val=0, link=True)
    assert {split for of_class in done.counts.values() for split in of_class} == {"train", "test"}
    links = list(Path("out").rglob("*.png"))
    assert len(links) == 60
    for link in links:
        assert link.is_symlink()
        assert Path(os.readlink(link)) == pets / Path(*link.parts[2:])  # noqa: PTH115
    assert not Path("out/val").exists()


def test_links_take_steps_back_where_the_system_takes_them(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    pets.rename(tmp_path / "far" / "pets")
    (tmp_path / "far" / "inner").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far" / "inner")  # near/.. is far
    split_folder(tmp_path / "near" / ".." / "pets", tmp_path / "out", link=True)
    assert all(link.is_file() for link in (tmp_path / "out").rglob("*.png"))


def test_the_command_prints_a_table_or_json(pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "split", str(pets), "--out", str(tmp_path / "out"), "--test", "0.5"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split() for line in shown[:4]] == [
        ["class", "train", "val", "test"],
        ["cat", "16", "4", "20"],
        ["dog", "8", "2", "10"],
        ["all", "24", "6", "30"],
    ]
    assert shown[4] == f"to train on it: thumbnet train --data folder:{tmp_path / 'out'}"
    (tmp_path / "again").mkdir()  # an empty folder will do
    assert main(["data", "split", str(pets), "--out", str(tmp_path / "again"), "--json", "--val", "0"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values == {
        "path": str(tmp_path / "again"),
        "counts": {"cat": {"train": 30, "test": 10}, "dog": {"train": 15, "test": 5}},
        "num_images": {"train": 45, "test": 15},
        "remarks": [],
        "is_grouped": False,
    }
    grouped = ["--out", str(tmp_path / "grouped"), "--val", "0", "--groups", "folders"]
    assert main(["data", "split", str(pets), *grouped]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"--data folder:{tmp_path / 'grouped'} --groups auto")


@pytest.fixture
def beach(tmp_path: Path) -> Path:
    """Sixty pictures in two folders, with labels of three kinds, several of them or none."""
    marks = several()
    rows = {
        f"{'ab'[index % 2]}/{index:02}{'x' * (index % 7)}.png": ";".join(
            name for name, mark in zip(NAMES, row, strict=True) if mark
        )
        for index, row in enumerate(marks)
    }
    return write_folder(tmp_path / "beach", rows, header="path,labels")


@pytest.mark.parametrize("link", [False, True])
def test_every_split_has_its_share_of_every_label(
    beach: Path, tmp_path: Path, link: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    done = split_folder(beach, tmp_path / "out", test=0.3, val=0.2, link=link)
    sizes = dict(zip(NAMES, several().sum(axis=0).tolist(), strict=True))
    for name, of_label in done.counts.items():
        assert sum(of_label.values()) == sizes[name]
        assert abs(of_label["test"] - 0.3 * sizes[name]) <= 1
        assert abs(of_label["val"] - 0.2 * sizes[name]) <= 1
    assert sum(done.num_images.values()) == 60
    assert str(done).splitlines()[-1].split() == ["all", *map(str, done.num_images.values())]
    found = files_in(tmp_path / "out")
    assert {name.partition("/")[2]: content for name, content in found.items()} == files_in(beach)
    assert all((tmp_path / "out" / name).is_symlink() == link for name in found)

    whole, parts = read_folder(beach, image_size=4), read_folder(tmp_path / "out", image_size=4)
    labels_of = dict(zip(whole.train.paths or (), whole.train.labels.tolist(), strict=True))
    for name, part in (("train", parts.train), ("val", parts.val), ("test", parts.test)):
        assert part is not None
        assert len(part) == done.num_images[name]
        assert [labels_of[path.removeprefix(f"{name}/")] for path in part.paths or ()] == part.labels.tolist()
    capsys.readouterr()
    assert main(["data", "info", "--data", f"folder:{tmp_path / 'out'}", "--image-size", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["class_counts"] == done.counts


def test_what_is_divided_by_labels_is_trained_on(beach: Path, tmp_path: Path) -> None:
    split_folder(beach, tmp_path / "out")
    config = small_config(tmp_path / "unused.npz").replace(data=f"folder:{tmp_path / 'out'}", image_size=16)
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert run.card.class_names == NAMES
    assert run.metrics["num_test"] == len(list((tmp_path / "out" / "test").rglob("*.png")))


def test_one_label_a_picture_and_groups_come_from_files(tmp_path: Path) -> None:
    rows = {f"{index // 10}/{'x' * (index % 7)}{index:02}.png": NAMES[index % 3] for index in range(60)}
    sea = write_folder(tmp_path / "sea", rows)
    (sea / "groups.csv").write_text("path,group\n" + "".join(f"{path},film-{path[-6]}\n" for path in rows))
    done = split_folder(sea, tmp_path / "out", groups="auto")
    assert done.is_grouped
    assert {len(splits) for splits in split_of_groups(tmp_path / "out").values()} == {1}
    with (tmp_path / "out" / "labels.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert {row["path"].partition("/")[2]: row["label"] for row in read} == rows
    assert all(row["path"].startswith(f"{row['split']}/") for row in read)
    dataset = load_dataset(f"folder:{tmp_path / 'out'}", image_size=4, groups="auto")
    assert not dataset.has_several_labels
    assert dataset.val is not None
    counts = {name: len(dataset.split(name)) for name in ("train", "val", "test")}
    assert counts == dict(done.num_images)


def test_class_folders_are_divided_where_the_file_is_not_meant(tmp_path: Path) -> None:
    rows = {f"{NAMES[index % 2]}/{index:02}.png": NAMES[2 - index % 2] for index in range(40)}
    mixed = write_folder(tmp_path / "mixed", rows)
    done = split_folder(mixed, tmp_path / "by-folders", labels="folders")
    assert set(done.counts) == {"cat", "dog"}
    assert not (tmp_path / "by-folders" / "labels.csv").exists()
    assert main(["data", "split", str(mixed), "--out", str(tmp_path / "by-file"), "--labels", "file"]) == 0
    assert read_folder(tmp_path / "by-file", image_size=4).class_names == ("dog", "owl")


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("path,label,split\n1.png,cat,train\n2.png,dog,train\n3.png,dog,test\n", "auto", "divided already: train and"),
        ("path,label\n1.png,cat\n2.png,dog\n", "file", "'3.png' is not listed"),
        ("path,labels\n1.png,cat;dog\n2.png,dog\n3.png,dog\n", "file", "label 'cat' has 1 image for 3 splits"),
        ("path,label\n1.png,cat\n2.png,dog\n3.png,dog\n", "folders", "in .* outside its class folders"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, text: str, labels: Labels, expected: str) -> None:
    folder = write_folder(tmp_path / "odd", {"1.png": "", "2.png": "", "3.png": ""})
    (folder / "labels.csv").write_text(text)
    with pytest.raises((DataError, ConfigError), match=expected):
        split_folder(folder, tmp_path / "out", labels=labels)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_divided_is_refused(pets: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "file"
    file.touch()
    for arguments, message in (
        ({"test": 0.0, "val": 0.0}, "both 0"),
        ({"test": 1.5}, "test is 1.5"),
        ({"val": -0.1}, "val is -0.1"),
        ({"test": 0.6, "val": 0.35}, "leave 5% of the pictures"),
        ({"split_seed": -1}, "split_seed is -1"),
    ):
        with pytest.raises(ConfigError, match=message):
            split_folder(pets, out, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lies inside the pictures"):
        split_folder(pets, pets / "out")
    with pytest.raises(ConfigError, match="is not empty"):
        split_folder(pets, tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        split_folder(pets, file)
    make_classes(tmp_path / "few", classes=("cat", "dog"), num_images=2)
    with pytest.raises(DataError, match=r"2 classes .*: 'cat' has 2, 'dog' has 2") as caught:
        split_folder(tmp_path / "few", out)
    assert "--val 0" in caught.value.hint
    split_folder(pets, tmp_path / "divided")
    with pytest.raises(DataError, match="has train/ and val/ and test/ of its own"):
        split_folder(tmp_path / "divided", out)
    assert not out.exists()


def test_all_faults_of_the_folder_are_listed(pets: Path, tmp_path: Path) -> None:
    (pets / "eel").mkdir()
    (pets / "stray.png").write_bytes(b"")
    with pytest.raises(DataError, match="2 faults in the folder"):
        split_folder(pets, tmp_path / "out")


def test_what_is_no_file_is_named_and_nothing_waits_for_it(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(pets / "cat" / "pipe.png")
    (pets / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"2 faults(.|\n)*pipe\.png is not a regular(.|\n)*gone\.png is not a regular"):
        split_folder(pets, tmp_path / "out")
    for name in ("cat/pipe.png", "dog/gone.png"):
        (pets / name).unlink()

    def refuse(file: Path, place: Path) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(module, "copy_file", refuse)
    with pytest.raises(DataError, match=r"\.png cannot be read: Permission denied"):
        split_folder(pets, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]


def test_nothing_is_left_of_a_split_that_fails(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[Path] = []

    def copy_ten(file: Path, place: Path) -> None:
        if len(copied) == 10:
            raise OSError(28, "No space left on device")
        copied.append(file)
        place.write_bytes(file.read_bytes())

    monkeypatch.setattr(module, "copy_file", copy_ten)
    with pytest.raises(DataError, match="No space left"):
        split_folder(pets, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]
