"""Quantised weights, biases and maps of an ONNX graph, each between integers and a DequantizeLinear node."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from thumbnet.export.onnx.graph import GraphBuilder

# ONNX Runtime adds two products of uint8 and int8 in 16 bits on x86 processors without VNNI, and larger ones wrap
# around or saturate: 2 x 255 x 64 fits. (onnxruntime's own quantiser has the same as `reduce_range`.)
LARGEST_WEIGHT = 64
LEVELS = 255  # steps of uint8
MOST_BIAS = 2.0**30  # in steps; as much is left to the sum of products


@dataclass(frozen=True)
class Weights:
    """The node of dequantised weights, and the scale of each output channel; 0 where they stayed float."""

    node: str
    scales: Float[np.ndarray, " k"]


@dataclass(frozen=True)
class Maps:
    """The node of dequantised maps, and their scale; 0 where they stayed float."""

    node: str
    scale: float = 0.0


class Int8Builder(GraphBuilder):
    """A graph in which the layers named in `quantised` are in int8, and others in float32."""

    def __init__(self, quantised: Collection[str]) -> None:
        super().__init__()
        self.quantised = quantised

    def weights(
        self,
        layer: str,
        name: str,
        values: Float[np.ndarray, "k ..."],
        *,
        least_scales: Float[np.ndarray, " k"] | float = 0.0,
    ) -> Weights:
        """Symmetric int8 with a scale for each output channel."""
        if layer not in self.quantised:
            return Weights(self.constant(name, values.astype(np.float32)), np.zeros(len(values)))
        largest = np.abs(values.reshape(len(values), -1)).max(axis=1).astype(np.float64)
        scales = np.maximum(np.where(largest > 0, largest, 1) / LARGEST_WEIGHT, least_scales)
        steps = np.rint(values / scales.reshape(-1, *[1] * (values.ndim - 1))).astype(np.int8)
        node = self.node(
            "DequantizeLinear",
            name,
            self.constant(f"{name}.int8", steps),
            self.constant(f"{name}.scales", scales.astype(np.float32)),
            axis=0,
        )
        return Weights(node, scales)

    def maps(self, layer: str, name: str, node: str, *, low: float, high: float) -> Maps:
        """Maps in uint8 with one scale; zero is a step, since maps are padded with it."""
        if layer not in self.quantised:
            return Maps(node)
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / LEVELS or 1.0
        zero = np.uint8(round(-low / scale))
        about = [
            self.constant(f"{name}.scale", np.array(scale, np.float32)),
            self.constant(f"{name}.zero", np.array(zero)),
        ]
        steps = self.node("QuantizeLinear", f"{name}.uint8", node, *about)
        return Maps(self.node("DequantizeLinear", name, steps, *about), scale)

    def bias(self, layer: str, name: str, values: Float[np.ndarray, " k"], *, maps: Maps, weights: Weights) -> str:
        """int32 in steps of a product, as ONNX Runtime's integer convolution takes it."""
        if layer not in self.quantised or not maps.scale:
            return self.constant(name, values.astype(np.float32))
        scales = maps.scale * weights.scales
        steps = np.rint(values / scales).astype(np.int32)
        return self.node(
            "DequantizeLinear",
            name,
            self.constant(f"{name}.int32", steps),
            self.constant(f"{name}.scales", scales.astype(np.float32)),
            axis=0,
        )
