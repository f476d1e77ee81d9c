"""Which layers cost most when they are quantised."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thumbnet.export.onnx.graph import to_bytes
from thumbnet.export.onnx.int8_graph import int8_graph, layer_names
from thumbnet.export.onnx.runtime import open_session, run_session
from thumbnet.export.request import CheckImages, compare, probabilities_of
from thumbnet.trained.shippable import Shippable

NUM_IMAGES = 300


@dataclass(frozen=True)
class LayerCost:
    """What one layer in int8 does, all others being float: the share of images that get another class, or other labels
    where they may have several, and the mean difference of a probability."""

    layer: str
    changed: float
    difference: float
    has_several_labels: bool = False

    def __str__(self) -> str:
        return f"{self.layer} ({self.changed:.1%} get {'other labels' if self.has_several_labels else 'another class'})"


def layer_costs(shippable: Shippable, images: CheckImages) -> list[LayerCost]:
    """The dearest first, on the first `NUM_IMAGES` images."""
    assert shippable.program is not None
    assert shippable.export_data is not None
    assert shippable.export_data.ranges is not None
    some = replace(
        images,
        images=images.images[:NUM_IMAGES],
        labels=images.labels[:NUM_IMAGES],
        logits=images.logits[:NUM_IMAGES],
    )
    expected = probabilities_of(some, some.logits)
    costs = []
    for layer in layer_names(shippable.program):
        model = int8_graph(shippable.program, shippable.export_data.ranges, properties={}, quantised={layer})
        found, _ = run_session(open_session(to_bytes(model)), some.images)
        agreement = compare(some, found)
        difference = float(np.abs(probabilities_of(some, found) - expected).mean())
        costs.append(LayerCost(layer, 1 - agreement.agreement, difference, agreement.has_several_labels))
    return sorted(costs, key=lambda cost: (cost.changed, cost.difference), reverse=True)
