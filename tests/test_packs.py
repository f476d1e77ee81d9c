"""Packs: the same data to the bit as read into memory, from every layout; stopped, damaged, on a full disk."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import thumbnet
from odd_pictures import make_classes, write_deep
from small_runs import small_config, write_small_data
from thumbnet.cli import main
from thumbnet.data import memory, pictures
from thumbnet.data.folder import read_folder
from thumbnet.data.packs import build, decoding, manifest, row_file
from thumbnet.data.packs.facts import new_facts
from thumbnet.data.packs.manifest import read_manifest, write_manifest
from thumbnet.data.packs.packed import read_packed
from thumbnet.data.source_registry import read_source
from thumbnet.data.streamed import is_streamed
from thumbnet.errors import ConfigError, DataError, DatasetNotFoundError
from thumbnet.specs.data import DataSpec, ReadOptions


def colours(folder: Path) -> dict[str, Any]:
    make_classes(folder, num_images=4, side=12)
    return {"image_size": 8}


def greys(folder: Path) -> dict[str, Any]:
    make_classes(folder, mode="L", side=12)
    return {"image_size": 8}


def greys_before_colours(folder: Path) -> dict[str, Any]:
    make_classes(folder, classes=("a",), mode="L")
    make_classes(folder, classes=("b",))
    return {"image_size": 4}


def splits(folder: Path) -> dict[str, Any]:
    for name, number in (("train", 4), ("val", 2), ("test", 3)):
        make_classes(folder / name, num_images=number)
    return {"image_size": 4}


def shapes(folder: Path) -> dict[str, Any]:
    for number in range(3):
        for name in ("cat", "dog"):
            (folder / name).mkdir(exist_ok=True)
            Image.new("RGB", (20, 9 + number), (90 * number, 50, 200)).save(folder / name / f"{number}.png")
    return {"image_size": (6, 10), "fit": "letterbox"}


def sizes_by_the_pictures(folder: Path) -> dict[str, Any]:
    make_classes(folder, side=52)
    return {"image_size": "auto"}


def deep(folder: Path) -> dict[str, Any]:
    """12 of 16 bits are used, which no single picture tells."""
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for number in range(3):
            write_deep(folder / name / f"{number}.png", [0, 100 * number, 4000 if number else 200, 7])
    Image.new("L", (4, 4), 9).save(folder / "cat" / "plain.png")
    return {"image_size": 4}


def unreadable(folder: Path) -> dict[str, Any]:
    make_classes(folder, num_images=5)
    (folder / "cat" / "2.png").write_bytes(b"no picture")
    return {"image_size": 4, "skip_unreadable": True}


def several_labels(folder: Path) -> dict[str, Any]:
    make_classes(folder, num_images=3)
    rows = ["cat/0.png,sea;sand", "cat/1.png,", "cat/2.png,sea", "dog/0.png,sand", "dog/1.png,sea", "dog/2.png,sand"]
    (folder / "labels.csv").write_text("\n".join(["path,labels", *rows]))
    return {"image_size": 4}


LAYOUTS = (
    colours, greys, greys_before_colours, splits, shapes, sizes_by_the_pictures, deep, unreadable, several_labels,
)  # fmt: skip


def assert_same(found: thumbnet.SourceSplits, expected: thumbnet.SourceSplits) -> None:
    for name in ("train", "val", "test"):
        mine, theirs = getattr(found, name), getattr(expected, name)
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert torch.equal(mine.images, theirs.images)
            assert torch.equal(mine.labels, theirs.labels)
            assert mine.labels.dtype == theirs.labels.dtype
            assert mine.paths == theirs.paths
    for name in ("class_names", "white_levels", "labels_from", "flip_keeps_labels"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.source.skipped == expected.source.skipped
    assert found.source.remarks == expected.source.remarks


def in_parts(monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    monkeypatch.setattr(row_file, "MAX_PART_ROWS", num_rows)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pack_has_the_same_data_to_the_bit(
    layout: Callable[[Path], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts(monkeypatch, 2)
    folder = tmp_path / "pictures"
    folder.mkdir()
    options = layout(folder)
    expected = read_folder(folder, **options)
    packed = thumbnet.pack_data(f"folder:{folder}", tmp_path / "pack", **options)
    assert packed.num_images == sum(len(it) for it in (expected.train, expected.val, expected.test) if it is not None)
    found = read_source(DataSpec(f"packed:{tmp_path / 'pack'}"), ReadOptions())
    assert_same(found, expected)
    assert found.fit == options.get("fit", "crop")
    for name in ("manifest.json", "train-images.npy", "train-labels.npy", "train-paths.json"):
        assert (tmp_path / "pack" / name).is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack", "pictures"]
    again = thumbnet.pack_data(f"packed:{tmp_path / 'pack'}", tmp_path / "copy")
    assert again.num_bytes == packed.num_bytes
    assert_same(read_packed(tmp_path / "copy"), expected)


def test_a_training_on_a_pack_is_that_on_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBNET_CACHE", "off")
    make_classes(tmp_path / "pictures", num_images=20)
    thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "pack", image_size=16)
    runs = [
        thumbnet.train(
            small_config(tmp_path, image_size=16, augmentation="crop-flip", report_robustness=False).replace(data=data),
            run_dir=tmp_path / name,
            log_style="silent",
            pictures=False,
        )
        for name, data in (("one", f"folder:{tmp_path / 'pictures'}"), ("two", f"packed:{tmp_path / 'pack'}"))
    ]
    one, two = (run.card for run in runs)
    assert one.data_checksum == two.data_checksum
    assert (one.mean, one.std, one.fit) == (two.mean, two.std, two.fit)
    assert runs[0].config.inputs == runs[1].config.inputs
    weights = [(run.path / "model.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]


def test_packing_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_parts(monkeypatch, 2)
    monkeypatch.setattr("thumbnet.data.packs.facts.RECENT_NS", 0)
    make_classes(tmp_path / "pictures", num_images=5)
    do_part, decode_picture = decoding.do_part, pictures.decode_picture
    decoded: list[str] = []

    def stopped(task: decoding.PartTask, decode_all: Any = map) -> decoding.PartDone:
        if task.first == 6:
            raise KeyboardInterrupt
        return do_part(task, decode_all)

    def counted(file: Path, **options: Any) -> object:
        decoded.append(file.name)
        return decode_picture(file, **options)

    monkeypatch.setattr(build, "do_part", stopped)
    with pytest.raises(KeyboardInterrupt):
        thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "pack", image_size=4)
    assert not (tmp_path / "pack").exists()
    log = tmp_path / ".pack.packing" / "done.jsonl"
    first, *others = log.read_text().splitlines()
    log.write_text("\n".join([first.replace('"images": "', '"images": "0'), *others, '{"cut of']))  # one is damaged
    monkeypatch.setattr(build, "do_part", do_part)
    monkeypatch.setattr(decoding, "decode_picture", counted)
    thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "pack", image_size=4)
    assert sorted(decoded) == sorted(["0.png", "1.png", *(f"{number}.png" for number in (1, 2, 3, 4))])
    assert_same(read_packed(tmp_path / "pack"), read_folder(tmp_path / "pictures", image_size=4))


def test_a_full_disk_at_any_write_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_parts(monkeypatch, 3)
    make_classes(tmp_path / "pictures", mode="L", num_images=4)
    calls = fails_at = 0
    write, create = row_file.RowFile.write, row_file.RowFile.create.__func__  # type: ignore[attr-defined]

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    def counted_write(self: row_file.RowFile, first: int, rows: np.ndarray) -> str:
        count()
        return write(self, first, rows)

    def counted_create(cls: type[row_file.RowFile], path: Path, shape: tuple[int, int, int, int]) -> row_file.RowFile:
        count()
        return create(cls, path, shape)

    monkeypatch.setattr(row_file.RowFile, "write", counted_write)
    monkeypatch.setattr(row_file.RowFile, "create", classmethod(counted_create))
    num_failures = 0
    while num_failures < 20:
        calls, fails_at = 0, num_failures + 1
        try:
            thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "pack", image_size=4)
        except DataError as error:
            assert "No space left" in error.message
            assert not (tmp_path / "pack").exists()
            num_failures += 1
            continue
        break
    assert num_failures >= 3
    assert_same(read_packed(tmp_path / "pack"), read_folder(tmp_path / "pictures", image_size=4))


def test_several_processes_decode_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MIN_FILES_FOR_PROCESSES", 1)
    monkeypatch.setattr(build, "num_processors", lambda: 2)
    in_parts(monkeypatch, 3)
    make_classes(tmp_path / "pictures", num_images=4)
    thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "pack", image_size=4)
    assert_same(read_packed(tmp_path / "pack"), read_folder(tmp_path / "pictures", image_size=4))


def test_a_worker_whose_reader_was_killed_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another reader may have gone on with the folder, for other pictures."""
    monkeypatch.setattr(decoding.signal, "signal", lambda *_: None)  # Ctrl-C stays with the tests
    make_classes(tmp_path / "pictures", num_images=1)
    files = tuple(sorted((tmp_path / "pictures").rglob("*.png")))
    file = row_file.RowFile.create(tmp_path / "images.npy", (len(files), 3, 4, 4))
    task = decoding.PartTask("train", 0, files, new_facts(files, now_ns=0), file, "crop", None)
    before = file.path.read_bytes()
    with pytest.raises(DataError, match="has ended"):
        decoding.do_part_in_worker(task, -1)
    assert file.path.read_bytes() == before
    for waiting in (os.getpid(), os.getppid()):
        decoding.do_part_in_worker(task, waiting)
        assert file.path.read_bytes() != before
        file.path.write_bytes(before)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_a_bit, cut, empty, Path.unlink])
@pytest.mark.parametrize("name", ["manifest.json", "train-images.npy", "train-labels.npy", "train-paths.json"])
def test_damage_is_an_error_that_names_the_file(name: str, damage: Callable[[Path], object], tmp_path: Path) -> None:
    make_classes(tmp_path / "pictures")
    thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "pack", image_size=4)
    damage(tmp_path / "pack" / name)
    with pytest.raises(DataError, match=name) as caught:
        read_packed(tmp_path / "pack")
    assert caught.value.hint


def test_images_are_compared_with_their_checksums_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_classes(tmp_path / "pictures")
    thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "pack", image_size=4)
    digest, checked = row_file.RowFile.digest, list[int]()

    def counted(self: row_file.RowFile, first: int, last: int) -> str:
        checked.append(first)
        return digest(self, first, last)

    monkeypatch.setattr(row_file.RowFile, "digest", counted)
    read_packed(tmp_path / "pack")
    assert checked == []
    images = tmp_path / "pack" / "train-images.npy"
    images.write_bytes(images.read_bytes())  # another time, the same content
    read_packed(tmp_path / "pack")
    read_packed(tmp_path / "pack")
    assert checked == [0]


def test_what_is_written_into_the_images_changes_no_file(tmp_path: Path) -> None:
    make_classes(tmp_path / "pictures")
    thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "pack", image_size=4)
    dataset = thumbnet.load_dataset(f"packed:{tmp_path / 'pack'}", val_fraction=0)
    before = dataset.checksum()
    dataset.train.images.add_(1)
    assert dataset.checksum() != before
    assert thumbnet.load_dataset(f"packed:{tmp_path / 'pack'}", val_fraction=0).checksum() == before


def test_groups_are_packed_too(tmp_path: Path) -> None:
    for video in ("a", "b", "c", "d"):
        make_classes(tmp_path / "pictures", classes=(f"cat/{video}", f"dog/{video}"))
    thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "pack", image_size=4)
    for groups in ("auto", "folders"):
        one, two = (
            thumbnet.load_dataset(data, image_size=size, groups=groups)
            for data, size in ((f"folder:{tmp_path / 'pictures'}", 4), (f"packed:{tmp_path / 'pack'}", "auto"))
        )
        assert one.division == two.division
        assert one.checksum() == two.checksum()
    names = [f"cat/a/{number}.png,x" for number in range(3)]
    (tmp_path / "pictures" / "groups.csv").write_text("\n".join(["path,group", *names]))
    thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "second", image_size=4)
    dataset = thumbnet.load_dataset(f"packed:{tmp_path / 'second'}", groups="auto")
    assert dataset.division.groups == str(tmp_path / "second" / "groups.csv")


def test_a_pack_takes_the_place_of_its_folder_for_a_run_that_says_how_it_was_read(tmp_path: Path) -> None:
    rows = {f"{name}/{number}.png": name for name in ("cat", "dog") for number in range(12)}
    make_classes(tmp_path / "pictures", num_images=12)
    table = "\n".join(["path,label", *(f"{path},{label}" for path, label in rows.items())])
    (tmp_path / "pictures" / "labels.csv").write_text(table)
    fields: dict[str, Any] = {"image_size": 16, "fit": "letterbox", "skip_unreadable": True}
    config = small_config(tmp_path, epochs=2, report_robustness=False).replace(
        data=f"folder:{tmp_path / 'pictures'}", **fields
    )
    expected = thumbnet.train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert expected.config.labels == "file"
    thumbnet.pack_data(config.data, tmp_path / "pack", **fields)
    (expected.path / "metrics.json").unlink()
    shutil.rmtree(tmp_path / "pictures")
    pack = f"packed:{tmp_path / 'pack'}"
    for data in (pack, None):
        resumed = thumbnet.resume(expected.path, data=data, log_style="silent", pictures=False)
        assert (resumed.config.data, resumed.card.data_checksum) == (pack, expected.card.data_checksum)
        (expected.path / "metrics.json").unlink()
    with pytest.raises(ConfigError, match=r"labels is 'folders', but the pack .* was made with 'file'"):
        thumbnet.load_dataset(pack, labels="folders")


def test_a_pack_of_arrays(tmp_path: Path) -> None:
    data = write_small_data(tmp_path / "data.npz")
    thumbnet.pack_data(f"npz:{data}", tmp_path / "pack")
    one, two = (thumbnet.load_dataset(name) for name in (f"npz:{data}", f"packed:{tmp_path / 'pack'}"))
    assert one.checksum() == two.checksum()
    assert two.train.paths is None
    assert "40 images of 2 classes in the pack" in two.source.description
    with pytest.raises(ConfigError, match="image_size is 8"):
        thumbnet.pack_data(f"npz:{data}", tmp_path / "other", image_size=8)
    with pytest.raises(ConfigError, match="groups is 'folders'"):
        thumbnet.load_dataset(f"packed:{tmp_path / 'pack'}", groups="folders")


def test_what_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    pack = tmp_path / "pack"
    thumbnet.pack_data(f"folder:{folder}", pack, **deep(folder))
    with pytest.raises(DataError, match="takes the level 4,095 for white"):
        read_packed(pack, white_levels={"I;16": 65535.0})
    for name, value in {"image_size": 8, "fit": "letterbox", "labels": "file"}.items():
        with pytest.raises(ConfigError, match=f"{name} is {value!r}, but"):
            thumbnet.load_dataset(f"packed:{pack}", **{name: value})  # type: ignore[arg-type]
    for out, message in ((pack, "is not empty"), (folder / "pack", "lies inside"), (folder / "cat", "lies inside")):
        with pytest.raises(ConfigError, match=message):
            thumbnet.pack_data(f"folder:{folder}", out)
    for place, message in ((tmp_path / "absent", "there is no folder"), (folder, "is no pack")):
        with pytest.raises(DatasetNotFoundError, match=message):
            read_packed(place)
    monkeypatch.setattr(manifest, "KNOWN_FORMAT", 2)
    write_manifest(pack, read_manifest(pack))
    monkeypatch.undo()
    with pytest.raises(DataError, match="later version"):
        read_packed(pack)
    monkeypatch.setattr(memory, "DATA_SHARE", 1e-12)
    thumbnet.pack_data(f"folder:{folder}", tmp_path / "second", image_size=4)  # which takes no memory
    assert is_streamed(read_packed(tmp_path / "second").train.images)
    thumbnet.pack_data(f"packed:{tmp_path / 'second'}", tmp_path / "third")
    assert_same(read_packed(tmp_path / "third"), read_packed(tmp_path / "second"))
    monkeypatch.setenv("THUMBNET_CACHE", "off")
    with pytest.raises(ConfigError, match="more than half"):
        thumbnet.load_dataset(f"folder:{folder}", image_size=4)


def test_a_pack_of_an_earlier_reader_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_classes(tmp_path / "pictures")
    thumbnet.pack_data(f"folder:{tmp_path / 'pictures'}", tmp_path / "pack", image_size=4)
    monkeypatch.setattr("thumbnet.data.packs.packed.READER_VERSION", 99)
    assert "which read pictures otherwise" in read_packed(tmp_path / "pack").source.remarks[-1]


def test_the_command_packs_and_reads_a_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_classes(tmp_path / "pictures", num_images=8)
    words = ["data", "pack", f"folder:{tmp_path / 'pictures'}", "--image-size", "8", "--out"]
    assert main([*words, str(tmp_path / "one")]) == 0
    shown = capsys.readouterr().out
    assert "16 images of 8x8 pixels in colour, 0.0 MB" in shown
    assert f"thumbnet train --data packed:{tmp_path / 'one'}" in shown
    assert main([*words, str(tmp_path / "two"), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["counts"]["cat"] == {"train": 8}
    assert values["image_shape"] == [3, 8, 8]
    assert main(["data", "info", "--data", f"packed:{tmp_path / 'two'}", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["source"], values["image_shape"]) == (f"packed:{tmp_path / 'two'}", [3, 8, 8])
    assert main([*words, str(tmp_path / "two")]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_packing_shows_how_far_it_is(tmp_path: Path) -> None:
    make_classes(tmp_path / "pictures")
    shown = io.StringIO()
    with redirect_stderr(shown):
        splits_read = read_folder(tmp_path / "pictures", image_size=4, progress_after_s=0.0, read=_reader(tmp_path))
    assert "6/6" in shown.getvalue()
    assert_same(splits_read, read_folder(tmp_path / "pictures", image_size=4))
    assert (tmp_path / "rows" / "train-images.npy").is_file()


def _reader(folder: Path) -> Callable[[Any], Any]:
    return lambda request: build.build_pictures(request, "any", folder / "rows", facts=build.facts_of_request(request))[
        1
    ]
