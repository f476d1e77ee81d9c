"""`sprint`, trained in less than a minute on two cores, and `sprint-long`, for twenty epochs.

The ReLU after the whitening is both faster and better than SiLU there. The first block of `sprint` strides, since a
pool would leave it two thirds of all arithmetic; its norms learn no scale, and their running statistics follow a
training of few steps.
"""

from __future__ import annotations

from thumbnet.models.blocknet import BlockNet


class SprintNet(BlockNet):
    """Whitened patches and six plain blocks: images of at least 3 pixels a side."""

    default_blocks = "c32s c32 c64p c64 c80p c104"
    whiten_padding = 0
    has_shortcuts = False
    learns_scales = False
    statistics_momentum = 0.6


class SprintLongNet(BlockNet):
    """Whitened patches and nine plain blocks, most with a shortcut: images of at least 3 pixels a side."""

    default_blocks = "c32 c48p c48x5 c64p c64"
