"""Kernels that came with the wheel: the best for the processor, checked first, replaced if they are damaged."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from thumbnet.errors import ConfigError
from thumbnet.kernels import compiler, cpu, precompiled
from thumbnet.kernels.choice import describe_kernels, pick_kernels
from thumbnet.kernels.compiler import can_compile, digest_of_sources, sources
from thumbnet.kernels.library import can_load, forget_kernels, load_kernels
from thumbnet.kernels.precompiled import MANIFEST, TARGETS, Target, find_precompiled, fitting_target, installed_target
from thumbnet.models.blocknet import BlockNet
from thumbnet.models.registry import create_model

CPU = torch.device("cpu")
AVX2 = b"fpu sse2 avx avx2 fma bmi1 bmi2 f16c movbe abm"
AVX512 = AVX2 + b" avx512f avx512bw avx512cd avx512dq avx512vl"
needs_compiler = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")


def is_processor(monkeypatch: pytest.MonkeyPatch, machine: str, cpuinfo: bytes, form: str = "native") -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(Path, "read_bytes", lambda path: cpuinfo)
    monkeypatch.setattr(precompiled, "cpu_form", lambda: form)


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "form", "march"),
    [
        ("x86_64", b"model name\t: one\nflags\t\t: " + AVX512, "native", "x86-64-v4"),
        ("x86_64", b"flags\t\t: " + AVX512 + b" avx512_bf16 amx_tile", "native", "x86-64-v4"),
        ("x86_64", b"flags\t\t: " + AVX512, "avx2", "x86-64-v3"),
        ("x86_64", b"flags\t\t: " + AVX512, "x86-64", None),
        ("x86_64", b"flags\t\t: " + AVX512.replace(b" avx512dq", b""), "native", "x86-64-v3"),
        ("x86_64", b"flags\t\t: " + AVX2, "native", "x86-64-v3"),
        ("x86_64", b"flags\t\t: " + AVX2.replace(b" fma", b""), "native", None),
        ("x86_64", b"flags\t\t: fpu sse2", "native", None),
        ("x86_64", b"", "native", None),
        ("aarch64", b"processor\t: 0\nFeatures\t: fp asimd evtstrm aes", "native", "armv8-a"),
        ("aarch64", b"Features\t: fp", "native", None),
        ("armv7l", b"Features\t: half thumb neon", "native", None),
        ("riscv64", b"isa\t: rv64gc", "native", None),
    ],
)
def test_the_best_that_the_processor_can_run_is_taken(
    machine: str, cpuinfo: bytes, form: str, march: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_processor(monkeypatch, machine, cpuinfo, form)
    target = fitting_target()
    assert (target.march if target else None) == march


def test_other_systems_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    is_processor(monkeypatch, "x86_64", b"flags : " + AVX512)
    monkeypatch.setattr(precompiled.sys, "platform", "darwin")
    assert fitting_target() is None


def test_no_target_is_for_bfloat16_as_long_as_the_source_has_no_instruction_for_it() -> None:
    """Else g++ would make another library for such processors, and the wheel should have it (decision 0022)."""
    text = b"\n".join(sources().values())
    assert not re.search(rb"__AVX512BF16__|__bf16|_cvtne\w*pbh|dpbf16", text)
    assert len({target.file for target in TARGETS}) == len(TARGETS) == 3


def test_the_digest_is_that_of_names_and_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    def digest_with(files: dict[str, bytes]) -> str:
        monkeypatch.setattr(compiler, "sources", lambda: files)
        return digest_of_sources()

    digests = {digest_with(files) for files in ({"a": b"bc"}, {"ab": b"c"}, {"a": b"b", "c": b""}, {"a": b"bd"})}
    assert len(digests) == 4


@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="a wheel with kernels is for Linux only")
def test_no_library_is_needed_that_is_newer_than_pytorchs() -> None:
    """What `make wheel` asks of the wheels, here of the kernels that are compiled on the spot: of the C++ library."""
    from elftools.elf.elffile import ELFFile  # installed on Linux only

    newest = {"GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11)}  # of manylinux_2_28, as PyTorch's wheels
    with Path(load_kernels()._name).open("rb") as file:
        needed = ELFFile(file).get_section_by_name(".gnu.version_r")
        names = [version.name for _, versions in needed.iter_versions() for version in versions]
    assert any(name.startswith("GLIBCXX_") for name in names)
    for name in names:
        library, version = name.split("_", 1)
        assert tuple(map(int, version.split("."))) <= newest.get(library, (9,)), name


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder as a wheel brings it: for this processor, the library that is compiled here."""
    library = Path(load_kernels()._name)
    target = Target(platform.machine(), cpu.MARCH[cpu.cpu_form()], frozenset())
    shutil.copy(library, tmp_path / target.file)
    digests = {target.file: hashlib.sha256(library.read_bytes()).hexdigest()}
    (tmp_path / MANIFEST).write_text(json.dumps({"source": digest_of_sources(), "libraries": digests}))
    monkeypatch.setattr(precompiled, "FOLDER", tmp_path)
    monkeypatch.setattr(precompiled, "TARGETS", (target,))
    forget_kernels()
    yield tmp_path
    forget_kernels()


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)


@needs_compiler
def test_the_wheels_kernels_need_no_compiler_and_a_run_says_so(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_compiler(monkeypatch)
    assert can_load()
    said: list[str] = []
    kernels = pick_kernels("auto", create_model("sprint"), CPU, say=said.append)
    assert kernels is not None
    assert kernels is load_kernels()
    assert Path(kernels._name).parent == wheel
    assert said == []
    assert describe_kernels(kernels) == f"native (wheel for {cpu.MARCH[cpu.cpu_form()]}, g++ {kernels.compiler})"


@needs_compiler
def test_flags_of_ones_own_are_compiled(wheel: Path) -> None:
    assert Path(load_kernels(compiler.kernel_flags())._name).parent != wheel


@needs_compiler
def test_kernels_of_another_source_are_not_taken(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = json.loads((wheel / MANIFEST).read_text())
    (wheel / MANIFEST).write_text(json.dumps({**manifest, "source": "0" * 64}))
    said: list[str] = []
    assert Path(load_kernels(say=said.append)._name).parent != wheel
    assert said == []  # it was compiled before
    without_compiler(monkeypatch)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"compiled from another source .* without g") as caught:
            load_kernels()
        assert "install thumbnet anew" in caught.value.hint


def removed(wheel: Path, library: Path) -> None:
    library.unlink()


def truncated(wheel: Path, library: Path) -> None:
    library.write_bytes(library.read_bytes()[:1000])


def with_one_bit_flipped(wheel: Path, library: Path) -> None:
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    library.write_bytes(content)


def no_library(wheel: Path, library: Path) -> None:
    library.write_bytes(b"text")
    manifest = json.loads((wheel / MANIFEST).read_text())
    manifest["libraries"][library.name] = hashlib.sha256(b"text").hexdigest()
    (wheel / MANIFEST).write_text(json.dumps(manifest))


def manifest_is(text: bytes) -> Callable[[Path, Path], None]:
    return lambda wheel, library: (wheel / MANIFEST).write_bytes(text) and None


MANIFESTS = [b"{", b"\xff", b"[]", b"{}", b'{"source": 1}']
DAMAGES = [removed, truncated, with_one_bit_flipped, *map(manifest_is, MANIFESTS)]


@needs_compiler
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_as_it_was_made_is_compiled_and_that_is_said_once(
    damage: Callable[[Path, Path], None], wheel: Path
) -> None:
    (library,) = wheel.glob("*.so")
    damage(wheel, library)
    said: list[str] = []
    model = create_model("sprint")
    for _ in range(3):
        kernels = pick_kernels("auto", model, CPU, say=said.append)
        assert kernels is not None
        assert Path(kernels._name).parent != wheel
    assert len(said) == 1
    assert str(library) in said[0]
    assert "install thumbnet anew; g++ replaces them now" in said[0]
    assert library.exists() == (damage is not removed)  # what was installed is not ours to remove


@needs_compiler
def test_what_cannot_be_loaded_is_not_called_damaged(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (library,) = wheel.glob("*.so")
    no_library(wheel, library)  # or PyTorch's OpenMP is not found, as in some environments of conda
    said: list[str] = []
    assert pick_kernels("auto", create_model("sprint"), CPU, say=said.append) is not None
    assert len(said) == 1
    assert said[0].endswith(". g++ replaces them now.")
    assert "cannot be loaded beside this PyTorch" in said[0]
    without_compiler(monkeypatch)
    with pytest.raises(ConfigError, match="cannot be loaded beside this PyTorch") as caught:
        load_kernels()
    assert "anew" not in caught.value.hint


@needs_compiler
def test_a_training_in_python_warns_of_it(wheel: Path) -> None:
    (wheel / MANIFEST).write_text("")
    with pytest.warns(RuntimeWarning, match="install thumbnet anew"):
        pick_kernels("auto", create_model("sprint"), CPU)
    with warnings.catch_warnings(action="error"):
        pick_kernels("auto", create_model("sprint"), CPU)


@needs_compiler
def test_without_a_compiler_damaged_kernels_leave_pytorchs(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (library,) = wheel.glob("*.so")
    truncated(wheel, library)
    without_compiler(monkeypatch)
    said: list[str] = []
    model = create_model("sprint")
    for _ in range(2):
        assert pick_kernels("auto", model, CPU, say=said.append) is None
    assert len(said) == 1
    assert said[0].startswith("Training through PyTorch's own kernels, since the kernels that came with thumbnet")
    with pytest.raises(ConfigError, match="cannot be used: the file is not as it was made") as caught:
        pick_kernels("native", model, CPU)
    assert "install thumbnet anew" in caught.value.hint


def test_a_checkout_brings_none() -> None:
    assert not precompiled.FOLDER.exists()
    assert installed_target() is None


@needs_compiler
def test_a_switch_that_cannot_be_obeyed_is_no_damage(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBNET_CPU", "x86-64" if cpu.cpu_form() != "x86-64" else "native")
    with pytest.raises(ConfigError, match="after thumbnet was imported"):
        load_kernels()


@needs_compiler
def test_a_manifest_without_this_processors_file_says_which_is_missing(wheel: Path) -> None:
    manifest = json.loads((wheel / MANIFEST).read_text())
    (wheel / MANIFEST).write_text(json.dumps({**manifest, "libraries": {}}))
    with pytest.raises(ConfigError, match=r"manifest\.json lacks 'blocks-.*\.so'"):
        find_precompiled(precompiled.TARGETS[0])


@needs_compiler
def test_the_benchmark_compares_a_wheel_with_what_is_compiled(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import bench_wheel
    import measuring

    with zipfile.ZipFile(tmp_path / "thumbnet.whl", "w") as archive:
        for path in wheel.iterdir():
            if path.suffix in (".so", ".json"):
                archive.write(path, f"thumbnet/kernels/compiled/{path.name}")
    monkeypatch.setattr(precompiled, "FOLDER", tmp_path / "nothing" / "compiled")
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    for name, value in (("NUM_TURNS", 1), ("STEPS_A_TURN", 4), ("BATCH_SIZE", 2)):
        monkeypatch.setattr(bench_wheel, name, value)
    monkeypatch.setattr(bench_wheel, "load_dataset", lambda name: bench_wheel.random_dataset(8, (3, 32, 32), 10))
    monkeypatch.setattr(bench_wheel, "create_model", lambda name, in_channels: BlockNet(blocks="b16"))
    monkeypatch.setattr(sys, "argv", ["bench_wheel.py", str(tmp_path / "thumbnet.whl")])
    bench_wheel.main()
    assert "| digits | " in capsys.readouterr().out
    (kept,) = (tmp_path / "results").glob("wheel_*.json")
    seconds = json.loads(kept.read_text())["seconds_per_step"]
    assert [len(times) for ways in seconds.values() for times in ways.values()] == [1, 1, 1, 1]
