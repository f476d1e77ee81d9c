"""Blocks by our kernels, where these support them: [N,C,H,W] in, what the block's layers would give out."""

from __future__ import annotations

import ctypes

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thumbnet.kernels import convolution_choice
from thumbnet.kernels.block_functions import Norm, Plain, Separable, Strided
from thumbnet.kernels.block_support import supports_norm, supports_plain, supports_separable, supports_strided
from thumbnet.kernels.convolution import stored
from thumbnet.kernels.convolution_support import dilation_of, padding_of
from thumbnet.kernels.support import storage_dtype


def fused_norm(
    library: ctypes.CDLL,
    maps: Float[Tensor, "n c h w"],
    shortcut: Float[Tensor, "n c h w"] | None,
    norm: nn.Module,
    *,
    pools: bool,
) -> Float[Tensor, "n c h2 w2"] | None:
    """Max-pool of 2x2 pixels if it `pools`, then the norm, SiLU, and the shortcut added.

    None, and nothing is done, if our kernels do not support these.
    """
    if not supports_norm(maps, norm, pools=pools, shortcut=shortcut):
        return None
    maps = stored(maps, storage_dtype(maps))
    shortcut = None if shortcut is None else stored(shortcut, maps.dtype)
    result: Tensor = Norm.apply(library, maps, shortcut, norm.weight, norm.bias, norm, pools)  # type: ignore[no-untyped-call]
    return result


def fused_separable(
    library: ctypes.CDLL,
    maps: Float[Tensor, "n c h w"],
    pointwise: nn.Module,
    depthwise: nn.Module,
    norm: nn.Module,
    *,
    pools: bool,
    has_shortcut: bool,
) -> Float[Tensor, "n k h2 w2"] | None:
    """Pointwise and depthwise 3x3 convolution, perhaps dilated, then as `fused_norm`; `maps` are the shortcut.

    None, and nothing is done, if our kernels do not support these.
    """
    if not supports_separable(maps, pointwise, depthwise, norm, pools=pools, has_shortcut=has_shortcut):
        return None
    assert isinstance(depthwise, nn.Conv2d)
    maps = stored(maps, storage_dtype(maps))
    weights = pointwise.weight, depthwise.weight, norm.weight, norm.bias
    result: Tensor = Separable.apply(library, maps, *weights, norm, dilation_of(depthwise), pools, has_shortcut)  # type: ignore[no-untyped-call]
    return result


def fused_plain(
    library: ctypes.CDLL,
    maps: Float[Tensor, "n c h w"],
    conv: nn.Module,
    norm: nn.Module,
    *,
    pools: bool,
    has_shortcut: bool,
) -> Float[Tensor, "n k h2 w2"] | None:
    """Convolution of 3x3 with stride 1, perhaps dilated, then as `fused_norm`; `maps` are the shortcut.

    None, and nothing is done, if our kernels do not support these, or PyTorch's convolution is faster.
    """
    if not supports_plain(maps, conv, norm, pools=pools, has_shortcut=has_shortcut):
        return None
    assert isinstance(conv, nn.Conv2d)
    padding, dilation = padding_of(conv), dilation_of(conv)
    assert padding is not None
    assert dilation is not None
    if not convolution_choice.is_taken(maps, conv.weight, padding=padding, dilation=dilation):
        return None
    maps = stored(maps, storage_dtype(maps))
    result: Tensor = Plain.apply(  # type: ignore[no-untyped-call]
        library, maps, conv.weight, norm.weight, norm.bias, norm, padding, dilation, pools, has_shortcut
    )
    return result


def fused_strided(
    library: ctypes.CDLL,
    maps: Float[Tensor, "n c h w"],
    conv: nn.Module,
    norm: nn.Module,
    *,
    whitening: nn.Module | None = None,
) -> Float[Tensor, "n k h2 w2"] | None:
    """Convolution of 3x3 with stride 2, then the norm and SiLU.

    With `whitening`, a frozen convolution of 2x2, that and a ReLU come first, and `maps` are images.
    None, and nothing is done, if our kernels do not support these.
    """
    if not supports_strided(maps, conv, norm, whitening=whitening):
        return None
    assert isinstance(conv, nn.Conv2d)
    storage = storage_dtype(maps)
    maps = stored(maps, storage if whitening is None else torch.float32)
    patches = None
    if isinstance(whitening, nn.Conv2d):
        assert isinstance(whitening.padding, tuple)
        patches = whitening.weight.contiguous(), whitening.padding[0]
    result: Tensor = Strided.apply(library, maps, conv.weight, norm.weight, norm.bias, norm, patches, storage)  # type: ignore[no-untyped-call]
    return result
