"""The rule by which minutes are planned: image size, recipe, batch and growth from the data and the measured speed.

It only reckons. Larger images, finer maps and larger networks are taken where they can be trained for long enough; no
recipe is exchanged for a lower one when there is more time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from thumbnet.data.batches import num_batches
from thumbnet.errors import ConfigError
from thumbnet.runs.planning.constants import (
    BATCH,
    ENLARGED_AT_MOST,
    FULL_FROM,
    GROWTH_COST,
    LADDER,
    LARGE_BATCH,
    LARGE_BATCH_FROM,
    LARGEST_SIZE,
    MAX_EPOCHS,
    MAX_STEPS_OF_FEW,
    MEMORY_SHARE,
    MIN_BATCH,
    MIN_EPOCHS_OF_A_SIZE,
    MIN_EPOCHS_OF_FINER_MAPS,
    MIN_GROWING_EPOCHS,
    MIN_GROWING_SIDE,
    MIN_STEPS_PER_EPOCH,
    RATE_POWER,
    REDUCED_FROM,
    SCALE_STARTS,
    SCALES,
    SIZES,
    Rung,
)
from thumbnet.runs.planning.maps import finer_stem, size_cost
from thumbnet.specs.resizing import ProgressiveResizing
from thumbnet.specs.sizes import Fit, filling_side
from thumbnet.terminal.text import counted


@dataclass(frozen=True)
class DataFacts:
    """What a plan knows of the data; the test images by their number alone.

    `sides` are height and width in pixels, of the median picture where pictures are resized (`is_resized`), by cutting
    or framing them (`fit`); `class_counts` are of the training images, of which each may have several labels, or none
    (`has_several_labels`).
    """

    num_train: int
    num_val: int
    num_test: int
    class_counts: tuple[int, ...]
    num_channels: int
    sides: tuple[int, int]
    is_resized: bool
    has_several_labels: bool = False
    fit: Fit = "crop"

    @property
    def num_images(self) -> int:
        return self.num_train + self.num_val + self.num_test

    @property
    def shown_side(self) -> int:
        """The side of the median picture that fills square images: the shorter one, or of framed pictures the longer
        one."""
        return filling_side(self.sides, self.fit)

    def keep_detail(self, sides: tuple[int, int]) -> bool:
        """Whether images of such height and width, as they are trained on in the end, have the pictures' own pixels,
        more or less, instead of means over several of them."""
        return not self.is_resized or self.are_whole_at(sides)

    def are_whole_at(self, sides: tuple[int, int]) -> bool:
        """Whether pictures that are brought to such height and width keep their own pixels, more or less."""
        scales = [image / picture for image, picture in zip(sides, self.sides, strict=True)]
        scale = min(scales) if self.fit == "letterbox" else max(scales)
        return REDUCED_FROM * scale >= 1


@dataclass(frozen=True)
class Budget:
    """The time of a plan: `left_s` gives the seconds for training on images of a height and width, `image_s` are those
    that `sprint` trains an image of 32 pixels for, and `minutes` those that were asked for."""

    minutes: float
    image_s: float
    left_s: Callable[[tuple[int, int]], float]


@dataclass(frozen=True)
class Candidate:
    """A recipe at an image size: the epochs that it would get, and the reason where it is not taken; `stem` as a Rung
    has it."""

    recipe: str
    sides: tuple[int, int]
    epochs: float
    against: str = ""
    stem: str = ""


def with_finer_maps(rungs: Sequence[Rung], facts: DataFacts, sides: tuple[int, int]) -> tuple[Rung, ...]:
    """The recipes, and each with a stem whose maps have about twice the side, by their cost at this size; such images
    do not grow. A recipe stands alone where it has no finer stem, as for small images, and where pictures were reduced
    to this size, whose single pixels tell little."""
    if not facts.keep_detail(sides):
        return tuple(rungs)
    finer = [
        replace(rung, stem=stem, min_epochs=max(rung.min_epochs, MIN_EPOCHS_OF_FINER_MAPS), grows=False)
        for rung in rungs
        if (stem := finer_stem(rung.network, sides)) is not None
    ]
    costs = {rung: rung.cost * size_cost(rung.network, sides, stem=rung.stem) for rung in (*rungs, *finer)}
    return tuple(sorted(costs, key=lambda rung: costs[rung]))


def epochs_in(budget: Budget, facts: DataFacts, rung: Rung, sides: tuple[int, int], *, may_grow: bool) -> float:
    """The epochs of a recipe that fit into the time, no more than a plan makes."""
    epochs = _epochs_of_full(budget, facts, rung, sides)
    if may_grow and can_grow(rung, facts, sides, epochs):
        epochs /= GROWTH_COST
    steps_per_epoch = num_batches(facts.num_train, batch_of(rung, facts.num_train))
    return max(0.0, min(most_steps(steps_per_epoch) / steps_per_epoch, epochs))


def grows_in(budget: Budget, facts: DataFacts, rung: Rung, sides: tuple[int, int]) -> bool:
    """Whether the images of a recipe begin small in this time, where that is left to the plan."""
    return can_grow(rung, facts, sides, _epochs_of_full(budget, facts, rung, sides))


def _epochs_of_full(budget: Budget, facts: DataFacts, rung: Rung, sides: tuple[int, int]) -> float:
    """Those that fit into the time on images that do not grow."""
    image_s = budget.image_s * rung.cost * size_cost(rung.network, sides, stem=rung.stem)
    return budget.left_s(sides) / (facts.num_train * image_s)


def can_grow(rung: Rung, facts: DataFacts, sides: tuple[int, int], full_epochs: float) -> bool:
    """Whether images may begin small: they are large enough, the network takes such, and the time has epochs enough,
    but not so many of full images that the pictures' detail, where small ones lose it, is worth more than further
    ones."""
    small = ProgressiveResizing(SCALES, SCALE_STARTS).sides(sides, 0, 1)
    is_large = min(sides) >= MIN_GROWING_SIDE and min(small) >= rung.min_side
    loses_detail = facts.keep_detail(sides) and not facts.are_whole_at(small)
    has_enough = loses_detail and full_epochs >= full_from(rung, facts)
    return rung.grows and is_large and full_epochs >= MIN_GROWING_EPOCHS * GROWTH_COST and not has_enough


def full_from(rung: Rung, facts: DataFacts) -> int:
    """The epochs of full images from which on images do not begin small: those that the recipe needs, at least."""
    return max(FULL_FROM, epochs_needed(rung, facts.num_train))


def sizes_of(
    facts: DataFacts, minutes: float, memory_bytes: int, rungs: Sequence[Rung] = LADDER, *, num_read: int | None = None
) -> list[int]:
    """The sides that square images may have, from the smallest on: no more than the pictures show, the time is worth
    and the memory holds, and as the recipes' networks take them.

    Args:
        num_read: the pictures that are read, also those that take no part; None: those of the facts.

    Raises:
        ConfigError: the networks take none of these.
    """
    num_images = facts.num_images if num_read is None else num_read
    largest = next(side for below, side in LARGEST_SIZE if minutes < below)
    fitting = [
        side
        for side in SIZES
        if side <= max(SIZES[0], ENLARGED_AT_MOST * facts.shown_side)
        and side <= largest
        and num_images * facts.num_channels * side**2 <= MEMORY_SHARE * memory_bytes
    ]
    fitting = fitting or [SIZES[0]]
    taken = [side for side in fitting if all(rung.takes(side) for rung in rungs)]
    if not taken:
        least = max(rung.min_side for rung in rungs)
        largest_taken = min((rung.max_side for rung in rungs if rung.max_side is not None), default=None)
        allowed = f"at least {least}" if largest_taken is None else f"{least} to {largest_taken}"
        raise ConfigError(
            f"the model takes images of {allowed} pixels a side, and for these pictures a plan would choose from "
            f"{', '.join(map(str, fitting))}",
            hint="give a size that the model takes: --image-size",
        )
    return taken


def against_larger(
    facts: DataFacts, minutes: float, rungs: Sequence[Rung], largest: int
) -> tuple[tuple[int, int], str] | None:
    """The sides of the next larger images than `largest`, the largest that `sizes_of` gives, and what is against these;
    None where the pictures show no more, or there are no larger ones."""
    side = next((side for side in SIZES if side > largest), None)
    if side is None or side > ENLARGED_AT_MOST * facts.shown_side:
        return None
    if not all(rung.takes(side) for rung in rungs):
        return (side, side), "the model takes no images of this size"
    from_minutes = max(below for below, most in LARGEST_SIZE if most < side)
    if minutes < from_minutes:
        return (side, side), f"images of this size are for {counted(from_minutes, 'minute')} and more"
    return (side, side), "the pictures would take too much memory"


def choose_size(
    facts: DataFacts, budget: Budget, rungs: Sequence[Rung], sizes: Sequence[int], *, may_grow: bool
) -> tuple[int, list[Candidate]]:
    """The largest size at which the cheapest recipe gets MIN_EPOCHS_OF_A_SIZE epochs, else the smallest; and the larger
    ones with what is against them."""
    cheapest = min(rungs, key=lambda rung: rung.cost)
    refused: list[Candidate] = []
    for side in reversed(sizes):
        epochs = epochs_in(budget, facts, cheapest, (side, side), may_grow=may_grow)
        if epochs >= MIN_EPOCHS_OF_A_SIZE or side == sizes[0]:
            return side, refused
        refused.append(_too_few(cheapest, (side, side), epochs, MIN_EPOCHS_OF_A_SIZE))
    raise AssertionError("there is no size")


def choose_rung(
    facts: DataFacts, budget: Budget, rungs: Sequence[Rung], sides: tuple[int, int], *, may_grow: bool
) -> tuple[Rung, list[Candidate]]:
    """The highest recipe of the ladder that gets the epochs and has the images that it needs; and those above it with
    what is against them."""
    refused: list[Candidate] = []
    for rung in reversed(rungs):
        epochs = epochs_in(budget, facts, rung, sides, may_grow=may_grow)
        if facts.num_train < rung.min_images and rung is not rungs[0]:
            against = f"it needs {rung.min_images:,} training images"
            refused.append(Candidate(rung.recipe, sides, epochs, against, rung.stem))
        elif epochs < (needed := epochs_needed(rung, facts.num_train)) and rung is not rungs[0]:
            refused.append(_too_few(rung, sides, epochs, needed))
        else:
            return rung, refused
    raise AssertionError("there is no recipe")


def _too_few(rung: Rung, sides: tuple[int, int], epochs: float, needed: int) -> Candidate:
    against = f"it would get {epochs:.0f} of the {needed} epochs that it needs"
    return Candidate(rung.recipe, sides, epochs, against, rung.stem)


def epochs_needed(rung: Rung, num_train: int) -> int:
    """The epochs from which on a recipe is worth its cost: of few images, more than of many."""
    return max(rung.min_epochs, math.ceil(rung.min_steps * BATCH / num_train))


def most_steps(steps_per_epoch: int) -> int:
    """The steps of the longest training that a plan makes."""
    return max(MAX_EPOCHS * steps_per_epoch, MAX_STEPS_OF_FEW)


def rungs_of(model: str | None, models: Mapping[str, str], other: Rung) -> tuple[Rung, ...]:
    """The recipes to choose from: all, or where a `model` is given those of it, else the `other` one.

    `models` are those of the ladder's recipes, by recipe.
    """
    if model is None:
        return LADDER
    return tuple(rung for rung in LADDER if models[rung.recipe] == model) or (other,)


def batch_of(rung: Rung, num_train: int) -> int:
    """Images a step: a power of two that leaves MIN_STEPS_PER_EPOCH steps an epoch."""
    batch = LARGE_BATCH if rung.recipe == LADDER[0].recipe and num_train >= LARGE_BATCH_FROM else BATCH
    while batch > MIN_BATCH and num_train < MIN_STEPS_PER_EPOCH * batch:
        batch //= 2
    return batch


def rate_of(rate: float, batch: int, *, recipe_batch: int) -> float:
    """A recipe's rate for another batch: it goes with the root of the batch's size."""
    return float(rate * (batch / recipe_batch) ** RATE_POWER)
