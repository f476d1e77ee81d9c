"""`dilated`, the published network: no pooling until the end; dilated 3x3 convolutions without padding shrink the map.

32x32 -> 28 -> 24 -> (26 ->) 22 pixels, 198,660 parameters, 136 M multiply-accumulates an image; receptive field 25
pixels before the pool and 44 with it. Two oddities of the published network are kept, since they are part of it: the
"depthwise" convolution has a 1x1 kernel (its padding adds a ring of zeros), and the pool covers 20 of the 22 pixels.
`dilated-fixed` repairs both: a 3x3 depthwise kernel and a global pool. Images [N,C,H,W] in, logits [N,K] out; the
published log-softmax is in the loss.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.models.blocks import Dropout, SeparableConv2d, check_images

SHRINKAGE = 10  # pixels that the maps lose on the way: 4 by each of three dilated convolutions, less the ring of 2
POOL_SIZE = 20  # the published average pool, on a map of 22 pixels


class DilatedNet(nn.Module):
    """The published network, exactly. Takes images of 30 to 49 pixels a side: 32 is what it was made for."""

    min_image_size = POOL_SIZE + SHRINKAGE
    max_image_size: int | None = 2 * POOL_SIZE + SHRINKAGE - 1  # above it the pool would give more than one pixel

    def __init__(self, *, num_classes: int = 10, in_channels: int = 3, dropout: float = 0.05) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stem = _block(in_channels, 32, dropout)
        self.stage1 = nn.Sequential(_block(32, 32, dropout), _block(32, 64, dropout), _bare(64, 32))
        self.shrink1 = _block(32, 32, dropout, padding=0, dilation=2)
        self.stage2 = nn.Sequential(_block(32, 62, dropout), _block(62, 72, dropout), _bare(72, 32))
        self.shrink2 = _block(32, 32, dropout, padding=0, dilation=2)
        self.stage3 = nn.Sequential(
            _block(32, 64, dropout),
            nn.Sequential(self._separable(), nn.ReLU(inplace=True), nn.BatchNorm2d(84), Dropout(dropout)),
            _block(84, 84, dropout, padding=0, dilation=2),
        )
        self.pool = self._pool()
        self.head = _bare(84, num_classes)

    def _separable(self) -> SeparableConv2d:
        return SeparableConv2d(64, 84, kernel_size=1, padding=1)

    def _pool(self) -> nn.Module:
        return nn.AvgPool2d(POOL_SIZE)

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        check_images(images, in_channels=self.in_channels, min_size=self.min_image_size, max_size=self.max_image_size)
        maps = self.stem(images)
        maps = self.shrink1(F.relu(self.stage1(maps) + maps))
        maps = self.shrink2(F.relu(self.stage2(maps) + maps))
        maps = self.stage3(maps)
        logits: Tensor = self.head(self.pool(maps)).flatten(1)
        return logits


class DilatedFixedNet(DilatedNet):
    """The repaired variant, 199,172 parameters: a 3x3 depthwise kernel that keeps the map's size, and a global pool."""

    min_image_size = 13  # 4 pixels lost three times must leave one
    max_image_size = None

    def _separable(self) -> SeparableConv2d:
        return SeparableConv2d(64, 84, kernel_size=3, padding=1)

    def _pool(self) -> nn.Module:
        return nn.AdaptiveAvgPool2d(1)


def _block(
    in_channels: int, out_channels: int, dropout: float, *, padding: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution 3x3 -> ReLU -> BatchNorm -> Dropout, in the published order."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=padding, dilation=dilation, bias=False),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(out_channels),
        Dropout(dropout),
    )


def _bare(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 1, bias=False)
