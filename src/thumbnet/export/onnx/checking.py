"""An ONNX model checked before it is put in place: by ONNX's checker, and in ONNX Runtime against the original."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from jaxtyping import Float

from thumbnet.errors import ExportError
from thumbnet.export.onnx.answer_checks import check_answers, check_distances, check_labels, check_near_original
from thumbnet.export.onnx.runtime import open_session, run_session, runtime_errors
from thumbnet.export.request import Agreement, CheckImages, compare, probabilities_of

MOST_DIFFERENCE = 1e-5  # of a probability
LARGE_LOGIT = 20.0  # beyond, float32 is coarser than that allows, in proportion
NUM_SINGLE = 3  # images that are run one at a time, too
BUG = "this is a bug of thumbnet: please report it, with the run's config.toml"
OWN_CODE = (
    "PyTorch's exporter follows one pass of two images through the network's code: let nothing in it depend on the "
    "number of images or on pixels, and treat each image by itself"
)


def check_graph(content: bytes) -> None:
    """ExportError unless ONNX's checker passes a model, the shapes inferred for it included."""
    try:
        onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"ONNX's checker refuses the file: {error}", hint=BUG) from error


@dataclass(frozen=True)
class Outcome:
    """What a model gave for some images, with the original's agreement; `distances` where its answer may be unknown."""

    agreement: Agreement
    largest_logit: float
    distances: Float[np.ndarray, " n"] | None


def run_check(content: bytes, images: CheckImages, *, hint: str = BUG) -> Outcome:
    """A model run in ONNX Runtime, in batches and one image at a time; `hint` is for whoever has a model that fails.

    Raises:
        ExportError: ONNX Runtime cannot run it, or the size of the batch changes what it gives.
    """
    distances = None
    try:
        session = open_session(content)
        logits, probabilities = run_session(session, images.images)
        single, _ = run_session(session, images.images[:NUM_SINGLE], batch_size=1)
        if any(rule is not None for rule in (images.decision, images.unsure, images.unknown)):
            distances = check_answers(session, images, logits, hint=BUG)
        if images.unknown is not None:
            check_distances(content, images.images, images.unknown, hint=BUG)
        if images.label_decision is not None:
            check_labels(session, images.images, logits, images.label_decision, hint=BUG)
    except runtime_errors() as error:
        raise ExportError(f"ONNX Runtime cannot run the file: {error}", hint=hint) from error
    agreement = compare(images, logits, distances)
    largest = float(np.abs(images.logits).max())
    if not _are_near(probabilities_of(images, single), probabilities_of(images, logits[:NUM_SINGLE]), largest):
        raise ExportError("the exported model gives other probabilities for one image than for a batch", hint=hint)
    if not _are_near(probabilities, probabilities_of(images, logits), largest):
        raise ExportError("the exported model's probabilities are not those of its logits", hint=BUG)
    return Outcome(agreement, largest, distances)


def check_equal(content: bytes, images: CheckImages, *, hint: str = BUG) -> Agreement:
    """A float model's agreement with the original.

    Raises:
        ExportError: a probability or a distance differs by more than rounding may cause.
    """
    outcome = run_check(content, images, hint=hint)
    agreement = outcome.agreement
    if not agreement.max_difference <= _allowed(outcome.largest_logit):
        raise ExportError(
            f"the exported model does not do what the original does: {agreement.agreement:.2%} of "
            f"{images.description} get the same {agreement.answer}, and a probability differs by "
            f"{agreement.max_difference:.2g}",
            hint=hint,
        )
    if outcome.distances is not None:
        check_near_original(images, outcome.distances, hint=hint)
    return agreement


def _are_near(some: Float[np.ndarray, "n k"], others: Float[np.ndarray, "n k"], largest_logit: float) -> bool:
    return bool(np.abs(some - others).max() <= _allowed(largest_logit))


def _allowed(largest_logit: float) -> float:
    """The most that float32's rounding may change a probability."""
    return MOST_DIFFERENCE * max(1.0, largest_logit / LARGE_LOGIT)
