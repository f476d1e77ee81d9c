"""THUMBNET_CPU: make this machine behave like one with a lesser processor, to test and measure what happens there.

`native` (the default) changes nothing; `avx2` is a processor without AVX-512 and bfloat16, `x86-64` one with SSE2 only.
PyTorch, its libraries and our kernels are limited alike. `import thumbnet` applies it, before PyTorch is imported, so
this module imports nothing that does.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from thumbnet.errors import ConfigError

VARIABLE = "THUMBNET_CPU"
FORMS = ("native", "avx2", "x86-64")
LIMITS: Mapping[str, Mapping[str, str]] = {  # what PyTorch, oneDNN and MKL read when they are loaded
    "native": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "x86-64": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",  # the least that oneDNN has
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",  # and MKL
    },
}
COMPILER_CACHE = "TORCHINDUCTOR_CACHE_DIR"  # of torch.compile, which would take code that was compiled for another form
MARCH = {"native": "native", "avx2": "x86-64-v3", "x86-64": "x86-64"}  # for g++
AVX2_FLAGS = frozenset({b"avx2", b"fma", b"bmi1", b"bmi2", b"f16c", b"movbe", b"abm"})  # x86-64-v3, as Linux names them


def limit_processor(environment: MutableMapping[str, str], *, torch_is_imported: bool) -> str:
    """Set the limits of the form that `environment` asks for, in it, and return the form.

    Raises:
        ConfigError: an unknown form; one that this processor is not capable of; PyTorch is imported already, without
            these limits; or `environment` has other values for them.
    """
    form = environment.get(VARIABLE) or "native"
    if form not in FORMS:
        raise ConfigError(f"{VARIABLE} is {form!r}", hint=f"choose one of {', '.join(FORMS)}")
    if form == "native":
        return form
    if not _is_x86():
        raise ConfigError(
            f"{VARIABLE} is {form!r}, but this processor is {platform.machine()}", hint=f"leave {VARIABLE} unset"
        )
    if not can_run(form):
        raise ConfigError(f"{VARIABLE} is {form!r}, but this processor has no AVX2", hint=f"set {VARIABLE} to x86-64")
    for name, value in LIMITS[form].items():
        if environment.get(name, value) != value:
            raise ConfigError(
                f"{VARIABLE} is {form!r}, which sets {name} to {value!r}, but {name} is {environment[name]!r}",
                hint=f"leave it unset, or {VARIABLE}",
            )
    if torch_is_imported and any(name not in environment for name in LIMITS[form]):
        limits = " ".join(f"{name}={value}" for name, value in LIMITS[form].items())
        raise ConfigError(
            f"{VARIABLE} is {form!r}, but torch was imported before thumbnet, and has not been limited",
            hint=f"import thumbnet first, or start Python with {limits}",
        )
    environment.update(LIMITS[form])
    caches = Path(environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111  # never fails
    environment.setdefault(COMPILER_CACHE, str(caches / "thumbnet" / f"torch-compile_{form}"))
    return form


def can_run(form: str) -> bool:
    """Whether this processor can be made to look like one of this form."""
    if form == "native":
        return True
    if not _is_x86():
        return False
    abilities = processor_abilities()
    return form == "x86-64" or not abilities or abilities >= AVX2_FLAGS


def processor_abilities() -> frozenset[bytes]:
    """What this processor can do, in Linux's names; empty where they cannot be read (on other systems)."""
    return frozenset(line_of_abilities().partition(b":")[2].split())


def line_of_abilities() -> bytes:
    """The line in which Linux lists what this processor can do; empty where it cannot be read (on other systems)."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return b""
    return next((line for line in lines if line.startswith((b"flags", b"Features"))), b"")


def cpu_form() -> str:
    """The form that this process has. ConfigError if the one asked for could not be had, or changed since."""
    if isinstance(_applied, ConfigError):
        raise _applied
    if (os.environ.get(VARIABLE) or "native") != _applied:
        raise ConfigError(
            f"{VARIABLE} became {os.environ.get(VARIABLE)!r} after thumbnet was imported with {_applied!r}",
            hint=f"set {VARIABLE} before Python starts",
        )
    return _applied


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


def _apply() -> str | ConfigError:
    """To this process. What is wrong is raised when the form matters, so that the command can say it in its words."""
    try:
        return limit_processor(os.environ, torch_is_imported="torch" in sys.modules)
    except ConfigError as error:
        return error


_applied = _apply()
