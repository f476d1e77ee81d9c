"""The second training of a run with `refit`: anew, on training and validation images together.

The first one is for what validation tells and decides: the history, a threshold, a temperature, when the answer is
unsure. The second one has the same seed and recipe and makes as many epochs; its network is the one that is kept, and
scored on the test images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from thumbnet.config import TrainConfig
from thumbnet.data.batches import num_batches
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.runs.files.metrics import known_metrics
from thumbnet.runs.init import begin_with_trained_weights
from thumbnet.runs.parts import build_model, build_progress, fit_config
from thumbnet.runs.ranks import call_others
from thumbnet.runs.resolve import Say
from thumbnet.specs.pace import Pace
from thumbnet.training.progress import LogStyle


@dataclass(frozen=True)
class Refit:
    """The network of the second training, the number of its images, and the seconds of its steps."""

    model: nn.Module
    num_images: int
    train_s: float

    def added_to(self, metrics: Mapping[str, object]) -> dict[str, object]:
        """The values of metrics.json with those of the second training, whose time is part of `train_s`."""
        both_s = known_metrics(metrics).train_s + self.train_s
        return {**metrics, "train_s": both_s, "num_refit": self.num_images, "refit_s": self.train_s}


def check_refit(config: TrainConfig, dataset: Dataset) -> None:
    """ConfigError where there are no validation images to add."""
    if config.refit and dataset.val is None:
        raise ConfigError(
            "refit is true, but no images are held out for validation, which the second training is to add",
            hint="set val_fraction above 0, or leave refit out",
        )


def refit(config: TrainConfig, dataset: Dataset, *, log_style: LogStyle, say: Say) -> Refit:
    """Train the config's model on training and validation images together, as often as `config` says for the training
    images: with the pace that was followed in the end, of which only the number of epochs counts."""
    whole = dataset.with_val_in_train()
    config = config_of_refit(config, dataset)
    say(f"A second training follows, on all {len(whole.train):,} training and validation images (refit).")
    model = build_model(config, whole)
    begin_with_trained_weights(model, config, whole)
    done = fit_config(
        config,
        whole,
        model,
        progress=build_progress(config, whole, log_style),
        ranks=call_others(config, whole, teacher=None, state=None),
    )
    return Refit(model, len(whole.train), done.history.train_s)


def config_of_refit(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """The resolved config of the second training: with as many epochs of its more images."""
    if config.pace is None:
        return config
    steps_per_epoch, more = steps_per_epoch_of(config, dataset)
    steps = max(1, round(config.pace.num_steps * more / steps_per_epoch))
    return config.with_pace(Pace(steps), steps_per_epoch=more)


def steps_per_epoch_of(config: TrainConfig, dataset: Dataset) -> tuple[int, int]:
    """Of the training images alone, and of these and the validation images."""
    num_val = 0 if dataset.val is None else len(dataset.val)
    num_train = len(dataset.train)
    return num_batches(num_train, config.batch_size), num_batches(num_train + num_val, config.batch_size)


def describe_refit(config: TrainConfig, metrics: Mapping[str, object], *, num_train: int) -> list[str]:
    """What a reader must know of it, of a resolved config, the values of metrics.json and the number of training images
    without the validation images."""
    num_refit = known_metrics(metrics).num_refit
    if not config.refit:
        return []
    if not num_refit:
        return ["The training was ended early, so none on the validation images, too, followed (refit)."]
    sentence = (
        f"A second training, on all {num_refit:,} training and validation images, followed (refit): its network is "
        "kept, and scored on the test images. History, curves, validation figures and what was decided by validation "
        f"are of the first network, trained on {num_train:,} images."
    )
    return [sentence]


def describe_refit_of_several(config: TrainConfig, metrics: Sequence[Mapping[str, object]]) -> list[str]:
    """The same of several trainings by one config."""
    if not config.refit:
        return []
    num_refit = sum(known_metrics(each).num_refit > 0 for each in metrics)
    which = "Each training was" if num_refit == len(metrics) else f"{num_refit} of {len(metrics)} trainings were"
    sentence = (
        f"{which} followed by a second one, on its training and validation images together (refit), whose network is "
        "kept and scored. Validation figures, and what was decided by them, are of the first networks."
    )
    return [sentence]
