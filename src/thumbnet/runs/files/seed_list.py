"""seeds.json: the seeds of several runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from thumbnet.specs.checks import MAX_SEED
from thumbnet.specs.json_text import damaged
from thumbnet.specs.typed import from_fields

SEEDS_FORMAT = 2


@dataclass(frozen=True)
class _Values:
    seeds: tuple[int, ...]


def seed_folder(seed: int) -> str:
    """The name of a run's folder among those of several seeds."""
    return f"seed-{seed}"


def seeds_from_dict(values: Mapping[str, object], *, name: str) -> tuple[int, ...]:
    """The seeds; RunError, which names the file `name`, where they are none, out of range or there twice."""
    seeds = from_fields(_Values, values, name=name).seeds
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed <= MAX_SEED for seed in seeds):
        raise damaged(name, f"its seeds are {list(seeds)[:10]}")
    return seeds
