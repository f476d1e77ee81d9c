"""The flags that tests compile the kernels with: the usual ones and, in a run of test_sanitizers.py, instrumented."""

from __future__ import annotations

import os

from thumbnet.kernels.compiler import kernel_flags
from thumbnet.kernels.cpu import can_run, cpu_form

SWITCH = "THUMBNET_TEST_SANITIZERS"
# -g1 tells the lines of a stack and no more: -g takes g++ half as long again.
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1", "-O1")
IS_SANITIZED = SWITCH in os.environ
if IS_SANITIZED:
    os.environ.pop("LD_PRELOAD", None)  # for this process, which has read it, not for the compilers that it starts


def flags_of(form: str) -> tuple[str, ...]:
    return (*kernel_flags(form), *(SANITIZERS if IS_SANITIZED else ()))


FLAGS = flags_of(cpu_form())
BUILDS = {"native": FLAGS}
if cpu_form() == "native" and can_run("avx2"):
    # What a processor without AVX-512 compiles, with the flags of THUMBNET_CPU=avx2: so .ci/run compiles it once.
    BUILDS["narrow"] = flags_of("avx2")
