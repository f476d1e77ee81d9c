"""What data is like is recorded with a run, and holds in `evaluate` and `predict`; what a source ignores is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from odd_pictures import make_classes, write_deep
from thumbnet.cli import main
from thumbnet.data.checksums import CIFAR10_CLASSES
from thumbnet.data.sources import load_dataset
from thumbnet.errors import ConfigError, DataError, ImageError
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.recipes import load_recipe
from thumbnet.runs.predict import predict
from thumbnet.runs.resolve import describe_data, load_data
from thumbnet.runs.run import Run, load_run
from thumbnet.runs.train import train
from thumbnet.trained.data import load_test_data, load_unseen_data
from thumbnet.trained.model import load_pretrained


@pytest.fixture(scope="module")
def deep_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 12-bit pictures in 16-bit files, and a file that is none."""
    folder = tmp_path_factory.mktemp("deep")
    for place, name in enumerate(("dim", "light")):
        (folder / name).mkdir()
        for number in range(4):
            write_deep(folder / name / f"{number}.png", [1000 * place + 100 * number, 2000 + 2000 * place, 500])
    write_deep(folder / "light" / "4.png", [4095, 0, 9])
    (folder / "dim" / "broken.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture(scope="module")
def run(deep_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = ["skip_unreadable=true", "image_size=8", "val_fraction=0", "precision=float32", "kernels=pytorch"]
    config = load_recipe(
        "sprint", settings=settings, options={"data": f"folder:{deep_data}", "epochs": 1, "batch_size": 8}
    )
    return train(config, run_dir=tmp_path_factory.mktemp("run") / "run", log_style="silent", pictures=False)


def test_a_run_keeps_the_scale_of_its_pictures_and_predict_takes_it(run: Run, deep_data: Path) -> None:
    assert run.card.white_levels == {"I;16": 4095}
    dataset = run.load_dataset()
    assert dataset.checksum() == run.card.data_checksum
    assert dataset.test.paths is not None
    (first, *_) = dataset.test.paths
    (prediction,) = predict(run, [deep_data / first])
    expected = predict_logits(run.model, dataset.test.images[:1], mean=run.card.mean, std=run.card.std).softmax(dim=1)
    assert prediction.probability == pytest.approx(float(expected.max()), abs=1e-6)


def test_other_data_takes_the_scale_of_the_run(run: Run, deep_data: Path, tmp_path: Path) -> None:
    for name in ("dim", "light"):
        (tmp_path / name).mkdir()
        write_deep(tmp_path / name / "0.png", [800, 900, 1000])  # 10 bits, were they alone
    dataset = load_unseen_data(run, f"folder:{tmp_path}")
    assert dataset.white_levels["I;16"] == 4095
    assert int(dataset.test.images.max()) < 70


def test_a_run_records_what_was_skipped(run: Run) -> None:
    assert (run.path / "skipped.txt").read_text() == "dim/broken.png\n"
    config = (run.path / "config.toml").read_text()
    assert "skip_unreadable = true" in config
    assert "# Left out: dim/broken.png, which cannot be read as a picture." in config
    assert "12 bits" in config
    assert load_run(run.path).config.skip_unreadable


def test_what_is_odd_is_said_once(deep_data: Path) -> None:
    said: list[str] = []
    config = load_recipe("sprint", settings=["skip_unreadable=true"], options={"data": f"folder:{deep_data}"})
    dataset, _ = load_data(config, say=said.append)
    assert sum("12 bits" in sentence for sentence in said) == 1
    assert "12 bits" in describe_data(dataset)


def test_channels_that_never_change_are_divided_by_1(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (4, 4), (40 * number, 7, 0)).save(tmp_path / name / f"{number}.png")
    dataset = load_dataset(f"folder:{tmp_path}", image_size=4, val_fraction=0)
    assert dataset.std[0] > 0.1
    assert dataset.std[1:] == (1.0, 1.0)
    assert any("green and blue" in remark for remark in dataset.source.remarks)
    for file in tmp_path.rglob("*.png"):
        Image.new("RGB", (4, 4), (9, 7, 0)).save(file)
    with pytest.raises(DataError, match="the same single colour"):
        load_dataset(f"folder:{tmp_path}", image_size=4, val_fraction=0)


def test_grey_pictures_are_scored_by_a_model_of_colour(tmp_path: Path) -> None:
    trained = load_pretrained("thumb-20k")
    make_classes(tmp_path, classes=CIFAR10_CLASSES, num_images=2, mode="L", side=8)
    for dataset in (
        load_test_data(trained, f"folder:{make_classes(tmp_path / 'with', classes=CIFAR10_CLASSES, mode='L')}"),
        load_unseen_data(trained, f"folder:{make_classes(tmp_path / 'all', classes=CIFAR10_CLASSES, mode='L')}"),
    ):
        assert dataset.image_shape == (3, 32, 32)
        images = dataset.test.images
        assert torch.equal(images[:, 0], images[:, 2])
        assert images[:, 0].float().std() > 1
    del dataset


def test_a_grey_run_still_refuses_colour(run: Run, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="grey, but the data has 8x8 pixels in colour"):
        run.load_dataset(f"folder:{make_classes(tmp_path, classes=('dim', 'light'))}")


@pytest.mark.parametrize("data", ["digits", "npz:{}/set.npz", "folder:{}"])
def test_unverified_files_are_allowed_only_where_something_is_verified(data: str, tmp_path: Path) -> None:
    make_classes(tmp_path)
    np.savez(tmp_path / "set.npz", images=np.zeros((9, 4, 4), np.uint8), labels=np.arange(9) % 2)
    with pytest.raises(ConfigError, match="allow_unverified"):
        load_dataset(data.format(tmp_path), allow_unverified=True)


def test_predict_goes_on_after_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / name for name in ("a.png", "bad.png", "worse.png", "b.png")]
    for path in (paths[0], paths[3]):
        Image.new("RGB", (9, 9), "red").save(path)
    paths[1].write_bytes(b"no picture")
    assert main(["predict", *map(str, paths)]) == 1
    shown = capsys.readouterr()
    assert [line.partition(":")[0] for line in shown.out.splitlines()] == ["model", str(paths[0]), str(paths[3])]
    assert "bad.png is not an image" in shown.err
    assert "there is no file" in shown.err
    assert "2 of 4" in shown.err
    assert main(["predict", "--json", *map(str, paths)]) == 1
    values = json.loads(capsys.readouterr().out)
    assert len(values["predictions"]) == 2
    assert [entry["path"] for entry in values["unreadable"]] == [str(paths[1]), str(paths[2])]
    assert "is not an image" in values["unreadable"][0]["error"]


def test_in_python_all_bad_files_are_named_or_handed_over(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.new("RGB", (9, 9), "red").save(good)
    files = [tmp_path / "none.png", good, tmp_path / "nor.png"]
    with pytest.raises(ImageError, match=r"2 of 3 files.*(\n.*)*none\.png(.*\n)*.*nor\.png"):
        predict("thumb-20k", files)
    unreadable: dict[str, ImageError] = {}
    (prediction,) = predict(load_pretrained("thumb-20k"), files, on_unreadable=unreadable.__setitem__)
    assert prediction.path == str(good)
    assert list(unreadable) == [str(files[0]), str(files[2])]
