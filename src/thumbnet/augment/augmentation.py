"""What an augmentation is, and how a batch goes through several. Images are uint8 [N,C,H,W] throughout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64, Shaped, UInt8
from torch import Tensor

from thumbnet.errors import ConfigError

Draws = dict[str, Tensor]  # what was drawn, by name: tensors [N] on the CPU, one entry an image


@dataclass(frozen=True)
class Part:
    """Some images of a batch of `num_images`, by their positions: choices are drawn for the whole batch, and those of
    these images are applied."""

    positions: Int64[Tensor, " m"]
    num_images: int


class Augmentation(ABC):
    """A random change to images, with its parameters as fields; equal parameters make equal values."""

    @abstractmethod
    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Refuse images [C,H,W] that these parameters do not fit: ConfigError."""

    @abstractmethod
    def draw(self, num_images: int, image_shape: tuple[int, int, int], generator: torch.Generator) -> Draws:
        """Random choices for each of `num_images` images of `image_shape` [C,H,W], from a CPU generator.

        Raises:
            ConfigError: as `check`.
        """

    @abstractmethod
    def apply(self, images: UInt8[Tensor, "n c h w"], draws: Draws) -> UInt8[Tensor, "n c h w"]:
        """The images changed as drawn, on their device; the given tensor stays as it is."""


Apply = Callable[[Augmentation, UInt8[Tensor, "n c h w"], Draws], UInt8[Tensor, "n c h w"]]


def apply_itself(
    augmentation: Augmentation, images: UInt8[Tensor, "n c h w"], draws: Draws
) -> UInt8[Tensor, "n c h w"]:
    """The images as the augmentation itself changes them."""
    return augmentation.apply(images, draws)


def draws_for(
    augmentation: Augmentation,
    images: UInt8[Tensor, "n c h w"],
    generator: torch.Generator,
    part: Part | None = None,
) -> Draws:
    """What the augmentation draws for these images, which are a `part` of a batch; None: all of it."""
    num_images, channels, height, width = images.shape
    if part is None:
        return augmentation.draw(num_images, (channels, height, width), generator)
    draws = augmentation.draw(part.num_images, (channels, height, width), generator)
    return {name: draw[part.positions] for name, draw in draws.items()}


def augment(
    images: UInt8[Tensor, "n c h w"],
    augmentations: Sequence[Augmentation],
    generator: torch.Generator,
    *,
    drawn: list[Draws] | None = None,
    part: Part | None = None,
    apply: Apply = apply_itself,
) -> UInt8[Tensor, "n c h w"]:
    """The images after each augmentation in turn; without any, the given tensor itself.

    Args:
        images: pixels from 0 to 255, on any device.
        augmentations: applied in this order.
        generator: a CPU generator; equal states draw equal choices, whatever the images' device.
        drawn: gets what was drawn, one entry an augmentation.
        part: as in `draws_for`.
        apply: what changes the images by what an augmentation has drawn.

    Raises:
        ConfigError: an augmentation's parameters do not fit the size or the channels of the images.
    """
    for augmentation in augmentations:
        draws = draws_for(augmentation, images, generator, part)
        images = apply(augmentation, images, draws)
        if drawn is not None:
            drawn.append(draws)
    return images


def sample_selected(num_images: int, p: float, generator: torch.Generator) -> Bool[Tensor, " n"]:
    """Which images an augmentation of probability `p` changes: none at 0, all at 1."""
    return torch.rand(num_images, generator=generator, dtype=torch.float64) < p


def drawn_for(images: UInt8[Tensor, "n c h w"], draw: Shaped[Tensor, " n"]) -> Shaped[Tensor, " n"]:
    """One entry of the draws on the images' device."""
    assert len(draw) == len(images), f"draws for {len(draw)} images applied to {len(images)}"
    return draw.to(images.device)


def check_probability(p: float) -> None:
    """ConfigError unless `p` is from 0 to 1."""
    if not 0 <= p <= 1:
        raise ConfigError(f"p is {p}, but a probability is from 0 to 1", hint="give 0.5 to change every second image")
