"""Knowledge distillation: a student learns from a trained teacher's logits for every training image, crop by crop.

The teacher predicts nine of each image's crops once, before the training, so that it costs nothing while the student
trains; its logits for a crop between them are interpolated.
Sources: Hinton et al., "Distilling the Knowledge in a Neural Network" (2015, arXiv:1503.02531); that both see the same
crop: Beyer et al., "Knowledge distillation: A good teacher is patient and consistent" (2022, arXiv:2106.05237).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float16, Int64
from torch import Tensor
from torch.nn import functional as F

from thumbnet.augment import RandomCrop

PLACES = 3  # of the crop's window along either side: at both ends and in the middle, where nothing is moved


@dataclass(frozen=True)
class TeacherLogits:
    """A teacher's logits for each of n training images, cropped at PLACES x PLACES places."""

    crop: RandomCrop
    logits: Float16[Tensor, "n 3 3 k"]

    def __post_init__(self) -> None:
        assert self.logits.shape[1:3] == (PLACES, PLACES)

    @property
    def num_images(self) -> int:
        return len(self.logits)

    def at(
        self, chosen: Int64[Tensor, " b"], top: Int64[Tensor, " b"], left: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b k"]:
        """Teacher logits of the training images `chosen` at (top, left), interpolated between the nine stored crops."""
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
        interpolated: Tensor = torch.lerp(upper, lower, row_shares)
        return interpolated.to(device)

    def _between(self, offsets: Int64[Tensor, " b"]) -> tuple[Int64[Tensor, " b"], Float[Tensor, "b 1"]]:
        """The place before each offset (never the last one), and how far it is on the way to the next place."""
        positions = offsets / max(1, self.crop.padding)
        before = positions.long().clamp_max(PLACES - 2)
        return before, (positions - before)[:, None]


def distillation_loss(
    logits: Float[Tensor, "b k"],
    teacher_logits: Float[Tensor, "b k"],
    label_loss: Float[Tensor, "*batch"],
    *,
    weight: float,
    temperature: float,
) -> Float[Tensor, "*batch"]:
    """(1 - `weight`) times `label_loss`, plus `weight` times the divergence from the teacher: of the batch, or image by
    image where `label_loss` is so.

    Both distributions are softened by `temperature`, and the divergence is scaled by its square.
    """
    ours, theirs = (F.log_softmax(each / temperature, dim=1) for each in (logits, teacher_logits))
    if label_loss.ndim:
        divergence = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=1)
    else:
        divergence = F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return torch.lerp(label_loss, divergence * temperature**2, weight)
