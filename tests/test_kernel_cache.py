"""Compiled kernels: kept where only their user writes, checked before they are loaded; without them, PyTorch trains."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError
from thumbnet.kernels import compiler as compiler_module
from thumbnet.kernels.cache import build_lock
from thumbnet.kernels.choice import pick_kernels
from thumbnet.kernels.compiler import can_compile
from thumbnet.kernels.cpu import processor_abilities
from thumbnet.kernels.library import Kernels, forget_kernels, load_kernels
from thumbnet.models.registry import create_model
from thumbnet.specs.optimizers import SGD
from thumbnet.training.fit import fit
from thumbnet.training.progress import Silent

pytestmark = pytest.mark.skipif(not can_compile(), reason="no compiler for our kernels here")
CPU = torch.device("cpu")
DAY_S = 86_400
COPIES = """
while [ $# -gt 1 ]; do [ "$1" = -o ] && cp "{library}" "$2"; shift; done
"""


class Compiler:
    """A g++ of our own, first on the PATH, that notes its starts and does as told: at once, not in ten seconds."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "bin" / "g++"
        self.log = folder / "starts"
        self.log.write_text("")
        self.file.parent.mkdir()

    def does(self, script: str | bytes, *, interpreter: str = "/bin/sh") -> None:
        head = f"#!{interpreter}\necho start >> {self.log}\n".encode()
        self.file.write_bytes(head + (script if isinstance(script, bytes) else script.encode()))
        self.file.chmod(0o755)

    @property
    def num_starts(self) -> int:
        return len(self.log.read_text().splitlines())


@pytest.fixture(scope="module")
def built() -> Path:
    """A library of the real compiler."""
    return Path(load_kernels()._name)


@pytest.fixture
def compiler(built: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Compiler:
    """With it, folders of the test's own for the cache and for temporary files."""
    compiler = Compiler(tmp_path)
    compiler.does(COPIES.format(library=built))
    monkeypatch.setenv("PATH", f"{compiler.file.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return compiler


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "thumbnet" / "kernels"


def start_again() -> Kernels:
    """The kernels as a new process would get them."""
    forget_kernels()
    return load_kernels()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def only_library(folder: Path) -> Path:
    (library,) = folder.iterdir()
    return library


def test_the_compiler_starts_once(compiler: Compiler, folder: Path) -> None:
    said: list[str] = []
    model = create_model("sprint")
    for _ in range(3):
        assert pick_kernels("auto", model, CPU, say=said.append) is not None
    assert len(said) == 1
    assert "Compiling" in said[0]
    start_again()
    assert compiler.num_starts == 1
    assert mode_of(folder) == 0o700
    assert only_library(folder).suffix == ".so"


def test_processes_that_start_at_once_compile_once(compiler: Compiler, built: Path) -> None:
    """The others wait for the first: on a machine of few cores they would only be in its way."""
    compiler.does(f"sleep 0.2{COPIES.format(library=built)}")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=start_again) for _ in range(3)]
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # Python 3.12 on: of threads in a fork
        for process in processes:
            process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert compiler.num_starts == 1


def test_another_compiler_compiles_anew(compiler: Compiler, built: Path, folder: Path) -> None:
    start_again()
    compiler.does(f"# newer{COPIES.format(library=built)}")
    start_again()
    assert compiler.num_starts == 2
    assert len(list(folder.iterdir())) == 2


def replaced(library: Path, content: bytes) -> None:
    """By another file, since this process may have loaded the one that was there."""
    other = library.with_name("other")
    other.write_bytes(content)
    other.replace(library)


def overwritten(library: Path) -> None:
    replaced(library, b"\x7fELF and then nothing of the kind" * 1000)


def truncated(library: Path) -> None:
    replaced(library, library.read_bytes()[: library.stat().st_size // 2])


def with_one_bit_flipped(library: Path) -> None:
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    replaced(library, bytes(content))


def writable_by_all(library: Path) -> None:
    library.chmod(0o666)


def linked_elsewhere(library: Path) -> None:
    library.symlink_to(library.rename(library.parent.parent / library.name))


@pytest.mark.parametrize("damage", [overwritten, truncated, with_one_bit_flipped, writable_by_all, linked_elsewhere])
def test_a_library_that_is_not_as_it_was_kept_is_compiled_again(
    damage: Callable[[Path], None], compiler: Compiler, built: Path, folder: Path
) -> None:
    start_again()
    damage(only_library(folder))
    start_again()
    assert compiler.num_starts == 2
    library = only_library(folder)
    assert library.read_bytes() == built.read_bytes()
    assert not library.is_symlink()
    assert not mode_of(library) & 0o022


def test_a_folder_that_others_may_write_to_is_emptied_and_closed(compiler: Compiler, folder: Path) -> None:
    start_again()
    folder.chmod(0o777)
    start_again()
    assert compiler.num_starts == 2
    assert mode_of(folder) == 0o700


def test_a_folder_of_an_older_version_is_closed(compiler: Compiler, folder: Path) -> None:
    folder.mkdir(mode=0o755, parents=True)
    folder.chmod(0o755)
    start_again()
    assert mode_of(folder) == 0o700


def is_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("")


def cannot_be_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")


def is_of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True, mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)


def is_a_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "elsewhere").mkdir(parents=True, mode=0o700)
    folder.symlink_to(folder.parent / "elsewhere")


def is_nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_entry(number: int) -> object:
        raise KeyError(number)

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)


def assert_compiled_once_for_this_start(compiler: Compiler) -> None:
    said: list[str] = []
    forget_kernels()
    for _ in range(2):
        assert load_kernels(say=said.append).lanes in (4, 8, 16)
    assert compiler.num_starts == 1
    (sentence,) = said
    assert "every start" in sentence


@pytest.mark.parametrize("cache", [is_a_file, cannot_be_made, is_of_another_user, is_a_link, is_nowhere])
def test_without_a_cache_of_our_own_a_temporary_folder_does(
    cache: Callable[[Path, pytest.MonkeyPatch], None], compiler: Compiler, folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    cache(folder, monkeypatch)
    assert_compiled_once_for_this_start(compiler)
    assert not list((tmp_path / "temporary").iterdir())
    assert not list(tmp_path.rglob("*.so"))
    assert not list(tmp_path.glob("~*"))


def test_leftovers_and_old_libraries_are_removed(compiler: Compiler, folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    ages_s = {"compiling-a": 3600, "compiling-b": 5, "tmpw1zard": 3600, "blocks-a.so": 90 * DAY_S, "blocks-b.so": DAY_S}
    for name, age_s in ages_s.items():
        path = folder / name
        if name.endswith(".so"):
            path.write_text("")
        else:
            path.mkdir()
            (path / "blocks.cpp").write_text("")
        os.utime(path, (time.time() - age_s,) * 2)
    (folder / "notes.txt").write_text("of the user's own")
    os.utime(folder / "notes.txt", (0, 0))
    kept = Path(start_again()._name).name
    assert {path.name for path in folder.iterdir()} == {"compiling-b", "blocks-b.so", "notes.txt", kept}


def fails_in_other_letters(compiler: Compiler) -> None:
    compiler.does(b"printf '\\377\\376 no\\n' >&2; exit 1\n")


def cannot_be_executed(compiler: Compiler) -> None:
    compiler.does("", interpreter="/nowhere/sh")


def writes_nothing(compiler: Compiler) -> None:
    compiler.does("exit 0\n")


def writes_what_is_no_library(compiler: Compiler) -> None:
    compiler.does('while [ $# -gt 1 ]; do [ "$1" = -o ] && echo no > "$2"; shift; done\n')


@pytest.mark.parametrize(
    "breaks", [fails_in_other_letters, cannot_be_executed, writes_nothing, writes_what_is_no_library]
)
def test_with_a_broken_compiler_pytorch_trains_and_that_is_said_once(
    breaks: Callable[[Compiler], None], compiler: Compiler, folder: Path
) -> None:
    breaks(compiler)
    said: list[str] = []
    model = create_model("sprint")
    for _ in range(3):
        assert pick_kernels("auto", model, CPU, say=said.append) is None
    assert compiler.num_starts <= 1
    assert ["PyTorch's own" in text for text in said] == [False, True]  # compiling comes first
    with pytest.raises(ConfigError) as caught:
        pick_kernels("native", model, CPU)
    assert "pytorch" in caught.value.hint
    assert not list(folder.iterdir())


def test_a_training_in_python_warns(compiler: Compiler, tiny_dataset: Dataset) -> None:
    compiler.does("exit 3\n")
    model = create_model("sprint", num_classes=3, blocks="c16s c16p")
    with pytest.warns(RuntimeWarning, match="PyTorch's own"):
        fit(model, tiny_dataset, epochs=1, batch_size=48, optimizer=SGD(lr=0.01), progress=Silent())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, tiny_dataset, epochs=1, batch_size=48, optimizer=SGD(lr=0.01), progress=Silent())


def test_without_a_compiler_pytorch_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not can_compile()
    said: list[str] = []
    assert pick_kernels("auto", create_model("sprint"), CPU, say=said.append) is None
    assert not said
    with pytest.raises(ConfigError, match="without g\\+\\+"):
        pick_kernels("native", create_model("sprint"), CPU)


def test_a_library_tells_its_lanes_and_its_abi() -> None:
    kernels = load_kernels()
    assert kernels.lanes in (4, 8, 16)
    assert kernels.thumbnet_lanes() == kernels.lanes
    assert kernels.thumbnet_abi() == kernels.abi


def test_a_library_of_another_abi_is_refused(compiler: Compiler, built: Path, folder: Path, tmp_path: Path) -> None:
    """As a compiler that ignores our source would give; so is one without our functions."""
    code = tmp_path / "other.c"
    for content, words in (
        ("int thumbnet_abi(void) { return -1; } int thumbnet_lanes(void) { return 16; }", "its ABI is -1"),
        ("int thumbnet_abi(void) { return 1; } int thumbnet_lanes(void) { return 12; }", "12 lanes"),
        ("int other;", "undefined symbol"),
    ):
        code.write_text(content)
        gcc = shutil.which("gcc") or "gcc"
        compiler.does(f'while [ $# -gt 1 ]; do [ "$1" = -o ] && {gcc} -shared -o "$2" {code}; shift; done # {content}')
        with pytest.raises(ConfigError, match=f"cannot be loaded.*{words}"):
            start_again()
        assert not list(folder.iterdir())


def refuses_new_folders(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As a folder with the mode 0500 does to anyone but root."""
    make = tempfile.mkdtemp

    def refuse(prefix: str, **options: Path | None) -> str:
        if options["dir"] == folder:
            raise PermissionError(13, "Permission denied", str(folder))
        return make(prefix=prefix, **options)

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)


def refuses_to_be_read(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As one with the mode 0300 does."""
    opens = os.open

    def refuse(path: object, *arguments: object, **options: object) -> int:
        if path == folder:
            raise PermissionError(13, "Permission denied", str(folder))
        return opens(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize("refuses", [refuses_new_folders, refuses_to_be_read])
def test_a_cache_that_cannot_be_used_is_passed_over(
    refuses: Callable[[pytest.MonkeyPatch, Path], None], compiler: Compiler, folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    refuses(monkeypatch, folder)
    assert_compiled_once_for_this_start(compiler)


def test_a_library_in_the_cache_is_taken_without_waiting(compiler: Compiler, folder: Path) -> None:
    start_again()
    said: list[str] = []
    with build_lock(folder, waits=lambda: None):  # another process compiles other kernels
        forget_kernels()
        load_kernels(say=said.append)
    assert not said
    assert compiler.num_starts == 1


def test_who_waits_for_a_compilation_says_so(compiler: Compiler, folder: Path) -> None:
    said: list[str] = []
    folder.mkdir(parents=True, mode=0o700)
    lock = build_lock(folder, waits=lambda: None)
    lock.__enter__()

    def say(text: str) -> None:
        said.append(text)
        if "Waiting" in text:
            lock.__exit__(None, None, None)

    forget_kernels()
    load_kernels(say=say)
    assert [text.split()[0] for text in said] == ["Waiting", "Compiling"]


def test_a_script_of_ones_own_sees_on_stderr_what_takes_so_long(
    compiler: Compiler, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        start_again()
    said = capsys.readouterr()
    assert said.err.count("Compiling kernels for this processor, once") == 1
    assert not said.out


def test_what_cannot_be_read_leaves_pytorchs_kernels(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == Path("/proc/cpuinfo"):
            raise PermissionError(13, "Permission denied", str(path))
        return reads(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert processor_abilities() == frozenset()
    assert start_again().lanes in (4, 8, 16)

    def refuse_all() -> str:
        raise PermissionError(13, "Permission denied", "/proc/self/maps")

    monkeypatch.setattr(compiler_module, "openmp_of_pytorch", refuse_all)
    said: list[str] = []
    forget_kernels()
    assert pick_kernels("auto", create_model("sprint"), CPU, say=said.append) is None
    assert "cannot be read" in said[0]
    with pytest.raises(ConfigError, match=r"cannot be read: .*/proc/self/maps"):
        pick_kernels("native", create_model("sprint"), CPU)
