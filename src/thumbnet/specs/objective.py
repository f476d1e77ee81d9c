"""What training minimises, as a value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import MAX_RATE, require, require_choice, require_fraction, shown
from thumbnet.specs.inputs import Inputs

TEACHER_WEIGHT = 0.9  # where there is a teacher and nothing is given
TEACHER_TEMPERATURE = 2.0
MAX_CLASS_WEIGHT = 1_000


@runtime_checkable
class TeacherPredictions(Protocol):
    """A `thumbnet.training.distillation.TeacherLogits`, of which only this is needed here."""

    @property
    def num_images(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The loss: cross-entropy with the labels, and with a teacher the divergence from its predictions.

    Args:
        label_smoothing: the fraction of each target that is spread over all classes.
        mixup: alpha of the Beta distribution of `lam`, with which two images and their targets are blended; 0: none.
        teacher: in a recipe a finished run's folder; for `fit` the teacher's logits,
            `thumbnet.training.distillation.TeacherLogits`.
        teacher_weight: of the divergence, above 0 and at most 1; the labels' loss has the rest. None: 0.9.
        teacher_temperature: by which both softmax distributions are softened. None: 2.
        class_weights: what each image counts in the loss, by its class: a weight for each class named (1 for others),
            or `balanced`: one over the class's number of training images. Scaled: an image weighs 1 on average.

    Raises:
        ConfigError: out of range, or a weight or temperature without a teacher.
    """

    label_smoothing: float = 0.0
    mixup: float = 0.0
    teacher: str | TeacherPredictions | None = None
    teacher_weight: float | None = None
    teacher_temperature: float | None = None
    class_weights: Literal["none", "balanced"] | Mapping[str, str | int | float | bool] = "none"

    def __post_init__(self) -> None:
        require_fraction("label_smoothing", self.label_smoothing)
        require(0 <= self.mixup <= MAX_RATE, "mixup", self.mixup, f"at least 0 and at most {MAX_RATE:g}")
        weight, temperature = self.teacher_weight, self.teacher_temperature
        given = {"teacher_weight": weight, "teacher_temperature": temperature}
        for name, value in given.items():
            if self.teacher is None and value is not None:
                raise ConfigError(f"{name} is given, but there is no teacher", hint="give --teacher RUN")
        require(weight is None or 0 < weight <= 1, "teacher_weight", weight, "above 0 and at most 1")
        is_right = temperature is None or 0 < temperature < float("inf")
        require(is_right, "teacher_temperature", temperature, "above 0")
        object.__setattr__(self, "class_weights", _checked_weights(self.class_weights))

    def resolved(self) -> Objective:
        """With a teacher, the weight and temperature written out."""
        if self.teacher is None:
            return self
        weight, temperature = self.teacher_weight, self.teacher_temperature
        return dataclasses.replace(
            self,
            teacher_weight=TEACHER_WEIGHT if weight is None else weight,
            teacher_temperature=TEACHER_TEMPERATURE if temperature is None else temperature,
        )


def is_balanced(objective: Objective, inputs: Inputs) -> bool:
    """Whether the classes weigh the same in the training."""
    return objective.class_weights == "balanced" or inputs.sampler == "balanced"


def check_balance(objective: Objective, inputs: Inputs) -> None:
    """ConfigError where the classes would be balanced twice over."""
    if objective.class_weights == "balanced" and inputs.sampler == "balanced":
        raise ConfigError("class_weights and sampler both balance the classes", hint="leave one of them out")


def _checked_weights(
    weights: Literal["none", "balanced"] | Mapping[str, str | int | float | bool],
) -> Literal["none", "balanced"] | dict[str, str | int | float | bool]:
    if isinstance(weights, str):
        require_choice("class_weights", weights, ("none", "balanced"))
        return weights
    for name, weight in weights.items():
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not (is_number and 0 < float(weight) <= MAX_CLASS_WEIGHT):
            raise ConfigError(
                f"class_weights.{name} is {shown(weight)}",
                hint=f"a weight is a number above 0 and at most {MAX_CLASS_WEIGHT:,}",
            )
    return dict(weights) or "none"
