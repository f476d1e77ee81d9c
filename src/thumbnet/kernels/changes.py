"""Batches of bytes by our kernels: windows cut out, images turned, given other colours, sharpened.

All are [n,c,h,w], and `images.supports_images` must have accepted what is given; the results are new tensors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from thumbnet.kernels.images import Windows
from thumbnet.kernels.support import is_readable

MAX_TURNED_SIDE = 2**24  # pixels: places are float32


def cut_images(library: ctypes.CDLL, images: UInt8[Tensor, "n c h w"], windows: Windows) -> UInt8[Tensor, "n c h w"]:
    """The images' windows, flipped."""
    drawn = [
        None if each is None else _given(each, dtype, len(images))
        for each, dtype in ((windows.top, torch.int64), (windows.left, torch.int64), (windows.flips, torch.bool))
    ]
    return _changed(library.thumbnet_cut_images, images, *drawn, settings=(windows.padding, int(windows.reflects)))


def turn_images(
    library: ctypes.CDLL,
    images: UInt8[Tensor, "n c h w"],
    selected: Bool[Tensor, " n"],
    sources: Float32[Tensor, "n 2 3"],
) -> UInt8[Tensor, "n c h w"]:
    """The images of which the selected ones have each pixel from another place, bilinear, reflected (reflect-101).

    Args:
        sources: of each pixel (x, y), in pixels to the right of the image's centre and below it, comes from
            `sources @ (x, y, 1)`.
    """
    selected = _given(selected, torch.bool, len(images))
    sources = _given(sources, torch.float32, len(images), 2, 3)
    return _changed(library.thumbnet_turn_images, images, selected, sources)


def mix_images(
    library: ctypes.CDLL,
    images: UInt8[Tensor, "n c h w"],
    mixing: Float32[Tensor, "n c c"],
    lifts: Float32[Tensor, " n"],
    greys: Float32[Tensor, " c"],
) -> UInt8[Tensor, "n c h w"]:
    """Each pixel as `mixing` times its channels, and `lifts` times the image's mean grey level, cut to 0..255.

    Args:
        greys: by how much each channel counts in the grey level.
    """
    batch, channels = images.shape[:2]
    mixing = _given(mixing, torch.float32, batch, channels, channels)
    lifts, greys = _given(lifts, torch.float32, batch), _given(greys, torch.float32, channels)
    return _changed(library.thumbnet_mix_images, images, mixing, lifts, greys)


def sharpen_images(
    library: ctypes.CDLL, images: UInt8[Tensor, "n c h w"], factors: Float32[Tensor, " n"]
) -> UInt8[Tensor, "n c h w"]:
    """Each pixel drawn by a factor from the mean of its eight neighbours and, five times, itself; cut to 0..255.

    The outermost pixels stay as they are.
    """
    return _changed(library.thumbnet_sharpen_images, images, _given(factors, torch.float32, len(images)))


def _given(drawn: Tensor, dtype: torch.dtype, *shape: int) -> Tensor:
    """What was drawn, one after the other in memory."""
    assert is_readable(drawn)
    assert (drawn.dtype, drawn.shape) == (dtype, shape)
    return drawn.contiguous()


def _changed(
    function: Callable[..., None],
    images: UInt8[Tensor, "n c h w"],
    *drawn: Tensor | None,
    settings: tuple[int, ...] = (),
) -> UInt8[Tensor, "n c h w"]:
    """What the library's function makes of the images by what was drawn; `settings` stand behind the shape."""
    images = images.contiguous()
    result = torch.empty_like(images)
    pointers = (None if each is None else each.data_ptr() for each in (images, *drawn, result))
    function(*pointers, *images.shape, *settings, torch.get_num_threads())
    return result
