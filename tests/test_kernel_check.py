"""Every kernel by a C++ program of its own (kernel_check/main.cpp), without Python: here, and for aarch64 in QEMU.

In double precision, with guards around every array, for several numbers of threads, and with NaNs.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from c_builds import needs
from kernel_builds import BUILDS, FLAGS, IS_SANITIZED, SANITIZERS
from thumbnet.kernels.compiler import SOURCE, can_compile, find_compiler
from thumbnet.kernels.cpu import cpu_form
from thumbnet.kernels.library import ARGUMENTS, load_kernels

CHECK = Path(__file__).parent / "kernel_check" / "main.cpp"
KERNELS = Path(__file__).parent.parent / "src" / "thumbnet" / "kernels" / SOURCE
CROSS, QEMU = "aarch64-linux-gnu-g++", "qemu-aarch64"
STRICT = ("-std=c++17", "-Wall", "-Wextra", "-Werror")
needs_compiler = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}  # waiting threads would take the others' processor
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def build(*command: str | Path) -> None:
    done = run(*command)
    assert done.returncode == 0, done.stderr


def assert_all_right(done: subprocess.CompletedProcess[str], lanes: int) -> None:
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}\n{done.stderr}"
    said = re.fullmatch(rf"{lanes} lanes, (\d+) calls, 0 failures\n", done.stdout)
    assert said, done.stdout
    assert int(said[1]) > 2500


def test_every_exported_function_is_checked() -> None:
    cases = "".join(path.read_text() for path in CHECK.parent.glob("*.h") if path.name != "kernels.h")
    assert [name for name in ARGUMENTS if f"{name}(" not in cases] == []


@pytest.fixture(scope="module")
def compiled_check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("check") / "main.o"
    build(find_compiler(), *STRICT, *(SANITIZERS if IS_SANITIZED else ["-O2"]), "-c", "-o", output, CHECK)
    return output


def check_of(flags: tuple[str, ...], compiled_check: Path) -> tuple[Path, int]:
    """The check of the library that `load_kernels` gives, and the lanes of its vectors."""
    kernels = load_kernels(flags)
    program = compiled_check.with_name(f"check-{kernels.lanes}")
    build(
        find_compiler(), *(SANITIZERS if IS_SANITIZED else []), "-fopenmp", "-o", program, compiled_check, kernels._name
    )
    return program, kernels.lanes


@needs_compiler
@pytest.mark.parametrize("flags", BUILDS.values(), ids=BUILDS)
def test_every_kernel_is_as_in_double_precision(flags: tuple[str, ...], compiled_check: Path) -> None:
    program, lanes = check_of(flags, compiled_check)
    assert_all_right(run(program), lanes)


@needs_compiler
@pytest.mark.skipif(IS_SANITIZED, reason="a sanitizer would find them first")
def test_the_check_finds_faults(compiled_check: Path) -> None:
    program, _ = check_of(FLAGS, compiled_check)
    done = run(program, "faults")
    assert done.returncode == 1
    for fault, words in {
        "after": "bytes outside of output 0 were written",
        "before": "bytes outside of output 0 were written",
        "input": "input 0 was changed",
        "threads": "output 0 is another with 3 threads",
        "value": r"1 of 40 wrong; \[13\]",
        "unwritten": r"1 of 40 wrong; \[0\] is -?nan",
        "NaN": r"1 of 40 wrong; \[39\] is 0, not -?nan",
    }.items():
        assert re.search(f"FAILED {fault}: {words}", done.stdout), done.stdout
    assert "FAILED none" not in done.stdout


@needs(CROSS, QEMU)
@pytest.mark.skipif(IS_SANITIZED, reason="QEMU runs no sanitizers")
@pytest.mark.skipif(cpu_form() != "native", reason="nothing of it depends on the form of this processor")
def test_every_kernel_on_aarch64(tmp_path: Path) -> None:
    """With NEON's vectors of four floats. `-static`, so that QEMU needs no libraries of aarch64."""
    program = tmp_path / "check"
    build(CROSS, "-std=c++17", "-O2", "-fno-math-errno", "-fopenmp", "-static", "-o", program, CHECK, KERNELS)
    assert_all_right(run(QEMU, program), 4)


@needs_compiler
@pytest.mark.sanitizer
@pytest.mark.skipif(
    not {"avx512f", "avx512dq", "avx512bw", "avx512cd", "avx512vl"} <= set(Path("/proc/cpuinfo").read_text().split()),
    reason="this processor has no AVX-512",
)
def test_every_kernel_with_avx512_alone(tmp_path: Path) -> None:
    """As on a processor whose AVX-512 has no bfloat16; here beside the sanitizers, since it compiles for long."""
    program = tmp_path / "check"
    flags = "-std=c++17", "-O1", "-march=x86-64-v4", "-fno-math-errno", "-fopenmp"
    build(find_compiler(), *flags, "-o", program, CHECK, KERNELS)
    assert_all_right(run(program), 16)
