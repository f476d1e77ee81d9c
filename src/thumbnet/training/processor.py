"""Kinds of processor: speed differs between them by factors, so a figure is given for its kind, beside the machine."""

from __future__ import annotations

import platform

import torch

from thumbnet.kernels.convolution_choice import has_bfloat16_tiles
from thumbnet.kernels.cpu import cpu_form
from thumbnet.training.device import has_native_bfloat16

VECTORS_OF_FORM = {"avx2": "AVX2", "x86-64": "SSE2"}  # of THUMBNET_CPU
VECTORS_OF_PYTORCH = {"AVX512": "AVX-512", "AVX2": "AVX2"}
PLAIN_VECTORS = {"x86_64": "SSE2", "amd64": "SSE2", "aarch64": "NEON", "arm64": "NEON"}  # what each such machine has


def processor_kind() -> str:
    """The CPU's kind, as in `AVX-512 bfloat16`: the vectors that PyTorch computes with, and whether it multiplies
    bfloat16 natively, perhaps in whole tiles (AMX), or only float32; within the limits of THUMBNET_CPU."""
    if not has_native_bfloat16(torch.device("cpu")):
        return f"{_vectors()} float32"
    return f"{_vectors()} bfloat16{' AMX' if has_bfloat16_tiles() else ''}"


def _vectors() -> str:
    form = cpu_form()
    if form != "native":
        return VECTORS_OF_FORM[form]
    capability = torch.backends.cpu.get_cpu_capability()
    machine = platform.machine()
    return VECTORS_OF_PYTORCH.get(capability) or PLAIN_VECTORS.get(machine.lower(), machine)
