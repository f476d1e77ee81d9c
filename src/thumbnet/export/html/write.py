"""The page as an export: built, its half-precision weights checked against the model, then put in place."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from thumbnet.atomic import write_atomically
from thumbnet.errors import ExportError
from thumbnet.export.html.page import build_page
from thumbnet.export.html.weights import program_from_bytes, program_to_bytes
from thumbnet.export.request import Agreement, CheckImages, ExportRequest, ExportResult, compare
from thumbnet.models.program import Program
from thumbnet.models.program_numpy import run_program

LEAST_AGREEMENT = 0.999
MOST_DIFFERENCE = 0.01  # of a probability
BATCH_SIZE = 25


def write(request: ExportRequest) -> ExportResult:
    """Write the page.

    Raises:
        ExportError: the weights in half precision, as the page has them, give other predictions than the model's, or
            the file cannot be written.
    """
    shippable = request.shippable
    assert shippable.program is not None
    weights = program_to_bytes(shippable.program)
    program = program_from_bytes(weights)
    checks = [_check(program, images) for images in (request.held_out, request.test) if images is not None]
    text = build_page(shippable)
    num_samples = text.count(' data-sample="')
    if num_samples:
        request.say(f"the page holds {num_samples} pictures of the test split, for whoever gets it to try")
    content = text.encode()
    try:
        request.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(request.out, content)
    except OSError as error:
        raise ExportError(f"{request.out} cannot be written: {error}", hint="give another path with --out") from error
    return ExportResult(
        format="html",
        path=request.out,
        files=(request.out,),
        num_bytes=len(content),
        checks=tuple(checks),
        details={"weights_bytes": len(weights), "sample_pictures": num_samples},
    )


def _check(program: Program, images: CheckImages) -> Agreement:
    found = compare(images, _logits(program, images))
    if not (found.agreement >= LEAST_AGREEMENT and found.max_difference <= MOST_DIFFERENCE):
        raise ExportError(
            f"the page's weights, in half precision, give another class for {1 - found.agreement:.2%} of the "
            f"{found.description}, and probabilities that differ by up to {found.max_difference:.3f}",
            hint="export it to onnx or c, whose numbers have a larger range",
        )
    return found


def _logits(program: Program, images: CheckImages) -> Float[np.ndarray, "n k"]:
    batches = np.array_split(images.images, range(BATCH_SIZE, len(images), BATCH_SIZE))
    return np.concatenate([run_program(program, batch).logits for batch in batches])
