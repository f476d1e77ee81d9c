"""Whether images are drawn in flat colours, as icons, emoji, diagrams and clip art are, and no photographs.

What is drawn comes back as it was drawn: nothing turns it a little, lights it or takes it from nearer. Augmentation
that does teaches a network to overlook what tells such images apart, as the width of a line.
"""

from __future__ import annotations

import math
import statistics

import torch
from jaxtyping import UInt8
from torch import Tensor

FLAT_FROM = 0.35  # neighbouring pixels that are alike: of icons 0.75, of emoji 0.44; of solar cells 0.16, CIFAR-10 0.01
NUM_LOOKED_AT = 100


def are_flat(images: UInt8[Tensor, "n c h w"], *, frame: int | None = None) -> bool:
    """Whether most of the images are drawn in flat colours; some of them are looked at, at equal distances.

    Args:
        frame: the level of all channels that is around pictures which were framed whole; None: there is no frame.
    """
    return flat_share(images, frame=frame) >= FLAT_FROM


def flat_share(images: UInt8[Tensor, "n c h w"], *, frame: int | None = None) -> float:
    """The share of neighbouring pixels of a row that have the same colour, of the median image; without those of its
    frame and of its commonest colour, which is its background as a rule. 0 where no image has others."""
    step = max(1, len(images) // NUM_LOOKED_AT)
    shares = [share for image in images[::step] if not math.isnan(share := _share(image, frame))]
    return statistics.median(shares) if shares else 0.0


def _share(image: UInt8[Tensor, "c h w"], frame: int | None) -> float:
    """Of one image; nan where all of its neighbours are background."""
    colours = sum(channel.long() << (8 * place) for place, channel in enumerate(image))
    assert isinstance(colours, Tensor)
    is_framing = (image == frame).all(dim=0) if frame is not None else torch.zeros_like(colours, dtype=torch.bool)
    found, counts = colours[~is_framing].unique(return_counts=True)
    if not len(found):
        return math.nan
    is_shown = (colours != found[counts.argmax()]) & ~is_framing
    are_shown = is_shown[:, 1:] & is_shown[:, :-1]
    are_alike = (colours[:, 1:] == colours[:, :-1]) & are_shown
    return float(are_alike.sum() / are_shown.sum())
