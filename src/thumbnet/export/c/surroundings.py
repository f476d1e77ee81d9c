"""The files beside the source and the header: an example, a camera's pictures, and what Arduino, PlatformIO and
MicroPython read. Without PyTorch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from thumbnet import __version__
from thumbnet.export.c.fixed_point import FixedProgram
from thumbnet.export.c.source import PIXEL_LAYOUTS, fill

EXAMPLE, MAKEFILE = "example.c", "Makefile"
ARDUINO, PLATFORMIO = "library.properties", "library.json"
IF_NO_CLASS = """
    if ({is_none}) {{
        puts({name}_class_names[best]);
        best = 0;
        for (int32_t i = 1; i < {NAME}_CLASSES; i++)
            if (logits[i] > logits[best])
                best = i;
    }}"""  # in the example, which then shows the classes, the likeliest first
MICROPYTHON = ("modthumbnet.c", "micropython.mk", "micropython.cmake")


def surroundings(program: FixedProgram, name: str, *, may_be_unsure: bool = False) -> dict[str, bytes]:
    """The files by their paths in the folder; `name` is a C identifier, `may_be_unsure` whether the model's answer may
    be "unsure"."""
    channels, height, width = program.stem.in_shape
    release = re.match(r"\d+\.\d+\.\d+", __version__)
    values: Mapping[str, str | int] = {
        "name": name,
        "NAME": name.upper(),
        "width": width,
        "height": height,
        "pixel_layout": PIXEL_LAYOUTS[channels],
        "release": release[0] if release else "0.0.0",
        "if_unsure": _if_no_class(program, name, may_be_unsure=may_be_unsure),
    }
    places = {
        f"{name}_camera.h": "camera.h",
        EXAMPLE: EXAMPLE,
        MAKEFILE: MAKEFILE,
        ARDUINO: ARDUINO,
        **{f"micropython/{one}": one for one in MICROPYTHON},
    }
    found = {place: fill(template, **values).encode() for place, template in places.items()}
    library = {
        "name": name,
        "version": values["release"],
        "description": "Image classifier in whole numbers, plain C99 without allocation",
        "frameworks": "*",
        "platforms": "*",
        "headers": f"{name}.h",
        "build": {"srcDir": ".", "srcFilter": ["-<*>", f"+<{name}.c>"]},
    }
    return {**found, PLATFORMIO: (json.dumps(library, indent=2) + "\n").encode()}


def _if_no_class(program: FixedProgram, name: str, *, may_be_unsure: bool) -> str:
    """Lines of the example for an answer that is no class."""
    if program.far is None and not may_be_unsure:
        return ""
    is_none = f"best == {name.upper()}_UNSURE" if program.far is None else f"best >= {name.upper()}_CLASSES"
    return IF_NO_CLASS.format(is_none=is_none, name=name, NAME=name.upper())
