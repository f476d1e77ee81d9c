"""Trained weights: those of the package, and those that a training begins with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fitting import fit_flat
from thumbnet.cli import main
from thumbnet.data.dataset import Dataset
from thumbnet.data.sources import load_dataset
from thumbnet.errors import CheckpointError, ConfigError, ModelError
from thumbnet.models.pretrained import list_pretrained, pretrained_path
from thumbnet.models.registry import create_model, list_models, num_params
from thumbnet.models.weights import load_all_but_head
from thumbnet.recipes import load_recipe
from thumbnet.runs.train import train
from thumbnet.specs.fine_tuning import FineTuning
from thumbnet.trained.model import load_pretrained

MOST_BYTES = 500_000


@pytest.mark.parametrize("name", list_pretrained())
def test_the_files_of_the_package_are_small_and_whole(name: str) -> None:
    assert name in list_models()
    assert pretrained_path(name).stat().st_size < MOST_BYTES
    trained = load_pretrained(name)
    assert trained.card.model == name
    assert trained.card.num_params == num_params(trained.model) < 200_000
    model = create_model(name, pretrained=True)
    assert all(
        a.equal(b) for a, b in zip(model.state_dict().values(), trained.model.state_dict().values(), strict=True)
    )
    assert not model.state_dict()["head.weight"].equal(create_model(name, seed=0).state_dict()["head.weight"])


def test_weights_that_are_not_there_or_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="no trained weights of 'resnet8'") as caught:
        create_model("resnet8", pretrained=True)
    assert "sprint" in caught.value.hint
    with pytest.raises(ConfigError, match="10 classes and 3 channels, not for 5 and 3") as refused:
        create_model("sprint", pretrained=True, num_classes=5)
    assert "--init" in refused.value.hint
    with pytest.raises(ConfigError, match="seed is given"):
        create_model("sprint", pretrained=True, seed=1)


def test_all_but_the_head_is_taken_over() -> None:
    trained, model = create_model("resnet8", seed=0), create_model("resnet8", num_classes=3, seed=1)
    head = model.state_dict()["head.weight"].clone()
    load_all_but_head(model, trained.state_dict())
    assert model.state_dict()["head.weight"].equal(head)
    assert model.state_dict()["stem.0.weight"].equal(trained.state_dict()["stem.0.weight"])
    with pytest.raises(CheckpointError, match="do not fit"):
        load_all_but_head(create_model("sprint"), trained.state_dict())


def test_a_trained_models_whitening_is_not_learnt_again(tiny_dataset: Dataset) -> None:
    model = create_model("sprint", num_classes=3, seed=0)
    before = model.state_dict()["whiten.weight"].clone()
    fit_flat(model, tiny_dataset, lr=0.01, fine_tuning=FineTuning())
    assert model.state_dict()["whiten.weight"].equal(before)
    fit_flat(model, tiny_dataset, lr=0.01)
    assert not model.state_dict()["whiten.weight"].equal(before)


def save_images(path: Path, labels: list[int]) -> str:
    """An .npz of the digits with these labels, as colour images."""
    digits = load_dataset("digits", val_fraction=0.0).train
    chosen = [index for index, label in enumerate(digits.labels.tolist()) if label in labels]
    part = digits.select(chosen[:100])
    renamed = np.array([labels.index(label) for label in part.labels.tolist()])
    np.savez(path, images=part.images.expand(-1, 3, -1, -1).numpy(), labels=renamed)
    return f"npz:{path}"


def test_a_run_begins_with_another_runs_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = [save_images(tmp_path / f"{labels[0]}.npz", labels) for labels in ([0, 1, 2], [3, 4])]
    options = {"epochs": 1, "batch_size": 64, "device": "cpu", "flip": False}
    quiet: dict[str, Any] = {"log_style": "silent", "pictures": False}
    first = train(load_recipe(options={**options, "data": data[0]}), run_dir=tmp_path / "first", **quiet)
    config = load_recipe(options={**options, "data": data[1], "init": str(first.path), "lr": 1e-9, "bias_lr": 1e-9})
    second = train(config, run_dir=tmp_path / "second", **quiet)
    assert second.config.init == str(first.path.resolve())
    assert second.card.mean == first.card.mean
    own, begun = second.model.state_dict(), first.model.state_dict()
    assert own["whiten.weight"].equal(begun["whiten.weight"])
    filters = [state["blocks.0.conv.weight"].flatten(1) for state in (own, begun)]
    assert torch.cosine_similarity(*filters).min() > 0.9999  # Muon rescales them
    assert own["head.weight"].shape == (2, 104)
    arguments = ["train", "--data", data[1], "--run-dir", str(tmp_path / "third"), "--epochs", "1"]
    assert main([*arguments, "--init", str(tmp_path / "absent")]) == 2
    assert "neither a run folder nor a trained model" in capsys.readouterr().err
    assert main([*arguments, "--model", "resnet8", "--set", "optimizer=sgd", "--init", str(first.path)]) == 2
    assert "init is of model sprint" in capsys.readouterr().err
    assert main([*arguments, "--set", 'model_options.blocks="c16s"', "--init", str(first.path)]) == 2
    told = capsys.readouterr().err
    assert "init is of a sprint with the options" in told
    assert f'--set model_options.blocks="{first.config.model_options["blocks"]}"' in told
    assert not (tmp_path / "third").exists()
    resolved = load_recipe(str(second.path / "config.toml"), options={"init": "sprint", "epochs": 1})
    assert resolved.mean is None  # the weights have their own
    assert load_recipe(str(second.path / "config.toml"), options={"epochs": 1}).mean == second.card.mean


def test_predict_and_evaluate_take_a_pretrained_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (90, 40), "blue").save(tmp_path / "sky.png")
    assert main(["predict", str(tmp_path / "sky.png"), "--json"]) == 0
    (prediction,) = json.loads(capsys.readouterr().out)["predictions"]
    assert prediction["class_name"] in load_pretrained("sprint").card.class_names
    assert main(["evaluate", "--pretrained", "sprint", "--data", "digits"]) == 2
    assert "but the data has" in capsys.readouterr().err
    assert main(["evaluate", "--pretrained", "sprint", "--split", "val"]) == 2
    assert "the images that were held out" in capsys.readouterr().err
    assert main(["evaluate", "--pretrained", "tiny"]) == 2
    assert "no trained weights of 'tiny'" in capsys.readouterr().err
