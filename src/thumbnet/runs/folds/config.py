"""What trainings on several folds are asked to do: what all of them have in common, and what is each fold's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from thumbnet.config import AUTO_INIT, TrainConfig
from thumbnet.data.source_registry import source_name
from thumbnet.errors import ConfigError
from thumbnet.evaluation.binary import rarer_class
from thumbnet.recipes import load_recipe
from thumbnet.runs.folds.table import FoldTable
from thumbnet.runs.init import load_trained
from thumbnet.runs.planning.apply import is_planned, may_flip
from thumbnet.runs.planning.record import PlanRecord
from thumbnet.specs.checks import MAX_RUNS
from thumbnet.specs.division import MAX_FOLDS
from thumbnet.specs.policies import AUTO


def check_request(config: TrainConfig, num_folds: int, num_seeds: int) -> None:
    """Refuse before anything is read."""
    if not 2 <= num_folds <= MAX_FOLDS:
        raise ConfigError(
            f"folds is {num_folds}", hint=f"give 2 to {MAX_FOLDS}: each image is left out of a training once"
        )
    if not 1 <= num_seeds <= MAX_RUNS // num_folds:
        raise ConfigError(f"seeds is {num_seeds}", hint=f"give how often to train, 1 to {MAX_RUNS // num_folds}")
    config.replace(seed=config.seed + num_seeds - 1)  # the last one is a seed, too
    if config.division.folds is not None:
        raise ConfigError(
            f"the recipe has folds = {config.division.folds} already", hint="leave folds and fold out of the recipe"
        )
    if config.objective.teacher is not None:
        raise ConfigError(
            f"teacher is {config.objective.teacher!r}, which has seen the images that are held out in turn",
            hint="leave the teacher out",
        )
    refuse_known_weights(config, source_name(config.data))


def refuse_known_weights(config: TrainConfig, data: str) -> None:
    """ConfigError where the weights to begin with were trained on this data."""
    if config.init in (None, AUTO_INIT):  # which is refused where it is chosen
        return
    assert config.init is not None
    if load_trained(config.init).card.data == data:
        raise ConfigError(
            f"init is {config.init!r}, which has seen the images that are held out in turn", hint="leave init out"
        )


def shared_config(
    config: TrainConfig,
    resolved: TrainConfig,
    table: FoldTable,
    class_names: Sequence[str],
    plan: PlanRecord | None,
    *,
    has_several_labels: bool = False,
) -> TrainConfig:
    """What the trainings of all folds have in common.

    What follows from the images is left to each fold: others' training images are held out in turn. But the class that
    a threshold is for is one for all: where two classes have nearly as many images, each fold might have another. Of
    several labels an image, each has a threshold.

    Args:
        config: as it was asked for; `resolved` as it is for the first fold, by the `plan` of minutes, if there is one.
        table: the images of all folds, of classes in the order of `class_names`.
    """
    own: dict[str, object] = {
        "val_fraction": config.val_fraction,  # of which the first fold's number may hold fewer than 200 images out
        "val_per_class": config.val_per_class,
        "mean": config.mean,
        "std": config.std,
        "augmentation": AUTO if config.inputs.augmentation == AUTO else resolved.inputs.augmentation,
        "flip": config.inputs.flip,
        "alternating_flip": _alternates(config, plan),
        "epochs": resolved.epochs if resolved.steps is None else None,
    }
    if config.decisions.threshold != "none" and config.decisions.positive is None and not has_several_labels:
        labels = [class_names.index(row.label) for row in table.rows if not row.is_excluded]
        own["positive"] = class_names[rarer_class(torch.tensor(labels))]
    return resolved.replace(folds=None, fold=None, **own)


def _alternates(config: TrainConfig, plan: PlanRecord | None) -> bool:
    """Whether flips alternate, if there are any, which each fold finds out."""
    if plan is not None and is_planned(config, "alternating_flip"):
        return load_recipe(plan.recipe).inputs.alternating_flip and may_flip(config)
    return config.inputs.alternating_flip
