"""All that is wrong with a folder is said in one message; a single fault keeps its own error."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from PIL import Image

from odd_pictures import make_classes
from thumbnet.data.faults import FolderFaults, faulty_table
from thumbnet.data.folder import read_folder
from thumbnet.data.unreadable import NUM_NAMED
from thumbnet.errors import DataError, DatasetNotFoundError, ImageError

GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "data.md"


def test_every_fault_is_listed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refused(folder: str | Path) -> object:
        if Path(folder).name == "locked":  # permissions do not hold for root, by whom tests may be run
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("os.scandir", refused)
    make_classes(tmp_path / "train", classes=("cat", "dog", "eel"))
    make_classes(tmp_path / "test", classes=("cat", "cow", "dog"))
    Image.new("RGB", (9, 9)).save(tmp_path / "train" / "stray.png")
    for picture in (tmp_path / "test" / "dog").iterdir():
        picture.unlink()
    (tmp_path / "train" / "cat" / "1.png").write_bytes(b"no picture")
    (tmp_path / "train" / "dog" / "2.png").write_bytes(b"\x89PNG")
    (tmp_path / "train" / "eel" / "locked").mkdir()
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path, image_size=4)
    first, *lines = caught.value.message.splitlines()
    assert first == f"7 faults in the folder {tmp_path}:"
    expected = (
        "1 image in ", "test has other classes than train: train lacks 'cow'",
        "test has other classes than train: it lacks 'eel'", "locked cannot be listed: Permission denied",
        "class folder ", "1.png is not an image", "2.png is not an image",
    )  # fmt: skip
    for line, text in zip(lines, expected, strict=True):
        assert text in line
    for hint in ("move them into a folder per class", "check its permissions", "add images", "skip_unreadable"):
        assert caught.value.hint.count(hint) == 1
    with pytest.raises(DataError, match="5 faults"):
        read_folder(tmp_path, image_size=4, skip_unreadable=True)


def test_what_seems_to_be_missing_behind_a_fault_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refused(folder: str | Path) -> object:
        if Path(folder).name == "dog":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("os.scandir", refused)
    make_classes(tmp_path)
    with pytest.raises(DataError) as caught:  # not that the class has no images
        read_folder(tmp_path, image_size=4)
    assert caught.value.message == f"the folder {tmp_path / 'dog'} cannot be listed: Permission denied"


def test_names_that_are_no_utf8_are_counted_and_the_others_read(tmp_path: Path) -> None:
    if os.fsencode("\udce9") != b"\xe9":
        pytest.skip("a system that keeps no names as bytes")
    make_classes(tmp_path)
    for number in (0, 1):
        (tmp_path / "cat" / f"{number}.png").rename(tmp_path / "cat" / os.fsdecode(b"ol\xe9%d.png" % number))
    (tmp_path / "dog" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"cat are not UTF-8, for instance b'ol\\xe9[01]\.png'") as caught:
        read_folder(tmp_path, image_size=4)
    assert caught.value.message.startswith("2 faults")
    assert "dog/0.png is not an image" in caught.value.message


def test_a_single_fault_is_its_own_error(tmp_path: Path) -> None:
    only = ImageError("a.png is damaged", hint="replace it")
    for errors, expected in (([], DataError), ([only], DataError)):
        faults = FolderFaults()
        faults.add(DatasetNotFoundError("gone", hint="look for it"))
        if errors:
            faults.add_unreadable(errors, 3, hint="replace them")
        with pytest.raises(expected) as caught:
            faults.raise_all(tmp_path)
        assert type(caught.value) is (DataError if errors else DatasetNotFoundError)
    faults = FolderFaults()
    faults.raise_all(tmp_path)
    faults.add_unreadable([only], 3, hint="replace them")
    with pytest.raises(ImageError, match="1 of 3 files"):
        faults.raise_all(tmp_path)


def test_of_very_many_faults_the_rest_is_counted(tmp_path: Path) -> None:
    faults = FolderFaults()
    faults.add(DataError("a stray", hint="move it"))
    faults.add_unreadable([ImageError(f"{number}.png is empty") for number in range(120)], 300, hint="replace them")
    with pytest.raises(DataError) as caught:
        faults.raise_all(tmp_path)
    lines = caught.value.message.splitlines()
    assert (lines[0], lines[-1]) == (f"121 faults in the folder {tmp_path}:", "  ... and 21 more")
    assert len(lines) == 1 + NUM_NAMED + 1
    assert caught.value.hint == "move it; replace them"


def test_a_table_names_as_many_faults_as_a_folder() -> None:
    told = faulty_table(Path("labels.csv"), [f"line {number}: no such file" for number in range(2, 123)], hint="mend")
    lines = told.message.splitlines()
    assert (lines[0], lines[-1]) == ("labels.csv has 121 faults:", "  ... and 21 more")
    assert len(lines) == 1 + NUM_NAMED + 1
    assert f"names the first {NUM_NAMED} faults and counts" in " ".join(GUIDE.read_text().split())


def test_listing_shows_how_far_it_is(tmp_path: Path) -> None:
    make_classes(tmp_path)
    shown = io.StringIO()
    with redirect_stderr(shown):
        read_folder(tmp_path, image_size=4, progress_after_s=0.0)
    assert "listing files: 6 " in shown.getvalue()
