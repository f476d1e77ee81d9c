"""Writing a recipe: a typo is answered with what was meant, a file says only what it changes, a part of the images."""

from __future__ import annotations

import builtins
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from small_runs import small_config, write_small_data
from thumbnet.augment import create_policy
from thumbnet.cli import main
from thumbnet.config import config_from_dict, config_to_dict
from thumbnet.data.source_registry import DATA_SOURCES, source_of
from thumbnet.data.sources import load_dataset
from thumbnet.data.subset import draw_subset
from thumbnet.errors import ConfigError, DataError, ThumbnetError
from thumbnet.models.registry import MODELS, create_model
from thumbnet.recipes import load_recipe
from thumbnet.runs.resolve import load_data, say_nothing
from thumbnet.runs.train import train
from thumbnet.runs.write_report import write_report
from thumbnet.specs import known_names
from thumbnet.specs.checks import did_you_mean
from thumbnet.specs.schedules import Cosine, OneCycle

GUIDE = Path(__file__).parent.parent / "docs/guides/recipes.md"


@pytest.mark.parametrize(
    ("ask", "meant"),
    [
        (lambda: load_recipe(settings=["epoch=1"]), "epochs"),
        (lambda: load_recipe(settings=["momentun=0.9"]), "momentum"),
        (lambda: load_recipe("sprnt"), "sprint"),
        (lambda: load_recipe(settings=["score_test=each_epoch"]), "each-epoch"),
        (lambda: load_recipe(settings=["schedule=one_cycle"]), "one-cycle"),
        (lambda: create_model("thumb-50"), "thumb-50k"),
        (lambda: create_policy("photos", flip=True, mean=(0.5,)), "photo"),
        (lambda: source_of("foldr:pets"), "folder"),
    ],
)
def test_a_typo_is_answered_with_what_was_meant(ask: Any, meant: str) -> None:
    with pytest.raises(ThumbnetError) as caught:
        ask()
    assert caught.value.hint.startswith(f"did you mean '{meant}'? ")
    assert len(caught.value.hint) < 400


def test_what_is_like_nothing_is_answered_with_all_there_is() -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(settings=["xyzzy=1"])
    assert caught.value.hint.startswith("the fields are ")
    assert did_you_mean("s" * 10_000, ["sprint"]) == ""


def test_no_least_number_of_steps() -> None:
    config = load_recipe(settings=["min_steps=0"])
    assert config.min_steps == 0
    _, resolved = load_data(config.replace(data="digits"), say=say_nothing)
    assert (resolved.epochs, resolved.min_steps) == (5, None)
    with pytest.raises(ConfigError, match="min_steps is -1"):
        load_recipe(settings=["min_steps=-1"])


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)


def test_a_recipe_says_only_what_it_changes(tmp_path: Path) -> None:
    write(tmp_path, mine='schedule = "cosine"\n', longer='base = "mine.toml"\nepochs = 9\nlr = 0.1\n')
    sprint = load_recipe("sprint")
    mine = load_recipe(str(tmp_path / "mine.toml"))
    assert isinstance(sprint.schedule, OneCycle)
    assert mine == sprint.replace(schedule=Cosine(), recipe="mine")  # the warmup was the other schedule's
    longer = load_recipe(str(tmp_path / "longer.toml"), options={"seed": 3})
    assert (longer.recipe, longer.epochs, longer.min_steps, longer.seed) == ("longer", 9, None, 3)
    assert longer.optimizer == type(sprint.optimizer)(**{**vars(sprint.optimizer), "lr": 0.1})
    assert "base" not in config_to_dict(longer)
    assert config_from_dict(config_to_dict(longer)) == longer


def test_a_recipe_of_a_named_base_takes_its_options_or_its_own_models(tmp_path: Path) -> None:
    write(
        tmp_path,
        other='base = "reference"\nepochs = 3\n',
        net='base = "reference"\nmodel = "resnet8"\n',
        whole='model = "resnet8"\nepochs = 1\nlr = 0.1\nschedule = "one-cycle"\n',
    )
    reference = load_recipe("reference")
    assert load_recipe(str(tmp_path / "other.toml")).model_options == reference.model_options
    net = load_recipe(str(tmp_path / "net.toml"))
    assert (net.model, net.model_options, net.epochs) == ("resnet8", {}, reference.epochs)
    assert load_recipe(str(tmp_path / "whole.toml")).batch_size == 128  # a model without a base: nothing is added


def test_bases_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    write(
        tmp_path,
        one='base = "two.toml"\n',
        two='base = "one.toml"\n',
        typo='base = "sprnt"\n',
        number="base = 3\n",
        step='schedule = "step"\n',
    )
    for name, message in {
        "one": "is a change of itself",
        "typo": "unknown recipe 'sprnt'",
        "number": "base is 3",
        "step": "schedule 'step' needs step_epochs and gamma",
    }.items():
        with pytest.raises(ConfigError, match=message):
            load_recipe(str(tmp_path / f"{name}.toml"))
    with pytest.raises(ConfigError, match="base is given as an option"):
        load_recipe(settings=["base=quick"])


def test_the_guides_minimal_recipe_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    write(tmp_path, mine=example)
    assert load_recipe(str(tmp_path / "mine.toml")).epochs == 10
    assert len(example.splitlines()) <= 5


def test_a_part_of_the_training_images_is_of_every_class_and_leaves_the_other_splits(tmp_path: Path) -> None:
    whole = load_dataset("digits", val_fraction=0.1)
    part = load_dataset("digits", val_fraction=0.1, num_train=200)
    assert len(part.train) == 200
    shares = [200 * count / len(whole.train) for _, count in sorted(Counter(whole.train.labels.tolist()).items())]
    counts = [count for _, count in sorted(Counter(part.train.labels.tolist()).items())]
    assert all(abs(count - share) < 1 for count, share in zip(counts, shares, strict=True))
    assert whole.val is not None
    assert part.val is not None
    assert torch.equal(part.val.images, whole.val.images)
    assert torch.equal(part.test.images, whole.test.images)
    assert part.train.positions is not None
    assert whole.train.positions is not None
    assert set(part.train.positions.tolist()) < set(whole.train.positions.tolist())
    assert part.checksum() == load_dataset("digits", val_fraction=0.1, num_train=200).checksum()
    other = load_dataset("digits", val_fraction=0.1, num_train=200, split_seed=1)
    assert part.train.positions.tolist() != other.train.positions.tolist()  # type: ignore[union-attr]


def test_small_classes_keep_an_image_and_too_many_or_few_are_refused() -> None:
    labels = torch.tensor([0] * 90 + [1] * 2 + [2] * 8)
    positions = torch.arange(100)
    names = ("many", "few", "some")

    def drawn(num_train: int) -> list[int]:
        chosen = draw_subset(labels, positions, num_train=num_train, seed=0, class_names=names)
        assert chosen.tolist() == sorted(set(chosen.tolist()))
        return torch.bincount(labels[chosen], minlength=3).tolist()

    assert drawn(100) == [90, 2, 8]
    assert drawn(10) == [8, 1, 1]
    assert drawn(3) == [1, 1, 1]
    with pytest.raises(DataError, match="num_train is 2 for 3 classes"):
        drawn(2)
    with pytest.raises(ConfigError, match="num_train is 101, but there are 100 training images"):
        drawn(101)
    with pytest.raises(ConfigError, match="num_train is 1"):
        load_recipe(settings=["num_train=1"])


def test_a_run_on_a_part_knows_its_data_again(tmp_path: Path) -> None:
    config = small_config(write_small_data(tmp_path / "data.npz"), num_train=20)
    run = train(config, run_dir=tmp_path / "run", log_style="silent", pictures=False)
    assert run.card.num_train == 20
    assert run.card.num_val == 8
    write_report(run.path)  # its checksum is that of these images
    with pytest.raises(ConfigError, match="num_train is 20, but the dataset that was given has None"):
        train(config, dataset=load_dataset(config.data, val_fraction=0.2), log_style="silent")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "digits", "--model", "sprnt"], "unknown model 'sprnt'\nhint: did you mean 'sprint'?"),
        (["--data", "foldr:x"], "unknown data 'foldr:x'\nhint: did you mean 'folder'?"),
        (["--data", "folder:absent"], "there is no folder absent"),
        (["--data", "npz:absent.npz"], "there is no file absent.npz"),
        (
            ["--data", "digits", "--init", "sprnt"],
            "neither a run folder nor a trained model\nhint: did you mean 'sprint'",
        ),
        (["--data", "digits", "--model", "resnet8", "--init", "auto"], "no trained weights of resnet8"),
        (["--data", "digits", "--recipe", "sprnt"], "unknown recipe 'sprnt'"),
        (["--data", "digits", "--set", "epoch=1"], "unknown field 'epoch'\nhint: did you mean 'epochs'?"),
        (["--data", "digits", "--teacher", "absent"], "there is no run absent"),
        (["--data", "digits", "--exclude", "absent.csv"], "there is no file absent.csv"),
    ],
)
def test_a_typo_is_answered_without_pytorch(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "torch")
    import_module = builtins.__import__

    def without_torch(name: str, *arguments: Any) -> Any:
        assert name.partition(".")[0] != "torch", "PyTorch is imported"
        return import_module(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    assert main(["train", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_names_known_beforehand_are_those_there_are() -> None:
    assert tuple(MODELS._own) == known_names.MODELS
    assert {name: source.place for name, source in DATA_SOURCES._own.items()} == known_names.DATA_SOURCES
