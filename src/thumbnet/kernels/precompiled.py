"""Kernels that the wheel brings, compiled beforehand: the file for this processor, checked to be as it was made.

`tools/build_wheel.py` makes them, and a manifest with the digests of the files and of the source. A checkout has none.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from thumbnet.errors import ConfigError
from thumbnet.kernels.compiler import COMPILER, HINT_USE_PYTORCH, digest_of_sources
from thumbnet.kernels.cpu import AVX2_FLAGS, MARCH, cpu_form, processor_abilities

FOLDER = Path(__file__).with_name("compiled")
MANIFEST = "manifest.json"
AVX512_FLAGS = AVX2_FLAGS | {b"avx512f", b"avx512bw", b"avx512cd", b"avx512dq", b"avx512vl"}  # x86-64-v4


@dataclass(frozen=True)
class Target:
    """A kind of processor that the wheel has kernels for.

    Args:
        machine: the wheel's, as `platform.machine` gives it.
        march: the kind, in the compiler's words.
        needs: what the processor must be able to do, in Linux's names.
    """

    machine: str
    march: str
    needs: frozenset[bytes]

    @property
    def file(self) -> str:
        return f"blocks-{self.march}.so"


# Of those that a processor can run, the first is taken. There is none for AVX-512 with bfloat16: our kernels compute in
# float32, and g++ makes the same instructions for it (docs/decisions/0022-wheels.md).
TARGETS = (
    Target("x86_64", "x86-64-v4", AVX512_FLAGS),
    Target("x86_64", "x86-64-v3", AVX2_FLAGS),
    Target("aarch64", "armv8-a", frozenset({b"asimd"})),
)


def fitting_target() -> Target | None:
    """The best target for this process, as far as THUMBNET_CPU lets it use the processor; None if none fits."""
    form, abilities = cpu_form(), processor_abilities()
    if sys.platform != "linux":
        return None
    for target in TARGETS:
        is_allowed = form == "native" or target.march == MARCH[form]
        if is_allowed and target.machine == platform.machine() and target.needs <= abilities:
            return target
    return None


def installed_target() -> Target | None:
    """The target that fits if the wheel brought kernels: whether they are as they were made is not yet known."""
    return fitting_target() if (FOLDER / MANIFEST).exists() else None


def find_precompiled(target: Target) -> Path | None:
    """A target's library; None if it was compiled from another source.

    Raises:
        ConfigError: the manifest or the library is not as it was made.
    """
    try:
        manifest = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))
        source, digest = manifest["source"], manifest["libraries"][target.file]
        if source != digest_of_sources():
            return None
        if digest != hashlib.sha256((FOLDER / target.file).read_bytes()).hexdigest():
            raise ValueError("the file is not as it was made")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unusable(target, error) from error
    return FOLDER / target.file


def unloadable(target: Target, error: OSError) -> ConfigError:
    """What to say of a library that is as it was made and cannot be loaded, as where PyTorch's OpenMP is not found."""
    return ConfigError(
        f"the kernels that came with thumbnet, {FOLDER / target.file}, cannot be loaded beside this PyTorch: {error}",
        hint=f"install {COMPILER}, which compiles them to fit, or PyTorch with pip; or {HINT_USE_PYTORCH}",
    )


def outdated() -> ConfigError:
    """What to say of libraries that were compiled from another source."""
    return ConfigError(
        f"the kernels that came with thumbnet, in {FOLDER}, were compiled from another source than that beside them, "
        f"and this is Linux without {COMPILER}",
        hint=f"install thumbnet anew, or {COMPILER}; or {HINT_USE_PYTORCH}",
    )


def unusable(target: Target, error: Exception) -> ConfigError:
    """What to say of a library that is damaged."""
    words = f"{MANIFEST} lacks {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
    return ConfigError(
        f"the kernels that came with thumbnet, {FOLDER / target.file}, cannot be used: {words}",
        hint=f"install thumbnet anew, or {COMPILER}; or {HINT_USE_PYTORCH}",
    )
