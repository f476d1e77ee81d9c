"""Images turned, in other colours and sharpened by our kernels: as PyTorch does it, but for what float32 rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from kernel_builds import BUILDS, FLAGS
from test_kernel_images import images_of
from thumbnet.augment import (
    Augmentation,
    ColorJitter,
    Draws,
    HorizontalFlip,
    Part,
    RandomCrop,
    Sharpen,
    ShiftScaleRotate,
    VerticalFlip,
    create_policy,
)
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.library import Kernels, load_kernels
from thumbnet.training import changes
from thumbnet.training.changes import apply_by
from thumbnet.training.inputs import make_batch
from thumbnet.training.windows import split_windows

pytestmark = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
HALFWAY = (
    0.002  # the share of random pixels that may become the next level: neighbours differ by 85, so a tiny move counts
)
CHANGES: dict[str, Augmentation] = {
    "shifted, scaled, turned": ShiftScaleRotate(),
    "turned by any angle": ShiftScaleRotate(shift=0.5, scale=0.5, rotate_degrees=180.0, p=0.9),
    "colours": ColorJitter(),
    "much colour": ColorJitter(brightness=0.9, contrast=1.0, saturation=1.0, hue_degrees=180.0),
    "sharpened": Sharpen(),
}
SHAPES = [(20, 3, 32, 32), (9, 1, 28, 28), (5, 4, 33, 17), (6, 3, 1, 1), (7, 5, 2, 9), (4, 3, 96, 128), (3, 6, 3, 3)]


@dataclass(frozen=True)
class OwnJitter(ColorJitter):
    """One that does something else."""

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        return 255 - images


def assert_alike(ours: Tensor, theirs: Tensor) -> None:
    difference = (ours.short() - theirs.short()).abs()
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert difference.max() <= 1
    assert difference.count_nonzero() <= max(1, HALFWAY * difference.numel())


@pytest.mark.parametrize("flags", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_pytorchs(change: str, flags: tuple[str, ...]) -> None:
    library, augmentation = load_kernels(flags), CHANGES[change]
    for shape in SHAPES:
        images = images_of(*shape)
        draws = augmentation.draw(len(images), shape[1:], torch.Generator().manual_seed(5))
        before = images.clone()
        assert_alike(apply_by(library)(augmentation, images, draws), augmentation.apply(images, draws))
        assert images.equal(before)


@pytest.mark.parametrize("change", CHANGES)
def test_images_may_have_any_layout(change: str) -> None:
    library, augmentation = load_kernels(FLAGS), CHANGES[change]
    images = images_of(9, 3, 24, 18)
    for each in (images.contiguous(memory_format=torch.channels_last), images[:, :, ::2], images.transpose(2, 3)):
        draws = augmentation.draw(9, tuple(each.shape[1:]), torch.Generator().manual_seed(5))
        assert_alike(apply_by(library)(augmentation, each, draws), augmentation.apply(each, draws))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("change", CHANGES)
def test_the_default_type_of_new_tensors_does_not_matter(change: str, dtype: torch.dtype) -> None:
    library, augmentation, images = load_kernels(FLAGS), CHANGES[change], images_of(9, 1, 12, 10)
    found = []
    for default in (torch.float32, dtype):
        torch.set_default_dtype(default)
        try:
            draws = augmentation.draw(9, (1, 12, 10), torch.Generator().manual_seed(5))
            found.append(apply_by(library)(augmentation, images, draws))
        finally:
            torch.set_default_dtype(torch.float32)
    assert found[0].equal(found[1])


def test_nothing_drawn_changes_nothing() -> None:
    """To the bit: neither a turn by no angle, nor a factor of one."""
    library, images = load_kernels(FLAGS), images_of(9, 3, 33, 20)
    for augmentation in (
        ShiftScaleRotate(shift=0.0, scale=0.0, rotate_degrees=0.0, p=1.0),
        ShiftScaleRotate(p=0.0),
        Sharpen(up_to=1.0),
    ):
        draws = augmentation.draw(9, (3, 33, 20), torch.Generator())
        assert apply_by(library)(augmentation, images, draws).equal(images)


def batch_of(
    library: Kernels | None, images: Tensor, augmentations: Sequence[Augmentation], part: Part | None = None
) -> tuple[Tensor, list[Draws], Tensor]:
    """The grey levels of a batch by a mean of 0 and a deviation of 1, what was drawn, and what is drawn next."""
    generator, drawn, channels = torch.Generator().manual_seed(3), list[Draws](), images.shape[1]
    batch = make_batch(
        images,
        augmentations,
        generator,
        mean=[0.0] * channels,
        std=[1.0] * channels,
        flipped=torch.arange(len(images)) % 3 == 1 if part is None else part.positions % 3 == 1,
        drawn=drawn,
        library=library,
        part=part,
    )
    return (batch * 255).round().to(torch.uint8), drawn, torch.rand(3, generator=generator)


@pytest.mark.parametrize("policy", ["strong", "strong-turns", "photo", "albumentations", "crop-flip"])
def test_a_policy_draws_and_changes_the_same(policy: str) -> None:
    images = images_of(20, 3, 32, 32)
    augmentations = create_policy(policy, flip=True, mean=(0.5, 0.5, 0.5), cutout=8, border="reflect")
    ours, our_draws, our_next = batch_of(load_kernels(FLAGS), images, augmentations)
    theirs, their_draws, their_next = batch_of(None, images, augmentations)
    assert our_next.equal(their_next)
    for one, other in zip(our_draws, their_draws, strict=True):
        assert one.keys() == other.keys()
        assert all(one[name].equal(other[name]) for name in one)
    difference = (ours.short() - theirs.short()).abs()
    assert difference.max() <= 5  # a level more or less is coloured, then sharpened by up to 2.2
    assert difference.count_nonzero() <= 2 * HALFWAY * difference.numel()


def test_a_part_of_a_batch_is_changed_as_in_the_whole() -> None:
    """As when several processes train together."""
    library, images = load_kernels(FLAGS), images_of(20, 3, 32, 32)
    augmentations = create_policy("strong", flip=True, mean=(0.5, 0.5, 0.5))
    positions = torch.arange(7, 16)
    whole, _, whole_next = batch_of(library, images, augmentations)
    part, _, part_next = batch_of(library, images[positions], augmentations, Part(positions, 20))
    assert part.equal(whole[positions])
    assert part_next.equal(whole_next)


def test_an_augmentation_of_ones_own_is_not_taken_for_ours() -> None:
    library, images = load_kernels(FLAGS), images_of(4, 3, 8, 8)
    draws = OwnJitter().draw(4, (3, 8, 8), torch.Generator())
    assert apply_by(library)(OwnJitter(), images, draws).equal(255 - images)


class OwnTensor(Tensor):
    """One that may have no memory of its own, or another meaning."""


def test_images_that_the_kernels_cannot_read_are_pytorchs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("turn_images", "mix_images", "sharpen_images"):
        monkeypatch.delattr(changes, name)
    images = images_of(4, 3, 8, 8).as_subclass(OwnTensor)
    for augmentation in CHANGES.values():
        draws = augmentation.draw(4, (3, 8, 8), torch.Generator())
        assert apply_by(load_kernels(FLAGS))(augmentation, images, draws).equal(augmentation.apply(images, draws))


def test_what_choosing_pixels_does_is_apart_from_what_changes_them() -> None:
    crop, flip, sharpen = RandomCrop(2), HorizontalFlip(), Sharpen()
    for augmentations, num_windows in (
        ((), 0),
        ((crop, flip), 2),
        ((crop, sharpen, flip), 1),
        ((flip, crop), 1),
        ((crop, crop), 1),
        ((VerticalFlip(), crop), 0),
        ((RandomCrop(2**31), flip), 0),
    ):
        first, others = split_windows(augmentations)
        assert (first, others) == (augmentations[:num_windows], augmentations[num_windows:])
