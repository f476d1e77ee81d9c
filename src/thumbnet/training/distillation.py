"""Knowledge distillation: a student learns what a trained teacher says of every training image, crop by crop.

The teacher is asked once, before the training, of every variant that `GridCrop` can make of an image; so it costs
nothing while the student trains, and the student sees just what the teacher saw.
Sources: Hinton et al., "Distilling the Knowledge in a Neural Network" (2015, arXiv:1503.02531); that both see the same
crop: Beyer et al., "Knowledge distillation: A good teacher is patient and consistent" (2022, arXiv:2106.05237).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float16, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.augment import GridCrop
from thumbnet.errors import ConfigError
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.training.device import pick_precision


@dataclass(frozen=True)
class Lessons:
    """A teacher's logits of each of n training images in each of the grid's v variants, and how they are taught.

    The student's loss is (1 - `weight`) times the cross-entropy with the labels, plus `weight` times the divergence
    from the teacher, both distributions softened by `temperature` and the result scaled by its square.
    """

    grid: GridCrop
    logits: Float16[Tensor, "n v k"]
    weight: float
    temperature: float

    def __post_init__(self) -> None:
        assert self.logits.shape[1] == self.grid.num_variants
        if not 0 < self.weight <= 1:
            raise ConfigError(f"teacher_weight is {self.weight}", hint="give a share above 0 and at most 1")
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(f"teacher_temperature is {self.temperature}", hint="give a number above 0, as 2")

    def of(self, chosen: Int64[Tensor, " b"], variants: Int64[Tensor, " b"]) -> Float[Tensor, "b k"]:
        """The logits of the training images `chosen`, in these variants, on the device of `chosen`."""
        return self.logits[chosen.cpu(), variants].to(chosen.device, torch.float32)

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
    grid: GridCrop,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    precision: str = "auto",
    say: Callable[[int, int], None] = lambda done, whole: None,
) -> Float16[Tensor, "n v k"]:
    """The teacher's logits of every image in every variant; `say` is told how many of how many are done.

    A crop and its mirror image both get the mean of their logits, which is right more often than either.
    """
    device = next(teacher.parameters()).device
    number_format = pick_precision(precision, device)
    pieces = []
    for variant in range(grid.num_variants):
        crops = grid.apply(images, {"variant": torch.full((len(images),), variant)})
        with torch.autocast(device.type, number_format, enabled=number_format != torch.float32):
            pieces.append(predict_logits(teacher, crops, mean=mean, std=std).half())
        say(variant + 1, grid.num_variants)
    logits = torch.stack(pieces, dim=1)
    if grid.flips:
        mirrored = logits.unflatten(1, (-1, 2))
        mirrored.copy_(mirrored.float().mean(dim=2, keepdim=True))
    return logits
