"""`resnet8`, the image classifier of MLPerf Tiny, as a yardstick: 78,186 parameters, 12.5 M multiply-accumulates.

Source: the ResNet-v1 of the MLPerf Tiny benchmark (github.com/mlcommons/tiny, image_classification): a 3x3 stem of 16
channels, three residual stages of 16, 32 and 64, convolutions with bias, a bare 1x1 convolution on the shortcut where
the width changes, global average pool and a linear layer. One difference: with stride 2 its framework pads at the right
and bottom only, ours on all sides. Images [N,C,H,W] in, logits [N,K] out.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.models.blocks import check_images


class ResNet8(nn.Module):
    """MLPerf Tiny's ResNet-8: images of at least 4 pixels a side."""

    min_image_size = 4
    max_image_size: int | None = None

    def __init__(self, *, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.stages = nn.Sequential(
            _ResidualBlock(16, 16, stride=1), _ResidualBlock(16, 32, stride=2), _ResidualBlock(32, 64, stride=2)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(64, num_classes)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        check_images(images, in_channels=self.in_channels, min_size=self.min_image_size)
        logits: Tensor = self.head(self.pool(self.stages(self.stem(images))).flatten(1))
        return logits


class _ResidualBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
        )
        same_shape = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same_shape else nn.Conv2d(in_channels, out_channels, 1, stride=stride)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h2 w2"]:
        return F.relu(self.body(maps) + self.shortcut(maps))
