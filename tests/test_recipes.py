"""recipes: every file loads, opens with its promise, and yields to options in the stated order."""

from __future__ import annotations

from pathlib import Path

import pytest

from thumbnet.config import config_to_toml
from thumbnet.errors import ConfigError
from thumbnet.models.registry import create_model
from thumbnet.recipes import DEFAULT_RECIPE, describe_recipes, list_recipes, load_recipe
from thumbnet.specs.optimizers import SGD
from thumbnet.specs.schedules import Cosine, OneCycle, StepSchedule

AS_SGD = ["optimizer=sgd"]


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_loads_and_builds_its_model(name: str) -> None:
    config = load_recipe(name)
    assert config.recipe == name
    create_model(config.model, **config.model_options)


def test_every_recipe_opens_with_its_promise_and_command() -> None:
    for recipe in describe_recipes():
        assert len(recipe.promise) > 60, recipe.name
        command = "thumbnet train" if recipe.name == DEFAULT_RECIPE else f"thumbnet train --recipe {recipe.name}"
        assert command in recipe.promise


def test_reference_is_the_published_recipe() -> None:
    config = load_recipe("reference")
    assert (config.model, config.model_options, config.epochs, config.batch_size) == (
        "dilated",
        {"dropout": 0.05},
        20,
        128,
    )
    assert config.optimizer == SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)
    assert config.schedule == StepSchedule(14, 0.1, 1)
    assert (config.inputs.augmentation, config.val_fraction, config.seed) == ("crop-flip", 0.0, 1)
    assert config.mean == (0.4914, 0.4822, 0.4465)
    assert config.std == (0.2023, 0.1994, 0.2010)
    assert config.score_test == "each-epoch"


def test_reference_as_documented_differs_in_its_policy_alone() -> None:
    documented = load_recipe("reference-albumentations")
    assert documented.inputs.augmentation == "albumentations"
    assert documented.replace(recipe="reference", augmentation="crop-flip") == load_recipe("reference")


def test_only_the_reference_recipes_look_at_the_test_set_while_training() -> None:
    looking = [name for name in list_recipes() if load_recipe(name).score_test == "each-epoch"]
    assert looking == ["reference", "reference-albumentations"]


def test_settings_win_over_options_which_win_over_the_file() -> None:
    config = load_recipe(
        "reference", options={"epochs": 5, "lr": 0.5}, settings=["epochs=7", "model_options.dropout=0.2"]
    )
    assert (config.epochs, config.optimizer.lr, config.model_options) == (7, 0.5, {"dropout": 0.2})


def test_another_schedule_drops_the_fields_of_the_recipes_own() -> None:
    config = load_recipe("reference", settings=["schedule=one-cycle", "warmup_fraction=0.3"])
    assert config.schedule == OneCycle(0.3)


def test_another_model_drops_the_options_of_the_recipes_own() -> None:
    assert load_recipe("reference", options={"model": "resnet8"}).model_options == {}
    assert load_recipe("reference", options={"model": "dilated"}).model_options == {"dropout": 0.05}


def test_epochs_that_are_given_are_obeyed_also_where_they_are_the_recipes_own() -> None:
    recipe = load_recipe("sprint")
    assert recipe.min_steps == 150
    for epochs in (recipe.epochs, recipe.epochs + 1):
        assert load_recipe("sprint", options={"epochs": epochs}).min_steps is None
    assert load_recipe("sprint", settings=["min_steps=9", "epochs=5"]).min_steps == 9


def test_what_is_given_stays_whatever_the_order() -> None:
    given = load_recipe("reference", options={"init": "runs/x"}, settings=["model=resnet8", "model_options.a=1"])
    assert (given.init, given.model, given.model_options) == ("runs/x", "resnet8", {"a": 1})
    assert load_recipe("sprint", settings=["momentum=0.8", *AS_SGD]).optimizer == SGD(lr=0.2, momentum=0.8)
    assert load_recipe("sprint", settings=AS_SGD).optimizer == SGD(lr=0.2)  # sprint's own is Muon's
    settings = ["model_options.dropout=0.2", "model=dilated", "warmup_fraction=0.3", "schedule=cosine"]
    given = load_recipe("reference", settings=settings)
    assert (given.model_options, given.schedule) == ({"dropout": 0.2}, Cosine(0.3))


def test_a_file_is_a_recipe_and_a_resolved_config_is_one_too(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text('model = "resnet8"\nepochs = 1\nlr = 0.1\nschedule = "one-cycle"\nwarmup_fraction = 0.0\n')
    assert load_recipe(str(own)).recipe == "mine"
    own.write_text(config_to_toml(load_recipe("quick")))
    assert load_recipe(str(own)) == load_recipe("quick")


def test_unknown_missing_and_broken_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown recipe 'refrence'") as caught:
        load_recipe("refrence")
    assert "reference" in caught.value.hint
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(str(tmp_path / "absent.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("model = dilated\n")
    with pytest.raises(ConfigError, match=r"broken.toml is not valid TOML.*line 1"):
        load_recipe(str(broken))
