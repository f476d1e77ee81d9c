"""Compiling the kernels on Linux with g++, which gives them PyTorch's OpenMP threads. Elsewhere PyTorch does it all."""

from __future__ import annotations

import hashlib
import importlib.resources
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from thumbnet.errors import ConfigError
from thumbnet.kernels.cpu import MARCH, cpu_form, line_of_abilities
from thumbnet.kernels.openmp import openmp_of_pytorch

COMPILER = "g++"
SOURCE = "blocks.cpp"  # with the headers beside it
MAX_COMPILE_S = 900  # half a minute alone, many times that on a machine that is busy
HINT_USE_PYTORCH = "set kernels = 'pytorch'"


def can_compile() -> bool:
    """Whether our kernels can be compiled here: Linux with g++."""
    return sys.platform == "linux" and shutil.which(COMPILER) is not None


def kernel_flags(form: str | None = None) -> tuple[str, ...]:
    """The compiler's flags for a form of the processor; None: for the one that this process has."""
    return flags_for(MARCH[cpu_form() if form is None else form])


def flags_for(march: str) -> tuple[str, ...]:
    """The compiler's flags for a kind of processor in the compiler's words."""
    return "-std=c++17", "-O3", f"-march={march}", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC"


def find_compiler() -> str:
    """The path of g++. ConfigError if there is none, or this is not Linux."""
    compiler = shutil.which(COMPILER)
    if sys.platform != "linux" or compiler is None:
        raise ConfigError(
            f"our kernels need Linux and {COMPILER}, or a wheel for this processor; this is {platform.system()} "
            f"{'with' if compiler else 'without'} {COMPILER}",
            hint=f"install {COMPILER}, or {HINT_USE_PYTORCH}",
        )
    return compiler


def digest_of_kernels(compiler: str, flags: Sequence[str]) -> str:
    """16 hexadecimal digits for all that the compiled kernels depend on.

    These are the source, the flags, the processor's abilities, which decide what `-march=native` is, PyTorch's OpenMP
    library and the compiler; the latter by its file's path, size and date, since to start it and ask takes longer.
    OSError if one of them cannot be read.
    """
    file = Path(compiler).resolve()
    status = file.stat()
    identity = f"{file} {status.st_size} {status.st_mtime_ns}"
    facts = [
        " ".join(flags).encode(),
        os.fsencode(identity),
        line_of_abilities(),
        os.fsencode(openmp_of_pytorch() or ""),
    ]
    return hashlib.sha256(b"\0".join([*sources().values(), *facts])).hexdigest()[:16]


def compile_kernels(compiler: str, flags: Sequence[str], folder: Path) -> Path:
    """Compile the kernels in `folder`, which is empty, and return the library's file.

    Raises:
        ConfigError: the compiler cannot be started, fails or writes nothing; with its own words.
    """
    for name, content in sources().items():
        (folder / name).write_bytes(content)
    library, openmp = folder / "blocks.so", openmp_of_pytorch()
    command = [compiler, *flags, "-o", str(library), str(folder / SOURCE), *([openmp] if openmp else [])]
    try:
        done = subprocess.run(  # noqa: S603  # a fixed command and our own source
            command, check=False, capture_output=True, timeout=MAX_COMPILE_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(
            f"{compiler} could not be run to compile our kernels: {error}",
            hint=f"install {COMPILER} anew, or {HINT_USE_PYTORCH}",
        ) from error
    if done.returncode != 0 or not library.exists():
        words = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}, and no library"
        raise ConfigError(f"{compiler} could not compile our kernels:\n{words}", hint=HINT_USE_PYTORCH)
    return library


def digest_of_sources() -> str:
    """The SHA-256 of the C++ files, their names included, in hexadecimal digits."""
    parts = (part for name, content in sources().items() for part in (name.encode(), content))
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()


def sources() -> dict[str, bytes]:
    """The C++ files by name, in the order of their names."""
    files = importlib.resources.files(__package__).iterdir()
    contents = {file.name: file.read_bytes() for file in files if file.name.endswith((".cpp", ".h"))}
    return dict(sorted(contents.items()))
