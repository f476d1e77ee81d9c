"""What a network of blocks is made of, in words and numbers. Without PyTorch, which takes two seconds to import."""

from __future__ import annotations

import math
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
STEM_WORD = re.compile(r"w(\d+)(?:s(\d+))?(?:c(\d+))?(t?)")
HOW_TO_WRITE_A_STEM = (
    "write for instance 'w4s2': patches of 4x4 pixels, 2 pixels apart; then c and an even number of channels, and t if "
    "it is trained"
)
MAX_PATCH = 16
DEFAULT_STEM = "w2"
STEM_CHANNELS = 24  # at most, unless the stem gives another number: twice the 12 values of a 2x2 patch in colour


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
class StemLayer:
    """The first convolution: square patches of `patch` pixels a side, `stride` pixels apart, whitened.

    `channels` is None for as many as the patches' directions and their negatives give, 24 at the most. It is frozen
    unless it `trains`.
    """

    patch: int = 2
    stride: int = 1
    channels: int | None = None
    trains: bool = False

    @property
    def min_side(self) -> int:
        """The smallest side in pixels of an image: two patches fit into it."""
        return self.patch + self.stride

    def num_channels(self, in_channels: int) -> int:
        """Of its output."""
        return self.channels or min(STEM_CHANNELS, 2 * in_channels * self.patch**2)

    def padding(self, whiten_padding: int) -> int:
        """The zeros around the images in pixels, for a network that puts `whiten_padding` around 2x2 patches: each
        outermost patch then lies half over the edge, as a 2x2 one does."""
        return whiten_padding * ((self.patch + 1) // 2)

    def map_sides(self, sides: tuple[int, int], *, padding: int) -> tuple[int, int]:
        """Height and width of its output for images of such sides; pixels at the end may fill no patch."""
        height, width = ((side + 2 * padding - self.patch) // self.stride + 1 for side in sides)
        return height, width


@dataclass(frozen=True)
class Architecture:
    """All that is needed to run a network of blocks, except its weights: the text for `parse_blocks`, the zero padding
    in pixels that 2x2 patches have around the images, whether blocks that keep their maps' shape have shortcuts (the
    first has none), and the word for `parse_stem`."""

    blocks: str
    whiten_padding: int
    has_shortcuts: bool
    stem: str = DEFAULT_STEM

    @property
    def min_side(self) -> int:
        """The smallest side in pixels of an image."""
        return parse_stem(self.stem).min_side


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

# The stem that a model gets for images of a size, and blocks that go before its others: by the largest side (of images
# that are not square the square root of the area), the last for all beyond. Maps are then about as large as those of
# 32 to 56 pixels, at each model's limit of parameters; a stem of 24 channels fits a trunk trained behind another.
_ROOMY = ((56, "w2", ""), (112, "w4s2", ""), (192, "w8s4", ""), (math.inf, "w7s7", ""))
STEMS: dict[str, tuple[tuple[float, str, str], ...]] = {
    "sprint": _ROOMY,
    "sprint-long": _ROOMY,
    "thumb-200k": _ROOMY,
    "thumb-100k": ((56, "w2", ""), (112, "w4s2", ""), (192, "w6s4", ""), (math.inf, "w6s6", "")),
    "thumb-50k": ((56, "w2", ""), (112, "w4s2", ""), (192, "w6s4", ""), (math.inf, "w7s7", "")),
    "thumb-20k": ((56, "w2", ""), (112, "w3s2", ""), (192, "w4s4c16", ""), (math.inf, "w4s4c16", "b16s")),
}

# The blocks of runs and weights from before a card kept all of a model's options: the defaults of that time.
BLOCKS_OF_OLD_CARDS = {
    "sprint": "c32s c32 c64p c64 c80p c104",
    "sprint-long": "c32x6 c48p c48x3 c64p c64",
}


def architecture_of(model: str, options: Mapping[str, object]) -> Architecture | None:
    """That of a model of the package with its resolved options; None where it is no network of blocks."""
    blocks, stem = options.get("blocks"), options.get("stem", DEFAULT_STEM)
    if model not in OF_MODELS or not isinstance(blocks, str) or not isinstance(stem, str):
        return None
    return Architecture(blocks, *OF_MODELS[model], stem)


def stem_for(model: str, sides: tuple[int, int]) -> tuple[str, str]:
    """The stem that the model called `model` gets for images of such height and width, and blocks to go before its own:
    the larger the images, the earlier they are reduced, so that the cost stays near that of 32 pixels."""
    side = math.sqrt(sides[0] * sides[1])
    entries = STEMS.get(model, ((math.inf, DEFAULT_STEM, ""),))
    return next((stem, blocks) for largest, stem, blocks in entries if side <= largest)


def parse_stem(text: str) -> StemLayer:
    """The first convolution that a word such as "w4s2" names: `w` and the patches' side in pixels, `s` and the distance
    between patches if that is not 1, `c` and the number of channels if it is to be another, `t` if it is trained.

    Raises:
        ModelError: it is no such word, patches are larger than 16 pixels, or so far apart that pixels are never seen.
    """
    match = STEM_WORD.fullmatch(text)
    if match is None:
        raise ModelError(f"{text!r} names no stem", hint=HOW_TO_WRITE_A_STEM)
    patch, stride = int(match[1]), int(match[2] or 1)
    channels = None if match[3] is None else int(match[3])
    if not 1 <= stride <= patch <= MAX_PATCH or patch < 2:
        raise ModelError(
            f"the stem {text!r} has patches of {patch} pixels a side, {stride} pixels apart",
            hint=f"patches have 2 to {MAX_PATCH} pixels a side, and are 1 pixel to one side apart",
        )
    if channels is not None and (channels % 2 or not 2 <= channels <= MAX_CHANNELS):
        raise ModelError(
            f"the stem {text!r} has {channels} channels",
            hint=f"give an even number from 2 to {MAX_CHANNELS}: directions and their negatives",
        )
    return StemLayer(patch, stride, channels, match[4] == "t")


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
