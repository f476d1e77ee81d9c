"""Export data of a trained network: the ranges of its maps on training images, and samples of the test split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thumbnet.data.dataset import Dataset
from thumbnet.evaluation.predictions import batch_size_for, evaluating
from thumbnet.kernels.images import normalised
from thumbnet.kernels.scoring import scoring
from thumbnet.models.blocknet import BlockNet, architecture_of_model
from thumbnet.models.export_data import (
    AFTER,
    BEFORE,
    NUM_CALIBRATION_IMAGES,
    POINTWISE,
    STEM,
    ExportData,
    Range,
    Samples,
    calibration_order,
    sample_positions,
)


def collect_export_data(model: nn.Module, dataset: Dataset) -> ExportData:
    """The export data of a model that was trained on a dataset; the ranges are measured in one view, in evaluation
    mode, on the model's device."""
    positions = sample_positions(dataset.test.labels.numpy())
    samples = Samples(
        dataset.test.images[torch.from_numpy(positions)].numpy(),
        dataset.test.labels.numpy()[positions],
        positions,
    )
    if architecture_of_model(model) is None:
        return ExportData(None, 0, samples)
    assert isinstance(model, BlockNet)
    chosen = calibration_order(len(dataset.train))[:NUM_CALIBRATION_IMAGES]
    images = dataset.train.images[torch.from_numpy(chosen)]
    return ExportData(_measure_ranges(model, images, dataset), len(chosen), samples)


def _measure_ranges(model: BlockNet, images: Tensor, dataset: Dataset) -> dict[str, Range]:
    found: dict[str, Range] = {}
    watched: dict[str, nn.Module] = {STEM: model.whiten}
    for index, block in enumerate(model.blocks):
        parts = dict(block.named_children())
        if not isinstance(parts["depthwise"], nn.Identity):
            watched[f"blocks.{index}{POINTWISE}"] = parts["conv"]
        watched[f"blocks.{index}{BEFORE}"] = parts["norm"]
        watched[f"blocks.{index}{AFTER}"] = block
    hooks = [module.register_forward_hook(_widen(found, name)) for name, module in watched.items()]
    device = next(model.parameters()).device
    try:
        with evaluating(model), scoring(model, num_images=len(images)) as kernels:
            for batch in images.split(batch_size_for(images)):
                model(normalised(kernels, batch.to(device), dataset.mean, dataset.std))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _widen(found: dict[str, Range], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    """A hook that widens a map's range by what a module returns."""

    def widen(_module: nn.Module, _inputs: Any, maps: Tensor) -> None:
        maps = maps.relu() if name == STEM else maps
        low, high = (values.float().cpu().numpy() for values in torch.aminmax(maps.transpose(0, 1).flatten(1), dim=1))
        old = found.get(name)
        found[name] = Range(low, high) if old is None else Range(np.minimum(old.low, low), np.maximum(old.high, high))

    return widen
