"""Kernels with faults that test_sanitizers.py must see; without the sanitizers, nobody does."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import torch

from kernel_builds import FLAGS
from thumbnet.kernels.compiler import find_compiler

SOURCE = """
extern "C" void one_float_too_far(float* values, int size) {
    for (int i = 0; i <= size; i++) values[i] = 1;
}
extern "C" int one_more_than_an_int(int value) { return value + 1; }
"""


def faulty_kernels(folder: Path) -> ctypes.CDLL:
    code, library = folder / "faults.cpp", folder / "faults.so"
    code.write_text(SOURCE)
    subprocess.run([find_compiler(), *FLAGS, "-o", library, code], check=True)
    return ctypes.CDLL(str(library))


def test_one_float_too_far(tmp_path: Path) -> None:
    values = torch.zeros(1000)
    faulty_kernels(tmp_path).one_float_too_far(ctypes.c_void_p(values.data_ptr()), values.numel())


def test_one_more_than_an_int(tmp_path: Path) -> None:
    faulty_kernels(tmp_path).one_more_than_an_int(2**31 - 1)
