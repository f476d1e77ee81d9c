"""What a peer is, and how much of its training fits a budget of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peers.data import Images, read_images

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
MIN_STEPS = 2


@dataclass(frozen=True)
class Plan:
    """A training: so many steps, to which the schedule is fitted, of so many images each; the layout is of LAYOUTS."""

    num_steps: int
    batch_size: int
    layout: str

    def in_layout(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=LAYOUTS[self.layout])


@dataclass(frozen=True)
class Peer:
    """A network and how it is trained.

    Args:
        title: for the table, with where it is published.
        build: the network, from the training images.
        train: trains the network on them; gives the loss of each step.
        inputs: of pixels [N,3,32,32] as they are, what the network takes when it is scored.
    """

    title: str
    batch_size: int
    build: Callable[[Images], nn.Module]
    train: Callable[[nn.Module, Images, Plan], Iterator[float]]
    inputs: Callable[[Tensor], Tensor]

    def model(self, images: Images, layout: str) -> nn.Module:
        model: nn.Module = self.build(images).to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
        return model.train()


def fitting_steps(budget_s: float, timing: dict[str, Any]) -> int:
    """As many steps as fit a budget; at least MIN_STEPS, which may take longer."""
    return max(MIN_STEPS, int((budget_s - timing["setup_s"]) / timing["step_s"]))


def fitting_epochs(budget_s: float, epoch_s: float) -> int:
    """As many whole epochs as fit a budget; at least one, which may take longer."""
    return max(1, int(budget_s / epoch_s))


def num_params(model: nn.Module) -> int:
    """Weights and biases, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def accuracy(peer: Peer, model: nn.Module, folder: str, layout: str) -> float:
    """On the test images, one view each."""
    test = read_images(folder, "test_batch.bin")
    model.eval()
    right = 0
    for pixels, labels in zip(test.pixels.split(500), test.labels.split(500), strict=True):
        batch = peer.inputs(pixels).contiguous(memory_format=LAYOUTS[layout])
        right += int((model(batch).argmax(dim=1) == labels).sum())
    return right / len(test.labels)
