"""Compiling the kernels: once for a processor, a compiler and a version of the source; kept in the user's cache folder.

They are for Linux and g++, whose OpenMP threads are then PyTorch's own. Elsewhere, PyTorch does it all.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.resources
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import platformdirs
import torch  # first, so that its OpenMP is loaded before ours is looked for

from thumbnet.errors import ConfigError

COMPILER = "g++"
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC")
SOURCE = "blocks.cpp"  # with the headers beside it
MAX_COMPILE_S = 300
INSTEAD = "set kernels = 'pytorch'"

_POINTER, _INT, _DOUBLE = ctypes.c_void_p, ctypes.c_int, ctypes.c_double
ARGUMENTS = {
    "thumbnet_norm_forward": [_POINTER] * 6 + [_DOUBLE] * 2 + [_POINTER] * 4 + [_INT] * 6,
    "thumbnet_norm_backward": [_POINTER] * 7 + [_INT] * 6,
    "thumbnet_separable_forward": [_POINTER] * 7 + [_DOUBLE] * 2 + [_POINTER] * 5 + [_INT] * 9,
    "thumbnet_separable_backward": [_POINTER] * 13 + [_INT] * 9,
}


def can_compile() -> bool:
    """Whether this is a machine for our kernels: Linux with a compiler."""
    return sys.platform == "linux" and shutil.which(COMPILER) is not None


@functools.cache
def load_kernels(flags: Sequence[str] = FLAGS) -> ctypes.CDLL:
    """The kernels, compiled if they have not been yet on this machine.

    Args:
        flags: the compiler's.

    Raises:
        ConfigError: this is no machine for them, or compiling fails; with the compiler's own words.
    """
    compiler = _find_compiler()
    openmp = _loaded_openmp()
    path = _place(compiler, flags, openmp)
    if not path.exists():
        _compile(compiler, flags, path, openmp)
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise ConfigError(f"the kernels {path} cannot be loaded: {error}", hint=f"delete it, or {INSTEAD}") from error
    for name, arguments in ARGUMENTS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    return library


def is_compiled() -> bool:
    """Whether the kernels have been compiled before, so that loading them takes no seconds."""
    return _place(_find_compiler(), FLAGS, _loaded_openmp()).exists()


def _find_compiler() -> str:
    compiler = shutil.which(COMPILER)
    if sys.platform != "linux" or compiler is None:
        raise ConfigError(
            f"our kernels need Linux and {COMPILER}, and this is {platform.system()} "
            f"{'with' if compiler else 'without'} {COMPILER}",
            hint=f"install {COMPILER}, or {INSTEAD}",
        )
    return compiler


def _sources() -> dict[str, bytes]:
    """The C++ files by name, in the order of their names."""
    files = importlib.resources.files(__package__).iterdir()
    contents = {file.name: file.read_bytes() for file in files if file.name.endswith((".cpp", ".h"))}
    return dict(sorted(contents.items()))


def _place(compiler: str, flags: Sequence[str], openmp: str | None) -> Path:
    """The file of the kernels in the user's cache folder, named by all that it depends on."""
    facts = [" ".join(flags).encode(), _version(compiler).encode(), _processor(), os.fsencode(openmp or "")]
    digest = hashlib.sha256(b"\0".join([*_sources().values(), *facts])).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("thumbnet")) / "kernels" / f"blocks-{digest}.so"


def _compile(compiler: str, flags: Sequence[str], path: Path, openmp: str | None) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            for name, content in _sources().items():
                (Path(folder) / name).write_bytes(content)
            code, result = Path(folder) / SOURCE, Path(folder) / path.name
            done = _run([compiler, *flags, "-o", str(result), str(code), *([openmp] if openmp else [])])
            if done.returncode != 0:
                raise ConfigError(f"{compiler} could not compile our kernels:\n{done.stderr.strip()}", hint=INSTEAD)
            result.replace(path)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(
            f"our kernels could not be compiled in {path.parent}: {error}",
            hint=f"make the folder writable (XDG_CACHE_HOME sets another), or {INSTEAD}",
        ) from error


def _loaded_openmp() -> str | None:
    """The file of the OpenMP library that PyTorch itself has loaded, and no other package: two teams of threads would
    compete. None where it has none of its own: the compiler's then is the system's, as PyTorch's is."""
    package = Path(torch.__file__).parent
    homes = package, package.with_name("torch.libs")
    with Path("/proc/self/maps").open() as maps:
        files = {Path(line.split(maxsplit=5)[5].strip()) for line in maps if "/libgomp" in line}
    own = sorted(str(file) for file in files if any(home in file.parents for home in homes))
    return own[0] if own else None


def _version(compiler: str) -> str:
    return _run([compiler, "--version"]).stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # a fixed command and our own source
        command, check=False, capture_output=True, text=True, timeout=MAX_COMPILE_S
    )


def _processor() -> bytes:
    """The line of the processor's abilities, which decide what `-march=native` is; empty where Linux tells none."""
    lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    return next((line for line in lines if line.startswith((b"flags", b"Features"))), b"")
