"""A batch of images by our kernels: windows cut out, flipped, resized and normalised in one pass."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from thumbnet.data.batches import normalise
from thumbnet.kernels.resampling import Resampling, bilinear_resampling
from thumbnet.kernels.support import MAX_SIZE, is_readable

GREY_LEVELS = 256
BLOCK = 32  # pixels, more than maps are padded by


@dataclass(frozen=True)
class Windows:
    """What is cut out of each image, in its own size, and whether it is flipped left and right; None: neither.

    Attributes:
        top, left: the window's corner in the image with `padding` pixels around it, from 0 to twice the padding.
        reflects: whether the border is the image's reflection (reflect-101); else zeros.
    """

    top: Int64[Tensor, " n"] | None = None
    left: Int64[Tensor, " n"] | None = None
    flips: Bool[Tensor, " n"] | None = None
    padding: int = 0
    reflects: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether each image stays as it is."""
        return self.top is None and self.flips is None


def supports_images(images: Tensor, sides: tuple[int, int] | None, *, num_channels: int) -> bool:
    """Whether our kernels can make a batch of these images: bytes in a CPU's memory, of this many channels, and of a
    size that fits, as does the result's (`sides`; None: the same)."""
    if not is_readable(images) or images.dtype is not torch.uint8 or images.ndim != 4:
        return False
    batch, channels, height, width = images.shape
    result_height, result_width = sides or (height, width)
    largest = channels * (max(height, result_height) + BLOCK) * (max(width, result_width) + BLOCK)
    return (
        channels == num_channels
        and min(batch, channels, height, width, result_height, result_width) > 0
        and max(batch, largest) <= MAX_SIZE // 2
    )


def make_images(
    library: ctypes.CDLL,
    images: UInt8[Tensor, "n c h w"],
    windows: Windows,
    sides: tuple[int, int],
    table: Float32[Tensor, "c 256"],
) -> Float32[Tensor, "n c h2 w2"]:
    """The images' windows, flipped, resized to `sides`, and each grey level replaced by the table's value, in
    channels_last. `supports_images` must have accepted them."""
    images, table = images.contiguous(), table.contiguous()
    drawn = [None if each is None else each.contiguous() for each in (windows.top, windows.left, windows.flips)]
    batch, channels, height, width = images.shape
    assert all(each is None or each.shape == (batch,) for each in drawn)
    assert table.shape == (channels, GREY_LEVELS)
    order = torch.channels_last if channels > 1 else torch.contiguous_format  # the same, and as PyTorch has it
    result = torch.empty((batch, channels, *sides), dtype=torch.float32, device="cpu", memory_format=order)
    vertical, horizontal = _resampling(height, sides[0]), _resampling(width, sides[1])
    sums = [None if each is None else each.sums for each in (vertical, horizontal)]
    library.thumbnet_images(
        *(None if each is None else each.data_ptr() for each in (images, *drawn, *sums, table, result)),
        *(batch, channels, height, width, *sides),
        *(windows.padding, int(windows.reflects)),
        *(each for side in (vertical, horizontal) for each in ((side.taps, side.precision) if side else (0, 0))),
        torch.get_num_threads(),
    )
    return result


def normalised(
    library: ctypes.CDLL | None, images: UInt8[Tensor, "n c h w"], mean: Sequence[float], std: Sequence[float]
) -> Float32[Tensor, "n c h w"]:
    """What `normalise` gives, to the bit: by our kernels where they can, by PyTorch else."""
    if library is None or not supports_images(images, None, num_channels=len(mean)):
        return normalise(images, mean, std)
    height, width = images.shape[2:]
    return make_images(library, images, Windows(), (height, width), table_of_levels(tuple(mean), tuple(std)))


@lru_cache
def table_of_levels(mean: tuple[float, ...], std: tuple[float, ...]) -> Float32[Tensor, "c 256"]:
    """Each grey level as `normalise` makes it, by channel."""
    levels = torch.arange(GREY_LEVELS, dtype=torch.uint8, device="cpu").expand(1, len(mean), 1, GREY_LEVELS)
    return normalise(levels, mean, std)[0, :, 0].contiguous()


def _resampling(size: int, result_size: int) -> Resampling | None:
    return None if size == result_size else bilinear_resampling(size, result_size)
