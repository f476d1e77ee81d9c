"""What an epoch has come to so far: sums over its steps."""

from __future__ import annotations

import math
import time

from torch import Tensor

from thumbnet.errors import NonFiniteLossError
from thumbnet.training.progress import StepReport


class Tally:
    """Sums over an epoch, read from the device only when a report is asked for."""

    def __init__(self, first_step: int) -> None:
        self.first_step = first_step
        self.begin_s = time.perf_counter()
        self.unread: list[tuple[Tensor, Tensor, int]] = []
        self.num_steps = self.num_images = self.num_correct = 0
        self.loss_sum = 0.0

    def add(self, loss: Tensor, num_correct: Tensor, num_images: int) -> None:
        self.unread.append((loss, num_correct, num_images))

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
        return StepReport(
            num_steps=self.num_steps,
            num_images=self.num_images,
            mean_loss=self.loss_sum / self.num_images,
            accuracy=self.num_correct / self.num_images,
            last_loss=last_loss,
            images_per_s=self.num_images / (time.perf_counter() - self.begin_s),
        )
