"""data split: class folders become train, val and test folders, which then can be trained on."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from odd_pictures import make_classes
from thumbnet.cli import main
from thumbnet.data import split_files as module
from thumbnet.data.folder import read_folder
from thumbnet.data.groups import resolve_groups, with_groups
from thumbnet.data.split_folder import split_folder
from thumbnet.errors import ConfigError, DataError


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
        "remarks": [],
        "is_grouped": False,
    }
    grouped = ["--out", str(tmp_path / "grouped"), "--val", "0", "--groups", "folders"]
    assert main(["data", "split", str(pets), *grouped]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"--data folder:{tmp_path / 'grouped'} --groups auto")


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
