"""A .tflite file's graph as plain values, and as bytes: a flatbuffer, whose schema is PyPI's `tflite`. Equal graphs
give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import flatbuffers
import numpy as np
import tflite
from jaxtyping import Float32

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"
ALIGNMENT = 16  # bytes, of a tensor's values, as the schema wants it
TYPES = {
    np.dtype(np.int8): tflite.TensorType.INT8,
    np.dtype(np.uint8): tflite.TensorType.UINT8,
    np.dtype(np.int16): tflite.TensorType.INT16,
    np.dtype(np.int32): tflite.TensorType.INT32,
    np.dtype(np.int64): tflite.TensorType.INT64,
}


@dataclass(frozen=True)
class Scales:
    """How a tensor's integers stand for real numbers: scale * (integer - zero_point), with one scale, or one for each
    index of `axis`."""

    scales: Float32[np.ndarray, " n"]
    zero_point: int = 0
    axis: int = 0


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph; `values` are those of a constant. `scales` is None of shapes and the like."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    scales: Scales | None = None
    values: np.ndarray | None = None


@dataclass(frozen=True)
class Operator:
    """A built-in operator, such as `CONV_2D`, of one version; `options` are the fields of the schema's table
    `options_table`."""

    code: str
    version: int
    inputs: tuple[int, ...]  # positions in the graph's tensors; -1: left out
    output: int
    options_table: str | None = None
    options: Mapping[str, int | float | bool] = field(default_factory=dict)


@dataclass
class Graph:
    """Tensors and the operators between them, in the order in which they run; one input and one output."""

    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    input: int = 0
    output: int = 0

    def add(self, tensor: Tensor) -> int:
        """The position that the tensor now has."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def graph_to_bytes(graph: Graph, *, name: str, description: str, metadata: Mapping[str, bytes]) -> bytes:
    """A .tflite file of the graph; `metadata` are the model's buffers of metadata by name."""
    builder = flatbuffers.Builder(1 << 16)
    contents = [b""]  # the schema wants the first buffer empty
    contents += [b"" if tensor.values is None else _little_endian(tensor.values) for tensor in graph.tensors]
    contents += metadata.values()
    buffers = [_buffer(builder, content) for content in contents]
    tensors = [_tensor(builder, tensor, position + 1) for position, tensor in enumerate(graph.tensors)]
    codes = sorted({(operator.code, operator.version) for operator in graph.operators})
    operators = [_operator(builder, operator, codes) for operator in graph.operators]
    subgraph = _table(
        builder,
        "SubGraph",
        Tensors=_offsets(builder, tensors),
        Inputs=_integers(builder, [graph.input]),
        Outputs=_integers(builder, [graph.output]),
        Operators=_offsets(builder, operators),
        Name=builder.CreateString(name),
    )
    entries = []
    for position, key in enumerate(metadata):
        text = builder.CreateString(key)
        entries.append(_table(builder, "Metadata", Name=text, Buffer=1 + len(graph.tensors) + position))
    model = _table(
        builder,
        "Model",
        Version=SCHEMA_VERSION,
        OperatorCodes=_offsets(builder, [_operator_code(builder, *code) for code in codes]),
        Subgraphs=_offsets(builder, [subgraph]),
        Description=builder.CreateString(description),
        Buffers=_offsets(builder, buffers),
        Metadata=_offsets(builder, entries),
    )
    builder.Finish(model, file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, name: str, **fields: int | float | bool) -> int:
    """A table of the schema; the fields that are tables, vectors or texts are their positions."""
    getattr(tflite, f"{name}Start")(builder)
    for key, value in fields.items():
        getattr(tflite, f"{name}Add{key}")(builder, value)
    position: int = getattr(tflite, f"{name}End")(builder)
    return position


def _offsets(builder: flatbuffers.Builder, positions: Sequence[int]) -> int:
    builder.StartVector(4, len(positions), 4)
    for position in reversed(positions):
        builder.PrependUOffsetTRelative(position)
    offset: int = builder.EndVector()
    return offset


def _integers(builder: flatbuffers.Builder, values: Sequence[int]) -> int:
    offset: int = builder.CreateNumpyVector(np.array(values, np.int32))
    return offset


def _little_endian(values: np.ndarray) -> bytes:
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _buffer(builder: flatbuffers.Builder, content: bytes) -> int:
    if not content:
        return _table(builder, "Buffer")
    builder.Prep(ALIGNMENT, len(content))
    return _table(builder, "Buffer", Data=builder.CreateByteVector(content))


def _tensor(builder: flatbuffers.Builder, tensor: Tensor, buffer: int) -> int:
    fields = {
        "Shape": _integers(builder, tensor.shape),
        "Type": TYPES[tensor.dtype],
        "Buffer": buffer,
        "Name": builder.CreateString(tensor.name),
    }
    if tensor.scales is not None:
        zero_points = np.full(len(tensor.scales.scales), tensor.scales.zero_point, np.int64)
        fields["Quantization"] = _table(
            builder,
            "QuantizationParameters",
            Scale=builder.CreateNumpyVector(tensor.scales.scales),
            ZeroPoint=builder.CreateNumpyVector(zero_points),
            QuantizedDimension=tensor.scales.axis,
        )
    return _table(builder, "Tensor", **fields)


def _operator_code(builder: flatbuffers.Builder, code: str, version: int) -> int:
    number = getattr(tflite.BuiltinOperator, code)
    return _table(builder, "OperatorCode", DeprecatedBuiltinCode=min(number, 127), Version=version, BuiltinCode=number)


def _operator(builder: flatbuffers.Builder, operator: Operator, codes: Sequence[tuple[str, int]]) -> int:
    fields = {
        "OpcodeIndex": codes.index((operator.code, operator.version)),
        "Inputs": _integers(builder, operator.inputs),
        "Outputs": _integers(builder, [operator.output]),
    }
    if operator.options_table is not None:
        fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, operator.options_table)
        fields["BuiltinOptions"] = _table(builder, operator.options_table, **operator.options)
    return _table(builder, "Operator", **fields)
