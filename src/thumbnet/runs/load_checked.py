"""A config's data, and the config resolved, with all that its training would refuse refused before."""

from __future__ import annotations

from thumbnet.config import AUTO_INIT, TrainConfig
from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.custom_metrics import METRICS
from thumbnet.evaluation.unknown import check_network
from thumbnet.kernels.choice import pick_kernels
from thumbnet.runs.choices.augmentation import with_chosen_policy
from thumbnet.runs.choices.augmentation_probe import without_open_policy
from thumbnet.runs.choices.init import check_start, start_with
from thumbnet.runs.init import begin_with_trained_weights
from thumbnet.runs.parts import build_model, check_sizes
from thumbnet.runs.ranks import check_for_ranks
from thumbnet.runs.refit import check_refit
from thumbnet.runs.resolve import Say, load_data
from thumbnet.runs.results.decide import check_decisions
from thumbnet.runs.stopping import check_stopping
from thumbnet.runs.teacher import load_teacher
from thumbnet.specs.extras import require_extra
from thumbnet.specs.policies import AUTO
from thumbnet.training.body import check_body
from thumbnet.training.class_weights import resolve_class_weights
from thumbnet.training.device import pick_device
from thumbnet.training.inputs import build_augmentations
from thumbnet.training.optimizers import build_optimizer
from thumbnet.views.report.sections import REPORT_SECTIONS


def load_checked(
    config: TrainConfig,
    *,
    say: Say,
    dataset: Dataset | None = None,
    is_resolved: bool = False,
    most_probe_steps: int | None = None,
    policy_epochs: int | None = None,
) -> tuple[Dataset, TrainConfig]:
    """Load the data, unless it is given, and resolve the config; raise here whatever `train` would reject.

    An augmentation that is to be chosen is chosen by a short training, of at most `most_probe_steps` steps, and for
    `policy_epochs`; None: for the config's.
    Where it is still to be chosen what to begin with, `init` stays `auto`, and so does an augmentation.
    """
    pick_device(config.engine.device)
    asked = config
    dataset, config = load_data(config, say=say, dataset=dataset, is_resolved=is_resolved)
    if config.init == AUTO_INIT:
        for weights in (None, config.model):
            start = start_with(asked, dataset, weights)
            check_start(start)
            check_trainable(without_open_policy(start.resolved), start.dataset, say=say)
        return dataset, config
    if config.inputs.augmentation == AUTO:
        check_trainable(without_open_policy(config), dataset, say=say)
        config, dataset = with_chosen_policy(
            config, dataset, say=say, most_steps=most_probe_steps, epochs=policy_epochs
        )
    check_trainable(config, dataset, say=say)
    return dataset, config


def left_open(resolved: TrainConfig, asked: TrainConfig) -> TrainConfig:
    """A resolved config for several trainings, each of which chooses what to begin with, if that is `auto`: then what
    follows from the choice is as it was asked for."""
    if resolved.init != AUTO_INIT:
        return resolved
    return resolved.replace(model_options=dict(asked.model_options), mean=asked.mean, std=asked.std)


def check_trainable(config: TrainConfig, dataset: Dataset, *, say: Say) -> None:
    """Raise now what training with this resolved config would raise later."""
    require_extra("train", "a training")  # parts of it are imported only at the end
    for registry in (METRICS, REPORT_SECTIONS):
        list(registry.values())  # their packages are loaded, though used only at the end
    model = build_model(config, dataset)
    begin_with_trained_weights(model, config, dataset)
    check_body(model, config.body_lr_factor)
    build_optimizer(config.optimizer, model)
    engine = config.engine
    pick_kernels(engine.kernels, model, pick_device(engine.device), compiled=engine.compiled, say=say)
    build_augmentations(config.inputs, dataset)
    if dataset.has_several_labels:
        for registry, noun in ((METRICS, "metrics"), (REPORT_SECTIONS, "report sections")):
            if len(registry):
                say(f"Your own {noun} are of one label a picture: they are left out.")
    check_decisions(config, dataset)
    if config.decisions.share_unknown is not None:
        check_network(model, num_classes=dataset.num_classes)
    resolve_class_weights(config.objective, config.inputs, dataset.train.labels, dataset.class_names)
    check_sizes(config, dataset)
    check_for_ranks(config)
    check_stopping(config, dataset)
    check_refit(config, dataset)
    if isinstance(config.objective.teacher, str):
        load_teacher(config.objective.teacher, dataset)
