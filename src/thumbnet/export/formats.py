"""The formats that a trained model can be exported to. Without PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from thumbnet.errors import ConfigError
from thumbnet.export.request import ExportRequest, ExportResult
from thumbnet.specs.extras import EXTRAS, missing_packages
from thumbnet.specs.registry import Registry

Writer = Callable[[ExportRequest], ExportResult]
BLOCKS = "networks of blocks (thumb-*, sprint, your own)"
ONNX_USAGE = (
    "ONNX Runtime takes uint8 pixels [N,height,width,channels] and gives `logits` and `probabilities`; or "
    "`thumbnet predict photo.jpg --model FILE`"
)


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """A format.

    Args:
        purpose: what it is for, a few words.
        writer: the function that writes it and checks what it wrote, or the name of the module that has it as `write`,
            which is then imported when it is needed.
        suffix: the default path is exports/<name>/<name><suffix>.
        extra: the extra of thumbnet that the writer needs.
        takes: which models.
        takes_any_model: whether that is all; otherwise the model must have a program.
        is_folder: whether a folder is written, not a file.
        is_quantised: whether `max_drop` means anything to it.
        obeys_decisions: whether what is written answers by the threshold that a model of two classes may have, and says
            "unsure" where a model does.
        takes_several_labels: whether it takes models whose pictures may have several labels.
        says_unknown: whether what is written says "unknown" where a model does; others do not take such a model.
        targets: programs or boards that it can be written for; a folder then.
        usage: how what was written is used, for the model card, in Markdown.
    """

    purpose: str
    writer: Writer | str
    suffix: str
    extra: str | None = None
    takes: str = BLOCKS
    takes_any_model: bool = False
    is_folder: bool = False
    is_quantised: bool = False
    obeys_decisions: bool = False
    takes_several_labels: bool = False
    says_unknown: bool = False
    targets: tuple[str, ...] = ()
    usage: str = ""

    def __post_init__(self) -> None:
        if self.extra is not None and self.extra not in EXTRAS:
            raise ConfigError(f"extra is {self.extra!r}", hint=f"leave it out, or choose from {', '.join(EXTRAS)}")

    @property
    def needs(self) -> str:
        """What must be installed beside thumbnet."""
        return "nothing" if self.extra is None else f"thumbnet[{self.extra}]"

    @property
    def is_installed(self) -> bool:
        """Whether that is."""
        return self.extra is None or not missing_packages(self.extra)

    def write(self, request: ExportRequest) -> ExportResult:
        """Write and check it; ExtraMissingError where a package that it needs is not installed."""
        writer: Writer = import_module(self.writer).write if isinstance(self.writer, str) else self.writer
        return writer(request)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: value for name, value in asdict(self).items() if name not in ("writer", "extra")}
        return {**values, "needs": self.needs, "is_installed": self.is_installed}


FORMATS: Registry[ExportFormat] = Registry(
    "export format",
    "thumbnet.export_formats",
    {
        "onnx": ExportFormat(
            purpose="servers and phones, from any language, by ONNX Runtime",
            writer="thumbnet.export.onnx.float_model",
            suffix=".onnx",
            extra="onnx",
            obeys_decisions=True,
            takes_several_labels=True,
            says_unknown=True,
            takes="any model",
            takes_any_model=True,
            usage=ONNX_USAGE,
        ),
        "onnx-int8": ExportFormat(
            purpose="the same in 30 to 60 % of the bytes",
            writer="thumbnet.export.onnx.int8_model",
            suffix="-int8.onnx",
            extra="onnx",
            is_quantised=True,
            obeys_decisions=True,
            takes_several_labels=True,
            says_unknown=True,
            usage=ONNX_USAGE,
        ),
        "tflite": ExportFormat(
            purpose="LiteRT: Android, microcontrollers, Frigate, OpenMV",
            writer="thumbnet.export.tflite.write",
            suffix=".tflite",
            extra="tflite",
            obeys_decisions=True,
            is_quantised=True,
            targets=("frigate", "openmv"),
            usage="LiteRT takes it, and LiteRT for Microcontrollers; uint8 pixels in, 8-bit probabilities out",
        ),
        "c": ExportFormat(
            purpose="any microcontroller or program: plain C99, int8, no allocation",
            writer="thumbnet.export.c.write",
            suffix="-c",
            obeys_decisions=True,
            says_unknown=True,
            is_folder=True,
            is_quantised=True,
            usage="`make`, then `./example picture.rgb`; its README.md has the rest",
        ),
        "html": ExportFormat(
            purpose="a page for people: one file that works offline, on a phone",
            writer="thumbnet.export.html.write",
            suffix=".html",
            obeys_decisions=True,
            takes_several_labels=True,
            says_unknown=True,
            usage="open it in a browser",
        ),
    },
)


def register_export_format(name: str, export_format: ExportFormat, *, replace: bool = False) -> None:
    """Add a format: `export_model` and `thumbnet export` then take it."""
    FORMATS.register(name, export_format, replace=replace)
