"""How many images are held out for validation where the user does not say: enough that their figures can be trusted.

The larger of a tenth of the training images and 200 of them, at most a quarter: the standard error of an accuracy is
at most 3.5 points on 200 images, and 8 on 40. A rare class gives 60 images, or a quarter of its own: of fewer, neither
its recall nor a threshold for it could be known (where a fifth of a class is missed, 25 of its images show 4 to 36 % in
95 of 100 draws, 60 show 10 to 30 %).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from thumbnet.data.hold_out import TEST_FRACTION, held_out_counts
from thumbnet.data.source_registry import val_fraction_of
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.too_few import num_units, refuse_few_for_splits
from thumbnet.errors import ConfigError
from thumbnet.specs.checks import require
from thumbnet.specs.data import ValFraction, check_val_fraction

MIN_IMAGES = 200
MIN_FRACTION = 0.1
MAX_FRACTION = 0.25
MIN_OF_A_RARE_CLASS = 60
STEPS = 10_000  # the rule's fractions are multiples of 1 / STEPS, which a config shows in full


class ValShare(NamedTuple):
    """What is held out: this fraction of each class, and of a rare class at least `per_class` images."""

    fraction: float
    per_class: int


def val_share(splits: SourceSplits, val_fraction: ValFraction, val_per_class: int | None) -> ValShare:
    """What `val_fraction`, which may be "auto", and `val_per_class` mean for these images.

    "auto" is the fraction that the data source states, else this module's rule; 0 where the source has a validation
    split of its own. With "auto", `val_per_class` is MIN_OF_A_RARE_CLASS unless it is given; with a number, 0.

    Raises:
        ConfigError: images of rare classes are to be held out, and none of any.
        DataError: a class has fewer images, or groups, than there are splits to fill.
    """
    check_val_fraction(val_fraction)
    per_class = val_per_class or 0
    require(per_class >= 0, "val_per_class", per_class, "0 or more")
    if not isinstance(val_fraction, str):
        if per_class and val_fraction == 0:
            raise ConfigError(f"val_per_class is {per_class}, but val_fraction is 0", hint="leave one of the two out")
        return ValShare(val_fraction, per_class)
    if splits.val is not None:
        return ValShare(0.0, 0)
    stated = val_fraction_of(splits.source.name)
    if stated is not None:
        return ValShare(stated, per_class)
    if splits.train.has_several_labels:
        least = max(MIN_FRACTION, min(MAX_FRACTION, MIN_IMAGES / len(splits.train)))
        return ValShare(math.ceil(least * STEPS) / STEPS, per_class)
    if splits.train.groups is not None:  # which may be fewer than the images that the rule counts
        numbers = num_units(splits.train.labels, splits.train.groups, len(splits.class_names))
        refuse_few_for_splits(numbers, splits.class_names, holds_test=splits.test is None, holds_val=True, unit="group")
    sizes = splits.train.labels.bincount(minlength=len(splits.class_names)).tolist()
    fraction = rule(sizes, test_fraction=TEST_FRACTION if splits.test is None else 0.0, class_names=splits.class_names)
    return ValShare(fraction, MIN_OF_A_RARE_CLASS if val_per_class is None else val_per_class)


def rule(sizes: Sequence[int], *, test_fraction: float, class_names: Sequence[str]) -> float:
    """The smallest fraction from MIN_FRACTION to MAX_FRACTION that takes MIN_IMAGES of classes of these sizes, rounded
    class by class."""
    first = max(MIN_FRACTION, min(MAX_FRACTION, MIN_IMAGES / sum(sizes)))
    for step in range(math.ceil(first * STEPS), round(MAX_FRACTION * STEPS)):
        counts = held_out_counts(sizes, val_fraction=step / STEPS, test_fraction=test_fraction, class_names=class_names)
        if sum(each.val for each in counts) >= MIN_IMAGES:
            return step / STEPS
    return MAX_FRACTION
