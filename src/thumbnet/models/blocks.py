"""Building blocks that the model files share. Shapes: every block maps [N,C,H,W] to [N,C',H',W']."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from thumbnet.errors import ModelError


class SeparableConv2d(nn.Module):
    """A depthwise convolution and a pointwise (1x1) one, both without bias: [N,C,H,W] -> [N,out,H',W'].

    `one_layer` gives it a row of its own in the summary, after its two parts.
    """

    one_layer = True

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int, padding: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel_size, padding=padding, groups=in_channels, bias=False
        )
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h2 w2"]:
        maps = self.depthwise(maps)
        maps = self.pointwise(maps)
        return maps


def check_images(
    images: Float[Tensor, "n c h w"], *, in_channels: int, min_size: int, max_size: int | None = None
) -> None:
    """ModelError for images that a network cannot take: other channels, or a side outside min_size..max_size pixels."""
    channels, *sides = images.shape[1:]
    if channels != in_channels:
        raise ModelError(
            f"the images have {channels} channels, but this model was made for {in_channels}",
            hint=f"create it with in_channels={channels}, or give images of {in_channels} channels",
        )
    if min(sides) < min_size or (max_size is not None and max(sides) > max_size):
        allowed = f"at least {min_size}" if max_size is None else f"{min_size} to {max_size}"
        raise ModelError(
            f"the images are {sides[1]}x{sides[0]} pixels, but this model takes sides of {allowed}",
            hint="set image_size in the recipe, or choose another model (`thumbnet models`)",
        )
