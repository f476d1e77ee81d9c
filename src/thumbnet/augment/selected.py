"""Changes of some images of a batch, a few at a time, so that their pixels stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from thumbnet.errors import ConfigError

VALUES_AT_ONCE = 2**19  # two MiB of float32: about the cache of one core
Change = Callable[[Float32[Tensor, "m c h w"], Int64[Tensor, " m"]], Float32[Tensor, "m c h w"]]


def change_selected(
    images: UInt8[Tensor, "n c h w"], selected: Bool[Tensor, " n"], change: Change
) -> UInt8[Tensor, "n c h w"]:
    """The images with the selected ones changed, rounded to grey levels; the given tensor stays as it is.

    Args:
        selected: on the CPU.
        change: takes pixels as numbers, which it may overwrite, and the positions (on the CPU) of their images in the
            batch; gives the new pixels, also outside 0..255.
    """
    assert len(selected) == len(images), f"draws for {len(selected)} images applied to {len(images)}"
    positions = selected.nonzero().flatten()  # found on the CPU, so that no device has to wait
    changed = images.clone(memory_format=torch.contiguous_format)
    for some in in_pieces(positions, images):
        places = some.to(images.device)
        pixels = change(images[places].float(), some)
        changed.index_copy_(0, places, pixels.round_().clamp_(0, 255).to(torch.uint8))
    return changed


def in_pieces(positions: Int64[Tensor, " m"], images: UInt8[Tensor, "n c h w"]) -> Iterator[Int64[Tensor, " p"]]:
    """The positions of images of which as many are worked on at once as fit into the cache; on a GPU, of all."""
    num_values = images[:1].numel()
    at_once = max(1, VALUES_AT_ONCE // max(1, num_values)) if images.device.type == "cpu" else max(1, len(images))
    for start in range(0, len(positions), at_once):
        yield positions[start : start + at_once]


def per_image(
    values: Float32[Tensor, " n"], positions: Int64[Tensor, " m"], pixels: Tensor
) -> Float32[Tensor, "m 1 1 1"]:
    """The values drawn for these images, beside their pixels."""
    return values[positions].to(pixels.device)[:, None, None, None]


def uniform(between: tuple[float, float], num_images: int, generator: torch.Generator) -> Float32[Tensor, " n"]:
    """A number for each image, every one between the two with the same probability."""
    lowest, highest = between
    return lowest + torch.rand(num_images, generator=generator) * (highest - lowest)


def check_range(name: str, between: tuple[float, float], *, lowest: float, highest: float, example: str) -> None:
    """ConfigError unless the two numbers ascend and lie between the lowest and the highest allowed."""
    if not (len(between) == 2 and lowest <= between[0] <= between[1] <= highest):
        raise ConfigError(
            f"{name} is {between}",
            hint=f"give two numbers from {lowest:g} to {highest:g}, the smaller first: {example}",
        )
