"""What an export to ONNX gives back."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnxruntime

from thumbnet.export.onnx.graph import IR_VERSION, OPSET
from thumbnet.export.request import Agreement, ExportRequest, ExportResult


def result_of(
    format_name: str, request: ExportRequest, model: onnx.ModelProto, content: bytes, checks: Sequence[Agreement]
) -> ExportResult:
    """The result of a file that was written."""
    return ExportResult(
        format=format_name,
        path=request.out,
        files=(request.out,),
        num_bytes=len(content),
        checks=tuple(checks),
        details={
            "opset": OPSET,
            "ir_version": IR_VERSION,
            "nodes": len(model.graph.node),
            "checked_with": f"onnxruntime {onnxruntime.__version__}",
        },
    )
