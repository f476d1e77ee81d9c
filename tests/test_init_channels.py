"""`--init` with weights for colour on grey pictures, and the other way round: equal pixels give equal logits."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from random_exports import random_dataset
from small_runs import small_config
from thumbnet.config import TrainConfig
from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset
from thumbnet.errors import CheckpointError, ConfigError
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.models.channels import LUMA, statistics_for
from thumbnet.models.registry import create_model, register_model
from thumbnet.recipes import load_recipe
from thumbnet.runs.fit_and_write import fit_and_write
from thumbnet.runs.init import begin_with_trained_weights, options_to_train, with_statistics_of_weights
from thumbnet.runs.parts import build_model
from thumbnet.runs.predict import predict
from thumbnet.runs.run import RunDir, load_run
from thumbnet.runs.seeds.train import resume_seeds, train_seeds
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from thumbnet.trained.model import TrainedModel, load_pretrained

NUM_CLASSES = 4
STD = (0.3, 0.2, 0.25)
KINDS: dict[str, dict[str, Any]] = {
    "sprint": {"blocks": "c8s c8 c12p"},
    "thumb-20k": {"blocks": "b8 b8p"},
    "resnet8": {},
    "dilated": {},
}


def trained_on(num_channels: int, name: str, options: dict[str, Any], mean: tuple[float, ...]) -> TrainedModel:
    """A network that could be a trained one, with lively norms."""
    torch.manual_seed(1)
    model = create_model(name, num_classes=NUM_CLASSES, in_channels=num_channels, seed=3, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    card = replace(
        load_pretrained("sprint").card,
        model=name,
        model_options=options,
        image_shape=(num_channels, 32, 32),
        mean=mean,
        std=STD[:num_channels],
    )
    return TrainedModel(model.eval(), card)


def begun(
    trained: TrainedModel, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[nn.Module, Dataset, str]:
    """A network that begins with these weights, and with their head; the data normalised for it; what is told."""
    monkeypatch.setattr("thumbnet.runs.init.load_trained", lambda _: trained)
    config = load_recipe("sprint", options={"model": trained.card.model, "init": "a run"}).replace(
        model_options=options
    )
    config, sentence = with_statistics_of_weights(config, dataset)
    assert config.mean is not None
    assert config.std is not None
    dataset = dataset.with_statistics(config.mean, config.std)
    num_channels = dataset.num_channels
    config = config.replace(
        model_options=options_to_train(config, sides=dataset.image_shape[1:], num_channels=num_channels)
    )
    model = build_model(config, dataset)
    begin_with_trained_weights(model, config, dataset)
    model.get_submodule("head").load_state_dict(trained.model.get_submodule("head").state_dict())
    return model.eval(), dataset, sentence


def logits(model: nn.Module, images: Tensor, dataset: Dataset | TrainedModel) -> Tensor:
    known = dataset.card if isinstance(dataset, TrainedModel) else dataset
    return predict_logits(model, images.contiguous(), mean=known.mean, std=known.std)


@pytest.mark.parametrize("name", KINDS)
def test_grey_pictures_give_what_they_gave_as_three_equal_channels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = trained_on(3, name, KINDS[name], mean=(0.45, 0.45, 0.45))
    model, dataset, sentence = begun(trained, random_dataset((1, 32, 32), NUM_CLASSES), monkeypatch, **KINDS[name])
    assert sentence.startswith("The weights of a run (init) are of images in colour, and these are grey:")
    images = dataset.test.images
    expected = logits(trained.model, images.expand(-1, 3, -1, -1), trained)
    assert expected.std() > 0.01
    torch.testing.assert_close(logits(model, images, dataset), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_colour_pictures_give_what_their_grey_version_gave(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = trained_on(1, name, KINDS[name], mean=(0.45,))
    model, dataset, sentence = begun(trained, random_dataset((3, 32, 32), NUM_CLASSES), monkeypatch, **KINDS[name])
    assert sentence.startswith("The weights of a run (init) are of images in grey, and these are in colour:")
    images = dataset.test.images
    grey = torch.einsum("nchw,c->nhw", images.double(), torch.tensor(LUMA).double())[:, None].float() / 255
    with torch.inference_mode():
        expected = trained.model((grey - 0.45) / STD[0])
    torch.testing.assert_close(logits(model, images, dataset), expected, rtol=1e-4, atol=1e-4)
    same = images[:, :1]
    shown = logits(model, same.expand(-1, 3, -1, -1), dataset)
    torch.testing.assert_close(shown, logits(trained.model, same, trained), rtol=1e-4, atol=1e-4)


def test_with_three_means_grey_is_seen_with_the_tint_of_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = load_pretrained("sprint")
    model, dataset, _ = begun(trained, random_dataset((1, 32, 32), 10), monkeypatch)
    (mean,), images = dataset.mean, dataset.test.images[:8]
    assert max(abs(each - mean) for each in trained.card.mean) * 255 < 9
    with torch.inference_mode():
        tinted = trained.model(normalise(images.expand(-1, 3, -1, -1), (mean,) * 3, trained.card.std))
    torch.testing.assert_close(logits(model, images, dataset), tinted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("num_channels", "stem"), [(1, "w4s2t"), (3, "w4s2c8t")])
def test_a_larger_stem_is_spread_as_well(num_channels: int, stem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"blocks": load_pretrained("sprint").card.architecture.blocks}  # type: ignore[union-attr]
    trained = trained_on(4 - num_channels, "sprint", options, mean=(0.45,) * (4 - num_channels))
    model, dataset, _ = begun(trained, random_dataset((num_channels, 64, 64), NUM_CLASSES), monkeypatch)
    assert model.architecture.stem == stem  # type: ignore[union-attr]
    images = dataset.test.images[:4, :1, :32, :32]
    expected = logits(trained.model, images.expand(-1, 4 - num_channels, -1, -1), trained)
    twice = images.expand(-1, num_channels, -1, -1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(logits(model, twice, dataset), expected, rtol=1e-3, atol=1e-3)


def test_statistics_come_back() -> None:
    assert statistics_for((0.4, 0.4, 0.4), (0.2, 0.2, 0.2), num_channels=1) == (
        (pytest.approx(0.4),),
        (pytest.approx(0.2),),
    )
    assert statistics_for((0.4,), (0.2,), num_channels=3) == ((0.4,) * 3, (0.2,) * 3)
    assert statistics_for((0.1, 0.2, 0.3), STD, num_channels=3) == ((0.1, 0.2, 0.3), STD)


def test_a_stem_that_is_given_must_suit_the_trained_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = trained_on(3, "sprint", {"blocks": "c8"}, mean=(0.45,) * 3)
    dataset = random_dataset((1, 32, 32), NUM_CLASSES)
    with pytest.raises(ConfigError, match="take maps of 24 channels, and what comes before them gives 8") as caught:
        begun(trained, dataset, monkeypatch, blocks="c8", stem="w2")
    assert "c24" in caught.value.hint
    model, _, _ = begun(trained, dataset, monkeypatch, blocks="c8", stem="w2c24")
    assert model.get_parameter("whiten.weight").shape == (24, 1, 2, 2)


def test_a_network_whose_widths_go_with_the_channels_is_refused(
    own_things: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wide(nn.Sequential):
        def __init__(self, *, num_classes: int, in_channels: int) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(in_channels, 4 * in_channels, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.head = nn.Linear(4 * in_channels, num_classes)

    register_model("wide", Wide)
    trained = trained_on(3, "wide", {}, mean=(0.45,) * 3)
    with pytest.raises(CheckpointError, match="do not fit the model") as caught:
        begun(trained, random_dataset((1, 32, 32), NUM_CLASSES), monkeypatch)
    assert "as many channels" in caught.value.hint


def test_a_run_on_colour_begins_with_a_run_on_grey(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.arange(40) % 2
    images = np.random.default_rng(0).integers(0, 150, (40, 16, 16, 3)) + 100 * labels[:, None, None, None]
    np.savez(tmp_path / "colour.npz", images=images.astype(np.uint8), labels=labels)
    config = small_config(tmp_path / "colour.npz", init=str(small_run))
    run = train(config, run_dir=tmp_path / "run", log_style="reference", pictures=False)
    assert "these are in colour: the first filters are shared out" in capsys.readouterr().err
    assert "the first filters are shared out" in (run.path / "config.toml").read_text()
    known = load_run(small_run).card
    assert (run.card.mean, run.config.model_options["stem"]) == (known.mean * 3, "w2c8t")
    again = train(load_recipe(str(run.path / "config.toml")), run_dir=tmp_path / "again", log_style="silent")
    assert again.metrics["test_loss"] == run.metrics["test_loss"]
    (answer,) = predict(run.path, [images[0].astype(np.uint8)])
    assert answer.class_name in run.card.class_names


@pytest.fixture
def coloured(small_run: Path, tmp_path: Path) -> TrainConfig:
    """To begin with the weights of a run on grey pictures, on coloured ones."""
    labels = np.arange(40) % 2
    images = np.random.default_rng(0).integers(0, 150, (40, 16, 16, 3)) + 100 * labels[:, None, None, None]
    np.savez(tmp_path / "colour.npz", images=images.astype(np.uint8), labels=labels)
    return small_config(tmp_path / "colour.npz", init=str(shutil.copytree(small_run, tmp_path / "grey")))


SENTENCE = "(init) are of images in grey, and these are in colour: the first filters are shared out over the channels"


def test_what_was_adapted_is_in_a_report_that_is_written_again(coloured: TrainConfig, tmp_path: Path) -> None:
    runs = train_seeds(coloured, num_seeds=2, run_dir=tmp_path / "seeds", log_style="silent", pictures=False).runs
    shutil.rmtree(tmp_path / "grey")  # which a report does not need
    for run in runs:
        assert write_report(run.path).read_text().count(SENTENCE) == 1


def test_what_was_adapted_is_known_to_a_training_that_goes_on(
    coloured: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "seeds"
    train_seeds(coloured, num_seeds=2, run_dir=folder, log_style="silent", pictures=False)
    (folder / "seed-0" / "metrics.json").unlink()
    shutil.rmtree(folder / "seed-1")
    seen: list[Dataset] = []

    def as_before(place: RunDir, config: TrainConfig, dataset: Dataset, *rest: Any, **named: Any) -> Any:
        seen.append(dataset)
        return fit_and_write(place, config, dataset, *rest, **named)

    monkeypatch.setattr("thumbnet.runs.train_in_folder.fit_and_write", as_before)
    resume_seeds(folder, log_style="silent", pictures=False)
    assert [sum(SENTENCE in remark for remark in dataset.source.remarks) for dataset in seen] == [1, 1]
    assert SENTENCE in (folder / "seed-1" / "config.toml").read_text()
