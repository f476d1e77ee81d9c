"""Networks in C, compiled together by one call of a compiler, and run on pictures."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from thumbnet.export.c.fixed_point import FixedProgram
from thumbnet.export.c.plan import best_plan
from thumbnet.export.c.quantise import quantised
from thumbnet.export.c.source import c_header, c_source
from thumbnet.trained.shippable import Shippable

STRICT = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Werror")
MAIN = """
#include <stdio.h>
#include <stdlib.h>
{includes}
static uint8_t pixels[{most_pixels}];
static int32_t logits[{most_classes}];
static uint16_t probabilities[{most_classes}];
int main(int argc, char **argv)
{{
    int32_t first = 0;
    switch (argc == 2 ? atoi(argv[1]) : -1) {{
{cases}
    default:
        return 2;
    }}
    return 0;
}}
"""
CASE = """    case {index}:
        while (fread(pixels, 1, {size}, stdin) == {size}) {{
            first = {name}_classify(pixels, logits);
            {name}_probabilities(logits, probabilities);
            fwrite(&first, 4, 1, stdout);
            fwrite(logits, 4, {classes}, stdout);
            fwrite(probabilities, 2, {classes}, stdout);
        }}
        break;"""


@dataclass(frozen=True)
class Built:
    """A network whose C is part of a program that classifies pictures by the network's index."""

    index: int
    name: str
    program: FixedProgram


def needs(*tools: str) -> pytest.MarkDecorator:
    """Skip a test where one of these programs is not installed."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (make setup-boards)")


def fixed_program(shippable: Shippable) -> FixedProgram:
    """A model in whole numbers."""
    assert shippable.program is not None
    assert shippable.export_data is not None
    assert shippable.export_data.ranges is not None
    return quantised(shippable.program, shippable.export_data.ranges)


def write_sources(program: FixedProgram, folder: Path, name: str, class_names: Sequence[str]) -> None:
    """Write `<name>.c` and `<name>.h`."""
    source = c_source(program, best_plan(program.blocks), name=name, class_names=class_names)
    (folder / f"{name}.c").write_text(source, encoding="utf-8")
    (folder / f"{name}.h").write_text(c_header(program, name=name), encoding="utf-8")


def write_main(built: Sequence[Built], folder: Path) -> None:
    """Write main.c, which classifies pictures from the standard input by the network whose index it is given."""
    sizes = [int(np.prod(one.program.stem.in_shape)) for one in built]
    text = MAIN.format(
        includes="\n".join(f'#include "{one.name}.h"' for one in built),
        most_pixels=max(sizes),
        most_classes=max(one.program.num_classes for one in built),
        cases="\n".join(
            CASE.format(index=one.index, name=one.name, size=size, classes=one.program.num_classes)
            for one, size in zip(built, sizes, strict=True)
        ),
    )
    (folder / "main.c").write_text(text)


def compile_all(folder: Path, *command: str) -> None:
    """Compile every .c file of a folder by one call: it must say nothing."""
    sources = sorted(path.name for path in folder.glob("*.c"))
    done = subprocess.run([*command, *sources], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def rows_of(output: bytes, num_classes: int) -> np.ndarray:
    """What a check program wrote: the first class, the logits and the probabilities of each picture."""
    fields = [("first", "<i4"), ("logits", "<i4", num_classes), ("probabilities", "<u2", num_classes)]
    return np.frombuffer(output, np.dtype(fields))


def pixels_of(images: np.ndarray) -> bytes:
    """Images [N,C,H,W] as the C programs read them."""
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)).tobytes()
