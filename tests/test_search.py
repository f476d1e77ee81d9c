"""What a sweep may be asked to search: texts that are understood, and those that are refused by name."""

from __future__ import annotations

import pytest

from thumbnet.config import TrainConfig
from thumbnet.errors import ConfigError
from thumbnet.recipes import load_recipe
from thumbnet.runs.sweeps.space import combinations, config_of_trial, parse_space
from thumbnet.specs.search import Choices, Range, parse_search


@pytest.fixture(scope="module")
def recipe() -> TrainConfig:
    return load_recipe("quick")


@pytest.mark.parametrize(
    ("text", "field", "space"),
    [
        ("lr=0.02..0.5:log", "lr", Range(0.02, 0.5, is_log=True)),
        ("epochs=3..10", "epochs", Range(3, 10, is_whole=True)),
        ("batch_size=32..128:step=32", "batch_size", Range(32, 128, is_whole=True, step=32)),
        ("momentum=.5..0.9:step=.1", "momentum", Range(0.5, 0.9, step=0.1)),
        ("lr=1e-3..1e-1", "lr", Range(0.001, 0.1)),
        ("batch_size=64,128, 256", "batch_size", Choices((64, 128, 256))),
        ("schedule=cosine,one-cycle", "schedule", Choices(("cosine", "one-cycle"))),
        ("nesterov=true,false", "nesterov", Choices((True, False))),
        ('model_options.blocks=["c8p", "c8 c8p"]', "model_options.blocks", Choices(("c8p", "c8 c8p"))),
        ('variant=[{}, {"lr": 0.1}]', "variant", Choices(({}, {"lr": 0.1}))),
        ("scales=[[1.0], [0.5, 1.0]]", "scales", Choices(([1.0], [0.5, 1.0]))),
    ],
)
def test_search(text: str, field: str, space: Range | Choices) -> None:
    dimension = parse_search(text)
    assert (dimension.field, dimension.space, dimension.text) == (field, space, text)
    if isinstance(space, Range):
        assert type(dimension.space.low) is type(space.low)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("lr", "it is not FIELD=VALUES"),
        ("=1..2", "it is not FIELD=VALUES"),
        ("lr=0.5..0.1", "its first number is not below its second"),
        ("lr=0.1..0.1", "its first number is not below its second"),
        ("lr=0..1:log", "a logarithm needs numbers above 0"),
        ("lr=0.1..1:ln", "'ln' is not understood"),
        ("lr=0.1..1:log:log", "'log' is not understood"),
        ("lr=0.1..1:step=", "'step=' is not understood"),
        ("lr=0.1..1:log:step=0.1", "it has both log and a step"),
        ("lr=0.1..1:step=0.4", "its ends are no whole number of steps of 0.4 apart"),
        ("lr=0.1..1:step=0", "its ends are no whole number of steps"),
        ("lr=0.1..", "'0.1..' is no range of numbers"),
        ("lr=a..b", "'a..b' is no range of numbers"),
        ("lr=0.1", "it has 1 choice"),
        ("lr=0.1,", "a choice is empty"),
        ("lr=0.1,0.1", "it has a choice twice"),
        ("lr=[0.1, 0.2", "it is no JSON list"),
        ("lr=[0.1, NaN]", "it is no JSON list"),
        ("lr=[0.1, null]", "a choice is empty"),
        ("lr=[]", "it has 0 choices"),
        ("variant=1,2", "a variant is a table of fields"),
        ("lr=0.1,inf", "a choice is empty, or no field could take it"),
    ],
)
def test_refused_texts(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=r"^--search ") as caught:
        parse_search(text)
    assert caught.value.message.startswith(f"--search {text}: {why}")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("seed=0..9", "seed cannot be searched: it is the same for all trials"),
        ("run_dir=a,b", "run_dir cannot be searched"),
        ("data=digits,cifar10", "data cannot be searched: all trials are compared on the same images"),
        ("val_fraction=0.1,0.2", "val_fraction cannot be searched"),
        ("threads=1,2", "threads cannot be searched"),
        ("minutes=1..2", "minutes cannot be searched"),
        ("threshold=0.1,0.2", "threshold cannot be searched: it changes no validation accuracy"),
        ('variant=[{"lr": 0.1}, {"seed": 1}]', "seed cannot be searched"),
        ('variant=[{"lr": 0.1}, {"rate": 1}]', "unknown field 'rate'"),
        ("rate=0.1,0.2", "unknown field 'rate'"),
        ("batch_size=0.5..2.0", "batch_size is 0.5"),
        ("batch_size=64,many", "batch_size is 'many'"),
        ("lr=0.1..1e40", "lr is 1e+40"),
        ("optimizer=sgd,adagrad", "unknown optimizer 'adagrad'"),
    ],
)
def test_fields_refuse(recipe: TrainConfig, text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space(recipe, [text])
    assert caught.value.message.startswith(f"--search {text}: {why}")


def test_space(recipe: TrainConfig) -> None:
    """Whole numbers only where the field takes no others, and no field twice, nor none."""
    lr, epochs = parse_space(recipe, ["lr=1..2", "epochs=1..2"])
    assert (lr.space, epochs.space) == (Range(1.0, 2.0), Range(1, 2, is_whole=True))
    with pytest.raises(ConfigError, match="lr is searched twice"):
        parse_space(recipe, ["lr=1..2", "lr=0.1,0.2"])
    with pytest.raises(ConfigError, match="nothing to search"):
        parse_space(recipe, [])


def test_combinations(recipe: TrainConfig) -> None:
    space = parse_space(recipe, ["lr=0.1,0.2", 'variant=[{}, {"epochs": 3}]'])
    tried = combinations(space)
    assert tried == [{"lr": lr, "variant": label} for lr in (0.1, 0.2) for label in ("{}", '{"epochs": 3}')]
    assert [config_of_trial(recipe, space, each).epochs for each in tried] == [recipe.epochs, 3] * 2
    with pytest.raises(ConfigError, match="a grid is of choices, and this is a range"):
        combinations(parse_space(recipe, ["lr=0.1..0.2"]))
    tenths = ",".join(f"0.{digit}" for digit in range(1, 9))
    many = parse_space(recipe, [f"lr={tenths}", f"momentum={tenths}", "batch_size=2,4,8,16", "cutout=0,1,2,3"])
    with pytest.raises(ConfigError, match="the grid has 1,024 combinations"):
        combinations(many)


def test_config_of_a_trial() -> None:
    """As `--set` would have it: what goes with another optimizer goes, and the recipe is not changed."""
    recipe = load_recipe("sprint")
    space = parse_space(recipe, ["optimizer=sgd,muon", 'model_options.blocks=["c8p", "c8 c8p"]', "epochs=2..3"])
    params = {"optimizer": "sgd", "model_options.blocks": "c8p", "epochs": 2}
    trial = config_of_trial(recipe, space, params)
    settings = ["optimizer=sgd", "model_options.blocks=c8p", "epochs=2"]
    assert trial == load_recipe("sprint", settings=settings)
    config_of_trial(trial, space, {**params, "model_options.blocks": "c8 c8p"})
    assert trial.model_options == {"blocks": "c8p"}
