"""A trained network of blocks on NumPy alone: a picture's logits in milliseconds, without two seconds of importing
PyTorch first. `BlockNet` in evaluation mode is the definition; this agrees with it up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from thumbnet.models.architecture import Architecture, Layer, parse_blocks

Maps: TypeAlias = Float[np.ndarray, "n h w c"]
NewMaps: TypeAlias = Float[np.ndarray, "n h2 w2 k"]

NORM_EPSILON = 1e-5  # of PyTorch's BatchNorm2d


class NumpyBlockNet:
    """Normalised images float32 [N,C,H,W] to logits float32 [N,K].

    Args:
        architecture: of the `BlockNet` that was trained.
        weights: its `state_dict`, of any numbers.
    """

    def __init__(self, architecture: Architecture, weights: Mapping[str, np.ndarray]) -> None:
        self._architecture = architecture
        self._layers = parse_blocks(architecture.blocks)
        self._weights = {name: array.astype(np.float32) for name, array in weights.items()}

    def __call__(self, images: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n k"]:
        maps: Maps = images.transpose(0, 2, 3, 1)
        maps = _convolve(maps, self._weights["whiten.weight"], padding=self._architecture.whiten_padding)
        maps = np.maximum(maps, 0)
        for index, layer in enumerate(self._layers):
            keeps_shape = maps.shape[3] == layer.channels and not layer.strides and not layer.pools
            changed = self._block(maps, layer, f"blocks.{index}.")
            has_shortcut = self._architecture.has_shortcuts and keeps_shape and index > 0
            maps = maps + changed if has_shortcut else changed
        logits: Float[np.ndarray, "n k"] = maps.mean(axis=(1, 2)) @ self._weights["head.weight"].T
        return logits

    def _block(self, maps: Maps, layer: Layer, prefix: str) -> NewMaps:
        """A block's output, without the shortcut."""
        if layer.is_blueprint:
            maps = maps @ self._weights[f"{prefix}conv.weight"][:, :, 0, 0].T
            convolve, weight = _convolve_depthwise, self._weights[f"{prefix}depthwise.weight"]
        else:
            convolve, weight = _convolve, self._weights[f"{prefix}conv.weight"]
        maps = convolve(maps, weight, padding=layer.dilation, stride=2 if layer.strides else 1, dilation=layer.dilation)
        if layer.pools and min(maps.shape[1:3]) >= 2:
            maps = _max_pool(maps)
        scale, shift, mean, variance = (
            self._weights[f"{prefix}norm.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
        )
        maps = (maps - mean) * (scale / np.sqrt(variance + NORM_EPSILON)) + shift
        return _silu(maps)


def _convolve(
    maps: Maps, weight: Float[np.ndarray, "k c a b"], *, padding: int, stride: int = 1, dilation: int = 1
) -> NewMaps:
    patches = _patches(maps, weight.shape[2], padding=padding, stride=stride, dilation=dilation)
    return np.tensordot(patches, weight, axes=((3, 4, 5), (1, 2, 3)))


def _convolve_depthwise(
    maps: Maps, weight: Float[np.ndarray, "c 1 a b"], *, padding: int, stride: int, dilation: int
) -> Float[np.ndarray, "n h2 w2 c"]:
    patches = _patches(maps, weight.shape[2], padding=padding, stride=stride, dilation=dilation)
    convolved = np.zeros(patches.shape[:4], np.float32)
    for row, column in np.ndindex(weight.shape[2:]):
        convolved += patches[..., row, column] * weight[:, 0, row, column]
    return convolved


def _patches(
    maps: Maps, side: int, *, padding: int, stride: int, dilation: int
) -> Float[np.ndarray, "n h2 w2 c side side"]:
    """A view of the patches that a convolution's filters see."""
    padded = np.pad(maps, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    span = dilation * (side - 1) + 1
    windows = sliding_window_view(padded, (span, span), axis=(1, 2))
    return windows[:, ::stride, ::stride, :, ::dilation, ::dilation]


def _max_pool(maps: Maps) -> Float[np.ndarray, "n h2 w2 c"]:
    """Of 2x2 pixels; a last odd row or column is left out."""
    num_images, height, width, num_channels = maps.shape
    even = maps[:, : height // 2 * 2, : width // 2 * 2]
    pooled: Maps = even.reshape(num_images, height // 2, 2, width // 2, 2, num_channels).max(axis=(2, 4))
    return pooled


def _silu(maps: Maps) -> Maps:
    """x * sigmoid(x), by a hyperbolic tangent, which does not overflow."""
    activated: Maps = 0.5 * maps * (1 + np.tanh(0.5 * maps))
    return activated
