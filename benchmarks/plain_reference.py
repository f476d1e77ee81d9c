"""The published network trained the plain way, as a tutorial writes it: what our speed is compared with. Keep it fixed.

Eager mode, channels first, nn.Dropout, transforms of one picture at a time with Pillow, a DataLoader without workers,
PyTorch's default threads and allocator. It imports nothing of thumbnet.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(3, 1, 1)
BATCH_SIZE = 128
LR = 0.1
MOMENTUM = 0.9


class PlainNet(nn.Module):
    """The published network: 198,660 parameters."""

    def __init__(self, dropout: float = 0.05) -> None:
        super().__init__()

        def block(before: int, after: int, padding: int = 1, dilation: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(before, after, 3, padding=padding, dilation=dilation, bias=False),
                nn.ReLU(),
                nn.BatchNorm2d(after),
                nn.Dropout(dropout),
            )

        self.block1 = block(3, 32)
        self.block2 = nn.Sequential(block(32, 32), block(32, 64), nn.Conv2d(64, 32, 1, bias=False))
        self.transition1 = block(32, 32, padding=0, dilation=2)
        self.block3 = nn.Sequential(block(32, 62), block(62, 72), nn.Conv2d(72, 32, 1, bias=False))
        self.transition2 = block(32, 32, padding=0, dilation=2)
        self.block4 = block(32, 64)
        self.separable = nn.Sequential(
            nn.Conv2d(64, 64, 1, padding=1, groups=64, bias=False),
            nn.Conv2d(64, 84, 1, bias=False),
            nn.ReLU(),
            nn.BatchNorm2d(84),
            nn.Dropout(dropout),
        )
        self.block5 = block(84, 84, padding=0, dilation=2)
        self.pool = nn.AvgPool2d(20)
        self.head = nn.Conv2d(84, 10, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block1(x)
        x = self.transition1(F.relu(self.block2(x) + x))
        x = self.transition2(F.relu(self.block3(x) + x))
        x = self.block5(self.separable(self.block4(x)))
        x = self.head(self.pool(x))
        return F.log_softmax(x.view(-1, 10), dim=-1)


class CifarImages(Dataset[tuple[Tensor, int]]):
    """The training images of CIFAR-10's binary files, each padded by 4, cropped, mirrored and normalised by itself."""

    def __init__(self, folder: str | Path, num_images: int = 50_000) -> None:
        files = sorted(Path(folder).glob("**/data_batch_*.bin"))
        rows = np.concatenate([np.fromfile(file, np.uint8) for file in files]).reshape(-1, 3073)[:num_images]
        self.labels = rows[:, 0].astype(int).tolist()
        self.pixels = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = ImageOps.expand(Image.fromarray(self.pixels[index]), border=4, fill=0)
        left, top = random.randint(0, 8), random.randint(0, 8)
        image = image.crop((left, top, left + 32, top + 32))
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255
        return (tensor - MEAN) / STD, self.labels[index]


def train(model: nn.Module, dataset: CifarImages) -> Iterator[tuple[float, float]]:
    """Step after step, epoch after epoch: the loss, and the seconds that the step took with its data."""
    loader = DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True, num_workers=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    model.train()
    while True:
        begin_s = time.perf_counter()
        for images, labels in loader:
            loss = _step(model, optimizer, images, labels)
            end_s = time.perf_counter()
            yield loss, end_s - begin_s
            begin_s = time.perf_counter()


def train_on_one_batch(model: nn.Module, dataset: CifarImages) -> Iterator[tuple[float, float]]:
    """The same with one batch again and again: the model alone, without its data."""
    images, labels = next(iter(DataLoader(dataset, batch_size=BATCH_SIZE)))
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    model.train()
    while True:
        begin_s = time.perf_counter()
        loss = _step(model, optimizer, images, labels)
        yield loss, time.perf_counter() - begin_s


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> float:
    optimizer.zero_grad()
    loss = F.nll_loss(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss.item()
