"""The cache of decoded folders: what changed is noticed, what did not is not decoded again, and results are kept."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL
import pytest
from PIL import Image

import thumbnet
from odd_pictures import make_classes
from test_packs import LAYOUTS, assert_same
from thumbnet.cli import main
from thumbnet.data import leaks, memory, pictures
from thumbnet.data.folder import read_folder
from thumbnet.data.packs import build, cache, decoding, entries, facts, place, row_file
from thumbnet.data.packs.maps import check_mapped
from thumbnet.data.picture_request import PictureRequest
from thumbnet.data.source_registry import read_source
from thumbnet.data.streamed import is_streamed
from thumbnet.errors import ConfigError, DataError, ImageError
from thumbnet.specs.data import DataSpec, ReadOptions


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own, which does not wait until files are two seconds old."""
    monkeypatch.setenv("THUMBNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(facts, "RECENT_NS", 0)
    monkeypatch.setattr(row_file, "MAX_PART_ROWS", 2)
    cache._tell_once.cache_clear()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the files that were decoded, in any order; to be cleared."""
    decode_picture, names = pictures.decode_picture, list[str]()

    def counted(file: Path, **options: Any) -> object:
        names.append(f"{file.parent.name}/{file.name}")
        return decode_picture(file, **options)

    for module in (build, cache, decoding, pictures):
        monkeypatch.setattr(module, "decode_picture", counted)
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_classes(tmp_path / "pictures", num_images=5)


def read(folder: Path, **options: Any) -> thumbnet.SourceSplits:
    options = {"image_size": 4, "show_progress": False, **options}
    return read_source(DataSpec(f"folder:{folder}"), ReadOptions.sized(options.pop("image_size"), **options))


def in_memory(folder: Path, **options: Any) -> thumbnet.SourceSplits:
    return read_folder(folder, **{"image_size": 4, **options})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_is_decoded_once(layout: Any, tmp_path: Path, decoded: list[str]) -> None:
    (tmp_path / "pictures").mkdir()
    options = layout(tmp_path / "pictures")
    expected = in_memory(tmp_path / "pictures", **options)
    assert_same(read(tmp_path / "pictures", **options), expected)
    decoded.clear()
    assert_same(read(tmp_path / "pictures", **options), expected)
    assert decoded == (["cat/2.png"] if layout.__name__ == "unreadable" else [])  # which may be readable now


def add(folder: Path) -> set[str]:
    Image.new("RGB", (6, 6), "red").save(folder / "cat" / "10.png")
    return {"cat/10.png"}


def remove(folder: Path) -> set[str]:
    (folder / "cat" / "1.png").unlink()
    return set()


def rename(folder: Path) -> set[str]:
    (folder / "cat" / "1.png").rename(folder / "cat" / "7.png")
    return {"cat/7.png"}


def move_to_another_class(folder: Path) -> set[str]:
    (folder / "cat" / "1.png").rename(folder / "dog" / "7.png")
    return {"dog/7.png"}


def change_in_secret(folder: Path) -> set[str]:
    """Other pixels in a file of the same size and with the same time of its last change."""
    file = folder / "dog" / "3.png"
    before = file.stat()
    content = file.read_bytes()
    Image.new("RGB", (6, 6), "blue").save(file)
    file.write_bytes(file.read_bytes().ljust(len(content), b"\0")[: len(content)])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    return {"dog/3.png"}


def touch(folder: Path) -> set[str]:
    os.utime(folder / "dog" / "3.png")
    return {"dog/3.png"}


@pytest.mark.parametrize("change", [add, remove, rename, move_to_another_class, change_in_secret, touch])
def test_what_has_changed_is_noticed_and_nothing_else_decoded(change: Any, folder: Path, decoded: list[str]) -> None:
    read(folder)
    changed = change(folder)
    decoded.clear()
    found = read(folder)
    assert set(decoded) == changed
    assert_same(found, in_memory(folder))


def test_a_file_that_changed_just_now_is_read_once_more(
    folder: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may change again within one tick of the file system's clock."""
    monkeypatch.setattr(facts, "RECENT_NS", 3_600_000_000_000)
    read(folder)
    decoded.clear()
    read(folder)
    assert len(decoded) == 10


def test_every_option_that_changes_pixels_has_an_entry_of_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(where: Path = folder, **options: Any) -> str:
        fields = {"sides": (4, 4), "relative_to": where, **options}
        return cache.entry_name(PictureRequest((where / "a.png",), {"train": 1}, **fields))

    names = [
        name(), name(sides=(4, 8)), name(fit="letterbox"), name(white_levels={"I;16": 4095.0}),
        name(white_levels={}), name(tmp_path),
    ]  # fmt: skip
    monkeypatch.setattr(cache, "READER_VERSION", 99)
    names.append(name())
    monkeypatch.setattr(PIL, "__version__", "0.0")
    names.append(name())
    monkeypatch.setattr(cache, "_version", lambda _: "1.0")
    names.append(name())
    assert len(set(names)) == len(names)
    (tmp_path / "link").symlink_to(folder)
    assert name(tmp_path / "link") == names[-1]


def test_labels_may_change_while_pictures_do_not(folder: Path, decoded: list[str]) -> None:
    files = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(5)]
    (folder / "labels.csv").write_text("\n".join(["path,label", *(f"{file},{file[:3]}" for file in files)]))
    assert read(folder).class_names == ("cat", "dog")
    (folder / "labels.csv").write_text("\n".join(["path,label", *(f"{file},{file[4]}" for file in files)]))
    decoded.clear()
    for _ in range(2):
        assert_same(read(folder), in_memory(folder))
    assert len(decoded) == 20  # by in_memory
    decoded.clear()
    read(folder)
    assert decoded == []


def test_after_an_unreadable_file_was_mended_the_others_are_kept(folder: Path, decoded: list[str]) -> None:
    good = (folder / "cat" / "3.png").read_bytes()
    (folder / "cat" / "3.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"1 of 10 files cannot be read") as caught:
        read(folder)
    with pytest.raises(ImageError) as in_mind:
        in_memory(folder)
    assert (caught.value.message, caught.value.hint) == (in_mind.value.message, in_mind.value.hint)
    assert len(read(folder, skip_unreadable=True).train) == 9
    (folder / "cat" / "3.png").write_bytes(good)
    decoded.clear()
    found = read(folder)
    assert set(decoded) == {"cat/3.png"}
    assert_same(found, in_memory(folder))


def test_one_unreadable_file_that_can_be_read_later_after_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for want of memory, or of a plug-in: neither its size nor its times change."""
    decode_picture, is_broken = pictures.decode_picture, True

    def decode(file: Path, **options: Any) -> object:
        if is_broken and file.name == "1.png":
            return ImageError("not now", hint="later")
        return decode_picture(file, **options)

    for module in (build, cache, decoding):
        monkeypatch.setattr(module, "decode_picture", decode)
    assert len(read(folder, skip_unreadable=True).train) == 8
    is_broken = False
    assert_same(read(folder, skip_unreadable=True), in_memory(folder))


def test_a_stopped_reading_goes_on(folder: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    do_part = decoding.do_part

    def stopped(task: decoding.PartTask, decode_all: Any = map) -> decoding.PartDone:
        if task.first == 8:
            raise KeyboardInterrupt
        return do_part(task, decode_all)

    monkeypatch.setattr(build, "do_part", stopped)
    with pytest.raises(KeyboardInterrupt):
        read(folder)
    changed = add(folder)  # the parts are others then
    monkeypatch.setattr(build, "do_part", do_part)
    decoded.clear()
    found = read(folder)
    assert set(decoded) == changed | {"dog/3.png", "dog/4.png"}
    assert_same(found, in_memory(folder))
    assert [path.name for path in place.cache_place().iterdir() if path.is_dir()] == [  # type: ignore[union-attr]
        path.parent.name
        for path in place.cache_place().glob("*/manifest.json")  # type: ignore[union-attr]
    ]


def test_a_reading_that_is_stopped_at_once_loses_nothing_of_the_one_before_it(
    folder: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_at(first: int) -> None:
        def stopped(task: decoding.PartTask, decode_all: Any = map) -> decoding.PartDone:
            if task.first == first:
                raise KeyboardInterrupt
            return decoding.do_part(task, decode_all)

        with monkeypatch.context() as patch:
            patch.setattr(build, "do_part", stopped)
            with pytest.raises(KeyboardInterrupt):
                read(folder)

    stop_at(8)
    changed = add(folder)
    for first in (0, 2):  # before and after its first part
        stop_at(first)
    decoded.clear()
    found = read(folder)
    assert set(decoded) == changed | {"dog/3.png", "dog/4.png"}
    assert_same(found, in_memory(folder))


def test_what_a_stopped_reading_takes_of_the_disk_is_not_asked_for_again(
    folder: Path, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_usage(_: Path) -> SimpleNamespace:
        return SimpleNamespace(free=2 * 3 * 10 * 4 * 4 - place.size_on_disk(tmp_path / "cache"))

    def stopped(task: decoding.PartTask, decode_all: Any = map) -> decoding.PartDone:
        if task.first == 8:
            raise KeyboardInterrupt
        return decoding.do_part(task, decode_all)

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    with monkeypatch.context() as patch:
        patch.setattr(build, "do_part", stopped)
        with pytest.raises(KeyboardInterrupt):
            read(folder)
    decoded.clear()
    assert_same(read(folder), in_memory(folder))
    assert sorted(decoded[:2]) == ["dog/3.png", "dog/4.png"]
    assert len(decoded) == 2 + 10  # all of them in memory, to compare with


def test_pictures_just_decoded_are_known_by_the_file_in_which_they_stay(folder: Path, tmp_path: Path) -> None:
    """Which was made in another folder: one that gets shorter is an error, as in `test_mapped_files`."""
    images = read(folder).train.images
    (file,) = (tmp_path / "cache").rglob("train-images.npy")
    check_mapped(images.data_ptr())
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(DataError, match="it is shorter than it was"):
        check_mapped(images.data_ptr())


def test_checksums_and_leaks_are_kept_with_the_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(**options: Any) -> thumbnet.Dataset:
        return thumbnet.load_dataset(f"folder:{folder}", image_size=4, **options)

    first = load()
    expected = first.checksum(), leaks.find_leaks(first)
    monkeypatch.setattr(leaks, "find_alike", None)  # whose call would fail
    again = load()
    assert (again.checksum(), leaks.find_leaks(again)) == expected
    monkeypatch.setenv("THUMBNET_CACHE", "off")
    assert load().kept_results() is None
    assert load().checksum() == expected[0]
    monkeypatch.undo()


def test_kept_results_are_of_these_very_rows_and_labels(folder: Path) -> None:
    def load(**options: Any) -> thumbnet.Dataset:
        return thumbnet.load_dataset(f"folder:{folder}", image_size=4, **options)

    datasets = [
        load(), load(split_seed=1), load(val_fraction=0), load(num_train=4),
        load().with_train(load().train.select([0, 2])), load(in_colour=True),
    ]  # fmt: skip
    digests = {data.kept_results().digest for data in datasets}  # type: ignore[union-attr]
    assert len(digests) == len(datasets) - 1  # the last is in colour anyway
    assert len({data.checksum() for data in datasets}) == len(digests)
    assert load(folds=2, fold=0).kept_results() is None  # whose images were moved in memory
    changed = load()
    changed.train.labels[0] = 1 - changed.train.labels[0]
    assert changed.checksum() != load().checksum()
    changed = load()
    changed.train.images[0] = 0
    assert changed.kept_results() is None
    own = load().with_train(thumbnet.Split(changed.train.images, changed.train.labels))
    assert own.kept_results() is None
    damaged = load().kept_results()
    assert damaged is not None
    damaged.keep("checksum", "wrong")
    (file,) = (damaged.folder / "results").glob(f"checksum-{damaged.digest[:32]}*")
    file.write_text(file.read_text().replace("wrong", "other"))
    assert damaged.recall("checksum") is None


@pytest.mark.parametrize("name", ["manifest.json", "train-images.npy", "facts.npy", "listing.json", "train-labels.npy"])
def test_what_is_damaged_is_decoded_anew(name: str, folder: Path, tmp_path: Path, decoded: list[str]) -> None:
    read(folder)
    (file,) = (tmp_path / "cache").rglob(name)
    content = bytearray(file.read_bytes())
    content[-20] ^= 4
    file.write_bytes(content)
    decoded.clear()
    told = io.StringIO()
    with redirect_stderr(told):
        found = read(folder, show_progress=True)
    if name == "train-labels.npy":  # they are the folder's, not the pack's
        assert decoded == []
    else:
        assert ("decoded anew" in told.getvalue()) == (name in ("manifest.json", "train-images.npy"))
        assert len(decoded) == 10
    assert_same(found, in_memory(folder))
    decoded.clear()
    read(folder)
    assert decoded == []


def test_without_a_cache_pictures_are_read_into_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(show_progress: bool = True) -> str:
        shown = io.StringIO()
        with redirect_stderr(shown):
            assert_same(read(folder, show_progress=show_progress), in_memory(folder))
        return shown.getvalue()

    monkeypatch.setattr("os.geteuid", lambda: 12345)  # the cache is another user's
    assert told(show_progress=False) == ""
    assert "cannot be written by this user alone" in told()
    assert told() == ""  # once
    monkeypatch.undo()
    (tmp_path / "file").touch()
    monkeypatch.setenv("THUMBNET_CACHE", str(tmp_path / "file"))
    assert "cannot be written" in told()
    monkeypatch.setenv("THUMBNET_CACHE", "off")
    assert told() == ""
    monkeypatch.setenv("THUMBNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "LARGEST_SHARE", 0.0)
    assert "GB that are free" in told()


def test_on_a_full_disk_pictures_are_read_into_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(row_file.RowFile, "write", full)
    shown = io.StringIO()
    with redirect_stderr(shown):
        assert_same(read(folder, show_progress=True), in_memory(folder))
    assert "not kept: No space left on device" in shown.getvalue()
    assert [path.suffix for path in (tmp_path / "cache" / "packs").iterdir()] == [".lock"]


def test_what_others_could_write_to_is_not_trusted(folder: Path, tmp_path: Path, decoded: list[str]) -> None:
    read(folder)
    packs = tmp_path / "cache" / "packs"
    assert packs.stat().st_mode & 0o777 == 0o700
    packs.chmod(0o777)
    decoded.clear()
    read(folder)
    assert len(decoded) == 10
    assert packs.stat().st_mode & 0o777 == 0o700


def test_what_is_no_entry_stays(folder: Path, tmp_path: Path) -> None:
    """A `packs` of the user's own in the folder that THUMBNET_CACHE names."""
    packs = tmp_path / "cache" / "packs"
    (packs / "pets-64").mkdir(parents=True)
    (packs / "pets-64" / "manifest.json").write_text("{}")
    os.utime(packs / "pets-64" / "manifest.json", (0, 0))
    packs.chmod(0o775)
    read(folder)
    place.tidy(packs)
    _, found = entries.cache_entries()
    assert len(found) == len(entries.clear_cache()) == 1
    assert (packs / "pets-64" / "manifest.json").read_text() == "{}"


def test_a_second_process_waits_for_the_first(folder: Path, tmp_path: Path) -> None:
    read(folder)
    (entry,) = (path for path in (tmp_path / "cache" / "packs").iterdir() if path.is_dir())
    shown, found = io.StringIO(), list[thumbnet.SourceSplits]()
    with place.locked(place.lock_of(entry), waits=None) as is_held:
        assert is_held
        with redirect_stderr(shown):
            thread = threading.Thread(target=lambda: found.append(read(folder, show_progress=True)))
            thread.start()
            while "waiting for it" not in shown.getvalue() and thread.is_alive():
                time.sleep(0.001)
        assert found == []
        with pytest.raises(DataError, match="is being written now"):
            thumbnet_clear(entry.name)
        read(make_classes(tmp_path / "a"))
        with pytest.raises(DataError, match=r"is being written now \(removed: 1 other\)"):
            thumbnet_clear()
        assert [path for path in entry.parent.iterdir() if path.is_dir()] == [entry]
    thread.join()
    assert_same(found[0], in_memory(folder))


def test_a_lock_that_was_removed_while_another_waited_for_it_is_none(tmp_path: Path) -> None:
    """As `pack_data` removes its own: who waited and who comes later hold the same one."""
    lock, waits, is_held, is_over = tmp_path / "a.lock", threading.Event(), threading.Event(), threading.Event()

    def wait_and_hold() -> None:
        with place.locked(lock, waits=waits.set):
            is_held.set()
            is_over.wait(60)

    with place.locked(lock, waits=None):
        thread = threading.Thread(target=wait_and_hold)
        thread.start()
        assert waits.wait(60)
        lock.unlink()
    try:
        assert is_held.wait(60)
        with place.locked(lock, waits=None) as is_held_here:
            assert not is_held_here
    finally:
        is_over.set()
        thread.join()
    with place.locked(lock, waits=None) as is_held_here:
        assert is_held_here


def thumbnet_clear(name: str | None = None) -> list[str]:
    from thumbnet.data.packs.entries import clear_cache

    return [entry.name for entry in clear_cache(name)]


def test_the_command_lists_and_clears(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def listed() -> dict[str, Any]:
        assert main(["data", "cache", "--list", "--json"]) == 0
        values: dict[str, Any] = json.loads(capsys.readouterr().out)
        return values

    assert listed() == {"path": str(tmp_path / "cache" / "packs"), "entries": []}
    images = read(folder).train.images
    read(folder, image_size=(6, 8), fit="letterbox")
    (folder / "cat" / "0.png").write_bytes(b"no picture")
    with pytest.raises(ImageError):
        read(folder, image_size=12)
    known = {(str(it["image_shape"]), it["fit"], it["state"]): it for it in listed()["entries"]}
    assert {*known} == {
        ("[3, 4, 4]", "crop", "complete"), ("[3, 6, 8]", "letterbox", "complete"), ("None", None, "unfinished"),
    }  # fmt: skip
    square = known["[3, 4, 4]", "crop", "complete"]
    assert (square["folder"], square["num_images"]) == (str(folder), 10)
    assert square["num_bytes"] > 10 * 48
    assert main(["data", "cache", "--list"]) == 0
    shown = capsys.readouterr().out
    assert "3 entries" in shown
    assert f"10 images 8x6 letterboxed in colour  {folder}" in shown
    assert main(["data", "cache", "--clear", square["name"]]) == 0
    assert "1 entry" in capsys.readouterr().out
    assert int(images.max()) > 0  # whoever uses it goes on
    assert main(["data", "cache", "--clear", square["name"]]) == 2
    assert "the cache has no entry" in capsys.readouterr().err
    assert main(["data", "cache", "--clear", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["cleared"]) == 2
    assert listed()["entries"] == []
    with pytest.raises(SystemExit):
        main(["data", "cache"])


def test_an_entry_that_is_removed_meanwhile_is_not_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(folder)
    read_manifest = entries.read_manifest

    def read_then_remove(entry: Path) -> object:
        manifest = read_manifest(entry)
        shutil.rmtree(entry)
        return manifest

    monkeypatch.setattr(entries, "read_manifest", read_then_remove)
    assert entries.cache_entries()[1] == []


def test_what_nobody_used_for_a_month_is_removed(folder: Path, tmp_path: Path) -> None:
    read(folder)
    (manifest,) = (tmp_path / "cache").rglob("manifest.json")
    os.utime(manifest, (0, 0))
    read(make_classes(tmp_path / "others"))
    assert not manifest.exists()
    read(folder)
    (manifest,) = (path for path in (tmp_path / "cache").rglob("manifest.json") if "pictures" in path.parent.name)
    os.utime(manifest, (0, 0))
    read(folder)  # in use
    read(make_classes(tmp_path / "more"))
    assert manifest.exists()


def test_what_does_not_fit_in_memory_stays_on_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [in_memory(folder, **options) for options in ({}, {"image_size": 5})]
    read(folder)
    monkeypatch.setattr(memory, "DATA_SHARE", 1e-12)
    for options, wanted in zip(({}, {"image_size": 5}), expected, strict=True):
        found = read(folder, **options)
        assert is_streamed(found.train.images)
        assert_same(found, wanted)
        assert found.train.origin is not None
    monkeypatch.setenv("THUMBNET_CACHE", "off")
    with pytest.raises(ConfigError, match="more than half of what there is"):
        read(folder)


def test_facts_are_of_the_files_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"12")
    found = facts.new_facts([tmp_path / "one", tmp_path / "gone"], now_ns=time.time_ns())
    assert found["size"].tolist() == [2, -1]
    assert facts.are_unchanged(found, found.copy()).tolist() == [True, True]
    assert np.array_equal(facts.readable(found), [])
