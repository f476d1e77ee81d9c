"""The C source compiled: for this machine, to check it and to time it, and for a Cortex-M4, to size it.

Without a compiler for the latter the sizes are computed.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Shaped, UInt8

from thumbnet.errors import ExportError
from thumbnet.export.c.fixed_point import FixedProgram
from thumbnet.export.c.plan import Plan
from thumbnet.export.c.source import most_channels

COMPILERS = ("cc", "gcc", "clang")
BOARD_COMPILER = "arm-none-eabi-gcc"
BOARD_FLAGS = ("-Os", "-mcpu=cortex-m4", "-mthumb")
STANDARD = ("-std=c99", "-Wall", "-Wextra", "-pedantic")
FLAGS = ("-O3", *STANDARD)  # those of the folder's Makefile
MAX_COMPILE_S = 300
CHECK_SOURCE = "check.c"
CODE_BYTES = 2100  # of code and tables of pointers, and
STACK_BYTES = 256  # of the deepest stack, with gcc 12 -Os for a Cortex-M4: for an estimate where there is no compiler
PATCH_VALUES = 12  # in the latter, of the first convolution's patch: two bytes each
BYTES_BY_BLOCK = 68
FAR_CODE_BYTES = 200  # where the answer may be "unknown"
HINT = "this is a bug of thumbnet or of the compiler: please report it"


@dataclass(frozen=True)
class CompiledCheck:
    """A program that classifies pictures from its standard input."""

    program: Path
    compiler: str
    num_classes: int

    def run(self, images: UInt8[np.ndarray, "n c h w"]) -> tuple[Int32[np.ndarray, "n k"], float]:
        """Logits in whole numbers, and seconds a picture."""
        rows, seconds = self._run(images)
        logits: Int32[np.ndarray, "n k"] = rows["logits"].copy()
        return logits, seconds

    def look(self, images: UInt8[np.ndarray, "n c h w"]) -> tuple[Int32[np.ndarray, "n k"], Int32[np.ndarray, " n"]]:
        """Logits in whole numbers, and the indices of the classes that the pictures are answered with, or of "unsure"
        or "unknown", which follow."""
        rows, _ = self._run(images)
        return rows["logits"].copy(), rows["first"].copy()

    def _run(self, images: UInt8[np.ndarray, "n c h w"]) -> tuple[Shaped[np.ndarray, " n"], float]:
        """A row of first class, logits and probabilities for each picture, and seconds a picture."""
        pixels = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).tobytes()
        try:
            done = subprocess.run([self.program], input=pixels, capture_output=True, check=False)  # noqa: S603
        except OSError as error:
            raise ExportError(
                f"the compiled C program cannot be run: {error}",
                hint="set TMPDIR to a folder whose programs may be run (not mounted noexec)",
            ) from error
        row = np.dtype([("first", "i4"), ("logits", "i4", self.num_classes), ("probabilities", "u2", self.num_classes)])
        if done.returncode or len(done.stdout) != len(images) * row.itemsize:
            raise ExportError(f"the compiled C program failed with code {done.returncode}", hint=HINT)
        return np.frombuffer(done.stdout, row), float(done.stderr)


@dataclass(frozen=True)
class BoardSizes:
    """Flash (code and constants) and RAM (variables and deepest stack) in bytes. `source` says how they are known."""

    flash: int
    ram: int
    source: str


def compile_check(sources: Mapping[str, bytes], folder: Path, *, name: str, num_classes: int) -> CompiledCheck | None:
    """Compile the source for this machine in an empty folder; None where there is no C compiler.

    Args:
        sources: by file name: `<name>.c`, `<name>.h` and check.c.

    Raises:
        ExportError: the compiler fails.
    """
    compiler = next((path for one in COMPILERS if (path := shutil.which(one)) is not None), None)
    if compiler is None:
        return None
    _write(sources, folder)
    _compile([compiler, *FLAGS, "-o", "check", f"{name}.c", CHECK_SOURCE], folder)
    return CompiledCheck(folder / "check", _version(compiler), num_classes)


def measure_board(
    sources: Mapping[str, bytes],
    folder: Path,
    program: FixedProgram,
    plan: Plan,
    *,
    name: str,
    may_be_unsure: bool = False,
) -> BoardSizes:
    """Sizes as compiled for a Cortex-M4, or an estimate where no compiler for it is installed; `may_be_unsure` is
    whether the classification looks at the probabilities."""
    compiler, size = shutil.which(BOARD_COMPILER), shutil.which("arm-none-eabi-size")
    if compiler is None or size is None:
        return _estimate(program, plan, may_be_unsure=may_be_unsure)
    _write(sources, folder)
    _compile([compiler, *BOARD_FLAGS, *STANDARD, "-fstack-usage", "-c", f"{name}.c"], folder)
    done = subprocess.run([size, f"{name}.o"], cwd=folder, capture_output=True, text=True, check=True)  # noqa: S603
    text, data, bss = (int(number) for number in done.stdout.splitlines()[1].split()[:3])
    stack = stack_bound((folder / f"{name}.su").read_text(), name=name, with_probabilities=may_be_unsure)
    return BoardSizes(text + data, data + bss + stack, f"compiled with {_version(compiler)}, {' '.join(BOARD_FLAGS)}")


def stack_bound(usage: str, *, name: str, with_probabilities: bool = False) -> int:
    """The most bytes of stack that a classification takes: since no function calls itself, that of all functions.

    Args:
        usage: what gcc's -fstack-usage wrote.
        with_probabilities: whether it computes these, too.
    """
    frames = [line.split("\t") for line in usage.splitlines()]
    left_out = None if with_probabilities else f":{name}_probabilities"
    return sum(int(frame[1]) for frame in frames if left_out is None or not frame[0].endswith(left_out))


def _estimate(program: FixedProgram, plan: Plan, *, may_be_unsure: bool) -> BoardSizes:
    arrays = [program.stem.mean16, program.stem.filters, program.stem.scaling.multipliers, program.silu_table]
    arrays += [program.head, program.head_scaling.multipliers]
    for block in program.blocks:
        arrays += [block.filters, block.bias, block.before.multipliers, block.after.multipliers]
        if block.kept is not None:
            arrays.append(block.kept)
        if block.pointwise is not None:
            arrays += [block.pointwise.weights, block.pointwise.bias, block.pointwise.scaling.multipliers]
    code = CODE_BYTES
    if program.far is not None:
        arrays += [program.far.scaling.multipliers, program.far.centres, program.far.means]
        code += FAR_CODE_BYTES
    flash = sum(array.nbytes for array in arrays) + code + BYTES_BY_BLOCK * len(program.blocks)
    ram = plan.num_bytes + most_channels(program) * (2 * 1 + 2 * 4) + STACK_BYTES
    ram += 2 * max(0, program.stem.filters[0].size - PATCH_VALUES)
    ram += 2 * program.num_classes if may_be_unsure else 0
    return BoardSizes(flash, ram, f"an estimate, since {BOARD_COMPILER} is not installed")


def _write(sources: Mapping[str, bytes], folder: Path) -> None:
    for name, content in sources.items():
        (folder / name).write_bytes(content)


def _compile(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # a fixed command and our own source
            command, cwd=folder, capture_output=True, text=True, timeout=MAX_COMPILE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExportError(f"{command[0]} could not be run: {error}", hint="repair or remove the compiler") from error
    if done.returncode:
        raise ExportError(f"{command[0]} does not compile the C source: {done.stderr[-2000:]}", hint=HINT)


def _version(compiler: str) -> str:
    """Such as `gcc (Debian 12.2.0-14) 12.2.0`."""
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.splitlines()[0].strip() if done.stdout else Path(compiler).name
