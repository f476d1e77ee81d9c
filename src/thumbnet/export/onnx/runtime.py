"""ONNX Runtime on the processor, for checks and predictions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from thumbnet.export.onnx.names import IMAGES, LOGITS, PROBABILITIES
from thumbnet.specs.processors import num_processors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH_SIZE = 64
MOST_THREADS = 8
ERRORS_ONLY = 3
ERRORS = (
    "EPFail",
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "NoModel",
    "NotImplemented",
    "RuntimeException",
)


def open_session(model: bytes | Path) -> InferenceSession:
    """A session for a file or its content; whatever ONNX Runtime raises where it is none."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = min(num_processors(), MOST_THREADS)
    content = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_session(
    session: InferenceSession, images: UInt8[np.ndarray, "n c h w"], *, batch_size: int = BATCH_SIZE
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Logits and probabilities."""
    logits, probabilities = run_outputs(session, images, (LOGITS, PROBABILITIES), batch_size=batch_size)
    return logits, probabilities


def run_outputs(
    session: InferenceSession,
    images: UInt8[np.ndarray, "n c h w"],
    names: Sequence[str],
    *,
    batch_size: int = BATCH_SIZE,
) -> list[Shaped[np.ndarray, "n ..."]]:
    """The outputs of these names for images, batch by batch."""
    found = [
        session.run(list(names), {IMAGES: np.ascontiguousarray(batch.transpose(0, 2, 3, 1))})
        for batch in np.array_split(images, range(batch_size, len(images), batch_size))
    ]
    return [np.concatenate(outputs) for outputs in zip(*found, strict=True)]


def runtime_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises for a model that it cannot read or run."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(getattr(state, name) for name in ERRORS)
