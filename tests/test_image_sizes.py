"""Sizes and shapes of own pictures, from reading to prediction and export: auto, height and width, letterbox."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from random_exports import random_request
from small_runs import small_config
from thumbnet.cli import main
from thumbnet.config import TrainConfig, config_from_toml, config_to_toml
from thumbnet.data.batches import normalise
from thumbnet.data.images import read_image_array
from thumbnet.data.sizes import auto_side, describe_choice, median_sides
from thumbnet.data.source_registry import DATA_SOURCES, fit_for, register_data_source
from thumbnet.data.sources import load_dataset, load_whole_dataset
from thumbnet.data.standardise import RESAMPLING, letterboxed
from thumbnet.errors import ConfigError, ExportError
from thumbnet.evaluation.images import PictureForm
from thumbnet.evaluation.metrics import evaluate
from thumbnet.export.c.write import write as write_c
from thumbnet.export.export import export_model
from thumbnet.export.html.write import write as write_html
from thumbnet.export.onnx.metadata import properties_of
from thumbnet.export.server.classifier import Classifier
from thumbnet.export.server.limits import Limits
from thumbnet.export.tflite.write import write as write_tflite
from thumbnet.models.card import card_from_dict, card_to_dict
from thumbnet.recipes import load_recipe
from thumbnet.runs.folds.train import resume_folds, train_folds
from thumbnet.runs.load_checked import load_checked
from thumbnet.runs.predict import predict
from thumbnet.runs.resolve import say_nothing
from thumbnet.runs.run import load_run
from thumbnet.runs.side_limits import sides_for
from thumbnet.runs.train import train
from thumbnet.specs.data import DataSpec, ReadOptions
from thumbnet.specs.sizes import SideLimits, check_fit

DILATED: dict[str, Any] = {"model": "dilated", "model_options": {}}
OWN_NET = """
from torch import nn


class Net(nn.Sequential):
    min_image_size = 70
    max_image_size = 72

    def __init__(self, num_classes, in_channels):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))
"""


def write_pictures(folder: Path, *, num_images: int = 10, sides: tuple[int, int] = (24, 40)) -> Path:
    """Two classes of noise of another brightness, of this height and width, in colour."""
    generator = np.random.default_rng(0)
    for label, name in enumerate(("dark", "light")):
        (folder / name).mkdir(parents=True)
        for index in range(num_images):
            pixels = generator.integers(0, 100, (*sides, 3)) + 150 * label
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")
    return folder


def config_for(folder: Path, **fields: Any) -> TrainConfig:
    return small_config(folder, **fields).replace(data=f"folder:{folder}", val_fraction=0.25)


@pytest.mark.parametrize("size", [48, (12, 16), "auto"])
def test_a_config_keeps_every_kind_of_size(size: Any, tmp_path: Path) -> None:
    config = config_for(tmp_path, image_size=size, fit="letterbox")
    assert config.image_size == size
    assert config_from_toml(config_to_toml(config), name="it") == config


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((1, 2, 3), r"image_size is \[1, 2, 3\]"),
        ([32], r"image_size is \[32\]"),
        ("big", "image_size is 'big'"),
        ((2, 40), "image_size is 2"),
        ((40, 9000), "image_size is 9000"),
        ([1.5, 2.0], "image_size is"),
    ],
)
def test_other_sizes_are_refused(size: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config_for(tmp_path, image_size=size)
    assert caught.value.hint
    with pytest.raises(ConfigError, match="fit is 'stretch'"):
        check_fit("stretch")


def test_auto_takes_what_the_pictures_show_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = ((8, 8), (28, 28), (32, 500), (42, 60), (300, 200), (2000, 3000))
    assert [auto_side(each, 1000) for each in sides] == [32, 32, 32, 48, 96, 96]
    assert [auto_side(each, 1000, fit="letterbox") for each in sides] == [32, 32, 96, 64, 96, 96]
    monkeypatch.setattr("thumbnet.data.sizes.memory_limit_bytes", lambda: 2 * 3 * 1000 * 70**2)
    assert auto_side((300, 300), 1000) == 64


def test_auto_takes_no_size_that_the_model_does_not_take() -> None:
    small, large = (40, 40), (300, 300)
    assert [auto_side(each, 1000, (30, 49)) for each in (small, large)] == [32, 48]
    assert [auto_side(each, 1000, (50, 60)) for each in (small, large)] == [50, 60]
    assert [auto_side(each, 1000, (100, None)) for each in (small, large)] == [128, 128]
    assert [auto_side(each, 1000, (300, None)) for each in (small, large)] == [300, 300]
    assert [auto_side(each, 1000, (4, 20)) for each in (small, large)] == [20, 20]


def test_the_sides_that_a_model_takes_are_those_of_its_smallest_images(tmp_path: Path) -> None:
    def limits(*settings: str) -> SideLimits:
        return sides_for(load_recipe("quick", settings=settings))

    grows = ("scales=[0.5,1]", "scale_starts=[0,0.5]")
    assert limits("model=dilated") == (30, 49)
    assert limits("model=dilated-fixed") == (13, None)
    assert limits("model=sprint", "model_options.stem=w16s16") == (32, None)
    assert limits("model=sprint", "model_options.stem=w16s16", *grows) == (63, None)  # half of it is rounded up
    assert limits("model=dilated", *grows) == (30, 49)  # 60 pixels are too large: to begin small is refused
    folder = write_pictures(tmp_path / "pets", sides=(60, 60))
    config = config_for(folder, image_size="auto", **DILATED, scales=[0.5, 1.0], scale_starts=[0.0, 0.5])
    with pytest.raises(ConfigError, match=r"the images begin with 0\.5 times their size"):
        load_checked(config, say=say_nothing)


def test_the_median_is_of_headers_and_passes_over_what_cannot_be_read(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", num_images=3)
    (folder / "dark" / "0.png").write_bytes(b"no picture")
    files = sorted(folder.rglob("*.png"))
    assert median_sides(files) == (24, 40)
    assert median_sides(files[:1]) == (32, 32)


def test_a_sentence_says_what_was_chosen_and_what_a_crop_leaves_out(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", num_images=3, sides=(64, 128))
    dataset = load_whole_dataset(f"folder:{folder}", image_size="auto")
    assert dataset.image_shape == (3, 64, 64)
    (sentence,) = dataset.source.remarks
    assert "128x64 pixels (median)" in sentence
    assert "takes 64x64" in sentence
    assert "leaves out 50% of the median picture: --set image_size=[64,128] or --set fit=letterbox" in sentence
    assert "leaves out" not in describe_choice((64, 128), 64, "letterbox")
    assert "leaves out" not in describe_choice((100, 120), 64, "crop")


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("sides", [(16, 16), (12, 30), (40, 20), (5, 200)])
def test_a_letterbox_holds_all_of_the_picture_in_grey(mode: str, sides: tuple[int, int]) -> None:
    height, width = sides
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)).convert(mode)
    grey = 128 if mode == "L" else (128,) * 3
    expected = np.asarray(ImageOps.pad(image, (width, height), RESAMPLING, color=grey)).reshape(height, width, -1)
    found = letterboxed(image, sides, 1 if mode == "L" else 3)
    np.testing.assert_array_equal(found, expected.transpose(2, 0, 1))


def test_a_letterboxed_thread_stays_visible() -> None:
    image = Image.new("L", (3000, 1), 255)
    assert letterboxed(image, (8, 8), 1).tolist()[0][3] == [255] * 8


def test_a_folder_is_read_in_any_shape(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", num_images=3)
    for fit in ("crop", "letterbox"):
        dataset = load_whole_dataset(f"folder:{folder}", image_size=(12, 16), fit=fit)  # type: ignore[arg-type]
        assert dataset.image_shape == (3, 12, 16)
        assert dataset.fit == fit
        assert dataset.test.paths is not None
        file = folder / dataset.test.paths[0]
        expected = read_image_array(file, image_size=(12, 16), fit=fit)  # type: ignore[arg-type]
        np.testing.assert_array_equal(dataset.test.images[0].numpy(), expected)
    assert (dataset.test.images[0, :, 0] == 128).all()


def test_data_that_is_not_resized_refuses_shapes_and_letterboxes_but_not_auto(tmp_path: Path) -> None:
    assert load_dataset("digits", image_size="auto").image_shape == (1, 32, 32)
    assert load_dataset("digits", image_size=(32, 32)).image_shape == (1, 32, 32)
    with pytest.raises(ConfigError, match=r"image_size is \[8, 9\], but the images of digits have 32 pixels"):
        load_dataset("digits", image_size=(8, 9))
    with pytest.raises(ConfigError, match="fit is 'letterbox', but digits is not resized"):
        load_dataset("digits", fit="letterbox")
    np.savez(tmp_path / "wide.npz", images=np.zeros((20, 12, 16), np.uint8), labels=np.arange(20) % 2)
    with pytest.raises(ConfigError, match=r"image_size is 24, but the images of npz:.* have 16x12 pixels"):
        load_dataset(f"npz:{tmp_path / 'wide.npz'}", image_size=24)
    assert fit_for("digits", "letterbox") == "crop"
    assert fit_for("folder:x", "letterbox") == "letterbox"


def test_a_source_of_squares_is_given_a_side_and_nothing_else(own_things: None) -> None:
    seen: list[ReadOptions] = []

    def read(spec: DataSpec, options: ReadOptions) -> Any:
        seen.append(options)
        return DATA_SOURCES["digits"].read(spec, options)

    register_data_source("squares", read, obeys=("image_size",))
    load_dataset("squares", image_size="auto")
    load_dataset("squares", image_size=(8, 8))
    assert [options.image_size for options in seen] == [32, 8]
    with pytest.raises(ConfigError, match=r"image_size is \[8, 12\], but squares gives squares"):
        load_dataset("squares", image_size=(8, 12))
    with pytest.raises(ConfigError, match="fit is 'letterbox', but squares gives its own pictures"):
        load_dataset("squares", fit="letterbox")


@pytest.fixture(scope="module")
def wide_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on letterboxed pictures of 12x16 pixels, with its folder of pictures beside it."""
    place = tmp_path_factory.mktemp("wide")
    folder = write_pictures(place / "pets")
    config = config_for(folder, image_size=(12, 16), fit="letterbox", augmentation="crop-flip")
    return train(config, run_dir=place / "run", log_style="silent").path


def test_a_run_on_another_shape_is_trained_drawn_scored_and_read_again(wide_run: Path) -> None:
    run = load_run(wide_run)
    assert (run.card.image_shape, run.card.fit) == ((3, 12, 16), "letterbox")
    assert run.config.image_size == (12, 16)
    assert run.load_dataset().checksum() == run.card.data_checksum
    assert evaluate(run.model, run.load_dataset()).accuracy == pytest.approx(run.metrics["test_accuracy"])
    assert (wide_run / "report.html").is_file()


def test_pictures_are_letterboxed_for_prediction_as_in_training(wide_run: Path) -> None:
    file = wide_run.parent / "pets" / "light" / "3.png"
    card = load_run(wide_run).card
    expected = read_image_array(file, image_size=(12, 16), num_channels=3, fit="letterbox")
    form = PictureForm(card.image_shape, card.class_names, fit=card.fit)
    np.testing.assert_array_equal(form.read(file), expected)
    (found,) = predict(wide_run, [file])
    cropped = PictureForm(card.image_shape, card.class_names).read(file)
    assert not np.array_equal(cropped, expected)
    assert found.class_name in card.class_names


@pytest.mark.parametrize(("model", "size", "stem"), [("sprint", (96, 128), "w4s2"), ("thumb-20k", 224, "w4s4c16")])
def test_models_of_the_package_train_predict_and_export_large_pictures(
    model: str, size: Any, stem: str, tmp_path: Path
) -> None:
    folder = write_pictures(tmp_path / "pets", num_images=6, sides=(96, 128))
    config = config_for(folder, image_size=size, model=model, model_options={}, batch_size=4)
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert run.config.model_options["stem"] == stem
    files = sorted(folder.rglob("*.png"))
    by_numpy = predict(run.path, files)
    assert [each.path for each in by_numpy] == [str(file) for file in files]
    with torch.inference_mode():
        images = normalise(run.load_dataset().test.images, run.card.mean, run.card.std)
        confidence = run.model.eval()(images).softmax(dim=1).max(dim=1).values
    paths = run.load_dataset().test.paths or ()
    for path, expected in zip(paths, confidence.tolist(), strict=True):
        (found,) = (each for each in by_numpy if each.path == str(folder / path))
        assert found.probability == pytest.approx(expected, abs=1e-4)
    for name in ("onnx", "html"):
        result = export_model(run.path, name, out=tmp_path / name)
        assert min(check.agreement for check in result.checks) == 1


def test_auto_is_resolved_to_a_number(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", sides=(48, 60))
    run = train(config_for(folder, image_size="auto"), run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert run.config.image_size == 48
    assert run.asked is not None
    assert run.asked.image_size == "auto"
    assert run.card.image_shape == (3, 48, 48)


def test_auto_takes_the_longer_side_of_what_is_framed_whole(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", sides=(20, 60))
    for fit, side in (("crop", 32), ("letterbox", 64)):
        dataset, _ = load_checked(config_for(folder, image_size="auto", fit=fit), say=say_nothing)
        assert dataset.image_shape == (3, side, side)


def test_auto_obeys_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_pictures(tmp_path / "pets", sides=(100, 100))
    dataset, config = load_checked(config_for(folder, image_size="auto", **DILATED), say=print)
    assert (dataset.image_shape, config.image_size) == ((3, 48, 48), 48)
    said = 'image_size = "auto" takes 48x48, since the model takes no 96x96.'
    assert said in capsys.readouterr().out
    (tmp_path / "net.py").write_text(OWN_NET)
    config = config_for(folder, image_size="auto", model=f"{tmp_path / 'net.py'}:Net", model_options={})
    assert load_checked(config, say=say_nothing)[1].image_size == 72


def test_a_given_dataset_must_be_fitted_as_the_config_says(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    dataset = load_dataset(f"folder:{folder}", val_fraction=0.25)
    with pytest.raises(ConfigError, match="fit is 'letterbox', but the dataset that was given has 'crop'"):
        train(config_for(folder, fit="letterbox"), dataset=dataset, run_dir=tmp_path / "run", log_style="silent")


def test_how_a_given_dataset_was_read_is_recorded_so_that_it_is_read_so_again(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "dark" / "broken.png").write_bytes(b"\x89PNG")
    config = config_for(folder)
    dataset = load_dataset(config.data, image_size=(12, 16), val_fraction=0.25, skip_unreadable=True)
    run = train(config, dataset=dataset, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert (run.config.image_size, run.config.skip_unreadable) == ((12, 16), True)
    assert run.load_dataset().checksum() == run.card.data_checksum
    again = train(run.config, run_dir=tmp_path / "again", log_style="silent", pictures=False)
    assert again.metrics["test_loss"] == run.metrics["test_loss"]
    with pytest.raises(ConfigError, match=r"image_size is 48, but the dataset that was given has \(12, 16\)"):
        train(config.replace(image_size=48), dataset=dataset, run_dir=tmp_path / "no", log_style="silent")


def test_folds_of_a_given_dataset_go_on_with_its_folder(tmp_path: Path) -> None:
    config = config_for(write_pictures(tmp_path / "pets"))
    dataset = load_dataset(config.data, image_size=12, val_fraction=0.25)
    done = train_folds(
        config, num_folds=2, dataset=dataset, run_dir=tmp_path / "folds", log_style="silent", pictures=False
    )
    assert {run.config.image_size for run in done.runs} == {12}
    shutil.rmtree(done.path / "fold-1")
    (done.path / "metrics.json").unlink()
    again = resume_folds(done.path, log_style="silent", pictures=False)
    assert again.metrics["by_fold"] == done.metrics["by_fold"]


def test_a_card_of_crops_is_as_before_and_one_of_letterboxes_is_of_a_later_format() -> None:
    request = random_request("smallest", Path("out"))
    card = request.shippable.card
    values = card_to_dict(card)
    assert (values["format"], "fit" in values) == (2, False)
    assert card_from_dict(json.loads(json.dumps(values)), name="it").fit == "crop"
    boxed = card_to_dict(replace(card, fit="letterbox"))
    assert (boxed["format"], boxed["fit"]) == (3, "letterbox")
    assert card_from_dict(json.loads(json.dumps(boxed)), name="it") == replace(card, fit="letterbox")
    with pytest.raises(Exception, match="fit is 'stretch'"):
        card_from_dict({**json.loads(json.dumps(boxed)), "fit": "stretch"}, name="it")


def test_exports_that_cut_pictures_refuse_a_letterboxed_model_and_others_say_it(tmp_path: Path) -> None:
    request = random_request("smallest", tmp_path / "out")
    assert "128" not in properties_of(request.shippable)["input"]
    shippable = replace(request.shippable, card=replace(request.shippable.card, fit="letterbox"))
    request = replace(request, shippable=shippable)
    for write in (write_html, write_c, lambda each: write_tflite(replace(each, target="frigate"))):
        with pytest.raises(ExportError, match="letterboxed") as caught:
            write(request)
        assert 'fit = "crop"' in caught.value.hint
    assert not request.out.exists()
    assert properties_of(shippable)["input"].endswith("with grey (128) around them")


def test_the_server_letterboxes_as_predict_does(tmp_path: Path) -> None:
    request = random_request("48x40", tmp_path / "out")
    shippable = replace(request.shippable, card=replace(request.shippable.card, fit="letterbox"))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 90, 3), np.uint8))
    image.save(tmp_path / "wide.png")
    content = BytesIO((tmp_path / "wide.png").read_bytes())
    classifier = Classifier(shippable, limits=Limits())
    found = classifier._classify(content, num_top=4).top
    predicted = PictureForm(shippable.card.image_shape, shippable.card.class_names, fit="letterbox")
    logits = classifier._runner.run(predicted.read(tmp_path / "wide.png")[None]).logits[0]
    assert found[0].class_name == shippable.card.class_names[int(logits.argmax())]
    cut = classifier._runner.run(replace(predicted, fit="crop").read(tmp_path / "wide.png")[None]).logits[0]
    assert not np.allclose(cut, logits)


def test_the_command_takes_sizes_as_a_recipe_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_pictures(tmp_path / "pets", num_images=4, sides=(70, 80))
    for size, shape in (("24", [3, 24, 24]), ("[12, 20]", [3, 12, 20]), ("auto", [3, 64, 64])):
        assert main(["data", "info", "--data", f"folder:{folder}", "--image-size", size, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["image_shape"] == shape
    assert main(["summary", "sprint", "--image-size", "[96, 128]", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"][0]["output_shape"] == [24, 47, 63]
    assert main(["graph", "sprint", "--image-size", "auto"]) == 2
    assert "there is no data" in capsys.readouterr().err
    assert main(["summary", "sprint", "--image-size", "[1, 2, 3]"]) == 2
    assert "image_size is [1, 2, 3]" in capsys.readouterr().err
