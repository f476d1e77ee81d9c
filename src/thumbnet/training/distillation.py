"""Knowledge distillation: a student learns what a trained teacher says of every training image, crop by crop.

The teacher is asked once, before the training, of nine of an image's crops; so it costs nothing while the student
trains. Its answer to a crop between them is interpolated.
Sources: Hinton et al., "Distilling the Knowledge in a Neural Network" (2015, arXiv:1503.02531); that both see the same
crop: Beyer et al., "Knowledge distillation: A good teacher is patient and consistent" (2022, arXiv:2106.05237).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float16, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.augment import RandomCrop
from thumbnet.errors import ConfigError
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.training.device import pick_precision

PLACES = 3  # of the crop's window along either side: at both ends and in the middle, where nothing is moved


@dataclass(frozen=True)
class Lessons:
    """A teacher's logits of each of n training images, cropped at PLACES x PLACES places, and how they are taught.

    The student's loss is (1 - `weight`) times the cross-entropy with the labels, plus `weight` times the divergence
    from the teacher, both distributions softened by `temperature` and the result scaled by its square.
    """

    crop: RandomCrop
    logits: Float16[Tensor, "n 3 3 k"]
    weight: float
    temperature: float

    def __post_init__(self) -> None:
        assert self.logits.shape[1:3] == (PLACES, PLACES)
        if not 0 < self.weight <= 1:
            raise ConfigError(f"teacher_weight is {self.weight}", hint="give a share above 0 and at most 1")
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(f"teacher_temperature is {self.temperature}", hint="give a number above 0, as 2")

    def of(
        self, chosen: Int64[Tensor, " b"], top: Int64[Tensor, " b"], left: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b k"]:
        """The logits of the training images `chosen`, cropped at these corners: bilinear between those asked of."""
        device, chosen = chosen.device, chosen.cpu()
        rows, row_shares = self._between(top)
        columns, column_shares = self._between(left)
        upper, lower = (
            torch.lerp(
                self.logits[chosen, rows + down, columns].float(),
                self.logits[chosen, rows + down, columns + 1].float(),
                column_shares,
            )
            for down in (0, 1)
        )
        answers: Tensor = torch.lerp(upper, lower, row_shares)
        return answers.to(device)

    def _between(self, offsets: Int64[Tensor, " b"]) -> tuple[Int64[Tensor, " b"], Float[Tensor, "b 1"]]:
        """The place before each offset (never the last one), and how far it is on the way to the next place."""
        positions = offsets / max(1, self.crop.padding)
        before = positions.long().clamp_max(PLACES - 2)
        return before, (positions - before)[:, None]

    def loss(
        self, logits: Float[Tensor, "b k"], taught: Float[Tensor, "b k"], label_loss: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """The student's loss, from its logits, the teacher's, and the cross-entropy with the labels."""
        ours, theirs = (F.log_softmax(each / self.temperature, dim=1) for each in (logits, taught))
        divergence = F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
        return torch.lerp(label_loss, divergence * self.temperature**2, self.weight)


def ask_teacher(
    teacher: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    crop: RandomCrop,
    *,
    mirrors: bool,
    mean: Sequence[float],
    std: Sequence[float],
    precision: str = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> Float16[Tensor, "n 3 3 k"]:
    """The teacher's logits of every image, cropped at each place.

    With `mirrors`, the mean of its logits of a crop and of the crop's mirror image, which is right more often than
    either, and is its answer to both.
    """
    device = next(teacher.parameters()).device
    number_format = pick_precision(precision, device)
    pieces = []
    with torch.autocast(device.type, number_format, enabled=number_format != torch.float32):
        for row, column in itertools.product(range(PLACES), repeat=2):
            corner = {"top": torch.full((len(images),), row), "left": torch.full((len(images),), column)}
            crops = crop.apply(images, {name: place * crop.padding for name, place in corner.items()})
            logits = predict_logits(teacher, crops, mean=mean, std=std)
            if mirrors:
                logits = (logits + predict_logits(teacher, crops.flip(3), mean=mean, std=std)) / 2
            pieces.append(logits.half())
            say(f"... {len(pieces)} of {PLACES**2} crops")
    answers: Tensor = torch.stack(pieces, dim=1).unflatten(1, (PLACES, PLACES))
    return answers
