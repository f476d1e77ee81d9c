"""The published reference network the plain way (plain_reference.py), with the published schedule.

SGD at 0.1 with momentum 0.9 for 14 of 20 parts of the training, at 0.01 for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from plain_reference import BATCH_SIZE, LR, MEAN, MOMENTUM, STD, CifarImages, PlainNet
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from peers.data import Images
from peers.plan import Peer, Plan

DROP_AFTER = 14 / 20  # of the steps
GAMMA = 0.1


class ImagesInMemory(CifarImages):
    """plain_reference's data set of images that were read already."""

    def __init__(self, images: Images) -> None:
        self.labels = images.labels.tolist()
        self.pixels = images.pixels.permute(0, 2, 3, 1).contiguous().numpy()


def inputs(pixels: Tensor) -> Tensor:
    """As plain_reference normalises them."""
    return (pixels.float() / 255 - MEAN) / STD


def train(model: nn.Module, images: Images, plan: Plan) -> Iterator[float]:
    """The loss of each step."""
    loader = DataLoader(ImagesInMemory(images), batch_size=plan.batch_size, shuffle=True, drop_last=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    drops = [round(DROP_AFTER * plan.num_steps)]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops, gamma=GAMMA)
    num_done = 0
    while True:
        for batch, labels in loader:
            optimizer.zero_grad()
            loss = F.nll_loss(model(plan.in_layout(batch)), labels)
            loss.backward()
            optimizer.step()
            scheduler.step()
            yield loss.item()
            num_done += 1
            if num_done == plan.num_steps:
                return


PEER = Peer("reference network, the plain way", BATCH_SIZE, lambda _: PlainNet(), train, inputs)
