"""What a network of blocks is made of, in words and numbers. Without PyTorch, which takes two seconds to import."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from thumbnet.errors import ModelError

WORD = re.compile(r"([cb])(\d+)([sp]?)(?:d(\d))?(?:x(\d+))?")
EXAMPLE = "c24x3 b48p b48d2 b48x2"
HOW_TO_WRITE = (
    f"write for instance {EXAMPLE!r}: kind (c plain 3x3, b blueprint-separable), channels, s if it strides or p "
    "if it pools, d and the dilation, x and the number of blocks"
)
MAX_CHANNELS = 4096
MAX_REPEATS = 100
MAX_BLOCKS = 1000
MAX_WEIGHTS = 100_000_000  # of all blocks, roughly


@dataclass(frozen=True)
class Layer:
    """A block: its output channels, whether its convolution is blueprint-separable, and how it halves the maps' sides,
    if it does: its convolution strides, or a max-pool follows that."""

    channels: int
    is_blueprint: bool = False
    strides: bool = False
    pools: bool = False
    dilation: int = 1  # of its 3x3 convolution


@dataclass(frozen=True)
class Architecture:
    """All that is needed to run a network of blocks, except its weights: the text for `parse_blocks`, the zero padding
    around the images in pixels, and whether blocks that keep their maps' shape have shortcuts (the first has none)."""

    blocks: str
    whiten_padding: int
    has_shortcuts: bool


# By model: the zero padding around the images, and whether there are shortcuts. What a block network's class says, for
# readers without PyTorch of runs from before a card had the architecture.
OF_MODELS = {
    "sprint": (0, False),
    "sprint-long": (1, True),
    "thumb-20k": (1, True),
    "thumb-50k": (1, True),
    "thumb-100k": (1, True),
    "thumb-200k": (1, True),
}

# The blocks of runs and weights from before a card kept all of a model's options: the defaults of that time.
BLOCKS_OF_OLD_CARDS = {
    "sprint": "c32s c32 c64p c64 c80p c104",
    "sprint-long": "c32x6 c48p c48x3 c64p c64",
}


def architecture_of(model: str, options: Mapping[str, object]) -> Architecture | None:
    """That of a model of the package with its resolved options; None where it is no network of blocks."""
    blocks = options.get("blocks")
    if model not in OF_MODELS or not isinstance(blocks, str):
        return None
    return Architecture(blocks, *OF_MODELS[model])


def parse_blocks(text: str) -> tuple[Layer, ...]:
    """The blocks of a text such as "c24x3 b48p b48d2 b48x2". Each word is a kind (`c`: plain 3x3 convolution, `b`:
    blueprint-separable), the output channels, `s` or `p` if it strides or pools, `d` and the dilation of its 3x3
    convolution if that is not 1, and `x` and the number of such blocks.

    Raises:
        ModelError: a word that is none of this, no word at all, or more blocks or weights than anyone could train here.
    """
    layers: list[Layer] = []
    for word in text.split():
        match = WORD.fullmatch(word)
        channels, dilation, repeats = (int(match[2]), int(match[4] or 1), int(match[5] or 1)) if match else (0, 0, 0)
        if match is None or not 1 <= channels <= MAX_CHANNELS or dilation < 1 or not 1 <= repeats <= MAX_REPEATS:
            raise ModelError(f"{word!r} names no blocks", hint=HOW_TO_WRITE)
        layers += [Layer(channels, match[1] == "b", match[3] == "s", match[3] == "p", dilation)] * repeats
        if len(layers) > MAX_BLOCKS:
            raise ModelError(f"the text names more than {MAX_BLOCKS:,} blocks", hint=HOW_TO_WRITE)
    sides = zip([0, *(layer.channels for layer in layers)], layers, strict=False)
    num_weights = sum(before * layer.channels * (1 if layer.is_blueprint else 9) for before, layer in sides)
    if num_weights > MAX_WEIGHTS:
        raise ModelError(f"the blocks have about {num_weights:,} weights", hint=f"{MAX_WEIGHTS:,} are the most")
    if not layers:
        raise ModelError("the text names no blocks", hint=HOW_TO_WRITE)
    return tuple(layers)
