"""Whether the splits that a data source gives can be trained and scored on."""

from __future__ import annotations

import torch

from thumbnet.data.dataset import Split
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import DataError


def check_splits(splits: SourceSplits, data: str) -> None:
    """DataError where a source of the user's gives what nothing downstream can take."""
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    for name, part in parts.items():
        problem = "" if part is None else _problem(part, len(splits.class_names))
        if problem:
            raise DataError(f"the source of {data} gives {name} {problem}", hint="see thumbnet.data.dataset.Split")
    if len(set(splits.class_names)) < max(2, len(splits.class_names)):
        raise DataError(
            f"the source of {data} gives the classes {splits.class_names}", hint="give at least two different names"
        )


def _problem(part: Split, num_classes: int) -> str:
    images, labels = part.images, part.labels
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        return f"images of {images.dtype} {list(images.shape)}, expected uint8 [N,1 or 3,H,W]"
    if labels.dtype == torch.uint8 and labels.ndim == 2:
        if labels.shape[1] != num_classes or int(labels.max()) > 1:
            found = f"labels of {list(labels.shape)} up to {int(labels.max())}"
            return f"{found} for {num_classes} classes, expected 0 and 1"
        return ""
    if labels.dtype != torch.int64 or labels.ndim != 1:
        return f"labels of {labels.dtype} {list(labels.shape)}, expected int64 [N]"
    if int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        return f"labels from {int(labels.min())} to {int(labels.max())} for {num_classes} classes"
    return ""
