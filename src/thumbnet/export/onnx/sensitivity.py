"""Which layers cost most when they are quantised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thumbnet.export.onnx.graph import to_bytes
from thumbnet.export.onnx.int8_graph import int8_graph, layer_names
from thumbnet.export.onnx.runtime import open_session, run_session
from thumbnet.export.request import CheckImages, softmax
from thumbnet.trained.shippable import Shippable

NUM_IMAGES = 300


@dataclass(frozen=True)
class LayerCost:
    """What one layer in int8 does, all others being float: the share of images that get another class, and the mean
    difference of a probability."""

    layer: str
    changed: float
    difference: float

    def __str__(self) -> str:
        return f"{self.layer} ({self.changed:.1%} get another class)"


def layer_costs(shippable: Shippable, images: CheckImages) -> list[LayerCost]:
    """The dearest first, on the first `NUM_IMAGES` images."""
    assert shippable.program is not None
    assert shippable.export_data is not None
    assert shippable.export_data.ranges is not None
    expected = images.logits[:NUM_IMAGES]
    costs = []
    for layer in layer_names(shippable.program):
        model = int8_graph(shippable.program, shippable.export_data.ranges, properties={}, quantised={layer})
        found, _ = run_session(open_session(to_bytes(model)), images.images[:NUM_IMAGES])
        changed = float((found.argmax(axis=1) != expected.argmax(axis=1)).mean())
        costs.append(LayerCost(layer, changed, float(np.abs(softmax(found) - softmax(expected)).mean())))
    return sorted(costs, key=lambda cost: (cost.changed, cost.difference), reverse=True)
