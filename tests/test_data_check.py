"""data check: flipped labels and planted copies of digits are found, written, and left out by train --exclude."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import ClassVar, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_files import make_batches, write_folder
from small_runs import small_config, write_small_data
from thumbnet.cli import build_parser, main
from thumbnet.cli.training_verbs import recipe_config
from thumbnet.config import TrainConfig, config_to_toml
from thumbnet.data.dataset import Dataset, Source, Split
from thumbnet.data.digits import read_digits
from thumbnet.data.exclusion import SUSPECT_COLUMNS, read_exclusions
from thumbnet.data.sources import load_dataset
from thumbnet.data_check import folds
from thumbnet.data_check.check import DataCheck, check_data
from thumbnet.data_check.folds import predict_out_of_fold
from thumbnet.data_check.suspects import SuspectKind, find_duplicates_across, source_index
from thumbnet.errors import ConfigError, DataError, RunError, ThumbnetError
from thumbnet.models import registry
from thumbnet.models.registry import create_model, list_models
from thumbnet.models.sprint import SprintNet
from thumbnet.recipes import load_recipe
from thumbnet.runs.jobs.job import Setting
from thumbnet.runs.own_data import DataPlace, load_named_dataset, load_own_dataset
from thumbnet.runs.resolve import load_data
from thumbnet.runs.resume import resume
from thumbnet.runs.run import load_run
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from thumbnet.training.state import TrainingState

FLIPPED = np.arange(10, 610, 20)  # 30 of the 700 labels used
COPY_OF_TEST, FIRST_COPY, SECOND_COPY, DARK = 603, 605, 607, 609


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """700 digits of 16x16 pixels, some with a wrong label; copies of a training and of a test image; a black image."""
    splits = read_digits()
    assert splits.test is not None
    train_images, test_images = (split.images[..., ::2, ::2].numpy().copy() for split in (splits.train, splits.test))
    images, labels = train_images[:700], splits.train.labels[:700].numpy().copy()
    labels[FLIPPED] = (labels[FLIPPED] + 1 + FLIPPED // 20 % 9) % 10
    images[COPY_OF_TEST] = test_images[4]
    images[SECOND_COPY] = images[FIRST_COPY] // 2
    images[DARK] = 0
    path = tmp_path_factory.mktemp("data") / "flipped.npz"
    np.savez(
        path, train_images=images, train_labels=labels, test_images=test_images[:50],
        test_labels=splits.test.labels[:50],
    )  # fmt: skip
    return path


def quick_config(npz: object, **options: object) -> TrainConfig:
    given = {"data": f"npz:{npz}", "batch_size": 64, "epochs": 8, "device": "cpu", "flip": False}
    blocks = 'model_options.blocks="c8s c16p"'
    return load_recipe(options={**given, **options}, settings=[blocks, "scales=[1.0]", "scale_starts=[0.0]"])


@pytest.fixture(scope="module")
def check(data: Path, tmp_path_factory: pytest.TempPathFactory) -> DataCheck:
    out = tmp_path_factory.mktemp("check")
    return check_data(quick_config(data), num_folds=3, num_repeats=1, out=out, log_style="silent")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Sequence[Sequence[object]], columns: Sequence[str] = SUSPECT_COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def test_flipped_labels_are_listed_with_the_right_class(check: DataCheck, data: Path) -> None:
    rows = [row for row in rows_of(check.path / "suspects.csv") if row["kind"] == "label"]
    found = {int(row["index"]) for row in rows}
    assert len(found & set(FLIPPED.tolist())) >= 0.6 * len(FLIPPED)
    assert len(found & set(FLIPPED.tolist())) >= 0.4 * len(found)  # 30 of 700 are wrong: by chance 0.04
    truth = read_digits().train.labels
    right = [row["suggested"] == str(int(truth[int(row["index"])])) for row in rows if int(row["index"]) in FLIPPED]
    assert np.mean(right) > 0.5  # of ten classes
    given = load_dataset(f"npz:{data}", val_fraction=0).train.labels
    assert [row["label"] for row in rows] == [str(int(given[int(row["index"])])) for row in rows]
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_copies_are_listed_so_that_one_stays(check: DataCheck) -> None:
    kinds = {(int(row["index"]), row["kind"]) for row in rows_of(check.path / "suspects.csv")}
    assert {(COPY_OF_TEST, "exact-duplicate"), (SECOND_COPY, "duplicate")} <= kinds
    assert (FIRST_COPY, "duplicate") not in kinds
    assert {(DARK, "dark"), (DARK, "flat")} <= kinds
    pairs = {(pair.first.split, pair.first.index, pair.second.index) for pair in check.duplicates}
    assert {("test", 4, COPY_OF_TEST), ("train", FIRST_COPY, SECOND_COPY)} <= pairs


def test_the_folder_holds_a_table_figures_and_pictures(check: DataCheck) -> None:
    kinds = {suspect.kind for suspect in check.suspects}
    names = {path.name for path in check.path.iterdir()}
    tables = {"suspects.csv", "exclude.csv", "scores.csv"}
    assert names == {"check.json", *tables, *(f"{kind}.png" for kind in kinds)}
    assert (check.path / "suspects.csv").read_text().startswith("index,path,label,suggested,score,kind\n")
    summary = json.loads((check.path / "check.json").read_text())
    assert summary["suspects"]["label"] == sum(suspect.kind == "label" for suspect in check.suspects)
    assert summary["suspects"]["dark"] == 1
    assert summary["num_images"] == 700
    for kind in kinds:
        with Image.open(check.path / f"{kind}.png") as picture:
            assert picture.width > 100


class Watched(SprintNet):
    """Notes which images, by the number in their first two pixels, it is trained on and evaluated on."""

    seen: ClassVar[dict[Watched, dict[bool, list[int]]]] = {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        low, high = (images[:, 0, 0, :2].double() * 255).round().long().T
        seen = Watched.seen.setdefault(self, {True: [], False: []})
        seen[self.training] += (low + 256 * high).tolist()
        return super().forward(images)


@pytest.mark.usefixtures("own_things")
def test_no_model_is_evaluated_on_an_image_that_it_was_trained_on(data: Path) -> None:
    registry.register_model("watched", Watched)
    settings = {"model": "watched", "augmentation": "none", "epochs": 1, "mean": (0.0,), "std": (1.0,)}
    given = quick_config(data).replace(**settings, val_fraction=0.0, precision="float32", kernels="pytorch")
    dataset, config = load_data(given, say=lambda text: None)
    marked = dataset.train.images.clone()
    marked[:, 0, 0, 0], marked[:, 0, 0, 1] = torch.arange(700) % 256, torch.arange(700) // 256
    dataset = dataset.with_train(type(dataset.train)(marked, dataset.train.labels))
    Watched.seen.clear()
    found = predict_out_of_fold(config, dataset, num_folds=2, num_repeats=2, log_style="silent")
    models = [model for model, seen in Watched.seen.items() if seen[True]]
    trained_on, evaluated_on = ([Watched.seen[model][part] for model in models] for part in (True, False))
    assert len(models) == 4
    for seen, unseen in zip(trained_on, evaluated_on, strict=True):
        assert not set(seen) & set(unseen)
    assert sorted(chain(*evaluated_on)) == sorted([*range(700), *range(700)])
    assert set(trained_on[0]) != set(trained_on[2])
    assert not torch.equal(*(model.state_dict()["head.weight"] for model in models[:2]))
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(700))
    assert (found.relative_distances > 0).all()


def test_a_training_that_is_called_off_ends_after_its_epoch(data: Path) -> None:
    """As one on a cluster, where the command that began it has ended."""
    dataset, config = load_data(quick_config(data), say=lambda text: None)
    epochs: list[int] = []

    def stop(state: TrainingState) -> None:
        epochs.append(state.epoch)
        raise RunError("the command that began this has ended", hint="")

    training = folds._Training(config, dataset, 0, 0, 2, "silent", False, dataset.checksum())
    with pytest.raises(RunError, match="has ended"):
        training(Setting(1, Path(), stop))
    assert epochs == [1]


@pytest.mark.parametrize("name", list_models())
def test_the_features_are_what_the_head_is_given(name: str) -> None:
    model = create_model(name, num_classes=3, in_channels=1, seed=0)
    dataset = load_dataset("digits")
    answer = folds._ask(model, dataset.val.images[:4], dataset)  # type: ignore[union-attr]
    assert answer.features.shape[0] == 4
    assert answer.features.shape[1] > 16


def test_train_leaves_the_listed_images_out(check: DataCheck, data: Path, tmp_path: Path) -> None:
    suspects = tmp_path / "suspects.csv"
    suspects.write_bytes((check.path / "suspects.csv").read_bytes())
    whole = load_dataset(f"npz:{data}")
    config = quick_config(data, epochs=1, exclude=str(suspects), val_fraction=0.1)
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    listed = {suspect.index for suspect in check.suspects}
    assert run.card.num_train + run.card.num_val == 700 - len(listed)
    assert f"Left out: {len(listed)} images" in (run.path / "config.toml").read_text()
    assert run.config.exclude == str(suspects)
    suspects.unlink()  # the run has its own copy
    rest = load_run(run.path).load_dataset()
    for split, before in ((rest.train, whole.train), (rest.val, whole.val)):
        assert split is not None
        assert before is not None
        assert split.positions is not None
        assert split.positions.tolist() == [index for index in before.positions.tolist() if index not in listed]  # type: ignore[union-attr]
    assert torch.equal(rest.test.images, whole.test.images)
    moved = tmp_path / "moved.npz"
    moved.write_bytes(data.read_bytes())
    assert run.load_dataset(f"npz:{moved}").num_excluded == 0  # for all that is known, other data
    assert load_own_dataset(run, DataPlace(f"npz:{moved}")).num_excluded == len(listed)
    report = write_report(run.path, tmp_path / "report.html", data=f"npz:{moved}").read_text()
    assert f"Left out of training and validation: {len(listed)} images that a file lists (exclude)" in report
    assert run.metrics["num_excluded"] == len(listed)
    weights = (run.path / "model.safetensors").read_bytes()
    for name in ("metrics.json", "model.safetensors", "checkpoint-last.pt"):
        (run.path / name).unlink()
    assert (resume(run.path, log_style="silent", pictures=False).path / "model.safetensors").read_bytes() == weights


def test_positions_and_exclusions_of_a_folder_are_those_of_its_files(tmp_path: Path) -> None:
    for name, level in (("cat", 40), ("dog", 200)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for index in range(20):
            Image.new("RGB", (40, 40), (level, level, 10 * index)).save(tmp_path / "pets" / name / f"{index:02}.png")
    whole = load_dataset(f"folder:{tmp_path / 'pets'}", val_fraction=0)
    assert whole.train.positions is not None
    assert whole.train.paths is not None
    assert whole.test.positions is not None
    index = int(whole.train.positions[25])
    path = whole.train.paths[25]
    assert path == f"dog/{index - 20:02}.png"
    listed = write_rows(tmp_path / "some.csv", [[index, path, "dog", "", 1, "dark"]])
    left = load_dataset(f"folder:{tmp_path / 'pets'}", val_fraction=0, exclude=listed)
    assert left.train.paths == tuple(name for name in whole.train.paths if name != path)
    assert left.test.paths == whole.test.paths
    test_index, test_path = int(whole.test.positions[0]), whole.test.paths[0]  # type: ignore[index]
    listed = write_rows(tmp_path / "test.csv", [[test_index, test_path, test_path[:3], "", 1, "dark"]])
    with pytest.raises(DataError, match=f"image {test_index} .* held out for test"):
        load_dataset(f"folder:{tmp_path / 'pets'}", val_fraction=0, exclude=listed)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1437, "", "0", "", 1, "label"], None),
        ([1438, "", "0", "", 1, "label"], "index is 1438, but the source has 1,438"),
        ([-1, "", "0", "", 1, "label"], "index is -1"),
        (["four", "", "0", "", 1, "label"], "index is 'four'"),
        ([1437, "a.png", "0", "", 1, "label"], "path of image 1437 is 'a.png', but here ''"),
        ([1437, "", "cat", "", 1, "label"], "label of image 1437 is 'cat', but here"),
        ([1437], "label of image 1437 is '', but here"),
    ],
)
def test_a_line_of_another_image_is_refused(row: list[object], message: str | None, tmp_path: Path) -> None:
    splits = read_digits()
    if message is None:
        row[2] = splits.class_names[int(splits.train.labels[1437])]
    path = write_rows(tmp_path / "it.csv", [row])
    if message is None:
        assert read_exclusions(path, splits.train, splits.class_names) == {1437}
        return
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_exclusions(path, splits.train, splits.class_names)
    assert "line 2" in str(caught.value)


def test_a_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    splits = read_digits()
    with pytest.raises(DataError, match="there is no file"):
        read_exclusions(tmp_path / "none.csv", splits.train, splits.class_names)
    path = write_rows(tmp_path / "it.csv", [], columns=[name for name in SUSPECT_COLUMNS if name != "kind"])
    with pytest.raises(DataError, match="has no column 'kind'"):
        read_exclusions(path, splits.train, splits.class_names)
    path.write_bytes(b"\xff\xfe\x00index")
    with pytest.raises(DataError, match="cannot be read"):
        read_exclusions(path, splits.train, splits.class_names)
    all_zeros = [[index, "", "0", "", 1, "x"] for index in (splits.train.labels == 0).nonzero().flatten().tolist()]
    path = write_rows(path, all_zeros)
    with pytest.raises(DataError, match="class '0' has none to train on"):
        load_dataset("digits", exclude=path)


def test_what_does_not_fit_is_refused_before_anything_is_trained(data: Path, tmp_path: Path) -> None:
    refusals: list[tuple[dict[str, object], dict[str, object], type[ThumbnetError], str]] = [
        ({"num_folds": 1}, {}, ConfigError, "folds is 1"),
        ({"num_repeats": 0}, {}, ConfigError, "repeats is 0"),
        ({"kinds": ("copies",)}, {}, ConfigError, "kinds has 'copies'"),
        ({"kinds": ()}, {}, ConfigError, "kinds is empty"),
        ({"max_labels": 0}, {}, ConfigError, "max_labels is 0"),
        ({"num_folds": 100}, {}, DataError, "for 100 folds"),
        ({}, {"data": "digits", "init": "sprint"}, ConfigError, "init is 'sprint', which may have seen"),
    ]
    for arguments, options, error, message in refusals:
        with pytest.raises(error, match=message):
            check_data(quick_config(data, **options), out=tmp_path / "new", log_style="silent", **arguments)  # type: ignore[arg-type]
        assert not (tmp_path / "new").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(RunError, match="is not empty") as caught:
        check_data(quick_config(data), out=tmp_path / "full", log_style="silent")
    assert caught.value.hint == "name a new one with --out"


def test_a_recipe_with_a_threshold_or_patience_checks_data_without_it(tmp_path: Path) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz"), threshold="f1", patience=2)
    check = check_data(config, num_folds=2, num_repeats=1, out=tmp_path / "check", log_style="silent")
    assert check.summary["num_images"] == 36


def test_the_command_prints_a_summary_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = tmp_path / "few.npz"
    digits = read_digits().train
    np.savez(few, train_images=digits.images[:40], train_labels=digits.labels[:40], test_images=digits.images[:9],
             test_labels=digits.labels[:9])  # fmt: skip
    arguments = ["data", "check", "--data", f"npz:{few}", "--epochs", "1", "--set", "model_options.blocks=c8s"]
    arguments += ["--folds", "2", "--repeats", "1", "--device", "cpu"]
    assert main([*arguments, "--out", str(tmp_path / "one")]) == 0
    told = capsys.readouterr()
    assert "40 training images of npz:" in told.out
    assert re.search(r"^exact-duplicate +9 +of 9 pairs in all splits, 9 across splits$", told.out, re.MULTILINE)
    said = f"to leave 9 images (exact-duplicate) out: thumbnet train --data npz:{few} --exclude "
    assert told.out.splitlines()[-1] == f"{said}{tmp_path / 'one' / 'exclude.csv'}"
    assert re.search(r"^class +images +", told.out, re.MULTILINE)
    assert "Training 2 of 2: fold 2 of 2 is held out." in told.err
    assert main([*arguments, "--out", str(tmp_path / "two"), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["path"] == str(tmp_path / "two")
    assert set(values["suspects"]) == set(get_args(SuspectKind))
    assert main([*arguments, "--out", str(tmp_path / "two")]) == 2
    assert "--out" in capsys.readouterr().err


def test_of_copies_of_a_test_image_none_is_left_in_training() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (60, 3, 32, 32), generator=generator, dtype=torch.uint8)
    train, test = images[:50].clone(), images[50:].clone()
    train[5] = (test[3].float() * 0.9 + 12).round().to(torch.uint8)  # nearly the same
    train[9] = test[3]
    dataset = Dataset(
        train=Split(train, torch.arange(50) % 2),
        val=None,
        test=Split(test, torch.arange(10) % 2),
        class_names=("cat", "dog"),
        mean=(0.5,) * 3,
        std=(0.3,) * 3,
        flip_keeps_labels=True,
        source=Source("noise", "noise"),
    )
    pairs = {(pair.first.split, pair.first.index, pair.second.index) for pair in find_duplicates_across(dataset)}
    assert pairs == {("test", 3, 5), ("test", 3, 9)}


def test_what_is_listed_of_the_digits_is_left_out_of_them(tmp_path: Path) -> None:
    whole = load_dataset("digits", val_fraction=0.0)
    last = len(whole.train) - 1
    label = whole.class_names[int(whole.train.labels[last])]
    listed = write_rows(tmp_path / "suspects.csv", [[source_index(whole.train, last), "", label, "", "1.0", "outlier"]])
    rest = load_dataset("digits", val_fraction=0.0, exclude=listed)
    assert torch.equal(rest.train.images, whole.train.images[:last])


def test_the_command_that_leaves_suspects_out_has_the_datas_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "data", batches=make_batches(10))
    recipe = tmp_path / "mine.toml"
    config = quick_config("", epochs=1, split_seed=3, allow_unverified=True, data="cifar10")
    recipe.write_text(config_to_toml(config.replace(data_dir=str(tmp_path / "data"))))
    options = ["--recipe", str(recipe), "--batch-size", "64", "--folds", "2", "--repeats", "1", "--set", "flip=true"]
    options += ["--kinds", *get_args(SuspectKind)]
    assert main(["data", "check", *options, "--out", str(tmp_path / "check")]) == 0
    told = capsys.readouterr().out
    assert "10 images of other splits, searched for duplicates only" in told
    command = shlex.split(told.partition("out: thumbnet ")[2])
    assert command[:3] == ["train", "--data", "cifar10"]
    assert command[-5:] == ["--allow-unverified", "--set", "split_seed=3", "--set", "flip=true"]
    config = recipe_config(build_parser().parse_args(command))
    assert (config.split_seed, config.inputs.flip, config.allow_unverified) == (3, True, True)


def test_what_a_run_left_out_tells_its_own_data_wherever_it_is(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, moved = tmp_path / "suspects.csv", tmp_path / "moved.npz"
    listed.write_text("index,path,label,suggested,score,kind\n0,,0,,1,dark\n")
    config = quick_config(data, epochs=1, exclude=str(listed))
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    shutil.copy(data, moved)
    monkeypatch.chdir(tmp_path)
    for place in (moved, "moved.npz"):
        dataset, is_own = load_named_dataset(run, f"npz:{place}")
        assert (is_own, dataset.num_excluded) == (True, 1)
    for place in (data, os.path.relpath(data)):
        assert run.load_dataset(f"npz:{place}").num_excluded == 1
    with np.load(data) as arrays:
        changed = dict(arrays)
    changed["train_images"][5] ^= 1
    np.savez(moved, **changed)
    dataset, is_own = load_named_dataset(run, f"npz:{moved}")
    assert (is_own, dataset.num_excluded) == (False, 0)


def test_flipped_images_are_no_copies_if_they_may_be_of_another_class(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 32, 32), np.uint8)
    images[31] = images[30, :, ::-1]
    np.savez(tmp_path / "signs.npz", images=images, labels=np.arange(60) % 2)
    found = {}
    for flip in (True, False):
        dataset, _ = load_data(quick_config(tmp_path / "signs.npz", flip=flip, val_fraction=0.0), say=lambda text: None)
        found[flip] = [pair.flipped for pair in find_duplicates_across(dataset)]
    assert found == {True: [True], False: []}
