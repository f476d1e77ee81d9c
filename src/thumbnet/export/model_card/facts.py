"""What a model card is made from, in words: where the data came from, how good the model is, how it was trained."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from thumbnet.config import TrainConfig, config_to_dict, run_config_from_toml
from thumbnet.evaluation.intervals import Interval, accuracy_interval
from thumbnet.export.model_card.text import code
from thumbnet.models.card import ModelCard
from thumbnet.recipes import list_recipes, load_recipe
from thumbnet.runs.files.checked_folder import CheckedFolder
from thumbnet.runs.files.metrics import METRICS_FORMAT, known_metrics, metric_intervals
from thumbnet.runs.files.names import ASKED, CONFIG, METRICS
from thumbnet.runs.leak_texts import describe_kept_leaks
from thumbnet.specs.json_text import read_object
from thumbnet.trained.shippable import Shippable

HYPERPARAMETERS = (
    "epochs", "batch_size", "optimizer", "lr", "momentum", "weight_decay", "schedule", "augmentation", "cutout",
    "mixup", "label_smoothing", "class_weights", "sampler", "average_decay", "patience", "keep_weights", "val_fraction",
    "seed",
)  # fmt: skip
UNREMARKABLE = {"class_weights": "none", "sampler": "shuffled", "keep_weights": "last"}
PER_CENT = (100, 2, "%")
UNITS = {  # by metric: the number that one is multiplied by to be shown, the digits after its point, and its unit
    "test_balanced_accuracy": PER_CENT,
    "test_macro_f1": PER_CENT,
    "test_micro_f1": PER_CENT,
    "test_hamming_loss": PER_CENT,
    "commonest_share": PER_CENT,
    "test_mcc": (1, 3, ""),
    "ece": (100, 1, " points"),
}
PLAIN = (1, 4, "")


def describe_accuracy(accuracy: float, num_images: int) -> str:
    """With its binomial standard error, its interval and the number of images."""
    error = math.sqrt(accuracy * (1 - accuracy) / num_images)
    low, high = accuracy_interval(accuracy, num_images)
    return (
        f"{accuracy:.2%} ± {100 * error:.2f} points (standard error; 95 % interval {low:.2%} to {high:.2%}; "
        f"n = {num_images:,})"
    )


def intervals_of_run(shippable: Shippable) -> dict[str, Interval]:
    """The interval of each metric of the test split by the metric's name; none of a model of the package, and of runs
    from before they were kept."""
    if shippable.run_path is None:
        return {}
    name = str(shippable.run_path / METRICS)
    text = CheckedFolder(shippable.run_path).read_text(METRICS)
    return metric_intervals(read_object(text, name=name, known_format=METRICS_FORMAT), name=name)


def leaks_of_run(shippable: Shippable) -> str:
    """What a run's figures owe to images that are in two splits, in sentences; empty where none were found, and of a
    model of the package."""
    if shippable.run_path is None:
        return ""
    name = str(shippable.run_path / METRICS)
    text = CheckedFolder(shippable.run_path).read_text(METRICS)
    known = known_metrics(read_object(text, name=name, known_format=METRICS_FORMAT), name=name)
    return describe_kept_leaks(known, listed_in="") if known.num_leaks else ""


def describe_metrics(metrics: Mapping[str, float], intervals: Mapping[str, Interval]) -> dict[str, str]:
    """Each metric as text, followed by its interval in brackets where that is known."""
    texts = {}
    for name, value in metrics.items():
        factor, digits, unit = UNITS.get(name, PLAIN)
        bounds = [f"{factor * bound:.{digits}f}" for bound in intervals.get(name, ())]
        texts[name] = f"{factor * value:.{digits}f}{unit}" + (f" [{', '.join(bounds)}]" if bounds else "")
    return texts


def is_private(data: str) -> bool:
    """Whether a data source is a place of the user's, as `folder:PATH`."""
    return ":" in data


def short_source(data: str) -> str:
    """A data source without the folders of the machine: `folder:pets` of `folder:/home/me/pets`."""
    kind, colon, place = data.partition(":")
    return f"{kind}{colon}{Path(place).name}" if colon else kind


def describe_data(card: ModelCard) -> str:
    """In Markdown. What is said of a place of the user's would name its folders."""
    return code(short_source(card.data) if is_private(card.data) else card.data_description)


def training_config(shippable: Shippable) -> TrainConfig | None:
    """The config that the model was trained with: the run's, or the recipe of a model of the package."""
    if shippable.run_path is not None:
        return _config_of(shippable.run_path, CONFIG)
    return load_recipe(shippable.card.recipe) if shippable.card.recipe in list_recipes() else None


def hyperparameters(config: TrainConfig) -> dict[str, object]:
    """Those that a reader looks for, by name."""
    values = config_to_dict(config)
    return {
        name: values[name]
        for name in HYPERPARAMETERS
        if name == "seed" or values.get(name) not in (None, 0.0, UNREMARKABLE.get(name))
    }


def training_command(shippable: Shippable, config: TrainConfig | None) -> str:
    """The command that trains the same again, without the folders of this machine."""
    card = shippable.card
    if shippable.run_path is None:
        unverified = " --allow-unverified" if card.data_verified is False else ""
        return f"thumbnet train --recipe {card.recipe} --data {card.data}{unverified}"
    command = "thumbnet train --recipe config.toml"
    has_asked = (shippable.run_path / ASKED).exists()
    if config is not None and has_asked and find_spec("torch") is not None:
        from thumbnet.runs.reproduce import reproducing_command

        asked = _config_of(shippable.run_path, ASKED)
        command = reproducing_command(config, asked, sides=card.image_shape[1:])
    return shlex.join(map(_without_folders, shlex.split(command)))


def _config_of(run: Path, name: str) -> TrainConfig:
    """A config of the run; RunError where it is damaged or was changed."""
    return run_config_from_toml(CheckedFolder(run).read_text(name), name=str(run / name))


def _without_folders(word: str) -> str:
    kind, colon, place = word.partition(":")
    if colon and Path(place).is_absolute():
        return f"{kind}:{Path(place).name}"
    return Path(word).name if Path(word).is_absolute() else word
