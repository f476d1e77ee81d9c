"""The cost of a network that the table of recipes has not got, measured on small images before a size is chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from thumbnet.config import TrainConfig
from thumbnet.data.random_images import random_dataset
from thumbnet.runs.choices.augmentation_probe import PROBE_POLICY
from thumbnet.runs.planning.apply import with_rung
from thumbnet.runs.planning.constants import BATCH, GIVEN, LADDER, REFERENCE_S, SIZES, Rung
from thumbnet.runs.planning.ladder import DataFacts
from thumbnet.runs.planning.maps import size_cost
from thumbnet.runs.planning.speed import Measures
from thumbnet.runs.resolve import resolve_config


def with_costs(
    config: TrainConfig, rungs: Sequence[Rung], facts: DataFacts, measures: Measures, *, image_s: float
) -> tuple[Rung, ...]:
    """The recipes, each with the cost of the network that it trains here: of the table, or else measured.

    Args:
        image_s: the seconds that the ladder's first recipe trains an image of 32 pixels for.
    """
    known = {rung.network: rung.cost for rung in (*LADDER, *GIVEN)}

    def cost(rung: Rung) -> float:
        is_known = rung.network in known and "blocks" not in config.model_options
        return known[rung.network] if is_known else _measured_cost(config, rung, facts, measures, image_s)

    return tuple(dataclasses.replace(rung, cost=cost(rung)) for rung in rungs)


def _measured_cost(config: TrainConfig, rung: Rung, facts: DataFacts, measures: Measures, image_s: float) -> float:
    """On random images of 32 pixels, or of the nearest side that the network takes, which are only shifted. As it was
    where the network fails on these: it is measured, or fails, at the size that is chosen, too."""
    side = max(SIZES[0], rung.min_side)
    side = side if rung.max_side is None else min(side, rung.max_side)
    num_classes = len(facts.class_counts)
    like = random_dataset(max(2 * BATCH, num_classes), (facts.num_channels, side, side), num_classes)
    small = with_rung(config, rung, facts, grows=False).replace(
        augmentation=PROBE_POLICY,
        cutout=0,
        scales=(1.0,),
        scale_starts=(0.0,),
        class_weights="none",  # these images are of no class that could be named
    )
    resolved = resolve_config(small, like)
    try:
        step_s = measures.speed(resolved, like, seconds=REFERENCE_S).step_s[side, side]
    except Exception:  # noqa: BLE001  # whatever a user's network that is made for images of another size raises
        return rung.cost
    num_images = min(resolved.batch_size, len(like.train))
    return step_s / (num_images * image_s * size_cost(rung.network, (side, side)))
