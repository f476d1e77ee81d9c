"""The family by size: the most accurate networks that were found under a round number of parameters.

What all sizes share: blueprint-separable blocks where parameters are scarce, and most of the depth at half the images'
side, where a parameter is worth most for its arithmetic (docs/LOG.md has what lost).
"""

from __future__ import annotations

from thumbnet.models.blocknet import BlockNet


class Thumb20kNet(BlockNet):
    """At most 20,000 parameters: seven separable blocks, images of at least 3 pixels a side."""

    default_blocks = "b32 b48p b48x4 b64p"
