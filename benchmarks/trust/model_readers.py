"""Readers of models: weights and export data, by PyTorch and without it, exported folders, and the server's forms."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import safetensors.numpy

from thumbnet.export.c.reading import find_stored, load_c_folder
from thumbnet.export.c.stored import CHECKSUM, CONTENT, KEY, _checksum
from thumbnet.export.export import export_model
from thumbnet.export.model_card.facts import training_config
from thumbnet.export.onnx.names import CARD
from thumbnet.export.onnx.reading import _read_card
from thumbnet.export.server.defaults import MAX_BYTES
from thumbnet.export.server.forms import FormReader, boundary_of
from thumbnet.export.server.limits import Limits
from thumbnet.models.export_data import export_data_from_bytes
from thumbnet.models.registry import create_model
from thumbnet.models.weights import put_weights
from thumbnet.runs.files.contents import weights_to_bytes
from thumbnet.runs.files.folder import RunDir
from thumbnet.runs.files.names import CHECKSUMS, CONFIG, EXPORT_DATA, MODEL_CARD, WEIGHTS
from thumbnet.runs.shippable import load_shippable
from thumbnet.runs.teacher import _read_logits
from trust.reader import Reader, put, read_with

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BOUNDARY = b"xYzZY"
FORM = (
    b'--xYzZY\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    b'\x89PNG\r\n--xYzZY\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--xYzZY--\r\n'
)


def readers_of_models(run: Path, place: Path) -> dict[str, Reader]:
    """The readers by name; `run` is a finished run of a small network, `place` a folder to work in."""
    model = create_model("sprint", num_classes=2, in_channels=1, blocks="c8p")
    logits = io.BytesIO()
    np.save(logits, np.zeros((4, 3, 3, 2), np.float16))
    teacher, copy = place / "teacher", place / "shippable"
    teacher.mkdir(exist_ok=True)
    shutil.copytree(run, copy, dirs_exist_ok=True)
    (copy / CHECKSUMS).unlink()
    shippable = load_shippable(copy)

    def kept_logits(content: bytes) -> None:
        put(teacher / "lessons.npy", content)
        _read_logits(RunDir(teacher), "lessons.npy", (4, 3, 3, 2), say=lambda text: None)

    def onnx_card(content: bytes) -> None:
        metadata = SimpleNamespace(custom_metadata_map={CARD: content.decode(errors="replace")})
        session = SimpleNamespace(get_modelmeta=lambda: metadata)
        _read_card(cast("InferenceSession", session), "model.onnx")

    def shipped(name: str, read: Callable[[], object] = lambda: load_shippable(copy)) -> Reader:
        own = (copy / name).read_bytes()
        return Reader([own], lambda content: read_with(copy / name, content, read))

    return {
        "weights": Reader(
            [weights_to_bytes(model.state_dict())], lambda content: put_weights(model, content, name="w")
        ),
        "weights-numpy": shipped(WEIGHTS),
        "export-data": Reader(
            [(run / EXPORT_DATA).read_bytes()], lambda content: export_data_from_bytes(content, name="e")
        ),
        "export-data-numpy": shipped(EXPORT_DATA),
        "config-of-card": shipped(CONFIG, lambda: training_config(shippable)),
        "onnx-card": Reader([(run / MODEL_CARD).read_bytes()], onnx_card),
        **_exported(run, place / "c"),
        "logits": Reader([logits.getvalue()], kept_logits),
        "form": Reader([BOUNDARY + b"\n" + FORM], _read_form),
    }


def _exported(run: Path, folder: Path) -> dict[str, Reader]:
    """Of an export to C: the file of its reference as it is, and its description with the checksum of what it holds."""
    export_model(run, "c", out=folder)
    stored = find_stored(folder)
    assert stored is not None
    own = stored.read_bytes()
    tensors, size = safetensors.numpy.load(own), int.from_bytes(own[:8], "little")
    text: str = json.loads(json.loads(own[8 : 8 + size])["__metadata__"][KEY])[CONTENT]

    def signed(content: bytes) -> None:
        described = content.decode(errors="replace")
        both = {CHECKSUM: _checksum(described, tensors), CONTENT: described}
        whole = safetensors.numpy.save(tensors, metadata={KEY: json.dumps(both)})
        read_with(stored, whole, lambda: load_c_folder(folder))

    return {
        "exported": Reader([own], lambda content: read_with(stored, content, lambda: load_c_folder(folder))),
        "exported-signed": Reader([text.encode()], signed),
    }


def _read_form(content: bytes) -> None:
    boundary, _, body = content.partition(b"\n")
    reader = FormReader(boundary_of(f"multipart/form-data; boundary={boundary.decode('latin-1')}"), Limits())
    for start in range(0, min(len(body), MAX_BYTES), 50):
        reader.write(body[start : start + 50])
    reader.finish()
