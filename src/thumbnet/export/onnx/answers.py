"""The answers of a model of two classes with a threshold: a third output, int64 [N], the class's index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from jaxtyping import Float, Int64, UInt8
from onnx import TensorProto, helper, numpy_helper

from thumbnet.errors import ExportError
from thumbnet.export.onnx.graph import BATCH
from thumbnet.export.onnx.names import ANSWERS, IMAGES, LOGITS
from thumbnet.export.onnx.runtime import BATCH_SIZE
from thumbnet.models.decision import Decision, chosen_classes

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ROUNDING = 1e-5  # of a margin in float32, beside the model's in double precision, in proportion


def add_answers(model: onnx.ModelProto, decision: Decision | None) -> None:
    """Nodes behind the model's logits that give the answers; none without a decision."""
    if decision is None:
        return
    graph = model.graph
    constants: dict[str, np.ndarray] = {
        "positive": np.array(decision.positive, np.int64),
        "other": np.array(1 - decision.positive, np.int64),
        "margin": np.array(decision.margin, np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, f"{ANSWERS}.{name}") for name, value in constants.items())
    positive, other, margin = (f"{ANSWERS}.{name}" for name in constants)

    def node(operator: str, name: str, *inputs: str) -> onnx.NodeProto:
        made = helper.make_node(operator, list(inputs), [name], name=name)
        if operator == "Gather":
            made.attribute.append(helper.make_attribute("axis", 1))
        return made

    of_positive, of_other, margins, is_positive = (
        f"{ANSWERS}.{name}" for name in ("of_positive", "of_other", "margins", "is_positive")
    )
    graph.node.extend(
        [
            node("Gather", of_positive, LOGITS, positive),
            node("Gather", of_other, LOGITS, other),
            node("Sub", margins, of_positive, of_other),
            node("GreaterOrEqual", is_positive, margins, margin),
            node("Where", ANSWERS, is_positive, positive, other),
        ]
    )
    graph.output.append(helper.make_tensor_value_info(ANSWERS, TensorProto.INT64, [BATCH]))


def check_answers(
    session: InferenceSession,
    images: UInt8[np.ndarray, "n c h w"],
    logits: Float[np.ndarray, "n k"],
    decision: Decision,
    *,
    hint: str,
) -> None:
    """ExportError unless the graph's answers are those of its logits, except for margins that float32 cannot tell from
    the threshold's."""
    batches = np.array_split(images, range(BATCH_SIZE, len(images), BATCH_SIZE))
    answers: Int64[np.ndarray, " n"] = np.concatenate(
        [session.run([ANSWERS], {IMAGES: np.ascontiguousarray(batch.transpose(0, 2, 3, 1))})[0] for batch in batches]
    )
    exact = logits.astype(np.float64)
    margins = exact[:, decision.positive] - exact[:, 1 - decision.positive]
    is_clear = np.abs(margins - decision.margin) > ROUNDING * np.maximum(1, np.abs(exact).max(axis=1))
    num_wrong = int(((answers != chosen_classes(decision, logits)) & is_clear).sum())
    if num_wrong:
        raise ExportError(f"the exported model answers {num_wrong:,} images otherwise than its threshold", hint=hint)
