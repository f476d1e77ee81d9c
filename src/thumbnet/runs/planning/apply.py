"""A rung of the ladder in a config: its recipe's fields take the place of those that the config leaves to the plan."""

from __future__ import annotations

import dataclasses

from thumbnet.config import AUTO_INIT, TrainConfig, config_from_dict, config_to_dict
from thumbnet.data.dataset import Dataset
from thumbnet.models.architecture import parse_stem, stem_for
from thumbnet.models.registry import MODELS, image_sides, resolved_options
from thumbnet.recipes import list_recipes, load_recipe
from thumbnet.runs.init import load_trained
from thumbnet.runs.planning.constants import (
    GIVEN,
    LADDER,
    OTHER_MODELS,
    RATES_BY_BATCH,
    SCALE_STARTS,
    SCALES,
    SIZES,
    UNEQUAL_FROM,
    Rung,
)
from thumbnet.runs.planning.ladder import DataFacts, batch_of, rate_of, rungs_of
from thumbnet.runs.resolve import resolve_config
from thumbnet.runs.which import is_pretrained_name
from thumbnet.specs.length import OF_THE_RECIPE
from thumbnet.specs.policies import AUTO, POLICIES

WITHOUT_CHOICE = 1.0  # the cost of a recipe before it is measured


def is_planned(config: TrainConfig, name: str) -> bool:
    """Whether the config leaves this field to the plan; so does an image size that is left to the data."""
    return name in (config.planned or ()) or (name == "image_size" and config.image_size == "auto")


def with_model_of_init(config: TrainConfig) -> TrainConfig:
    """The config with the model of the weights that it begins with, which the plan then does not choose."""
    if config.init in (None, AUTO_INIT) or not is_planned(config, "model"):
        return config
    assert config.init is not None
    card = load_trained(config.init).card
    usual = resolved_options(card.model, {})
    own = {name: value for name, value in card.model_options.items() if value != usual.get(name)}
    if "blocks" not in own:
        own.pop("stem", None)  # that of the size which the weights are of: these images get the one of theirs
    given = {} if is_planned(config, "model_options") else dict(config.model_options)
    planned = [name for name in config.planned or () if name not in ("model", "model_options")]
    return config.replace(model=card.model, model_options={**own, **given}, planned=planned)


def candidate_rungs(config: TrainConfig) -> tuple[Rung, ...]:
    """The recipes that the plan may choose from, each with its network and the sizes of images that this takes; one
    alone where the config leaves it no recipe's fields."""
    return tuple(_with_network(rung, config) for rung in _rungs(config))


def has_open_stem(config: TrainConfig) -> bool:
    """Whether the plan may give the network another stem than its images' size does: not where the model's options are
    given, nor weights to begin with, which know a stem of their own."""
    return config.init is None and is_planned(config, "model_options")


def _with_network(rung: Rung, config: TrainConfig) -> Rung:
    model = load_recipe(rung.recipe).model if is_planned(config, "model") else config.model
    if model not in MODELS:
        return rung  # refused where it is created
    min_side, max_side = image_sides(model, config.model_options)
    largest = [side for side in (max_side, _largest_for_weights(model, config)) if side is not None]
    return dataclasses.replace(rung, model=model, min_side=min_side, max_side=min(largest, default=None))


def _largest_for_weights(model: str, config: TrainConfig) -> int | None:
    """The largest of SIZES at which the network's stem gives its blocks as many channels as the weights to begin with
    know, and no blocks come before these; None: they can be begun with at each."""
    weights = model if config.init == AUTO_INIT else config.init
    stems = {side: stem_for(model, (side, side)) for side in SIZES}
    is_as_usual = all(not first and parse_stem(stem).channels is None for stem, first in stems.values())
    if weights is None or is_as_usual or {"stem", "blocks"} & config.model_options.keys():
        return None
    if config.init == AUTO_INIT and not is_pretrained_name(model):
        return None  # refused where it is chosen
    card = load_trained(weights).card
    if card.model != model:
        return None  # refused where it is trained
    known = parse_stem(str(resolved_options(model, card.model_options)["stem"])).num_channels(card.image_shape[0])
    taken = [side for side, (stem, first) in stems.items() if not first and parse_stem(stem).channels in (None, known)]
    return max(taken, default=SIZES[0])


def _rungs(config: TrainConfig) -> tuple[Rung, ...]:
    known = {rung.recipe: rung for rung in (*LADDER, *GIVEN)}
    if not any(is_planned(config, name) for name in OF_THE_RECIPE):
        return (known.get(config.recipe, Rung(config.recipe, WITHOUT_CHOICE)),)
    model = None if is_planned(config, "model") else config.model
    other = config.model if config.model in list_recipes() else OTHER_MODELS
    models = {rung.recipe: load_recipe(rung.recipe).model for rung in LADDER}
    return rungs_of(model, models, known.get(other, Rung(other, WITHOUT_CHOICE)))


def with_rung(config: TrainConfig, rung: Rung, facts: DataFacts, *, grows: bool) -> TrainConfig:
    """The config, without minutes and planned fields, with what the recipe says of the fields that were planned.

    `grows`: whether images begin small, if that is left to the plan.
    """
    planned = config.planned or ()
    values = {name: value for name, value in config_to_dict(config).items() if name not in ("minutes", "planned")}
    values["epochs"] = 1
    if any(name in OF_THE_RECIPE for name in planned):
        recipe = load_recipe(rung.recipe)
        its = config_to_dict(recipe)
        for name in (name for name in OF_THE_RECIPE if name in planned):
            values.pop(name, None)
            if name in its:
                values[name] = its[name]
        if "alternating_flip" in planned and not may_flip(config):
            values["alternating_flip"] = False
        if "nesterov" in planned and values.get("momentum") == 0:
            values.pop("nesterov", None)
        if "batch_size" in planned:
            values["batch_size"] = batch_of(rung, facts.num_train)
        batch = values["batch_size"]
        assert isinstance(batch, int)
        values |= {name: rate for name, rate in _rates(recipe, batch).items() if name in planned}
    if rung.stem:
        options = values.get("model_options", {})
        assert isinstance(options, dict)
        values["model_options"] = {**options, "stem": rung.stem}
    if "scales" in planned:
        values["scales"], values["scale_starts"] = (SCALES, SCALE_STARTS) if grows else ((1.0,), (0.0,))
    rarest, commonest = min(facts.class_counts), max(facts.class_counts)
    is_unequal = 0 < UNEQUAL_FROM * rarest <= commonest  # a class without images has no weight
    can_weigh = config.inputs.sampler == "shuffled" and not facts.has_several_labels
    has_threshold = config.decisions.threshold != "none"  # which is picked for unequal classes already
    if "class_weights" in planned and is_unequal and can_weigh and not has_threshold:
        values["class_weights"] = "balanced"
    return config_from_dict(values)


def may_flip(config: TrainConfig) -> bool:
    """Whether the config's augmentation flips images, or is still to be chosen."""
    name = config.inputs.augmentation
    assert isinstance(name, str)  # as a config has it
    return config.inputs.flip is not False and (name == AUTO or POLICIES[name].flips)


def _rates(recipe: TrainConfig, batch: int) -> dict[str, float]:
    """Those of a recipe's rates that are others for this batch."""
    rates = {name: getattr(recipe.optimizer, name, None) for name in RATES_BY_BATCH}
    return {
        name: rate_of(rate, batch, recipe_batch=recipe.batch_size)
        for name, rate in rates.items()
        if isinstance(rate, float)
    }


def as_rung(config: TrainConfig, rung: Rung, dataset: Dataset) -> TrainConfig:
    """A resolved config with network, batch and rates of the rung's recipe in the place of its own; of one epoch."""
    recipe = load_recipe(rung.recipe)
    batch = batch_of(rung, len(dataset.train))
    changed = config.replace(
        model=recipe.model,
        model_options=dict(recipe.model_options),
        batch_size=batch,
        optimizer=dataclasses.replace(recipe.optimizer, **_rates(recipe, batch)),
        label_smoothing=recipe.objective.label_smoothing,
        body_lr_factor=1.0,
        epochs=1,
        steps=None,
        pace_starts=None,
        pace_steps=None,
    )
    return resolve_config(changed, dataset)
