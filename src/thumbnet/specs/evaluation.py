"""How a trained model is to be scored, as a value. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require_choice

SPLITS_TO_SCORE = ("test", "val", "train", "all")


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """Which images of which data a trained model is scored on, and what is measured besides.

    Args:
        split: `test`, `val`, `train`, or `all` images of data that the model was not trained on.
        has_other_data: whether data other than the model's own is named.
        has_dataset: whether a dataset in memory is given.
        is_pretrained: whether the model comes with the package, so that its training images are not known.
        tta: also score with test-time augmentation.
        temperature: also fit a temperature on the run's validation split.
        robustness: also measure the accuracy under corruptions.

    Raises:
        ConfigError: these contradict each other.
    """

    split: str = "test"
    has_other_data: bool = False
    has_dataset: bool = False
    is_pretrained: bool = False
    tta: bool = False
    temperature: bool = False
    robustness: bool = False

    def __post_init__(self) -> None:
        require_choice("split", self.split, SPLITS_TO_SCORE)
        if self.robustness and self.split != "test":
            raise ConfigError(
                f"robustness is asked for on the split {self.split!r}: it is measured on test images",
                hint="leave the split out, or the robustness",
            )
        if self.temperature and self.is_pretrained:
            raise ConfigError(
                "temperature is asked for of a pretrained model: its file does not name the images that were held out",
                hint="fit it for a run of your own",
            )
        if self.temperature and self.split not in ("test", "all"):
            raise ConfigError(
                f"temperature is asked for on the split {self.split!r}: it is fitted on the validation split, and must "
                "be judged on other images",
                hint="leave the split out",
            )
        if self.is_pretrained and self.split not in ("test", "all"):
            raise ConfigError(
                f"the split {self.split!r} of a pretrained model is asked for: its file does not name the images that "
                "were held out",
                hint="score the test split, or a run of your own",
            )
        if self.split == "all" and self.has_dataset:
            raise ConfigError(
                "all images of a dataset in memory are asked for", hint="score one of its splits: test, val or train"
            )
        if self.split == "all" and not self.has_other_data:
            raise ConfigError(
                "all images are asked for without naming other data: the model was trained on most of its own images",
                hint="score the test split, or other images of the same classes with --data (data=... in Python)",
            )
