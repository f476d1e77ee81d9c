"""The network of PyTorch's tutorial "Training a Classifier" (pytorch.org/tutorials, blitz), as it is trained there.

Two convolutions of 5x5, each pooled, and three linear layers; SGD at 0.001 with momentum 0.9 on batches of 4, no
augmentation, a constant rate. The images are normalised once, and no other processes load them: on two cores, that is
faster than the tutorial's two.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from peers.data import Images
from peers.plan import Peer, Plan

BATCH_SIZE = 4
LR = 0.001
MOMENTUM = 0.9


class TutorialNet(nn.Module):
    """62,006 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = F.relu(self.fc2(F.relu(self.fc1(torch.flatten(x, 1)))))
        return self.fc3(x)


def inputs(pixels: Tensor) -> Tensor:
    """From -1 to 1."""
    return (pixels.float() / 255 - 0.5) / 0.5


def train(model: nn.Module, images: Images, plan: Plan) -> Iterator[float]:
    """The loss of each step."""
    dataset = TensorDataset(inputs(images.pixels), images.labels)
    loader = DataLoader(dataset, batch_size=plan.batch_size, shuffle=True, drop_last=True)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    num_done = 0
    while True:
        for batch, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(plan.in_layout(batch)), labels)
            loss.backward()
            optimizer.step()
            yield loss.item()
            num_done += 1
            if num_done == plan.num_steps:
                return


PEER = Peer("PyTorch's tutorial network", BATCH_SIZE, lambda _: TutorialNet(), train, inputs)
