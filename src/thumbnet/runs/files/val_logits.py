"""val-logits.safetensors: logits and labels of the validation images, by the first network of a run with `refit`."""

from __future__ import annotations

import safetensors.torch
import torch

from thumbnet.evaluation.predictions import Predictions
from thumbnet.specs.json_text import damaged


def val_logits_to_bytes(held_out: Predictions) -> bytes:
    """A safetensors file, of tensors only."""
    return safetensors.torch.save({"logits": held_out.logits.cpu(), "labels": held_out.labels.cpu()})


def val_logits_from_bytes(content: bytes, *, name: str, num_images: int, num_classes: int) -> Predictions:
    """The inverse of `val_logits_to_bytes`; RunError, which names the file, for anything but finite logits of so many
    images and classes, and labels."""
    try:
        held = safetensors.torch.load(content)
        logits, labels = held["logits"], held["labels"]
    except (safetensors.SafetensorError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise damaged(name, error) from error
    are_typed = (labels.dtype, logits.dtype) == (torch.int64, torch.float32)
    shapes = tuple(labels.shape), tuple(logits.shape)
    if not are_typed or shapes != ((num_images,), (num_images, num_classes)) or not logits.isfinite().all():
        raise damaged(name, f"it has no {num_classes} finite logits and one label for each of {num_images:,} images")
    if not ((labels >= 0) & (labels < num_classes)).all():
        raise damaged(name, f"a label is none of {num_classes} classes")
    return Predictions(logits, labels)
