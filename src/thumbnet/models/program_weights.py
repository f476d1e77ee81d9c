"""Whether weights can be those of a network of blocks: by names, shapes and values. Without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from thumbnet.errors import ModelError
from thumbnet.models.architecture import Architecture, parse_blocks

HINT = "the weights are of another network, or were changed"
FIRST, HEAD = "whiten.weight", "head.weight"
NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


def check_block_weights(architecture: Architecture, weights: Mapping[str, np.ndarray], *, num_channels: int) -> None:
    """ModelError where a tensor that the network needs is missing, has another shape or holds impossible numbers.

    How many first filters and classes there are, and how large these filters, is left to whoever knows it.
    """
    for name, shape in _shapes(architecture, weights, num_channels).items():
        tensor = weights.get(name)
        if tensor is None:
            raise ModelError(f"there is no tensor {name}", hint=HINT)
        if tensor.shape != shape:
            raise ModelError(f"{name} has the shape {tensor.shape} instead of {shape}", hint=HINT)
        if not np.isfinite(tensor).all():
            raise ModelError(f"{name} holds NaN or infinity", hint=HINT)
        if name.endswith(".running_var") and (tensor < 0).any():
            raise ModelError(f"{name} holds a number below 0", hint=HINT)


def _shapes(
    architecture: Architecture, weights: Mapping[str, np.ndarray], num_channels: int
) -> dict[str, tuple[int, ...]]:
    first, head = (weights[name].shape if name in weights else () for name in (FIRST, HEAD))
    width = first[0] if first else 0
    shapes: dict[str, tuple[int, ...]] = {FIRST: (width, num_channels, *first[2:4])}
    for index, layer in enumerate(parse_blocks(architecture.blocks)):
        name, side = f"blocks.{index}", 1 if layer.is_blueprint else 3
        shapes |= {f"{name}.norm.{part}": (layer.channels,) for part in NORM_PARTS}
        shapes[f"{name}.conv.weight"] = (layer.channels, width, side, side)
        if layer.is_blueprint:
            shapes[f"{name}.depthwise.weight"] = (layer.channels, 1, 3, 3)
        width = layer.channels
    return shapes | {HEAD: (head[0] if head else 0, width)}
