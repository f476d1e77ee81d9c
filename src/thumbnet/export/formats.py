"""The formats that a trained model can be exported to. Without PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from thumbnet.errors import ConfigError
from thumbnet.export.request import ExportRequest, ExportResult


@dataclass(frozen=True)
class ExportFormat:
    """A format: what it is for, what it needs beside thumbnet, and which models it takes; `suffix` is that of the
    default path, and `module` has its `write`."""

    name: str
    purpose: str
    needs: str
    takes: str
    suffix: str
    module: str
    takes_any_model: bool = False
    is_folder: bool = False

    @property
    def write(self) -> Callable[[ExportRequest], ExportResult]:
        """The writer; it raises ExtraMissingError where a package that it needs is not installed."""
        writer: Callable[[ExportRequest], ExportResult] = import_module(self.module).write
        return writer


BLOCKS = "networks of blocks (thumb-*, sprint, sprint-long)"

FORMATS = {
    known.name: known
    for known in (
        ExportFormat(
            "onnx", "servers and phones, from any language, by ONNX Runtime", "thumbnet[onnx]", "any model",
            ".onnx", "thumbnet.export.onnx.float_model", takes_any_model=True,
        ),
        ExportFormat(
            "onnx-int8", "the same in a quarter of the size", "thumbnet[onnx]", BLOCKS, "-int8.onnx",
            "thumbnet.export.onnx.int8_model",
        ),
        ExportFormat(
            "tflite", "LiteRT: Android, microcontrollers, Frigate, OpenMV", "thumbnet[tflite]", BLOCKS, ".tflite",
            "thumbnet.export.tflite.write",
        ),
        ExportFormat(
            "c", "any microcontroller or program: plain C99, int8, no allocation", "nothing", BLOCKS, "-c",
            "thumbnet.export.c.write", is_folder=True,
        ),
        ExportFormat(
            "html", "a page for people: one file that works offline, on a phone", "nothing", BLOCKS, ".html",
            "thumbnet.export.html.write",
        ),
    )
}  # fmt: skip


def pick_format(name: str) -> ExportFormat:
    """The format called `name`; ConfigError where there is none."""
    if name not in FORMATS:
        raise ConfigError(f"there is no format {name!r}", hint=f"choose one of {', '.join(FORMATS)}")
    return FORMATS[name]
