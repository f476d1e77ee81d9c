"""The format tflite: an int8 file for LiteRT, of built-in operators, from uint8 pictures to uint8 probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from thumbnet.atomic import write_atomically
from thumbnet.export.letterbox import refuse_letterbox
from thumbnet.export.request import ExportRequest, ExportResult
from thumbnet.specs.extras import require_extra

NAME = "tflite"


def write(request: ExportRequest) -> ExportResult:
    """Write the file, or the folder of a target, after LiteRT gave nearly what the original gives.

    Raises:
        ExtraMissingError: a package of the extra tflite is not installed.
        ExportError: more accuracy is lost than is allowed, or an interpreter does not take the file.
    """
    require_extra(NAME, f"the format {NAME}")
    from thumbnet.export.tflite.checking import check_accuracy, check_camera, check_micro
    from thumbnet.export.tflite.contents import file_bytes
    from thumbnet.export.tflite.metadata import moved_note
    from thumbnet.export.tflite.targets import target_folder

    shippable = request.shippable
    if request.target is not None:
        refuse_letterbox(shippable, request.target)
    channels, *sides = shippable.card.image_shape
    folder = None if request.target is None else target_folder(request.target, shippable)
    content = file_bytes(shippable)
    checks = check_accuracy(content, request)
    if folder is None or folder.camera is None:
        found = check_micro(content, request.test)
    else:
        plain, channels, sides = content, 3, list(folder.camera)
        content = file_bytes(shippable, camera=folder.camera)
        found = check_camera(content, plain, request.test, folder.camera)
    if folder is None:
        files = {request.out: content}
    else:
        files = {request.out / folder.model: content}
        files |= {request.out / name: text.encode() for name, text in folder.texts.items()}
    _write_all(files)
    return ExportResult(
        format=NAME,
        path=request.out,
        files=tuple(files),
        num_bytes=sum(map(len, files.values())),
        checks=checks,
        details={
            "input": f"uint8 [1,{sides[0]},{sides[1]},{channels}], pixels 0 to 255",
            "output": f"uint8 [1,{len(shippable.card.class_names)}], probabilities times 256{moved_note(shippable)}",
            "checked_with": f"ai-edge-litert {version('ai-edge-litert')}",
            **found,
        },
    )


def _write_all(files: Mapping[Path, bytes]) -> None:
    """The model, which is the first file, last: it is there only when all is."""
    for path, content in reversed(list(files.items())):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
