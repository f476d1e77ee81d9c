"""The second fixed baseline: a plain network of four convolutions in PyTorch alone, for as long as ours.

python -m own_pictures.plain_net SIDE_OF_A_SET MINUTES SEED FLIPS OUT

Convolutions of 3x3 to 32, 64, 96 and 96 channels, each with batch normalisation, ReLU and a max-pool of two; their mean
over the picture; a linear layer. AdamW at 1e-3 with PyTorch's one-cycle, batches of 64, pictures shifted by up to an
eighth, and mirrored where FLIPS is 1. The side is the pictures' own, from 32 to 96. The minutes are those of the whole
process, imports, reading and scoring included: the first steps say how many fit, and the last epoch ends where they
do. All training pictures are trained on, and nothing is chosen. OUT gets the predicted class of each test picture as
JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

BEGIN_S = time.perf_counter() - 0.1  # what Python itself takes before this line

import thumbnet  # noqa: E402, F401  # before torch is imported: it applies THUMBNET_CPU

# isort: split
import numpy as np  # noqa: E402
import torch  # noqa: E402
from jaxtyping import Float, Int64, UInt8  # noqa: E402
from PIL import Image, ImageOps  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from own_pictures.folders import Part  # noqa: E402

CHANNELS = (32, 64, 96, 96)
LEARNING_RATE = 1e-3
BATCH_SIZE = 64
SMALLEST_SIDE, LARGEST_SIDE = 32, 96
SIZED_PICTURES = 200  # whose sides are looked at
SKIPPED_STEPS, TIMED_STEPS = 5, 20
PREDICTED_SHARE = 0.5  # of a training step, at most, to predict as many pictures
SPARE = 0.97  # of what is left: steps are not all alike


class PlainNet(nn.Module):
    """Takes uint8 [N,3,H,W]; `mean` and `std` are those of the training pictures."""

    def __init__(self, num_classes: int, images: UInt8[Tensor, "n 3 h w"]) -> None:
        super().__init__()
        some = images[:: max(1, len(images) // 2000)].float() / 255
        self.register_buffer("mean", some.mean(dim=(0, 2, 3), keepdim=True))
        self.register_buffer("std", some.std(dim=(0, 2, 3), keepdim=True) + 1e-3)
        layers: list[nn.Module] = []
        for before, after in zip((3, *CHANNELS), CHANNELS, strict=False):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(CHANNELS[-1], num_classes)

    def forward(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n k"]:
        pixels = ((images.float() / 255 - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        logits: Float[Tensor, "n k"] = self.head(self.body(pixels))
        return logits


def main(side_of_set: str, minutes: str, seed: str, flips: str, out: str) -> None:
    """Train and predict."""
    train, test = (Part.of(Path(side_of_set) / name) for name in ("train", "test"))
    side = side_of(train.files)
    images, others = read(train.files, side), read(test.files, side)
    model, num_epochs = trained(
        images,
        torch.from_numpy(train.labels),
        len(train.class_names),
        flips=flips == "1",
        seed=int(seed),
        end_s=BEGIN_S + 60 * float(minutes),
        num_test=len(others),
    )
    found = {"predicted": predict(model, others), "side": side, "epochs": num_epochs}
    Path(out).write_text(json.dumps(found | {"seconds": time.perf_counter() - BEGIN_S}))


def side_of(files: Sequence[Path]) -> int:
    """The shorter side of a picture as a rule, brought to SMALLEST_SIDE..LARGEST_SIDE."""
    shorter = []
    for file in files[:: max(1, len(files) // SIZED_PICTURES)]:
        with Image.open(file) as image:
            shorter.append(min(image.size))
    return max(SMALLEST_SIDE, min(LARGEST_SIDE, int(statistics.median(shorter))))


def read(files: Sequence[Path], side: int) -> UInt8[Tensor, "n 3 h w"]:
    """The centre squares of the pictures, on white, in colour."""
    pixels = np.empty((len(files), side, side, 3), np.uint8)
    for place, file in enumerate(files):
        with Image.open(file) as image:
            on_white = Image.new("RGBA", image.size, "white")
            on_white.alpha_composite(image.convert("RGBA"))
        pixels[place] = ImageOps.fit(on_white.convert("RGB"), (side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def trained(
    images: UInt8[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    num_classes: int,
    *,
    flips: bool,
    seed: int,
    end_s: float,
    num_test: int,
) -> tuple[PlainNet, float]:
    """The network, trained for as many steps as are over before `end_s`, predictions included; and how many epochs they
    are."""
    torch.manual_seed(seed)
    model = PlainNet(num_classes, images).to(memory_format=torch.channels_last).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trial = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    taken_s = []
    for _ in range(SKIPPED_STEPS + TIMED_STEPS):
        step_begin_s = time.perf_counter()
        step(model, trial, images, labels, torch.randint(len(labels), (BATCH_SIZE,)), flips=flips)
        taken_s.append(time.perf_counter() - step_begin_s)
    model.load_state_dict(before)
    step_s = statistics.mean(taken_s[SKIPPED_STEPS:])
    left_s = SPARE * (end_s - time.perf_counter() - PREDICTED_SHARE * step_s * num_test / BATCH_SIZE)
    steps_per_epoch = max(1, len(labels) // BATCH_SIZE)  # the last, smaller batch is left out
    num_steps = max(1, int(left_s / step_s))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=num_steps)
    for done in range(0, num_steps, steps_per_epoch):
        order = torch.randperm(len(labels)).split(BATCH_SIZE)
        for indices in order[: min(steps_per_epoch, num_steps - done)]:
            step(model, optimizer, images, labels, indices, flips=flips)
            schedule.step()
    return model, num_steps / steps_per_epoch


def step(
    model: PlainNet,
    optimizer: torch.optim.Optimizer,
    images: UInt8[Tensor, "n 3 h w"],
    labels: Int64[Tensor, " n"],
    indices: Int64[Tensor, " b"],
    *,
    flips: bool,
) -> None:
    """One step on a batch, shifted and perhaps mirrored."""
    loss = F.cross_entropy(model(augmented(images[indices], flips=flips)), labels[indices])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def augmented(batch: UInt8[Tensor, "b 3 h w"], *, flips: bool) -> UInt8[Tensor, "b 3 h w"]:
    """Each picture shifted by up to an eighth of its side, its border repeated; half of them mirrored with `flips`."""
    side = batch.shape[-1]
    most = side // 8
    padded = F.pad(batch.float(), [most] * 4, mode="replicate").to(torch.uint8)
    offsets = torch.arange(side)
    rows, columns = (torch.randint(2 * most + 1, (len(batch), 1)) + offsets for _ in range(2))
    if flips:
        columns = torch.where(torch.rand(len(batch), 1) < 0.5, columns.flip(1), columns)
    pictures = torch.arange(len(batch))[:, None, None]
    return padded[pictures, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@torch.no_grad()
def predict(model: PlainNet, images: UInt8[Tensor, "n 3 h w"]) -> list[int]:
    """The most probable class of each picture."""
    model.eval()
    return [label for batch in images.split(250) for label in model(batch).argmax(dim=1).tolist()]


if __name__ == "__main__":
    main(*sys.argv[1:])
