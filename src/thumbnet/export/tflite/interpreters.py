"""A .tflite file run by LiteRT, and by the interpreter for microcontrollers where that is installed."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from thumbnet.errors import ExportError

STEP = 1 / 256  # of a probability
BUG = "this is a bug of thumbnet: please report it, with the run's config.toml"
ARENA_LINE = re.compile(r"Arena allocation total (\d+) bytes")
FIRST_ARENA, LARGEST_ARENA = 1 << 20, 1 << 30  # bytes


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Nothing that a library in C++ writes to stderr is seen meanwhile; afterwards it is in the list."""
    printed: list[str] = []
    with suppress(ValueError, AttributeError):  # closed, or none
        sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield printed
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            printed.append(file.read().decode(errors="replace"))


def run_litert(
    content: bytes, pictures: UInt8[np.ndarray, "n h w c"], *, by_reference: bool = False
) -> Float[np.ndarray, "n k"]:
    """Probabilities of pictures, by LiteRT on one thread: its fast kernels, or those that define the operators.

    Raises:
        ExportError: it does not take the file.
    """
    with quiet():
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kernels = OpResolverType.BUILTIN_REF if by_reference else OpResolverType.AUTO
        try:
            interpreter = Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=kernels)
            interpreter.allocate_tensors()
            (image,), (probability,) = interpreter.get_input_details(), interpreter.get_output_details()
            found = []
            for picture in pictures:
                interpreter.set_tensor(image["index"], picture[None])
                interpreter.invoke()
                found.append(interpreter.get_tensor(probability["index"])[0])
        except (RuntimeError, ValueError) as error:
            raise ExportError(f"LiteRT does not run the file: {error}", hint=BUG) from error
    return np.array(found, np.float64) * STEP


def read_maps(content: bytes, picture: UInt8[np.ndarray, "h w c"]) -> dict[str, Float[np.ndarray, "..."]]:
    """All tensors of a file by name, as real numbers, after LiteRT ran it on a picture."""
    with quiet():
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        interpreter = Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
        interpreter.invoke()
        maps = {}
        for tensor in interpreter.get_tensor_details():
            scale, zero_point = tensor["quantization"]
            if scale:  # one scale: no filters, biases or shapes
                integers = interpreter.get_tensor(tensor["index"]).astype(np.float64)
                maps[tensor["name"]] = scale * (integers - zero_point)
    return maps


@dataclass(frozen=True)
class MicroRun:
    """What the interpreter for microcontrollers gives: probabilities, and the bytes of memory (its arena) that it needs
    on this machine; on a 32-bit one, where pointers are shorter, somewhat fewer."""

    probabilities: Float[np.ndarray, "n k"]
    arena_bytes: int


def has_micro() -> bool:
    """Whether the interpreter for microcontrollers, PyPI's `tflite-micro`, is installed."""
    return find_spec("tflite_micro") is not None


def run_micro(content: bytes, pictures: UInt8[np.ndarray, "n h w c"]) -> MicroRun:
    """Pictures in the interpreter for microcontrollers.

    Raises:
        ExportError: it does not take the file.
    """
    with quiet() as printed:
        try:
            interpreter = _open_micro(content)
            found = []
            for picture in pictures:
                interpreter.set_input(np.ascontiguousarray(picture[None]), 0)
                interpreter.invoke()
                found.append(interpreter.get_output(0)[0])
            interpreter.print_allocations()
        except (RuntimeError, ValueError) as error:
            raise ExportError(
                f"the interpreter for microcontrollers does not run the file: {error}", hint=BUG
            ) from error
    arena = ARENA_LINE.search(printed[0])
    if arena is None:
        raise ExportError("the interpreter for microcontrollers does not say how much memory it needs", hint=BUG)
    return MicroRun(np.array(found, np.float64) * STEP, int(arena[1]))


def _open_micro(content: bytes) -> Any:
    """The interpreter with an arena that is large enough."""
    from tflite_micro import runtime

    arena = FIRST_ARENA
    while True:
        try:
            return runtime.Interpreter.from_bytes(content, arena_size=arena)
        except RuntimeError:
            if arena >= LARGEST_ARENA:
                raise
        arena *= 4
