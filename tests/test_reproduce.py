"""The command in a report trains the same again: parsed anew, it gives the same resolved config."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from thumbnet.cli import build_parser
from thumbnet.cli.training_verbs import recipe_config
from thumbnet.config import TrainConfig
from thumbnet.models.registry import resolved_options
from thumbnet.recipes import load_recipe
from thumbnet.runs.reproduce import RECIPE_FROM_CONFIG, reproducing_command
from thumbnet.runs.resolve import load_data


def resolved(config: TrainConfig) -> str:
    """The command for a config on the digits; parsed, it must give the same config again."""
    asked = config.replace(data="digits")
    dataset, config = load_data(asked, say=lambda _: None)
    command = reproducing_command(config, asked, sides=dataset.image_shape[1:])
    if command != RECIPE_FROM_CONFIG:
        parsed = build_parser().parse_args(shlex.split(command)[1:])
        assert load_data(recipe_config(parsed), say=lambda _: None)[1] == config
    return command


def test_a_recipe_as_it_is_needs_no_options() -> None:
    assert resolved(load_recipe("sprint")) == "thumbnet train --recipe sprint --data digits"


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 2, "seed": 7, "lr": 0.05, "batch_size": 64},
        {"flip": False, "cutout": 8, "label_smoothing": 0.0},
        {"mean": (0.4,), "std": (0.3,)},
        {"scales": (0.5, 1.0), "scale_starts": (0.0, 0.5)},
        {"model": "sprint-long", "model_options": {"blocks": "c24x3 c48p"}},
        {"schedule": "step", "step_epochs": 3, "gamma": 0.5, "warmup_fraction": None},
        {"optimizer": "sgd", "nesterov": True, "bias_lr": None, "bias_momentum": None, "head_lr": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_was_changed_is_said(changes: dict[str, object]) -> None:
    command = resolved(load_recipe("sprint").replace(**changes))
    assert command.startswith("thumbnet train --recipe sprint --data digits --")


def test_classes_with_dots_in_their_names_are_quoted() -> None:
    asked = load_recipe("sprint").replace(class_weights={"St. Bernard": 2.0})
    options = resolved_options(asked.model, asked.model_options)
    config = asked.replace(data="folder:/pets", model_options=options)
    command = reproducing_command(config, asked, sides=(32, 32))
    parsed = recipe_config(build_parser().parse_args(shlex.split(command)[1:]))
    assert parsed.objective.class_weights == {"St. Bernard": 2.0}


def test_a_recipe_of_ones_own_is_the_config_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('model = "sprint"\nepochs = 1\nlr = 0.1\nschedule = "one-cycle"\nwarmup_fraction = 0.2\n')
    assert resolved(load_recipe(str(path))) == RECIPE_FROM_CONFIG


def test_what_options_cannot_say_is_the_config_itself() -> None:
    assert (
        resolved(load_recipe("reference").replace(num_drops=None)) == RECIPE_FROM_CONFIG
    )  # no option takes a field back


@pytest.mark.parametrize("read", [{"image_size": 96}, {"skip_unreadable": True}])
def test_how_a_given_dataset_was_read_is_in_the_config_alone(read: dict[str, object]) -> None:
    asked = load_recipe("sprint")
    config = asked.replace(data="folder:/pets", model_options=resolved_options(asked.model, asked.model_options))
    assert reproducing_command(config, asked, sides=(32, 32)) != RECIPE_FROM_CONFIG
    assert reproducing_command(config.replace(**read), asked, sides=(32, 32)) == RECIPE_FROM_CONFIG
