"""A user's pictures are shown as their files have them, and what their size means for the training is said."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from odd_pictures import make_classes
from test_report import history, report_of, values_of
from thumbnet.cli import main
from thumbnet.data.dataset import Dataset
from thumbnet.data.originals import larger_images, picture_sides
from thumbnet.data.packs.manifest import read_manifest, write_manifest
from thumbnet.data.picture_sides import PictureSides
from thumbnet.data.sources import load_dataset
from thumbnet.data_check.folds import OutOfFold
from thumbnet.data_check.pictures import draw_pictures
from thumbnet.data_check.suspects import Duplicate, Place
from thumbnet.evaluation.comparison import compare_with_baseline
from thumbnet.evaluation.metrics import misclassified, summarise_predictions
from thumbnet.evaluation.predictions import Predictions, StoredPredictions
from thumbnet.evaluation.saliency import resized_maps
from thumbnet.models.registry import create_model
from thumbnet.models.trace import trace_model
from thumbnet.recipes import load_recipe
from thumbnet.runs import size_advice
from thumbnet.runs.files.names import MISCLASSIFIED
from thumbnet.runs.planning.ladder import DataFacts
from thumbnet.runs.planning.reasons import reasons_of
from thumbnet.runs.resolve import load_data
from thumbnet.runs.results import write
from thumbnet.runs.run import RunDir
from thumbnet.runs.size_advice import advise_by_shape, advise_size
from thumbnet.specs.sizes import Fit
from thumbnet.views.disagreements import disagreements_of
from thumbnet.views.gallery import draw_gallery
from thumbnet.views.report.gallery_images import tile_side
from thumbnet.views.suspects import draw_suspects


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of 300x240 pixels in two classes: stripes of two pixels, which 32 pixels cannot show."""
    path = tmp_path_factory.mktemp("large")
    for number in range(12):
        pixels = np.zeros((240, 300), np.uint8)
        pixels[:, number % 4 :: 4] = 255
        pixels[:, (number % 4 + 1) :: 4] = 255
        (path / "ab"[number % 2]).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path / "ab"[number % 2] / f"{number}.png")
    return path


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return load_dataset(f"folder:{folder}", val_fraction=0.2)


def test_the_original_sizes_are_those_of_the_files(dataset: Dataset) -> None:
    sides = picture_sides(dataset)
    assert sides == PictureSides(num_read=12, height=240, width=300, smallest=240, largest=240)
    assert str(sides) == "300x240 pixels (median), shorter sides from 240 to 240"
    assert picture_sides(load_dataset("digits")) is None


@pytest.mark.parametrize(
    ("trained", "shorter", "proposed"),
    [(32, 300, 96), (32, 64, 64), (32, 40, None), (64, 300, 160), (224, 300, None), (32, 48, 48)],
)
def test_what_larger_images_would_cost_is_said(
    dataset: Dataset, trained: int, shorter: int, proposed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size_advice, "_cost", lambda config, dataset, sides: float(sides[0]))
    images = torch.zeros(1, 1, trained, trained, dtype=torch.uint8)
    split = dataclasses.replace(dataset.train.select([0]), images=images)
    sized = dataclasses.replace(dataset, train=split, val=None, test=split)
    sides = PictureSides(9, shorter, shorter + 8, shorter, shorter)
    sentence = advise_size(load_recipe(), sized, sides)
    if proposed is None:
        assert sentence == ""
        return
    assert f"have {shorter + 8}x{shorter} pixels (median) and are trained on at {trained}x{trained}." in sentence
    assert f"--image-size {proposed} " in sentence
    assert f"at {proposed / trained:.1f} times the cost" in sentence


@pytest.mark.parametrize(
    ("fit", "trained", "proposed"),
    [("crop", (32, 32), None), ("letterbox", (32, 32), 96), ("letterbox", (32, 96), None), ("crop", (12, 96), None)],
)
def test_pictures_that_are_framed_whole_are_reduced_by_their_longer_side(
    dataset: Dataset, fit: Fit, trained: tuple[int, int], proposed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size_advice, "_cost", lambda config, dataset, sides: float(sides[0]))
    sides = PictureSides(9, 40, 120, 40, 40)
    sentence = advise_by_shape(load_recipe(), (3, *trained), 2, sides, fit=fit)
    assert (f"--image-size {proposed} " in sentence) if proposed else sentence == ""


def test_the_cost_that_is_said_is_that_of_the_networks_for_both_sizes(dataset: Dataset) -> None:
    sides = picture_sides(dataset)
    assert sides is not None
    said = re.search(r"--image-size 96 .* at ([\d.]+) times the cost", advise_size(load_recipe(), dataset, sides))
    assert said is not None

    def macs(side: int, stem: str) -> int:
        model = create_model("sprint", num_classes=2, in_channels=1, image_size=side, stem=stem)
        return trace_model(model, (1, side, side)).macs

    times = float(said[1])
    assert times == pytest.approx(macs(96, "w4s2") / macs(32, "w2"), abs=0.05)
    assert 1 < times < 3  # of nine times the pixels


def test_what_square_images_cut_off_is_said(dataset: Dataset) -> None:
    wide = PictureSides(9, 40, 120, 40, 40)
    cut_off = "The centre square leaves out 67% of the median picture: --set image_size=[32,96] or --set fit=letterbox"
    assert advise_size(load_recipe(), dataset, wide).startswith(cut_off)
    assert advise_size(load_recipe(options={"fit": "letterbox"}), dataset, wide) == ""
    facts = DataFacts(100, 10, 10, (50, 50), 3, (40, 120), is_resized=True)
    for is_planned in (True, False):  # a size that is given, or a pack's, is as the user wants it
        reasons = reasons_of(load_recipe(), facts, [], sides=(32, 32), minutes=1, steps=9, is_size_planned=is_planned)
        assert any(reason.startswith(cut_off) for reason in reasons) is is_planned


def test_a_pack_of_small_images_keeps_the_sizes_of_the_pictures_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = "The pictures have 300x240 pixels (median) and are trained on at 32x32. data pack --image-size 96 shows"
    for source, name in ((f"folder:{folder}", "first"), (f"packed:{tmp_path / 'first'}", "again")):
        assert main(["data", "pack", source, "--out", str(tmp_path / name), "--json"]) == 0
        captured = capsys.readouterr()
        assert captured.err.count(said) == 1
        assert json.loads(captured.out)["picture_sides"] == {
            "num_read": 12, "height": 240, "width": 300, "smallest": 240, "largest": 240
        }  # fmt: skip
        assert main(["data", "info", "--data", f"packed:{tmp_path / name}", "--json"]) == 0
        captured = capsys.readouterr()
        assert captured.err.count(said) == 1
        assert "train` chooses one" not in captured.err
        assert json.loads(captured.out)["picture_sides"]["width"] == 300
    config = load_recipe(options={"data": f"packed:{tmp_path / 'again'}"})
    sentences: list[str] = []
    load_data(config, say=sentences.append)
    assert [sentence for sentence in sentences if said in sentence]
    assert main(["data", "pack", f"folder:{folder}", "--out", str(tmp_path / "large"), "--image-size", "200"]) == 0
    assert "are trained on at" not in capsys.readouterr().err
    earlier = dataclasses.replace(read_manifest(tmp_path / "again"), picture_sides=None)
    write_manifest(tmp_path / "again", earlier)
    assert picture_sides(load_dataset(f"packed:{tmp_path / 'again'}")) is None


def test_train_and_data_info_say_it(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = ["--data", f"folder:{folder}"]
    said = "The pictures have 300x240 pixels (median) and are trained on at 32x32. --image-size 96 shows"
    assert main(["data", "info", *data, "--json"]) == 0
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.rstrip().endswith("`thumbnet train` chooses one that fits into its minutes.")
    assert json.loads(told.out)["picture_sides"]["width"] == 300
    assert main(["data", "info", *data, "--image-size", "224"]) == 0
    told = capsys.readouterr()
    assert "The pictures have" not in told.err
    assert "pictures     300x240 pixels (median)" in told.out
    assert "None" not in told.out
    small = ["--set", "model_options.blocks=c8p", "--set", "kernels=pytorch", "--epochs", "1", "--no-pictures"]
    assert main(["train", *data, *small, "--run-dir", str(tmp_path / "run")]) == 0
    assert said in capsys.readouterr().err


def test_a_preview_has_the_image_size_asked_for(folder: Path, tmp_path: Path) -> None:
    sizes = {}
    for side in ("32", "64"):
        out = str(tmp_path / f"{side}.png")
        assert main(["data", "preview", "--data", f"folder:{folder}", "--image-size", side, "--out", out]) == 0
        with Image.open(out) as picture:
            sizes[side] = np.asarray(picture.convert("L")).std()
    assert sizes["64"] != sizes["32"]


def test_a_preview_holds_nothing_out_for_validation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It had advised `val_fraction`, which the command has no option for."""
    words = ["data", "preview", "--data", f"folder:{tmp_path / 'pets'}", "--out", str(tmp_path / "out.png")]
    make_classes(tmp_path / "pets", num_images=2)
    assert main(words) == 0
    (tmp_path / "pets" / "dog" / "1.png").unlink()
    assert main(words) != 0
    told = capsys.readouterr().err
    assert "class 'dog' has 1 image for 2 splits" in told
    assert "val_fraction" not in told


def test_people_are_shown_the_files_pixels(folder: Path, dataset: Dataset) -> None:
    tiles = larger_images(dataset, dataset.train, [1, 0], side=96)
    assert tiles.shape == (2, 1, 96, 96)
    enlarged = dataset.train.images[[1, 0]].repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert (tiles.float().std(dim=(1, 2, 3)) > 2 * enlarged.float().std(dim=(1, 2, 3))).all()  # the stripes are there
    assert torch.equal(larger_images(dataset, dataset.train, [0], side=32), dataset.train.images[:1])
    digits = load_dataset("digits")
    assert torch.equal(larger_images(digits, digits.test, [3], side=96), digits.test.images[[3]])
    assert larger_images(dataset, dataset.train, [], side=96).shape == (0, 1, 96, 96)


@pytest.fixture
def all_wrong(dataset: Dataset) -> Predictions:
    labels = dataset.test.labels
    return Predictions(9 * torch.eye(2)[1 - labels], labels)


def test_a_reports_gallery_shows_the_files_pixels(dataset: Dataset, all_wrong: Predictions) -> None:
    sheet = values_of(report_of(dataset, all_wrong))["images"]
    assert isinstance(sheet, dict)
    number = len(dataset.test)
    assert (sheet["tiles"], sheet["width"], sheet["height"]) == (number, 96, 96)
    content = base64.b64decode(sheet["url"].removeprefix("data:image/webp;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    assert pixels.shape == (96, 96 * number)
    enlarged = dataset.test.images[misclassified(all_wrong), 0].repeat_interleave(3, 1).repeat_interleave(3, 2).numpy()
    for tile, reduced in zip(np.split(pixels, number, axis=1), enlarged, strict=True):
        assert tile.std() > 2 * reduced.std()


def test_the_picture_of_misclassified_images_shows_the_files_pixels(
    dataset: Dataset, all_wrong: Predictions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[torch.Tensor] = []
    monkeypatch.setattr(
        write, "draw_gallery", lambda images, *rest, **more: shown.append(images) or draw_gallery(images, *rest, **more)
    )
    model = create_model("sprint", num_classes=2, in_channels=1, seed=0)
    evaluation = summarise_predictions(all_wrong, split="test")
    write._write_pictures(RunDir(tmp_path), model, dataset, history(), evaluation)
    (images,) = shown
    assert max(images.shape[2:]) == write.GALLERY_PX > 100
    worst = misclassified(all_wrong).tolist()
    assert torch.equal(images, larger_images(dataset, dataset.test, worst, side=write.GALLERY_PX))
    assert (tmp_path / MISCLASSIFIED).exists()


def test_pictures_that_were_not_reduced_are_not_enlarged_for_people(tmp_path: Path) -> None:
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "ab"[number % 2] / f"{number}.png")
    dataset = load_dataset(f"folder:{tmp_path}")
    assert torch.equal(larger_images(dataset, dataset.train, [1, 0], side=96), dataset.train.images[[1, 0]])


def test_a_file_that_is_gone_is_shown_as_the_network_sees_it(folder: Path, dataset: Dataset) -> None:
    assert dataset.train.paths is not None
    lost = dataclasses.replace(dataset.train, paths=("a/gone.png", *dataset.train.paths[1:]))
    tiles = larger_images(dataset, lost, [0, 1], side=96)
    enlarged = dataset.train.images[:2].repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert torch.equal(tiles[0], enlarged[0])
    assert not torch.equal(tiles[1], enlarged[1])


def test_check_pages_show_the_files_pixels(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(
        "thumbnet.data_check.pictures.draw_suspects",
        lambda groups, *rest, **more: drawn.extend(groups) or draw_suspects(groups, *rest, **more),
    )
    pair = Duplicate(Place("train", 1), Place("test", 0), likeness=1.0, flipped=False)
    num_images = len(dataset.train)
    draw_pictures(dataset, [], [pair], OutOfFold(np.zeros((num_images, 2)), np.zeros(num_images)))
    (group,) = drawn
    assert group.shape == (2, 1, 128, 128)
    assert torch.equal(group[0], larger_images(dataset, dataset.train, [1], side=128)[0])


def test_what_runs_disagree_about_is_shown_as_the_files_have_it(dataset: Dataset) -> None:
    labels = dataset.test.labels
    right, wrong = (StoredPredictions(labels, said, torch.ones(len(labels))) for said in (labels, 1 - labels))
    (pair,) = compare_with_baseline(right, [wrong])
    shown = partial(larger_images, dataset, dataset.test, side=128)
    only_right, only_wrong = disagreements_of("right", right, "wrong", wrong, pair, shown)
    assert only_right.images.shape == (len(labels), 1, 128, 128)
    assert only_wrong.images.shape == (0, 1, 128, 128)


def test_maps_and_tiles_have_one_size() -> None:
    maps = torch.rand(3, 8, 8)
    assert resized_maps(maps, (8, 8)) is maps
    assert resized_maps(maps, (24, 16)).shape == (3, 24, 16)
    assert resized_maps(maps[:0], (24, 16)).shape == (0, 24, 16)
    assert (tile_side(300), tile_side(301)) == (96, 64)
