"""Packages that come with an extra of thumbnet, such as `thumbnet[onnx]`."""

from __future__ import annotations

from importlib.util import find_spec

from thumbnet.errors import ExtraMissingError

EXTRAS = {
    "train": ("torch", "scipy", "sklearn", "matplotlib", "tqdm", "pooch", "requests", "platformdirs"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "tflite": ("flatbuffers", "tflite", "ai_edge_litert"),
    "serve": ("starlette", "uvicorn", "python_multipart"),
}


def missing_packages(extra: str) -> list[str]:
    """Those of an extra's packages that are not installed."""
    return [package for package in EXTRAS[extra] if find_spec(package) is None]


def require_extra(extra: str, purpose: str) -> None:
    """ExtraMissingError, which names the extra, unless its packages are installed; `purpose` says what needs them."""
    missing = missing_packages(extra)
    if missing:
        raise ExtraMissingError(
            f"{purpose} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            hint=f"pip install 'thumbnet[{extra}]'",
        )
