"""The kernels' tests once more under AddressSanitizer and UndefinedBehaviorSanitizer; run by .ci/run, a minute.

A control that writes one float too far, or overflows an int, must turn such a run red, or it would prove nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernel_builds import SWITCH
from thumbnet.kernels.compiler import can_compile, find_compiler

pytestmark = [
    pytest.mark.sanitizer,
    pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here"),
]
HERE = Path(__file__).parent


def library_of_compiler(name: str) -> str:
    asked = [find_compiler(), f"-print-file-name={name}"]
    path = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(path).is_file(), f"g++ has no {name}"
    return path


def run_sanitized(*arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest in a process into which AddressSanitizer's library was loaded first."""
    environment = {
        **os.environ,
        SWITCH: "1",
        # With the second, the sanitizer also finds the function that throws exceptions.
        "LD_PRELOAD": f"{library_of_compiler('libasan.so')} {library_of_compiler('libstdc++.so.6')}",
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's and PyTorch's, at the end
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    run = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", "--capture=no", *arguments]
    return subprocess.run(run, cwd=HERE.parent, env=environment, capture_output=True, text=True)


def test_the_kernels_are_silent() -> None:
    done = run_sanitized(
        *("tests/test_kernels.py", "tests/test_kernel_boundary.py", "tests/test_kernel_check.py"),
        *("tests/test_convolutions.py", "tests/test_kernel_images.py", "tests/test_muon_kernels.py"),
        *("tests/test_kernel_scoring.py", "tests/test_kernel_changes.py"),
        *("-k", "not training and not threads_are and not told"),
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    announced = "Compiling kernels", "Waiting for another process"  # with the sanitizers, and those without, by others
    assert not [line for line in done.stderr.splitlines() if not line.startswith(announced)]


@pytest.mark.parametrize(
    ("control", "words"),
    [("one_float_too_far", "heap-buffer-overflow"), ("one_more_than_an_int", "signed integer overflow")],
)
def test_a_control_is_not(control: str, words: str) -> None:
    done = run_sanitized("--noconftest", "tests/sanitizer_controls.py", "-k", control)  # without its slow imports
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
