"""The page as an export: built, its half-precision weights checked against the model, then put in place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from thumbnet.atomic import write_atomically
from thumbnet.errors import ExportError
from thumbnet.export.html.page import build_page
from thumbnet.export.html.reading import program_from_bytes
from thumbnet.export.html.weights import program_to_bytes
from thumbnet.export.letterbox import refuse_letterbox
from thumbnet.export.paths import made_parent
from thumbnet.export.request import Agreement, CheckImages, ExportRequest, ExportResult, compare
from thumbnet.models.program import Program
from thumbnet.models.program_numpy import run_program
from thumbnet.models.unknown import distances_by

MOST_CHANGED = 0.001  # of the images, but one
MOST_DIFFERENCE = 0.01  # of a probability
MOST_FARTHER = 0.01  # of a distance, or of the limit where that is larger
MOST_CHECKED = 10_000  # images of a split: NumPy takes some milliseconds for each
BATCH_SIZE = 25


def write(request: ExportRequest) -> ExportResult:
    """Write the page.

    Raises:
        ExportError: the weights in half precision, as the page has them, give other predictions or distances than the
            model's; or its pictures are letterboxed.
    """
    shippable = request.shippable
    assert shippable.program is not None
    refuse_letterbox(shippable, "the page")
    weights = program_to_bytes(shippable.program)
    program = program_from_bytes(weights)
    checks = [_check(program, _some(images)) for images in (request.held_out, request.test) if images is not None]
    text = build_page(shippable, weights)
    num_samples = text.count(' data-sample="')
    if num_samples:
        request.say(f"the page holds {num_samples} pictures of the test split, for whoever gets it to try")
    content = text.encode()
    with made_parent(request.out):
        write_atomically(request.out, content)
    return ExportResult(
        format="html",
        path=request.out,
        files=(request.out,),
        num_bytes=len(content),
        checks=tuple(checks),
        details={"weights_bytes": len(weights), "sample_pictures": num_samples},
    )


def _check(program: Program, images: CheckImages) -> Agreement:
    logits, distances = _outputs(program, images)
    found = compare(images, logits, distances)
    num_changed = round((1 - found.agreement) * len(images))
    if num_changed > max(1, MOST_CHANGED * len(images)) or not found.max_difference <= MOST_DIFFERENCE:
        other, instead = ("other labels", "onnx") if found.has_several_labels else ("another class", "onnx or c")
        raise ExportError(
            f"the page's weights, in half precision, give {num_changed:,} of {found.description} {other}, and "
            f"probabilities that differ by up to {found.max_difference:.3f}",
            hint=f"export it to {instead}, whose numbers have a larger range",
        )
    if images.unknown is not None and images.distances is not None and distances is not None:
        difference = np.abs(distances - images.distances) / np.maximum(images.distances, images.unknown.limit)
        if not difference.max() <= MOST_FARTHER:
            raise ExportError(
                f"the page's weights, in half precision, give distances, by which pictures are unknown, that differ by "
                f"up to {difference.max():.1%} from the model's on {found.description}",
                hint="export it to onnx or c, whose numbers have a larger range",
            )
    return found


def _some(images: CheckImages) -> CheckImages:
    """Up to MOST_CHECKED of the images, evenly spread, since they may be sorted by class."""
    if len(images) <= MOST_CHECKED:
        return images
    chosen = np.arange(MOST_CHECKED) * len(images) // MOST_CHECKED
    return replace(
        images,
        description=f"{MOST_CHECKED:,} of {images.description}",
        images=images.images[chosen],
        labels=images.labels[chosen],
        logits=images.logits[chosen],
        distances=None if images.distances is None else images.distances[chosen],
    )


def _outputs(program: Program, images: CheckImages) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, " n"] | None]:
    """Logits, and distances where the answer may be unknown."""
    batches = np.array_split(images.images, range(BATCH_SIZE, len(images), BATCH_SIZE))
    found = [(result.logits, result.features) for result in (run_program(program, batch) for batch in batches)]
    logits = np.concatenate([each for each, _ in found])
    if images.unknown is None:
        return logits, None
    return logits, distances_by(images.unknown, np.concatenate([each for _, each in found]))
