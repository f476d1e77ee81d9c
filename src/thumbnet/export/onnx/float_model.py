"""The format onnx: a trained model in float32, from uint8 images to probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbnet.atomic import write_atomically
from thumbnet.export.request import ExportRequest, ExportResult
from thumbnet.specs.extras import require_extra

if TYPE_CHECKING:
    import onnx

NAME = "onnx"


def write(request: ExportRequest) -> ExportResult:
    """Write the file after ONNX Runtime gave what the original gives, on held-out images and on the test images."""
    require_extra("onnx", f"the format {NAME}")
    from thumbnet.export.onnx.answers import add_answers
    from thumbnet.export.onnx.checking import BUG, OWN_CODE, check_equal, check_graph
    from thumbnet.export.onnx.graph import to_bytes
    from thumbnet.export.onnx.result import result_of

    model = _model(request)
    add_answers(model, request.shippable.card)
    content = to_bytes(model)
    check_graph(content)
    hint = OWN_CODE if request.shippable.program is None else BUG
    images = [some for some in (request.held_out, request.test) if some is not None]
    checks = [check_equal(content, some, hint=hint) for some in images]
    write_atomically(request.out, content)
    return result_of(NAME, request, model, content, checks)


def _model(request: ExportRequest) -> onnx.ModelProto:
    from thumbnet.export.onnx.float_graph import float_graph
    from thumbnet.export.onnx.metadata import properties_of

    properties = properties_of(request.shippable)
    if request.shippable.program is not None:
        return float_graph(request.shippable.program, properties=properties)
    require_extra("train", f"exporting {request.shippable.card.model}")
    from thumbnet.export.onnx.torch_export import torch_graph

    return torch_graph(request.shippable, properties=properties)
