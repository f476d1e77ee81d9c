"""How training images are changed before a model sees them, as a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Never, Protocol, TypeAlias, runtime_checkable

from thumbnet.errors import ConfigError
from thumbnet.specs.checks import MAX_IMAGE_SIZE, require, require_choice
from thumbnet.specs.policies import AUTO, POLICIES
from thumbnet.specs.resizing import ProgressiveResizing

OfABatch: TypeAlias = Callable[[Never], object]  # a function from a batch uint8 [N,C,H,W] to the same


@runtime_checkable
class ImageChange(Protocol):
    """A `thumbnet.augment.Augmentation`, of which only this is needed here."""

    def check(self, image_shape: tuple[int, int, int]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Augmentation, flips and sizes of the training images.

    Args:
        augmentation: a policy's name; `auto`: one that `train` chooses, on validation images; a function from a batch
            uint8 [N,C,H,W] to the same; or several augmentations in their order: such functions, and those of
            `thumbnet.augment`.
        flip: whether a policy also flips images, left to right, at random; `auto`: where it does by default and the
            dataset says that a flip keeps the label.
        alternating_flip: flip every image in every second epoch, instead of at random.
        cutout: side in pixels of a square in the mean colour, painted into every image after a policy; 0: none.
        scale_pixels: whether what thumbnet's policies and `cutout` give in pixels is meant of images whose shorter side
            has 32, and is more pixels on larger images; false: it is so many pixels of any image.
        border: what a policy's crop shows beyond the image: `policy`: what the policy says, which is black in
            `crop-flip`; `reflect`: the image, mirrored; `auto`: `reflect` for a user's own pictures in thumbnet's
            policies, since black could look like a defect there, else `policy`.
        scales, scale_starts: progressive resizing; from the fraction `scale_starts[i]` of the steps on, images have
            `scales[i]` times their full sides, and not less than 16 pixels.
        sampler: which images an epoch has: `shuffled`: each once; `balanced`: as many in all, the same number of each
            class, so that those of rare classes come several times.
        shuffle: how each epoch's images are shuffled: `whole`: all of them; `blocks`: so that they can be read from a
            disk nearly in order (see `thumbnet.data.block_shuffle`); `auto`: in blocks where they are more than memory
            takes and the sampler is `shuffled`.

    Raises:
        ConfigError: out of range, or two of these contradict each other.
    """

    augmentation: str | Sequence[ImageChange | OfABatch] | OfABatch = "crop-flip"
    flip: bool | Literal["auto"] = "auto"
    alternating_flip: bool = False
    cutout: int = 0
    scale_pixels: bool = True
    border: Literal["auto", "policy", "reflect"] = "auto"
    scales: tuple[float, ...] = (1.0,)
    scale_starts: tuple[float, ...] = (0.0,)
    sampler: Literal["shuffled", "balanced"] = "shuffled"
    shuffle: Literal["auto", "whole", "blocks"] = "auto"

    def __post_init__(self) -> None:
        require_choice("sampler", self.sampler, ("shuffled", "balanced"))
        require_choice("shuffle", self.shuffle, ("auto", "whole", "blocks"))
        if self.shuffle == "blocks" and self.sampler == "balanced":
            raise ConfigError(
                "shuffle is 'blocks', but a balanced sampler draws images from everywhere",
                hint="leave shuffle or sampler out",
            )
        require(0 <= self.cutout <= MAX_IMAGE_SIZE, "cutout", self.cutout, f"0 to {MAX_IMAGE_SIZE} pixels")
        object.__setattr__(self, "scales", tuple(self.scales))
        object.__setattr__(self, "scale_starts", tuple(self.scale_starts))
        self.resizing  # noqa: B018  # it checks itself
        if self.alternating_flip and self.flip is False:
            raise ConfigError("alternating_flip is true but flip is false", hint="leave one of the two out")
        if self.augmentation == AUTO:
            return
        if isinstance(self.augmentation, str):
            flips = POLICIES[self.augmentation].flips
            if self.alternating_flip and not flips:
                raise ConfigError(
                    f"alternating_flip is true but augmentation is {self.augmentation!r}, which flips nothing",
                    hint="set alternating_flip = false, or another augmentation",
                )
            return
        given = self.augmentation
        several: tuple[object, ...] = tuple(given) if isinstance(given, Sequence) else (given,)
        object.__setattr__(self, "augmentation", several)
        if self.flip is True or self.cutout or self.border == "reflect":
            raise ConfigError(
                f"flip is {self.flip}, cutout {self.cutout} and border {self.border!r}, but the augmentations are "
                "given one by one",
                hint="put HorizontalFlip, CoarseDropout or RandomCrop(border='reflect') among them, or name a policy",
            )

    @property
    def resizing(self) -> ProgressiveResizing:
        """The images' sizes over the training."""
        return ProgressiveResizing(self.scales, self.scale_starts)
