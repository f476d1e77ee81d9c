"""Networks by size: the most accurate that were found under a round number of parameters.

Blueprint-separable blocks, since parameters are scarce, and most of the depth at half the images' side, where blocks
won (docs/LOG.md has what lost).
"""

from __future__ import annotations

from thumbnet.models.blocknet import BlockNet


class Thumb20kNet(BlockNet):
    """At most 20,000 parameters: seven separable blocks, images of at least 3 pixels a side."""

    default_blocks = "b32 b48p b48x4 b64p"


class Thumb50kNet(BlockNet):
    """At most 50,000 parameters: nine separable blocks, some dilated, images of at least 3 pixels a side."""

    default_blocks = "b32 b64p b64d2 b64 b64d2 b64 b64d2 b96p b96d2"


class Thumb100kNet(BlockNet):
    """At most 100,000 parameters: fifteen separable blocks, half dilated, images of at least 3 pixels a side."""

    default_blocks = "b32 b64p b64d2 b64 b64d2 b64 b64d2 b64 b64d2 b96p b96d2 b96 b96d2 b96 b96d2"


class Thumb200kNet(BlockNet):
    """At most 200,000 parameters: fifteen wide separable blocks, half dilated, images of at least 3 pixels a side."""

    default_blocks = "b32 b96p b96d2 b96 b96d2 b96 b96d2 b96 b128p b128d2 b128 b128d2 b128 b128d2 b128"
