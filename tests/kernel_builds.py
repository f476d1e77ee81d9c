"""The flags that tests compile the kernels with: the usual ones and, in a run of test_sanitizers.py, instrumented."""

from __future__ import annotations

import os
import platform

from thumbnet.kernels.compiler import kernel_flags
from thumbnet.kernels.cpu import cpu_form

SWITCH = "THUMBNET_TEST_SANITIZERS"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1")
IS_SANITIZED = SWITCH in os.environ
if IS_SANITIZED:
    os.environ.pop("LD_PRELOAD", None)  # for this process, which has read it, not for the compilers that it starts

FLAGS = (*kernel_flags(), *(SANITIZERS if IS_SANITIZED else ()))
IS_WIDE = cpu_form() == "native" and platform.machine() == "x86_64"
NARROW = (*FLAGS, "-mno-avx512f") if IS_WIDE else FLAGS  # what a processor without AVX-512 compiles
BUILDS = {"native": FLAGS, "narrow": NARROW} if IS_WIDE else {"native": FLAGS}  # each once
