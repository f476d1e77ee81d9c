"""The format onnx-int8: a trained network of blocks in 8-bit integers, from uint8 images to probabilities."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from thumbnet.atomic import write_atomically
from thumbnet.errors import ExportError
from thumbnet.export.request import LEAST_AGREEMENT, Agreement, CheckImages, ExportRequest, ExportResult
from thumbnet.export.unknown_shares import refuse_other_unknown, unknown_shares
from thumbnet.models.unknown import unknown_answers
from thumbnet.specs.extras import require_extra

NAME = "onnx-int8"
NUM_NAMED = 3  # layers in a refusal
INSTEAD = "export to onnx, which is float, or train for longer"


def write(request: ExportRequest) -> ExportResult:
    """Write the file, unless int8 costs more accuracy on held-out images than allowed, or calls others of them unknown.
    Scores on the test images are reported and decide nothing where there are held-out ones."""
    require_extra("onnx", f"the format {NAME}")
    from thumbnet.export.onnx.answers import add_answers
    from thumbnet.export.onnx.checking import check_graph, run_check
    from thumbnet.export.onnx.graph import to_bytes
    from thumbnet.export.onnx.int8_graph import int8_graph
    from thumbnet.export.onnx.metadata import properties_of
    from thumbnet.export.onnx.result import result_of

    shippable = request.shippable
    assert shippable.program is not None
    assert shippable.export_data is not None
    assert shippable.export_data.ranges is not None
    model = int8_graph(shippable.program, shippable.export_data.ranges, properties=properties_of(shippable))
    add_answers(model, shippable.card)
    content = to_bytes(model)
    check_graph(content)
    checks = []
    if request.held_out is not None:
        outcome = run_check(content, request.held_out)
        checks.append(outcome.agreement)
        if checks[0].costs_more_than(request.max_drop):
            raise _refusal(request, request.held_out, checks[0])
        _check_unknown(request, request.held_out, outcome.distances)
    outcome = run_check(content, request.test)
    checks.append(outcome.agreement)
    if request.held_out is None:
        _check_without_data(request, checks[-1])
        _check_unknown(request, request.test, outcome.distances)
    write_atomically(request.out, content)
    return result_of(NAME, request, model, content, checks)


def _check_unknown(request: ExportRequest, images: CheckImages, distances: Float[np.ndarray, " n"] | None) -> None:
    """ExportError where the file calls others of the images unknown, as the C program's check."""
    if distances is None:
        return
    shares = unknown_shares(images, unknown_answers(images.unknown, distances))
    refuse_other_unknown(shares, how="int8", max_drop=request.max_drop, instead=INSTEAD)


def _check_without_data(request: ExportRequest, agreement: Agreement) -> None:
    if agreement.agreement < LEAST_AGREEMENT:
        raise ExportError(
            f"in int8 only {agreement.agreement:.0%} of {agreement.description} get the same {agreement.answer}, "
            f"expected at least {LEAST_AGREEMENT:.0%}; {_dearest(request, request.test)}",
            hint=f"give the model's data with --data, so that the accuracy can be judged, or {INSTEAD}",
        )


def _refusal(request: ExportRequest, held_out: CheckImages, agreement: Agreement) -> ExportError:
    num_lost = round(agreement.drop * agreement.num_images)
    return ExportError(
        f"int8 costs {100 * agreement.drop:.2f} points of accuracy, {num_lost} of {held_out.description}, more than "
        f"the {100 * agreement.allowed_drop(request.max_drop):.2f} allowed; {_dearest(request, held_out)}",
        hint=f"allow more with --max-drop, or {INSTEAD}",
    )


def _dearest(request: ExportRequest, images: CheckImages) -> str:
    from thumbnet.export.onnx.sensitivity import layer_costs

    named = layer_costs(request.shippable, images)[:NUM_NAMED]
    return f"the layers that cost most, each alone in int8: {', '.join(map(str, named))}"
