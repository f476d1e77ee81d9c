"""A network's layers as a .tflite graph's operators on int8 maps [1,H,W,C]."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import tflite
from jaxtyping import Float, Int8

from thumbnet.export.tflite.flatbuffer import Graph, Operator, Scales, Tensor
from thumbnet.export.tflite.quantisation import PROBABILITIES, Filters, MapScale

INT8, UINT8, INT16, INT32, INT64 = map(np.dtype, (np.int8, np.uint8, np.int16, np.int32, np.int64))
PROBABILITIES_INT16 = MapScale(1 / 32768, 0)  # what SOFTMAX has for int16


@dataclass(frozen=True)
class Map:
    """A tensor of the graph: its position, shape and scale."""

    position: int
    shape: tuple[int, ...]
    scale: MapScale

    @property
    def channels(self) -> int:
        return self.shape[-1]


@dataclass
class Layers:
    """Adds layers to a graph. A layer's name is that of the map that it makes."""

    graph: Graph = field(default_factory=Graph)

    def tensor(self, name: str, shape: tuple[int, ...], scale: MapScale, dtype: np.dtype[np.generic] = INT8) -> Map:
        scales = Scales(np.array([scale.scale], np.float32), scale.zero_point)
        return Map(self.graph.add(Tensor(name, shape, dtype, scales)), shape, scale)

    def constant(self, name: str, values: Int8[np.ndarray, "..."], scale: MapScale) -> Map:
        scales = Scales(np.array([scale.scale], np.float32), scale.zero_point)
        return Map(self.graph.add(Tensor(name, values.shape, INT8, scales, values)), values.shape, scale)

    def convert(self, x: Map, name: str, scale: MapScale, dtype: np.dtype[np.generic]) -> Map:
        """The same numbers as other integers."""
        y = self.tensor(name, x.shape, scale, dtype)
        version = 1 if INT16 not in (dtype, self.graph.tensors[x.position].dtype) else 3
        self._operate("QUANTIZE", max(version, 2), [x.position], y, "QuantizeOptions")
        return y

    def pad(self, x: Map, name: str, padding: int) -> Map:
        """Zeros around a map."""
        if not padding:
            return x
        sides = np.array([[0, 0], [padding, padding], [padding, padding], [0, 0]], np.int32)
        amounts = self.graph.add(Tensor(f"{name}.amounts", sides.shape, INT32, None, sides))
        height, width = (side + 2 * padding for side in x.shape[1:3])
        y = self.tensor(name, (1, height, width, x.channels), x.scale)
        self._operate("PAD", 2, [x.position, amounts], y, "PadOptions")
        return y

    def frame(self, x: Map, name: str, padding: int, values: Int8[np.ndarray, " c"]) -> Map:
        """A map with `padding` pixels around it, of one value for each channel."""
        if not padding:
            return x
        height, width = x.shape[1:3]
        sides = self.constant(f"{name}.sides", _filled((1, height, padding, x.channels), values), x.scale)
        wide = self._concatenate([sides, x, sides], f"{name}.wide", axis=2)
        ends = self.constant(f"{name}.ends", _filled((1, padding, width + 2 * padding, x.channels), values), x.scale)
        return self._concatenate([ends, wide, ends], name, axis=1)

    def convolve(
        self,
        x: Map,
        name: str,
        filters: Filters,
        scale: MapScale,
        *,
        depthwise: bool = False,
        stride: int = 1,
        dilation: int = 1,
        same: bool = False,
        relu: bool = False,
    ) -> Map:
        """A convolution; `same`: as many zeros around as keep the map's sides, for a stride of 1."""
        values = np.ascontiguousarray(filters.values.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1)))
        scales = Scales(filters.scales, 0, 3 if depthwise else 0)
        weights = self.graph.add(Tensor(f"{name}.weights", values.shape, INT8, scales, values))
        bias_scales = Scales((np.float32(x.scale.scale) * filters.scales).astype(np.float32))
        bias = self.graph.add(Tensor(f"{name}.bias", filters.bias.shape, INT32, bias_scales, filters.bias))
        spans = (dilation * (side - 1) + 1 for side in values.shape[1:3])
        sides = [side if same else (side - span) // stride + 1 for side, span in zip(x.shape[1:3], spans, strict=True)]
        y = self.tensor(name, (1, *sides, len(filters.bias)), scale)
        options: dict[str, int | float | bool] = {
            "Padding": tflite.Padding.SAME if same else tflite.Padding.VALID,
            "StrideW": stride,
            "StrideH": stride,
            "DilationWFactor": dilation,
            "DilationHFactor": dilation,
            "FusedActivationFunction": tflite.ActivationFunctionType.RELU if relu else 0,
        }
        inputs = [x.position, weights, bias]
        if depthwise:
            self._operate("DEPTHWISE_CONV_2D", 3, inputs, y, "DepthwiseConv2DOptions", DepthMultiplier=1, **options)
        else:
            self._operate("CONV_2D", 3, inputs, y, "Conv2DOptions", **options)
        return y

    def pool(self, x: Map, name: str, sides: tuple[int, int], *, average: bool = False) -> Map:
        """The maximum, or the average, of each rectangle of height x width; what is left over is dropped."""
        height, width = sides
        shape = (1, x.shape[1] // height, x.shape[2] // width, x.channels)
        y = self.tensor(name, shape, x.scale)
        options = {"StrideW": width, "StrideH": height, "FilterWidth": width, "FilterHeight": height}
        options["Padding"] = tflite.Padding.VALID
        self._operate("AVERAGE_POOL_2D" if average else "MAX_POOL_2D", 2, [x.position], y, "Pool2DOptions", **options)
        return y

    def multiply(self, x: Map, other: Map, name: str, scale: MapScale) -> Map:
        """`other` has the same shape, or that of one pixel."""
        y = self.tensor(name, x.shape, scale)
        self._operate("MUL", 2, [x.position, other.position], y, "MulOptions")
        return y

    def add(self, x: Map, other: Map, name: str, scale: MapScale) -> Map:
        y = self.tensor(name, x.shape, scale)
        self._operate("ADD", 2, [x.position, other.position], y, "AddOptions")
        return y

    def sigmoid(self, x: Map, name: str) -> Map:
        y = self.tensor(name, x.shape, PROBABILITIES)
        self._operate("LOGISTIC", 2, [x.position], y)
        return y

    def resize(self, x: Map, name: str, sides: tuple[int, int]) -> Map:
        """Bilinear, pixels' centres on pixels' centres."""
        values = np.array(sides, np.int32)
        size = self.graph.add(Tensor(f"{name}.size", (2,), INT32, None, values))
        y = self.tensor(name, (1, *sides, x.channels), x.scale)
        self._operate("RESIZE_BILINEAR", 3, [x.position, size], y, "ResizeBilinearOptions", HalfPixelCenters=True)
        return y

    def mean_int16(self, x: Map, name: str) -> Map:
        """The mean [1,C] of an int16 map over all positions."""
        axes = self.graph.add(Tensor(f"{name}.axes", (2,), INT32, None, np.array([1, 2], np.int32)))
        y = self.tensor(name, (1, x.channels), x.scale, INT16)
        self._operate("MEAN", 3, [x.position, axes], y, "ReducerOptions", KeepDims=False)
        return y

    def matrix_int16(
        self,
        x: Map,
        name: str,
        matrix: Float[np.ndarray, "n c"],
        scale: MapScale,
        *,
        bias: Float[np.ndarray, " n"] | None = None,
    ) -> Map:
        """A matrix int8 with one scale, times an int16 vector, plus the bias."""
        matrix_scale = float(np.float32(np.abs(matrix).max() / 127)) or 1.0
        values = np.rint(matrix / matrix_scale).astype(np.int8)
        weights = self.constant(f"{name}.weights", values, MapScale(matrix_scale, 0))
        y = self.tensor(name, (1, len(matrix)), scale, INT16)
        inputs = [x.position, weights.position, -1]
        if bias is not None:
            step = np.float32(x.scale.scale) * np.float32(matrix_scale)
            whole = np.rint(bias / np.float64(step)).astype(np.int64)
            scales = Scales(np.array([step], np.float32))
            inputs[2] = self.graph.add(Tensor(f"{name}.bias", whole.shape, INT64, scales, whole))
        self._operate("FULLY_CONNECTED", 7, inputs, y, "FullyConnectedOptions")
        return y

    def softmax_int16(self, x: Map, name: str) -> Map:
        y = self.tensor(name, x.shape, PROBABILITIES_INT16, INT16)
        self._operate("SOFTMAX", 3, [x.position], y, "SoftmaxOptions", Beta=1.0)
        return y

    def _concatenate(self, maps: list[Map], name: str, *, axis: int) -> Map:
        shape = list(maps[0].shape)
        shape[axis] = sum(one.shape[axis] for one in maps)
        y = self.tensor(name, tuple(shape), maps[0].scale)
        self._operate("CONCATENATION", 2, [one.position for one in maps], y, "ConcatenationOptions", Axis=axis)
        return y

    def _operate(
        self,
        code: str,
        version: int,
        inputs: list[int],
        y: Map,
        table: str | None = None,
        **options: int | float | bool,
    ) -> None:
        self.graph.operators.append(Operator(code, version, tuple(inputs), y.position, table, options))


def _filled(shape: tuple[int, ...], values: Int8[np.ndarray, " c"]) -> Int8[np.ndarray, "..."]:
    return np.ascontiguousarray(np.broadcast_to(values, shape))
