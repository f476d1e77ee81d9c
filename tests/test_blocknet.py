"""Networks from a line of text: what the words mean, what is refused, and maps that are halved as they say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from thumbnet.errors import ModelError
from thumbnet.models.blocknet import BlockNet, Layer, parse_blocks
from thumbnet.models.registry import create_model, num_params


def test_words_name_blocks() -> None:
    assert parse_blocks("c24s c24x2  b48pd3 b48d2x2") == (
        Layer(24, strides=True), Layer(24), Layer(24), Layer(48, is_blueprint=True, pools=True, dilation=3),
        Layer(48, is_blueprint=True, dilation=2), Layer(48, is_blueprint=True, dilation=2),
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "  ", "24", "d24", "c0", "c24x0", "c24x101", "c4097", "c24sp", "c24 x2", "C24", "c24d0", "c24d"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        BlockNet(blocks=text)
    assert "c24x3 b48p b48d2 b48x2" in caught.value.hint


def test_a_text_in_the_model_options_is_obeyed() -> None:
    model = create_model("sprint", blocks="c8s c8", num_classes=4)
    assert isinstance(model, BlockNet)
    assert num_params(model) == 24 * 12 + (24 * 8 + 8 * 8) * 9 + 2 * 2 * 8 + 8 * 4
    with pytest.raises(ModelError, match=r"refused its options \{'blocks': 32\}"):
        create_model("sprint", blocks=32)
    with pytest.raises(ModelError, match="'c8z' names no blocks"):
        create_model("sprint", blocks="c8z")


def test_a_blueprint_block_is_a_pointwise_and_a_depthwise_convolution() -> None:
    model = BlockNet(blocks="c16 b16 b32p")
    plain, kept, widened = model.blocks
    assert [block.has_shortcut for block in model.blocks] == [False, True, False]
    assert plain.conv.kernel_size == (3, 3)
    assert isinstance(plain.depthwise, nn.Identity)
    assert kept.conv.weight.shape == (16, 16, 1, 1)
    assert kept.depthwise.weight.shape == (16, 1, 3, 3)
    assert num_params(widened) == 16 * 32 + 32 * 9 + 2 * 32
    maps = torch.randn(2, 16, 9, 9)
    assert widened(maps).shape == (2, 32, 4, 4)


@pytest.mark.parametrize("word", ["c16d3", "b16d3"])
def test_a_dilated_block_looks_further_and_keeps_the_maps_sides(word: str) -> None:
    block = BlockNet(blocks=word).blocks[0].eval()
    for convolution in block.conv, block.depthwise:
        if isinstance(convolution, nn.Conv2d):
            nn.init.ones_(convolution.weight)
    maps = torch.zeros(1, 24, 9, 11)
    before = block(maps)
    maps[0, 0, 4, 5] = 1
    changed = (block(maps) != before)[0, 0]
    assert changed.nonzero().tolist() == [[row, column] for row in (1, 4, 7) for column in (2, 5, 8)]


@pytest.mark.parametrize("word", ["c16s", "c16p", "b16s", "b16p", "c16sd2", "b16pd2", "b16sd2"])
def test_maps_are_halved_down_to_one_pixel(word: str) -> None:
    model = BlockNet(blocks=f"{word} {word} {word}").eval()
    for size, sides in ((32, (16, 8, 4)), (3, (2, 1, 1))):
        maps = model.whiten(torch.randn(2, 3, size, size))
        for block, side in zip(model.blocks, sides, strict=True):
            maps = block(maps)
            assert maps.shape[2] == side or ("s" in word and maps.shape[2] == side + 1)
    assert model(torch.randn(2, 3, 3, 5)).shape == (2, 10)
