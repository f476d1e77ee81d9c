"""MLPerf Tiny's ResNet-8 and how it is trained there (github.com/mlcommons/tiny, image_classification), in PyTorch.

Adam at 0.001 for batches of 32, the rate times 0.99 after each of 500 epochs, the squares of the filters' weights
(1e-4) in the loss, images rotated by up to 15 degrees, shifted by up to a tenth and flipped, pixels from 0 to 255.
The rate's 500 steps are spread over the training's length. Keras's own settings are kept: decay 0.99 of the running
statistics, epsilons, He's initial weights. One difference: with stride 2 Keras pads at the right and bottom only.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peers.data import Images, flip, rotate_and_shift, shuffled
from peers.plan import Peer, Plan

BATCH_SIZE = 32
LR = 0.001
EPOCHS, DECAY = 500, 0.99
FILTER_DECAY = 1e-4


def conv(before: int, after: int, kernel_size: int = 3, stride: int = 1) -> nn.Conv2d:
    """With bias, as Keras has it."""
    layer = nn.Conv2d(before, after, kernel_size, stride=stride, padding=kernel_size // 2)
    nn.init.kaiming_normal_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def norm(channels: int) -> nn.BatchNorm2d:
    """With Keras's settings."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """A residual block; where the width changes, a 1x1 convolution on the shortcut."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = 1 if before == after else 2
        self.body = nn.Sequential(
            conv(before, after, stride=stride), norm(after), nn.ReLU(), conv(after, after), norm(after)
        )
        self.shortcut = nn.Identity() if before == after else conv(before, after, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class ResNet8(nn.Module):
    """78,186 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16), norm(16), nn.ReLU())
        self.blocks = nn.Sequential(Block(16, 16), Block(16, 32), Block(32, 64))
        self.head = nn.Linear(64, 10)
        nn.init.kaiming_normal_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))


def train(model: nn.Module, images: Images, plan: Plan) -> Iterator[float]:
    """The loss of each step."""
    filters = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    is_filter = set(map(id, filters))
    others = [parameter for parameter in model.parameters() if id(parameter) not in is_filter]
    groups = [{"params": filters, "weight_decay": 2 * FILTER_DECAY}, {"params": others}]  # the gradient of the squares
    optimizer = torch.optim.Adam(groups, lr=LR, eps=1e-7)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: DECAY ** (EPOCHS * step // plan.num_steps))
    batches = shuffled(len(images.pixels), plan.batch_size)
    for _ in range(plan.num_steps):
        _, chosen = next(batches)
        batch = rotate_and_shift(images.pixels[chosen].float(), 15, 0.1)
        batch = flip(batch, torch.rand(len(chosen)) < 0.5)
        loss = F.cross_entropy(model(plan.in_layout(batch)), images.labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        yield loss.item()


PEER = Peer("MLPerf Tiny's ResNet-8, as it trains there", BATCH_SIZE, lambda _: ResNet8(), train, Tensor.float)
