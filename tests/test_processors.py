"""THUMBNET_CPU: this machine behaves like a lesser one, in PyTorch, in our kernels, and in what `auto` believes."""

from __future__ import annotations

import ast
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from thumbnet.errors import ConfigError
from thumbnet.kernels import cpu
from thumbnet.kernels.compiler import can_compile, compile_kernels, find_compiler, kernel_flags
from thumbnet.kernels.library import load_kernels
from thumbnet.training import processor
from thumbnet.training.device import pick_precision, processor_name
from thumbnet.training.processor import processor_kind

FORM = cpu.cpu_form()
CAPABILITY = {"avx2": "AVX2", "x86-64": "DEFAULT"}
has_forms = pytest.mark.skipif(not cpu.can_run("avx2"), reason="this processor cannot be made to look lesser")


@has_forms
@pytest.mark.parametrize("form", ["avx2", "x86-64"])
def test_a_form_sets_pytorchs_limits(form: str) -> None:
    environment = {"THUMBNET_CPU": form, "HOME": "/"}
    assert cpu.limit_processor(environment, torch_is_imported=False) == form
    assert environment["ATEN_CPU_CAPABILITY"] == {"avx2": "avx2", "x86-64": "default"}[form]
    assert set(environment) == {
        "THUMBNET_CPU", "HOME", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS",
        "TORCHINDUCTOR_CACHE_DIR",
    }  # fmt: skip
    assert environment["TORCHINDUCTOR_CACHE_DIR"].endswith(f"_{form}")  # no code that another form compiled
    assert cpu.limit_processor(dict(environment), torch_is_imported=True) == form  # set from outside, in time
    given = {**environment, "TORCHINDUCTOR_CACHE_DIR": "mine"}
    cpu.limit_processor(given, torch_is_imported=False)
    assert given["TORCHINDUCTOR_CACHE_DIR"] == "mine"


@pytest.mark.parametrize("given", [{}, {"THUMBNET_CPU": ""}, {"THUMBNET_CPU": "native"}])
def test_native_leaves_all_as_it_is(given: dict[str, str]) -> None:
    environment = {**given, "ATEN_CPU_CAPABILITY": "avx2"}
    assert cpu.limit_processor(environment, torch_is_imported=True) == "native"
    assert environment == {**given, "ATEN_CPU_CAPABILITY": "avx2"}


def test_what_cannot_be_obeyed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="THUMBNET_CPU is 'sse9'") as caught:
        cpu.limit_processor({"THUMBNET_CPU": "sse9"}, torch_is_imported=False)
    assert "native, avx2, x86-64" in caught.value.hint
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    for form in "avx2", "x86-64":
        with pytest.raises(ConfigError, match=f"THUMBNET_CPU is '{form}', but this processor is aarch64"):
            cpu.limit_processor({"THUMBNET_CPU": form}, torch_is_imported=False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"flags\t\t: fpu sse2 avx fma\n")
    with pytest.raises(ConfigError, match="this processor has no AVX2"):
        cpu.limit_processor({"THUMBNET_CPU": "avx2"}, torch_is_imported=False)
    environment = {"THUMBNET_CPU": "x86-64"}
    assert cpu.limit_processor(environment, torch_is_imported=False) == "x86-64"
    with pytest.raises(ConfigError, match="but ATEN_CPU_CAPABILITY is 'avx512'") as caught:
        cpu.limit_processor({**environment, "ATEN_CPU_CAPABILITY": "avx512"}, torch_is_imported=False)
    assert "leave it unset" in caught.value.hint
    with pytest.raises(ConfigError, match="torch was imported before thumbnet") as caught:
        cpu.limit_processor({"THUMBNET_CPU": "x86-64"}, torch_is_imported=True)
    assert "import thumbnet first" in caught.value.hint


def test_a_switch_that_changes_after_the_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBNET_CPU", "x86-64" if FORM != "x86-64" else "native")
    with pytest.raises(ConfigError, match="after thumbnet was imported"):
        cpu.cpu_form()
    with pytest.raises(ConfigError, match="after thumbnet was imported"):
        pick_precision("auto", torch.device("cpu"))


def test_the_command_and_the_package_refuse_in_words() -> None:
    code = "import thumbnet\ntry: thumbnet.train\nexcept thumbnet.ThumbnetError as error: print(error)"
    environment = {**os.environ, "THUMBNET_CPU": "sse9"}
    run = [sys.executable, "-c", code]
    assert "THUMBNET_CPU is 'sse9'" in subprocess.run(run, env=environment, capture_output=True, text=True).stdout
    done = subprocess.run(
        [sys.executable, "-m", "thumbnet", "recipes"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("thumbnet: error: THUMBNET_CPU is 'sse9'")


@pytest.mark.skipif(FORM == "native", reason="nothing is limited")
def test_pytorch_and_our_kernels_are_those_of_the_form() -> None:
    """In a run of the tests with THUMBNET_CPU, as .ci/run makes one; and there is no bfloat16 to believe in."""
    assert torch.backends.cpu.get_cpu_capability() == CAPABILITY[FORM]
    assert not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    for fused in (True, False):
        assert pick_precision("auto", torch.device("cpu"), fully_fused=fused) == torch.float32
    assert processor_name().endswith(f", limited to {FORM})")
    assert processor_kind() == {"avx2": "AVX2 float32", "x86-64": "SSE2 float32"}[FORM]
    if can_compile():
        assert load_kernels().lanes == 8


@pytest.mark.skipif(FORM != "native", reason="a limited processor has one kind")
@pytest.mark.parametrize(
    ("capability", "machine", "has_bfloat16", "kind"),  # has_bfloat16 None: in tiles, too
    [
        ("AVX2", "x86_64", False, "AVX2 float32"),
        ("AVX512", "x86_64", False, "AVX-512 float32"),
        ("AVX512", "AMD64", True, "AVX-512 bfloat16"),
        ("AVX512", "x86_64", None, "AVX-512 bfloat16 AMX"),
        ("DEFAULT", "x86_64", False, "SSE2 float32"),
        ("DEFAULT", "aarch64", False, "NEON float32"),
        ("DEFAULT", "arm64", True, "NEON bfloat16"),
        ("DEFAULT", "riscv64", False, "riscv64 float32"),
    ],
)
def test_a_kind_is_its_vectors_and_number_format(
    monkeypatch: pytest.MonkeyPatch, capability: str, machine: str, has_bfloat16: bool | None, kind: str
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(processor, "has_native_bfloat16", lambda device: has_bfloat16 is not False)
    monkeypatch.setattr(processor, "has_bfloat16_tiles", lambda: has_bfloat16 is None)
    assert processor_kind() == kind


@has_forms
@pytest.mark.skipif(FORM != "native", reason="the other half of the suite's runs")
def test_a_limited_process_is_limited() -> None:
    code = """
import thumbnet, torch
from thumbnet.training.device import pick_precision
from thumbnet.training.processor import processor_kind
print(torch.backends.cpu.get_cpu_capability(), pick_precision("auto", torch.device("cpu"), fully_fused=True))
print(processor_kind())
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env={**os.environ, "THUMBNET_CPU": "avx2"}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["AVX2", "torch.float32", "AVX2", "float32"]


@pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86-64")
def test_each_form_has_flags_of_its_own() -> None:
    assert len({kernel_flags(form) for form in cpu.FORMS}) == 3
    assert "-march=x86-64" in kernel_flags("x86-64")


@pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86-64")
@pytest.mark.skipif(FORM != "native", reason="the same in every form")
def test_what_this_processor_cannot_run_compiles(tmp_path: Path) -> None:
    """AVX-512 on a processor without it; where it can be run, other tests run it."""
    flags = (*(flag for flag in kernel_flags("x86-64") if not flag.startswith(("-march", "-O"))), "-O0")
    assert compile_kernels(find_compiler(), (*flags, "-march=x86-64-v4"), tmp_path).exists()


def test_benchmarks_apply_the_switch_before_anything_imports_torch() -> None:
    for script in sorted((Path(__file__).parent.parent / "benchmarks").glob("*.py")):
        modules = [
            name
            for node in ast.parse(script.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        ]
        first = next((name for name in modules if name.split(".")[0] in ("thumbnet", "measuring", "torch")), None)
        assert first != "torch" or script.stem == "plain_reference", script
