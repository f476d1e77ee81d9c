"""How another commit's code is run: also one older than THUMBNET_CPU, on the processor that this limits it to."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from thumbnet.kernels.compiler import COMPILER
from thumbnet.kernels.cpu import MARCH, cpu_form

COMPILER_FOR_LESS = """#!/bin/sh
for word do
    shift
    [ "$word" = -march=native ] && word=-march={march}
    set -- "$@" "$word"
done
exec {compiler} "$@"
"""


def knows_forms(checkout: Path) -> bool:
    """Whether its code obeys THUMBNET_CPU by itself."""
    return (checkout / "src" / "thumbnet" / "kernels" / "cpu.py").exists()


def environment_of(checkout: Path, folder: Path) -> dict[str, str]:
    """Environment for running a checkout's code, PyTorch within the limits of THUMBNET_CPU (they are in ours already).

    For older code its kernels are compiled for such a processor: by a compiler in `folder`, into a cache there.
    """
    environment = dict(os.environ) | {"PYTHONPATH": str(checkout / "src")}
    form, compiler = cpu_form(), shutil.which(COMPILER)
    if form == "native" or knows_forms(checkout) or compiler is None:
        return environment
    folder.mkdir(exist_ok=True)
    wrapper = folder / COMPILER
    wrapper.write_text(COMPILER_FOR_LESS.format(march=MARCH[form], compiler=shlex.quote(compiler)))
    wrapper.chmod(0o755)
    path = f"{folder}{os.pathsep}{environment['PATH']}"
    return environment | {"PATH": path, "XDG_CACHE_HOME": str(folder / "cache")}


def options_of(checkout: Path) -> list[str]:
    """Of `thumbnet train`: such code believes in the bfloat16 of the whole processor, where a lesser one has none."""
    return [] if cpu_form() == "native" or knows_forms(checkout) else ["--set", "precision=float32"]
