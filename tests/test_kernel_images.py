"""Batches of images by our kernels: PyTorch's way of crop, flip, resizing and normalising, to the bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from fitting import fit_flat
from kernel_builds import BUILDS, FLAGS
from thumbnet.augment import Augmentation, CoarseDropout, Draws, HorizontalFlip, RandomCrop
from thumbnet.data.dataset import Dataset, Split
from thumbnet.errors import ConfigError
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.images import supports_images
from thumbnet.kernels.library import Kernels, load_kernels
from thumbnet.models.blocknet import BlockNet
from thumbnet.training import inputs
from thumbnet.training.inputs import make_batch

pytestmark = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
MEAN, STD = (0.49, 0.48, 0.45, 0.3, 0.2), (0.25, 0.24, 0.26, 0.3, 0.1)
REFLECTED, ZEROS = RandomCrop(2, "reflect"), RandomCrop(4, "zero")
WINDOWS: dict[str, tuple[Augmentation, ...]] = {
    "nothing": (),
    "crop": (REFLECTED,),
    "crop into zeros": (ZEROS,),
    "crop and flip": (REFLECTED, HorizontalFlip()),
    "flip": (HorizontalFlip(0.3),),
    "mostly border": (RandomCrop(60, "zero"), HorizontalFlip()),
}


@dataclass(frozen=True)
class OwnFlip(HorizontalFlip):
    """A flip that does something else."""

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        return super().apply(images, draws) // 2


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def images_of(num_images: int, channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (num_images, channels, height, width), generator=generator, dtype=torch.uint8)
    images[0], images[1], images[2] = 255, 0, images[2] // 128 * 255
    return images


def batch_of(
    library: Kernels | None,
    images: Tensor,
    augmentations: Sequence[Augmentation] = (),
    sides: tuple[int, int] | None = None,
    flipped: Tensor | None = None,
) -> tuple[Tensor, list[Draws], Tensor]:
    """The batch, what was drawn for it, and what is drawn next."""
    generator, drawn = torch.Generator().manual_seed(3), list[Draws]()
    channels = images.shape[1]
    batch = make_batch(
        images,
        augmentations,
        generator,
        mean=MEAN[:channels],
        std=STD[:channels],
        sides=sides,
        drawn=drawn,
        flipped=flipped,
        library=library,
    )
    return batch, drawn, torch.rand(3, generator=generator)


def assert_equal(library: Kernels, images: Tensor, *arguments: object) -> None:
    ours, our_draws, our_next = batch_of(library, images, *arguments)  # type: ignore[arg-type]
    theirs, their_draws, their_next = batch_of(None, images, *arguments)  # type: ignore[arg-type]
    assert ours.equal(theirs)
    assert ours.stride() == theirs.stride()
    assert our_next.equal(their_next)
    for one, other in zip(our_draws, their_draws, strict=True):
        assert one.keys() == other.keys()
        assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("flags", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("case", WINDOWS)
def test_a_batch_is_pytorchs_to_the_bit(case: str, flags: tuple[str, ...]) -> None:
    library = load_kernels(flags)
    flipped = torch.arange(20) % 3 == 1
    for channels, height, width in ((3, 32, 32), (1, 8, 8), (3, 48, 40), (5, 17, 5)):
        images = images_of(20, channels, height, width)
        for sides in (None, (16, 16), (24, 24), (20, 28), (6, 4), (height, 9), (33, width)):
            assert_equal(library, images, WINDOWS[case], sides, None)
        assert_equal(library, images, WINDOWS[case], (16, 16), flipped)
        assert_equal(library, images, WINDOWS[case], None, flipped)


def test_every_size_is_resized_as_by_pytorch() -> None:
    library = load_kernels(FLAGS)
    for size in (*range(1, 13), 16, 31, 32, 33, 64):
        images = images_of(3, 1, size, size)
        for result in (*range(1, 13), 16, 20, 24, 28, 31, 48):
            assert_equal(library, images, (), (result, size))
            assert_equal(library, images, (), (size, result))


def test_the_batch_does_not_depend_on_the_threads(two_threads: None) -> None:
    library, images = load_kernels(FLAGS), images_of(50, 3, 32, 32)
    batches = []
    for num_threads in (1, 2):
        torch.set_num_threads(num_threads)
        batches.append(batch_of(library, images, WINDOWS["crop and flip"], (16, 16))[0])
    assert batches[0].equal(batches[1])


@pytest.mark.parametrize(
    ("augmentations", "num_cuts"),
    [
        (WINDOWS["crop and flip"], 0),
        ((HorizontalFlip(), REFLECTED), 1),
        ((REFLECTED, REFLECTED), 1),
        ((REFLECTED, CoarseDropout(fill=(0, 0, 0)), HorizontalFlip()), 1),
        ((REFLECTED, OwnFlip()), 1),
        ((OwnFlip(),), 1),
    ],
)
def test_other_augmentations_are_applied_as_ever(
    augmentations: tuple[Augmentation, ...], num_cuts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the windows in bytes, and what they give is resized and normalised by the kernels."""
    calls = {"cut_images": 0, "make_images": 0}
    for name, original in (("cut_images", inputs.cut_images), ("make_images", inputs.make_images)):

        def counted(*arguments: object, name: str = name, original: object = original, **named: object) -> object:
            calls[name] += 1
            return original(*arguments, **named)  # type: ignore[operator]

        monkeypatch.setattr(inputs, name, counted)
    assert_equal(load_kernels(FLAGS), images_of(9, 3, 32, 32), augmentations, (16, 16), torch.arange(9) % 2 == 0)
    assert calls == {"cut_images": num_cuts, "make_images": 1}


def test_images_of_any_layout() -> None:
    library = load_kernels(FLAGS)
    images = images_of(9, 3, 12, 10)
    for each in (images.contiguous(memory_format=torch.channels_last), images[:, :, ::2], images.transpose(2, 3)):
        assert_equal(library, each, WINDOWS["crop and flip"], (8, 8))
        assert_equal(library, each, (REFLECTED, CoarseDropout(size=4, fill=(0, 0, 0))), (8, 8))


def test_a_border_larger_than_the_image_is_refused_as_ever() -> None:
    for library in (load_kernels(FLAGS), None):
        with pytest.raises(ConfigError, match="cannot be reflected"):
            batch_of(library, images_of(4, 3, 8, 2), (REFLECTED,))


def doubled(dataset: Dataset, name: str) -> Split:
    """A split's images with four pixels for each."""
    split: Split = getattr(dataset, name)
    return Split(split.images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), split.labels)


@pytest.mark.parametrize("alternating_flip", [True, False])
def test_a_training_is_the_same_to_the_bit(
    tiny_dataset: Dataset, alternating_flip: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With these batches and with PyTorch's, all else by our kernels."""
    dataset = dataclasses.replace(
        tiny_dataset, **{name: doubled(tiny_dataset, name) for name in ("train", "val", "test")}
    )
    results = []
    for is_supported in (supports_images, lambda *arguments, **named: False):
        monkeypatch.setattr(inputs, "supports_images", is_supported)
        torch.manual_seed(0)
        results.append(
            fit_flat(
                BlockNet(num_classes=3, blocks="c8p"),
                dataset,
                batch_size=32,
                lr=0.01,
                kernels="native",
                augmentation="shift-flip",
                flip=True,
                alternating_flip=alternating_flip,
                scales=(0.75, 1.0),
                scale_starts=(0.0, 0.5),
            )
        )
    ours, theirs = (result.history[-1] for result in results)
    assert (ours.train_loss, ours.train_accuracy) == (theirs.train_loss, theirs.train_accuracy)
