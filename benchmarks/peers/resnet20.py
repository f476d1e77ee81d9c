"""ResNet-20 for CIFAR-10 (He et al. 2015, section 4.2), with one cycle of the learning rate (Smith 2018).

Batches of 128, images padded by 4, cropped and flipped, and decay 1e-4 are those of He et al.; so is the rate, 0.1, at
the cycle's peak. The cycle is PyTorch's OneCycleLR as it comes, which moves the momentum, too: from 0.95 to 0.85 and
back.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peers.data import Images, crop, flip, normalise, shuffled
from peers.plan import Peer, Plan

BATCH_SIZE = 128
LR = 0.1
WEIGHT_DECAY = 1e-4
BLOCKS_A_STAGE = 3


class Block(nn.Module):
    """Two convolutions; the shortcut without parameters (option A) leaves out every other pixel and adds zeros."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.stride = 1 if before == after else 2
        self.more = after - before
        self.conv1 = nn.Conv2d(before, after, 3, stride=self.stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.more:
            half = self.more // 2
            shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, self.more - half))
        x = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(x + shortcut)


class ResNet20(nn.Module):
    """269,722 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        widths = [16, *(width for width in (16, 32, 64) for _ in range(BLOCKS_A_STAGE))]
        self.blocks = nn.Sequential(*(Block(*pair) for pair in pairwise(widths)))
        self.head = nn.Linear(64, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.norm(self.conv(x))))
        return self.head(x.mean(dim=(2, 3)))


def train(model: nn.Module, images: Images, plan: Plan) -> Iterator[float]:
    """The loss of each step."""
    padded = F.pad(normalise(images.pixels), (4,) * 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LR, total_steps=plan.num_steps)
    batches = shuffled(len(padded), plan.batch_size)
    for _ in range(plan.num_steps):
        _, chosen = next(batches)
        batch = flip(crop(padded[chosen], 32), torch.rand(len(chosen)) < 0.5)
        loss = F.cross_entropy(model(plan.in_layout(batch)), images.labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        yield loss.item()


PEER = Peer("ResNet-20 (He et al. 2015), one-cycle SGD", BATCH_SIZE, lambda _: ResNet20(), train, normalise)
