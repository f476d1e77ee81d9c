"""What a model is trained on: batches augmented, resized and normalised; and its data-dependent initialisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.augment import (
    POLICIES,
    Augmentation,
    Draws,
    HorizontalFlip,
    Part,
    Policy,
    augment,
    create_policy,
    policy_flips,
)
from thumbnet.augment.own import own_augmentation
from thumbnet.data.batches import normalise
from thumbnet.data.dataset import Dataset
from thumbnet.data.streamed import is_large
from thumbnet.kernels.changes import cut_images
from thumbnet.kernels.images import Windows, make_images, supports_images, table_of_levels
from thumbnet.kernels.library import Kernels
from thumbnet.models.blocks import InitFromData
from thumbnet.specs.code_reference import is_own_code
from thumbnet.specs.data import DataSpec
from thumbnet.specs.inputs import Inputs
from thumbnet.specs.policies import AUTO, pixel_unit
from thumbnet.training.changes import apply_by
from thumbnet.training.windows import draw_windows, split_windows

OWN_PICTURES = ("folder", "packed", "npz", "arrays")  # the data sources of a user's own pictures
NUM_SAMPLE_IMAGES = 2_000  # for a data-dependent initialisation, of images of up to 64x64 pixels
SAMPLE_PIXELS = NUM_SAMPLE_IMAGES * 64 * 64  # of fewer large ones, since all are in memory at once


def resolve_inputs(inputs: Inputs, dataset: Dataset) -> Inputs:
    """The inputs with `flip`, `border` and `shuffle` decided, and no alternating flip where there is to be none.

    Flips only if the policy flips by default and the dataset says that a flip keeps the label, or if `flip` is true. A
    policy that is still to be chosen is left so.
    """
    if inputs.shuffle == "auto":
        by_blocks = is_large(dataset.train.images) and inputs.sampler == "shuffled"
        inputs = dataclasses.replace(inputs, shuffle="blocks" if by_blocks else "whole")
    if not isinstance(inputs.augmentation, str) or inputs.augmentation == AUTO:
        return inputs
    flip = inputs.flip
    if flip == "auto":
        flip = policy_flips(inputs.augmentation) and dataset.flip_keeps_labels
    border = inputs.border
    if border == "auto":
        is_mirrored = DataSpec(dataset.source.name).name in OWN_PICTURES
        is_ours = not is_own_code(inputs.augmentation) and not isinstance(POLICIES[inputs.augmentation], Policy)
        border = "reflect" if is_mirrored and is_ours else "policy"
    return dataclasses.replace(inputs, flip=flip, border=border, alternating_flip=inputs.alternating_flip and flip)


def build_augmentations(inputs: Inputs, dataset: Dataset) -> tuple[Augmentation, ...]:
    """The augmentations of these inputs, except for an alternating flip.

    Raises:
        ConfigError: an unknown policy, something that is no augmentation, or images that they do not fit.
    """
    inputs = resolve_inputs(inputs, dataset)
    if isinstance(inputs.augmentation, str):
        flip = inputs.flip is True and not inputs.alternating_flip
        augmentations = create_policy(
            inputs.augmentation,
            flip=flip,
            mean=dataset.mean,
            cutout=inputs.cutout,
            unit=pixel_unit(dataset.image_shape[1:]) if inputs.scale_pixels else 1.0,
            border="reflect" if inputs.border == "reflect" else "policy",
        )
    else:
        assert isinstance(inputs.augmentation, tuple)  # as Inputs makes it
        augmentations = tuple(own_augmentation(each, name=repr(each)) for each in inputs.augmentation)
    for augmentation in augmentations:
        augmentation.check(dataset.image_shape)
    return augmentations


def make_batch(
    images: UInt8[Tensor, "n c h w"],
    augmentations: Sequence[Augmentation],
    generator: torch.Generator,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    sides: tuple[int, int] | None = None,
    drawn: list[Draws] | None = None,
    flipped: Bool[Tensor, " n"] | None = None,
    library: Kernels | None = None,
    part: Part | None = None,
) -> Float[Tensor, "n c h2 w2"]:
    """Images as a model is trained on them: augmented, resized to `sides` (height and width) if given, normalised.

    Args:
        drawn: as in `augment`.
        flipped: the images to flip left and right before anything else.
        library: our kernels, which do what they can of it; None: PyTorch does it all. The result is the same to the
            bit, unless images are turned, or their colours or sharpness change: see `changes.apply_by`.
        part: as in `augment.draws_for`.
    """
    windows = None
    if library is not None and supports_images(images, sides, num_channels=len(mean)):
        first, augmentations = split_windows(augmentations)
        windows = draw_windows(images, first, generator, flipped=flipped, drawn=drawn, part=part)
        if augmentations and not windows.is_whole:
            images = cut_images(library, images, windows)
    elif flipped is not None:
        images = HorizontalFlip().apply(images, {"selected": flipped})
    if augmentations:
        images = augment(images, augmentations, generator, drawn=drawn, part=part, apply=apply_by(library))
    if windows is None or augmentations:  # which may have given other images than were supported
        is_supported = library is not None and supports_images(images, sides, num_channels=len(mean))
        windows = Windows() if is_supported else None
    if sides is None:
        height, width = images.shape[2:]
        sides = height, width
    if library is not None and windows is not None:
        return make_images(library, images, windows, sides, table_of_levels(tuple(mean), tuple(std)))
    if tuple(images.shape[2:]) != sides:
        images = resize(images, sides)
    return normalise(images, mean, std)


def resize(pixels: UInt8[Tensor, "n c h w"], sides: tuple[int, int]) -> UInt8[Tensor, "n c h2 w2"]:
    """Images of another height and width, by bilinear interpolation with antialiasing."""
    pixels = pixels.contiguous(memory_format=torch.channels_last)  # almost twice as fast
    if pixels.device.type == "cpu":
        return F.interpolate(pixels, size=sides, mode="bilinear", antialias=True)
    resized = F.interpolate(pixels.float(), size=sides, mode="bilinear", antialias=True)  # GPUs resize no integers
    return resized.round().clamp(0, 255).to(torch.uint8)


def init_model_from_data(model: nn.Module, dataset: Dataset, *, seed: int) -> None:
    """Data-dependent initialisation, if the model has one, from NUM_SAMPLE_IMAGES normalised training images, chosen
    by the seed, or from fewer large ones with as many pixels."""
    if isinstance(model, InitFromData):
        _, height, width = dataset.image_shape
        num_images = min(NUM_SAMPLE_IMAGES, max(1, SAMPLE_PIXELS // (height * width)))
        chosen = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(seed))[:num_images]
        images = dataset.train.images[chosen].to(next(model.parameters()).device)
        model.init_from_data(normalise(images, dataset.mean, dataset.std))
