"""What a training returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, runtime_checkable

from typing_extensions import TypeVar

from thumbnet.specs.pace import Pace
from thumbnet.specs.stopping import StoppedBy
from thumbnet.training.history import History


@runtime_checkable
class Scores(Protocol):
    """What a scorer returns: at least the accuracy, a fraction, and the mean loss."""

    @property
    def accuracy(self) -> float: ...

    @property
    def loss(self) -> float: ...


S = TypeVar("S", bound=Scores, default=Scores)


@dataclass(frozen=True)
class FitResult(Generic[S]):
    """The history of a training, the scores of the weights that it ends with by split, and what it ran on.

    `scores` is empty where the epoch of these weights was trained before the training went on from a state. `precision`
    is that of convolutions and matrix products, `float32` or `bfloat16`; `kernels` whose trained the blocks, ours or
    PyTorch's. `pace` is the one that was followed in the end, None where `fit` was given a number of epochs and no
    clock. `stopped_by` is what ended the training before its last epoch, None where nothing did. Epochs count from 1:
    `best_epoch` is the best one on validation, None where it was not scored, `kept_epoch` that of the model's weights.
    """

    history: History
    scores: Mapping[str, S]
    device: str
    precision: str
    kernels: str
    num_threads: int
    pace: Pace | None = None
    stopped_by: StoppedBy | None = None
    best_epoch: int | None = None
    kept_epoch: int = 0
