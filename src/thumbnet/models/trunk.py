"""Trained networks of blocks begun with behind another stem: their blocks as they are, their first filters spread.

A filter of a 2x2 patch, spread over 4x4 pixels, gives each of its weights to 2x2 of these in equal shares: on a picture
twice as large the stem with twice the stride then gives what the trained one gives on the picture itself. Where sides
do not divide, pixels get shares by area.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from thumbnet.errors import ConfigError
from thumbnet.models.architecture import parse_blocks
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.weights import load_all_but_head

STEM_WEIGHT = "whiten.weight"
BLOCKS_PREFIX = "blocks."


def num_blocks_before(model: BlockNet, trained: BlockNet) -> int | None:
    """How many blocks of `model` come before those of `trained`; None where these are not its last ones."""
    own, theirs = (parse_blocks(network.architecture.blocks) for network in (model, trained))
    return len(own) - len(theirs) if own[-len(theirs) :] == theirs else None


def is_stem_kept(model: BlockNet, trained: BlockNet) -> bool:
    """Whether the model's stem takes the trained one's filters, spread if need be; otherwise it is new."""
    gives_as_many = model.whiten.out_channels == trained.whiten.out_channels
    return gives_as_many and num_blocks_before(model, trained) == 0


def load_trunk(model: BlockNet, trained: BlockNet, weights: Mapping[str, Tensor]) -> None:
    """Put the trained blocks in the last blocks of `model`, which are alike, and the trained filters in its stem where
    it takes them; its head and its other blocks stay as they are.

    Args:
        weights: those of `trained`, with first filters for images as `model` takes them (see channels.py).

    Raises:
        ConfigError: the blocks are given maps of another number of channels.
    """
    num_before = num_blocks_before(model, trained)
    assert num_before is not None
    wanted, given = _in_channels(trained, 0), _in_channels(model, num_before)
    if wanted != given:
        raise ConfigError(
            f"the trained blocks of init take maps of {wanted} channels, and what comes before them gives {given}",
            hint="train on smaller images (image_size), for which the network has no blocks before these; or give a "
            f"stem of so many channels, as model_options.stem = 'w3s2c{wanted}'",
        )
    loaded: dict[str, Tensor] = {**model.state_dict()}
    if is_stem_kept(model, trained):
        loaded[STEM_WEIGHT] = spread(weights[STEM_WEIGHT], model.whiten.kernel_size[0])
    for name, tensor in weights.items():
        if name.startswith(BLOCKS_PREFIX):
            _, index, rest = name.split(".", 2)
            loaded[f"{BLOCKS_PREFIX}{int(index) + num_before}.{rest}"] = tensor
    load_all_but_head(model, loaded)


def _in_channels(network: BlockNet, index: int) -> int:
    convolution = network.blocks[index].conv
    assert isinstance(convolution, nn.Conv2d)
    return convolution.in_channels


def spread(filters: Float[Tensor, "k c a a"], side: int) -> Float[Tensor, "k c b b"]:
    """Filters of `side` x `side` pixels whose weights are those of smaller or larger ones, shared out by area."""
    shares = torch.from_numpy(_shares(filters.shape[2], side)).to(filters.dtype)
    return torch.einsum("ia,kcab,jb->kcij", shares, filters, shares)


def _shares(before: int, after: int) -> Float[np.ndarray, "after before"]:
    """Which share of each of `before` equal parts of a line falls on each of `after` equal parts."""
    ends, cells = np.arange(after + 1) * before / after, np.arange(before)
    overlap = np.minimum(ends[1:, None], cells + 1) - np.maximum(ends[:-1, None], cells)
    shares: Float[np.ndarray, "after before"] = np.maximum(overlap, 0)
    return shares
