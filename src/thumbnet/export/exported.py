"""Exported models read back, to predict pictures with."""

from __future__ import annotations

from pathlib import Path

from thumbnet.errors import ModelError
from thumbnet.trained.predictor import Predictor

HINT = "give an .onnx file or a C folder that `thumbnet export` wrote"


def load_exported(path: str | Path) -> Predictor:
    """An .onnx file, run by ONNX Runtime, or the folder of the format c, by the integer arithmetic of its C code.

    Raises:
        ModelError: it is none of these, damaged, or none that thumbnet wrote.
        ExtraMissingError: ONNX Runtime is not installed.
    """
    place = Path(path)
    if place.is_dir():
        from thumbnet.export.c.reading import load_c_folder

        return Predictor(*load_c_folder(place))
    if not place.exists():
        raise ModelError(f"there is no model {path}", hint=HINT)
    if place.suffix.lower() != ".onnx":
        raise ModelError(f"{path} is no model that can be read back", hint=HINT)
    from thumbnet.export.onnx.reading import load_onnx

    return load_onnx(place)
