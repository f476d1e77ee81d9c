"""Which code gives a reader's answers, as a digest: a reader that was fuzzed need not be again while it stays."""

from __future__ import annotations

import ast
import hashlib
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType

from trust.reader import Reader

ROOT = Path(__file__).parent.parent.parent
PACKAGE, READERS = ROOT / "src" / "thumbnet", Path(__file__).parent
LIBRARIES = ("numpy", "torch", "pillow", "pillow-heif", "safetensors")  # that read for us
LENGTH = 16


def code_of(reader: Reader) -> str:
    """A digest of the files of thumbnet that run when whole files are read, of those that these import, of the reader's
    own, and of the versions of libraries."""
    run = files_run_by(reader)
    files = sorted({*run, *(other for file in run if file.is_relative_to(PACKAGE) for other in imported_by(file))})
    digest = hashlib.sha256(f"{platform.python_version()} {[_version(name) for name in LIBRARIES]}".encode())
    for file in files:
        digest.update(f"{file.relative_to(ROOT)}\0".encode() + _content(file) + b"\0")
    return digest.hexdigest()[:LENGTH]


def files_run_by(reader: Reader) -> set[Path]:
    """The files of thumbnet, and of the readers here, whose functions are called, once all is imported."""
    names: set[str] = set()
    _read_all(reader)

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            names.add(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        _read_all(reader)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # as the documentation says
    paths = {Path(name) for name in names if not name.startswith("<")}
    return {path for path in paths if path.is_relative_to(PACKAGE) or path.is_relative_to(READERS)}


def _read_all(reader: Reader) -> None:
    for seed in reader.seeds:
        with suppress(Exception):  # what is a fault is found by fuzzing
            reader.read(seed)


@cache
def imported_by(file: Path) -> frozenset[Path]:
    """The files of thumbnet that a file of it imports, anywhere in it."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(_content(file))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found.update(path for name in names for path in _files_of(name))
    return frozenset(found)


def _files_of(module: str) -> Iterator[Path]:
    first, *rest = module.split(".")
    if first == PACKAGE.name:
        place = PACKAGE.joinpath(*rest)
        yield from (path for path in (place.with_suffix(".py"), place / "__init__.py") if rest and path.is_file())


@cache
def _content(file: Path) -> bytes:
    return file.read_bytes()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
