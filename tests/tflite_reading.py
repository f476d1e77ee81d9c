"""A .tflite file read back by the schema alone: its operators run with real numbers, its metadata as values.

Written apart from the package's writer: it takes shapes, paddings and scales from the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tflite
from flatbuffers.number_types import Float32Flags, Int8Flags, UOffsetTFlags
from flatbuffers.table import Table
from numpy.lib.stride_tricks import sliding_window_view

NAMES = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
TYPES = {
    tflite.TensorType.INT8: np.int8,
    tflite.TensorType.UINT8: np.uint8,
    tflite.TensorType.INT16: np.int16,
    tflite.TensorType.INT32: np.int32,
}


class File:
    def __init__(self, content: bytes) -> None:
        assert tflite.Model.ModelBufferHasIdentifier(content, 0)
        self.model = tflite.Model.GetRootAs(content, 0)
        assert self.model.Version() == 3
        self.graph = self.model.Subgraphs(0)
        self.operators = [self.graph.Operators(index) for index in range(self.graph.OperatorsLength())]

    def code(self, operator: Any) -> str:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        assert code.BuiltinCode() == code.DeprecatedBuiltinCode()
        return NAMES[code.BuiltinCode()]

    def constant(self, position: int) -> np.ndarray | None:
        """A constant as real numbers; shapes and the like as they are."""
        tensor = self.graph.Tensors(position)
        data = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
        if isinstance(data, int):
            return None
        values = data.view(TYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
        quantisation = tensor.Quantization()
        if quantisation is None:
            return values
        scales, zero_points = quantisation.ScaleAsNumpy(), quantisation.ZeroPointAsNumpy()
        shape = [1] * values.ndim
        shape[quantisation.QuantizedDimension()] = -1
        return (values.astype(np.float64) - zero_points.reshape(shape)) * scales.astype(np.float64).reshape(shape)


def operators(content: bytes) -> set[str]:
    file = File(content)
    return {file.code(operator) for operator in file.operators}


def metadata(content: bytes) -> dict[str, bytes]:
    model = File(content).model
    entries = [model.Metadata(index) for index in range(model.MetadataLength())]
    return {entry.Name().decode(): model.Buffers(entry.Buffer()).DataAsNumpy().tobytes() for entry in entries}


def run_exactly(content: bytes, pictures: np.ndarray) -> np.ndarray:
    """Probabilities [N,K] of pictures [N,H,W,C], by arithmetic without rounding or clipping."""
    file = File(content)
    maps: dict[int, np.ndarray | None] = {
        position: file.constant(position) for position in range(file.graph.TensorsLength())
    }
    maps[file.graph.Inputs(0)] = pictures.astype(np.float64)
    for operator in file.operators:
        inputs = [maps[position] if position >= 0 else None for position in operator.InputsAsNumpy()]
        found = OPERATORS[file.code(operator)](operator, *inputs)
        position = operator.Outputs(0)
        assert found.shape[1:] == tuple(file.graph.Tensors(position).ShapeAsNumpy()[1:])
        maps[position] = found
    output = maps[file.graph.Outputs(0)]
    assert output is not None
    return output


def _options(operator: Any, table: str) -> Any:
    assert operator.BuiltinOptionsType() == getattr(tflite.BuiltinOptions, table)
    options = getattr(tflite, table)()
    found = operator.BuiltinOptions()
    options.Init(found.Bytes, found.Pos)
    return options


def _patches(options: Any, x: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    dilation, stride = options.DilationHFactor(), options.StrideH()
    assert (dilation, stride) == (options.DilationWFactor(), options.StrideW())
    spans = [dilation * (side - 1) + 1 for side in sides]
    if options.Padding() == tflite.Padding.SAME:  # TensorFlow's: as many zeros as give ceil(side / stride), more after
        totals = [
            max((-(-side // stride) - 1) * stride + span - side, 0)
            for side, span in zip(x.shape[1:3], spans, strict=True)
        ]
        x = np.pad(x, ((0, 0), *((total // 2, total - total // 2) for total in totals), (0, 0)))
    windows = sliding_window_view(x, spans, axis=(1, 2))
    return windows[:, ::stride, ::stride, :, ::dilation, ::dilation]


def _convolve(operator: Any, x: np.ndarray, filters: np.ndarray, bias: np.ndarray) -> np.ndarray:
    options = _options(operator, "Conv2DOptions")
    y = np.einsum("nhwcab,kabc->nhwk", _patches(options, x, filters.shape[1:3]), filters) + bias
    return np.maximum(y, 0) if options.FusedActivationFunction() else y


def _convolve_depthwise(operator: Any, x: np.ndarray, filters: np.ndarray, bias: np.ndarray) -> np.ndarray:
    options = _options(operator, "DepthwiseConv2DOptions")
    assert options.DepthMultiplier() == 1
    return np.einsum("nhwcab,abc->nhwc", _patches(options, x, filters.shape[1:3]), filters[0]) + bias


def _pool(operator: Any, x: np.ndarray) -> np.ndarray:
    options = _options(operator, "Pool2DOptions")
    assert (options.FilterHeight(), options.FilterWidth(), options.StrideH(), options.StrideW()) == (2, 2, 2, 2)
    assert options.Padding() == tflite.Padding.VALID
    return sliding_window_view(x, (2, 2), axis=(1, 2))[:, ::2, ::2].max(axis=(4, 5))


def _concatenate(operator: Any, *maps: np.ndarray) -> np.ndarray:
    largest = max(len(one) for one in maps)
    whole = [np.broadcast_to(one, (largest, *one.shape[1:])) for one in maps]
    return np.concatenate(whole, axis=_options(operator, "ConcatenationOptions").Axis())


def _softmax(operator: Any, x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


OPERATORS: dict[str, Any] = {
    "QUANTIZE": lambda operator, x: x,
    "PAD": lambda operator, x, amounts: np.pad(x, amounts),
    "CONCATENATION": _concatenate,
    "CONV_2D": _convolve,
    "DEPTHWISE_CONV_2D": _convolve_depthwise,
    "MAX_POOL_2D": _pool,
    "LOGISTIC": lambda operator, x: 1 / (1 + np.exp(-x)),
    "MUL": lambda operator, x, y: x * y,
    "ADD": lambda operator, x, y: x + y,
    "MEAN": lambda operator, x, axes: x.mean(axis=tuple(axes)),
    "FULLY_CONNECTED": lambda operator, x, matrix, bias: x @ matrix.T,
    "SOFTMAX": _softmax,
}


def read_model_metadata(content: bytes) -> dict[str, str | int]:
    """Of TensorFlow Lite's metadata, schema M001, by its fields' numbers there."""
    assert content[4:8] == b"M001"
    model = Table(content, UOffsetTFlags.py_type(int.from_bytes(content[:4], "little")))
    (network,) = _tables(model, 3)
    (image,), (classes,) = _tables(network, 2), _tables(network, 3)
    (labels,) = _tables(classes, 6)
    kind = _table(image, 3)
    assert _number(kind, 0) == 2  # ImageProperties
    return {
        "name": _text(model, 0),
        "description": _text(model, 1),
        "license": _text(model, 5),
        "input": _text(image, 0),
        "colour": _number(_table(kind, 1), 0),
        "output": _text(classes, 0),
        "labels": _text(labels, 0),
        "labels_type": _number(labels, 2),
    }


def score_threshold(content: bytes) -> float | None:
    """The score below which a class is no answer, by a .tflite file's metadata; None where it has no such rule."""
    buffer = metadata(content)["TFLITE_METADATA"]
    model = Table(buffer, UOffsetTFlags.py_type(int.from_bytes(buffer[:4], "little")))
    (network,) = _tables(model, 3)
    (classes,) = _tables(network, 3)
    if not classes.Offset(4 + 2 * 4):
        return None
    (unit,) = _tables(classes, 4)
    assert _number(unit, 0) == 3  # ScoreThresholdingOptions
    options = _table(unit, 1)
    return float(options.Get(Float32Flags, _offset(options, 0)))


def _offset(table: Table, field: int) -> int:
    found = table.Offset(4 + 2 * field)
    assert found
    return int(found + table.Pos)


def _text(table: Table, field: int) -> str:
    text: bytes = table.String(_offset(table, field))
    return text.decode()


def _number(table: Table, field: int) -> int:
    return int(table.Get(Int8Flags, _offset(table, field)))


def _table(table: Table, field: int) -> Table:
    return Table(table.Bytes, table.Indirect(_offset(table, field)))


def _tables(table: Table, field: int) -> list[Table]:
    found = table.Offset(4 + 2 * field)
    start = table.Vector(found)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(table.VectorLen(found))]
