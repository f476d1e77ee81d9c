"""What an epoch has come to so far: sums over its steps."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from thumbnet.errors import NonFiniteLossError
from thumbnet.training.progress import StepReport


class Tally:
    """Sums over an epoch, read from the device only when a report is asked for."""

    def __init__(self, first_step: int, *, shares: Float64[Tensor, " k"] | None = None) -> None:
        """`shares` are the fractions of the training images that the classes have: where what is minimised is not the
        mean over the training images, loss and accuracy are then means over them, from those of each class."""
        self.first_step = first_step
        self.shares = shares
        self.by_class = None if shares is None else torch.zeros(len(shares), 3, dtype=torch.float64)
        self.begin_s = time.perf_counter()
        self.unread: list[tuple[Tensor, Tensor, int]] = []
        self.unread_classes: list[Tensor] = []
        self.num_steps = self.num_images = self.num_correct = 0
        self.loss_sum = 0.0

    def add(
        self, loss: Tensor, num_correct: Tensor, num_images: int, by_class: Float[Tensor, "k 3"] | None = None
    ) -> None:
        """A step's loss and how many images it got right; `by_class` has the sum of the images' losses, how many are
        right, and of how many."""
        self.unread.append((loss, num_correct, num_images))
        if by_class is not None:
            self.unread_classes.append(by_class)

    def report(self) -> StepReport:
        """The sums so far; NonFiniteLossError names the first step whose loss is not finite."""
        for loss, num_correct, num_images in self.unread:
            last_loss = float(loss)
            self.num_steps += 1
            if not math.isfinite(last_loss):
                raise NonFiniteLossError(
                    f"the loss became {last_loss} at step {self.first_step + self.num_steps} "
                    f"(step {self.num_steps} of its epoch)",
                    hint="the learning rate is the likely cause: divide lr by 3, or ask `thumbnet find-lr`",
                )
            self.loss_sum += last_loss * num_images
            self.num_correct += int(num_correct)
            self.num_images += num_images
        self.unread.clear()
        report = StepReport(
            num_steps=self.num_steps,
            num_images=self.num_images,
            mean_loss=self.loss_sum / self.num_images,
            accuracy=self.num_correct / self.num_images,
            last_loss=last_loss,
            images_per_s=self.num_images / (time.perf_counter() - self.begin_s),
        )
        return report if self.by_class is None else self._from_classes(report, self.by_class)

    def _from_classes(self, report: StepReport, by_class: Float64[Tensor, "k 3"]) -> StepReport:
        """The report with loss and accuracy as means over the training images, as far as their classes were drawn."""
        assert self.shares is not None
        for sums in self.unread_classes:
            by_class += sums.cpu()
        self.unread_classes.clear()
        is_drawn = by_class[:, 2] > 0
        shares = self.shares[is_drawn] / self.shares[is_drawn].sum()
        losses, accuracies = (by_class[is_drawn, column] / by_class[is_drawn, 2] for column in (0, 1))
        return replace(
            report,
            mean_loss=float(shares @ losses),
            accuracy=float(shares @ accuracies),
            objective=report.mean_loss,
            balanced_accuracy=float(accuracies.mean()),
        )
