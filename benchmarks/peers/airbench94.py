"""airbench94: network and recipe of "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (Keller Jordan 2024), in float32.

Written anew from that paper and its code (github.com/KellerJordan/cifar10-airbench, MIT). All hyper-parameters are the
published ones; what differs: float32 instead of float16, the length is given, each batch is cropped when it is needed,
not all images of an epoch at once, and one view of a test image is scored. The last step averages, too: the published
code goes back to the last average, of up to four steps before, which is much where a training has only ten.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peers.data import Images, crop, flip, normalise, shuffled
from peers.plan import Peer, Plan

BATCH_SIZE = 1024
WIDTHS = (64, 256, 256)
MOMENTUM = 0.85
KILOSTEP = 1024 * (1 + 1 / (1 - MOMENTUM))  # rates are for 1024 images, whatever the momentum
LR = 11.5 / KILOSTEP
BIAS_LR_FACTOR = 64.0
WEIGHT_DECAY = 0.0153 / KILOSTEP  # for each image; divided by the rate: the decay a step does not depend on it
LABEL_SMOOTHING = 0.2
WHITENING_BIAS_EPOCHS = 3
TRANSLATION = 2  # pixels
FIRST_LR, LAST_LR, PEAK = 0.2, 0.07, 0.23  # fractions of the rate, and of the steps
AVERAGE_EVERY = 5  # steps
AVERAGE_DECAY = 0.95
WHITENING_IMAGES = 5000
WHITENING_EPS = 5e-4


class Conv(nn.Conv2d):
    """Begins as the identity on as many channels as come in."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, kernel_size=3, padding="same", bias=False)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.dirac_(self.weight.data[: self.weight.size(1)])


class BatchNorm(nn.BatchNorm2d):
    """Its scale stays 1."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, momentum=1 - 0.6)
        self.weight.requires_grad = False


class Group(nn.Module):
    """Two convolutions; the first one's maps are pooled before they are normalised."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = Conv(before, after)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = BatchNorm(after)
        self.conv2 = Conv(after, after)
        self.norm2 = BatchNorm(after)
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm1(self.pool(self.conv1(x))))
        return self.activation(self.norm2(self.conv2(x)))


class Airbench94(nn.Module):
    """1,972,792 parameters, of which 288 of the whitening and 1,152 scales are frozen."""

    def __init__(self, widths: tuple[int, int, int] = WIDTHS) -> None:
        super().__init__()
        self.whitening = nn.Conv2d(3, 24, kernel_size=2)
        self.whitening.weight.requires_grad = False
        nn.init.zeros_(self.whitening.bias)
        self.activation = nn.GELU()
        first, second, third = widths
        self.groups = nn.Sequential(Group(24, first), Group(first, second), Group(second, third))
        self.pool = nn.MaxPool2d(3)
        self.head = nn.Linear(third, 10, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.groups(self.activation(self.whitening(x))))
        return self.head(x.flatten(1)) / 9


@torch.no_grad()
def whiten(layer: nn.Conv2d, images: Tensor) -> None:
    """Set the filters to the principal components of the images' 2x2 patches, scaled to equal variance, and to their
    negatives."""
    patches = F.unfold(images, 2).transpose(1, 2).reshape(-1, 12)
    variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (components / (variances + WHITENING_EPS).sqrt()).T.flip(0).reshape(12, 3, 2, 2)
    layer.weight.copy_(torch.cat([filters, -filters]))


def build(images: Images) -> nn.Module:
    """The network, whitened by the first training images."""
    model = Airbench94()
    whiten(model.whitening, normalise(images.pixels[:WHITENING_IMAGES]))
    return model


def optimizer_of(model: nn.Module, batch_size: int) -> torch.optim.Optimizer:
    """Nesterov's momentum; biases of norms have a higher rate, at the same decay a step."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    biases = [parameter for name, parameter in trained.items() if "norm" in name]
    others = [parameter for name, parameter in trained.items() if "norm" not in name]
    decay = WEIGHT_DECAY * batch_size
    groups = [
        {"params": biases, "lr": LR * BIAS_LR_FACTOR, "weight_decay": decay / (LR * BIAS_LR_FACTOR)},
        {"params": others, "lr": LR, "weight_decay": decay / LR},
    ]
    return torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)


def lr_factor(step: int, num_steps: int) -> float:
    """Times the rate: up in a line until 23 % of the steps, then down in a line."""
    peak = max(1, int(PEAK * num_steps))
    if step < peak:
        return FIRST_LR + (1 - FIRST_LR) * step / peak
    return 1 + (LAST_LR - 1) * (step - peak) / max(1, num_steps - peak)


class Lookahead:
    """A slow average of the weights and running statistics, written back into the network."""

    def __init__(self, model: nn.Module) -> None:
        self.average = {name: value.clone() for name, value in model.state_dict().items()}

    def update(self, model: nn.Module, decay: float) -> None:
        for average, value in zip(self.average.values(), model.state_dict().values(), strict=True):
            if value.is_floating_point():
                average.lerp_(value, 1 - decay)
                value.copy_(average)


def train(model: nn.Module, images: Images, plan: Plan) -> Iterator[float]:
    """The recipe; images are flipped by chance in the first epoch, then the other way in every other."""
    pixels = F.pad(normalise(images.pixels), (TRANSLATION,) * 4, "reflect")
    is_flipped = torch.rand(len(pixels)) < 0.5
    optimizer = optimizer_of(model, plan.batch_size)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, plan.num_steps))
    lookahead = Lookahead(model)
    batches = shuffled(len(pixels), plan.batch_size)
    for step in range(1, plan.num_steps + 1):
        epoch, chosen = next(batches)
        model.whitening.bias.requires_grad = epoch < WHITENING_BIAS_EPOCHS  # type: ignore[union-attr]
        batch = flip(crop(pixels[chosen], 32), is_flipped[chosen] ^ (epoch % 2 == 1))
        outputs = model(plan.in_layout(batch))
        loss = F.cross_entropy(outputs, images.labels[chosen], label_smoothing=LABEL_SMOOTHING, reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % AVERAGE_EVERY == 0 or step == plan.num_steps:
            lookahead.update(model, AVERAGE_DECAY**AVERAGE_EVERY * (step / plan.num_steps) ** 3)
        yield loss.item() / len(chosen)


PEER = Peer("airbench94 (Keller Jordan 2024), float32", BATCH_SIZE, build, train, normalise)
