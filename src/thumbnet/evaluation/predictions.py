"""Predictions for every image of a split: logits, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from thumbnet.data.dataset import Split
from thumbnet.data.streamed import chunks_of
from thumbnet.kernels.images import normalised
from thumbnet.kernels.scoring import scoring
from thumbnet.models.decision import Decision, chosen_classes
from thumbnet.models.trace import in_eval_mode

EVAL_BATCH_SIZE = 250  # 10,000 images in 40 batches; larger ones were no faster on two cores
FULL_BATCH_PIXELS = 64 * 64  # of an image: larger ones come in smaller batches, since their maps take as much memory


@dataclass(frozen=True)
class Predictions:
    """Logits float32 [N,K] and labels int64 [N] of a split, on the CPU, in the split's order; and the classes int64 [N]
    that a model's decision makes of the logits, None: the likeliest."""

    logits: Float[Tensor, "n k"]
    labels: Int64[Tensor, " n"]
    decided: Int64[Tensor, " n"] | None = None

    @property
    def right(self) -> Bool[Tensor, " n"]:
        """Whether the predicted class is the label."""
        return self.predicted == self.labels

    @cached_property
    def probabilities(self) -> Float[Tensor, "n k"]:
        return self.logits.softmax(dim=1)

    @cached_property
    def predicted(self) -> Int64[Tensor, " n"]:
        """The class that is answered: that with the highest logit, unless it was decided otherwise."""
        return self.logits.argmax(dim=1) if self.decided is None else self.decided

    @cached_property
    def confidence(self) -> Float[Tensor, " n"]:
        """The probability of the predicted class."""
        if self.decided is None:
            return self.probabilities.max(dim=1).values
        return self.probabilities.gather(1, self.decided[:, None])[:, 0]

    @cached_property
    def losses(self) -> Float[Tensor, " n"]:
        """Negative log-likelihood of the label, image by image."""
        return F.cross_entropy(self.logits, self.labels, reduction="none")

    def decided_by(self, decision: Decision | None) -> Predictions:
        """The same logits, answered by this decision."""
        if decision is None:
            return Predictions(self.logits, self.labels)
        return Predictions(self.logits, self.labels, torch.from_numpy(chosen_classes(decision, self.logits.numpy())))


@dataclass(frozen=True)
class StoredPredictions:
    """Predictions as a run keeps them: labels and predicted classes int64 [N] of a split, the probability of the
    predicted class [N], the images' paths if they have any, and the probability of every class [N,K] (None of runs from
    before it was kept); all in the split's order."""

    labels: Int64[Tensor, " n"]
    predicted: Int64[Tensor, " n"]
    confidence: Float[Tensor, " n"]
    paths: tuple[str, ...] | None = None
    probabilities: Float64[Tensor, "n k"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def right(self) -> Bool[Tensor, " n"]:
        """Whether the predicted class is the label."""
        return self.predicted == self.labels


def batch_size_for(images: UInt8[Tensor, "n c h w"], *, most: int = EVAL_BATCH_SIZE) -> int:
    """How many of these images to give a model at a time: `most`, or as many as have the pixels of so many of 64x64."""
    return max(1, most * FULL_BATCH_PIXELS // max(FULL_BATCH_PIXELS, images.shape[2] * images.shape[3]))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode and without gradients; each part's mode is restored afterwards."""
    with in_eval_mode(model), torch.inference_mode():
        yield model


def predict_split(
    model: nn.Module, split: Split, *, mean: Sequence[float], std: Sequence[float], batch_size: int | None = None
) -> Predictions:
    """Predictions of every image, on the model's device, in one view; `mean` and `std` are of pixels in 0..1."""
    return Predictions(predict_logits(model, split.images, mean=mean, std=std, batch_size=batch_size), split.labels)


def predict_logits(
    model: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int | None = None,
    change: Callable[[UInt8[Tensor, "b c h w"]], UInt8[Tensor, "b c h w"]] | None = None,
) -> Float[Tensor, "n k"]:
    """Logits of every image, on the CPU; `batch_size`: of None as many as `batch_size_for` says. `change`: what is done
    to each batch first."""
    device = next(model.parameters()).device
    batches = chunks_of(images, batch_size_for(images) if batch_size is None else batch_size)
    with evaluating(model), scoring(model, num_images=len(images)) as kernels:
        shown = batches if change is None else map(change, batches)
        logits = [model(normalised(kernels, batch.to(device), mean, std)).float().cpu() for batch in shown]
    return torch.cat(logits)


def flipped(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Left and right."""
    return images.flip(3)
