"""Packages that come with an extra of thumbnet, such as `thumbnet[onnx]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from thumbnet.errors import ExtraMissingError

EXTRAS = {
    "train": ("torch", "scipy", "sklearn", "matplotlib", "tqdm", "pooch", "requests", "platformdirs", "joblib"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "tflite": ("flatbuffers", "tflite", "ai_edge_litert"),
    "serve": ("starlette", "uvicorn", "python_multipart"),
    "heic": ("pillow_heif",),
    "tensorboard": ("tensorboard",),
    "cluster": ("distributed",),
    "sweep": ("optuna", "psycopg"),
}


def missing_packages(extra: str, *, packages: Sequence[str] | None = None) -> list[str]:
    """Those of an extra's packages that are not installed; of `packages` only, if they are given."""
    return [package for package in packages or EXTRAS[extra] if find_spec(package) is None]


def require_extra(extra: str, purpose: str, *, packages: Sequence[str] | None = None) -> None:
    """ExtraMissingError, which names the extra, unless its packages are installed; `purpose` says what needs them.

    Args:
        packages: those of the extra's that are needed; by default all.
    """
    missing = missing_packages(extra, packages=packages)
    if missing:
        raise _error(extra, purpose, missing)


@contextmanager
def extras_named(purpose: str) -> Iterator[None]:
    """An import that fails for want of an extra's package becomes an ExtraMissingError that names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extras = [extra for extra, packages in EXTRAS.items() if package in packages]
        if not extras or find_spec(package) is not None:  # it is there, but not all of it
            raise
        raise _error(extras[0], purpose, [package]) from error


def _error(extra: str, purpose: str, missing: list[str]) -> ExtraMissingError:
    return ExtraMissingError(
        f"{purpose} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
        hint=f"pip install 'thumbnet[{extra}]'",
    )
