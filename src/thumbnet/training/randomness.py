"""The random numbers of an epoch, drawn anew from its number and the seed (docs/decisions/0003-randomness.md)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from thumbnet.training.device import seeded

RANDOM_SCHEMES = (1, 2)  # 1: until 2026-11-28, shuffling and augmentation drew from one stream
LATEST_SCHEME = 2


@dataclass(frozen=True)
class Streams:
    """The generators of an epoch, on the CPU; `mixing` is that of mixup where several processes train."""

    shuffling: torch.Generator
    augmentation: torch.Generator
    mixing: torch.Generator


@contextmanager
def epoch_randomness(
    seed: int, epoch: int, device: torch.device, *, scheme: int = LATEST_SCHEME, rank: int | None = None
) -> Iterator[Streams]:
    """Streams to shuffle and augment with; PyTorch's own (dropout, mixup) is seeded for the epoch, then restored.

    Of several processes, each drops out by a seed of its own, that of its `rank`, and mixes by a stream which begins
    where PyTorch's own would in one process.
    """
    sequence = np.random.SeedSequence([seed, epoch])
    if scheme == 1:
        shuffling_seed, dropout_seed = sequence.generate_state(2, np.uint32)
        stream = torch.Generator().manual_seed(int(shuffling_seed))
        streams = Streams(stream, stream, torch.Generator())
    else:
        seeds = [child.generate_state(1, np.uint32)[0] for child in sequence.spawn(3)]
        shuffling, augmentation = (torch.Generator().manual_seed(int(each)) for each in seeds[:2])
        streams, dropout_seed = Streams(shuffling, augmentation, torch.Generator()), seeds[2]
    if rank is not None:
        streams.mixing.manual_seed(int(dropout_seed))
        dropout_seed = np.random.SeedSequence([seed, epoch], spawn_key=(3 + rank,)).generate_state(1, np.uint32)[0]
    with seeded(int(dropout_seed), device):
        yield streams
