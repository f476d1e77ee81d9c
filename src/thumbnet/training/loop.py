"""What stays the same from step to step of a training: the images, and what they are trained with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from thumbnet.augment import Augmentation
from thumbnet.kernels.library import Kernels
from thumbnet.specs.objective import Objective
from thumbnet.specs.resizing import ProgressiveResizing
from thumbnet.training.alternating import AlternatingFlip
from thumbnet.training.averaging import WeightAverage
from thumbnet.training.body import Body
from thumbnet.training.course import Course
from thumbnet.training.distillation import TeacherLogits
from thumbnet.training.progress import Progress

if TYPE_CHECKING:
    from thumbnet.training.ranks import Ranks


@dataclass(frozen=True)
class TrainImages:
    """The training images, on the disk or on the training's device, the labels, on that, and how a batch is made
    of them.

    `class_weights` are on that device, too; None: all images weigh the same. `is_balanced` is whether an epoch draws as
    many images of each class, `by_blocks` whether it is shuffled as block_shuffle.py does.
    """

    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentations: Sequence[Augmentation]
    flip: AlternatingFlip | None
    resizing: ProgressiveResizing
    teacher: TeacherLogits | None
    library: Kernels | None
    class_weights: Float[Tensor, " k"] | None = None
    is_balanced: bool = False
    by_blocks: bool = False

    @property
    def counts_by_class(self) -> bool:
        """Whether what is minimised is not the mean over the training images."""
        return self.is_balanced or self.class_weights is not None

    @property
    def full_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.images.shape[2:]
        return height, width


@dataclass(frozen=True)
class Loop:
    """What stays the same from epoch to epoch."""

    model: nn.Module
    body: Body
    forward: Callable[[Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    base_lrs: Sequence[float]
    precision: torch.dtype
    train: TrainImages
    course: Course
    objective: Objective
    average: WeightAverage | None
    seed: int
    random_scheme: int
    progress: Progress
    ranks: Ranks | None = None  # the processes that train together; None: this one does alone
    syncs_norms: bool = False  # whether norms take the statistics of all processes
