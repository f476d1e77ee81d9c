"""Batches from images in memory: whole-batch operations on uint8 [N,C,H,W], no workers, nothing per image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

MAX_GREY_LEVEL = 255.0


def shuffled_batches(num_images: int, batch_size: int, generator: torch.Generator) -> Iterator[Int64[Tensor, " b"]]:
    """The indices of one epoch in random order, in batches as `batches_of` makes them."""
    return batches_of(torch.randperm(num_images, generator=generator), batch_size)


def batches_of(order: Int64[Tensor, " n"], batch_size: int) -> Iterator[Int64[Tensor, " b"]]:
    """The indices of one epoch, `batch_size` at a time, the smaller last batch kept.

    A last batch of one image is joined to the one before: batch normalisation cannot train on a single image.
    """
    num_images = len(order)
    starts = list(range(0, num_images, batch_size))
    if len(starts) > 1 and num_images - starts[-1] == 1:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], num_images], strict=True):
        yield order[start:end]


def balanced_order(labels: Int64[Tensor, " n"], num_classes: int, generator: torch.Generator) -> Int64[Tensor, " n"]:
    """As many indices as there are images, in random order, the same number of each class; the remainder falls to
    classes drawn at random.

    Within a class no image comes again before all of its images have come. Every class needs an image.
    """
    num_images = len(labels)
    quotas = torch.full((num_classes,), num_images // num_classes)
    quotas[torch.randperm(num_classes, generator=generator)[: num_images % num_classes]] += 1
    counts = labels.bincount(minlength=num_classes)
    drawn = []
    for members, quota in zip(labels.argsort(stable=True).split(counts.tolist()), quotas.tolist(), strict=True):
        num_rounds = -(-quota // len(members))
        rounds = [members[torch.randperm(len(members), generator=generator)] for _ in range(num_rounds)]
        drawn.append(torch.cat(rounds)[:quota])
    return torch.cat(drawn)[torch.randperm(num_images, generator=generator)]


def num_batches(num_images: int, batch_size: int) -> int:
    """How many batches `shuffled_batches` gives."""
    full, rest = divmod(num_images, batch_size)
    return max(1, full + (rest > 1 or (rest == 1 and full == 0)))


def normalise(
    images: UInt8[Tensor, "n c h w"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "n c h w"]:
    """Grey levels 0..255 to (x / 255 - mean) / std per channel, float32 in the `memory_order` of their device."""
    scale = torch.tensor([1 / (MAX_GREY_LEVEL * s) for s in std], device=images.device).view(1, -1, 1, 1)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=images.device).view(1, -1, 1, 1)
    # Reordered last: arithmetic with one number a channel is three times faster channel by channel.
    normalised = images.to(torch.float32).mul_(scale).sub_(shift)
    return normalised.contiguous(memory_format=memory_order(images.device))


def memory_order(device: torch.device) -> torch.memory_format:
    """How images and filters lie in memory: channels last, which convolutions are fastest with.

    Not on mps: up to PyTorch 2.13, gradients of batch normalisation are wrong there with channels last, or it raises
    (github.com/pytorch/pytorch/issues/175189).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last
