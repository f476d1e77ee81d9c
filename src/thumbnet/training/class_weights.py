"""Unequal classes: what the images of each class weigh in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from thumbnet.data.folder_layout import normalised_name
from thumbnet.errors import ConfigError
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.objective import Objective, check_balance

MAX_LISTED_CLASSES = 10


def resolve_class_weights(
    objective: Objective,
    inputs: Inputs,
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"],
    class_names: Sequence[str],
) -> Float[Tensor, " k"] | None:
    """The weight of each class, float32; None where all weigh the same.

    The mean weight of the images drawn in an epoch is 1, so that a learning rate keeps its meaning; with `balanced`, a
    class of n among N training images in K classes weighs N / (K n).

    Args:
        labels: of the training images.
        class_names: in the order of the labels.

    Raises:
        ConfigError: a weight for what is no class; classes that cannot be balanced, since one has no training image;
            weights, a sampler or a teacher where an image may have several labels.
    """
    check_balance(objective, inputs)
    if labels.ndim == 2:
        _refuse_several_labels(objective, inputs)
        return None
    num_images = labels.bincount(minlength=len(class_names)).double()
    given = objective.class_weights
    for name, value in (("class_weights", given), ("sampler", inputs.sampler)):
        if value == "balanced" and not bool((num_images > 0).all()):
            empty = class_names[int(num_images.argmin())]
            raise ConfigError(
                f"{name} is 'balanced', but class {empty!r} has no training image",
                hint=f"add images of it, or set {name} otherwise",
            )
    if isinstance(given, Mapping):
        weights = torch.ones_like(num_images)
        for name, weight in given.items():
            weights[_index_of(name, class_names)] = float(weight)
    elif given == "balanced":
        weights = 1 / num_images
    else:
        return None
    if bool((weights == weights[0]).all()):
        return None
    drawn = torch.full_like(num_images, len(labels) / len(class_names)) if inputs.sampler == "balanced" else num_images
    return (weights * drawn.sum() / (weights * drawn).sum()).float()


def _refuse_several_labels(objective: Objective, inputs: Inputs) -> None:
    """ConfigError for what is only of one label an image."""
    given: dict[str, object] = {
        "class_weights": None if objective.class_weights == "none" else objective.class_weights,
        "sampler": None if inputs.sampler == "shuffled" else inputs.sampler,
        "teacher": objective.teacher,
    }
    for name, value in given.items():
        if value is not None:
            raise ConfigError(
                f"{name} is given, but an image may have several labels",
                hint=f"leave {name} out; rare labels are found by a threshold of their own: threshold = 'f1'",
            )


def class_shares(labels: Int64[Tensor, " n"], num_classes: int) -> Float64[Tensor, " k"]:
    """The fraction of the images that each class has."""
    return labels.bincount(minlength=num_classes).double() / len(labels)


def _index_of(name: str, class_names: Sequence[str]) -> int:
    normal = normalised_name(name)
    if normal in class_names:
        return list(class_names).index(normal)
    listed = ", ".join(class_names[:MAX_LISTED_CLASSES])
    more = f", ... ({len(class_names)})" if len(class_names) > MAX_LISTED_CLASSES else ""
    raise ConfigError(f"class_weights names {name!r}, which is no class", hint=f"the classes are {listed}{more}")
