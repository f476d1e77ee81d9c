"""What is compared, the most informative first: the rule's numbers (runs/planning/constants.py), one factor at a time.

A variant changes constants by name, or a field of one of the ladder's recipes as "recipe.field"; SETTINGS are settings
as `--set` takes them, which the plan then does not choose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SETTINGS = "settings"
NEVER = 10**9
Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Variants of one factor, by name; `why` is what speaks for trying them."""

    factor: str
    why: str
    variants: Mapping[str, Changes] = field(default_factory=dict)


def on_top(base: Changes, changes: Changes) -> dict[str, Any]:
    """The changes of a variant on top of what was found before: the settings of both, the numbers of the variant."""
    settings = [*base.get(SETTINGS, ()), *changes.get(SETTINGS, ())]
    return {**base, **changes, **({SETTINGS: settings} if settings else {})}


def _strengths(first: float, last: str) -> tuple[Any, ...]:
    """The policies by epochs: the weak one up to `first`, then shift2, from 40 on `last`."""
    weak, middle = ("shift-flip", "flips", "turns"), ("shift2-flip", "flips", "turns")
    strongest = middle if last == "shift2-flip" else (last, f"{last}-flips", f"{last}-turns")
    return ((first, weak), (40, middle), (math.inf, strongest))


COMPARISONS: Sequence[Comparison] = (
    Comparison(
        "growing images",
        "they give 1.8 times the epochs; detail is seen for a fifth of them only",
        {"none": {"SCALES": (1.0,), "SCALE_STARTS": (0.0,), "GROWTH_COST": 1.0}},
    ),
    Comparison(
        "strength of the augmentation, by epochs",
        "few pictures are seen hundreds of times, by `strong` since 40 epochs; at 96 pixels it takes half a step",
        {
            "never strong": {"STRENGTHS": _strengths(12, "shift2-flip")},
            "photo instead of strong": {"STRENGTHS": _strengths(12, "photo")},
            "strong from 12": {
                "STRENGTHS": (
                    (12, ("shift-flip", "flips", "turns")),
                    (math.inf, ("strong", "strong-flips", "strong-turns")),
                )
            },
        },
    ),
    Comparison(
        "sprint-long from so many steps",
        "the network with four times the arithmetic: twelve epochs of few pictures are no training",
        {
            "any": {"sprint-long.min_steps": 0},
            "5,000": {"sprint-long.min_steps": 5_000},
            "never": {"sprint-long.min_steps": NEVER},
        },
    ),
    Comparison(
        "batch of few pictures",
        "32 and 64 a step below 1,024 pictures; Muon's steps are as long whatever the batch",
        {
            "128 always": {"MIN_BATCH": 128},
            "so that an epoch has 24 steps": {"MIN_STEPS_PER_EPOCH": 24},
        },
    ),
    Comparison(
        "epochs for a larger size",
        "25 of `sprint` now: more detail for fewer epochs",
        {"12": {"MIN_EPOCHS_OF_A_SIZE": 12}, "60": {"MIN_EPOCHS_OF_A_SIZE": 60}},
    ),
    Comparison(
        "the longest training",
        "300 epochs now; a small set's time is over long before",
        {"100 epochs": {"MAX_EPOCHS": 100}, "1,000 epochs": {"MAX_EPOCHS": 1000}},
    ),
    Comparison(
        "classes weigh the same from so many times the rarest on",
        "three times now; balanced accuracy counts below half",
        {"2": {"UNEQUAL_FROM": 2.0}, "never": {"UNEQUAL_FROM": math.inf}},
    ),
    Comparison(
        "rates by batch",
        "with the root of its size now, from 512 of `sprint` and 128 of the others",
        {"power 0.25": {"RATE_POWER": 0.25}, "power 1": {"RATE_POWER": 1.0}},
    ),
    Comparison(
        "rates of biases and head by batch",
        "only the filters' goes with the batch now",
        {"too": {"RATES_BY_BATCH": ("lr", "bias_lr", "head_lr")}},
    ),
    Comparison(
        "label smoothing and mixup",
        "0.1 and none now, as for CIFAR-10",
        {
            "smoothing 0.05": {SETTINGS: ["label_smoothing=0.05"]},
            "mixup 0.2": {SETTINGS: ["mixup=0.2"]},
        },
    ),
    Comparison(
        "when growing images are full",
        "from 0.8 of the training on now",
        {"from 0.6": {"SCALE_STARTS": (0.0, 0.3, 0.6), "GROWTH_COST": 0.67}},
    ),
)
LARGE: Sequence[Comparison] = (  # by all of CIFAR-10, in ten minutes
    Comparison(
        "all of CIFAR-10 in ten minutes",
        "sixteen epochs of sprint-long, or sixty of sprint",
        {
            "sprint": {"sprint-long.min_steps": NEVER},
            "images that do not grow": {"SCALES": (1.0,), "SCALE_STARTS": (0.0,), "GROWTH_COST": 1.0},
        },
    ),
)
START = Comparison(
    "trained weights to begin with",
    "those of CIFAR-10, where they win in short trainings: a tenth of the time; its own pictures would tell nothing",
    {"init = auto": {SETTINGS: ["init=auto"]}},
)
