"""Compiling the kernels with g++ on Linux: their OpenMP threads are then PyTorch's. Elsewhere PyTorch does it all."""

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

import torch  # first, so that its OpenMP is loaded before ours is looked for

from thumbnet.errors import ConfigError
from thumbnet.kernels.cpu import MARCH, cpu_form

COMPILER = "g++"
SOURCE = "blocks.cpp"  # with the headers beside it
MAX_COMPILE_S = 300
HINT_USE_PYTORCH = "set kernels = 'pytorch'"


def can_compile() -> bool:
    """Whether our kernels can be compiled here: Linux with g++."""
    return sys.platform == "linux" and shutil.which(COMPILER) is not None


def kernel_flags(form: str | None = None) -> tuple[str, ...]:
    """The compiler's flags for a form of the processor; None: for the one that this process has."""
    march = MARCH[cpu_form() if form is None else form]
    return "-std=c++17", "-O3", f"-march={march}", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC"


def find_compiler() -> str:
    """The path of g++. ConfigError if there is none, or this is not Linux."""
    compiler = shutil.which(COMPILER)
    if sys.platform != "linux" or compiler is None:
        raise ConfigError(
            f"our kernels need Linux and {COMPILER}, and this is {platform.system()} "
            f"{'with' if compiler else 'without'} {COMPILER}",
            hint=f"install {COMPILER}, or {HINT_USE_PYTORCH}",
        )
    return compiler


def digest_of_kernels(compiler: str, flags: Sequence[str]) -> str:
    """16 hexadecimal digits for all that the compiled kernels depend on.

    These are the source, the flags, the processor, PyTorch's OpenMP library and the compiler; the latter by its file's
    path, size and date, since to start it and ask takes longer.
    """
    file = Path(compiler).resolve()
    status = file.stat()
    identity = f"{file} {status.st_size} {status.st_mtime_ns}"
    facts = [" ".join(flags).encode(), os.fsencode(identity), _processor(), os.fsencode(_loaded_openmp() or "")]
    return hashlib.sha256(b"\0".join([*_sources().values(), *facts])).hexdigest()[:16]


def compile_kernels(compiler: str, flags: Sequence[str], folder: Path) -> Path:
    """Compile the kernels in `folder`, which is empty, and return the library's file.

    Raises:
        ConfigError: the compiler cannot be started, fails or writes nothing; with its own words.
    """
    for name, content in _sources().items():
        (folder / name).write_bytes(content)
    library, openmp = folder / "blocks.so", _loaded_openmp()
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


def _sources() -> dict[str, bytes]:
    """The C++ files by name, in the order of their names."""
    files = importlib.resources.files(__package__).iterdir()
    contents = {file.name: file.read_bytes() for file in files if file.name.endswith((".cpp", ".h"))}
    return dict(sorted(contents.items()))


def _loaded_openmp() -> str | None:
    """Path of PyTorch's bundled libgomp, so that we share its threads; None if PyTorch uses the system's."""
    package = Path(torch.__file__).parent
    homes = package, package.with_name("torch.libs")
    with Path("/proc/self/maps").open() as maps:
        files = {Path(line.split(maxsplit=5)[5].strip()) for line in maps if "/libgomp" in line}
    own = sorted(str(file) for file in files if any(home in file.parents for home in homes))
    return own[0] if own else None


def _processor() -> bytes:
    """The line of the processor's abilities, which decide what `-march=native` is; empty if Linux lists none."""
    lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    return next((line for line in lines if line.startswith((b"flags", b"Features"))), b"")
